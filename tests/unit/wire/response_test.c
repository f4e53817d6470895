/*
 * Goal: what a node answers, a client reads: the same fields, also from a newer node, and every
 * error with exactly its own keys.
 * Method: structs with everything set and with nothing set, written and read back; unknown keys
 * mixed in; every error of the table; bounds of sentences and of `allowed`.
 */
#include "support/test.h"

#include <stdio.h>

#include "common/limits.h"
#include "notation.h"
#include "wire/request.h"
#include "wire/response.h"

static struct arena arena;

static struct bytes
text(const char *of)
{
    return of == NULL ? BYTES_NONE : bytes_text(of);
}

static void
is_text(struct bytes got, const char *want)
{
    if (got.data == NULL ? want != NULL : want == NULL || !bytes_equal(got, bytes_text(want))) {
        fail_msg("got `%.*s`, want `%s`", BYTES_FORMAT(got), want == NULL ? "nothing" : want);
    }
}

static const struct bytes names[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"b", 1},
                                     {(const uint8_t *)"c", 1}, {(const uint8_t *)"d", 1},
                                     {(const uint8_t *)"e", 1}, {(const uint8_t *)"f", 1}};

static void
gives_receipts_back(void **state)
{
    struct wire_receipt full = {.id = text("i"),
                                .machine = text("m"),
                                .machine_version = UINT64_MAX,
                                .event = text("e"),
                                .from = text("f"),
                                .to = text("t"),
                                .version = 300,
                                .seq = UINT64_MAX - 1,
                                .at = INT64_MIN,
                                .epoch = 7,
                                .replayed = true};
    struct wire_receipt empty = {0}, got;
    struct buf buf = {0};
    (void)state;
    wire_put_receipt(&buf, &full);
    wire_put_receipt(&buf, &empty);
    wire_put_nil(&buf);
    struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
    assert_true(wire_read_receipt(&reader, &got));
    is_text(got.id, "i");
    is_text(got.machine, "m");
    is_text(got.event, "e");
    is_text(got.from, "f");
    is_text(got.to, "t");
    assert_true(got.machine_version == UINT64_MAX && got.version == 300 &&
                got.seq == UINT64_MAX - 1 && got.at == INT64_MIN && got.epoch == 7 && got.replayed);
    for (int i = 0; i < 2; i++) {
        assert_true(wire_read_receipt(&reader, &got));
        is_text(got.id, NULL);
        assert_true(got.seq == 0 && !got.replayed);
    }
    assert_true(wire_reader_done(&reader));
    buf_free(&buf);
}

static void
gives_orders_and_events_back(void **state)
{
    struct buf buf = {0}, list = {0};
    struct attributes_builder builder = attributes_build(&list);
    static const uint8_t five[] = {5};
    attributes_append(&builder, text("a"), VALUE_INTEGER, bytes_make(five, 1));
    attributes_append(&builder, text("b"), VALUE_NIL, bytes_make("\xc0", 1));
    struct wire_order order = {.id = text("i"),
                               .state = text("s"),
                               .version = 3,
                               .attributes = attributes_built(&builder),
                               .created_at = 1,
                               .updated_at = 2,
                               .entered_at = 3,
                               .seq = 4,
                               .final = true,
                               .allowed = {names, 3},
                               .has_deadline = true,
                               .deadline_at = 5,
                               .deadline_event = text("e")},
                      got;
    struct wire_event event = {.seq = 9,
                               .kind = text("order"),
                               .shard = UINT32_MAX,
                               .actor = text("timer"),
                               .trace = text(""),
                               .attributes = order.attributes},
                      got_event;
    (void)state;
    wire_put_order(&buf, &order);
    wire_put_order(&buf, NULL);
    wire_put_order(&buf, &(struct wire_order){0});
    wire_put_event(&buf, &event);
    struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
    assert_true(wire_read_order(&reader, &arena, &got));
    is_text(got.id, "i");
    is_text(got.machine, NULL);
    is_text(got.deadline_event, "e");
    assert_true(got.has_deadline && got.deadline_at == 5 && got.final && got.entered_at == 3);
    assert_true(bytes_equal(got.attributes, order.attributes));
    assert_int_equal(got.allowed.count, 3);
    is_text(got.allowed.items[2], "c");
    assert_true(wire_read_order(&reader, &arena, &got));
    is_text(got.id, NULL);
    assert_true(wire_read_order(&reader, &arena, &got));
    assert_false(got.has_deadline);
    assert_int_equal(attributes_count(got.attributes), 0);
    assert_true(wire_read_event(&reader, &arena, &got_event));
    assert_true(got_event.shard == UINT32_MAX && got_event.seq == 9);
    is_text(got_event.kind, "order");
    is_text(got_event.actor, "timer");
    is_text(got_event.reason, NULL);
    is_text(got_event.trace, "");
    assert_non_null(got_event.trace.data);
    assert_true(bytes_equal(got_event.attributes, order.attributes));
    assert_true(wire_reader_done(&reader));
    buf_free(&buf);
    buf_free(&list);
}

