/*
 * failover: an election at once when the leader's process is gone, in place of waiting for a
 * time-out (cures the slowness of B23; libraft knows no such hint).
 *
 * A hint, never a proof: it makes a follower forget whom it follows and sets its election timer
 * close to its end, and both happen to any follower at any time by themselves. Who is wrong asks
 * for pre-votes, and the members that still hear the leader refuse them: no term changes.
 *
 * Thread   the loop, outside libraft.
 */
#ifndef CONSENSUS_FAILOVER_H
#define CONSENSUS_FAILOVER_H

#include "shim.h"

/*
 * The process of member `gone` has ended. Does nothing unless this node follows it. Members stand
 * one after the other, in the order of their ids, so that they do not split the votes.
 *
 *   behind  much of what is committed is not executed here yet: as on a node that has just started,
 *           whose state is as old as its last flush. Leading, it would answer nobody until it has
 *           caught up, so it stands behind all who are not. If it alone can win, it still stands
 *           before a time-out.
 */
void failover_member_gone(struct shim *shim, raft_id gone, bool behind);

#endif
