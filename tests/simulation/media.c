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

/* What a row held from one commit on. */
struct version {
    struct version *older;
    uint64_t index;     /* Of that commit. */
    struct bytes value; /* data NULL: there is no such row. */
};

struct row {
    struct row *next; /* In its bucket. */
    struct bytes key;
    struct version *newest; /* NULL: there never was such a row. */
};

/* A commit that was not flushed, so that it can be taken back. */
struct commit {
    uint64_t index;
    struct row **rows; /* Each got a version by it. */
    uint32_t rows_count;
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
    uint64_t flushed_index;
    struct store_view *views; /* Open ones. */
    uint32_t shards;
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
    struct applied_point *applied;
    size_t events_count;
    struct store_view *next; /* Of those open. */
};

struct store_events {
    struct store_view *view;
    uint64_t next;
};

struct listed {
    uint64_t entered_seq;
    struct bytes id, record;
};

struct store_list {
    struct listed *rows;
    size_t count, next;
    uint64_t position;
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

/* What the row held as of the entry `index`; data NULL: there was none. */
static struct bytes
row_at(const struct row *row, uint64_t index)
{
    const struct version *version = row == NULL ? NULL : row->newest;
    while (version != NULL && version->index > index) {
        version = version->older;
    }
    return version == NULL ? BYTES_NONE : version->value;
}

static struct bytes
row_now(const struct row *row)
{
    return row_at(row, UINT64_MAX);
}

static bool
get_at(const struct store *store, struct bytes key, uint64_t index, struct buf *out)
{
    struct bytes value = row_at(row_find(store->media, key), index);
    buf_append(out, value.data, value.size);
    return value.data != NULL;
}

static bool
get(const struct store *store, struct bytes key, struct buf *out)
{
    return get_at(store, key, UINT64_MAX, out);
}

static void
row_undo(struct row *row)
{
    struct version *newest = row->newest;
    row->newest = newest->older;
    drop(newest->value);
    mem_free(newest);
}

/* Versions that neither a crash nor an open view can show any more. */
static void
row_prune(struct row *row, uint64_t horizon)
{
    struct version *last = row->newest;
    while (last != NULL && last->index > horizon) {
        last = last->older;
    }
    while (last != NULL && last->older != NULL) {
        struct version *gone = last->older;
        last->older = gone->older;
        drop(gone->value);
        mem_free(gone);
    }
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

static size_t
applied_size(uint32_t shards)
{
    return offsetof(struct applied_point, shards) + shards * sizeof(struct digest);
}

static struct applied_point *
applied_copy(const struct applied_point *applied, uint32_t shards)
{
    return memcpy(mem_alloc(applied_size(shards)), applied, applied_size(shards));
}

/* The oldest `count` commits that could be forgotten no longer can. */
static void
keep(struct media *media, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        media->flushed_index = media->commits[i].index;
        mem_free(media->commits[i].rows);
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
        for (uint32_t n = commit->rows_count; n > 0; n--) {
            row_undo(commit->rows[n - 1]);
        }
        while (media->events_count > commit->events_before) {
            drop(media->events[--media->events_count]);
        }
        memcpy(&media->applied, commit->before, applied_size(media->shards));
        mem_free(commit->rows);
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
            if (row->key.data[0] == 'O' && row_now(row).data != NULL) {
                bool read = order_record_decode(row_now(row), &record);
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
    store->id = (unsigned)(options->directory[0] - '0');
    store->shards = options->shards;
    store->media = &medias[store->id];
    store->media->shards = options->shards;
    store->media->views = NULL; /* Of a life that has ended. */
    store->events_committed = store->media->events_count;
    store->registry = registry_open();
    load_registry(store);
    load_dues(store);
    return store;
}

void
store_close(struct store *store)
{
    QO_PRE(store->staged_count == 0 && store->media->views == NULL);
    keep(store->media, store->media->commits_count);
    registry_close(store->registry);
    mem_free(store->staged);
    mem_free(store->dues);
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
store_put_page(struct store *store, struct bytes id, uint32_t shard, uint8_t place,
               struct bytes page)
{
    (void)shard;
    stage(store, key_of('P', place, 0, id), page);
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
    uint64_t horizon = media->flushed_index;
    for (const struct store_view *view = media->views; view != NULL; view = view->next) {
        horizon = view->applied->index < horizon ? view->applied->index : horizon;
    }
    struct commit *commit = &media->commits[media->commits_count++];
    *commit = (struct commit){
        .index = applied->index,
        .rows = mem_alloc((store->staged_count + 1) * sizeof(struct row *)),
        .rows_count = (uint32_t)store->staged_count,
        .before = applied_copy(&media->applied, store->shards),
        .events_before = store->events_committed,
    };
    for (size_t i = 0; i < store->staged_count; i++) {
        struct row *row = row_make(media, store->staged[i].key);
        struct version *version = mem_alloc(sizeof *version);
        *version = (struct version){row->newest, applied->index, store->staged[i].value};
        row->newest = version;
        row_prune(row, horizon);
        commit->rows[i] = row;
        drop(store->staged[i].key);
    }
    store->staged_count = 0;
    store->events_committed = media->events_count;
    memcpy(&media->applied, applied, applied_size(store->shards));
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
    struct bytes value = row_now(row_find(store->media, key_of('R', fingerprint, 0, id)));
    (void)shard;
    uint32_t count = (uint32_t)(value.size / sizeof *seqs_out);
    count = count < max ? count : max;
    if (count > 0) {
        memcpy(seqs_out, value.data, count * sizeof *seqs_out);
    }
    return count;
}

bool
store_get_page(struct store *store, struct bytes id, uint32_t shard, uint8_t place, struct buf *out)
{
    (void)shard;
    return get(store, key_of('P', place, 0, id), out);
}

void
store_get_orders(struct store *store, const struct store_order_key *keys, uint32_t count,
                 struct arena *arena, struct bytes *records_out)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bytes value = row_now(row_find(store->media, key_order(keys[i].id)));
        records_out[i] = value.data == NULL ? BYTES_NONE : arena_copy(arena, value);
    }
}

static int
compare_dues(const void *left, const void *right)
{
    const struct due *a = left, *b = right;
    if (a->deadline != b->deadline) {
        return a->deadline < b->deadline ? -1 : 1;
    }
    return bytes_compare(a->order->key, b->order->key);
}

/* Forgets those whose order has left, and what stands twice, since an order came back to it. */
static void
tidy_dues(struct store *store)
{
    size_t kept = 0;
    if (store->dues_count > 1) {
        qsort(store->dues, store->dues_count, sizeof *store->dues, compare_dues);
    }
    for (size_t i = 0; i < store->dues_count; i++) {
        struct due due = store->dues[i];
        struct order_record record;
        struct bytes value = row_now(due.order);
        bool open = value.data != NULL && order_record_decode(value, &record) &&
                    record.deadline == due.deadline;
        if (open && (kept == 0 || compare_dues(&store->dues[kept - 1], &due) != 0)) {
            store->dues[kept++] = due;
        }
    }
    store->dues_count = kept;
}

uint32_t
store_scan_deadlines(struct store *store, struct deadline_place from, int64_t to,
                     struct arena *arena, struct store_deadline *rows_out, uint32_t max,
                     struct deadline_place *next_out)
{
    uint32_t count = 0;
    tidy_dues(store);
    for (size_t i = 0; i < store->dues_count && count < max; i++) {
        struct due due = store->dues[i];
        if (due.deadline >= from.deadline && due.deadline <= to) {
            struct order_record record;
            bool read = order_record_decode(row_now(due.order), &record);
            QO_ASSERT(read);
            struct bytes id = bytes_make(due.order->key.data + 17, due.order->key.size - 17);
            rows_out[count++] =
                (struct store_deadline){due.deadline, arena_copy(arena, id),
                                        hash_shard(id, store->shards), record.entered_version};
        }
    }
    *next_out = from; /* Always right: what lies below was asked for already. */
    return count;
}

/* -- Views ------------------------------------------------------------------------------------- */

struct store_view *
store_view_begin(struct store *store)
{
    struct store_view *view = mem_alloc(sizeof *view);
    *view = (struct store_view){
        .store = store,
        .applied = applied_copy(&store->media->applied, store->shards),
        .events_count = store->events_committed,
        .next = store->media->views,
    };
    store->media->views = view;
    return view;
}

void
store_view_end(struct store_view *view)
{
    struct store_view **link = &view->store->media->views;
    while (*link != view) {
        link = &(*link)->next;
    }
    *link = view->next;
    mem_free(view->applied);
    mem_free(view);
}

const struct applied_point *
store_view_applied(const struct store_view *view)
{
    return view->applied;
}

struct store *
store_view_store(const struct store_view *view)
{
    return view->store;
}

bool
store_view_get_order(struct store_view *view, struct bytes id, struct buf *out)
{
    return get_at(view->store, key_order(id), view->applied->index, out);
}

bool
store_view_get_event(struct store_view *view, uint64_t seq, struct buf *out)
{
    return seq <= view->events_count && store_get_event(view->store, seq, out);
}

bool
store_view_get_unique(struct store_view *view, uint16_t machine, uint16_t attribute,
                      struct bytes value, struct buf *id_out)
{
    return get_at(view->store, key_of('U', machine, attribute, value), view->applied->index,
                  id_out);
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
    if (events->next > events->view->events_count) {
        return false;
    }
    *seq_out = events->next;
    *event_out = events->view->store->media->events[events->next - 1];
    events->next++;
    return true;
}

void
store_events_end(struct store_events *events)
{
    mem_free(events);
}

/* -- Lists: found by looking at all orders ----------------------------------------------------- */

static int
compare_listed(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;
    return a->entered_seq < b->entered_seq ? -1 : a->entered_seq > b->entered_seq;
}

static bool
is_listed(const struct store *store, const struct order_record *record, uint16_t machine,
          uint16_t state)
{
    const struct definition *definition =
        registry_get(store->registry, REGISTRY_PUBLISHED, record->definition);
    QO_ASSERT(definition != NULL);
    return definition->machine_number == machine &&
           (state == RECORD_NONE || definition->state_numbers[record->state] == state);
}

struct store_list *
store_list_begin(struct store_view *view, uint16_t machine, uint16_t state, uint64_t after_seq)
{
    struct store_list *list = mem_zalloc(sizeof *list);
    const struct media *media = view->store->media;
    size_t capacity = 0;
    list->position = after_seq;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct row *row = media->buckets[i]; row != NULL; row = row->next) {
            struct order_record record;
            struct bytes value = row_at(row, view->applied->index);
            if (row->key.data[0] != 'O' || value.data == NULL ||
                !order_record_decode(value, &record) || record.entered_seq <= after_seq ||
                !is_listed(view->store, &record, machine, state)) {
                continue;
            }
            if (list->count == capacity) {
                capacity = capacity == 0 ? 64 : 2 * capacity;
                list->rows = mem_realloc(list->rows, capacity * sizeof *list->rows);
            }
            list->rows[list->count++] = (struct listed){
                record.entered_seq, bytes_make(row->key.data + 17, row->key.size - 17), value};
        }
    }
    if (list->count > 1) {
        qsort(list->rows, list->count, sizeof *list->rows, compare_listed);
    }
    return list;
}

bool
store_list_next(struct store_list *list, struct bytes *id_out, struct bytes *record_out)
{
    if (list->next == list->count) {
        return false;
    }
    const struct listed *row = &list->rows[list->next++];
    list->position = row->entered_seq;
    *id_out = row->id;
    *record_out = row->record;
    return true;
}

uint64_t
store_list_position(const struct store_list *list, bool *end_out)
{
    *end_out = list->next == list->count;
    return list->position;
}

void
store_list_end(struct store_list *list)
{
    mem_free(list->rows);
    mem_free(list);
}

uint64_t
store_sweep(struct store *store, uint64_t rows_max)
{
    (void)store;
    (void)rows_max;
    return 0; /* There are no stale rows. */
}
