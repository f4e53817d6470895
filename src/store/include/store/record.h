/*
 * record: what the store keeps of one order, and of one event.
 *
 * An order's record is all that is needed to decide its next command: one get. An event is written
 * once under its seq and serves history, audit and feed. Both are encoded with their format version
 * as the first byte; the encodings are tables in record.c. Names of machines, states and events are
 * stored as numbers: a definition is never changed or removed, so a number means the same for ever
 * (store/registry.h).
 *
 * Thread: any; pure. Memory: decoded records point into the bytes they were decoded from.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/hash.h"
#include "common/limits.h"

#define RECORD_NONE 0xffffu /* `from` and `event` of a creation; no state has this number. */
#define RECORD_PREFIXES_MAX 64u

struct content_digest {
    uint8_t bytes[16]; /* The first 16 bytes of SHA-256 over a command's canonical content. */
};

struct order_record {
    uint16_t definition; /* Number in the registry. */
    uint16_t state;      /* Index in that definition. */
    uint64_t version;    /* Events so far, from 1. */
    uint64_t seq;        /* Of the last event. */
    int64_t created_at, updated_at;
    /* Entry into the present state. A staying event changes none of these. */
    uint64_t entered_seq, entered_version;
    int64_t entered_at;
    int64_t deadline;    /* Microseconds; 0: none. */
    struct sha256 chain; /* Chain hash of the last event. */
    /* Seqs of the versions that arise from `version` by clearing its lowest set bit again and
     * again, oldest first, `version` itself last: popcount(version) of them. `jump` of the next
     * event is found here. */
    uint32_t prefixes_count;
    uint64_t prefixes[RECORD_PREFIXES_MAX];
    /* Low 32 bits of XXH64 of the request id of version v, in slot v % QO_FINGERPRINTS_MAX, for the
     * last QO_FINGERPRINTS_MAX versions; a set bit in `fingerprints_set` says the version has one.
     */
    uint32_t fingerprints[QO_FINGERPRINTS_MAX];
    uint32_t fingerprints_set;
    struct bytes attributes; /* A canonical list. */
};

/* Appends the encoding. */
void order_record_encode(const struct order_record *record, struct buf *out);
/* False if the bytes are no record: the caller stops the node. */
bool order_record_decode(struct bytes encoded, struct order_record *record_out);

enum event_kind { EVENT_KIND_ORDER = 1 };

struct event_record {
    uint64_t seq; /* The key; not in the value. */
    enum event_kind kind;
    bool timer;         /* Caused by a timer: actor `timer`, no request id. */
    uint16_t operation; /* Place in its atomic group: seq - operation is the group's first event. */
    uint16_t operations; /* Operations of that group. */
    uint32_t epoch;
    uint16_t definition, event, from, to;
    uint8_t shard;
    uint64_t version;
    int64_t at;
    uint64_t prev; /* Seq of the version before; 0 for version 1. */
    uint64_t jump; /* Seq of version v & (v - 1); 0 where that is 0. */
    /* The order after this event, for reads as of a time. */
    uint64_t entered_seq;
    int64_t entered_at, deadline;
    struct content_digest content;
    struct sha256 chain;
    struct bytes id, request_id, trace; /* request_id, trace: data NULL: absent. */
    /* Personal: enters the chain by its own hash, see event_record_chain(). */
    struct bytes actor, reason; /* data NULL: absent. */
    struct bytes attributes;    /* Brought by the command, canonical list, nil included. */
    struct bytes held;          /* All attributes, where version % QO_SNAPSHOT_EVERY == 0. */
};

void event_record_encode(const struct event_record *event, struct buf *out);
bool event_record_decode(uint64_t seq, struct bytes encoded, struct event_record *event_out);

/*
 * The chain hash of an event: SHA-256(hash of the version before || body || SHA-256(personal)),
 * where body is every other field. So the chain can still be verified after the personal part was
 * replaced by its hash. `previous` is all zero for version 1; event->chain is not read.
 */
struct sha256 event_record_chain(const struct event_record *event, struct sha256 previous);

#endif
