/*
 * Goal: a message comes back as it was, any other bytes are refused; frames show damage; large
 * messages are cut, and small ones pass between the parts.
 * Method: round trips, every cut and many flips of real messages; a queue whose writes are read by
 * the frames' own reader.
 */
#include "support/test.h"

#include <string.h>

#include "common/hash.h"
#include "frame.h"
#include "link_queue.h"
#include "message.h"
#include "support/seed.h"

enum { MESSAGES = 7, FLIPS = 20000 };

static struct raft_entry entries[3];
static uint8_t data[3][40];

/* One of each type, every field with a value of its own. */
static struct raft_message
sample(int which)
{
    struct raft_message message = {0};
    static const size_t sizes[3] = {40, 0, 13};
    static const unsigned short types[3] = {RAFT_COMMAND, RAFT_BARRIER, RAFT_CHANGE};
    for (unsigned i = 0; i < 3; i++) {
        memset(data[i], (int)('a' + i), sizeof data[i]);
        entries[i] = (struct raft_entry){.term = 50 + i, .type = types[i]};
        entries[i].buf.base = data[i];
        entries[i].buf.len = sizes[i];
    }
    switch (which) {
    case 0:
        message.type = RAFT_IO_APPEND_ENTRIES;
        message.append_entries = (struct raft_append_entries){1ull << 60, 2, 3, 4, NULL, 0};
        break;
    case 1:
        message.type = RAFT_IO_APPEND_ENTRIES;
        message.append_entries = (struct raft_append_entries){1, 2, 3, 1ull << 63, entries, 3};
        break;
    case 2:
        message.type = RAFT_IO_APPEND_ENTRIES_RESULT;
        message.append_entries_result = (struct raft_append_entries_result){1, 2, 1ull << 40};
        break;
    case 3:
        message.type = RAFT_IO_REQUEST_VOTE;
        message.request_vote = (struct raft_request_vote){1, 2, 3, 4, true, false};
        break;
    case 4:
        message.type = RAFT_IO_REQUEST_VOTE;
        message.request_vote = (struct raft_request_vote){1, 2, 3, 4, false, true};
        break;
    case 5:
        message.type = RAFT_IO_REQUEST_VOTE_RESULT;
        message.request_vote_result =
            (struct raft_request_vote_result){9, true, raft_tribool_false};
        break;
    default:
        message.type = RAFT_IO_TIMEOUT_NOW;
        message.timeout_now = (struct raft_timeout_now){7, 8, 9};
        break;
    }
    return message;
}

static void
encode(const struct raft_message *message, struct buf *out)
{
    static const uint8_t zeros[8];
    message_put_head(message, out);
    for (unsigned i = 0;
         message->type == RAFT_IO_APPEND_ENTRIES && i < message->append_entries.n_entries; i++) {
        const struct raft_buffer *buffer = &message->append_entries.entries[i].buf;
        buf_append(out, buffer->base, buffer->len);
        buf_append(out, zeros, message_padding(buffer->len));
    }
    assert_int_equal(out->size, message_bytes(message));
}

static void
comes_back_as_it_was(void **state)
{
    (void)state;
    for (int which = 0; which < MESSAGES; which++) {
        struct raft_message message = sample(which), got;
        struct buf bytes = {0};
        encode(&message, &bytes);
        assert_int_equal(message_decode(buf_bytes(&bytes), NULL, &got), MESSAGE_GOOD);
        assert_int_equal(got.type, message.type);
        if (which == 1) {
            assert_int_equal(got.append_entries.n_entries, 3);
            for (unsigned i = 0; i < 3; i++) {
                const struct raft_entry *entry = &got.append_entries.entries[i];
                assert_int_equal(entry->term, entries[i].term);
                assert_int_equal(entry->type, entries[i].type);
                assert_int_equal(entry->buf.len, entries[i].buf.len);
                assert_memory_equal(entry->buf.base, data[i], entry->buf.len);
                assert_ptr_equal(entry->batch, got.append_entries.entries[0].batch);
            }
            message_drop(&got);
            message.append_entries.entries = NULL;
            message.append_entries.n_entries = 0;
        }
        /* What is left has no pointers but the one to the entries, now both NULL. */
        struct buf once = {0}, again = {0};
        encode(&message, &once);
        encode(&got, &again);
        assert_int_equal(once.size, again.size);
        assert_memory_equal(once.data, again.data, once.size);
        buf_free(&once);
        buf_free(&again);
        buf_free(&bytes);
    }
}

