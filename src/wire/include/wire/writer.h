/*
 * writer: MessagePack, appended to a buffer, always in its shortest form.
 *
 * Inline and direct: a receipt is written for each command, and a packer behind a callback costs
 * several times as much (decisions/0003-messagepack.md). Whoever writes an array or a map of n owes
 * n objects or 2n; nothing here counts them.
 *
 * Thread: any, one at a time per buffer.
 */
#ifndef WIRE_WRITER_H
#define WIRE_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

static inline void
wire_put_nil(struct buf *buf)
{
    buf_put_u8(buf, 0xc0);
}

static inline void
wire_put_boolean(struct buf *buf, bool value)
{
    buf_put_u8(buf, value ? 0xc3 : 0xc2);
}

void wire_put_natural_long(struct buf *buf, uint64_t value);
void wire_put_negative_long(struct buf *buf, int64_t value);

static inline void
wire_put_natural(struct buf *buf, uint64_t value)
{
    if (value < 128) {
        buf_put_u8(buf, (uint8_t)value);
    } else {
        wire_put_natural_long(buf, value);
    }
}

static inline void
wire_put_integer(struct buf *buf, int64_t value)
{
    if (value >= 0) {
        wire_put_natural(buf, (uint64_t)value);
    } else {
        wire_put_negative_long(buf, value);
    }
}

/* Always binary64; -0 becomes 0. Neither NaN nor infinite (asserted). */
void wire_put_number(struct buf *buf, double value);

/* A str; BYTES_NONE becomes nil. */
void wire_put_text(struct buf *buf, struct bytes text);
/* A bin; BYTES_NONE becomes nil. */
void wire_put_binary(struct buf *buf, struct bytes binary);
void wire_put_array(struct buf *buf, uint32_t count);
void wire_put_map(struct buf *buf, uint32_t pairs);

/* Bytes that are MessagePack already: one whole object (the caller's promise). */
static inline void
wire_put_object(struct buf *buf, struct bytes object)
{
    buf_append(buf, object.data, object.size);
}

/* A str from a literal: wire_put_key(buf, "applied_seq"). */
#define wire_put_key(buf, literal)                                                                 \
    wire_put_text((buf), (struct bytes){(const uint8_t *)("" literal), sizeof(literal) - 1})

/* A canonical attribute list (common/attributes.h; BYTES_NONE: empty) as a map. */
void wire_put_attributes(struct buf *buf, struct bytes list);

/* An array whose length is known only at its end: open, put the elements, close with their number
 * (up to 65,535). Closing may move the elements by two bytes: pointers into the buffer end there.
 */
size_t wire_open_array(struct buf *buf);
void wire_close_array(struct buf *buf, size_t opened, uint32_t count);

#endif
