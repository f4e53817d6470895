/* See feed/feed.h. Thread: readers. */
#include "feed/feed.h"

#include "common/assert.h"
#include "walk.h"

/* Gives the event that was read last. False: no room. */
static bool
give(const struct walk *walk, feed_event_fn each, void *context)
{
    const struct registry *registry = store_registry(store_view_store(walk->view));
    const struct definition *definition =
        registry_get(registry, REGISTRY_PUBLISHED, walk->event.definition);
    if (definition == NULL) {
        qo_fatal(FATAL_CORRUPT, "event %llu names definition %u, which does not exist",
                 (unsigned long long)walk->event.seq, (unsigned)walk->event.definition);
    }
    return each(context, &walk->event, definition);
}

static void
read_descending(struct walk *walk, uint64_t from, uint32_t limit, feed_event_fn each, void *context,
                struct feed_history_page *page)
{
    uint64_t version = from == 0 || from > walk->record.version ? walk->record.version : from;
    walk_to(walk, version);
    while (give(walk, each, context)) {
        page->given++;
        version--;
        if (version == 0 || page->given == limit) {
            break;
        }
        walk_read(walk, walk->event.prev, version);
    }
    page->more = version > 0;
}

/* Events name those before them only: goes to the last one wanted, notes the seqs on the way back
 * to the first, and then gives forward. Each is read twice, and none is kept in memory. */
static void
read_ascending(struct walk *walk, uint64_t from, uint32_t limit, feed_event_fn each, void *context,
               struct feed_history_page *page)
{
    uint64_t newest = walk->record.version;
    uint64_t first = from == 0 ? 1 : from;
    if (first > newest) {
        return;
    }
    uint64_t last = newest - first < limit ? newest : first + limit - 1;
    uint32_t count = (uint32_t)(last - first + 1);
    uint64_t seqs[QO_LIMIT_MAX];
    walk_to(walk, last);
    seqs[count - 1] = walk->event.seq;
    for (uint32_t i = count - 1; i > 0; i--) {
        seqs[i - 1] = walk->event.prev;
        walk_read(walk, walk->event.prev, first + i - 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        walk_read(walk, seqs[i], first + i);
        if (!give(walk, each, context)) {
            break;
        }
        page->given++;
    }
    page->more = first + page->given <= newest;
}

bool
feed_read_history(struct store_view *view, const struct feed_history *history, feed_event_fn each,
                  void *context, struct feed_history_page *page)
{
    QO_PRE(history->limit >= 1 && history->limit <= QO_LIMIT_MAX);
    struct walk walk;
    *page = (struct feed_history_page){0};
    if (!walk_begin(&walk, view, history->id)) {
        return false;
    }
    if (history->descending) {
        read_descending(&walk, history->from_version, history->limit, each, context, page);
    } else {
        read_ascending(&walk, history->from_version, history->limit, each, context, page);
    }
    QO_POST(page->given <= history->limit);
    walk_end(&walk);
    return true;
}

/*
 * Makes the newest event with at <= `time` the one read; false: there is none. Times never go back
 * from version to version, so it is a search as walk_to() is. Invariant: version `at`, whose event
 * names `prev` and `jump`, is too late. The jump is taken if where it leads is too late as well.
 */
static bool
walk_to_time(struct walk *walk, int64_t time)
{
    uint64_t at = walk->record.version;
    walk_read(walk, walk->record.seq, at);
    while (walk->event.at > time) {
        if (at == 1) {
            return false;
        }
        uint64_t jump = at & (at - 1), jump_seq = walk->event.jump, prev_seq = walk->event.prev;
        if (jump > 0) {
            walk_read(walk, jump_seq, jump);
            if (walk->event.at > time) {
                at = jump;
                continue;
            }
        }
        at--;
        if (at != jump) {
            walk_read(walk, prev_seq, at);
        }
    }
    return true;
}

bool
feed_read_as_of(struct store_view *view, struct bytes id, int64_t at, struct arena *arena,
                struct order_record *order_out)
{
    struct walk walk;
    if (!walk_begin(&walk, view, id)) {
        return false;
    }
    bool found = walk.record.created_at <= at && walk_to_time(&walk, at);
    if (found) {
        const struct event_record *event = &walk.event;
        *order_out = (struct order_record){
            .definition = event->definition,
            .state = event->to,
            .version = event->version,
            .seq = event->seq,
            .created_at = walk.record.created_at,
            .updated_at = event->at,
            .entered_seq = event->entered_seq,
            .entered_at = event->entered_at,
            .deadline = event->deadline,
            .chain = event->chain,
        };
        struct buf held = {0};
        if (!walk_fold(&walk, order_out->seq, order_out->version, &held)) {
            qo_fatal(FATAL_CORRUPT, "the events of order '%.*s' do not hang together",
                     BYTES_FORMAT(id));
        }
        order_out->attributes = arena_copy(arena, buf_bytes(&held));
        buf_free(&held);
    }
    walk_end(&walk);
    return found;
}