static void
passes_over_keys_of_a_newer_node(void **state)
{
    struct buf buf = {0};
    struct wire_receipt got;
    (void)state;
    notation_put(&buf, "{'colour': [1, {'x': 2}], 'seq': 5, 5: 6, 'to': b't', 'at': nil}");
    struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
    /* A key that is no text is nothing that a node of any version sends. */
    assert_false(wire_read_receipt(&reader, &got));
    buf_clear(&buf);
    notation_put(&buf, "{'colour': [1, {'x': 2}], 'seq': 5, '': 6, 'to': b't', 'at': nil}");
    reader = wire_reader_of(buf_bytes(&buf));
    assert_true(wire_read_receipt(&reader, &got) && wire_reader_done(&reader));
    assert_int_equal(got.seq, 5);
    is_text(got.to, "t");
    buf_free(&buf);
}

static void
refuses_answers_of_wrong_types(void **state)
{
    static const char *const wrong[] = {"5",           "[]",
                                        "{'seq': -1}", "{'seq': 'x'}",
                                        "{'to': 5}",   "{'replayed': 1}",
                                        "{'at': 1.5}", "{'at': 18446744073709551615}"};
    struct buf buf = {0};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct wire_receipt got;
        buf_clear(&buf);
        notation_put(&buf, wrong[i]);
        struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
        if (wire_read_receipt(&reader, &got)) {
            fail_msg("%s", wrong[i]);
        }
    }
    static const char *const attributes[] = {"{'attributes': {'b': 1, 'a': 2}}",
                                             "{'attributes': {'a': 1, 'a': 2}}",
                                             "{'attributes': {'a': xc70105ff}}",
                                             "{'attributes': {'a': xca3f800000}}",
                                             "{'attributes': []}",
                                             "{'allowed': [5]}",
                                             "{'allowed': xddffffffff}",
                                             "{'deadline': 5}"};
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        struct wire_order got;
        buf_clear(&buf);
        notation_put(&buf, attributes[i]);
        struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
        if (wire_read_order(&reader, &arena, &got)) {
            fail_msg("%s", attributes[i]);
        }
    }
    buf_free(&buf);
}

/* Everything set: each error writes its own part of it, and only that. */
static const struct wire_failure everything = {.unknown_effect = true,
                                               .field = {(const uint8_t *)"F", 1},
                                               .has_limit = true,
                                               .limit = -5,
                                               .method = {(const uint8_t *)"M", 1},
                                               .needs = {(const uint8_t *)"N", 1},
                                               .what = {(const uint8_t *)"W", 1},
                                               .version = 1,
                                               .state = {(const uint8_t *)"S", 1},
                                               .from = {(const uint8_t *)"R", 1},
                                               .event = {(const uint8_t *)"E", 1},
                                               .allowed = {names, 6},
                                               .attribute = {(const uint8_t *)"A", 1},
                                               .why = {(const uint8_t *)"Y", 1},
                                               .held_by = {(const uint8_t *)"H", 1},
                                               .seq = 2,
                                               .resource = {(const uint8_t *)"O", 1},
                                               .available = -3,
                                               .line = 4,
                                               .column = 5,
                                               .epoch = 6,
                                               .first_seq = 7,
                                               .high_seq = 8,
                                               .leader = {(const uint8_t *)"L", 1},
                                               .has_retry_after_ms = true,
                                               .retry_after_ms = 9,
                                               .reason = {(const uint8_t *)"Z", 1},
                                               .has_index = true,
                                               .index = 10};

