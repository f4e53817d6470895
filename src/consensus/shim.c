/* See shim.h. What comes from below, and when what was put off is told. Thread: the loop. */
#include "shim.h"

#include <string.h>

#include "common/assert.h"
#include "common/log.h"
#include "peek.h"
#include "shim_parts.h"

const struct shim_rules shim_rules_all = {
    .clamp_acks = true,
    .own_entry_first = true,
    .pace_completions = true,
    .storage_is_fatal = true,
    .stored_candidacy = true,
    .step_back = true,
    .never_inside = true,
    .watch = true,
    .late_votes = true,
    .windows = true,
    .no_install = true,
    .probe_from_end = true,
    .skip_committed = true,
    .learn_terms = true,
    .believe_refusals = true,
    .forget_silent = true,
    .spare_unstored = true,
};

int
shim_copy_error(struct shim *shim, int status)
{
    if (status != 0) {
        memcpy(shim->io.errmsg, shim->below->errmsg, sizeof shim->io.errmsg);
        shim->io.errmsg[sizeof shim->io.errmsg - 1] = '\0';
    }
    return status;
}

struct shim_peer *
shim_peer(struct shim *shim, raft_id id)
{
    QO_PRE(id != 0);
    struct shim_peer *taken = NULL;
    for (unsigned i = 0; i < QO_MEMBERS_MAX && taken == NULL; i++) {
        if (shim->peers[i].id == id || shim->peers[i].id == 0) {
            taken = &shim->peers[i];
            taken->id = id;
        }
    }
    return taken;
}

/* -- S-2: a new leader's own entry first ------------------------------------------------------- */

static void
own_entry_applied(struct raft_barrier *barrier, int status)
{
    struct shim *shim = barrier->data;
    shim->barrier_under_way = false;
    shim->barrier_fired = status == 0;
}

/*
 * S-2, cures A2: libraft 0.15 commits entries of older terms by counting copies (figure 8 of the
 * Raft paper) and begins a term with no entry of its own. So the moment a node is seen to lead a
 * new term, a barrier is proposed; until it is on the own disk, acks are held (hold_ack), so that
 * the first index whose copies are counted is one of the own term.
 */
static bool
begin_term(struct shim *shim)
{
    struct raft *raft = shim_raft(shim);
    if (!shim->rules.own_entry_first || raft->state != RAFT_LEADER ||
        shim->lead_term == raft->current_term) {
        return false;
    }
    /* The barrier of an earlier term was called back when its leadership ended. */
    QO_ASSERT(!shim->barrier_under_way);
    shim->lead_term = raft->current_term;
    shim->barrier_fired = false;
    shim->barrier_under_way = true;
    shim->barrier.data = shim;
    shim_enter(shim);
    int status = raft_barrier(raft, &shim->barrier, own_entry_applied);
    shim_leave(shim);
    if (status != 0) {
        qo_fatal(FATAL_RAFT, "elected in term %llu but cannot begin it: %s", raft->current_term,
                 raft_strerror(status));
    }
    shim->barrier_index = raft_last_index(raft);
    return true;
}

static bool
holds_acks(const struct shim *shim)
{
    const struct raft *raft = shim_raft(shim);
    return shim->rules.own_entry_first && raft->state == RAFT_LEADER &&
           (shim->lead_term != raft->current_term || raft->last_stored < shim->barrier_index);
}

/* Keeps what the ack says for later and lets libraft see a sign of life that moves nothing. */
static void
hold_ack(struct shim *shim, struct raft_message *message)
{
    struct raft_append_entries_result *ack = &message->append_entries_result;
    struct shim_peer *peer = shim_peer(shim, message->server_id);
    if (ack->rejected != 0 || peer == NULL || !holds_acks(shim)) {
        return;
    }
    if (peer->held_term != ack->term || peer->held_index < ack->last_log_index) {
        peer->held_term = ack->term;
        peer->held_index = ack->last_log_index;
    }
    ack->last_log_index = 0;
}

static bool
deliver_held_acks(struct shim *shim)
{
    struct raft *raft = shim_raft(shim);
    bool delivered = false;
    for (unsigned i = 0; i < QO_MEMBERS_MAX && !holds_acks(shim); i++) {
        struct shim_peer *peer = &shim->peers[i];
        const struct raft_server *server =
            peer->held_term != 0 ? peek_server(raft, peer->id) : NULL;
        struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES_RESULT};
        message.append_entries_result.term = peer->held_term;
        message.append_entries_result.last_log_index = peer->held_index;
        peer->held_term = 0;
        if (server == NULL || raft->state != RAFT_LEADER ||
            message.append_entries_result.term != raft->current_term) {
            continue;
        }
        message.server_id = server->id;
        message.server_address = server->address;
        shim_enter(shim);
        shim->recv(&shim->io, &message);
        shim_leave(shim);
        delivered = true;
    }
    return delivered;
}

