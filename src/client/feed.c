/* One subscription that resumes; see client.h and quorder.h. Thread: I/O, and callers as marked. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "common/assert.h"
#include "common/clock.h"
#include "decode.h"

/* -- Callers ----------------------------------------------------------------------------------- */

static void
release(struct qo_feed *feed)
{
    struct arena arena = feed->arena, batch = feed->batch;
    arena_free(&arena);
    arena_free(&batch);
    mem_free(feed);
}

/* Fills a feed from its options. False: out of their range. */
static bool
fill(struct qo_feed *feed, const struct qo_feed_options *options)
{
    const char *field;
    char host[QO_ADDRESS_MAX + 1], port[6];
    feed->request.method = WIRE_FEED_SUBSCRIBE;
    feed->credit = options->credit == 0 ? QO_CLIENT_FEED_CREDIT_DEFAULT : options->credit;
    feed->epoch = options->epoch;
    if (options->from_seq != QO_SEQ_NEXT) {
        feed->next_seq = options->from_seq == 0 ? 1 : options->from_seq;
    }
    if (options->node != NULL) {
        if (!node_parse(options->node, strlen(options->node), host, sizeof host, port)) {
            return false;
        }
        (void)snprintf(feed->node_address, sizeof feed->node_address, "%s", options->node);
    }
    return feed->credit <= QO_CLIENT_FEED_CREDIT_MAX &&
           request_filter(&feed->arena, options->filter, &feed->request, &field);
}

struct qo_feed *
qo_feed_open(struct qo_client *client, const struct qo_feed_options *options, qo_feed_fn callback,
             void *context)
{
    static const struct qo_feed_options defaults;
    QO_PRE(client != NULL && callback != NULL);
    QO_PRE(!pthread_equal(pthread_self(), client->thread));
    struct qo_feed *feed = mem_zalloc(sizeof *feed);
    feed->client = client;
    feed->callback = callback;
    feed->context = context;
    bool right = fill(feed, options == NULL ? &defaults : options);
    (void)pthread_mutex_lock(&client->lock);
    if (right && client->feeds_count < QO_CLIENT_FEEDS_MAX) {
        client->feeds_count++;
        list_append(&client->feeds_new, &feed->all);
        client_wake(client);
    } else {
        right = false;
    }
    (void)pthread_mutex_unlock(&client->lock);
    if (!right) {
        release(feed);
        return NULL;
    }
    return feed;
}

void
qo_feed_close(struct qo_feed *feed)
{
    QO_PRE(feed != NULL);
    struct qo_client *client = feed->client;
    bool closed = pthread_equal(pthread_self(), client->thread) != 0;
    (void)pthread_mutex_lock(&client->lock);
    QO_PRE(!feed->closing);
    feed->closing = true;
    feed->closed_out = closed ? NULL : &closed;
    client_wake(client);
    while (!closed) {
        (void)pthread_cond_wait(&client->changed, &client->lock); /* `feed` may be gone already. */
    }
    (void)pthread_mutex_unlock(&client->lock);
}

/* -- The I/O thread ---------------------------------------------------------------------------- */

void
feed_begin(struct qo_client *client, struct qo_feed *feed)
{
    list_append(&client->feeds, &feed->all);
    feed->state = FEED_WAITING;
    feed->not_before_us = client->now_us;
}

static void
call_back(struct qo_feed *feed, const struct qo_event *events, size_t count,
          const struct qo_failure *failure)
{
    const struct qo_feed_batch batch = {
        .events = events,
        .events_count = count,
        .next_seq = feed->next_seq,
        .high_seq = feed->high_seq,
        .epoch = feed->epoch,
        .failure = failure,
    };
    feed->callback(&batch, feed->context);
}

static bool
is_closing(struct qo_feed *feed)
{
    (void)pthread_mutex_lock(&feed->client->lock);
    bool closing = feed->closing;
    (void)pthread_mutex_unlock(&feed->client->lock);
    return closing;
}

static void
wait_a_while(struct qo_feed *feed)
{
    struct qo_client *client = feed->client;
    feed->state = FEED_WAITING;
    feed->node = NULL;
    feed->not_before_us =
        client->now_us + judge_backoff_us(feed->attempts, QO_CLIENT_RETRY_MS_MIN,
                                          QO_CLIENT_RETRY_MS_MAX, client_chance(client));
    feed->attempts++;
}

static void
finish(struct qo_feed *feed, const struct qo_failure *failure)
{
    feed->state = FEED_ENDED;
    feed->node = NULL;
    if (!is_closing(feed)) {
        call_back(feed, NULL, 0, failure);
    }
}

