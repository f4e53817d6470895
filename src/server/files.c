/* See files.h. Thread: main, before anything runs. */
#include "files.h"

#include <sys/resource.h>

#include "common/limits.h"
#include "common/log.h"

uint32_t
files_connections_max(void)
{
    const rlim_t wanted = QO_CONNECTIONS_MAX + 2 * QO_CONNECTIONS_SPARE + QO_FILES_MAX;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return QO_CONNECTIONS_MAX;
    }
    const struct rlimit raised = {.rlim_cur = files.rlim_max, .rlim_max = files.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        files = raised;
    }
    if (files.rlim_cur >= wanted) {
        return QO_CONNECTIONS_MAX;
    }
    uint32_t max = (uint32_t)files.rlim_cur / QO_CONNECTIONS_SHARE;
    max = max < QO_CONNECTIONS_MAX ? max : QO_CONNECTIONS_MAX;
    log_line(LOG_WARN, "files_few", "limit=%llu wanted=%llu connections_max=%u",
             (unsigned long long)files.rlim_cur, (unsigned long long)wanted, max);
    return max;
}
