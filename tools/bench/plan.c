/* See plan.h. Thread: main. */
#include "plan.h"

#include <stdio.h>

#include "builtin.h"
#include "common/attributes.h"
#include "machine/machine.h"

struct bytes
plan_builtin(void)
{
    return bytes_make(builtin_machine, sizeof builtin_machine);
}

/* The first event by name that leads from `state` to another one and takes a note. */
static struct plan_step
step_from(const struct machine *machine, uint16_t state, struct bytes note, struct buf *scratch)
{
    uint16_t events[QO_EVENTS_MAX];
    uint32_t count = machine_allowed(machine, state, events);
    for (uint32_t i = 0; i < count; i++) {
        struct machine_command command = {.state = state, .event = events[i], .brought = note};
        struct machine_step step;
        struct machine_refusal refusal;
        buf_clear(scratch);
        if (machine_transition(machine, &command, scratch, &step, &refusal) == QO_OK &&
            !step.stays) {
            return (struct plan_step){.goes = true,
                                      .to = step.to,
                                      .event = machine_event_name(machine, events[i]),
                                      .from_name = machine_state_name(machine, state),
                                      .to_name = machine_state_name(machine, step.to)};
        }
    }
    return (struct plan_step){.goes = false, .from_name = machine_state_name(machine, state)};
}

static bool
steps_make(struct plan *plan, struct buf *scratch)
{
    struct buf list = {0};
    struct attributes_builder builder = attributes_build(&list);
    uint8_t text[] = {0xa1, 'x'};
    attributes_append(&builder, bytes_text(PLAN_ATTRIBUTE), VALUE_TEXT,
                      bytes_make(text, sizeof text));
    struct bytes note = attributes_built(&builder);
    struct machine_step made;
    struct machine_refusal refusal;
    bool fit = machine_create(plan->machine, BYTES_NONE, scratch, &made, &refusal) == QO_OK;
    if (!fit) {
        fprintf(stderr,
                "machine %.*s: the load makes orders without attributes, and this machine "
                "requires some; take another one.\n",
                BYTES_FORMAT(plan->name));
    }
    uint16_t states = machine_state_count(plan->machine);
    for (uint16_t state = 0; fit && state < states; state++) {
        plan->steps[state] = step_from(plan->machine, state, note, scratch);
    }
    /* Walk from the start: at most so many steps until a state comes again. */
    uint16_t state = plan->initial;
    for (uint16_t i = 0; fit && i < states; i++) {
        fit = plan->steps[state].goes;
        if (!fit) {
            fprintf(stderr,
                    "machine %.*s: no event leads from %.*s to another state and takes only the "
                    "text attribute '" PLAN_ATTRIBUTE "'; take another machine.\n",
                    BYTES_FORMAT(plan->name), BYTES_FORMAT(plan->steps[state].from_name));
        }
        state = plan->steps[state].to;
    }
    buf_free(&list);
    return fit;
}

bool
plan_make(struct plan *plan_out, struct bytes source)
{
    struct buf compiled = {0};
    struct machine_error error;
    *plan_out = (struct plan){.source = source};
    if (machine_compile(source, &compiled, &error) != QO_OK) {
        fprintf(stderr, "machine: line %u, column %u: %s\n", error.line, error.column, error.why);
        buf_free(&compiled);
        return false;
    }
    plan_out->machine = machine_open(buf_bytes(&compiled));
    plan_out->name = machine_name(plan_out->machine);
    plan_out->initial = machine_initial(plan_out->machine);
    buf_clear(&compiled);
    bool fit = steps_make(plan_out, &compiled);
    buf_free(&compiled);
    if (!fit) {
        plan_free(plan_out);
    }
    return fit;
}

void
plan_free(struct plan *plan)
{
    machine_close(plan->machine);
    plan->machine = NULL;
}
