/* See work.h. Thread: workers; work_run() on main. */
#include "work.h"

#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "tools/json.h"

enum { REQUEST_ID_SIZE = 64 };

struct work {
    const struct work_options *options;
    const struct rows *rows;
    struct steps *steps;
    struct order_state *states;
    int64_t start_us;

    pthread_mutex_t mutex; /* Guards everything below, and what `states` and `steps` hold. */
    uint32_t next;         /* Step, or in the second half row, that nobody has taken yet. */
    uint32_t done;
    uint32_t refused, failed;
    uint32_t failed_in_a_row;
    bool gave_up; /* The cluster is gone: nothing more is sent. */
    bool ended;
};

void
work_id(const struct work_options *options, const struct row *row, char out[WORK_ID_SIZE])
{
    (void)snprintf(out, WORK_ID_SIZE, "%s%s", options->prefix, row->order_id);
}

/* -- Sending --------------------------------------------------------------------------------- */

static void
copy(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text != NULL ? text : "");
}

static struct qo_attributes *
attributes_of(const struct row *row, const struct step *step)
{
    struct qo_attributes *attributes = qo_attributes_new();
    if (step->rank == 0) {
        (void)qo_attributes_add_text(attributes, "customer_id", row->customer_id);
        if (row->times_us[TIME_ESTIMATED] != ROW_NEVER) {
            (void)qo_attributes_add_timestamp(attributes, "estimated_at",
                                              row->times_us[TIME_ESTIMATED]);
        }
    }
    if (step->time != NULL) {
        (void)qo_attributes_add_timestamp(attributes, step->time, step->at_us);
    }
    return attributes; /* What could not be added comes back as bad_request, naming it. */
}

static void
write_acknowledged(FILE *file, const char *request_id, const struct qo_receipt *receipt)
{
    json_t *line = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:b}", "id", receipt->id, "request_id",
                             request_id, "event", receipt->event, "to", receipt->to, "version",
                             (json_int_t)receipt->version, "seq", (json_int_t)receipt->seq,
                             "replayed", receipt->replayed ? 1 : 0);
    QO_ASSERT(line != NULL);
    (void)json_dumpf(line, file, JSON_COMPACT);
    fputc('\n', file);
    json_decref(line);
}

/* A receipt must go on where the last one of its order ended. */
static void
check_receipt(struct order_state *state, const struct qo_receipt *receipt, const char *id,
              const char *event)
{
    const char *what = NULL;
    if (strcmp(receipt->id, id) != 0 || strcmp(receipt->event, event) != 0) {
        what = "is of another order or event";
    } else if (state->existed) {
        what = NULL; /* Events of an earlier run may stand in between. */
    } else if (receipt->version != state->version + 1) {
        what = "does not follow the version before";
    } else if (receipt->seq <= state->seq) {
        what = "has no higher seq than the one before";
    }
    if (what != NULL && !state->wrong) {
        state->wrong = true;
        (void)snprintf(state->why, sizeof state->why,
                       "the receipt of %s (version %llu, seq %llu) %s (version %llu, seq %llu)",
                       event, (unsigned long long)receipt->version,
                       (unsigned long long)receipt->seq, what, (unsigned long long)state->version,
                       (unsigned long long)state->seq);
    }
}

/* When each worker has waited for its whole time in vain, so will all the others. The mutex is
 * held.
 */
static void
count_in_a_row(struct work *work, bool decided, const struct qo_failure *failure)
{
    work->failed_in_a_row = decided ? 0 : work->failed_in_a_row + 1;
    if (work->failed_in_a_row > work->options->workers && !work->gave_up) {
        work->gave_up = true;
        fprintf(stderr, "quorder-replay: gave up after %u failures in a row: %s: %s\n",
                work->failed_in_a_row, qo_code_name(failure->code), failure->message);
    }
}

