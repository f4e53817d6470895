/*
 * limits: every bound of a node, with unit and reason.
 *
 * The first part is what clients may rely on: include/PROTOCOL.md, reported by `hello`. The second
 * is our own. Origin of a number: derived, measured (where) or guessed.
 */
#ifndef COMMON_LIMITS_H
#define COMMON_LIMITS_H

#include <assert.h>

/* Shifts, so that a limit keeps the type of its number wherever it is used. */
#define QO_KIB(count) ((count) << 10)
#define QO_MIB(count) ((count) << 20)

/* -- The protocol's limits ------------------------------------------------------------------- */
#define QO_ID_MAX 128u
#define QO_REQUEST_ID_MAX 64u
#define QO_NAME_MAX 64u
#define QO_ACTOR_MAX 256u
#define QO_REASON_MAX 256u
#define QO_TRACE_MAX 256u
#define QO_ATTRIBUTES_MAX QO_KIB(16u) /* Bytes, encoded as one MessagePack map. */
#define QO_MESSAGE_MAX QO_KIB(1024u)
#define QO_OPERATIONS_MAX 1024u
#define QO_NESTING_MAX 16u
#define QO_IDS_MAX 256u
#define QO_SUBSCRIPTIONS_MAX 64u
#define QO_CREDIT_MAX (1ull << 31)
#define QO_DEFINITIONS_MAX 4096u
#define QO_LIMIT_DEFAULT 100u
#define QO_LIMIT_MAX 1000u
#define QO_WAIT_MS_MAX 60000u
#define QO_TIMEOUT_MS_DEFAULT 5000u
#define QO_TIMEOUT_MS_MAX 60000u
#define QO_OUTSTANDING_MAX 1024u
#define QO_DEFINITION_SOURCE_MAX QO_KIB(256u)
#define QO_STATES_MAX 256u
#define QO_EVENTS_MAX 512u
#define QO_DECLARED_ATTRIBUTES_MAX 128u
#define QO_ERROR_MESSAGE_MAX 200u
#define QO_FILTER_NAMES_MAX 4096u   /* Names in one filter of a feed: as many as definitions. */
#define QO_BATCH_ALLOWED_MAX 4u     /* Names in `allowed` inside a batch's errors. */
#define QO_FEED_LOOK_MAX 10000u     /* Events looked at by one feed.read. */
#define QO_FEED_HEARTBEAT_MS 10000u /* An empty feed.events comes at least so often. */
#define QO_HALF_MESSAGE_IDLE_MS 30000u
#define QO_HALF_MESSAGE_TOTAL_MS 60000u
#define QO_CLOSE_DRAIN_MS 1000u
#define QO_HALT_MS 200u /* Guessed. Turns of the loop that take longer: we stood still. */

/* -- Our own --------------------------------------------------------------------------------- */
#define QO_CACHE_LINE 64u
#define QO_RING_CAPACITY_MAX (1u << 20)
#define QO_SHARDS_DEFAULT 16u
#define QO_SHARDS_MAX 256u /* The shard is one byte of a key. */
#define QO_MEMBERS_MAX 9u  /* Guessed: five voters and as many others as anybody wants. */

/* One log entry. Measured in research: beyond 256 commands an entry gains little. */
#define QO_ENTRY_BYTES_MAX QO_MIB(2u)
#define QO_ENTRY_BYTES_TARGET QO_KIB(256u) /* A batch is closed once it is so large. */
/* What one request comes to in an entry, beside the entry's header and padding. A message of many
 * short attributes, or with a long trace that each operation gets, may come to more. */
#define QO_REQUEST_ENTRY_BYTES_MAX (QO_ENTRY_BYTES_MAX - QO_KIB(1u))
#define QO_ENTRY_COMMANDS_MAX 1024u
#define QO_ENTRIES_IN_FLIGHT 4u

/* Bytes proposed and not yet executed on the leader; over it `overloaded`, creations at 70 %. */
#define QO_PENDING_BYTES_MAX QO_MIB(64u)
#define QO_PENDING_CREATE_PERCENT 70u
/* Bytes handed over and not yet executed; over it committed entries wait in the log. */
#define QO_APPLY_QUEUE_BYTES_MAX QO_MIB(64u)
#define QO_APPLY_QUEUE_ENTRIES_MAX (1u << 14)
/* Items of that queue that are kept for later ones, and what each of their two buffers may keep.
 * Guessed: more than are under way under full load; 32 MiB in all. */
