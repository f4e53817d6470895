/*
 * log: what this node has on its disk: entries, term and vote, the last snapshot's manifest.
 *
 * It knows nothing of libraft: an entry is bytes with a term and a type, and its index follows from
 * the order. It stands on struct log_disk (log_disk.h), so that the same code runs on a simulated
 * disk.
 *
 * Words
 *   record     an entry as it is written. Records have numbers of their own, `sequence`, which
 *              only grow; an index comes again after a truncation.
 *   write      what goes to the disk in one piece: records of all the entries that wait. It begins
 *              on a block of 4 KiB and fills its last one with zeros, so that a block that holds
 *              something durable is never written again. One write is under way at a time.
 *   segment    a file of fixed size, written over its whole length before it is used, so that a
 *              durable write changes no metadata. It has a serial number; serials on the disk are
 *              contiguous. A segment whose entries a snapshot holds is recycled: it gets the next
 *              serial, and its old records go out of sight, since checksums are seeded with it.
 *   torn tail  records of the write that was under way at a crash, in any state, never told to
 *              anybody.
 *   mark       the highest sequence that was told as stored, written now and then by log_tick().
 *
 * Files                        content                              written
 *   segment-0000 ...           header, records                      see log_segment.h, log_record.h
 *   vote                       two copies: term, vote               both, one after the other
 *   manifest                   two copies: snapshot, log's begin    both, one after the other
 *   mark                       two copies: sequence, index          in turn
 * A copy is checked and has a version (log_meta.h). Of two that are written one after the other one
 * is always whole, and a damaged one never brings an older state back: a vote is not given twice.
 *
 * Truncation is a record whose index is not above the last: it drops everything at or above it. So
 * a crash keeps the old tail without the new entries, or the new entries without the old tail; and
 * nothing can lose or overtake it.
 *
 * Where the log ends (log_recover.c). A record is good if its checksum, its sequence and the
 * checksum of the record before it fit. Each record says up to where the log was `durable` when it
 * was written. A bad record k is a torn tail if no good later record says durable >= k: then the
 * log ends before k, and is written on from there. Otherwise it is damage: log_open() refuses, as
 * it does if the log ends before the mark or the snapshot. Being readable after a bad record proves
 * nothing: blocks of one write reach the disk in any order.
 *
 * Order     callbacks come in the order of the appends, each after everything before it is durable;
 *           never inside the function that took the request.
 * Thread    the loop.
 * Memory    entries and requests are borrowed until their callback; manifests are copied.
 * Failure   a write that fails ends the node (FATAL_STORAGE) before anybody is told anything. No
 *           room for a further segment does not by itself: appends wait, and it is tried again at
 *           each tick. The shim ends a node whose append waits for QO_APPEND_STALL_MS_MAX, whatever
 *           for: a leader that can store nothing keeps all from writing.
 * Bounds    common/limits.h: QO_LOG_*. Requests that wait are the caller's and bounded there.
 */
#ifndef CONSENSUS_LOG_H
#define CONSENSUS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/limits.h"
#include "log_disk.h"

struct log;

struct log_entry {
    uint64_t term;
    uint8_t type; /* The caller's; not looked at. */
    struct bytes data;
};

/* -- Birth and start --------------------------------------------------------------------------- */

/* Why a log could not be made or opened: a sentence with file, offset and what to do. */
struct log_failure {
    enum fatal_reason reason;
    char text[512];
};

/* What cannot be changed later. */
struct log_shape {
    uint64_t
        salt; /* Random, of this directory: no client can write bytes that look like records. */
    uint32_t segment_bytes;      /* A multiple of 4096; 0: QO_LOG_SEGMENT_BYTES. */
    uint32_t manifest_bytes_max; /* 0: QO_LOG_MANIFEST_BYTES_MAX. */
};

/* Makes the files of an empty log, with term 1 and no vote, in an empty directory. Blocks. A crash
 * may leave some of them: the caller makes the directory under another name first. */
bool log_create(const struct log_disk *disk, const struct log_shape *shape,
                struct log_failure *failure_out);

/* Rules that only tests turn off, each to see that something is found out then. */
enum log_without {
    LOG_WITHOUT_DURABLE = 1,   /* A bad record is always a torn tail. */
    LOG_WITHOUT_TEARING = 2,   /* A good record after a bad one is always damage. */
    LOG_WITHOUT_CHAIN = 4,     /* The checksum of the record before is not compared. */
    LOG_WITHOUT_SEED = 8,      /* Checksums begin with nothing. */
    LOG_WITHOUT_MARK = 16,     /* The log may end before the mark. */
    LOG_WITHOUT_DROPPING = 32, /* A truncation leaves what is above the new entries. */
    LOG_WITHOUT_COPY = 64,     /* Vote and manifest are written once, in turn. */
};

