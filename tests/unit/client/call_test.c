/*
 * Goal: a call has one effect at most and ends with what is known of it, whatever happens to nodes
 * and connections on its way.
 * Method: nodes whose answers the test writes (peer.h), and a real client over loopback. Times are
 * compared where the rule is about time; nothing sleeps.
 */
#include "support/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "peer.h"
#include "wire/writer.h"

static const struct qo_request pay = {
    .method = QO_METHOD_TRANSITION, .id = "o-1", .event = "pay", .request_id = "r-1"};

/* Waits until the client is connected to all nodes: each has said hello. */
static void
settle(struct world *world)
{
    for (uint32_t i = 0; i < 1000 && world->hellos < world->count; i++) {
        world_turn(world, 10);
    }
    assert_true(world->hellos >= world->count);
}

static void
assert_asks_for(const struct arrival *arrival, const char *request_id)
{
    assert_int_equal(arrival->request.method, WIRE_ORDER_TRANSITION);
    struct bytes id = arrival->request.operations[0].request_id;
    if (!bytes_equal(id, bytes_text(request_id))) {
        fail_msg("request id %.*s, not %s", BYTES_FORMAT(id), request_id);
    }
}

/* -- Where calls go ---------------------------------------------------------------------------- */

static void
sends_writes_to_the_leader_and_local_reads_to_any(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 3);
    world.leader = world.nodes[2].address;
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    settle(&world);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
        struct arrival *arrival = peer_next(&world);
        assert_int_equal(arrival->node, 2);
        peer_receipt(&world, arrival, i, false);
        const struct qo_result *result = world_answer(&world, &asked);
        assert_int_equal(qo_result_outcome(result), QO_OUTCOME_OK);
        assert_int_equal(qo_result_receipt(result)->version, i);
        assert_string_equal(qo_result_node(result), world.nodes[2].address);
        assert_int_equal(qo_result_copies(result), 1);
        asked_free(&asked);
    }
    const struct qo_request local = {.method = QO_METHOD_GET,
                                     .id = "o-1",
                                     .consistency = QO_LOCAL,
                                     .node = world.nodes[1].address};
    assert_int_equal(ask(client, &local, &asked), QO_CODE_OK);
    struct arrival *arrival = peer_next(&world);
    assert_int_equal(arrival->node, 1);
    peer_error(&world, arrival, QO_NOT_FOUND);
    assert_int_equal(qo_result_outcome(world_answer(&world, &asked)), QO_OUTCOME_REFUSED);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
follows_not_leader_to_an_address_it_was_not_given(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 2);
    world.endpoints[strcspn(world.endpoints, ",")] = '\0'; /* The client knows one of two. */
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    assert_int_equal(first->node, 0);
    world.leader = world.nodes[1].address;
    peer_failure(&world, first,
                 (struct wire_failure){.error = QO_NOT_LEADER,
                                       .leader = bytes_text(world.nodes[1].address)});
    struct arrival *second = peer_next(&world);
    assert_int_equal(second->node, 1);
    assert_asks_for(second, "r-1");
    peer_receipt(&world, second, 1, false);
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_OK);
    assert_int_equal(qo_result_copies(result), 2);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* Two nodes that each name the other: the call rests between rounds, and ends. */
static void
does_not_run_in_circles_between_nodes(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 2);
    struct qo_client *client = world_client(&world, (struct qo_options){.deadline_ms = 1500});
    settle(&world);
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    uint32_t copies = 0;
    while (asked.result == NULL) {
        world_turn(&world, 5);
        while (world.taken < world.arrived) {
            struct arrival *arrival = peer_next(&world);
            copies++;
            peer_failure(&world, arrival,
                         (struct wire_failure){
                             .error = QO_NOT_LEADER,
                             .leader = bytes_text(world.nodes[1 - arrival->node].address)});
        }
    }
    assert_true(copies >= 3 && copies < 100);
    assert_int_equal(qo_result_outcome(asked.result), QO_OUTCOME_FAILED);
    assert_int_equal(qo_result_code(asked.result), QO_CODE_NOT_LEADER);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
