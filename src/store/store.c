/* See store/store.h. Thread: state, but for opening and sizes. */
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "checkpoint.h"
#include "common/assert.h"
#include "common/log.h"
#include "common/thread.h"
#include "machine/machine.h"
#include "registry_private.h"
#include "rocks.h"
#include "runs.h"

/* -- Opening --------------------------------------------------------------------------------- */

/* meta 'I': format shards:le32 cluster_id. Checked, or written into a store that holds nothing. */
static void
identity_check(struct store *store, const struct store_options *options)
{
    struct key key = key_identity();
    struct buf value = {0};
    if (rocks_get_formatted(&store->rocks, store->read_newest, FAMILY_META, &key, &value)) {
        struct cursor cursor = cursor_of(buf_bytes(&value));
        uint32_t shards = cursor_le32(&cursor);
        struct bytes cluster_id = cursor_bytes(&cursor, (size_t)(cursor.end - cursor.at));
        if (cursor.failed) {
            qo_fatal(FATAL_CORRUPT, "store %s: its identity does not decode", store->directory);
        }
        if (!bytes_equal(cluster_id, bytes_text(options->cluster_id))) {
            qo_fatal(FATAL_DIRECTORY, "store %s belongs to cluster '%.*s', not to '%s'",
                     store->directory, BYTES_FORMAT(cluster_id), options->cluster_id);
        }
        if (shards != options->shards) {
            qo_fatal(FATAL_DIRECTORY,
                     "store %s has %u shards, not %u: the number is fixed at birth",
                     store->directory, (unsigned)shards, (unsigned)options->shards);
        }
    } else {
        struct applied_point applied;
        rocks_get_applied(&store->rocks, store->read_newest, options->shards, &applied);
        if (applied.index != 0) {
            qo_fatal(FATAL_CORRUPT, "store %s has lost its identity", store->directory);
        }
        buf_put_u8(&value, KEY_FORMAT);
        buf_put_le32(&value, options->shards);
        buf_append(&value, options->cluster_id, strlen(options->cluster_id));
        /* Not durable before the first flush; then together with the first entries. */
        rocks_put(store->batch, &store->rocks, FAMILY_META, &key, buf_bytes(&value));
        char *error = NULL;
        rocksdb_write(store->rocks.db, store->write, store->batch, &error);
        rocks_check(error, "writing the store's identity");
        rocksdb_writebatch_clear(store->batch);
    }
    buf_free(&value);
}

/* meta 'M': format at:le64 compiled:bytes32 source:bytes32. */
static void
registry_load(struct store *store)
{
    struct buf value = {0};
    for (uint32_t number = 0; number < QO_DEFINITIONS_MAX; number++) {
        struct key key = key_definition(number);
        buf_clear(&value);
        if (!rocks_get_formatted(&store->rocks, store->read_newest, FAMILY_META, &key, &value)) {
            break; /* Numbers are dense. */
        }
        struct cursor cursor = cursor_of(buf_bytes(&value));
        int64_t at = (int64_t)cursor_le64(&cursor);
        struct bytes compiled = cursor_bytes32(&cursor);
        struct bytes source = cursor_bytes32(&cursor);
        if (!cursor_done(&cursor)) {
            qo_fatal(FATAL_CORRUPT, "store %s: definition %u does not decode", store->directory,
                     (unsigned)number);
        }
        registry_add(store->registry, compiled, source, at);
    }
    registry_publish(store->registry);
    buf_free(&value);
}

static void
directory_make(const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        qo_fatal(FATAL_DIRECTORY, "cannot make directory %s: %s", path, strerror(errno));
    }
}

