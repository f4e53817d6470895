/*
 * consensus: one replicated log of bytes. It decides an order of entries that a majority holds on
 * disk, and hands them over in that order on every member; what they mean it does not know.
 *
 * Words
 *   entry       the bytes of one proposal, padded with zeros to a multiple of 8. It carries its own
 *               length and its proposer's name: what was proposed here and what is handed over here
 *               are matched by that name, never by index.
 *   committed   a majority has it on disk; it will never change.
 *   handed over passed to deliver(). Not yet executed.
 *   ready       this node leads, and an entry of its own term is committed and all before it is
 *               handed over here. Before that it takes no proposal and answers no read.
 *   read point  an index such that a reader whose state has executed everything handed over before
 *               the callback sees everything acknowledged before it asked.
 *
 * Order     deliver() sees each index once and in rising order, without gaps but for the first
 *           configuration.
 * Thread    the loop that was given, for every function and every callback, except `checkpoint`
 *           (a thread of libuv's pool) and consensus_prepare_process() (before there are threads).
 * Memory    all of it is this module's; entries that it hands over are borrowed.
 * Failure   a disk that fails, a log that lost what was acknowledged, a directory that is not this
 *           node's: the process ends (qo_fatal) before anybody is told anything.
 *           There is no close: a node stops by _exit(), what was acknowledged is durable (closing
 *           libraft 0.15 has faults, and a stopped node must start from its disk anyway).
 */
#ifndef CONSENSUS_CONSENSUS_H
#define CONSENSUS_CONSENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

struct uv_loop_s;
struct consensus;

/* -- Birth ------------------------------------------------------------------------------------- */

struct consensus_member {
    uint32_t id; /* From 1. */
    /* host:port where clients and the other members reach it. */
    char address[QO_ADDRESS_MAX + 1];
};

/* Who a node is. Written once, by consensus_init_directory(); `boot` and nothing else changes. */
struct consensus_identity {
    char cluster_id[QO_CLUSTER_ID_MAX + 1]; /* [a-z0-9-], the same on every member. */
    uint32_t node_id;                       /* One of `members`. */
    uint64_t incarnation; /* Random, of this directory. Filled by consensus_init_directory(). */
    uint32_t shards;
    uint64_t epoch;
    uint64_t boot; /* How many times the node was opened, this one counted. 0 when born. */
    uint32_t members_count;
    struct consensus_member members[QO_MEMBERS_MAX]; /* The first configuration: all vote. */
};

/* Why a directory could not be made or read. The text says all of it. */
#define CONSENSUS_TEXT_MAX 512u

/* NULL if a node may be born so. Else a sentence for the operator, in `text_out`
 * (CONSENSUS_TEXT_MAX bytes), that names the value which is wrong. Thread: any. */
const char *consensus_identity_fault(const struct consensus_identity *identity, char *text_out);

/* Reads who the node of a directory is, in use or not; all but `boot`. False: it is no node's, or
 * damaged; consensus_open() says more. Thread: any; blocks on disk. */
bool consensus_read_identity(const char *directory, struct consensus_identity *identity_out);

/*
 * Makes the data directory of one first member, all at once: what a crash leaves behind is either
 * nothing under this name or a whole directory. Every first member must get the same cluster id,
 * shards, epoch and members.
 *
 *   directory  is made; must not exist or be empty. Its parent exists.
 *   identity   borrowed; `incarnation` and `boot` are ignored
 *   text_out   CONSENSUS_TEXT_MAX bytes; written on failure: a sentence for the operator
 *
 * Returns false if it could not; nothing is left under `directory` then.
 * Thread: any that runs no loop; blocks on disk.
 */
bool consensus_init_directory(const char *directory, const struct consensus_identity *identity,
                              char *text_out);

/* -- Start ------------------------------------------------------------------------------------- */

