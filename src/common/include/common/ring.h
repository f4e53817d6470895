/*
 * ring: a bounded queue of pointers from exactly one thread to exactly one other.
 *
 * The loop hands committed entries to the state thread through one ring and gets results back
 * through another. Nothing here waits or allocates: a full ring says so, and the producer decides
 * what that means.
 *
 * Order       first in, first out.
 * Visibility  what the producer wrote before ring_push(), the consumer sees after ring_pop().
 * Thread      ring_push(): the producer. ring_pop(): the consumer. The others: before both start
 *             or after both have ended.
 * Memory      `slots` is the caller's and outlives the ring. An item is the ring's from a push that
 *             took it until it is popped.
 */
#ifndef COMMON_RING_H
#define COMMON_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"

struct ring {
    void **slots;      /* `capacity` of them. */
    uint32_t capacity; /* A power of two, 2 to QO_RING_CAPACITY_MAX. */
    /* Items ever pushed and popped, modulo 2^32. One writer each, so one cache line each. */
    alignas(QO_CACHE_LINE) _Atomic uint32_t pushed;
    alignas(QO_CACHE_LINE) _Atomic uint32_t popped;
};

/* Makes an empty ring over `slots`. Cannot fail. */
void ring_init(struct ring *ring, void **slots, uint32_t capacity);

/* Takes `item`, which is not NULL. False: the ring is full, and `item` stays the caller's. */
__attribute__((warn_unused_result)) bool ring_push(struct ring *ring, void *item);

/* The oldest item, now the caller's; NULL if the ring is empty. */
void *ring_pop(struct ring *ring);

/* Ends a ring, which must be empty: an item left inside would be lost. */
void ring_close(struct ring *ring);

#endif
