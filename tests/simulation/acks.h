/*
 * acks: what a member acknowledges is on its disk: a copy of it is opened and looked at. That takes
 * so long that it is done of one member, and not often. Thread: the run's.
 */
#ifndef SIMULATION_ACKS_H
#define SIMULATION_ACKS_H

#include <raft.h>

/* Of this member's next acknowledgements so many are looked at while its disk is busy; none of
 * another's any more. */
void acks_watch(unsigned id, unsigned looks);

/* Member `from` sends this, inside member_run(). */
void acks_sent(unsigned from, const struct raft_message *message);

#endif
