/*
 * links: carries messages and notes between members: struct transport (transport.h) over TCP, on
 * the node's loop, through the one port that clients use too.
 *
 * Words
 *   connection  a TCP connection between two members, from its first byte on.
 *   opening     what is said on a connection before it may carry anything: who is there, of which
 *               cluster, and that both know the cluster's secret if there is one.
 *   link        a connection whose opening succeeded. A pair of members has at most one.
 *   decider     of a pair, the member with the lower id.
 *   life        a random number of one process: a member that started again has another one.
 *   lane        messages wait in one of two: AppendEntries and TimeoutNow in order, everything else
 *               (votes, acks, notes) in front of them.
 *   part        a piece of a message that is larger than QO_LINK_PART_BYTES.
 *
 * On the wire. A client's session and a link begin alike, with a MessagePack-RPC request; its
 * method tells which it is:
 *   94 00 01 a9 "peer.link" 91 c4 N   then N bytes, the hello of the one who dialled
 * Then both sides send frames (frame.h): checksum, length, type, payload. D dialled, A accepted:
 *   D  hello     version, ids, cluster id, life, a nonce      (link_hello.h)
 *   A  hello     the same of its own
 *   D  proof     HMAC-SHA-256 over both hellos, keyed with the secret
 *   A  proof     likewise, under another label
 *   the decider: open, with a number that only grows in its life
 * Whoever does not like what it hears says so in a refusal, a reason and a sentence that both sides
 * log, and closes.
 *
 * Which connection remains. Both members dial: when they get to know of each other, and at once
 * when a link is lost. The decider, and nobody else, makes a connection a link, by `open`; a link
 * with a higher number (or of another life) replaces the one before it, at both ends.
 *   - The decider opens what the other one has dialled at once, and gives up what it dialled
 * itself: the other one dials only while it has no link, so the old one, if any, is dead to it. So
 * a member that started again is not locked out by its former life.
 *   - The decider opens what it has dialled itself only while it has no link.
 *   - The other one gives up what it has dialled only before it has sent its proof: later the
 *     decider may be counting on it.
 * There is never none for longer than it takes to dial: a connection is closed for being second
 * only by the decider, which has then opened a newer one, or by the other one when it has read the
 * `open` of a newer one.
 * A link that broke and whose end did not hear of it is found by what is sent on it: refused, or
 * not acknowledged for QO_LINK_SILENCE_MS. Both sides may have such a one, each another.
 *
 * Order     Within a lane as they were sent. Parts of large messages let the other lane through
 *           between them. AppendEntries never overtake each other: a heartbeat that is compared
 *           with entries which have not come yet is rejected, and the leader would send them all
 *           once more. While AppendEntries wait, each heartbeat is therefore sent twice: once in
 *           its place, and at once without anything to compare (prev_log_index 0, leader_commit 0),
 *           which says that the leader lives and nothing else.
 * Failure   send() always succeeds; its callback says RAFT_NOCONNECTION (no link, or it broke
 * before all was written), RAFT_BUSY (QO_LINK_QUEUE_BYTES_MAX or QO_LINK_MESSAGES_MAX reached),
 *           RAFT_TOOBIG (over QO_LINK_MESSAGE_BYTES_MAX) or RAFT_INVALID (InstallSnapshot, or not a
 *           member). Nothing is kept for a member without a link. Bytes that are no frame, no
 *           message, or come at the wrong time close the connection.
 * Gone      If a link is closed or reset by the other side and a new connection is refused within
 *           QO_LINK_GONE_MS, that process has ended: `gone`, once per lost link. A name refuses if
 *           each of its addresses does that this host can try at all.
 * Secret    Proves at opening that the other side knows it; frames carry checksums, not MACs. It
 *           keeps a stray or foreign node out, not somebody who can change packets: that is TLS's,
 *           whose place is link_stream.h.
 * Thread    the loop. No function calls back from inside itself.
 * Process   ignores SIGPIPE (consensus_prepare_process()): libuv writes to sockets plainly.
 * Memory    per member at most QO_LINK_QUEUE_BYTES_MAX to send, entries that are borrowed included,
 *           and QO_LINK_MESSAGE_BYTES_MAX being received.
 */
#ifndef CONSENSUS_LINKS_H
#define CONSENSUS_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "transport.h"

struct links;
struct uv_loop_s;

struct links_options {
    struct uv_loop_s *loop; /* Borrowed until links_close() is done. */
    uint32_t id;            /* Of this member, from 1. */
    const char *cluster_id; /* Copied. */
    /* The cluster's secret, at most QO_LINK_SECRET_MAX bytes; none: BYTES_NONE. Copied. */
    struct bytes secret;
    /* A member that acknowledges nothing for so long has lost its link. 0: QO_LINK_SILENCE_MS. */
    uint32_t peer_timeout_ms;
    uint32_t opening_ms; /* An opening that takes longer has failed. 0: QO_LINK_OPENING_MS. */
};

/* Gives links that carry nothing before transport.start(). Cannot fail. */
struct links *links_open(const struct links_options *options);

/* What libraft's side sees. Valid until links_close(). */
struct transport links_transport(struct links *links);

/* Whether the first bytes of a connection make it a link. They are compared once at least
 * LINKS_PREFIX_BYTES have come: fewer are no whole request, so a session waits for more anyway.
 * Thread: any; pure. */
enum { LINKS_PREFIX_BYTES = 15 };
bool links_is_opening(struct bytes first);

/*
 * A connection that began so.
 *
 *   fd            taken: a socket of its own (a dup), which nobody else reads any more; closed if
 *                 the connection is not wanted
 *   already_read  all that was read from it, prefix included. Copied.
 *
 * At most QO_LINK_OPENINGS_MAX openings are under way; one more ends the oldest.
 */
void links_accept(struct links *links, int fd, struct bytes already_read);

/* Whether a member can be dialled there: name:port, IPv4:port or [IPv6]:port. Thread: any; pure. */
bool links_address_valid(const char *address);

struct links_status {
    bool up;               /* There is a link. */
    uint64_t queued_bytes; /* Not yet taken by the socket. */
    uint32_t queued_messages;
    uint64_t opened;   /* Links so far. */
    uint64_t gone;     /* Times that it was told as gone. */
    uint64_t attempts; /* Connections dialled so far. */
};
/* False: no member, or this one. */
bool links_status(const struct links *links, uint32_t member, struct links_status *status_out);

/* Ends all: closes every connection, tells what waits RAFT_CANCELED, frees the links, then calls
 * `closed` (which may be NULL), on the loop. A node ends without it, by _exit(). */
void links_close(struct links *links, void (*closed)(void *context), void *context);

#endif
