/* See reads.h. Thread: loop. */
#include "reads.h"

#include "common/assert.h"
#include "common/limits.h"
#include "read_jobs.h"
#include "readers.h"
#include "session.h"
#include "state.h"

struct job_queue {
    struct read_job *first, **end;
};

/* The reads that one round serves. */
struct round {
    struct node *node;
    struct job_queue jobs;
    struct round *next; /* In the pool. */
};

struct reads {
    struct job_queue arrived;  /* Linearizable, since the last round began. */
    struct job_queue wait_seq; /* For the watermark, then read. */
    uint32_t rounds;           /* Under way. */
    struct round *pool;
};

enum { ROUNDS_MAX = 4 }; /* One asks, others wait for it or for the apply queue. */
static_assert(ROUNDS_MAX <= QO_MARKERS_MAX, "each round sends one marker");

static void
queue_init(struct job_queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void
queue_add(struct job_queue *queue, struct read_job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

struct reads *
reads_open(struct node *node)
{
    (void)node;
    struct reads *reads = mem_zalloc(sizeof *reads);
    queue_init(&reads->arrived);
    queue_init(&reads->wait_seq);
    return reads;
}

/* A job of ours ran: its response is whole. */
static void
done(struct node *node, struct read_job *job)
{
    struct request *request = job->request;
    request_answer(node, request, buf_bytes(&job->out));
    request_release(node, request);
    readers_free_job(node, job);
}

/* Nothing but the watermark may stand in the way now. */
static void
read_or_wait(struct node *node, struct read_job *job)
{
    if (!readers_job_wanted(node, job)) {
        readers_drop_job(node, job);
    } else if (job->wire.has_min_seq && job->wire.min_seq > node->seq) {
        queue_add(&node->reads->wait_seq, job);
    } else {
        job->request->stage = REQUEST_READING;
        readers_submit(node, job);
    }
}

void
reads_add(struct node *node, struct request *request, struct bytes message,
          const struct wire_request *wire)
{
    request->stage = REQUEST_WAITING;
    struct read_job *job = readers_take_job(node);
    if (job == NULL) {
        request_fail_plain(node, request, QO_OVERLOADED, QO_RETRY_AFTER_MS);
        request_release(node, request);
        return;
    }
    buf_append(&job->message, message.data, message.size);
    job->request = request;
    job->run = read_job_order;
    job->done = done;
    job->wire.has_min_seq = wire->has_min_seq;
    job->wire.min_seq = wire->min_seq;
    if (reads_are_local(wire)) {
        read_or_wait(node, job);
    } else {
        queue_add(&node->reads->arrived, job);
    }
}

/* -- Rounds ----------------------------------------------------------------------------------- */

static struct round *
take_round(struct node *node)
{
    struct reads *reads = node->reads;
    struct round *round = reads->pool;
    if (round == NULL) {
        round = mem_zalloc(sizeof *round);
    } else {
        reads->pool = round->next;
    }
    round->node = node;
    round->jobs = reads->arrived;
    if (reads->arrived.first == NULL) {
        queue_init(&round->jobs);
    }
    queue_init(&reads->arrived);
    reads->rounds++;
    return round;
}

static void
end_round(struct round *round)
{
    struct reads *reads = round->node->reads;
    QO_ASSERT(reads->rounds > 0);
    reads->rounds--;
    round->next = reads->pool;
    reads->pool = round;
}

/* The state thread has executed all that the read point covers. */
static void
passed(void *context)
{
    struct round *round = context;
    struct read_job *next;
    for (struct read_job *job = round->jobs.first; job != NULL; job = next) {
        next = job->next;
        read_or_wait(round->node, job);
    }
    end_round(round);
}

static void
fail_round(struct round *round)
{
    struct read_job *next;
    for (struct read_job *job = round->jobs.first; job != NULL; job = next) {
        next = job->next;
        request_fail_plain(round->node, job->request, QO_UNAVAILABLE, QO_RETRY_AFTER_MS);
        readers_drop_job(round->node, job);
    }
    end_round(round);
}

static void
read_point(void *context, enum qo_error status, uint64_t index)
{
    struct round *round = context;
    (void)index;
    if (status != QO_OK) {
        fail_round(round);
        return;
    }
    state_push_marker(round->node->state, passed, round);
}

void
reads_flush(struct node *node)
{
    struct reads *reads = node->reads;
    if (reads->arrived.first == NULL || reads->rounds >= ROUNDS_MAX) {
        return;
    }
    struct round *round = take_round(node);
    if (!node->ready || consensus_read_point(node->consensus, read_point, round) != QO_OK) {
        fail_round(round);
    }
}

/* -- Waiting for a seq ------------------------------------------------------------------------ */

static void
review(struct node *node)
{
    struct job_queue waiting = node->reads->wait_seq;
    if (waiting.first == NULL) {
        return;
    }
    queue_init(&node->reads->wait_seq);
    struct read_job *next;
    for (struct read_job *job = waiting.first; job != NULL; job = next) {
        next = job->next;
        read_or_wait(node, job);
    }
}

bool
reads_wait(const struct node *node)
{
    return node->reads->wait_seq.first != NULL;
}

void
reads_progress(struct node *node)
{
    review(node);
}

void
reads_expire(struct node *node)
{
    review(node);
}
