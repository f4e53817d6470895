/*
 * feed: reading events, in all the ways in which they are read.
 *
 * The same events, written once, are the feed (in order of seq, over all orders), the history of an
 * order (in order of version), and its state as of a time. All of it reads through a view of the
 * store, so it shows whole log entries only, and a gap in the feed never fills later.
 *
 * Words    filter: what a consumer wants of the feed. Position: the seq from which it goes on. It
 *          moves past events that the filter leaves out, so a narrow filter is not read twice.
 * Thread   readers: the one that began the view.
 * Memory   an event that a callback gets is valid until that callback returns. Nothing is kept.
 * Failure  bytes that do not decode and links between events that lead astray end the node
 *          (FATAL_CORRUPT), but for feed_verify_order(), which says what it found.
 */
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/bytes.h"
#include "common/limits.h"
#include "store/store.h"

/* Takes one event and its definition. False: no room (the answer is full), and this event is not
 * consumed: reading ends before it and goes on with it next time. */
typedef bool (*feed_event_fn)(void *context, const struct event_record *event,
                              const struct definition *definition);

/* -- The feed -------------------------------------------------------------------------------- */

struct feed_filter {
    uint64_t from_seq; /* The first event wanted; 0 as 1. */
    uint32_t limit;    /* Events given at most; 1 to QO_LIMIT_MAX. */
    /* Each NULL: no such filter. A list that names nothing known matches nothing, also an empty
     * one; a machine or state that becomes known later begins to match. Names are looked up at
     * each read. */
    const uint32_t *shards;
    size_t shards_count;
    const struct bytes *machines;
    size_t machines_count;
    const struct bytes *states; /* Compared with the state after the event. */
    size_t states_count;
};

struct feed_page {
    uint64_t next_seq; /* Where to go on; >= from_seq. */
    uint64_t high_seq; /* Of the newest event in the view. */
    uint32_t given;
    uint32_t looked; /* Events read, at most QO_FEED_LOOK_MAX. */
    bool full;       /* The callback had no room for the event at next_seq. */
};

/* Gives the events from `from_seq` on that the filter lets through. Ends at the newest event, at
 * `limit`, after QO_FEED_LOOK_MAX events looked at, or when `each` has no room. */
struct feed_page feed_read(struct store_view *view, const struct feed_filter *filter,
                           feed_event_fn each, void *context);

/* -- One order ------------------------------------------------------------------------------- */

struct feed_history {
    struct bytes id;
    uint64_t from_version; /* The first wanted; 0: version 1, or descending the newest. */
    uint32_t limit;        /* 1 to QO_LIMIT_MAX. */
    bool descending;
};

struct feed_history_page {
    uint32_t given;
    bool more; /* The order has further events in this direction. */
};

/* Gives events of one order, oldest first or newest first. False: no such order. */
bool feed_read_history(struct store_view *view, const struct feed_history *history,
                       feed_event_fn each, void *context, struct feed_history_page *page_out);

/*
 * The order after the last of its events with at <= `at`: its record as it was then, but that
 * `entered_version` is 0 and that there are no prefixes and no fingerprints. `order_out` points
 * into `arena`. False: no such order, or it was created later. Whether `at` lies behind the last
 * executed entry, where nothing is decided yet, is the caller's to ask
 * (store_view_applied()->time).
 */
bool feed_read_as_of(struct store_view *view, struct bytes id, int64_t at, struct arena *arena,
                     struct order_record *order_out);

/*
 * Walks all events of an order, newest first, and checks all that is redundant in them: chain
 * hashes, dense versions, `prev` and `jump`, entry into states, attributes that are carried, and
 * that the record is what its events make of it. False: one sentence in `why_out`, NUL-terminated.
 * An order that does not exist is not right either. Reads each event a few times.
 */
#define FEED_WHY_MAX 256u
bool feed_verify_order(struct store_view *view, struct bytes id, char why_out[FEED_WHY_MAX]);

#endif
