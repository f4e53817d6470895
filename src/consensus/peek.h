/*
 * peek: the one place that reads, and in some cases sets, the fields of libraft's own structures.
 *
 * libraft 0.15 has no functions for them, but they are public there; a later version hides them.
 * Thread: the loop.
 */
#ifndef CONSENSUS_PEEK_H
#define CONSENSUS_PEEK_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

/* The entry at `index`; NULL if the log does not hold it (any more). Valid until libraft runs. */
const struct raft_entry *peek_entry(const struct raft *raft, uint64_t index);

/* The term of the entry at `index`, also of the snapshot's last; 0 if not known. */
uint64_t peek_term(const struct raft *raft, uint64_t index);

/* Index of the first entry that the log holds; one above its last if it holds none. */
uint64_t peek_first_index(const struct raft *raft);
uint64_t peek_last_index(const struct raft *raft);

/* The member with this id in the newest configuration; NULL if there is none. */
const struct raft_server *peek_server(const struct raft *raft, raft_id id);

/* What a leader knows of a member; NULL if this node does not lead or has no such member. */
const struct raft_progress *peek_progress(const struct raft *raft, raft_id id);

/* True if the leader has given up sending entries to this member and would send a snapshot. */
bool peek_wants_snapshot(const struct raft_progress *progress);

/* If the leader streams to this member and counts entries from `next` on as sent, says that they
 * are not: they are sent again, which is always safe. */
void peek_lower_next(struct raft *raft, raft_id id, uint64_t next);

/* If the leader probes this member, lets it probe from the end of its log, as when it was elected:
 * the member's answer says where it really is. Always safe. */
void peek_probe_from_end(struct raft *raft, raft_id id);

/* Lets the leader send entries from `next` on to this member, which it would send a snapshot.
 * Always safe: what comes before them is compared. */
void peek_probe_at(struct raft *raft, raft_id id, uint64_t next);

/* A follower that follows nobody, as after its start: it grants votes to others again. */
void peek_forget_leader(struct raft *raft);

#endif
