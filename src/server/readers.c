/* See readers.h. Thread: loop, and the readers in reader_main() and below it. */
#include "readers.h"

#include <pthread.h>

#include "common/assert.h"
#include "common/limits.h"
#include "common/thread.h"
#include "node.h"
#include "session.h"

struct job_list {
    struct read_job *first, **end;
};

struct readers {
    struct node *node;
    struct store *store;
    uv_async_t wake_loop;
    pthread_t threads[QO_READERS];

    pthread_mutex_t lock; /* Of the two lists and `queued`. */
    pthread_cond_t work;
    struct job_list queue, done;
    uint32_t queued;

    struct job_list submitted; /* In this turn; the loop's. */
    uint32_t submitted_count;
    struct read_job *pool;
    uint32_t pool_count;
    uint32_t jobs_count; /* Under way. */
};

static void
list_init(struct job_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void
list_add(struct job_list *list, struct read_job *job)
{
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

/* Moves all of `from` behind `to`. */
static void
list_move(struct job_list *to, struct job_list *from)
{
    if (from->first != NULL) {
        *to->end = from->first;
        to->end = from->end;
        list_init(from);
    }
}

/* -- A reader --------------------------------------------------------------------------------- */

/* Waits for work and takes a fair share of it, so that all readers have some. */
static struct job_list
take_chunk(struct readers *readers)
{
    struct job_list chunk;
    list_init(&chunk);
    pthread_mutex_lock(&readers->lock);
    while (readers->queue.first == NULL) {
        pthread_cond_wait(&readers->work, &readers->lock);
    }
    uint32_t share = readers->queued / QO_READERS + 1;
    for (uint32_t i = 0; i < share && i < QO_READ_CHUNK_MAX && readers->queue.first != NULL; i++) {
        struct read_job *job = readers->queue.first;
        readers->queue.first = job->next;
        readers->queued--;
        list_add(&chunk, job);
    }
    if (readers->queue.first == NULL) {
        list_init(&readers->queue);
    }
    pthread_mutex_unlock(&readers->lock);
    return chunk;
}

static void
give_done(struct readers *readers, struct job_list *done)
{
    if (done->first != NULL) {
        pthread_mutex_lock(&readers->lock);
        list_move(&readers->done, done);
        pthread_mutex_unlock(&readers->lock);
        uv_async_send(&readers->wake_loop);
    }
}

/* A chunk's answers go to the loop together, but large ones do not wait for the rest of it. */
static void
run_chunk(struct readers *readers, const struct job_list *chunk)
{
    struct job_list done;
    size_t bytes = 0;
    list_init(&done);
    struct store_view *view = store_view_begin(readers->store);
    struct read_job *next;
    for (struct read_job *job = chunk->first; job != NULL; job = next) {
        next = job->next;
        job->run(job, readers->store, view);
        list_add(&done, job);
        bytes += job->out.size;
        if (bytes >= QO_MESSAGE_MAX) {
            give_done(readers, &done);
            bytes = 0;
        }
    }
    store_view_end(view);
    give_done(readers, &done);
}

static void *
reader_main(void *argument)
{
    struct readers *readers = argument;
    thread_declare(THREAD_READER, "qo-reader");
    for (;;) {
        struct job_list chunk = take_chunk(readers);
        run_chunk(readers, &chunk);
    }
    return NULL;
}

/* -- The loop --------------------------------------------------------------------------------- */

static void
take_done(uv_async_t *async)
{
    struct readers *readers = async->data;
    struct job_list done;
    list_init(&done);
    pthread_mutex_lock(&readers->lock);
    list_move(&done, &readers->done);
    pthread_mutex_unlock(&readers->lock);
    struct read_job *next;
    for (struct read_job *job = done.first; job != NULL; job = next) {
        next = job->next;
        job->done(readers->node, job);
    }
}

struct readers *
readers_start(struct node *node, uv_loop_t *loop, struct store *store)
{
    struct readers *readers = mem_zalloc(sizeof *readers);
    readers->node = node;
    readers->store = store;
    list_init(&readers->queue);
    list_init(&readers->done);
    list_init(&readers->submitted);
    pthread_mutex_init(&readers->lock, NULL);
    pthread_cond_init(&readers->work, NULL);
    int failed = uv_async_init(loop, &readers->wake_loop, take_done);
    QO_ASSERT(failed == 0);
    readers->wake_loop.data = readers;
    for (uint32_t i = 0; i < QO_READERS; i++) {
        failed = pthread_create(&readers->threads[i], NULL, reader_main, readers);
        QO_ASSERT(failed == 0);
    }
    return readers;
}

struct read_job *
readers_take_job(struct node *node)
{
    struct readers *readers = node->readers;
    if (readers->jobs_count == QO_READS_QUEUED_MAX) {
        return NULL;
    }
    readers->jobs_count++;
    struct read_job *job = readers->pool;
    if (job == NULL) {
        return mem_zalloc(sizeof *job);
    }
    readers->pool = job->next;
    readers->pool_count--;
    struct arena arena = job->arena;
    struct buf message = job->message, out = job->out;
    *job = (struct read_job){.arena = arena, .message = message, .out = out};
    return job;
}

void
readers_free_job(struct node *node, struct read_job *job)
{
    struct readers *readers = node->readers;
    QO_PRE(readers->jobs_count > 0);
    readers->jobs_count--;
    arena_reset(&job->arena);
    buf_clear(&job->message);
    buf_clear(&job->out);
    /* Neither a rare large answer nor the buffers of a rare crowd may stay in the pool. */
    size_t keep =
        readers->pool_count < QO_READ_CHUNK_MAX ? QO_FEED_CHUNK_BYTES : QO_SMALL_ANSWER_MAX;
    if (job->out.capacity > keep) {
        buf_free(&job->out);
    }
    if (job->message.capacity > keep) {
        buf_free(&job->message);
    }
    if (arena_capacity(&job->arena) > keep) {
        arena_free(&job->arena);
    }
    job->next = readers->pool;
    readers->pool = job;
    readers->pool_count++;
}

bool
readers_job_wanted(struct node *node, const struct read_job *job)
{
    return !job->request->answered && session_alive(node, job->request->session);
}

void
readers_drop_job(struct node *node, struct read_job *job)
{
    job->request->answered = true;
    request_release(node, job->request);
    readers_free_job(node, job);
}

void
readers_submit(struct node *node, struct read_job *job)
{
    QO_PRE(job->run != NULL && job->done != NULL);
    list_add(&node->readers->submitted, job);
    node->readers->submitted_count++;
}

void
readers_flush(struct node *node)
{
    struct readers *readers = node->readers;
    if (readers->submitted_count == 0) {
        return;
    }
    pthread_mutex_lock(&readers->lock);
    list_move(&readers->queue, &readers->submitted);
    readers->queued += readers->submitted_count;
    if (readers->submitted_count == 1) {
        pthread_cond_signal(&readers->work);
    } else {
        pthread_cond_broadcast(&readers->work);
    }
    pthread_mutex_unlock(&readers->lock);
    readers->submitted_count = 0;
}