/* Sends feed.subscribe for what comes next. */
static void
subscribe(struct qo_feed *feed, struct node *node)
{
    struct qo_client *client = feed->client;
    if (feed->epoch == 0) {
        feed->epoch = client->epoch; /* From here on a restored cluster is noticed. */
    }
    feed->request.has_from_seq = feed->next_seq != 0;
    feed->request.from_seq = feed->next_seq;
    feed->request.has_epoch = feed->epoch != 0;
    feed->request.epoch = feed->epoch;
    feed->request.credit = feed->credit;
    struct slot *slot = node_send(
        node, &feed->request, SLOT_SUBSCRIBE,
        client->now_us + (int64_t)(QO_TIMEOUT_MS_DEFAULT + QO_CLIENT_ANSWER_GRACE_MS) * 1000);
    slot->feed = feed;
    feed->node = node;
    feed->state = FEED_SUBSCRIBING;
}

static void
unsubscribe(struct qo_feed *feed)
{
    struct wire_request request = {.method = WIRE_FEED_UNSUBSCRIBE,
                                   .subscription = feed->subscription};
    struct slot *slot = node_send(
        feed->node, &request, SLOT_UNSUBSCRIBE,
        feed->client->now_us + (int64_t)(QO_TIMEOUT_MS_DEFAULT + QO_CLIENT_ANSWER_GRACE_MS) * 1000);
    slot->feed = feed;
}

bool
feed_subscribed(struct qo_feed *feed, const struct wire_answer *answer)
{
    struct wire_reader reader = wire_reader_of(answer->body);
    if (answer->kind == WIRE_ANSWER_ERROR) {
        bool unknown_effect;
        arena_reset(&feed->batch);
        struct qo_failure *failure = decode_failure(&feed->batch, &reader, &unknown_effect);
        if (failure == NULL) {
            return false;
        }
        if (feed->state == FEED_LEAVING) {
            feed->state = FEED_ENDED;
            feed->node = NULL;
        } else if (judge_answer((struct answer_facts){.code = failure->code}, false, false) ==
                   VERDICT_REFUSED) {
            finish(feed, failure);
        } else {
            wait_a_while(feed);
        }
        return true;
    }
    struct wire_page page;
    if (!wire_read_page(&reader, &page)) {
        return false;
    }
    feed->subscription = page.subscription;
    if (feed->state == FEED_LEAVING) {
        unsubscribe(feed);
        return true;
    }
    feed->state = FEED_FOLLOWING;
    feed->credit_left = feed->credit;
    feed->heard_us = feed->client->now_us;
    feed->attempts = 0;
    if (feed->next_seq == 0) {
        if (page.next_seq == 0) {
            return false;
        }
        feed->next_seq = page.next_seq;
        call_back(feed, NULL, 0, NULL); /* Now its owner can resume from there too. */
    }
    return true;
}

bool
feed_left(struct qo_feed *feed)
{
    QO_PRE(feed->state == FEED_LEAVING);
    feed->state = FEED_ENDED; /* Whatever the answer was: there are no more events. */
    feed->node = NULL;
    return true;
}

static struct qo_feed *
find(struct node *node, uint64_t subscription)
{
    struct link *head = &node->client->feeds;
    for (struct link *link = head->after; link != head; link = link->after) {
        struct qo_feed *feed = LIST_ITEM(link, struct qo_feed, all);
        if (feed->node == node && feed->subscription == subscription &&
            (feed->state == FEED_FOLLOWING || feed->state == FEED_LEAVING)) {
            return feed;
        }
    }
    return NULL;
}

/* Gives the node credit again once half of it is used. */
static void
top_up(struct qo_feed *feed, uint32_t used)
{
    feed->credit_left = used < feed->credit_left ? feed->credit_left - used : 0;
    if (feed->state != FEED_FOLLOWING || feed->credit_left > feed->credit / 2) {
        return;
    }
    struct wire_request request = {
        .method = WIRE_FEED_CREDIT,
        .notification = true,
        .subscription = feed->subscription,
        .credit = feed->credit - feed->credit_left,
    };
    node_notify(feed->node, &request);
    feed->credit_left = feed->credit;
}

/* True if the events go up from what was expected; `next_out`: what comes after them. */
static bool
in_order(const struct qo_event *events, uint32_t count, uint64_t expected, uint64_t *next_out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].seq < expected) {
            return false;
        }
        expected = events[i].seq + 1;
    }
    *next_out = expected;
    return true;
}

