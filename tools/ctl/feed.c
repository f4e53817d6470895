/*
 * The command feed tail. Thread: main waits; take() prints on the client's thread.
 */
#include <pthread.h>
#include <stdio.h>

#include "common/assert.h"
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
    pthread_mutex_t mutex; /* Guards the two below; between main and the client's thread. */
    pthread_cond_t changed;
    bool ended;
    int status;
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
    pthread_cond_signal(&tail->changed);
    pthread_mutex_unlock(&tail->mutex);
}

static void
take(const struct qo_feed_batch *batch, void *context)
{
    struct tail *tail = context;
    if (tail->ended) { /* Only this thread sets it. */
        return;
    }
    if (!print_events(tail, batch->events, batch->events_count)) {
        end(tail, EXIT_OK);
    } else if (batch->failure != NULL) {
        end(tail, ctl_failed(tail->ctl, QO_OUTCOME_FAILED, batch->failure, NULL));
    }
}

/* A feed waits for ever for nodes that are not there; a person wants to be told. */
static int
reach(struct ctl *ctl)
{
    struct qo_request request = {.method = QO_METHOD_HELLO};
    struct qo_result *result = ctl_call(ctl, &request);
    int status = ctl_status(ctl, result);
    qo_result_free(result);
    return status;
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
    pthread_mutex_lock(&tail->mutex);
    while (!tail->ended) {
        pthread_cond_wait(&tail->changed, &tail->mutex);
    }
    pthread_mutex_unlock(&tail->mutex);
    qo_feed_close(feed);
    return tail->status;
}

/* Up to where the feed ended when the first page was read. */
static int
read_once(struct tail *tail, const struct qo_filter *filter)
{
    struct ctl *ctl = tail->ctl;
    uint64_t from_seq = ctl->from_seq;
    uint64_t end_seq = 0;
    bool go_on = true;
    int status = EXIT_OK;
    while (go_on && status == EXIT_OK) {
        struct qo_request request = {.method = QO_METHOD_FEED_READ,
                                     .from_seq = from_seq,
                                     .limit = QO_LIMIT_MAX,
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
    failed |= pthread_cond_init(&tail.changed, NULL);
    QO_ASSERT(failed == 0);
    bool once = (ctl->given & OWN(KEY_NO_FOLLOW)) != 0;
    int status = once ? read_once(&tail, &filter) : follow(&tail, &filter);
    pthread_cond_destroy(&tail.changed);
    pthread_mutex_destroy(&tail.mutex);
    return status;
}
