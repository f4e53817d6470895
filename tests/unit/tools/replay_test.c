/*
 * Goal: rows are read or kept with their problem, and imply the steps that their times and status
 * say, in order of time; made rows have the mix of the real ones.
 * Method: a file of good and bad rows; tables of rows and steps; counts over many made rows.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rows.h"
#include "steps.h"
#include "support/seed.h"

#define HEADER                                                                                     \
    "order_id,customer_id,status,purchased_at,approved_at,carrier_at,delivered_at,estimated_at\n"
#define BOUGHT "2017-10-02T10:56:00Z"

static bool
read_text(struct rows *rows, const char *text)
{
    char path[] = "/tmp/quorder-rows-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    bool well = rows_read(rows, path);
    unlink(path);
    return well;
}

static void
bad_rows_are_kept_with_their_problem(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool well;
    } table[] = {
        {"o,c,delivered," BOUGHT "," BOUGHT "," BOUGHT "," BOUGHT "," BOUGHT, true},
        {"o,c,created," BOUGHT ",,,,", true},
        {"o,c,created," BOUGHT ",,,,\r", true},
        {"o,c,created,,,,,", false},
        {"o,c,lost," BOUGHT ",,,,", false},
        {"o,c,created,yesterday,,,,", false},
        {",c,created," BOUGHT ",,,,", false},
        {"o,,created," BOUGHT ",,,,", false},
        {"o,c,created," BOUGHT ",,,", false},
        {"o,c,created," BOUGHT ",,,,,", false},
        {"o", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[1024];
        struct rows rows;
        (void)snprintf(text, sizeof text, HEADER "%s\n", table[i].line);
        assert_true(read_text(&rows, text));
        assert_int_equal(rows.count, 1);
        assert_int_equal(rows.items[0].line, 2);
        if ((rows.items[0].problem == NULL) != table[i].well) {
            fail_msg("'%s'", table[i].line);
        }
        rows_free(&rows);
    }
}

static void
a_file_of_another_format_is_refused(void **state)
{
    (void)state;
    struct rows rows;
    assert_false(read_text(&rows, ""));
    assert_false(read_text(&rows, "a,b\n1,2\n"));
    assert_false(rows_read(&rows, "/nowhere/at/all.csv"));
    assert_true(read_text(&rows, HEADER));
    assert_int_equal(rows.count, 0);
    rows_free(&rows);
}

static void
times_and_status_imply_the_steps(void **state)
{
    (void)state;
    /* Minutes of purchased, approved, carrier, delivered; -1: did not happen. */
    static const struct {
        enum row_status status;
        int minutes[4];
        const char *steps;
    } table[] = {
        {STATUS_DELIVERED, {0, 1, 2, 3}, "create approve ship deliver "},
        {STATUS_DELIVERED, {0, 0, 0, 0}, "create approve ship deliver "},
        {STATUS_DELIVERED, {0, 2, 1, 3}, "create ship approve deliver "},
        {STATUS_DELIVERED, {5, 6, 1, 7}, "ship create approve deliver "},
        {STATUS_CREATED, {0, -1, -1, -1}, "create "},
        {STATUS_CREATED, {0, 1, -1, -1}, "create approve "},
        {STATUS_APPROVED, {0, -1, -1, -1}, "create approve! "},
        {STATUS_INVOICED, {0, 1, -1, -1}, "create approve invoice! "},
        {STATUS_PROCESSING, {0, 1, -1, -1}, "create approve process! "},
        {STATUS_SHIPPED, {0, 1, 2, 3}, "create approve ship deliver ship! "},
        {STATUS_DELIVERED, {0, 1, 2, -1}, "create approve ship deliver! "},
        {STATUS_CANCELED, {0, -1, -1, -1}, "create cancel! "},
        {STATUS_CANCELED, {0, 9, 2, -1}, "create ship approve cancel! "},
        {STATUS_UNAVAILABLE, {0, 1, -1, -1}, "create approve mark_unavailable! "},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct row row = {.status = table[i].status};
        struct rows rows = {.items = &row, .count = 1};
        struct steps steps;
        char text[256] = "";
        for (int time = 0; time < 4; time++) {
            int minutes = table[i].minutes[time];
            row.times_us[time] = minutes < 0 ? ROW_NEVER : minutes * INT64_C(60000000);
        }
        row.times_us[TIME_ESTIMATED] = ROW_NEVER;
        steps_make(&steps, &rows);
        for (uint32_t j = 0; j < steps.count; j++) {
            size_t used = strlen(text);
            (void)snprintf(text + used, sizeof text - used, "%s%s ", steps.items[j].event,
                           steps.items[j].time == NULL ? "!" : "");
        }
        assert_string_equal(text, table[i].steps);
        steps_free(&steps);
    }
}

static void
steps_of_all_rows_are_in_order_of_time(void **state)
{
    (void)state;
    struct rows rows;
    struct steps steps;
    rows_make(&rows, 5000, seed_init());
    steps_make(&steps, &rows);
    for (uint32_t i = 1; i < steps.count; i++) {
        const struct step *a = &steps.items[i - 1];
        const struct step *b = &steps.items[i];
        assert_true(
            a->at_us < b->at_us ||
            (a->at_us == b->at_us && (a->row < b->row || (a->row == b->row && a->rank < b->rank))));
    }
    steps_free(&steps);
    rows_free(&rows);
}

static void
made_rows_have_the_mix_and_the_disorder_of_the_real_ones(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    uint64_t seed = seed_init();
    struct rows rows;
    struct rows again;
    uint32_t by_status[STATUS_UNAVAILABLE + 1] = {0};
    uint32_t disordered = 0;
    rows_make(&rows, COUNT, seed);
    rows_make(&again, COUNT, seed);
    assert_memory_equal(rows.items, again.items, COUNT * sizeof rows.items[0]);
    for (uint32_t i = 0; i < COUNT; i++) {
        const int64_t *times = rows.items[i].times_us;
        by_status[rows.items[i].status]++;
        bool early = times[TIME_CARRIER] != ROW_NEVER && times[TIME_CARRIER] < times[TIME_APPROVED];
        bool late =
            times[TIME_DELIVERED] != ROW_NEVER && times[TIME_DELIVERED] < times[TIME_CARRIER];
        disordered += early || late ? 1 : 0;
    }
    /* 97.3 % and 1.75 % there; five standard deviations are 0.26 and 0.21 points here. */
    assert_in_range(by_status[STATUS_DELIVERED], 97000, 97600);
    assert_in_range(disordered, 1400, 2000);
    assert_true(by_status[STATUS_CANCELED] > 0 && by_status[STATUS_UNAVAILABLE] > 0 &&
                by_status[STATUS_INVOICED] > 0 && by_status[STATUS_PROCESSING] > 0 &&
                by_status[STATUS_SHIPPED] > 0);
    rows_free(&rows);
    rows_free(&again);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_rows_are_kept_with_their_problem),
        cmocka_unit_test(a_file_of_another_format_is_refused),
        cmocka_unit_test(times_and_status_imply_the_steps),
        cmocka_unit_test(steps_of_all_rows_are_in_order_of_time),
        cmocka_unit_test(made_rows_have_the_mix_and_the_disorder_of_the_real_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
