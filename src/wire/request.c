/* See wire/request.h. Thread: any, one at a time per decoder.
 *
 * The way of a message: envelope (array, type, msgid, method, params), then the keys of its one map
 * by the method's table in params.c, then what no single key can tell (required keys, pairs that
 * belong together), then the contents. The first fault ends it. */
#include "wire/request.h"

#include "canonical.h"
#include "common/assert.h"
#include "common/limits.h"
#include "decode.h"
#include "wire/response.h"
#include "wire/writer.h"

/* -- Keys -- */

static const struct param *
find_param(struct params params, struct bytes key, uint32_t *index_out)
{
    for (uint32_t i = 0; i < params.count; i++) {
        const struct param *param = &params.items[i];
        if (param->name_size == key.size && memcmp(param->name, key.data, key.size) == 0) {
            *index_out = i;
            return param;
        }
    }
    return NULL;
}

/* The keys of one map of `pairs`, all of them, and that none is missing. */
static bool
decode_keys(struct decode *d, struct params params, uint32_t pairs)
{
    uint32_t seen = 0, there = 0; /* Bits by the param's place in the table. */
    QO_ASSERT(params.count <= PARAMS_MAX);
    for (uint32_t i = 0; i < pairs; i++) {
        struct wire_token key;
        uint32_t index = 0;
        if (!wire_next(&d->reader, &key) || !is_text_kind(&key) || !wire_is_text(key.bytes)) {
            return decode_refuse_field(
                d,
                d->operation_index >= 0 ? decode_path(d, BYTES_NONE, BYTES_NONE, -1)
                                        : bytes_text("message"),
                "holds a key that is not a text of UTF-8 without control characters");
        }
        const struct param *param = find_param(params, key.bytes, &index);
        if (param == NULL) {
            return decode_refuse_key(d, key.bytes, "is not a key that stands here");
        }
        if ((seen >> index & 1) != 0) {
            return decode_refuse_key(d, key.bytes, "stands there twice");
        }
        seen |= 1u << index;
        if (wire_read_nil(&d->reader)) {
            continue; /* Left out. */
        }
        there |= 1u << index;
        if (param->kind == PARAM_OPERATIONS) {
            d->operations = param;
            d->operations_at = d->reader;
            (void)wire_skip(&d->reader, NULL);
        } else if (!decode_param(d, param)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < params.count; i++) {
        if (params.items[i].required && (there >> i & 1) == 0) {
            return decode_refuse(d, &params.items[i], "is missing");
        }
    }
    return true;
}

/* -- Operations -- */

/* What no table tells of one command. */
static bool
check_operation(struct decode *d)
{
    QO_ASSERT(d->operation != NULL);
    if (bytes_equal(d->operation->actor, bytes_text("timer"))) {
        return decode_refuse_key(d, bytes_text("actor"),
                                 "must not be `timer`: that is the cluster's own");
    }
    return true;
}

/* Looks ahead in a map of `pairs` for the value of `op`. False: it is left out. Keys that are no
 * texts are passed over: they are refused when they are read. */
static bool
look_for_kind(struct wire_reader ahead, uint32_t pairs, struct wire_token *value_out)
{
    struct bytes key;
    for (uint32_t i = 0; i < pairs && wire_skip(&ahead, &key); i++) {
        struct wire_reader inside = wire_reader_of(key);
        struct wire_token token;
        if (wire_next(&inside, &token) && is_text_kind(&token) &&
            bytes_equal(token.bytes, bytes_text("op"))) {
            return wire_next(&ahead, value_out) && value_out->kind != WIRE_NIL;
        }
        (void)wire_skip(&ahead, NULL);
    }
    return false;
}

/* The kind of an operation, which says what its other keys may be. */
static bool
find_kind(struct decode *d, uint32_t pairs, enum wire_operation_kind *kind_out)
{
    struct wire_token value;
    if (!look_for_kind(d->reader, pairs, &value)) {
        return decode_refuse_key(d, bytes_text("op"), "is missing");
    }
    if (is_text_kind(&value) && bytes_equal(value.bytes, bytes_text("create"))) {
        *kind_out = WIRE_CREATE;
    } else if (is_text_kind(&value) && bytes_equal(value.bytes, bytes_text("transition"))) {
        *kind_out = WIRE_TRANSITION;
    } else {
        return decode_refuse_key(d, bytes_text("op"), "must be `create` or `transition`");
    }
    return true;
}

static bool
decode_operations(struct decode *d, const struct param *param)
{
    struct wire_token token;
    d->reader = d->operations_at;
    if (!wire_next(&d->reader, &token) || token.kind != WIRE_ARRAY) {
        return decode_refuse(d, param, "must be an array of maps");
    }
    if (token.count > param->max) {
        return decode_refuse_over(d, decode_path(d, param_name(param), BYTES_NONE, -1), param->max,
                                  " operations");
    }
    if (token.count < param->min) {
        return decode_refuse(d, param, "must not be empty");
    }
    struct wire_operation *all = arena_zalloc(d->arena, token.count * sizeof *all);
    for (uint32_t i = 0; i < token.count; i++) {
        struct wire_token map;
        d->operation = &all[i];
        d->operation_index = i;
        if (!wire_next(&d->reader, &map) || map.kind != WIRE_MAP) {
            return decode_refuse_key(d, BYTES_NONE, "must be a map");
        }
        if (!find_kind(d, map.count, &all[i].kind) ||
            !decode_keys(d, params_of_operation(all[i].kind), map.count) || !check_operation(d)) {
            return false;
        }
    }
    d->operation = NULL;
    d->operation_index = -1;
    d->request->operations = all;
    d->request->operations_count = token.count;
    return true;
}

/* -- Methods -- */

static const struct {
    const char *name;
    uint8_t name_size;
    enum wire_class class;
} methods[] = {
#define X(name, text, class) [name] = {text, sizeof(text) - 1, class},
    WIRE_METHOD_MAP(X)
#undef X
};

static_assert(sizeof methods / sizeof methods[0] == WIRE_METHODS_COUNT, "a row per method");

struct bytes
wire_method_name(enum wire_method method)
{
    QO_PRE((uint32_t)method < WIRE_METHODS_COUNT);
    return bytes_make(methods[method].name, methods[method].name_size);
}

static bool
find_method(struct bytes name, enum wire_method *method_out)
{
    for (uint32_t i = 0; i < WIRE_METHODS_COUNT; i++) {
        if (methods[i].name_size == name.size &&
            memcmp(methods[i].name, name.data, name.size) == 0) {
            *method_out = (enum wire_method)i;
            return true;
        }
    }
    return false;
}

static bool
check_batch(struct decode *d)
{
    struct wire_request *request = d->request;
    if (!request->atomic && request->request_id.data != NULL) {
        return decode_refuse_key(d, bytes_text("request_id"),
                                 "belongs to each operation of a batch that is not atomic");
    }
    for (uint32_t i = 0; request->atomic && i < request->operations_count; i++) {
        if (request->operations[i].request_id.data != NULL) {
            d->operation_index = i;
            return decode_refuse_key(d, bytes_text("request_id"),
                                     "belongs to the whole of an atomic batch");
        }
    }
    return true;
}

static void
fill_contents(struct decode *d)
{
    struct wire_request *request = d->request;
    struct buf *scratch = &d->buffers->scratch;
    if (request->method == WIRE_ORDER_BATCH && request->atomic) {
        request->content =
            wire_content_of_batch(scratch, request->operations, request->operations_count);
    }
    for (uint32_t i = 0; i < request->operations_count; i++) {
        struct wire_operation *operation = &request->operations[i];
        operation->content =
            request->atomic ? request->content : wire_content_of_operation(scratch, operation);
    }
}

/* What no table tells of one method, defaults, class and contents. */
static bool
finish(struct decode *d)
{
    struct wire_request *request = d->request;
    switch (request->method) {
    case WIRE_ORDER_CREATE:
    case WIRE_ORDER_TRANSITION:
        if (!check_operation(d)) {
            return false;
        }
        break;
    case WIRE_ORDER_BATCH:
        if (!check_batch(d)) {
            return false;
        }
        break;
    case WIRE_ORDER_LIST:
        if (request->attribute.data != NULL && request->value.data == NULL) {
            return decode_refuse_key(d, bytes_text("value"),
                                     "is missing: it goes with `attribute`");
        }
        if (request->attribute.data == NULL && request->value.data != NULL) {
            return decode_refuse_key(d, bytes_text("attribute"),
                                     "is missing: it goes with `value`");
        }
        break;
    case WIRE_HELLO:
    case WIRE_PING:
    case WIRE_ORDER_GET:
    case WIRE_ORDER_GET_MANY:
    case WIRE_ORDER_HISTORY:
    case WIRE_FEED_READ:
    case WIRE_FEED_SUBSCRIBE:
    case WIRE_FEED_CREDIT:
    case WIRE_FEED_UNSUBSCRIBE:
    case WIRE_MACHINE_PUT:
    case WIRE_MACHINE_GET:
    case WIRE_MACHINE_LIST:
    case WIRE_CLUSTER_STATUS:
    case WIRE_PEER_HELLO:
    case WIRE_PEER_FORWARD:
        break;
    }
    request->class = methods[request->method].class;
    if (request->class == WIRE_CLASS_LINEARIZABLE && request->consistency == WIRE_LOCAL) {
        request->class = WIRE_CLASS_LOCAL;
    }
    fill_contents(d);
    return true;
}

static bool
decode_params(struct decode *d, uint32_t count)
{
    struct wire_request *request = d->request;
    struct wire_token map = {.kind = WIRE_MAP, .count = 0};
    if (count > 1 || (count == 1 && (!wire_next(&d->reader, &map) || map.kind != WIRE_MAP))) {
        return decode_refuse_field(d, bytes_text("message"),
                                   "must have one map as its only param, or none");
    }
    if (request->method == WIRE_ORDER_CREATE || request->method == WIRE_ORDER_TRANSITION) {
        request->operations = arena_zalloc(d->arena, sizeof *request->operations);
        request->operations_count = 1;
        request->operations->kind =
            request->method == WIRE_ORDER_CREATE ? WIRE_CREATE : WIRE_TRANSITION;
        d->operation = request->operations;
    }
    return decode_keys(d, params_of_method(request->method), map.count) &&
           (d->operations == NULL || decode_operations(d, d->operations)) && finish(d);
}

/* -- Envelope -- */

static struct wire_refusal
not_a_message(uint32_t msgid, const char *sentence)
{
    return (struct wire_refusal){.msgid = msgid,
                                 .close = true,
                                 .failure = {.error = QO_BAD_REQUEST,
                                             .message = bytes_text(sentence),
                                             .field = bytes_text("message")}};
}

/* The envelope's parts. */
struct envelope {
    bool notification;
    uint32_t msgid;
    struct bytes method;
    uint32_t params; /* Elements of the params, whose tokens come next. */
};

/* True if the next token is an integer of 32 bits. */
static bool
take_msgid(struct wire_reader *reader, uint32_t *msgid_out)
{
    struct wire_token token;
    if (!wire_next(reader, &token) || token.kind != WIRE_INTEGER || token.integer < 0 ||
        token.integer > UINT32_MAX) {
        return false;
    }
    *msgid_out = (uint32_t)token.integer;
    return true;
}

/* NULL and an envelope, or a sentence that says why this is no message of the protocol. `msgid` is
 * set as soon as it is known. */
static const char *
take_envelope(struct wire_reader *reader, struct envelope *envelope)
{
    struct wire_token array, type, method, params;
    *envelope = (struct envelope){0};
    if (!wire_next(reader, &array) || array.kind != WIRE_ARRAY || array.count == 0) {
        return "A message must be an array: [0, msgid, method, [params]].";
    }
    if (!wire_next(reader, &type) || type.kind != WIRE_INTEGER || type.integer < 0 ||
        type.integer > 2) {
        return "A message must begin with its type: 0 for a request, 2 for a notification.";
    }
    if (type.integer == 1) {
        return "A response was sent to a node that had asked nothing.";
    }
    envelope->notification = type.integer == 2;
    if (!envelope->notification && (array.count < 2 || !take_msgid(reader, &envelope->msgid))) {
        return "The msgid of a request must be an integer from 0 to 2^32-1.";
    }
    if (array.count != (envelope->notification ? 3 : 4)) {
        return "A request has four elements, [0, msgid, method, [params]], a notification three.";
    }
    if (!wire_next(reader, &method) || !is_text_kind(&method)) {
        return "The method must be a text.";
    }
    if (!wire_next(reader, &params) || params.kind != WIRE_ARRAY) {
        return "The params must be an array of one map, or empty.";
    }
    envelope->method = method.bytes;
    envelope->params = params.count;
    return NULL;
}

/* True if the reader stands before `count` objects that end exactly where the bytes end. */
static bool
all_there(struct wire_reader reader, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!wire_skip(&reader, NULL)) {
            return false;
        }
    }
    return wire_reader_done(&reader);
}