goes_to_the_new_leader_when_the_old_one_dies(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 3);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    settle(&world);
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    assert_int_equal(first->node, 0);
    world.leader = world.nodes[2].address;
    world_down(&world, 0);
    struct arrival *second = peer_next(&world);
    assert_true(second->node == 1 || second->node == 2); /* Both can answer. */
    assert_asks_for(second, "r-1");
    peer_receipt(&world, second, 1, true);
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_OK);
    assert_true(qo_result_receipt(result)->replayed);
    asked_free(&asked);
    /* Once the hellos named the new leader, everything goes there. */
    uint32_t hellos = world.hellos;
    while (world.hellos < hellos + 2) {
        assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
        second = peer_next(&world);
        peer_receipt(&world, second, 1, true);
        (void)world_answer(&world, &asked);
        asked_free(&asked);
    }
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    second = peer_next(&world);
    assert_int_equal(second->node, 2);
    peer_receipt(&world, second, 1, true);
    (void)world_answer(&world, &asked);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
comes_back_to_a_node_that_comes_back(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    settle(&world);
    world_down(&world, 0);
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    world_up(&world, 0);
    struct arrival *arrival = peer_next(&world);
    peer_receipt(&world, arrival, 1, false);
    assert_int_equal(qo_result_outcome(world_answer(&world, &asked)), QO_OUTCOME_OK);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
resolves_names_and_tries_each_address(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    (void)snprintf(world.endpoints, sizeof world.endpoints, "localhost:%u", world.nodes[0].port);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    peer_receipt(&world, peer_next(&world), 1, false);
    assert_int_equal(qo_result_outcome(world_answer(&world, &asked)), QO_OUTCOME_OK);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* A request id means nothing in another cluster: there a repeat would be a second effect. */
static void
never_sends_to_a_node_of_another_cluster(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 2);
    struct qo_client *client = world_client(&world, (struct qo_options){.deadline_ms = 1000});
    settle(&world);
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    world.nodes[1].cluster_id = world.nodes[0].cluster_id = "c2"; /* Both were made anew. */
    world.leader = NULL;
    peer_lose(&world, first);
    world_down(&world, 1);
    world_up(&world, 1);
    assert_int_equal(qo_result_outcome(world_answer(&world, &asked)), QO_OUTCOME_UNKNOWN);
    assert_int_equal(world.taken, world.arrived);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* -- Exactly once ------------------------------------------------------------------------------ */

static void
repeats_with_the_same_request_id_when_the_connection_is_lost(void **state)
{
    struct world world;
    struct asked asked;
    char made[64];
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_request request = pay;
    request.request_id = NULL; /* The library makes one. */
    assert_int_equal(ask(client, &request, &asked), QO_CODE_OK);
    for (uint32_t i = 0; i < 4; i++) {
        struct arrival *arrival = peer_next(&world);
        struct bytes id = arrival->request.operations[0].request_id;
        if (i == 0) {
            assert_int_equal(id.size, 32);
            (void)snprintf(made, sizeof made, "%.*s", BYTES_FORMAT(id));
        }
        assert_asks_for(arrival, made);
        if (i < 3) {
            peer_lose(&world, arrival);
        } else {
            peer_receipt(&world, arrival, 1, true);
        }
    }
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_OK);
    assert_int_equal(qo_result_copies(result), 4);
    assert_string_equal(qo_result_request_id(result), made);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
believes_a_refusal_at_once_when_no_copy_was_lost(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    /* Answers that say "no effect" leave no doubt. */
    peer_error(&world, peer_next(&world), QO_UNAVAILABLE);
    peer_error(&world, peer_next(&world), QO_TIMEOUT);
    static const struct bytes allowed[] = {{(const uint8_t *)"ship", 4}};
    peer_failure(&world, peer_next(&world),
                 (struct wire_failure){.error = QO_INVALID_TRANSITION,
                                       .from = bytes_text("paid"),
                                       .event = bytes_text("pay"),
                                       .allowed = {allowed, 1}});
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_REFUSED);
    assert_int_equal(qo_result_code(result), QO_CODE_INVALID_TRANSITION);
    const struct qo_failure *failure = qo_result_failure(result);
    assert_string_equal(failure->from, "paid");
    assert_string_equal(failure->event, "pay");
    assert_int_equal(failure->allowed_count, 1);
    assert_string_equal(failure->allowed[0], "ship");
    assert_true(strlen(failure->message) > 0);
    assert_null(qo_result_receipt(result));
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* The second copy must come sooner, also on a slow machine. */
enum { COPY_MS = 1500 };

/* How the first copy's end stays unknown. */
enum doubt { LOST, UNKNOWN_OUTCOME, INTERNAL_UNKNOWN };

/* The late copy: the first copy's end is unknown, the second is refused. The client must ask a
 * third time, and not before the first copy's time is over. `applied`: the first copy was late, and
 * came between the two. */
static void
late_copy(enum doubt doubt, bool applied)
{
    struct world world;
    struct asked asked;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.timeout_ms = COPY_MS});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    assert_int_equal(first->request.timeout_ms, COPY_MS);
    int64_t doubted_us = clock_monotonic_us();
    if (doubt == LOST) {
        peer_lose(&world, first);
    } else {
        peer_failure(&world, first,
                     (struct wire_failure){.error = doubt == UNKNOWN_OUTCOME ? QO_UNKNOWN_OUTCOME
                                                                             : QO_INTERNAL,
                                           .unknown_effect = true});
    }
    struct arrival *second = peer_next(&world);
    assert_asks_for(second, "r-1");
    peer_failure(&world, second,
                 (struct wire_failure){
                     .error = QO_VERSION_CONFLICT, .version = 4, .state = bytes_text("open")});
    struct arrival *third = peer_next(&world);
    assert_asks_for(third, "r-1");
    assert_true(third->at_us - doubted_us >= (int64_t)COPY_MS * 1000);
    if (applied) {
        peer_receipt(&world, third, 5, true);
    } else {
        peer_failure(&world, third,
                     (struct wire_failure){
                         .error = QO_VERSION_CONFLICT, .version = 4, .state = bytes_text("open")});
    }
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), applied ? QO_OUTCOME_OK : QO_OUTCOME_REFUSED);
    assert_int_equal(qo_result_copies(result), 3);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
