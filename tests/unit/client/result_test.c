/*
 * Goal: every method's answer arrives as the API says it does: each member of each part, and
 * nothing where the protocol says nil; and every request says on the wire what it was asked to.
 * Method: answers of known content from a written node; the request that arrived is looked at too.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "client.h"
#include "common/attributes.h"
#include "peer.h"
#include "wire/writer.h"

struct fixture {
    struct world world;
    struct qo_client *client;
    struct asked asked;
    struct buf *out;
    struct arrival *arrival;
};

static void
fixture_open(struct fixture *f)
{
    world_open(&f->world, 1);
    f->client = world_client(&f->world, (struct qo_options){0});
}

static void
fixture_close(struct fixture *f)
{
    qo_client_close(f->client);
    world_close(&f->world);
}

/* Asks, and begins the answer's message. */
static const struct wire_request *
request_of(struct fixture *f, const struct qo_request *request)
{
    assert_int_equal(ask(f->client, request, &f->asked), QO_CODE_OK);
    f->arrival = peer_next(&f->world);
    f->out = peer_buf(&f->world);
    wire_put_result(f->out, f->arrival->request.msgid);
    return &f->arrival->request;
}

static const struct qo_result *
result_of(struct fixture *f)
{
    peer_send(&f->world, f->arrival, buf_bytes(f->out));
    const struct qo_result *result = world_answer(&f->world, &f->asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_OK);
    assert_int_equal(qo_result_code(result), QO_CODE_OK);
    assert_null(qo_result_failure(result));
    return result;
}

/* A list of one attribute of each type. */
static struct bytes
sample_attributes(struct arena *arena)
{
    struct bytes list;
    const char *field;
    const uint8_t raw[] = {0x92, 1, 0xc0};
    struct qo_attributes *attributes = qo_attributes_new();
    (void)qo_attributes_add_text(attributes, "f_text", "Grüße");
    (void)qo_attributes_add_integer(attributes, "c_integer", -70000);
    (void)qo_attributes_add_number(attributes, "d_number", 2.5);
    (void)qo_attributes_add_boolean(attributes, "b_boolean", true);
    (void)qo_attributes_add_nil(attributes, "e_nil");
    (void)qo_attributes_add_raw(attributes, "a_list", raw, sizeof raw);
    assert_true(attributes_take(attributes, arena, &list, &field));
    qo_attributes_free(attributes);
    return list;
}

static void
assert_sample_attributes(const struct qo_attribute *attributes, size_t count)
{
    assert_int_equal(count, 6);
    assert_string_equal(attributes[0].name, "a_list");
    assert_int_equal(attributes[0].value.type, QO_TYPE_LIST);
    assert_int_equal(attributes[0].value.raw_size, 3);
    assert_memory_equal(attributes[0].value.raw, "\x92\x01\xc0", 3);
    assert_int_equal(attributes[1].value.type, QO_TYPE_BOOLEAN);
    assert_true(attributes[1].value.boolean);
    assert_int_equal(attributes[2].value.type, QO_TYPE_INTEGER);
    assert_int_equal(attributes[2].value.integer, -70000);
    assert_int_equal(attributes[3].value.type, QO_TYPE_NUMBER);
    assert_true(attributes[3].value.number > 2.4 && attributes[3].value.number < 2.6);
    assert_int_equal(attributes[4].value.type, QO_TYPE_NIL);
    assert_int_equal(attributes[5].value.type, QO_TYPE_TEXT);
    assert_string_equal(attributes[5].value.text, "Grüße");
}

static struct wire_order
sample_order(struct bytes attributes)
{
    static const struct bytes allowed[] = {{(const uint8_t *)"pay", 3},
                                           {(const uint8_t *)"stop", 4}};
    return (struct wire_order){
        .id = bytes_text("o-1"),
        .machine = bytes_text("m"),
        .machine_version = 2,
        .state = bytes_text("open"),
        .version = 3,
        .attributes = attributes,
        .created_at = 10,
        .updated_at = 20,
        .entered_at = 30,
        .seq = 40,
        .allowed = {allowed, 2},
        .has_deadline = true,
        .deadline_at = 50,
        .deadline_event = bytes_text("expire"),
    };
}

