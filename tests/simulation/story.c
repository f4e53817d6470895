/* See story.h. Thread: the run's. */
#include "story.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/assert.h"
#include "events.h"

struct story *story;

void
story_open(void)
{
    void *memory =
        mmap(NULL, sizeof *story, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    QO_ASSERT(memory != MAP_FAILED);
    story = memory;
}

void
tell(unsigned member, const char *format, ...)
{
    char *line = story->lines[story->lines_count % STORY_LINES];
    int64_t now_us = events_now_us();
    va_list arguments;
    int size = snprintf(line, STORY_LINE_BYTES, "%4" PRId64 ".%06" PRId64 " ", now_us / 1000000,
                        now_us % 1000000);
    if (member != 0) {
        size += snprintf(line + size, STORY_LINE_BYTES - (size_t)size, "member %u: ", member);
    }
    va_start(arguments, format);
    (void)vsnprintf(line + size, STORY_LINE_BYTES - (size_t)size, format, arguments);
    va_end(arguments);
    story->lines_count++;
}

void
finding(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(story->finding, sizeof story->finding, format, arguments);
    va_end(arguments);
    tell(0, "FOUND: %s", story->finding);
    _exit(1);
}
