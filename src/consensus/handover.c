/* See state.h. What libraft decided reaches the client, and only when libraft is off the stack:
 * some of its callbacks come while its own state is half changed (B7). Thread: the loop. */
#include "common/assert.h"
#include "common/log.h"
#include "peek.h"
#include "state.h"

/* -- Entries ----------------------------------------------------------------------------------- */

/*
 * Applied by libraft means committed. Entries are read from its log at the client's pace, in place
 * of inside its apply callback, which may neither wait nor fail (B10): a node that was behind may
 * learn in one message that hundreds of megabytes are committed. An entry stays in the log until a
 * snapshot of at least its index is done, and that waits until the client has executed it.
 */
static void
deliver_committed(struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;
    const struct consensus_client *client = &consensus->client;
    bool room = true;
    while (room && consensus->delivered_index < raft->last_applied) {
        uint64_t index = consensus->delivered_index + 1;
        const struct raft_entry *entry = peek_entry(raft, index);
        if (entry == NULL) {
            qo_fatal(FATAL_RAFT, "entry %llu left the log before it was handed over",
                     (unsigned long long)index);
        }
        if (index > consensus->applied_index) {
            struct bytes bytes = entry->type == RAFT_COMMAND
                                     ? bytes_make(entry->buf.base, entry->buf.len)
                                     : BYTES_NONE;
            room = client->room(client->context, bytes.size);
            if (room) {
                client->deliver(client->context, index, entry->term, bytes);
            }
        }
        consensus->delivered_index += room ? 1 : 0;
    }
}

/* -- Leadership -------------------------------------------------------------------------------- */

static void
note_leader(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;
    raft_id leader;
    const char *address;
    raft_leader(raft, &leader, &address);
    if (leader != consensus->leader_seen) {
        consensus->leader_seen = leader;
        log_line(LOG_INFO, leader != 0 ? "leader" : "no_leader", "leader=%llu term=%llu", leader,
                 raft->current_term);
    }
}

static void
tell_leadership(struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;
    const struct consensus_client *client = &consensus->client;
    bool ready =
        shim_ready(&consensus->shim) && consensus->delivered_index >= consensus->shim.barrier_index;
    if (consensus->ready && (!ready || consensus->ready_term != raft->current_term)) {
        consensus->ready = false;
        client->leadership(client->context, false, consensus->ready_term);
    }
    if (ready && !consensus->ready) {
        consensus->ready = true;
        consensus->ready_term = raft->current_term;
        client->leadership(client->context, true, consensus->ready_term);
    }
}

/* -- Proposals --------------------------------------------------------------------------------- */

void
handover_proposal_done(struct raft_apply *request, int status, void *result)
{
    struct proposal *proposal = request->data;
    struct consensus *consensus = proposal->consensus;
    (void)result;
    proposal->status = status == 0 ? QO_OK : QO_UNKNOWN_OUTCOME;
    proposal->next = NULL;
    if (consensus->told_last != NULL) {
        consensus->told_last->next = proposal;
    } else {
        consensus->told_first = proposal;
    }
    consensus->told_last = proposal;
}

static void
tell_proposers(struct consensus *consensus)
{
    struct proposal *proposal = consensus->told_first;
    consensus->told_first = consensus->told_last = NULL;
    while (proposal != NULL) {
        struct proposal done = *proposal;
        proposal->next = consensus->free_proposals; /* Free first: the callback may propose. */
        consensus->free_proposals = proposal;
        done.callback(done.context, done.status);
        proposal = done.next;
    }
}

/* -- Read points ------------------------------------------------------------------------------- */

static void
round_fired(struct raft_barrier *barrier, int status)
{
    struct read_round *round = barrier->data;
    round->status = status == 0 ? QO_OK : QO_NOT_LEADER;
    round->fired = true;
}

void
handover_begin_round(struct consensus *consensus)
{
    struct read_round *round = &consensus->round;
    if (round->under_way || consensus->waiting.count == 0) {
        return;
    }
    struct readers served = round->readers; /* Empty; its memory is used again. */
    round->readers = consensus->waiting;
    consensus->waiting = served;
    round->under_way = true;
    round->fired = false;
    round->barrier.data = round;
#if defined(QO_MUTANT_READ_WITHOUT_BARRIER)
    round->index = consensus->raft.commit_index;
    round_fired(&round->barrier, 0);
#else
    shim_enter(&consensus->shim);
    int status = raft_barrier(&consensus->raft, &round->barrier, round_fired);
    shim_leave(&consensus->shim);
    round->index = raft_last_index(&consensus->raft);
    if (status != 0) {
        round_fired(&round->barrier, status);
    }
#endif
}

static void
tell_readers(struct consensus *consensus)
{
    struct read_round *round = &consensus->round;
    if (!round->fired || (round->status == QO_OK && consensus->delivered_index < round->index)) {
        return;
    }
    round->fired = false;
    for (uint32_t i = 0; i < round->readers.count; i++) {
        const struct reader *reader = &round->readers.items[i];
        reader->callback(reader->context, round->status, round->status == QO_OK ? round->index : 0);
    }
    round->readers.count = 0;
    round->under_way = false;
}

/* Those who came while a round was under way get the next, or learn that there will be none. */
static void
go_on_reading(struct consensus *consensus)
{
    if (consensus->ready) {
        handover_begin_round(consensus);
        return;
    }
    /* None that a callback adds: consensus_read_point() takes nobody while not ready. */
    for (uint32_t i = 0; i < consensus->waiting.count; i++) {
        const struct reader *reader = &consensus->waiting.items[i];
        reader->callback(reader->context, QO_NOT_LEADER, 0);
    }
    consensus->waiting.count = 0;
}

void
handover_settled(void *context)
{
    struct consensus *consensus = context;
    if (!consensus->started) {
        return;
    }
    if (consensus->committed_seen < consensus->raft.commit_index) {
        consensus->committed_seen = consensus->raft.commit_index;
    }
    deliver_committed(consensus);
    snapshots_consider(consensus);
    note_leader(consensus);
    tell_leadership(consensus);
    tell_proposers(consensus);
    tell_readers(consensus);
    go_on_reading(consensus);
}