static const struct {
    enum qo_error error;
    const char *details;
} details[] = {
    {QO_BAD_REQUEST, "'field': 'F', 'limit': -5"},
    {QO_UNKNOWN_METHOD, "'method': 'M'"},
    {QO_UNAUTHORIZED, ""},
    {QO_FORBIDDEN, "'needs': 'N'"},
    {QO_NOT_FOUND, "'what': 'W'"},
    {QO_ALREADY_EXISTS, "'version': 1, 'state': 'S'"},
    {QO_INVALID_TRANSITION, "'from': 'R', 'event': 'E', 'allowed': ['a', 'b', 'c', 'd']"},
    {QO_VERSION_CONFLICT, "'version': 1, 'state': 'S'"},
    {QO_INVALID_ATTRIBUTE, "'attribute': 'A', 'why': 'Y'"},
    {QO_NOT_UNIQUE, "'attribute': 'A', 'held_by': 'H'"},
    {QO_REQUEST_ID_REUSED, "'seq': 2"},
    {QO_RESOURCE_TAKEN, "'resource': 'O', 'held_by': 'H'"},
    {QO_INSUFFICIENT, "'resource': 'O', 'available': -3"},
    {QO_INVALID_MACHINE, "'line': 4, 'column': 5, 'why': 'Y'"},
    {QO_POSITION_LOST, "'epoch': 6, 'first_seq': 7, 'high_seq': 8"},
    {QO_NOT_LEADER, "'leader': 'L'"},
    {QO_UNAVAILABLE, "'retry_after_ms': 9"},
    {QO_UNKNOWN_OUTCOME, ""},
    {QO_TIMEOUT, ""},
    {QO_OVERLOADED, "'retry_after_ms': 9, 'reason': 'Z'"},
    {QO_INTERNAL, ""},
};

/* Compares object by object, whatever form their heads have. */
static void
same_objects(struct bytes got, struct bytes want, const char *name)
{
    struct wire_reader a = wire_reader_of(got), b = wire_reader_of(want);
    while (b.at < b.end) {
        struct wire_token x, y;
        assert_true(wire_next(&b, &y));
        bool right = wire_next(&a, &x) && x.kind == y.kind;
        right = right && ((x.kind == WIRE_STR && bytes_equal(x.bytes, y.bytes)) ||
                          (x.kind == WIRE_INTEGER && x.integer == y.integer) ||
                          ((x.kind == WIRE_ARRAY || x.kind == WIRE_MAP) && x.count == y.count) ||
                          (x.kind == WIRE_BOOLEAN && x.boolean == y.boolean) || x.kind == WIRE_NIL);
        if (!right) {
            fail_msg("%s", name);
        }
    }
    assert_true(wire_reader_done(&a));
}

static void
writes_for_each_error_its_own_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof details / sizeof details[0]; i++) {
        struct buf got = {0}, want = {0};
        struct wire_failure failure = everything, read, bare = {.error = details[i].error};
        char sentence[QO_ERROR_MESSAGE_MAX + 1], notation[512];
        bool unknown = details[i].error == QO_UNKNOWN_OUTCOME || details[i].error == QO_INTERNAL;
        failure.error = details[i].error;
        wire_failure_sentence(&failure, sentence);
        assert_true(strlen(sentence) > 10);
        snprintf(notation, sizeof notation,
                 "[%d, '%s', {'code': '%s', 'applied': %s, %s, 'index': 10}]", details[i].error,
                 sentence, error_code(details[i].error), unknown ? "nil" : "false",
                 details[i].details);
        wire_put_failure(&got, &failure, 4);
        notation_put(&want, notation);
        same_objects(buf_bytes(&got), buf_bytes(&want), notation);

        struct wire_reader reader = wire_reader_of(buf_bytes(&got));
        assert_true(wire_read_failure(&reader, &arena, &read) && wire_reader_done(&reader));
        assert_int_equal(read.error, failure.error);
        is_text(read.message, sentence);
        assert_true(read.unknown_effect == unknown && read.has_index && read.index == 10);
        /* Read and written again it is the same. */
        buf_clear(&want);
        wire_put_failure(&want, &read, 4);
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));

        /* With nothing set it is still whole. */
        buf_clear(&got);
        wire_put_failure(&got, &bare, 4);
        reader = wire_reader_of(buf_bytes(&got));
        assert_true(wire_read_failure(&reader, &arena, &read) && wire_reader_done(&reader));
        assert_true(!read.has_index && !read.has_limit);
        assert_true(read.unknown_effect == (bare.error == QO_UNKNOWN_OUTCOME));
        buf_free(&got);
        buf_free(&want);
    }
    uint32_t rows = 0;
