/* See common/bytes.h. Thread: any, one at a time per buffer. */
#include "common/bytes.h"

#include <stdlib.h>

#include "common/assert.h"

int
bytes_compare(struct bytes a, struct bytes b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

void *
mem_alloc(size_t size)
{
    void *memory = malloc(size == 0 ? 1 : size);
    if (memory == NULL) {
        qo_fatal(FATAL_MEMORY, "no memory for %zu bytes", size);
    }
    return memory;
}

void *
mem_zalloc(size_t size)
{
    return memset(mem_alloc(size), 0, size);
}

void *
mem_realloc(void *memory, size_t size)
{
    void *moved = realloc(memory, size == 0 ? 1 : size);
    if (moved == NULL) {
        qo_fatal(FATAL_MEMORY, "no memory for %zu bytes", size);
    }
    return moved;
}

void
mem_free(void *memory)
{
    free(memory);
}

enum { BUF_CAPACITY_MIN = 256 };

void
buf_grow(struct buf *buf, size_t more)
{
    QO_PRE(more <= SIZE_MAX / 4 && buf->size <= SIZE_MAX / 4);
    size_t capacity = buf->capacity < BUF_CAPACITY_MIN ? BUF_CAPACITY_MIN : buf->capacity;
    while (capacity - buf->size < more) {
        capacity *= 2;
    }
    buf->data = mem_realloc(buf->data, capacity);
    buf->capacity = capacity;
}

void
buf_clear(struct buf *buf)
{
    buf->size = 0;
}

void
buf_free(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){0};
}

struct bytes
cursor_bytes8(struct cursor *cursor)
{
    return cursor_bytes(cursor, cursor_u8(cursor));
}

struct bytes
cursor_bytes16(struct cursor *cursor)
{
    return cursor_bytes(cursor, cursor_le16(cursor));
}

struct bytes
cursor_bytes32(struct cursor *cursor)
{
    return cursor_bytes(cursor, cursor_le32(cursor));
}

bool
cursor_done(const struct cursor *cursor)
{
    return !cursor->failed && cursor->at == cursor->end;
}

void
buf_put_bytes8(struct buf *buf, struct bytes bytes)
{
    QO_PRE(bytes.size <= UINT8_MAX);
    buf_put_u8(buf, (uint8_t)bytes.size);
    buf_append(buf, bytes.data, bytes.size);
}

void
buf_put_bytes16(struct buf *buf, struct bytes bytes)
{
    QO_PRE(bytes.size <= UINT16_MAX);
    buf_put_le16(buf, (uint16_t)bytes.size);
    buf_append(buf, bytes.data, bytes.size);
}

void
buf_put_bytes32(struct buf *buf, struct bytes bytes)
{
    QO_PRE(bytes.size <= UINT32_MAX);
    buf_put_le32(buf, (uint32_t)bytes.size);
    buf_append(buf, bytes.data, bytes.size);
}
