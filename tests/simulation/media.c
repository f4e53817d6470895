/* See media.h. Thread: the run's. */
#include "media.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "events.h"
#include "machine/machine.h"
#include "member.h"
#include "registry_private.h"
#include "store/store.h"
#include "story.h"

enum { BUCKETS = 1 << 12 };

struct row {
    struct row *next; /* In its bucket. */
    struct bytes key;
    struct bytes value; /* data NULL: there is no such row. */
};

/* What one commit changed, to be taken back if it was not flushed. */
struct change {
    struct row *row;
    struct bytes before;
};

struct commit {
    struct change *changes;
    uint32_t changes_count;
    struct applied_point *before;
    size_t events_before;
};

struct staged {
    struct bytes key, value;
};

struct due {
    int64_t deadline;
    struct row *order;
};

struct media {
    struct row *buckets[BUCKETS];
    struct bytes *events; /* [seq - 1] */
    size_t events_count, events_capacity;
    struct applied_point applied;
    struct commit *commits; /* Not flushed. */
    size_t commits_count, commits_capacity;
    uint64_t commits_flushed; /* Ever. */
    uint64_t flush_until;     /* The flush under way covers so many of all commits; 0: none. */
};

struct store {
    unsigned id;
    uint32_t shards;
    struct media *media;
    struct registry *registry;
    bool definitions_put;
    struct staged *staged;
    size_t staged_count, staged_capacity;
    size_t events_committed; /* Events behind these are of the open batch. */
    struct due *dues;        /* Of orders that had a deadline when this was put. */
    size_t dues_count, dues_capacity;
};

struct store_view {
    struct store *store;
    uint64_t index; /* Applied; no commit may come while this is open. */
};

struct store_events {
    struct store_view *view;
    uint64_t next;
};

static struct media medias[MEMBERS_MAX + 1];
static uint32_t flush_permille = 20;

const char *
media_directory(unsigned id)
{
    static const char *const names[MEMBERS_MAX + 1] = {"", "1", "2", "3", "4", "5"};
    return names[id];
}

void
media_set_flushes(uint32_t permille)
{
    flush_permille = permille;
}

/* -- Rows -------------------------------------------------------------------------------------- */

static struct bytes
copy(struct bytes bytes)
{
    uint8_t *data = mem_alloc(bytes.size + 1);
    memcpy(data, bytes.data, bytes.size);
    return bytes_make(data, bytes.size);
}

static void
drop(struct bytes bytes)
{
    mem_free((void *)(uintptr_t)bytes.data);
}

static struct row *
row_find(struct media *media, struct bytes key)
{
    struct row *row = media->buckets[hash_xxh64(key) % BUCKETS];
    while (row != NULL && !bytes_equal(row->key, key)) {
        row = row->next;
    }
    return row;
}

static struct row *
row_make(struct media *media, struct bytes key)
{
    struct row *row = row_find(media, key);
    if (row == NULL) {
        struct row **bucket = &media->buckets[hash_xxh64(key) % BUCKETS];
        row = mem_zalloc(sizeof *row);
        row->key = copy(key);
        row->next = *bucket;
        *bucket = row;
    }
    return row;
}

/* A key: its kind, numbers, and what may have any length last. Valid until the next call. */
static struct bytes
key_of(char kind, uint64_t a, uint64_t b, struct bytes rest)
{
    static struct buf key;
    buf_clear(&key);
    buf_put_u8(&key, (uint8_t)kind);
    buf_put_le64(&key, a);
    buf_put_le64(&key, b);
    buf_append(&key, rest.data, rest.size);
    return buf_bytes(&key);
}

static struct bytes
key_order(struct bytes id)
{
    return key_of('O', 0, 0, id);
}

static bool
get(struct store *store, struct bytes key, struct buf *out)
{
    const struct row *row = row_find(store->media, key);
    if (row == NULL || row->value.data == NULL) {
        return false;
    }
    buf_append(out, row->value.data, row->value.size);
    return true;
}

static void
stage(struct store *store, struct bytes key, struct bytes value)
{
    if (store->staged_count == store->staged_capacity) {
        store->staged_capacity = store->staged_capacity == 0 ? 64 : 2 * store->staged_capacity;
        store->staged = mem_realloc(store->staged, store->staged_capacity * sizeof *store->staged);
    }
    struct bytes kept = value.data == NULL ? BYTES_NONE : copy(value);
    store->staged[store->staged_count++] = (struct staged){copy(key), kept};
}

