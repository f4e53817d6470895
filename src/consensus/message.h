/*
 * message: libraft's messages as bytes. Little-endian, every field at a multiple of its size.
 *
 *   type:u8 0*7, then by type
 *   AppendEntries          term prev_index prev_term commit: le64; count:le32 0*4;
 *                          count times: term:le64 size:le32 type:u8 0*3;
 *                          the entries one after the other, each filled up to a multiple of 8
 *   AppendEntriesResult    term rejected last_index: le64
 *   RequestVote            term candidate last_index last_term: le64; disrupt pre_vote: u8 0*6
 *   RequestVoteResult      term: le64; granted pre_vote: u8 0*6
 *   TimeoutNow             term last_index last_term: le64
 * InstallSnapshot has no form: members never send it to each other (shim.h).
 *
 * Thread: any; pure.
 */
#ifndef CONSENSUS_MESSAGE_H
#define CONSENSUS_MESSAGE_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/bytes.h"

/* Bytes of the whole message; 0 if it has no form, SIZE_MAX if it is over the maximum. */
size_t message_bytes(const struct raft_message *message);

/* Appends all that stands before the bytes of entries, which follow as they are. */
void message_put_head(const struct raft_message *message, struct buf *out);

/* How many zeros follow an entry of so many bytes. */
static inline size_t
message_padding(size_t entry_bytes)
{
    return (8 - entry_bytes % 8) % 8;
}

enum message_reading {
    MESSAGE_BAD,  /* Not exactly one well-formed message. Nothing was allocated or taken. */
    MESSAGE_GOOD, /* `batch` is still the caller's. */
    MESSAGE_TOOK, /* `batch` is the message's. */
};

/*
 * Reads a message. What it is given may be any bytes.
 *
 *   batch        NULL, or the block of raft_malloc() at whose beginning `whole` stands: entries
 * then lie in it where they are, and it is taken if there are any. Else they are copied.
 *   message_out  written unless MESSAGE_BAD, but for server_id and server_address. Entries and
 *                their one batch are given: raft_free() both.
 */
enum message_reading message_decode(struct bytes whole, void *batch,
                                    struct raft_message *message_out);

/* Frees what message_decode() gave, if nobody took it. */
void message_drop(struct raft_message *message);

#endif
