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

/* The most bytes that a head of MessagePack takes. */
#define WIRE_HEAD_MAX 9u

/* Room for `more` bytes; a call only if there is none. */
static inline uint8_t *
wire_room(struct buf *buf, size_t more)
{
    return buf->capacity - buf->size >= more && buf->data != NULL ? buf->data + buf->size
                                                                  : buf_reserve(buf, more);
}

/* Each writes at `at`, where there is room, and returns the end of what it wrote. */
static inline uint8_t *
wire_write_byte(uint8_t *at, unsigned byte)
{
    *at = (uint8_t)byte;
    return at + 1;
}

static inline uint8_t *
wire_write_be16(uint8_t *at, unsigned head, uint64_t value)
{
    at[0] = (uint8_t)head;
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)value;
    return at + 3;
}

static inline uint8_t *
wire_write_be32(uint8_t *at, unsigned head, uint64_t value)
{
    at[0] = (uint8_t)head;
    at[1] = (uint8_t)(value >> 24);
    at[2] = (uint8_t)(value >> 16);
    at[3] = (uint8_t)(value >> 8);
    at[4] = (uint8_t)value;
    return at + 5;
}

static inline uint8_t *
wire_write_be64(uint8_t *at, unsigned head, uint64_t value)
{
    at[0] = (uint8_t)head;
    at[1] = (uint8_t)(value >> 56);
    at[2] = (uint8_t)(value >> 48);
    at[3] = (uint8_t)(value >> 40);
    at[4] = (uint8_t)(value >> 32);
    at[5] = (uint8_t)(value >> 24);
    at[6] = (uint8_t)(value >> 16);
    at[7] = (uint8_t)(value >> 8);
    at[8] = (uint8_t)value;
    return at + 9;
}

static inline uint8_t *
wire_write_natural(uint8_t *at, uint64_t value)
{
    if (value < 128) {
        return wire_write_byte(at, (unsigned)value);
    }
    if (value <= UINT8_MAX) {
        return wire_write_byte(wire_write_byte(at, 0xcc), (unsigned)value);
    }
    return value <= UINT16_MAX   ? wire_write_be16(at, 0xcd, value)
           : value <= UINT32_MAX ? wire_write_be32(at, 0xce, value)
                                 : wire_write_be64(at, 0xcf, value);
}

static inline uint8_t *
wire_write_integer(uint8_t *at, int64_t value)
{
    uint64_t bits = (uint64_t)value;
    if (value >= 0) {
        return wire_write_natural(at, bits);
    }
    if (value >= -32) {
        return wire_write_byte(at, (unsigned)(bits & 0xff));
    }
    if (value >= INT8_MIN) {
        return wire_write_byte(wire_write_byte(at, 0xd0), (unsigned)(bits & 0xff));
    }
    return value >= INT16_MIN   ? wire_write_be16(at, 0xd1, bits)
           : value >= INT32_MIN ? wire_write_be32(at, 0xd2, bits)
                                : wire_write_be64(at, 0xd3, bits);
}

/* A str; BYTES_NONE becomes nil. Takes WIRE_HEAD_MAX and the text's bytes at most. */
static inline uint8_t *
wire_write_text(uint8_t *at, struct bytes text)
{
    if (text.data == NULL) {
        return wire_write_byte(at, 0xc0);
    }
    if (text.size < 32) {
        at = wire_write_byte(at, 0xa0 | (unsigned)text.size);
    } else if (text.size <= UINT8_MAX) {
        at = wire_write_byte(wire_write_byte(at, 0xd9), (unsigned)text.size);
    } else {
        at = text.size <= UINT16_MAX ? wire_write_be16(at, 0xda, text.size)
                                     : wire_write_be32(at, 0xdb, text.size);
    }
    memcpy(at, text.data, text.size);
    return at + text.size;
}

static inline void
wire_put_nil(struct buf *buf)
{
    *wire_room(buf, 1) = 0xc0;
    buf->size++;
}

static inline void
wire_put_boolean(struct buf *buf, bool value)
{
    *wire_room(buf, 1) = value ? 0xc3 : 0xc2;
    buf->size++;
}

static inline void
wire_put_natural(struct buf *buf, uint64_t value)
{
    uint8_t *at = wire_room(buf, WIRE_HEAD_MAX);
    buf->size += (size_t)(wire_write_natural(at, value) - at);
}

static inline void
wire_put_integer(struct buf *buf, int64_t value)
{
    uint8_t *at = wire_room(buf, WIRE_HEAD_MAX);
    buf->size += (size_t)(wire_write_integer(at, value) - at);
}

/* A str; BYTES_NONE becomes nil. The text has less than 2^32 bytes. */
static inline void
wire_put_text(struct buf *buf, struct bytes text)
{
    uint8_t *at = wire_room(buf, WIRE_HEAD_MAX + text.size);
    buf->size += (size_t)(wire_write_text(at, text) - at);
}

/* Always binary64; -0 becomes 0. Neither NaN nor infinite (asserted). */
void wire_put_number(struct buf *buf, double value);

/* A bin; BYTES_NONE becomes nil. */
void wire_put_binary(struct buf *buf, struct bytes binary);

static inline void
wire_put_array(struct buf *buf, uint32_t count)
{
    uint8_t *at = wire_room(buf, WIRE_HEAD_MAX);
    uint8_t *end = count < 16            ? wire_write_byte(at, 0x90 | count)
                   : count <= UINT16_MAX ? wire_write_be16(at, 0xdc, count)
                                         : wire_write_be32(at, 0xdd, count);
    buf->size += (size_t)(end - at);
}

static inline void
wire_put_map(struct buf *buf, uint32_t pairs)
{
    uint8_t *at = wire_room(buf, WIRE_HEAD_MAX);
    uint8_t *end = pairs < 16            ? wire_write_byte(at, 0x80 | pairs)
                   : pairs <= UINT16_MAX ? wire_write_be16(at, 0xde, pairs)
                                         : wire_write_be32(at, 0xdf, pairs);
    buf->size += (size_t)(end - at);
}

/* Bytes that are MessagePack already: one whole object (the caller's promise). */
static inline void
wire_put_object(struct buf *buf, struct bytes object)
{
    buf_append(buf, object.data, object.size);
}

/* A str from a literal: wire_put_key(buf, "applied_seq"). In lower case: to its callers it is one
 * of these functions. */
/* NOLINTNEXTLINE(readability-identifier-naming) */
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
