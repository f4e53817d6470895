/*
 * nodes: the processes of the nodes, where they run on this machine: what they use.
 *
 * Thread: main. Memory: the struct.
 */
#ifndef BENCH_NODES_H
#define BENCH_NODES_H

#include <stdbool.h>
#include <stdint.h>

enum { NODES_MAX = 16 };

struct nodes {
    uint32_t count;
    int32_t pids[NODES_MAX];
};

struct nodes_usage {                  /* Of one moment, or a difference. By place in `nodes`. */
    int64_t cpu_us[NODES_MAX];        /* All threads, user and system. -1: not known. */
    int64_t system_us[NODES_MAX];     /* Of which in the kernel; in ticks of 10 ms. */
    int64_t written_bytes[NODES_MAX]; /* To block devices. -1: not known. */
};

/* Reads "12,13,14". False after printing what is wrong. */
bool nodes_parse(struct nodes *nodes_out, const char *pids);
/* Reads DIR/node-N.pid, as cluster/local writes them. False after printing that there is none. */
bool nodes_of_directory(struct nodes *nodes_out, const char *directory);

struct nodes_usage nodes_usage(const struct nodes *nodes);
struct nodes_usage nodes_usage_between(const struct nodes_usage *before,
                                       const struct nodes_usage *after);

#endif
