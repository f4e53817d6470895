/*
 * Goal: a node that answers nonsense, nothing, or too late costs its connection and nothing else:
 * calls go on elsewhere or end with a typed error, and the client never waits for it for ever.
 * Method: nodes whose answers the test writes (peer.h).
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "client.h"
#include "common/clock.h"
#include "peer.h"
#include "wire/writer.h"

static const struct qo_request pay = {
    .method = QO_METHOD_TRANSITION, .id = "o-1", .event = "pay", .request_id = "r-1"};

/* -- Malformed answers ------------------------------------------------------------------------- */

static void
put_no_messagepack(struct buf *out, uint32_t msgid)
{
    (void)msgid;
    buf_append(out, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void
put_a_request(struct buf *out, uint32_t msgid)
{
    wire_encode_request(out, &(struct wire_request){.method = WIRE_PING, .msgid = msgid});
}

static void
put_another_msgid(struct buf *out, uint32_t msgid)
{
    wire_put_error(out, msgid + 5, &(struct wire_failure){.error = QO_NOT_FOUND});
}

static void
put_msgid_zero(struct buf *out, uint32_t msgid)
{
    (void)msgid;
    wire_put_error(out, 0, &(struct wire_failure){.error = QO_BAD_REQUEST});
}

static void
put_a_text_for_a_receipt(struct buf *out, uint32_t msgid)
{
    wire_put_result(out, msgid);
    wire_put_key(out, "receipt");
}

static void
put_a_receipt_of_nothing(struct buf *out, uint32_t msgid)
{
    wire_put_result(out, msgid);
    wire_put_map(out, 0);
}

static void
put_an_error_of_no_shape(struct buf *out, uint32_t msgid)
{
    wire_put_array(out, 4);
    wire_put_natural(out, 1);
    wire_put_natural(out, msgid);
    wire_put_key(out, "error");
    wire_put_nil(out);
}

static void
put_too_much(struct buf *out, uint32_t msgid)
{
    (void)msgid;
    wire_put_array(out, 4);
    wire_put_natural(out, 1);
    const uint8_t huge[] = {0xdb, 0x7f, 0xff, 0xff, 0xff};
    buf_append(out, huge, sizeof huge);
    memset(buf_reserve(out, 4096), 'x', 4096);
    out->size += 4096;
}

static void
put_events_for_no_subscription(struct buf *out, uint32_t msgid)
{
    (void)msgid;
    struct wire_list list = wire_begin_feed_events(out, 77);
    wire_end_feed_events(&list, 1, 0);
}

static const struct {
    const char *name;
    void (*put)(struct buf *out, uint32_t msgid);
} malformed[] = {
    {"no MessagePack", put_no_messagepack},
    {"a request", put_a_request},
    {"another msgid", put_another_msgid},
    {"msgid 0", put_msgid_zero},
    {"a text for a receipt", put_a_text_for_a_receipt},
    {"a receipt of nothing", put_a_receipt_of_nothing},
    {"an error of no shape", put_an_error_of_no_shape},
    {"too much", put_too_much},
    {"events for no subscription", put_events_for_no_subscription},
};

static void
leaves_a_node_that_answers_nonsense_and_asks_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        struct world world;
        struct asked asked;
        world_open(&world, 1);
        struct qo_client *client = world_client(&world, (struct qo_options){0});
        assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
        struct arrival *first = peer_next(&world);
        struct buf *out = peer_buf(&world);
        malformed[i].put(out, first->request.msgid);
        peer_send(&world, first, buf_bytes(out));
        if (!peer_sees_end(&world, first)) {
            fail_msg("%s: the connection stays", malformed[i].name);
        }
        struct arrival *second = peer_next(&world);
        assert_true(bytes_equal(second->request.operations[0].request_id, bytes_text("r-1")));
        peer_receipt(&world, second, 1, true);
        const struct qo_result *result = world_answer(&world, &asked);
        if (qo_result_outcome(result) != QO_OUTCOME_OK || qo_result_copies(result) != 2) {
            fail_msg("%s: the call did not recover", malformed[i].name);
        }
        asked_free(&asked);
        qo_client_close(client);
        world_close(&world);
    }
}

