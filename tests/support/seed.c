/* See support/seed.h. Thread: one per state. */
#include "support/seed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t
seed_init(void)
{
    const char *given = getenv("QO_SEED");
    uint64_t seed;
    if (given != NULL) {
        seed = strtoull(given, NULL, 10);
    } else {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    }
    printf("seed %" PRIu64 "; replay with QO_SEED=%" PRIu64 "\n", seed, seed);
    return seed;
}

uint64_t
seed_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t
seed_below(uint64_t *state, uint64_t bound)
{
    return seed_next(state) % bound;
}
