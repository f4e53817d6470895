/*
 * overlay: what one entry (or one group) has written over rows of the store, until it is committed.
 *
 * A hash table from key to value. Forgotten all at once by overlay_reset(), which costs nothing.
 * Nothing depends on the order of its slots: it is only asked for keys. Thread: state.
 * Memory: keys and values are borrowed until the reset; the table itself stays and is used again.
 */
#ifndef APPLY_OVERLAY_H
#define APPLY_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

struct overlay_slot {
    uint64_t hash;
    uint64_t generation; /* The slot is in use if it is the overlay's. */
    struct bytes key, value;
};

struct overlay {
    struct overlay_slot *slots; /* NULL before the first put. */
    uint32_t capacity;          /* A power of two. */
    uint32_t count;
    uint64_t generation;
};

/* A zeroed `struct overlay` is an empty one. */
void overlay_reset(struct overlay *overlay);
void overlay_free(struct overlay *overlay);
/* True if the key was put; its value may be BYTES_NONE, which says that the row is gone. */
bool overlay_get(const struct overlay *overlay, struct bytes key, struct bytes *value_out);
/* Puts the value in the place of the one before. */
void overlay_put(struct overlay *overlay, struct bytes key, struct bytes value);

#endif