#define QO_APPLY_POOL_ITEMS 64u
#define QO_APPLY_POOL_BUFFER_BYTES QO_KIB(256u)
/* Entries for which nobody waits that the state thread is woken for at once; at each tick for any.
 */
#define QO_APPLY_GROUP_ENTRIES 8u
#define QO_LIGHT_ENTRY_BYTES_MAX QO_KIB(1u) /* What the loop may execute itself: apply_light(). */
#define QO_CACHE_TRIM_STEPS 4096u           /* Slots that are looked at after one entry. */
#define QO_CACHE_OVER_SHARE 16u             /* Over its bound by no more than a part of so many. */

#define QO_FINGERPRINTS_MAX 32u /* Request ids that an order's record remembers by itself. */
/* Of older ones: a page has so many times 32 versions, 2 KiB, and is written anew for each 32. */
#define QO_FINGERPRINT_PAGE_BLOCKS 16u
/* Measured: to look through these takes about as long as to get the row of one fingerprint. */
#define QO_FINGERPRINT_PAGES 8u
#define QO_SNAPSHOT_EVERY 64u        /* Every so many versions an event carries all attributes. */
#define QO_TIMERS_PER_ENTRY_MAX 256u /* A quarter of a batch. */
/* A compiled definition. Derived: no text of it is longer than its source by more than a half (an
 * escape of two bytes may mean three); each way out of a state, of which there are at most states
 * times events, takes 5 bytes more. */
#define QO_COMPILED_MAX QO_KIB(1024u)
#define QO_DEFINITION_NESTING_MAX 8u /* Maps and lists inside each other; the language needs 4. */
#define QO_LIST_LOOK_MAX 20000u      /* Rows, stale ones included, that one order.list looks at. */
/* A message between nodes: a client's message whole, and a few words around it. */
#define QO_PEER_MESSAGE_MAX (QO_MESSAGE_MAX + 1024u)
#define QO_REQUESTS_MAX (1u << 16) /* Under way on a node; over it `overloaded`. */
#define QO_MARKERS_MAX 1024u       /* Read points in the apply queue. */
#define QO_READERS 2u              /* Threads that read on snapshots. Guessed: one per core here. */
#define QO_READ_CHUNK_MAX 64u      /* Reads that one reader does on one snapshot in one go. */
#define QO_READS_QUEUED_MAX (1u << 15) /* Reads that wait for a reader; over it `overloaded`. */
#define QO_UNKNOWN_GRACE_MS 1000u /* How long a batch whose fate is open may still be executed. */
#define QO_TICK_MS 20u            /* Grain of time-outs, timers and heartbeats of the feed. */
#define QO_RETRY_AFTER_MS 100u    /* What `overloaded` and `unavailable` advise. */
#define QO_FEED_CHUNK_BYTES QO_KIB(256u) /* Events in one feed.events. */
#define QO_FORWARDS_MAX (1u << 14)       /* Requests forwarded and not yet answered, per link. */
#define QO_FORWARD_BYTES_MAX QO_MIB(16u) /* Forwarded and not yet sent. */
#define QO_FORWARD_RETRY_MS 100u         /* Between two tries to connect to the leader. */
#define QO_FORWARD_FORMER_MS 250u        /* For answers that it gave before it was replaced. */
#define QO_FORWARD_CONNECT_MS 2000u      /* A lost SYN is sent again after a second. */
#define QO_FORWARD_CLOCK_MS 10000u       /* Of drift between two clocks: a millisecond. */
#define QO_FORWARD_ANSWER_MS 20u         /* An answer that took longer is asked for again. */
#define QO_FORWARD_SILENCE_MS 5000u      /* As of the links between members. */
#define QO_FORWARD_KEEPALIVE_S 5u        /* Asked so often when there is nothing to send. */
#define QO_TIMER_SCAN_MS 50u             /* Between two looks for deadlines that have come. */
#define QO_CURSOR_MAX 20u                /* Bytes of a cursor's text. */
/* The sweeping of lists: src/store/sweep.h. Guessed: counters for 2^29 rows in 1 MiB; 4,096 blocks
 * are a minute's; a walk over all lists pays once it finds so many rows. */
