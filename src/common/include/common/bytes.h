/*
 * bytes: slices of memory, and buffers that grow.
 *
 * A `struct bytes` points at memory of somebody else and never owns it. A `struct buf` owns its
 * memory. Out of memory ends the process (FATAL_MEMORY): a replica that failed an entry for want of
 * memory would differ from the others. Thread: any, one at a time per buffer.
 */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data; /* NULL only if absent; an empty text has a pointer and size 0. */
    size_t size;
};

static inline struct bytes
bytes_make(const void *data, size_t size)
{
    return (struct bytes){data, size};
}

/* The bytes of a NUL-terminated text, without the NUL. */
static inline struct bytes
bytes_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

#define BYTES_NONE ((struct bytes){NULL, 0})

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* As memcmp, a prefix first. */
int bytes_compare(struct bytes a, struct bytes b);

/* printf("%.*s", BYTES_FORMAT(b)) */
#define BYTES_FORMAT(b) (int)(b).size, (const char *)(b).data

struct buf {
    uint8_t *data;
    size_t size, capacity;
};

/* Memory that is never NULL; mem_free() gives it back. The only callers of malloc in the project.
 */
void *mem_alloc(size_t size) __attribute__((returns_nonnull, malloc));
void *mem_zalloc(size_t size) __attribute__((returns_nonnull, malloc));
void *mem_realloc(void *memory, size_t size) __attribute__((returns_nonnull));
void mem_free(void *memory);

/* Room for `more` bytes beyond `size`; the pointer to them. */
uint8_t *buf_reserve(struct buf *buf, size_t more);
void buf_append(struct buf *buf, const void *data, size_t size);
void buf_clear(struct buf *buf); /* Empties it and keeps its memory. */
void buf_free(struct buf *buf);

static inline struct bytes
buf_bytes(const struct buf *buf)
{
    return (struct bytes){buf->data, buf->size};
}

/* Little-endian is the order inside values and log entries; big-endian that of keys. */
static inline void
buf_put_u8(struct buf *buf, uint8_t value)
{
    *buf_reserve(buf, 1) = value;
    buf->size += 1;
}

#define BUF_PUT_LE(bits)                                                                           \
    static inline void put_le##bits(uint8_t *at, uint##bits##_t value)                             \
    {                                                                                              \
        for (size_t i = 0; i < sizeof value; i++) {                                                \
            at[i] = (uint8_t)(value >> (8 * i));                                                   \
        }                                                                                          \
    }                                                                                              \
    static inline uint##bits##_t get_le##bits(const uint8_t *at)                                   \
    {                                                                                              \
        uint##bits##_t value = 0;                                                                  \
        for (size_t i = 0; i < sizeof value; i++) {                                                \
            value = (uint##bits##_t)(value | (uint##bits##_t)((uint##bits##_t)at[i] << (8 * i)));  \
        }                                                                                          \
        return value;                                                                              \
    }                                                                                              \
    static inline void put_be##bits(uint8_t *at, uint##bits##_t value)                             \
    {                                                                                              \
        for (size_t i = 0; i < sizeof value; i++) {                                                \
            at[i] = (uint8_t)(value >> (8 * (sizeof value - 1 - i)));                              \
        }                                                                                          \
    }                                                                                              \
    static inline uint##bits##_t get_be##bits(const uint8_t *at)                                   \
    {                                                                                              \
        uint##bits##_t value = 0;                                                                  \
        for (size_t i = 0; i < sizeof value; i++) {                                                \
            value = (uint##bits##_t)(                                                              \
                value | (uint##bits##_t)((uint##bits##_t)at[i] << (8 * (sizeof value - 1 - i))));  \
        }                                                                                          \
        return value;                                                                              \
    }                                                                                              \
    static inline void buf_put_le##bits(struct buf *buf, uint##bits##_t value)                     \
    {                                                                                              \
        put_le##bits(buf_reserve(buf, sizeof value), value);                                       \
        buf->size += sizeof value;                                                                 \
    }
BUF_PUT_LE(16)
BUF_PUT_LE(32)
BUF_PUT_LE(64)
#undef BUF_PUT_LE

/* Reading what was written above; every get checks the bound and, past the end, sets `failed` and
 * returns 0 or BYTES_NONE, so that one check at the end serves a whole decoder. */
struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct cursor
cursor_of(struct bytes bytes)
{
    return (struct cursor){bytes.data, bytes.data == NULL ? NULL : bytes.data + bytes.size, false};
}
uint8_t cursor_u8(struct cursor *cursor);
uint16_t cursor_le16(struct cursor *cursor);
uint32_t cursor_le32(struct cursor *cursor);
uint64_t cursor_le64(struct cursor *cursor);
struct bytes cursor_bytes(struct cursor *cursor, size_t size);
/* A one-byte, two-byte or four-byte length and that many bytes. */
struct bytes cursor_bytes8(struct cursor *cursor);
struct bytes cursor_bytes16(struct cursor *cursor);
struct bytes cursor_bytes32(struct cursor *cursor);
/* True if nothing failed and nothing is left. */
bool cursor_done(const struct cursor *cursor);

/* Length prefix and bytes, the other side of cursor_bytes8/16/32. The size must fit (asserted). */
void buf_put_bytes8(struct buf *buf, struct bytes bytes);
void buf_put_bytes16(struct buf *buf, struct bytes bytes);
void buf_put_bytes32(struct buf *buf, struct bytes bytes);

#endif
