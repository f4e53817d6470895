/*
 * plan: which event the load sends in which state, worked out from the machine's definition.
 *
 * A machine is fit for the load if orders of it can be made without attributes and each of its
 * states that an order can come into has an event that leads to another state and takes the text
 * attribute `note`. cluster/machines/bench.yaml is made for it and built into the program.
 *
 * Thread: main while it is made; then read only.
 */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"

struct machine;

#define PLAN_ATTRIBUTE "note"

struct plan_step {
    bool goes;
    uint16_t to;
    struct bytes event, from_name, to_name; /* The machine's. */
};

struct plan {
    struct machine *machine;
    struct bytes source; /* The caller's. */
    struct bytes name;
    uint16_t initial;
    struct plan_step steps[QO_STATES_MAX]; /* By state. */
};

/* The definition that is built in. */
struct bytes plan_builtin(void);

/* False after printing why `source`, which must outlive the plan, is not fit. */
bool plan_make(struct plan *plan_out, struct bytes source);
void plan_free(struct plan *plan);

#endif
