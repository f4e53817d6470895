/*
 * types: what travels in answers, as plain structs.
 *
 * The same structs serve both sides: a node fills and encodes them, a client decodes them
 * (wire/response.h). Keys, their order and their meaning are those of include/PROTOCOL.md.
 *
 * Texts are slices of somebody else's memory. BYTES_NONE is nil; an empty text is not. `attributes`
 * is a canonical list (common/attributes.h), BYTES_NONE an empty one. Times are microseconds since
 * the Unix epoch.
 */
#ifndef WIRE_TYPES_H
#define WIRE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

struct wire_receipt {
    struct bytes id, machine;
    uint64_t machine_version;
    struct bytes event; /* `create` on creation. */
    struct bytes from;  /* BYTES_NONE on creation. */
    struct bytes to;
    uint64_t version, seq;
    int64_t at;
    uint64_t epoch;
    bool replayed;
};

/* A list of texts that stands elsewhere. */
struct wire_texts {
    const struct bytes *items;
    uint32_t count;
};

struct wire_order {
    struct bytes id, machine;
    uint64_t machine_version;
    struct bytes state;
    uint64_t version;
    struct bytes attributes;
    int64_t created_at, updated_at, entered_at;
    uint64_t seq; /* Of its last event. */
    bool final;
    struct wire_texts allowed; /* Sorted. */
    bool has_deadline;         /* False: `deadline` is nil and the next two mean nothing. */
    int64_t deadline_at;
    struct bytes deadline_event;
};

struct wire_event {
    uint64_t seq;
    struct bytes kind; /* `order` now; consumers skip kinds that they do not know. */
    uint64_t epoch;
    struct bytes id, machine;
    uint64_t machine_version;
    uint32_t shard;
    uint64_t version;
    struct bytes event, from, to;
    int64_t at;
    struct bytes actor, reason, request_id, trace;
    struct bytes attributes; /* Those that the command brought, nil included. */
};

/*
 * An error: `[number, message, details]`. Which of the own keys are written depends on `error`
 * alone, as the page's table says; the others are ignored. After decoding, what the error does not
 * have is zero.
 */
struct wire_failure {
    enum qo_error error;
    struct bytes message;      /* BYTES_NONE when encoding: a sentence made from the rest. */
    bool unknown_effect;       /* `applied` is nil. Encoding: counts with QO_INTERNAL only;
                                  QO_UNKNOWN_OUTCOME is always nil, all others are false. */
    struct bytes field;        /* bad_request: a path, `message` for the whole. */
    bool has_limit;            /* bad_request */
    int64_t limit;             /* bad_request: the limit that was passed, or as_of's last time. */
    struct bytes method;       /* unknown_method */
    struct bytes needs;        /* forbidden */
    struct bytes what;         /* not_found */
    uint64_t version;          /* already_exists, version_conflict */
    struct bytes state;        /* already_exists, version_conflict */
    struct bytes from, event;  /* invalid_transition */
    struct wire_texts allowed; /* invalid_transition */
    struct bytes attribute;    /* invalid_attribute, not_unique */
    struct bytes why;          /* invalid_attribute, invalid_machine */
    struct bytes held_by;      /* not_unique, resource_taken */
    uint64_t seq;              /* request_id_reused */
    struct bytes resource;     /* resource_taken, insufficient */
    int64_t available;         /* insufficient */
    uint32_t line, column;     /* invalid_machine */
    uint64_t epoch, first_seq, high_seq; /* position_lost */
    struct bytes leader;                 /* not_leader: host:port or BYTES_NONE. */
    bool has_retry_after_ms;             /* unavailable; overloaded always has it. */
    uint32_t retry_after_ms;             /* unavailable, overloaded */
    struct bytes reason;                 /* overloaded; BYTES_NONE: left out. */
    bool has_index;                      /* An atomic batch: */
    uint32_t index;                      /* the operation that failed. */
};

struct wire_hello {
    int64_t protocol;
    struct bytes server, cluster_id;
    uint64_t node_id;
    struct bytes leader; /* host:port or BYTES_NONE. */
    uint32_t shards;
    uint64_t epoch;
    /* `limits` is written from common/limits.h; a client that wants one looks with the reader. */
};

struct wire_ping {
    int64_t at, clock;
};

/* The answer to peer.hello. */
struct wire_peer_hello {
    uint64_t clock_us; /* The node's monotonic clock, when it answered. */
};

struct wire_machine_put {
    struct bytes machine;
    uint64_t version;
    struct bytes checksum; /* Lower-case hex. */
    bool changed;
};

struct wire_machine {
    struct bytes machine;
    uint64_t version;
    struct bytes checksum, source;
};

struct wire_machine_version {
    uint64_t version;
    struct bytes checksum;
    int64_t at;
};

/* A number that a node may not know of another: nil. */
struct wire_known {
    bool known;
    uint64_t value;
};

struct wire_member {
    uint64_t id;
    struct bytes address, role, state; /* `state` BYTES_NONE: not known. */
    struct wire_known applied_index, committed_index, lag;
};

struct wire_store_size {
    struct bytes name;
    uint64_t bytes;
};

struct wire_status {
    struct bytes cluster_id;
    uint64_t node_id;
    struct bytes leader;
    uint64_t term, epoch;
    uint32_t shards;
    const struct wire_member *members;
    uint32_t members_count;
    uint64_t digest_index;
    struct bytes digest_value; /* Lower-case hex. */
    const struct wire_store_size *store;
    uint32_t store_count;
    uint64_t uptime_s;
};

#endif