static void
reads_an_order(void **state)
{
    struct fixture f;
    struct arena arena = {0};
    size_t count;
    (void)state;
    fixture_open(&f);
    const struct wire_request *sent = request_of(&f, &(struct qo_request){.method = QO_METHOD_GET,
                                                                          .id = "o-1",
                                                                          .consistency = QO_LOCAL,
                                                                          .min_seq = 9,
                                                                          .as_of_us = 77,
                                                                          .trace = "t"});
    assert_int_equal(sent->method, WIRE_ORDER_GET);
    assert_int_equal(sent->consistency, WIRE_LOCAL);
    assert_true(sent->has_min_seq && sent->min_seq == 9 && sent->has_as_of && sent->as_of == 77);
    assert_true(bytes_equal(sent->trace, bytes_text("t")));
    struct wire_order order = sample_order(sample_attributes(&arena));
    wire_put_order_get(f.out, &order, 99);
    const struct qo_result *result = result_of(&f);
    const struct qo_order *got = qo_result_orders(result, &count);
    assert_int_equal(count, 1);
    assert_string_equal(got->id, "o-1");
    assert_string_equal(got->machine, "m");
    assert_string_equal(got->state, "open");
    assert_true(got->machine_version == 2 && got->version == 3 && got->seq == 40);
    assert_true(got->created_at_us == 10 && got->updated_at_us == 20 && got->entered_at_us == 30);
    assert_false(got->is_final);
    assert_int_equal(got->allowed_count, 2);
    assert_string_equal(got->allowed[1], "stop");
    assert_string_equal(got->deadline_event, "expire");
    assert_int_equal(got->deadline_at_us, 50);
    assert_sample_attributes(got->attributes, got->attributes_count);
    assert_int_equal(qo_result_page(result)->applied_seq, 99);
    assert_null(qo_result_receipt(result));
    assert_null(qo_result_request_id(result));
    asked_free(&f.asked);
    arena_free(&arena);
    fixture_close(&f);
}

static void
reads_many_orders_with_gaps(void **state)
{
    static const char *const ids[] = {"o-1", "none", "o-1"};
    struct fixture f;
    size_t count;
    (void)state;
    fixture_open(&f);
    const struct wire_request *sent = request_of(
        &f, &(struct qo_request){.method = QO_METHOD_GET_MANY, .ids = ids, .ids_count = 3});
    assert_int_equal(sent->ids.count, 3);
    struct wire_order order = sample_order(BYTES_NONE);
    order.has_deadline = false;
    order.final = true;
    struct wire_list list = wire_begin_get_many(f.out);
    wire_put_order(f.out, &order);
    wire_list_added(&list);
    wire_put_order(f.out, NULL);
    wire_list_added(&list);
    wire_end_get_many(&list, true, 5);
    const struct qo_result *result = result_of(&f);
    const struct qo_order *orders = qo_result_orders(result, &count);
    assert_int_equal(count, 2);
    assert_string_equal(orders[0].id, "o-1");
    assert_true(orders[0].is_final);
    assert_null(orders[0].deadline_event);
    assert_int_equal(orders[0].attributes_count, 0);
    assert_null(orders[1].id);
    assert_true(qo_result_page(result)->more);
    asked_free(&f.asked);

    const struct qo_attribute match = {.name = "mail",
                                       .value = {.type = QO_TYPE_TEXT, .text = "a@b"}};
    sent = request_of(&f, &(struct qo_request){.method = QO_METHOD_LIST,
                                               .machine = "m",
                                               .state = "open",
                                               .entered_before_us = 8,
                                               .limit = 7,
                                               .match = &match,
                                               .cursor = "c"});
    assert_int_equal(sent->limit, 7);
    assert_true(sent->has_entered_before && sent->entered_before == 8);
    assert_true(bytes_equal(sent->attribute, bytes_text("mail")));
    assert_true(bytes_equal(value_text(sent->value), bytes_text("a@b")));
    assert_true(bytes_equal(sent->cursor, bytes_text("c")));
    list = wire_begin_order_list(f.out);
    wire_put_order(f.out, &order);
    wire_list_added(&list);
    wire_end_order_list(&list, bytes_text("next"), 6);
    result = result_of(&f);
    (void)qo_result_orders(result, &count);
    assert_int_equal(count, 1);
    assert_string_equal(qo_result_page(result)->cursor, "next");
    asked_free(&f.asked);
    fixture_close(&f);
}

