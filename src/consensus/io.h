/*
 * io: what libraft stands on: our log, a transport and a host, as the raft_io that it wants.
 *
 * It keeps the contract that libraft's callers rely on: nothing calls back inside the function that
 * took the request; appends are told in order, each once it and everything before it is durable; a
 * truncation is durable no later than the first append behind it; term and vote are durable on
 * return; and no request is told of a failure, because a disk that fails ends the process before
 * (log.h). The rules that cure libraft itself are above (shim.h).
 *
 * Thread   the loop.
 * Memory   entries are borrowed from libraft until their callback; manifests are copied; all that
 *          is handed to libraft comes from raft_malloc().
 * Bounds   the log's; requests that wait are bounded above (QO_PROPOSALS_MAX, the windows).
 */
#ifndef CONSENSUS_IO_H
#define CONSENSUS_IO_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "host.h"
#include "log.h"
#include "transport.h"

struct io;

/* Makes the log of a first member in an empty directory: term 1, no vote, and entry 1, which is
 * the first configuration and the same on every member. Blocks. After a failure or a crash the
 * directory is of no use. */
bool io_birth(const struct log_disk *disk, const struct log_shape *shape,
              const struct raft_configuration *first, struct log_failure *failure_out);

struct io_options {
    struct log_options log;
    uint64_t salt; /* The log must have been made with it; else it is another node's. */
    const struct transport *transport; /* Borrowed for ever, as the next. */
    const struct host *host;
};

/* What the transport tells beside libraft's messages, as in transport.h. */
struct io_listener {
    void *context;
    void (*note)(void *context, uint32_t from, uint8_t kind, struct bytes body);
    void (*gone)(void *context, uint32_t member);
};

/* Reads and checks the log. NULL with `failure_out` if anything is in doubt. */
struct io *io_open(const struct io_options *options, struct log_failure *failure_out);

/* Pass it to shim_init(). close() is not there: a node ends by _exit(). */
struct raft_io *io_raft(struct io *io);

/* Who hears the rest; before raft_start(). Copied. Without one it goes unheard. */
void io_listen(struct io *io, const struct io_listener *listener);

/* To send notes through, and to say who takes part. */
const struct transport *io_transport(const struct io *io);

/* For tests, once disk, transport and host have stopped. */
void io_free(struct io *io);

#endif