asks_again_when_a_refusal_came_while_a_lost_copy_was_live(void **state)
{
    (void)state;
    late_copy(LOST, true);
    late_copy(LOST, false);
}

static void
asks_again_when_a_refusal_came_after_an_unknown_outcome(void **state)
{
    (void)state;
    late_copy(UNKNOWN_OUTCOME, true);
    late_copy(INTERNAL_UNKNOWN, false);
}

/* The copy's time and its margin reach beyond the call's: asking again would come too late, and the
 * refusal is no certainty. */
static void
ends_unknown_when_the_late_copy_outlives_the_call(void **state)
{
    enum { DEADLINE_MS = 2000 };
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client =
        world_client(&world, (struct qo_options){.deadline_ms = DEADLINE_MS});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    /* A copy's time is 7/8 of the call's: lost later than this, it reaches beyond. */
    while (clock_monotonic_us() - first->at_us < DEADLINE_MS / 8 * 1000) {
        world_turn(&world, 5);
    }
    peer_lose(&world, first);
    peer_error(&world, peer_next(&world), QO_NOT_FOUND);
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_UNKNOWN);
    assert_int_equal(qo_result_code(result), QO_CODE_NOT_FOUND);
    assert_string_equal(qo_result_request_id(result), "r-1");
    assert_int_equal(qo_result_copies(result), 2);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
ends_unknown_when_no_answer_comes_in_time(void **state)
{
    struct world world;
    struct asked asked, read;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.deadline_ms = 1500});
    const struct qo_request get = {.method = QO_METHOD_GET, .id = "o-1"};
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    assert_int_equal(ask(client, &get, &read), QO_CODE_OK);
    struct arrival *arrival = peer_next(&world);
    assert_true(arrival->request.timeout_ms < 1500); /* The node's "no effect" would come first. */
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_UNKNOWN);
    assert_int_equal(qo_result_code(result), QO_CODE_TIMEOUT);
    result = world_answer(&world, &read); /* A read has no effect that could be in doubt. */
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_FAILED);
    /* The answer that comes too late disturbs nobody. */
    peer_receipt(&world, arrival, 1, false);
    asked_free(&asked);
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    (void)peer_next(&world); /* The read. */
    struct arrival *next = peer_next(&world);
    assert_int_equal(next->fd, arrival->fd);
    peer_receipt(&world, next, 1, true);
    assert_int_equal(qo_result_outcome(world_answer(&world, &asked)), QO_OUTCOME_OK);
    asked_free(&asked);
    asked_free(&read);
    qo_client_close(client);
    world_close(&world);
}

