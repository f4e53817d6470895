/* See consensus/consensus.h: what a process needs before libuv and libraft run in it.
 * Thread: main, alone. */
#include <pthread.h>
#include <raft.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "consensus/consensus.h"
#include "state.h"

/* A checkpoint waits on one until the state has come so far; sweeping and lookups of names must not
 * stand behind it. */
enum { POOL_THREADS_MIN = 8 };

/* Zeroed, because libraft stores 8 bytes of every barrier that it never wrote (B25). */
static void *
heap_malloc(void *data, size_t size)
{
    (void)data;
    return mem_zalloc(size);
}

static void
heap_free(void *data, void *memory)
{
    (void)data;
    mem_free(memory);
}

static void *
heap_calloc(void *data, size_t count, size_t size)
{
    (void)data;
    return size != 0 && count > SIZE_MAX / size ? NULL : mem_zalloc(count * size);
}

static void *
heap_realloc(void *data, void *memory, size_t size)
{
    (void)data;
    return mem_realloc(memory, size);
}

/* For direct I/O. */
static void *
heap_aligned_alloc(void *data, size_t alignment, size_t size)
{
    (void)data;
    void *memory = aligned_alloc(alignment, size);
    if (memory == NULL) {
        qo_fatal(FATAL_MEMORY, "no memory for %zu bytes aligned to %zu", size, alignment);
    }
    return memset(memory, 0, size);
}

static void
heap_aligned_free(void *data, size_t alignment, void *memory)
{
    (void)data;
    (void)alignment;
    free(memory);
}

static void
nothing(uv_work_t *work)
{
    (void)work;
}

static void
nothing_more(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
}

/* The pool starts all its threads at its first work; they inherit the mask. */
static void
start_pool(void)
{
    uv_loop_t loop;
    uv_work_t work;
    sigset_t all, before;
    const char *asked = getenv("UV_THREADPOOL_SIZE");
    if (asked == NULL || strtol(asked, NULL, 10) < POOL_THREADS_MIN) {
        (void)setenv("UV_THREADPOOL_SIZE", "8", 1);
    }
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (uv_loop_init(&loop) != 0 || uv_queue_work(&loop, &work, nothing, nothing_more) != 0) {
        qo_fatal(FATAL_MEMORY, "cannot start libuv's threads");
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
process_set_heap(void)
{
    static struct raft_heap heap = {
        .malloc = heap_malloc,
        .free = heap_free,
        .calloc = heap_calloc,
        .realloc = heap_realloc,
        .aligned_alloc = heap_aligned_alloc,
        .aligned_free = heap_aligned_free,
    };
    raft_heap_set(&heap);
}

void
consensus_prepare_process(void)
{
    static bool prepared;
    if (!prepared) {
        prepared = true;
        process_set_heap();
        (void)signal(SIGPIPE, SIG_IGN); /* A peer that is gone is an error of a write, no more. */
        start_pool();
    }
}
