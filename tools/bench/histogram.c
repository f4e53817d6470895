/* See histogram.h. Thread: any. */
#include "histogram.h"

#include <string.h>

#include "common/assert.h"

static_assert(HISTOGRAM_SUB >= 100, "a bucket is at most 1 % of its values wide");

uint64_t
histogram_upper(uint32_t index)
{
    QO_PRE(index < HISTOGRAM_BUCKETS);
    if (index < 2 * HISTOGRAM_SUB) {
        return index;
    }
    uint32_t shift = index / HISTOGRAM_SUB - 1;
    uint64_t leading = index - shift * HISTOGRAM_SUB;
    return ((leading + 1) << shift) - 1;
}

void
histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->counts[i] += from->counts[i];
    }
    into->total += from->total;
    into->sum += from->sum;
    into->max = from->max > into->max ? from->max : into->max;
}

uint64_t
histogram_quantile(const struct histogram *histogram, double fraction)
{
    QO_PRE(fraction >= 0 && fraction <= 1);
    if (histogram->total == 0) {
        return 0;
    }
    double exact = fraction * (double)histogram->total;
    uint64_t wanted = (uint64_t)exact;
    wanted += (double)wanted < exact ? 1 : 0;
    wanted = wanted == 0 ? 1 : wanted;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) {
            uint64_t upper = histogram_upper(i);
            return upper < histogram->max ? upper : histogram->max;
        }
    }
    return histogram->max;
}