/* -- Flushes and crashes ----------------------------------------------------------------------- */

static struct applied_point *
applied_copy(const struct applied_point *applied, uint32_t shards)
{
    size_t size = offsetof(struct applied_point, shards) + shards * sizeof applied->shards[0];
    return memcpy(mem_alloc(size), applied, size);
}

/* The oldest `count` commits that could be forgotten no longer can. */
static void
keep(struct media *media, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (uint32_t n = 0; n < media->commits[i].changes_count; n++) {
            drop(media->commits[i].changes[n].before);
        }
        mem_free(media->commits[i].changes);
        mem_free(media->commits[i].before);
    }
    media->commits_count -= count;
    media->commits_flushed += count;
    memmove(media->commits, media->commits + count, media->commits_count * sizeof *media->commits);
}

static void
flushed(void *context)
{
    struct media *media = context;
    if (media->flush_until > media->commits_flushed) {
        keep(media, (size_t)(media->flush_until - media->commits_flushed));
    }
    media->flush_until = 0;
}

void
media_crash(unsigned id)
{
    struct media *media = &medias[id];
    uint64_t index = media->applied.index;
    while (media->commits_count > 0) {
        struct commit *commit = &media->commits[--media->commits_count];
        for (uint32_t n = commit->changes_count; n > 0; n--) {
            struct change *change = &commit->changes[n - 1];
            drop(change->row->value);
            change->row->value = change->before;
        }
        while (media->events_count > commit->events_before) {
            drop(media->events[--media->events_count]);
        }
        size_t size = offsetof(struct applied_point, shards);
        memcpy(&media->applied, commit->before,
               size + QO_SHARDS_DEFAULT * sizeof media->applied.shards[0]);
        mem_free(commit->changes);
        mem_free(commit->before);
    }
    media->flush_until = 0;
    tell(id, "its store goes back from entry %llu to %llu", (unsigned long long)index,
         (unsigned long long)media->applied.index);
}

void
store_checkpoint(struct store *store, struct applied_point *applied_out)
{
    keep(store->media, store->media->commits_count);
    *applied_out = store->media->applied;
}

/* -- Opening ----------------------------------------------------------------------------------- */

static void
due_add(struct store *store, int64_t deadline, struct row *order)
{
    if (store->dues_count == store->dues_capacity) {
        store->dues_capacity = store->dues_capacity == 0 ? 64 : 2 * store->dues_capacity;
        store->dues = mem_realloc(store->dues, store->dues_capacity * sizeof *store->dues);
    }
    store->dues[store->dues_count++] = (struct due){deadline, order};
}

static void
load_dues(struct store *store)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct row *row = store->media->buckets[i]; row != NULL; row = row->next) {
            struct order_record record;
            if (row->key.data[0] == 'O' && row->value.data != NULL) {
                bool read = order_record_decode(row->value, &record);
                QO_ASSERT(read);
                if (record.deadline != 0) {
                    due_add(store, record.deadline, row);
                }
            }
        }
    }
}

static void
load_registry(struct store *store)
{
    struct buf value = {0};
    uint32_t number = 0;
    while (get(store, key_of('M', number, 0, BYTES_NONE), &value)) {
        struct cursor cursor = cursor_of(buf_bytes(&value));
        int64_t at = (int64_t)cursor_le64(&cursor);
        struct bytes compiled = cursor_bytes32(&cursor);
        struct bytes source = cursor_bytes32(&cursor);
        QO_ASSERT(cursor_done(&cursor));
        (void)registry_add(store->registry, compiled, source, at);
        buf_clear(&value);
        number++;
    }
    registry_publish(store->registry);
    buf_free(&value);
}

struct store *
store_open(const struct store_options *options)
{
    struct store *store = mem_zalloc(sizeof *store);
    QO_PRE(options->shards == QO_SHARDS_DEFAULT);
    store->id = (unsigned)(options->directory[0] - '0');
    store->shards = options->shards;
    store->media = &medias[store->id];
    store->events_committed = store->media->events_count;
    store->registry = registry_open();
    load_registry(store);
    load_dues(store);
    return store;
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
    return &store->media->applied;
}

