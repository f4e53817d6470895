/*
 * Goal: attributes reach the node as the one canonical list, whatever order they were given in; and
 * what cannot be sent is refused by name, once, where the call ends.
 * Method: lists are built and taken apart again; then a call carries a refused one.
 */
#include "support/test.h"

#include <math.h>
#include <string.h>

#include "client.h"
#include "common/attributes.h"
#include "peer.h"
#include "support/seed.h"
#include "wire/writer.h"

static struct bytes
list_of(const struct qo_attributes *attributes, struct arena *arena)
{
    struct bytes list;
    const char *field = NULL;
    assert_true(attributes_take(attributes, arena, &list, &field));
    assert_true(attributes_valid(list));
    return list;
}

static void
takes_every_type(void **state)
{
    struct arena arena = {0};
    struct qo_attributes *attributes = qo_attributes_new();
    struct attribute one;
    (void)state;
    assert_int_equal(list_of(attributes, &arena).size, 0);
    assert_int_equal(list_of(NULL, &arena).size, 0);
    assert_true(qo_attributes_add_text(attributes, "text", "five"));
    assert_true(qo_attributes_add_integer(attributes, "integer", INT64_MIN));
    assert_true(qo_attributes_add_number(attributes, "number", -0.0));
    assert_true(qo_attributes_add_boolean(attributes, "boolean", true));
    assert_true(qo_attributes_add_timestamp(attributes, "at", 1700000000000000));
    assert_true(qo_attributes_add_nil(attributes, "nothing"));
    /* A map whose keys are not sorted, with an integer in a longer form than needed. */
    const uint8_t raw[] = {0x82, 0xa1, 'b', 0xcd, 0, 1, 0xa1, 'a', 0xc0};
    const uint8_t canonical[] = {0x82, 0xa1, 'a', 0xc0, 0xa1, 'b', 1};
    assert_true(qo_attributes_add_raw(attributes, "raw", raw, sizeof raw));
    struct bytes list = list_of(attributes, &arena);
    assert_int_equal(attributes_count(list), 7);
    assert_true(attributes_find(list, bytes_text("text"), &one) && one.type == VALUE_TEXT);
    assert_true(bytes_equal(value_text(one.value), bytes_text("five")));
    assert_true(attributes_find(list, bytes_text("integer"), &one));
    assert_true(value_integer(one.value) == INT64_MIN);
    assert_true(attributes_find(list, bytes_text("number"), &one) && one.type == VALUE_NUMBER);
    assert_false(signbit(value_number(one.value)));
    assert_true(attributes_find(list, bytes_text("boolean"), &one) && one.type == VALUE_BOOLEAN);
    assert_true(attributes_find(list, bytes_text("at"), &one) && one.type == VALUE_INTEGER);
    assert_true(attributes_find(list, bytes_text("nothing"), &one) && one.type == VALUE_NIL);
    assert_true(attributes_find(list, bytes_text("raw"), &one) && one.type == VALUE_MAP);
    assert_true(bytes_equal(one.value, bytes_make(canonical, sizeof canonical)));
    arena_free(&arena);
    qo_attributes_free(attributes);
}

static void
keeps_the_last_value_of_a_name_in_any_order(void **state)
{
    enum { NAMES = 20 };
    uint64_t prng = seed_init();
    int64_t want[NAMES] = {0};
    struct arena arena = {0};
    struct qo_attributes *attributes = qo_attributes_new();
    (void)state;
    for (int64_t i = 1; i <= 500; i++) {
        uint64_t n = seed_below(&prng, NAMES);
        const char name[] = {(char)('a' + (char)n), '\0'};
        want[n] = i;
        assert_true(qo_attributes_add_integer(attributes, name, i));
    }
    struct bytes list = list_of(attributes, &arena);
    for (uint32_t n = 0; n < NAMES; n++) {
        const char name[] = {(char)('a' + (char)n), '\0'};
        struct attribute one;
        assert_true(attributes_find(list, bytes_text(name), &one));
        assert_int_equal(value_integer(one.value), want[n]);
    }
    assert_int_equal(attributes_count(list), NAMES);
    arena_free(&arena);
    qo_attributes_free(attributes);
}

