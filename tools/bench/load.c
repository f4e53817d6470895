/* See load.h: the run in time, and the whole. Thread: main. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "parts.h"

enum {
    EVENTS_MAX = 256,
    GRACE_MS = 1000, /* An answer may come so long after a request's own time. */
};
#define TICK_NS UINT64_C(5000000)
#define SILENCE_NS UINT64_C(250000000) /* Between looks for connections that do not answer. */
#define PATIENCE_NS (60 * SECOND_NS)   /* At the end of a run, for what is still under way. */

static volatile sig_atomic_t interrupted;

static void
interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

uint64_t
load_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* -- Time ------------------------------------------------------------------------------------ */

static uint64_t
due_ns(const struct load *load)
{
    return load->start_ns + load->begun * SECOND_NS / load->options->rate;
}

/* Fixed rate: begins what is due, as far as there are free slots on open connections. */
static void
begin_due(struct load *load)
{
    for (uint32_t left = load->ring_count; left > 0 && load->phase != PHASE_ENDING; left--) {
        uint64_t due = due_ns(load);
        if (due > load->now_ns) {
            break;
        }
        uint32_t place = load->ring[load->ring_first];
        struct connection *connection = &load->connections[place / load->options->outstanding];
        struct slot *slot = &connection->slots[place % load->options->outstanding];
        load->ring_first = (load->ring_first + 1) % load->ring_size;
        load->ring_count--;
        if (connection->state != CONNECTION_UP) {
            slot_put_free(load, connection, slot);
            continue;
        }
        slot_begin(load, connection, slot, due);
    }
    for (uint32_t i = 0; i < load->options->connections; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->state == CONNECTION_UP && connection->out.size > 0 &&
            !connection->polls_out) {
            connection_flush(load, connection);
        }
    }
}

static void
leader_changed(struct load *load)
{
    char leader[ENDPOINT_SIZE];
    uint64_t generation = watch_leader(load->watch, leader);
    if (generation == load->leader_generation) {
        return;
    }
    bool moved = load->leader_generation != 0;
    load->leader_generation = generation;
    memcpy(load->leader, leader, sizeof leader);
    if (moved && !load->options->quiet) {
        fprintf(stderr, "leader is now %s\n", leader);
    }
    for (uint32_t i = 0; moved && !load->options->spread && i < load->options->connections; i++) {
        connection_lose(load, &load->connections[i], LOAD_LOST);
        load->connections[i].retry_ns = 0;
    }
}

static void
look_after(struct load *load, struct connection *connection, bool silence)
{
    uint64_t patience_ns =
        ((load->world->timeout_ms != 0 ? load->world->timeout_ms : QO_TIMEOUT_MS_DEFAULT) +
         GRACE_MS) *
        UINT64_C(1000000);
    if (connection->state == CONNECTION_DOWN && connection->retry_ns <= load->now_ns) {
        connection_dial(load, connection);
    } else if (connection->state == CONNECTION_DIALLING && connection->retry_ns <= load->now_ns) {
        connection_lose(load, connection, LOAD_LOST);
        watch_hurry(load->watch);
    } else if (connection->state == CONNECTION_UP) {
        for (uint32_t i = 0; silence && i < load->options->outstanding; i++) {
            struct slot *slot = &connection->slots[i];
            if (slot->state == SLOT_FLYING && slot->sent_ns + patience_ns < load->now_ns) {
                connection_lose(load, connection, LOAD_SILENT);
                return;
            }
        }
        if (connection->waiting > 0) {
            connection_resume(load, connection);
        }
    }
}

static void
progress(struct load *load)
{
    if (!load->options->quiet) {
        uint64_t second = (load->second_ns - load->start_ns) / SECOND_NS;
        fprintf(stderr,
                "%4llu s%s  %8llu ops/s  p50 %8.3f ms  p99 %8.3f ms  max %8.3f ms  errors %llu\n",
                (unsigned long long)second, load->phase == PHASE_WARMUP ? " (warm-up)" : "",
                (unsigned long long)load->second.total,
                (double)histogram_quantile(&load->second, 0.5) / 1e6,
                (double)histogram_quantile(&load->second, 0.99) / 1e6,
                (double)load->second.max / 1e6, (unsigned long long)load->second_errors);
    }
    histogram_reset(&load->second);
    load->second_errors = 0;
    load->second_ns += SECOND_NS;
}

