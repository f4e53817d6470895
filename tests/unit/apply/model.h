/*
 * A plain model of apply: arrays, searched from the front, copied before each group. It knows the
 * protocol's rules about orders, request ids, unique values, groups and timers; what a machine
 * itself decides is asked of machine.h, which has tests of its own. Static inline: included by one
 * test. Include support/test.h first.
 */
#ifndef APPLY_TEST_MODEL_H
#define APPLY_TEST_MODEL_H

#include "support.h"

enum {
    ORDERS = 400,
    EVENTS = 40000,
    GROUP = 4, /* Operations of one, at most. */
};

struct model_event {
    uint32_t order;
    struct bytes request_id;
    struct content_digest content;
    uint64_t first; /* Seq of the group's first event. */
    uint32_t count;
    uint64_t version;
    int32_t event, from, to; /* -1: none. */
    int64_t at;
    const struct definition *definition;
};

struct model_order {
    const struct definition *definition; /* NULL: there is none. */
    uint16_t state;
    uint64_t version, seq, entered_seq, entered_version;
    int64_t deadline;
    struct bytes held;
};

struct model {
    struct model_order orders[ORDERS];
    struct model_event events[EVENTS + 1]; /* By seq. */
    uint64_t seq;
    int64_t time;
    struct registry *registry; /* For names and machines: definitions go in as the log says. */
    struct arena arena;        /* What orders hold; until the end. */
    uint64_t errors[1000];     /* How often each came up, by number. */
    uint64_t replays, fired, void_timers;
};

/* What the model expects of one command. */
struct expected {
    bool failed;
    uint32_t index, count;
    struct outcome outcomes[GROUP];
};

static inline void
id_of(uint32_t order, char id[4])
{
    id[0] = 'o';
    id[1] = (char)('A' + order / 26);
    id[2] = (char)('A' + order % 26);
    id[3] = '\0';
}

static inline uint32_t
order_of(struct bytes id)
{
    assert_true(id.size == 3);
    return (uint32_t)(id.data[1] - 'A') * 26 + (uint32_t)(id.data[2] - 'A');
}

static inline void
model_refuse(struct outcome *outcome, enum qo_error error, const struct model_order *order)
{
    outcome->error = error;
    if (order != NULL && order->definition != NULL) {
        outcome->version = order->version;
        outcome->state = machine_state_name(order->definition->machine, order->state);
    }
}

/* The seq of the first event of the order with this request id; 0: none. */
static inline uint64_t
model_seen(const struct model *model, uint32_t order, struct bytes request_id)
{
    for (uint64_t seq = 1; seq <= model->seq; seq++) {
        if (model->events[seq].order == order &&
            bytes_equal(model->events[seq].request_id, request_id)) {
            return seq;
        }
    }
    return 0;
}

static inline struct outcome
model_receipt(const struct model *model, uint64_t seq, bool replayed)
{
    const struct model_event *event = &model->events[seq];
    return (struct outcome){.receipt = {.definition = event->definition,
                                        .event = (uint16_t)event->event,
                                        .from = (uint16_t)event->from,
                                        .to = (uint16_t)event->to,
                                        .version = event->version,
                                        .seq = seq,
                                        .at = event->at,
                                        .epoch = 1,
                                        .replayed = replayed}};
}

/* True if the request id settles the matter. */
static inline bool
model_replay(struct model *model, const struct command *command, struct expected *expected)
{
    uint64_t seen = 0;
    uint32_t missing = command->operations_count;
    bool same = true;
    for (uint32_t i = 0; i < command->operations_count; i++) {
        uint64_t seq = model_seen(model, order_of(command->operations[i].id), command->request_id);
        if (seq == 0) {
            missing = missing == command->operations_count ? i : missing;
        } else if (seen == 0) {
            seen = seq;
        }
        same = same && seq != 0 && model->events[seq].first == model->events[seen].first &&
               model->events[seq].count == command->operations_count &&
               memcmp(&model->events[seq].content, &command->content, sizeof command->content) == 0;
    }
    if (seen == 0) {
        return false;
    }
    if (same) {
        expected->count = command->operations_count;
        for (uint32_t i = 0; i < expected->count; i++) {
            expected->outcomes[i] = model_receipt(model, model->events[seen].first + i, true);
        }
        model->replays++;
        return true;
    }
    expected->failed = true;
    expected->index = missing == command->operations_count ? 0 : missing;
    expected->outcomes[0].error = QO_REQUEST_ID_REUSED;
    expected->outcomes[0].seq = seen;
    return true;
}

