/* See deadlines.h. Thread: as said there. */
#include "deadlines.h"

#include <stdlib.h>

#include "common/assert.h"
#include "common/thread.h"
#include "rocks.h"
#include "runs.h"

static_assert(QO_DEADLINE_COUNTERS_MAX * 2 <= DEADLINE_SLOTS, "the table stays half empty");

void
deadlines_open(struct store *store)
{
    store->deadlines.slots = mem_zalloc(sizeof *store->deadlines.slots * DEADLINE_SLOTS);
}

void
deadlines_close(struct store *store)
{
    mem_free(store->deadlines.slots);
    buf_free(&store->deadlines.items);
    buf_free(&store->deadlines.ids);
    buf_free(&store->deadlines.left);
    buf_free(&store->deadlines.run);
}

bool
deadlines_empty(const struct store *store)
{
    return store->deadlines.items.size == 0 && store->deadlines.left.size == 0;
}

/* -- Counters --------------------------------------------------------------------------------- */

static uint32_t
home_of(int64_t deadline)
{
    return (uint32_t)(((uint64_t)deadline * UINT64_C(0x9e3779b97f4a7c15)) >> 47) % DEADLINE_SLOTS;
}

/* The deadline's counter, or the free slot where it belongs. */
static struct deadline_counter *
find(struct deadlines *deadlines, int64_t deadline)
{
    uint32_t slot = home_of(deadline);
    while (deadlines->slots[slot].deadline != 0 && deadlines->slots[slot].deadline != deadline) {
        slot = (slot + 1) % DEADLINE_SLOTS;
    }
    return &deadlines->slots[slot];
}

/* Frees a slot; those behind it that would not be found move up (Knuth, TAOCP 3, 6.4 R). */
static void
forget(struct deadlines *deadlines, struct deadline_counter *counter)
{
    uint32_t hole = (uint32_t)(counter - deadlines->slots);
    uint32_t next = hole;
    for (;;) {
        next = (next + 1) % DEADLINE_SLOTS;
        if (deadlines->slots[next].deadline == 0) {
            break;
        }
        uint32_t home = home_of(deadlines->slots[next].deadline);
        if ((next - home) % DEADLINE_SLOTS >= (next - hole) % DEADLINE_SLOTS) {
            deadlines->slots[hole] = deadlines->slots[next];
            hole = next;
        }
    }
    deadlines->slots[hole] = (struct deadline_counter){0};
    deadlines->count--;
}

/* `after`: the log's time before the entry `index`. */
static void
count_put(struct deadlines *deadlines, int64_t deadline, uint64_t index, int64_t after,
          uint32_t orders)
{
    struct deadline_counter *counter = find(deadlines, deadline);
    if (counter->deadline == deadline) {
        counter->put += orders;
        counter->index = 0; /* Several rows: they stay until they have passed. */
    } else if (deadlines->count < QO_DEADLINE_COUNTERS_MAX) {
        *counter = (struct deadline_counter){
            .deadline = deadline, .index = index, .after = after, .put = orders};
        deadlines->count++;
    }
}

/* -- Writing: the state thread ---------------------------------------------------------------- */

void
store_put_deadline(struct store *store, int64_t deadline, struct bytes id, uint32_t shard,
                   uint64_t entered_version)
{
    struct deadlines *deadlines = &store->deadlines;
    QO_PRE(thread_is(THREAD_STATE));
    QO_PRE(deadline > 0 && shard < store->shards); /* 0 says "none" in a record. */
    QO_PRE(id.size >= 1 && id.size <= QO_ID_MAX);
    struct deadline_item item = {
        .deadline = deadline,
        .entered_version = entered_version,
        .id_at = (uint32_t)deadlines->ids.size,
        .id_size = (uint32_t)id.size,
        .shard = shard,
        .place = (uint32_t)(deadlines->items.size / sizeof item),
    };
    buf_append(&deadlines->ids, id.data, id.size);
    buf_append(&deadlines->items, &item, sizeof item);
}

void
store_deadline_left(struct store *store, int64_t deadline, int64_t given_at)
{
    QO_PRE(thread_is(THREAD_STATE));
    QO_PRE(deadline > 0);
    struct deadline_left left = {.deadline = deadline, .given_at = given_at};
    buf_append(&store->deadlines.left, &left, sizeof left);
}

