/* See params.h. Thread: any: constants. */
#include "params.h"

#include "common/assert.h"
#include "common/limits.h"

#define REQUEST(field) .offset = offsetof(struct wire_request, field)
#define REQUEST_HAS(field) REQUEST(field), .has = offsetof(struct wire_request, has_##field)
#define OPERATION(field) .of_operation = true, .offset = offsetof(struct wire_operation, field)
#define OPERATION_HAS(field) OPERATION(field), .has = offsetof(struct wire_operation, has_##field)
#define KEY(text) .name = (text), .name_size = sizeof(text) - 1
#define TEXT(least, most) .kind = PARAM_TEXT, .min = (least), .max = (most)
#define NAME .kind = PARAM_NAME
#define NEEDED .required = true

#define ROW(...)                                                                                   \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* What every request may carry. */
#define TRACE ROW(KEY("trace"), TEXT(0, QO_TRACE_MAX), REQUEST(trace))
#define TIMEOUT                                                                                    \
    ROW(KEY("timeout_ms"), .kind = PARAM_RANGE, .min = 1, .max = QO_TIMEOUT_MS_MAX,                \
        REQUEST(timeout_ms))
#define COMMON TRACE, TIMEOUT

#define CONSISTENCY ROW(KEY("consistency"), .kind = PARAM_CONSISTENCY, REQUEST(consistency))
#define MIN_SEQ ROW(KEY("min_seq"), .kind = PARAM_NATURAL, REQUEST_HAS(min_seq))
#define LIMIT ROW(KEY("limit"), .kind = PARAM_RANGE, .min = 1, .max = QO_LIMIT_MAX, REQUEST(limit))
#define ID ROW(KEY("id"), TEXT(1, QO_ID_MAX), NEEDED, REQUEST(id))
#define MACHINE ROW(KEY("machine"), NAME, NEEDED, REQUEST(machine))
#define FROM_SEQ ROW(KEY("from_seq"), .kind = PARAM_NATURAL, REQUEST_HAS(from_seq))
#define EPOCH ROW(KEY("epoch"), .kind = PARAM_NATURAL, REQUEST_HAS(epoch))
#define SHARDS ROW(KEY("shards"), .kind = PARAM_SHARDS, REQUEST(shards))
#define MACHINES ROW(KEY("machines"), .kind = PARAM_NAMES, REQUEST(machines))
#define STATES ROW(KEY("states"), .kind = PARAM_NAMES, REQUEST(states))
#define FILTERS SHARDS, MACHINES, STATES
#define SUBSCRIPTION ROW(KEY("subscription"), .kind = PARAM_NATURAL, NEEDED, REQUEST(subscription))
#define CREDIT                                                                                     \
    ROW(KEY("credit"), .kind = PARAM_RANGE_64, .min = 1, .max = QO_CREDIT_MAX, NEEDED,             \
        REQUEST(credit))

/* Keys of operations stand sorted: so clients send them in the order in which content is hashed. */
#define ACTOR ROW(KEY("actor"), TEXT(0, QO_ACTOR_MAX), OPERATION(actor))
#define ATTRIBUTES ROW(KEY("attributes"), .kind = PARAM_ATTRIBUTES, OPERATION(attributes))
#define EVENT ROW(KEY("event"), NAME, NEEDED, OPERATION(event))
#define EXPECT_STATE ROW(KEY("expect_state"), NAME, OPERATION(expect_state))
#define EXPECT_VERSION                                                                             \
    ROW(KEY("expect_version"), .kind = PARAM_NATURAL, OPERATION_HAS(expect_version))
#define OPERATION_ID ROW(KEY("id"), TEXT(1, QO_ID_MAX), NEEDED, OPERATION(id))
#define OPERATION_MACHINE ROW(KEY("machine"), NAME, NEEDED, OPERATION(machine))
#define MACHINE_VERSION                                                                            \
    ROW(KEY("machine_version"), .kind = PARAM_NATURAL, OPERATION_HAS(machine_version))
#define REASON ROW(KEY("reason"), TEXT(0, QO_REASON_MAX), OPERATION(reason))
#define REQUEST_ID ROW(KEY("request_id"), TEXT(1, QO_REQUEST_ID_MAX), OPERATION(request_id))
#define OP ROW(KEY("op"), .kind = PARAM_KIND, NEEDED, OPERATION(kind))

