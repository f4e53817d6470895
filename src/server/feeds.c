/* See feeds.h. Thread: loop. */
#include "feeds.h"

#include "common/assert.h"
#include "common/limits.h"
#include "read_jobs.h"
#include "readers.h"
#include "session.h"
#include "wire/response.h"

struct subscription {
    uint64_t id; /* Of its session. */
    struct session_ref session;
    struct wire_request wire; /* Filters; `from_seq` is the position. Points into `arena`. */
    struct arena arena;
    uint64_t credit;
    int64_t sent_us;
    bool reading; /* A job is under way. */
    bool ended;   /* Its session or the client ended it while a job was under way. */
    struct subscription *next_of_session;
    struct subscription *next, *previous; /* All of this node. */
};

struct feeds {
    struct read_job *waiting; /* feed.read that found nothing yet. */
    uint64_t waited_from;     /* Watermark at which they last looked. */
    struct subscription *subscriptions;
    uint64_t ids;
};

struct feeds *
feeds_open(void)
{
    return mem_zalloc(sizeof(struct feeds));
}

/* -- Filters ---------------------------------------------------------------------------------- */

static struct wire_names
copy_names(struct arena *arena, const struct wire_names *names)
{
    struct bytes *items = arena_alloc(arena, sizeof *items * (names->names.count + 1));
    for (uint32_t i = 0; i < names->names.count; i++) {
        items[i] = arena_copy(arena, names->names.items[i]);
    }
    return (struct wire_names){names->present, {items, names->names.count}};
}

/* Position and filters of `wire`, with texts of its own in `arena`. */
static struct wire_request
copy_filter(struct node *node, struct arena *arena, const struct wire_request *wire)
{
    return (struct wire_request){
        .method = wire->method,
        .msgid = wire->msgid,
        .limit = wire->limit,
        .from_seq = !wire->has_from_seq   ? node->seq + 1
                    : wire->from_seq == 0 ? 1
                                          : wire->from_seq,
        .shards = wire->shards,
        .machines = copy_names(arena, &wire->machines),
        .states = copy_names(arena, &wire->states),
    };
}

/* A position is lost only by an epoch: every event is kept. */
static bool
position_lost(struct node *node, struct request *request, const struct wire_request *wire)
{
    if (!wire->has_epoch || wire->epoch == node->epoch) {
        return false;
    }
    const struct wire_failure failure = {
        .error = QO_POSITION_LOST, .epoch = node->epoch, .first_seq = 1, .high_seq = node->seq};
    request_fail(node, request, &failure);
    return true;
}

/* -- feed.read -------------------------------------------------------------------------------- */

/* A job ran. Nothing found, and neither its time nor the events to look at are over: it waits. */
static void
read_done(struct node *node, struct read_job *job)
{
    bool looked_all = job->next_seq > job->high_seq;
    int64_t wait_until_us = *(int64_t *)job->context;
    if (readers_job_wanted(node, job) && job->events_count == 0 && looked_all &&
        node_now_us(node) < wait_until_us) {
        job->wire.from_seq = job->next_seq;
        job->request->stage = REQUEST_WAITING;
        if (node->seq >= job->next_seq) { /* Moved while the job ran. */
            readers_submit(node, job);
        } else {
            job->next = node->feeds->waiting;
            node->feeds->waiting = job;
        }
        return;
    }
    request_answer(node, job->request, buf_bytes(&job->out));
    readers_drop_job(node, job);
}

void
feeds_read(struct node *node, struct request *request, const struct wire_request *wire)
{
    if (position_lost(node, request, wire)) {
        request_release(node, request);
        return;
    }
    struct read_job *job = readers_take_job(node);
    if (job == NULL) {
        request_fail_plain(node, request, QO_OVERLOADED, QO_RETRY_AFTER_MS);
        request_release(node, request);
        return;
    }
    int64_t *wait_until_us = arena_alloc(&job->arena, sizeof *wait_until_us);
    *wait_until_us = node_now_us(node) + (int64_t)wire->wait_ms * 1000;
    request->deadline_us += (int64_t)wire->wait_ms * 1000;
    request->stage = REQUEST_READING;
    job->wire = copy_filter(node, &job->arena, wire);
    job->context = wait_until_us;
    job->request = request;
    job->run = read_job_feed;
    job->done = read_done;
    readers_submit(node, job);
}

