/*
 * state: the inside of `struct apply`, for the files of this module.
 *
 * Words    entry: what is being executed. Group: one command of it, all or nothing. Change: what
 *          one decided operation will write. Cause: what of a command goes into its event.
 * Rule     deciding writes nothing but scratch memory; change.c alone touches the batch, the cache
 *          and the overlays, after the whole group was decided. A failed group leaves no
 *          trace but its outcome.
 * Memory   `scratch` lives until the end of the entry, `results` as long as the caller says. Both
 *          keep their chunks, so that a warm state does not allocate.
 * Thread   state.
 */
#ifndef APPLY_STATE_H
#define APPLY_STATE_H

#include "apply/apply.h"
#include "cache.h"
#include "overlay.h"
#include "pages.h"

/* An operation (or timer) with what the prefetch found out. */
struct prepared_operation {
    uint64_t hash; /* XXH64 of the order's id. */
    uint32_t shard;
    bool absent; /* The store had no such order before this entry. */
};

struct prepared_command {
    struct command command;
    struct prepared_operation *operations; /* One for a timer, none for a definition. */
};

/* The events of the entry, for replays inside it: in `events`, the n-th of the entry at places[n].
 */
struct event_place {
    size_t at, size;
};

struct unique_write {
    uint16_t attribute;      /* Number in the registry. */
    struct bytes key, value; /* Of the overlay; of the store. */
};

/* Versions of an order whose request ids share a fingerprint. */
struct versions {
    const uint64_t *list;
    uint32_t count;
};

struct change {
    struct bytes id;
    uint64_t hash;
    uint32_t shard;
    const struct definition *definition;
    uint64_t seq, version;
    struct bytes record;
    struct sha256 chain;
    bool entered;        /* It gets a list row. */
    uint16_t from;       /* The state before it; RECORD_NONE: a creation. */
    uint16_t state;      /* The state after it. */
    uint16_t left_state; /* RECORD_NONE: a creation, or it stays. */
    uint64_t left_entered_seq;
    int64_t deadline_left, deadline_put; /* 0: none. */
    int64_t left_given_at;               /* When the log gave it `deadline_left`. */
    uint64_t entered_version;
    struct unique_write *uniques; /* Claimed, or with `frees` given back. */
    uint32_t uniques_count;
    bool frees;
    const struct page_block *spill; /* Fingerprints that leave the record; NULL: none. */
    struct versions collisions;     /* Older versions with the fingerprint of this one. */
    uint32_t fingerprint;
};

/* What of a command goes into an event. */
struct cause {
    struct bytes request_id, trace, actor, reason;
    struct content_digest content;
    uint16_t event; /* RECORD_NONE: create. */
    uint16_t operation, operations;
    bool timer;
    bool remembered; /* The record takes the fingerprint of the request id. */
    uint32_t fingerprint;
    struct versions collisions;
};

struct apply {
    struct store *store;
    struct registry *registry;
    uint32_t shards;
    struct cache *cache;
    struct applied_point applied; /* With what of the entry is executed already. */
    struct apply_counters counters;

    /* Of the entry. */
    struct arena scratch;
    struct arena *results;
    uint64_t first_seq; /* Of the entry's events. */
    uint64_t next_seq;  /* Of the next event; runs ahead of applied.seq inside a group. */
    struct buf events;
    struct event_place *places;
    uint32_t places_capacity;
    struct overlay unique, spilled;
    struct buf trail; /* What enters the digest: digest.c. */

    /* Of the group. */
    struct overlay group_orders, group_unique;

    /* Of the operation. */
    struct order_record record;
    struct buf fetched, read_event, machine_out, encoded, page;
};

/* -- replay.c ------------------------------------------------------------------------------ */

/* The event with this seq, of this entry or the store; it must exist. Valid until the next call. */
void event_read(struct apply *apply, uint64_t seq, struct event_record *event_out);

/* The fingerprint that a record keeps of a request id. */
uint32_t request_fingerprint(struct bytes request_id);

struct replay_hit {
    uint64_t seq;   /* The order's first event with this request id. */
    uint64_t first; /* The first event of the command that caused it. */
    uint16_t operations;
    struct content_digest content;
};
/* True if an event of the order carries this request id. Else `collisions_out` are the versions
 * that only share its fingerprint (nearly always none). */
bool replay_find(struct apply *apply, struct bytes id, uint32_t shard,
                 const struct order_record *record, struct bytes request_id,
                 struct replay_hit *hit_out, struct versions *collisions_out);
/* Notes what change_write() has to put so that replay_find() finds it later. */
void replay_spill(struct apply *apply, const struct change *change);

/* -- decide.c ------------------------------------------------------------------------------ */

/* Decides one operation; fills cause->event. `record` is the order's, if it exists; it becomes the
 * new one. False: refused, with the outcome filled. */
bool decide_operation(struct apply *apply, const struct operation *operation, struct cause *cause,
                      bool exists, struct order_record *record, struct outcome *outcome,
                      struct change *change);
/* What was decided becomes record, event and change; nothing is written. `record->version` is 0 for
 * a creation. */
void decide_change(struct apply *apply, struct order_record *record,
                   const struct machine_step *step, const struct cause *cause,
                   struct change *change);

/* The log's time when the order got the deadline that it has. */
int64_t decide_given_at(const struct machine *machine, const struct order_record *record);

/* -- change.c ------------------------------------------------------------------------------ */

/* The newest record of the order: of the group, the entry, the store. False: there is none. */
bool order_load(struct apply *apply, struct bytes id, const struct prepared_operation *prepared,
                struct order_record *record_out);
/* The order's timeout is spent without an event: record and row lose the deadline. */
void order_forget_deadline(struct apply *apply, struct bytes id,
                           const struct prepared_operation *prepared, struct order_record *record);
/* Puts a decided change into the batch, the cache and the overlays. In order of seq. */
void change_write(struct apply *apply, const struct change *change);
/* Forgets the events of a group that failed. */
void change_forget(struct apply *apply);

/* -- one per kind of command: group.c, timer.c, definition.c ------------------------------- */

void group_execute(struct apply *apply, uint32_t number, const struct prepared_command *prepared,
                   struct command_result *result);
void timer_execute(struct apply *apply, uint32_t number, const struct prepared_command *prepared,
                   struct command_result *result);
void definition_execute(struct apply *apply, uint32_t number,
                        const struct prepared_command *prepared, struct command_result *result);

/* -- digest.c ------------------------------------------------------------------------------ */

enum trail_code {
    TRAIL_APPLIED = 1,
    TRAIL_REPLAYED = 2,
    TRAIL_DEFINED = 3,
    TRAIL_DEFINED_BEFORE = 4,
    TRAIL_TIMER_VOID = 5,    /* No longer, or not yet, to be fired. */
    TRAIL_TIMER_REFUSED = 6, /* Due, but the machine refused its event: the timeout is spent. */
    /* A refusal: the protocol's number, 100 or more. */
};
void trail_begin(struct apply *apply, uint64_t index);
void trail_add(struct apply *apply, uint32_t command, uint32_t operation, uint32_t code,
               uint64_t value);
void trail_refusal(struct apply *apply, uint32_t command, uint32_t operation,
                   const struct outcome *outcome);
/* Moves the cluster's digest over the entry. */
void trail_end(struct apply *apply);

#endif
