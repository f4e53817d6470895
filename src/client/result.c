/* Results; see quorder.h. Thread: made on the I/O thread or the caller's, then immutable: any. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "common/assert.h"
#include "common/error.h"
#include "decode.h"
#include "judge.h"

struct qo_result {
    struct arena arena; /* Everything below. */
    enum qo_outcome outcome;
    uint32_t copies;
    const char *request_id, *node;
    struct answer_facts facts;
    struct qo_failure *failure;
    struct qo_receipt *receipt;
    struct qo_order *orders;
    size_t orders_count;
    struct qo_event *events;
    size_t events_count;
    struct qo_item *items;
    struct answer_facts *items_facts;
    size_t items_count;
    struct qo_page *page;
    struct qo_hello *hello;
    struct qo_ping *ping;
    struct qo_machine *machines;
    size_t machines_count;
    struct qo_status *status;
};

const char *
qo_code_name(enum qo_code code)
{
    switch (code) {
#define X(name, number, text, effect) case number:
        QO_ERROR_MAP(X)
#undef X
    case QO_CODE_OK:
        return error_code((enum qo_error)code);
    case QO_CODE_UNREACHABLE:
        return "unreachable";
    case QO_CODE_CLOSED:
        return "closed";
    case QO_CODE_LOCAL_OVERLOADED:
        return "local_overloaded";
    case QO_CODE_PROTOCOL:
        return "protocol";
    }
    return "unknown_code";
}

static struct qo_result *
make(const struct call *call, const char *node)
{
    struct qo_result *result = mem_zalloc(sizeof *result);
    const struct wire_request *request = &call->request;
    struct bytes id = request->request_id;
    if (request->operations_count > 0 && request->method != WIRE_ORDER_BATCH) {
        id = request->operations[0].request_id;
    }
    result->request_id = decode_text(&result->arena, id);
    result->node = node == NULL ? NULL : decode_text(&result->arena, bytes_text(node));
    result->outcome = QO_OUTCOME_FAILED;
    return result;
}

struct qo_result *
result_of_failure(const struct call *call, const char *node, enum qo_code code, const char *message)
{
    struct qo_result *result = make(call, node);
    result->facts.code = code;
    result->failure = decode_own_failure(&result->arena, code, message);
    return result;
}

struct qo_result *
result_of_refusal(const struct call *call, const char *field, int64_t limit)
{
    char message[QO_ERROR_MESSAGE_MAX + 1];
    (void)snprintf(message, sizeof message,
                   limit < 0 ? "`%s` cannot be sent; see the limits of the protocol."
                             : "`%s` is longer than the protocol lets it be.",
                   field);
    struct qo_result *result = result_of_failure(call, NULL, QO_CODE_BAD_REQUEST, message);
    result->failure->field = decode_text(&result->arena, bytes_text(field));
    result->failure->has_limit = limit >= 0;
    result->failure->limit = limit < 0 ? 0 : limit;
    return result;
}

/* The results of a batch, one for each operation. */
static bool
read_items(struct qo_result *result, const struct call *call, const struct wire_page *page)
{
    struct arena *arena = &result->arena;
    if (page->count != call->request.operations_count) {
        return false;
    }
    result->items = arena_zalloc(arena, page->count * sizeof *result->items);
    result->items_facts = arena_zalloc(arena, page->count * sizeof *result->items_facts);
    struct wire_reader reader = wire_reader_of(page->elements);
    for (uint32_t i = 0; i < page->count; i++) {
        struct wire_page one;
        struct qo_item *item = &result->items[i];
        struct answer_facts *facts = &result->items_facts[i];
        if (!wire_read_page(&reader, &one)) {
            return false;
        }
        item->request_id = decode_text(arena, call->request.operations[i].request_id);
        if (one.receipt.data != NULL) {
            struct wire_reader receipt = wire_reader_of(one.receipt);
            item->receipt = decode_receipt(arena, &receipt);
        } else {
            struct wire_reader error = wire_reader_of(one.error);
            item->failure = decode_failure(arena, &error, &facts->unknown_effect);
        }
        if (item->receipt == NULL && item->failure == NULL) {
            return false;
        }
        facts->code = item->failure == NULL ? QO_CODE_OK : item->failure->code;
    }
    result->items_count = page->count;
    return true;
}

static void
read_page(struct qo_result *result, const struct wire_page *page)
{
    result->page = arena_alloc(&result->arena, sizeof *result->page);
    *result->page = (struct qo_page){
        .more = page->more,
        .cursor = decode_text(&result->arena, page->cursor),
        .applied_seq = page->applied_seq,
        .next_seq = page->next_seq,
        .high_seq = page->high_seq,
        .epoch = page->epoch,
    };
}

