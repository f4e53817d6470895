/*
 * store: the state of one node on disk, in RocksDB, and the only place that knows RocksDB.
 *
 * Four families (key space: keys.h, one table): `orders` (by key only, never iterated), `events`
 * (by seq), `index` (lists, unique values, deadlines, spilled request ids), `meta` (the applied
 * point, definitions, identity). No write-ahead log of its own: the Raft log is it. All families
 * flush together or not at all; the only manual flush is a checkpoint.
 *
 * Writing is the state thread's: one batch per log entry, which holds all results and the new
 * applied point together. Reading elsewhere goes through a `struct store_view`: a snapshot that
 * shows whole entries only, with the applied point that belongs to it.
 *
 * Failure of the disk, or bytes that do not decode, end the node (FATAL_STORAGE, FATAL_CORRUPT)
 * inside these functions: no caller can go on, and none may turn it into a refusal.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/bytes.h"
#include "common/hash.h"
#include "common/limits.h"
#include "store/record.h"
#include "store/registry.h"

struct store;

/* The live database stands in <directory>/db, checkpoints in <directory>/checkpoints/<index>: a
 * checkpoint put in the place of `db`, with no store open there, is a store as of that index. */
#define STORE_DATABASE "db"

struct store_options {
    const char *directory;
    char cluster_id[65];        /* Checked against the store's own; written into a new one. */
    uint32_t shards;            /* 1 to QO_SHARDS_MAX; fixed at birth. */
    uint64_t block_cache_bytes; /* 0: the default. */
    uint64_t memtable_bytes;    /* Of `orders`; 0: the default, 64 MiB. */
};

/* How far the log has become state. Written with every entry. */
struct applied_point {
    uint64_t index, term; /* Everything up to here has been executed; 0 before the first. */
    uint64_t entry_index; /* Of the last executed entry: what the digest belongs to. */
    uint64_t seq;         /* Of the last event. */
    int64_t time;         /* Of the last executed entry; times never go below it. */
    uint32_t epoch;
    struct digest digest;                /* Over (index, operation, outcome). */
    struct digest shards[QO_SHARDS_MAX]; /* Over events; the first `shards` count. */
};

/* Opens or makes the store; loads the registry. Never NULL: failure is fatal with a message. */
struct store *store_open(const struct store_options *options);
void store_close(struct store *store);
struct registry *store_registry(struct store *store);
uint32_t store_shards(const struct store *store);
/* The applied point of the last commit. Thread: state, or before it starts. */
const struct applied_point *store_applied(const struct store *store);

/* -- Writing: the state thread --------------------------------------------------------------- */

/* One open batch at a time. What is put is not seen by any get before the commit. */
void store_put_order(struct store *store, struct bytes id, uint32_t shard, struct bytes record);
void store_put_event(struct store *store, uint64_t seq, struct bytes event);
/* The list row of an order that entered a state. Its row in the state before stays and is stale;
 * store_list_left() tells the sweeper so. */
void store_put_list(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq,
                    struct bytes id);
void store_list_left(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq);
void store_put_deadline(struct store *store, int64_t deadline, struct bytes id, uint32_t shard,
                        uint64_t entered_version);
/* The order no longer has the deadline that its record named; its item in the deadline's row is
 * stale by that. `given_at`: the log's time of the entry that put it, or some time before. */
void store_deadline_left(struct store *store, int64_t deadline, int64_t given_at);
void store_put_unique(struct store *store, uint16_t machine, uint16_t attribute, struct bytes value,
                      struct bytes id);
void store_delete_unique(struct store *store, uint16_t machine, uint16_t attribute,
                         struct bytes value);
/* The versions of order `id` whose request ids have this fingerprint, rising, in place of what was
 * there. */
void store_put_spilled(struct store *store, struct bytes id, uint32_t shard, uint64_t fingerprint,
                       const uint64_t *versions, uint32_t count);
/* A page of fingerprints of order `id`, in place of what was there; bytes that apply understands.
 */
void store_put_page(struct store *store, struct bytes id, uint32_t shard, uint8_t place,
                    struct bytes page);
/* A definition that registry_add() has numbered. */
void store_put_definition(struct store *store, const struct definition *definition);
/* True while store_commit() would wait until flushes or compactions have caught up. */
bool store_stalls(struct store *store);
/* Writes everything put since the last commit and the new applied point, atomically. */
void store_commit(struct store *store, const struct applied_point *applied);

/* Bytes and rows put since the store was opened: the budget of writes per transition. */
struct store_counters {
    uint64_t commits, puts, deletes, bytes;
};
struct store_counters store_counters(const struct store *store);

/* -- Reading the newest committed state: the state thread ------------------------------------- */

