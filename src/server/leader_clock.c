/* See leader_clock.h. Thread: loop. */
#include "leader_clock.h"

#include "common/assert.h"

enum { SLEW_DIVISOR = 2000 }; /* 0.05 % */

void
leader_clock_start(struct leader_clock *clock, int64_t wall_us, int64_t monotonic_us)
{
    clock->time_us = wall_us;
    clock->monotonic_us = monotonic_us;
}

int64_t
leader_clock_read(struct leader_clock *clock, int64_t wall_us, int64_t monotonic_us)
{
    int64_t passed_us = monotonic_us - clock->monotonic_us;
    QO_PRE(passed_us >= 0);
    if (passed_us < SLEW_DIVISOR) {
        /* Too short to slew by a whole microsecond: counted with what comes later. */
        return clock->time_us + passed_us;
    }
    int64_t slew_max = passed_us / SLEW_DIVISOR;
    int64_t time_us = clock->time_us + passed_us;
    int64_t behind_us = wall_us - time_us;
    if (behind_us > slew_max) {
        behind_us = slew_max;
    } else if (behind_us < -slew_max) {
        behind_us = -slew_max;
    }
    clock->time_us = time_us + behind_us;
    clock->monotonic_us = monotonic_us;
    return clock->time_us;
}
