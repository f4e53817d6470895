/* See host.h: a clock, chance, ticks and threads from libuv and the kernel.
 * Thread: the loop; run_work() on a thread of the pool. */
#include <sys/random.h>
#include <uv.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "host.h"

struct host_uv {
    struct host table;
    uv_loop_t *loop;
    uv_timer_t timer;
    bool ticking;
    void (*ticked)(void *owner);
    void *owner;
};

static uint64_t
now_ms(void *context)
{
    const struct host_uv *host = context;
    return uv_now(host->loop);
}

static void
freshen(void *context)
{
    const struct host_uv *host = context;
    uv_update_time(host->loop);
}

static int
chance(void *context, int min, int max)
{
    uint64_t number;
    (void)context;
    QO_PRE(min < max);
    /* Asked for at elections only. */
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) {
        qo_fatal(FATAL_MEMORY, "no random number");
    }
    return min + (int)(number % (uint64_t)(max - min));
}

/* libuv counts the next repetition from now, so that what was missed is not made up for. */
static void
timer_fired(uv_timer_t *timer)
{
    const struct host_uv *host = timer->data;
    host->ticked(host->owner);
}

static void
tick(void *context, unsigned every_ms, void (*ticked)(void *owner), void *owner)
{
    struct host_uv *host = context;
    QO_PRE(!host->ticking);
    host->ticking = true;
    host->ticked = ticked;
    host->owner = owner;
    host->timer.data = host;
    int status = uv_timer_init(host->loop, &host->timer);
    QO_ASSERT(status == 0);
    status = uv_timer_start(&host->timer, timer_fired, every_ms, every_ms);
    QO_ASSERT(status == 0);
}

static void
run_work(uv_work_t *below)
{
    struct host_work *work = below->data;
    if (work->run != NULL) {
        work->run(work);
    }
}

static void
work_done(uv_work_t *below, int status)
{
    struct host_work *work = below->data;
    QO_ASSERT(status == 0); /* Nothing is cancelled. */
    mem_free(below);
    work->done(work);
}

static void
work(void *context, struct host_work *work)
{
    const struct host_uv *host = context;
    uv_work_t *below = mem_zalloc(sizeof *below);
    below->data = work;
    int status = uv_queue_work(host->loop, below, run_work, work_done);
    QO_ASSERT(status == 0);
}

struct host *
host_uv_open(uv_loop_t *loop)
{
    struct host_uv *host = mem_zalloc(sizeof *host);
    host->loop = loop;
    host->table = (struct host){
        .context = host,
        .now_ms = now_ms,
        .freshen = freshen,
        .chance = chance,
        .tick = tick,
        .work = work,
    };
    return &host->table;
}

void
host_uv_stop(struct host *table)
{
    struct host_uv *host = table->context;
    if (host->ticking) {
        uv_close((uv_handle_t *)&host->timer, NULL);
    }
}

void
host_uv_free(struct host *table)
{
    mem_free(table->context);
}
