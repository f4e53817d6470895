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
view(void *context, struct rounds_view *view_out)
{
    const struct consensus *consensus = context;
    const struct raft *raft = &consensus->raft;
    QO_ASSERT(raft->configuration.n <= QO_MEMBERS_MAX);
    view_out->self = (uint32_t)raft->id;
    view_out->term = raft->current_term; /* libraft takes it over once set_term() has stored it. */
    view_out->ready = consensus_is_ready(consensus);
    view_out->committed_index = consensus->committed_seen > raft->commit_index
                                    ? consensus->committed_seen
                                    : raft->commit_index;
    view_out->delivered_index = consensus->delivered_index;
    view_out->members_count = raft->configuration.n;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];
        view_out->members[i] =
            (struct rounds_member){(uint32_t)server->id, server->role == RAFT_VOTER};
    }
}

static void
send_note(void *context, uint32_t to, uint8_t kind, struct bytes body)
{
    const struct consensus *consensus = context;
    consensus->transport->note(consensus->transport->context, to, kind, body);
}

void
handover_open_rounds(struct consensus *consensus, unsigned without)
{
    struct rounds_ground ground = {.context = consensus, .view = view, .note = send_note};
    rounds_init(&consensus->rounds, &ground, without);
}

/* After every event, and asks again at ticks. */
static void
settle_rounds(struct consensus *consensus)
{
    if (consensus->ticked_ms != consensus->shim.ticked_ms) {
        consensus->ticked_ms = consensus->shim.ticked_ms;
        rounds_tick(&consensus->rounds);
    }
    rounds_settle(&consensus->rounds);
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
    settle_rounds(consensus);
}