/* -- Events ------------------------------------------------------------------------------------ */

void
shim_enter(struct shim *shim)
{
    shim->inside++;
}

void
shim_leave(struct shim *shim)
{
    QO_PRE(shim->inside > 0);
    shim->inside--;
    if (shim->inside == 0) {
        shim_rewind_trimmed(shim);
    }
}

void
shim_settle(struct shim *shim)
{
    if (shim->inside > 0 || shim->settling) {
        return; /* The outer event settles. */
    }
    shim->settling = true;
    /* Ends: each round tells something that was queued, and what it queues anew waits for the disk
     * or the network. */
    bool more = true;
    while (more) {
        more = begin_term(shim);
        more = shim_tell_failed_sends(shim) || more;
        more = shim_tell_put(shim) || more;
        more = shim_tell_writes(shim) || more;
        more = deliver_held_acks(shim) || more;
    }
    if (shim->rules.watch && raft_state(shim_raft(shim)) == RAFT_UNAVAILABLE) {
        /* S-10: libraft turns itself off for good and tells nobody (A10). */
        qo_fatal(FATAL_RAFT, "libraft gave up: %s", raft_errmsg(shim_raft(shim)));
    }
    if (shim->hooks.settled != NULL) {
        shim->hooks.settled(shim->hooks.context);
    }
    shim->settling = false;
}

/*
 * S-5, cures A7: libraft stands as a candidate with entries that are not on its disk. While writes
 * are under way on a node that does not lead, its election timer does not run and nobody can make
 * it a candidate: a node whose disk hangs must not lead.
 */
static bool
may_not_stand(const struct shim *shim)
{
    return shim->rules.stored_candidacy && shim_raft(shim)->state != RAFT_LEADER &&
           shim_writes_under_way(shim);
}

/* S-10: only the own disk and the own state end a node, never others that are slow. */
static void
ticked(struct raft_io *below)
{
    struct shim *shim = below->data;
    raft_time now = shim->below->time(shim->below);
    raft_time step = now - shim->ticked_ms;
    shim->ticked_ms = now;
    if (shim->rules.watch) {
        /* A process that was stopped for an hour has a tick of an hour: count two heartbeats. */
        raft_time most = 2 * (raft_time)shim->heartbeat_ms;
        shim_watch_disk(shim, step < most ? step : most);
    }
    if (!may_not_stand(shim)) {
        shim_enter(shim);
        shim->tick(&shim->io);
        shim_leave(shim);
    }
    shim_settle(shim);
}

/*
 * A node that has just started has forgotten that it follows a leader, and would vote against one
 * that its peers still hear (guard 4): no vote within one election timeout. A request to depose the
 * leader is a candidacy made by others (S-5).
 */
static bool
refuses_vote(const struct shim *shim, const struct raft_request_vote *request)
{
    raft_time age = shim->below->time(shim->below) - shim->started_ms;
    return (shim->rules.late_votes && age < shim_raft(shim)->election_timeout) ||
           (request->disrupt_leader && may_not_stand(shim));
}

/* Snapshots carry no state yet: installing one would acknowledge what this node does not hold. */
static void
refuse_install(struct shim *shim, struct raft_install_snapshot *install)
{
    static struct log_limit limit;
    shim->install_refused = true;
    log_limited(&limit, LOG_ERROR, "needs_rebuild", "snapshot_index=%llu", install->last_index);
    raft_configuration_close(&install->conf);
    raft_free(install->data.base);
}

/* True if the message is not for libraft; what it owned is freed. */
static bool
refuses(struct shim *shim, struct raft_message *message)
{
    switch (message->type) {
    case RAFT_IO_REQUEST_VOTE:
        return refuses_vote(shim, &message->request_vote);
    case RAFT_IO_TIMEOUT_NOW:
        return may_not_stand(shim);
    case RAFT_IO_INSTALL_SNAPSHOT:
        if (shim->rules.no_install) {
            refuse_install(shim, &message->install_snapshot);
        }
        return shim->rules.no_install;
    default:
        return false;
    }
}

