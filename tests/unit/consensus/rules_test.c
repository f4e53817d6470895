/*
 * Goal: each rule of the shim that cures a fault of libraft's core does cure it.
 * Method: the fault's scenario in simulated time, three times: with no rule, where the fault must
 * appear (else the test would prove nothing); with that rule alone; with all rules.
 * Names in capitals and digits are those of the list of known faults that shim.h refers to.
 */
#include "support/test.h"

#include <string.h>

#include "peek.h"
#include "world.h"

static struct world *world; /* The one under test. */

struct scenario {
    const char *name;
    bool (*faulty)(const struct shim_rules *rules); /* True if the fault appeared. */
    struct shim_rules alone;
};

static void
run_scenario(const struct scenario *scenario)
{
    static const struct shim_rules none;
    if (!scenario->faulty(&none)) {
        fail_msg("%s: the fault does not appear without the rule", scenario->name);
    }
    if (scenario->faulty(&scenario->alone)) {
        fail_msg("%s: the fault appears with the rule", scenario->name);
    }
    if (scenario->faulty(&shim_rules_all)) {
        fail_msg("%s: the fault appears with all rules", scenario->name);
    }
}

static void
run_ms(unsigned ms)
{
    raft_fixture_step_until_elapsed(&world->fixture, ms);
}

static bool
becomes(unsigned i, int state, unsigned within_ms)
{
    return raft_fixture_step_until_state_is(&world->fixture, i, state, within_ms);
}

static bool
someone_leads(struct raft_fixture *fixture, void *but)
{
    const unsigned *not_this = but;
    for (unsigned i = 0; i < world->count; i++) {
        if (i != *not_this && raft_state(raft_fixture_get(fixture, i)) == RAFT_LEADER) {
            return true;
        }
    }
    return false;
}

static unsigned
leader_but(unsigned but)
{
    unsigned i = 0;
    assert_true(raft_fixture_step_until(&world->fixture, someone_leads, &but, 30000));
    while (i == but || raft_state(world_raft(world, i)) != RAFT_LEADER) {
        i++;
    }
    return i;
}

/*
 * A1: 0 leads, is cut off and stores x, y, z alone. A new leader's first message to it is an empty
 * heartbeat; in the same round trip a write reaches the new leader, who counts 0's old tail as a
 * copy of it, acknowledges, and dies.
 */
static bool
counts_a_tail_that_it_never_sent(const struct shim_rules *rules)
{
    world = world_make(3, rules, NULL);
    raft_fixture_elect(&world->fixture, 0);
    run_ms(200);
    world_propose(world, 0, 'a');
    run_ms(500);
    world_isolate(world, 0);
    for (uint32_t value = 'x'; value <= 'z'; value++) {
        world_propose(world, 0, value);
    }
    raft_fixture_set_randomized_election_timeout(&world->fixture, 0, 60000);
    assert_true(becomes(0, RAFT_FOLLOWER, 5000));
    world_join(world, 0);
    world_timeout(world, 0, 60000);
    unsigned leader = leader_but(0), other = 3 - leader;
    world_cut(world, leader, other);
    world_cut(world, other, leader);
    world_propose(world, leader, 'b');
    run_ms(400);
    bool acknowledged = world_acknowledged(world, 'b');
    raft_fixture_kill(&world->fixture, leader);
    world_timeout(world, 0, 1200);
    world_timeout(world, other, 1900);
    unsigned next = leader_but(leader);
    world_propose(world, next, 'c');
    run_ms(3000);
    return world_diverged(world) || (acknowledged && world_copies(world, 'b') < 2);
}

/*
 * B1: member 4's slow disk takes 0's write x. It finishes when 4 already follows 1, and the ack
 * goes to 1, who counts it for its own write b at that index.
 */
