/* See model.h. Thread: the run's. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/assert.h"
#include "common/attributes.h"
#include "story.h"

const char model_source[] = "machine: shop\n"
                            "version: 1\n"
                            "initial: NEW\n"
                            "attributes:\n"
                            "  key: {type: string, required: true, immutable: true, unique: true}\n"
                            "  note: {type: integer}\n"
                            "states:\n"
                            "  NEW: {timeout: {after: 4s, event: expire}}\n"
                            "  PAID: {}\n"
                            "  DONE: {final: true}\n"
                            "  EXPIRED: {final: true}\n"
                            "events:\n"
                            "  pay: {from: NEW, to: PAID, accepts: [note]}\n"
                            "  touch: {from: [NEW, PAID], accepts: [note]}\n"
                            "  renew: {from: NEW, restart: true}\n"
                            "  reopen: {from: PAID, to: NEW}\n"
                            "  finish: {from: PAID, to: DONE}\n"
                            "  expire: {from: NEW, to: EXPIRED}\n";
const int64_t model_timeout_us = 4000000;

struct order {
    bool exists;
    enum model_state state;
    uint64_t version, seq, entered_version;
    int64_t deadline; /* 0: none. */
    uint32_t key, note;
};

/* What is remembered of a request id: the events that it made. */
struct done {
    uint64_t first_seq; /* 0: none. */
    uint32_t count;
    struct content_digest content;
};

struct history {
    struct model_version *versions;
    size_t count, capacity;
};

static struct order orders[MODEL_ORDERS];
static struct history histories[MODEL_ORDERS];
static struct model_event *events; /* [seq - 1] */
static size_t events_count, events_capacity;
static struct done *done; /* By number of request. */
static size_t done_capacity;
static bool defined;
static int64_t now;
static uint64_t index_now;

/* -- Words ------------------------------------------------------------------------------------- */

const char *
model_state_name(enum model_state state)
{
    static const char *const names[] = {"NEW", "PAID", "DONE", "EXPIRED", "none"};
    return names[state];
}

const char *
model_event_name(enum model_event_kind event)
{
    static const char *const names[] = {"pay",    "touch",  "renew", "reopen",
                                        "finish", "expire", "create"};
    return names[event];
}

void
model_order_id(uint32_t order, char *text)
{
    (void)snprintf(text, 16, "order-%u", order);
}

void
model_request_id(uint32_t request, char *text)
{
    (void)snprintf(text, 16, "r-%u", request);
}

uint32_t
model_number_of(struct bytes text)
{
    uint32_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        number = c >= '0' && c <= '9' ? number * 10 + c - '0' : number;
    }
    return number;
}

static enum model_event_kind
event_named(struct bytes name)
{
    for (enum model_event_kind event = EVENT_PAY; event < EVENT_CREATE; event++) {
        if (bytes_equal(name, bytes_text(model_event_name(event)))) {
            return event;
        }
    }
    return EVENT_CREATE;
}

/* The small number that stands for an attribute, 0 if it is not there. */
static uint32_t
attribute_number(struct bytes attributes, const char *name)
{
    struct attribute attribute;
    if (attributes.data == NULL || !attributes_find(attributes, bytes_text(name), &attribute)) {
        return 0;
    }
    /* One byte of MessagePack, or a text behind one byte. */
    return attribute.value.size == 1
               ? attribute.value.data[0]
               : model_number_of(bytes_make(attribute.value.data + 1, attribute.value.size - 1));
}

/* -- The machine ------------------------------------------------------------------------------- */

/* Where `event` leads from `state`: STATE_NONE if nowhere. */
static enum model_state
leads_to(enum model_state state, enum model_event_kind event)
{
    switch (event) {
    case EVENT_PAY:
        return state == STATE_NEW ? STATE_PAID : STATE_NONE;
    case EVENT_TOUCH:
        return state == STATE_NEW || state == STATE_PAID ? state : STATE_NONE;
    case EVENT_RENEW:
        return state == STATE_NEW ? STATE_NEW : STATE_NONE;
    case EVENT_REOPEN:
        return state == STATE_PAID ? STATE_NEW : STATE_NONE;
    case EVENT_FINISH:
        return state == STATE_PAID ? STATE_DONE : STATE_NONE;
    case EVENT_EXPIRE:
        return state == STATE_NEW ? STATE_EXPIRED : STATE_NONE;
    case EVENT_CREATE:
        break;
    }
    return STATE_NONE;
}

static bool
live(const struct order *order)
{
    return order->exists && (order->state == STATE_NEW || order->state == STATE_PAID);
}

