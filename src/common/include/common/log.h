/*
 * log: one line per event on standard error, `time level event key=value ...`.
 *
 * log_line(LOG_INFO, "leader_elected", "term=%llu", term). The event is one word of
 * [a-z_]; units stand in the keys (`took_ms`). Lines that may repeat go through log_limited().
 * Thread: any; a line is one write(2).
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below `level` are dropped. Default LOG_INFO. Call before other threads start. */
void log_set_level(enum log_level level);
/* Stands in each line as node=<id>; 0: not shown. Call before other threads start. */
void log_set_node(uint32_t node_id);

void log_line(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As log_line, but at most one line per second for each `limit`, a zeroed static of the caller;
 * a line after a silence says how many were left out. */
struct log_limit {
    _Atomic int64_t next_us;
    _Atomic uint32_t left_out;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *event,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
