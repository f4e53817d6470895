/*
 * status: hello, ping, cluster.status: what this node says of itself, leader or not. Thread: loop.
 */
#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H

#include "node.h"
#include "request.h"

/* These answer and do not take the request. */
void status_hello(struct node *node, struct request *request, const struct wire_request *wire);
void status_ping(struct node *node, struct request *request);
/* Takes the request: sizes of the store are read on a reader. */
void status_cluster(struct node *node, struct request *request);

#endif
