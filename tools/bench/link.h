/*
 * link: one blocking connection to a node, for what is not measured: making orders, asking who
 * leads. The load itself has its own connections (load.h).
 *
 * Thread: any, one at a time per link. Memory: an answer is borrowed until the next receive.
 */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "wire/response.h"

struct link {
    int fd;        /* -1: closed. */
    struct buf in; /* Received; the first `taken` bytes are answered already. */
    size_t taken;
    struct buf out; /* For the caller to encode into, then link_send(). */
};

/* A socket on its way to `endpoint` (host:port), non-blocking and without delay; -1 with errno if
 * that failed at once. Names are resolved, which may block. */
int link_dial(const char *endpoint);

/* Connects. False: nobody there within the time. The link must be zeroed or closed before. */
bool link_open(struct link *link, const char *endpoint, int timeout_ms);
void link_close(struct link *link); /* Also one that is not open. */
void link_free(struct link *link);

/* Sends what stands in `out` and empties it. False: the connection is lost, and closed. */
bool link_send(struct link *link);
/* The next answer. False: lost, late, or not of the protocol; the link is closed then. */
bool link_receive(struct link *link, int timeout_ms, struct wire_answer *answer_out);

#endif
