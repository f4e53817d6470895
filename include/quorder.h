/*
 * quorder.h: libquorder, the client library of Quorder. Version 0.1, C99 and C++.
 *
 * A client follows the leader of one cluster, sends calls and repeats each, with the same request
 * id, until it is known what became of it or its time is over. What travels is described in
 * PROTOCOL.md, installed beside this header; this page says what the library adds.
 *
 *     struct qo_client *client = qo_client_open(&(struct qo_options){.endpoints =
 * "db1:7401,db2:7401"}); struct qo_result *result = qo_call(client, &(struct qo_request){ .method =
 * QO_METHOD_TRANSITION, .id = "o-1", .event = "pay"}); if (qo_result_outcome(result) ==
 * QO_OUTCOME_OK) { use(qo_result_receipt(result)->version);
 *     }
 *     qo_result_free(result);
 *     qo_client_close(client);
 *
 * Words
 *   call      what you ask, from qo_call() or qo_call_async() to its one result
 *   copy      one request on one connection: a call that is repeated sends several, all with the
 *             same request id, of which the cluster lets at most one have an effect
 *   outcome   what is known of a call's effect at its end: see enum qo_outcome
 *   seq       number of an event in the cluster's one order, 1, 2, 3 ...
 *   ownership "borrows": until the function returns, or until what is named. "gives": the caller
 *             must release it with the function named. "takes": it is the library's from then on.
 *
 * Threads   Every function may be called from every thread, several at a time, unless it says
 *           otherwise. A client runs one thread of its own. Callbacks run on it, one at a time, and
 *           hold up the whole client while they run: hand long work on. A callback may start calls
 *           with qo_call_async() and may close its feed; it must not call qo_call(), qo_feed_open()
 *           or qo_client_close() (asserted).
 * Memory    Texts handed in are UTF-8, NUL-terminated, borrowed until the function returns. Texts
 *           handed out are NUL-terminated and belong to their result or event. Where the protocol
 *           says nil, a text is NULL. Without memory the process ends, with a line on standard
 *           error, as the servers do.
 * Times     `_us` are microseconds since the Unix epoch, UTC; `_ms` are spans in milliseconds.
 * Order     Writes of one order that one thread starts one after another reach the leader in that
 *           order as long as no copy is lost or answered with a 3xx or 4xx number.
 * Neither reads the environment, installs signal handlers, logs, nor survives fork().
 */
#ifndef QUORDER_H
#define QUORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define QO_API __attribute__((visibility("default")))
#else
#define QO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* -- Outcomes and codes ------------------------------------------------------------------------ */

/* What is known when a call ends. */
enum qo_outcome {
    QO_OUTCOME_OK = 0,
    /* The cluster said no, and no copy of the call had or will have an effect: final. */
    QO_OUTCOME_REFUSED = 1,
    /* No answer was to be had in time (or the library could not ask); certainly no effect. A read
     * that ran out of time is this too. */
    QO_OUTCOME_FAILED = 2,
    /* The time was over while some copy may have had, or may still have, its effect. Ask again with
     * the same request id (qo_result_request_id()) to find out. Writes only. */
    QO_OUTCOME_UNKNOWN = 3
};

/* Why a call did not succeed: the numbers of the protocol, and from 600 on the library's own. */
enum qo_code {
    QO_CODE_OK = 0,
    QO_CODE_BAD_REQUEST = 100, /* Also from the library: a call it cannot send. See `field`. */
    QO_CODE_UNKNOWN_METHOD = 101,
    QO_CODE_UNAUTHORIZED = 102,
    QO_CODE_FORBIDDEN = 103,
    QO_CODE_NOT_FOUND = 200,
    QO_CODE_ALREADY_EXISTS = 201,
    QO_CODE_INVALID_TRANSITION = 202,
    QO_CODE_VERSION_CONFLICT = 203,
    QO_CODE_INVALID_ATTRIBUTE = 204,
    QO_CODE_NOT_UNIQUE = 205,
    QO_CODE_REQUEST_ID_REUSED = 206,
    QO_CODE_RESOURCE_TAKEN = 207,
    QO_CODE_INSUFFICIENT = 208,
    QO_CODE_INVALID_MACHINE = 209,
    QO_CODE_POSITION_LOST = 210,
    QO_CODE_NOT_LEADER = 300,
    QO_CODE_UNAVAILABLE = 301,
    QO_CODE_UNKNOWN_OUTCOME = 302,
    QO_CODE_TIMEOUT = 303,
    QO_CODE_OVERLOADED = 400,
    QO_CODE_INTERNAL = 500,

