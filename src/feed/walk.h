/*
 * walk: the events of one order, found from its record without an index.
 *
 * Version v names version v - 1 by `prev` and version v & (v - 1), v without its lowest set bit, by
 * `jump`. The record names all versions that arise from the newest by clearing bits. So a version
 * is reached in about as many gets as it has bits.
 *
 * Thread: readers.
 */
#ifndef FEED_WALK_H
#define FEED_WALK_H

#include "feed/feed.h"

struct walk {
    struct store_view *view;
    struct bytes id;
    struct buf record_bytes, event_bytes;
    struct order_record record; /* Points into record_bytes. */
    struct event_record event;  /* The last one read; points into event_bytes. */
};

/* False: no such order; there is nothing to end then. A record that does not decode is fatal. */
bool walk_begin(struct walk *walk, struct store_view *view, struct bytes id);
void walk_end(struct walk *walk);

/* Reads the event `seq` into walk->event. False: there is none, it does not decode, or it is not
 * version `version` of the order. */
bool walk_try(struct walk *walk, uint64_t seq, uint64_t version);
/* The same, where our own links led to it: fatal if it is not so. */
void walk_read(struct walk *walk, uint64_t seq, uint64_t version);
/* Makes version `version` (1 to the newest) the event read. */
void walk_to(struct walk *walk, uint64_t version);
/* Appends to `out` all attributes after version `version`, of which `seq` is the event: what the
 * nearest event before it carries, changed by what each event since has brought. False: an event on
 * the way is not where it should be. */
bool walk_fold(struct walk *walk, uint64_t seq, uint64_t version, struct buf *out);

#endif
