/*
 * steps: what rows imply: a creation and events, all of them in one order of time.
 *
 * A row's times imply `create`, `approve`, `ship` and `deliver`. If its status is another than the
 * last of these leads to, the event of its status follows after all its times: without an attribute
 * that says when, since the row does not say. The machine decides; nothing is corrected here.
 *
 * Thread: main; then read only but for the outcome, which the worker writes that has the step.
 */
#ifndef REPLAY_STEPS_H
#define REPLAY_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include "quorder.h"
#include "rows.h"

enum { STEP_WHY_SIZE = 160, STEP_STATE_SIZE = 65, STEPS_OF_A_ROW_MAX = 5 };

enum step_outcome {
    STEP_OPEN, /* Not sent yet. */
    STEP_ACKNOWLEDGED,
    STEP_REFUSED,
    STEP_FAILED, /* Certainly without effect, but not for a reason in the data. */
    STEP_UNKNOWN,
};

struct step {
    uint32_t row;
    uint32_t next; /* Of the same order, waiting behind it; STEP_NONE at the end. */
    int64_t at_us;
    const char *event; /* "create" too. Constant. */
    const char *time;  /* The attribute that says when; NULL: the row does not. Constant. */
    uint8_t rank;      /* Of the steps of a row at one time. */
    uint8_t outcome;   /* enum step_outcome */
    bool replayed;
    enum qo_code code;
    uint64_t seq, version;
    char to[STEP_STATE_SIZE];
    char why[STEP_WHY_SIZE]; /* Of what was not acknowledged. */
};
#define STEP_NONE UINT32_MAX

struct steps {
    struct step *items; /* In order of time, then of row, then of rank. */
    uint32_t count;
};

void steps_make(struct steps *steps_out, const struct rows *rows);
void steps_free(struct steps *steps);

#endif
