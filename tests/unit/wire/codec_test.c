/*
 * Goal: reader and writer speak MessagePack as the rest of the world does.
 * Method: random objects written by msgpack-c are read token by token and written again by us: the
 * same bytes, since both use the shortest forms. Then the edges of every form, and texts.
 */
#include "support/test.h"

#include <msgpack.h>

#include "common/attributes.h"
#include "notation.h"
#include "random_object.h"
#include "support/seed.h"
#include "wire/reader.h"
#include "wire/writer.h"

enum { ROUNDS = 20000 };

/* Reads one token and writes it. Floats are compared by value: ours are always binary64. */
static void
copy_token(struct wire_reader *reader, struct buf *out)
{
    const uint8_t *start = reader->at;
    struct wire_token token;
    assert_true(wire_next(reader, &token));
    switch (token.kind) {
    case WIRE_NIL:
        wire_put_nil(out);
        break;
    case WIRE_BOOLEAN:
        wire_put_boolean(out, token.boolean);
        break;
    case WIRE_INTEGER:
        wire_put_integer(out, token.integer);
        break;
    case WIRE_UNSIGNED:
        assert_true(token.natural > INT64_MAX);
        wire_put_natural(out, token.natural);
        break;
    case WIRE_STR:
        wire_put_text(out, token.bytes);
        break;
    case WIRE_BIN:
        wire_put_binary(out, token.bytes);
        break;
    case WIRE_ARRAY:
        wire_put_array(out, token.count);
        break;
    case WIRE_MAP:
        wire_put_map(out, token.count);
        break;
    case WIRE_FLOAT:
    case WIRE_EXTENSION: /* The first is checked against msgpack-c below; we never write the last.
                          */
        buf_append(out, start, (size_t)(reader->at - start));
        break;
    }
}

static void
reads_and_writes_what_msgpack_c_writes(void **state)
{
    uint64_t seed = seed_init();
    struct buf out = {0};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        msgpack_sbuffer want;
        struct bytes object;
        msgpack_sbuffer_init(&want);
        random_array(&want, &seed);
        struct wire_reader reader = wire_reader_of(bytes_make(want.data, want.size));
        struct wire_reader skipper = reader;
        buf_clear(&out);
        while (reader.at < reader.end) {
            copy_token(&reader, &out);
        }
        assert_true(wire_reader_done(&reader));
        assert_int_equal(out.size, want.size);
        assert_memory_equal(out.data, want.data, want.size);
        assert_true(wire_skip(&skipper, &object) && wire_reader_done(&skipper));
        assert_int_equal(object.size, want.size);
        /* Cut anywhere, it is no object. */
        if (want.size > 1) {
            skipper = wire_reader_of(bytes_make(want.data, 1 + seed_below(&seed, want.size - 1)));
            assert_false(wire_skip(&skipper, &object));
        }
        msgpack_sbuffer_destroy(&want);
    }
    buf_free(&out);
}

static void
reads_floats_as_msgpack_c_does(void **state)
{
    uint64_t seed = seed_init();
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        msgpack_sbuffer out;
        msgpack_packer packer;
        uint64_t bits = seed_next(&seed), got;
        double number;
        struct wire_token token;
        memcpy(&number, &bits, sizeof number);
        msgpack_sbuffer_init(&out);
        msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
        msgpack_pack_double(&packer, number);
        msgpack_pack_float(&packer, (float)(bits >> 44) / 16);
        struct wire_reader reader = wire_reader_of(bytes_make(out.data, out.size));
        assert_true(wire_next(&reader, &token) && token.kind == WIRE_FLOAT);
        memcpy(&got, &token.number, sizeof got);
        assert_true(got == bits);
        assert_true(wire_next(&reader, &token) && token.kind == WIRE_FLOAT);
        assert_true(token.number == (double)((float)(bits >> 44) / 16));
        msgpack_sbuffer_destroy(&out);
    }
}

static void
writes_integers_in_their_shortest_form(void **state)
{
    static const struct {
        int64_t value;
        const char *bytes;
    } cases[] = {
        {0, "x00"},
        {127, "x7f"},
        {128, "xcc80"},
        {255, "xccff"},
        {256, "xcd0100"},
        {65535, "xcdffff"},
        {65536, "xce00010000"},
        {4294967295, "xceffffffff"},
        {4294967296, "xcf0000000100000000"},
        {INT64_MAX, "xcf7fffffffffffffff"},
        {-1, "xff"},
        {-32, "xe0"},
        {-33, "xd0df"},
        {-128, "xd080"},
        {-129, "xd1ff7f"},
        {-32768, "xd18000"},
        {-32769, "xd2ffff7fff"},
        {INT32_MIN, "xd280000000"},
        {(int64_t)INT32_MIN - 1, "xd3ffffffff7fffffff"},
        {INT64_MIN, "xd38000000000000000"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf got = {0}, want = {0};
        wire_put_integer(&got, cases[i].value);
        notation_put(&want, cases[i].bytes);
        if (!bytes_equal(buf_bytes(&got), buf_bytes(&want))) {
            fail_msg("%lld", (long long)cases[i].value);
        }
        struct wire_reader reader = wire_reader_of(buf_bytes(&got));
        assert_true(wire_read_integer(&reader) == cases[i].value && wire_reader_done(&reader));
        buf_free(&got);
        buf_free(&want);
    }
}

static void
closes_arrays_with_their_shortest_head(void **state)
{
    static const uint32_t counts[] = {0, 1, 15, 16, 17, 1000, 65535};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct buf got = {0}, want = {0};
        wire_put_key(&got, "before");
        wire_put_key(&want, "before");
        size_t opened = wire_open_array(&got);
        wire_put_array(&want, counts[i]);
        for (uint32_t n = 0; n < counts[i]; n++) {
            wire_put_natural(&got, n);
            wire_put_natural(&want, n);
        }
        wire_close_array(&got, opened, counts[i]);
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));
        buf_free(&got);
        buf_free(&want);
    }
}

