/*
 * Goal: a feed gives every event once, in order, whatever becomes of nodes and connections; and
 * says so when it cannot. Method: nodes that hold one log of events, some of them behind, and send
 * it in pieces of random size over connections that break at random places. The seed replays a run.
 */
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/limits.h"
#include "peer.h"
#include "support/seed.h"
#include "wire/writer.h"

enum { EVENTS = 3000 };

/* What a feed's callback saw; read by the test once `changed` says so. */
struct seen {
    _Atomic uint64_t next_seq;
    _Atomic uint32_t batches, events, wrong;
    _Atomic int ended; /* The code. */
    uint64_t skip;     /* Every so many seqs the filter leaves one out; 0: none. */
    uint64_t last_seq, high_seq;
    struct qo_feed *_Atomic feed; /* Not NULL: close it in the next callback. */
};

static void
see(const struct qo_feed_batch *batch, void *context)
{
    struct seen *seen = context;
    bool right = batch->high_seq >= seen->high_seq && batch->next_seq >= seen->next_seq;
    for (size_t i = 0; i < batch->events_count; i++) {
        uint64_t want = seen->last_seq + 1;
        want += seen->skip != 0 && want % seen->skip == 0;
        right = right && batch->events[i].seq == want && strcmp(batch->events[i].id, "o-1") == 0;
        seen->last_seq = batch->events[i].seq;
    }
    right = right && batch->next_seq > seen->last_seq;
    seen->wrong += !right;
    seen->high_seq = batch->high_seq;
    seen->events += (uint32_t)batch->events_count;
    atomic_store(&seen->next_seq, batch->next_seq);
    if (batch->failure != NULL) {
        atomic_store(&seen->ended, (int)batch->failure->code);
    }
    struct qo_feed *feed = atomic_exchange(&seen->feed, NULL);
    if (feed != NULL) {
        qo_feed_close(feed);
    }
    seen->batches++;
}

/* One node's side of the subscription. */
struct server {
    struct arrival *subscribe; /* NULL: nobody has subscribed. */
    uint64_t next_seq, credit, subscription;
};

static void
put_event(struct buf *out, struct wire_list *list, uint64_t seq)
{
    const struct wire_event event = {.seq = seq,
                                     .kind = bytes_text("order"),
                                     .epoch = 1,
                                     .id = bytes_text("o-1"),
                                     .machine = bytes_text("m"),
                                     .machine_version = 1,
                                     .version = seq,
                                     .event = bytes_text("pay"),
                                     .to = bytes_text("paid"),
                                     .at = 1};
    wire_put_event(out, &event);
    wire_list_added(list);
}

static void
accept_subscription(struct world *world, struct server *server, struct arrival *arrival,
                    uint64_t high_seq)
{
    server->subscribe = arrival;
    server->subscription++;
    server->next_seq = arrival->request.has_from_seq ? arrival->request.from_seq : high_seq + 1;
    server->next_seq = server->next_seq == 0 ? 1 : server->next_seq;
    server->credit = arrival->request.credit;
    struct buf *out = peer_buf(world);
    wire_put_result(out, arrival->request.msgid);
    wire_put_subscribed(out, server->subscription, server->next_seq);
    peer_send(world, arrival, buf_bytes(out));
}

/* Sends events up to `last_seq`, as many as credit lets; with `skip` the filter leaves some out. */
static void
send_events(struct world *world, struct server *server, uint64_t last_seq, uint64_t high_seq,
            uint64_t skip)
{
    struct buf *out = peer_buf(world);
    struct wire_list list = wire_begin_feed_events(out, server->subscription);
    while (server->next_seq <= last_seq && server->credit > 0) {
        if (skip == 0 || server->next_seq % skip != 0) {
            put_event(out, &list, server->next_seq);
            server->credit--;
        }
        server->next_seq++;
    }
    wire_end_feed_events(&list, server->next_seq, high_seq);
    peer_send(world, server->subscribe, buf_bytes(out));
}

/* Takes what has arrived: subscriptions and credit. */
static void
serve(struct world *world, struct server *server, uint64_t high_seq)
{
    world_turn(world, 5);
    while (world->taken < world->arrived) {
        struct arrival *arrival = peer_next(world);
        if (arrival->request.method == WIRE_FEED_SUBSCRIBE) {
            accept_subscription(world, server, arrival, high_seq);
        } else if (arrival->request.method == WIRE_FEED_CREDIT) {
            assert_true(arrival->request.notification);
            if (arrival->request.subscription == server->subscription) {
                server->credit += arrival->request.credit;
            }
        } else {
            assert_int_equal(arrival->request.method, WIRE_FEED_UNSUBSCRIBE);
            struct buf *out = peer_buf(world);
            wire_put_result(out, arrival->request.msgid);
            wire_put_empty(out);
            peer_send(world, arrival, buf_bytes(out));
            server->subscribe = NULL;
        }
    }
}