static int
compare(const void *left, const void *right)
{
    const struct deadline_item *a = left, *b = right;
    if (a->deadline != b->deadline) {
        return a->deadline < b->deadline ? -1 : 1;
    }
    return a->place < b->place ? -1 : 1;
}

/* Stages one row for each deadline of the batch. */
static void
stage_rows(struct store *store, uint64_t index)
{
    struct deadlines *deadlines = &store->deadlines;
    size_t count = deadlines->items.size / sizeof(struct deadline_item);
    union {
        uint8_t *bytes;
        struct deadline_item *items;
    } sorted = {.bytes = deadlines->items.data};
    if (count > 1) {
        qsort(sorted.items, count, sizeof *sorted.items, compare);
    }
    for (size_t first = 0, next; first < count; first = next) {
        int64_t deadline = sorted.items[first].deadline;
        run_begin(&deadlines->run);
        for (next = first; next < count && sorted.items[next].deadline == deadline; next++) {
            const struct deadline_item *item = &sorted.items[next];
            run_add_due(&deadlines->run, item->entered_version, (uint8_t)item->shard,
                        bytes_make(deadlines->ids.data + item->id_at, item->id_size));
        }
        struct key key = key_deadline(deadline, index);
        staged_put(&store->staged, FAMILY_INDEX, &key, buf_bytes(&deadlines->run));
        store->counters.puts++;
        store->counters.bytes += key.size + deadlines->run.size;
        count_put(deadlines, deadline, index, store->applied.time, (uint32_t)(next - first));
    }
    buf_clear(&deadlines->items);
    buf_clear(&deadlines->ids);
}

/* Forgets some of the counters whose deadline has passed: no order will be given it again. */
static void
forget_passed(struct deadlines *deadlines, int64_t time)
{
    for (uint32_t i = 0; i < DEADLINE_SLOTS_PER_COMMIT; i++) {
        struct deadline_counter *counter = &deadlines->slots[deadlines->hand];
        if (counter->deadline != 0 && counter->deadline < time) {
            forget(deadlines, counter); /* Another may have moved to this slot. */
        } else {
            deadlines->hand = (deadlines->hand + 1) % DEADLINE_SLOTS;
        }
    }
}

void
deadlines_commit(struct store *store, const struct applied_point *applied)
{
    struct deadlines *deadlines = &store->deadlines;
    stage_rows(store, applied->index);
    for (size_t at = 0; at < deadlines->left.size; at += sizeof(struct deadline_left)) {
        struct deadline_left left;
        memcpy(&left, deadlines->left.data + at, sizeof left);
        struct deadline_counter *counter = find(deadlines, left.deadline);
        if (counter->deadline == 0 || left.given_at <= counter->after) {
            continue;
        }
        counter->left++;
        if (counter->left == counter->put) {
            if (counter->index != 0) {
                struct key key = key_deadline(left.deadline, counter->index);
                staged_delete(&store->staged, FAMILY_INDEX, &key);
                store->counters.deletes++;
            }
            forget(deadlines, counter);
        }
    }
    buf_clear(&deadlines->left);
    forget_passed(deadlines, applied->time);
}

/* -- Reading ---------------------------------------------------------------------------------- */

/* Whether an order still has this deadline from this entry into its state. */
static bool
is_due(const struct store *store, const rocksdb_readoptions_t *options, int64_t deadline,
       const struct due_item *item, struct buf *scratch)
{
    struct order_record record;
    struct key key = key_order(item->shard, item->id);
    buf_clear(scratch);
    if (!rocks_get(&store->rocks, options, FAMILY_ORDERS, &key, scratch) ||
        !order_record_decode(buf_bytes(scratch), &record)) {
        qo_fatal(FATAL_CORRUPT, "store: order '%.*s' has a deadline and does not decode",
                 BYTES_FORMAT(item->id));
    }
    return record.deadline == deadline && record.entered_version == item->entered_version;
}

static struct deadline_place
row_place(rocksdb_iterator_t *iterator)
{
    struct deadline_place place;
    if (!key_deadline_decode(rocks_iterator_key(iterator), &place.deadline, &place.index)) {
        qo_fatal(FATAL_CORRUPT, "store: a deadline's key does not decode");
    }
    return place;
}

