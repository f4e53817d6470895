/* See consensus/consensus.h. Thread: the loop. */
#include "consensus/consensus.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "birth.h"
#include "common/assert.h"
#include "common/log.h"
#include "common/thread.h"
#include "failover.h"
#include "io.h"
#include "links.h"
#include "peek.h"
#include "state.h"

enum {
    HEARTBEAT_MS_DEFAULT = 50,
    ELECTION_MS_DEFAULT = 500,
    /* A leader asks a member behind its log to take a snapshot, which is dropped; seldom. */
    INSTALL_TIMEOUT_MS = 60000,
};

/* -- Opening ----------------------------------------------------------------------------------- */

static const char *
own_address(const struct consensus_identity *identity)
{
    const char *address = NULL;
    for (uint32_t i = 0; i < identity->members_count; i++) {
        if (identity->members[i].id == identity->node_id) {
            address = identity->members[i].address;
        }
    }
    QO_POST(address != NULL); /* birth_open() checked it. */
    return address;
}

/*
 * The state has executed up to `applied_index`. Whatever it lacks must be in the log, and the log
 * must be the one that it executed; else acknowledged data is missing, and a node that went on
 * would hide that.
 */
static void
check_applied(const struct consensus *consensus, const struct shim_loaded *loaded)
{
    uint64_t applied = consensus->applied_index;
    uint64_t last = loaded->start_index + loaded->entries_count - 1;
    uint64_t term = applied == loaded->snapshot_index ? loaded->snapshot_term : 0;
    last = last > loaded->snapshot_index ? last : loaded->snapshot_index;
    if (applied < loaded->snapshot_index || applied > last) {
        qo_fatal(FATAL_CORRUPT,
                 "acknowledged data is missing: the state holds entries up to %llu, the log %llu "
                 "to %llu. Replace the member",
                 (unsigned long long)applied, (unsigned long long)loaded->snapshot_index,
                 (unsigned long long)last);
    }
    if (applied >= loaded->start_index && applied > loaded->snapshot_index) {
        term = loaded->entries[applied - loaded->start_index].term;
    }
    if (term != consensus->applied_term) {
        qo_fatal(FATAL_CORRUPT,
                 "state and log do not belong together: at entry %llu the state has term %llu, the "
                 "log %llu. Replace the member",
                 (unsigned long long)applied, (unsigned long long)consensus->applied_term,
                 (unsigned long long)term);
    }
}

static void
loaded(void *context, const struct shim_loaded *loaded)
{
    struct consensus *consensus = context;
    check_applied(consensus, loaded);
    /* What libraft takes as applied without calling apply: the snapshot, or else entry 1, which is
     * the first configuration and the same everywhere. */
    consensus->delivered_index = loaded->snapshot_index != 0 ? loaded->snapshot_index : 1;
    consensus->snapshots.counted_index = consensus->delivered_index;
}

static uint64_t
log_bytes_max(const struct consensus_options *options)
{
    return options->log_bytes_max != 0 ? options->log_bytes_max : QO_LOG_BYTES_MAX_DEFAULT;
}

static void
configure(struct consensus *consensus, uint32_t heartbeat_ms, uint32_t election_ms)
{
    struct raft *raft = &consensus->raft;
    raft_set_heartbeat_timeout(raft, heartbeat_ms);
    raft_set_election_timeout(raft, election_ms);
    raft_set_pre_vote(raft, true); /* A node that was cut off must not depose a healthy leader. */
    raft_set_install_snapshot_timeout(raft, INSTALL_TIMEOUT_MS);
    raft_set_snapshot_threshold(raft, UINT_MAX);
}

/* Much of what is committed waits to be executed here. */
static bool
is_behind(const struct consensus *consensus)
{
    const struct consensus_client *client = &consensus->client;
    uint64_t committed = consensus->raft.last_applied;
    return client->executed != NULL &&
           committed > client->executed(client->context) + QO_FAILOVER_BEHIND_ENTRIES;
}

