/*
 * See load.h. Thread: main.
 *
 * Reading an event: fill the shared buffer, cut answers, judge each, let its slot begin the next
 * op, and send all that this connection has to send with one call. A clock is read once per event,
 * not per op.
 */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "link.h"
#include "wire/cut.h"

enum {
    SLOT_BITS = 10,
    RECEIVE_SIZE = 512 * 1024, /* Shared by all connections: they are read one at a time. */
    EVENTS_MAX = 256,
    PICKS_MAX = 64,
    RETRY_MS = 10,
    RECONNECT_MS = 10,
    GRACE_MS = 1000, /* An answer may come so long after a request's own time. */
};
#define TICK_NS UINT64_C(5000000)
#define SILENCE_NS UINT64_C(250000000) /* Between looks for connections that do not answer. */
#define SECOND_NS UINT64_C(1000000000)
#define PATIENCE_NS (60 * SECOND_NS) /* At the end of a run, for what is still under way. */
static_assert(QO_OUTSTANDING_MAX <= 1u << SLOT_BITS, "a slot's number fits its message id");

enum slot_state {
    SLOT_FREE,
    SLOT_FLYING,  /* Sent; the answer is awaited. */
    SLOT_WAITING, /* To be sent again, at `due_ns`. */
};

struct slot {
    uint64_t intended_ns; /* When its op was meant to be sent first. */
    uint64_t sent_ns;     /* When its last copy was handed to the connection. */
    uint64_t due_ns;
    struct op op;
    uint32_t generation; /* Upper bits of the message id: rises with each copy. */
    uint8_t state;       /* enum slot_state */
};

enum connection_state { CONNECTION_DOWN, CONNECTION_DIALLING, CONNECTION_UP };

struct connection {
    int fd;
    enum connection_state state;
    uint32_t place;    /* In load->connections. */
    uint32_t waiting;  /* Slots in SLOT_WAITING. */
    bool polls_out;    /* epoll reports room to write. */
    uint64_t retry_ns; /* DOWN: not before. DIALLING: give up then. */
    struct buf left;   /* Of an answer that has come in part. */
    struct buf out;    /* From `out_sent` on not yet taken by the socket. */
    size_t out_sent;
    struct slot *slots;
};

enum phase { PHASE_WARMUP, PHASE_MEASURED, PHASE_ENDING };

struct load {
    const struct load_options *options;
    struct op_world *world;
    struct watch *watch;
    int epoll_fd, timer_fd, wake_fd;
    struct connection *connections;
    uint8_t *received; /* RECEIVE_SIZE */
    char leader[ENDPOINT_SIZE];
    uint64_t leader_generation;
    uint64_t random;
    uint64_t op_number; /* Of the next op; never again the same. */
    uint64_t now_ns;
    uint64_t silence_ns;   /* When to look next for connections that do not answer. */
    uint64_t next_tick_ns; /* 0: at once. */

    /* Fixed rate: slots that are free, longest first. */
    uint32_t *ring;
    uint32_t ring_size, ring_first, ring_count;

    /* The run. */
    enum phase phase;
    uint64_t start_ns, measured_ns, end_ns;
    uint64_t begun;  /* Ops of this run, for the rate. */
    uint64_t flying; /* Slots that are not free. */
    uint64_t last_done_ns;
    uint64_t second_ns; /* End of the second that the progress line will be about. */
    uint64_t second_errors;
    struct histogram second;
    struct nodes_usage usage_before;
    int64_t own_cpu_before_us;
    struct load_result *result;
};

static volatile sig_atomic_t interrupted;

static void
interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static uint64_t
now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

const char *
load_code_name(uint32_t place)
{
    static const char *const names[] = {
#define X(name, number, code, effect) code,
        QO_ERROR_MAP(X)
#undef X
    };
    return names[place];
}

const char *
load_own_name(uint32_t place)
{
    static const char *const names[] = {
#define X(name, text) text,
        LOAD_OWN_ERRORS_MAP(X)
#undef X
    };
    return names[place];
}

static uint32_t
place_of(enum qo_error error)
{
    static const enum qo_error errors[] = {
#define X(name, number, code, effect) name,
        QO_ERROR_MAP(X)
#undef X
    };
    uint32_t place = 0;
    while (place + 1 < LOAD_CODES && errors[place] != error) {
        place++;
    }
    return place;
}

static void
show(struct load *load, const char *why)
{
    struct load_result *result = load->result;
    if (result->shown_count < WRONG_SHOWN_MAX) {
        (void)snprintf(result->shown[result->shown_count], sizeof result->shown[0], "%s", why);
        result->shown_count++;
    }
}