static bool
refuse_method(struct decode *d, struct bytes method)
{
    if (!wire_is_text(method)) {
        return decode_refuse_field(d, bytes_text("method"),
                                   "must be UTF-8 without control characters");
    }
    *d->failure = (struct wire_failure){.error = QO_UNKNOWN_METHOD,
                                        .method = wire_cut_text(method, FIELD_KEY_MAX)};
    char sentence[QO_ERROR_MESSAGE_MAX + 1];
    wire_failure_sentence(d->failure, sentence);
    d->failure->message = arena_copy(d->arena, bytes_text(sentence));
    return false;
}

bool
wire_decode_request(struct wire_decoder *decoder, struct bytes message, struct arena *arena,
                    struct wire_request *request_out, struct wire_refusal *refusal_out)
{
    struct decode d = {.buffers = decoder,
                       .arena = arena,
                       .reader = wire_reader_of(message),
                       .request = request_out,
                       .operation_index = -1,
                       .failure = &refusal_out->failure};
    struct envelope envelope;
    const char *sentence = take_envelope(&d.reader, &envelope);
    if (sentence == NULL && !all_there(d.reader, envelope.params)) {
        sentence = "These bytes are not one MessagePack object.";
    }
    if (sentence != NULL) {
        *refusal_out = not_a_message(envelope.msgid, sentence);
        return false;
    }
    memset(refusal_out, 0, sizeof *refusal_out);
    *request_out = (struct wire_request){.notification = envelope.notification,
                                         .msgid = envelope.msgid,
                                         .timeout_ms = QO_TIMEOUT_MS_DEFAULT,
                                         .limit = QO_LIMIT_DEFAULT};
    bool right =
        find_method(envelope.method, &request_out->method)
            ? (!envelope.notification || request_out->method == WIRE_FEED_CREDIT
                   ? decode_params(&d, envelope.params)
                   : decode_refuse_field(&d, bytes_text("method"), "is not a notification"))
            : refuse_method(&d, envelope.method);
    if (!right) {
        refusal_out->msgid = envelope.msgid;
        refusal_out->close = refusal_out->silent = envelope.notification;
    }
    return right;
}