static void
reads_events(void **state)
{
    struct fixture f;
    struct arena arena = {0};
    size_t count;
    (void)state;
    fixture_open(&f);
    const struct wire_request *sent =
        request_of(&f, &(struct qo_request){.method = QO_METHOD_HISTORY,
                                            .id = "o-1",
                                            .from_version = 4,
                                            .descending = true,
                                            .limit = 5});
    assert_true(sent->has_from_version && sent->from_version == 4 && sent->descending);
    const struct wire_event event = {
        .seq = 1,
        .kind = bytes_text("order"),
        .epoch = 2,
        .id = bytes_text("o-1"),
        .machine = bytes_text("m"),
        .machine_version = 3,
        .shard = 4,
        .version = 5,
        .event = bytes_text("create"),
        .to = bytes_text("open"),
        .at = 6,
        .actor = bytes_text("anna"),
        .request_id = bytes_text("r"),
        .trace = bytes_text("t"),
        .attributes = sample_attributes(&arena),
    };
    struct wire_list list = wire_begin_history(f.out);
    wire_put_event(f.out, &event);
    wire_list_added(&list);
    wire_end_history(&list, true, 9);
    const struct qo_result *result = result_of(&f);
    const struct qo_event *got = qo_result_events(result, &count);
    assert_int_equal(count, 1);
    assert_true(got->seq == 1 && got->epoch == 2 && got->machine_version == 3);
    assert_true(got->shard == 4 && got->version == 5 && got->at_us == 6);
    assert_string_equal(got->kind, "order");
    assert_string_equal(got->event, "create");
    assert_null(got->from);
    assert_string_equal(got->to, "open");
    assert_string_equal(got->actor, "anna");
    assert_null(got->reason);
    assert_string_equal(got->request_id, "r");
    assert_string_equal(got->trace, "t");
    assert_sample_attributes(got->attributes, got->attributes_count);
    assert_true(qo_result_page(result)->more);
    asked_free(&f.asked);

    sent = request_of(&f, &(struct qo_request){.method = QO_METHOD_FEED_READ,
                                               .from_seq = QO_SEQ_NEXT,
                                               .wait_ms = 1500,
                                               .epoch = 2});
    assert_false(sent->has_from_seq);
    assert_true(sent->wait_ms == 1500 && sent->has_epoch && sent->epoch == 2);
    list = wire_begin_feed_read(f.out);
    wire_put_event(f.out, &event);
    wire_list_added(&list);
    wire_end_feed_read(&list, 11, 12, 2);
    result = result_of(&f);
    (void)qo_result_events(result, &count);
    assert_int_equal(count, 1);
    const struct qo_page *page = qo_result_page(result);
    assert_true(page->next_seq == 11 && page->high_seq == 12 && page->epoch == 2);
    asked_free(&f.asked);
    arena_free(&arena);
    fixture_close(&f);
}

static void
sends_a_create_whole_and_reads_its_receipt(void **state)
{
    struct fixture f;
    struct arena arena = {0};
    (void)state;
    fixture_open(&f);
    struct qo_attributes *attributes = qo_attributes_new();
    (void)qo_attributes_add_integer(attributes, "sum", 5);
    const struct wire_request *sent =
        request_of(&f, &(struct qo_request){.method = QO_METHOD_CREATE,
                                            .id = "o-1",
                                            .machine = "m",
                                            .machine_version = 3,
                                            .attributes = attributes,
                                            .actor = "anna",
                                            .reason = "why",
                                            .request_id = "r"});
    qo_attributes_free(attributes); /* Borrowed until qo_call_async() returned only. */
    const struct wire_operation *operation = sent->operations;
    assert_int_equal(operation->kind, WIRE_CREATE);
    assert_true(operation->has_machine_version && operation->machine_version == 3);
    assert_true(bytes_equal(operation->actor, bytes_text("anna")));
    assert_true(bytes_equal(operation->reason, bytes_text("why")));
    assert_int_equal(attributes_count(operation->attributes), 1);
    const struct wire_receipt receipt = {.id = bytes_text("o-1"),
                                         .machine = bytes_text("m"),
                                         .machine_version = 3,
                                         .event = bytes_text("create"),
                                         .to = bytes_text("open"),
                                         .version = 1,
                                         .seq = 2,
                                         .at = 4,
                                         .epoch = 5};
    wire_put_receipt(f.out, &receipt);
    const struct qo_result *result = result_of(&f);
    const struct qo_receipt *got = qo_result_receipt(result);
    assert_string_equal(got->id, "o-1");
    assert_string_equal(got->event, "create");
    assert_null(got->from);
    assert_string_equal(got->to, "open");
    assert_true(got->machine_version == 3 && got->version == 1 && got->seq == 2);
    assert_true(got->at_us == 4 && got->epoch == 5 && !got->replayed);
    assert_string_equal(qo_result_request_id(result), "r");
    asked_free(&f.asked);

    sent = request_of(&f, &(struct qo_request){.method = QO_METHOD_TRANSITION,
                                               .id = "o-1",
                                               .event = "pay",
                                               .expect_version = 6,
                                               .expect_state = "open"});
    assert_true(sent->operations->has_expect_version && sent->operations->expect_version == 6);
    assert_true(bytes_equal(sent->operations->expect_state, bytes_text("open")));
    wire_put_receipt(f.out, &receipt);
    (void)result_of(&f);
    asked_free(&f.asked);
    arena_free(&arena);
    fixture_close(&f);
}

