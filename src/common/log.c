/* See common/log.h. Thread: any; a line is one write(2). */
#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

enum { LINE_MAX_BYTES = 2048 };

static enum log_level level_min = LOG_INFO;
static uint32_t node;

void
log_set_level(enum log_level level)
{
    level_min = level;
}

void
log_set_node(uint32_t node_id)
{
    node = node_id;
}

static void write_line(enum log_level level, const char *event, uint32_t left_out,
                       const char *format, va_list arguments) __attribute__((format(printf, 4, 0)));

static void
write_line(enum log_level level, const char *event, uint32_t left_out, const char *format,
           va_list arguments)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char line[LINE_MAX_BYTES];
    int64_t now_us = clock_wall_us();
    time_t now_s = (time_t)(now_us / 1000000);
    struct tm utc;
    (void)gmtime_r(&now_s, &utc);
    size_t size = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    size += (size_t)snprintf(line + size, sizeof line - size, ".%06dZ %s %s",
                             (int)(now_us % 1000000), names[level], event);
    if (node != 0) {
        size += (size_t)snprintf(line + size, sizeof line - size, " node=%u", node);
    }
    if (left_out != 0) {
        size += (size_t)snprintf(line + size, sizeof line - size, " left_out=%u", left_out);
    }
    line[size++] = ' ';
    int more = vsnprintf(line + size, sizeof line - size - 1, format, arguments);
    if (more > 0) {
        size_t room = sizeof line - size - 2;
        size += (size_t)more < room ? (size_t)more : room;
    }
    line[size++] = '\n';
    /* A log that cannot be written must not stop the node, and there is nobody to tell. */
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written;
}

void
log_line(enum log_level level, const char *event, const char *format, ...)
{
    if (level < level_min) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    write_line(level, event, 0, format, arguments);
    va_end(arguments);
}

void
log_limited(struct log_limit *limit, enum log_level level, const char *event, const char *format,
            ...)
{
    if (level < level_min) {
        return;
    }
    int64_t now_us = clock_monotonic_us();
    int64_t next_us = atomic_load(&limit->next_us);
    if (now_us < next_us ||
        !atomic_compare_exchange_strong(&limit->next_us, &next_us, now_us + 1000000)) {
        atomic_fetch_add(&limit->left_out, 1);
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    write_line(level, event, atomic_exchange(&limit->left_out, 0), format, arguments);
    va_end(arguments);
}
