/*
 * seed: the one source of chance in tests. No rand(), no clock: a seed replays a run.
 */
#ifndef SUPPORT_SEED_H
#define SUPPORT_SEED_H

#include <stdint.h>

/* The seed of QO_SEED, else a new one; prints it with the way to replay. */
uint64_t seed_init(void);

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014). */
uint64_t seed_next(uint64_t *state);

/* Uniform in [0, bound), bound > 0. */
uint64_t seed_below(uint64_t *state, uint64_t bound);

#endif