/* Takes in what a call brought. The mutex is held. */
static void
record(struct work *work, struct step *step, const struct qo_result *result, const char *id,
       const char *request_id)
{
    struct order_state *state = &work->states[step->row];
    const struct qo_receipt *receipt = qo_result_receipt(result);
    const struct qo_failure *failure = qo_result_failure(result);
    step->code = qo_result_code(result);
    work->done++;
    enum qo_outcome outcome = qo_result_outcome(result);
    bool decided = outcome == QO_OUTCOME_OK || outcome == QO_OUTCOME_REFUSED;
    count_in_a_row(work, decided, failure);
    switch (outcome) {
    case QO_OUTCOME_OK:
        step->outcome = STEP_ACKNOWLEDGED;
        step->replayed = receipt->replayed;
        step->seq = receipt->seq;
        step->version = receipt->version;
        copy(step->to, sizeof step->to, receipt->to);
        state->existed =
            state->existed || (state->version == 0 && (receipt->replayed || receipt->version > 1));
        check_receipt(state, receipt, id, step->event);
        state->version = receipt->version;
        state->seq = receipt->seq;
        copy(state->state, sizeof state->state, receipt->to);
        if (work->options->acknowledged != NULL) {
            write_acknowledged(work->options->acknowledged, request_id, receipt);
        }
        return;
    case QO_OUTCOME_REFUSED:
        step->outcome = STEP_REFUSED;
        work->refused++;
        break;
    case QO_OUTCOME_FAILED:
        step->outcome = STEP_FAILED;
        work->failed++;
        break;
    case QO_OUTCOME_UNKNOWN:
        step->outcome = STEP_UNKNOWN;
        work->failed++;
        break;
    }
    copy(step->why, sizeof step->why, failure->message);
}

static void
send_step(struct work *work, struct step *step)
{
    const struct row *row = &work->rows->items[step->row];
    char id[WORK_ID_SIZE];
    char request_id[REQUEST_ID_SIZE];
    work_id(work->options, row, id);
    (void)snprintf(request_id, sizeof request_id, "replay-%u-%s", step->rank, step->event);
    struct qo_attributes *attributes = attributes_of(row, step);
    struct qo_request request = {.method =
                                     step->rank == 0 ? QO_METHOD_CREATE : QO_METHOD_TRANSITION,
                                 .id = id,
                                 .machine = work->options->machine,
                                 .event = step->event,
                                 .attributes = attributes,
                                 .actor = "quorder-replay",
                                 .request_id = request_id};
    struct qo_result *result = qo_call(work->options->client, &request);
    pthread_mutex_lock(&work->mutex);
    record(work, step, result, id, request_id);
    pthread_mutex_unlock(&work->mutex);
    qo_result_free(result);
    qo_attributes_free(attributes);
}

/* The next step that this worker may send: of its order's queue, else of all. NULL: none is left,
 * or those that are left wait behind other workers. */
static struct step *
next_step(struct work *work, struct step *finished)
{
    struct step *found = NULL;
    pthread_mutex_lock(&work->mutex);
    if (finished != NULL) {
        struct order_state *state = &work->states[finished->row];
        if (state->first != STEP_NONE && !work->gave_up) {
            found = &work->steps->items[state->first];
            state->first = found->next;
        } else {
            state->busy = false;
        }
    }
    while (found == NULL && !work->gave_up && work->next < work->steps->count) {
        uint32_t number = work->next++;
        struct step *step = &work->steps->items[number];
        struct order_state *state = &work->states[step->row];
        if (!state->busy) {
            state->busy = true;
            found = step;
        } else if (state->first == STEP_NONE) {
            state->first = number;
            state->last = number;
        } else {
            work->steps->items[state->last].next = number;
            state->last = number;
        }
    }
    pthread_mutex_unlock(&work->mutex);
    return found;
}

static void
sleep_until(int64_t end_us)
{
    int64_t left_us = end_us - clock_monotonic_us();
    if (left_us > 0) {
        struct timespec time = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
        (void)nanosleep(&time, NULL);
    }
}

static void *
send_all(void *context)
{
    struct work *work = context;
    struct step *step = NULL;
    while ((step = next_step(work, step)) != NULL) {
        if (work->options->rate > 0) {
            sleep_until(work->start_us +
                        (step - work->steps->items) * INT64_C(1000000) / work->options->rate);
        }
        send_step(work, step);
    }
    return NULL;
}

/* -- Looking --------------------------------------------------------------------------------- */

static void
look_at(struct work *work, uint32_t number)
{
    struct order_state *state = &work->states[number];
    char id[WORK_ID_SIZE];
    work_id(work->options, &work->rows->items[number], id);
    struct qo_request request = {.method = QO_METHOD_GET, .id = id};
    struct qo_result *result = qo_call(work->options->client, &request);
    size_t count = 0;
    const struct qo_order *order = qo_result_orders(result, &count);
    /* This worker alone has this row. */
    state->looked = count == 1 || qo_result_code(result) == QO_CODE_NOT_FOUND;
    if (count == 1) {
        state->final_version = order->version;
        copy(state->final_state, sizeof state->final_state, order->state);
    } else if (!state->looked) {
        copy(state->why, sizeof state->why, qo_result_failure(result)->message);
    }
    pthread_mutex_lock(&work->mutex);
    work->done++;
    count_in_a_row(work, state->looked, qo_result_failure(result));
    pthread_mutex_unlock(&work->mutex);
    qo_result_free(result);
}

