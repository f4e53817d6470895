/* A request of the API becomes a request of wire. Thread: any: the caller's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "client.h"
#include "common/assert.h"
#include "common/clock.h"
#include "common/hash.h"
#include "wire/writer.h"

/* What the making of one call carries about. */
struct making {
    const struct qo_client *client;
    const struct qo_request *from;
    struct call *call;
    struct arena *arena;
    struct wire_request *to;
    const char *field; /* NULL, or what was wrong. */
};

void
request_make_id(char out[33])
{
    uint8_t random[16];
    size_t filled = 0;
    while (filled < sizeof random) {
        ssize_t got = getrandom(random + filled, sizeof random - filled, 0);
        if (got > 0) {
            filled += (size_t)got;
        } else if (errno != EINTR) {
            qo_fatal(FATAL_CONFIG, "getrandom: %s", strerror(errno)); /* No kernel of ours. */
        }
    }
    hash_hex(bytes_make(random, sizeof random), out);
}

struct bytes
request_text(struct arena *arena, const char *text)
{
    return text == NULL ? BYTES_NONE : arena_copy(arena, bytes_text(text));
}

/* A text that the protocol wants: "" is sent, so that the node refuses it by name. */
static struct bytes
needed(struct making *making, const char *text)
{
    return request_text(making->arena, text == NULL ? "" : text);
}

static struct bytes
made_id(struct making *making, const char *given)
{
    char id[33];
    if (given != NULL) {
        return request_text(making->arena, given);
    }
    request_make_id(id);
    return request_text(making->arena, id);
}

static void
make_operation(struct making *making, const struct qo_operation *from, bool own_id,
               struct wire_operation *to)
{
    *to = (struct wire_operation){
        .kind = from->method == QO_METHOD_CREATE ? WIRE_CREATE : WIRE_TRANSITION,
        .id = needed(making, from->id),
        .actor = request_text(making->arena, from->actor),
        .reason = request_text(making->arena, from->reason),
    };
    if (own_id) {
        to->request_id = made_id(making, from->request_id);
    } else if (from->request_id != NULL) {
        making->field = "operations.request_id";
    }
    if (from->method == QO_METHOD_CREATE) {
        to->machine = needed(making, from->machine);
        to->has_machine_version = from->machine_version != 0;
        to->machine_version = from->machine_version;
    } else {
        to->event = needed(making, from->event);
        to->has_expect_version = from->expect_version != 0;
        to->expect_version = from->expect_version;
        to->expect_state = request_text(making->arena, from->expect_state);
    }
    const char *field = NULL;
    if (!attributes_take(from->attributes, making->arena, &to->attributes, &field)) {
        making->field = field;
    }
}

static void
make_single(struct making *making)
{
    const struct qo_request *from = making->from;
    const struct qo_operation operation = {
        .method = from->method,
        .id = from->id,
        .machine = from->machine,
        .machine_version = from->machine_version,
        .event = from->event,
        .expect_version = from->expect_version,
        .expect_state = from->expect_state,
        .attributes = from->attributes,
        .actor = from->actor,
        .reason = from->reason,
        .request_id = from->request_id,
    };
    making->to->operations = arena_alloc(making->arena, sizeof(struct wire_operation));
    making->to->operations_count = 1;
    make_operation(making, &operation, true, making->to->operations);
}