/* What is left is a heartbeat. The message has entries. */
static void
free_entries(struct raft_append_entries *message)
{
    raft_free(message->entries[0].batch); /* One for all entries of a message. */
    raft_free(message->entries);
    message->entries = NULL;
    message->n_entries = 0;
}

/*
 * S-12, cures a fault that the simulated world found: libraft compares a message only with entries
 * that its log still holds. One that begins before them, as a leader sends that probes from index 1
 * after a failed send, it takes for new from the first entry on: it appends them all behind its
 * end, and turns itself off. What is committed here is the same in the log of every leader that may
 * be followed, so it is left out, and the message begins behind it.
 */
static void
skip_committed(const struct shim *shim, struct raft_append_entries *message)
{
    const struct raft *raft = shim_raft(shim);
    raft_term term = peek_term(raft, raft->commit_index);
    if (!shim->rules.skip_committed || message->prev_log_index >= raft->commit_index || term == 0) {
        return;
    }
    raft_index known = raft->commit_index - message->prev_log_index;
    unsigned skipped = known < message->n_entries ? (unsigned)known : message->n_entries;
    if (skipped > 0 && skipped == message->n_entries) {
        free_entries(message);
    } else if (skipped > 0) {
        message->n_entries -= skipped;
        memmove(message->entries, message->entries + skipped,
                message->n_entries * sizeof *message->entries);
    }
    message->prev_log_index = raft->commit_index;
    message->prev_log_term = term;
}

/*
 * S-16, cures a fault that was found by reading: when a write ends, libraft adds to `last_stored`
 * all its entries whose term the log in memory has at their index. Entries that were truncated
 * while they were written, and then came again from the leader of their term, are counted twice:
 * from then on this node says that entries are on its disk that are not, executes them, and if it
 * is elected commits nothing. So nothing is truncated while anything is written: the message ends
 * before the first entry that differs from the log, or is a heartbeat. The leader sends the rest
 * again with one of its next heartbeats. It takes a second leader that lacks what the first one
 * wrote here, and a third that has it: five voters, or three and a member that does not vote.
 */
static void
spare_unstored(const struct shim *shim, struct raft_append_entries *message)
{
    unsigned equal = 0;
    raft_term term = 0; /* Here, at the index of the entry that is looked at. */
    if (!shim->rules.spare_unstored || shim->writes_first == NULL) {
        return;
    }
    while (equal < message->n_entries &&
           (term = peek_term(shim_raft(shim), message->prev_log_index + 1 + equal)) ==
               message->entries[equal].term) {
        equal++;
    }
    if (equal == message->n_entries || term == 0) {
        return; /* What is not here yet is appended behind what is being written. */
    }
    raft_index end = message->prev_log_index + equal;
    message->leader_commit = message->leader_commit < end ? message->leader_commit : end;
    if (equal == 0) {
        free_entries(message);
    }
    message->n_entries = equal;
}

/*
 * S-13, cures a fault that the simulated world found: libraft's answer to a request for a pre-vote
 * carries the term of the request, so a candidate never learns that others are terms ahead. One
 * with the longer log and the lower term, and one with the shorter log and the higher term, refuse
 * each other for ever. Who asks for a pre-vote is one term behind what it asks for; a node that
 * knows no leader takes over that term, as it would from any other message: libraft is told of a
 * candidate in that term whose log is empty, which it refuses.
 */
static void
learn_term(struct shim *shim, const struct raft_message *message)
{
    const struct raft *raft = shim_raft(shim);
    const struct raft_request_vote *asked = &message->request_vote;
    bool led = raft->state == RAFT_LEADER ||
               (raft->state == RAFT_FOLLOWER && raft->follower_state.current_leader.id != 0);
    if (!shim->rules.learn_terms || !asked->pre_vote || led ||
        asked->term <= raft->current_term + 1) {
        return;
    }
    struct raft_message candidate = *message;
    candidate.request_vote =
        (struct raft_request_vote){.term = asked->term - 1, .candidate_id = asked->candidate_id};
    shim_enter(shim);
    shim->recv(&shim->io, &candidate);
    shim_leave(shim);
}

/*
 * S-14, cures a fault that the simulated world found: a member whose acknowledgements were lost,
 * and which then lacks an entry, refuses what comes next and says where its log ends. libraft
 * probes from behind what was acknowledged all the same. If the log no longer holds that, it offers
 * a snapshot and sends no entries for as long as this leader leads, though the log has all that the
 * member lacks. So a refusal by a member that is to get a snapshot is believed. One such answer
 * comes per heartbeat, so a member that really lacks more makes no storm.
 */
