/*
 * host: what the machine gives a node beside its disk and its network: a clock, chance, ticks, and
 * other threads for long work. host_uv.c is the real one; a simulated world has its own.
 *
 * Thread: the loop. Nothing is called back inside the function that was called.
 */
#ifndef CONSENSUS_HOST_H
#define CONSENSUS_HOST_H

#include <stdint.h>

/* Long work. The submitter's, untouched by it until `done`. */
struct host_work {
    void (*run)(struct host_work *work);  /* On another thread. NULL: there is nothing to do. */
    void (*done)(struct host_work *work); /* On the loop; the last that is done with it. */
    void *owner;
};

struct host {
    void *context;
    /* Monotonic, and the same value within one event. */
    uint64_t (*now_ms)(void *context);
    /* Makes now_ms() current, in the middle of a turn of the loop that took long. */
    void (*freshen)(void *context);
    /* Uniform in [min, max), independent of every other node's. */
    int (*chance)(void *context, int min, int max);
    /* Calls `ticked` every so many ms, once and not n times after a long pause. Once. */
    void (*tick)(void *context, unsigned every_ms, void (*ticked)(void *owner), void *owner);
    void (*work)(void *context, struct host_work *work);
};

/* -- The real one ------------------------------------------------------------------------------ */

struct uv_loop_s;

/* A host on this loop and libuv's pool of threads. Gives it; host_uv_free() is for tests, once its
 * loop is closed. */
struct host *host_uv_open(struct uv_loop_s *loop);
/* Stops the ticks, so that the loop can end. */
void host_uv_stop(struct host *host);
void host_uv_free(struct host *host);

#endif