    QO_CODE_UNREACHABLE = 600,      /* No node could be connected to, or the connection was lost. */
    QO_CODE_CLOSED = 601,           /* The client was closed while the call was under way. */
    QO_CODE_LOCAL_OVERLOADED = 602, /* `calls_max` or `bytes_max` of the client is reached. */
    QO_CODE_PROTOCOL = 603          /* A node answered what is not the protocol. */
};

/* The name of a code as in the protocol ("not_found"); "local_overloaded" and so on for the
 * library's own; "unknown_code" for any other number. Constant. */
QO_API const char *qo_code_name(enum qo_code code);

/* -- Clients ----------------------------------------------------------------------------------- */

struct qo_client; /* Opaque. */

/* Zero (or NULL) means the default. */
struct qo_options {
    const char *endpoints;       /* "host:port,host:port" of some or all nodes, 1 to 16; IPv6 as
                                    "[::1]:7401". Default "127.0.0.1:7401". Names are resolved anew
                                    at each connection. */
    const char *name;            /* Says to the nodes who this is. Default "libquorder". */
    uint32_t connect_timeout_ms; /* One attempt to connect, greeting included. Default 2,000. */
    uint32_t timeout_ms;         /* One copy: a node does not execute it later than this. Default
                                    5,000; 1 to 60,000. */
    uint32_t deadline_ms;        /* A whole call with all its copies. Default 30,000. */
    uint32_t calls_max;          /* Calls under way at a time. Default 4,096; at most 65,536. */
    size_t bytes_max;            /* Encoded size of these together. Default 64 MiB. */
};

/*
 * Gives a client; release it with qo_client_close(). Does not wait for a connection.
 *
 *   options   borrowed; NULL: all defaults
 *
 * NULL: errno is EINVAL (an option out of its range, an endpoint that is not host:port), or why no
 * thread or pipe could be made.
 */
QO_API struct qo_client *qo_client_open(const struct qo_options *options);

/*
 * Takes the client (NULL is fine). Ends calls under way with QO_CODE_CLOSED, each with its callback
 * or its return, and feeds with QO_CODE_CLOSED, whose handles it takes too; returns when the last
 * callback has. While a host
 * name is being resolved it waits for the resolver. No other thread may use the client from the
 * call on, except those that wait inside qo_call(): they return.
 */
QO_API void qo_client_close(struct qo_client *client);

/* -- Values and attributes --------------------------------------------------------------------- */

enum qo_type {
    QO_TYPE_NIL = 0,
    QO_TYPE_BOOLEAN = 1,
    QO_TYPE_INTEGER = 2, /* Timestamps too: microseconds. */
    QO_TYPE_NUMBER = 3,
    QO_TYPE_TEXT = 4,
    QO_TYPE_LIST = 5, /* Only `raw`. */
    QO_TYPE_MAP = 6   /* Only `raw`. */
};

/* A value: the member that `type` names. Values handed out always carry `raw` as well. */
struct qo_value {
    enum qo_type type;
    bool boolean;
    int64_t integer;
    double number;
    const char *text;
    const void *raw; /* MessagePack, one whole object. */
    size_t raw_size; /* Bytes. */
};

struct qo_attribute {
    const char *name;
    struct qo_value value;
};

struct qo_attributes; /* Opaque: attributes to send. One thread at a time. */

/* Gives an empty list; release it with qo_attributes_free(). */
QO_API struct qo_attributes *qo_attributes_new(void);
QO_API void qo_attributes_free(struct qo_attributes *attributes); /* Takes; NULL is fine. */