static void *
look_at_all(void *context)
{
    struct work *work = context;
    for (;;) {
        pthread_mutex_lock(&work->mutex);
        uint32_t number = work->next++;
        bool gave_up = work->gave_up;
        pthread_mutex_unlock(&work->mutex);
        if (number >= work->rows->count || gave_up) {
            return NULL;
        }
        if (work->rows->items[number].problem == NULL) {
            look_at(work, number);
        }
    }
}

/* -- The whole ------------------------------------------------------------------------------- */

/* Prints a line each second until the workers have ended. */
static void *
show_progress(void *context)
{
    struct work *work = context;
    int64_t next_us = clock_monotonic_us() + 1000000;
    for (bool ended = false; !ended;) {
        sleep_until(clock_monotonic_us() + 50000);
        pthread_mutex_lock(&work->mutex);
        ended = work->ended;
        uint32_t done = work->done;
        uint32_t refused = work->refused;
        uint32_t failed = work->failed;
        pthread_mutex_unlock(&work->mutex);
        if (!ended && clock_monotonic_us() >= next_us) {
            next_us += 1000000;
            fprintf(stderr, "%u of %u events, refused %u, failed %u\n", done, work->steps->count,
                    refused, failed);
        }
    }
    return NULL;
}

static void
run_workers(struct work *work, void *(*body)(void *))
{
    pthread_t threads[WORKERS_MAX];
    pthread_t progress;
    bool shows = body == send_all && !work->options->quiet;
    int failed = 0;
    work->next = 0;
    work->done = 0;
    work->ended = false;
    work->start_us = clock_monotonic_us();
    if (shows) {
        failed = pthread_create(&progress, NULL, show_progress, work);
        QO_ASSERT(failed == 0);
    }
    for (uint32_t i = 0; i < work->options->workers; i++) {
        failed = pthread_create(&threads[i], NULL, body, work);
        QO_ASSERT(failed == 0);
    }
    for (uint32_t i = 0; i < work->options->workers; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_lock(&work->mutex);
    work->ended = true;
    pthread_mutex_unlock(&work->mutex);
    if (shows) {
        pthread_join(progress, NULL);
    }
}

/* The order must stand where its last acknowledgement left it. */
static void
check_final(struct order_state *state, bool unknown)
{
    if (state->wrong || !state->looked) {
        return;
    }
    bool behind = state->final_version < state->version;
    bool beyond = state->final_version > state->version && !unknown && !state->existed;
    bool elsewhere =
        state->final_version == state->version && strcmp(state->final_state, state->state) != 0;
    state->wrong = behind || beyond || elsewhere;
    if (state->wrong) {
        (void)snprintf(state->why, sizeof state->why,
                       "%s: version %llu in state '%s', acknowledged was %llu in '%s'",
                       behind   ? "acknowledged events are lost"
                       : beyond ? "there are more events than were acknowledged"
                                : "the state is another than was acknowledged",
                       (unsigned long long)state->final_version, state->final_state,
                       (unsigned long long)state->version, state->state);
    }
}

void
work_run(const struct work_options *options, const struct rows *rows, struct steps *steps,
         struct order_state *states)
{
    QO_PRE(options->workers > 0 && options->workers <= WORKERS_MAX);
    struct work work = {.options = options, .rows = rows, .steps = steps, .states = states};
    int failed = pthread_mutex_init(&work.mutex, NULL);
    QO_ASSERT(failed == 0);
    for (uint32_t i = 0; i < rows->count; i++) {
        states[i].first = STEP_NONE;
        states[i].last = STEP_NONE;
    }
    run_workers(&work, send_all);
    run_workers(&work, look_at_all);
    bool *unknown = mem_zalloc(rows->count + 1);
    for (uint32_t i = 0; i < steps->count; i++) {
        QO_POST(steps->items[i].outcome != STEP_OPEN || work.gave_up);
        unknown[steps->items[i].row] =
            unknown[steps->items[i].row] || steps->items[i].outcome == STEP_UNKNOWN;
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        check_final(&states[i], unknown[i]);
    }
    mem_free(unknown);
    pthread_mutex_destroy(&work.mutex);
}
