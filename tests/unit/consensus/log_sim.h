/*
 * log_sim: a disk in memory for the log, which crashes as real ones do.
 *
 * What a completed operation did is kept. What was under way at a crash is torn: of each write any
 * of its blocks, of 512 bytes or 4 KiB, may be old, new or at the place of another block of the
 * same write; a file being created is absent, short or whole; one being removed is there or not.
 * Everything is decided by the caller's seed. Thread: any, one.
 */
#ifndef CONSENSUS_LOG_SIM_H
#define CONSENSUS_LOG_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "log_disk.h"

enum { SIM_FILES_MAX = 256, SIM_LIES_MAX = 64 };

struct sim_file {
    char name[LOG_NAME_MAX];
    uint8_t *data;
    uint64_t size;
    bool exists;
};

struct sim_write {
    int file;
    uint64_t offset, size;
    uint8_t *data;
};

struct sim_disk {
    struct log_disk table;
    uint64_t *prng;
    struct sim_file files[SIM_FILES_MAX];
    struct log_io *queues[LOG_LANES][LOG_IO_MAX];
    unsigned counts[LOG_LANES];
    int64_t crash_in;    /* Operations until the crash; below 0: none. */
    bool crashed;        /* Nothing is done any more, until sim_restart(). */
    int error;           /* What the next write gives, once; 0: it works. */
    bool tears_failures; /* A write that fails leaves any part of it; else nothing. */
    bool lies;           /* Says of writes that they are durable while they are in a cache. */
    struct sim_write cache[SIM_LIES_MAX];
    unsigned cached;
    uint64_t operations;
};

void sim_init(struct sim_disk *sim, uint64_t *prng);
void sim_free(struct sim_disk *sim);
/* A copy of what is on the disk, with nothing under way. */
void sim_clone(struct sim_disk *copy, const struct sim_disk *sim, uint64_t *prng);
/* Does one operation that was submitted, in order within its lane. False: there is none. */
bool sim_step(struct sim_disk *sim);
/* The same for one of them. */
bool sim_step_lane(struct sim_disk *sim, unsigned lane);
/* The crash: tears what is under way. Works again afterwards. */
void sim_restart(struct sim_disk *sim);
/* -1: there is no such file. */
int sim_find(const struct sim_disk *sim, const char *name);

#endif