static bool
counts_an_ack_for_another_leaders_entry(const struct shim_rules *rules)
{
    world = world_make(5, rules, NULL);
    raft_fixture_elect(&world->fixture, 0);
    run_ms(500);
    for (unsigned i = 1; i < 4; i++) { /* Only 4 hears of x. */
        world_cut(world, 0, i);
        world_cut(world, i, 0);
        world_timeout(world, i, i == 1 ? 1500 : 3000);
    }
    raft_fixture_set_disk_latency(&world->fixture, 4, 4500);
    world_propose(world, 0, 'x');
    run_ms(100);
    world_isolate(world, 0);
    raft_fixture_set_randomized_election_timeout(&world->fixture, 0, 60000);
    world_timeout(world, 4, 60000);
    assert_true(becomes(1, RAFT_LEADER, 4000));
    run_ms(120); /* Its first heartbeats are through. */
    world_cut(world, 1, 4);
    world_cut(world, 1, 3); /* 1 is left with 2, and 4's acks. */
    world_cut(world, 3, 1);
    world_propose(world, 1, 'b');
    run_ms(4600 - 1500 + 400);
    bool acknowledged = world_acknowledged(world, 'b');
    raft_fixture_kill(&world->fixture, 1);
    raft_fixture_kill(&world->fixture, 2);
    raft_fixture_set_disk_latency(&world->fixture, 4, 10);
    world_join(world, 0);
    world_timeout(world, 0, 1200);
    world_timeout(world, 3, 3000);
    world_timeout(world, 4, 3000);
    run_ms(4000);
    /* 0, 3 and 4 are a majority: what was acknowledged must be among them. */
    unsigned copies = 0;
    for (unsigned i = 0; i < world->count; i++) {
        for (uint32_t at = 0; i != 1 && i != 2 && at < world->histories[i].count; at++) {
            copies += world->histories[i].values[at] == 'b';
        }
    }
    return world_diverged(world) || (acknowledged && copies == 0);
}

/*
 * A2, figure 8 of the Raft paper: 1 holds x of term 2 alone, 0 holds y of a later term alone. 1
 * leads again, copies x to 2, counts two copies and applies it; then it dies and 0, whose last term
 * is higher, leads.
 */
static bool
commits_an_old_terms_entry_by_counting(const struct shim_rules *rules)
{
    world = world_make(3, rules, NULL);
    raft_fixture_elect(&world->fixture, 1);
    run_ms(200);
    world_propose(world, 1, 'a');
    run_ms(500);
    world_isolate(world, 1);
    world_propose(world, 1, 'x');
    raft_fixture_set_randomized_election_timeout(&world->fixture, 1, 90000);
    world_timeout(world, 0, 1000);
    world_timeout(world, 2, 1900);
    assert_true(becomes(1, RAFT_FOLLOWER, 5000));
    assert_true(becomes(0, RAFT_LEADER, 30000));
    world_isolate(world, 0);
    world_propose(world, 0, 'y');
    raft_fixture_set_randomized_election_timeout(&world->fixture, 0, 90000);
    assert_true(becomes(0, RAFT_FOLLOWER, 5000));
    world_join(world, 1);
    world_cut(world, 0, 1);
    world_cut(world, 1, 0);
    world_timeout(world, 1, 1100);
    world_timeout(world, 2, 1700);
    (void)becomes(1, RAFT_LEADER, 10000);
    run_ms(2000);
    raft_fixture_kill(&world->fixture, 1);
    world_mend(world, 0, 2);
    world_mend(world, 2, 0);
    world_timeout(world, 0, 1100);
    world_timeout(world, 2, 1900);
    unsigned next = leader_but(1);
    world_propose(world, next, 'z');
    run_ms(3000);
    for (unsigned i = 0; i < 3; i++) {
        if (raft_state(world_raft(world, i)) == RAFT_UNAVAILABLE) {
            return true;
        }
    }
    return world_diverged(world);
}

/* A3: the leader's disk is faster than the way to a follower and back, and writes keep coming. */
static bool
never_commits_under_a_stream(const struct shim_rules *rules)
{
    world = world_make(3, rules, NULL);
    raft_fixture_elect(&world->fixture, 0);
    run_ms(200);
    for (unsigned i = 0; i < 3; i++) {
        raft_fixture_set_disk_latency(&world->fixture, i, 1);
        raft_fixture_set_network_latency(&world->fixture, i, 5);
    }
    raft_time last = raft_fixture_time(&world->fixture), end = last + 2000;
    uint32_t value = 0;
    while (raft_fixture_time(&world->fixture) < end) {
        (void)raft_fixture_step(&world->fixture);
        if (raft_fixture_time(&world->fixture) >= last + 5) {
            last = raft_fixture_time(&world->fixture);
            value++;
            world_propose(world, 0, value);
        }
    }
    assert_true(value > 300);
    return world->acknowledged_count < value * 9 / 10;
}

