/*
 * birth: the files that make a directory a node's.
 *
 *   identity  who the node is (struct consensus_identity without `boot`), checked. Also the lock.
 *   boot      how often it was opened, checked. Replaced as a whole.
 *   log/      entries, term, vote and snapshots (log.h), made for `incarnation` and no other.
 *
 * Thread: the loop, before it runs; blocks on disk.
 */
#ifndef CONSENSUS_BIRTH_H
#define CONSENSUS_BIRTH_H

#include "consensus/consensus.h"

enum { BIRTH_PATH_MAX = 4096 };

/* DIRECTORY/NAME into `out`; ends the process if it does not fit. */
void birth_path(const char *directory, const char *name, char out[BIRTH_PATH_MAX]);

/* Locks the directory, reads its identity, counts the boot durably. Ends the process
 * (FATAL_DIRECTORY, FATAL_CORRUPT) where consensus_open() says so. */
void birth_open(const char *directory, struct consensus_identity *identity_out);

#endif