bool
feed_events(struct node *node, const struct wire_answer *notification)
{
    struct wire_reader reader = wire_reader_of(notification->body);
    struct wire_page page;
    if (!wire_read_page(&reader, &page)) {
        return false;
    }
    /* A subscription that we do not know could be one whose answer we have not read: to pass over
     * its events would be a gap. */
    struct qo_feed *feed = find(node, page.subscription);
    if (feed == NULL) {
        return false;
    }
    feed->heard_us = node->client->now_us;
    if (feed->state == FEED_LEAVING) {
        return true;
    }
    struct qo_event *events;
    uint64_t next_seq;
    arena_reset(&feed->batch);
    if (!decode_events(&feed->batch, &page, &events) ||
        !in_order(events, page.count, feed->next_seq, &next_seq) ||
        (page.count > 0 && page.next_seq < next_seq)) {
        return false;
    }
    /* A node that lags may say less than we know already: we never go back. */
    if (page.next_seq > next_seq) {
        next_seq = page.next_seq;
    }
    uint64_t high_seq = page.high_seq > feed->high_seq ? page.high_seq : feed->high_seq;
    bool moved = next_seq != feed->next_seq || high_seq != feed->high_seq;
    feed->next_seq = next_seq;
    feed->high_seq = high_seq;
    if (moved && !is_closing(feed)) {
        call_back(feed, events, page.count, NULL);
    }
    top_up(feed, page.count);
    return true;
}

bool
feed_on(const struct node *node)
{
    const struct link *head = &node->client->feeds;
    for (const struct link *link = head->after; link != head; link = link->after) {
        if (LIST_ITEM_CONST(link, struct qo_feed, all)->node == node) {
            return true;
        }
    }
    return false;
}

void
feed_lost(struct node *node)
{
    struct link *head = &node->client->feeds;
    for (struct link *link = head->after; link != head; link = link->after) {
        struct qo_feed *feed = LIST_ITEM(link, struct qo_feed, all);
        if (feed->node != node) {
            continue;
        }
        if (feed->state == FEED_LEAVING) {
            feed->state = FEED_ENDED;
            feed->node = NULL;
        } else {
            wait_a_while(feed);
        }
    }
}

/* Lets go of a closed feed: its handle at once, itself as soon as no answer can name it. */
static void
leave(struct qo_feed *feed)
{
    struct qo_client *client = feed->client;
    (void)pthread_mutex_lock(&client->lock);
    if (feed->closed_out != NULL) {
        *feed->closed_out = true;
        feed->closed_out = NULL;
        (void)pthread_cond_broadcast(&client->changed);
    }
    (void)pthread_mutex_unlock(&client->lock);
    switch (feed->state) {
    case FEED_FOLLOWING:
        feed->state = FEED_LEAVING;
        unsubscribe(feed);
        return;
    case FEED_SUBSCRIBING:
        feed->state = FEED_LEAVING; /* Unsubscribed once its number is known. */
        return;
    case FEED_LEAVING:
        return;
    case FEED_WAITING:
    case FEED_ENDED:
        break;
    }
    (void)pthread_mutex_lock(&client->lock);
    client->feeds_count--;
    (void)pthread_mutex_unlock(&client->lock);
    list_remove(&feed->all);
    release(feed);
}

void
feed_timers(struct qo_client *client)
{
    struct link *after;
    for (struct link *link = client->feeds.after; link != &client->feeds; link = after) {
        struct qo_feed *feed = LIST_ITEM(link, struct qo_feed, all);
        after = link->after;
        if (is_closing(feed)) {
            leave(feed);
            continue;
        }
        if (feed->state == FEED_WAITING && feed->not_before_us <= client->now_us) {
            struct node *node = node_choose(client, feed->node_address, false);
            if (node != NULL) {
                subscribe(feed, node);
            }
        } else if (feed->state == FEED_FOLLOWING &&
                   client->now_us - feed->heard_us > (int64_t)QO_CLIENT_FEED_SILENCE_MS * 1000) {
            node_lose(feed->node, "the feed fell silent", QO_CODE_UNREACHABLE);
        }
    }
}

int64_t
feed_timer_us(const struct qo_client *client)
{
    int64_t timer_us = INT64_MAX;
    const struct link *head = &client->feeds;
    for (const struct link *link = head->after; link != head; link = link->after) {
        const struct qo_feed *feed = LIST_ITEM_CONST(link, struct qo_feed, all);
        int64_t due_us = INT64_MAX;
        if (feed->state == FEED_WAITING && feed->not_before_us > client->now_us) {
            due_us = feed->not_before_us;
        } else if (feed->state == FEED_FOLLOWING) {
            due_us = feed->heard_us + (int64_t)QO_CLIENT_FEED_SILENCE_MS * 1000 + 1;
        }
        timer_us = due_us < timer_us ? due_us : timer_us;
    }
    return timer_us;
}

void
feed_end_all(struct qo_client *client)
{
    while (!list_empty(&client->feeds)) {
        struct qo_feed *feed = LIST_ITEM(client->feeds.after, struct qo_feed, all);
        if (feed->state != FEED_ENDED && feed->state != FEED_LEAVING) {
            arena_reset(&feed->batch);
            finish(feed,
                   decode_own_failure(&feed->batch, QO_CODE_CLOSED, "The client was closed."));
        }
        list_remove(&feed->all);
        release(feed);
    }
}
