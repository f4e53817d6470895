/* See rocks.h. Thread: any. */
#include "rocks.h"

#include <string.h>

#include "buckets.h"
#include "common/assert.h"
#include "runs.h"

/* Sizes and rates. Origins: src/decisions/0005-store-layout.md. */
enum {
    MIB = 1024 * 1024,
    BLOCK_CACHE_DEFAULT_MIB = 256,
    MEMTABLE_DEFAULT_MIB = 64,
    MEMTABLE_META_MIB = 16,
    MEMTABLES_MAX = 6,
    BYTES_PER_BUCKET = 256, /* 262,144 buckets for 64 MiB. */
    BUCKETS_MIN = 1024,
    BLOOM_BITS = 10,
    BLOCK_BYTES = 8 * 1024,
    BACKGROUND_JOBS = 2,
    RATE_BYTES_PER_S = 128 * MIB,
    RATE_REFILL_US = 100 * 1000,
    RATE_FAIRNESS = 10,
    SYNC_BYTES = MIB,
    INFO_LOG_BYTES = 4 * MIB,
    INFO_LOGS = 2,
    INFO_LOG_LEVEL_WARN = 2,
    MANIFEST_BYTES = 64 * MIB,
    OPEN_FILES_MAX = 4096,
};

static const char *const family_names[FAMILIES] = {
    [FAMILY_META] = "default",
    [FAMILY_ORDERS] = "orders",
    [FAMILY_EVENTS] = "events",
    [FAMILY_INDEX] = "index",
};

void
rocks_check(char *error, const char *doing)
{
    if (error != NULL) {
        bool corrupt = strncmp(error, "Corruption", strlen("Corruption")) == 0;
        qo_fatal(corrupt ? FATAL_CORRUPT : FATAL_STORAGE, "%s: %s", doing, error);
    }
}

static void
options_of_database(rocksdb_options_t *options, const struct rocks_options *shared)
{
    rocksdb_options_set_env(options, shared->env);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    /* The Raft log is the log: all families reach the disk together, or none. */
    rocksdb_options_set_atomic_flush(options, 1);
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0); /* For hash-linked-list. */
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_ratelimiter(options, shared->limiter);
    rocksdb_options_set_bytes_per_sync(options, SYNC_BYTES);
    rocksdb_options_set_max_open_files(options, OPEN_FILES_MAX);
    rocksdb_options_set_max_manifest_file_size(options, MANIFEST_BYTES);
    rocksdb_options_set_info_log_level(options, INFO_LOG_LEVEL_WARN);
    rocksdb_options_set_max_log_file_size(options, INFO_LOG_BYTES);
    rocksdb_options_set_keep_log_file_num(options, INFO_LOGS);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
}

static const double memtable_bloom_ratio = 0.05; /* Of the memtable's size. */

static void
options_of_family(rocksdb_options_t *options, enum family family,
                  const struct rocks_options *shared, uint64_t memtable_bytes)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, shared->cache);
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    /* In the cache, so that one number bounds the memory for reading. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    /* In parts, under an index of their own: the cache is split into shards, and a filter larger
     * than a shard (4 MiB of 256 here, reached with some millions of rows) would be read from the
     * file at every get. Measured: a thousand transitions a second in place of fifty thousand. */
    rocksdb_block_based_options_set_index_type(
        table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(table, 1);
    if (family == FAMILY_ORDERS || family == FAMILY_INDEX) {
        /* Both are asked for keys that are not there: creations, unique values. */
        rocksdb_block_based_options_set_filter_policy(
            table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    }
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);

    /* What is flushed is soon compacted: compressing it twice costs more than the bytes do. */
    static const int compression[] = {rocksdb_no_compression, rocksdb_lz4_compression};
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_compression_per_level(options, compression, 2);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_max_write_buffer_number(options, MEMTABLES_MAX);
    rocksdb_options_set_write_buffer_size(
        options, family == FAMILY_META ? (size_t)MEMTABLE_META_MIB * MIB : (size_t)memtable_bytes);
    if (family == FAMILY_INDEX) {
        /* Asked at each command of an order with more request ids than its record remembers, for a
         * row that is mostly not there. */
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, memtable_bloom_ratio);
        rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    }
    if (family == FAMILY_ORDERS) {
        uint64_t buckets = memtable_bytes / BYTES_PER_BUCKET;
        /* About a bucket per key, in order of keys (buckets.h). Never iterated. */
        rocksdb_options_set_prefix_extractor(options, bucket_extractor(shared->shards));
        rocksdb_options_set_hash_link_list_rep(options, buckets < BUCKETS_MIN ? BUCKETS_MIN
                                                                              : (size_t)buckets);
    }
}

