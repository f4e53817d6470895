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

struct way {
    bool cut; /* Nothing arrives, also nothing that was on it already. */
    uint32_t loss_permille, repeat_permille;
    int64_t delay_us_min, delay_us_max; /* Differing delays reorder. */
};

/* [from][to], by ids from 1. */
extern struct way ways[MEMBERS_MAX + 1][MEMBERS_MAX + 1];

/* As raft_io's send: copies `message`, and calls back later, with 0 or RAFT_NOCONNECTION. */
void network_send(unsigned from, struct raft_io_send *request, const struct raft_message *message,
                  raft_io_send_cb callback);

/* As transport.h's note. */
void network_note(unsigned from, unsigned to, uint8_t kind, struct bytes body);

#endif
