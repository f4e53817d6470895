/*
 * disk: a member's disk, on which our own log stands (consensus/log_disk.h). It outlives the lives
 * of its member.
 *
 * Files and what a crash makes of writes under way are those of tests/unit/consensus/log_sim.h:
 * blocks of a write that is torn are old, new or at each other's places. This adds time, failures,
 * a disk that is full, and bits that flip in what is at rest. Thread: the run's.
 */
#ifndef SIMULATION_DISK_H
#define SIMULATION_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "log_disk.h"
#include "unit/consensus/log_sim.h"

struct disk_place {
    int file;
    uint64_t offset, size; /* 0: none. */
};

struct disk {
    struct sim_disk sim;
    struct log_disk table; /* What the log is given. */
    unsigned id;
    bool planned[LOG_LANES];          /* The end of its first operation is. */
    int64_t sync_us_min, sync_us_max; /* Of one operation. */
    struct disk_place last, before;   /* The last appends to the log that were durable. */
    bool fails;                       /* The next operation does, and its member ends. */
    bool full;                        /* No file can be made. */
    bool tells; /* The next request of consensus is refused, as ground.h has it. */
    bool hangs; /* It ends nothing any more in the background. The log's writes are there. */
    int64_t hangs_since_us; /* It should have ended an append then and did not; 0: none. */
};

/* Empty. */
void disk_init(struct disk *disk, unsigned id);

/* Nothing is under way, and nothing waits because there is no room. */
bool disk_idle(const struct disk *disk);

/* The member's life has ended: what was under way is torn. */
void disk_crash(struct disk *disk);

/* A copy of what is at rest, to be looked at. */
void disk_copy(struct disk *copy, const struct disk *disk);
void disk_free(struct disk *disk);

/* Flips one bit of what is at rest, while the member is down, and tells where.
 *
 * A record that was acknowledged is known to have been durable by the records of the next write, or
 * by the log's mark. `marked`: the mark says so of all of them. Else the only place that is right
 * for a flip is the last write but one; false if there is none. */
bool disk_flip(struct disk *disk, bool marked);

#endif