/*
 * Each adds one attribute; a name given before gets the new value. False, and nothing is added: the
 * name is not 1 to 64 bytes, the number is NaN or infinite, `raw` is not one MessagePack object
 * that the protocol takes, or it is longer than 16 KiB. The list remembers that: a call with it
 * ends with QO_CODE_BAD_REQUEST and that attribute as its `field`, so that nobody need check each.
 * A nil removes the attribute from the order.
 */
QO_API bool qo_attributes_add_text(struct qo_attributes *attributes, const char *name,
                                   const char *text);
QO_API bool qo_attributes_add_integer(struct qo_attributes *attributes, const char *name,
                                      int64_t integer);
QO_API bool qo_attributes_add_number(struct qo_attributes *attributes, const char *name,
                                     double number);
QO_API bool qo_attributes_add_boolean(struct qo_attributes *attributes, const char *name,
                                      bool boolean);
QO_API bool qo_attributes_add_timestamp(struct qo_attributes *attributes, const char *name,
                                        int64_t at_us);
QO_API bool qo_attributes_add_nil(struct qo_attributes *attributes, const char *name);
QO_API bool qo_attributes_add_raw(struct qo_attributes *attributes, const char *name,
                                  const void *raw, size_t raw_size);

/* -- Requests ---------------------------------------------------------------------------------- */

enum qo_method {
    /* Answered by the node asked. */
    QO_METHOD_HELLO = 0,
    QO_METHOD_PING,
    QO_METHOD_STATUS,
    QO_METHOD_FEED_READ,
    /* Writes: repeated with one request id until the outcome is known. */
    QO_METHOD_CREATE,
    QO_METHOD_TRANSITION,
    QO_METHOD_BATCH,
    QO_METHOD_MACHINE_PUT,
    /* Reads: linearizable unless `consistency` says otherwise. */
    QO_METHOD_GET,
    QO_METHOD_GET_MANY,
    QO_METHOD_HISTORY,
    QO_METHOD_LIST,
    QO_METHOD_MACHINE_GET,
    QO_METHOD_MACHINE_LIST
};

enum qo_consistency {
    QO_LINEARIZABLE = 0, /* Never stale. */
    QO_LOCAL = 1         /* What the node asked has; may lag. */
};

/* One operation of a batch: a create or a transition, with the members of struct qo_request. */
struct qo_operation {
    enum qo_method method; /* QO_METHOD_CREATE or QO_METHOD_TRANSITION. */
    const char *id;
    const char *machine;
    uint64_t machine_version;
    const char *event;
    uint64_t expect_version;
    const char *expect_state;
    const struct qo_attributes *attributes;
    const char *actor, *reason;
    const char *request_id; /* Not in an atomic batch. Made if NULL. */
};

#define QO_SEQ_NEXT UINT64_MAX /* `from_seq`: from the next event on. */

/* Which events a feed gives. NULL lists let everything through, empty ones nothing. Borrowed. */
struct qo_filter {
    const uint32_t *shards; /* 0 to 255 */
    size_t shards_count;
    const char *const *machines; /* At most 256. */
    size_t machines_count;
    const char *const *states; /* Of `to`; at most 256. */
    size_t states_count;
};

/* What to ask. Zero or NULL: left out. Members that the method does not have are ignored. */
struct qo_request {
    enum qo_method method;

    /* Every method. */
    uint32_t timeout_ms;  /* Of one copy; 0: the client's. */
    uint32_t deadline_ms; /* Of the call; 0: the client's, and with `wait_ms` that much more. */
    const char *trace;    /* Kept with the event. */
    const char *node; /* "host:port": this node only, leader or not. For races, status, tests. */

    /* create: id, machine. transition: id, event. */
    const char *id;           /* Also get, history. */
    const char *machine;      /* Also list, machine_get. */
    uint64_t machine_version; /* create, machine_get. 0: the latest. */
    const char *event;
    uint64_t expect_version; /* Versions count from 1. */
    const char *expect_state;
    const struct qo_attributes *attributes;
    const char *actor, *reason;
    const char *request_id; /* Also batch, if atomic. NULL: made of 16 random bytes, in hex. */