/* Each appends to `out` and says whether there was one. */
bool store_get_order(struct store *store, struct bytes id, uint32_t shard, struct buf *out);
bool store_get_event(struct store *store, uint64_t seq, struct buf *out);
bool store_get_unique(struct store *store, uint16_t machine, uint16_t attribute, struct bytes value,
                      struct buf *id_out);
bool store_get_page(struct store *store, struct bytes id, uint32_t shard, uint8_t place,
                    struct buf *out);
/* Up to `max` versions; how many. */
uint32_t store_get_spilled(struct store *store, struct bytes id, uint32_t shard,
                           uint64_t fingerprint, uint64_t *versions_out, uint32_t max);
/* Reads many orders in one go, so that later gets find them warm. records_out[i]: the bytes in
 * `arena`, BYTES_NONE if there is no such order. */
struct store_order_key {
    struct bytes id;
    uint32_t shard;
};
void store_get_orders(struct store *store, const struct store_order_key *keys, uint32_t count,
                      struct arena *arena, struct bytes *records_out);

/* An order with a deadline, as the timers' scan gives it. */
struct store_deadline {
    int64_t deadline;
    struct bytes id; /* In the arena. */
    uint32_t shard;
    uint64_t entered_version;
};
/* Where a scan stands: before the row that entry `index` put for `deadline`. Zeros: at the first.
 */
struct deadline_place {
    int64_t deadline;
    uint64_t index;
};
bool deadline_place_before(struct deadline_place a, struct deadline_place b);
/* The orders that have a deadline from `from` to `to`, included, in order of deadline, at most
 * `max`; looks at about QO_DEADLINE_LOOK_MAX. `next_out`: `from` for the next scan, once those
 * given are dealt with: of what was committed, all that lies below it is given or stale. Any
 * thread. */
uint32_t store_scan_deadlines(struct store *store, struct deadline_place from, int64_t to,
                              struct arena *arena, struct store_deadline *rows_out, uint32_t max,
                              struct deadline_place *next_out);

/* -- Reading elsewhere: views ----------------------------------------------------------------- */

struct store_view; /* A RocksDB snapshot. Thread: the one that began it; many at a time. */

struct store_view *store_view_begin(struct store *store);
void store_view_end(struct store_view *view);
/* The applied point that this view shows; its registry is REGISTRY_PUBLISHED of the store (which
 * may be newer, never older). */
const struct applied_point *store_view_applied(const struct store_view *view);
struct store *store_view_store(const struct store_view *view);
bool store_view_get_order(struct store_view *view, struct bytes id, struct buf *out);
bool store_view_get_event(struct store_view *view, uint64_t seq, struct buf *out);
bool store_view_get_unique(struct store_view *view, uint16_t machine, uint16_t attribute,
                           struct bytes value, struct buf *id_out);

/* Events in seq order from `from`. The event's bytes are valid until the next call. */
struct store_events;
struct store_events *store_events_begin(struct store_view *view, uint64_t from);
bool store_events_next(struct store_events *events, uint64_t *seq_out, struct bytes *event_out);
void store_events_end(struct store_events *events);

/* Live list rows in order of entry: of one state (by its number), or of all states of the machine
 * (RECORD_NONE), merged. Starts after `after_seq`. Stale rows, whose record does not agree, are
 * skipped. What is given is valid until the next call. */
struct store_list;
struct store_list *store_list_begin(struct store_view *view, uint16_t machine, uint16_t state,
                                    uint64_t after_seq);
/* False at the end, or after QO_LIST_LOOK_MAX rows in all; `position_out` is then where to go on.
 */
bool store_list_next(struct store_list *list, struct bytes *id_out, struct bytes *record_out);
/* entered_seq of the last row looked at, to go on after it; `end_out`: nothing is left. */
uint64_t store_list_position(const struct store_list *list, bool *end_out);
void store_list_end(struct store_list *list);

/* -- Checkpoints, space, care: background ----------------------------------------------------- */

/* Makes the committed state durable by a checkpoint in `directory`/checkpoints/<applied index>,
 * removes older ones but one, and gives the applied point it holds. Blocks on disk. Any one thread.
 */
void store_checkpoint(struct store *store, struct applied_point *applied_out);
/* Deletes stale list rows, at most `rows_max` looked at; rows that are known to be dead are not
 * looked at and do not count. Any one thread; the state thread may go on beside it. To be called
 * some times per second. Returns how many rows it removed. How: src/store/sweep.h. */
uint64_t store_sweep(struct store *store, uint64_t rows_max);
/* Names and bytes (or counts: flushes, checkpoints) for cluster.status: sst, memtables, cache, …
 * `each` is called for each. */
void store_sizes(struct store *store, void (*each)(void *context, const char *name, uint64_t bytes),
                 void *context);

#endif