static void
count_own(struct load *load, enum load_own_error error)
{
    load->result->errors_own[error]++;
    load->second_errors++;
}

/* -- Beginning ops ------------------------------------------------------------------------------
 */

static void
ring_put(struct load *load, const struct connection *connection, const struct slot *slot)
{
    uint32_t last = (load->ring_first + load->ring_count) % load->ring_size;
    load->ring[last] =
        connection->place * load->options->outstanding + (uint32_t)(slot - connection->slots);
    load->ring_count++;
}

static enum op_kind
pick_kind(struct load *load)
{
    if (load->options->mix[OP_TRANSITION] == 100) {
        return OP_TRANSITION;
    }
    uint32_t drawn = (uint32_t)(op_random(&load->random) % 100);
    uint32_t kind = 0;
    while (drawn >= load->options->mix[kind]) {
        drawn -= load->options->mix[kind];
        kind++;
    }
    return (enum op_kind)kind;
}

/* An order on which nothing is under way. At most half are busy (checked when the options were
 * read), so the search is short; were chance to be unkind, the next free one will do. */
static uint32_t
pick_order(struct load *load)
{
    struct orders *orders = load->world->orders;
    uint32_t order = 0;
    for (uint32_t i = 0; i < PICKS_MAX; i++) {
        order = (uint32_t)(((op_random(&load->random) >> 32) * orders->count) >> 32);
        if (!orders->items[order].busy) {
            return order;
        }
    }
    while (orders->items[order].busy) {
        order = (order + 1) % orders->count;
    }
    return order;
}

static void
encode(struct load *load, struct connection *connection, struct slot *slot)
{
    uint32_t number = (uint32_t)(slot - connection->slots);
    slot->generation++;
    slot->op.copies++;
    slot->sent_ns = load->now_ns;
    slot->state = SLOT_FLYING;
    op_encode(load->world, &slot->op, slot->generation << SLOT_BITS | number, &connection->out);
}

static void
begin(struct load *load, struct connection *connection, struct slot *slot, uint64_t intended_ns)
{
    QO_PRE(slot->state == SLOT_FREE);
    enum op_kind kind = pick_kind(load);
    slot->op = (struct op){.number = load->op_number++, .kind = (uint8_t)kind};
    if (kind != OP_CREATE) {
        slot->op.order = pick_order(load);
        load->world->orders->items[slot->op.order].busy = true;
    }
    slot->intended_ns = intended_ns;
    load->flying++;
    load->begun++;
    encode(load, connection, slot);
}

/* The slot's op has its end: free it, or let it begin the next. */
static void
finish(struct load *load, struct connection *connection, struct slot *slot)
{
    if (slot->op.kind != OP_CREATE) {
        load->world->orders->items[slot->op.order].busy = false;
    }
    slot->state = SLOT_FREE;
    load->flying--;
    if (load->options->rate > 0) {
        ring_put(load, connection, slot);
    } else if (load->phase != PHASE_ENDING) {
        begin(load, connection, slot, load->now_ns);
    }
}

static void
send_later(struct load *load, struct connection *connection, struct slot *slot, uint64_t delay_ms)
{
    slot->state = SLOT_WAITING;
    slot->due_ns = load->now_ns + delay_ms * 1000000;
    connection->waiting++;
}

/* -- Connections --------------------------------------------------------------------------------
 */

static void
poll_for(struct load *load, struct connection *connection, bool out, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = connection};
    int failed = epoll_ctl(load->epoll_fd, operation, connection->fd, &event);
    QO_ASSERT(failed == 0);
    connection->polls_out = out;
}

/* Closes it; what was under way is sent again over the next connection. */
static void
lose(struct load *load, struct connection *connection, enum load_own_error why)
{
    if (connection->state == CONNECTION_UP) {
        count_own(load, why);
        for (uint32_t i = 0; i < load->options->outstanding; i++) {
            if (connection->slots[i].state == SLOT_FLYING) {
                send_later(load, connection, &connection->slots[i], 0);
            }
        }
        watch_hurry(load->watch);
    }
    if (connection->fd >= 0) {
        close(connection->fd);
    }
    connection->fd = -1;
    connection->state = CONNECTION_DOWN;
    connection->retry_ns = load->now_ns + RECONNECT_MS * UINT64_C(1000000);
    connection->out.size = 0;
    connection->out_sent = 0;
    connection->left.size = 0;
}

