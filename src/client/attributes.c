/* Attributes to send; see quorder.h. Thread: any, one at a time per list. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "common/attributes.h"
#include "wire/writer.h"

struct qo_attributes {
    struct buf list, spare;        /* Canonical; empty or a list. `spare` takes its next version. */
    struct buf value;              /* The value being added. */
    struct wire_decoder decoder;   /* For raw values. */
    struct arena arena;            /* Likewise. */
    char refused[QO_NAME_MAX + 1]; /* The first that was; cut if too long. */
    bool has_refused;
};

struct qo_attributes *
qo_attributes_new(void)
{
    return mem_zalloc(sizeof(struct qo_attributes));
}

void
qo_attributes_free(struct qo_attributes *attributes)
{
    if (attributes == NULL) {
        return;
    }
    buf_free(&attributes->list);
    buf_free(&attributes->spare);
    buf_free(&attributes->value);
    wire_decoder_free(&attributes->decoder);
    arena_free(&attributes->arena);
    mem_free(attributes);
}

static bool
refuse(struct qo_attributes *attributes, const char *name)
{
    if (!attributes->has_refused) {
        attributes->has_refused = true;
        (void)snprintf(attributes->refused, sizeof attributes->refused, "%s",
                       name == NULL ? "" : name);
    }
    return false;
}

/* Puts the value under its name, in place of one that was there. attributes_merge() would drop a
 * nil: here it must stay. */
static bool
add(struct qo_attributes *attributes, const char *name, enum value_type type, struct bytes value)
{
    size_t size = name == NULL ? 0 : strnlen(name, QO_NAME_MAX + 1);
    if (size < 1 || size > QO_NAME_MAX || value.size > QO_ATTRIBUTES_MAX ||
        attributes->list.size > (size_t)4 * QO_ATTRIBUTES_MAX) {
        return refuse(attributes, name);
    }
    struct bytes key = bytes_make(name, size);
    buf_clear(&attributes->spare);
    struct attributes_builder builder = attributes_build(&attributes->spare);
    struct attributes_iterator old = attributes_begin(buf_bytes(&attributes->list));
    struct attribute one;
    bool placed = false;
    while (attributes_next(&old, &one)) {
        int order = bytes_compare(one.name, key);
        if (order >= 0 && !placed) {
            attributes_append(&builder, key, type, value);
            placed = true;
        }
        if (order != 0) {
            attributes_append(&builder, one.name, one.type, one.value);
        }
    }
    if (!placed) {
        attributes_append(&builder, key, type, value);
    }
    (void)attributes_built(&builder);
    struct buf list = attributes->list;
    attributes->list = attributes->spare;
    attributes->spare = list;
    return true;
}

/* An empty buffer for one value. */
static struct buf *
fresh(struct qo_attributes *attributes)
{
    buf_clear(&attributes->value);
    return &attributes->value;
}

bool
qo_attributes_add_text(struct qo_attributes *attributes, const char *name, const char *text)
{
    if (text == NULL || strnlen(text, QO_ATTRIBUTES_MAX + 1) > QO_ATTRIBUTES_MAX) {
        return refuse(attributes, name);
    }
    struct buf *value = fresh(attributes);
    wire_put_text(value, bytes_text(text));
    return add(attributes, name, VALUE_TEXT, buf_bytes(value));
}

bool
qo_attributes_add_integer(struct qo_attributes *attributes, const char *name, int64_t integer)
{
    struct buf *value = fresh(attributes);
    wire_put_integer(value, integer);
    return add(attributes, name, VALUE_INTEGER, buf_bytes(value));
}

bool
qo_attributes_add_timestamp(struct qo_attributes *attributes, const char *name, int64_t at_us)
{
    return qo_attributes_add_integer(attributes, name, at_us);
}

bool
qo_attributes_add_number(struct qo_attributes *attributes, const char *name, double number)
{
    if (!isfinite(number)) {
        return refuse(attributes, name);
    }
    struct buf *value = fresh(attributes);
    wire_put_number(value, number);
    return add(attributes, name, VALUE_NUMBER, buf_bytes(value));
}

bool
qo_attributes_add_boolean(struct qo_attributes *attributes, const char *name, bool boolean)
{
    struct buf *value = fresh(attributes);
    wire_put_boolean(value, boolean);
    return add(attributes, name, VALUE_BOOLEAN, buf_bytes(value));
}

bool
qo_attributes_add_nil(struct qo_attributes *attributes, const char *name)
{
    struct buf *value = fresh(attributes);
    wire_put_nil(value);
    return add(attributes, name, VALUE_NIL, buf_bytes(value));
}

bool
qo_attributes_add_raw(struct qo_attributes *attributes, const char *name, const void *raw,
                      size_t raw_size)
{
    enum value_type type;
    struct bytes value, whole;
    struct wire_failure failure;
    if (raw == NULL || raw_size > QO_ATTRIBUTES_MAX) {
        return refuse(attributes, name);
    }
    struct wire_reader reader = wire_reader_of(bytes_make(raw, raw_size));
    if (!wire_skip(&reader, &whole) || !wire_reader_done(&reader)) {
        return refuse(attributes, name);
    }
    arena_reset(&attributes->arena);
    if (!wire_canonical_value(&attributes->decoder, whole, &attributes->arena, &type, &value,
                              &failure)) {
        return refuse(attributes, name);
    }
    return add(attributes, name, type, value);
}

bool
attributes_take(const struct qo_attributes *attributes, struct arena *arena, struct bytes *list_out,
                const char **field_out)
{
    *list_out = BYTES_NONE;
    if (attributes == NULL) {
        return true;
    }
    if (attributes->has_refused) {
        char *field = arena_alloc(arena, sizeof "attributes." + QO_NAME_MAX);
        (void)snprintf(field, sizeof "attributes." + QO_NAME_MAX, "attributes.%s",
                       attributes->refused);
        *field_out = field;
        return false;
    }
    if (attributes->list.size > 0) {
        *list_out = arena_copy(arena, buf_bytes(&attributes->list));
    }
    return true;
}
