/* Clients: opening, closing, calls handed over, the loop. See client.h. Thread: callers' and I/O,
 * as marked. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "common/assert.h"
#include "common/clock.h"
#include "common/thread.h"

uint64_t
client_chance(struct qo_client *client)
{
    uint64_t z = (client->chance += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void
client_wake(struct qo_client *client)
{
    if (!client->woken) {
        client->woken = true;
        /* The pipe holds this one byte at most, so it never blocks; EINTR cannot come, as a write
         * to a pipe with room does not wait. */
        ssize_t wrote = write(client->wake_write, "", 1);
        QO_ASSERT(wrote == 1);
    }
}

/* -- The I/O thread ---------------------------------------------------------------------------- */

/* Takes over what callers left. False: the client is being closed. */
static bool
take_over(struct qo_client *client)
{
    struct link calls, feeds;
    list_init(&calls);
    list_init(&feeds);
    (void)pthread_mutex_lock(&client->lock);
    if (client->woken) {
        char byte;
        ssize_t got = read(client->wake_read, &byte, 1);
        QO_ASSERT(got == 1);
        client->woken = false;
    }
    while (!list_empty(&client->submitted)) {
        struct link *link = client->submitted.after;
        list_remove(link);
        list_append(&calls, link);
    }
    while (!list_empty(&client->feeds_new)) {
        struct link *link = client->feeds_new.after;
        list_remove(link);
        list_append(&feeds, link);
    }
    bool stopping = client->stopping;
    (void)pthread_mutex_unlock(&client->lock);

    while (!list_empty(&calls)) {
        struct link *link = calls.after;
        list_remove(link);
        call_begin(client, LIST_ITEM(link, struct call, all));
    }
    while (!list_empty(&feeds)) {
        struct link *link = feeds.after;
        list_remove(link);
        feed_begin(client, LIST_ITEM(link, struct qo_feed, all));
    }
    return !stopping;
}

/* How long poll() may sleep: until the first thing that is due, rounded up. */
static int
sleep_ms(const struct qo_client *client)
{
    int64_t due_us = client->timer_us, feeds_us = feed_timer_us(client);
    due_us = feeds_us < due_us ? feeds_us : due_us;
    for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
        int64_t node_us = node_timer_us(&client->nodes[i]);
        due_us = node_us < due_us ? node_us : due_us;
    }
    int64_t left_us = due_us - clock_monotonic_us();
    if (left_us <= 0) {
        return 0;
    }
    const int64_t longest_us = INT64_C(60) * 1000 * 1000;
    return (int)(((left_us < longest_us ? left_us : longest_us) + 999) / 1000);
}

static void
wait_for_events(struct qo_client *client)
{
    struct pollfd fds[1 + QO_CLIENT_NODES_MAX];
    fds[0] = (struct pollfd){.fd = client->wake_read, .events = POLLIN};
    for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
        short events = node_events(&client->nodes[i]);
        fds[1 + i] =
            (struct pollfd){.fd = events == 0 ? -1 : client->nodes[i].fd, .events = events};
    }
    int found = poll(fds, 1 + QO_CLIENT_NODES_MAX, sleep_ms(client));
    client->now_us = clock_monotonic_us();
    for (uint32_t i = 0; found > 0 && i < QO_CLIENT_NODES_MAX; i++) {
        struct node *node = &client->nodes[i];
        short events = fds[1 + i].revents;
        if (events == 0) {
            continue;
        }
        if (node->state == NODE_CONNECTING) {
            node_flush(node);
        } else if ((events & (POLLIN | POLLERR | POLLHUP)) != 0) {
            node_readable(node);
        }
    }
}

/* Thread: the client's. What a turn of it does, in this order: time goes by only in poll() and in
 * callbacks, and what has arrived is read before anything is declared silent. */
static void *
run(void *context)
{
    struct qo_client *client = context;
    thread_declare(THREAD_ANY, "quorder-client");
    client->now_us = clock_monotonic_us();
    while (take_over(client)) {
        resolve_collect(client);
        for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
            node_timers(&client->nodes[i]);
        }
        call_timers(client);
        feed_timers(client);
        call_dispatch(client);
        for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
            if (client->nodes[i].state >= NODE_GREETING) {
                node_flush(&client->nodes[i]);
            }
        }
        wait_for_events(client);
    }
    call_end_all(client);
    feed_end_all(client);
    for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
        node_close(&client->nodes[i]);
    }
    return NULL;
}

