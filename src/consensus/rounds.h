/*
 * rounds: linearizable reads without an entry of the log and without a clock (ReadIndex). A leader
 * asks the others whether they are still in its term; when a majority has said yes, nobody else
 * can have acknowledged anything before it asked.
 *
 * Words
 *   reader   who asked for a read point.
 *   round    one question, named (term, nonce), and the readers that it serves: those that had come
 *            before its notes left. Later ones wait for the next; one is under way at a time.
 *   note     16 bytes between members: kind ROUNDS_ASK or ROUNDS_YES, with term and nonce.
 *   view     what a member knows of itself at this moment.
 *
 * Why a round is right. Let it begin at t: its readers have come, the leader of term T notes its
 * commit index C, then its notes leave. All that was acknowledged before t in T or before is at or
 * below C, because an entry of T is committed. Had a later term acknowledged something before t,
 * a majority of voters would have had that term on their disks before t; but of every majority one
 * says, after t, that the term on its disk is T, and terms only grow. So C covers everything.
 *
 * Loss     a note that was lost is sent again at ticks, to those that have not answered: the same
 *          note, so that answers to every copy add up. Each was given after t, whichever copy it
 *          answers. A new nonce would gain nothing, and lose answers that come late.
 * Names    a nonce that counts within a process is enough. Where others vote too, a node stands in
 *          a new term each time and never leads one twice. A sole voter leads the term on its disk
 *          again at each start, but asks nobody; and who votes does not change while a node runs.
 * Bounds   QO_READ_POINTS_MAX readers wait, and as many are served; a round ends with the
 *          leadership, which ends when no majority is heard of for an election timeout.
 * Thread   the loop. Pure: no libuv, no libraft, no clock.
 */
#ifndef CONSENSUS_ROUNDS_H
#define CONSENSUS_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "consensus/consensus.h"

/* Kinds of notes (transport.h). */
enum { ROUNDS_ASK = 1, ROUNDS_YES = 2 };

enum { ROUNDS_NOTE_BYTES = 16 }; /* Term, nonce; little-endian. */

struct rounds_member {
    uint32_t id;
    bool votes;
};

struct rounds_view {
    uint32_t self;
    uint64_t term;            /* On this member's disk. */
    bool ready;               /* Leads that term, as consensus.h says. */
    uint64_t committed_index; /* Never goes back. */
    uint64_t delivered_index;
    uint32_t members_count; /* Of the newest configuration in the log, committed or not. */
    struct rounds_member members[QO_MEMBERS_MAX];
};

/* What rounds stand on. Neither may call back into rounds. */
struct rounds_ground {
    void *context;
    void (*view)(void *context, struct rounds_view *view_out);
    /* As transport.note: at best. */
    void (*note)(void *context, uint32_t to, uint8_t kind, struct bytes body);
};

/* Rules that a test leaves out, to see the fault. */
enum rounds_without {
    ROUNDS_WITHOUT_QUESTION = 1, /* The leader believes that it still leads. */
    ROUNDS_WITHOUT_TERM = 2,     /* A member says yes whatever its term is. */
    ROUNDS_WITHOUT_NONCE = 4,    /* An answer to an earlier round counts. */
    ROUNDS_WITHOUT_VOTERS = 8,   /* Those that do not vote are asked and count too. */
    ROUNDS_WITHOUT_NEXT = 16,    /* A late reader joins the round under way. */
};

struct rounds_reader {
    consensus_read_cb callback;
    void *context;
};

struct rounds_readers {
    struct rounds_reader *items;
    uint32_t count, capacity;
};

struct rounds {
    struct rounds_ground ground;
    unsigned without;              /* Of enum rounds_without. */
    struct rounds_readers waiting; /* For the next round. */
    struct rounds_readers readers; /* Of this one. */
    bool under_way;                /* Until its readers were told. */
    bool answered;                 /* By a majority. */
    uint64_t term, nonce, index;   /* Of the round; the index is C. */
    uint32_t yes[QO_MEMBERS_MAX];  /* Who said yes and still votes. */
    uint32_t yes_count;
    uint64_t begun_count; /* Rounds so far. */
};

/* `ground` is copied; `rounds` stays where it is and is never given back. */
void rounds_init(struct rounds *rounds, const struct rounds_ground *ground, unsigned without);

/* A reader comes. Exactly one callback later, from rounds_settle(): QO_OK with C, when everything
 * up to C was handed over; or QO_NOT_LEADER. The view is ready. False: QO_READ_POINTS_MAX wait. */
bool rounds_read(struct rounds *rounds, consensus_read_cb callback, void *context)
    __attribute__((warn_unused_result));

/* Begins a round for those who wait, if none is under way. Calls nobody back. */
void rounds_begin(struct rounds *rounds);

/* A note has come from a member. What is not for a round under way is dropped, as are notes of
 * other kinds and sizes. Calls nobody back. */
void rounds_noted(struct rounds *rounds, uint32_t from, uint8_t kind, struct bytes body);

/* A tick: asks again who has not answered. */
void rounds_tick(struct rounds *rounds);

/* After every event, outside of everything: tells readers, and begins the next round. Callbacks may
 * call rounds_read() and rounds_begin(). */
void rounds_settle(struct rounds *rounds);

#endif