static void
fails_without_doubt_when_nothing_was_ever_sent(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.deadline_ms = 1500});
    world_down(&world, 0);
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_FAILED);
    assert_int_equal(qo_result_code(result), QO_CODE_UNREACHABLE);
    assert_int_equal(qo_result_copies(result), 0);
    assert_non_null(strstr(qo_result_failure(result)->message, "127.0.0.1:"));
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* How many bytes a connection to a node that does not read takes. */
static size_t
bytes_that_sockets_take(uint16_t port)
{
    static const char bytes[64 * 1024];
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address),
                     0);
    size_t taken = 0;
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    while (poll(&writable, 1, 200) > 0) {
        ssize_t took = send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        taken += took > 0 ? (size_t)took : 0;
    }
    (void)close(fd);
    return taken;
}

/* A copy whose last byte the socket never took was no request: it leaves no doubt. */
static void
doubts_only_copies_that_were_handed_over_whole(void **state)
{
    enum { CALLS = 80, SOURCE = 200 * 1024 };
    static struct asked asked[CALLS];
    static char source[SOURCE + 1];
    struct world world;
    uint32_t doubted = 0, certain = 0;
    (void)state;
    memset(source, 'x', SOURCE);
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.deadline_ms = 1500});
    settle(&world);
    world.nodes[0].deaf = true; /* Its kernel takes some megabytes, we read none. */
    size_t taken = bytes_that_sockets_take(world.nodes[0].port);
    const struct qo_request put = {.method = QO_METHOD_MACHINE_PUT, .source = source};
    for (uint32_t i = 0; i < CALLS; i++) {
        assert_int_equal(ask(client, &put, &asked[i]), QO_CODE_OK);
    }
    struct asked ping;
    const struct qo_request there = {.method = QO_METHOD_PING, .deadline_ms = 300};
    assert_int_equal(ask(client, &there, &ping), QO_CODE_OK);
    (void)world_answer(&world, &ping); /* By then the sockets are full. */
    asked_free(&ping);
    world_down(&world, 0);
    for (uint32_t i = 0; i < CALLS; i++) {
        const struct qo_result *result = world_answer(&world, &asked[i]);
        bool whole = qo_result_copies(result) > 0;
        assert_int_equal(qo_result_outcome(result), whole ? QO_OUTCOME_UNKNOWN : QO_OUTCOME_FAILED);
        doubted += whole;
        certain += !whole;
        asked_free(&asked[i]);
    }
    assert_true(doubted > 0 && certain > 0); /* Else this tested too little. */
    /* Behind what the sockets took, megabytes more were waiting in the client's own buffer. */
    assert_true((size_t)doubted * SOURCE < taken + QO_CLIENT_OUT_BYTES_MAX / 2);
    qo_client_close(client);
    world_close(&world);
}