/* Lets waiting reads look again (all, if the watermark moved; those whose wait is over anyway). */
static void
review_reads(struct node *node, bool moved, int64_t now_us)
{
    struct read_job *waiting = node->feeds->waiting;
    node->feeds->waiting = NULL;
    struct read_job *next;
    for (struct read_job *job = waiting; job != NULL; job = next) {
        next = job->next;
        if (!readers_job_wanted(node, job)) {
            readers_drop_job(node, job);
        } else if ((moved && node->seq >= job->wire.from_seq) ||
                   now_us >= *(int64_t *)job->context) {
            readers_submit(node, job);
        } else {
            job->next = node->feeds->waiting;
            node->feeds->waiting = job;
        }
    }
}

/* -- Subscriptions ---------------------------------------------------------------------------- */

static void
free_subscription(struct node *node, struct subscription *subscription)
{
    QO_PRE(!subscription->reading);
    if (subscription->previous != NULL) {
        subscription->previous->next = subscription->next;
    } else {
        node->feeds->subscriptions = subscription->next;
    }
    if (subscription->next != NULL) {
        subscription->next->previous = subscription->previous;
    }
    arena_free(&subscription->arena);
    mem_free(subscription);
}

static void
end_subscription(struct node *node, struct subscription *subscription)
{
    if (subscription->reading) {
        subscription->ended = true; /* Freed when its job is back. */
    } else {
        free_subscription(node, subscription);
    }
}

void
feeds_session_closed(struct node *node, struct subscription **subscriptions)
{
    while (*subscriptions != NULL) {
        struct subscription *subscription = *subscriptions;
        *subscriptions = subscription->next_of_session;
        end_subscription(node, subscription);
    }
}

static void send_more(struct node *node, struct subscription *subscription, bool heartbeat);

static void
events_read(struct node *node, struct read_job *job)
{
    struct subscription *subscription = job->context;
    subscription->reading = false;
    struct buf *out = subscription->ended ? NULL : session_out(node, subscription->session);
    if (out == NULL) {
        if (subscription->ended) {
            free_subscription(node, subscription);
        }
        readers_free_job(node, job);
        return;
    }
    bool moved = job->next_seq > subscription->wire.from_seq;
    bool due = node_now_us(node) - subscription->sent_us >= (int64_t)QO_FEED_HEARTBEAT_MS * 1000;
    QO_ASSERT(job->events_count <= subscription->credit);
    if (job->events_count > 0 || due) {
        buf_append(out, job->out.data, job->out.size);
        subscription->sent_us = node_now_us(node);
    }
    subscription->credit -= job->events_count;
    subscription->wire.from_seq = job->next_seq;
    readers_free_job(node, job);
    if (moved) {
        send_more(node, subscription, false);
    }
}

/* Lets a reader look for events, if there can be any and they may be sent; or for none, to say so.
 */
static void
send_more(struct node *node, struct subscription *subscription, bool heartbeat)
{
    bool news = subscription->wire.from_seq <= node->seq && subscription->credit > 0 &&
                !session_full(node, subscription->session);
    if (subscription->reading || subscription->ended || (!news && !heartbeat)) {
        return;
    }
    struct read_job *job = readers_take_job(node);
    if (job == NULL) {
        return; /* Looked at again at the next tick. */
    }
    if (!news) { /* An empty feed.events says that the feed lives, and where it stands. */
        struct buf *out = session_out(node, subscription->session);
        if (out != NULL) {
            struct wire_list list = wire_begin_feed_events(out, subscription->id);
            wire_end_feed_events(&list, subscription->wire.from_seq, node->seq);
            subscription->sent_us = node_now_us(node);
        }
        readers_free_job(node, job);
        return;
    }
    job->wire = subscription->wire;
    job->wire.subscription = subscription->id;
    job->wire.limit =
        subscription->credit < QO_LIMIT_MAX ? (uint32_t)subscription->credit : QO_LIMIT_MAX;
    job->context = subscription;
    job->run = read_job_feed_events;
    job->done = events_read;
    subscription->reading = true;
    readers_submit(node, job);
}

