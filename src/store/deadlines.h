/*
 * deadlines: the rows of timers, put by the entry that sets them and gone when all have left.
 *
 * All orders that one entry gives the same deadline stand in one row, a run (runs.h); an order that
 * leaves its state deletes nothing. A row's order is due only if its record still names deadline
 * and version, so a stale item is passed over. Rows that hold stale items only go in two ways:
 *
 * Counted  The state thread counts, per deadline, the orders put and left since the store was
 *          opened. When all have left, the commit that holds the last leave deletes the row. Only
 *          orders that entered their state after the opening are counted as left: the row of any
 *          other may be older than the counters.
 * Passed   What no counter covers (after a restart, or over QO_DEADLINE_COUNTERS_MAX) stays until
 * its deadline has passed, and is then swept, once all its items are stale: no order is given a
 * deadline that has passed.
 *
 * Thread: state; deadlines_sweep() the one that sweeps; the scan any.
 */
#ifndef STORE_DEADLINES_H
#define STORE_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#include <rocksdb/c.h>

#include "common/bytes.h"

struct store;
struct store_view;

enum { DEADLINE_SLOTS = 1 << 17 }; /* Open addressing; at most half full. */

struct deadline_counter {
    int64_t deadline; /* 0: a free slot. */
    uint64_t index;   /* Log index of the entry whose row it is; 0: there are several rows. */
    uint32_t put, left;
};

/* An order that the open batch gives a deadline. */
struct deadline_item {
    int64_t deadline;
    uint64_t entered_version;
    uint32_t id_at, id_size; /* In `ids`. */
    uint32_t shard;
    uint32_t place; /* Among the batch's, so that sorting keeps their order. */
};

struct deadlines {
    struct deadline_counter *slots; /* DEADLINE_SLOTS */
    uint32_t count;
    uint64_t opened_seq; /* The store's last when it was opened. */
    struct buf items;    /* struct deadline_item, of the open batch. */
    struct buf ids;
    struct buf left; /* int64_t each: deadlines left in the open batch. */
    struct buf run;  /* Scratch. */
};

void deadlines_open(struct store *store);
void deadlines_close(struct store *store);
bool deadlines_empty(const struct store *store); /* Nothing put and not committed. */

/* Stages the rows of the open batch, whose entry is `index`, and the deletions that it allows. */
void deadlines_commit(struct store *store, uint64_t index);

/* Adds to `batch` the deletion of rows that have passed and are stale as a whole, from `*from` on,
 * looking at no more than `*looks_left` items; `*from` is where to go on. How many items went. */
uint64_t deadlines_sweep(struct store_view *view, rocksdb_writebatch_t *batch, int64_t *from,
                         uint64_t *looks_left);

#endif
