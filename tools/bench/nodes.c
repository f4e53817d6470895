/* See nodes.h. Thread: main. */
#include "nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, FILE_SIZE = 2048 };

/* A small file as text. False: it cannot be read. */
static bool
read_text(const char *path, char out[FILE_SIZE])
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t size = fread(out, 1, FILE_SIZE - 1, file);
    out[size] = '\0';
    fclose(file);
    return size > 0;
}

/* The number at the start of a text; -1 if none stands there. */
static int64_t
number_at(const char *text, const char **end_out)
{
    char *end = NULL;
    long long value = strtoll(text, &end, 10);
    *end_out = end;
    return end == text ? -1 : value;
}

bool
nodes_parse(struct nodes *nodes_out, const char *pids)
{
    const char *at = pids;
    *nodes_out = (struct nodes){.count = 0};
    while (nodes_out->count < NODES_MAX) {
        int64_t pid = number_at(at, &at);
        if (pid <= 0 || pid > INT32_MAX || (*at != ',' && *at != '\0')) {
            break;
        }
        nodes_out->pids[nodes_out->count++] = (int32_t)pid;
        if (*at++ == '\0') {
            return true;
        }
    }
    fprintf(stderr, "--pids takes process ids divided by commas, at most %d, not '%s'.\n",
            (int)NODES_MAX, pids);
    return false;
}

bool
nodes_of_directory(struct nodes *nodes_out, const char *directory)
{
    char path[PATH_SIZE];
    char text[FILE_SIZE];
    *nodes_out = (struct nodes){.count = 0};
    for (int node = 1; node <= NODES_MAX; node++) {
        const char *end = text;
        (void)snprintf(path, sizeof path, "%s/node-%d.pid", directory, node);
        int64_t pid = read_text(path, text) ? number_at(text, &end) : -1;
        if (pid > 0 && pid <= INT32_MAX) {
            nodes_out->pids[nodes_out->count++] = (int32_t)pid;
        }
    }
    if (nodes_out->count == 0) {
        fprintf(stderr,
                "--data: no node-N.pid in '%s'; give the directory of cluster/local, or --pids.\n",
                directory);
    }
    return nodes_out->count > 0;
}

static int64_t
cpu_of(int32_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return -1;
    }
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* stime, the 15th field of /proc/PID/stat; the 2nd, in brackets, may hold spaces. */
static int64_t
system_of(int32_t pid)
{
    char path[64];
    char text[FILE_SIZE];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    const char *at = read_text(path, text) ? strrchr(text, ')') : NULL;
    for (int field = 3; at != NULL && field <= 15; field++) {
        at = strchr(at + 1, ' ');
    }
    long ticks = sysconf(_SC_CLK_TCK);
    int64_t value = at != NULL ? number_at(at, &at) : -1;
    return value >= 0 && ticks > 0 ? value * 1000000 / ticks : -1;
}

static int64_t
written_of(int32_t pid)
{
    static const char key[] = "\nwrite_bytes: ";
    char path[64];
    char text[FILE_SIZE];
    (void)snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    const char *at = read_text(path, text) ? strstr(text, key) : NULL;
    return at != NULL ? number_at(at + sizeof key - 1, &at) : -1;
}

struct nodes_usage
nodes_usage(const struct nodes *nodes)
{
    struct nodes_usage usage;
    memset(&usage, 0, sizeof usage);
    for (uint32_t i = 0; i < nodes->count; i++) {
        usage.cpu_us[i] = cpu_of(nodes->pids[i]);
        usage.system_us[i] = system_of(nodes->pids[i]);
        usage.written_bytes[i] = written_of(nodes->pids[i]);
    }
    return usage;
}

static int64_t
between(int64_t before, int64_t after)
{
    return before < 0 || after < before ? -1 : after - before;
}

struct nodes_usage
nodes_usage_between(const struct nodes_usage *before, const struct nodes_usage *after)
{
    struct nodes_usage usage;
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        usage.cpu_us[i] = between(before->cpu_us[i], after->cpu_us[i]);
        usage.system_us[i] = between(before->system_us[i], after->system_us[i]);
        usage.written_bytes[i] = between(before->written_bytes[i], after->written_bytes[i]);
    }
    return usage;
}
