/* See decode.h. Thread: any, one at a time per struct. */
#include "decode.h"

#include <stdio.h>
#include <stdlib.h>

#include "canonical.h"
#include "common/assert.h"
#include "common/limits.h"

/* -- Faults -- */

bool
decode_refuse_field(struct decode *d, struct bytes field, const char *predicate)
{
    char sentence[FIELD_MAX + 200];
    int size = snprintf(sentence, sizeof sentence, "`%.*s` %s.", BYTES_FORMAT(field), predicate);
    QO_ASSERT(size > 0 && (size_t)size < sizeof sentence);
    d->failure->error = QO_BAD_REQUEST;
    d->failure->field = field;
    d->failure->message = arena_copy(
        d->arena, wire_cut_text(bytes_make(sentence, (size_t)size), QO_ERROR_MESSAGE_MAX));
    return false;
}

struct bytes
decode_path(struct decode *d, struct bytes key, struct bytes inner, int64_t element)
{
    char *path = arena_alloc(d->arena, FIELD_MAX);
    int size = 0;
    key = key.data == NULL ? bytes_text("") : wire_cut_text(key, FIELD_KEY_MAX);
    inner = wire_cut_text(inner, FIELD_KEY_MAX);
    if (d->operation_index >= 0) {
        size += snprintf(path, FIELD_MAX, "operations[%lld]%s", (long long)d->operation_index,
                         key.size > 0 ? "." : "");
    }
    size += snprintf(path + size, FIELD_MAX - (size_t)size, "%.*s", BYTES_FORMAT(key));
    if (inner.data != NULL) {
        size += snprintf(path + size, FIELD_MAX - (size_t)size, ".%.*s", BYTES_FORMAT(inner));
    }
    if (element >= 0) {
        size += snprintf(path + size, FIELD_MAX - (size_t)size, "[%lld]", (long long)element);
    }
    QO_ASSERT(size < FIELD_MAX);
    return bytes_make(path, (size_t)size);
}

bool
decode_refuse_key(struct decode *d, struct bytes key, const char *predicate)
{
    return decode_refuse_field(d, decode_path(d, key, BYTES_NONE, -1), predicate);
}

bool
decode_refuse(struct decode *d, const struct param *param, const char *predicate)
{
    return decode_refuse_key(d, param_name(param), predicate);
}

bool
decode_refuse_over(struct decode *d, struct bytes field, uint64_t limit, const char *unit)
{
    char predicate[64];
    (void)snprintf(predicate, sizeof predicate, "must be at most %llu%s", (unsigned long long)limit,
                   unit);
    (void)decode_refuse_field(d, field, predicate);
    d->failure->has_limit = true;
    d->failure->limit = (int64_t)limit;
    return false;
}

static bool
refuse_canonical(struct decode *d, const struct param *param, const struct canonical_fault *fault)
{
    (void)decode_refuse_field(d, decode_path(d, param_name(param), fault->attribute, -1),
                              fault->predicate);
    d->failure->has_limit = fault->has_limit;
    d->failure->limit = fault->limit;
    return false;
}

/* -- Values -- */

/* A text of min to max bytes at `field` (made only on a fault: `param` and `element` tell it). */
static bool
check_text(struct decode *d, const struct param *param, int64_t element,
           const struct wire_token *token, uint64_t min, uint64_t max)
{
    struct bytes name = param_name(param);
    if (!is_text_kind(token)) {
        return decode_refuse_field(d, decode_path(d, name, BYTES_NONE, element), "must be a text");
    }
    if (token->bytes.size > max) {
        return decode_refuse_over(d, decode_path(d, name, BYTES_NONE, element), max, " bytes");
    }
    if (token->bytes.size < min) {
        return decode_refuse_field(d, decode_path(d, name, BYTES_NONE, element),
                                   "must not be empty");
    }
    bool right =
        param->kind == PARAM_SOURCE ? wire_is_utf8(token->bytes) : wire_is_text(token->bytes);
    if (!right) {
        return decode_refuse_field(d, decode_path(d, name, BYTES_NONE, element),
                                   param->kind == PARAM_SOURCE
                                       ? "must be UTF-8"
                                       : "must be UTF-8 without control characters");
    }
    return true;
}

static bool
check_name(struct decode *d, const struct param *param, int64_t element,
           const struct wire_token *token)
{
    if (!check_text(d, param, element, token, 1, QO_NAME_MAX)) {
        return false;
    }
    if (!wire_is_name(token->bytes)) {
        return decode_refuse_field(d, decode_path(d, param_name(param), BYTES_NONE, element),
                                   "must be a name: letters, digits and _ . : - only");
    }
    return true;
}