static void
lies_in_the_block_that_it_came_in(void **state)
{
    struct raft_message message = sample(1), got;
    struct buf bytes = {0};
    (void)state;
    encode(&message, &bytes);
    uint8_t *block = raft_malloc(bytes.size);
    memcpy(block, bytes.data, bytes.size);
    assert_int_equal(message_decode(bytes_make(block, bytes.size), block, &got), MESSAGE_TOOK);
    const struct raft_entry *first = got.append_entries.entries;
    assert_ptr_equal(first->batch, block);
    assert_ptr_equal(first->buf.base, block + 48 + 3 * 16);
    assert_int_equal((uintptr_t)got.append_entries.entries[2].buf.base % 8, 0);
    message_drop(&got);
    buf_free(&bytes);
}

static void
has_no_form_for_the_rest(void **state)
{
    struct raft_message snapshot = {.type = RAFT_IO_INSTALL_SNAPSHOT}, message = sample(1);
    (void)state;
    assert_int_equal(message_bytes(&snapshot), 0);
    message.append_entries.n_entries = QO_APPEND_ENTRIES_MAX + 1;
    assert_int_equal(message_bytes(&message), SIZE_MAX);
    message.append_entries.n_entries = 3;
    entries[1].buf.len = QO_LINK_MESSAGE_BYTES_MAX;
    assert_int_equal(message_bytes(&message), SIZE_MAX);
}

static void
refuses_every_other_length(void **state)
{
    (void)state;
    for (int which = 0; which < MESSAGES; which++) {
        struct raft_message message = sample(which), got;
        struct buf bytes = {0};
        encode(&message, &bytes);
        size_t whole = bytes.size;
        buf_put_le64(&bytes, 0);
        for (size_t size = 0; size <= bytes.size; size++) {
            uint8_t *exact = mem_alloc(size + 1); /* So that a sanitizer sees one byte more. */
            memcpy(exact, bytes.data, size);
            enum message_reading reading = message_decode(bytes_make(exact, size), NULL, &got);
            assert_int_equal(reading, size == whole ? MESSAGE_GOOD : MESSAGE_BAD);
            if (reading != MESSAGE_BAD) {
                message_drop(&got);
            }
            mem_free(exact);
        }
        buf_free(&bytes);
    }
}

/* What is accepted after flips is a message: it is encoded as the same bytes, padding aside. */
static void
survives_any_flips(void **state)
{
    uint64_t seed = seed_init(), accepted = 0;
    (void)state;
    for (int i = 0; i < FLIPS; i++) {
        struct raft_message message = sample(i % MESSAGES), got;
        struct buf bytes = {0}, again = {0};
        encode(&message, &bytes);
        for (uint64_t n = seed_below(&seed, 4) + 1; n > 0; n--) {
            bytes.data[seed_below(&seed, bytes.size)] = (uint8_t)seed_next(&seed);
        }
        if (message_decode(buf_bytes(&bytes), NULL, &got) == MESSAGE_GOOD) {
            accepted++;
            encode(&got, &again);
            assert_int_equal(again.size, bytes.size);
            message_drop(&got);
        }
        buf_free(&bytes);
        buf_free(&again);
    }
    assert_true(accepted > FLIPS / 100);
}

static void
frames_show_every_flipped_bit(void **state)
{
    struct buf bytes = {0};
    struct frame frame;
    (void)state;
    frame_put(&bytes, FRAME_NOTE, bytes_text("a note, as an example"));
    assert_int_equal(frame_read(buf_bytes(&bytes), &frame), FRAME_WHOLE);
    assert_int_equal(frame.type, FRAME_NOTE);
    assert_true(bytes_equal(frame.payload, bytes_text("a note, as an example")));
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(frame_read(bytes_make(bytes.data, size), &frame), FRAME_INCOMPLETE);
    }
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(frame_read(buf_bytes(&bytes), &frame), FRAME_WHOLE);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    put_le32(bytes.data + 4, FRAME_PAYLOAD_MAX + 1);
    assert_int_equal(frame_read(buf_bytes(&bytes), &frame), FRAME_DAMAGED);
    buf_free(&bytes);
}