static void
dial(struct load *load, struct connection *connection)
{
    const char *endpoint = load->leader;
    struct endpoints all;
    if (load->options->spread) {
        watch_endpoints(load->watch, &all);
        endpoint = all.items[connection->place % all.count];
    }
    connection->fd = endpoint[0] != '\0' ? link_dial(endpoint) : -1;
    if (connection->fd < 0) {
        connection->retry_ns = load->now_ns + RECONNECT_MS * UINT64_C(1000000);
        watch_hurry(load->watch);
        return;
    }
    connection->state = CONNECTION_DIALLING;
    connection->retry_ns = load->now_ns + SECOND_NS;
    poll_for(load, connection, true, EPOLL_CTL_ADD);
}

/* Gives the socket what it takes. */
static void
flush(struct load *load, struct connection *connection)
{
    struct buf *out = &connection->out;
    while (connection->out_sent < out->size) {
        ssize_t wrote = send(connection->fd, out->data + connection->out_sent,
                             out->size - connection->out_sent, MSG_NOSIGNAL);
        if (wrote > 0) {
            connection->out_sent += (size_t)wrote;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            lose(load, connection, LOAD_LOST);
            return;
        }
    }
    bool all = connection->out_sent == out->size;
    if (all) {
        buf_clear(out);
        connection->out_sent = 0;
    }
    if (connection->polls_out == all) {
        poll_for(load, connection, !all, EPOLL_CTL_MOD);
    }
}

/* Sends again what is due, and in a closed loop lets free slots begin. */
static void
resume(struct load *load, struct connection *connection)
{
    bool closed = load->options->rate == 0 && load->phase != PHASE_ENDING;
    for (uint32_t i = 0; i < load->options->outstanding; i++) {
        struct slot *slot = &connection->slots[i];
        if (slot->state == SLOT_WAITING && slot->due_ns <= load->now_ns) {
            connection->waiting--;
            load->result->retries += slot->op.copies > 0 ? 1 : 0;
            encode(load, connection, slot);
        } else if (slot->state == SLOT_FREE && closed) {
            begin(load, connection, slot, load->now_ns);
        }
    }
    flush(load, connection);
}

static void
dialled(struct load *load, struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        lose(load, connection, LOAD_LOST);
        watch_hurry(load->watch);
        return;
    }
    connection->state = CONNECTION_UP;
    resume(load, connection);
}

/* -- Answers ------------------------------------------------------------------------------------
 */

static void
done(struct load *load, const struct slot *slot)
{
    struct load_result *result = load->result;
    uint64_t latency = load->now_ns - slot->intended_ns;
    histogram_record(&load->second, latency);
    if (load->phase == PHASE_MEASURED) {
        result->ops++;
        result->ops_by_kind[slot->op.kind]++;
        uint64_t pause = load->now_ns - load->last_done_ns;
        result->longest_pause_ns =
            pause > result->longest_pause_ns ? pause : result->longest_pause_ns;
        load->last_done_ns = load->now_ns;
    }
    if (slot->intended_ns >= load->measured_ns && slot->intended_ns < load->end_ns) {
        histogram_record(&result->latency[slot->op.kind], latency);
    }
}

/* After a refusal or a wrong answer nobody knows how the order stands: ask. */
static void
learn(struct load *load, struct connection *connection, struct slot *slot)
{
    if (slot->op.kind == OP_CREATE) {
        finish(load, connection, slot);
    } else if (slot->op.kind == OP_LEARN) {
        /* Twice wrong: leave the order alone. It stays busy, so nothing picks it again. */
        slot->op.kind = OP_CREATE;
        finish(load, connection, slot);
    } else {
        slot->op =
            (struct op){.number = load->op_number++, .kind = OP_LEARN, .order = slot->op.order};
        send_later(load, connection, slot, 0);
    }
}

