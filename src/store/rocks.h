/*
 * rocks: what the files of this module share: the open database and how it is called.
 *
 * Thread: as said per field. Every function here ends the node if RocksDB reports an error.
 */
#ifndef STORE_ROCKS_H
#define STORE_ROCKS_H

#include <pthread.h>
#include <stdatomic.h>

#include <rocksdb/c.h>

#include "deadlines.h"
#include "keys.h"
#include "staged.h"
#include "store/store.h"
#include "sweep.h"

enum family { FAMILY_META, FAMILY_ORDERS, FAMILY_EVENTS, FAMILY_INDEX, FAMILIES };

/* Ends the node if `error`, as RocksDB gave it, is not NULL: FATAL_CORRUPT where RocksDB says so
 * (its text names the file), else FATAL_STORAGE. */
void rocks_check(char *error, const char *doing);

/* How a database is opened: options per family and what they share. */
struct rocks_options {
    uint32_t shards;
    rocksdb_options_t *families[FAMILIES]; /* FAMILY_META's also holds those of the database. */
    rocksdb_cache_t *cache;
    rocksdb_ratelimiter_t *limiter;
    rocksdb_env_t *env;
};
void rocks_options_make(struct rocks_options *options, uint32_t shards, uint64_t block_cache_bytes,
                        uint64_t memtable_bytes);
void rocks_options_free(struct rocks_options *options);

/* An open database. Closed in the order that RocksDB's own assertions demand: handles first. */
struct rocks {
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[FAMILIES];
};
void rocks_open(struct rocks *rocks, const struct rocks_options *options, const char *directory,
                bool read_only);
void rocks_close(struct rocks *rocks);

/* Appends the value of `key` to `out`. False: there is none. */
bool rocks_get(const struct rocks *rocks, const rocksdb_readoptions_t *options, enum family family,
               const struct key *key, struct buf *out);
/* The same for values that begin with KEY_FORMAT, which is checked and left out. */
bool rocks_get_formatted(const struct rocks *rocks, const rocksdb_readoptions_t *options,
                         enum family family, const struct key *key, struct buf *out);
/* What a value laid out in store.c holds behind its format byte; another format ends the node. */
struct bytes rocks_unformatted(struct bytes value, const struct key *key);
void rocks_put(rocksdb_writebatch_t *batch, const struct rocks *rocks, enum family family,
               const struct key *key, struct bytes value);
/* The applied point of a database; zeros if it has none yet. */
void rocks_get_applied(const struct rocks *rocks, const rocksdb_readoptions_t *options,
                       uint32_t shards, struct applied_point *applied_out);

struct store {
    struct rocks rocks;
    struct rocks_options options;
    char *directory;
    char cluster_id[65];
    uint32_t shards;
    struct registry *registry;
    rocksdb_readoptions_t *read_newest; /* Any thread; never changed. */
    rocksdb_writeoptions_t *write;      /* The same: without RocksDB's own log. */

    /* The state thread's. */
    struct staged staged; /* Rows of the open batch. */
    struct buf event_run; /* Of the open batch: its events, until a run is full. */
    uint64_t event_run_seq, event_run_count; /* Its first seq; how many it has. */
    struct buf listed, listed_ids;           /* struct listed_row, of the open batch; the ids. */
    struct buf list_run;                     /* Scratch of store_commit(). */
    rocksdb_writebatch_t *batch;
    struct buf scratch; /* Of one value at a time. */
    bool definitions_put;
    struct applied_point applied; /* Of the last commit. */
    struct store_counters counters;
    struct sweep_counters sweep_counters;
    struct deadlines deadlines;

    /* Shared. */
    struct sweep_backlog sweep_backlog;
    _Atomic uint32_t views_open;
    _Atomic uint64_t checkpoints; /* Made since the store was opened. */

    /* The sweeping thread's. */
    struct sweeper sweeper;
};

/* An order that entered a state in the open batch. */
struct listed_row {
    uint16_t machine, state;
    uint32_t id_at, id_size; /* In `listed_ids`. */
    uint64_t entered_seq;
};

/* A snapshot with the options that read through it. */
struct store_view {
    struct store *store;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *events; /* For single events; made at the first. */
    struct applied_point applied;
};

/* A new iterator's options: the view's snapshot (NULL: the newest state), and an upper bound that
 * must live as long as the iterator. */
rocksdb_readoptions_t *rocks_iterate_below(const rocksdb_snapshot_t *snapshot,
                                           const struct key *bound);
/* False at the end. An error, which also ends an iterator, ends the node. */
bool rocks_iterator_valid(rocksdb_iterator_t *iterator);
struct bytes rocks_iterator_key(const rocksdb_iterator_t *iterator);
struct bytes rocks_iterator_value(const rocksdb_iterator_t *iterator);

/* Appends the event with `seq`, found in its run by an iterator over events. False: none. */
bool rocks_find_event(rocksdb_iterator_t *events, uint64_t seq, struct buf *out);

/* Whether the order of a list row is still where the row says. `record_bytes` is scratch, and what
 * `record_out` points into. A row without an order ends the node. */
bool list_row_alive(struct store_view *view, const struct list_key *row, struct bytes id,
                    struct buf *record_bytes, struct order_record *record_out);

#endif