#define QO_SWEEP_COUNTERS_MAX (1u << 15)
#define QO_SWEEP_BACKLOG_MAX 4096u
#define QO_SWEEP_UNKNOWN_MAX (1u << 16)
#define QO_PATH_MAX 4096u
#define QO_DISK_RESERVE_MAX QO_MIB(1024ull) /* Default: this or 5 % of the disk. */
#define QO_DISK_LOOK_MS 500u
#define QO_SWEEP_ROWS_MAX 5000u /* List rows that one sweep looks at. Guessed. */
#define QO_SWEEP_EVERY_MS 1000u
#define QO_HEARTBEAT_MS_DEFAULT 50u /* Measured in research: stable under full load. */
#define QO_ELECTION_MS_DEFAULT 500u
#define QO_DEADLINE_COUNTERS_MAX (1u << 16) /* Deadlines whose rows are counted: 4 MiB. */
#define QO_DEADLINE_LOOK_MAX 20000u         /* Orders that one scan for what is due looks at. */
#define QO_CONNECTIONS_MAX 4096u
/* Files besides connections: the store's (src/store/rocks.c), the log's, links. With a limit of the
 * system below that, connections get one in so many of what there is. */
#define QO_FILES_MAX 5120u
#define QO_CONNECTIONS_SHARE 4u
#define QO_CONNECTIONS_SPARE 32u     /* Over that, to see whether they are links of members. */
#define QO_CONNECTION_SPARE_MS 2000u /* For one of these to say so. Guessed: some round trips. */
#define QO_CONNECTION_WRITE_BYTES_MAX QO_MIB(8u) /* Then the socket is not read. */
/* What is under way then may still answer a message each. Guessed: far above what a client that
 * reads leaves unsent. Over it, reads with large answers are `overloaded`; over twice, the end. */
#define QO_CONNECTION_ANSWER_BYTES_MAX QO_MIB(32u)
#define QO_SMALL_ANSWER_MAX QO_KIB(4u)

/* -- The client library ---------------------------------------------------------------------- */
#define QO_ADDRESS_MAX 280u     /* "host:port": a DNS name has at most 253 bytes. */
#define QO_CLIENT_NODES_MAX 16u /* Given and learned. Guessed: QO_MEMBERS_MAX and some. */
#define QO_CLIENT_CALLS_DEFAULT 4096u
#define QO_CLIENT_CALLS_MAX 65536u
#define QO_CLIENT_BYTES_DEFAULT QO_MIB(64u) /* Encoded requests of all calls under way. */
#define QO_CLIENT_FEEDS_MAX QO_SUBSCRIPTIONS_MAX
/* Calls on one connection. Derived: each feed may also have a subscribe and an unsubscribe there,
 * and the greeting one hello. */
