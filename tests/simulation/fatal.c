/*
 * The simulated world's common/assert.h: what ends a process ends a member's life, or is a finding.
 * Linked in the place of src/common/assert.c. Thread: the run's.
 */
#include "common/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "member.h"
#include "story.h"

void
assert_set_log_index(unsigned long long index)
{
    (void)index;
}

void
assert_failed(const char *kind, const char *cond, const char *file, int line)
{
    if (story == NULL) {
        (void)fprintf(stderr, "%s failed: %s, at %s:%d\n", kind, cond, file, line);
        abort();
    }
    finding("%s failed: %s, at %s:%d", kind, cond, file, line);
}

void
qo_fatal(enum fatal_reason reason, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!member_running()) {
        finding("fatal (%d): %s", (int)reason, text);
    }
    member_fatal(reason, text);
}