struct wire_refusal
wire_refuse_cut(enum wire_cut cut, struct bytes available)
{
    struct wire_reader reader = wire_reader_of(available);
    struct envelope envelope;
    QO_PRE(cut == WIRE_CUT_TOO_LARGE || cut == WIRE_CUT_MALFORMED);
    (void)take_envelope(&reader, &envelope); /* For the msgid only. */
    if (cut == WIRE_CUT_MALFORMED) {
        return not_a_message(envelope.msgid,
                             "These bytes are not MessagePack-RPC: [0, msgid, method, [params]].");
    }
    struct wire_refusal refusal = not_a_message(
        envelope.msgid, "The message is larger than a message may be: 1048576 bytes.");
    refusal.failure.has_limit = true;
    refusal.failure.limit = QO_MESSAGE_MAX;
    return refusal;
}

static_assert(QO_MESSAGE_MAX == 1048576, "the sentence above says so");

struct wire_refusal
wire_refuse_half(void)
{
    return not_a_message(0, "The message did not come whole in time.");
}

void
wire_decoder_free(struct wire_decoder *decoder)
{
    buf_free(&decoder->values);
    buf_free(&decoder->entries);
    buf_free(&decoder->scratch);
}

/* The failure of a value that stands outside a request. */
static bool
fail_canonical(struct arena *arena, const struct canonical_fault *fault, const char *name,
               struct wire_failure *failure)
{
    struct decode d = {.arena = arena, .operation_index = -1, .failure = failure};
    *failure = (struct wire_failure){0};
    (void)decode_refuse_field(&d, decode_path(&d, bytes_text(name), fault->attribute, -1),
                              fault->predicate);
    failure->has_limit = fault->has_limit;
    failure->limit = fault->limit;
    return false;
}

