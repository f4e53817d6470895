/*
 * stream: writes that do not wait for each other: one after the other goes to the leader, whether
 * those before it are answered or not. Other clients ask one thing at a time, so that there is
 * always a moment without a write under way. Thread: the run's.
 */
#ifndef SIMULATION_STREAM_H
#define SIMULATION_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "server.h"

/* `count` writes, one every `every_us`, if not `open_max` of them wait for an answer. Once a run.
 */
void stream_start(unsigned count, int64_t every_us, unsigned open_max);
/* All are asked and answered. */
bool stream_done(void);
/* The one that waits longest has waited so long. */
int64_t stream_waiting_us(void);

/* For clients_answer(): a write of the stream was decided, or has to be asked again. */
void stream_answered(const struct request *request, const struct answer *answer);

#endif
