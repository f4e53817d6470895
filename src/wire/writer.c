/* See wire/writer.h. Thread: any, one at a time per buffer. */
#include "wire/writer.h"

#include "common/assert.h"
#include "common/attributes.h"

/* Writes `head`, then the `size` low bytes of `value`, big-endian. */
static void
put_head(struct buf *buf, uint8_t head, uint64_t value, size_t size)
{
    uint8_t *at = buf_reserve(buf, 9);
    at[0] = head;
    for (size_t i = 0; i < size; i++) {
        at[1 + i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    }
    buf->size += 1 + size;
}

void
wire_put_natural_long(struct buf *buf, uint64_t value)
{
    if (value < 128) {
        buf_put_u8(buf, (uint8_t)value);
    } else if (value <= UINT8_MAX) {
        put_head(buf, 0xcc, value, 1);
    } else if (value <= UINT16_MAX) {
        put_head(buf, 0xcd, value, 2);
    } else if (value <= UINT32_MAX) {
        put_head(buf, 0xce, value, 4);
    } else {
        put_head(buf, 0xcf, value, 8);
    }
}

void
wire_put_negative_long(struct buf *buf, int64_t value)
{
    QO_PRE(value < 0);
    uint64_t bits = (uint64_t)value;
    if (value >= -32) {
        buf_put_u8(buf, (uint8_t)bits);
    } else if (value >= INT8_MIN) {
        put_head(buf, 0xd0, bits, 1);
    } else if (value >= INT16_MIN) {
        put_head(buf, 0xd1, bits, 2);
    } else if (value >= INT32_MIN) {
        put_head(buf, 0xd2, bits, 4);
    } else {
        put_head(buf, 0xd3, bits, 8);
    }
}

void
wire_put_number(struct buf *buf, double value)
{
    value_put_number(buf_reserve(buf, 9), value);
    buf->size += 9;
}

void
wire_put_text(struct buf *buf, struct bytes text)
{
    QO_PRE(text.size <= UINT32_MAX);
    if (text.data == NULL) {
        wire_put_nil(buf);
        return;
    }
    if (text.size < 32) {
        buf_put_u8(buf, (uint8_t)(0xa0 | text.size));
    } else if (text.size <= UINT8_MAX) {
        put_head(buf, 0xd9, text.size, 1);
    } else if (text.size <= UINT16_MAX) {
        put_head(buf, 0xda, text.size, 2);
    } else {
        put_head(buf, 0xdb, text.size, 4);
    }
    buf_append(buf, text.data, text.size);
}

void
wire_put_binary(struct buf *buf, struct bytes binary)
{
    QO_PRE(binary.size <= UINT32_MAX);
    if (binary.data == NULL) {
        wire_put_nil(buf);
        return;
    }
    if (binary.size <= UINT8_MAX) {
        put_head(buf, 0xc4, binary.size, 1);
    } else if (binary.size <= UINT16_MAX) {
        put_head(buf, 0xc5, binary.size, 2);
    } else {
        put_head(buf, 0xc6, binary.size, 4);
    }
    buf_append(buf, binary.data, binary.size);
}

void
wire_put_array(struct buf *buf, uint32_t count)
{
    if (count < 16) {
        buf_put_u8(buf, (uint8_t)(0x90 | count));
    } else if (count <= UINT16_MAX) {
        put_head(buf, 0xdc, count, 2);
    } else {
        put_head(buf, 0xdd, count, 4);
    }
}

void
wire_put_map(struct buf *buf, uint32_t pairs)
{
    if (pairs < 16) {
        buf_put_u8(buf, (uint8_t)(0x80 | pairs));
    } else if (pairs <= UINT16_MAX) {
        put_head(buf, 0xde, pairs, 2);
    } else {
        put_head(buf, 0xdf, pairs, 4);
    }
}

void
wire_put_attributes(struct buf *buf, struct bytes list)
{
    struct attributes_iterator iterator = attributes_begin(list);
    struct attribute attribute;
    wire_put_map(buf, iterator.left);
    while (attributes_next(&iterator, &attribute)) {
        wire_put_text(buf, attribute.name);
        wire_put_object(buf, attribute.value);
    }
}

enum { OPEN_SIZE = 3 }; /* array 16 */

size_t
wire_open_array(struct buf *buf)
{
    (void)buf_reserve(buf, OPEN_SIZE);
    buf->size += OPEN_SIZE;
    return buf->size;
}

void
wire_close_array(struct buf *buf, size_t opened, uint32_t count)
{
    QO_PRE(opened >= OPEN_SIZE && opened <= buf->size && count <= UINT16_MAX);
    uint8_t *head = buf->data + opened - OPEN_SIZE;
    if (count < 16) {
        head[0] = (uint8_t)(0x90 | count);
        memmove(head + 1, head + OPEN_SIZE, buf->size - opened);
        buf->size -= OPEN_SIZE - 1;
    } else {
        head[0] = 0xdc;
        put_be16(head + 1, (uint16_t)count);
    }
}
