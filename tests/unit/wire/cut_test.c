/*
 * Goal: messages are found in a stream whatever way it comes, and a stream that cannot hold one is
 * refused as early as possible.
 * Method: random objects from msgpack-c, fed byte by byte, in random pieces and whole; tables for
 * the limits.
 */
#include "support/test.h"

#include <msgpack.h>

#include "common/limits.h"
#include "notation.h"
#include "random_object.h"
#include "support/seed.h"
#include "wire/cut.h"

enum { ROUNDS = 3000, MESSAGES = 4 };

/* Feeds `stream` in pieces of at most `piece_max` bytes; notes the sizes of the messages. */
static size_t
feed(struct bytes stream, uint64_t piece_max, uint64_t *seed, size_t *sizes, size_t sizes_max)
{
    struct wire_cutter cutter = {0};
    size_t start = 0, arrived = 0, count = 0;
    while (arrived < stream.size) {
        arrived += 1 + seed_below(seed, piece_max);
        arrived = arrived > stream.size ? stream.size : arrived;
        for (;;) {
            size_t size = 0;
            enum wire_cut cut =
                wire_cut(&cutter, bytes_make(stream.data + start, arrived - start), &size);
            if (cut != WIRE_CUT_MESSAGE) {
                assert_int_equal(cut, WIRE_CUT_NEED_MORE);
                break;
            }
            assert_true(count < sizes_max && size <= arrived - start);
            sizes[count++] = size;
            start += size;
        }
    }
    assert_int_equal(start, stream.size);
    return count;
}

static void
finds_the_same_messages_in_any_pieces(void **state)
{
    uint64_t seed = seed_init();
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        msgpack_sbuffer stream;
        size_t want[MESSAGES], got[MESSAGES];
        static const uint64_t pieces[] = {1, 2, 7, 64, 1 << 20};
        msgpack_sbuffer_init(&stream);
        for (int i = 0; i < MESSAGES; i++) {
            size_t before = stream.size;
            random_array(&stream, &seed);
            want[i] = stream.size - before;
        }
        for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
            size_t count =
                feed(bytes_make(stream.data, stream.size), pieces[p], &seed, got, MESSAGES);
            assert_int_equal(count, MESSAGES);
            assert_memory_equal(got, want, sizeof want);
        }
        msgpack_sbuffer_destroy(&stream);
    }
}

struct cut_case {
    const char *name, *text;
    size_t seen; /* So many of its bytes have arrived; 0: all. */
    enum wire_cut want;
};

static void
refuses_as_early_as_possible(void **state)
{
    static const struct cut_case cases[] = {
        {"an integer", "5", 0, WIRE_CUT_MALFORMED},
        {"a map", "{}", 1, WIRE_CUT_MALFORMED},
        {"a text", "'GET / HTTP/1.1'", 1, WIRE_CUT_MALFORMED},
        {"0xc1 inside", "[0, xc1, 5]", 0, WIRE_CUT_MALFORMED},
        {"0xc1 not yet seen", "[0, xc1, 5]", 6, WIRE_CUT_NEED_MORE},
        {"an empty array", "[]", 0, WIRE_CUT_MESSAGE},
        {"half a head", "[]", 3, WIRE_CUT_NEED_MORE},
        {"nested without end",
         "x"
         "91919191919191919191919191919191",
         0, WIRE_CUT_NEED_MORE},
        {"a text that will be too long", "[xdb00100000]", 0, WIRE_CUT_TOO_LARGE},
        {"a bin that will be too long", "[xc600100000]", 0, WIRE_CUT_TOO_LARGE},
        {"an extension that will be too long", "[xc90010000005]", 0, WIRE_CUT_TOO_LARGE},
        {"an array that will be too long", "xdd00100000", 0, WIRE_CUT_TOO_LARGE},
        {"the longest array", "xdd000ffffb", 0, WIRE_CUT_NEED_MORE},
        {"one longer", "xdd000ffffc", 0, WIRE_CUT_TOO_LARGE},
        {"the largest counts there are", "xddffffffff", 0, WIRE_CUT_TOO_LARGE},
        {"the largest map inside", "x91dfffffffff", 0, WIRE_CUT_TOO_LARGE},
        {"many that are too long only together", "x93da7fffda", 0, WIRE_CUT_NEED_MORE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf message = {0};
        struct wire_cutter cutter = {0};
        size_t size;
        notation_put(&message, cases[i].text);
        enum wire_cut got = wire_cut(
            &cutter, bytes_make(message.data, cases[i].seen == 0 ? message.size : cases[i].seen),
            &size);
        if (got != cases[i].want) {
            fail_msg("%s: got %d, want %d", cases[i].name, got, cases[i].want);
        }
        buf_free(&message);
    }
}

/* `[text]` of exactly `size` bytes. */
static enum wire_cut
cut_of_size(size_t size, size_t size_max)
{
    struct buf message = {0};
    struct wire_cutter cutter = {.size_max = size_max};
    size_t cut = 0;
    buf_put_u8(&message, 0x91);
    buf_put_u8(&message, 0xdb);
    put_be32(buf_reserve(&message, size), (uint32_t)(size - 6));
    memset(message.data + 6, 'x', size - 6);
    message.size = size;
    enum wire_cut got = wire_cut(&cutter, buf_bytes(&message), &cut);
    if (got == WIRE_CUT_MESSAGE) {
        assert_int_equal(cut, size);
        assert_int_equal(cutter.size_max, size_max);
    }
    buf_free(&message);
    return got;
}

static void
takes_a_message_of_the_limit_and_none_larger(void **state)
{
    (void)state;
    assert_int_equal(cut_of_size(QO_MESSAGE_MAX, 0), WIRE_CUT_MESSAGE);
    assert_int_equal(cut_of_size(QO_MESSAGE_MAX + 1, 0), WIRE_CUT_TOO_LARGE);
    assert_int_equal(cut_of_size(QO_PEER_MESSAGE_MAX, QO_PEER_MESSAGE_MAX), WIRE_CUT_MESSAGE);
    assert_int_equal(cut_of_size(QO_PEER_MESSAGE_MAX + 1, QO_PEER_MESSAGE_MAX), WIRE_CUT_TOO_LARGE);
}

/* A message of a million tokens that comes byte by byte: quadratic scanning would take minutes. */
static void
scans_each_byte_once(void **state)
{
    struct buf message = {0};
    struct wire_cutter cutter = {0};
    size_t size = 0;
    (void)state;
    wire_put_array(&message, QO_MESSAGE_MAX - 5);
    memset(buf_reserve(&message, QO_MESSAGE_MAX), 0x01, QO_MESSAGE_MAX - 5);
    message.size += QO_MESSAGE_MAX - 5;
    for (size_t arrived = 1; arrived < message.size; arrived++) {
        assert_int_equal(wire_cut(&cutter, bytes_make(message.data, arrived), &size),
                         WIRE_CUT_NEED_MORE);
    }
    assert_int_equal(wire_cut(&cutter, buf_bytes(&message), &size), WIRE_CUT_MESSAGE);
    assert_int_equal(size, QO_MESSAGE_MAX);
    buf_free(&message);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_same_messages_in_any_pieces),
        cmocka_unit_test(refuses_as_early_as_possible),
        cmocka_unit_test(takes_a_message_of_the_limit_and_none_larger),
        cmocka_unit_test(scans_each_byte_once),
    };
    return cmocka_run_group_tests_name("wire/cut", tests, NULL, NULL);
}
