/*
 * disk_uv: the one place that knows raft_uv, libraft's own disk and network.
 *
 * Its log lies in one directory; it listens on the member's address with DISK_UV_PORT_ADD added to
 * the port. Everything else names members by the addresses at which clients reach them. A member
 * introduces itself as <cluster id>@<address>, so that one of another cluster is turned away.
 * Thread: the loop.
 */
#ifndef CONSENSUS_DISK_UV_H
#define CONSENSUS_DISK_UV_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_UV_PORT_ADD = 1000 };

struct uv_loop_s;

struct disk_uv_options {
    const char *directory; /* Exists. */
    struct uv_loop_s *loop;
    const char *cluster_id;   /* Borrowed for ever. */
    const char *address;      /* Of this member, for clients. Borrowed for ever. */
    uint32_t peer_timeout_ms; /* Sent and not taken for so long: the connection is dead. */
};

/* The raft_io, not yet initialised; lives until the process ends. Ends the process if it cannot. */
struct raft_io *disk_uv_open(const struct disk_uv_options *options);

/* A hook of the shim: brings the loop's clock up to now. `context` is the loop. */
void disk_uv_freshen(void *context);

/* Writes the first entry, `configuration`, into an empty directory, durably. False with a text of
 * at most `text_size` bytes if it cannot. Thread: any; runs a loop of its own. */
bool disk_uv_bootstrap(const char *directory, const struct raft_configuration *configuration,
                       raft_id id, char *text_out, size_t text_size);

/* See consensus_can_listen(). `address` is valid. */
bool disk_uv_can_listen(const char *address, char *text_out, size_t text_size);

/* True if `address` is host:port with a port that leaves room for ours. */
bool disk_uv_address_valid(const char *address);

#endif