/* -- Opening and closing ----------------------------------------------------------------------- */

static uint32_t
or_default(uint32_t value, uint32_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static bool
read_options(struct qo_client *client, const struct qo_options *options)
{
    client->connect_timeout_ms =
        or_default(options->connect_timeout_ms, QO_CLIENT_CONNECT_MS_DEFAULT);
    client->timeout_ms = or_default(options->timeout_ms, QO_TIMEOUT_MS_DEFAULT);
    client->deadline_ms = or_default(options->deadline_ms, QO_CLIENT_DEADLINE_MS_DEFAULT);
    client->calls_max = or_default(options->calls_max, QO_CLIENT_CALLS_DEFAULT);
    client->bytes_max = options->bytes_max == 0 ? QO_CLIENT_BYTES_DEFAULT : options->bytes_max;
    const char *name = options->name == NULL ? "libquorder" : options->name;
    (void)snprintf(client->name, sizeof client->name, "%s", name);
    return strlen(name) < sizeof client->name && client->timeout_ms <= QO_TIMEOUT_MS_MAX &&
           client->connect_timeout_ms <= QO_TIMEOUT_MS_MAX &&
           client->deadline_ms <= QO_CLIENT_DEADLINE_MS_MAX &&
           client->calls_max <= QO_CLIENT_CALLS_MAX;
}

static bool
read_endpoints(struct qo_client *client, const char *endpoints)
{
    const char *at = endpoints == NULL ? "127.0.0.1:7401" : endpoints;
    for (;;) {
        size_t size = strcspn(at, ",");
        if (node_find(client, at, size, false) == NULL) {
            return false;
        }
        if (at[size] == '\0') {
            return true;
        }
        at += size + 1;
    }
}

static bool
make_pipe(struct qo_client *client)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return false;
    }
    client->wake_read = ends[0];
    client->wake_write = ends[1];
    return fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0 && fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0;
}

/* Starts the thread with all signals blocked: they are the program's. */
static bool
start_thread(struct qo_client *client)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&client->thread, NULL, run, client);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return error == 0;
}

static void
release(struct qo_client *client)
{
    if (client->wake_read >= 0) {
        (void)close(client->wake_read);
        (void)close(client->wake_write);
    }
    (void)pthread_cond_destroy(&client->changed);
    (void)pthread_mutex_destroy(&client->lock);
    mem_free(client);
}

static struct qo_client *
make(void)
{
    struct qo_client *client = mem_zalloc(sizeof *client);
    client->wake_read = client->wake_write = -1;
    client->timer_us = INT64_MAX;
    (void)pthread_mutex_init(&client->lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&client->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    list_init(&client->submitted);
    list_init(&client->feeds_new);
    list_init(&client->calls);
    list_init(&client->queue);
    list_init(&client->resting);
    list_init(&client->feeds);
    for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
        client->nodes[i] = (struct node){.client = client, .fd = -1};
    }
    /* Two clients that start at once must not retry at once. */
    client->chance =
        (uint64_t)clock_monotonic_us() ^ ((uint64_t)getpid() << 32) ^ (uint64_t)(uintptr_t)client;
    client->first_node = (uint32_t)(client_chance(client) % QO_CLIENT_NODES_MAX);
    return client;
}

struct qo_client *
qo_client_open(const struct qo_options *options)
{
    static const struct qo_options defaults;
    struct qo_client *client = make();
    const struct qo_options *given = options == NULL ? &defaults : options;
    if (!read_options(client, given) || !read_endpoints(client, given->endpoints)) {
        release(client);
        errno = EINVAL;
        return NULL;
    }
    if (!make_pipe(client) || !start_thread(client)) {
        int error = errno;
        release(client);
        errno = error;
        return NULL;
    }
    return client;
}

void
qo_client_close(struct qo_client *client)
{
    if (client == NULL) {
        return;
    }
    QO_PRE(!pthread_equal(pthread_self(), client->thread));
    (void)pthread_mutex_lock(&client->lock);
    client->stopping = true;
    client_wake(client);
    (void)pthread_cond_broadcast(&client->changed);
    (void)pthread_mutex_unlock(&client->lock);
    (void)pthread_join(client->thread, NULL);
    resolve_stop(client);
    (void)pthread_mutex_lock(&client->lock);
    while (client->waiters > 0) {
        (void)pthread_cond_wait(&client->changed, &client->lock);
    }
    (void)pthread_mutex_unlock(&client->lock);
    QO_ASSERT(client->calls_count == 0 && client->bytes_count == 0);
    release(client);
}

