/*
 * request: one request of a client while this node works on it.
 *
 * A request belongs to exactly one part of the node at a time (its stage says which), and that part
 * releases it. It may be answered earlier, when its time runs out: then it is marked, and its owner
 * releases it when it comes across it. Its session may be gone by then: nothing else notices.
 *
 * Thread: loop. Memory: a pool of at most QO_REQUESTS_MAX.
 */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "wire/request.h"
#include "wire/types.h"

struct node;

/* Names a session also after its end: a slot is used again with another generation. */
struct session_ref {
    uint32_t slot, generation;
};

enum request_stage {
    REQUEST_NEW,      /* Being dispatched. */
    REQUEST_PENDING,  /* A write that waits for its batch: writes.c. */
    REQUEST_PROPOSED, /* In a batch that the log may hold: writes.c. */
    REQUEST_WAITING,  /* A read that waits for a read point, a seq or an event: reads.c, feeds.c. */
    REQUEST_READING,  /* On a reader thread: readers.c. */
    REQUEST_TO_FORWARD, /* Waits to be sent to the leader, in this turn or for the link: forward.c.
                         */
    REQUEST_FORWARDED,  /* Sent to the leader: forward.c. */
};

struct request {
    struct session_ref session;
    uint32_t msgid;      /* Of the client's message. */
    uint32_t peer_msgid; /* Of the peer.forward that brought it. */
    bool peer;           /* Came through another node: it is not forwarded again. */
    bool answered;
    enum request_stage stage;
    enum wire_method method;
    bool write;
    bool atomic;                     /* order.batch */
    int64_t deadline_us;             /* On the loop's clock. */
    struct request *next, *previous; /* All requests under way. */
};

struct requests; /* The pool, and the list of all under way. */

struct requests *requests_open(void);

/* NULL: QO_REQUESTS_MAX are under way. */
struct request *request_take(struct node *node, struct session_ref session);
void request_release(struct node *node, struct request *request);

/*
 * Answers. begin gives the buffer to append one whole response to, or NULL if the request was
 * answered or its session is gone; end sends what was appended. Between the two nothing else is
 * answered. Afterwards the request is `answered`, still its owner's.
 */
struct buf *request_answer_begin(struct node *node, struct request *request);
void request_answer_end(struct node *node, struct request *request);
/* A whole response; a large one of a read is refused to a session that takes none (session_deaf()).
 */
void request_answer(struct node *node, struct request *request, struct bytes response);
void request_fail(struct node *node, struct request *request, const struct wire_failure *failure);
/* An error without own keys, or with a retry_after_ms where the error has one. */
void request_fail_plain(struct node *node, struct request *request, enum qo_error error,
                        uint32_t retry_after_ms);

/* Answers what has run out of time; called at every tick. */
void requests_expire(struct node *node, int64_t now_us);

#endif
