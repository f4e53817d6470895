/* See wire/request.h, wire_encode_request(). Thread: any, one at a time per buffer. */
#include "common/assert.h"
#include "common/limits.h"
#include "params.h"
#include "wire/request.h"
#include "wire/writer.h"

/* Whether a param is to be sent. */
static bool
is_there(const struct param *param, const uint8_t *at)
{
    switch (param->kind) {
    case PARAM_TEXT:
    case PARAM_SOURCE:
    case PARAM_NAME:
    case PARAM_BINARY:
    case PARAM_VALUE:
        return ((const struct bytes *)(const void *)at)->data != NULL;
    case PARAM_ATTRIBUTES:
        return attributes_count(*(const struct bytes *)(const void *)at) > 0;
    case PARAM_NATURAL:
    case PARAM_INTEGER:
    case PARAM_TIME:
        return param->has == 0 || *(const bool *)(at - param->offset + param->has);
    case PARAM_RANGE:
        return param->required || *(const uint32_t *)(const void *)at != 0;
    case PARAM_BOOLEAN:
        return param->required || *(const bool *)at;
    case PARAM_CONSISTENCY:
        return *(const enum wire_consistency *)(const void *)at != WIRE_LINEARIZABLE;
    case PARAM_NAMES:
        return ((const struct wire_names *)(const void *)at)->present;
    case PARAM_SHARDS:
        return ((const struct wire_shards *)(const void *)at)->present;
    case PARAM_RANGE_64:
    case PARAM_IDS:
    case PARAM_KIND:
    case PARAM_OPERATIONS:
        break;
    }
    return true;
}

static void
put_texts(struct buf *buf, const struct wire_texts *texts)
{
    wire_put_array(buf, texts->count);
    for (uint32_t i = 0; i < texts->count; i++) {
        wire_put_text(buf, texts->items[i]);
    }
}

static void
put_shards(struct buf *buf, const struct wire_shards *shards)
{
    size_t opened = wire_open_array(buf);
    uint32_t count = 0;
    for (uint32_t shard = 0; shard < QO_SHARDS_MAX; shard++) {
        if ((shards->bits[shard / 64] >> (shard % 64) & 1) != 0) {
            wire_put_natural(buf, shard);
            count++;
        }
    }
    wire_close_array(buf, opened, count);
}

static void
put_param(struct buf *buf, const struct param *param, const uint8_t *at)
{
    switch (param->kind) {
    case PARAM_TEXT:
    case PARAM_SOURCE:
    case PARAM_NAME:
        wire_put_text(buf, *(const struct bytes *)(const void *)at);
        break;
    case PARAM_BINARY:
        wire_put_binary(buf, *(const struct bytes *)(const void *)at);
        break;
    case PARAM_VALUE:
        wire_put_object(buf, *(const struct bytes *)(const void *)at);
        break;
    case PARAM_ATTRIBUTES:
        wire_put_attributes(buf, *(const struct bytes *)(const void *)at);
        break;
    case PARAM_NATURAL:
    case PARAM_RANGE_64:
        wire_put_natural(buf, *(const uint64_t *)(const void *)at);
        break;
    case PARAM_INTEGER:
    case PARAM_TIME:
        wire_put_integer(buf, *(const int64_t *)(const void *)at);
        break;
    case PARAM_RANGE:
        wire_put_natural(buf, *(const uint32_t *)(const void *)at);
        break;
    case PARAM_BOOLEAN:
        wire_put_boolean(buf, *(const bool *)at);
        break;
    case PARAM_CONSISTENCY: /* The other one is the default, which is_there() leaves out. */
        wire_put_key(buf, "local");
        break;
    case PARAM_IDS:
        put_texts(buf, (const struct wire_texts *)(const void *)at);
        break;
    case PARAM_NAMES:
        put_texts(buf, &((const struct wire_names *)(const void *)at)->names);
        break;
    case PARAM_SHARDS:
        put_shards(buf, (const struct wire_shards *)(const void *)at);
        break;
    case PARAM_KIND:
        wire_put_text(buf,
                      bytes_text(*(const enum wire_operation_kind *)(const void *)at == WIRE_CREATE
                                     ? "create"
                                     : "transition"));
        break;
    case PARAM_OPERATIONS: /* put_keys() sees to it. */
        break;
    }
}

static const uint8_t *
const_at(const struct param *param, const struct wire_request *request,
         const struct wire_operation *operation)
{
    return (const uint8_t *)(param->of_operation ? (const void *)operation
                                                 : (const void *)request) +
           param->offset;
}

/* The head of the map and its keys; `operations` is counted, and the caller puts it last. */
static void
put_keys(struct buf *buf, struct params params, const struct wire_request *request,
         const struct wire_operation *operation)
{
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < params.count; i++) {
        pairs += is_there(&params.items[i], const_at(&params.items[i], request, operation));
    }
    wire_put_map(buf, pairs);
    for (uint32_t i = 0; i < params.count; i++) {
        const struct param *param = &params.items[i];
        const uint8_t *at = const_at(param, request, operation);
        if (param->kind != PARAM_OPERATIONS && is_there(param, at)) {
            wire_put_text(buf, bytes_make(param->name, param->name_size));
            put_param(buf, param, at);
        }
    }
}

void
wire_encode_request(struct buf *buf, const struct wire_request *request)
{
    QO_PRE(QO_IMPLIES(request->notification, request->method == WIRE_FEED_CREDIT));
    wire_put_array(buf, request->notification ? 3 : 4);
    wire_put_natural(buf, request->notification ? 2 : 0);
    if (!request->notification) {
        wire_put_natural(buf, request->msgid);
    }
    wire_put_text(buf, wire_method_name(request->method));
    wire_put_array(buf, 1);
    put_keys(buf, params_of_method(request->method), request, request->operations);
    if (request->method != WIRE_ORDER_BATCH) {
        return;
    }
    /* The map's last pair: the operations. */
    wire_put_key(buf, "operations");
    wire_put_array(buf, request->operations_count);
    for (uint32_t i = 0; i < request->operations_count; i++) {
        const struct wire_operation *operation = &request->operations[i];
        put_keys(buf, params_of_operation(operation->kind), request, operation);
    }
}