static void
reads_an_atomic_batch_and_its_refusal(void **state)
{
    struct fixture f;
    size_t count;
    (void)state;
    fixture_open(&f);
    const struct qo_operation operations[] = {
        {.method = QO_METHOD_CREATE, .id = "a", .machine = "m"},
        {.method = QO_METHOD_TRANSITION, .id = "b", .event = "pay"},
    };
    const struct qo_request batch = {
        .method = QO_METHOD_BATCH, .operations = operations, .operations_count = 2, .atomic = true};
    const struct wire_request *sent = request_of(&f, &batch);
    assert_true(sent->atomic && sent->operations_count == 2 && sent->request_id.size == 32);
    assert_null(sent->operations[0].request_id.data);
    f.out = peer_buf(&f.world);
    wire_put_error(f.out, sent->msgid,
                   &(struct wire_failure){.error = QO_NOT_UNIQUE,
                                          .attribute = bytes_text("mail"),
                                          .held_by = bytes_text("c"),
                                          .has_index = true,
                                          .index = 1});
    peer_send(&f.world, f.arrival, buf_bytes(f.out));
    const struct qo_result *result = world_answer(&f.world, &f.asked);
    assert_int_equal(qo_result_outcome(result), QO_OUTCOME_REFUSED);
    const struct qo_failure *failure = qo_result_failure(result);
    assert_true(failure->has_index && failure->index == 1);
    assert_string_equal(failure->attribute, "mail");
    assert_string_equal(failure->held_by, "c");
    assert_int_equal(strlen(qo_result_request_id(result)), 32);
    assert_null(qo_result_items(result, &count));
    assert_int_equal(count, 0);
    asked_free(&f.asked);
    fixture_close(&f);
}

static void
reads_machines(void **state)
{
    struct fixture f;
    size_t count;
    (void)state;
    fixture_open(&f);
    const struct wire_request *sent = request_of(
        &f, &(struct qo_request){.method = QO_METHOD_MACHINE_PUT, .source = "machine: m\n"});
    assert_true(bytes_equal(sent->source, bytes_text("machine: m\n")));
    wire_put_machine_put(f.out, &(struct wire_machine_put){.machine = bytes_text("m"),
                                                           .version = 2,
                                                           .checksum = bytes_text("ab"),
                                                           .changed = true});
    const struct qo_result *result = result_of(&f);
    const struct qo_machine *got = qo_result_machines(result, &count);
    assert_int_equal(count, 1);
    assert_true(got->version == 2 && got->changed && got->source == NULL);
    assert_string_equal(got->checksum, "ab");
    asked_free(&f.asked);

    sent =
        request_of(&f, &(struct qo_request){
                           .method = QO_METHOD_MACHINE_GET, .machine = "m", .machine_version = 1});
    assert_true(sent->has_version && sent->version == 1);
    wire_put_machine(f.out, &(struct wire_machine){.machine = bytes_text("m"),
                                                   .version = 1,
                                                   .checksum = bytes_text("cd"),
                                                   .source = bytes_text("a\nb")});
    result = result_of(&f);
    got = qo_result_machines(result, &count);
    assert_string_equal(got->source, "a\nb");
    assert_int_equal(got->source_size, 3);
    asked_free(&f.asked);

    (void)request_of(&f, &(struct qo_request){.method = QO_METHOD_MACHINE_LIST});
    struct wire_list list = wire_begin_machines(f.out);
    static const char *const names[] = {"a", "b"};
    for (uint32_t i = 0; i < 2; i++) {
        struct wire_list machine = wire_begin_machine(f.out, bytes_text(names[i]));
        for (uint64_t version = 1; version <= i + 1; version++) {
            wire_put_machine_version(
                f.out, &(struct wire_machine_version){
                           .version = version, .checksum = bytes_text("ef"), .at = 9});
            wire_list_added(&machine);
        }
        wire_end_machine(&machine);
        wire_list_added(&list);
    }
    wire_end_machines(&list);
    result = result_of(&f);
    got = qo_result_machines(result, &count);
    assert_int_equal(count, 3);
    assert_string_equal(got[0].machine, "a");
    assert_string_equal(got[2].machine, "b");
    assert_true(got[2].version == 2 && got[2].at_us == 9);
    asked_free(&f.asked);
    fixture_close(&f);
}