static void
ends_with_a_typed_error_when_there_is_only_nonsense(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.deadline_ms = 1500});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    struct buf *out = peer_buf(&world);
    put_a_receipt_of_nothing(out, first->request.msgid);
    peer_send(&world, first, buf_bytes(out));
    assert_true(peer_sees_end(&world, first));
    world_down(&world, 0);
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_code(result), QO_CODE_PROTOCOL);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_UNKNOWN); /* It may well have done it. */
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
passes_over_notifications_that_it_does_not_know(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *arrival = peer_next(&world);
    struct buf *out = peer_buf(&world);
    wire_put_array(out, 3);
    wire_put_natural(out, 2);
    wire_put_key(out, "cluster.moved");
    wire_put_array(out, 1);
    wire_put_map(out, 0);
    peer_send(&world, arrival, buf_bytes(out));
    peer_receipt(&world, arrival, 1, false);
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_OK);
    assert_int_equal(qo_result_copies(result), 1);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* -- Silence ----------------------------------------------------------------------------------- */

/* The leader's machine lost power: no reset comes, only nothing. */
static void
leaves_a_node_that_has_fallen_silent(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 2);
    struct qo_client *client = world_client(&world, (struct qo_options){0});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    int64_t silent_us = clock_monotonic_us();
    world.nodes[first->node].deaf = true;
    world.leader = world.nodes[1 - first->node].address;
    struct arrival *second = peer_next(&world);
    assert_int_equal(second->node, 1 - first->node);
    /* Asked within 0.5 s, given 1 s to answer as another leads: long before the copy's own time. */
    assert_true(second->at_us - silent_us < 3000 * 1000);
    peer_receipt(&world, second, 1, true);
    assert_int_equal(qo_result_outcome(world_answer(&world, &asked)), QO_OUTCOME_OK);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* It still says hello, but this one request it has forgotten. */
static void
leaves_a_node_that_forgets_a_request(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    struct qo_client *client = world_client(&world, (struct qo_options){.timeout_ms = 100});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    struct arrival *first = peer_next(&world);
    struct arrival *second = peer_next(&world);
    assert_true(second->at_us - first->at_us >= 1000 * 1000); /* The copy's time and the grace. */
    assert_true(second->fd != first->fd || second->connection->fd == second->fd);
    peer_receipt(&world, second, 1, false);
    assert_int_equal(qo_result_outcome(world_answer(&world, &asked)), QO_OUTCOME_OK);
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

static void
gives_up_a_greeting_that_does_not_come(void **state)
{
    struct world world;
    struct asked asked;
    (void)state;
    world_open(&world, 1);
    world.nodes[0].deaf = true; /* Its kernel accepts, nobody answers. */
    struct qo_client *client =
        world_client(&world, (struct qo_options){.connect_timeout_ms = 100, .deadline_ms = 1500});
    assert_int_equal(ask(client, &pay, &asked), QO_CODE_OK);
    const struct qo_result *result = world_answer(&world, &asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_FAILED);
    assert_int_equal(qo_result_code(result), QO_CODE_UNREACHABLE);
    assert_non_null(strstr(qo_result_failure(result)->message, "greeting"));
    asked_free(&asked);
    qo_client_close(client);
    world_close(&world);
}

/* -- Addresses --------------------------------------------------------------------------------- */

static void
takes_addresses_apart(void **state)
{
    static const struct {
        const char *address, *host, *port; /* NULL: refused. */
    } cases[] = {
        {"localhost:7401", "localhost", "7401"},
        {"10.0.0.1:1", "10.0.0.1", "1"},
        {"[::1]:65535", "::1", "65535"},
        {"::1:7401", NULL, NULL},
        {"[]:7401", NULL, NULL},
        {"[h:7401", NULL, NULL},
        {"[h]:7401", NULL, NULL},
        {"h:", NULL, NULL},
        {":7401", NULL, NULL},
        {"h:65536", NULL, NULL},
        {"h:0", NULL, NULL},
        {"h:74o1", NULL, NULL},
        {"h:000001", NULL, NULL},
        {"h", NULL, NULL},
        {"", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char host[QO_ADDRESS_MAX + 1], port[6];
        bool right =
            node_parse(cases[i].address, strlen(cases[i].address), host, sizeof host, port);
        if (right != (cases[i].host != NULL) ||
            (right && (strcmp(host, cases[i].host) != 0 || strcmp(port, cases[i].port) != 0))) {
            fail_msg("'%s' is taken apart wrongly", cases[i].address);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_a_node_that_answers_nonsense_and_asks_again),
        cmocka_unit_test(ends_with_a_typed_error_when_there_is_only_nonsense),
        cmocka_unit_test(passes_over_notifications_that_it_does_not_know),
        cmocka_unit_test(leaves_a_node_that_has_fallen_silent),
        cmocka_unit_test(leaves_a_node_that_forgets_a_request),
        cmocka_unit_test(gives_up_a_greeting_that_does_not_come),
        cmocka_unit_test(takes_addresses_apart),
    };
    return cmocka_run_group_tests_name("client/node", tests, NULL, NULL);
}