/* -- The queue --------------------------------------------------------------------------------- */

/* Takes the next write out of the queue as the bytes that go out, and frees what is done. */
static uint32_t
write_out(struct link_queue *queue, struct buf *out)
{
    struct bytes pieces[LINK_PIECES_MAX];
    size_t count = link_queue_fill(queue, pieces);
    for (size_t i = 0; i < count; i++) {
        buf_append(out, pieces[i].data, pieces[i].size);
    }
    struct link_items done = link_queue_written(queue);
    uint32_t items = 0;
    for (struct link_item *item; (item = link_items_pop(&done)) != NULL; items++) {
        link_item_free(item);
    }
    return items;
}

static bool
push(struct link_queue *queue, const struct raft_message *message)
{
    struct link_item *item = link_item_of(message, NULL, NULL);
    assert_int_equal(item->status, 0);
    bool taken = link_queue_push(queue, item, message);
    if (!taken) {
        assert_int_equal(item->status, RAFT_BUSY);
        link_item_free(item);
    }
    return taken;
}

static void
empty(struct link_queue *queue)
{
    struct link_items rest = link_queue_drain(queue);
    for (struct link_item *item; (item = link_items_pop(&rest)) != NULL;) {
        link_item_free(item);
    }
}

/* Entries of all sizes around what is copied and what is a part, cut and put together again. */
static void
cuts_and_joins(void **state)
{
    static uint8_t bulk[QO_MIB(2)];
    static struct raft_entry many[64];
    uint64_t seed = seed_init();
    (void)state;
    for (size_t i = 0; i < sizeof bulk; i++) {
        bulk[i] = (uint8_t)seed_next(&seed);
    }
    for (int round = 0; round < 60; round++) {
        struct link_queue queue = {0};
        struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES}, got;
        struct buf out = {0}, whole = {0}, joined = {0};
        struct frame frame;
        message.append_entries.entries = many;
        message.append_entries.n_entries = 1 + (unsigned)seed_below(&seed, 64);
        for (unsigned i = 0; i < message.append_entries.n_entries; i++) {
            static const size_t most[] = {100, LINK_COPY_BYTES + 100, QO_LINK_PART_BYTES + 100};
            many[i] = (struct raft_entry){.term = i, .type = RAFT_COMMAND};
            many[i].buf.len = seed_below(&seed, most[seed_below(&seed, 3)]);
            many[i].buf.base = bulk + seed_below(&seed, sizeof bulk - many[i].buf.len);
        }
        encode(&message, &whole);
        assert_true(push(&queue, &message));
        size_t written = 0;
        for (uint32_t done = 0; done == 0; written = out.size) {
            done = write_out(&queue, &out);
            assert_true(out.size - written <= QO_LINK_WRITE_BYTES);
        }
        assert_int_equal(queue.bytes, 0);
        for (size_t at = 0; at < out.size; at += FRAME_HEADER + frame.payload.size) {
            struct bytes left = bytes_make(out.data + at, out.size - at);
            assert_int_equal(frame_read(left, &frame), FRAME_WHOLE);
            size_t skip = frame.type == FRAME_FIRST ? FRAME_FIRST_BYTES : 0;
            assert_int_equal(frame.type, whole.size <= QO_LINK_PART_BYTES ? FRAME_MESSAGE
                                         : at == 0                        ? FRAME_FIRST
                                                                          : FRAME_PART);
            buf_append(&joined, frame.payload.data + skip, frame.payload.size - skip);
        }
        assert_int_equal(joined.size, whole.size);
        assert_memory_equal(joined.data, whole.data, whole.size);
        assert_int_equal(message_decode(buf_bytes(&joined), NULL, &got), MESSAGE_GOOD);
        message_drop(&got);
        buf_free(&out);
        buf_free(&whole);
        buf_free(&joined);
        empty(&queue);
    }
}

/* The type of message in a frame, for those that hold a whole one. */
static uint8_t
type_in(const struct frame *frame)
{
    return frame->type == FRAME_MESSAGE ? frame->payload.data[0] : 0;
}