static void
waits_as_long_as_an_overloaded_node_asks(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    peer_failure(&world, first,
                 (struct wire_failure){.error = QO_OVERLOADED,
                                       .has_retry_after_ms = true,
                                       .retry_after_ms = 200,
                                       .reason = bytes_text("queue")});
    int64_t told_us = clock_monotonic_us();
    struct arrival *second = peer_next(&world);
    assert_true(second->at_us - told_us >= 190 * 1000);
    assert_asks_for(second, "r-1");
    peer_receipt(&world, second, 1, false);
    (void)world_answer(&world, &asked);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* -- Batches ----------------------------------------------------------------------------------- */

static void
answer_batch(struct world *world, struct arrival *arrival, const enum qo_error errors[2])
{
    struct buf *out = peer_buf(world);
    wire_put_result(out, arrival->request.msgid);
    struct wire_list list = wire_begin_batch(out);
    for (uint32_t i = 0; i < 2; i++) {
        const struct wire_receipt receipt = {.id = bytes_text("o"),
                                             .machine = bytes_text("m"),
                                             .event = bytes_text("pay"),
                                             .to = bytes_text("paid"),
                                             .version = i + 1,
                                             .seq = i + 1};
        if (errors[i] == QO_OK) {
            wire_put_batch_receipt(out, &receipt);
        } else {
            wire_put_batch_error(out, &(struct wire_failure){.error = errors[i]});
        }
        wire_list_added(&list);
    }
    wire_end_batch(&list);
    peer_send(world, arrival, buf_bytes(out));
}

static void
repeats_a_batch_until_each_operation_has_its_end(void **state)
{
    struct world world;
    struct asked asked;
    size_t count;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.timeout_ms = COPY_MS});
    const struct qo_operation operations[2] = {
        {.method = QO_METHOD_TRANSITION, .id = "a", .event = "pay", .request_id = "ra"},
        {.method = QO_METHOD_TRANSITION, .id = "b", .event = "pay"},
    };
    const struct qo_request batch = {
        .method = QO_METHOD_BATCH, .operations = operations, .operations_count = 2};
    assert_int_equal(ask(client, &batch, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    struct bytes made = first->request.operations[1].request_id;
    assert_int_equal(made.size, 32);
    int64_t doubted_us = clock_monotonic_us();
    answer_batch(&world, first, (const enum qo_error[]){QO_OK, QO_UNKNOWN_OUTCOME});
    struct arrival *second = peer_next(&world);
    assert_true(bytes_equal(second->request.operations[1].request_id, made));
    answer_batch(&world, second, (const enum qo_error[]){QO_OK, QO_NOT_FOUND});
    struct arrival *third = peer_next(&world); /* The refusal was not believed yet. */
    assert_true(third->at_us - doubted_us >= (int64_t)COPY_MS * 1000);
    answer_batch(&world, third, (const enum qo_error[]){QO_OK, QO_NOT_FOUND});
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_OK);
    const struct qo_item *items = qo_result_items(result, &count);
    assert_int_equal(count, 2);
    assert_int_equal(items[0].outcome, QO_OUTCOME_OK);
    assert_string_equal(items[0].request_id, "ra");
    assert_int_equal(items[0].receipt->version, 1);
    assert_int_equal(items[1].outcome, QO_OUTCOME_REFUSED);
    assert_int_equal(items[1].failure->code, QO_CODE_NOT_FOUND);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
tells_what_it_knows_of_a_batch_that_ran_out_of_time(void **state)
{
    struct world world;
    struct asked asked;
    size_t count;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client =
        world_client(&world, (struct qo_options){.timeout_ms = 1000, .deadline_ms = 1500});
    const struct qo_operation operations[2] = {
        {.method = QO_METHOD_TRANSITION, .id = "a", .event = "pay"},
        {.method = QO_METHOD_TRANSITION, .id = "b", .event = "pay"},
    };
    const struct qo_request batch = {
        .method = QO_METHOD_BATCH, .operations = operations, .operations_count = 2};
    assert_int_equal(ask(client, &batch, &asked), QO_CODE_OK);
    answer_batch(&world, peer_next(&world), (const enum qo_error[]){QO_OK, QO_UNKNOWN_OUTCOME});
    world_down(&world, 0);
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_UNKNOWN);
    const struct qo_item *items = qo_result_items(result, &count);
    assert_int_equal(count, 2);
    assert_int_equal(items[0].outcome, QO_OUTCOME_OK);
    assert_int_equal(items[1].outcome, QO_OUTCOME_UNKNOWN);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* -- Bounds ------------------------------------------------------------------------------------ */

static void
pipelines_in_order_and_takes_answers_in_any(void **state)
{
    enum { CALLS = 500 };
    static struct asked asked[CALLS];
    static struct arrival *arrivals[CALLS];
    static char ids[CALLS][16];
    struct world world;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    for (uint32_t i = 0; i < CALLS; i++) {
        struct qo_request request = pay;
        (void)snprintf(ids[i], sizeof ids[i], "o-%u", i);
        request.id = ids[i];
        assert_int_equal(ask(client, &request, &asked[i]), QO_CODE_OK);
    }
    for (uint32_t i = 0; i < CALLS; i++) {
        arrivals[i] = peer_next(&world);
        assert_true(bytes_equal(arrivals[i]->request.operations[0].id, bytes_text(ids[i])));
    }
    for (uint32_t i = CALLS; i-- > 0;) {
        peer_receipt(&world, arrivals[i], i + 1, false);
    }
    for (uint32_t i = 0; i < CALLS; i++) {
        const struct qo_result *result = world_answer(&world, &asked[i]);
        assert_string_equal(qo_result_receipt(result)->id, ids[i]);
        assert_int_equal(qo_result_receipt(result)->version, i + 1);
        asked_free(&asked[i]);
    }
    qo_client_close(client);
    world_close(&world);
}

static void
keeps_no_more_under_way_than_a_connection_may_have(void **state)
{
    enum { CALLS = 3000 };
    static struct asked asked[CALLS];
    struct world world;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    for (uint32_t i = 0; i < CALLS; i++) {
        assert_int_equal(ask(client, &pay, &asked[i]), QO_CODE_OK);
    }
    uint32_t answered = 0;
    struct arrival *first = peer_next(&world);
    while (world.arrived - answered < QO_CLIENT_CONNECTION_CALLS_MAX) {
        world_turn(&world, 10);
    }
    struct asked other; /* A turn of the client's later, nothing more has come. */
    const struct qo_request refused = {.method = QO_METHOD_BATCH};
    assert_int_equal(ask(client, &refused, &other), QO_CODE_OK);
    (void)world_answer(&world, &other);
    asked_free(&other);
    world_turn(&world, 0);
    assert_int_equal(world.arrived, QO_CLIENT_CONNECTION_CALLS_MAX);
    peer_receipt(&world, first, 1, false);
    for (uint32_t i = 1; i < CALLS; i++) {
        peer_receipt(&world, peer_next(&world), 1, false);
    }
    for (uint32_t i = 0; i < CALLS; i++) {
        assert_int_equal(qo_result_outcome(world_answer(&world, &asked[i])), QO_OUTCOME_OK);
        asked_free(&asked[i]);
    }
    qo_client_close(client);
    world_close(&world);
}

struct blocked {
    struct qo_client *client;
    struct qo_result *_Atomic result;
};

static void *
call_blocked(void *context)
{
    struct blocked *blocked = context;
    blocked->result = qo_call(blocked->client, &pay);
    return NULL;
}

static void
refuses_or_waits_when_the_client_is_full(void **state)
{
    struct world world;
    struct asked asked[2], third;
    pthread_t thread;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.calls_max = 2});
    assert_int_equal(ask(client, &pay, &asked[0]), QO_CODE_OK);
    assert_int_equal(ask(client, &pay, &asked[1]), QO_CODE_OK);
    assert_int_equal(ask(client, &pay, &third), QO_CODE_LOCAL_OVERLOADED);
    struct qo_request brief = pay;
    brief.deadline_ms = 50;
    struct qo_result *full = qo_call(client, &brief);
    assert_int_equal(qo_result_outcome(full), QO_OUTCOME_FAILED);
    assert_int_equal(qo_result_code(full), QO_CODE_LOCAL_OVERLOADED);
    qo_result_free(full);
    struct blocked blocked = {.client = client};
    assert_int_equal(pthread_create(&thread, NULL, call_blocked, &blocked), 0);
    for (uint32_t i = 0; i < 3; i++) {
        peer_receipt(&world, peer_next(&world), i + 1, false);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(qo_result_outcome(blocked.result), QO_OUTCOME_OK);
    qo_result_free(blocked.result);
    for (uint32_t i = 0; i < 2; i++) {
        (void)world_answer(&world, &asked[i]);
        asked_free(&asked[i]);
    }
    qo_client_close(client);
    world_close(&world);
}