/* -- Calls ------------------------------------------------------------------------------------- */

/* Under the lock. A call larger than all may be alone. */
static bool
has_room(const struct qo_client *client, const struct call *call)
{
    return client->calls_count < client->calls_max &&
           (client->bytes_count == 0 ||
            client->bytes_count + call->encoded_bytes <= client->bytes_max);
}

/* Hands a call to the I/O thread, under the lock. */
static enum qo_code
submit(struct qo_client *client, struct call *call)
{
    if (client->stopping) {
        return QO_CODE_CLOSED;
    }
    if (!has_room(client, call)) {
        return QO_CODE_LOCAL_OVERLOADED;
    }
    client->calls_count++;
    client->bytes_count += call->encoded_bytes;
    list_append(&client->submitted, &call->all);
    client_wake(client);
    return QO_CODE_OK;
}

enum qo_code
qo_call_async(struct qo_client *client, const struct qo_request *request, qo_result_fn callback,
              void *context)
{
    QO_PRE(client != NULL && request != NULL && callback != NULL);
    struct call *call = request_make_call(client, request);
    call->callback = callback;
    call->context = context;
    (void)pthread_mutex_lock(&client->lock);
    enum qo_code code = submit(client, call);
    (void)pthread_mutex_unlock(&client->lock);
    if (code != QO_CODE_OK) {
        call_free(call);
    }
    return code;
}

struct waiter {
    struct qo_client *client;
    pthread_cond_t answered;
    struct qo_result *result; /* Under the lock; NULL: not yet. */
};

/* Thread: the client's. */
static void
answer_waiter(struct qo_result *result, void *context)
{
    struct waiter *waiter = context;
    struct qo_client *client = waiter->client;
    (void)pthread_mutex_lock(&client->lock);
    waiter->result = result;
    (void)pthread_cond_signal(&waiter->answered);
    (void)pthread_mutex_unlock(&client->lock);
}

/* Waits for room until the call's end. Under the lock. */
static enum qo_code
submit_when_room(struct qo_client *client, struct call *call)
{
    enum qo_code code = submit(client, call);
    while (code == QO_CODE_LOCAL_OVERLOADED) {
        if (call->deadline_us <= clock_monotonic_us()) {
            return code;
        }
        struct timespec until = {.tv_sec = (time_t)(call->deadline_us / 1000000),
                                 .tv_nsec = (long)(call->deadline_us % 1000000 * 1000)};
        client->room_waiters++;
        (void)pthread_cond_timedwait(&client->changed, &client->lock, &until);
        client->room_waiters--;
        code = submit(client, call);
    }
    return code;
}

struct qo_result *
qo_call(struct qo_client *client, const struct qo_request *request)
{
    QO_PRE(client != NULL && request != NULL);
    QO_PRE(!pthread_equal(pthread_self(), client->thread)); /* It would wait for itself. */
    struct waiter waiter = {.client = client};
    struct call *call = request_make_call(client, request);
    call->callback = answer_waiter;
    call->context = &waiter;
    (void)pthread_cond_init(&waiter.answered, NULL);
    (void)pthread_mutex_lock(&client->lock);
    client->waiters++;
    enum qo_code code = submit_when_room(client, call);
    while (code == QO_CODE_OK && waiter.result == NULL) {
        (void)pthread_cond_wait(&waiter.answered, &client->lock);
    }
    if (code != QO_CODE_OK) {
        waiter.result = result_of_failure(
            call, NULL, code,
            code == QO_CODE_CLOSED ? "The client is closed."
                                   : "The client had no room for the call within its time.");
        result_finish(waiter.result, QO_OUTCOME_FAILED, 0, false);
        call_free(call);
    }
    client->waiters--;
    if (client->stopping) {
        (void)pthread_cond_broadcast(&client->changed);
    }
    (void)pthread_mutex_unlock(&client->lock);
    (void)pthread_cond_destroy(&waiter.answered);
    return waiter.result;
}
