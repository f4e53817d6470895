/*
 * Goal: the rules of exactly once are those of PROTOCOL.md: no refusal is believed too early, none
 * is doubted without need, and an outcome is unknown exactly if a copy is in doubt.
 * Method: a row for every code and every situation.
 */
#include "support/test.h"

#include "common/error.h"
#include "common/limits.h"
#include "judge.h"
#include "support/seed.h"

struct judge_case {
    enum qo_code code;
    bool unknown_effect, names_leader;
    enum verdict alone;   /* No earlier copy is live, or it is a read. */
    enum verdict in_live; /* A write with a live copy. */
    bool doubtful;
};

static const struct judge_case cases[] = {
    {QO_CODE_OK, false, false, VERDICT_DONE, VERDICT_DONE, false},
    {QO_CODE_BAD_REQUEST, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_UNKNOWN_METHOD, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_UNAUTHORIZED, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_FORBIDDEN, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_NOT_FOUND, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_ALREADY_EXISTS, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_INVALID_TRANSITION, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_VERSION_CONFLICT, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_INVALID_ATTRIBUTE, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_NOT_UNIQUE, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_REQUEST_ID_REUSED, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_RESOURCE_TAKEN, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_INSUFFICIENT, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_INVALID_MACHINE, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_POSITION_LOST, false, false, VERDICT_REFUSED, VERDICT_AGAIN_LATE, false},
    {QO_CODE_NOT_LEADER, false, true, VERDICT_REDIRECTED, VERDICT_REDIRECTED, false},
    {QO_CODE_NOT_LEADER, false, false, VERDICT_AGAIN, VERDICT_AGAIN, false},
    {QO_CODE_UNAVAILABLE, false, false, VERDICT_AGAIN, VERDICT_AGAIN, false},
    {QO_CODE_UNKNOWN_OUTCOME, true, false, VERDICT_AGAIN, VERDICT_AGAIN, true},
    {QO_CODE_UNKNOWN_OUTCOME, false, false, VERDICT_AGAIN, VERDICT_AGAIN, true},
    {QO_CODE_TIMEOUT, false, false, VERDICT_AGAIN, VERDICT_AGAIN, false},
    {QO_CODE_OVERLOADED, false, false, VERDICT_AGAIN, VERDICT_AGAIN, false},
    {QO_CODE_INTERNAL, true, false, VERDICT_AGAIN, VERDICT_AGAIN, true},
    {QO_CODE_INTERNAL, false, false, VERDICT_BROKEN, VERDICT_AGAIN_LATE, false},
};

static void
judges_every_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct judge_case *c = &cases[i];
        const struct answer_facts facts = {c->code, c->unknown_effect, c->names_leader};
        if (judge_answer(facts, true, false) != c->alone ||
            judge_answer(facts, false, true) != c->alone ||
            judge_answer(facts, true, true) != c->in_live || judge_doubtful(facts) != c->doubtful) {
            fail_msg("%s is judged wrongly", qo_code_name(c->code));
        }
    }
}

/* The table above must know what the protocol's table knows. */
static void
knows_every_code_of_the_protocol(void **state)
{
    static const struct {
        int number;
        const char *name;
    } errors[] = {
#define X(symbol, number, name, effect) {number, name},
        QO_ERROR_MAP(X)
#undef X
    };
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        bool judged = false;
        for (size_t j = 0; j < sizeof cases / sizeof cases[0]; j++) {
            judged = judged || (int)cases[j].code == errors[i].number;
        }
        assert_string_equal(qo_code_name((enum qo_code)errors[i].number), errors[i].name);
        if (!judged) {
            fail_msg("%s is not judged", errors[i].name);
        }
    }
    assert_string_equal(qo_code_name(QO_CODE_OK), "ok");
    assert_string_equal(qo_code_name(QO_CODE_LOCAL_OVERLOADED), "local_overloaded");
    assert_string_equal(qo_code_name(QO_CODE_UNREACHABLE), "unreachable");
    assert_string_equal(qo_code_name(QO_CODE_CLOSED), "closed");
    assert_string_equal(qo_code_name(QO_CODE_PROTOCOL), "protocol");
    assert_string_equal(qo_code_name((enum qo_code)7), "unknown_code");
}

static void
lets_the_operation_with_most_left_to_do_decide(void **state)
{
    (void)state;
    assert_int_equal(judge_worse(VERDICT_DONE, VERDICT_REFUSED), VERDICT_REFUSED);
    assert_int_equal(judge_worse(VERDICT_AGAIN, VERDICT_REFUSED), VERDICT_AGAIN);
    assert_int_equal(judge_worse(VERDICT_AGAIN, VERDICT_AGAIN_LATE), VERDICT_AGAIN_LATE);
    assert_int_equal(judge_worse(VERDICT_DONE, VERDICT_REDIRECTED), VERDICT_AGAIN);
}

static void
leaves_room_for_the_nodes_own_answer(void **state)
{
    (void)state;
    assert_int_equal(judge_copy_timeout_ms(5000, 30 * 1000000), 5000);
    assert_int_equal(judge_copy_timeout_ms(5000, 4 * 1000000), 3500);
    assert_int_equal(judge_copy_timeout_ms(5000, 1000), 1);
    assert_int_equal(judge_copy_timeout_ms(5000, -1), 1);
    assert_true(judge_live_until(7, 5000) >= 7 + 5000 * 1000);
}

static void
ends_unknown_only_in_doubt(void **state)
{
    (void)state;
    assert_int_equal(judge_end(true, true), QO_OUTCOME_UNKNOWN);
    assert_int_equal(judge_end(true, false), QO_OUTCOME_FAILED);
    assert_int_equal(judge_end(false, true), QO_OUTCOME_FAILED);
}

static void
backs_off_within_its_bounds(void **state)
{
    uint64_t prng = seed_init();
    int64_t lowest = INT64_MAX, highest = 0;
    (void)state;
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t attempts = (uint32_t)seed_below(&prng, 40);
        int64_t wait_us = judge_backoff_us(attempts, 20, 1000, seed_next(&prng));
        lowest = wait_us < lowest ? wait_us : lowest;
        highest = wait_us > highest ? wait_us : highest;
        assert_true(wait_us >= (attempts == 0 ? 10000 : 20000) && wait_us <= 1000 * 1000);
    }
    assert_true(lowest < 20000 && highest > 900 * 1000); /* Both ends were met. */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_every_code),
        cmocka_unit_test(knows_every_code_of_the_protocol),
        cmocka_unit_test(lets_the_operation_with_most_left_to_do_decide),
        cmocka_unit_test(leaves_room_for_the_nodes_own_answer),
        cmocka_unit_test(ends_unknown_only_in_doubt),
        cmocka_unit_test(backs_off_within_its_bounds),
    };
    return cmocka_run_group_tests_name("client/judge", tests, NULL, NULL);
}
