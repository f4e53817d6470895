/* See common/attributes.h. Thread: any; pure. */
#include "common/attributes.h"

#include <math.h>

#include "common/assert.h"
#include "common/limits.h"

struct attributes_iterator
attributes_begin(struct bytes list)
{
    struct attributes_iterator iterator = {.cursor = cursor_of(list), .left = 0};
    if (list.size > 0) {
        iterator.left = cursor_le16(&iterator.cursor);
        QO_ASSERT(!iterator.cursor.failed);
    }
    return iterator;
}

bool
attributes_next(struct attributes_iterator *iterator, struct attribute *attribute_out)
{
    if (iterator->left == 0) {
        QO_ASSERT(cursor_done(&iterator->cursor));
        return false;
    }
    iterator->left--;
    attribute_out->name = cursor_bytes8(&iterator->cursor);
    attribute_out->type = (enum value_type)cursor_u8(&iterator->cursor);
    attribute_out->value = cursor_bytes16(&iterator->cursor);
    QO_ASSERT(!iterator->cursor.failed);
    return true;
}

uint16_t
attributes_count(struct bytes list)
{
    return attributes_begin(list).left;
}

bool
attributes_find(struct bytes list, struct bytes name, struct attribute *attribute_out)
{
    struct attributes_iterator iterator = attributes_begin(list);
    while (attributes_next(&iterator, attribute_out)) {
        int order = bytes_compare(attribute_out->name, name);
        if (order >= 0) {
            return order == 0;
        }
    }
    return false;
}

struct attributes_builder
attributes_build(struct buf *buf)
{
    struct attributes_builder builder = {.buf = buf, .start = buf->size, .count = 0};
    buf_put_le16(buf, 0);
    return builder;
}

void
attributes_append(struct attributes_builder *builder, struct bytes name, enum value_type type,
                  struct bytes value)
{
    QO_PRE(name.size >= 1 && builder->count < UINT16_MAX);
    buf_put_bytes8(builder->buf, name);
    buf_put_u8(builder->buf, (uint8_t)type);
    buf_put_bytes16(builder->buf, value);
    builder->count++;
}

struct bytes
attributes_built(struct attributes_builder *builder)
{
    put_le16(builder->buf->data + builder->start, builder->count);
    struct bytes list =
        bytes_make(builder->buf->data + builder->start, builder->buf->size - builder->start);
    QO_VERIFY(attributes_valid(list));
    return list;
}

void
attributes_merge(struct buf *buf, struct bytes base, struct bytes changes)
{
    struct attributes_builder builder = attributes_build(buf);
    struct attributes_iterator old = attributes_begin(base), new = attributes_begin(changes);
    struct attribute kept, change;
    bool more_kept = attributes_next(&old, &kept), more_changes = attributes_next(&new, &change);
    while (more_kept || more_changes) {
        int order = !more_kept ? 1 : !more_changes ? -1 : bytes_compare(kept.name, change.name);
        if (order < 0) {
            attributes_append(&builder, kept.name, kept.type, kept.value);
        } else if (change.type != VALUE_NIL) {
            attributes_append(&builder, change.name, change.type, change.value);
        }
        if (order <= 0) {
            more_kept = attributes_next(&old, &kept);
        }
        if (order >= 0) {
            more_changes = attributes_next(&new, &change);
        }
    }
    (void)attributes_built(&builder);
}

static size_t
text_header_size(size_t size)
{
    return size < 32 ? 1 : size < 256 ? 2 : size < 65536 ? 3 : 5;
}

size_t
attributes_encoded_size(struct bytes list)
{
    struct attributes_iterator iterator = attributes_begin(list);
    size_t size = iterator.left < 16 ? 1 : 3;
    struct attribute attribute;
    while (attributes_next(&iterator, &attribute)) {
        size += text_header_size(attribute.name.size) + attribute.name.size + attribute.value.size;
    }
    return size;
}

int64_t
value_integer(struct bytes value)
{
    QO_PRE(value.size >= 1);
    uint8_t head = value.data[0];
    if (head <= 0x7f || head >= 0xe0) {
        QO_ASSERT(value.size == 1);
        return (int8_t)head;
    }
    const uint8_t *at = value.data + 1;
    switch (head) {
    case 0xcc:
        QO_ASSERT(value.size == 2);
        return at[0];
    case 0xcd:
        QO_ASSERT(value.size == 3);
        return get_be16(at);
    case 0xce:
        QO_ASSERT(value.size == 5);
        return get_be32(at);
    case 0xcf:
        QO_ASSERT(value.size == 9 && get_be64(at) <= INT64_MAX);
        return (int64_t)get_be64(at);
    case 0xd0:
        QO_ASSERT(value.size == 2);
        return (int8_t)at[0];
    case 0xd1:
        QO_ASSERT(value.size == 3);
        return (int16_t)get_be16(at);
    case 0xd2:
        QO_ASSERT(value.size == 5);
        return (int32_t)get_be32(at);
    case 0xd3:
        QO_ASSERT(value.size == 9);
        return (int64_t)get_be64(at);
    default:
        assert_failed("precondition", "value is an integer", __FILE__, __LINE__);
    }
}

double
value_number(struct bytes value)
{
    QO_PRE(value.size == 9 && value.data[0] == 0xcb);
    uint64_t bits = get_be64(value.data + 1);
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

struct bytes
value_text(struct bytes value)
{
    QO_PRE(value.size >= 1);
    uint8_t head = value.data[0];
    size_t skip = (head & 0xe0) == 0xa0 ? 1 : head == 0xd9 ? 2 : head == 0xda ? 3 : 5;
    QO_ASSERT(value.size >= skip);
    return bytes_make(value.data + skip, value.size - skip);
}

void
value_put_number(uint8_t out[9], double number)
{
    QO_PRE(isfinite(number));
    uint64_t bits;
    if (number == 0.0) {
        number = 0.0; /* -0 and 0 compare equal and must be stored alike. */
    }
    memcpy(&bits, &number, sizeof bits);
    if (bits == UINT64_C(1) << 63) {
        bits = 0;
    }
    out[0] = 0xcb;
    put_be64(out + 1, bits);
}

bool
attributes_valid(struct bytes list)
{
    struct cursor cursor = cursor_of(list);
    struct bytes last = BYTES_NONE;
    if (list.size == 0) {
        return true;
    }
    for (uint16_t left = cursor_le16(&cursor); left > 0; left--) {
        struct bytes name = cursor_bytes8(&cursor);
        uint8_t type = cursor_u8(&cursor);
        struct bytes value = cursor_bytes16(&cursor);
        if (cursor.failed || name.size == 0 || type > VALUE_MAP || value.size == 0 ||
            (last.data != NULL && bytes_compare(last, name) >= 0)) {
            return false;
        }
        last = name;
    }
    return cursor_done(&cursor);
}
