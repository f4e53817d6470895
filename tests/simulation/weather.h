/*
 * weather: the faults. A seed has a climate (how large, how fast, how bad, which faults there are)
 * and in it faults strike one after the other, until all is mended. Thread: the run's.
 */
#ifndef SIMULATION_WEATHER_H
#define SIMULATION_WEATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "scenes.h"

struct climate {
    unsigned members_count, voters_count;
    uint64_t log_bytes_max;
    uint32_t segment_bytes;
    uint64_t keep_bytes;
    uint32_t queue_max;
    unsigned clients_count;
    int64_t think_us;
    int64_t faults_us; /* How long faults strike. */
    int64_t gap_us;    /* Between two faults, at most. */
    int64_t delay_us;  /* Of a message in good weather, at most. */
    int64_t sync_us;   /* Of a disk, likewise. */
    uint32_t kinds;    /* Bits of the faults that there are. */
    uint32_t deaths_permille, flush_permille;
    bool clocks_jump;
    unsigned hoarder;       /* As struct members_options has it. */
    uint32_t in_flight_max; /* Likewise. */
    uint32_t rude_permille; /* As network_set_rude() has it. */
    enum scene scene;       /* With which the run ends. */
};

/* Draws the climate of the seed with which events_start() was called. `members_count` 0: drawn too.
 */
struct climate weather_draw(unsigned members_count);

/* After members_birth(): faults strike from now on, and who is down comes up again. */
void weather_start(const struct climate *climate);

/* No more faults; everything mended. Perhaps one member of five or of three stays down for good. */
void weather_mend(void);

/* Whether the members that are to be up are. */
bool weather_all_up(void);
/* A member stays down for good; false: there is one already. */
bool weather_leave_down(unsigned id);
/* Left down, or lost. */
bool weather_stays_down(unsigned id);

#endif