static void
votes_and_signs_of_life_pass_between_parts(void **state)
{
    static uint8_t bulk[QO_MIB(1)];
    struct raft_entry large = {.term = 1, .type = RAFT_COMMAND};
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES}, heartbeat = sample(0);
    struct raft_message vote = sample(3), got;
    struct link_queue queue = {0};
    struct buf out = {0};
    struct frame frame;
    (void)state;
    large.buf.base = bulk;
    large.buf.len = sizeof bulk;
    message.append_entries.entries = &large;
    message.append_entries.n_entries = 1;
    assert_true(push(&queue, &message));
    assert_int_equal(write_out(&queue, &out), 0);
    assert_true(push(&queue, &heartbeat)); /* Its sign of life passes; and no second one waits. */
    assert_true(push(&queue, &heartbeat));
    assert_true(push(&queue, &vote));
    buf_clear(&out);
    assert_int_equal(write_out(&queue, &out), 2);
    assert_int_equal(frame_read(buf_bytes(&out), &frame), FRAME_WHOLE);
    assert_int_equal(type_in(&frame), RAFT_IO_APPEND_ENTRIES);
    assert_int_equal(message_decode(frame.payload, NULL, &got), MESSAGE_GOOD);
    assert_int_equal(got.append_entries.term, heartbeat.append_entries.term);
    assert_int_equal(got.append_entries.prev_log_index, 0);
    assert_int_equal(got.append_entries.leader_commit, 0);
    size_t at = FRAME_HEADER + frame.payload.size;
    assert_int_equal(frame_read(bytes_make(out.data + at, out.size - at), &frame), FRAME_WHOLE);
    assert_int_equal(type_in(&frame), RAFT_IO_REQUEST_VOTE);
    at += FRAME_HEADER + frame.payload.size;
    assert_int_equal(frame_read(bytes_make(out.data + at, out.size - at), &frame), FRAME_WHOLE);
    assert_int_equal(frame.type, FRAME_PART);
    /* The heartbeats themselves come last, in their place. */
    buf_clear(&out);
    for (uint32_t done = 0; done < 3;) {
        done += write_out(&queue, &out);
    }
    for (at = 0; at < out.size; at += FRAME_HEADER + frame.payload.size) {
        assert_int_equal(frame_read(bytes_make(out.data + at, out.size - at), &frame), FRAME_WHOLE);
    }
    assert_int_equal(message_decode(frame.payload, NULL, &got), MESSAGE_GOOD);
    assert_int_equal(got.append_entries.prev_log_index, heartbeat.append_entries.prev_log_index);
    buf_free(&out);
    empty(&queue);
}

static void
is_bounded_in_bytes_messages_and_notes(void **state)
{
    static uint8_t bulk[QO_MIB(1)];
    struct raft_entry large = {.term = 1, .type = RAFT_COMMAND};
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES}, vote = sample(3);
    struct link_queue queue = {0};
    uint32_t taken = 0;
    (void)state;
    large.buf.base = bulk;
    large.buf.len = sizeof bulk;
    message.append_entries.entries = &large;
    message.append_entries.n_entries = 1;
    while (push(&queue, &message)) {
        taken++;
    }
    assert_int_equal(taken, QO_LINK_QUEUE_BYTES_MAX / message_bytes(&message));
    assert_true(queue.bytes <= QO_LINK_QUEUE_BYTES_MAX);
    assert_true(push(&queue, &vote)); /* There is room for what is small. */
    empty(&queue);
    for (taken = 0; push(&queue, &vote); taken++) {
    }
    assert_true(taken + 2 >= QO_LINK_MESSAGES_MAX && taken <= QO_LINK_MESSAGES_MAX);
    for (int i = 0; i < 10000; i++) {
        link_queue_note(&queue, 1, bytes_text("a note that nobody reads"));
    }
    assert_true(queue.note_bytes <= QO_LINK_NOTES_BYTES_MAX && queue.note_bytes > 0);
    empty(&queue);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(lies_in_the_block_that_it_came_in),
        cmocka_unit_test(has_no_form_for_the_rest),
        cmocka_unit_test(refuses_every_other_length),
        cmocka_unit_test(survives_any_flips),
        cmocka_unit_test(frames_show_every_flipped_bit),
        cmocka_unit_test(cuts_and_joins),
        cmocka_unit_test(votes_and_signs_of_life_pass_between_parts),
        cmocka_unit_test(is_bounded_in_bytes_messages_and_notes),
    };
    return cmocka_run_group_tests_name("consensus/links_message", tests, NULL, NULL);
}