static void
believe_refusal(struct shim *shim, raft_id id, const struct raft_append_entries_result *answer)
{
    struct raft *raft = shim_raft(shim);
    const struct raft_progress *progress = peek_progress(raft, id);
    if (!shim->rules.believe_refusals || answer->rejected == 0 ||
        answer->term != raft->current_term || progress == NULL || !peek_wants_snapshot(progress)) {
        return;
    }
    uint64_t last = peek_last_index(raft);
    last = answer->last_log_index < last ? answer->last_log_index : last;
    if (last >= progress->match_index && peek_term(raft, last) != 0) {
        peek_probe_at(raft, id, last + 1);
    }
}

/*
 * S-7, cures B2: where a follower's log differs from the leader's, libraft looks for the last equal
 * entry by going back one entry per heartbeat, though a deposed leader may have as many that nobody
 * else has as may be under way. A refusal by a member that has an entry there is such a case: the
 * next probe goes back by all of them at once. Entries may be sent that it has already, which is
 * always safe; never goes behind what the leader could compare, which would end in a snapshot.
 */
static void
step_back(struct shim *shim, raft_id id, struct raft_append_entries_result *answer)
{
    const struct raft *raft = shim_raft(shim);
    const struct raft_progress *progress = peek_progress(raft, id);
    if (!shim->rules.step_back || answer->rejected == 0 || answer->term != raft->current_term ||
        progress == NULL || answer->rejected > answer->last_log_index) {
        return;
    }
    raft_index least = peek_first_index(raft);
    least = progress->match_index > least ? progress->match_index : least;
    raft_index step = QO_PROPOSALS_MAX + 1; /* The first of its term, too. */
    raft_index next = answer->rejected > step ? answer->rejected - step : 0;
    next = next > least ? next : least;
    if (next < answer->rejected) {
        answer->last_log_index = next; /* libraft probes from behind it. */
    }
}

/*
 * S-15, cures B23: in a follower's eyes libraft's leader is there until the follower's own timer
 * ends, so a new one needs a majority whose timers, of one to two election timeouts, have all
 * ended. A follower that has heard nothing of its leader for one election timeout forgets it when
 * it is asked for a vote (Ongaro's thesis, 4.2.3: the minimum, not the randomized, timeout).
 */
static void
forget_silent(struct shim *shim)
{
    struct raft *raft = shim_raft(shim);
    if (shim->rules.forget_silent && raft->state == RAFT_FOLLOWER &&
        raft->follower_state.current_leader.id != 0 &&
        shim_silence_ms(shim, raft->follower_state.current_leader.id) >= raft->election_timeout) {
        peek_forget_leader(raft);
    }
}

static void
received(struct raft_io *below, struct raft_message *message)
{
    struct shim *shim = below->data;
    struct shim_peer *peer = message->server_id != 0 ? shim_peer(shim, message->server_id) : NULL;
    if (peer != NULL) {
        peer->heard_ms = below->time(below);
    }
    if (!refuses(shim, message)) {
        if (message->type == RAFT_IO_APPEND_ENTRIES) {
            struct raft_append_entries *entries = &message->append_entries;
            skip_committed(shim, entries);
            spare_unstored(shim, entries);
            shim->message_term = entries->term;
            shim->message_end = entries->prev_log_index + entries->n_entries;
            if (shim->rules.windows && entries->leader_commit > shim->message_end) {
                /* libraft commits up to its own last index, checked by this leader or not. */
                entries->leader_commit = shim->message_end;
            }
        } else if (message->type == RAFT_IO_APPEND_ENTRIES_RESULT) {
            hold_ack(shim, message);
            believe_refusal(shim, message->server_id, &message->append_entries_result);
            step_back(shim, message->server_id, &message->append_entries_result);
        } else if (message->type == RAFT_IO_REQUEST_VOTE) {
            forget_silent(shim);
            learn_term(shim, message);
        }
        shim_enter(shim);
        shim->recv(&shim->io, message);
        shim_leave(shim);
        shim->message_term = 0;
    }
    shim_settle(shim);
}

/* -- The rest of raft_io ----------------------------------------------------------------------- */

static int
init(struct raft_io *io, raft_id id, const char *address)
{
    struct shim *shim = shim_of(io);
    return shim_copy_error(shim, shim->below->init(shim->below, id, address));
}

static void
closed(struct raft_io *below)
{
    struct shim *shim = below->data;
    shim->closed(&shim->io);
}

