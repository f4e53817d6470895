/*
 * reads: order.get, order.get_many, order.history, order.list, machine.get, machine.list.
 *
 * A linearizable read waits for a read point: one round of the log serves all reads that had
 * arrived before it began (consensus.h), then a marker goes through the apply queue, and when the
 * state thread has passed it the reads go to the readers. A local read goes there at once. With
 * `min_seq` it first waits until this node has executed that seq.
 *
 * Thread: loop; the functions that read stand in read_jobs.c.
 */
#ifndef SERVER_READS_H
#define SERVER_READS_H

#include "node.h"
#include "request.h"

struct reads *reads_open(struct node *node);

/* True if any node may answer this read from what it has. */
static inline bool
reads_are_local(const struct wire_request *wire)
{
#if defined(QO_MUTANT_FOLLOWER_READ)
    (void)wire;
    return true; /* Any node answers as if it led. */
#else
    return wire->class == WIRE_CLASS_LOCAL;
#endif
}

/* Takes `request`; `message` is copied. */
void reads_add(struct node *node, struct request *request, struct bytes message,
               const struct wire_request *wire);

/* Begins a round for the reads that have come; at the end of each turn. */
void reads_flush(struct node *node);
/* True if a read waits for the watermark to move. */
bool reads_wait(const struct node *node);
/* The watermark moved: reads that waited for a seq may go on. */
void reads_progress(struct node *node);
/* Drops what was answered meanwhile; every tick. */
void reads_expire(struct node *node);

#endif
