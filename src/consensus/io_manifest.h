/*
 * io_manifest: libraft's snapshot as the bytes that the log keeps as its manifest.
 *
 *   offset  bytes
 *   0       8      index of the configuration
 *   8       4      number of members
 *   12      each   id (8), role (1), length of the address (2), address
 *           rest   what the state machine gave
 *
 * Index and term are the log's own business, and so is the checksum. Thread: any: pure.
 */
#ifndef CONSENSUS_IO_MANIFEST_H
#define CONSENSUS_IO_MANIFEST_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

void io_manifest_encode(const struct raft_snapshot *snapshot, struct buf *buf);

/* A snapshot in libraft's memory, with one buffer, which libraft takes. NULL: no manifest of ours.
 */
struct raft_snapshot *io_manifest_decode(struct bytes manifest, uint64_t index, uint64_t term);

#endif
