/*
 * request: what a client asks, from a message to a struct and back.
 *
 * wire_decode_request() does everything that include/PROTOCOL.md calls shape and limits: envelope,
 * keys, types, ranges, texts, the canonical form of attributes, the content digest. What it lets
 * through needs no second look; what it refuses comes as a ready answer. It knows no orders and no
 * machines: whether a name means anything is decided later.
 *
 * Words
 *   left out   the key is missing or nil (inside `attributes` nil is a value)
 *   canonical  the one encoding of a value: common/attributes.h
 *   content    the first 16 bytes of SHA-256 over the canonical command, see `wire_content`
 *
 * Thread: any, one at a time per decoder. Memory: texts point into the message, everything made
 * anew stands in the arena given. With a warm decoder and arena nothing is allocated.
 */
#ifndef WIRE_REQUEST_H
#define WIRE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/attributes.h"
#include "common/bytes.h"
#include "wire/cut.h"
#include "wire/types.h"

/* Who answers a request. */
enum wire_class {
    WIRE_CLASS_LOCAL,        /* The node asked, also without a leader. */
    WIRE_CLASS_LINEARIZABLE, /* A read that is never stale. */
    WIRE_CLASS_WRITE,        /* A command: through the log. */
    WIRE_CLASS_PEER,         /* Between nodes: no part of the contract. */
};

/* X(method, name, class when nothing in the params says otherwise). Reads that take `consistency`
 * become WIRE_CLASS_LOCAL by it. */
#define WIRE_METHOD_MAP(X)                                                                         \
    X(WIRE_HELLO, "hello", WIRE_CLASS_LOCAL)                                                       \
    X(WIRE_PING, "ping", WIRE_CLASS_LOCAL)                                                         \
    X(WIRE_ORDER_CREATE, "order.create", WIRE_CLASS_WRITE)                                         \
    X(WIRE_ORDER_TRANSITION, "order.transition", WIRE_CLASS_WRITE)                                 \
    X(WIRE_ORDER_GET, "order.get", WIRE_CLASS_LINEARIZABLE)                                        \
    X(WIRE_ORDER_GET_MANY, "order.get_many", WIRE_CLASS_LINEARIZABLE)                              \
    X(WIRE_ORDER_HISTORY, "order.history", WIRE_CLASS_LINEARIZABLE)                                \
    X(WIRE_ORDER_LIST, "order.list", WIRE_CLASS_LINEARIZABLE)                                      \
    X(WIRE_ORDER_BATCH, "order.batch", WIRE_CLASS_WRITE)                                           \
    X(WIRE_FEED_READ, "feed.read", WIRE_CLASS_LOCAL)                                               \
    X(WIRE_FEED_SUBSCRIBE, "feed.subscribe", WIRE_CLASS_LOCAL)                                     \
    X(WIRE_FEED_CREDIT, "feed.credit", WIRE_CLASS_LOCAL)                                           \
    X(WIRE_FEED_UNSUBSCRIBE, "feed.unsubscribe", WIRE_CLASS_LOCAL)                                 \
    X(WIRE_MACHINE_PUT, "machine.put", WIRE_CLASS_WRITE)                                           \
    X(WIRE_MACHINE_GET, "machine.get", WIRE_CLASS_LINEARIZABLE)                                    \
    X(WIRE_MACHINE_LIST, "machine.list", WIRE_CLASS_LINEARIZABLE)                                  \
    X(WIRE_CLUSTER_STATUS, "cluster.status", WIRE_CLASS_LOCAL)                                     \
    X(WIRE_PEER_HELLO, "peer.hello", WIRE_CLASS_PEER)                                              \
    X(WIRE_PEER_FORWARD, "peer.forward", WIRE_CLASS_PEER)

enum wire_method {
#define X(name, text, class) name,
    WIRE_METHOD_MAP(X)
#undef X
};
enum {
#define X(name, text, class) +1
    WIRE_METHODS_COUNT = 0 WIRE_METHOD_MAP(X)
#undef X
};