static void
make_batch(struct making *making)
{
    const struct qo_request *from = making->from;
    if (from->operations == NULL || from->operations_count < 1 ||
        from->operations_count > QO_OPERATIONS_MAX) {
        making->field = "operations";
        return;
    }
    size_t bytes = 0;
    making->to->atomic = from->atomic;
    making->to->operations =
        arena_zalloc(making->arena, from->operations_count * sizeof(struct wire_operation));
    making->to->operations_count = (uint32_t)from->operations_count;
    for (size_t i = 0; i < from->operations_count; i++) {
        if (from->operations[i].method != QO_METHOD_CREATE &&
            from->operations[i].method != QO_METHOD_TRANSITION) {
            making->field = "operations.op";
            return;
        }
        struct wire_operation *to = &making->to->operations[i];
        make_operation(making, &from->operations[i], !from->atomic, to);
        bytes += to->id.size + to->machine.size + to->event.size + to->attributes.size +
                 to->actor.size + to->reason.size;
        if (bytes > 2 * (size_t)QO_MESSAGE_MAX) {
            break; /* Too large already: encoding will say so, and need not copy all of it. */
        }
    }
    if (from->atomic) {
        making->to->request_id = made_id(making, from->request_id);
    } else if (from->request_id != NULL) {
        making->field = "request_id";
    }
}

static void
make_reading(struct making *making)
{
    const struct qo_request *from = making->from;
    making->to->consistency = from->consistency == QO_LOCAL ? WIRE_LOCAL : WIRE_LINEARIZABLE;
    making->to->has_min_seq = from->min_seq != 0;
    making->to->min_seq = from->min_seq;
}

static void
make_get_many(struct making *making)
{
    const struct qo_request *from = making->from;
    make_reading(making);
    if (from->ids == NULL || from->ids_count < 1 || from->ids_count > QO_IDS_MAX) {
        making->field = "ids";
        return;
    }
    struct bytes *ids = arena_alloc(making->arena, from->ids_count * sizeof *ids);
    for (size_t i = 0; i < from->ids_count; i++) {
        ids[i] = needed(making, from->ids[i]);
    }
    making->to->ids = (struct wire_texts){ids, (uint32_t)from->ids_count};
}

static void
make_match(struct making *making, const struct qo_attribute *match)
{
    struct buf value = {0};
    making->to->attribute = needed(making, match->name);
    making->to->value_type = (enum value_type)match->value.type;
    switch (match->value.type) {
    case QO_TYPE_BOOLEAN:
        wire_put_boolean(&value, match->value.boolean);
        break;
    case QO_TYPE_INTEGER:
        wire_put_integer(&value, match->value.integer);
        break;
    case QO_TYPE_NUMBER:
        if (match->value.number - match->value.number != 0.0) { /* NaN and infinities. */
            making->field = "value";
            return;
        }
        wire_put_number(&value, match->value.number);
        break;
    case QO_TYPE_TEXT:
        wire_put_text(&value, bytes_text(match->value.text == NULL ? "" : match->value.text));
        break;
    case QO_TYPE_NIL:
    case QO_TYPE_LIST:
    case QO_TYPE_MAP:
        making->field = "value";
        return;
    }
    making->to->value = arena_copy(making->arena, buf_bytes(&value));
    buf_free(&value);
}

static void
make_list(struct making *making)
{
    const struct qo_request *from = making->from;
    make_reading(making);
    making->to->machine = needed(making, from->machine);
    making->to->state = request_text(making->arena, from->state);
    making->to->has_entered_before = from->entered_before_us != 0;
    making->to->entered_before = from->entered_before_us;
    making->to->cursor = request_text(making->arena, from->cursor);
    making->to->limit = from->limit;
    if (from->match != NULL) {
        make_match(making, from->match);
    }
}

static struct wire_names
filter_names(struct arena *arena, const char *const *names, size_t count)
{
    struct bytes *items = arena_alloc(arena, (count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i] = request_text(arena, names[i] == NULL ? "" : names[i]);
    }
    return (struct wire_names){.present = names != NULL, .names = {items, (uint32_t)count}};
}

