/* See node.h. Thread: loop, except checkpoint(). */
#include "node.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/thread.h"
#include "feeds.h"
#include "forward.h"
#include "readers.h"
#include "reads.h"
#include "session.h"
#include "state.h"
#include "timers.h"
#include "version.h"
#include "writes.h"

/* Exactly one node runs in a process. */
static struct node node;
static uv_prepare_t before_poll;
static uv_check_t after_poll;
static uv_timer_t tick_timer, disk_timer, sweep_timer;
static uv_signal_t signals[2];
static char store_directory[QO_PATH_MAX];

int64_t
node_now_us(struct node *of)
{
    return (int64_t)uv_now(&of->loop) * 1000;
}

bool
node_was_halted(const struct node *of)
{
    return (int64_t)(uv_hrtime() / 1000) - of->polled_us > (int64_t)QO_HALT_MS * 1000;
}

static const struct consensus_status *
status_of_turn(struct node *of)
{
    if (!of->status_fresh) {
        consensus_status(of->consensus, &of->status);
        of->status_fresh = true;
    }
    return &of->status;
}

uint32_t
node_leader_id(struct node *of)
{
    return status_of_turn(of)->leader_id;
}

struct bytes
node_leader_address(struct node *of)
{
    const struct consensus_status *status = status_of_turn(of);
    return status->leader_id == 0 ? BYTES_NONE : bytes_text(status->leader_address);
}

/* -- What consensus calls --------------------------------------------------------------------- */

static bool
room(void *context, size_t size)
{
    (void)context;
    return state_room(node.state, size);
}

static uint64_t
executed_up_to(void *context)
{
    (void)context;
    return state_executed_index(node.state);
}

static void
deliver(void *context, uint64_t index, uint64_t term, struct bytes entry)
{
    (void)context;
    if (entry.data == NULL) {
        state_push_advance(node.state, index, term);
    } else {
        state_push_entry(node.state, index, term, entry);
    }
}

static void
leadership(void *context, bool ready, uint64_t term)
{
    (void)context;
    log_line(LOG_INFO, ready ? "leading" : "not_leading", "term=%llu", (unsigned long long)term);
    node.ready = ready;
    node.term = term;
    node.status_fresh = false;
    writes_leadership(&node, ready);
    timers_leadership(&node, ready);
}

/* Pool thread: everything up to `index` was handed over or soon will be; waits for its execution.
 */
static bool
checkpoint(void *context, uint64_t index, uint64_t term, struct buf *manifest_out,
           uint64_t *applied_out)
{
    struct applied_point applied;
    char manifest[64];
    (void)context;
    (void)term; /* Of the entry at `index`, which was handed over too. */
    state_wait(node.state, index);
    store_checkpoint(node.store, &applied);
    QO_ASSERT(applied.index >= index);
    int size = snprintf(manifest, sizeof manifest, "checkpoint %llu term %llu",
                        (unsigned long long)applied.index, (unsigned long long)applied.term);
    buf_append(manifest_out, manifest, (size_t)size);
    *applied_out = applied.index;
    return true;
}

static void
restore(void *context, struct bytes manifest, uint64_t index)
{
    (void)context;
    if (store_applied(node.store)->index < index) {
        qo_fatal(FATAL_CORRUPT,
                 "the log begins behind entry %llu (%.*s), but the store has executed only %llu: "
                 "acknowledged data is missing. Replace this member",
                 (unsigned long long)index, BYTES_FORMAT(manifest),
                 (unsigned long long)store_applied(node.store)->index);
    }
}

/* -- The loop --------------------------------------------------------------------------------- */

static void
executed(void *context, const struct state_item *item)
{
    (void)context;
    node.executed_index = item->index;
    node.moved = node.moved || node.seq != item->seq;
    node.seq = item->seq;
    node.time = item->time;
    node.digest = item->digest;
    writes_executed(&node, item);
}

/* Before the loop waits: says whether entries that are executed meanwhile are to wake it. */
static void
say_who_waits(void)
{
    bool waits = node.ready || reads_wait(&node) || feeds_wait(&node);
    state_wake_for_entries(node.state, waits || !state_roomy(node.state));
    state_take_back(node.state); /* What was executed before that was said. */
}

