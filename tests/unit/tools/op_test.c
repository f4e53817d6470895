/*
 * Goal: the load notices every answer that is not exactly the receipt it is owed.
 * Method: one right receipt, then the same with one thing wrong at a time; requests are read back
 * with the server's own decoder.
 */
#include "support/test.h"

#include <string.h>

#include "op.h"

static struct plan plan;
static struct orders orders;
static struct op_world world;
static struct order items[4];

static int
set_up(void **state)
{
    (void)state;
    bool fit = plan_make(&plan, plan_builtin());
    orders = (struct orders){.prefix = "t", .prefix_size = 1, .count = 4, .items = items};
    world = (struct op_world){
        .plan = &plan, .orders = &orders, .nonce = {'n', 'o', 'n', 'c', 'e', '0', '0', '1'}};
    return fit ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    plan_free(&plan);
    arena_free(&world.arena);
    return 0;
}

static struct wire_receipt
right(void)
{
    items[1] = (struct order){.seq = 40, .version = 7, .state = plan.initial};
    return (struct wire_receipt){.id = bytes_text("t-00000001"),
                                 .machine = bytes_text("bench"),
                                 .machine_version = 1,
                                 .event = plan.steps[plan.initial].event,
                                 .from = plan.steps[plan.initial].from_name,
                                 .to = plan.steps[plan.initial].to_name,
                                 .version = 8,
                                 .seq = 41,
                                 .at = 5,
                                 .epoch = 1};
}

static enum op_outcome
judge(const struct wire_receipt *receipt, uint16_t copies)
{
    struct buf body = {0};
    struct op op = {.number = 3, .order = 1, .copies = copies, .kind = OP_TRANSITION};
    struct op_verdict verdict;
    wire_put_receipt(&body, receipt);
    op_check(&world, &op, false, buf_bytes(&body), &verdict);
    buf_free(&body);
    return verdict.outcome;
}

static void
takes_the_right_receipt_and_moves_the_order_on(void **state)
{
    (void)state;
    struct wire_receipt receipt = right();
    assert_int_equal(judge(&receipt, 1), OP_DONE);
    assert_int_equal(items[1].version, 8);
    assert_int_equal(items[1].seq, 41);
    assert_int_equal(items[1].state, plan.steps[plan.initial].to);
}

static void
notices_each_thing_that_is_wrong(void **state)
{
    (void)state;
    for (int what = 0; what < 9; what++) {
        struct wire_receipt receipt = right();
        receipt.id = what == 0 ? bytes_text("t-00000002") : receipt.id;
        receipt.machine = what == 1 ? bytes_text("order") : receipt.machine;
        receipt.event = what == 2 ? bytes_text("create") : receipt.event;
        receipt.from = what == 3 ? receipt.to : receipt.from;
        receipt.to = what == 4 ? receipt.from : receipt.to;
        receipt.version = what == 5 ? 7 : receipt.version;
        receipt.version = what == 6 ? 9 : receipt.version;
        receipt.seq = what == 7 ? 40 : receipt.seq;
        receipt.replayed = what == 8;
        if (judge(&receipt, 1) != OP_WRONG) {
            fail_msg("%d was not noticed", what);
        }
        assert_int_equal(items[1].version, 7);
    }
}

static void
takes_a_replay_only_of_what_was_sent_again(void **state)
{
    (void)state;
    struct wire_receipt receipt = right();
    receipt.replayed = true;
    assert_int_equal(judge(&receipt, 1), OP_WRONG);
    receipt = right();
    receipt.replayed = true;
    assert_int_equal(judge(&receipt, 2), OP_DONE);
}