    /* batch: 1 to 1,024 operations. */
    const struct qo_operation *operations;
    size_t operations_count;
    bool atomic; /* All of it or nothing. */

    /* Reads. */
    enum qo_consistency consistency;
    uint64_t min_seq;       /* Wait until the answering node has this event. */
    int64_t as_of_us;       /* get: as the order was then. */
    const char *const *ids; /* get_many: 1 to 256. */
    size_t ids_count;
    uint64_t from_version;            /* history: inclusive. */
    bool descending;                  /* history */
    uint32_t limit;                   /* history, list, feed_read: 1 to 1,000; default 100. */
    const char *state;                /* list */
    int64_t entered_before_us;        /* list */
    const struct qo_attribute *match; /* list: a unique attribute; no list or map. */
    const char *cursor;               /* list: of the page before. */

    /* feed_read */
    uint64_t from_seq; /* Inclusive; 0 or 1: from the beginning; QO_SEQ_NEXT. */
    uint32_t wait_ms;  /* Wait so long for a matching event. At most 60,000. */
    uint64_t epoch;    /* That of the position; 0: not checked. */
    const struct qo_filter *filter;

    /* machine_put */
    const char *source; /* YAML */
    size_t source_size; /* Bytes; 0: up to the NUL. */
};

/* -- Calls ------------------------------------------------------------------------------------- */

struct qo_result; /* Opaque. Immutable; one may be read by several threads. */

/* Gets the result of one call, which it must release with qo_result_free(). On the client's thread.
 */
typedef void (*qo_result_fn)(struct qo_result *result, void *context);

/*
 * Asks, and waits for the result: at most `deadline_ms`. Over `calls_max` or `bytes_max` it waits
 * for room, within the same time. Gives a result, never NULL; release it with qo_result_free().
 * `request` and all it points to are borrowed. Never from a callback.
 *
 * What is repeated: a copy whose connection was lost, and answers not_leader, unavailable,
 * unknown_outcome, timeout, overloaded (not before its `retry_after_ms`) and internal with an
 * unknown effect. A refusal that comes while an earlier copy without a known end might still arrive
 * is not believed: the library waits until that copy's time is over and asks again.
 */
QO_API struct qo_result *qo_call(struct qo_client *client, const struct qo_request *request);

/*
 * As qo_call(), but returns at once: QO_CODE_OK, and then `callback` is called exactly once, never
 * inside this function but maybe before it has returned; or QO_CODE_LOCAL_OVERLOADED, or
 * QO_CODE_CLOSED while the client is being closed, and it is never called. `request` and all it
 * points to are borrowed until the return. A request that cannot be sent (QO_CODE_BAD_REQUEST) is
 * reported to the callback too.
 */
QO_API enum qo_code qo_call_async(struct qo_client *client, const struct qo_request *request,
                                  qo_result_fn callback, void *context);

/* -- What results hold ------------------------------------------------------------------------- */

struct qo_receipt {
    const char *id, *machine;
    uint64_t machine_version;
    const char *event; /* "create" on creation. */
    const char *from;  /* NULL on creation. */
    const char *to;
    uint64_t version, seq;
    int64_t at_us;
    uint64_t epoch;
    bool replayed; /* This request id had been applied before: the first receipt again. */
};

struct qo_order {
    const char *id; /* NULL in get_many: there is none, and all else is zero. */
    const char *machine;
    uint64_t machine_version;
    const char *state;
    uint64_t version;
    const struct qo_attribute *attributes; /* Sorted by name. */
    size_t attributes_count;
    int64_t created_at_us, updated_at_us, entered_at_us;
    uint64_t seq;               /* Of its last event. */
    bool is_final;              /* Its state is final. */
    const char *const *allowed; /* Events that its state accepts, sorted. */
    size_t allowed_count;
    const char *deadline_event; /* NULL: no deadline. */
    int64_t deadline_at_us;
};