struct store *
store_open(const struct store_options *options)
{
    QO_PRE(options->shards >= 1 && options->shards <= QO_SHARDS_MAX);
    QO_PRE(strnlen(options->cluster_id, sizeof options->cluster_id) < sizeof options->cluster_id);
    struct store *store = mem_zalloc(sizeof *store);
    size_t length = strlen(options->directory);
    store->directory = mem_alloc(length + 1);
    memcpy(store->directory, options->directory, length + 1);
    memcpy(store->cluster_id, options->cluster_id, sizeof store->cluster_id);
    store->shards = options->shards;

    directory_make(store->directory);
    checkpoint_prepare(store->directory);
    char database[CHECKPOINT_PATH_MAX];
    checkpoint_path(database, store->directory, STORE_DATABASE);
    rocks_options_make(&store->options, options->shards, options->block_cache_bytes,
                       options->memtable_bytes);
    rocks_open(&store->rocks, &store->options, database, false);
    store->read_newest = rocksdb_readoptions_create();
    store->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(store->write, 1);
    store->batch = rocksdb_writebatch_create();

    identity_check(store, options);
    store->registry = registry_open();
    registry_load(store);
    rocks_get_applied(&store->rocks, store->read_newest, store->shards, &store->applied);
    sweep_open(store);
    deadlines_open(store);
    log_line(LOG_INFO, "store_opened", "directory=%s applied_index=%llu seq=%llu definitions=%u",
             store->directory, (unsigned long long)store->applied.index,
             (unsigned long long)store->applied.seq,
             (unsigned)registry_count(store->registry, REGISTRY_PUBLISHED));
    return store;
}

void
store_close(struct store *store)
{
    QO_PRE(atomic_load(&store->views_open) == 0);
    QO_PRE(staged_count(&store->staged) == 0 && store->event_run_count == 0 &&
           store->listed.size == 0 && deadlines_empty(store)); /* Nothing put and not committed. */
    sweep_close(store);
    deadlines_close(store);
    rocksdb_writebatch_destroy(store->batch);
    rocksdb_writeoptions_destroy(store->write);
    rocksdb_readoptions_destroy(store->read_newest);
    /* Flushes all families at once, since there is data that no log of RocksDB's holds. */
    rocks_close(&store->rocks);
    rocks_options_free(&store->options);
    registry_close(store->registry);
    buf_free(&store->scratch);
    staged_free(&store->staged);
    buf_free(&store->event_run);
    buf_free(&store->listed);
    buf_free(&store->listed_ids);
    buf_free(&store->list_run);
    mem_free(store->directory);
    mem_free(store);
}

struct registry *
store_registry(struct store *store)
{
    return store->registry;
}

uint32_t
store_shards(const struct store *store)
{
    return store->shards;
}

const struct applied_point *
store_applied(const struct store *store)
{
    return &store->applied;
}

struct store_counters
store_counters(const struct store *store)
{
    return store->counters;
}

/* -- Writing --------------------------------------------------------------------------------- */

static void
put(struct store *store, enum family family, const struct key *key, struct bytes value)
{
    QO_PRE(thread_is(THREAD_STATE));
    staged_put(&store->staged, family, key, value);
    store->counters.puts++;
    store->counters.bytes += key->size + value.size;
}

static void
delete_row(struct store *store, const struct key *key)
{
    QO_PRE(thread_is(THREAD_STATE));
    staged_delete(&store->staged, FAMILY_INDEX, key);
    store->counters.deletes++;
    store->counters.bytes += key->size;
}

/* An id behind its format byte, as the value of a row. */
struct id_value {
    uint8_t bytes[1 + QO_ID_MAX];
    size_t size;
};

static struct id_value
id_value(struct bytes id)
{
    QO_PRE(id.size >= 1 && id.size <= QO_ID_MAX);
    struct id_value value = {.size = 1 + id.size};
    value.bytes[0] = KEY_FORMAT;
    memcpy(value.bytes + 1, id.data, id.size);
    return value;
}

void
store_put_order(struct store *store, struct bytes id, uint32_t shard, struct bytes record)
{
    QO_PRE(shard < store->shards);
    struct key key = key_order(shard, id);
    put(store, FAMILY_ORDERS, &key, record);
}