static inline bool
model_live(const struct model_order *order)
{
    return order->definition != NULL &&
           !machine_state_final(order->definition->machine, order->state);
}

/* Some live order of the machine has this key: its number, or -1. */
static inline int32_t
model_key_holder(const struct model *model, const struct definition *definition, struct bytes held)
{
    struct attribute key, other;
    if (!attributes_find(held, bytes_text("key"), &key)) {
        return -1;
    }
    for (int32_t i = 0; i < ORDERS; i++) {
        const struct model_order *order = &model->orders[i];
        if (model_live(order) &&
            bytes_equal(machine_name(order->definition->machine),
                        machine_name(definition->machine)) &&
            attributes_find(order->held, bytes_text("key"), &other) &&
            bytes_equal(key.value, other.value)) {
            return i;
        }
    }
    return -1;
}

static inline void
model_record(struct model *model, uint32_t number, const struct machine_step *step, int32_t event,
             const struct command *command, uint32_t operation, struct outcome *outcome)
{
    struct model_order *order = &model->orders[number];
    uint64_t seq = ++model->seq;
    assert_true(seq <= EVENTS);
    int64_t after;
    uint16_t timeout_event;
    model->events[seq] = (struct model_event){
        .order = number,
        .request_id = arena_copy(&model->arena, command->request_id),
        .content = command->content,
        .first = seq - operation,
        .count = command->kind == COMMAND_TIMER ? 1 : command->operations_count,
        .version = order->version + 1,
        .event = event,
        .from = order->version == 0 ? -1 : order->state,
        .to = step->to,
        .at = model->time,
        .definition = order->definition,
    };
    bool entered = order->version == 0 || !step->stays;
    order->version++;
    order->seq = seq;
    order->state = step->to;
    order->held = arena_copy(&model->arena, step->held);
    if (entered) {
        order->entered_seq = seq;
        order->entered_version = order->version;
    }
    if (entered || step->restart) {
        bool has =
            machine_state_timeout(order->definition->machine, step->to, &after, &timeout_event);
        order->deadline = has ? model->time + after : 0;
    }
    *outcome = model_receipt(model, seq, false);
}

static inline bool
model_attributes(enum qo_error decided, const struct machine_refusal *refusal,
                 const struct machine_step *step, struct outcome *outcome)
{
    if (decided != QO_OK) {
        outcome->error = decided;
        outcome->attribute = refusal->attribute;
        outcome->why = refusal->why;
        return false;
    }
    if (attributes_encoded_size(step->held) > QO_ATTRIBUTES_MAX) {
        outcome->error = QO_BAD_REQUEST;
        return false;
    }
    return true;
}

static inline bool
model_create(struct model *model, const struct command *command, uint32_t index,
             struct outcome *outcome)
{
    const struct operation *operation = &command->operations[index];
    uint32_t number = order_of(operation->id);
    struct model_order *order = &model->orders[number];
    struct buf out = {0};
    struct machine_step step;
    struct machine_refusal refusal;
    if (order->definition != NULL) {
        model_refuse(outcome, QO_ALREADY_EXISTS, order);
        return false;
    }
    const struct definition *definition = registry_find(
        model->registry, REGISTRY_STATE, operation->machine, operation->machine_version);
    if (definition == NULL) {
        bool known = registry_machine(model->registry, REGISTRY_STATE, operation->machine) >= 0;
        outcome->error = QO_NOT_FOUND;
        outcome->what = known ? "version" : "machine";
        return false;
    }
    enum qo_error decided =
        machine_create(definition->machine, operation->attributes, &out, &step, &refusal);
    bool right = model_attributes(decided, &refusal, &step, outcome);
    if (right) {
        int32_t holder = model_key_holder(model, definition, step.held);
        if (holder >= 0) {
            outcome->error = QO_NOT_UNIQUE;
            outcome->attribute = bytes_text("key");
            outcome->seq = (uint64_t)holder; /* Compared with held_by. */
            right = false;
        } else {
            order->definition = definition;
            model_record(model, number, &step, RECORD_NONE, command, index, outcome);
        }
    }
    buf_free(&out);
    return right;
}