static bool
read_list(struct qo_result *result, const struct call *call, struct bytes body)
{
    struct wire_reader reader = wire_reader_of(body);
    struct wire_page page;
    if (!wire_read_page(&reader, &page)) {
        return false;
    }
    struct arena *arena = &result->arena;
    read_page(result, &page);
    reader = wire_reader_of(page.elements);
    switch (call->request.method) {
    case WIRE_ORDER_GET_MANY:
    case WIRE_ORDER_LIST:
        result->orders_count = page.count;
        return decode_orders(arena, &reader, page.count, &result->orders);
    case WIRE_ORDER_HISTORY:
    case WIRE_FEED_READ:
        result->events_count = page.count;
        return decode_events(arena, &page, &result->events);
    case WIRE_ORDER_BATCH:
        return read_items(result, call, &page);
    case WIRE_MACHINE_LIST:
        return decode_machines(arena, &page, &result->machines, &result->machines_count);
    case WIRE_ORDER_GET:
        reader = wire_reader_of(body); /* The order and its page are one map. */
        result->orders_count = 1;
        return decode_orders(arena, &reader, 1, &result->orders) && result->orders->id != NULL;
    case WIRE_HELLO:
    case WIRE_PING:
    case WIRE_ORDER_CREATE:
    case WIRE_ORDER_TRANSITION:
    case WIRE_FEED_SUBSCRIBE:
    case WIRE_FEED_CREDIT:
    case WIRE_FEED_UNSUBSCRIBE:
    case WIRE_MACHINE_PUT:
    case WIRE_MACHINE_GET:
    case WIRE_CLUSTER_STATUS:
    case WIRE_PEER_HELLO:
    case WIRE_PEER_FORWARD:
        break;
    }
    assert_failed("precondition", "a method that answers a list", __FILE__, __LINE__);
}

static bool
read_ping(struct qo_result *result, struct wire_reader *reader)
{
    struct wire_ping ping;
    if (!wire_read_ping(reader, &ping)) {
        return false;
    }
    result->ping = arena_alloc(&result->arena, sizeof *result->ping);
    *result->ping = (struct qo_ping){.at_us = ping.at, .clock_us = ping.clock};
    return true;
}

static bool
read_machine_put(struct qo_result *result, struct wire_reader *reader)
{
    struct wire_machine_put put;
    if (!wire_read_machine_put(reader, &put) || put.machine.data == NULL) {
        return false;
    }
    result->machines_count = 1;
    result->machines = arena_alloc(&result->arena, sizeof *result->machines);
    *result->machines = (struct qo_machine){
        .machine = decode_text(&result->arena, put.machine),
        .version = put.version,
        .checksum = decode_text(&result->arena, put.checksum),
        .changed = put.changed,
    };
    return true;
}

static bool
read_machine(struct qo_result *result, struct wire_reader *reader)
{
    struct wire_machine machine;
    if (!wire_read_machine(reader, &machine) || machine.machine.data == NULL) {
        return false;
    }
    result->machines_count = 1;
    result->machines = arena_alloc(&result->arena, sizeof *result->machines);
    *result->machines = (struct qo_machine){
        .machine = decode_text(&result->arena, machine.machine),
        .version = machine.version,
        .checksum = decode_text(&result->arena, machine.checksum),
        .source = decode_text(&result->arena, machine.source),
        .source_size = machine.source.size,
    };
    return true;
}

static bool
read_body(struct qo_result *result, const struct call *call, struct bytes body)
{
    struct wire_reader reader = wire_reader_of(body);
    switch (call->request.method) {
    case WIRE_HELLO:
        result->hello = decode_hello(&result->arena, &reader);
        return result->hello != NULL;
    case WIRE_PING:
        return read_ping(result, &reader);
    case WIRE_ORDER_CREATE:
    case WIRE_ORDER_TRANSITION:
        result->receipt = decode_receipt(&result->arena, &reader);
        return result->receipt != NULL;
    case WIRE_ORDER_GET:
    case WIRE_ORDER_GET_MANY:
    case WIRE_ORDER_HISTORY:
    case WIRE_ORDER_LIST:
    case WIRE_ORDER_BATCH:
    case WIRE_FEED_READ:
    case WIRE_MACHINE_LIST:
        return read_list(result, call, body);
    case WIRE_MACHINE_PUT:
        return read_machine_put(result, &reader);
    case WIRE_MACHINE_GET:
        return read_machine(result, &reader);
    case WIRE_CLUSTER_STATUS:
        result->status = decode_status(&result->arena, &reader);
        return result->status != NULL;
    case WIRE_FEED_SUBSCRIBE:
    case WIRE_FEED_CREDIT:
    case WIRE_FEED_UNSUBSCRIBE:
    case WIRE_PEER_HELLO:
    case WIRE_PEER_FORWARD:
        break;
    }
    assert_failed("precondition", "a method of the API", __FILE__, __LINE__);
}

