/*
 * rows: orders of a marketplace as a CSV gives them, or made with the same mix.
 *
 * Header: order_id,customer_id,status,purchased_at,approved_at,carrier_at,delivered_at,estimated_at
 * Times are ISO 8601 in UTC, empty where it did not happen. Fields hold no commas and no quotes. A
 * row that cannot be read is kept with its problem: nothing is dropped.
 *
 * Thread: main. Memory: the list's; rows_free() gives it back.
 */
#ifndef REPLAY_ROWS_H
#define REPLAY_ROWS_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, the state of `marketplace` that a status means, the event that leads there) */
#define ROW_STATUS_MAP(X)                                                                          \
    X(STATUS_CREATED, "created", NULL)                                                             \
    X(STATUS_APPROVED, "approved", "approve")                                                      \
    X(STATUS_INVOICED, "invoiced", "invoice")                                                      \
    X(STATUS_PROCESSING, "processing", "process")                                                  \
    X(STATUS_SHIPPED, "shipped", "ship")                                                           \
    X(STATUS_DELIVERED, "delivered", "deliver")                                                    \
    X(STATUS_CANCELED, "canceled", "cancel")                                                       \
    X(STATUS_UNAVAILABLE, "unavailable", "mark_unavailable")

enum row_status {
#define X(name, state, event) name,
    ROW_STATUS_MAP(X)
#undef X
};
const char *row_state(enum row_status status);
const char *row_event(enum row_status status); /* NULL for STATUS_CREATED. */

enum row_time { TIME_PURCHASED, TIME_APPROVED, TIME_CARRIER, TIME_DELIVERED, TIME_ESTIMATED };
enum { ROW_TIMES = 5, ROW_ID_SIZE = 96, ROWS_MAX = 10000000 };
const char *row_time_name(enum row_time time);
#define ROW_NEVER INT64_MIN

struct row {
    uint32_t line; /* In the file, from 1; of made rows as if they had a file. */
    enum row_status status;
    char order_id[ROW_ID_SIZE], customer_id[ROW_ID_SIZE];
    int64_t times_us[ROW_TIMES]; /* ROW_NEVER: did not happen. */
    const char *problem;         /* Not NULL: the row cannot be replayed, and why. */
};

struct rows {
    struct row *items;
    uint32_t count;
};

/* False after printing why the file cannot be read, or is none of this format. */
bool rows_read(struct rows *rows_out, const char *path);
/* `count` rows whose statuses, gaps and disorder come as often as in the real data. The same seed
 * makes the same rows. */
void rows_make(struct rows *rows_out, uint32_t count, uint64_t seed);
void rows_free(struct rows *rows);

#endif
