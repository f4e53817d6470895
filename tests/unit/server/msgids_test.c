/*
 * Goal: a session knows exactly the message ids that are under way, however they collide.
 * Method: random adds and removes against a table of flags, with ids that hash close together.
 */
#include "support/test.h"

#include <stdbool.h>
#include <string.h>

#include "msgids.h"
#include "support/seed.h"

enum { IDS = 4096, STEPS = 200000 };

struct id_case {
    const char *name;
    uint32_t stride; /* The n-th id is n * stride. */
};

static void
agree_with_flags(const struct id_case *c, uint64_t *prng)
{
    static bool there[IDS];
    struct msgids msgids = {0};
    uint32_t count = 0, refused = 0;
    memset(there, 0, sizeof there);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t n = (uint32_t)seed_below(prng, IDS);
        bool grow = seed_below(prng, 100) < (step / 5000 % 2 == 0 ? 70u : 30u);
        if (grow) {
            bool added = msgids_add(&msgids, n * c->stride);
            if (added == there[n]) {
                fail_msg("%s: step %u, id %u", c->name, step, n);
            }
            refused += !added;
            count += added;
            there[n] = true;
        } else if (there[n]) {
            msgids_remove(&msgids, n * c->stride);
            there[n] = false;
            count--;
        }
        assert_int_equal(msgids.count, count);
    }
    assert_true(refused > 0); /* Else this case tested too little. */
    msgids_free(&msgids);
}

static void
agrees_with_flags(void **state)
{
    static const struct id_case cases[] = {
        {"counted up", 1}, {"far apart", 0x10001}, {"all ends alike", 1u << 20}};
    uint64_t prng = seed_init();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        agree_with_flags(&cases[i], &prng);
    }
}

static void
takes_the_smallest_and_the_largest_id(void **state)
{
    struct msgids msgids = {0};
    (void)state;
    assert_true(msgids_add(&msgids, 0));
    assert_true(msgids_add(&msgids, UINT32_MAX));
    assert_false(msgids_add(&msgids, 0));
    assert_false(msgids_add(&msgids, UINT32_MAX));
    msgids_remove(&msgids, 0);
    assert_true(msgids_add(&msgids, 0));
    msgids_free(&msgids);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_flags),
        cmocka_unit_test(takes_the_smallest_and_the_largest_id),
    };
    return cmocka_run_group_tests_name("server/msgids", tests, NULL, NULL);
}