void
rocks_options_make(struct rocks_options *options, uint32_t shards, uint64_t block_cache_bytes,
                   uint64_t memtable_bytes)
{
    options->shards = shards;
    options->cache = rocksdb_cache_create_lru(
        block_cache_bytes == 0 ? (size_t)BLOCK_CACHE_DEFAULT_MIB * MIB : (size_t)block_cache_bytes);
    options->limiter = rocksdb_ratelimiter_create(RATE_BYTES_PER_S, RATE_REFILL_US, RATE_FAIRNESS);
    options->env = rocksdb_create_default_env();
    /* Compaction yields to everything else. Flushes do not: a flush that starves stops writes. */
    rocksdb_env_lower_thread_pool_cpu_priority(options->env);
    rocksdb_env_lower_thread_pool_io_priority(options->env);
    for (uint32_t family = 0; family < FAMILIES; family++) {
        options->families[family] = rocksdb_options_create();
        options_of_database(options->families[family], options);
        options_of_family(options->families[family], (enum family)family, options,
                          memtable_bytes == 0 ? (uint64_t)MEMTABLE_DEFAULT_MIB * MIB
                                              : memtable_bytes);
    }
}

void
rocks_options_free(struct rocks_options *options)
{
    for (uint32_t family = 0; family < FAMILIES; family++) {
        rocksdb_options_destroy(options->families[family]);
    }
    rocksdb_env_destroy(options->env);
    rocksdb_ratelimiter_destroy(options->limiter);
    rocksdb_cache_destroy(options->cache);
    *options = (struct rocks_options){0};
}

void
rocks_open(struct rocks *rocks, const struct rocks_options *options, const char *directory,
           bool read_only)
{
    const rocksdb_options_t *families[FAMILIES];
    char *error = NULL;
    for (uint32_t family = 0; family < FAMILIES; family++) {
        families[family] = options->families[family];
    }
    rocks->db = read_only
                    ? rocksdb_open_for_read_only_column_families(families[FAMILY_META], directory,
                                                                 FAMILIES, family_names, families,
                                                                 rocks->families, 0, &error)
                    : rocksdb_open_column_families(families[FAMILY_META], directory, FAMILIES,
                                                   family_names, families, rocks->families, &error);
    rocks_check(error, directory);
    QO_POST(rocks->db != NULL);
}

void
rocks_close(struct rocks *rocks)
{
    for (uint32_t family = 0; family < FAMILIES; family++) {
        rocksdb_column_family_handle_destroy(rocks->families[family]);
    }
    rocksdb_close(rocks->db);
    *rocks = (struct rocks){0};
}

/* The value of a key, pinned; NULL if there is none. */
static rocksdb_pinnableslice_t *
get_pinned(const struct rocks *rocks, const rocksdb_readoptions_t *options, enum family family,
           const struct key *key)
{
    char *error = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
        rocks->db, options, rocks->families[family], (const char *)key->bytes, key->size, &error);
    rocks_check(error, "reading the store");
    return slice;
}

bool
rocks_get(const struct rocks *rocks, const rocksdb_readoptions_t *options, enum family family,
          const struct key *key, struct buf *out)
{
    rocksdb_pinnableslice_t *slice = get_pinned(rocks, options, family, key);
    if (slice == NULL) {
        return false;
    }
    size_t size;
    const char *data = rocksdb_pinnableslice_value(slice, &size);
    buf_append(out, data, size);
    rocksdb_pinnableslice_destroy(slice);
    return true;
}

struct bytes
rocks_unformatted(struct bytes value, const struct key *key)
{
    if (value.size < 1 || value.data[0] != KEY_FORMAT) {
        char hex[2 * KEY_MAX + 1];
        hash_hex(bytes_make(key->bytes, key->size), hex);
        qo_fatal(FATAL_CORRUPT, "store: the value of key %s is of no format that we know", hex);
    }
    return bytes_make(value.data + 1, value.size - 1);
}

