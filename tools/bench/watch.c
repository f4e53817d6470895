/* See watch.h. Thread: `run` and what it calls is the watch's own; the rest main. */
#include "watch.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/assert.h"
#include "common/clock.h"
#include "link.h"
#include "wire/request.h"

enum {
    ASK_EVERY_MS = 250,
    HURRY_MS = 10, /* Between two rounds while there is no leader. */
    ANSWER_TIMEOUT_MS = 500,
    SAMPLE_WAIT_MS = 2000 + ENDPOINTS_MAX * ANSWER_TIMEOUT_MS,
};

struct watch {
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t mutex; /* Guards everything down to the line. */
    pthread_cond_t changed;
    struct endpoints endpoints;
    bool stop, hurry, reached;
    char leader[ENDPOINT_SIZE];
    uint64_t generation;
    enum { SAMPLE_NONE, SAMPLE_WANTED, SAMPLE_TAKEN } sampling;
    struct watch_sample sample;

    /* ---- The thread's own. */
    struct link links[ENDPOINTS_MAX]; /* By endpoint; kept open. */
    struct arena arena;
    uint64_t term; /* Highest seen. */
    uint32_t msgid;
};

/* Asks one node. False: no answer. */
static bool
ask(struct watch *watch, uint32_t index, const char *endpoint, struct wire_status *status_out)
{
    struct link *link = &watch->links[index];
    struct wire_request request = {.method = WIRE_CLUSTER_STATUS, .msgid = ++watch->msgid};
    if (link->fd < 0 && !link_open(link, endpoint, ANSWER_TIMEOUT_MS)) {
        return false;
    }
    wire_encode_request(&link->out, &request);
    struct wire_answer answer;
    if (!link_send(link) || !link_receive(link, ANSWER_TIMEOUT_MS, &answer)) {
        return false;
    }
    arena_reset(&watch->arena);
    struct wire_reader reader = wire_reader_of(answer.body);
    return answer.kind == WIRE_ANSWER_RESULT && answer.msgid == request.msgid &&
           wire_read_status(&reader, &watch->arena, status_out);
}

static void
sample_node(struct watch_node *node, const char *endpoint, const struct wire_status *status)
{
    (void)snprintf(node->endpoint, sizeof node->endpoint, "%s", endpoint);
    node->answered = true;
    node->node_id = status->node_id;
    for (uint32_t i = 0; i < status->store_count && i < WATCH_VALUES_MAX; i++) {
        (void)snprintf(node->values[i].name, WATCH_NAME_SIZE, "%.*s",
                       BYTES_FORMAT(status->store[i].name));
        node->values[i].value = status->store[i].bytes;
        node->values_count = i + 1;
    }
}

/* Takes in what a node said. True if the leader is another than before. */
static bool
learn(struct watch *watch, const struct wire_status *status)
{
    char leader[ENDPOINT_SIZE] = "";
    if (status->leader.data != NULL && status->leader.size < ENDPOINT_SIZE) {
        memcpy(leader, status->leader.data, status->leader.size);
    }
    for (uint32_t i = 0; i < status->members_count; i++) {
        endpoints_add(&watch->endpoints, status->members[i].address);
    }
    if (status->term < watch->term || leader[0] == '\0') {
        return false;
    }
    watch->term = status->term;
    if (strcmp(leader, watch->leader) == 0) {
        return false;
    }
    memcpy(watch->leader, leader, sizeof leader);
    watch->generation++;
    return true;
}

static void
wake(int fd)
{
    uint64_t one = 1;
    ssize_t wrote = fd >= 0 ? write(fd, &one, sizeof one) : 0;
    (void)wrote; /* Full is fine: then it is awake. */
}

/* One round over all endpoints; also those learnt on the way. */
static void
round_once(struct watch *watch, bool sampling)
{
    struct watch_sample sample = {.nodes_count = 0};
    bool reached = false;
    bool changed = false;
    pthread_mutex_lock(&watch->mutex);
    struct endpoints endpoints = watch->endpoints;
    pthread_mutex_unlock(&watch->mutex);
    for (uint32_t i = 0; i < endpoints.count; i++) {
        struct wire_status status;
        bool answered = ask(watch, i, endpoints.items[i], &status);
        if (answered && sampling && sample.nodes_count < WATCH_NODES_MAX) {
            sample_node(&sample.nodes[sample.nodes_count++], endpoints.items[i], &status);
        }
        if (answered) {
            pthread_mutex_lock(&watch->mutex);
            reached = true;
            changed = learn(watch, &status) || changed;
            endpoints = watch->endpoints;
            pthread_mutex_unlock(&watch->mutex);
        }
    }
    pthread_mutex_lock(&watch->mutex);
    watch->reached = reached;
    if (sampling) {
        watch->sample = sample;
        watch->sampling = SAMPLE_TAKEN;
    }
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->mutex);
    if (changed) {
        wake(watch->wake_fd);
    }
}

