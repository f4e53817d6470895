/* See wire/request.h, its part on contents. Thread: any; pure.
 *
 * What is written here stands hashed in the histories of orders: a change makes every repeat of an
 * earlier request `request_id_reused`. tests/unit/wire/content_test.c holds known digests. */
#include "common/assert.h"
#include "common/hash.h"
#include "wire/request.h"
#include "wire/writer.h"

#include <math.h>

/* 2^53: up to it every integer is a binary64 and no two are the same one. */
#define EXACT_MAX 9007199254740992.0

static void
put_attribute_value(struct buf *buf, const struct attribute *attribute)
{
    if (attribute->type == VALUE_NUMBER) {
        double number = value_number(attribute->value);
        if (number >= -EXACT_MAX && number <= EXACT_MAX && number == trunc(number)) {
            wire_put_integer(buf, (int64_t)number);
            return;
        }
    }
    wire_put_object(buf, attribute->value);
}

static void
put_attributes(struct buf *buf, struct bytes list)
{
    struct attributes_iterator iterator = attributes_begin(list);
    struct attribute attribute;
    wire_put_map(buf, iterator.left);
    while (attributes_next(&iterator, &attribute)) {
        wire_put_text(buf, attribute.name);
        put_attribute_value(buf, &attribute);
    }
}

#define PUT_IF(there, buf, key, put)                                                               \
    do {                                                                                           \
        if (there) {                                                                               \
            wire_put_key(buf, key);                                                                \
            put;                                                                                   \
        }                                                                                          \
    } while (0)

/* The params of one command, keys sorted. */
static void
put_operation(struct buf *buf, const struct wire_operation *o, bool in_batch)
{
    bool creates = o->kind == WIRE_CREATE;
    bool attributes = attributes_count(o->attributes) > 0;
    bool expect_version = !creates && o->has_expect_version;
    bool machine_version = creates && o->has_machine_version;
    bool expect_state = !creates && o->expect_state.data != NULL;
    uint32_t pairs = 2u /* id; machine or event */ + in_batch + attributes + expect_version +
                     machine_version + expect_state + (o->actor.data != NULL) +
                     (o->reason.data != NULL);
    wire_put_map(buf, pairs);
    PUT_IF(o->actor.data != NULL, buf, "actor", wire_put_text(buf, o->actor));
    PUT_IF(attributes, buf, "attributes", put_attributes(buf, o->attributes));
    PUT_IF(!creates, buf, "event", wire_put_text(buf, o->event));
    PUT_IF(expect_state, buf, "expect_state", wire_put_text(buf, o->expect_state));
    PUT_IF(expect_version, buf, "expect_version", wire_put_natural(buf, o->expect_version));
    PUT_IF(true, buf, "id", wire_put_text(buf, o->id));
    PUT_IF(creates, buf, "machine", wire_put_text(buf, o->machine));
    PUT_IF(machine_version, buf, "machine_version", wire_put_natural(buf, o->machine_version));
    PUT_IF(in_batch, buf, "op", wire_put_text(buf, bytes_text(creates ? "create" : "transition")));
    PUT_IF(o->reason.data != NULL, buf, "reason", wire_put_text(buf, o->reason));
}

static struct wire_content
content_of(struct bytes canonical)
{
    struct sha256 hash = hash_sha256(canonical);
    struct wire_content content;
    memcpy(content.bytes, hash.bytes, sizeof content.bytes);
    return content;
}

struct wire_content
wire_content_of_operation(struct buf *scratch, const struct wire_operation *operation)
{
    buf_clear(scratch);
    wire_put_array(scratch, 2);
    wire_put_text(scratch,
                  wire_method_name(operation->kind == WIRE_CREATE ? WIRE_ORDER_CREATE
                                                                  : WIRE_ORDER_TRANSITION));
    put_operation(scratch, operation, false);
    return content_of(buf_bytes(scratch));
}

struct wire_content
wire_content_of_batch(struct buf *scratch, const struct wire_operation *operations, uint32_t count)
{
    buf_clear(scratch);
    wire_put_array(scratch, 2);
    wire_put_text(scratch, wire_method_name(WIRE_ORDER_BATCH));
    wire_put_map(scratch, 2);
    wire_put_key(scratch, "atomic");
    wire_put_boolean(scratch, true);
    wire_put_key(scratch, "operations");
    wire_put_array(scratch, count);
    for (uint32_t i = 0; i < count; i++) {
        put_operation(scratch, &operations[i], true);
    }
    return content_of(buf_bytes(scratch));
}