/* The feed over breaking connections; a node that takes over may be `lag` events behind. */
static void
follow_over_breaks(uint64_t skip, uint64_t lag)
{
    struct world world;
    struct seen seen = {.skip = skip};
    struct server server = {0};
    uint64_t prng = seed_init();
    uint32_t breaks = 0;
    world_open(&world, 3);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_feed *feed =
        qo_feed_open(client, &(struct qo_feed_options){.credit = 200}, see, &seen);
    assert_non_null(feed);
    int64_t until_us = clock_monotonic_us() + 120 * 1000000;
    uint64_t high_seq = EVENTS;
    while (atomic_load(&seen.next_seq) <= EVENTS && clock_monotonic_us() < until_us) {
        serve(&world, &server, high_seq);
        if (server.subscribe == NULL) {
            continue;
        }
        if (server.next_seq > high_seq) {
            high_seq = EVENTS; /* The node that lagged has caught up. */
        }
        uint64_t last_seq = server.next_seq + seed_below(&prng, 60);
        send_events(&world, &server, last_seq < high_seq ? last_seq : high_seq, high_seq, skip);
        if (server.next_seq <= EVENTS && seed_below(&prng, 12) == 0) {
            breaks++;
            high_seq = server.next_seq > lag ? server.next_seq - lag : 1;
            peer_lose(&world, server.subscribe);
            server.subscribe = NULL;
        }
    }
    qo_feed_close(feed);
    assert_int_equal(atomic_load(&seen.wrong), 0);
    assert_int_equal(atomic_load(&seen.next_seq), EVENTS + 1);
    assert_int_equal(seen.events, skip == 0 ? EVENTS : EVENTS - EVENTS / skip);
    assert_true(breaks >= 2); /* Else this tested too little. */
    qo_client_close(client);
    world_close(&world);
}

static void
resumes_without_a_gap_or_a_repeat(void **state)
{
    (void)state;
    follow_over_breaks(0, 0);
}

static void
counts_on_what_the_filter_left_out(void **state)
{
    (void)state;
    follow_over_breaks(7, 0);
}

static void
never_goes_back_on_a_node_that_lags(void **state)
{
    (void)state;
    follow_over_breaks(0, 50);
}

/* Serves until the feed has ended or `ended` is another code. */
static void
serve_until_ended(struct world *world, struct server *server, struct seen *seen)
{
    for (uint32_t i = 0; i < 2000 && atomic_load(&seen->ended) == 0; i++) {
        serve(world, server, EVENTS);
    }
}

static void
ends_when_the_position_is_lost(void **state)
{
    struct world world;
    struct seen seen = {0};
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_feed *feed =
        qo_feed_open(client, &(struct qo_feed_options){.from_seq = 42, .epoch = 3}, see, &seen);
    struct arrival *arrival = peer_next(&world);
    assert_int_equal(arrival->request.from_seq, 42);
    assert_true(arrival->request.has_epoch && arrival->request.epoch == 3);
    peer_failure(&world, arrival,
                 (struct wire_failure){.error = QO_POSITION_LOST, .epoch = 4, .first_seq = 1});
    serve_until_ended(&world, &(struct server){0}, &seen);
    assert_int_equal(atomic_load(&seen.ended), QO_CODE_POSITION_LOST);
    assert_int_equal(seen.events, 0);
    qo_feed_close(feed);
    qo_client_close(client);
    world_close(&world);
}

/* After a restore the same seqs are other events. */
static void
asks_with_the_epoch_in_which_it_began(void **state)
{
    struct world world;
    struct seen seen = {0};
    struct server server = {0};
    (void)state;
    world_open(&world, 1);
    world.epoch = 5;
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_feed *feed = qo_feed_open(client, NULL, see, &seen);
    struct arrival *first = peer_next(&world);
    assert_int_equal(first->request.epoch, 5);
    accept_subscription(&world, &server, first, EVENTS);
    world.epoch = 6;
    peer_lose(&world, first);
    struct arrival *second = peer_next(&world);
    assert_int_equal(second->request.epoch, 5);
    qo_client_close(client); /* Takes the feed too, and tells it. */
    (void)feed;
    assert_int_equal(atomic_load(&seen.ended), QO_CODE_CLOSED);
    world_close(&world);
}