static void
remembers_what_it_refused(void **state)
{
    static const char long_name[] =
        "12345678901234567890123456789012345678901234567890123456789012345";
    const uint8_t two[] = {1, 2}, half[] = {0xa5, 'x'}, extension[] = {0xd4, 1, 1};
    static char long_text[QO_ATTRIBUTES_MAX + 2];
    struct arena arena = {0};
    struct bytes list;
    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    struct qo_attributes *attributes = qo_attributes_new();
    assert_true(qo_attributes_add_text(attributes, "good", "x"));
    assert_false(qo_attributes_add_number(attributes, "first", (double)NAN));
    assert_false(qo_attributes_add_number(attributes, "n", (double)INFINITY));
    assert_false(qo_attributes_add_text(attributes, "", "x"));
    assert_false(qo_attributes_add_text(attributes, NULL, "x"));
    assert_false(qo_attributes_add_text(attributes, "n", NULL));
    assert_false(qo_attributes_add_text(attributes, "n", long_text));
    assert_false(qo_attributes_add_integer(attributes, long_name, 1));
    assert_false(qo_attributes_add_raw(attributes, "n", two, sizeof two));
    assert_false(qo_attributes_add_raw(attributes, "n", half, sizeof half));
    assert_false(qo_attributes_add_raw(attributes, "n", extension, sizeof extension));
    assert_false(qo_attributes_add_raw(attributes, "n", NULL, 0));
    const char *field = NULL;
    assert_false(attributes_take(attributes, &arena, &list, &field));
    assert_string_equal(field, "attributes.first");
    arena_free(&arena);
    qo_attributes_free(attributes);
    qo_attributes_free(NULL);
}

/* -- Requests that cannot be sent -------------------------------------------------------------- */

static void
refuses_what_it_cannot_send(void **state)
{
    static const char *const ids[257] = {"x"};
    static char big[300 * 1024 + 1], reason[4 * 1024];
    memset(big, 'x', sizeof big - 1);
    memset(reason, 'x', sizeof reason - 1);
    struct qo_attributes *bad = qo_attributes_new();
    (void)qo_attributes_add_number(bad, "sum", (double)NAN);
    const struct qo_operation nothing = {.method = QO_METHOD_GET};
    const struct qo_operation own_id = {
        .method = QO_METHOD_TRANSITION, .id = "a", .event = "e", .request_id = "r"};
    static struct qo_operation many[1024];
    static const uint32_t shards[] = {256};
    const struct qo_filter filter = {.shards = shards, .shards_count = 1};
    for (uint32_t i = 0; i < 1024; i++) {
        many[i] = (struct qo_operation){
            .method = QO_METHOD_CREATE, .id = "a", .machine = "m", .reason = reason};
    }
    const struct qo_attribute map = {.name = "a", .value = {.type = QO_TYPE_MAP}};
    const struct {
        const char *field;
        struct qo_request request;
    } cases[] = {
        {"attributes.sum", {.method = QO_METHOD_CREATE, .id = "a", .attributes = bad}},
        {"operations", {.method = QO_METHOD_BATCH}},
        {"operations.op",
         {.method = QO_METHOD_BATCH, .operations = &nothing, .operations_count = 1}},
        {"operations.request_id",
         {.method = QO_METHOD_BATCH, .operations = &own_id, .operations_count = 1, .atomic = true}},
        {"request_id",
         {.method = QO_METHOD_BATCH,
          .operations = &own_id,
          .operations_count = 1,
          .request_id = "r"}},
        {"message", {.method = QO_METHOD_BATCH, .operations = many, .operations_count = 1024}},
        {"ids", {.method = QO_METHOD_GET_MANY, .ids = ids, .ids_count = 257}},
        {"ids", {.method = QO_METHOD_GET_MANY}},
        {"value", {.method = QO_METHOD_LIST, .machine = "m", .match = &map}},
        {"wait_ms", {.method = QO_METHOD_FEED_READ, .wait_ms = 60001}},
        {"shards", {.method = QO_METHOD_FEED_READ, .filter = &filter}},
        {"source", {.method = QO_METHOD_MACHINE_PUT, .source = big}},
        {"timeout_ms", {.method = QO_METHOD_PING, .timeout_ms = 60001}},
        {"deadline_ms", {.method = QO_METHOD_PING, .deadline_ms = UINT32_MAX}},
        {"node", {.method = QO_METHOD_PING, .node = "nowhere"}},
        {"method", {.method = (enum qo_method)99}},
    };
    (void)state;
    struct qo_client *client = qo_client_open(&(struct qo_options){.endpoints = "127.0.0.1:1"});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct qo_result *result = qo_call(client, &cases[i].request);
        const struct qo_failure *failure = qo_result_failure(result);
        if (qo_result_outcome(result) != QO_OUTCOME_FAILED || failure == NULL ||
            failure->code != QO_CODE_BAD_REQUEST || strcmp(failure->field, cases[i].field) != 0) {
            fail_msg("case %zu: not refused at %s", i, cases[i].field);
        }
        assert_int_equal(failure->has_limit, strcmp(failure->field, "message") == 0);
        qo_result_free(result);
    }
    qo_client_close(client);
    qo_attributes_free(bad);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_type),
        cmocka_unit_test(keeps_the_last_value_of_a_name_in_any_order),
        cmocka_unit_test(remembers_what_it_refused),
        cmocka_unit_test(refuses_what_it_cannot_send),
    };
    return cmocka_run_group_tests_name("client/attributes", tests, NULL, NULL);
}
