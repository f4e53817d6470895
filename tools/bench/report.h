/*
 * report: what was measured, as a table for people and as JSON for programs.
 *
 * Thread: main.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "load.h"

struct report {
    const struct load_options *options;
    const char *machine;
    uint32_t orders;
    uint64_t seed;
    const struct load_result *const *runs; /* In the order in which they ran. */
    uint32_t runs_count;
};

/* The run whose throughput is the median (of an even number, the lower one in the middle). */
uint32_t report_median(const struct report *report);

/* True if no answer was wrong, nothing was refused and every outcome was found out. */
bool report_well(const struct report *report);

void report_table(FILE *out, const struct report *report);
void report_json(FILE *out, const struct report *report);

#endif
