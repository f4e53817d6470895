/*
 * work: workers that send steps in order of time, and look at every order at the end.
 *
 * A worker takes the next step of all; if another one is still busy with an earlier step of the
 * same order, it leaves the step to that one and takes the next. So steps begin in order of time,
 * and those of one order follow one another strictly. Each worker waits for its call, which
 * libquorder repeats with the same request id until the outcome is known.
 *
 * Thread: each worker is one. One mutex guards what they share: the next step, each order's queue,
 * the counters, the file of acknowledgements; it is never held over a call.
 */
#ifndef REPLAY_WORK_H
#define REPLAY_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "quorder.h"
#include "rows.h"
#include "steps.h"

enum { WORKERS_MAX = 1024 };

/* What is known of one row's order. */
struct order_state {
    bool busy;             /* A worker has a step of it. */
    uint32_t first, last;  /* Its queue of steps; STEP_NONE: empty. */
    uint64_t version, seq; /* Of the last acknowledgement; 0: none. */
    char state[STEP_STATE_SIZE];
    bool existed;           /* Its creation had been applied before: by an earlier run, or by an
                               earlier copy in this one. */
    bool wrong;             /* Some answer contradicts another; `why` says how. */
    bool looked;            /* The final order.get was answered, the next two are set. */
    uint64_t final_version; /* 0: there is no such order. */
    char final_state[STEP_STATE_SIZE];
    char why[2 * STEP_WHY_SIZE];
};

struct work_options {
    struct qo_client *client;
    const char *machine;
    const char *prefix; /* Put before each order id; "" for none. */
    uint32_t workers;
    uint32_t rate;      /* Steps a second; 0: as fast as answers come. */
    FILE *acknowledged; /* One JSON object a line for each; NULL: none. */
    bool quiet;
};

/* Sends all steps, then reads every order. `states` has room for every row and is zeroed. */
void work_run(const struct work_options *options, const struct rows *rows, struct steps *steps,
              struct order_state *states);

/* The id of a row's order. */
enum { WORK_ID_SIZE = 2 * ROW_ID_SIZE };
void work_id(const struct work_options *options, const struct row *row, char out[WORK_ID_SIZE]);

#endif
