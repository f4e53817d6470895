/*
 * watch: a thread beside the load that knows which node leads, and counts what nodes report.
 *
 * It asks one node after another for `cluster.status`: every 250 ms, and at once when the load lost
 * a connection. Of several answers the one with the highest term is believed; a paused leader
 * answers nothing, and the others soon name a new one.
 *
 * Thread: its own; every function here is for the main thread. One mutex guards what is shared: the
 * leader's address, the samples and the wishes. Nothing is waited for while it is held.
 */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/endpoints.h"

enum { WATCH_NODES_MAX = 16, WATCH_VALUES_MAX = 48, WATCH_NAME_SIZE = 48 };

/* What one node said of itself: the map `store` of cluster.status. */
struct watch_node {
    char endpoint[ENDPOINT_SIZE];
    bool answered;
    uint64_t node_id;
    uint32_t values_count;
    struct {
        char name[WATCH_NAME_SIZE];
        uint64_t value;
    } values[WATCH_VALUES_MAX];
};
struct watch_sample {
    uint32_t nodes_count;
    struct watch_node nodes[WATCH_NODES_MAX];
};

struct watch;

/* `wake_fd` is an eventfd that is written whenever the leader changes; -1: none. Gives the watch.
 */
struct watch *watch_start(const struct endpoints *endpoints, int wake_fd);
void watch_stop(struct watch *watch);

/* The leader's address, and a number that rises with each change; 0 and "" if none is known. */
uint64_t watch_leader(struct watch *watch, char endpoint_out[ENDPOINT_SIZE]);
/* True if any node answered the last round of questions. */
bool watch_reached(struct watch *watch);
/* Waits for a leader. False after `timeout_ms`. */
bool watch_wait(struct watch *watch, int timeout_ms);
/* Asks the nodes at once instead of when the time has come. */
void watch_hurry(struct watch *watch);
/* All addresses known by now: those given and those of the members. */
void watch_endpoints(struct watch *watch, struct endpoints *endpoints_out);

/* Has every node asked once, for its counters, as soon as possible; never blocks. The answer is
 * taken by watch_sampled(), which waits for it up to two seconds. At most one at a time. */
void watch_sample(struct watch *watch);
bool watch_sampled(struct watch *watch, struct watch_sample *sample_out);

#endif
