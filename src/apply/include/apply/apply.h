/*
 * apply: a log entry becomes state. The heart: prefetch, execute, commit.
 *
 * apply_execute() is a plain function of (state, entry): no clock, no chance, no thread, no socket.
 * It decides each command in log order, puts all results and the applied index into one batch of
 * the store, commits it, and gives the results. The same log gives the same bytes on every node.
 *
 * Order of checks: include/PROTOCOL.md, "Checked in this order". The replay check comes before
 * version and state.
 *
 * Thread: state (or the caller's, in tests and in the simulated world).
 */
#ifndef APPLY_APPLY_H
#define APPLY_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "apply/entry.h"
#include "common/arena.h"
#include "common/error.h"
#include "machine/machine.h"
#include "store/store.h"

struct apply;

struct apply_options {
    uint64_t cache_bytes; /* Bound of the cache of hot records; 0: the default, 256 MiB. */
};

struct receipt {
    struct bytes id;
    const struct definition *definition;
    uint16_t event, from, to; /* RECORD_NONE: create / nil */
    uint64_t version, seq;
    int64_t at;
    uint32_t epoch;
    bool replayed;
};

/* What one operation (or definition, or timer) came to. Own keys of an error as in the protocol. */
struct outcome {
    enum qo_error error; /* QO_OK: `receipt` (operations) or `definition` (COMMAND_DEFINITION). */
    struct receipt receipt;
    const struct definition *definition; /* COMMAND_DEFINITION: accepted, or there already. */
    bool changed;                        /* COMMAND_DEFINITION */
    const char *what;                    /* not_found */
    uint64_t version;                    /* already_exists, version_conflict */
    struct bytes state;                  /* the same; invalid_transition: `from` */
    struct bytes event;                  /* invalid_transition */
    const struct definition *of;         /* invalid_transition: whose events `allowed` are, */
    uint16_t of_state;                   /*   in this state */
    struct bytes attribute;              /* invalid_attribute, not_unique */
    enum machine_why why;                /* invalid_attribute */
    struct bytes held_by;                /* not_unique */
    uint64_t seq;                        /* request_id_reused */
    uint32_t line, column;               /* invalid_machine */
    const char *why_machine;             /* invalid_machine */
    const char *field;                   /* bad_request (attributes too large once merged) */
    uint64_t limit;
};

/* One per command. A group that succeeded has one outcome per operation; one that failed has a
 * single outcome, and `index` names the operation. A definition has one. A timer that fired has
 * one, one that had nothing to do has none, and neither has failed. */
struct command_result {
    enum command_kind kind;
    bool failed;
    uint32_t index;
    uint32_t outcomes_count;
    struct outcome *outcomes;
};

struct apply_results {
    struct entry_header header;
    bool skipped; /* At or below the applied index: nothing was done, there are no results. */
    uint64_t index;
    uint64_t events_count; /* How many seqs it took. */
    uint32_t commands_count;
    struct command_result *commands;
};

/* Borrows `store` until apply_close(). */
struct apply *apply_open(struct store *store, const struct apply_options *options);
void apply_close(struct apply *apply);

/*
 * Executes the entry at `index`, in log order. Borrows `entry` until it returns. `results_out` and
 * all it points at live in `arena` (texts too), or as long as the registry. Ends the node on bytes
 * that it does not understand (FATAL_LEVEL, FATAL_CORRUPT) and on storage errors.
 */
void apply_execute(struct apply *apply, uint64_t index, uint64_t term, struct bytes entry,
                   struct arena *arena, struct apply_results *results_out);

/* True if apply_execute() of the entry, as the next one, would be short and wait for no disk: one
 * operation on an order that the cache holds and for which nothing else has to be read, and a store
 * that takes a commit at once. Only where it is executed may depend on it. Thread: state. */
bool apply_light(struct apply *apply, struct bytes entry);

/* Moves the applied point to `index`, whose entry and perhaps some before it are the log's own
 * (barriers, configurations) and never come here. Everything else up to there has been executed.
 * Does nothing if `index` is not above the applied index. One commit. */
void apply_advance(struct apply *apply, uint64_t index, uint64_t term);

struct apply_counters {
    uint64_t entries, commands, operations, events, refusals, replays, timers_fired, timers_void;
    uint64_t cache_hits, cache_misses;
};
struct apply_counters apply_counters(const struct apply *apply);

#endif
