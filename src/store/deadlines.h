/*
 * deadlines: the rows of timers, put by the entry that sets them and gone when all have left.
 *
 * All orders that one entry gives the same deadline stand in one row, a run (runs.h); an order that
 * leaves its state deletes nothing. A row's order is due only if its record still names deadline
 * and version, so a stale item is passed over. Rows that hold stale items only go in two ways:
 *
 * Counted  The state thread counts, per deadline, the orders put and left since the counter was
 *          begun. When all have left, the commit that holds the last leave deletes the row. An
 *          order that was given its deadline before that, by the log's time, is not counted as
 *          left: it stands in an older row, from before a restart of the node or from when there
 *          was no room for a counter. Nor is one of an entry with the very time of the entry before
 *          it, which cannot be told from an older one.
 * Passed   What no counter covers, or one that does not come to its end, stays until its deadline
 *          has passed, and is then swept, once all its items are stale: no order is given a
 *          deadline that has passed. Counters that have passed are forgotten.
 *
 * Thread: state; deadlines_sweep() the one that sweeps; the scan any.
 */
#ifndef STORE_DEADLINES_H
#define STORE_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#include <rocksdb/c.h>

#include "common/bytes.h"

struct applied_point;
struct store;
struct store_view;

enum {
    DEADLINE_SLOTS = 1 << 17,       /* Open addressing; at most half full. */
    DEADLINE_SLOTS_PER_COMMIT = 16, /* Looked at for counters that have passed. */
};

struct deadline_counter {
    int64_t deadline; /* 0: a free slot. */
    uint64_t index;   /* Log index of the entry whose row it is; 0: there are several rows. */
    int64_t after;    /* The log's time before that entry: all given it later are in `put`. */
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

/* A deadline that an order has left in the open batch. */
struct deadline_left {
    int64_t deadline;
    int64_t given_at;
};

struct deadlines {
    struct deadline_counter *slots; /* DEADLINE_SLOTS */
    uint32_t count;
    uint32_t hand;    /* Where the search for counters that have passed goes on. */
    struct buf items; /* struct deadline_item, of the open batch. */
    struct buf ids;
    struct buf left; /* struct deadline_left */
    struct buf run;  /* Scratch. */
};

void deadlines_open(struct store *store);
void deadlines_close(struct store *store);
bool deadlines_empty(const struct store *store); /* Nothing put and not committed. */

/* Stages the rows of the open batch, whose entry is `applied`, and the deletions that it allows. */
void deadlines_commit(struct store *store, const struct applied_point *applied);

/* Adds to `batch` the deletion of rows that have passed and are stale as a whole, from `*from` on,
 * looking at no more than `*looks_left` items; `*from` is where to go on. How many items went. */
uint64_t deadlines_sweep(struct store_view *view, rocksdb_writebatch_t *batch, int64_t *from,
                         uint64_t *looks_left);

#endif