static bool
decode_natural(struct decode *d, const struct param *param, int64_t element,
               const struct wire_token *token, uint64_t *value_out)
{
    if (token->kind == WIRE_UNSIGNED) {
        *value_out = token->natural;
        return true;
    }
    if (token->kind != WIRE_INTEGER || token->integer < 0) {
        return decode_refuse_field(d, decode_path(d, param_name(param), BYTES_NONE, element),
                                   "must be an integer from 0 to 2^64-1");
    }
    *value_out = (uint64_t)token->integer;
    return true;
}

static bool
decode_range(struct decode *d, const struct param *param, const struct wire_token *token,
             uint64_t *value_out)
{
    char predicate[64];
    bool natural =
        token->kind == WIRE_UNSIGNED || (token->kind == WIRE_INTEGER && token->integer >= 0);
    if (natural) {
        *value_out = token->kind == WIRE_UNSIGNED ? token->natural : (uint64_t)token->integer;
    }
    if (natural && *value_out > param->max) {
        return decode_refuse_over(d, decode_path(d, param_name(param), BYTES_NONE, -1), param->max,
                                  "");
    }
    if (!natural || *value_out < param->min) {
        (void)snprintf(predicate, sizeof predicate, "must be an integer from %llu to %llu",
                       (unsigned long long)param->min, (unsigned long long)param->max);
        return decode_refuse(d, param, predicate);
    }
    return true;
}

static bool
decode_time(struct decode *d, const struct param *param, const struct wire_token *token,
            int64_t *at)
{
    if (token->kind == WIRE_UNSIGNED && param->kind == PARAM_TIME) {
        *at = INT64_MAX;
        return true;
    }
    if (token->kind != WIRE_INTEGER) {
        return decode_refuse(d, param,
                             param->kind == PARAM_TIME
                                 ? "must be a time: an integer of microseconds"
                                 : "must be an integer up to 2^63-1");
    }
    *at = token->integer;
    return true;
}

static bool
decode_consistency(struct decode *d, const struct param *param, const struct wire_token *token,
                   enum wire_consistency *at)
{
    if (is_text_kind(token) && bytes_equal(token->bytes, bytes_text("linearizable"))) {
        *at = WIRE_LINEARIZABLE;
    } else if (is_text_kind(token) && bytes_equal(token->bytes, bytes_text("local"))) {
        *at = WIRE_LOCAL;
    } else {
        return decode_refuse(d, param, "must be `linearizable` or `local`");
    }
    return true;
}

/* An array of 1 to max texts. Their number was checked against the bytes that are there. */
static bool
decode_ids(struct decode *d, const struct param *param, const struct wire_token *token,
           struct wire_texts *at)
{
    if (token->kind != WIRE_ARRAY) {
        return decode_refuse(d, param, "must be an array of texts");
    }
    if (token->count > param->max) {
        return decode_refuse_over(d, decode_path(d, param_name(param), BYTES_NONE, -1), param->max,
                                  " ids");
    }
    if (token->count < param->min) {
        return decode_refuse(d, param, "must not be empty");
    }
    struct bytes *items = arena_alloc(d->arena, token->count * sizeof *items);
    for (uint32_t i = 0; i < token->count; i++) {
        struct wire_token item;
        if (!wire_next(&d->reader, &item)) {
            return decode_refuse(d, param, "is cut off");
        }
        if (!check_text(d, param, i, &item, 1, QO_ID_MAX)) {
            return false;
        }
        items[i] = item.bytes;
    }
    *at = (struct wire_texts){items, token->count};
    return true;
}

static int
compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* Sorts `count` names and drops repeats. Returns how many are left. */
static uint32_t
make_set(struct bytes *names, uint32_t count)
{
    uint32_t kept = 0;
    qsort(names, count, sizeof *names, compare_names);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || !bytes_equal(names[kept - 1], names[i])) {
            names[kept++] = names[i];
        }
    }
    return kept;
}

static bool
decode_names(struct decode *d, const struct param *param, const struct wire_token *token,
             struct wire_names *at)
{
    if (token->kind != WIRE_ARRAY) {
        return decode_refuse(d, param, "must be an array of names");
    }
    if (token->count > QO_FILTER_NAMES_MAX) {
        return decode_refuse_over(d, decode_path(d, param_name(param), BYTES_NONE, -1),
                                  QO_FILTER_NAMES_MAX, " names");
    }
    struct bytes *items = arena_alloc(d->arena, token->count * sizeof *items);
    for (uint32_t i = 0; i < token->count; i++) {
        struct wire_token item;
        if (!wire_next(&d->reader, &item)) {
            return decode_refuse(d, param, "is cut off");
        }
        if (!check_name(d, param, i, &item)) {
            return false;
        }
        items[i] = item.bytes;
    }
    *at = (struct wire_names){true, {items, make_set(items, token->count)}};
    return true;
}