/* For tests only: a node ends by _exit() (B18). */
static void
close_io(struct raft_io *io, raft_io_close_cb callback)
{
    struct shim *shim = shim_of(io);
    shim->closed = callback;
    shim->below->close(shim->below, closed);
}

static int
load(/* NOLINT(readability-function-size): the shape is raft_io's. */ struct raft_io *io,
     raft_term *term, raft_id *vote, struct raft_snapshot **snapshot, raft_index *start_index,
     struct raft_entry *entries[], size_t *n_entries)
{
    struct shim *shim = shim_of(io);
    struct raft_io *below = shim->below;
    int status = below->load(below, term, vote, snapshot, start_index, entries, n_entries);
    if (status == 0 && shim->hooks.loaded != NULL) {
        struct shim_loaded loaded = {
            .snapshot_index = *snapshot != NULL ? (*snapshot)->index : 0,
            .snapshot_term = *snapshot != NULL ? (*snapshot)->term : 0,
            .start_index = *start_index,
            .entries = *entries,
            .entries_count = *n_entries,
        };
        shim->hooks.loaded(shim->hooks.context, &loaded);
    }
    return shim_copy_error(shim, status);
}

static int
start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct shim *shim = shim_of(io);
    shim->tick = tick;
    shim->recv = recv;
    shim->heartbeat_ms = msecs;
    shim->started_ms = shim->ticked_ms = shim->below->time(shim->below);
    return shim_copy_error(shim, shim->below->start(shim->below, msecs, ticked, received));
}

static int
bootstrap(struct raft_io *io, const struct raft_configuration *configuration)
{
    struct shim *shim = shim_of(io);
    return shim_copy_error(shim, shim->below->bootstrap(shim->below, configuration));
}

static int
recover(struct raft_io *io, const struct raft_configuration *configuration)
{
    struct shim *shim = shim_of(io);
    return shim_copy_error(shim, shim->below->recover(shim->below, configuration));
}

static int
snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *request,
             raft_io_snapshot_get_cb callback)
{
    struct shim *shim = shim_of(io);
    return shim_copy_error(shim, shim->below->snapshot_get(shim->below, request, callback));
}

static raft_time
time_ms(struct raft_io *io)
{
    struct shim *shim = shim_of(io);
    return shim->below->time(shim->below);
}

static int
chance(struct raft_io *io, int min, int max)
{
    struct shim *shim = shim_of(io);
    return shim->below->random(shim->below, min, max);
}

/* Snapshots only; what it must wait for, hooks.settled knows. */
static int
async_work(struct raft_io *io, struct raft_io_async_work *request, raft_io_async_work_cb callback)
{
    struct shim *shim = shim_of(io);
    QO_PRE(shim->work == NULL);
    shim->work = request;
    shim->work_done = callback;
    return 0;
}

void
shim_begin_work(struct shim *shim)
{
    struct raft_io_async_work *request = shim->work;
    if (request == NULL) {
        return;
    }
    shim->work = NULL;
    shim_enter(shim);
    int status = shim->below->async_work(shim->below, request, shim->work_done);
    if (status != 0) {
        shim->work_done(request, status);
    }
    shim_leave(shim);
}

void
shim_init(struct shim *shim, struct raft_io *below, const struct shim_hooks *hooks)
{
    *shim = (struct shim){.below = below, .rules = shim_rules_all, .hooks = *hooks};
    below->data = shim;
    shim->io = (struct raft_io){
        .version = 2, /* It has async_work. */
        .impl = shim,
        .init = init,
        .close = close_io,
        .load = load,
        .start = start,
        .bootstrap = bootstrap,
        .recover = recover,
        .set_term = shim_set_term,
        .set_vote = shim_set_vote,
        .send = shim_send,
        .append = shim_append,
        .truncate = shim_truncate,
        .snapshot_put = shim_snapshot_put,
        .snapshot_get = snapshot_get,
        .time = time_ms,
        .random = chance,
        .async_work = async_work,
    };
}

bool
shim_ready(const struct shim *shim)
{
    const struct raft *raft = shim_raft(shim);
    return raft->state == RAFT_LEADER &&
           (!shim->rules.own_entry_first ||
            (shim->lead_term == raft->current_term && shim->barrier_fired));
}

uint64_t
shim_silence_ms(const struct shim *shim, raft_id id)
{
    for (unsigned i = 0; i < QO_MEMBERS_MAX; i++) {
        if (shim->peers[i].id == id && shim->peers[i].heard_ms != 0) {
            return shim->below->time(shim->below) - shim->peers[i].heard_ms;
        }
    }
    return UINT64_MAX;
}
