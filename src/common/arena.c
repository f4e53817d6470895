/* See common/arena.h. Thread: one at a time per arena. */
#include "common/arena.h"

#include <stdalign.h>

#include "common/assert.h"

enum { CHUNK_SIZE = 64 * 1024, ALIGNMENT = 8 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t capacity;
    alignas(ALIGNMENT) uint8_t data[];
};

/* Moves on to a chunk with room for `size`: a kept one, or a new one in front of the kept ones. */
static void
arena_advance(struct arena *arena, size_t size)
{
    struct arena_chunk *next = arena->current == NULL ? arena->first : arena->current->next;
    if (next == NULL || next->capacity < size) {
        size_t capacity = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        struct arena_chunk *chunk = mem_alloc(sizeof *chunk + capacity);
        chunk->capacity = capacity;
        chunk->next = next;
        if (arena->current == NULL) {
            arena->first = chunk;
        } else {
            arena->current->next = chunk;
        }
        next = chunk;
    }
    arena->current = next;
    arena->used = 0;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
    QO_PRE(size <= SIZE_MAX / 2);
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (arena->current == NULL || arena->current->capacity - arena->used < size) {
        arena_advance(arena, size);
    }
    void *memory = arena->current->data + arena->used;
    arena->used += size;
    QO_POST(arena->used <= arena->current->capacity);
    return memory;
}

void *
arena_zalloc(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

struct bytes
arena_copy(struct arena *arena, struct bytes bytes)
{
    if (bytes.data == NULL) {
        return BYTES_NONE;
    }
    uint8_t *copy = arena_alloc(arena, bytes.size);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return bytes_make(copy, bytes.size);
}

void
arena_reset(struct arena *arena)
{
    arena->current = NULL;
    arena->used = 0;
}

void
arena_free(struct arena *arena)
{
    for (struct arena_chunk *chunk = arena->first; chunk != NULL;) {
        struct arena_chunk *next = chunk->next;
        mem_free(chunk);
        chunk = next;
    }
    *arena = (struct arena){0};
}

size_t
arena_capacity(const struct arena *arena)
{
    size_t capacity = 0;
    for (const struct arena_chunk *chunk = arena->first; chunk != NULL; chunk = chunk->next) {
        capacity += chunk->capacity;
    }
    return capacity;
}