static void
end_measured(struct load *load)
{
    struct load_result *result = load->result;
    struct nodes_usage usage = nodes_usage(load->options->nodes);
    uint64_t pause = load->now_ns - load->last_done_ns;
    result->longest_pause_ns = pause > result->longest_pause_ns ? pause : result->longest_pause_ns;
    result->seconds = (double)(load->now_ns - load->measured_ns) / 1e9;
    result->usage = nodes_usage_between(&load->usage_before, &usage);
    result->own_cpu_us = clock_cpu_us() - load->own_cpu_before_us;
    load->end_ns = load->now_ns;
    for (; load->options->rate > 0 && due_ns(load) < load->now_ns; load->begun++) {
        uint64_t due = due_ns(load);
        if (due >= load->measured_ns) {
            result->not_begun++;
            histogram_record(&result->latency[OP_TRANSITION], load->now_ns - due);
        }
    }
    (void)watch_sampled(load->watch, &result->before); /* Taken long ago, unless interrupted. */
    watch_sample(load->watch);
    load->phase = PHASE_ENDING;
}

/* Moves the run on. */
static void
tick(struct load *load)
{
    load->now_ns = load_now_ns();
    leader_changed(load);
    while (load->phase != PHASE_ENDING && load->second_ns <= load->now_ns) {
        progress(load);
    }
    if (interrupted != 0 && load->phase != PHASE_ENDING) {
        load->result->interrupted = true;
        if (load->phase == PHASE_WARMUP) {
            load->measured_ns = load->now_ns;
        }
    }
    if (load->phase == PHASE_WARMUP && load->now_ns >= load->measured_ns) {
        watch_sample(load->watch);
        load->usage_before = nodes_usage(load->options->nodes);
        load->own_cpu_before_us = clock_cpu_us();
        load->measured_ns = load->now_ns;
        load->last_done_ns = load->now_ns;
        load->end_ns = load->now_ns + load->options->seconds * SECOND_NS;
        load->phase = PHASE_MEASURED;
    }
    if (load->phase == PHASE_MEASURED &&
        (load->now_ns >= load->end_ns || load->result->interrupted)) {
        end_measured(load);
    }
    bool silence = load->silence_ns <= load->now_ns;
    if (silence) {
        load->silence_ns = load->now_ns + SILENCE_NS;
    }
    for (uint32_t i = 0; i < load->options->connections; i++) {
        look_after(load, &load->connections[i], silence);
    }
}