struct qo_result *
result_of_answer(const struct call *call, const char *node, const struct wire_answer *answer)
{
    struct qo_result *result = make(call, node);
    bool right;
    if (answer->kind == WIRE_ANSWER_ERROR) {
        struct wire_reader reader = wire_reader_of(answer->body);
        result->failure = decode_failure(&result->arena, &reader, &result->facts.unknown_effect);
        right = result->failure != NULL;
        if (right) {
            result->facts.code = result->failure->code;
            result->facts.names_leader = result->failure->leader != NULL;
        }
    } else {
        right = read_body(result, call, answer->body);
    }
    if (!right) {
        qo_result_free(result);
        return NULL;
    }
    return result;
}

struct answer_facts
result_facts(const struct qo_result *result)
{
    return result->facts;
}

size_t
result_items_count(const struct qo_result *result)
{
    return result->items_count;
}

struct answer_facts
result_item_facts(const struct qo_result *result, size_t index)
{
    QO_PRE(index < result->items_count);
    return result->items_facts[index];
}

/* The outcome of an operation whose last answer is `facts`. */
static enum qo_outcome
item_outcome(struct answer_facts facts, bool doubt)
{
    switch (judge_answer(facts, true, doubt)) {
    case VERDICT_DONE:
        return QO_OUTCOME_OK;
    case VERDICT_REFUSED:
        return QO_OUTCOME_REFUSED;
    case VERDICT_BROKEN:
        return QO_OUTCOME_FAILED;
    case VERDICT_REDIRECTED:
    case VERDICT_AGAIN:
    case VERDICT_AGAIN_LATE:
        break;
    }
    return judge_end(true, doubt || judge_doubtful(facts));
}

void
result_finish(struct qo_result *result, enum qo_outcome outcome, uint32_t copies, bool doubt)
{
    bool open = doubt && outcome != QO_OUTCOME_OK; /* At an end that is known no doubt is left. */
    for (size_t i = 0; i < result->items_count; i++) {
        result->items[i].outcome = item_outcome(result->items_facts[i], open);
    }
    if (outcome != QO_OUTCOME_OK && result->failure == NULL) {
        /* A batch that was answered, but not to the end: what stands in the way is in its items. */
        result->facts.code = QO_CODE_TIMEOUT;
        result->failure =
            decode_own_failure(&result->arena, QO_CODE_TIMEOUT,
                               "The time ran out before the outcome of every operation was known.");
    }
    result->outcome = outcome;
    result->copies = copies;
    QO_POST((outcome == QO_OUTCOME_OK) == (result->failure == NULL));
}

enum qo_outcome
qo_result_outcome(const struct qo_result *result)
{
    return result->outcome;
}

enum qo_code
qo_result_code(const struct qo_result *result)
{
    return result->facts.code;
}

uint32_t
qo_result_copies(const struct qo_result *result)
{
    return result->copies;
}

const char *
qo_result_request_id(const struct qo_result *result)
{
    return result->request_id;
}

const char *
qo_result_node(const struct qo_result *result)
{
    return result->node;
}

const struct qo_failure *
qo_result_failure(const struct qo_result *result)
{
    return result->failure;
}

const struct qo_receipt *
qo_result_receipt(const struct qo_result *result)
{
    return result->receipt;
}

const struct qo_order *
qo_result_orders(const struct qo_result *result, size_t *count_out)
{
    *count_out = result->orders_count;
    return result->orders;
}

const struct qo_event *
qo_result_events(const struct qo_result *result, size_t *count_out)
{
    *count_out = result->events_count;
    return result->events;
}

const struct qo_item *
qo_result_items(const struct qo_result *result, size_t *count_out)
{
    *count_out = result->items_count;
    return result->items;
}

const struct qo_page *
qo_result_page(const struct qo_result *result)
{
    return result->page;
}

const struct qo_hello *
qo_result_hello(const struct qo_result *result)
{
    return result->hello;
}

const struct qo_ping *
qo_result_ping(const struct qo_result *result)
{
    return result->ping;
}

const struct qo_machine *
qo_result_machines(const struct qo_result *result, size_t *count_out)
{
    *count_out = result->machines_count;
    return result->machines;
}

const struct qo_status *
qo_result_status(const struct qo_result *result)
{
    return result->status;
}

void
qo_result_free(struct qo_result *result)
{
    if (result == NULL) {
        return;
    }
    struct arena arena = result->arena;
    arena_free(&arena);
    mem_free(result);
}
