/* See render.h. Thread: any; pure. */
#include "render.h"

#include <stdio.h>

#include "common/assert.h"
#include "machine/machine.h"

static struct bytes
state_name(const struct definition *definition, uint16_t state)
{
    return state == RECORD_NONE ? BYTES_NONE : machine_state_name(definition->machine, state);
}

static struct bytes
event_name(const struct definition *definition, uint16_t event)
{
    return event == RECORD_NONE ? bytes_text("create")
                                : machine_event_name(definition->machine, event);
}

struct wire_receipt
render_receipt(const struct receipt *receipt)
{
    const struct definition *definition = receipt->definition;
    return (struct wire_receipt){
        .id = receipt->id,
        .machine = machine_name(definition->machine),
        .machine_version = machine_version(definition->machine),
        .event = event_name(definition, receipt->event),
        .from = state_name(definition, receipt->from),
        .to = state_name(definition, receipt->to),
        .version = receipt->version,
        .seq = receipt->seq,
        .at = receipt->at,
        .epoch = receipt->epoch,
        .replayed = receipt->replayed,
    };
}

/* The names of the events that a state accepts, sorted. */
static struct wire_texts
allowed_names(const struct definition *definition, uint16_t state, struct arena *arena)
{
    uint16_t events[QO_EVENTS_MAX];
    uint32_t count = machine_allowed(definition->machine, state, events);
    struct bytes *names = arena_alloc(arena, sizeof *names * count);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = machine_event_name(definition->machine, events[i]);
    }
    return (struct wire_texts){names, count};
}

struct wire_order
render_order(struct bytes id, const struct order_record *record,
             const struct definition *definition, struct arena *arena)
{
    QO_PRE(definition->number == record->definition);
    struct wire_order order = {
        .id = id,
        .machine = machine_name(definition->machine),
        .machine_version = machine_version(definition->machine),
        .state = state_name(definition, record->state),
        .version = record->version,
        .attributes = record->attributes,
        .created_at = record->created_at,
        .updated_at = record->updated_at,
        .entered_at = record->entered_at,
        .seq = record->seq,
        .final = machine_state_final(definition->machine, record->state),
        .allowed = allowed_names(definition, record->state, arena),
        .has_deadline = record->deadline != 0,
        .deadline_at = record->deadline,
    };
    int64_t after_us;
    uint16_t event;
    if (order.has_deadline &&
        machine_state_timeout(definition->machine, record->state, &after_us, &event)) {
        order.deadline_event = machine_event_name(definition->machine, event);
    }
    return order;
}

struct wire_event
render_event(const struct event_record *event, const struct definition *definition)
{
    QO_PRE(definition->number == event->definition);
    return (struct wire_event){
        .seq = event->seq,
        .kind = bytes_text("order"),
        .epoch = event->epoch,
        .id = event->id,
        .machine = machine_name(definition->machine),
        .machine_version = machine_version(definition->machine),
        .shard = event->shard,
        .version = event->version,
        .event = event_name(definition, event->event),
        .from = state_name(definition, event->from),
        .to = state_name(definition, event->to),
        .at = event->at,
        .actor = event->actor,
        .reason = event->reason,
        .request_id = event->request_id.size == 0 ? BYTES_NONE : event->request_id,
        .trace = event->trace,
        .attributes = event->attributes,
    };
}

/* A field as the client named it: inside a batch by the path of its operation. */
static struct bytes
field_path(const char *field, int operation, struct arena *arena)
{
    enum { PATH_MAX_BYTES = 64 };
    if (operation < 0) {
        return bytes_text(field);
    }
    char *path = arena_alloc(arena, PATH_MAX_BYTES);
    int size = snprintf(path, PATH_MAX_BYTES, "operations[%d].%s", operation, field);
    QO_ASSERT(size > 0 && size < PATH_MAX_BYTES);
    return bytes_make(path, (size_t)size);
}

struct wire_failure
render_failure(const struct command_result *result, int operation, struct arena *arena)
{
    bool atomic = operation == RENDER_ATOMIC;
    QO_PRE(result->failed && result->outcomes_count == 1);
    const struct outcome *outcome = &result->outcomes[0];
    struct wire_failure failure = {
        .error = outcome->error,
        .version = outcome->version,
        .state = outcome->state,
        .attribute = outcome->attribute,
        .held_by = outcome->held_by,
        .seq = outcome->seq,
        .line = outcome->line,
        .column = outcome->column,
        .has_index = atomic,
        .index = result->index,
    };
    if (outcome->error == QO_NOT_FOUND) {
        failure.what = bytes_text(outcome->what);
    } else if (outcome->error == QO_INVALID_TRANSITION) {
        failure.from = outcome->state;
        failure.event = outcome->event;
        failure.allowed = allowed_names(outcome->of, outcome->of_state, arena);
    } else if (outcome->error == QO_INVALID_ATTRIBUTE) {
        failure.why = bytes_text(machine_why_text(outcome->why));
    } else if (outcome->error == QO_INVALID_MACHINE) {
        failure.why = bytes_text(outcome->why_machine);
    } else if (outcome->error == QO_BAD_REQUEST) {
        failure.field = field_path(outcome->field, atomic ? (int)result->index : operation, arena);
        failure.has_limit = true;
        failure.limit = (int64_t)outcome->limit;
    }
    return failure;
}