/*
 * A7: 1 has an entry in memory and not on its disk when the leader dies. If it stands, and wins, it
 * leads with entries that a crash would take from it.
 */
static bool
stands_with_an_unstored_log(const struct shim_rules *rules)
{
    world = world_make(3, rules, NULL);
    raft_fixture_elect(&world->fixture, 0);
    run_ms(500);
    raft_fixture_set_disk_latency(&world->fixture, 1, 20000);
    world_propose(world, 0, 'x');
    run_ms(100);
    raft_fixture_kill(&world->fixture, 0);
    world_timeout(world, 1, 1000);
    world_timeout(world, 2, 60000);
    bool stood = becomes(1, RAFT_CANDIDATE, 8000);
    const struct raft *raft = world_raft(world, 1);
    return stood && raft->last_stored < raft_last_index(world_raft(world, 1));
}

/*
 * B2: 0 was cut off with as many entries under way as a leader may have. The leader, who has others
 * there and probes from its end, as after an election or a failed send, looks for the last one that
 * is equal. Without the rule it goes back one per heartbeat.
 */
static bool
goes_back_one_entry_per_heartbeat(const struct shim_rules *rules)
{
    enum { HEARTBEAT_MS = 100, TAIL = QO_PROPOSALS_MAX, ALL = 3 * TAIL };
    world = world_make(3, rules, NULL);
    raft_fixture_elect(&world->fixture, 0);
    run_ms(500);
    world_isolate(world, 0);
    for (uint32_t value = 1; value <= TAIL; value++) {
        world_propose(world, 0, value);
    }
    raft_fixture_set_randomized_election_timeout(&world->fixture, 0, 60000);
    assert_true(becomes(0, RAFT_FOLLOWER, 5000));
    unsigned leader = leader_but(0);
    for (uint32_t value = TAIL + 1; value <= TAIL + ALL; value++) {
        world_propose(world, leader, value);
        run_ms(100);
    }
    world_timeout(world, 0, 60000);
    world_join(world, 0);
    peek_probe_from_end(world_raft(world, leader), 1);
    raft_time begin = raft_fixture_time(&world->fixture), now = begin;
    while (world->histories[0].count < ALL && now < begin + 2 * TAIL * HEARTBEAT_MS) {
        (void)raft_fixture_step(&world->fixture);
        now = raft_fixture_time(&world->fixture);
    }
    assert_int_equal(world->histories[0].count, ALL);
    assert_false(world_diverged(world));
    return now - begin > 6 * HEARTBEAT_MS;
}

/*
 * B23: the leader's packets stop; 1 stands after a second, 2 would after a minute, and refuses 1
 * all that time because it still has a leader.
 */
static bool
waits_for_the_slowest_follower(const struct shim_rules *rules)
{
    unsigned dead = 0;
    world = world_make(3, rules, NULL);
    raft_fixture_elect(&world->fixture, dead);
    run_ms(500);
    raft_fixture_kill(&world->fixture, dead);
    world_timeout(world, 1, 1000);
    world_timeout(world, 2, 60000);
    return !raft_fixture_step_until(&world->fixture, someone_leads, &dead, 5000);
}

static void
cures_each_fault_of_the_core(void **state)
{
    static const struct scenario scenarios[] = {
        {"A1 (S-1)", counts_a_tail_that_it_never_sent, {.clamp_acks = true}},
        {"B1 (S-1)", counts_an_ack_for_another_leaders_entry, {.clamp_acks = true}},
        {"A2 (S-2)", commits_an_old_terms_entry_by_counting, {.own_entry_first = true}},
        {"B2 (S-7)", goes_back_one_entry_per_heartbeat, {.step_back = true}},
        {"A3 (S-3)", never_commits_under_a_stream, {.pace_completions = true}},
        {"B23 (S-15)", waits_for_the_slowest_follower, {.forget_silent = true}},
        {"A7 (S-5)", stands_with_an_unstored_log, {.stored_candidacy = true}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        run_scenario(&scenarios[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cures_each_fault_of_the_core),
    };
    return cmocka_run_group_tests_name("consensus/rules", tests, NULL, NULL);
}
