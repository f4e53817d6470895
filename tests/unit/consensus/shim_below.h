/*
 * A shim between a struct raft whose fields the test sets and a raft_io that does nothing until
 * told, so that each case is one call and what follows. Thread: one.
 */
#ifndef CONSENSUS_SHIM_BELOW_H
#define CONSENSUS_SHIM_BELOW_H

#include <raft.h>
#include <stdbool.h>

#include "shim.h"

enum { CALLS_MAX = 64, PENDING_MAX = 16, ENTRY_BYTES = 1024 * 1024, ENTRIES = 40 };

struct fake {
    struct fake *before;
    struct raft_io io;
    struct raft raft;
    struct shim shim;
    char calls[CALLS_MAX * 16]; /* "append(2) truncate(8) " */
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    raft_time now;
    int status;  /* What the next methods return, or say in callbacks from inside. */
    bool inside; /* Call back inside the method. */
    struct raft_io_append *appends[PENDING_MAX];
    unsigned appends_count;
    struct raft_io_send *sends[PENDING_MAX];
    unsigned sends_count;
    struct raft_io_snapshot_put *put;
    struct raft_message message; /* The last sent. */
    raft_term term;
    raft_id vote;
    /* What libraft was told. */
    unsigned told, received, ticked;
    int told_status;
    struct raft_message heard;
    struct raft_request_vote first_vote; /* That it heard of. */
};

extern struct fake *fake; /* The one under test. */
extern struct raft_entry entries[ENTRIES];

/* A follower in term 3, started; each entry of 8 bytes and term 3. */
int set_up(void **state);

void tick_after(unsigned ms);
/* From member 2. */
void receive(struct raft_message message);
int append(struct raft_io_append *request, unsigned n);
void finish_append(unsigned i, int status);
/* To member 2, after `previous`. */
int send_entries(struct raft_io_send *request, raft_index previous, unsigned n, raft_index commit);

/* What libraft is told with. */
void told_send(struct raft_io_send *request, int status);
void told_append(struct raft_io_append *request, int status);
void told_put(struct raft_io_snapshot_put *request, int status);

/* Exit status of a child that runs `body`; 0 if it ran to its end. */
int status_of_child(void (*body)(void));

#endif