static void
close_event_run(struct store *store)
{
    if (store->event_run_count > 0) {
        struct key key = key_event(store->event_run_seq);
        put(store, FAMILY_EVENTS, &key, buf_bytes(&store->event_run));
        store->event_run_count = 0;
    }
}

void
store_put_event(struct store *store, uint64_t seq, struct bytes event)
{
    QO_PRE(thread_is(THREAD_STATE));
    QO_PRE(seq > store->applied.seq);
    QO_PRE(store->event_run_count == 0 || seq == store->event_run_seq + store->event_run_count);
    if (store->event_run_count > 0 && store->event_run.size + event.size > RUN_BYTES) {
        close_event_run(store);
    }
    if (store->event_run_count == 0) {
        run_begin(&store->event_run);
        store->event_run_seq = seq;
    }
    run_add_event(&store->event_run, event);
    store->event_run_count++;
}

void
store_put_list(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq,
               struct bytes id)
{
    QO_PRE(entered_seq > store->applied.seq);
    QO_PRE(id.size >= 1 && id.size <= QO_ID_MAX);
    struct listed_row row = {.machine = machine,
                             .state = state,
                             .id_at = (uint32_t)store->listed_ids.size,
                             .id_size = (uint32_t)id.size,
                             .entered_seq = entered_seq};
    buf_append(&store->listed_ids, id.data, id.size);
    buf_append(&store->listed, &row, sizeof row);
    sweep_put(store, machine, state, entered_seq);
}

void
store_list_left(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq)
{
    QO_PRE(thread_is(THREAD_STATE));
    sweep_leave(store, machine, state, entered_seq);
}

void
store_put_unique(struct store *store, uint16_t machine, uint16_t attribute, struct bytes value,
                 struct bytes id)
{
    struct key key = key_unique(machine, attribute, value);
    struct id_value row = id_value(id);
    put(store, FAMILY_INDEX, &key, bytes_make(row.bytes, row.size));
}

void
store_delete_unique(struct store *store, uint16_t machine, uint16_t attribute, struct bytes value)
{
    struct key key = key_unique(machine, attribute, value);
    delete_row(store, &key);
}

void
store_put_spilled(struct store *store, struct bytes id, uint32_t shard, uint64_t fingerprint,
                  const uint64_t *versions, uint32_t count)
{
    QO_PRE(count > 0);
    struct key key = key_spilled(shard, id, fingerprint);
    buf_clear(&store->scratch);
    buf_put_u8(&store->scratch, KEY_FORMAT);
    for (uint32_t i = 0; i < count; i++) {
        QO_PRE(i == 0 || versions[i] > versions[i - 1]);
        buf_put_le64(&store->scratch, versions[i]);
    }
    put(store, FAMILY_INDEX, &key, buf_bytes(&store->scratch));
}

void
store_put_page(struct store *store, struct bytes id, uint32_t shard, uint8_t place,
               struct bytes page)
{
    struct key key = key_page(shard, id, place);
    buf_clear(&store->scratch);
    buf_put_u8(&store->scratch, KEY_FORMAT);
    buf_append(&store->scratch, page.data, page.size);
    put(store, FAMILY_INDEX, &key, buf_bytes(&store->scratch));
}

void
store_put_definition(struct store *store, const struct definition *definition)
{
    struct key key = key_definition(definition->number);
    buf_clear(&store->scratch);
    buf_put_u8(&store->scratch, KEY_FORMAT);
    buf_put_le64(&store->scratch, (uint64_t)definition->at);
    buf_put_bytes32(&store->scratch, machine_compiled(definition->machine));
    buf_put_bytes32(&store->scratch, definition->source);
    put(store, FAMILY_META, &key, buf_bytes(&store->scratch));
    store->definitions_put = true;
}

/* meta 'A': format index:le64 term:le64 entry_index:le64 seq:le64 time:le64 epoch:le32 digest:16
 * shards:16 each. */
