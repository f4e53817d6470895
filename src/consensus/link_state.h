/*
 * What the files of links share: who the others are (links.c), connections (link_conn.c), names and
 * dialling (link_dial.c). Thread: the loop.
 */
#ifndef CONSENSUS_LINK_STATE_H
#define CONSENSUS_LINK_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "common/log.h"
#include "link_hello.h"
#include "link_queue.h"
#include "link_stream.h"
#include "links.h"

/*
 * The life of a connection. Any may become CLOSED.
 *   dialled:   LOOKUP -> CONNECTING -> HELLO -> PROOF -> [DECISION ->] LINK
 *   accepted:  HELLO -> PROOF -> [DECISION ->] LINK
 *   HELLO, PROOF -> REFUSING
 * DECISION is where the one waits who does not decide.
 */
enum conn_state {
    CONN_LOOKUP,
    CONN_CONNECTING,
    CONN_HELLO, /* Waits for the other's hello; and so on. */
    CONN_PROOF,
    CONN_DECISION,
    CONN_LINK,
    CONN_REFUSING, /* The refusal is being written; what comes is not read. */
    CONN_CLOSED,   /* Only its memory is left, until its handles are closed. */
};

struct peer;

/* A name that is looked up, and what came of it. */
struct link_addresses {
    struct sockaddr_storage list[QO_LINK_ADDRESSES_MAX];
    uint32_t count, next;
};

struct conn {
    struct links *links;
    struct peer *peer;            /* NULL: not known yet (accepted), or no longer of interest. */
    struct conn *next, *previous; /* All that are not closed; the newest first. */
    enum conn_state state;
    bool dialled;
    bool proved;     /* Our proof is sent: the decider may count on it. */
    bool writing;    /* A write from the queue is under way. */
    uint32_t pieces; /* Handles and lookups that are not closed: then its memory goes. */
    uv_timer_t deadline;
    uv_getaddrinfo_t lookup;
    struct link_addresses addresses;
    /* Why dialling failed: a refusal if all addresses that this host can try at all refused; 0:
     * none was tried yet. */
    int worst;
    struct link_stream *stream;
    struct hello own, theirs;
    uint8_t own_bytes[HELLO_BYTES], their_bytes[HELLO_BYTES];
    uint64_t order; /* The decider's number. */
    uint64_t opened_ms;
    struct buf in;    /* Not yet a whole frame. */
    uint8_t *partial; /* A message of which parts have come; of raft_malloc(). */
    size_t partial_total, partial_size;
    struct link_queue queue;
};

struct peer {
    struct links *links;
    uint32_t id; /* 0: a free place. */
    char address[QO_ADDRESS_MAX + 1];
    struct conn *link; /* NULL: none. */
    struct conn *dial; /* What we dialled and is not open. NULL: none. */
    uv_timer_t retry;
    uint32_t tries;         /* Connections dialled since a link was good. */
    uint64_t gone_until_ms; /* A refusal until then means that it is gone. 0: not. */
    struct links_status counts;
    struct log_limit up_lines, down_lines, refusal_lines;
};

struct links {
    uv_loop_t *loop;
    uint32_t id;
    char cluster_id[QO_CLUSTER_ID_MAX + 1];
    uint8_t secret[QO_LINK_SECRET_MAX];
    size_t secret_size;
    uint32_t silence_ms, opening_ms;
    uint64_t life;
    uint64_t orders; /* Numbers given to links as the decider. */
    uint64_t chance; /* For jitter. */
    bool started, closing;
    struct transport_client client;
    struct peer peers[QO_MEMBERS_MAX];
    struct conn *conns;
    uint32_t openings;      /* Accepted and not open. */
    uint32_t pieces;        /* Handles and connections: at 0 a closing is done. */
    uv_idle_t telling;      /* Runs while sends wait to be told. */
    struct link_items told; /* Those. */
    struct log_limit stranger_lines;
    void (*closed)(void *context);
    void *closed_context;
};

/* -- links.c ----------------------------------------------------------------------------------- */

struct peer *links_peer(struct links *links, uint32_t id); /* NULL: none. */
/* Takes items whose callback is called at the next turn with this status. */
void links_tell_later(struct links *links, struct link_items items, int status);
/* This connection is now its peer's link. */
void links_opened(struct conn *conn);
/* It has ended by itself or by the other side: a negative errno or UV_EOF. Closes it. */
void links_ended(struct conn *conn, int status);
void links_piece_closed(struct links *links);

/* -- link_conn.c ------------------------------------------------------------------------------- */

/* Takes `fd`. NULL if it cannot be used. */
struct conn *conn_accept(struct links *links, int fd);
/* Connects in its own time; ends by links_opened() or links_ended(). */
struct conn *conn_dial(struct peer *peer);
void conn_read(void *context, struct bytes bytes);
/* Dials the next of its addresses. False: there is none left. */
bool conn_dial_next(struct conn *conn);
void conn_flush(struct conn *conn);
/* Ends it without any consequence for its peer, but that it is no longer its link. */
void conn_close(struct conn *conn);
void conn_piece_closed(struct conn *conn);

/* -- link_opening.c ---------------------------------------------------------------------------- */

void conn_say_hello(struct conn *conn);
/* Of what was read so far, takes what an opening begins with. Bytes taken; 0: more must come. */
size_t conn_take_prefix(struct conn *conn, struct bytes bytes);
/* A frame before it is a link. */
void conn_opening_frame(struct conn *conn, uint8_t type, struct bytes payload);
/* Says why a connection ends that did something impossible, and ends it. */
void conn_reject(struct conn *conn, const char *why);

/* -- link_dial.c ------------------------------------------------------------------------------- */

/* Splits an address. False: it is none. `host_out` has QO_ADDRESS_MAX + 1 bytes. */
bool link_address_split(const char *address, char *host_out, uint16_t *port_out);
/* Finds out where the peer is, now if it is a literal: 1; or later, with conn_dial_next(): 0; or
 * not at all: a negative errno. */
int link_look_up(struct conn *conn);

#endif
