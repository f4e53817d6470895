/*
 * load: connections that keep requests under way, and what was measured.
 *
 * One thread over epoll. Each connection has `outstanding` slots; a slot carries one op from the
 * moment it was meant to be sent until its outcome is known, through lost connections and
 * failovers: what is not known is asked again with the same request id. Never two requests are
 * under way for one order.
 *
 * Closed loop: a slot whose op is done begins the next at once. Fixed rate: op k is meant for start
 * + k / rate, takes the slot that was free longest, and waits if there is none; latency counts from
 * the time it was meant for, so a cluster that stalls cannot hide the ops that it kept from
 * beginning (coordinated omission).
 *
 * Thread: main. Memory: everything is made in load_open().
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "nodes.h"
#include "op.h"
#include "tools/endpoints.h"
#include "watch.h"

enum { CONNECTIONS_MAX = 1024, WRONG_SHOWN_MAX = 10 };

struct load_options {
    uint32_t connections, outstanding;
    uint32_t mix[OP_KINDS]; /* Percent; together 100. */
    uint32_t rate;          /* Ops a second; 0: closed loop. */
    uint32_t warmup_s, seconds;
    bool spread; /* Connect to all nodes in turn, not only to the leader. */
    bool quiet;  /* No progress lines. */
    const struct nodes *nodes;
};

/* One error code that came, or an event of the load's own. */
#define LOAD_OWN_ERRORS_MAP(X)                                                                     \
    X(LOAD_LOST, "connection_lost")     /* Its ops were sent again. */                             \
    X(LOAD_SILENT, "no_answer_in_time") /* A connection that was closed for it. */                 \
    X(LOAD_WRONG, "wrong_answer")       /* An answer that broke a promise. */

enum load_own_error {
#define X(name, text) name,
    LOAD_OWN_ERRORS_MAP(X)
#undef X
};
enum {
#define X(name, ...) +1
    LOAD_OWN_ERRORS = 0 LOAD_OWN_ERRORS_MAP(X),
    LOAD_CODES = 0 QO_ERROR_MAP(X),
#undef X
};

struct load_result {
    double seconds; /* That were measured. */
    uint64_t ops;   /* Done within them. */
    uint64_t ops_by_kind[OP_KINDS];
    /* In nanoseconds, of the ops that were meant to begin within the measured time; one that waited
     * in vain for a slot counts with the time it had waited by the end. */
    struct histogram latency[OP_KINDS];
    struct histogram all;
    uint64_t longest_pause_ns; /* Between two answers in a row, or the ends of the measured time. */
    uint64_t errors_by_code[LOAD_CODES]; /* In the order of QO_ERROR_MAP. Warm-up included. */
    uint64_t errors_own[LOAD_OWN_ERRORS];
    uint64_t retries;    /* Copies beyond the first. */
    uint64_t replays;    /* Of which so many had been applied before. */
    uint64_t refused;    /* Ops that the server decided against. */
    uint64_t unresolved; /* Ops whose outcome was not known when the patience was over. */
    uint64_t not_begun;  /* Fixed rate: due, and no slot until the end. */
    char shown[WRONG_SHOWN_MAX]
              [sizeof((struct op_verdict *)0)->why]; /* The first that went wrong. */
    uint32_t shown_count;
    struct nodes_usage usage; /* Of the nodes over the measured time. */
    int64_t own_cpu_us;
    struct watch_sample before, after;
    bool interrupted;
};

struct load;

/* Gives the load. `world`, `watch` and `options` must outlive it. `wake_fd` is the watch's. */
struct load *load_open(const struct load_options *options, struct op_world *world,
                       struct watch *watch, int wake_fd);
/* Runs once: warm-up, measured time, and then until nothing is under way. */
void load_run(struct load *load, struct load_result *result_out);
void load_close(struct load *load);

/* The names of errors_by_code's and errors_own's places. */
const char *load_code_name(uint32_t place);
const char *load_own_name(uint32_t place);

#endif
