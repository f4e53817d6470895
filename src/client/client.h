/*
 * client: the parts of libquorder and what they share. Read judge.h first: the rules; then this.
 *
 *   client.c      open, close, calls handed over by callers, the thread's loop
 *   call.c        one call: waiting, sent, lost, answered, ended
 *   judge.c       what an answer says (pure)
 *   node.c        one address: connect, greet, read, write, lose; who leads
 *   resolve.c     addresses from names, on a thread of its own, as getaddrinfo() blocks
 *   feed.c        one subscription that resumes
 *   request.c     a request of the API becomes a request of wire, owned by its call
 *   attributes.c  attributes to send
 *   result.c      an answer of wire becomes a result of the API
 *
 * Words
 *   I/O thread  the client's one thread: it alone touches nodes, calls that it took over and feeds
 *   slot        the place of one request under way on a connection, found by its msgid
 *   ready       a node is: connected, and its hello was answered
 *   now         the monotonic clock, read once a turn of the loop
 *
 * Locking   One mutex per client, `lock`. It guards what stands under "Shared" below, and is never
 *           held over a callback or a system call that blocks. See decisions/0007-client.md.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/arena.h"
#include "common/bytes.h"
#include "common/limits.h"
#include "judge.h"
#include "list.h"
#include "quorder.h"
#include "wire/cut.h"
#include "wire/request.h"
#include "wire/response.h"

/* -- Calls ------------------------------------------------------------------------------------- */

enum call_state {
    CALL_QUEUED,  /* In the client's `queue`: goes out as soon as a node may have it. */
    CALL_RESTING, /* Not before `not_before_us`. */
    CALL_SENT,    /* In a slot of `node`. */
};

struct call {
    struct qo_client *client;
    struct link all;   /* In client.submitted, then client.calls. */
    struct link place; /* In client.queue or client.resting; in none while sent. */
    enum call_state state;

    /* Fixed once made. */
    struct arena arena; /* Holds `request` and all it points to. */
    struct wire_request request;
    char node_address[QO_ADDRESS_MAX + 1]; /* This node only; empty: any. */
    bool is_write;
    bool wants_leader;
    uint32_t timeout_ms;
    int64_t deadline_us;
    size_t encoded_bytes; /* 0: cannot be sent, see `result`. */
    qo_result_fn callback;
    void *context;

    /* What happened so far. */
    int64_t not_before_us;
    uint32_t attempts;        /* Since the last success of any kind: the back-off's exponent. */
    uint32_t redirects;       /* Followed in a row. */
    uint32_t copies;          /* Handed to a socket whole. */
    bool doubt;               /* See judge.h. */
    int64_t live_until_us;    /* No copy is live from then on. */
    struct qo_result *result; /* The last answer or failure; NULL: none yet. */

    /* While sent. */
    struct node *node;
    uint32_t msgid;
    uint32_t copy_timeout_ms;
};

/* -- Nodes ------------------------------------------------------------------------------------- */

enum slot_kind {
    SLOT_FREE,
    SLOT_CALL,
    SLOT_ABANDONED, /* Its call ended; the answer is awaited and thrown away. */
    SLOT_HELLO,
    SLOT_SUBSCRIBE,
    SLOT_UNSUBSCRIBE,
};

struct slot {
    enum slot_kind kind;
    uint32_t msgid;
    uint64_t end;         /* The request's last byte, counted from the connection's first. */
    int64_t deadline_us;  /* A node that has not answered by then is stuck. */
    struct call *call;    /* SLOT_CALL */
    struct qo_feed *feed; /* SLOT_SUBSCRIBE, SLOT_UNSUBSCRIBE */
};

enum node_state {
    NODE_IDLE,      /* Not before `retry_at_us`. */
    NODE_RESOLVING, /* The resolver has it. */
    NODE_CONNECTING,
    NODE_GREETING, /* Connected; hello is under way. */
    NODE_READY,
};

enum { NODE_SOCKETS_MAX = 8 }; /* Addresses kept of one name. */

struct node {
    struct qo_client *client;
    char address[QO_ADDRESS_MAX + 1]; /* "" : this place in the table is free. */
    bool learned;                     /* Not given by the user: may be forgotten. */
    enum node_state state;
    int64_t retry_at_us, state_until_us;
    uint32_t failures;        /* In a row: the back-off's exponent. */
    int64_t suspect_until_us; /* Until then nobody's word makes it the leader. */

    struct sockaddr_storage sockets[NODE_SOCKETS_MAX];
    uint32_t sockets_count, sockets_next;