bool
deadline_place_before(struct deadline_place a, struct deadline_place b)
{
    return a.deadline != b.deadline ? a.deadline < b.deadline : a.index < b.index;
}

/* The first place behind all deadlines up to `to`. */
static struct deadline_place
place_behind(int64_t to)
{
    return to == INT64_MAX ? (struct deadline_place){INT64_MAX, UINT64_MAX}
                           : (struct deadline_place){to + 1, 0};
}

uint32_t
store_scan_deadlines(struct store *store, struct deadline_place from, int64_t to,
                     struct arena *arena, struct store_deadline *rows_out, uint32_t max,
                     struct deadline_place *next_out)
{
    uint32_t count = 0, looked = 0;
    *next_out = from;
    if (to < from.deadline || to < 0) {
        return 0;
    }
    struct key first =
        from.deadline > 0 ? key_deadline(from.deadline, from.index) : key_deadline_from(0);
    struct key bound = to == INT64_MAX ? key_deadline_end() : key_deadline_from(to + 1);
    struct buf scratch = {0};
    rocksdb_readoptions_t *options = rocks_iterate_below(NULL, &bound);
    rocksdb_iterator_t *iterator =
        rocksdb_create_iterator_cf(store->rocks.db, options, store->rocks.families[FAMILY_INDEX]);
    bool ended = false;
    rocksdb_iter_seek(iterator, (const char *)first.bytes, first.size);
    while (count < max && !(ended = !rocks_iterator_valid(iterator))) {
        struct due_item item;
        struct deadline_place place = row_place(iterator);
        struct cursor run = run_open(rocks_iterator_value(iterator));
        *next_out = place; /* Looked at again, should `max` end inside it. */
        if (looked >= QO_DEADLINE_LOOK_MAX) {
            break;
        }
        while (count < max && run_next_due(&run, &item)) {
            looked++;
            if (is_due(store, store->read_newest, place.deadline, &item, &scratch)) {
                rows_out[count++] = (struct store_deadline){
                    place.deadline, arena_copy(arena, item.id), item.shard, item.entered_version};
            }
        }
        rocksdb_iter_next(iterator);
    }
    if (ended) {
        *next_out = place_behind(to);
    }
    rocksdb_iter_destroy(iterator);
    rocksdb_readoptions_destroy(options);
    buf_free(&scratch);
    return count;
}

uint64_t
deadlines_sweep(struct store_view *view, rocksdb_writebatch_t *batch, int64_t *from,
                uint64_t *looks_left)
{
    struct store *store = view->store;
    struct key first = key_deadline_from(*from), bound = key_deadline_from(view->applied.time);
    rocksdb_readoptions_t *options = rocks_iterate_below(view->snapshot, &bound);
    rocksdb_iterator_t *iterator =
        rocksdb_create_iterator_cf(store->rocks.db, options, store->rocks.families[FAMILY_INDEX]);
    struct buf scratch = {0};
    uint64_t removed = 0;
    *from = 0; /* Begin again, unless looks run out. */
    rocksdb_iter_seek(iterator, (const char *)first.bytes, first.size);
    for (; rocks_iterator_valid(iterator); rocksdb_iter_next(iterator)) {
        struct bytes key = rocks_iterator_key(iterator);
        struct cursor run = run_open(rocks_iterator_value(iterator));
        struct due_item item;
        int64_t deadline = row_place(iterator).deadline;
        uint64_t stale = 0;
        bool due = false;
        if (*looks_left == 0) {
            *from = deadline;
            break;
        }
        while (!due && run_next_due(&run, &item)) {
            due = is_due(store, view->options, deadline, &item, &scratch);
            stale++;
            *looks_left -= *looks_left > 0 ? 1 : 0;
        }
        if (!due) {
            rocksdb_writebatch_delete_cf(batch, store->rocks.families[FAMILY_INDEX],
                                         (const char *)key.data, key.size);
            removed += stale;
        }
    }
    rocksdb_iter_destroy(iterator);
    rocksdb_readoptions_destroy(options);
    buf_free(&scratch);
    return removed;
}