static void
member_gone(void *context, uint32_t member)
{
    struct consensus *consensus = context;
    failover_member_gone(&consensus->shim, member, is_behind(consensus));
}

static void
listen_to(struct consensus *consensus, struct io *io)
{
    struct io_listener listener = {
        .context = consensus, .note = consensus_noted, .gone = member_gone};
    consensus->transport = io_transport(io);
    io_listen(io, &listener);
}

/* Links are to and from those who stand in the configuration, alone. */
static void
name_members(const struct consensus *consensus)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    struct transport_member members[QO_MEMBERS_MAX];
    QO_ASSERT(configuration->n <= QO_MEMBERS_MAX);
    for (unsigned i = 0; i < configuration->n; i++) {
        members[i].id = (uint32_t)configuration->servers[i].id;
        (void)snprintf(members[i].address, sizeof members[i].address, "%s",
                       configuration->servers[i].address);
    }
    consensus->transport->members(consensus->transport->context, members, configuration->n);
}

struct consensus *
consensus_build(const struct consensus_options *options, const struct consensus_ground *ground)
{
    QO_PRE(options->client.room != NULL && options->client.deliver != NULL);
    QO_PRE(options->client.leadership != NULL && options->client.checkpoint != NULL &&
           options->client.restore != NULL);
    uint32_t heartbeat_ms =
        options->heartbeat_ms != 0 ? options->heartbeat_ms : HEARTBEAT_MS_DEFAULT;
    uint32_t election_ms = options->election_ms != 0 ? options->election_ms : ELECTION_MS_DEFAULT;
    QO_PRE(election_ms >= 4 * heartbeat_ms);
    struct consensus *consensus = mem_zalloc(sizeof *consensus);
    consensus->identity = ground->identity;
    consensus->below = ground->io != NULL ? io_raft(ground->io) : ground->below;
    consensus->links = ground->links;
    if (ground->io != NULL) {
        listen_to(consensus, ground->io);
    }
    consensus->client = options->client;
    if (ground->transport != NULL) {
        consensus->transport = ground->transport;
    }
    QO_ASSERT(consensus->transport != NULL);
    handover_open_rounds(consensus, ground->rounds_without);
    for (size_t i = 0; i < QO_PROPOSALS_MAX; i++) {
        consensus->proposals[i].next = consensus->free_proposals;
        consensus->free_proposals = &consensus->proposals[i];
    }
    struct shim_hooks hooks = {
        .context = consensus,
        .settled = handover_settled,
        .loaded = loaded,
    };
    shim_init(&consensus->shim, consensus->below, &hooks);
    consensus->shim.rules = *ground->rules;
    snapshots_init(consensus, log_bytes_max(options));
    int status = raft_init(&consensus->raft, &consensus->shim.io, &consensus->snapshots.fsm,
                           consensus->identity.node_id, own_address(&consensus->identity));
    if (status != 0) {
        qo_fatal(FATAL_DIRECTORY, "cannot open the log in %s: %s", ground->where,
                 raft_errmsg(&consensus->raft));
    }
    configure(consensus, heartbeat_ms, election_ms);
    return consensus;
}

/* What lives until the process ends, below libraft. */
struct below {
    struct transport transport;
    struct consensus_ground ground;
};

static struct io *
open_io(const struct below *below, const struct consensus_options *options, const char *path)
{
    struct log_disk_real *disk = log_disk_open(path, options->loop);
    struct log_failure failure;
    if (disk == NULL) {
        qo_fatal(FATAL_DIRECTORY, "cannot open the log in %s: %s", path, strerror(errno));
    }
    struct io_options io_options = {
        .log = {.disk = log_disk_table(disk), .keep_bytes = log_bytes_max(options)},
        .salt = below->ground.identity.incarnation,
        .transport = &below->transport,
        .host = host_uv_open(options->loop),
    };
    struct io *io = io_open(&io_options, &failure);
    if (io == NULL) {
        qo_fatal(failure.reason, "%s: %s", path, failure.text);
    }
    return io;
}

