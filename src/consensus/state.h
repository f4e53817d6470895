/* state: struct consensus, shared by consensus.c, handover.c and snapshots.c. Thread: the loop. */
#ifndef CONSENSUS_STATE_H
#define CONSENSUS_STATE_H

#include <raft.h>

#include "consensus/consensus.h"
#include "io.h"
#include "shim.h"

/* One call of consensus_propose(). */
struct proposal {
    struct raft_apply request;
    struct consensus *consensus;
    consensus_propose_cb callback;
    void *context;
    enum qo_error status; /* Once it is in `told`. */
    struct proposal *next;
};

struct reader {
    consensus_read_cb callback;
    void *context;
};

struct readers {
    struct reader *items;
    uint32_t count, capacity; /* At most QO_READ_POINTS_MAX. */
};

/* One barrier for all readers that were waiting when it was proposed. */
struct read_round {
    struct raft_barrier barrier;
    struct readers readers;
    uint64_t index;
    enum qo_error status;
    bool under_way, fired;
};

struct snapshots {
    struct raft_fsm fsm;
    uint64_t bytes_max;
    uint64_t counted_index;  /* Up to here entries are counted below. */
    uint64_t bytes, entries; /* Behind the last snapshot. */
    uint64_t index, term;    /* Of the one under way; 0: none. */
    raft_time retry_ms;      /* None before this. */
};

struct consensus {
    struct raft raft;
    struct shim shim;
    struct raft_io *below;
    const struct transport *transport; /* NULL: `below` brings its own. */
    struct links *links;               /* NULL: nothing is accepted from a port. */
    struct consensus_identity identity;
    struct consensus_client client;
    uint64_t applied_index, applied_term; /* Of the state, at the start. */
    bool started;

    uint64_t delivered_index;
    uint64_t committed_seen; /* libraft's may go back (B20). */
    bool ready;
    uint64_t ready_term;
    raft_id leader_seen; /* What the log line of the last change said. */

    struct proposal proposals[QO_PROPOSALS_MAX];
    struct proposal *free_proposals, *told_first, *told_last;
    struct readers waiting;
    struct read_round round;
    struct snapshots snapshots;
};

/* -- consensus.c: what a node stands on -------------------------------------------------------- */

/* What consensus_open() finds on the disk, and a simulated world puts in its place. */
struct consensus_ground {
    struct consensus_identity identity; /* With this boot counted. */
    struct io *io;                      /* The node's until the end; or else: */
    struct raft_io *below;              /* Not yet initialised. The node's until the end. */
    struct links *links;                /* What consensus_accept_link() is for. May be NULL. */
    const char *where;                  /* Names the log to people who read of a failure. */
    const struct shim_rules *rules;     /* Borrowed until return. */
};

/* Gives a node on this ground; `directory` and `loop` of the options are not looked at. The rest is
 * as consensus_open() says, which calls it. */
struct consensus *consensus_build(const struct consensus_options *options,
                                  const struct consensus_ground *ground);

/* -- process.c: libraft's memory --------------------------------------------------------------- */

/* The part of consensus_prepare_process() that a process without libuv needs too. */
void process_set_heap(void);

/* -- handover.c: what libraft decided reaches the client --------------------------------------- */

/* The shim's hook after every event: delivers, says who leads, tells proposers and readers. */
void handover_settled(void *context);
/* Proposes the barrier for those who wait, if none is under way. */
void handover_begin_round(struct consensus *consensus);
void handover_proposal_done(struct raft_apply *request, int status, void *result);

/* -- snapshots.c: the log stays bounded -------------------------------------------------------- */

void snapshots_init(struct consensus *consensus, uint64_t bytes_max);
/* After entries were delivered: counts them and asks libraft for a snapshot if they are enough. */
void snapshots_consider(struct consensus *consensus);

#endif
