/*
 * network: messages between members. One way from each to each, with faults of its own.
 * Thread: the run's.
 */
#ifndef SIMULATION_NETWORK_H
#define SIMULATION_NETWORK_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "member.h"
#include "transport.h"

struct way {
    bool cut; /* Nothing arrives, also nothing that was on it already. */
    uint32_t loss_permille, repeat_permille;
    int64_t delay_us_min, delay_us_max; /* Differing delays reorder. */
};

/* [from][to], by ids from 1. */
extern struct way ways[MEMBERS_MAX + 1][MEMBERS_MAX + 1];

/* So many sends of a thousand break the contract of transport.h: they call back inside, or give an
 * error. */
void network_set_rude(uint32_t permille);

/* While `lost` no request for a vote arrives, only those for a pre-vote: terms grow, and nobody
 * leads. */
void network_lose_votes(bool lost);

/* What member `id` stands on (consensus/transport.h), the same in all its lives. */
const struct transport *network_transport(unsigned id);

/* A life of `id` begins, which has not called start() yet. */
void network_begin(unsigned id);

/* The process of `id` has ended: others may be told so. */
void network_gone(unsigned id);
/* Member `to` is told so of `id`, true or not. */
void network_hint(unsigned to, unsigned id);

#endif
