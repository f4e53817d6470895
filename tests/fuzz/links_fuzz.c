/*
 * Any bytes from another member. The first byte says what the rest is read as: a message (copied
 * out, and in the block that it came in), frames, or a hello. What is accepted must be well-formed:
 * it has the length that it says, and is written again as what it was. Thread: one.
 */
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "frame.h"
#include "link_hello.h"
#include "message.h"

/* libFuzzer's name. */
/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte of every entry is there to be read, and the head is the same again. */
static void
check(struct raft_message *message, struct bytes whole)
{
    struct buf head = {0};
    static volatile uint8_t sum;
    QO_ASSERT(message_bytes(message) == whole.size);
    message_put_head(message, &head);
    QO_ASSERT(head.size <= whole.size && memcmp(head.data, whole.data, head.size) == 0);
    for (unsigned i = 0;
         message->type == RAFT_IO_APPEND_ENTRIES && i < message->append_entries.n_entries; i++) {
        const struct raft_buffer *buffer = &message->append_entries.entries[i].buf;
        for (size_t n = 0; n < buffer->len; n++) {
            sum = (uint8_t)(sum + ((const uint8_t *)buffer->base)[n]);
        }
    }
    buf_free(&head);
    message_drop(message);
}

static void
read_message(struct bytes bytes)
{
    struct raft_message message;
    if (message_decode(bytes, NULL, &message) != MESSAGE_BAD) {
        check(&message, bytes);
    }
    uint8_t *block = raft_malloc(bytes.size + 1);
    memcpy(block, bytes.data, bytes.size);
    enum message_reading reading = message_decode(bytes_make(block, bytes.size), block, &message);
    if (reading != MESSAGE_BAD) {
        check(&message, bytes);
    }
    if (reading != MESSAGE_TOOK) {
        raft_free(block);
    }
}

static void
read_frames(struct bytes bytes)
{
    struct frame frame;
    size_t at = 0;
    while (frame_read(bytes_make(bytes.data + at, bytes.size - at), &frame) == FRAME_WHOLE) {
        if (frame.type == FRAME_MESSAGE) {
            read_message(frame.payload);
        }
        at += FRAME_HEADER + frame.payload.size;
        QO_ASSERT(at <= bytes.size);
    }
}

static void
read_hello(struct bytes bytes)
{
    struct hello hello;
    uint8_t again[HELLO_BYTES];
    char text[HELLO_TEXT_MAX + 1];
    if (hello_read(bytes, &hello) && hello.version == HELLO_VERSION) {
        hello_write(&hello, again);
        QO_ASSERT(bytes.size == HELLO_BYTES && memcmp(again, bytes.data, HELLO_BYTES) == 0);
    }
    hello_clean(bytes, text);
    QO_ASSERT(strlen(text) <= HELLO_TEXT_MAX && strchr(text, '\n') == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct bytes rest = bytes_make(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        read_message(rest);
        break;
    case 1:
        read_frames(rest);
        break;
    default:
        read_hello(rest);
        break;
    }
    return 0;
}