struct log_options {
    const struct log_disk *disk; /* Borrowed until log_free(). */
    uint64_t keep_bytes; /* Segments with entries that may go are kept up to so much in all. */
    unsigned without;    /* enum log_without; 0 outside tests. */
    /* Called once when the node must end, instead of qo_fatal(). If it returns, the log is dead: it
     * writes nothing and calls nothing any more. NULL: qo_fatal(). */
    void (*stop)(void *context, enum fatal_reason reason, const char *text);
    void *stop_context;
};

/* Reads and checks everything, then mends what a crash left half done: a copy, a header, a file
 * without one. Blocks. NULL with `failure_out` if anything is in doubt, and nothing is changed on
 * the disk then; or if the disk fails, which may leave some of it mended. */
struct log *log_open(const struct log_options *options, struct log_failure *failure_out);

/* What was found. Valid until log_forget_loaded(). */
struct log_loaded {
    uint64_t salt; /* As it was created. */
    uint64_t term, vote;
    uint64_t snapshot_index, snapshot_term; /* 0: none. */
    struct bytes manifest;
    uint64_t first_index; /* Of `entries`; at most snapshot_index + 1. */
    const struct log_entry *entries;
    size_t count;
};
const struct log_loaded *log_loaded(const struct log *log);
void log_forget_loaded(struct log *log);

/* Gives the memory back. The disk has stopped: nothing that was submitted will be done. A node does
 * not call this, it exits. */
void log_free(struct log *log);

/* -- Running ----------------------------------------------------------------------------------- */

/* One call of log_append(). The caller's, until `done`; all fields but `owner` are private. */
struct log_append {
    void *owner;
    const struct log_entry *entries;
    size_t count, written; /* `written`: are in a write that is done or under way. */
    uint64_t first_index;
    uint64_t number; /* Of this request: 1, 2, ... */
    void (*done)(struct log_append *request);
    struct log_append *next;
};

/* Appends `count` > 0 entries behind the last, or behind where the log was truncated. `done` is
 * called when they and all before are durable; also if they were truncated meanwhile. */
void log_append(struct log *log, struct log_append *request, const struct log_entry *entries,
                size_t count, void (*done)(struct log_append *request));

/* The same for one entry, durable on return. Only before anything was appended otherwise: the first
 * configuration, or one that an operator forces. */
bool log_append_now(struct log *log, const struct log_entry *entry);

/* The next entry appended gets `index`, which is above the snapshot and at most one above the last.
 * On the disk with that entry, not before. */
void log_truncate(struct log *log, uint64_t index);

/* Durable on return. A new term has no vote; a vote in a term is given once. */
void log_set_term(struct log *log, uint64_t term);
void log_set_vote(struct log *log, uint64_t vote);

struct log_publish {
    void *owner;
    void (*done)(struct log_publish *request);
};

/*
 * Makes `manifest` the snapshot: all or nothing, once everything appended before is durable.
 *
 *   index, term  of the last entry that it holds; above the snapshot before
 *   may_go       entries up to here may be removed, with their segments; at most `index`
 *
 * One at a time. Appends and truncations go on meanwhile.
 */
void log_publish(struct log *log, struct log_publish *request, uint64_t index, uint64_t term,
                 uint64_t may_go, struct bytes manifest, void (*done)(struct log_publish *request));

/* The same, and the log is empty behind it: the next entry has index + 1. What was appended before
 * gets its callback; what is appended later is written when this is done. */
void log_replace(struct log *log, struct log_publish *request, uint64_t index, uint64_t term,
                 struct bytes manifest, void (*done)(struct log_publish *request));

/* Once per heartbeat: writes the mark if it lags, tries again to prepare segments. */
void log_tick(struct log *log);

struct log_status {
    uint64_t snapshot_index, next_index;
    uint64_t sequence, durable; /* The last record written or being written; the last durable. */
    uint64_t mark;              /* Durable. */
    uint64_t writes;            /* Done since the start. */
    uint64_t live_bytes;        /* Of segments that hold the log. */
    uint32_t segments, ahead;   /* Files in all; of them prepared. */
    bool writing;
};
void log_status(const struct log *log, struct log_status *status_out);

#endif