/* The live order that holds `key`, or MODEL_ORDERS. */
static uint32_t
key_holder(uint32_t key)
{
    uint32_t holder = 0;
    while (holder < MODEL_ORDERS && (!live(&orders[holder]) || orders[holder].key != key)) {
        holder++;
    }
    return holder;
}

/* -- Events ------------------------------------------------------------------------------------ */

static void
event_add(struct model_event event)
{
    if (events_count == events_capacity) {
        events_capacity = events_capacity == 0 ? 1024 : 2 * events_capacity;
        events = mem_realloc(events, events_capacity * sizeof *events);
    }
    events[events_count++] = event;
}

/* The order moves; gives the outcome. */
static struct model_outcome
move(uint32_t number, enum model_event_kind event, enum model_state to, uint32_t request)
{
    struct order *order = &orders[number];
    enum model_state from = order->exists ? order->state : STATE_NONE;
    bool enters = event != EVENT_TOUCH && event != EVENT_RENEW;
    order->exists = true;
    order->state = to;
    order->version++;
    order->seq = events_count + 1;
    if (enters) {
        order->entered_version = order->version;
    }
    if (enters || event == EVENT_RENEW) {
        order->deadline = to == STATE_NEW ? now + model_timeout_us : 0;
    }
    event_add(
        (struct model_event){number, request, order->note, event, from, to, order->version, now});
    return (struct model_outcome){.seq = order->seq,
                                  .version = order->version,
                                  .event = event,
                                  .from = from,
                                  .to = to,
                                  .at = now};
}

static struct model_outcome
refuse(enum qo_error error, const struct order *order)
{
    return (struct model_outcome){.error = error, .version = order->version, .to = order->state};
}

static struct model_outcome
operate(const struct operation *operation, uint32_t request)
{
    uint32_t number = model_number_of(operation->id);
    QO_ASSERT(number < MODEL_ORDERS);
    struct order *order = &orders[number];
    if (operation->kind == OPERATION_CREATE) {
        uint32_t key = attribute_number(operation->attributes, "key");
        if (order->exists) {
            return refuse(QO_ALREADY_EXISTS, order);
        }
        if (!defined) {
            return (struct model_outcome){.error = QO_NOT_FOUND};
        }
        uint32_t holder = key == 0 ? MODEL_ORDERS : key_holder(key);
        if (holder < MODEL_ORDERS) {
            return (struct model_outcome){.error = QO_NOT_UNIQUE, .holder = holder};
        }
        order->key = key;
        order->note = attribute_number(operation->attributes, "note");
        return move(number, EVENT_CREATE, STATE_NEW, request);
    }
    enum model_event_kind event = event_named(operation->event);
    if (!order->exists) {
        return (struct model_outcome){.error = QO_NOT_FOUND};
    }
    if (operation->has_expect_version && operation->expect_version != order->version) {
        return refuse(QO_VERSION_CONFLICT, order);
    }
    enum model_state to = leads_to(order->state, event);
    if (to == STATE_NONE) {
        return refuse(QO_INVALID_TRANSITION, order);
    }
    uint32_t note = attribute_number(operation->attributes, "note");
    order->note = note != 0 ? note : order->note;
    return move(number, event, to, request);
}

/* -- Commands ---------------------------------------------------------------------------------- */

static struct done *
done_of(uint32_t request)
{
    QO_ASSERT(request < MODEL_REQUESTS_MAX);
    if (request >= done_capacity) {
        size_t capacity = 2 * (size_t)request + 1024;
        done = mem_realloc(done, capacity * sizeof *done);
        memset(done + done_capacity, 0, (capacity - done_capacity) * sizeof *done);
        done_capacity = capacity;
    }
    return &done[request];
}

/* The event that `request` made of `order`, or 0. */
static uint64_t
seen(const struct done *before, uint32_t order)
{
    for (uint32_t i = 0; i < before->count; i++) {
        if (events[before->first_seq + i - 1].order == order) {
            return before->first_seq + i;
        }
    }
    return 0;
}

static struct model_outcome
replayed(uint64_t seq)
{
    const struct model_event *event = &events[seq - 1];
    return (struct model_outcome){.seq = seq,
                                  .version = event->version,
                                  .event = event->event,
                                  .from = event->from,
                                  .to = event->to,
                                  .at = event->at,
                                  .replayed = true};
}