#define QO_CLIENT_CONNECTION_CALLS_MAX (QO_OUTSTANDING_MAX - 2u * QO_CLIENT_FEEDS_MAX - 2u)
#define QO_CLIENT_OUT_BYTES_MAX QO_MIB(4u) /* Not yet taken by one socket. Guessed. */
#define QO_CLIENT_READ_BYTES QO_KIB(64u)   /* Asked of a socket at a time. */
#define QO_CLIENT_READS_MAX 16u            /* Of one socket before the next one's turn. */
#define QO_CLIENT_DEADLINE_MS_DEFAULT 30000u
#define QO_CLIENT_DEADLINE_MS_MAX (24u * 3600 * 1000)
#define QO_CLIENT_CONNECT_MS_DEFAULT 2000u
#define QO_CLIENT_ANSWER_GRACE_MS 1000u    /* Beyond a copy's own time, then the node is stuck. */
#define QO_CLIENT_LATE_MARGIN_MS 100u      /* Beyond a lost copy's time: clocks that run unlike. */
#define QO_CLIENT_HELLO_BUSY_MS 500u       /* How often a node is asked who leads, with calls ... */
#define QO_CLIENT_HELLO_IDLE_MS 10000u     /* ... and without. */
#define QO_CLIENT_HELLO_SEEK_MS 100u       /* ... and with calls while nobody is known to lead. */
#define QO_CLIENT_SILENCE_MS 3000u         /* A hello unanswered so long, and nothing else: gone. */
#define QO_CLIENT_DEPOSED_SILENCE_MS 1000u /* The same where another node is known to lead. */
#define QO_CLIENT_SUSPECT_MS 1000u         /* How long a leader that failed us is not believed. */
#define QO_CLIENT_RETRY_MS_MIN 20u /* Back-off of a call: doubled to the maximum, jittered. */
#define QO_CLIENT_RETRY_MS_MAX 1000u
#define QO_CLIENT_RETRY_AFTER_MS_MAX 10000u /* Longer wishes of a node are cut to this. */
#define QO_CLIENT_RECONNECT_MS_MIN 50u      /* Back-off of a node, likewise. */
#define QO_CLIENT_RECONNECT_MS_MAX 2000u
#define QO_CLIENT_REDIRECTS_MAX 2u /* not_leader followed at once so often in a row. */
#define QO_CLIENT_FEED_CREDIT_DEFAULT 1000u
#define QO_CLIENT_FEED_CREDIT_MAX 100000u
#define QO_CLIENT_FEED_SILENCE_MS (3u * QO_FEED_HEARTBEAT_MS) /* Then it changes its node. */

static_assert(QO_TIMERS_PER_ENTRY_MAX * 4 <= QO_ENTRY_COMMANDS_MAX, "timers: a quarter of a batch");
static_assert(QO_REQUEST_ENTRY_BYTES_MAX >= QO_COMPILED_MAX + QO_DEFINITION_SOURCE_MAX + 64u,
              "a definition fits");
static_assert(QO_STATES_MAX * QO_EVENTS_MAX * 5 + QO_DEFINITION_SOURCE_MAX < QO_COMPILED_MAX,
              "what compiles can be opened");
static_assert(QO_CLIENT_CONNECTION_CALLS_MAX >= QO_OUTSTANDING_MAX / 2, "mostly calls");
static_assert(QO_ENTRY_COMMANDS_MAX >= QO_OPERATIONS_MAX, "one order.batch fits one entry");

/* -- consensus: bounds of the log and the links ---------------------------------------------- */
#define QO_CLUSTER_ID_MAX 63u /* Text. */
#define QO_PROPOSALS_MAX 64u  /* Under way in one node; the batcher keeps QO_ENTRIES_IN_FLIGHT. */
#define QO_READ_POINTS_MAX (1u << 16) /* Waiting for a round. The server asks for 4 at most. */
#define QO_MANIFEST_BYTES_MAX QO_MIB(1ull)
#define QO_LOG_BYTES_MAX_DEFAULT QO_MIB(256ull)
/* Entries between two snapshots, and kept behind one. Guessed: what a start reads in a second. */
#define QO_LOG_ENTRIES_MAX 100000u
/* One AppendEntries (guessed: some 5 ms of disk), and all on the way to one peer. */
#define QO_APPEND_BYTES_MAX QO_MIB(4ull)
#define QO_APPEND_ENTRIES_MAX 4096u
#define QO_PEER_WINDOW_BYTES_MAX QO_MIB(16ull)
#define QO_PEER_MESSAGES_MAX 1024u /* Of any kind handed to a link and not yet sent. */
/* A disk that has not answered for so long does not answer (guessed: an fsync behind a full
 * device queue takes seconds). Counted in ticks, so that a paused process is not blamed. */
#define QO_APPEND_STALL_MS_MAX 60000u
#define QO_SNAPSHOT_STALL_MS_MAX 300000u
#define QO_SNAPSHOT_RETRY_MS 10000u /* After a failed one; libraft asks at every entry. */

/* The log's files (src/consensus/log.h). Guessed: a segment is filled in some 0.1 s at full load.
 */
