/*
 * writes: from a command to its answer. Admission, batches, and the way back of the results.
 *
 * Admission   a leader that is ready, room in the bounds, and disk above its reserve: else a typed
 *             error at once. Above QO_PENDING_CREATE_PERCENT of the bound creations are refused.
 * Batch       what waits at the end of a turn of the loop becomes one entry, while fewer than
 *             QO_ENTRIES_IN_FLIGHT are in flight. So the load makes the batches, and nobody waits
 *             for a timer.
 * Results     come back by the name that the entry was given here (node, incarnation, counter),
 *             never by log index: another leader's entry may stand at the index that ours hoped
 *             for. The log's word that an entry is lost only marks its batch: if the entry is
 *             executed after all, its sessions get the true result; else, after
 *             QO_UNKNOWN_GRACE_MS, `unknown_outcome`.
 *
 * Thread: loop.
 */
#ifndef SERVER_WRITES_H
#define SERVER_WRITES_H

#include <stdbool.h>
#include <stdint.h>

#include "apply/entry.h"
#include "node.h"
#include "request.h"
#include "state.h"

struct writes *writes_open(struct node *node);

/* True if a write may come in; else the failure to answer. `create`: it makes new orders. */
bool writes_admit(struct node *node, bool create, struct wire_failure *failure_out);

/* Takes `request` with its commands (1 to QO_ENTRY_COMMANDS_MAX), which travel in one entry: over
 * QO_REQUEST_ENTRY_BYTES_MAX they are refused. */
void writes_add(struct node *node, struct request *request, const struct command *commands,
                uint32_t count);

/* Timers to fire: like writes_add(), answered by a call of `done` when their entry was executed, or
 * it is lost or was never proposed. One at a time. */
void writes_add_timers(struct node *node, const struct command *commands, uint32_t count,
                       void (*done)(struct node *node, bool executed));

/* The time that a leader would stamp now. */
int64_t writes_time(struct node *node);
/* No entry of ours that is not executed yet bears a time before this. */
int64_t writes_time_floor(struct node *node);

/* Proposes what waits; called at the end of each turn of the loop. */
void writes_flush(struct node *node);

/* The state thread executed an entry. */
void writes_executed(struct node *node, const struct state_item *item);

/* This node is ready to lead in a term, or no longer. */
void writes_leadership(struct node *node, bool ready);

/* Gives up batches whose fate stays open; every tick. */
void writes_expire(struct node *node, int64_t now_us);

/* Proposed and not yet executed, and waiting: in bytes. */
uint64_t writes_pending_bytes(const struct writes *writes);

#endif
