/*
 * Goal: a leader's time never goes back, follows the monotonic clock, and approaches wall time by
 * at most 0.05 %. Method: a wall clock that is set forward, set back, and drifts; random readings.
 */
#include "support/test.h"

#include "leader_clock.h"
#include "support/seed.h"

enum { READINGS = 20000 };

struct clock_case {
    const char *name;
    int64_t jump_us; /* Of the wall clock, just after the start. */
};

static void
slews(void **state)
{
    static const struct clock_case cases[] = {
        {"right", 0}, {"an hour ahead", 3600000000}, {"an hour back", -3600000000}};
    uint64_t prng = seed_init();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct leader_clock clock;
        const int64_t wall = 1700000000000000, start = 5000000;
        int64_t monotonic = start, last = wall, ahead_max = 0, behind_max = 0;
        leader_clock_start(&clock, wall, monotonic);
        for (uint32_t n = 0; n < READINGS; n++) {
            monotonic += (int64_t)seed_below(&prng, 20000);
            int64_t passed = monotonic - start;
            int64_t time = leader_clock_read(&clock, wall + passed + cases[i].jump_us, monotonic);
            if (time < last) {
                fail_msg("%s: went back at reading %u", cases[i].name, n);
            }
            last = time;
            int64_t off = time - (wall + passed);
            ahead_max = off > ahead_max ? off : ahead_max;
            behind_max = off < behind_max ? off : behind_max;
            assert_true(off <= passed / 2000 && -off <= passed / 2000);
        }
        /* It did move towards the wall clock: nearly as fast as it may. */
        int64_t most = (monotonic - start) / 2000;
        assert_true(cases[i].jump_us > 0 ? ahead_max > most / 2 : ahead_max == 0);
        assert_true(cases[i].jump_us < 0 ? behind_max < -most / 2 : behind_max == 0);
    }
}

static void
readings_in_one_microsecond_agree(void **state)
{
    struct leader_clock clock;
    (void)state;
    leader_clock_start(&clock, 1000, 1000);
    assert_int_equal(leader_clock_read(&clock, 5000, 1000), 1000);
    assert_int_equal(leader_clock_read(&clock, 5000, 1000), 1000);
    assert_int_equal(leader_clock_read(&clock, 5000, 1001), 1001);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slews),
        cmocka_unit_test(readings_in_one_microsecond_agree),
    };
    return cmocka_run_group_tests_name("server/leader_clock", tests, NULL, NULL);
}
