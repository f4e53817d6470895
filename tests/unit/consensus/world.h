/*
 * world: a cluster in one thread and in simulated time, libraft's own fixture with our shim between
 * libraft and its disk and network.
 *
 * The fixture is good for small fixed scenarios: killing loses nothing there, and it has no
 * snapshots to speak of. Thread: the test's.
 */
#ifndef CONSENSUS_TEST_WORLD_H
#define CONSENSUS_TEST_WORLD_H

#include <raft.h>
#include <raft/fixture.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim.h"

enum { WORLD_MAX = 5, WORLD_VALUES_MAX = 8192 };

struct world_history {
    uint32_t values[WORLD_VALUES_MAX]; /* In the order in which they were applied. */
    uint32_t count;
};

struct world {
    struct raft_fixture fixture;
    struct raft_fsm fsms[WORLD_MAX];
    struct shim shims[WORLD_MAX];
    struct world_history histories[WORLD_MAX];
    uint32_t acknowledged[WORLD_VALUES_MAX]; /* By raft_apply's callback with status 0. */
    uint32_t acknowledged_count, proposed_count, refused_count;
    unsigned count;
    struct world *before; /* All worlds, so that they stay reachable. */
    uint64_t *chance;     /* Not NULL: election timeouts come from it. */
};

/* A started cluster of `count` members whose shims keep `rules`. It lives until the process ends:
 * libraft's close has faults (B18) that are not what these tests are about. */
struct world *world_make(unsigned count, const struct shim_rules *rules, uint64_t *chance);

/* Proposes `value` on member `i` if that thinks that it leads. */
void world_propose(struct world *world, unsigned i, uint32_t value);

/* Messages from `from` to `to` vanish, or no longer do. */
void world_cut(struct world *world, unsigned from, unsigned to);
void world_mend(struct world *world, unsigned from, unsigned to);
/* Both ways, with every other member. */
void world_isolate(struct world *world, unsigned i);
void world_join(struct world *world, unsigned i);

/* From now on, member `i` waits so long for a leader. */
void world_timeout(struct world *world, unsigned i, unsigned ms);

struct raft *world_raft(struct world *world, unsigned i);

/* True if two members applied different values at one place of their histories. */
bool world_diverged(const struct world *world);
/* True if `value` was acknowledged to its proposer. */
bool world_acknowledged(const struct world *world, uint32_t value);
/* How many members have applied `value`. */
unsigned world_copies(const struct world *world, uint32_t value);

#endif
