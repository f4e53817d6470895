/*
 * The command feed tail. Thread: main watches the connection and the reader of the output; take()
 * prints on the client's thread.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "ctl.h"
#include "tools/json.h"
#include "tools/results.h"

static const struct table_column columns[] = {
    {"SEQ", "seq", TABLE_PLAIN},
    {"AT", "at", TABLE_TIME},
    {"ID", "id", TABLE_PLAIN},
    {"VERSION", "version", TABLE_PLAIN},
    {"EVENT", "event", TABLE_PLAIN},
    {"FROM", "from", TABLE_PLAIN},
    {"TO", "to", TABLE_PLAIN},
    {"ACTOR", "actor", TABLE_PLAIN},
    {"ATTRIBUTES", "attributes", TABLE_PLAIN},
};
enum { COLUMNS_COUNT = sizeof columns / sizeof columns[0] };

struct tail {
    struct ctl *ctl;
    uint64_t printed;
    pthread_mutex_t mutex; /* Guards those below; between main and the client's thread. */
    bool ended;
    int status;
    bool printing;    /* The client's thread may wait for the reader: no ping is answered then. */
    uint64_t batches; /* Printed. */
};

enum {
    WATCH_EVERY_MS = 200,   /* How long a reader that went away keeps us. */
    PING_EVERY_MS = 1000,   /* How long a lost connection stays untold. */
    PING_TIMEOUT_MS = 1000, /* A node that takes longer counts as lost. */
    FIRST_ATTEMPT_MS = 300, /* Until the first line about a node that is not there. */
    FURTHER_ATTEMPT_MS = 1000,
};

static void
print_header(const struct ctl *ctl)
{
    for (uint32_t i = 0; ctl->format == FORMAT_TABLE && i < COLUMNS_COUNT; i++) {
        printf("%s%s", columns[i].title, i + 1 == COLUMNS_COUNT ? "\n" : "  ");
    }
}

