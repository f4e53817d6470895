/*
 * Goal: values have one form, and two requests have the same content exactly if the protocol says
 * so.
 * Method: classes of requests that must agree within and differ between; known digests, which must
 * never change; random values, for which making canonical twice is making it once.
 */
#include "support/test.h"

#include <msgpack.h>

#include "common/hash.h"
#include "common/limits.h"
#include "notation.h"
#include "random_object.h"
#include "support/seed.h"
#include "wire/reader.h"
#include "wire/request.h"

static struct wire_decoder decoder;
static struct arena arena;

static struct wire_request
taken(const char *text)
{
    struct buf message = {0};
    struct wire_request request;
    struct wire_refusal refusal;
    notation_put(&message, text);
    struct bytes kept = arena_copy(&arena, buf_bytes(&message));
    buf_free(&message);
    if (!wire_decode_request(&decoder, kept, &arena, &request, &refusal)) {
        fail_msg("%s: refused: %.*s", text, BYTES_FORMAT(refusal.failure.message));
    }
    return request;
}

static bool
same(const struct wire_content *a, const struct wire_content *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

#define MOVE(params) "[0, 7, 'order.transition', [{'id': 'a', 'event': 'e'" params "}]]"
#define CREATE(params) "[0, 7, 'order.create', [{'id': 'a', 'machine': 'e'" params "}]]"
#define BATCH(params) "[0, 7, 'order.batch', [{" params "}]]"
#define ONE "{'op': 'create', 'id': 'a', 'machine': 'e'}"

static const struct {
    int class;
    const char *text;
} cases[] = {
    {1, MOVE("")},
    {1, MOVE(", 'request_id': 'r'")},
    {1, MOVE(", 'request_id': 'other', 'trace': 't', 'timeout_ms': 50")},
    {1, MOVE(", 'actor': nil, 'attributes': nil, 'expect_version': nil")},
    {1, MOVE(", 'attributes': {}")},
    {1, "[0, 9, b'order.transition', [{b'event': b'e', b'id': b'a'}]]"},
    {1, BATCH("'atomic': false, 'operations': [{'op': 'transition', 'id': 'a', 'event': 'e'}]")},
    {2, CREATE("")},
    {2, BATCH("'atomic': false, 'operations': [{'id': 'a', 'machine': 'e', 'op': 'create', "
              "'request_id': 'r'}]")},
    {3, CREATE(", 'machine_version': 1")},
    {4, MOVE(", 'actor': ''")},
    {5, MOVE(", 'reason': ''")},
    {6, MOVE(", 'expect_version': 1")},
    {6, MOVE(", 'expect_version': xcf0000000000000001")},
    {7, MOVE(", 'expect_version': 2")},
    {8, MOVE(", 'expect_state': 'e'")},
    {9, MOVE(", 'attributes': {'n': 5}")},
    {9, MOVE(", 'attributes': {'n': 5.0}")},
    {9, MOVE(", 'attributes': {'n': xca40a00000}")},
    {9, MOVE(", 'attributes': {b'n': xd30000000000000005}")},
    {10, MOVE(", 'attributes': {'n': 5.5}")},
    {11, MOVE(", 'attributes': {'n': nil}")},
    {12, MOVE(", 'attributes': {'n': 0}")},
    {12, MOVE(", 'attributes': {'n': 0.0}")},
    {12, MOVE(", 'attributes': {'n': -0.0}")},
    {13, MOVE(", 'attributes': {'n': 9007199254740992}")},
    {13, MOVE(", 'attributes': {'n': 9007199254740992.0}")},
    {14, MOVE(", 'attributes': {'n': 9007199254740994}")},
    {15, MOVE(", 'attributes': {'n': 9007199254740994.0}")}, /* Over 2^53. */
    {16, MOVE(", 'attributes': {'n': -9007199254740992}")},
    {16, MOVE(", 'attributes': {'n': -9007199254740992.0}")},
    {17, MOVE(", 'attributes': {'n': [5]}")},
    {18, MOVE(", 'attributes': {'n': [5.0]}")}, /* Only at the top. */
    {19, MOVE(", 'attributes': {'n': {'a': 1, 'b': {'c': 1.5, 'd': 'x'}}}")},
    {19, MOVE(", 'attributes': {'n': {'b': {'d': b'x', 'c': xca3fc00000}, 'a': 1}}")},
    {20, MOVE(", 'attributes': {'n': '5'}")},
    {21, MOVE(", 'attributes': {'a': 1, 'b': 2, 'c': 3}")},
    {21, MOVE(", 'attributes': {'c': 3, 'a': 1, 'b': 2}")},
    {22, MOVE(", 'attributes': {'n': true}")},
    {30, BATCH("'atomic': true, 'operations': [" ONE "]")},
    {30, BATCH("'operations': [" ONE "], 'request_id': 'q', 'trace': 't', 'atomic': true")},
    {30, BATCH("'atomic': true, 'operations': [{'machine': 'e', 'id': 'a', 'op': 'create', "
               "'attributes': {}}]")},
    {31, BATCH("'atomic': true, 'operations': [" ONE "*2]")},
    {32, BATCH("'atomic': true, 'operations': [{'op': 'transition', 'id': 'a', 'event': 'e'}]")},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static void
compares_contents_as_the_protocol_says(void **state)
{
    struct wire_content contents[CASES];
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct wire_request r = taken(cases[i].text);
        contents[i] = r.operations[0].content;
        if (r.atomic) {
            assert_true(same(&r.content, &contents[i]));
        }
    }
    for (size_t i = 0; i < CASES; i++) {
        for (size_t j = 0; j < i; j++) {
            if (same(&contents[i], &contents[j]) != (cases[i].class == cases[j].class)) {
                fail_msg("%s\n%s", cases[i].text, cases[j].text);
            }
        }
    }
}

/* Made by another MessagePack library and another SHA-256, from the definition in wire/request.h;
 * what was hashed stands behind each. */
static void
keeps_contents_for_ever(void **state)
{
    static const struct {
        const char *text, *digest;
    } known[] = {
        /* ["order.transition", {"event": "e", "id": "a"}] */
        {MOVE(""), "a266009b88d297a87d93d9ed2822797c"},
        /* ["order.transition", {"actor": "me", "attributes": {"m": [5.0], "n": 5}, "event": "e",
         *  "expect_state": "s", "expect_version": 3, "id": "a", "reason": "why"}] */
        {MOVE(", 'request_id': 'r', 'reason': 'why', 'attributes': {'n': 5.0, 'm': [5.0]}, "
              "'expect_version': 3, 'expect_state': 's', 'actor': 'me', 'trace': 't'"),
         "1bbf4e84e3e46a9dc51490de44c04c92"},
        /* ["order.create", {"id": "a", "machine": "e", "machine_version": 2}] */
        {CREATE(", 'machine_version': 2"), "629f31daf8b4af21ea889e2f7bac7212"},
        /* ["order.batch", {"atomic": true, "operations": [
         *  {"id": "a", "machine": "e", "op": "create", "reason": "w"},
         *  {"actor": "b", "event": "e", "id": "a", "op": "transition"}]}] */
        {BATCH("'atomic': true, 'operations': [{'op': 'create', 'id': 'a', 'machine': 'e', "
               "'reason': 'w'}, {'op': 'transition', 'id': 'a', 'event': 'e', 'actor': 'b'}]"),
         "5a37ff0ec4f0166b6905d5d98ce565f5"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct wire_request r = taken(known[i].text);
        char hex[33];
        hash_hex(bytes_make(r.operations[0].content.bytes, 16), hex);
        assert_string_equal(hex, known[i].digest);
    }
}

static void
makes_canonical_once(void **state)
{
    uint64_t seed = seed_init();
    uint32_t taken_count = 0, refused_count = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        msgpack_sbuffer source;
        struct bytes first, second;
        enum value_type type, type_again;
        struct wire_failure failure;
        msgpack_sbuffer_init(&source);
        random_array(&source, &seed);
        arena_reset(&arena);
        if (wire_canonical_value(&decoder, bytes_make(source.data, source.size), &arena, &type,
                                 &first, &failure)) {
            taken_count++;
            assert_int_equal(type, VALUE_LIST);
            assert_true(first.size <= QO_ATTRIBUTES_MAX);
            assert_true(
                wire_canonical_value(&decoder, first, &arena, &type_again, &second, &failure));
            assert_true(type == type_again && bytes_equal(first, second));
        } else {
            refused_count++;
            assert_int_equal(failure.error, QO_BAD_REQUEST);
            assert_true(failure.message.size > 0);
        }
        msgpack_sbuffer_destroy(&source);
    }
    assert_true(taken_count > 100 && refused_count > 100);
}

/* A random map of `count` keys in random order, as a value and as attributes. */
static void
sorts_maps_of_any_size(void **state)
{
    uint64_t seed = seed_init();
    (void)state;
    for (uint32_t count = 0; count < 300; count++) {
        struct buf shuffled = {0}, sorted = {0};
        struct bytes value, list;
        enum value_type type;
        struct wire_failure failure;
        uint32_t order[300];
        char key[16];
        for (uint32_t i = 0; i < count; i++) {
            uint32_t j = (uint32_t)seed_below(&seed, i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        wire_put_map(&shuffled, count);
        wire_put_map(&sorted, count);
        for (uint32_t i = 0; i < count; i++) {
            snprintf(key, sizeof key, "k%04u", order[i]);
            wire_put_text(&shuffled, bytes_text(key));
            wire_put_natural(&shuffled, order[i]);
            snprintf(key, sizeof key, "k%04u", i);
            wire_put_text(&sorted, bytes_text(key));
            wire_put_natural(&sorted, i);
        }
        arena_reset(&arena);
        assert_true(
            wire_canonical_value(&decoder, buf_bytes(&shuffled), &arena, &type, &value, &failure));
        assert_true(bytes_equal(value, buf_bytes(&sorted)));
        assert_true(
            wire_canonical_attributes(&decoder, buf_bytes(&shuffled), &arena, &list, &failure));
        assert_true(attributes_valid(list));
        buf_clear(&shuffled);
        wire_put_attributes(&shuffled, list);
        assert_true(bytes_equal(buf_bytes(&shuffled), buf_bytes(&sorted)));
        buf_free(&shuffled);
        buf_free(&sorted);
    }
}

static int
free_all(void **state)
{
    (void)state;
    wire_decoder_free(&decoder);
    arena_free(&arena);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_contents_as_the_protocol_says),
        cmocka_unit_test(keeps_contents_for_ever),
        cmocka_unit_test(makes_canonical_once),
        cmocka_unit_test(sorts_maps_of_any_size),
    };
    return cmocka_run_group_tests_name("wire/content", tests, NULL, free_all);
}