static void
put_applied(struct store *store, const struct applied_point *applied)
{
    struct key key = key_applied();
    struct buf *value = &store->scratch;
    buf_clear(value);
    buf_put_u8(value, KEY_FORMAT);
    buf_put_le64(value, applied->index);
    buf_put_le64(value, applied->term);
    buf_put_le64(value, applied->entry_index);
    buf_put_le64(value, applied->seq);
    buf_put_le64(value, (uint64_t)applied->time);
    buf_put_le32(value, applied->epoch);
    buf_append(value, &applied->digest, sizeof applied->digest);
    buf_append(value, applied->shards, store->shards * sizeof applied->shards[0]);
    put(store, FAMILY_META, &key, buf_bytes(value));
}

static void
copy_applied(struct applied_point *to, const struct applied_point *from, uint32_t shards)
{
    memcpy(to, from, offsetof(struct applied_point, shards) + shards * sizeof from->shards[0]);
}

static int
compare_listed(const void *left, const void *right)
{
    const struct listed_row *a = left, *b = right;
    if (a->machine != b->machine) {
        return a->machine < b->machine ? -1 : 1;
    }
    if (a->state != b->state) {
        return a->state < b->state ? -1 : 1;
    }
    return a->entered_seq < b->entered_seq ? -1 : a->entered_seq > b->entered_seq;
}

static void
close_list_run(struct store *store, const struct listed_row *first)
{
    struct key key = key_list(first->machine, first->state, first->entered_seq);
    put(store, FAMILY_INDEX, &key, buf_bytes(&store->list_run));
}

/* Puts the list rows of the batch as runs. */
static void
put_listed(struct store *store)
{
    size_t count = store->listed.size / sizeof(struct listed_row);
    union {
        uint8_t *bytes;
        struct listed_row *rows;
    } listed = {.bytes = store->listed.data};
    const struct listed_row *first = NULL;
    if (count > 1) {
        qsort(listed.rows, count, sizeof *listed.rows, compare_listed);
    }
    for (size_t i = 0; i < count; i++) {
        const struct listed_row *row = &listed.rows[i];
        bool joins =
            first != NULL && first->machine == row->machine && first->state == row->state &&
            first->entered_seq >> SWEEP_BLOCK_SHIFT == row->entered_seq >> SWEEP_BLOCK_SHIFT &&
            store->list_run.size + row->id_size < RUN_BYTES;
        if (!joins) {
            if (first != NULL) {
                close_list_run(store, first);
            }
            first = row;
            run_begin(&store->list_run);
        }
        run_add_listed(&store->list_run, (uint32_t)(row->entered_seq - first->entered_seq),
                       bytes_make(store->listed_ids.data + row->id_at, row->id_size));
    }
    if (first != NULL) {
        close_list_run(store, first);
    }
    buf_clear(&store->listed);
    buf_clear(&store->listed_ids);
}

bool
store_stalls(struct store *store)
{
    static const char *const properties[] = {"rocksdb.is-write-stopped",
                                             "rocksdb.actual-delayed-write-rate"};
    bool stalls = false;
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        uint64_t value = 0;
        int failed = rocksdb_property_int(store->rocks.db, properties[i], &value);
        stalls = stalls || failed != 0 || value != 0;
    }
    return stalls;
}

void
store_commit(struct store *store, const struct applied_point *applied)
{
    QO_PRE(thread_is(THREAD_STATE));
    QO_PRE(applied->index > store->applied.index);
    QO_PRE(applied->seq >= store->applied.seq && applied->time >= store->applied.time);
    QO_PRE(store->event_run_count == 0 ||
           store->event_run_seq + store->event_run_count - 1 == applied->seq);
    close_event_run(store);
    put_listed(store);
    deadlines_commit(store, applied);
    put_applied(store, applied);
    if (store->definitions_put) {
        /* Before the write: a view that shows an order finds its definition. The log has accepted
         * the definition, so nothing is shown too early. */
        registry_publish(store->registry);
        store->definitions_put = false;
    }
    staged_write(&store->staged, store->batch, store->rocks.families);
    char *error = NULL;
    rocksdb_write(store->rocks.db, store->write, store->batch, &error);
    rocks_check(error, "committing an entry");
    rocksdb_writebatch_clear(store->batch);
    store->counters.commits++;
    copy_applied(&store->applied, applied, store->shards);
    sweep_committed(store);
}

