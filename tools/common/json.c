/* See tools/json.h. Thread: any. */
#include "tools/json.h"

#include "common/assert.h"
#include "common/limits.h"
#include "wire/reader.h"
#include "wire/writer.h"

/* An attribute may be nested as deep as the limit says, inside the map of the attributes. */
enum { DEPTH_MAX = QO_NESTING_MAX + 2 };

struct level {
    json_t *container; /* Borrowed from what holds it. */
    uint32_t left;     /* Reading: elements still to come. */
    size_t index;      /* Writing: of the next element. */
    void *iterator;    /* Writing: at the next member. */
};

json_t *
json_text(const char *text)
{
    json_t *value = text == NULL ? json_null() : json_string(text);
    return value != NULL ? value : json_string("(not UTF-8)");
}

json_t *
json_natural(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

void
json_set(json_t *object, const char *key, json_t *value)
{
    int failed = json_object_set_new(object, key, value);
    QO_ASSERT(failed == 0);
}

void
json_add(json_t *array, json_t *value)
{
    int failed = json_array_append_new(array, value);
    QO_ASSERT(failed == 0);
}

/* A token's value, containers empty. NULL: JSON has no such value. */
static json_t *
value_of(const struct wire_token *token)
{
    switch (token->kind) {
    case WIRE_NIL:
        return json_null();
    case WIRE_BOOLEAN:
        return json_boolean(token->boolean);
    case WIRE_INTEGER:
        return json_integer(token->integer);
    case WIRE_UNSIGNED:
        return json_real((double)token->natural);
    case WIRE_FLOAT:
        return json_real(token->number); /* NULL for NaN. */
    case WIRE_STR:
    case WIRE_BIN:
        return json_stringn((const char *)token->bytes.data, token->bytes.size);
    case WIRE_ARRAY:
        return json_array();
    case WIRE_MAP:
        return json_object();
    case WIRE_EXTENSION:
        break;
    }
    return NULL;
}

/* Takes `value` in any case. */
static bool
attach(json_t *container, struct bytes key, json_t *value)
{
    if (json_is_array(container)) {
        return json_array_append_new(container, value) == 0;
    }
    return json_object_setn_new(container, (const char *)key.data, key.size, value) == 0;
}

json_t *
json_of_messagepack(struct bytes object)
{
    struct level levels[DEPTH_MAX];
    struct wire_reader reader = wire_reader_of(object);
    json_t *root = NULL;
    uint32_t depth = 0;
    bool well = true;
    do {
        struct bytes key = bytes_text("");
        if (depth > 0 && levels[depth - 1].left == 0) {
            depth--;
            continue;
        }
        if (depth > 0) {
            levels[depth - 1].left--;
            key = json_is_object(levels[depth - 1].container) ? wire_read_text(&reader) : key;
        }
        struct wire_token token = {.kind = WIRE_NIL};
        json_t *value = wire_next(&reader, &token) && key.data != NULL ? value_of(&token) : NULL;
        bool holds = token.kind == WIRE_ARRAY || token.kind == WIRE_MAP;
        if (value == NULL || (holds && depth == DEPTH_MAX)) {
            json_decref(value);
            well = false;
        } else if (depth == 0) {
            root = value;
        } else {
            well = attach(levels[depth - 1].container, key, value);
        }
        if (well && holds) {
            levels[depth++] = (struct level){.container = value, .left = token.count};
        }
    } while (well && depth > 0);
    if (!well || !wire_reader_done(&reader)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

/* Appends a value; of a container only its head. */
static void
put_head(json_t *value, struct buf *out)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        wire_put_map(out, (uint32_t)json_object_size(value));
        break;
    case JSON_ARRAY:
        wire_put_array(out, (uint32_t)json_array_size(value));
        break;
    case JSON_STRING:
        wire_put_text(out, bytes_make(json_string_value(value), json_string_length(value)));
        break;
    case JSON_INTEGER:
        wire_put_integer(out, json_integer_value(value));
        break;
    case JSON_REAL:
        wire_put_number(out, json_real_value(value)); /* jansson has no NaN and no infinity. */
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        wire_put_boolean(out, json_is_true(value));
        break;
    case JSON_NULL:
        wire_put_nil(out);
        break;
    }
}

/* The next element of a container, its key written; NULL at the end. */
static json_t *
next_of(struct level *level, struct buf *out)
{
    if (json_is_array(level->container)) {
        return json_array_get(level->container, level->index++);
    }
    if (level->iterator == NULL) {
        return NULL;
    }
    wire_put_text(out, bytes_make(json_object_iter_key(level->iterator),
                                  json_object_iter_key_len(level->iterator)));
    json_t *value = json_object_iter_value(level->iterator);
    level->iterator = json_object_iter_next(level->container, level->iterator);
    return value;
}

bool
json_to_messagepack(json_t *value, struct buf *out)
{
    struct level levels[DEPTH_MAX];
    uint32_t depth = 0;
    size_t size_before = out->size;
    while (value != NULL) {
        put_head(value, out);
        if (json_is_array(value) || json_is_object(value)) {
            if (depth == DEPTH_MAX) {
                out->size = size_before;
                return false;
            }
            levels[depth++] =
                (struct level){.container = value,
                               .iterator = json_is_object(value) ? json_object_iter(value) : NULL};
        }
        value = NULL;
        while (depth > 0 && value == NULL) {
            value = next_of(&levels[depth - 1], out);
            depth -= value == NULL ? 1 : 0;
        }
    }
    return true;
}