    /* Of the connection. */
    int fd; /* -1: none. */
    struct wire_cutter cutter;
    struct buf in, out;
    size_t out_at;            /* Bytes of `out` that the socket has taken. */
    uint64_t queued, written; /* Bytes ever put into `out`, and taken by the socket. */
    struct slot *slots;       /* QO_OUTSTANDING_MAX; a msgid's place is msgid modulo that. */
    uint32_t msgid_next;
    uint32_t slots_used;
    int64_t slots_due_us;     /* No slot's deadline is before; may be too early, never too late. */
    uint32_t calls_under_way; /* Abandoned ones too: they count at the node. */
    int64_t heard_us;         /* When bytes last came. */
    int64_t asked_us;         /* When hello was last sent. */
    bool asking;              /* That hello is unanswered. */
};

/* -- Feeds ------------------------------------------------------------------------------------- */

enum feed_state {
    FEED_WAITING,     /* For a node, not before `not_before_us`. */
    FEED_SUBSCRIBING, /* feed.subscribe is under way on `node`. */
    FEED_FOLLOWING,
    FEED_LEAVING, /* Closed by its user; feed.unsubscribe is under way: events are dropped. */
    FEED_ENDED,   /* Its callback was told why; waits to be closed. */
};

struct qo_feed {
    struct link all; /* In client.feeds_new, then client.feeds. */
    struct qo_client *client;
    enum feed_state state;
    struct arena arena;          /* The filter. */
    struct wire_request request; /* feed.subscribe; `from_seq` and `epoch` change. */
    char node_address[QO_ADDRESS_MAX + 1];
    qo_feed_fn callback;
    void *context;
    uint32_t credit, credit_left; /* Wanted ahead; not yet used at the node. */
    uint64_t next_seq;            /* 0: not known yet (QO_SEQ_NEXT, before the first answer). */
    uint64_t high_seq, epoch;
    struct node *node;
    uint64_t subscription;
    int64_t not_before_us, heard_us;
    uint32_t attempts;
    struct arena batch; /* What a callback sees. */
    bool closing;       /* Shared: qo_feed_close() was called. */
    bool *closed_out;   /* Shared: who waits in there is told here. NULL: nobody does. */
};

/* -- The client -------------------------------------------------------------------------------- */

struct qo_client {
    pthread_t thread;
    char name[QO_NAME_MAX + 1];
    uint32_t connect_timeout_ms, timeout_ms, deadline_ms, calls_max;
    size_t bytes_max;
    int wake_read, wake_write; /* A pipe. */

    /* Shared, under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* Room was made, a feed was closed, a waiter has left. */
    bool woken;             /* A byte is in the pipe. */
    bool stopping;
    struct link submitted, feeds_new;
    uint32_t calls_count;  /* Submitted or under way. */
    size_t bytes_count;    /* Their encoded size. */
    uint32_t feeds_count;  /* Handles given and not taken back. */
    uint32_t waiters;      /* Threads inside qo_call(). */
    uint32_t room_waiters; /* Those of them that wait for room. */

    /* The I/O thread's. */
    int64_t now_us;
    int64_t timer_us; /* No call is due before; may be too early, never too late. */
    uint64_t chance;  /* For jitter. */
    struct link calls, queue, resting, feeds;
    struct node nodes[QO_CLIENT_NODES_MAX];
    struct node *leader;            /* NULL: not known. */
    uint32_t first_node;            /* Where looking for any node begins: spreads clients. */
    char cluster_id[QO_ID_MAX + 1]; /* Of the first node that answered; "": none yet. */
    uint64_t epoch;                 /* Of the last hello. */
    char trouble[QO_ERROR_MESSAGE_MAX + 1]; /* Why the last connection failed. */

    struct resolver *resolver; /* NULL: not started. Its insides are under `lock`. */
};

/* The next number of the client's jitter (splitmix64). */
uint64_t client_chance(struct qo_client *client);
/* Makes the I/O thread take a turn. Under `lock`. */
void client_wake(struct qo_client *client);
/* The timer must ring at `at_us` at the latest. */
static inline void
client_timer_by(struct qo_client *client, int64_t at_us)
{
    if (at_us < client->timer_us) {
        client->timer_us = at_us;
    }
}

/* -- request.c --------------------------------------------------------------------------------- */

/* Gives a call made of a request, all of it copied; call_free() it. One that cannot be sent has
 * `encoded_bytes` 0 and a `result`. */
struct call *request_make_call(struct qo_client *client, const struct qo_request *request);
/* The filter, copied into `arena`. False: out of its limits; `field_out` says where. */
bool request_filter(struct arena *arena, const struct qo_filter *filter,
                    struct wire_request *request, const char **field_out);
/* A NUL-terminated text as bytes in the arena; NULL as BYTES_NONE. */
struct bytes request_text(struct arena *arena, const char *text);
/* 32 lower-case hex digits of 16 bytes from getrandom(), and a NUL. */
void request_make_id(char out[33]);

/* -- attributes.c ------------------------------------------------------------------------------ */

/* The canonical list, copied into the arena. False: an attribute was refused, `field_out` (in the
 * arena) names it. NULL: none. */