#define X(name, number, code, effect) rows++;
    QO_ERROR_MAP(X)
#undef X
    assert_int_equal(rows, sizeof details / sizeof details[0]);
}

static void
cuts_a_long_sentence_between_characters(void **state)
{
    struct buf buf = {0};
    char longer[400];
    struct wire_failure failure = {.error = QO_INTERNAL}, read;
    (void)state;
    /* 199 bytes and a character of two: the 200th byte would cut it. */
    memset(longer, 'x', sizeof longer);
    memcpy(longer + 199, "\xc3\xa9", 2);
    failure.message = bytes_make(longer, sizeof longer);
    wire_put_failure(&buf, &failure, 4);
    struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
    assert_true(wire_read_failure(&reader, &arena, &read));
    assert_int_equal(read.message.size, 199);
    failure = everything;
    failure.error = QO_INVALID_MACHINE;
    failure.why = bytes_make(longer, sizeof longer);
    char sentence[QO_ERROR_MESSAGE_MAX + 1];
    wire_failure_sentence(&failure, sentence);
    assert_true(strlen(sentence) >= 197 && wire_is_text(bytes_text(sentence)));
    buf_free(&buf);
}

static void
reads_pages_element_by_element(void **state)
{
    struct buf buf = {0};
    struct wire_page page, element;
    struct wire_failure failure;
    struct wire_receipt receipt = {.id = text("i"), .seq = 3};
    (void)state;
    struct wire_list list = wire_begin_batch(&buf);
    for (int i = 0; i < 20; i++) {
        wire_put_batch_receipt(&buf, &receipt);
        wire_list_added(&list);
        wire_put_batch_error(
            &buf, &(struct wire_failure){.error = QO_INVALID_TRANSITION, .allowed = {names, 6}});
        wire_list_added(&list);
    }
    wire_end_batch(&list);
    struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
    assert_true(wire_read_page(&reader, &page) && wire_reader_done(&reader));
    assert_int_equal(page.count, 40);
    reader = wire_reader_of(page.elements);
    for (uint32_t i = 0; i < page.count; i++) {
        assert_true(wire_read_page(&reader, &element));
        assert_true((element.receipt.data != NULL) == (i % 2 == 0));
        assert_true((element.error.data != NULL) == (i % 2 == 1));
        if (element.error.data != NULL) {
            struct wire_reader inside = wire_reader_of(element.error);
            assert_true(wire_read_failure(&inside, &arena, &failure));
            assert_int_equal(failure.allowed.count, QO_BATCH_ALLOWED_MAX);
        }
    }
    assert_true(wire_reader_done(&reader));
    buf_free(&buf);
}

static void
reads_machines_and_status(void **state)
{
    struct buf buf = {0};
    struct wire_page page, machine;
    struct wire_machine_version version = {.version = 2, .checksum = text("ab"), .at = 5}, read;
    (void)state;
    struct wire_list machines = wire_begin_machines(&buf);
    struct wire_list one = wire_begin_machine(&buf, text("m"));
    wire_put_machine_version(&buf, &version);
    wire_list_added(&one);
    wire_end_machine(&one);
    wire_list_added(&machines);
    wire_end_machines(&machines);
    struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
    assert_true(wire_read_page(&reader, &page) && page.count == 1);
    reader = wire_reader_of(page.elements);
    assert_true(wire_read_page(&reader, &machine) && machine.count == 1);
    is_text(machine.machine, "m");
    reader = wire_reader_of(machine.elements);
    assert_true(wire_read_machine_version(&reader, &read));
    assert_true(read.version == 2 && read.at == 5);
    is_text(read.checksum, "ab");

    struct wire_member members[] = {{.id = 1,
                                     .address = text("h:1"),
                                     .role = text("voter"),
                                     .state = text("leader"),
                                     .applied_index = {true, 5},
                                     .committed_index = {true, 6},
                                     .lag = {true, 0}},
                                    {.id = 2, .address = text("h:2"), .role = text("voter")}};
    struct wire_store_size sizes[] = {{text("orders"), 1}, {text("events"), UINT64_MAX}};
    struct wire_status status = {.cluster_id = text("c"),
                                 .node_id = 1,
                                 .term = 3,
                                 .epoch = 1,
                                 .shards = 16,
                                 .members = members,
                                 .members_count = 2,
                                 .digest_index = 8,
                                 .digest_value = text("ff"),
                                 .store = sizes,
                                 .store_count = 2,
                                 .uptime_s = 77},
                       got;
    buf_clear(&buf);
    wire_put_status(&buf, &status);
    reader = wire_reader_of(buf_bytes(&buf));
    assert_true(wire_read_status(&reader, &arena, &got) && wire_reader_done(&reader));
    assert_true(got.node_id == 1 && got.term == 3 && got.shards == 16 && got.uptime_s == 77 &&
                got.digest_index == 8 && got.members_count == 2 && got.store_count == 2);
    is_text(got.leader, NULL);
    is_text(got.digest_value, "ff");
    is_text(got.members[0].state, "leader");
    is_text(got.members[1].state, NULL);
    assert_true(got.members[0].lag.known && got.members[0].applied_index.value == 5);
    assert_false(got.members[1].lag.known);
    is_text(got.store[1].name, "events");
    assert_true(got.store[1].bytes == UINT64_MAX);
    buf_free(&buf);
}