/* The method's name on the wire. */
struct bytes wire_method_name(enum wire_method method);

enum wire_consistency { WIRE_LINEARIZABLE, WIRE_LOCAL };
enum wire_operation_kind { WIRE_CREATE, WIRE_TRANSITION };

struct wire_content {
    uint8_t bytes[16];
};

/* One create or transition: of its own, or of a batch. */
struct wire_operation {
    enum wire_operation_kind kind;
    struct bytes id;
    struct bytes machine;      /* create */
    bool has_machine_version;  /* create */
    uint64_t machine_version;  /* create; any number: whether it exists is decided later. */
    struct bytes event;        /* transition */
    bool has_expect_version;   /* transition */
    uint64_t expect_version;   /* transition; any number: 0 and 2^64-1 simply never hold. */
    struct bytes expect_state; /* transition; BYTES_NONE: left out. */
    struct bytes attributes;   /* Canonical list; BYTES_NONE if left out or empty. */
    struct bytes actor, reason, request_id; /* BYTES_NONE: left out. */
    /* Of this command; in an atomic batch that of the whole batch. */
    struct wire_content content;
};

/* Names that a filter lets through: sorted, without duplicates. Absent is no filter; present and
 * empty lets nothing through. */
struct wire_names {
    bool present;
    struct wire_texts names;
};

struct wire_shards {
    bool present;
    uint64_t
        bits[4]; /* Bit s % 64 of word s / 64: shard s passes. Numbers over 255 name nothing. */
};

/* What a field means for which method says the page. Fields that the method does not have are
 * zero. Texts left out are BYTES_NONE. */
struct wire_request {
    enum wire_method method;
    enum wire_class class;
    bool notification; /* feed.credit only: nothing is answered. */
    uint32_t msgid;    /* 0 for a notification. */

    struct bytes trace;
    uint32_t timeout_ms; /* Default filled in. */

    /* order.create, order.transition: one operation. order.batch: 1 to QO_OPERATIONS_MAX. */
    struct wire_operation *operations; /* In the arena. */
    uint32_t operations_count;
    bool atomic;                 /* order.batch */
    struct bytes request_id;     /* order.batch, atomic only; elsewhere the operation's. */
    struct wire_content content; /* order.batch, atomic only; elsewhere the operation's. */

    enum wire_consistency consistency;
    bool has_min_seq;
    uint64_t min_seq;

    struct bytes id;       /* order.get, order.history */
    bool has_as_of;        /* order.get */
    int64_t as_of;         /* Times over 2^63-1 are 2^63-1. */
    struct wire_texts ids; /* order.get_many, as asked: 1 to QO_IDS_MAX. */
    bool has_from_version; /* order.history; left out: 1, or the newest if descending. */
    uint64_t from_version;
    bool descending;
    uint32_t limit; /* history, list, feed.read; default filled in. */

    struct bytes machine; /* order.list, machine.get */
    struct bytes state;
    bool has_entered_before;
    int64_t entered_before;
    struct bytes attribute; /* order.list: BYTES_NONE, or a name, and then the next two are set. */
    enum value_type value_type;
    struct bytes value; /* Canonical; never nil. A float stays a float. */
    struct bytes cursor;

    bool has_from_seq; /* feed.*; left out: from the next event on. */
    uint64_t from_seq;
    uint32_t wait_ms;
    bool has_epoch;
    uint64_t epoch;
    struct wire_shards shards;
    struct wire_names machines, states;
    uint64_t subscription;
    uint64_t credit; /* 1 to QO_CREDIT_MAX */

    struct bytes source; /* machine.put: UTF-8, may hold control characters, may be empty. */
    bool has_version;    /* machine.get */
    uint64_t version;

    bool has_protocol; /* hello */
    int64_t protocol;
    struct bytes client, token; /* As long as the message allows: cut them before logging. */

