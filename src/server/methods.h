/*
 * methods: from a decoded request to the part of the node that answers it. Thread: loop.
 */
#ifndef SERVER_METHODS_H
#define SERVER_METHODS_H

#include "node.h"
#include "request.h"

/* How a message came. */
struct arrival {
    struct session_ref session;
    bool peer;          /* The session is another node of the cluster. */
    int64_t started_us; /* When its first byte was read. */
    struct bytes message;
};

/* A decoded request of a session: answers it now or later. `wire` and the message are borrowed. */
void method_dispatch(struct node *node, const struct arrival *arrival,
                     const struct wire_request *wire);

#endif