/* -- Reading the newest committed state ------------------------------------------------------ */

bool
store_get_order(struct store *store, struct bytes id, uint32_t shard, struct buf *out)
{
    struct key key = key_order(shard, id);
    return rocks_get(&store->rocks, store->read_newest, FAMILY_ORDERS, &key, out);
}

bool
store_get_event(struct store *store, uint64_t seq, struct buf *out)
{
    /* Seldom: only a request id that seems to be known makes the state thread read an event. */
    rocksdb_iterator_t *events = rocksdb_create_iterator_cf(store->rocks.db, store->read_newest,
                                                            store->rocks.families[FAMILY_EVENTS]);
    bool found = seq > 0 && rocks_find_event(events, seq, out);
    rocksdb_iter_destroy(events);
    return found;
}

bool
store_get_unique(struct store *store, uint16_t machine, uint16_t attribute, struct bytes value,
                 struct buf *id_out)
{
    struct key key = key_unique(machine, attribute, value);
    return rocks_get_formatted(&store->rocks, store->read_newest, FAMILY_INDEX, &key, id_out);
}

uint32_t
store_get_spilled(struct store *store, struct bytes id, uint32_t shard, uint64_t fingerprint,
                  uint64_t *versions_out, uint32_t max)
{
    struct key key = key_spilled(shard, id, fingerprint);
    struct buf *value = &store->scratch;
    buf_clear(value);
    if (!rocks_get_formatted(&store->rocks, store->read_newest, FAMILY_INDEX, &key, value)) {
        return 0;
    }
    if (value->size % 8 != 0) {
        qo_fatal(FATAL_CORRUPT, "store: spilled request ids of '%.*s' do not decode",
                 BYTES_FORMAT(id));
    }
    uint32_t count = (uint32_t)(value->size / 8);
    for (uint32_t i = 0; i < count && i < max; i++) {
        versions_out[i] = get_le64(value->data + (size_t)8 * i);
    }
    return count < max ? count : max;
}

bool
store_get_page(struct store *store, struct bytes id, uint32_t shard, uint8_t place, struct buf *out)
{
    struct key key = key_page(shard, id, place);
    return rocks_get_formatted(&store->rocks, store->read_newest, FAMILY_INDEX, &key, out);
}

enum { GET_ORDERS_AT_ONCE = 64 };

static void
get_orders(struct store *store, const struct store_order_key *keys, uint32_t count,
           struct arena *arena, struct bytes *records_out)
{
    struct key rows[GET_ORDERS_AT_ONCE];
    const char *data[GET_ORDERS_AT_ONCE] = {NULL};
    size_t sizes[GET_ORDERS_AT_ONCE] = {0};
    rocksdb_pinnableslice_t *values[GET_ORDERS_AT_ONCE];
    char *errors[GET_ORDERS_AT_ONCE];
    QO_PRE(count >= 1 && count <= GET_ORDERS_AT_ONCE);
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = key_order(keys[i].shard, keys[i].id);
        data[i] = (const char *)rows[i].bytes;
        sizes[i] = rows[i].size;
    }
    rocksdb_batched_multi_get_cf(store->rocks.db, store->read_newest,
                                 store->rocks.families[FAMILY_ORDERS], count, data, sizes, values,
                                 errors, false);
    for (uint32_t i = 0; i < count; i++) {
        rocks_check(errors[i], "reading orders");
        records_out[i] = BYTES_NONE;
        if (values[i] != NULL) {
            size_t size;
            const char *value = rocksdb_pinnableslice_value(values[i], &size);
            records_out[i] = arena_copy(arena, bytes_make(value, size));
            rocksdb_pinnableslice_destroy(values[i]);
        }
    }
}

