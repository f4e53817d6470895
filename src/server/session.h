/*
 * session: a connection of a client, or of another node that forwards to us; and the port that
 * these share with the links of members.
 *
 * Reads bytes, cuts messages, hands requests to methods.c, and writes answers, corked: one write(2)
 * per session and turn of the loop. It never trusts what it reads and never blocks.
 *
 * What a connection is, its first bytes say: those that begin as consensus_link_opening() knows go
 * to consensus, socket and all, and are no session any more. Members must come in however many
 * clients there are: over their bound, QO_CONNECTIONS_SPARE more are let in to hear what
 * they are. Of these a link goes its way, a client is closed unless a place has become free, and
 * who says nothing is closed after QO_CONNECTION_SPARE_MS, or before if others come.
 *
 * Bounds: QO_CONNECTIONS_MAX sessions, fewer where the system allows few files; QO_OUTSTANDING_MAX
 * requests of a client under way, then the socket is not read; QO_CONNECTION_WRITE_BYTES_MAX
 * unsent, likewise; QO_CONNECTION_ANSWER_BYTES_MAX unsent, then reads with large answers are
 * refused, and over twice of it (receipts of batches) the session is closed: a client that takes
 * nothing must not fill the memory; half a message is given QO_HALF_MESSAGE_IDLE_MS without a byte
 * and QO_HALF_MESSAGE_TOTAL_MS in all.
 *
 * End of a session: after a message that is none, what was read before is answered, then the
 * refusal, then writing is shut down and reading drained for QO_CLOSE_DRAIN_MS, so that the answer
 * arrives. After the other side's end of stream, what is under way is answered, then it is closed.
 * After a reset, what it asked and nobody proposed or forwarded yet is dropped. The kernel still
 * hands over bytes that came before a reset, so a node that stood still looks at the socket first;
 * and it counts a request's time from before the halt, since the bytes may have waited so long.
 *
 * Thread: loop.
 */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "request.h"

struct sessions;
struct subscription;

struct sessions *sessions_open(struct node *node);

/* Listens on `address` (host:port, a name or a literal; "[::1]:7401"). Fatal if it cannot. */
void sessions_listen(struct node *node, const char *address);

/* True while the connection is there and was not reset. */
bool session_alive(struct node *node, struct session_ref session);

/* The buffer of what is to be sent, or NULL if the session is gone. What is appended leaves with
 * the end of this turn of the loop. */
struct buf *session_out(struct node *node, struct session_ref ref);
/* More than its bound waits to be sent: feeds wait. */
bool session_full(struct node *node, struct session_ref session);
/* The other side does not take its answers: large ones are refused. */
bool session_deaf(struct node *node, struct session_ref ref);

/* A request of this session was answered: its msgid is free again. */
void session_answered(struct node *node, struct session_ref ref, uint32_t msgid);

/* The subscriptions of a session: the head of a list that feeds.c keeps. NULL if it is gone. */
struct subscription **session_subscriptions(struct node *node, struct session_ref ref,
                                            uint32_t **count_out);

/* Closes the sessions that were reset without our having seen it yet; after a halt. */
void sessions_drop_reset(struct node *node);
/* Sends what was appended in this turn; called at the end of each. */
void sessions_flush(struct node *node);
/* Closes what waited too long for the rest of a message or for its end; every tick. */
void sessions_expire(struct node *node, int64_t now_us);

#endif