struct consensus *
consensus_open(const struct consensus_options *options)
{
    consensus_prepare_process();
    char path[BIRTH_PATH_MAX];
    struct below *below = mem_zalloc(sizeof *below);
    struct consensus_ground *ground = &below->ground;
    birth_open(options->directory, &ground->identity);
    birth_path(options->directory, "log", path);
    struct links_options links_options = {
        .loop = options->loop,
        .id = ground->identity.node_id,
        .cluster_id = ground->identity.cluster_id,
        .secret = options->secret,
        .peer_timeout_ms =
            2 * (options->election_ms != 0 ? options->election_ms : ELECTION_MS_DEFAULT),
    };
    struct links *links = links_open(&links_options);
    below->transport = links_transport(links);
    ground->io = open_io(below, options, path);
    ground->links = links;
    ground->where = path;
    ground->rules = &shim_rules_all;
    return consensus_build(options, ground);
}

const struct consensus_identity *
consensus_identity(const struct consensus *consensus)
{
    return &consensus->identity;
}

void
consensus_start(struct consensus *consensus, uint64_t applied_index, uint64_t applied_term)
{
    QO_PRE(thread_is(THREAD_LOOP) && !consensus->started);
    consensus->applied_index = applied_index;
    consensus->applied_term = applied_term;
    shim_enter(&consensus->shim);
    int status = raft_start(&consensus->raft);
    shim_leave(&consensus->shim);
    if (status != 0) {
        qo_fatal(status == RAFT_CORRUPT ? FATAL_CORRUPT : FATAL_STORAGE, "cannot load the log: %s",
                 raft_errmsg(&consensus->raft));
    }
    name_members(consensus);
    consensus->started = true;
    log_line(LOG_INFO, "log_loaded", "last_index=%llu applied_index=%llu term=%llu boot=%llu",
             raft_last_index(&consensus->raft), (unsigned long long)applied_index,
             consensus->raft.current_term, (unsigned long long)consensus->identity.boot);
    shim_settle(&consensus->shim);
}

/* -- Running ----------------------------------------------------------------------------------- */

static enum qo_error
not_ready(const struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;
    if (!consensus->started || raft->state != RAFT_LEADER) {
        return QO_NOT_LEADER;
    }
    return consensus_is_ready(consensus) ? QO_OK : QO_UNAVAILABLE;
}

enum qo_error
consensus_propose(struct consensus *consensus, struct bytes entry, consensus_propose_cb callback,
                  void *context)
{
    QO_PRE(thread_is(THREAD_LOOP) && callback != NULL);
    QO_PRE(entry.size > 0 && entry.size <= (size_t)QO_ENTRY_BYTES_MAX);
    enum qo_error error = not_ready(consensus);
    struct proposal *proposal = consensus->free_proposals;
    if (error != QO_OK || proposal == NULL) {
        return error != QO_OK ? error : QO_OVERLOADED;
    }
    /* One entry per raft_apply: with more, libraft calls back at the first (B12). A length that is
     * no multiple of 8 cannot be read back (B13). */
    struct raft_buffer buffer = {.len = (entry.size + 7) / 8 * 8};
    QO_ASSERT(buffer.len % 8 == 0 && buffer.len >= entry.size);
    buffer.base = raft_malloc(buffer.len);
    memcpy(buffer.base, entry.data, entry.size);
    memset((uint8_t *)buffer.base + entry.size, 0, buffer.len - entry.size);
    consensus->free_proposals = proposal->next;
    *proposal = (struct proposal){.consensus = consensus, .callback = callback, .context = context};
    proposal->request.data = proposal;
    shim_enter(&consensus->shim);
    int status =
        raft_apply(&consensus->raft, &proposal->request, &buffer, 1, handover_proposal_done);
    shim_leave(&consensus->shim);
    if (status != 0) {
        raft_free(buffer.base);
        proposal->next = consensus->free_proposals;
        consensus->free_proposals = proposal;
        return QO_UNAVAILABLE; /* Nothing was appended: a failed disk would have ended the node. */
    }
    return QO_OK;
}