/* In a closed loop the timer ticks by itself; at a fixed rate it is set for the next op. */
static void
arm_timer(struct load *load)
{
    uint64_t next = load->now_ns + TICK_NS;
    if (load->options->rate == 0) {
        return;
    }
    if (load->phase != PHASE_ENDING && load->ring_count > 0) {
        uint64_t due = due_ns(load);
        next = due < next ? due : next;
    }
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(next / SECOND_NS), .tv_nsec = (long)(next % SECOND_NS)}};
    (void)timerfd_settime(load->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void
drain(int fd)
{
    uint64_t count = 0;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* Both are non-blocking, and only their waking counts. */
}

static void
handle(struct load *load, const struct epoll_event *event)
{
    struct connection *connection = event->data.ptr;
    if (connection == NULL) { /* The timer or the watch: tick() looks at both. */
        drain(load->timer_fd);
        drain(load->wake_fd);
        load->next_tick_ns = load->options->rate == 0 ? 0 : load->next_tick_ns;
        return;
    }
    if (connection->state == CONNECTION_DIALLING) {
        connection_dialled(load, connection);
        return;
    }
    if (connection->state == CONNECTION_UP && (event->events & EPOLLOUT) != 0) {
        connection_flush(load, connection);
    }
    if (connection->state == CONNECTION_UP && (event->events & ~(uint32_t)EPOLLOUT) != 0) {
        connection_read(load, connection);
    }
}

/* Waits for what happens next and deals with it. */
static void
turn(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    arm_timer(load);
    int count = epoll_wait(load->epoll_fd, events, EVENTS_MAX, -1);
    load->now_ns = load_now_ns();
    for (int i = 0; i < count; i++) {
        handle(load, &events[i]);
    }
    if (load->options->rate > 0) {
        load->now_ns = load_now_ns();
        begin_due(load);
    }
    if (load->now_ns >= load->next_tick_ns) {
        tick(load);
        load->next_tick_ns = load->now_ns + TICK_NS;
    }
}

/* -- The whole ------------------------------------------------------------------------------- */

struct load *
load_open(const struct load_options *options, struct op_world *world, struct watch *watch,
          int wake_fd)
{
    uint32_t slots = options->connections * options->outstanding;
    QO_PRE(options->connections <= CONNECTIONS_MAX && options->outstanding <= QO_OUTSTANDING_MAX);
    QO_PRE(slots > 0 && world->orders->count >= 2 * slots);
    struct load *load = mem_zalloc(sizeof *load);
    load->options = options;
    load->world = world;
    load->watch = watch;
    load->wake_fd = wake_fd;
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    QO_ASSERT(load->epoll_fd >= 0 && load->timer_fd >= 0);
    struct epoll_event event = {.events = EPOLLIN};
    int failed = epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, load->timer_fd, &event);
    failed |= epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, wake_fd, &event);
    QO_ASSERT(failed == 0);
    if (options->rate == 0) {
        struct itimerspec when = {.it_value.tv_nsec = TICK_NS, .it_interval.tv_nsec = TICK_NS};
        (void)timerfd_settime(load->timer_fd, 0, &when, NULL);
    }
    load->received = mem_alloc(RECEIVE_SIZE);
    load->connections = mem_zalloc(options->connections * sizeof *load->connections);
    load->ring = mem_alloc(slots * sizeof *load->ring);
    load->ring_size = slots;
    load->random = world->seed;
    for (uint32_t i = 0; i < options->connections; i++) {
        load->connections[i] = (struct connection){
            .fd = -1, .place = i, .slots = mem_zalloc(options->outstanding * sizeof(struct slot))};
        for (uint32_t j = 0; options->rate > 0 && j < options->outstanding; j++) {
            /* One slot of each connection after the other, so that the rate spreads over all. */
            load->ring[j * options->connections + i] = i * options->outstanding + j;
        }
    }
    load->ring_count = options->rate > 0 ? slots : 0;
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGINT, &action, NULL);
    return load;
}

void
load_run(struct load *load, struct load_result *result_out)
{
    memset(result_out, 0, sizeof *result_out);
    load->result = result_out;
    load->now_ns = load_now_ns();
    load->start_ns = load->now_ns;
    load->measured_ns = load->start_ns + load->options->warmup_s * SECOND_NS;
    load->end_ns = UINT64_MAX; /* Until the measured time begins. */
    load->second_ns = load->start_ns + SECOND_NS;
    load->begun = 0;
    load->phase = PHASE_WARMUP;
    histogram_reset(&load->second);
    load->next_tick_ns = 0;
    for (uint32_t i = 0; i < load->options->connections; i++) {
        if (load->connections[i].state == CONNECTION_UP) {
            connection_resume(load, &load->connections[i]);
        }
    }
    while (load->phase != PHASE_ENDING ||
           (load->flying > 0 && load->now_ns < load->end_ns + PATIENCE_NS)) {
        turn(load);
    }
    result_out->unresolved = load->flying;
    (void)watch_sampled(load->watch, &result_out->after);
    for (uint32_t kind = 0; kind < OP_KINDS; kind++) {
        histogram_merge(&result_out->all, &result_out->latency[kind]);
    }
}

void
load_close(struct load *load)
{
    for (uint32_t i = 0; i < load->options->connections; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->fd >= 0) {
            close(connection->fd);
        }
        buf_free(&connection->left);
        buf_free(&connection->out);
        mem_free(connection->slots);
    }
    close(load->epoll_fd);
    close(load->timer_fd);
    mem_free(load->connections);
    mem_free(load->ring);
    mem_free(load->received);
    mem_free(load);
}