void
store_get_orders(struct store *store, const struct store_order_key *keys, uint32_t count,
                 struct arena *arena, struct bytes *records_out)
{
    for (uint32_t from = 0; from < count; from += GET_ORDERS_AT_ONCE) {
        uint32_t some = count - from < GET_ORDERS_AT_ONCE ? count - from : GET_ORDERS_AT_ONCE;
        get_orders(store, keys + from, some, arena, records_out + from);
    }
}

/* How often RocksDB has written a family's level 0, which flushes do. Its C interface tells that in
 * one text only, a table: the column Comp(cnt) of the row L0. 0 if the table looks otherwise. */
static uint64_t
count_flushes(const struct store *store, enum family family)
{
    uint64_t count = 0;
    uint32_t column = 0;
    char *rest = NULL;
    char *table = rocksdb_property_value_cf(store->rocks.db, store->rocks.families[family],
                                            "rocksdb.cfstats-no-file-histogram");
    if (table == NULL) {
        return 0;
    }
    char *row = strstr(table, "\n  L0 ");
    char *header = strstr(table, "\nLevel ");
    if (row != NULL && header != NULL) {
        bool named = false;
        char *end = strchr(header + 1, '\n');
        *(end != NULL ? end : header) = '\0';
        for (char *name = strtok_r(header + 1, " ", &rest); name != NULL && !named;
             name = strtok_r(NULL, " ", &rest)) {
            named = strcmp(name, "Comp(cnt)") == 0;
            column += !named;
        }
        column++; /* A size is two words in the row. */
        char *word = named ? strtok_r(row + 1, " ", &rest) : NULL;
        for (; word != NULL && column > 0; column--) {
            word = strtok_r(NULL, " ", &rest);
        }
        count = word != NULL ? strtoull(word, NULL, 10) : 0;
    }
    rocksdb_free(table);
    return count;
}

/* -- Space ----------------------------------------------------------------------------------- */

void
store_sizes(struct store *store, void (*each)(void *context, const char *name, uint64_t bytes),
            void *context)
{
    static const struct {
        const char *name, *property;
        enum family from, to; /* Summed over these families. */
    } sizes[] = {
        {"sst", "rocksdb.total-sst-files-size", FAMILY_META, FAMILY_INDEX},
        {"sst_orders", "rocksdb.total-sst-files-size", FAMILY_ORDERS, FAMILY_ORDERS},
        {"sst_events", "rocksdb.total-sst-files-size", FAMILY_EVENTS, FAMILY_EVENTS},
        {"sst_index", "rocksdb.total-sst-files-size", FAMILY_INDEX, FAMILY_INDEX},
        {"memtables", "rocksdb.cur-size-all-mem-tables", FAMILY_META, FAMILY_INDEX},
        {"compaction_pending", "rocksdb.estimate-pending-compaction-bytes", FAMILY_META,
         FAMILY_INDEX},
        {"orders_rows", "rocksdb.estimate-num-keys", FAMILY_ORDERS, FAMILY_ORDERS},
        {"index_rows", "rocksdb.estimate-num-keys", FAMILY_INDEX, FAMILY_INDEX},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t sum = 0;
        for (uint32_t family = sizes[i].from; family <= (uint32_t)sizes[i].to; family++) {
            uint64_t value = 0;
            if (rocksdb_property_int_cf(store->rocks.db, store->rocks.families[family],
                                        sizes[i].property, &value) == 0) {
                sum += value;
            }
        }
        each(context, sizes[i].name, sum);
    }
    each(context, "block_cache", rocksdb_cache_get_usage(store->options.cache));
    each(context, "sweep_backlog", sweep_backlog_count(store));
    each(context, "flushes", count_flushes(store, FAMILY_ORDERS));
    each(context, "checkpoints", atomic_load(&store->checkpoints));
}