static void
bounds_the_bytes_under_way(void **state)
{
    struct world world;
    struct asked big, small;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.bytes_max = 100});
    static char source[10000];
    memset(source, 'x', sizeof source - 1);
    const struct qo_request put = {.method = QO_METHOD_MACHINE_PUT, .source = source};
    assert_int_equal(ask(client, &put, &big), QO_CODE_OK); /* Alone, anything may go. */
    assert_int_equal(ask(client, &pay, &small), QO_CODE_LOCAL_OVERLOADED);
    peer_error(&world, peer_next(&world), QO_INVALID_MACHINE);
    assert_int_equal(qo_result_outcome(world_answer(&world, &big)), QO_OUTCOME_REFUSED);
    asked_free(&big);
    assert_int_equal(ask(client, &pay, &small), QO_CODE_OK);
    peer_receipt(&world, peer_next(&world), 1, false);
    (void)world_answer(&world, &small);
    asked_free(&small);
    qo_client_close(client);
    world_close(&world);
}

/* -- Ends -------------------------------------------------------------------------------------- */

static void
ends_calls_when_the_client_is_closed(void **state)
{
    struct world world;
    struct asked sent, waiting;
    (void)state;
    world_open(&world, 2);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    struct qo_request elsewhere = pay;
    elsewhere.node = "127.0.0.1:1"; /* Nobody is there. */
    assert_int_equal(ask(client, &pay, &sent), QO_CODE_OK);
    assert_int_equal(ask(client, &elsewhere, &waiting), QO_CODE_OK);
    (void)peer_next(&world);
    qo_client_close(client);
    assert_int_equal(qo_result_code(sent.result), QO_CODE_CLOSED);
    assert_int_equal(qo_result_outcome(sent.result), QO_OUTCOME_UNKNOWN);
    assert_int_equal(qo_result_code(waiting.result), QO_CODE_CLOSED);
    assert_int_equal(qo_result_outcome(waiting.result), QO_OUTCOME_FAILED);
    asked_free(&sent);
    asked_free(&waiting);
    world_close(&world);
}