/* Waits on `changed` until `done`-ish things happen or the time is over; the mutex is held. */
static bool
wait_until(struct watch *watch, int64_t end_us)
{
    struct timespec end = {.tv_sec = end_us / 1000000, .tv_nsec = (end_us % 1000000) * 1000};
    return pthread_cond_timedwait(&watch->changed, &watch->mutex, &end) == 0;
}

static void *
run(void *context)
{
    struct watch *watch = context;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->stop) {
        bool sampling = watch->sampling == SAMPLE_WANTED;
        bool hurried = watch->hurry;
        watch->hurry = false;
        pthread_mutex_unlock(&watch->mutex);
        round_once(watch, sampling);
        pthread_mutex_lock(&watch->mutex);
        bool lost = hurried || watch->generation == 0;
        int64_t end_us = clock_wall_us() + (lost ? HURRY_MS : ASK_EVERY_MS) * INT64_C(1000);
        while (!watch->stop && watch->sampling != SAMPLE_WANTED && (lost || !watch->hurry)) {
            if (!wait_until(watch, end_us)) {
                break;
            }
        }
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

struct watch *
watch_start(const struct endpoints *endpoints, int wake_fd)
{
    struct watch *watch = mem_zalloc(sizeof *watch);
    watch->endpoints = *endpoints;
    watch->wake_fd = wake_fd;
    for (uint32_t i = 0; i < ENDPOINTS_MAX; i++) {
        watch->links[i].fd = -1;
    }
    int failed = pthread_mutex_init(&watch->mutex, NULL);
    failed |= pthread_cond_init(&watch->changed, NULL);
    failed |= pthread_create(&watch->thread, NULL, run, watch);
    QO_ASSERT(failed == 0);
    return watch;
}

void
watch_stop(struct watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    watch->stop = true;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    for (uint32_t i = 0; i < ENDPOINTS_MAX; i++) {
        link_free(&watch->links[i]);
    }
    arena_free(&watch->arena);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->mutex);
    mem_free(watch);
}

uint64_t
watch_leader(struct watch *watch, char endpoint_out[ENDPOINT_SIZE])
{
    pthread_mutex_lock(&watch->mutex);
    memcpy(endpoint_out, watch->leader, ENDPOINT_SIZE);
    uint64_t generation = watch->generation;
    pthread_mutex_unlock(&watch->mutex);
    return generation;
}

bool
watch_reached(struct watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    bool reached = watch->reached;
    pthread_mutex_unlock(&watch->mutex);
    return reached;
}

bool
watch_wait(struct watch *watch, int timeout_ms)
{
    int64_t end_us = clock_wall_us() + (int64_t)timeout_ms * 1000;
    pthread_mutex_lock(&watch->mutex);
    while (watch->generation == 0 && clock_wall_us() < end_us) {
        (void)wait_until(watch, end_us);
    }
    bool known = watch->generation != 0;
    pthread_mutex_unlock(&watch->mutex);
    return known;
}

void
watch_hurry(struct watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    watch->hurry = true;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->mutex);
}

void
watch_endpoints(struct watch *watch, struct endpoints *endpoints_out)
{
    pthread_mutex_lock(&watch->mutex);
    *endpoints_out = watch->endpoints;
    pthread_mutex_unlock(&watch->mutex);
}

void
watch_sample(struct watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    watch->sampling = SAMPLE_WANTED;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->mutex);
}

bool
watch_sampled(struct watch *watch, struct watch_sample *sample_out)
{
    int64_t end_us = clock_wall_us() + SAMPLE_WAIT_MS * INT64_C(1000);
    pthread_mutex_lock(&watch->mutex);
    while (watch->sampling == SAMPLE_WANTED && clock_wall_us() < end_us) {
        (void)wait_until(watch, end_us);
    }
    bool taken = watch->sampling == SAMPLE_TAKEN;
    if (taken) {
        *sample_out = watch->sample;
    }
    watch->sampling = SAMPLE_NONE;
    pthread_mutex_unlock(&watch->mutex);
    return taken;
}