struct text_case {
    const char *bytes;
    size_t size;
    bool utf8, text, name;
};

static void
knows_texts_and_names(void **state)
{
#define CASE(text, is_utf8, is_text, is_name)                                                      \
    {                                                                                              \
        text, sizeof(text) - 1, is_utf8, is_text, is_name                                          \
    }
    static const struct text_case cases[] = {
        CASE("", true, true, false),
        CASE("a", true, true, true),
        CASE("AZaz09_.:-", true, true, true),
        CASE("a b", true, true, false),
        CASE("12345678\x1f", true, false, false),
        CASE("1234567\x1f 12345678", true, false, false),
        CASE("12345678 234567\0", true, false, false),
        CASE("\x7f", true, true, false),
        CASE("\xc3\xa9", true, true, false),
        CASE("1234567\xc3\xa9 12345678", true, true, false),
        CASE("\xc2\x80", true, true, false),
        CASE("\xc1\xbf", false, false, false),
        CASE("\x80", false, false, false),
        CASE("\xe0\x9f\xbf", false, false, false),
        CASE("\xe0\xa0\x80", true, true, false),
        CASE("\xed\x9f\xbf", true, true, false),
        CASE("\xed\xa0\x80", false, false, false),
        CASE("\xf0\x8f\xbf\xbf", false, false, false),
        CASE("\xf0\x90\x80\x80", true, true, false),
        CASE("\xf4\x8f\xbf\xbf", true, true, false),
        CASE("\xf4\x90\x80\x80", false, false, false),
        CASE("\xf5\x80\x80\x80", false, false, false),
        CASE("\xe2\x82", false, false, false),
        CASE("\xf0\x9f\x98", false, false, false),
        CASE("\xff", false, false, false),
        CASE("@", true, true, false),
        CASE("[", true, true, false),
        CASE("`", true, true, false),
        CASE("{", true, true, false),
        CASE("/", true, true, false),
        CASE(";", true, true, false),
        CASE("1234567890123456789012345678901234567890123456789012345678901234", true, true, true),
        CASE("12345678901234567890123456789012345678901234567890123456789012345", true, true,
             false),
    };
#undef CASE
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes text = bytes_make(cases[i].bytes, cases[i].size);
        if (wire_is_utf8(text) != cases[i].utf8 || wire_is_text(text) != cases[i].text ||
            wire_is_name(text) != cases[i].name) {
            fail_msg("case %zu: %.*s", i, BYTES_FORMAT(text));
        }
    }
}

static void
never_cuts_a_character_in_two(void **state)
{
    struct bytes text = bytes_text("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    static const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    (void)state;
    for (size_t size = 0; size < sizeof want / sizeof want[0]; size++) {
        struct bytes cut = wire_cut_text(text, size);
        assert_int_equal(cut.size, want[size]);
        assert_true(wire_is_utf8(cut));
    }
}

static void
fails_for_good_on_another_type(void **state)
{
    struct buf out = {0};
    (void)state;
    notation_put(&out, "'text' 5");
    struct wire_reader reader = wire_reader_of(buf_bytes(&out));
    assert_int_equal(wire_read_integer(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(wire_read_integer(&reader), 0);
    assert_false(wire_reader_done(&reader));
    buf_clear(&out);
    notation_put(&out, "nil nil nil nil nil nil -1");
    reader = wire_reader_of(buf_bytes(&out));
    assert_int_equal(wire_read_integer(&reader), 0);
    assert_int_equal(wire_read_natural(&reader), 0);
    assert_null(wire_read_text(&reader).data);
    assert_false(wire_read_boolean(&reader));
    assert_int_equal(wire_read_map(&reader), 0);
    assert_int_equal(wire_read_array(&reader), 0);
    assert_false(reader.failed);
    assert_int_equal(wire_read_natural(&reader), 0);
    assert_true(reader.failed);
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_what_msgpack_c_writes),
        cmocka_unit_test(reads_floats_as_msgpack_c_does),
        cmocka_unit_test(writes_integers_in_their_shortest_form),
        cmocka_unit_test(closes_arrays_with_their_shortest_head),
        cmocka_unit_test(knows_texts_and_names),
        cmocka_unit_test(never_cuts_a_character_in_two),
        cmocka_unit_test(fails_for_good_on_another_type),
    };
    return cmocka_run_group_tests_name("wire/codec", tests, NULL, NULL);
}