/* The end of a turn: what came in it goes out in as few entries, reads and writes as can be. */
static void
end_turn(void)
{
    if (node_was_halted(&node)) {
        sessions_drop_reset(&node); /* Before anything that they asked is proposed. */
    }
    if (node.moved) {
        node.moved = false;
        reads_progress(&node);
        feeds_progress(&node);
    }
    writes_flush(&node);
    reads_flush(&node);
    readers_flush(&node);
    forward_flush(&node);
    sessions_flush(&node);
    node.status_fresh = false;
}

static void
prepare(uv_prepare_t *handle)
{
    (void)handle;
    say_who_waits();
    end_turn();
    consensus_resume(node.consensus); /* Read points of a cluster of one, before the loop waits. */
    state_stay_awake(node.state);
    node.polled_us = node.polled_last_us;
    node.polled_last_us = (int64_t)(uv_hrtime() / 1000);
}

static void
check(uv_check_t *handle)
{
    (void)handle;
    state_take_back(node.state);
    consensus_resume(node.consensus);
    end_turn();
}

static void
tick(uv_timer_t *timer)
{
    int64_t now_us = node_now_us(&node);
    (void)timer;
    state_hurry(node.state);
    requests_expire(&node, now_us);
    writes_expire(&node, now_us);
    reads_expire(&node);
    feeds_expire(&node, now_us);
    sessions_expire(&node, now_us);
    timers_tick(&node, now_us);
    forward_tick(&node, now_us);
}

static uint64_t
default_reserve(uint64_t disk_bytes)
{
    uint64_t share = disk_bytes / 20;
    return share < QO_DISK_RESERVE_MAX ? share : QO_DISK_RESERVE_MAX;
}

/* Writes are refused below the reserve, so that the log and the store still have room for what was
 * taken, and the node room to be mended. */
static void
look_at_disk(uv_timer_t *timer)
{
    struct statvfs disk;
    (void)timer;
    if (statvfs(node.options.directory, &disk) != 0) {
        qo_fatal(FATAL_STORAGE, "statvfs of %s: %s", node.options.directory, strerror(errno));
    }
    uint64_t reserve = node.options.disk_reserve;
    if (reserve == UINT64_MAX) {
        reserve = default_reserve((uint64_t)disk.f_blocks * disk.f_frsize);
    }
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    bool low = free_bytes < reserve;
    if (low != node.disk_low) {
        log_line(low ? LOG_WARN : LOG_INFO, low ? "disk_low" : "disk_enough",
                 "free_bytes=%llu reserve_bytes=%llu", (unsigned long long)free_bytes,
                 (unsigned long long)reserve);
    }
    node.disk_low = low;
}

/* On a pool thread, at its leisure: stale rows of lists. */
static void
sweep(uv_work_t *work)
{
    (void)work;
    (void)store_sweep(node.store, QO_SWEEP_ROWS_MAX);
}

static void
swept(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
    uv_timer_again(&sweep_timer);
}

static void
begin_sweep(uv_timer_t *timer)
{
    static uv_work_t work;
    uv_timer_stop(timer);
    int failed = uv_queue_work(&node.loop, &work, sweep, swept);
    QO_ASSERT(failed == 0);
}

static void
stop(uv_signal_t *handle, int number)
{
    (void)handle;
    log_line(LOG_INFO, "stopped", "signal=%d", number);
    _exit(0); /* What was acknowledged is durable: there is nothing to close. */
}

static void
start_handles(void)
{
    uv_prepare_init(&node.loop, &before_poll);
    uv_prepare_start(&before_poll, prepare);
    uv_check_init(&node.loop, &after_poll);
    uv_check_start(&after_poll, check);
    uv_timer_init(&node.loop, &tick_timer);
    uv_timer_start(&tick_timer, tick, QO_TICK_MS, QO_TICK_MS);
    uv_timer_init(&node.loop, &disk_timer);
    uv_timer_start(&disk_timer, look_at_disk, QO_DISK_LOOK_MS, QO_DISK_LOOK_MS);
    uv_timer_init(&node.loop, &sweep_timer);
    uv_timer_start(&sweep_timer, begin_sweep, QO_SWEEP_EVERY_MS, QO_SWEEP_EVERY_MS);
    static const int numbers[2] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&node.loop, &signals[i]);
        uv_signal_start(&signals[i], stop, numbers[i]);
    }
}

