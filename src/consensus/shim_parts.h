/* shim_parts: what the three files of the shim share. See shim.h. Thread: the loop. */
#ifndef CONSENSUS_SHIM_PARTS_H
#define CONSENSUS_SHIM_PARTS_H

#include "shim.h"

static inline struct shim *
shim_of(struct raft_io *io)
{
    return io->impl;
}

static inline struct raft *
shim_raft(const struct shim *shim)
{
    return shim->io.data; /* raft_init() puts it there. */
}

/* An error of `below` becomes libraft's text for it. Returns `status`. */
int shim_copy_error(struct shim *shim, int status);

/* What is known of a member; a slot is taken at first sight. NULL if all are taken. */
struct shim_peer *shim_peer(struct shim *shim, raft_id id);

/* -- shim_send.c: what leaves ------------------------------------------------------------------ */
int shim_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
              raft_io_send_cb callback);
/* Tells the sends that were failed from inside. True if there were any. */
bool shim_tell_failed_sends(struct shim *shim);
/* Lets the leader's streams go on where windows cut them. */
void shim_rewind_trimmed(struct shim *shim);
/* S-1: the message being received was accepted, so the log equals the leader's up to its end. */
void shim_note_verified(struct shim *shim);

/* -- shim_write.c: what goes to the disk ------------------------------------------------------- */
int shim_set_term(struct raft_io *io, raft_term term);
int shim_set_vote(struct raft_io *io, raft_id vote);
int shim_append(struct raft_io *io, struct raft_io_append *request,
                const struct raft_entry entries[], unsigned n, raft_io_append_cb callback);
int shim_truncate(struct raft_io *io, raft_index index);
int shim_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
                      const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb callback);
/* Tells libraft what is on the disk, as far as pacing allows. True if it told anything. */
bool shim_tell_writes(struct shim *shim);
bool shim_tell_put(struct shim *shim);
/* S-5: something that libraft counts on is not on the disk yet. */
bool shim_writes_under_way(const struct shim *shim);
/* S-10: ends the process if the disk has not answered for longer than its limit. */
void shim_watch_disk(struct shim *shim, uint64_t step_ms);

#endif
