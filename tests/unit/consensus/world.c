/* See world.h. Thread: the test's. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "consensus/consensus.h"
#include "support/seed.h"

struct world_proposal {
    struct raft_apply request;
    struct world *world;
    uint32_t value;
};

static int
world_apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
    struct world_history *history = fsm->data;
    QO_ASSERT(history->count < WORLD_VALUES_MAX);
    memcpy(&history->values[history->count], buffer->base, sizeof(uint32_t));
    history->count++;
    *result = NULL;
    return 0;
}

static int
world_snapshot(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *count)
{
    (void)fsm;
    (void)buffers;
    (void)count;
    return RAFT_BUSY; /* Never in this world. */
}

static int
world_restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
    (void)fsm;
    raft_free(buffer->base);
    return 0;
}

static int
world_random(struct raft_io *io, int min, int max)
{
    const struct shim *shim = io->data;
    struct world *world = shim->hooks.context;
    return min + (int)seed_below(world->chance, (uint64_t)(max - min));
}

static void
add_member(struct world *world, unsigned i, const struct shim_rules *rules)
{
    world->fsms[i] = (struct raft_fsm){
        .version = 1,
        .data = &world->histories[i],
        .apply = world_apply,
        .snapshot = world_snapshot,
        .restore = world_restore,
    };
    QO_ASSERT(raft_fixture_grow(&world->fixture, &world->fsms[i]) == 0);
    struct raft_fixture_server *server = &world->fixture.servers[i];
    struct shim_hooks hooks = {.context = world};
    server->tracer.enabled = false;
    shim_init(&world->shims[i], &server->io, &hooks);
    world->shims[i].rules = *rules;
    world->shims[i].io.data = &server->raft; /* As raft_init() would have. */
    server->raft.io = &world->shims[i].io;
    raft_set_snapshot_threshold(&server->raft, 1u << 30);
    if (world->chance != NULL) {
        server->io.random = world_random;
    }
}

struct world *
world_make(unsigned count, const struct shim_rules *rules, uint64_t *chance)
{
    static struct world *newest;
    struct world *world = mem_zalloc(sizeof *world);
    struct raft_configuration configuration;
    consensus_prepare_process();
    world->before = newest;
    newest = world;
    world->count = count;
    world->chance = chance;
    QO_ASSERT(raft_fixture_initialize(&world->fixture) == 0);
    for (unsigned i = 0; i < count; i++) {
        add_member(world, i, rules);
    }
    QO_ASSERT(raft_fixture_configuration(&world->fixture, count, &configuration) == 0);
    QO_ASSERT(raft_fixture_bootstrap(&world->fixture, &configuration) == 0);
    raft_configuration_close(&configuration);
    QO_ASSERT(raft_fixture_start(&world->fixture) == 0);
    return world;
}

struct raft *
world_raft(struct world *world, unsigned i)
{
    return raft_fixture_get(&world->fixture, i);
}

static void
world_told(struct raft_apply *request, int status, void *result)
{
    struct world_proposal *proposal = request->data;
    struct world *world = proposal->world;
    (void)result;
    if (status == 0) {
        world->acknowledged[world->acknowledged_count] = proposal->value;
        world->acknowledged_count++;
    }
    mem_free(proposal);
}

void
world_propose(struct world *world, unsigned i, uint32_t value)
{
    struct world_proposal *proposal = mem_zalloc(sizeof *proposal);
    struct raft_buffer buffer = {raft_calloc(1, 8), 8};
    memcpy(buffer.base, &value, sizeof value);
    proposal->request.data = proposal;
    proposal->world = world;
    proposal->value = value;
    shim_enter(&world->shims[i]);
    int status = raft_apply(world_raft(world, i), &proposal->request, &buffer, 1, world_told);
    shim_leave(&world->shims[i]);
    if (status == 0) {
        world->proposed_count++;
    } else {
        world->refused_count++;
        raft_free(buffer.base);
        mem_free(proposal);
    }
}

void
world_cut(struct world *world, unsigned from, unsigned to)
{
    raft_fixture_saturate(&world->fixture, from, to);
}

void
world_mend(struct world *world, unsigned from, unsigned to)
{
    raft_fixture_desaturate(&world->fixture, from, to);
}

void
world_isolate(struct world *world, unsigned i)
{
    for (unsigned j = 0; j < world->count; j++) {
        if (j != i) {
            world_cut(world, i, j);
            world_cut(world, j, i);
        }
    }
}

void
world_join(struct world *world, unsigned i)
{
    for (unsigned j = 0; j < world->count; j++) {
        if (j != i) {
            world_mend(world, i, j);
            world_mend(world, j, i);
        }
    }
}

void
world_timeout(struct world *world, unsigned i, unsigned ms)
{
    raft_fixture_set_randomized_election_timeout(&world->fixture, i, ms);
    struct raft *raft = world_raft(world, i);
    if (raft->state == RAFT_FOLLOWER) {
        raft->follower_state.randomized_election_timeout = ms;
    }
}

bool
world_diverged(const struct world *world)
{
    for (unsigned i = 1; i < world->count; i++) {
        const struct world_history *a = &world->histories[i];
        for (unsigned j = 0; j < i; j++) {
            const struct world_history *b = &world->histories[j];
            uint32_t both = a->count < b->count ? a->count : b->count;
            if (memcmp(a->values, b->values, both * sizeof *a->values) != 0) {
                return true;
            }
        }
    }
    return false;
}

bool
world_acknowledged(const struct world *world, uint32_t value)
{
    for (uint32_t i = 0; i < world->acknowledged_count; i++) {
        if (world->acknowledged[i] == value) {
            return true;
        }
    }
    return false;
}

unsigned
world_copies(const struct world *world, uint32_t value)
{
    unsigned copies = 0;
    for (unsigned i = 0; i < world->count; i++) {
        const struct world_history *history = &world->histories[i];
        for (uint32_t at = 0; at < history->count; at++) {
            if (history->values[at] == value) {
                copies++;
                break;
            }
        }
    }
    return copies;
}
