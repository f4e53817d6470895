/* See store/store.h. Thread: the one that began the view. */
#include "store/store.h"

#include "common/assert.h"
#include "rocks.h"

struct store_view *
store_view_begin(struct store *store)
{
    struct store_view *view = mem_alloc(sizeof *view);
    atomic_fetch_add(&store->views_open, 1);
    view->store = store;
    view->snapshot = rocksdb_create_snapshot(store->rocks.db);
    view->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(view->options, view->snapshot);
    /* Read through the snapshot, so that point and data are of one commit. */
    rocks_get_applied(&store->rocks, view->options, store->shards, &view->applied);
    return view;
}

void
store_view_end(struct store_view *view)
{
    struct store *store = view->store;
    rocksdb_readoptions_destroy(view->options);
    rocksdb_release_snapshot(store->rocks.db, view->snapshot);
    mem_free(view);
    uint32_t before = atomic_fetch_sub(&store->views_open, 1);
    QO_POST(before > 0);
}

const struct applied_point *
store_view_applied(const struct store_view *view)
{
    return &view->applied;
}

struct store *
store_view_store(const struct store_view *view)
{
    return view->store;
}

bool
store_view_get_order(struct store_view *view, struct bytes id, struct buf *out)
{
    struct key key = key_order(hash_shard(id, view->store->shards), id);
    return rocks_get(&view->store->rocks, view->options, FAMILY_ORDERS, &key, out);
}

bool
store_view_get_event(struct store_view *view, uint64_t seq, struct buf *out)
{
    struct key key = key_event(seq);
    return rocks_get(&view->store->rocks, view->options, FAMILY_EVENTS, &key, out);
}

bool
store_view_get_unique(struct store_view *view, uint16_t machine, uint16_t attribute,
                      struct bytes value, struct buf *id_out)
{
    struct key key = key_unique(machine, attribute, value);
    return rocks_get_formatted(&view->store->rocks, view->options, FAMILY_INDEX, &key, id_out);
}

/* -- Events in seq order ------------------------------------------------------------------------
 */

struct store_events {
    struct store_view *view;
    rocksdb_iterator_t *iterator;
    bool begun; /* The iterator stands on an event that was given. */
};

struct store_events *
store_events_begin(struct store_view *view, uint64_t from)
{
    struct store_events *events = mem_alloc(sizeof *events);
    struct key first = key_event(from);
    events->view = view;
    events->begun = false;
    events->iterator = rocksdb_create_iterator_cf(view->store->rocks.db, view->options,
                                                  view->store->rocks.families[FAMILY_EVENTS]);
    rocksdb_iter_seek(events->iterator, (const char *)first.bytes, first.size);
    return events;
}

bool
store_events_next(struct store_events *events, uint64_t *seq_out, struct bytes *event_out)
{
    if (events->begun) {
        rocksdb_iter_next(events->iterator);
    }
    events->begun = false;
    if (!rocks_iterator_valid(events->iterator)) {
        return false;
    }
    if (!key_event_decode(rocks_iterator_key(events->iterator), seq_out)) {
        qo_fatal(FATAL_CORRUPT, "store: an event's key does not decode");
    }
    QO_ASSERT(*seq_out <= events->view->applied.seq);
    *event_out = rocks_iterator_value(events->iterator);
    events->begun = true;
    return true;
}

void
store_events_end(struct store_events *events)
{
    rocksdb_iter_destroy(events->iterator);
    mem_free(events);
}
