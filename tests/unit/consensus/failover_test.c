/*
 * Goal: a leader whose process is gone is replaced at once, and a wrong hint costs nothing.
 * Method: a cluster in simulated time, with time-outs so long that they elect nobody meanwhile.
 */
#include "support/test.h"

#include "failover.h"
#include "support/seed.h"
#include "world.h"

enum { LATE_MS = 5000, SOON_MS = 1000 };

static struct world *world;
static uint64_t chance;
static unsigned leader, lowest; /* `lowest`: of the others. */

static void
run_ms(unsigned ms)
{
    raft_fixture_step_until_elapsed(&world->fixture, ms);
}

static bool
leads(struct raft_fixture *fixture, void *but)
{
    const unsigned *not_this = but;
    unsigned found = 0;
    for (unsigned i = 0; i < world->count; i++) {
        found += i != *not_this && raft_state(raft_fixture_get(fixture, i)) == RAFT_LEADER;
    }
    return found > 0;
}

/* A cluster whose leader has committed something. */
static void
led(unsigned count)
{
    unsigned nobody = count;
    world = world_make(count, &shim_rules_all, &chance);
    for (unsigned i = 0; i < count; i++) {
        raft_set_pre_vote(world_raft(world, i), true);
    }
    assert_true(raft_fixture_step_until(&world->fixture, leads, &nobody, 30000));
    run_ms(500);
    leader = 0;
    while (raft_state(world_raft(world, leader)) != RAFT_LEADER) {
        leader++;
    }
    lowest = leader == 0 ? 1 : 0;
    world_propose(world, leader, 'a');
    run_ms(500);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(world_copies(world, 'a'), count);
        if (i != leader) {
            world_raft(world, i)->follower_state.randomized_election_timeout = LATE_MS;
        }
    }
    run_ms(LATE_MS);
}

static void
tell_gone(unsigned of)
{
    for (unsigned i = 0; i < world->count; i++) {
        if (i != of) {
            failover_member_gone(&world->shims[i], of + 1, false);
        }
    }
}

static void
replaces_a_leader_that_is_gone_within_some_heartbeats(void **state)
{
    (void)state;
    for (unsigned count = 3; count <= 5; count += 2) {
        led(count);
        raft_term term = world_raft(world, leader)->current_term;
        raft_fixture_kill(&world->fixture, leader);
        tell_gone(leader);
        assert_true(raft_fixture_step_until(&world->fixture, leads, &leader, SOON_MS));
        assert_int_equal(raft_state(world_raft(world, lowest)), RAFT_LEADER);
        assert_int_equal(world_raft(world, lowest)->current_term, term + 1);
    }
}

/* The lowest would win, and serve nobody until it has executed what it lags behind. */
static void
lets_others_stand_first_while_it_is_behind(void **state)
{
    unsigned last;
    (void)state;
    for (unsigned count = 3; count <= 5; count += 2) {
        led(count);
        last = leader == count - 1 ? count - 2 : count - 1;
        raft_fixture_kill(&world->fixture, leader);
        for (unsigned i = 0; i < count; i++) {
            if (i != leader) {
                failover_member_gone(&world->shims[i], leader + 1, i != last);
            }
        }
        assert_true(raft_fixture_step_until(&world->fixture, leads, &leader, SOON_MS));
        assert_int_equal(raft_state(world_raft(world, last)), RAFT_LEADER);
    }
}

static void
stands_soon_if_all_are_behind(void **state)
{
    (void)state;
    led(3);
    raft_fixture_kill(&world->fixture, leader);
    for (unsigned i = 0; i < 3; i++) {
        if (i != leader) {
            failover_member_gone(&world->shims[i], leader + 1, true);
        }
    }
    assert_true(raft_fixture_step_until(&world->fixture, leads, &leader, SOON_MS));
    assert_int_equal(raft_state(world_raft(world, lowest)), RAFT_LEADER);
}

static void
waits_for_the_time_out_when_it_is_not_told(void **state)
{
    (void)state;
    led(3);
    raft_fixture_kill(&world->fixture, leader);
    assert_false(raft_fixture_step_until(&world->fixture, leads, &leader, LATE_MS - 500));
}

/* The lowest cannot win: its log is behind. */
static void
lets_the_next_member_stand_if_the_first_is_behind(void **state)
{
    (void)state;
    led(3);
    world_cut(world, leader, lowest);
    world_propose(world, leader, 'b');
    run_ms(300);
    assert_int_equal(world_copies(world, 'b'), 2);
    raft_fixture_kill(&world->fixture, leader);
    tell_gone(leader);
    assert_true(raft_fixture_step_until(&world->fixture, leads, &leader, SOON_MS));
    assert_int_equal(raft_state(world_raft(world, 3 - leader - lowest)), RAFT_LEADER);
}

static void
changes_nothing_when_the_leader_is_there(void **state)
{
    (void)state;
    led(3);
    raft_term term = world_raft(world, leader)->current_term;
    failover_member_gone(&world->shims[lowest], leader + 1, false);
    run_ms(5 * SOON_MS);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(world_raft(world, i)->current_term, term);
    }
    assert_int_equal(raft_state(world_raft(world, leader)), RAFT_LEADER);
    assert_int_equal(world_raft(world, lowest)->follower_state.current_leader.id, leader + 1);
}

/* The hint comes at each millisecond while entries of the leader are being written: what is stored
 * between it and the election is acknowledged to nobody. */
static void
forgets_a_leader_while_entries_of_it_are_written(void **state)
{
    enum { WRITE_MS = 30 };
    (void)state;
    for (unsigned ms = 0; ms < 2 * WRITE_MS; ms++) {
        led(3);
        raft_fixture_set_disk_latency(&world->fixture, lowest, WRITE_MS);
        world_propose(world, leader, 'b');
        run_ms(ms);
        raft_fixture_kill(&world->fixture, leader);
        tell_gone(leader);
        assert_true(raft_fixture_step_until(&world->fixture, leads, &leader, SOON_MS));
    }
}

static void
ignores_a_member_that_it_does_not_follow(void **state)
{
    (void)state;
    led(3);
    const struct raft *raft = world_raft(world, lowest);
    raft_time start = raft->election_timer_start;
    failover_member_gone(&world->shims[lowest], 3 - leader - lowest + 1, false);
    failover_member_gone(&world->shims[leader], lowest + 1, false);
    assert_int_equal(raft->follower_state.current_leader.id, leader + 1);
    assert_true(raft->election_timer_start == start);
    assert_int_equal(raft_state(world_raft(world, leader)), RAFT_LEADER);
}

int
main(void)
{
    chance = seed_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_a_leader_that_is_gone_within_some_heartbeats),
        cmocka_unit_test(lets_others_stand_first_while_it_is_behind),
        cmocka_unit_test(stands_soon_if_all_are_behind),
        cmocka_unit_test(waits_for_the_time_out_when_it_is_not_told),
        cmocka_unit_test(lets_the_next_member_stand_if_the_first_is_behind),
        cmocka_unit_test(changes_nothing_when_the_leader_is_there),
        cmocka_unit_test(forgets_a_leader_while_entries_of_it_are_written),
        cmocka_unit_test(ignores_a_member_that_it_does_not_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