bool
rocks_get_formatted(const struct rocks *rocks, const rocksdb_readoptions_t *options,
                    enum family family, const struct key *key, struct buf *out)
{
    rocksdb_pinnableslice_t *slice = get_pinned(rocks, options, family, key);
    if (slice == NULL) {
        return false;
    }
    size_t size;
    const char *data = rocksdb_pinnableslice_value(slice, &size);
    struct bytes value = rocks_unformatted(bytes_make(data, size), key);
    buf_append(out, value.data, value.size);
    rocksdb_pinnableslice_destroy(slice);
    return true;
}

void
rocks_put(rocksdb_writebatch_t *batch, const struct rocks *rocks, enum family family,
          const struct key *key, struct bytes value)
{
    rocksdb_writebatch_put_cf(batch, rocks->families[family], (const char *)key->bytes, key->size,
                              (const char *)value.data, value.size);
}

void
rocks_get_applied(const struct rocks *rocks, const rocksdb_readoptions_t *options, uint32_t shards,
                  struct applied_point *applied)
{
    struct key key = key_applied();
    rocksdb_pinnableslice_t *slice = get_pinned(rocks, options, FAMILY_META, &key);
    if (slice == NULL) {
        *applied = (struct applied_point){0};
        return;
    }
    size_t size;
    const char *data = rocksdb_pinnableslice_value(slice, &size);
    struct cursor cursor = cursor_of(rocks_unformatted(bytes_make(data, size), &key));
    applied->index = cursor_le64(&cursor);
    applied->term = cursor_le64(&cursor);
    applied->entry_index = cursor_le64(&cursor);
    applied->seq = cursor_le64(&cursor);
    applied->time = (int64_t)cursor_le64(&cursor);
    applied->epoch = cursor_le32(&cursor);
    struct bytes digest = cursor_bytes(&cursor, sizeof applied->digest);
    struct bytes digests = cursor_bytes(&cursor, shards * sizeof applied->shards[0]);
    if (!cursor_done(&cursor) || digest.data == NULL || digests.data == NULL) {
        qo_fatal(FATAL_CORRUPT, "store: the applied point does not decode");
    }
    memcpy(applied->digest.bytes, digest.data, digest.size);
    memcpy(applied->shards, digests.data, digests.size);
    rocksdb_pinnableslice_destroy(slice);
}

bool
rocks_find_event(rocksdb_iterator_t *events, uint64_t seq, struct buf *out)
{
    struct key key = key_event(seq);
    uint64_t at;
    struct bytes event;
    rocksdb_iter_seek_for_prev(events, (const char *)key.bytes, key.size);
    if (!rocks_iterator_valid(events)) {
        return false;
    }
    if (!key_event_decode(rocks_iterator_key(events), &at)) {
        qo_fatal(FATAL_CORRUPT, "store: an event's key does not decode");
    }
    struct cursor run = run_open(rocks_iterator_value(events));
    while (run_next_event(&run, &event)) {
        if (at++ == seq) {
            buf_append(out, event.data, event.size);
            return true;
        }
    }
    return false;
}

rocksdb_readoptions_t *
rocks_iterate_below(const rocksdb_snapshot_t *snapshot, const struct key *bound)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    if (snapshot != NULL) {
        rocksdb_readoptions_set_snapshot(options, snapshot);
    }
    rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)bound->bytes, bound->size);
    return options;
}

bool
rocks_iterator_valid(rocksdb_iterator_t *iterator)
{
    if (rocksdb_iter_valid(iterator)) {
        return true;
    }
    char *error = NULL;
    rocksdb_iter_get_error(iterator, &error);
    rocks_check(error, "iterating over the store");
    return false;
}

struct bytes
rocks_iterator_key(const rocksdb_iterator_t *iterator)
{
    size_t size;
    const char *data = rocksdb_iter_key(iterator, &size);
    return bytes_make(data, size);
}

struct bytes
rocks_iterator_value(const rocksdb_iterator_t *iterator)
{
    size_t size;
    const char *data = rocksdb_iter_value(iterator, &size);
    return bytes_make(data, size);
}