/* True if the request id settles the matter. */
static bool
settled_before(const struct command *command, const struct done *before,
               struct model_result *result)
{
    uint64_t first_seen = 0;
    uint32_t missing = command->operations_count;
    for (uint32_t i = 0; i < command->operations_count; i++) {
        uint64_t seq = seen(before, model_number_of(command->operations[i].id));
        first_seen = first_seen == 0 ? seq : first_seen;
        missing = seq == 0 && missing == command->operations_count ? i : missing;
    }
    if (first_seen == 0) {
        return false;
    }
    if (missing == command->operations_count && before->count == command->operations_count &&
        memcmp(&before->content, &command->content, sizeof before->content) == 0) {
        result->count = command->operations_count;
        for (uint32_t i = 0; i < result->count; i++) {
            result->outcomes[i] = replayed(before->first_seq + i);
        }
        return true;
    }
    result->failed = true;
    result->index = missing == command->operations_count ? 0 : missing;
    result->count = 1;
    result->outcomes[0] = (struct model_outcome){.error = QO_REQUEST_ID_REUSED, .seq = first_seen};
    return true;
}

static void
group(const struct command *command, struct model_result *result)
{
    struct order before[MODEL_ORDERS];
    size_t events_before = events_count;
    QO_ASSERT(command->operations_count <= MODEL_GROUP_MAX && command->request_id.data != NULL);
    result->request = model_number_of(command->request_id);
    struct done *memory = done_of(result->request);
    if (settled_before(command, memory, result)) {
        return;
    }
    memcpy(before, orders, sizeof before);
    result->count = command->operations_count;
    for (uint32_t i = 0; i < command->operations_count; i++) {
        result->outcomes[i] = operate(&command->operations[i], result->request);
        if (result->outcomes[i].error != QO_OK) {
            memcpy(orders, before, sizeof before);
            events_count = events_before;
            result->failed = true;
            result->index = i;
            result->count = 1;
            result->outcomes[0] = result->outcomes[i];
            return;
        }
    }
    *memory = (struct done){events_before + 1, result->count, command->content};
}

static void
timer(const struct command *command, struct model_result *result)
{
    uint32_t number = model_number_of(command->timer_id);
    const struct order *order = &orders[number];
    if (order->exists && order->deadline != 0 && order->deadline == command->timer_deadline &&
        order->entered_version == command->timer_entered_version && now >= order->deadline) {
        result->count = 1;
        result->outcomes[0] = move(number, EVENT_EXPIRE, STATE_EXPIRED, 0);
    }
}

static void
remember_versions(size_t events_before)
{
    for (size_t at = events_before; at < events_count; at++) {
        const struct model_event *event = &events[at];
        struct history *history = &histories[event->order];
        if (history->count == history->capacity) {
            history->capacity = history->capacity == 0 ? 16 : 2 * history->capacity;
            history->versions =
                mem_realloc(history->versions, history->capacity * sizeof *history->versions);
        }
        history->versions[history->count++] =
            (struct model_version){index_now, event->version, at + 1, event->to, event->note};
    }
}

struct model_entry
model_execute(uint64_t index, struct bytes entry)
{
    static struct arena arena;
    struct model_entry expected = {0};
    struct cursor commands;
    size_t events_before = events_count;
    index_now = index;
    if (entry.data != NULL) {
        bool opened = entry_open(entry, &expected.header, &commands);
        EXPECT(opened, "entry %llu does not open", (unsigned long long)index);
        now = expected.header.time > now ? expected.header.time : now;
        expected.results = mem_zalloc((expected.header.count + 1) * sizeof *expected.results);
        for (uint32_t i = 0; i < expected.header.count; i++) {
            struct command command;
            struct model_result *result = &expected.results[i];
            bool read = entry_next(&commands, &arena, &command);
            QO_ASSERT(read);
            result->kind = command.kind;
            switch (command.kind) {
            case COMMAND_GROUP:
                group(&command, result);
                break;
            case COMMAND_TIMER:
                timer(&command, result);
                break;
            case COMMAND_DEFINITION:
                result->count = 1;
                result->outcomes[0].changed = !defined;
                defined = true;
                break;
            }
        }
        arena_reset(&arena);
    }
    remember_versions(events_before);
    expected.seq = events_count;
    expected.time = now;
    return expected;
}

/* -- What was ---------------------------------------------------------------------------------- */

uint64_t
model_seq(void)
{
    return events_count;
}

const struct model_event *
model_event_at(uint64_t seq)
{
    return seq >= 1 && seq <= events_count ? &events[seq - 1] : NULL;
}

const struct model_version *
model_order_at(uint32_t order, uint64_t index)
{
    const struct history *history = &histories[order];
    size_t at = history->count;
    while (at > 0 && history->versions[at - 1].index > index) {
        at--;
    }
    return at == 0 ? NULL : &history->versions[at - 1];
}

uint32_t
model_overdue(int64_t time)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MODEL_ORDERS; i++) {
        count += orders[i].exists && orders[i].deadline != 0 && orders[i].deadline <= time;
    }
    return count;
}

uint32_t
model_events_of(uint32_t request)
{
    return done_of(request)->count;
}
