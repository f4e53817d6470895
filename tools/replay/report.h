/*
 * report: what became of each row.
 *
 * Thread: main.
 */
#ifndef REPLAY_REPORT_H
#define REPLAY_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "rows.h"
#include "steps.h"
#include "work.h"

struct report {
    const struct work_options *options;
    const struct rows *rows;
    const struct steps *steps;
    const struct order_state *states; /* By row. */
    const char *source;               /* The file, or how the rows were made. */
    double seconds;
};

/* Each row that did not go through smoothly, with its refusals and what in the row explains them;
 * then the sums. */
void report_table(FILE *out, const struct report *report);
void report_json(FILE *out, const struct report *report);

/* True if every row was replayed and every order ended in its row's state or was reported as
 * refused, and no answer contradicts another. */
bool report_well(const struct report *report);

#endif
