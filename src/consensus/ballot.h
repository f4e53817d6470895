/*
 * ballot: the term and the vote of this node, checked.
 *
 * raft_uv keeps them too, but without a checksum (B15): a flipped bit there is a second vote in one
 * term. So they are kept here as well, written first and durable before raft_uv's; at start this
 * file is believed, and raft_uv's must be the same or the ones just before it (a crash between the
 * two writes; nothing had left the node by then).
 *
 * The file has two slots of 512 bytes, written in turn: version, term, vote, CRC-32C. A torn slot
 * is the one being written, so the other one is what was promised last. Thread: the loop; blocks on
 * disk, at elections only.
 */
#ifndef CONSENSUS_BALLOT_H
#define CONSENSUS_BALLOT_H

#include <stdbool.h>
#include <stdint.h>

struct ballot {
    int fd;
    uint64_t version; /* Of the newest slot. */
    uint64_t term;
    uint64_t vote; /* 0: none in this term. */
};

/* Makes the file, with term 1 and no vote, as libraft's bootstrap. Durable, its name not yet. */
bool ballot_create(const char *path);

/* Reads it. Ends the process if it is missing or no slot is whole. */
void ballot_open(struct ballot *ballot, const char *path);

/* Durable on return; a failure ends the process. A new term has no vote. */
void ballot_set_term(struct ballot *ballot, uint64_t term);
void ballot_set_vote(struct ballot *ballot, uint64_t vote);

/* Whether raft_uv's `term` and `vote` can stand beside this ballot: the same, or older. */
bool ballot_agrees(const struct ballot *ballot, uint64_t term, uint64_t vote);

#endif