struct qo_event {
    uint64_t seq;
    const char *kind; /* "order"; skip what you do not know. */
    uint64_t epoch;
    const char *id, *machine;
    uint64_t machine_version;
    uint32_t shard;
    uint64_t version;
    const char *event, *from, *to;
    int64_t at_us;
    const char *actor, *reason, *request_id, *trace;
    const struct qo_attribute *attributes; /* Those that the command brought, nil included. */
    size_t attributes_count;
};

/* Why not. Members that the code does not have are zero or NULL. */
struct qo_failure {
    enum qo_code code;
    const char *message;        /* One plain sentence; never NULL. */
    const char *field;          /* bad_request */
    bool has_limit;             /* bad_request */
    int64_t limit;              /* bad_request */
    const char *method;         /* unknown_method */
    const char *needs;          /* forbidden */
    const char *what;           /* not_found */
    uint64_t version;           /* already_exists, version_conflict */
    const char *state;          /* already_exists, version_conflict */
    const char *from, *event;   /* invalid_transition */
    const char *const *allowed; /* invalid_transition */
    size_t allowed_count;
    const char *attribute;               /* invalid_attribute, not_unique */
    const char *why;                     /* invalid_attribute, invalid_machine */
    const char *held_by;                 /* not_unique, resource_taken */
    uint64_t seq;                        /* request_id_reused */
    const char *resource;                /* resource_taken, insufficient */
    int64_t available;                   /* insufficient */
    uint32_t line, column;               /* invalid_machine */
    uint64_t epoch, first_seq, high_seq; /* position_lost */
    const char *leader;                  /* not_leader: host:port */
    uint32_t retry_after_ms;             /* unavailable, overloaded */
    const char *reason;                  /* overloaded */
    bool has_index;                      /* An atomic batch: */
    uint32_t index;                      /* the operation that failed, from 0. */
};

/* One operation of a batch that is not atomic, or was applied: in order. */
struct qo_item {
    enum qo_outcome outcome;
    const struct qo_receipt *receipt; /* QO_OUTCOME_OK */
    const struct qo_failure *failure; /* All others. */
    const char *request_id;           /* As sent: yours, or the one that was made. */
};

/* How a list, a history or a feed goes on. */
struct qo_page {
    bool more;          /* get_many, history: it stopped early. */
    const char *cursor; /* list: hand it in for the next page; NULL: this was the last. */
    uint64_t applied_seq;
    uint64_t next_seq, high_seq, epoch; /* feed_read */
};

struct qo_hello {
    int64_t protocol;
    const char *server, *cluster_id;
    uint64_t node_id;
    const char *leader; /* host:port; NULL: not known. */
    uint32_t shards;
    uint64_t epoch;
};

struct qo_ping {
    int64_t at_us;    /* Time of the last executed entry; 0: none yet. */
    int64_t clock_us; /* The node's own clock. */
};

/* machine_put: `changed`, no source. machine_get: the source. machine_list: each version once. */
struct qo_machine {
    const char *machine;
    uint64_t version;
    const char *checksum; /* Lower-case hex. */
    bool changed;
    const char *source;
    size_t source_size;
    int64_t at_us; /* machine_list */
};

struct qo_number {
    bool known; /* False: the node asked does not know it. */
    uint64_t value;
};

struct qo_member {
    uint64_t id;
    const char *address, *role, *state; /* `state` NULL: not known. */
    struct qo_number applied_index, committed_index, lag;
};

struct qo_store_size {
    const char *name;
    uint64_t bytes;
};

struct qo_status {
    const char *cluster_id;
    uint64_t node_id; /* Of the node asked. */
    const char *leader;
    uint64_t term, epoch;
    uint32_t shards;
    const struct qo_member *members;
    size_t members_count;
    uint64_t digest_index;
    const char *digest_value; /* Lower-case hex. */
    const struct qo_store_size *store;
    size_t store_count;
    uint64_t uptime_s;
};

