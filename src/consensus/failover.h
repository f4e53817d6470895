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

/* The process of member `gone` has ended. Does nothing unless this node follows it. Members stand
 * one after the other, in the order of their ids, so that they do not split the votes. */
void failover_member_gone(struct shim *shim, raft_id gone);

#endif
