/*
 * leader_clock: the time that a leader stamps on its entries.
 *
 * Wall time is taken once, when the node becomes leader; from then on it is the monotonic clock's
 * time, slewed towards wall time by at most 0.05 %: so a wall clock that is set moves deadlines by
 * seconds an hour, never at once. The state machine clamps what still goes back at a change of
 * leader. Thread: loop.
 */
#ifndef SERVER_LEADER_CLOCK_H
#define SERVER_LEADER_CLOCK_H

#include <stdint.h>

struct leader_clock {
    int64_t time_us;      /* At `monotonic_us`. */
    int64_t monotonic_us; /* Of the last reading. */
};

void leader_clock_start(struct leader_clock *clock, int64_t wall_us, int64_t monotonic_us);
/* The time now. Never below an earlier answer. */
int64_t leader_clock_read(struct leader_clock *clock, int64_t wall_us, int64_t monotonic_us);

#endif
