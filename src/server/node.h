/*
 * node: what the parts of a server share, on the loop.
 *
 * Each part has its own header and keeps its own state behind a pointer here; this struct is how
 * they find one another. Everything in it belongs to the loop thread.
 */
#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "common/arena.h"
#include "common/bytes.h"
#include "common/hash.h"
#include "consensus/consensus.h"
#include "store/store.h"
#include "wire/request.h"

struct node_options {
    const char *directory;
    const char *listen;                 /* NULL: the member's own address. */
    struct bytes secret;                /* Of the cluster; BYTES_NONE: none. */
    uint64_t disk_reserve;              /* Bytes; UINT64_MAX: the smaller of 1 GiB and 5 %. */
    uint64_t log_bytes_max;             /* 0: default */
    uint64_t cache_bytes;               /* 0: default */
    uint64_t block_cache_bytes;         /* 0: default */
    uint64_t memtable_bytes;            /* 0: default */
    uint32_t heartbeat_ms, election_ms; /* 0: default */
};

struct node {
    uv_loop_t loop;
    struct node_options options;
    struct consensus *consensus;
    const struct consensus_identity *identity;
    struct store *store;
    int64_t started_us;

    /* The parts. */
    struct state *state;
    struct readers *readers;
    struct requests *requests;
    struct sessions *sessions;
    struct writes *writes;
    struct reads *reads;
    struct feeds *feeds;
    struct forward *forward;
    struct timers *timers;

    /* What this node knows of the log: of the last executed entry. */
    uint64_t executed_index;
    uint64_t seq; /* The watermark: every event up to here can be read. */
    int64_t time;
    uint32_t epoch;
    struct digest digest;

    /* When the loop began to wait, before the last time and the last time. What it finds came after
     * the former: a wait that a halt interrupts ends without having looked. */
    int64_t polled_us, polled_last_us;
    struct consensus_status status; /* Of this turn, once asked for. */
    bool status_fresh;
    bool moved; /* The watermark moved in this turn. */

    bool ready;    /* Leads, and its own first entry has come through. */
    uint64_t term; /* Of that. */
    bool disk_low; /* Below the reserve: no writes. */

    /* Of one message, reset after it. */
    struct arena arena;
    struct wire_decoder decoder;
    struct buf scratch;
};

/* Starts a node and runs its loop; returns never (a node ends by a signal or a fatal reason). */
_Noreturn void node_run(const struct node_options *options);

/* The loop's clock, in microseconds: of the start of this turn, or of the last message for libraft
 * in it. */
int64_t node_now_us(struct node *of);
/* This process stood still in this turn or the one before (SIGSTOP, a machine that hangs): what it
 * finds may be as old as node->polled_us, and from connections that have ended since. */
bool node_was_halted(const struct node *of);
/* The member that leads as far as this node knows, 0 if it knows none; and its client address, or
 * BYTES_NONE, valid for this turn of the loop. */
uint32_t node_leader_id(struct node *of);
struct bytes node_leader_address(struct node *of);

#endif
