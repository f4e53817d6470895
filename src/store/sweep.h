/*
 * sweep: getting rid of stale list rows without a write per transition.
 *
 * A transition puts the order's row in its new state's list and leaves the old one, which is then
 * stale: readers skip it, because the order's record names another seq of entry. A row that is
 * stale never lives again, since its seq is that of one event and never given twice. So a stale row
 * may be deleted at any time, or never; all that is lost by waiting is space and readers' steps.
 *
 * Blocks   Rows of one (machine, state) are counted by blocks of SWEEP_BLOCK_SEQS seqs: how many
 *          were put, how many of them have been left. A block is closed once the last seq of the
 *          store lies behind it: no row is put into it any more. A closed block whose rows are all
 *          dead is deleted as one range, without a look at any row; one that is mostly dead is
 *          looked through, row by row, if it does not die within SWEEP_PATIENCE_BLOCKS further
 *          blocks: a look costs a get, a range nothing. Rows here are the items of runs (runs.h).
 * Trust    A counter exists only if this process saw the first put into its block: not for blocks
 *          begun before the store was opened, nor for those whose counter had no room
 *          (`tracked_from`). So put == dead proves all dead.
 * Hand-over is done after the commit that made the rows stale, never before it: otherwise a flush
 *          between the two could keep the deletion and lose the reason for it.
 * Unknown  Rows that die without a counter are only counted. After the opening of the store, and
 *          each time QO_SWEEP_UNKNOWN_MAX of them have gathered, the sweeper walks all lists up to
 *          the highest seq concerned and looks each row up.
 * Bounds   QO_SWEEP_COUNTERS_MAX counters on the state thread; when full, the one with the fewest
 *          dead of a few is forgotten (its rows are then unknown). QO_SWEEP_BACKLOG_MAX blocks wait
 *          for the sweeper; what finds no room is offered again at the next block's end.
 *
 * Thread: `sweep_counters` the state thread, `sweeper` the one that sweeps; between them stands
 * `sweep_backlog` under its lock, which is held for a few instructions, some times per second.
 */
#ifndef STORE_SWEEP_H
#define STORE_SWEEP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "keys.h"

enum {
    SWEEP_BLOCK_SHIFT = 14,
    SWEEP_BLOCK_SEQS = 1 << SWEEP_BLOCK_SHIFT,
    SWEEP_SLOTS = 2 * QO_SWEEP_COUNTERS_MAX, /* Open addressing, at most half full. */
    SWEEP_DEAD_PERCENT = 90,                 /* From there on a look at each row pays. */
    SWEEP_LOOKED_ROWS_MIN = 256,             /* Smaller blocks wait until all is dead. */
    SWEEP_PATIENCE_BLOCKS = 4, /* For so long a mostly dead block may die by itself. */
};

struct sweep_counter {
    uint64_t block; /* seq / SWEEP_BLOCK_SEQS */
    uint16_t machine, state;
    uint16_t put, dead; /* put == 0: a free slot. A block has at most SWEEP_BLOCK_SEQS rows. */
};

/* A row that a command has left, until its commit. */
struct sweep_left {
    uint64_t entered_seq;
    uint16_t machine, state;
};

struct sweep_counters {
    struct sweep_counter *slots; /* SWEEP_SLOTS */
    uint32_t count;
    uint32_t hand;         /* Where the search for one to forget goes on. */
    uint64_t tracked_from; /* No counter is begun for a block below it. */
    uint64_t open_block;   /* Of the last committed seq. */
    struct buf left;       /* struct sweep_left, of the open batch. */
    uint64_t unknown;      /* Rows died without a counter since the sweeper was last told. */
    uint64_t unknown_seq;  /* The highest of their seqs. */
};

/* A closed block for the sweeper. */
struct sweep_block {
    uint64_t block;
    uint16_t machine, state;
    uint16_t rows; /* Dead ones. */
    bool all_dead;
};

struct sweep_backlog {
    pthread_mutex_t lock;
    uint32_t count;
    struct sweep_block *blocks; /* QO_SWEEP_BACKLOG_MAX, a stack: the order does not matter. */
    bool walk;                  /* Unknown rows have died: walk everything up to walk_to. */
    uint64_t walk_to;
};

struct sweeper {
    struct sweep_block *blocks; /* Taken from the backlog, from `next` to `count`. */
    uint32_t next, count;
    uint64_t resume_seq; /* Of the block at `next`, if it is half looked through; else 0. */
    bool walking;
    uint64_t walk_to;
    struct key walk_at; /* The next row to look at. */
    struct buf record;
    struct buf kept;       /* What lives of a run. */
    int64_t deadline_from; /* Where deadlines that have passed are looked at next. */
};

struct store;

void sweep_open(struct store *store);
void sweep_close(struct store *store);
/* The state thread, at a put, at a row left, and after each commit. */
void sweep_put(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq);
void sweep_leave(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq);
void sweep_committed(struct store *store);
/* Blocks that wait, and one more if a walk is due or under way. Any thread. */
uint64_t sweep_backlog_count(struct store *store);

#endif
