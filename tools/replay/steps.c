/* See steps.h. Thread: main. */
#include "steps.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"

/* What a time of a row implies. */
static const struct {
    enum row_time time;
    enum row_status leads_to;
    const char *event;
} implied[] = {
    {TIME_PURCHASED, STATUS_CREATED, "create"},
    {TIME_APPROVED, STATUS_APPROVED, "approve"},
    {TIME_CARRIER, STATUS_SHIPPED, "ship"},
    {TIME_DELIVERED, STATUS_DELIVERED, "deliver"},
};
enum { IMPLIED_COUNT = sizeof implied / sizeof implied[0] };
static_assert(IMPLIED_COUNT + 1 == STEPS_OF_A_ROW_MAX, "one more for the status");

static int
compare(const void *left, const void *right)
{
    const struct step *a = left;
    const struct step *b = right;
    if (a->at_us != b->at_us) {
        return a->at_us < b->at_us ? -1 : 1;
    }
    if (a->row != b->row) {
        return a->row < b->row ? -1 : 1;
    }
    return a->rank < b->rank ? -1 : 1; /* Never equal: a rank stands once in a row. */
}

static void
add_row(struct steps *steps, const struct row *row, uint32_t number)
{
    enum row_status reached = STATUS_CREATED;
    int64_t last_us = INT64_MIN;
    for (uint32_t rank = 0; rank < IMPLIED_COUNT; rank++) {
        int64_t at_us = row->times_us[implied[rank].time];
        if (at_us != ROW_NEVER) {
            steps->items[steps->count++] = (struct step){.row = number,
                                                         .next = STEP_NONE,
                                                         .at_us = at_us,
                                                         .event = implied[rank].event,
                                                         .time = row_time_name(implied[rank].time),
                                                         .rank = (uint8_t)rank};
            reached = implied[rank].leads_to;
            last_us = at_us > last_us ? at_us : last_us;
        }
    }
    if (reached != row->status && row_event(row->status) != NULL) {
        steps->items[steps->count++] = (struct step){.row = number,
                                                     .next = STEP_NONE,
                                                     .at_us = last_us,
                                                     .event = row_event(row->status),
                                                     .rank = IMPLIED_COUNT};
    }
}

void
steps_make(struct steps *steps_out, const struct rows *rows)
{
    *steps_out = (struct steps){
        .items = mem_alloc(((size_t)rows->count * STEPS_OF_A_ROW_MAX + 1) * sizeof(struct step))};
    for (uint32_t i = 0; i < rows->count; i++) {
        if (rows->items[i].problem == NULL) {
            add_row(steps_out, &rows->items[i], i);
        }
    }
    qsort(steps_out->items, steps_out->count, sizeof(struct step), compare);
}

void
steps_free(struct steps *steps)
{
    mem_free(steps->items);
    *steps = (struct steps){.items = NULL};
}