static void
begins_at_the_next_event_and_resumes_there(void **state)
{
    struct world world;
    struct seen seen = {.last_seq = 500};
    struct server server = {0};
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_feed *feed =
        qo_feed_open(client, &(struct qo_feed_options){.from_seq = QO_SEQ_NEXT}, see, &seen);
    struct arrival *first = peer_next(&world);
    assert_false(first->request.has_from_seq);
    accept_subscription(&world, &server, first, 500);
    while (atomic_load(&seen.next_seq) != 501) { /* Told at once, without an event. */
        serve(&world, &server, 500);
    }
    assert_int_equal(seen.batches, 1);
    peer_lose(&world, first);
    struct arrival *second = peer_next(&world);
    assert_true(second->request.has_from_seq);
    assert_int_equal(second->request.from_seq, 501);
    accept_subscription(&world, &server, second, 700);
    send_events(&world, &server, 600, 700, 0);
    while (atomic_load(&seen.next_seq) != 601) {
        serve(&world, &server, 700);
    }
    qo_feed_close(feed);
    assert_int_equal(atomic_load(&seen.wrong), 0);
    qo_client_close(client);
    world_close(&world);
}

/* What a node must not send: the connection ends, nothing of it reaches the callback, and the feed
 * goes on elsewhere from where it was. */
static void
refuses_events_that_go_back(void **state)
{
    struct world world;
    struct seen seen = {.last_seq = 10};
    struct server server = {0};
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_feed *feed =
        qo_feed_open(client, &(struct qo_feed_options){.from_seq = 11}, see, &seen);
    static const uint64_t wrong_from[] = {10, 1};
    for (uint32_t i = 0; i < 3; i++) {
        struct arrival *arrival = peer_next(&world);
        assert_int_equal(arrival->request.from_seq, 11);
        accept_subscription(&world, &server, arrival, EVENTS);
        if (i < 2) {
            server.next_seq = wrong_from[i];
        } else {
            server.subscription += 1000; /* A subscription that nobody asked for. */
        }
        send_events(&world, &server, 20, EVENTS, 0);
        assert_true(peer_sees_end(&world, arrival));
    }
    assert_int_equal(atomic_load(&seen.batches), 0);
    struct arrival *arrival = peer_next(&world);
    accept_subscription(&world, &server, arrival, EVENTS);
    send_events(&world, &server, 20, EVENTS, 0);
    while (atomic_load(&seen.next_seq) != 21) {
        serve(&world, &server, EVENTS);
    }
    assert_int_equal(atomic_load(&seen.wrong), 0);
    qo_feed_close(feed);
    qo_client_close(client);
    world_close(&world);
}

static void
gives_credit_again_and_never_too_much(void **state)
{
    enum { CREDIT = 50, LAST = 1000 };
    struct world world;
    struct seen seen = {0};
    struct server server = {0};
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_feed *feed =
        qo_feed_open(client, &(struct qo_feed_options){.credit = CREDIT}, see, &seen);
    struct arrival *only = peer_next(&world);
    accept_subscription(&world, &server, only, LAST);
    int64_t until_us = clock_monotonic_us() + 60 * 1000000;
    while (atomic_load(&seen.next_seq) <= LAST && clock_monotonic_us() < until_us) {
        if (server.credit > 0 && server.next_seq <= LAST) {
            send_events(&world, &server, LAST, LAST, 0);
        }
        serve(&world, &server, LAST);
        assert_true(server.subscribe == only && server.credit <= CREDIT);
    }
    assert_int_equal(seen.events, LAST);
    assert_int_equal(atomic_load(&seen.wrong), 0);
    qo_feed_close(feed);
    qo_client_close(client);
    world_close(&world);
}

static void
may_be_closed_in_its_own_callback(void **state)
{
    struct world world;
    struct seen seen = {0};
    struct server server = {0};
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_feed *feed = qo_feed_open(client, NULL, see, &seen);
    accept_subscription(&world, &server, peer_next(&world), EVENTS);
    atomic_store(&seen.feed, feed);
    send_events(&world, &server, 5, EVENTS, 0);
    while (server.subscribe != NULL) { /* Until it has unsubscribed. */
        serve(&world, &server, EVENTS);
        if (atomic_load(&seen.batches) > 0 && server.subscribe != NULL) {
            send_events(&world, &server, server.next_seq, EVENTS, 0); /* Dropped. */
        }
    }
    assert_int_equal(atomic_load(&seen.batches), 1);
    assert_int_equal(atomic_load(&seen.ended), 0);
    qo_client_close(client);
    world_close(&world);
}

