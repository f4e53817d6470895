/*
 * ground: what a simulated member's consensus stands on: our raft_io (consensus/io.h) over our log
 * on a simulated disk, a simulated network, and a host whose clock, ticks and chance are the run's.
 *
 * It can break the contract of log.h once in a life, when the disk `tells`: what libraft is to be
 * spared, a request that fails and a log that does not end its node, reaches the shim as raft_io
 * has it. A member that goes on then is a finding.
 *
 * A ground is of one life. Its memory is not given back. Thread: the run's.
 */
#ifndef SIMULATION_GROUND_H
#define SIMULATION_GROUND_H

#include <stdint.h>

#include "disk.h"
#include "io.h"

/* The disk of a new member: the log's first entry is the configuration of `members_count`
 * members.
 * `segment_bytes`: of a file of the log. */
void ground_birth(struct disk *disk, unsigned members_count, uint32_t segment_bytes);

struct ground_options {
    unsigned id;
    struct disk *disk;
    uint64_t keep_bytes; /* As log_options has it. */
    unsigned without;    /* enum log_without */
};

/* The ground of one life, inside member_run(). NULL with `failure_out`: the log refuses. */
struct io *ground_open(const struct ground_options *options, struct log_failure *failure_out);

/* "sim-<id>:7000", valid for ever. */
const char *ground_address(unsigned id);

#endif
