/*
 * ground: what a simulated member stands on. A raft_io with a disk that loses what was not synced,
 * a network that loses, delays, repeats and reorders messages, a clock of its own, and chance.
 *
 * The contract that it keeps is that of raft_io: callbacks never inside the call that took them,
 * appends called back in order and only once they and all before them are durable, a truncate
 * durable no later than the first append behind it, term and vote durable on return. Waiting
 * appends are merged into one sync.
 *
 * A disk outlives its member's lives; a ground is of one life. At a crash any number of the writes
 * under way, in order, and any number of the entries of the next one have reached the disk: what a
 * log with checksums finds of writes that were torn. Thread: the run's.
 */
#ifndef SIMULATION_GROUND_H
#define SIMULATION_GROUND_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

struct disk_entry {
    uint64_t term;
    unsigned short type;
    struct bytes bytes; /* The disk's. */
};

struct disk_snapshot {
    uint64_t index, term; /* 0: there is none. */
    struct bytes data;
};

/* What a member's disk holds, and how it behaves. */
struct disk {
    uint64_t term, vote;
    uint64_t first_index; /* Of entries[0]. */
    struct disk_entry *entries;
    size_t count, capacity;
    struct disk_snapshot snapshot;
    int64_t sync_us_min, sync_us_max;
    bool fails;   /* The next sync does, and what was in it is not written. */
    bool shifted; /* After that entries stand where they should not: only without S-4. */
};

struct ground;

/* A disk with the first entry, which is the configuration of `members_count` voters. */
void disk_birth(struct disk *disk, unsigned members_count);
uint64_t disk_last_index(const struct disk *disk);

/* A raft_io for one life of member `id`. */
struct ground *ground_open(unsigned id, struct disk *disk, unsigned members_count);
struct raft_io *ground_io(struct ground *ground);
/* The member's life has ended: the disk keeps what chance lets it. */
void ground_crash(struct ground *ground);

/* For the network: hands a message to libraft, which takes what it owns. Inside member_run(). */
void ground_deliver(struct ground *ground, struct raft_message *message);

/* "sim-<id>:7000", valid for ever. */
const char *ground_address(unsigned id);

#endif