QO_API enum qo_outcome qo_result_outcome(const struct qo_result *result);
/* QO_CODE_OK with QO_OUTCOME_OK. With QO_OUTCOME_UNKNOWN: what was seen last. */
QO_API enum qo_code qo_result_code(const struct qo_result *result);
/* Copies that were handed to a connection whole. More than 1: something was repeated. */
QO_API uint32_t qo_result_copies(const struct qo_result *result);
/* The request id of a create, a transition or an atomic batch; else NULL. */
QO_API const char *qo_result_request_id(const struct qo_result *result);
/* The node ("host:port") that answered last; NULL: none did. */
QO_API const char *qo_result_node(const struct qo_result *result);
/* NULL with QO_OUTCOME_OK, else never. */
QO_API const struct qo_failure *qo_result_failure(const struct qo_result *result);

/* The parts of a result: NULL, or a count of 0, where it has none. They live until
 * qo_result_free(). Counts are never optional. */
QO_API const struct qo_receipt *qo_result_receipt(const struct qo_result *result);
QO_API const struct qo_order *qo_result_orders(const struct qo_result *result, size_t *count_out);
QO_API const struct qo_event *qo_result_events(const struct qo_result *result, size_t *count_out);
/* A batch: with QO_OUTCOME_OK each item has a receipt or a final refusal of its own. With
 * QO_OUTCOME_UNKNOWN there are items if any answer came: look at each one's outcome. */
QO_API const struct qo_item *qo_result_items(const struct qo_result *result, size_t *count_out);
QO_API const struct qo_page *qo_result_page(const struct qo_result *result);
QO_API const struct qo_hello *qo_result_hello(const struct qo_result *result);
QO_API const struct qo_ping *qo_result_ping(const struct qo_result *result);
QO_API const struct qo_machine *qo_result_machines(const struct qo_result *result,
                                                   size_t *count_out);
QO_API const struct qo_status *qo_result_status(const struct qo_result *result);

QO_API void qo_result_free(struct qo_result *result); /* Takes; NULL is fine. */

/* -- Following the feed ------------------------------------------------------------------------ */

struct qo_feed; /* Opaque. */

/* What a feed hands to its callback. */
struct qo_feed_batch {
    const struct qo_event *events; /* Ascending seq; borrowed until the callback returns. */
    size_t events_count;           /* 0: only `next_seq` or `high_seq` moved, or it ended. */
    uint64_t next_seq;             /* Where to go on after this batch: keep it with your results. */
    uint64_t high_seq;             /* The highest seq seen so far. */
    uint64_t epoch;                /* Keep it beside `next_seq`. */
    /* Not NULL: the feed has ended, and this is the last call. position_lost: the cluster was
     * restored, or the events from `next_seq` on are gone. bad_request and other refusals: the
     * filter. QO_CODE_CLOSED: the client was closed. */
    const struct qo_failure *failure;
};

/* On the client's thread. The next batch waits until it returns. */
typedef void (*qo_feed_fn)(const struct qo_feed_batch *batch, void *context);

struct qo_feed_options {
    uint64_t from_seq; /* Inclusive; 0 or 1: from the beginning; QO_SEQ_NEXT. */
    uint64_t epoch;    /* Of that position; 0: that of the cluster when the feed begins. */
    const struct qo_filter *filter; /* Borrowed until the return; NULL: everything. */
    uint32_t credit;  /* Events that a node may send ahead. Default 1,000; at most 100,000. */
    const char *node; /* Read from this node only; NULL: from any. */
};

/*
 * Gives a feed; release it with qo_feed_close(), or by closing the client. It follows the events
 * from `from_seq` on and resumes by itself after any loss of a connection, on any node, without a
 * gap or a repeat within this process; a node that lags is waited for, never gone back to. NULL:
 * the options are out of their range, or 64 feeds of this client are open. Not from a callback.
 */
QO_API struct qo_feed *qo_feed_open(struct qo_client *client, const struct qo_feed_options *options,
                                    qo_feed_fn callback, void *context);

/* Takes the feed. After the return the callback is not running and will not be called again; from
 * inside its own callback, after that callback's return. */
QO_API void qo_feed_close(struct qo_feed *feed);

#ifdef __cplusplus
}
#endif

#endif