/* Prints; false when no more are wanted: the limit is reached, or nobody reads any longer. */
static bool
print_events(struct tail *tail, const struct qo_event *events, size_t count)
{
    struct ctl *ctl = tail->ctl;
    for (size_t i = 0; i < count; i++) {
        if (ctl->limit > 0 && tail->printed == ctl->limit) {
            break;
        }
        json_t *event = json_of_event(&events[i]);
        if (ctl->format == FORMAT_TABLE) {
            table_row(stdout, event, columns, COLUMNS_COUNT);
        } else {
            (void)json_dumpf(event, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
            fputc('\n', stdout);
        }
        json_decref(event);
        tail->printed++;
    }
    bool written = fflush(stdout) == 0 && ferror(stdout) == 0;
    return written && (ctl->limit == 0 || tail->printed < ctl->limit);
}

static void
end(struct tail *tail, int status)
{
    pthread_mutex_lock(&tail->mutex);
    if (!tail->ended) {
        tail->ended = true;
        tail->status = status;
    }
    pthread_mutex_unlock(&tail->mutex);
}

static void
set_printing(struct tail *tail, bool printing)
{
    pthread_mutex_lock(&tail->mutex);
    tail->printing = printing;
    tail->batches += printing ? 0 : 1;
    pthread_mutex_unlock(&tail->mutex);
}

static void
take(const struct qo_feed_batch *batch, void *context)
{
    struct tail *tail = context;
    if (tail->ended) { /* Only this thread sets it. */
        return;
    }
    set_printing(tail, true);
    bool go_on = print_events(tail, batch->events, batch->events_count);
    set_printing(tail, false);
    if (!go_on) {
        end(tail, EXIT_OK);
    } else if (batch->failure != NULL) {
        end(tail, ctl_failed(tail->ctl, QO_OUTCOME_FAILED, batch->failure, NULL));
    }
}

/* Whether anybody answers within `timeout_ms`; gives the result, NULL as ctl_call(). */
static struct qo_result *
try(struct ctl *ctl, enum qo_method method, uint32_t timeout_ms)
{
    struct qo_request request = {.method = method};
    uint32_t whole_ms = ctl->timeout_ms;
    ctl->timeout_ms = timeout_ms;
    struct qo_result *result = ctl_call(ctl, &request);
    ctl->timeout_ms = whole_ms;
    return result;
}

static bool
answered(const struct qo_result *result)
{
    return result != NULL && qo_result_outcome(result) == QO_OUTCOME_OK;
}

/* "127.0.0.1:7401: Connection refused; trying again" */
static void
tell_lost(const struct qo_result *result)
{
    const char *message = qo_result_failure(result)->message;
    size_t size = strlen(message);
    size -= size > 0 && message[size - 1] == '.' ? 1 : 0;
    fprintf(stderr, "%.*s; trying again\n", (int)size, message);
}

/* A feed waits for ever for nodes that are not there; a person wants to be told. Tries for
 * --timeout. */
static int
reach(struct ctl *ctl)
{
    int64_t end_us = clock_monotonic_us() + (int64_t)ctl->timeout_ms * 1000;
    uint32_t attempt_ms = FIRST_ATTEMPT_MS;
    bool told = false;
    for (;;) {
        int64_t left_ms = (end_us - clock_monotonic_us()) / 1000;
        left_ms = left_ms > 1 ? left_ms : 1;
        bool last = left_ms <= attempt_ms;
        struct qo_result *result = try(ctl, QO_METHOD_HELLO, last ? (uint32_t)left_ms : attempt_ms);
        bool unreachable = result != NULL && !answered(result) &&
                           (qo_result_code(result) == QO_CODE_UNREACHABLE ||
                            qo_result_code(result) == QO_CODE_TIMEOUT);
        if (!unreachable || last) {
            int status = ctl_status(ctl, result);
            if (told && status == EXIT_OK) {
                fprintf(stderr, "%s: connected\n", qo_result_node(result));
            }
            qo_result_free(result);
            return status;
        }
        if (!told) {
            tell_lost(result);
            told = true;
        }
        qo_result_free(result);
        attempt_ms = FURTHER_ATTEMPT_MS;
    }
}

static bool
has_ended(struct tail *tail)
{
    pthread_mutex_lock(&tail->mutex);
    bool ended = tail->ended;
    pthread_mutex_unlock(&tail->mutex);
    return ended;
}

/* Whether nothing was printed since `batches` were. */
static bool
quiet_since(struct tail *tail, uint64_t batches)
{
    pthread_mutex_lock(&tail->mutex);
    bool quiet = !tail->printing && tail->batches == batches;
    pthread_mutex_unlock(&tail->mutex);
    return quiet;
}

/* Until the feed ends or nobody reads what it prints. Loss and return of the nodes are told once
 * each: the feed itself resumes without a word. */
static void
watch(struct tail *tail)
{
    bool lost = false;
    uint64_t batches = 0;
    int64_t next_us = clock_monotonic_us() + PING_EVERY_MS * INT64_C(1000);
    while (!has_ended(tail)) {
        struct pollfd out = {.fd = STDOUT_FILENO};
        if (poll(&out, 1, WATCH_EVERY_MS) > 0) { /* POLLERR, POLLHUP, POLLNVAL. */
            end(tail, EXIT_OK);
        }
        if (clock_monotonic_us() < next_us || has_ended(tail)) {
            continue;
        }
        if (!quiet_since(tail, batches)) { /* Events arrive, or wait for their reader. */
            pthread_mutex_lock(&tail->mutex);
            batches = tail->batches;
            pthread_mutex_unlock(&tail->mutex);
            continue;
        }
        struct qo_result *result = try(tail->ctl, QO_METHOD_PING, PING_TIMEOUT_MS);
        if (!lost && result != NULL && !answered(result) && quiet_since(tail, batches)) {
            tell_lost(result);
            lost = true;
        } else if (lost && answered(result)) {
            fprintf(stderr, "%s: connected again\n", qo_result_node(result));
            lost = false;
        }
        qo_result_free(result);
        next_us = clock_monotonic_us() + PING_EVERY_MS * INT64_C(1000);
    }
}

static int
follow(struct tail *tail, const struct qo_filter *filter)
{
    struct ctl *ctl = tail->ctl;
    bool from_given = (ctl->given & OWN(KEY_FROM_SEQ)) != 0;
    struct qo_feed_options options = {.from_seq = from_given ? ctl->from_seq : QO_SEQ_NEXT,
                                      .epoch = ctl->epoch,
                                      .filter = filter,
                                      .node = ctl->node};
    int status = reach(ctl);
    if (status != EXIT_OK) {
        return status;
    }
    print_header(ctl);
    struct qo_feed *feed = qo_feed_open(ctl->client, &options, take, tail);
    if (feed == NULL) {
        fprintf(stderr, "quorderctl: the feed takes no such filter or position.\n");
        return EXIT_USAGE;
    }
    (void)fflush(stdout);
    watch(tail);
    qo_feed_close(feed);
    return tail->status;
}

/* The leader's address in `out`: another node's feed may end before events that the caller has the
 * receipts of. NULL: none is known, or it is not to be reached; any node will do then. */
static const char *
leader_of(struct ctl *ctl, char out[ENDPOINT_SIZE])
{
    struct qo_result *result = try(ctl, QO_METHOD_HELLO, ctl->timeout_ms);
    const char *leader = answered(result) ? qo_result_hello(result)->leader : NULL;
    (void)snprintf(out, ENDPOINT_SIZE, "%s", leader != NULL ? leader : "");
    bool listens = leader != NULL && endpoints_probe(out, PROBE_TIMEOUT_MS) == 0;
    qo_result_free(result);
    return listens ? out : NULL;
}

/* Up to where the feed ended when the first page was read. */
static int
read_once(struct tail *tail, const struct qo_filter *filter)
{
    struct ctl *ctl = tail->ctl;
    char leader[ENDPOINT_SIZE];
    int listens = ctl_node_listens(ctl);
    if (listens != EXIT_OK) {
        return listens;
    }
    const char *node = ctl->node != NULL ? ctl->node : leader_of(ctl, leader);
    uint64_t from_seq = ctl->from_seq;
    uint64_t end_seq = 0;
    bool go_on = true;
    int status = EXIT_OK;
    while (go_on && status == EXIT_OK) {
        struct qo_request request = {.method = QO_METHOD_FEED_READ,
                                     .from_seq = from_seq,
                                     .limit = QO_LIMIT_MAX,
                                     .node = node,
                                     .epoch = ctl->epoch,
                                     .filter = filter};
        struct qo_result *result = ctl_call(ctl, &request);
        status = ctl_status(ctl, result);
        if (status == EXIT_OK) {
            size_t count = 0;
            const struct qo_event *events = qo_result_events(result, &count);
            const struct qo_page *page = qo_result_page(result);
            if (end_seq == 0) {
                print_header(ctl);
            }
            go_on = print_events(tail, events, count);
            end_seq = end_seq == 0 ? page->high_seq : end_seq;
            go_on = go_on && page->next_seq <= end_seq && page->next_seq > from_seq;
            from_seq = page->next_seq;
        }
        qo_result_free(result);
    }
    return status;
}

int
run_feed_tail(struct ctl *ctl)
{
    struct tail tail = {.ctl = ctl};
    struct qo_filter filter = {
        .shards = ctl->shards_count > 0 ? ctl->shards : NULL,
        .shards_count = ctl->shards_count,
        .machines = ctl->machines_count > 0 ? ctl->machines : NULL,
        .machines_count = ctl->machines_count,
        .states = ctl->states_count > 0 ? ctl->states : NULL,
        .states_count = ctl->states_count,
    };
    int failed = pthread_mutex_init(&tail.mutex, NULL);
    QO_ASSERT(failed == 0);
    bool once = (ctl->given & OWN(KEY_NO_FOLLOW)) != 0;
    int status = once ? read_once(&tail, &filter) : follow(&tail, &filter);
    pthread_mutex_destroy(&tail.mutex);
    return status;
}