bool
request_filter(struct arena *arena, const struct qo_filter *filter, struct wire_request *request,
               const char **field_out)
{
    if (filter == NULL) {
        return true;
    }
    if (filter->machines_count > QO_IDS_MAX || filter->states_count > QO_IDS_MAX ||
        filter->shards_count > QO_SHARDS_MAX) {
        *field_out = filter->machines_count > QO_IDS_MAX ? "machines"
                     : filter->states_count > QO_IDS_MAX ? "states"
                                                         : "shards";
        return false;
    }
    request->machines = filter_names(arena, filter->machines,
                                     filter->machines == NULL ? 0 : filter->machines_count);
    request->states =
        filter_names(arena, filter->states, filter->states == NULL ? 0 : filter->states_count);
    request->shards.present = filter->shards != NULL;
    for (size_t i = 0; filter->shards != NULL && i < filter->shards_count; i++) {
        uint32_t shard = filter->shards[i];
        if (shard >= QO_SHARDS_MAX) {
            *field_out = "shards";
            return false;
        }
        request->shards.bits[shard / 64] |= UINT64_C(1) << (shard % 64);
    }
    return true;
}

static void
make_feed_read(struct making *making)
{
    const struct qo_request *from = making->from;
    making->to->has_from_seq = from->from_seq != QO_SEQ_NEXT;
    making->to->from_seq = making->to->has_from_seq ? from->from_seq : 0;
    making->to->limit = from->limit;
    making->to->wait_ms = from->wait_ms;
    making->to->has_epoch = from->epoch != 0;
    making->to->epoch = from->epoch;
    if (from->wait_ms > QO_WAIT_MS_MAX) {
        making->field = "wait_ms";
        return;
    }
    const char *field = NULL;
    if (!request_filter(making->arena, from->filter, making->to, &field)) {
        making->field = field;
    }
}

static void
make_machine(struct making *making)
{
    const struct qo_request *from = making->from;
    if (from->method == QO_METHOD_MACHINE_GET) {
        making->to->machine = needed(making, from->machine);
        making->to->has_version = from->machine_version != 0;
        making->to->version = from->machine_version;
        return;
    }
    size_t size = from->source == NULL ? 0 : from->source_size;
    if (from->source != NULL && size == 0) {
        size = strnlen(from->source, QO_MESSAGE_MAX);
    }
    if (size > QO_DEFINITION_SOURCE_MAX) {
        making->field = "source";
        return;
    }
    making->to->source =
        arena_copy(making->arena, bytes_make(from->source == NULL ? "" : from->source, size));
}

static void
make_history(struct making *making)
{
    make_reading(making);
    making->to->id = needed(making, making->from->id);
    making->to->has_from_version = making->from->from_version != 0;
    making->to->from_version = making->from->from_version;
    making->to->descending = making->from->descending;
    making->to->limit = making->from->limit;
}

static void
make_get(struct making *making)
{
    make_reading(making);
    making->to->id = needed(making, making->from->id);
    making->to->has_as_of = making->from->as_of_us != 0;
    making->to->as_of = making->from->as_of_us;
}

/* The params of the method. */
static void
make_params(struct making *making)
{
    struct wire_request *to = making->to;
    switch (making->from->method) {
    case QO_METHOD_HELLO:
        *to = (struct wire_request){.method = WIRE_HELLO, .has_protocol = true, .protocol = 1};
        to->client = request_text(making->arena, making->client->name);
        return;
    case QO_METHOD_PING:
        to->method = WIRE_PING;
        return;
    case QO_METHOD_STATUS:
        to->method = WIRE_CLUSTER_STATUS;
        return;
    case QO_METHOD_FEED_READ:
        to->method = WIRE_FEED_READ;
        make_feed_read(making);
        return;
    case QO_METHOD_CREATE:
        to->method = WIRE_ORDER_CREATE;
        make_single(making);
        return;
    case QO_METHOD_TRANSITION:
        to->method = WIRE_ORDER_TRANSITION;
        make_single(making);
        return;
    case QO_METHOD_BATCH:
        to->method = WIRE_ORDER_BATCH;
        make_batch(making);
        return;
    case QO_METHOD_MACHINE_PUT:
        to->method = WIRE_MACHINE_PUT;
        make_machine(making);
        return;
    case QO_METHOD_GET:
        to->method = WIRE_ORDER_GET;
        make_get(making);
        return;
    case QO_METHOD_GET_MANY:
        to->method = WIRE_ORDER_GET_MANY;
        make_get_many(making);
        return;
    case QO_METHOD_HISTORY:
        to->method = WIRE_ORDER_HISTORY;
        make_history(making);
        return;
    case QO_METHOD_LIST:
        to->method = WIRE_ORDER_LIST;
        make_list(making);
        return;
    case QO_METHOD_MACHINE_GET:
        to->method = WIRE_MACHINE_GET;
        make_machine(making);
        return;
    case QO_METHOD_MACHINE_LIST:
        to->method = WIRE_MACHINE_LIST;
        return;
    }
    making->field = "method"; /* No value of the enum. */
}