#define QO_LOG_SEGMENT_BYTES QO_MIB(8u)
#define QO_LOG_SEGMENT_BYTES_MAX QO_MIB(256u)
#define QO_LOG_SEGMENTS_MAX 4096u         /* 32 GiB; then no snapshot came for very long. */
#define QO_LOG_SEGMENTS_AHEAD 3u          /* Prepared; two are needed to go on into the next one. */
#define QO_LOG_SEGMENTS_FREE_MAX 4u       /* Kept to be recycled; more are removed. */
#define QO_LOG_WRITE_BYTES_MAX QO_MIB(4u) /* One write: some 3 ms here. */
#define QO_LOG_SLOW_APPEND_MS 50u         /* After it a thread does the next */
#define QO_LOG_THREAD_APPENDS 64u         /* of them. */
#define QO_LOG_MANIFEST_BYTES_MAX (QO_MANIFEST_BYTES_MAX + QO_KIB(64u))
#define QO_LOG_MARK_TICKS 4u /* Heartbeats between two marks. */

/* Known to all members of a cluster. Guessed: less is guessed, more is a wrong file. */
#define QO_SECRET_BYTES_MIN 16u
#define QO_SECRET_BYTES_MAX 1024u
#define QO_LINK_NOTE_BYTES_MAX 64u /* Of a note between members. */

/* Links between members (src/consensus/links.h). */
#define QO_LINK_SECRET_MAX QO_SECRET_BYTES_MAX
#define QO_LINK_PART_BYTES QO_KIB(64u) /* What a vote waits for: 0.5 ms of 1 Gbit/s. Guessed. */
/* One message: its entries, and 24 bytes for each in a table and in padding, and a few words. */
#define QO_LINK_MESSAGE_BYTES_MAX (QO_APPEND_BYTES_MAX + 24u * QO_APPEND_ENTRIES_MAX + 64u)
/* To one member and not yet written: what the windows allow, and the rest of what is small. */
#define QO_LINK_QUEUE_BYTES_MAX (QO_PEER_WINDOW_BYTES_MAX + QO_MIB(1ull))
#define QO_LINK_MESSAGES_MAX (2u * QO_PEER_MESSAGES_MAX)
#define QO_LINK_NOTES_BYTES_MAX QO_KIB(64u) /* Of notes alone; more are dropped. */
#define QO_LINK_WRITE_BYTES QO_KIB(256u)    /* Handed to the socket at a time. */
#define QO_LINK_READ_BYTES QO_KIB(64u)      /* Asked of a socket at a time. */
#define QO_LINK_UNSENT_BYTES QO_KIB(128u)   /* In the kernel, not on the way: votes wait there. */
#define QO_LINK_OPENINGS_MAX 32u            /* Accepted and not yet open. */
#define QO_LINK_OPENING_MS 2000u            /* Five messages there and back. Guessed. */
#define QO_LINK_ADDRESSES_MAX 4u            /* Of one name, tried in turn. */
#define QO_LINK_RETRY_MS_MIN 20u            /* Doubled to the maximum, jittered down to half. */
#define QO_LINK_RETRY_MS_MAX 500u
/* A link that lived so long was good: dialled anew at once, so that its end is told soon also if it
 * was opened just before. At most 20 dials a second to a member whose links break at once. */
#define QO_LINK_STEADY_MS 50u
#define QO_LINK_GONE_MS 1000u /* After a loss: a refusal later than this is no news. */
#define QO_LINK_SILENCE_MS 5000u
#define QO_LINK_KEEPALIVE_S 5u

/* Committed and not yet executed: who lags more lets others stand first (failover.h). About 100 ms
 * of work on two busy cores. */
#define QO_FAILOVER_BEHIND_ENTRIES 1024u

static_assert(QO_LINK_WRITE_BYTES >= 2 * QO_LINK_PART_BYTES, "a write holds some parts");
static_assert(QO_LOG_SEGMENT_BYTES >= 2 * QO_LOG_WRITE_BYTES_MAX, "a segment holds some writes");
static_assert(QO_LOG_WRITE_BYTES_MAX >= QO_ENTRY_BYTES_MAX + 8192u, "an entry fits a write");
static_assert(QO_APPEND_BYTES_MAX >= QO_ENTRY_BYTES_MAX, "an entry always fits a message");
static_assert(QO_PEER_WINDOW_BYTES_MAX >= 2 * QO_APPEND_BYTES_MAX, "a window holds two messages");

#endif
