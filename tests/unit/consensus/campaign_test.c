/*
 * Goal: under random network faults no two members ever apply different entries, nothing that was
 * acknowledged is missing afterwards, and a healed cluster becomes level.
 * Method: clusters of three and five in simulated time, each from one seed: cuts in one or both
 * directions, slow links, slow disks, writes at every member that believes it leads. First faults,
 * then healing, then a last write that must be everywhere. QO_SEED replays one; QO_CAMPAIGN sets
 * how many. Crashes and lost writes are tests/simulation's.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "support/seed.h"
#include "world.h"

enum { SEEDS = 250, SEEDS_MIN = 10, FAULTS_MS = 25000, HEALED_MS = 60000 };
static const int64_t budget_us = 25000000; /* Of real time; a slow machine does fewer seeds. */

static struct world *world; /* The one under test. */

/* What all seeds together must have met, or they tested too little. */
struct reached {
    uint32_t acknowledged, refused, unanswered, cuts, terms;
};

static void
mend_all(void)
{
    for (unsigned i = 0; i < world->count; i++) {
        world_join(world, i);
        raft_fixture_set_network_latency(&world->fixture, i, 5);
    }
}

static void
hurt(uint64_t *chance, struct reached *reached)
{
    unsigned i = (unsigned)seed_below(chance, world->count);
    unsigned j = (unsigned)((i + 1 + seed_below(chance, world->count - 1)) % world->count);
    switch (seed_below(chance, 5)) {
    case 0:
        world_isolate(world, i);
        reached->cuts++;
        break;
    case 1:
        world_cut(world, i, j);
        reached->cuts++;
        break;
    case 2:
        world_cut(world, i, j);
        world_cut(world, j, i);
        break;
    case 3:
        raft_fixture_set_network_latency(&world->fixture, i, 1 + (unsigned)seed_below(chance, 200));
        break;
    default:
        mend_all();
        break;
    }
}

static void
propose_everywhere(uint32_t *value)
{
    for (unsigned i = 0; i < world->count; i++) {
        if (raft_state(world_raft(world, i)) == RAFT_LEADER) {
            (*value)++;
            world_propose(world, i, *value);
        }
    }
}

/* B20: what a member knows to be committed is on its disk, and never becomes less. */
static void
look_at_commits(raft_index seen[WORLD_MAX])
{
    for (unsigned i = 0; i < world->count; i++) {
        const struct raft *raft = world_raft(world, i);
        assert_true(raft->commit_index >= seen[i] && raft->commit_index <= raft->last_stored);
        seen[i] = raft->commit_index;
    }
}

/* Steps until `end_ms`, hurting and writing on the way. */
static void
run_faults(uint64_t *chance, struct reached *reached, uint32_t *value)
{
    raft_time fault_at = 2000, write_at = 0, now = 0;
    raft_index seen[WORLD_MAX] = {0};
    while (now < FAULTS_MS) {
        (void)raft_fixture_step(&world->fixture);
        look_at_commits(seen);
        now = raft_fixture_time(&world->fixture);
        if (now >= fault_at) {
            hurt(chance, reached);
            fault_at = now + 100 + seed_below(chance, 1500);
        }
        if (now >= write_at) {
            propose_everywhere(value);
            write_at = now + 5 + seed_below(chance, 60);
        }
    }
}

static bool
all_have(struct raft_fixture *fixture, void *value)
{
    (void)fixture;
    return world_copies(world, *(uint32_t *)value) == world->count;
}

/* True if a write made after healing reaches every member. */
static bool
becomes_level(uint32_t *value)
{
    raft_time end = raft_fixture_time(&world->fixture) + HEALED_MS;
    mend_all();
    while (raft_fixture_time(&world->fixture) < end) {
        raft_fixture_step_until_elapsed(&world->fixture, 2000);
        propose_everywhere(value);
        if (raft_fixture_step_until(&world->fixture, all_have, value, 3000)) {
            return true;
        }
    }
    return false;
}

static const char *
fault_of_seed(uint64_t seed, struct reached *reached)
{
    uint64_t chance = seed;
    uint32_t value = 0;
    world = world_make(seed % 4 == 0 ? 5 : 3, &shim_rules_all, &chance);
    for (unsigned i = 0; i < world->count; i++) {
        raft_set_pre_vote(world_raft(world, i), true);
        raft_fixture_set_disk_latency(&world->fixture, i, 1 + (unsigned)seed_below(&chance, 10));
        raft_fixture_set_network_latency(&world->fixture, i, 1 + (unsigned)seed_below(&chance, 30));
    }
    run_faults(&chance, reached, &value);
    bool level = becomes_level(&value);
    reached->acknowledged += world->acknowledged_count;
    reached->refused += world->refused_count;
    reached->unanswered += world->proposed_count - world->acknowledged_count;
    reached->terms += (uint32_t)world_raft(world, 0)->current_term;
    if (world_diverged(world)) {
        return "two members applied different entries";
    }
    if (!level) {
        return "not level after healing";
    }
    for (uint32_t i = 0; i < world->acknowledged_count; i++) {
        if (world_copies(world, world->acknowledged[i]) != world->count) {
            return "an acknowledged entry is missing";
        }
    }
    return NULL;
}

static void
loses_nothing_under_network_faults(void **state)
{
    struct reached reached = {0};
    uint64_t seed = seed_init();
    const char *count = getenv("QO_CAMPAIGN");
    unsigned seeds = count != NULL ? (unsigned)strtoul(count, NULL, 10) : SEEDS;
    int64_t end_us = clock_monotonic_us() + budget_us;
    unsigned done = 0;
    (void)state;
    while (done < seeds && (done < SEEDS_MIN || count != NULL || clock_monotonic_us() < end_us)) {
        const char *fault = fault_of_seed(seed + done, &reached);
        if (fault != NULL) {
            fail_msg("%s: replay with QO_CAMPAIGN=1 QO_SEED=%llu", fault,
                     (unsigned long long)(seed + done));
        }
        done++;
    }
    (void)printf("%u seeds: %u acknowledged, %u without an answer, %u cuts, %u terms\n", done,
                 reached.acknowledged, reached.unanswered, reached.cuts, reached.terms);
    if (done >= SEEDS_MIN) {
        assert_true(reached.acknowledged > 100 * done && reached.unanswered > done);
        assert_true(reached.cuts > done && reached.terms > 2 * done);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loses_nothing_under_network_faults),
    };
    return cmocka_run_group_tests_name("consensus/campaign", tests, NULL, NULL);
}