bool
wire_canonical_attributes(struct wire_decoder *decoder, struct bytes map, struct arena *arena,
                          struct bytes *list_out, struct wire_failure *failure_out)
{
    struct wire_reader reader = wire_reader_of(map);
    struct wire_token token;
    struct canonical_fault fault = {.predicate = "must be one map"};
    bool right = wire_next(&reader, &token) && token.kind == WIRE_MAP &&
                 canonical_attributes(decoder, &reader, token.count, arena, list_out, &fault) &&
                 wire_reader_done(&reader);
    return right || fail_canonical(arena, &fault, "attributes", failure_out);
}

bool
wire_canonical_value(struct wire_decoder *decoder, struct bytes value, struct arena *arena,
                     enum value_type *type_out, struct bytes *value_out,
                     struct wire_failure *failure_out)
{
    struct wire_reader reader = wire_reader_of(value);
    struct canonical_fault fault = {.predicate = "must be one value"};
    buf_clear(&decoder->values);
    buf_clear(&decoder->entries);
    if (!canonical_value(&reader, &decoder->values, 0, &decoder->entries, type_out, &fault) ||
        !wire_reader_done(&reader)) {
        return fail_canonical(arena, &fault, "value", failure_out);
    }
    *value_out = arena_copy(arena, buf_bytes(&decoder->values));
    return true;
}
