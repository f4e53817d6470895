/*
 * timers: the leader proposes the time-outs that are due; the log decides whether they still are.
 *
 * Every QO_TIMER_SCAN_MS a reader looks for deadlines that have come, from the first on that may
 * have been left over (behind it lie only tombstones). At most QO_TIMERS_PER_ENTRY_MAX are under
 * way at a time, so that none is proposed twice and none crowds out clients.
 *
 * Words: reign, the time from one change of leadership to the next.
 *
 * What holds: no deadline is passed over. The scan begins at the first deadline in each reign, and
 * only once all is executed that earlier leaders have left in the log. It moves on when those that
 * it found were executed, not when they were proposed; and never beyond the time of an entry that
 * is still to be executed, for that entry may set a deadline right behind its own time.
 *
 * Thread: loop.
 */
#ifndef SERVER_TIMERS_H
#define SERVER_TIMERS_H

#include "node.h"

struct timers *timers_open(struct node *node);
void timers_tick(struct node *node, int64_t now_us);
/* A reign begins or ends. When it begins, all that earlier leaders left has been pushed to the
 * state thread. */
void timers_leadership(struct node *node, bool ready);

#endif
