/*
 * clock: the two clocks of the machine. Only the leader's stamp, timeouts and logs read them; the
 * state machine never does. Thread: any.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

/* Microseconds since the Unix epoch, UTC. May jump. */
int64_t clock_wall_us(void);
/* Microseconds of a clock that never goes back and keeps counting over suspend. */
int64_t clock_monotonic_us(void);
/* CPU time of this process, in microseconds. */
int64_t clock_cpu_us(void);

#endif