static struct subscription **
find(struct subscription **list, uint64_t id)
{
    while (*list != NULL && (*list)->id != id) {
        list = &(*list)->next_of_session;
    }
    return list;
}

void
feeds_subscribe(struct node *node, struct request *request, const struct wire_request *wire)
{
    uint32_t *count;
    struct subscription **list = session_subscriptions(node, request->session, &count);
    if (list == NULL || position_lost(node, request, wire)) {
        request->answered = true;
        return;
    }
    if (*count >= QO_SUBSCRIPTIONS_MAX) {
        const struct wire_failure failure = {.error = QO_BAD_REQUEST,
                                             .field = bytes_text("subscriptions"),
                                             .has_limit = true,
                                             .limit = QO_SUBSCRIPTIONS_MAX};
        request_fail(node, request, &failure);
        return;
    }
    struct feeds *feeds = node->feeds;
    struct subscription *subscription = mem_zalloc(sizeof *subscription);
    subscription->id = ++feeds->ids;
    subscription->session = request->session;
    subscription->wire = copy_filter(node, &subscription->arena, wire);
    subscription->credit = wire->credit;
    subscription->sent_us = node_now_us(node);
    subscription->next_of_session = *list;
    *list = subscription;
    subscription->next = feeds->subscriptions;
    if (feeds->subscriptions != NULL) {
        feeds->subscriptions->previous = subscription;
    }
    feeds->subscriptions = subscription;
    *count += 1;
    struct buf *out = request_answer_begin(node, request);
    if (out != NULL) {
        wire_put_result(out, request->msgid);
        wire_put_subscribed(out, subscription->id, subscription->wire.from_seq);
        request_answer_end(node, request);
    }
    send_more(node, subscription, false);
}

static void
fail_unknown(struct node *node, struct request *request)
{
    const struct wire_failure failure = {.error = QO_NOT_FOUND, .what = bytes_text("subscription")};
    request_fail(node, request, &failure);
}

static void
answer_empty(struct node *node, struct request *request)
{
    struct buf *out = request_answer_begin(node, request);
    if (out != NULL) {
        wire_put_result(out, request->msgid);
        wire_put_empty(out);
        request_answer_end(node, request);
    }
}

void
feeds_unsubscribe(struct node *node, struct request *request, const struct wire_request *wire)
{
    uint32_t *count;
    struct subscription **list = session_subscriptions(node, request->session, &count);
    struct subscription **at = list == NULL ? NULL : find(list, wire->subscription);
    if (at == NULL || *at == NULL) {
        fail_unknown(node, request);
        return;
    }
    struct subscription *subscription = *at;
    *at = subscription->next_of_session;
    *count -= 1;
    end_subscription(node, subscription);
    answer_empty(node, request);
}

void
feeds_credit(struct node *node, struct session_ref session, struct request *request,
             const struct wire_request *wire)
{
    uint32_t *count;
    struct subscription **list = session_subscriptions(node, session, &count);
    struct subscription **at = list == NULL ? NULL : find(list, wire->subscription);
    if (at == NULL || *at == NULL) {
        if (request != NULL) {
            fail_unknown(node, request);
        }
        return;
    }
    uint64_t room = QO_CREDIT_MAX - (*at)->credit; /* What is over the bound is not kept. */
    (*at)->credit += wire->credit < room ? wire->credit : room;
    if (request != NULL) {
        answer_empty(node, request);
    }
    send_more(node, *at, false);
}

/* -- Progress --------------------------------------------------------------------------------- */

bool
feeds_wait(const struct node *node)
{
    return node->feeds->waiting != NULL || node->feeds->subscriptions != NULL;
}

void
feeds_progress(struct node *node)
{
    if (node->feeds->waiting != NULL) {
        review_reads(node, true, node_now_us(node));
    }
    for (struct subscription *s = node->feeds->subscriptions; s != NULL; s = s->next) {
        send_more(node, s, false);
    }
}

void
feeds_expire(struct node *node, int64_t now_us)
{
    review_reads(node, false, now_us);
    for (struct subscription *s = node->feeds->subscriptions; s != NULL; s = s->next) {
        bool due = now_us - s->sent_us >= (int64_t)QO_FEED_HEARTBEAT_MS * 1000;
        send_more(node, s, due);
    }
}
