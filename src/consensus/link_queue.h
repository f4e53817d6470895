/*
 * link_queue: what waits to be written to one link: its lanes, its bounds, and how messages are cut
 * into frames. See links.h for the order.
 *
 * Thread    the loop; calls nobody back.
 * Memory    entries are borrowed from the push until their item is popped; the rest is copied.
 */
#ifndef CONSENSUS_LINK_QUEUE_H
#define CONSENSUS_LINK_QUEUE_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"

enum {
    /* Pieces shorter than this are copied together; it is cheaper than describing them. Guessed. */
    LINK_COPY_BYTES = 4096,
    /* Of one write: large pieces, and one of copied bytes before and after each. */
    LINK_PIECES_MAX = 2 * (QO_LINK_WRITE_BYTES / LINK_COPY_BYTES) + 8,
};

/* A message or a note that waits. */
struct link_item {
    struct link_item *next;
    struct raft_io_send *request;
    raft_io_send_cb callback; /* NULL: nobody wants to know. */
    int status;
    bool in_order, note, sign; /* Sign: the second one of a heartbeat. */
    size_t bytes;              /* Of the whole. */
    size_t cut;                /* Of these so many are in frames. */
    size_t piece, piece_at;    /* Where the cut is: 0 is the head, n + 1 the nth entry. */
    struct buf head;
    size_t entries_count;
    struct bytes entries[]; /* Each is followed by zeros up to a multiple of 8. */
};

struct link_items {
    struct link_item *first, *last;
};

struct link_queue {
    struct link_items front, in_order; /* The two lanes. */
    struct link_items written;         /* In the write under way with their last byte. */
    uint64_t bytes;
    uint32_t messages;
    uint64_t note_bytes;
    bool sign_waits;
    struct buf copied; /* Of the write under way. */
};

/* A message as an item. `status_out`: 0, or why it is none (RAFT_INVALID, RAFT_TOOBIG). Never NULL:
 * what will tell the callback. */
struct link_item *link_item_of(const struct raft_message *message, struct raft_io_send *request,
                               raft_io_send_cb callback);
void link_item_free(struct link_item *item);
void link_items_add(struct link_items *items, struct link_item *item);
/* NULL at the end. */
struct link_item *link_items_pop(struct link_items *items);

/* Takes an item whose status is 0. False: it is full, the item's status is RAFT_BUSY, and it stays
 * the caller's. A heartbeat that would wait gets its sign of life. */
bool link_queue_push(struct link_queue *queue, struct link_item *item,
                     const struct raft_message *message);

/* Takes a copy, or drops it. */
void link_queue_note(struct link_queue *queue, uint8_t kind, struct bytes body);

/* The next write, at most QO_LINK_WRITE_BYTES and a few frames' headers: how many pieces, 0 if
 * nothing waits. The pieces point into the queue and what it borrows until link_queue_written(). */
size_t link_queue_fill(struct link_queue *queue, struct bytes pieces_out[LINK_PIECES_MAX]);

/* That write is done: gives the items that are written whole, in order. */
struct link_items link_queue_written(struct link_queue *queue);

/* Gives all that is left, and empties it. */
struct link_items link_queue_drain(struct link_queue *queue);

#endif
