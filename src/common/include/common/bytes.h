/*
 * bytes: slices of memory, and buffers that grow.
 *
 * A `struct bytes` points at memory of somebody else and never owns it. A `struct buf` owns its
 * memory. Out of memory ends the process (FATAL_MEMORY): a replica that failed an entry for want of
 * memory would differ from the others. Thread: any, one at a time per buffer.
 */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <endian.h>
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

/* Makes room for `more` bytes beyond `size`: the slow half of buf_reserve(). */
void buf_grow(struct buf *buf, size_t more);

/* Room for `more` bytes beyond `size`; the pointer to them. */
static inline uint8_t *
buf_reserve(struct buf *buf, size_t more)
{
    if (buf->data == NULL || buf->capacity - buf->size < more) {
        buf_grow(buf, more);
    }
    return buf->data + buf->size;
}

static inline void
buf_append(struct buf *buf, const void *data, size_t size)
{
    uint8_t *at = buf_reserve(buf, size);
    if (size > 0) {
        memcpy(at, data, size);
    }
    buf->size += size;
}

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

#define BYTES_ORDER(bits)                                                                          \
    static inline void put_le##bits(uint8_t *at, uint##bits##_t value)                             \
    {                                                                                              \
        value = htole##bits(value);                                                                \
        memcpy(at, &value, sizeof value);                                                          \
    }                                                                                              \
    static inline uint##bits##_t get_le##bits(const uint8_t *at)                                   \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        memcpy(&value, at, sizeof value);                                                          \
        return le##bits##toh(value);                                                               \
    }                                                                                              \
    static inline void put_be##bits(uint8_t *at, uint##bits##_t value)                             \
    {                                                                                              \
        value = htobe##bits(value);                                                                \
        memcpy(at, &value, sizeof value);                                                          \
    }                                                                                              \
    static inline uint##bits##_t get_be##bits(const uint8_t *at)                                   \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        memcpy(&value, at, sizeof value);                                                          \
        return be##bits##toh(value);                                                               \
    }                                                                                              \
    static inline void buf_put_le##bits(struct buf *buf, uint##bits##_t value)                     \
    {                                                                                              \
        put_le##bits(buf_reserve(buf, sizeof value), value);                                       \
        buf->size += sizeof value;                                                                 \
    }
BYTES_ORDER(16)
BYTES_ORDER(32)
BYTES_ORDER(64)
#undef BYTES_ORDER

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

/* The next `size` bytes, or NULL. */
static inline const uint8_t *
cursor_take(struct cursor *cursor, size_t size)
{
    if (cursor->failed || size > (size_t)(cursor->end - cursor->at)) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *at = cursor->at;
    cursor->at += size;
    return at;
}

static inline uint8_t
cursor_u8(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, 1);
    return at == NULL ? 0 : *at;
}

static inline uint16_t
cursor_le16(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, 2);
    return at == NULL ? 0 : get_le16(at);
}

static inline uint32_t
cursor_le32(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, 4);
    return at == NULL ? 0 : get_le32(at);
}

static inline uint64_t
cursor_le64(struct cursor *cursor)
{
    const uint8_t *at = cursor_take(cursor, 8);
    return at == NULL ? 0 : get_le64(at);
}

static inline struct bytes
cursor_bytes(struct cursor *cursor, size_t size)
{
    const uint8_t *at = cursor_take(cursor, size);
    return at == NULL ? BYTES_NONE : bytes_make(at, size);
}

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
