/*
 * node: a member of a real cluster in a process of its own, which a test tells what to do: the
 * module's public header over its own log and loopback, with a state that is a running hash.
 *
 * The state is durable like a real one: what a checkpoint wrote, and nothing since.
 * Thread: the test's; the node has its own process.
 */
#ifndef CONSENSUS_TEST_NODE_H
#define CONSENSUS_TEST_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "consensus/consensus.h"

enum node_command_kind {
    NODE_STATUS,
    NODE_PROPOSE, /* `count` entries of `size` bytes, four at a time; answers when all are told. */
    NODE_READ,    /* `count` read points at once; answers when all are told. */
    NODE_ROOM,    /* `count` 0: the client has none any more; else it has. */
};

struct node_command {
    enum node_command_kind kind;
    uint32_t number;
    uint32_t count, size;
};

struct node_answer {
    uint32_t number;
    enum qo_error status;
    uint64_t index;     /* Of a read point. */
    uint64_t committed; /* Proposals told QO_OK. */
    /* The state. */
    uint64_t executed_index, executed_count, hash;
    uint64_t leaderships; /* How often leadership() said ready. */
    struct consensus_status consensus;
};

struct node {
    uint32_t id;
    char directory[200];
    uint64_t log_bytes_max;
    uint64_t claim_applied; /* Not 0: what it says of its state at the start, true or not. */
    pid_t pid;              /* 0: does not run. */
    int socket;
    uint32_t number;
};

/* Makes the directories of `count` nodes below `root`, ready to be started. */
void node_make_all(struct node *nodes, uint32_t count, const char *root, uint16_t port);

void node_start(struct node *node);
/* Sends a signal; after SIGKILL the node is gone. */
void node_signal(struct node *node, int signal);
/* Waits for a node to end by itself; its exit status, -1 if it did not within 60 s. */
int node_wait(struct node *node);

/* One command, one answer. False if none came within `wait_ms`; it may still come, and is then
 * thrown away. */
bool node_ask(struct node *node, enum node_command_kind kind, uint32_t count, uint32_t size,
              int wait_ms, struct node_answer *answer_out);

#endif