static const struct param ping[] = {COMMON};
static const struct param hello[] = {
    {KEY("protocol"), .kind = PARAM_INTEGER, REQUEST_HAS(protocol)},
    {KEY("client"), TEXT(0, QO_MESSAGE_MAX), REQUEST(client)},
    {KEY("token"), TEXT(0, QO_MESSAGE_MAX), REQUEST(token)},
    COMMON,
};
static const struct param order_create[] = {
    ACTOR, ATTRIBUTES, OPERATION_ID, OPERATION_MACHINE, MACHINE_VERSION, REASON, REQUEST_ID, COMMON,
};
static const struct param order_transition[] = {
    ACTOR,        ATTRIBUTES, EVENT,      EXPECT_STATE, EXPECT_VERSION,
    OPERATION_ID, REASON,     REQUEST_ID, COMMON,
};
static const struct param operation_create[] = {
    ACTOR, ATTRIBUTES, OPERATION_ID, OPERATION_MACHINE, MACHINE_VERSION, OP, REASON, REQUEST_ID,
};
static const struct param operation_transition[] = {
    ACTOR, ATTRIBUTES, EVENT, EXPECT_STATE, EXPECT_VERSION, OPERATION_ID, OP, REASON, REQUEST_ID,
};
static const struct param order_get[] = {
    ID, CONSISTENCY, MIN_SEQ, {KEY("as_of"), .kind = PARAM_TIME, REQUEST_HAS(as_of)}, COMMON,
};
static const struct param order_get_many[] = {
    {KEY("ids"), .kind = PARAM_IDS, .min = 1, .max = QO_IDS_MAX, NEEDED, REQUEST(ids)},
    CONSISTENCY,
    MIN_SEQ,
    COMMON,
};
static const struct param order_history[] = {
    ID,          {KEY("from_version"), .kind = PARAM_NATURAL, REQUEST_HAS(from_version)},
    LIMIT,       {KEY("descending"), .kind = PARAM_BOOLEAN, REQUEST(descending)},
    CONSISTENCY, MIN_SEQ,
    COMMON,
};
static const struct param order_list[] = {
    MACHINE,
    {KEY("state"), NAME, REQUEST(state)},
    {KEY("entered_before"), .kind = PARAM_TIME, REQUEST_HAS(entered_before)},
    {KEY("attribute"), NAME, REQUEST(attribute)},
    {KEY("value"), .kind = PARAM_VALUE, REQUEST(value)},
    LIMIT,
    {KEY("cursor"), TEXT(0, QO_MESSAGE_MAX), REQUEST(cursor)},
    CONSISTENCY,
    MIN_SEQ,
    COMMON,
};
static const struct param order_batch[] = {
    {KEY("atomic"), .kind = PARAM_BOOLEAN, NEEDED, REQUEST(atomic)},
    {KEY("operations"), .kind = PARAM_OPERATIONS, .min = 1, .max = QO_OPERATIONS_MAX, NEEDED,
     REQUEST(operations)},
    {KEY("request_id"), TEXT(1, QO_REQUEST_ID_MAX), REQUEST(request_id)},
    COMMON,
};
static const struct param feed_read[] = {
    FROM_SEQ,
    LIMIT,
    {KEY("wait_ms"), .kind = PARAM_RANGE, .max = QO_WAIT_MS_MAX, REQUEST(wait_ms)},
    EPOCH,
    FILTERS,
    COMMON,
};
static const struct param feed_subscribe[] = {FROM_SEQ, EPOCH, FILTERS, CREDIT, COMMON};
static const struct param feed_credit[] = {SUBSCRIPTION, CREDIT, COMMON};
static const struct param feed_unsubscribe[] = {SUBSCRIPTION, COMMON};
static const struct param machine_put[] = {
    {KEY("source"), .kind = PARAM_SOURCE, .max = QO_DEFINITION_SOURCE_MAX, NEEDED, REQUEST(source)},
    COMMON,
};
static const struct param machine_get[] = {
    MACHINE,
    {KEY("version"), .kind = PARAM_NATURAL, REQUEST_HAS(version)},
    COMMON,
};
static const struct param peer_hello[] = {
    {KEY("cluster_id"), TEXT(1, QO_NAME_MAX), NEEDED, REQUEST(cluster_id)},
    {KEY("node_id"), .kind = PARAM_NATURAL, NEEDED, REQUEST(node_id)},
    COMMON,
};
static const struct param peer_forward[] = {
    {KEY("origin"), .kind = PARAM_NATURAL, NEEDED, REQUEST(node_id)},
    {KEY("deadline_us"), .kind = PARAM_NATURAL, NEEDED, REQUEST(deadline_us)},
    {KEY("message"), .kind = PARAM_BINARY, NEEDED, REQUEST(message)},
    COMMON,
};

#define ALL(table)                                                                                 \
    (struct params)                                                                                \
    {                                                                                              \
        (table), sizeof(table) / sizeof((table)[0])                                                \
    }

struct params
params_of_method(enum wire_method method)
{
    switch (method) {
    case WIRE_HELLO:
        return ALL(hello);
    case WIRE_ORDER_CREATE:
        return ALL(order_create);
    case WIRE_ORDER_TRANSITION:
        return ALL(order_transition);
    case WIRE_ORDER_GET:
        return ALL(order_get);
    case WIRE_ORDER_GET_MANY:
        return ALL(order_get_many);
    case WIRE_ORDER_HISTORY:
        return ALL(order_history);
    case WIRE_ORDER_LIST:
        return ALL(order_list);
    case WIRE_ORDER_BATCH:
        return ALL(order_batch);
    case WIRE_FEED_READ:
        return ALL(feed_read);
    case WIRE_FEED_SUBSCRIBE:
        return ALL(feed_subscribe);
    case WIRE_FEED_CREDIT:
        return ALL(feed_credit);
    case WIRE_FEED_UNSUBSCRIBE:
        return ALL(feed_unsubscribe);
    case WIRE_MACHINE_PUT:
        return ALL(machine_put);
    case WIRE_MACHINE_GET:
        return ALL(machine_get);
    case WIRE_PEER_HELLO:
        return ALL(peer_hello);
    case WIRE_PEER_FORWARD:
        return ALL(peer_forward);
    case WIRE_PING:
    case WIRE_MACHINE_LIST:
    case WIRE_CLUSTER_STATUS:
        break;
    }
    return ALL(ping);
}

struct params
params_of_operation(enum wire_operation_kind kind)
{
    if (kind == WIRE_CREATE) {
        return ALL(operation_create);
    }
    return ALL(operation_transition);
}
