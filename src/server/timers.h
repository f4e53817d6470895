/*
 * timers: the leader proposes the time-outs that are due; the log decides whether they still are.
 *
 * Every QO_TIMER_SCAN_MS a reader looks for deadlines that have come, from the last one that was
 * proposed in this term (behind it lie only tombstones). At most QO_TIMERS_PER_ENTRY_MAX are under
 * way at a time, so that none is proposed twice and none crowds out clients.
 *
 * Thread: loop.
 */
#ifndef SERVER_TIMERS_H
#define SERVER_TIMERS_H

#include "node.h"

struct timers *timers_open(struct node *node);
void timers_tick(struct node *node, int64_t now_us);
/* A new term begins: the scan starts from the first deadline. */
void timers_leadership(struct node *node);

#endif
