/*
 * forward: requests that only the leader may answer, handed on to it, and its answers handed back.
 *
 * One connection to each member that is or was leader, opened when it is first needed; the client's
 * message travels whole inside a peer.forward under an id of ours. A request is forwarded at most
 * once, and never again: a link that breaks after sending leaves a write `unknown_outcome` and a
 * read `unavailable`. What comes back is believed only if it is a whole response to that client's
 * message; anything else is `internal`, with a write's effect not known, and a log line, and what
 * cannot be told to belong to one request ends the link. Requests leave in the order in which they
 * were read; one whose connection was reset, or whose time ran out, before it could leave does not.
 *
 * With the message goes the end of its time, by the monotonic clock of the member that is asked:
 * however long it was held up under way, it is not done when its client no longer reckons with it.
 * The clock is told in answer to peer.hello, and asked again when that is QO_FORWARD_CLOCK_MS ago;
 * after twice that, requests wait for it. The time that the answer took is lost to a request, never
 * added, and an answer that took QO_FORWARD_ANSWER_MS is asked for again. A machine that sleeps
 * stops the clock: such a time is added, until the clock is asked again.
 *
 * A member that leads no longer answers at once or never: what it owes QO_FORWARD_FORMER_MS after
 * another one was seen to lead is answered as if its link broke. So it is if a member takes longer
 * than QO_FORWARD_CONNECT_MS to be found and connected to, or acknowledges nothing for
 * QO_FORWARD_SILENCE_MS: its packets may vanish, and nobody would say so.
 *
 * Bounds: QO_FORWARDS_MAX requests under way per link, QO_FORWARD_BYTES_MAX unsent; over them
 * `overloaded`. After a failed connect the next try waits QO_FORWARD_RETRY_MS.
 *
 * Thread: loop.
 */
#ifndef SERVER_FORWARD_H
#define SERVER_FORWARD_H

#include "node.h"
#include "request.h"

struct forward *forward_open(struct node *node);

/* Takes `request`; `message` is the client's, copied. The leader is another member, `leader_id`. */
void forward_request(struct node *node, struct request *request, struct bytes message,
                     uint32_t leader_id);

/* Sends what was forwarded in this turn. */
void forward_flush(struct node *node);

/* Now and then: ends links to members that lead no longer and owe answers, or that do not open. */
void forward_tick(struct node *node, int64_t now_us);

#endif