enum qo_error
consensus_read_point(struct consensus *consensus, consensus_read_cb callback, void *context)
{
    QO_PRE(thread_is(THREAD_LOOP) && callback != NULL);
    enum qo_error error = not_ready(consensus);
    if (error == QO_OK && !rounds_read(&consensus->rounds, callback, context)) {
        error = QO_OVERLOADED;
    }
    if (error == QO_OK) {
        rounds_begin(&consensus->rounds);
    }
    return error;
}

void
consensus_noted(void *context, uint32_t from, uint8_t kind, struct bytes body)
{
    struct consensus *consensus = context;
    QO_PRE(thread_is(THREAD_LOOP));
    if (consensus->started) {
        rounds_noted(&consensus->rounds, from, kind, body);
        shim_settle(&consensus->shim);
    }
}

void
consensus_resume(struct consensus *consensus)
{
    QO_PRE(thread_is(THREAD_LOOP));
    if (consensus->started) {
        shim_settle(&consensus->shim);
    }
}

/* -- Status ------------------------------------------------------------------------------------ */

static void
member_status(const struct consensus *consensus, const struct raft_server *server,
              struct consensus_member_status *out)
{
    const struct raft *raft = &consensus->raft;
    const struct raft_progress *progress = peek_progress(raft, server->id);
    bool self = server->id == raft->id;
    *out = (struct consensus_member_status){.id = (uint32_t)server->id};
    (void)snprintf(out->address, sizeof out->address, "%s", server->address);
    out->role = server->role == RAFT_VOTER     ? CONSENSUS_VOTER
                : server->role == RAFT_STANDBY ? CONSENSUS_STANDBY
                                               : CONSENSUS_SPARE;
    out->known = self || progress != NULL;
    if (self) {
        out->match_index = raft->last_stored;
        out->reachable = true;
        out->needs_rebuild = consensus->shim.install_refused;
    } else if (progress != NULL) {
        out->match_index = progress->match_index;
        out->reachable =
            shim_silence_ms(&consensus->shim, server->id) <= 2ull * raft->election_timeout;
        out->needs_rebuild = peek_wants_snapshot(progress);
    }
}

void
consensus_status(const struct consensus *consensus, struct consensus_status *status_out)
{
    const struct raft *raft = &consensus->raft;
    *status_out = (struct consensus_status){
        .state = raft->state == RAFT_LEADER      ? CONSENSUS_LEADER
                 : raft->state == RAFT_CANDIDATE ? CONSENSUS_CANDIDATE
                                                 : CONSENSUS_FOLLOWER,
        .ready = not_ready(consensus) == QO_OK,
        .term = raft->current_term,
        .last_index = peek_last_index(raft),
        .stored_index = raft->last_stored,
        .committed_index = consensus->committed_seen,
        .delivered_index = consensus->delivered_index,
        .snapshot_index = raft->log.snapshot.last_index,
        .log_bytes = consensus->snapshots.bytes,
        .needs_rebuild = consensus->shim.install_refused,
    };
    raft_id leader = 0;
    if (raft->state == RAFT_LEADER) {
        leader = raft->id;
    } else if (raft->state == RAFT_FOLLOWER) {
        leader = raft->follower_state.current_leader.id;
    }
    const struct raft_server *server = leader != 0 ? peek_server(raft, leader) : NULL;
    if (server != NULL) {
        status_out->leader_id = (uint32_t)leader;
        (void)snprintf(status_out->leader_address, sizeof status_out->leader_address, "%s",
                       server->address);
    }
    for (unsigned i = 0; i < raft->configuration.n && i < QO_MEMBERS_MAX; i++) {
        member_status(consensus, &raft->configuration.servers[i], &status_out->members[i]);
        status_out->members_count = i + 1;
    }
}