/*
 * Once per process, first thing in main(): libuv's pool gets at least 8 threads and starts with all
 * signals blocked (an interrupted call would look like a failed disk), SIGPIPE is ignored,
 * and libraft's memory comes zeroed from mem_alloc(). Calling it again does nothing.
 */
void consensus_prepare_process(void);

/* What consensus calls. All on the loop except `checkpoint`; never from inside a function of this
 * header except consensus_start(). A callback may call consensus_propose(), consensus_read_point(),
 * consensus_status(). */
struct consensus_client {
    void *context;
    /* Whether an entry of `size` bytes may be delivered now. While not, committed entries wait in
     * the log, and the node goes on storing and acknowledging; asked again at every event and tick,
     * and by consensus_resume(). */
    bool (*room)(void *context, size_t size);
    /* A committed entry, above the applied index given to consensus_start(). Borrowed until return:
     * copy it. May neither block nor fail. BYTES_NONE: an entry of the log's own (a barrier, a
     * configuration), with nothing to execute; the applied index may move over it. */
    void (*deliver)(void *context, uint64_t index, uint64_t term, struct bytes entry);
    /* Ready in `term`, or no longer (then also with the term in which it was). */
    void (*leadership)(void *context, bool ready, uint64_t term);
    /* On a pool thread, after everything up to `index` was delivered: waits until that is executed,
     * makes the state durable, and gives a manifest of at most QO_MANIFEST_BYTES_MAX that names it,
     * and the applied index read out of it: never below `index`, whose entry has `term` and may be
     * the log's own, which is never delivered. False: not possible now; it is tried again later. */
    bool (*checkpoint)(void *context, uint64_t index, uint64_t term, struct buf *manifest_out,
                       uint64_t *applied_out);
    /* Inside consensus_start(): the manifest of the snapshot that the log begins with, whose index
     * is `index`. What it names must hold at least that; if not, end the process. */
    void (*restore)(void *context, struct bytes manifest, uint64_t index);
    /* Up to where entries are executed: a node that lags lets others lead. A hint, which may leave
     * out the log's own entries. NULL: it never lags. */
    uint64_t (*executed)(void *context);
};

struct consensus_options {
    const char *directory;  /* Made by consensus_init_directory(). Copied. */
    struct uv_loop_s *loop; /* Borrowed for ever. */
    uint32_t heartbeat_ms;  /* 0: 50. */
    uint32_t election_ms;   /* 0: 500. At least 4 heartbeats. */
    uint64_t log_bytes_max; /* Of log between two snapshots, and kept behind one. 0: default. */
    /* Known to all members and nobody else: who opens a link proves that it knows it. Borrowed
     * until return. QO_SECRET_BYTES_MIN to QO_SECRET_BYTES_MAX; BYTES_NONE: none is asked for. */
    struct bytes secret;
    struct consensus_client client; /* Copied. */
};

/*
 * Opens a node's directory, locks it and counts this boot. Ends the process (FATAL_DIRECTORY) if it
 * is empty, foreign, emptied or in use, naming the ways on. Nothing is sent or answered yet.
 * Gives a node that lives until the process ends.
 */
struct consensus *consensus_open(const struct consensus_options *options);

/* Who this node is. Valid for ever. */
const struct consensus_identity *consensus_identity(const struct consensus *consensus);

/*
 * Loads the log and joins the cluster. The state that will execute the entries says how far it is:
 * `applied_index` and the term of the entry there (0 and 0 for a new one). Ends the process
 * (FATAL_CORRUPT) unless snapshot index <= applied index <= last log index and the log has that
 * term there: anything else means that acknowledged data is missing. Entries up to the applied
 * index are not delivered. `leadership` may be called before this returns (a cluster of one).
 */
void consensus_start(struct consensus *consensus, uint64_t applied_index, uint64_t applied_term);

/* -- Running ----------------------------------------------------------------------------------- */