static void
asks_again_when_a_node_cannot_serve_now(void **state)
{
    struct world world;
    struct seen seen = {0};
    struct server server = {0};
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_feed *feed = qo_feed_open(client, NULL, see, &seen);
    peer_error(&world, peer_next(&world), QO_OVERLOADED);
    peer_error(&world, peer_next(&world), QO_UNAVAILABLE);
    accept_subscription(&world, &server, peer_next(&world), EVENTS);
    send_events(&world, &server, 5, EVENTS, 0);
    while (atomic_load(&seen.next_seq) != 6) {
        serve(&world, &server, EVENTS);
    }
    qo_feed_close(feed);
    qo_client_close(client);
    world_close(&world);
}

static void
sends_its_filter_and_refuses_one_out_of_range(void **state)
{
    static const uint32_t shards[] = {0, 65, 255}, wrong[] = {256};
    static const char *const machines[] = {"a", "b"};
    struct world world;
    struct seen seen = {0};
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    const struct qo_filter filter = {.shards = shards,
                                     .shards_count = 3,
                                     .machines = machines,
                                     .machines_count = 2,
                                     .states = machines,
                                     .states_count = 0};
    struct qo_feed *feed =
        qo_feed_open(client, &(struct qo_feed_options){.filter = &filter}, see, &seen);
    struct arrival *arrival = peer_next(&world);
    const struct wire_request *request = &arrival->request;
    assert_true(request->shards.present && request->shards.bits[0] == 1);
    assert_true(request->shards.bits[1] == 2 && request->shards.bits[3] == UINT64_C(1) << 63);
    assert_int_equal(request->machines.names.count, 2);
    assert_true(request->states.present && request->states.names.count == 0);
    assert_int_equal(request->from_seq, 1);
    const struct qo_filter bad = {.shards = wrong, .shards_count = 1};
    assert_null(qo_feed_open(client, &(struct qo_feed_options){.filter = &bad}, see, &seen));
    assert_null(qo_feed_open(client, &(struct qo_feed_options){.credit = 100001}, see, &seen));
    assert_null(qo_feed_open(client, &(struct qo_feed_options){.node = "nowhere"}, see, &seen));
    qo_feed_close(feed); /* While its subscription is unanswered. */
    accept_subscription(&world, &(struct server){0}, arrival, EVENTS);
    assert_int_equal(peer_next(&world)->request.method, WIRE_FEED_UNSUBSCRIBE);
    qo_client_close(client);
    assert_int_equal(atomic_load(&seen.batches), 0);
    world_close(&world);
}

static void
opens_so_many_feeds_and_no_more(void **state)
{
    struct qo_feed *feeds[QO_CLIENT_FEEDS_MAX];
    struct world world;
    struct seen seen = {0};
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    for (uint32_t i = 0; i < QO_CLIENT_FEEDS_MAX; i++) {
        feeds[i] = qo_feed_open(client, NULL, see, &seen);
        assert_non_null(feeds[i]);
    }
    assert_null(qo_feed_open(client, NULL, see, &seen));
    for (uint32_t i = 0; i < QO_CLIENT_FEEDS_MAX; i++) {
        qo_feed_close(feeds[i]);
    }
    qo_client_close(client);
    world_close(&world);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumes_without_a_gap_or_a_repeat),
        cmocka_unit_test(counts_on_what_the_filter_left_out),
        cmocka_unit_test(never_goes_back_on_a_node_that_lags),
        cmocka_unit_test(ends_when_the_position_is_lost),
        cmocka_unit_test(asks_with_the_epoch_in_which_it_began),
        cmocka_unit_test(begins_at_the_next_event_and_resumes_there),
        cmocka_unit_test(refuses_events_that_go_back),
        cmocka_unit_test(gives_credit_again_and_never_too_much),
        cmocka_unit_test(may_be_closed_in_its_own_callback),
        cmocka_unit_test(asks_again_when_a_node_cannot_serve_now),
        cmocka_unit_test(sends_its_filter_and_refuses_one_out_of_range),
        cmocka_unit_test(opens_so_many_feeds_and_no_more),
    };
    return cmocka_run_group_tests_name("client/feed", tests, NULL, NULL);
}
