/*
 * shim: a raft_io between libraft and the disk and network below it. The packaged libraft 0.15 has
 * faults that lose acknowledged writes; every rule here cures one of them from outside, and each
 * has a test that shows the fault without it (tests/unit/consensus/README.md).
 *
 * Words
 *   below      the raft_io that does the work: io.h, or a simulated world.
 *   event      anything that comes from below: a tick, a message, a completion.
 *   settle     what follows every event once libraft is off the stack: completions that were put
 *              off are told, a new leader gets its first entry, and then hooks.settled is called.
 *
 * Thread   the loop. No clock but below->time().
 * Memory   the shim is its owner's and stays where it is while libraft and `below` live.
 */
#ifndef CONSENSUS_SHIM_H
#define CONSENSUS_SHIM_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"

/* All on. Only a test turns one off, to see the fault. */
struct shim_rules {
    bool clamp_acks;       /* S-1 */
    bool own_entry_first;  /* S-2 */
    bool pace_completions; /* S-3 */
    bool storage_is_fatal; /* S-4 */
    bool stored_candidacy; /* S-5 */
    bool step_back;        /* S-7 */
    bool never_inside;     /* S-9 */
    bool watch;            /* S-10 */
    bool late_votes;       /* guard 4: no vote within one election timeout after the start */
    bool windows;          /* guard 4m, B3, B4: bounded messages, bounded bytes to a peer */
    bool no_install;       /* InstallSnapshot is dropped both ways */
    bool probe_from_end;   /* S-11 */
    bool skip_committed;   /* S-12 */
    bool learn_terms;      /* S-13 */
    bool believe_refusals; /* S-14 */
    bool forget_silent;    /* S-15 */
    bool spare_unstored;   /* S-16 */
};
extern const struct shim_rules shim_rules_all;

/* What the log held when it was loaded, before libraft saw it. */
struct shim_loaded {
    uint64_t snapshot_index, snapshot_term; /* 0 if there is none. */
    uint64_t start_index;
    const struct raft_entry *entries; /* Borrowed until return. */
    uint64_t entries_count;
};

struct shim_hooks {
    void *context;
    void (*settled)(void *context); /* libraft is off the stack. May be NULL. */
    void (*loaded)(void *context, const struct shim_loaded *loaded); /* May be NULL. */
};

struct shim_write; /* An append that libraft has not been told of. */
struct shim_send;  /* A message handed to `below` or to be failed. */

struct shim_peer {
    raft_id id; /* 0: free. */
    uint32_t messages_count;
    uint64_t bytes;        /* Of entries handed below and not yet sent. */
    uint64_t trimmed_next; /* First index left out of the last message; 0: none. */
    raft_time heard_ms;    /* Last message from it; 0: none. */
    raft_term held_term;   /* S-2: an ack that waits; 0: none. */
    raft_index held_index;
};

struct shim {
    struct raft_io io; /* What libraft gets. */
    struct raft_io *below;
    struct shim_rules rules;
    struct shim_hooks hooks;
    raft_io_tick_cb tick; /* libraft's. */
    raft_io_recv_cb recv;
    raft_io_close_cb closed;
    unsigned heartbeat_ms;
    raft_time started_ms, ticked_ms;
    int inside; /* Calls into libraft or `below` on the stack. */
    bool settling;

    /* S-1: how far this log is known to equal the log of the leader of `verified_term`. */
    raft_term verified_term;
    raft_index verified_index;
    raft_term message_term; /* Of the message being received; 0: none that brings entries. */
    raft_index message_end;

    /* S-2 */
    struct raft_barrier barrier;
    raft_term lead_term; /* Last term in which this node was seen to lead. */
    raft_index barrier_index;
    bool barrier_under_way, barrier_fired; /* `fired`: with status 0, in lead_term. */

    /* S-3: appends in order, until libraft was told. */
    struct shim_write *writes_first, *writes_last;

    /* S-10: libraft has one put at a time. */
    struct {
        struct raft_io_snapshot_put below;
        struct raft_io_snapshot_put *request; /* NULL: none. */
        raft_io_snapshot_put_cb callback;
        const struct raft_snapshot *snapshot;
        unsigned trailing;
        bool done; /* The callback waits to be told. */
        int status;
        uint64_t waited_ms;
    } put;

    /* The checkpoint that libraft asked for, until shim_begin_work(). NULL: none. */
    struct raft_io_async_work *work;
    raft_io_async_work_cb work_done;

    struct shim_send *failed_first, *failed_last; /* S-9: callbacks that were put off. */
    bool install_refused; /* A snapshot was offered to this node and dropped. */
    struct shim_peer peers[QO_MEMBERS_MAX];
};

/* Puts `shim` over `below`, whose `data` it takes. Pass &shim->io to raft_init(). */
void shim_init(struct shim *shim, struct raft_io *below, const struct shim_hooks *hooks);

/* Around every call into libraft that is not an event (raft_apply, raft_barrier, raft_start), so
 * that nothing calls back inside it. What was put off is told at the next event. */
void shim_enter(struct shim *shim);
void shim_leave(struct shim *shim);

/* As after an event. For the end of raft_start(), where a cluster of one already leads. */
void shim_settle(struct shim *shim);

/* Lets the work begin that libraft gave to async_work(), if there is any. Outside libraft. */
void shim_begin_work(struct shim *shim);

/* Leads, and the first entry of its own term is committed and applied. */
bool shim_ready(const struct shim *shim);

/* Milliseconds since a message came from this member; UINT64_MAX if none came. */
uint64_t shim_silence_ms(const struct shim *shim, raft_id id);

#endif
