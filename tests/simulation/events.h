/*
 * events: simulated time, the order in which things happen, and chance.
 *
 * Time stands still while an event is handled and then goes on to the next. What happens at one
 * microsecond happens in the order in which it was planned. All chance is one splitmix64 stream:
 * a seed is a run. Thread: the run's.
 */
#ifndef SIMULATION_EVENTS_H
#define SIMULATION_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

typedef void (*event_fn)(void *context);

void events_start(uint64_t seed);

/* Microseconds since the world began. */
int64_t events_now_us(void);

/* Plans `run` in `after_us`. `owner` 0: the world's; else the member's, in its life of now: it is
 * forgotten if that ends, and waits while the member is stopped. */
void event_plan(int64_t after_us, unsigned owner, event_fn run, void *context);

/* Lets the next event happen. False if there is none before `until_us`: it is then that time. */
bool event_next(int64_t until_us);

/* Uniform in [0, bound), bound > 0. */
uint64_t chance_below(uint64_t bound);
/* Uniform in [from, to]. */
int64_t chance_between(int64_t from, int64_t to);
/* True so many times in a thousand. */
bool chance_permille(uint32_t permille);
/* The state of the stream, for what draws with support/seed.h. */
uint64_t *events_chance(void);

#endif
