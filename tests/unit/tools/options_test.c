/*
 * Goal: values on command lines are read exactly or refused; times go to text and back.
 * Method: tables; random times both ways.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/seed.h"
#include "tools/endpoints.h"
#include "tools/options.h"

static void
durations_need_a_unit_that_exists(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool well;
        uint64_t ms;
    } table[] = {
        {"0", true, 0},
        {"500ms", true, 500},
        {"10s", true, 10000},
        {"10", true, 10000},
        {"2m", true, 120000},
        {"1h", true, 3600000},
        {"", false, 0},
        {"s", false, 0},
        {"-1s", false, 0},
        {"+1s", false, 0},
        {" 1s", false, 0},
        {"1.5s", false, 0},
        {"1w", false, 0},
        {"1S", false, 0},
        {"61m", false, 0},
        {"1s ", false, 0},
        {"9999999999999999999s", false, 0},
        {"18446744073709551616", false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint64_t ms = 0;
        bool well = parse_duration_ms("--timeout", table[i].text, 3600000, &ms);
        if (well != table[i].well || (well && ms != table[i].ms)) {
            fail_msg("'%s'", table[i].text);
        }
    }
}

static void
naturals_keep_to_their_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool well;
    } table[] = {{"1", true},  {"10", true},  {"0", false},  {"11", false}, {"", false},
                 {"x", false}, {"1x", false}, {"-1", false}, {"0x5", false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint64_t value = 0;
        if (parse_natural("N", table[i].text, 1, 10, &value) != table[i].well) {
            fail_msg("'%s'", table[i].text);
        }
    }
}

static void
times_are_read_as_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool well;
        int64_t us;
    } table[] = {
        {"1970-01-01T00:00:00Z", true, 0},
        {"2017-10-02T10:56:00Z", true, INT64_C(1506941760000000)},
        {"2000-02-29T23:59:59.5Z", true, INT64_C(951868799500000)},
        {"2017-10-02T10:56:00.123456Z", true, INT64_C(1506941760123456)},
        {"2017-10-02T10:56:00.1234567Z", false, 0},
        {"2017-10-02T10:56:00.Z", false, 0},
        {"2017-10-02T10:56:00", false, 0},
        {"2017-10-02 10:56:00Z", false, 0},
        {"2017-13-02T10:56:00Z", false, 0},
        {"2017-10-02T24:00:00Z", false, 0},
        {"2017-10-02T10:56:60Z", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int64_t us = 0;
        bool well = time_of_text(table[i].text, strlen(table[i].text), &us);
        if (well != table[i].well || (well && us != table[i].us)) {
            fail_msg("'%s': %lld", table[i].text, (long long)us);
        }
    }
}

static void
times_go_to_text_and_back(void **state)
{
    (void)state;
    uint64_t seed = seed_init();
    for (uint32_t i = 0; i < 20000; i++) {
        int64_t us = (int64_t)seed_below(&seed, UINT64_C(253402300800000000));
        int64_t back = 0;
        char text[TIME_TEXT_SIZE];
        time_to_text(us, text);
        if (!time_of_text(text, strlen(text), &back) || back != us) {
            fail_msg("%lld: '%s'", (long long)us, text);
        }
    }
}

static void
endpoints_are_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t count; /* 0: refused. */
    } table[] = {
        {"127.0.0.1:7401", 1},
        {"a:1,b:2,[::1]:3", 3},
        {"a:1,a:1", 1},
        {"a", 0},
        {"a:", 0},
        {":1", 0},
        {"a:0", 0},
        {"a:65536", 0},
        {"a:65535", 1},
        {"a:1,", 0},
        {"a:1x", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct endpoints endpoints;
        bool well = endpoints_parse(table[i].text, &endpoints);
        if (well != (table[i].count > 0) || (well && endpoints.count != table[i].count)) {
            fail_msg("'%s'", table[i].text);
        }
    }
    struct endpoints endpoints;
    assert_int_equal(setenv("QUORDER_ENDPOINTS", "h:1,h:2", 1), 0);
    assert_true(endpoints_parse(NULL, &endpoints));
    assert_int_equal(endpoints.count, 2);
    assert_int_equal(unsetenv("QUORDER_ENDPOINTS"), 0);
    assert_true(endpoints_parse(NULL, &endpoints));
    assert_string_equal(endpoints.items[0], ENDPOINTS_DEFAULT);
}

static void
options_may_stand_anywhere_until_two_dashes(void **state)
{
    (void)state;
    static const struct option_spec specs[] = {
        {1, 'a', "all", NULL, ""}, {2, 'o', "output", "WORD", ""}, {3, 0, "seed", "N", ""}};
    char words[][12] = {"tool", "order", "-o", "json", "get", "--seed=5", "-a", "--", "-x"};
    char *argv[10] = {NULL};
    for (size_t i = 0; i < 9; i++) {
        argv[i] = words[i];
    }
    struct options options = {.program = "tool", .specs = specs, .specs_count = 3};
    assert_int_equal(options_next(&options, 9, argv), 2);
    assert_string_equal(options.value, "json");
    assert_int_equal(options_next(&options, 9, argv), 3);
    assert_string_equal(options.value, "5");
    assert_int_equal(options_next(&options, 9, argv), 1);
    assert_null(options.value);
    assert_int_equal(options_next(&options, 9, argv), OPTIONS_END);
    assert_string_equal(argv[options.rest], "order");
    assert_string_equal(argv[options.rest + 1], "get");
    assert_string_equal(argv[options.rest + 2], "-x");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_need_a_unit_that_exists),
        cmocka_unit_test(naturals_keep_to_their_range),
        cmocka_unit_test(times_are_read_as_written),
        cmocka_unit_test(times_go_to_text_and_back),
        cmocka_unit_test(endpoints_are_host_and_port),
        cmocka_unit_test(options_may_stand_anywhere_until_two_dashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
