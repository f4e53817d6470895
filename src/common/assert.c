/* See common/assert.h. Thread: any. */
#include "common/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

static _Thread_local unsigned long long log_index;

void
assert_set_log_index(unsigned long long index)
{
    log_index = index;
}

void
assert_failed(const char *kind, const char *cond, const char *file, int line)
{
    log_line(LOG_ERROR, "assert_failed", "kind=%s condition=\"%s\" at=%s:%d log_index=%llu", kind,
             cond, file, line, log_index);
    abort();
}

static const char *
fatal_text(enum fatal_reason reason)
{
    switch (reason) {
#define X(name, status, text)                                                                      \
    case name:                                                                                     \
        return text;
        QO_FATAL_MAP(X)
#undef X
    }
    return "unknown";
}

void
qo_fatal(enum fatal_reason reason, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_line(LOG_ERROR, "fatal", "reason=\"%s\" status=%d log_index=%llu why=\"%s\"",
             fatal_text(reason), (int)reason, log_index, text);
    _exit((int)reason);
}
