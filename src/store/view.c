/* See store/store.h. Thread: the one that began the view. */
#include "store/store.h"

#include "common/assert.h"
#include "rocks.h"
#include "runs.h"

struct store_view *
store_view_begin(struct store *store)
{
    struct store_view *view = mem_alloc(sizeof *view);
    atomic_fetch_add(&store->views_open, 1);
    view->store = store;
    view->events = NULL;
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
    if (view->events != NULL) {
        rocksdb_iter_destroy(view->events);
    }
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
    if (view->events == NULL) {
        view->events = rocksdb_create_iterator_cf(view->store->rocks.db, view->options,
                                                  view->store->rocks.families[FAMILY_EVENTS]);
    }
    return seq > 0 && rocks_find_event(view->events, seq, out);
}

bool
store_view_get_unique(struct store_view *view, uint16_t machine, uint16_t attribute,
                      struct bytes value, struct buf *id_out)
{
    struct key key = key_unique(machine, attribute, value);
    return rocks_get_formatted(&view->store->rocks, view->options, FAMILY_INDEX, &key, id_out);
}

/* -- Events in seq order --------------------------------------------------------------------- */

struct store_events {
    struct store_view *view;
    rocksdb_iterator_t *iterator;
    struct cursor run; /* What is left of the run that the iterator stands on. */
    uint64_t next;     /* The seq of the run's next event. */
    bool ended;
};

/* Opens the run that the iterator stands on. */
static void
run_load(struct store_events *events)
{
    events->ended = !rocks_iterator_valid(events->iterator);
    if (events->ended) {
        return;
    }
    if (!key_event_decode(rocks_iterator_key(events->iterator), &events->next)) {
        qo_fatal(FATAL_CORRUPT, "store: an event's key does not decode");
    }
    events->run = run_open(rocks_iterator_value(events->iterator));
}

struct store_events *
store_events_begin(struct store_view *view, uint64_t from)
{
    struct store_events *events = mem_zalloc(sizeof *events);
    struct key first = key_event(from);
    struct bytes passed;
    events->view = view;
    events->iterator = rocksdb_create_iterator_cf(view->store->rocks.db, view->options,
                                                  view->store->rocks.families[FAMILY_EVENTS]);
    rocksdb_iter_seek_for_prev(events->iterator, (const char *)first.bytes, first.size);
    if (!rocks_iterator_valid(events->iterator)) {
        rocksdb_iter_seek_to_first(events->iterator);
    }
    run_load(events);
    while (!events->ended && events->next < from && run_next_event(&events->run, &passed)) {
        events->next++;
    }
    return events;
}

bool
store_events_next(struct store_events *events, uint64_t *seq_out, struct bytes *event_out)
{
    while (!events->ended) {
        if (run_next_event(&events->run, event_out)) {
            *seq_out = events->next++;
            QO_ASSERT(*seq_out <= events->view->applied.seq);
            return true;
        }
        rocksdb_iter_next(events->iterator);
        run_load(events);
    }
    return false;
}

void
store_events_end(struct store_events *events)
{
    rocksdb_iter_destroy(events->iterator);
    mem_free(events);
}
