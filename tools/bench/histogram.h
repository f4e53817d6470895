/*
 * histogram: counts of values over many orders of magnitude, at 1 % of each value.
 *
 * Log-linear, as HdrHistogram (which Debian 12 does not have): each power of two is divided into
 * HISTOGRAM_SUB equal buckets, so that a bucket's width is at most 1/128 of its values. Recording
 * is an index computed from the leading bit and one increment. Values up to 255 are exact, values
 * over HISTOGRAM_MAX count as HISTOGRAM_MAX (4.9 hours in nanoseconds).
 *
 * Thread: any, one at a time. Memory: the struct, 38 KiB.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7,
    HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_VALUE_BITS = 44,
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
};
#define HISTOGRAM_MAX ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)

struct histogram { /* Zeroed: empty. */
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t sum;
    uint64_t max;
};

/* The bucket of a value up to HISTOGRAM_MAX. */
static inline uint32_t
histogram_index(uint64_t value)
{
    if (value < 2ull * HISTOGRAM_SUB) {
        return (uint32_t)value;
    }
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return shift * HISTOGRAM_SUB + (uint32_t)(value >> shift);
}

static inline void
histogram_record(struct histogram *histogram, uint64_t value)
{
    value = value > HISTOGRAM_MAX ? HISTOGRAM_MAX : value;
    histogram->counts[histogram_index(value)]++;
    histogram->total++;
    histogram->sum += value;
    histogram->max = value > histogram->max ? value : histogram->max;
}

/* The largest value that falls into a bucket. */
uint64_t histogram_upper(uint32_t index);

void histogram_reset(struct histogram *histogram);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* A value that at least `fraction` (0 to 1) of all recorded are not above, at most 1 % too high and
 * never above the greatest recorded; 0 if nothing was recorded. */
uint64_t histogram_quantile(const struct histogram *histogram, double fraction);

#endif