static bool
decode_shards(struct decode *d, const struct param *param, const struct wire_token *token,
              struct wire_shards *at)
{
    if (token->kind != WIRE_ARRAY) {
        return decode_refuse(d, param, "must be an array of integers");
    }
    at->present = true;
    for (uint32_t i = 0; i < token->count; i++) {
        struct wire_token item;
        uint64_t shard = 0;
        if (!wire_next(&d->reader, &item)) {
            return decode_refuse(d, param, "is cut off");
        }
        if (!decode_natural(d, param, i, &item, &shard)) {
            return false;
        }
        if (shard < QO_SHARDS_MAX) {
            at->bits[shard / 64] |= UINT64_C(1) << (shard % 64);
        }
    }
    return true;
}

static bool
decode_value(struct decode *d, const struct param *param)
{
    struct canonical_fault fault;
    struct buf *values = &d->buffers->values, *entries = &d->buffers->entries;
    buf_clear(values);
    buf_clear(entries);
    if (!canonical_value(&d->reader, values, 0, entries, &d->request->value_type, &fault)) {
        return refuse_canonical(d, param, &fault);
    }
    d->request->value = arena_copy(d->arena, buf_bytes(values));
    return true;
}

static bool
decode_attributes(struct decode *d, const struct param *param, const struct wire_token *token,
                  struct bytes *at)
{
    struct canonical_fault fault;
    if (token->kind != WIRE_MAP) {
        return decode_refuse(d, param, "must be a map");
    }
    return canonical_attributes(d->buffers, &d->reader, token->count, d->arena, at, &fault) ||
           refuse_canonical(d, param, &fault);
}

static bool
decode_text(struct decode *d, const struct param *param, const struct wire_token *token,
            struct bytes *at)
{
    bool right = param->kind == PARAM_BINARY
                     ? is_text_kind(token) || decode_refuse(d, param, "must be a bin")
                 : param->kind == PARAM_NAME
                     ? check_name(d, param, -1, token)
                     : check_text(d, param, -1, token, param->min, param->max);
    if (right) {
        *at = token->bytes;
    }
    return right;
}

bool
decode_param(struct decode *d, const struct param *param)
{
    uint8_t *at = param_at(param, d->request, d->operation);
    struct wire_token token;
    uint64_t value;
    if (param->kind == PARAM_VALUE) {
        return decode_value(d, param);
    }
    if (!wire_next(&d->reader, &token)) {
        return decode_refuse(d, param, "is cut off");
    }
    if (param->has != 0) {
        bool *has = (bool *)(at - param->offset + param->has);
        *has = true;
    }
    switch (param->kind) {
    case PARAM_TEXT:
    case PARAM_SOURCE:
    case PARAM_NAME:
    case PARAM_BINARY:
        return decode_text(d, param, &token, (struct bytes *)(void *)at);
    case PARAM_NATURAL:
        return decode_natural(d, param, -1, &token, (uint64_t *)(void *)at);
    case PARAM_INTEGER:
    case PARAM_TIME:
        return decode_time(d, param, &token, (int64_t *)(void *)at);
    case PARAM_RANGE:
        if (!decode_range(d, param, &token, &value)) {
            return false;
        }
        *(uint32_t *)(void *)at = (uint32_t)value;
        return true;
    case PARAM_RANGE_64:
        return decode_range(d, param, &token, (uint64_t *)(void *)at);
    case PARAM_BOOLEAN:
        if (token.kind != WIRE_BOOLEAN) {
            return decode_refuse(d, param, "must be true or false");
        }
        *(bool *)at = token.boolean;
        return true;
    case PARAM_CONSISTENCY:
        return decode_consistency(d, param, &token, (enum wire_consistency *)(void *)at);
    case PARAM_ATTRIBUTES:
        return decode_attributes(d, param, &token, (struct bytes *)(void *)at);
    case PARAM_IDS:
        return decode_ids(d, param, &token, (struct wire_texts *)(void *)at);
    case PARAM_NAMES:
        return decode_names(d, param, &token, (struct wire_names *)(void *)at);
    case PARAM_SHARDS:
        return decode_shards(d, param, &token, (struct wire_shards *)(void *)at);
    case PARAM_KIND: /* Known already: decode_operations() looked ahead for it. */
    case PARAM_VALUE:
    case PARAM_OPERATIONS:
        break;
    }
    return true;
}