static void
reads_what_a_node_says_of_itself(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f);
    (void)request_of(&f, &(struct qo_request){.method = QO_METHOD_PING});
    wire_put_ping(f.out, &(struct wire_ping){.at = 5, .clock = 6});
    const struct qo_result *result = result_of(&f);
    assert_true(qo_result_ping(result)->at_us == 5 && qo_result_ping(result)->clock_us == 6);
    asked_free(&f.asked);

    (void)request_of(&f, &(struct qo_request){.method = QO_METHOD_HELLO, .trace = "mine"});
    wire_put_hello(f.out, &(struct wire_hello){.protocol = 1,
                                               .server = bytes_text("s"),
                                               .cluster_id = bytes_text("c1"),
                                               .node_id = 3,
                                               .shards = 16,
                                               .epoch = 1});
    result = result_of(&f);
    const struct qo_hello *hello = qo_result_hello(result);
    assert_true(hello->protocol == 1 && hello->node_id == 3 && hello->shards == 16);
    assert_string_equal(hello->cluster_id, "c1");
    assert_null(hello->leader);
    asked_free(&f.asked);

    (void)request_of(&f, &(struct qo_request){.method = QO_METHOD_STATUS});
    const struct wire_member member = {.id = 2,
                                       .address = bytes_text("h:1"),
                                       .role = bytes_text("voter"),
                                       .applied_index = {true, 7}};
    const struct wire_store_size store = {.name = bytes_text("orders"), .bytes = 8};
    wire_put_status(f.out, &(struct wire_status){.cluster_id = bytes_text("c1"),
                                                 .node_id = 1,
                                                 .leader = bytes_text("h:1"),
                                                 .term = 4,
                                                 .epoch = 1,
                                                 .shards = 16,
                                                 .members = &member,
                                                 .members_count = 1,
                                                 .digest_index = 9,
                                                 .digest_value = bytes_text("00ff"),
                                                 .store = &store,
                                                 .store_count = 1,
                                                 .uptime_s = 10});
    result = result_of(&f);
    const struct qo_status *status = qo_result_status(result);
    assert_true(status->term == 4 && status->digest_index == 9 && status->uptime_s == 10);
    assert_int_equal(status->members_count, 1);
    assert_string_equal(status->members[0].address, "h:1");
    assert_null(status->members[0].state);
    assert_true(status->members[0].applied_index.known);
    assert_int_equal(status->members[0].applied_index.value, 7);
    assert_false(status->members[0].lag.known);
    assert_int_equal(status->store_count, 1);
    assert_string_equal(status->store[0].name, "orders");
    assert_string_equal(status->digest_value, "00ff");
    asked_free(&f.asked);
    fixture_close(&f);
}

static void
reads_every_part_of_a_refusal(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f);
    const struct qo_request put = {.method = QO_METHOD_MACHINE_PUT, .source = "x"};
    assert_int_equal(ask(f.client, &put, &f.asked), QO_CODE_OK);
    peer_failure(&f.world, peer_next(&f.world),
                 (struct wire_failure){.error = QO_INVALID_MACHINE,
                                       .line = 3,
                                       .column = 7,
                                       .why = bytes_text("no such state")});
    const struct qo_failure *failure = qo_result_failure(world_answer(&f.world, &f.asked));
    assert_int_equal(failure->code, QO_CODE_INVALID_MACHINE);
    assert_true(failure->line == 3 && failure->column == 7);
    assert_string_equal(failure->why, "no such state");
    asked_free(&f.asked);
    const struct qo_request read = {.method = QO_METHOD_FEED_READ, .from_seq = 5};
    assert_int_equal(ask(f.client, &read, &f.asked), QO_CODE_OK);
    peer_failure(&f.world, peer_next(&f.world),
                 (struct wire_failure){
                     .error = QO_POSITION_LOST, .epoch = 2, .first_seq = 9, .high_seq = 30});
    failure = qo_result_failure(world_answer(&f.world, &f.asked));
    assert_true(failure->epoch == 2 && failure->first_seq == 9 && failure->high_seq == 30);
    asked_free(&f.asked);
    fixture_close(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_order),
        cmocka_unit_test(reads_many_orders_with_gaps),
        cmocka_unit_test(reads_events),
        cmocka_unit_test(sends_a_create_whole_and_reads_its_receipt),
        cmocka_unit_test(reads_an_atomic_batch_and_its_refusal),
        cmocka_unit_test(reads_machines),
        cmocka_unit_test(reads_what_a_node_says_of_itself),
        cmocka_unit_test(reads_every_part_of_a_refusal),
    };
    return cmocka_run_group_tests_name("client/result", tests, NULL, NULL);
}
