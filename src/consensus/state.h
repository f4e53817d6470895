/* state: struct consensus, shared by consensus.c, handover.c and snapshots.c. Thread: the loop. */
#ifndef CONSENSUS_STATE_H
#define CONSENSUS_STATE_H

#include <raft.h>

#include "consensus/consensus.h"
#include "io.h"
#include "rounds.h"
#include "shim.h"
#include "transport.h"

/* One call of consensus_propose(). */
struct proposal {
    struct raft_apply request;
    struct consensus *consensus;
    consensus_propose_cb callback;
    void *context;
    enum qo_error status; /* Once it is in `told`. */
    struct proposal *next;
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
    const struct transport *transport;
    struct links *links; /* NULL: nothing is accepted from a port. */
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
    struct rounds rounds;
    raft_time ticked_ms; /* The last tick that rounds were told of. */
    struct snapshots snapshots;
};

/* -- consensus.c: what a node stands on -------------------------------------------------------- */

/* What consensus_open() finds on the disk, and a simulated world puts in its place. */
struct consensus_ground {
    struct consensus_identity identity; /* With this boot counted. */
    struct io *io;                      /* The node's until the end; or else: */
    struct raft_io *below;              /* Not yet initialised. The node's until the end. */
    /* With `below`: what carries notes; what it receives goes to consensus_noted(). Borrowed for
     * ever. */
    const struct transport *transport;
    struct links *links;            /* What consensus_accept_link() is for. May be NULL. */
    unsigned rounds_without;        /* Of enum rounds_without; 0 but in tests. */
    const char *where;              /* Names the log to people who read of a failure. */
    const struct shim_rules *rules; /* Borrowed until return. */
};

/* Gives a node on this ground; `directory` and `loop` of the options are not looked at. The rest is
 * as consensus_open() says, which calls it. */
struct consensus *consensus_build(const struct consensus_options *options,
                                  const struct consensus_ground *ground);

/* A note has come (transport.h); `context` is the node. Dropped before consensus_start(). */
void consensus_noted(void *context, uint32_t from, uint8_t kind, struct bytes body);

/* Leads, and an entry of its term is committed and handed over, as the client was told. */
static inline bool
consensus_is_ready(const struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;
    return consensus->started && raft->state == RAFT_LEADER && consensus->ready &&
           consensus->ready_term == raft->current_term;
}

/* -- process.c: libraft's memory --------------------------------------------------------------- */

/* The part of consensus_prepare_process() that a process without libuv needs too. */
void process_set_heap(void);

/* -- handover.c: what libraft decided reaches the client --------------------------------------- */

/* The shim's hook after every event: delivers, says who leads, tells proposers and readers. */
void handover_settled(void *context);
/* What rounds want to know of this node, and how its notes leave. */
void handover_open_rounds(struct consensus *consensus, unsigned without);
void handover_proposal_done(struct raft_apply *request, int status, void *result);

/* -- snapshots.c: the log stays bounded -------------------------------------------------------- */

void snapshots_init(struct consensus *consensus, uint64_t bytes_max);
/* After entries were delivered: counts them and asks libraft for a snapshot if they are enough. */
void snapshots_consider(struct consensus *consensus);

#endif
