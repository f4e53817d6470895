/* See timers.h. Thread: loop; scan() on a reader. */
#include "timers.h"

#include "common/assert.h"
#include "common/limits.h"
#include "readers.h"
#include "writes.h"

struct timers {
    bool busy;       /* A scan or a batch of timers is under way. */
    int64_t next_us; /* Of the next scan, on the loop's clock. */
    int64_t from;    /* The last deadline proposed in this term. */
    uint64_t term;   /* Of `from`. */
    struct store_deadline rows[QO_TIMERS_PER_ENTRY_MAX]; /* Of the scan under way. */
    int64_t next;  /* `from` of the next scan; written by the scan under way. */
    int64_t until; /* Deadlines up to here are due; read by the scan. */
    struct command commands[QO_TIMERS_PER_ENTRY_MAX];
};

struct timers *
timers_open(struct node *node)
{
    (void)node;
    return mem_zalloc(sizeof(struct timers));
}

void
timers_leadership(struct node *node)
{
    node->timers->from = 0;
    node->timers->next_us = 0;
}

/* Reader. `context` is the timers: while busy, rows, from and until belong to the scan. */
static void
scan(struct read_job *job, struct store *store, struct store_view *view)
{
    struct timers *timers = job->context;
    (void)view;
    job->rows_count = store_scan_deadlines(store, timers->from, timers->until, &job->arena,
                                           timers->rows, QO_TIMERS_PER_ENTRY_MAX, &timers->next);
}

static void
batch_done(struct node *node)
{
    QO_ASSERT(node->timers->busy);
    node->timers->busy = false;
    node->timers->next_us = 0; /* There may be more. */
}

static void
scanned(struct node *node, struct read_job *job)
{
    struct timers *timers = node->timers;
    QO_ASSERT(timers->busy);
    uint32_t count = job->rows_count;
    if (node->ready && node->term == timers->term) {
        timers->from = timers->next;
    }
    if (count == 0 || !node->ready || node->term != timers->term || node->disk_low) {
        timers->busy = false;
        readers_free_job(node, job);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct store_deadline *row = &timers->rows[i];
        timers->commands[i] = (struct command){
            .kind = COMMAND_TIMER,
            .timer_id = row->id,
            .timer_entered_version = row->entered_version,
            .timer_deadline = row->deadline,
        };
    }
    writes_add_timers(node, timers->commands, count, batch_done);
    readers_free_job(node, job);
}

void
timers_tick(struct node *node, int64_t now_us)
{
    struct timers *timers = node->timers;
    if (!node->ready || timers->busy || node->disk_low || now_us < timers->next_us) {
        return;
    }
    struct read_job *job = readers_take_job(node);
    if (job == NULL) {
        return;
    }
    if (timers->term != node->term) {
        timers->term = node->term;
        timers->from = 0;
    }
    timers->busy = true;
    timers->next_us = now_us + (int64_t)QO_TIMER_SCAN_MS * 1000;
    timers->until = writes_time(node);
    job->context = timers;
    job->run = scan;
    job->done = scanned;
    readers_submit(node, job);
}