/* QO_OK: the entry is committed, at some index. It was handed over here, or will be once the client
 * has room. QO_UNKNOWN_OUTCOME: it may be committed later, by this or another leader, or never.
 * Answers nobody: only execution does. */
typedef void (*consensus_propose_cb)(void *context, enum qo_error status);

/*
 * Proposes one entry. The bytes are copied. 1 to QO_ENTRY_BYTES_MAX of them.
 *
 * Returns QO_OK: exactly one callback later. QO_NOT_LEADER; QO_UNAVAILABLE: leads but is not ready;
 * QO_OVERLOADED: QO_PROPOSALS_MAX are under way. On these nothing was proposed and nothing is
 * called.
 */
enum qo_error consensus_propose(struct consensus *consensus, struct bytes entry,
                                consensus_propose_cb callback, void *context)
    __attribute__((warn_unused_result));

/* QO_OK: everything before `index` was handed over; QO_NOT_LEADER: leadership ended, nothing was
 * read (`index` is 0). */
typedef void (*consensus_read_cb)(void *context, enum qo_error status, uint64_t index);

/*
 * Asks for a read point: a round of questions to the other members, and no entry of the log. One
 * serves all that asked before it began; who asks later waits for the next. Returns as
 * consensus_propose(), with QO_READ_POINTS_MAX as the bound.
 */
enum qo_error consensus_read_point(struct consensus *consensus, consensus_read_cb callback,
                                   void *context) __attribute__((warn_unused_result));

/* The client has room again: delivers what waits. Cheap, may be called at every turn of the loop;
 * does nothing before consensus_start() and inside a callback. */
void consensus_resume(struct consensus *consensus);

/* -- The one port --------------------------------------------------------------------------------
 */

/* Members speak to each other through the port that clients use too, which is the caller's. Whether
 * a connection that began with these bytes is a member's link: NO, YES, or MAYBE as long as they
 * are too few to tell. Thread: any; pure. */
enum consensus_opening { CONSENSUS_OPENING_NO, CONSENSUS_OPENING_MAYBE, CONSENSUS_OPENING_YES };
enum consensus_opening consensus_link_opening(struct bytes first);

/*
 * Takes a connection that is one (CONSENSUS_OPENING_YES).
 *
 *   fd            taken: a socket of its own (a dup), which nobody else reads any more; closed if
 *                 the connection is not wanted
 *   already_read  all that was read from it. Borrowed until return.
 */
void consensus_accept_link(struct consensus *consensus, int fd, struct bytes already_read);

enum consensus_role { CONSENSUS_VOTER, CONSENSUS_STANDBY, CONSENSUS_SPARE };
enum consensus_state { CONSENSUS_FOLLOWER, CONSENSUS_CANDIDATE, CONSENSUS_LEADER };

struct consensus_member_status {
    uint32_t id;
    char address[QO_ADDRESS_MAX + 1];
    enum consensus_role role;
    /* What follows is known of oneself, and of others by a leader. */
    bool known;
    uint64_t match_index; /* Known to be on its disk. */
    bool reachable;       /* Heard of within two election timeouts. */
    bool needs_rebuild;   /* What it lacks is no longer in the leader's log. */
};

struct consensus_status {
    enum consensus_state state;
    bool ready;
    uint64_t term;
    uint32_t leader_id; /* 0: none known. */
    char leader_address[QO_ADDRESS_MAX + 1];
    uint64_t last_index;      /* Of the log, in memory. */
    uint64_t stored_index;    /* On this node's disk. */
    uint64_t committed_index; /* As known here; does not go back. */
    uint64_t delivered_index; /* Handed over up to here. */
    uint64_t snapshot_index;
    uint64_t log_bytes; /* Since that snapshot, handed over. */
    bool needs_rebuild; /* This node was offered a snapshot, which it cannot take yet. */
    uint32_t members_count;
    struct consensus_member_status members[QO_MEMBERS_MAX];
};
void consensus_status(const struct consensus *consensus, struct consensus_status *status_out);

#endif