/* -- Writing ----------------------------------------------------------------------------------- */

void
store_put_order(struct store *store, struct bytes id, uint32_t shard, struct bytes record)
{
    QO_PRE(shard == hash_shard(id, store->shards));
    stage(store, key_order(id), record);
}

void
store_put_event(struct store *store, uint64_t seq, struct bytes event)
{
    struct media *media = store->media;
    QO_PRE(seq == media->events_count + 1);
    if (media->events_count == media->events_capacity) {
        media->events_capacity = media->events_capacity == 0 ? 1024 : 2 * media->events_capacity;
        media->events = mem_realloc(media->events, media->events_capacity * sizeof *media->events);
    }
    media->events[media->events_count++] = copy(event);
}

void
store_put_list(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq,
               struct bytes id)
{
    (void)machine;
    (void)state;
    (void)id;
    QO_PRE(entered_seq > store->media->applied.seq);
}

void
store_list_left(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq)
{
    (void)store;
    (void)machine;
    (void)state;
    (void)entered_seq;
}

void
store_put_deadline(struct store *store, int64_t deadline, struct bytes id, uint32_t shard,
                   uint64_t entered_version)
{
    (void)shard;
    (void)entered_version;
    due_add(store, deadline, row_make(store->media, key_order(id)));
}

void
store_deadline_left(struct store *store, int64_t deadline, int64_t given_at)
{
    (void)store;
    (void)deadline;
    (void)given_at;
}

void
store_put_unique(struct store *store, uint16_t machine, uint16_t attribute, struct bytes value,
                 struct bytes id)
{
    stage(store, key_of('U', machine, attribute, value), id);
}

void
store_delete_unique(struct store *store, uint16_t machine, uint16_t attribute, struct bytes value)
{
    stage(store, key_of('U', machine, attribute, value), BYTES_NONE);
}

void
store_put_spilled(struct store *store, struct bytes id, uint32_t shard, uint64_t fingerprint,
                  const uint64_t *seqs, uint32_t count)
{
    (void)shard;
    stage(store, key_of('R', fingerprint, 0, id), bytes_make(seqs, count * sizeof *seqs));
}

void
store_put_definition(struct store *store, const struct definition *definition)
{
    struct buf value = {0};
    buf_put_le64(&value, (uint64_t)definition->at);
    buf_put_bytes32(&value, machine_compiled(definition->machine));
    buf_put_bytes32(&value, definition->source);
    stage(store, key_of('M', definition->number, 0, BYTES_NONE), buf_bytes(&value));
    store->definitions_put = true;
    buf_free(&value);
}

void
store_commit(struct store *store, const struct applied_point *applied)
{
    struct media *media = store->media;
    QO_PRE(applied->index > media->applied.index && applied->seq == media->events_count);
    if (media->commits_count == media->commits_capacity) {
        media->commits_capacity = media->commits_capacity == 0 ? 256 : 2 * media->commits_capacity;
        media->commits =
            mem_realloc(media->commits, media->commits_capacity * sizeof *media->commits);
    }
    struct commit *commit = &media->commits[media->commits_count++];
    *commit = (struct commit){
        .changes = mem_alloc((store->staged_count + 1) * sizeof *commit->changes),
        .changes_count = (uint32_t)store->staged_count,
        .before = applied_copy(&media->applied, store->shards),
        .events_before = store->events_committed,
    };
    for (size_t i = 0; i < store->staged_count; i++) {
        struct row *row = row_make(media, store->staged[i].key);
        commit->changes[i] = (struct change){row, row->value};
        row->value = store->staged[i].value;
        drop(store->staged[i].key);
    }
    store->staged_count = 0;
    store->events_committed = media->events_count;
    memcpy(&media->applied, applied,
           offsetof(struct applied_point, shards) + store->shards * sizeof applied->shards[0]);
    if (store->definitions_put) {
        registry_publish(store->registry);
        store->definitions_put = false;
    }
    if (media->flush_until == 0 && chance_permille(flush_permille)) {
        media->flush_until = media->commits_flushed + media->commits_count;
        event_plan(chance_between(1000, 2000000), store->id, flushed, media);
    }
}

/* -- Reading ----------------------------------------------------------------------------------- */

bool
store_get_order(struct store *store, struct bytes id, uint32_t shard, struct buf *out)
{
    (void)shard;
    return get(store, key_order(id), out);
}