static void
takes_answers_apart(void **state)
{
    static const struct {
        const char *text;
        bool right;
        enum wire_answer_kind kind;
    } cases[] = {
        {"[1, 4294967295, nil, {}]", true, WIRE_ANSWER_RESULT},
        {"[1, 4294967295, nil, nil]", true, WIRE_ANSWER_RESULT},
        {"[1, 4294967295, [100, 'x', {}], nil]", true, WIRE_ANSWER_ERROR},
        {"[2, 'feed.events', [{}]]", true, WIRE_ANSWER_NOTIFICATION},
        {"[2, 'feed.events', []]", false, WIRE_ANSWER_RESULT},
        {"[1, 4294967296, nil, {}]", false, WIRE_ANSWER_RESULT},
        {"[1, 5, nil]", false, WIRE_ANSWER_RESULT},
        {"[0, 5, nil, nil]", false, WIRE_ANSWER_RESULT},
        {"[1, 5, nil, {}] 1", false, WIRE_ANSWER_RESULT},
        {"[1, 5, nil, xdd00000005]", false, WIRE_ANSWER_RESULT},
        {"5", false, WIRE_ANSWER_RESULT},
    };
    struct buf buf = {0}, again = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wire_answer answer;
        buf_clear(&buf);
        notation_put(&buf, cases[i].text);
        bool right = wire_decode_answer(buf_bytes(&buf), &answer);
        if (right != cases[i].right || (right && answer.kind != cases[i].kind)) {
            fail_msg("%s", cases[i].text);
        }
        if (right && answer.kind != WIRE_ANSWER_NOTIFICATION) {
            assert_true(answer.msgid == UINT32_MAX);
            /* The same answer under another msgid. */
            struct wire_answer other;
            buf_clear(&again);
            assert_true(wire_put_response_as(&again, 3, buf_bytes(&buf)));
            assert_true(wire_decode_answer(buf_bytes(&again), &other));
            assert_true(other.msgid == 3 && other.kind == answer.kind &&
                        bytes_equal(other.body, answer.body));
        }
    }
    buf_free(&buf);
    buf_free(&again);
}

static void
forwards_an_answer_whole(void **state)
{
    struct buf response = {0}, outer = {0};
    struct wire_answer answer;
    (void)state;
    wire_put_result(&response, 77);
    wire_put_empty(&response);
    wire_put_result(&outer, 5);
    wire_put_forwarded(&outer, buf_bytes(&response));
    assert_true(wire_decode_answer(buf_bytes(&outer), &answer));
    struct wire_reader reader = wire_reader_of(answer.body);
    assert_true(bytes_equal(wire_read_text(&reader), buf_bytes(&response)));
    buf_free(&response);
    buf_free(&outer);
}

static int
free_all(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_receipts_back),
        cmocka_unit_test(gives_orders_and_events_back),
        cmocka_unit_test(passes_over_keys_of_a_newer_node),
        cmocka_unit_test(refuses_answers_of_wrong_types),
        cmocka_unit_test(writes_for_each_error_its_own_keys),
        cmocka_unit_test(cuts_a_long_sentence_between_characters),
        cmocka_unit_test(reads_pages_element_by_element),
        cmocka_unit_test(reads_machines_and_status),
        cmocka_unit_test(takes_answers_apart),
        cmocka_unit_test(forwards_an_answer_whole),
    };
    return cmocka_run_group_tests_name("wire/response", tests, NULL, free_all);
}