/* False: the answer belongs to nothing, and the connection is of no use. */
static bool
answered(struct load *load, struct connection *connection, const struct wire_answer *answer)
{
    uint32_t number = answer->msgid & ((1u << SLOT_BITS) - 1);
    struct slot *slot = number < load->options->outstanding ? &connection->slots[number] : NULL;
    if (slot == NULL || slot->state != SLOT_FLYING || answer->kind == WIRE_ANSWER_NOTIFICATION ||
        answer->msgid != (slot->generation << SLOT_BITS | number)) {
        show(load, "an answer to nothing");
        count_own(load, LOAD_WRONG);
        return false;
    }
    struct op_verdict verdict;
    op_check(load->world, &slot->op, answer->kind == WIRE_ANSWER_ERROR, answer->body, &verdict);
    if (answer->kind == WIRE_ANSWER_ERROR && verdict.outcome != OP_WRONG) {
        load->result->errors_by_code[place_of(verdict.error)]++;
        load->second_errors++;
    }
    switch (verdict.outcome) {
    case OP_DONE:
        if (slot->op.kind != OP_LEARN) {
            load->result->replays += verdict.replayed ? 1 : 0;
            done(load, slot);
        }
        finish(load, connection, slot);
        break;
    case OP_AGAIN:
        if (verdict.error == QO_NOT_LEADER || verdict.error == QO_UNAVAILABLE) {
            watch_hurry(load->watch);
        }
        send_later(load, connection, slot,
                   verdict.retry_after_ms > 0 ? verdict.retry_after_ms : RETRY_MS);
        break;
    case OP_REFUSED:
        load->result->refused++;
        show(load, verdict.why);
        learn(load, connection, slot);
        break;
    case OP_WRONG:
        count_own(load, LOAD_WRONG);
        show(load, verdict.why);
        learn(load, connection, slot);
        break;
    }
    return true;
}

static void
read_answers(struct load *load, struct connection *connection)
{
    size_t had = connection->left.size;
    memcpy(load->received, connection->left.data != NULL ? connection->left.data : load->received,
           had);
    connection->left.size = 0;
    ssize_t got = recv(connection->fd, load->received + had, RECEIVE_SIZE - had, 0);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            buf_append(&connection->left, load->received, had);
            return;
        }
        lose(load, connection, LOAD_LOST);
        return;
    }
    load->now_ns = now_ns();
    struct bytes rest = {load->received, had + (size_t)got};
    while (rest.size > 0) {
        struct wire_cutter cutter = {.size_max = RECEIVE_SIZE / 2};
        struct wire_answer answer;
        size_t size = 0;
        enum wire_cut cut = wire_cut(&cutter, rest, &size);
        if (cut == WIRE_CUT_NEED_MORE) {
            break;
        }
        if (cut != WIRE_CUT_MESSAGE ||
            !wire_decode_answer((struct bytes){rest.data, size}, &answer) ||
            !answered(load, connection, &answer)) {
            lose(load, connection, LOAD_LOST);
            return;
        }
        rest = (struct bytes){rest.data + size, rest.size - size};
    }
    buf_append(&connection->left, rest.data, rest.size);
    flush(load, connection);
}

/* -- Time ---------------------------------------------------------------------------------------
 */

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
            ring_put(load, connection, slot);
            continue;
        }
        begin(load, connection, slot, due);
    }
    for (uint32_t i = 0; i < load->options->connections; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->state == CONNECTION_UP && connection->out.size > 0 &&
            !connection->polls_out) {
            flush(load, connection);
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
        lose(load, &load->connections[i], LOAD_LOST);
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
        dial(load, connection);
    } else if (connection->state == CONNECTION_DIALLING && connection->retry_ns <= load->now_ns) {
        lose(load, connection, LOAD_LOST);
        watch_hurry(load->watch);
    } else if (connection->state == CONNECTION_UP) {
        for (uint32_t i = 0; silence && i < load->options->outstanding; i++) {
            struct slot *slot = &connection->slots[i];
            if (slot->state == SLOT_FLYING && slot->sent_ns + patience_ns < load->now_ns) {
                lose(load, connection, LOAD_SILENT);
                return;
            }
        }
        if (connection->waiting > 0) {
            resume(load, connection);
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
    load->now_ns = now_ns();
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
        dialled(load, connection);
        return;
    }
    if (connection->state == CONNECTION_UP && (event->events & EPOLLOUT) != 0) {
        flush(load, connection);
    }
    if (connection->state == CONNECTION_UP && (event->events & ~(uint32_t)EPOLLOUT) != 0) {
        read_answers(load, connection);
    }
}

/* Waits for what happens next and deals with it. */
static void
turn(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    arm_timer(load);
    int count = epoll_wait(load->epoll_fd, events, EVENTS_MAX, -1);
    load->now_ns = now_ns();
    for (int i = 0; i < count; i++) {
        handle(load, &events[i]);
    }
    if (load->options->rate > 0) {
        load->now_ns = now_ns();
        begin_due(load);
    }
    if (load->now_ns >= load->next_tick_ns) {
        tick(load);
        load->next_tick_ns = load->now_ns + TICK_NS;
    }
}

/* -- The whole ----------------------------------------------------------------------------------
 */

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
    load->now_ns = now_ns();
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
            resume(load, &load->connections[i]);
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