static void
tells_errors_that_pass_from_refusals(void **state)
{
    (void)state;
    static const struct {
        enum qo_error error;
        bool unknown_effect;
        enum op_outcome want;
    } table[] = {
        {QO_VERSION_CONFLICT, false, OP_REFUSED},
        {QO_INVALID_TRANSITION, false, OP_REFUSED},
        {QO_NOT_LEADER, false, OP_AGAIN},
        {QO_UNAVAILABLE, false, OP_AGAIN},
        {QO_UNKNOWN_OUTCOME, true, OP_AGAIN},
        {QO_OVERLOADED, false, OP_AGAIN},
        {QO_INTERNAL, true, OP_AGAIN},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct wire_failure failure = {.error = table[i].error,
                                       .unknown_effect = table[i].unknown_effect,
                                       .retry_after_ms = 30};
        struct op op = {.order = 1, .copies = 1, .kind = OP_TRANSITION};
        struct op_verdict verdict;
        struct buf body = {0};
        wire_put_failure(&body, &failure, UINT32_MAX);
        op_check(&world, &op, true, buf_bytes(&body), &verdict);
        buf_free(&body);
        if (verdict.outcome != table[i].want || verdict.error != table[i].error) {
            fail_msg("%s", error_code(table[i].error));
        }
    }
}

static void
a_read_must_show_the_last_receipt(void **state)
{
    (void)state;
    struct bytes a = plan.steps[plan.initial].from_name;
    struct bytes b = plan.steps[plan.initial].to_name;
    const struct {
        uint64_t version, seq;
        struct bytes state;
        enum wire_consistency consistency;
        enum op_outcome want;
    } table[] = {
        {7, 40, a, WIRE_LINEARIZABLE, OP_DONE},  {6, 30, b, WIRE_LINEARIZABLE, OP_WRONG},
        {8, 41, b, WIRE_LINEARIZABLE, OP_WRONG}, {6, 30, b, WIRE_LOCAL, OP_DONE},
        {8, 41, b, WIRE_LOCAL, OP_WRONG},        {7, 40, b, WIRE_LOCAL, OP_WRONG},
        {7, 39, a, WIRE_LINEARIZABLE, OP_WRONG},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)right();
        struct wire_order order = {.id = bytes_text("t-00000001"),
                                   .machine = bytes_text("bench"),
                                   .machine_version = 1,
                                   .state = table[i].state,
                                   .version = table[i].version,
                                   .seq = table[i].seq};
        struct op op = {.order = 1, .copies = 1, .kind = OP_READ};
        struct op_verdict verdict;
        struct buf body = {0};
        wire_put_order_get(&body, &order, 100);
        world.consistency = table[i].consistency;
        op_check(&world, &op, false, buf_bytes(&body), &verdict);
        buf_free(&body);
        if (verdict.outcome != table[i].want) {
            fail_msg("row %zu: %d", i, (int)verdict.outcome);
        }
    }
    world.consistency = WIRE_LINEARIZABLE;
}

static void
requests_are_what_the_server_reads(void **state)
{
    (void)state;
    struct wire_decoder decoder = {.values = {0}};
    struct arena arena = {0};
    for (uint8_t kind = OP_TRANSITION; kind <= OP_LEARN; kind++) {
        struct op op = {.number = UINT64_C(0x123456789abc), .order = 1, .kind = kind};
        struct buf out = {0};
        struct wire_request request;
        struct wire_refusal refusal;
        (void)right();
        op_encode(&world, &op, 77, &out);
        assert_true(wire_decode_request(&decoder, buf_bytes(&out), &arena, &request, &refusal));
        assert_int_equal(request.msgid, 77);
        if (kind == OP_TRANSITION) {
            struct attribute note;
            const struct wire_operation *operation = &request.operations[0];
            assert_true(bytes_equal(operation->id, bytes_text("t-00000001")));
            assert_int_equal(operation->expect_version, 7);
            assert_int_equal(operation->request_id.size, OP_REQUEST_ID_SIZE);
            assert_true(attributes_find(operation->attributes, bytes_text("note"), &note));
            assert_int_equal(value_text(note.value).size, OP_NOTE_SIZE);
        }
        buf_free(&out);
    }
    arena_free(&arena);
    wire_decoder_free(&decoder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_right_receipt_and_moves_the_order_on),
        cmocka_unit_test(notices_each_thing_that_is_wrong),
        cmocka_unit_test(takes_a_replay_only_of_what_was_sent_again),
        cmocka_unit_test(tells_errors_that_pass_from_refusals),
        cmocka_unit_test(a_read_must_show_the_last_receipt),
        cmocka_unit_test(requests_are_what_the_server_reads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
