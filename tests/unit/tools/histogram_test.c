/*
 * Goal: a histogram tells every quantile within 1 % above the truth, and loses nothing.
 * Method: every bucket's edges; random values over all magnitudes against a sorted array.
 */
#include "support/test.h"

#include <stdlib.h>

#include "histogram.h"
#include "support/seed.h"

enum { VALUES = 20000 };
static uint64_t values[VALUES];
static struct histogram histogram, other;

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

static void
buckets_follow_one_another_without_a_gap(void **state)
{
    (void)state;
    uint64_t lower = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t upper = histogram_upper(i);
        assert_int_equal(histogram_index(lower), i);
        assert_int_equal(histogram_index(upper), i);
        assert_true((upper - lower) * 100 <= lower || upper == lower);
        lower = upper + 1;
    }
    assert_int_equal(lower - 1, HISTOGRAM_MAX);
}

static void
quantiles_are_at_most_one_percent_too_high(void **state)
{
    (void)state;
    uint64_t seed = seed_init();
    static const double fractions[] = {0, 0.001, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    histogram_reset(&histogram);
    for (uint32_t i = 0; i < VALUES; i++) {
        values[i] = seed_next(&seed) >> (64 - HISTOGRAM_VALUE_BITS + seed_below(&seed, 44));
        histogram_record(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], compare);
    for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
        double exact = fractions[i] * VALUES;
        uint64_t rank = (uint64_t)exact;
        rank += (double)rank < exact ? 1 : 0;
        uint64_t truth = values[rank == 0 ? 0 : rank - 1];
        uint64_t told = histogram_quantile(&histogram, fractions[i]);
        assert_true(told >= truth && (told - truth) * 100 <= truth);
    }
    assert_int_equal(histogram_quantile(&histogram, 1), values[VALUES - 1]);
}

static void
merged_is_as_if_recorded_in_one(void **state)
{
    (void)state;
    uint64_t seed = seed_init();
    struct histogram *both = calloc(1, sizeof *both);
    assert_non_null(both);
    histogram_reset(&histogram);
    histogram_reset(&other);
    for (uint32_t i = 0; i < VALUES; i++) {
        uint64_t value = seed_below(&seed, 5000000);
        histogram_record(i % 3 == 0 ? &histogram : &other, value);
        histogram_record(both, value);
    }
    histogram_merge(&histogram, &other);
    assert_memory_equal(&histogram, both, sizeof *both);
    free(both);
}

static void
an_empty_one_says_nothing_and_a_huge_value_counts_as_the_greatest(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    histogram_record(&histogram, UINT64_MAX);
    assert_int_equal(histogram_quantile(&histogram, 0.5), HISTOGRAM_MAX);
    assert_int_equal(histogram.total, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_follow_one_another_without_a_gap),
        cmocka_unit_test(quantiles_are_at_most_one_percent_too_high),
        cmocka_unit_test(merged_is_as_if_recorded_in_one),
        cmocka_unit_test(an_empty_one_says_nothing_and_a_huge_value_counts_as_the_greatest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
