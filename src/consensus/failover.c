/* See failover.h. Thread: the loop. */
#include "failover.h"

#include "common/assert.h"
#include "peek.h"
#include "shim_parts.h"

enum { HEARTBEATS_BETWEEN = 2 }; /* A candidate has that long to win before the next one stands. */

/* How many voters may stand before this one: those with lower ids; all others, and these once more,
 * if it is behind. */
static unsigned
rank_among_voters(const struct raft *raft, raft_id gone, bool behind)
{
    unsigned rank = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        if (server->role == RAFT_VOTER && server->id != gone) {
            rank += server->id < raft->id ? 1 : 0;
            rank += behind ? 1 : 0;
        }
    }
    return rank;
}

void
failover_member_gone(struct shim *shim, raft_id gone, bool behind)
{
    struct raft *raft = shim_raft(shim);
    QO_PRE(shim->inside == 0);
    if (raft->state != RAFT_FOLLOWER || raft->follower_state.current_leader.id != gone) {
        return;
    }
    struct raft_io *below = shim->below;
    raft_time timeout = raft->follower_state.randomized_election_timeout;
    unsigned rank = rank_among_voters(raft, gone, behind);
    raft_time wait = (raft_time)HEARTBEATS_BETWEEN * shim->heartbeat_ms * rank;
    wait += (raft_time)below->random(below, 0, (int)shim->heartbeat_ms / 2);
    raft_time start = below->time(below) + (wait < timeout ? wait : timeout);
    start = start > timeout ? start - timeout : 0;
    peek_forget_leader(raft);
    if (start < raft->election_timer_start) {
        raft->election_timer_start = start;
    }
}
