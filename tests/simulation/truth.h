/*
 * truth: what is known of the whole cluster, and the checks that are made against it after every
 * event. Anything that does not hold is a finding and ends the run.
 *
 *   one log          what one member knows to be committed at an index is the same on all, for ever
 *   one leader       at most one member leads a term
 *   nothing lost     who becomes ready to lead has handed over all that was acknowledged in its own
 *                    or an earlier term
 *   one state        every command came to what the model says, and digests are equal at equal
 *                    indexes, on every member, also when it executes again after a crash
 *   no stale answer  what is answered was executed at an index above all that were answered before
 *                    it was asked; a linearizable read shows the model's order at such an index
 *   one feed         every event once, in order, with the model's content
 *
 * Thread: the run's.
 */
#ifndef SIMULATION_TRUTH_H
#define SIMULATION_TRUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "apply/apply.h"
#include "feed/feed.h"
#include "model.h"
#include "store/store.h"

/* Member `id` knows that this entry is committed. BYTES_NONE: the log's own. */
void truth_committed(unsigned id, uint64_t index, uint64_t term, struct bytes entry);
/* It believes that it leads `term`. */
void truth_leads(unsigned id, uint64_t term);
/* It is ready to lead `term`, and has handed over everything up to `index`. */
void truth_ready(unsigned id, uint64_t term, uint64_t index);
/* It has executed the entry, or the log's own if `results` is NULL. */
void truth_executed(unsigned id, const struct apply_results *results,
                    const struct applied_point *applied);
/* It starts with a state as of `applied`. */
void truth_started(unsigned id, const struct applied_point *applied);

/* The highest index that anything answered so far was executed or read at. */
uint64_t truth_floor(void);

struct truth_answer {
    unsigned member;
    uint64_t term;  /* In which the member took the request. */
    uint64_t floor; /* truth_floor() when the client asked first. */
    uint64_t index; /* At which it was executed, or as of which it was read. */
    uint32_t request;
    uint32_t command; /* Which of the entry's. */
};
/* A command's result leaves the member. */
void truth_answered(const struct truth_answer *answer);

struct truth_read {
    uint32_t order;
    bool found;
    uint64_t version, seq;
    struct bytes state;
    uint32_t note;
};
/* A linearizable read's result leaves the member. */
void truth_read(const struct truth_answer *answer, const struct truth_read *read);

/* An event that a consumer was given by member `id`; it wanted the one with `seq`. */
void truth_fed(unsigned id, uint64_t seq, const struct event_record *event,
               const struct definition *definition);

/* The last committed index that any member knows of. */
uint64_t truth_head(void);

/* The last index at which the member's log holds what is committed; what follows is a tail that
 * will be truncated, or is not known to be committed. */
uint64_t truth_common(unsigned id);

#endif
