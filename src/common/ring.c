/* See common/ring.h. Thread: two, as said there; no lock. */
#include "common/ring.h"

#include <stddef.h>

#include "common/assert.h"

static_assert((QO_RING_CAPACITY_MAX & (QO_RING_CAPACITY_MAX - 1)) == 0, "capacity divides 2^32");

void
ring_init(struct ring *ring, void **slots, uint32_t capacity)
{
    QO_PRE(slots != NULL);
    QO_PRE(capacity >= 2 && capacity <= QO_RING_CAPACITY_MAX);
    QO_PRE((capacity & (capacity - 1)) == 0);

    ring->slots = slots;
    ring->capacity = capacity;
    atomic_init(&ring->pushed, 0);
    atomic_init(&ring->popped, 0);
}

bool
ring_push(struct ring *ring, void *item)
{
    QO_PRE(item != NULL); /* NULL is how ring_pop() says "empty". */

    /* Relaxed: this thread alone writes `pushed`, so it reads what it wrote. */
    uint32_t pushed = atomic_load_explicit(&ring->pushed, memory_order_relaxed);
    /* Acquire: the consumer has read a slot before we write over it. */
    uint32_t popped = atomic_load_explicit(&ring->popped, memory_order_acquire);
    uint32_t count = pushed - popped; /* Right across the wrap: unsigned, modulo 2^32. */
    QO_ASSERT(count <= ring->capacity);
    if (count == ring->capacity) {
        return false;
    }
    ring->slots[pushed & (ring->capacity - 1)] = item;
    /* Release: the item is in its slot before the consumer may look for it. */
    atomic_store_explicit(&ring->pushed, pushed + 1, memory_order_release);
    return true;
}

void *
ring_pop(struct ring *ring)
{
    uint32_t popped = atomic_load_explicit(&ring->popped, memory_order_relaxed);
    uint32_t pushed = atomic_load_explicit(&ring->pushed, memory_order_acquire);
    if (pushed == popped) {
        return NULL;
    }
    QO_ASSERT(pushed - popped <= ring->capacity);
    void *item = ring->slots[popped & (ring->capacity - 1)];
    QO_POST(item != NULL);
    atomic_store_explicit(&ring->popped, popped + 1, memory_order_release);
    return item;
}

void
ring_close(struct ring *ring)
{
    QO_PRE(atomic_load(&ring->pushed) == atomic_load(&ring->popped));
    *ring = (struct ring){0}; /* A use after this fails at once. */
}