static void
lets_a_waiting_thread_go_when_the_client_is_closed(void **state)
{
    struct world world;
    pthread_t thread;
    (void)state;
    world_open(&world, 1);
    struct blocked blocked = {.client = world_client(&world, (struct qo_options){0})};
    assert_int_equal(pthread_create(&thread, NULL, call_blocked, &blocked), 0);
    (void)peer_next(&world);
    qo_client_close(blocked.client);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(qo_result_outcome(blocked.result), QO_OUTCOME_UNKNOWN);
    qo_result_free(blocked.result);
    world_close(&world);
}

static void
refuses_options_out_of_their_range(void **state)
{
    static const struct qo_options wrong[] = {
        {.endpoints = ""},
        {.endpoints = "host"},
        {.endpoints = ":1"},
        {.endpoints = "host:"},
        {.endpoints = "host:0"},
        {.endpoints = "host:65536"},
        {.endpoints = "host:1,"},
        {.endpoints = "::1:7401"},
        {.endpoints = "[::1:7401"},
        {.endpoints =
             "h:1,h:2,h:3,h:4,h:5,h:6,h:7,h:8,h:9,h:10,h:11,h:12,h:13,h:14,h:15,h:16,h:17"},
        {.timeout_ms = 60001},
        {.calls_max = 65537},
        {.deadline_ms = UINT32_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        errno = 0;
        struct qo_client *client = qo_client_open(&wrong[i]);
        if (client != NULL || errno != EINVAL) {
            fail_msg("options %zu were taken", i);
        }
    }
    struct qo_client *client = qo_client_open(&(struct qo_options){.endpoints = "[::1]:7401"});
    assert_non_null(client);
    qo_client_close(client);
    qo_client_close(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_writes_to_the_leader_and_local_reads_to_any),
        cmocka_unit_test(follows_not_leader_to_an_address_it_was_not_given),
        cmocka_unit_test(does_not_run_in_circles_between_nodes),
        cmocka_unit_test(goes_to_the_new_leader_when_the_old_one_dies),
        cmocka_unit_test(comes_back_to_a_node_that_comes_back),
        cmocka_unit_test(resolves_names_and_tries_each_address),
        cmocka_unit_test(never_sends_to_a_node_of_another_cluster),
        cmocka_unit_test(repeats_with_the_same_request_id_when_the_connection_is_lost),
        cmocka_unit_test(believes_a_refusal_at_once_when_no_copy_was_lost),
        cmocka_unit_test(asks_again_when_a_refusal_came_while_a_lost_copy_was_live),
        cmocka_unit_test(asks_again_when_a_refusal_came_after_an_unknown_outcome),
        cmocka_unit_test(ends_unknown_when_the_late_copy_outlives_the_call),
        cmocka_unit_test(ends_unknown_when_no_answer_comes_in_time),
        cmocka_unit_test(fails_without_doubt_when_nothing_was_ever_sent),
        cmocka_unit_test(doubts_only_copies_that_were_handed_over_whole),
        cmocka_unit_test(waits_as_long_as_an_overloaded_node_asks),
        cmocka_unit_test(repeats_a_batch_until_each_operation_has_its_end),
        cmocka_unit_test(tells_what_it_knows_of_a_batch_that_ran_out_of_time),
        cmocka_unit_test(pipelines_in_order_and_takes_answers_in_any),
        cmocka_unit_test(keeps_no_more_under_way_than_a_connection_may_have),
        cmocka_unit_test(refuses_or_waits_when_the_client_is_full),
        cmocka_unit_test(bounds_the_bytes_under_way),
        cmocka_unit_test(ends_calls_when_the_client_is_closed),
        cmocka_unit_test(lets_a_waiting_thread_go_when_the_client_is_closed),
        cmocka_unit_test(refuses_options_out_of_their_range),
    };
    return cmocka_run_group_tests_name("client/call", tests, NULL, NULL);
}