bool
store_get_event(struct store *store, uint64_t seq, struct buf *out)
{
    if (seq == 0 || seq > store->events_committed) {
        return false;
    }
    buf_append(out, store->media->events[seq - 1].data, store->media->events[seq - 1].size);
    return true;
}

bool
store_get_unique(struct store *store, uint16_t machine, uint16_t attribute, struct bytes value,
                 struct buf *id_out)
{
    return get(store, key_of('U', machine, attribute, value), id_out);
}

uint32_t
store_get_spilled(struct store *store, struct bytes id, uint32_t shard, uint64_t fingerprint,
                  uint64_t *seqs_out, uint32_t max)
{
    const struct row *row = row_find(store->media, key_of('R', fingerprint, 0, id));
    (void)shard;
    if (row == NULL || row->value.data == NULL) {
        return 0;
    }
    uint32_t count = (uint32_t)(row->value.size / sizeof *seqs_out);
    count = count < max ? count : max;
    memcpy(seqs_out, row->value.data, count * sizeof *seqs_out);
    return count;
}

void
store_get_orders(struct store *store, const struct store_order_key *keys, uint32_t count,
                 struct arena *arena, struct bytes *records_out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct row *row = row_find(store->media, key_order(keys[i].id));
        records_out[i] = row == NULL ? BYTES_NONE : arena_copy(arena, row->value);
    }
}

static int
compare_dues(const void *left, const void *right)
{
    const struct store_deadline *a = left, *b = right;
    if (a->deadline != b->deadline) {
        return a->deadline < b->deadline ? -1 : 1;
    }
    return bytes_compare(a->id, b->id);
}

uint32_t
store_scan_deadlines(struct store *store, struct deadline_place from, int64_t to,
                     struct arena *arena, struct store_deadline *rows_out, uint32_t max,
                     struct deadline_place *next_out)
{
    uint32_t count = 0;
    size_t kept = 0;
    for (size_t i = 0; i < store->dues_count; i++) {
        struct due due = store->dues[i];
        struct order_record record;
        if (due.order->value.data == NULL || !order_record_decode(due.order->value, &record) ||
            record.deadline != due.deadline) {
            continue; /* Its order has left; or it was put twice. */
        }
        store->dues[kept++] = due;
        if (due.deadline >= from.deadline && due.deadline <= to && count < max) {
            struct bytes id = bytes_make(due.order->key.data + 17, due.order->key.size - 17);
            rows_out[count++] =
                (struct store_deadline){due.deadline, arena_copy(arena, id),
                                        hash_shard(id, store->shards), record.entered_version};
        }
    }
    store->dues_count = kept;
    if (count > 1) {
        qsort(rows_out, count, sizeof *rows_out, compare_dues);
    }
    *next_out = from; /* Always right: what lies below was asked for already. */
    return count;
}

/* -- Views ------------------------------------------------------------------------------------- */

struct store_view *
store_view_begin(struct store *store)
{
    struct store_view *view = mem_alloc(sizeof *view);
    *view = (struct store_view){store, store->media->applied.index};
    return view;
}

void
store_view_end(struct store_view *view)
{
    QO_PRE(view->index == view->store->media->applied.index);
    mem_free(view);
}

const struct applied_point *
store_view_applied(const struct store_view *view)
{
    return &view->store->media->applied;
}

struct store *
store_view_store(const struct store_view *view)
{
    return view->store;
}

bool
store_view_get_order(struct store_view *view, struct bytes id, struct buf *out)
{
    return get(view->store, key_order(id), out);
}

bool
store_view_get_event(struct store_view *view, uint64_t seq, struct buf *out)
{
    return store_get_event(view->store, seq, out);
}

struct store_events *
store_events_begin(struct store_view *view, uint64_t from)
{
    struct store_events *events = mem_alloc(sizeof *events);
    *events = (struct store_events){view, from == 0 ? 1 : from};
    return events;
}

bool
store_events_next(struct store_events *events, uint64_t *seq_out, struct bytes *event_out)
{
    const struct store *store = events->view->store;
    if (events->next > store->events_committed) {
        return false;
    }
    *seq_out = events->next;
    *event_out = store->media->events[events->next - 1];
    events->next++;
    return true;
}

void
store_events_end(struct store_events *events)
{
    mem_free(events);
}