    /* Between nodes. peer.hello: cluster_id, node_id. peer.forward: node_id (the origin), when the
     * client's time ends by the monotonic clock of the node that is asked, and the client's
     * message, whole, as it came. */
    struct bytes cluster_id;
    uint64_t node_id;
    uint64_t deadline_us;
    struct bytes message;
};

/* A message that is no request that we take: what to answer, and whether to go on. */
struct wire_refusal {
    uint32_t msgid; /* 0 where unknown. */
    bool close;     /* No message of the protocol: answer, then close the connection. */
    bool silent;    /* A notification that is a defect: log `failure`, answer nothing, close. */
    struct wire_failure failure; /* `message` is filled in. Texts in the message or the arena. */
};

/* Buffers that a decoder uses again for each message. Zeroed: empty. One per thread is enough. */
struct wire_decoder {
    struct buf values;  /* Canonical values of one attribute map. */
    struct buf entries; /* Keys and places of the maps that are being sorted. */
    struct buf scratch; /* Lists and contents, before they are copied or hashed. */
};
void wire_decoder_free(struct wire_decoder *decoder);

/*
 * Decodes one message, as wire_cut() found it.
 *
 *   decoder      its buffers grow to what the largest message needed, and stay
 *   message      borrowed until the arena is reset: texts of the request point into it
 *   arena        gets lists, operations, paths
 *   request_out  written whole on true
 *   refusal_out  written whole on false
 *
 * Any bytes are fine: also such as wire_cut() would not have cut. Never asserts on them.
 */
bool wire_decode_request(struct wire_decoder *decoder, struct bytes message, struct arena *arena,
                         struct wire_request *request_out, struct wire_refusal *refusal_out)
    __attribute__((warn_unused_result));

/* The refusal for a stream in which wire_cut() found no message (WIRE_CUT_TOO_LARGE or
 * WIRE_CUT_MALFORMED), with the msgid if the message came so far. */
struct wire_refusal wire_refuse_cut(enum wire_cut cut, struct bytes available);
/* The refusal for a message that did not come whole in time. */
struct wire_refusal wire_refuse_half(void);

/*
 * Appends a request as a message: the other side of wire_decode_request(), for clients and for
 * links between nodes. Texts that are BYTES_NONE, numbers whose `has_` is false, a `limit`,
 * `wait_ms` or `timeout_ms` of 0 and values that are the default are left out. `content` is not
 * sent. Checks nothing: what the page refuses, the node will refuse.
 */
void wire_encode_request(struct buf *buf, const struct wire_request *request);

/*
 * The content of one command: the first 16 bytes of SHA-256 over canonical MessagePack,
 *   [method, {params}]                                  a create or a transition
 *   ["order.batch", {"atomic": true, "operations": [{params and "op"} ...]}]  an atomic batch
 * keys sorted; without `request_id`, `trace` and `timeout_ms`; what is left out or an empty
 * `attributes` is not there; a top-level attribute that is a float equal to an integer of at most
 * 2^53 is that integer. This encoding is fixed for ever: digests stand in orders' histories.
 * wire_decode_request() has called these already. `scratch` is overwritten.
 */
struct wire_content wire_content_of_operation(struct buf *scratch,
                                              const struct wire_operation *operation);
struct wire_content wire_content_of_batch(struct buf *scratch,
                                          const struct wire_operation *operations, uint32_t count);

/*
 * Makes a MessagePack map a canonical attribute list, or one value canonical: for clients, tools
 * and answers read back. The same code as in wire_decode_request().
 *
 *   map, value    one whole object
 *   list_out      in the arena; BYTES_NONE for an empty map
 *   failure_out   on false: the field counted from `attributes`
 */
bool wire_canonical_attributes(struct wire_decoder *decoder, struct bytes map, struct arena *arena,
                               struct bytes *list_out, struct wire_failure *failure_out);
bool wire_canonical_value(struct wire_decoder *decoder, struct bytes value, struct arena *arena,
                          enum value_type *type_out, struct bytes *value_out,
                          struct wire_failure *failure_out);

#endif
