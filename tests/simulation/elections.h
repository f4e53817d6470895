/*
 * elections: what who asks for a vote and who gives one must keep, checked at each such message.
 *
 *   stored   who asks for a vote, or for a pre-vote, names an entry that its disk would still hold
 *            if it crashed now
 *   once     nobody asks for a vote in a term in which it voted for another one, or votes for two,
 *            also not in different lives
 *   sticky   nobody votes against a leader that leads on, and that it heard less than an election
 *            timeout ago in an earlier life, which it has forgotten
 *
 * Thread: the run's, inside member_run().
 */
#ifndef SIMULATION_ELECTIONS_H
#define SIMULATION_ELECTIONS_H

#include <raft.h>
#include <stdint.h>

/* Member `from` sends this. */
void elections_sent(unsigned from, const struct raft_message *message);

/* Member `to` hears that `leader` leads `term`. */
void elections_heard(unsigned to, unsigned leader, uint64_t term);

#endif
