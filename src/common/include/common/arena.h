/*
 * arena: memory for one batch or one command, given back all at once.
 *
 * Grows by chunks and keeps them over arena_reset(), so that a warm arena does not allocate. What
 * came from it is valid until the reset. Thread: one at a time.
 */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stddef.h>

#include "common/bytes.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *first, *current; /* NULL before the first use. */
    size_t used;                         /* Bytes used of `current`. */
};

/* `size` bytes aligned to 8, not zeroed. A zeroed `struct arena` is an empty one. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));

/* A copy of `bytes` (BYTES_NONE stays BYTES_NONE). */
struct bytes arena_copy(struct arena *arena, struct bytes bytes);

void arena_reset(struct arena *arena);            /* Forgets everything, keeps the chunks. */
void arena_free(struct arena *arena);             /* Gives the chunks back too. */
size_t arena_capacity(const struct arena *arena); /* Bytes of its chunks, used or not. */

#endif
