/* See timers.h. Thread: loop; scan() on a reader. */
#include "timers.h"

#include "common/assert.h"
#include "common/limits.h"
#include "readers.h"
#include "state.h"
#include "writes.h"

struct timers {
    int64_t next_us;             /* Of the next scan, on the loop's clock. */
    uint64_t reign;              /* Counts the changes of leadership. */
    bool inherited;              /* What earlier leaders left is executed. */
    struct deadline_place place; /* Of this reign: where the next scan begins. */

    bool marked; /* A marker is under way, pushed in ... */
    uint64_t marked_reign;

    bool busy; /* A scan or a batch of timers is under way: what follows belongs to it. */
    uint64_t busy_reign;
    struct deadline_place from, next;
    int64_t until; /* Deadlines up to here are due. */
    int64_t floor; /* Entries executed after the scan's beginning have no time before this. */
    struct store_deadline rows[QO_TIMERS_PER_ENTRY_MAX];
    struct command commands[QO_TIMERS_PER_ENTRY_MAX];
};

struct timers *
timers_open(struct node *node)
{
    (void)node;
    return mem_zalloc(sizeof(struct timers));
}

/* -- Reigns ----------------------------------------------------------------------------------- */

static void marker_passed(void *context);

/* At most one marker at a time, however often leadership changes. */
static void
push_marker(struct node *node)
{
    struct timers *timers = node->timers;
    timers->marked = true;
    timers->marked_reign = timers->reign;
    state_push_marker(node->state, marker_passed, node);
}

static void
marker_passed(void *context)
{
    struct node *node = context;
    struct timers *timers = node->timers;
    timers->marked = false;
    if (timers->marked_reign == timers->reign) {
        timers->inherited = true;
    } else if (node->ready) {
        push_marker(node);
    }
}

void
timers_leadership(struct node *node, bool ready)
{
    struct timers *timers = node->timers;
    timers->reign++;
    timers->inherited = false;
    timers->place = (struct deadline_place){0};
    timers->next_us = 0;
    if (ready && !timers->marked) {
        push_marker(node);
    }
}

/* -- Scans ------------------------------------------------------------------------------------ */

/* Reader. `context` is the timers. */
static void
scan(struct read_job *job, struct store *store, struct store_view *view)
{
    struct timers *timers = job->context;
    (void)view;
    job->rows_count = store_scan_deadlines(store, timers->from, timers->until, &job->arena,
                                           timers->rows, QO_TIMERS_PER_ENTRY_MAX, &timers->next);
}

/* All that the scan found is dealt with: the next goes on behind it. */
static void
move_on(struct timers *timers)
{
    if (timers->busy_reign == timers->reign) {
        const struct deadline_place floor = {timers->floor, 0};
        timers->place = deadline_place_before(timers->next, floor) ? timers->next : floor;
    }
}

static void
batch_done(struct node *node, bool executed)
{
    struct timers *timers = node->timers;
    QO_ASSERT(timers->busy);
    timers->busy = false;
    if (executed) {
        move_on(timers);
        timers->next_us = 0; /* There may be more. */
    }
}

static void
scanned(struct node *node, struct read_job *job)
{
    struct timers *timers = node->timers;
    QO_ASSERT(timers->busy);
    uint32_t count = job->rows_count;
    if (count == 0 || !node->ready || timers->busy_reign != timers->reign || node->disk_low) {
        timers->busy = false;
        if (count == 0) {
            move_on(timers);
        }
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
    if (!node->ready || !timers->inherited || timers->busy || node->disk_low ||
        now_us < timers->next_us) {
        return;
    }
    struct read_job *job = readers_take_job(node);
    if (job == NULL) {
        return;
    }
    timers->busy = true;
    timers->busy_reign = timers->reign;
    timers->next_us = now_us + (int64_t)QO_TIMER_SCAN_MS * 1000;
    timers->from = timers->place;
    timers->floor = writes_time_floor(node);
    timers->until = writes_time(node);
    job->context = timers;
    job->run = scan;
    job->done = scanned;
    readers_submit(node, job);
}
