/*
 * Goal: attributes go from MessagePack to JSON and back without loss; what JSON has no word for is
 * refused, not guessed.
 * Method: texts of JSON both ways; broken and too deep objects.
 */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "tools/json.h"

static void
values_come_back_as_they_were(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "2.0",
        "\"\"",
        "\"\xc3\xa4\"",
        "[]",
        "{}",
        "[1,[2,[]],{\"a\":null}]",
        "{\"a\":{\"b\":[true,{}]},\"c\":\"d\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf out = {0};
        json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        assert_true(json_to_messagepack(value, &out));
        json_t *back = json_of_messagepack(buf_bytes(&out));
        char *text = json_dumps(back, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        assert_string_equal(text, texts[i]);
        free(text);
        json_decref(value);
        json_decref(back);
        buf_free(&out);
    }
}

static void
what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t size;
        const char *bytes;
    } table[] = {
        {"nothing", 0, ""},
        {"a never used byte", 1, "\xc1"},
        {"an array cut short", 2, "\x92\x01"},
        {"a map without its last value", 3,
         "\x81\xa1"
         "a"},
        {"two objects", 2, "\x01\x02"},
        {"an extension", 3, "\xd4\x01\x02"},
        {"a text that is not UTF-8", 2, "\xa1\xff"},
        {"NaN", 9, "\xcb\x7f\xf8\0\0\0\0\0\0"},
        {"a key that is no text", 3, "\x81\x01\x02"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        json_t *value = json_of_messagepack(bytes_make(table[i].bytes, table[i].size));
        if (value != NULL) {
            fail_msg("%s", table[i].name);
        }
    }
}

static void
what_is_nested_too_deep_is_refused_both_ways(void **state)
{
    (void)state;
    for (uint32_t depth = 1; depth < 64; depth++) {
        struct buf raw = {0};
        struct buf out = {0};
        json_t *nested = json_array();
        for (uint32_t i = 1; i < depth; i++) {
            json_t *outer = json_array();
            json_add(outer, nested);
            nested = outer;
        }
        for (uint32_t i = 0; i < depth; i++) {
            buf_put_u8(&raw, i + 1 == depth ? 0x90 : 0x91);
        }
        json_t *read = json_of_messagepack(buf_bytes(&raw));
        bool fits = depth <= QO_NESTING_MAX + 2;
        assert_int_equal(json_to_messagepack(nested, &out), fits);
        assert_int_equal(read != NULL, fits);
        assert_int_equal(out.size, fits ? depth : 0);
        json_decref(read);
        json_decref(nested);
        buf_free(&raw);
        buf_free(&out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_as_they_were),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(what_is_nested_too_deep_is_refused_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