static uint32_t
or_default(uint32_t value, uint32_t otherwise)
{
    return value == 0 ? otherwise : value;
}

/* Everything of the call that is not its params. */
static void
make_frame(struct making *making)
{
    struct call *call = making->call;
    const struct qo_request *from = making->from;
    enum qo_method method = from->method;
    call->is_write = method == QO_METHOD_CREATE || method == QO_METHOD_TRANSITION ||
                     method == QO_METHOD_BATCH || method == QO_METHOD_MACHINE_PUT;
    call->wants_leader = call->is_write || method == QO_METHOD_MACHINE_GET ||
                         method == QO_METHOD_MACHINE_LIST ||
                         ((method == QO_METHOD_GET || method == QO_METHOD_GET_MANY ||
                           method == QO_METHOD_HISTORY || method == QO_METHOD_LIST) &&
                          from->consistency == QO_LINEARIZABLE);
    call->timeout_ms = or_default(from->timeout_ms, making->client->timeout_ms);
    if (call->timeout_ms > QO_TIMEOUT_MS_MAX) {
        making->field = "timeout_ms";
    }
    uint32_t deadline_ms = or_default(from->deadline_ms, making->client->deadline_ms);
    if (deadline_ms > QO_CLIENT_DEADLINE_MS_MAX) {
        making->field = "deadline_ms";
        deadline_ms = QO_CLIENT_DEADLINE_MS_MAX;
    }
    if (method == QO_METHOD_FEED_READ && from->deadline_ms == 0) {
        deadline_ms += from->wait_ms;
    }
    call->deadline_us = clock_monotonic_us() + (int64_t)deadline_ms * 1000;
    making->to->trace = request_text(making->arena, from->trace);
    if (from->node != NULL) {
        char host[QO_ADDRESS_MAX + 1], port[6];
        if (!node_parse(from->node, strlen(from->node), host, sizeof host, port)) {
            making->field = "node";
            return;
        }
        (void)snprintf(call->node_address, sizeof call->node_address, "%s", from->node);
    }
}

/* The encoded size with the longest header: what a copy may take. */
static size_t
encoded_bytes(const struct making *making)
{
    struct buf buf = {0};
    struct wire_request request = *making->to;
    request.msgid = UINT32_MAX;
    request.timeout_ms = QO_TIMEOUT_MS_MAX - 1;
    wire_encode_request(&buf, &request);
    size_t size = buf.size;
    buf_free(&buf);
    return size;
}

struct call *
request_make_call(struct qo_client *client, const struct qo_request *request)
{
    struct call *call = mem_zalloc(sizeof *call);
    call->client = client;
    struct making making = {
        .client = client,
        .from = request,
        .call = call,
        .arena = &call->arena,
        .to = &call->request,
    };
    make_params(&making);
    make_frame(&making);
    int64_t limit = -1;
    if (making.field == NULL) {
        call->encoded_bytes = encoded_bytes(&making);
        if (call->encoded_bytes <= QO_MESSAGE_MAX) {
            return call;
        }
        call->encoded_bytes = 0;
        making.field = "message";
        limit = QO_MESSAGE_MAX;
    }
    call->result = result_of_refusal(call, making.field, limit);
    return call;
}