static inline bool
model_transition(struct model *model, const struct command *command, uint32_t index,
                 struct outcome *outcome)
{
    const struct operation *operation = &command->operations[index];
    uint32_t number = order_of(operation->id);
    struct model_order *order = &model->orders[number];
    struct buf out = {0};
    struct machine_step step;
    struct machine_refusal refusal;
    if (order->definition == NULL) {
        outcome->error = QO_NOT_FOUND;
        outcome->what = "order";
        return false;
    }
    const struct machine *machine = order->definition->machine;
    int32_t event = machine_event_find(machine, operation->event);
    if (event >= 0 &&
        ((operation->has_expect_version && operation->expect_version != order->version) ||
         (operation->expect_state.data != NULL &&
          !bytes_equal(operation->expect_state, machine_state_name(machine, order->state))))) {
        model_refuse(outcome, QO_VERSION_CONFLICT, order);
        return false;
    }
    if (event < 0 || !machine_accepts(machine, order->state, (uint16_t)event)) {
        model_refuse(outcome, QO_INVALID_TRANSITION, order);
        return false;
    }
    struct machine_command asked = {.state = order->state,
                                    .event = (uint16_t)event,
                                    .held = order->held,
                                    .brought = operation->attributes};
    enum qo_error decided = machine_transition(machine, &asked, &out, &step, &refusal);
    bool right = model_attributes(decided, &refusal, &step, outcome);
    if (right) {
        model_record(model, number, &step, event, command, index, outcome);
    }
    buf_free(&out);
    return right;
}

static inline void
model_group(struct model *model, const struct command *command, struct expected *expected)
{
    struct model_order before[ORDERS];
    uint64_t seq = model->seq;
    if (command->request_id.data != NULL && model_replay(model, command, expected)) {
        return;
    }
    memcpy(before, model->orders, sizeof before);
    expected->count = command->operations_count;
    for (uint32_t i = 0; i < command->operations_count; i++) {
        struct outcome *outcome = &expected->outcomes[i];
        bool right = command->operations[i].kind == OPERATION_CREATE
                         ? model_create(model, command, i, outcome)
                         : model_transition(model, command, i, outcome);
        if (!right) {
            memcpy(model->orders, before, sizeof before);
            model->seq = seq;
            expected->failed = true;
            expected->index = i;
            expected->outcomes[0] = *outcome;
            return;
        }
    }
}

static inline void
model_timer(struct model *model, const struct command *command, struct expected *expected)
{
    uint32_t number = order_of(command->timer_id);
    struct model_order *order = &model->orders[number];
    struct buf out = {0};
    struct machine_step step;
    struct machine_refusal refusal;
    int64_t after;
    uint16_t event;
    if (order->definition == NULL || order->deadline != command->timer_deadline ||
        order->entered_version != command->timer_entered_version || model->time < order->deadline) {
        model->void_timers++;
        return;
    }
    assert_true(machine_state_timeout(order->definition->machine, order->state, &after, &event));
    struct machine_command asked = {.state = order->state, .event = event, .held = order->held};
    assert_int_equal(machine_transition(order->definition->machine, &asked, &out, &step, &refusal),
                     QO_OK);
    expected->count = 1;
    model_record(model, number, &step, event, command, 0, &expected->outcomes[0]);
    buf_free(&out);
    model->fired++;
}

#endif
