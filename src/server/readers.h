/*
 * readers: a small pool of threads that read on snapshots beside the state thread.
 *
 * A job is one read: what to run on a reader thread, and what to call on the loop when it has run.
 * Jobs that are submitted together are done in chunks of at most QO_READ_CHUNK_MAX, each chunk on
 * one view of the store that is begun after the submission: so whatever was committed before the
 * submission is seen.
 *
 * The queue and the list of what is done are under one lock, held for a few instructions
 * (decisions/0009-server.md). Bound: QO_READS_QUEUED_MAX jobs.
 *
 * Thread: loop, except `run`, which is called on a reader.
 */
#ifndef SERVER_READERS_H
#define SERVER_READERS_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "common/arena.h"
#include "common/bytes.h"
#include "request.h"
#include "store/store.h"

struct readers;

struct read_job {
    /* Reader: reads from the view into `out`. Touches only the job, the view, the store. */
    void (*run)(struct read_job *job, struct store *store, struct store_view *view);
    /* Loop: the job has run; the callee's until it gives it back by readers_free_job(). */
    void (*done)(struct node *node, struct read_job *job);

    struct request *request; /* Whom it is for, or NULL. Not touched on the reader. */
    void *context;           /* Of who submitted it. */
    struct wire_request wire;
    struct arena arena; /* Holds what `wire` points to. */
    struct buf message; /* The client's message, copied. */
    struct buf out;     /* A whole response or notification. */

    /* feed.*: where it stopped. */
    uint64_t next_seq, high_seq;
    uint32_t events_count;
    /* Timers: how many rows `out` holds. */
    uint32_t rows_count;
    /* machine.put */
    bool compiled;

    struct read_job *next;
};

struct readers *readers_start(struct node *node, uv_loop_t *loop, struct store *store);

/* A job with empty buffers; NULL: QO_READS_QUEUED_MAX are under way. */
struct read_job *readers_take_job(struct node *node);
void readers_free_job(struct node *node, struct read_job *job);
/* Whether anybody still waits for the answer of a job that has a request. */
bool readers_job_wanted(struct node *node, const struct read_job *job);
/* Frees the job, and its request without an answer, or after one. */
void readers_drop_job(struct node *node, struct read_job *job);

/* Queues a job; it starts with the next readers_flush(). */
void readers_submit(struct node *node, struct read_job *job);
/* Lets the readers begin what was submitted in this turn of the loop. */
void readers_flush(struct node *node);

#endif