bool attributes_take(const struct qo_attributes *attributes, struct arena *arena,
                     struct bytes *list_out, const char **field_out);

/* -- result.c ---------------------------------------------------------------------------------- */

/* Gives the result for an answer's body. NULL: not what the method answers. `node`: who answered.
 */
struct qo_result *result_of_answer(const struct call *call, const char *node,
                                   const struct wire_answer *answer);
/* Gives the result for a failure of our own; `message` is copied. */
struct qo_result *result_of_failure(const struct call *call, const char *node, enum qo_code code,
                                    const char *message);
/* Gives the result for a request that cannot be sent: bad_request. `limit` -1: none. */
struct qo_result *result_of_refusal(const struct call *call, const char *field, int64_t limit);
/* What the answer in `result` says. */
struct answer_facts result_facts(const struct qo_result *result);
/* The operations of an answered batch, and what the answer says of each. */
size_t result_items_count(const struct qo_result *result);
struct answer_facts result_item_facts(const struct qo_result *result, size_t index);
/* The last touch: the outcome, those of items, copies. The result is immutable from then on. */
void result_finish(struct qo_result *result, enum qo_outcome outcome, uint32_t copies, bool doubt);

/* -- call.c ------------------------------------------------------------------------------------ */

/* Takes over a submitted call. */
void call_begin(struct qo_client *client, struct call *call);
/* Sends what may be sent of the queue. */
void call_dispatch(struct qo_client *client);
/* Ends and wakes what is due. */
void call_timers(struct qo_client *client);
/* An answer came for the call in `slot`. False: it is not what a node answers to that; the
 * connection must end (the slot is still the call's). */
bool call_answered(struct node *node, struct slot *slot, const struct wire_answer *answer);
/* The connection to `node` ended before the answer. `whole`: the socket had taken the last byte. */
void call_lost(struct call *call, const struct node *node, bool whole, enum qo_code code);
/* Ends every call: the client is being closed. */
void call_end_all(struct qo_client *client);
void call_free(struct call *call);

/* -- node.c ------------------------------------------------------------------------------------ */

/* False: not host:port. Writes the host without brackets. */
bool node_parse(const char *address, size_t size, char *host_out, size_t host_size,
                char port_out[6]);
/* The node of that address; made if need be. NULL: no host:port, or no place in the table. */
struct node *node_find(struct qo_client *client, const char *address, size_t size, bool learned);
/* Where a call or feed goes now; NULL: nowhere yet. `address` empty: any node. */
struct node *node_choose(struct qo_client *client, const char *address, bool wants_leader);
/* Room for one more call? */
bool node_has_room(const struct node *node);
/* Puts a request into the connection's stream and gives its slot. The node is greeting or ready. */
struct slot *node_send(struct node *node, struct wire_request *request, enum slot_kind kind,
                       int64_t deadline_us);
/* feed.credit has no slot. */
void node_notify(struct node *node, struct wire_request *request);
void node_slot_free(struct node *node, struct slot *slot);
/* Ends the connection with a reset, so that nothing on its way is executed if it can be helped;
 * what was under way is lost. */
void node_lose(struct node *node, const char *why, enum qo_code code);
/* It did not lead as we thought. */
void node_suspect(struct node *node);
/* `address` leads, says somebody; BYTES_NONE is ignored. */
void node_learn_leader(struct qo_client *client, struct bytes address);
/* The resolver is done. */
void node_resolved(struct node *node);
void node_timers(struct node *node);
int64_t node_timer_us(const struct node *node);
/* What poll() should wait for; 0: nothing. */
short node_events(const struct node *node);
void node_readable(struct node *node);
void node_flush(struct node *node); /* Also finishes a connect. */
void node_close(struct node *node); /* For good, without a word to calls. */

/* -- resolve.c --------------------------------------------------------------------------------- */

/* Fills `node->sockets` at once if the host is a number (true), else asks the resolver, which calls
 * for node_resolved() through resolve_collect() later (false). */
bool resolve_start(struct node *node, const char *host, const char *port);
void resolve_collect(struct qo_client *client);
void resolve_stop(struct qo_client *client);

/* -- feed.c ------------------------------------------------------------------------------------ */

void feed_begin(struct qo_client *client, struct qo_feed *feed);
/* Subscribes, leaves, changes its node: whatever is due. */
void feed_timers(struct qo_client *client);
int64_t feed_timer_us(const struct qo_client *client);
/* Answers and notifications. False: not what a node sends; the connection must end. */
bool feed_subscribed(struct qo_feed *feed, const struct wire_answer *answer);
bool feed_left(struct qo_feed *feed);
bool feed_events(struct node *node, const struct wire_answer *notification);
/* The feed's connection ended. */
void feed_lost(struct node *node);
bool feed_on(const struct node *node);
void feed_end_all(struct qo_client *client);

#endif
