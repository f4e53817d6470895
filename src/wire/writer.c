/* See wire/writer.h. Thread: any, one at a time per buffer. */
#include "wire/writer.h"

#include "common/assert.h"
#include "common/attributes.h"

void
wire_put_number(struct buf *buf, double value)
{
    value_put_number(buf_reserve(buf, 9), value);
    buf->size += 9;
}

void
wire_put_binary(struct buf *buf, struct bytes binary)
{
    QO_PRE(binary.size <= UINT32_MAX);
    if (binary.data == NULL) {
        wire_put_nil(buf);
        return;
    }
    uint8_t *at = wire_room(buf, WIRE_HEAD_MAX);
    uint8_t *end = binary.size <= UINT8_MAX
                       ? wire_write_byte(wire_write_byte(at, 0xc4), (unsigned)binary.size)
                   : binary.size <= UINT16_MAX ? wire_write_be16(at, 0xc5, binary.size)
                                               : wire_write_be32(at, 0xc6, binary.size);
    buf->size += (size_t)(end - at);
    buf_append(buf, binary.data, binary.size);
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