/* -- Start ------------------------------------------------------------------------------------ */

static void
open_log(void)
{
    const struct consensus_options options = {
        .directory = node.options.directory,
        .loop = &node.loop,
        .heartbeat_ms = node.options.heartbeat_ms,
        .election_ms = node.options.election_ms,
        .log_bytes_max = node.options.log_bytes_max,
        .secret = node.options.secret,
        .client = {.context = &node,
                   .room = room,
                   .deliver = deliver,
                   .leadership = leadership,
                   .checkpoint = checkpoint,
                   .restore = restore,
                   .executed = executed_up_to},
    };
    node.consensus = consensus_open(&options);
    node.identity = consensus_identity(node.consensus);
    log_set_node(node.identity->node_id);
}

static void
open_state(void)
{
    int size =
        snprintf(store_directory, sizeof store_directory, "%s/store", node.options.directory);
    if (size < 0 || (size_t)size >= sizeof store_directory) {
        qo_fatal(FATAL_CONFIG, "the path of the data directory is too long");
    }
    struct store_options options = {
        .directory = store_directory,
        .shards = node.identity->shards,
        .block_cache_bytes = node.options.block_cache_bytes,
        .memtable_bytes = node.options.memtable_bytes,
    };
    static_assert(sizeof options.cluster_id >= sizeof node.identity->cluster_id, "it fits");
    (void)snprintf(options.cluster_id, sizeof options.cluster_id, "%s", node.identity->cluster_id);
    node.store = store_open(&options);
    const struct applied_point *applied = store_applied(node.store);
    node.executed_index = applied->entry_index;
    node.seq = applied->seq;
    node.time = applied->time;
    node.digest = applied->digest;
    node.epoch = (uint32_t)node.identity->epoch;
    node.state = state_start(&node.loop, node.store, node.options.cache_bytes, executed, &node);
}

void
node_run(const struct node_options *options)
{
    (void)signal(SIGPIPE, SIG_IGN);
    consensus_prepare_process();
    thread_declare(THREAD_LOOP, "qo-loop");
    node.options = *options;
    int failed = uv_loop_init(&node.loop);
    QO_ASSERT(failed == 0);
    node.started_us = node_now_us(&node);
    node.polled_us = node.polled_last_us = node.started_us;
    open_log();
    open_state();
    node.requests = requests_open();
    node.sessions = sessions_open(&node);
    node.writes = writes_open(&node);
    node.reads = reads_open(&node);
    node.feeds = feeds_open();
    node.forward = forward_open(&node);
    node.timers = timers_open(&node);
    node.readers = readers_start(&node, &node.loop, node.store);
    look_at_disk(NULL);
    start_handles();
    consensus_start(node.consensus, store_applied(node.store)->index,
                    store_applied(node.store)->term);
    const char *listen = options->listen;
    for (uint32_t i = 0; listen == NULL && i < node.identity->members_count; i++) {
        if (node.identity->members[i].id == node.identity->node_id) {
            listen = node.identity->members[i].address;
        }
    }
    sessions_listen(&node, listen);
    struct consensus_status log;
    consensus_status(node.consensus, &log);
    log_line(LOG_INFO, "started",
             "version=%s cluster=%s address=%s applied_index=%llu last_index=%llu seq=%llu data=%s",
             QUORDER_VERSION, node.identity->cluster_id, listen,
             (unsigned long long)store_applied(node.store)->index,
             (unsigned long long)log.last_index, (unsigned long long)node.seq, options->directory);
    (void)uv_run(&node.loop, UV_RUN_DEFAULT);
    qo_fatal(FATAL_NETWORK, "the loop ended");
}
