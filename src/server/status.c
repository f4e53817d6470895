/* See status.h. Thread: loop; read_sizes() on a reader. */
#include "status.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/limits.h"
#include "readers.h"
#include "state.h"
#include "version.h"
#include "wire/response.h"

enum { PROTOCOL = 1, SIZES_MAX = 32 };

void
status_hello(struct node *node, struct request *request, const struct wire_request *wire)
{
    /* The highest that both know: ours is the first there is. */
    if (wire->has_protocol && wire->protocol < PROTOCOL) {
        const struct wire_failure failure = {.error = QO_BAD_REQUEST,
                                             .field = bytes_text("protocol"),
                                             .message =
                                                 bytes_text("`protocol` must be at least 1.")};
        request_fail(node, request, &failure);
        return;
    }
    const struct wire_hello hello = {
        .protocol = PROTOCOL,
        .server = bytes_text("quorderd " QUORDER_VERSION),
        .cluster_id = bytes_text(node->identity->cluster_id),
        .node_id = node->identity->node_id,
        .leader = node_leader_address(node),
        .shards = node->identity->shards,
        .epoch = node->epoch,
    };
    struct buf *out = request_answer_begin(node, request);
    if (out != NULL) {
        wire_put_result(out, request->msgid);
        wire_put_hello(out, &hello);
        request_answer_end(node, request);
    }
}

void
status_ping(struct node *node, struct request *request)
{
    const struct wire_ping ping = {.at = node->time, .clock = clock_wall_us()};
    struct buf *out = request_answer_begin(node, request);
    if (out != NULL) {
        wire_put_result(out, request->msgid);
        wire_put_ping(out, &ping);
        request_answer_end(node, request);
    }
}

/* -- cluster.status --------------------------------------------------------------------------- */

struct sizes {
    struct wire_store_size items[SIZES_MAX];
    uint32_t count;
};

static void
add_size(void *context, const char *name, uint64_t bytes)
{
    struct sizes *sizes = context;
    if (sizes->count < SIZES_MAX) {
        sizes->items[sizes->count++] = (struct wire_store_size){bytes_text(name), bytes};
    }
}

static void
read_sizes(struct read_job *job, struct store *store, struct store_view *view)
{
    (void)view;
    store_sizes(store, add_size, job->context);
}

static struct bytes
role_name(enum consensus_role role)
{
    switch (role) {
    case CONSENSUS_VOTER:
        return bytes_text("voter");
    case CONSENSUS_STANDBY:
        return bytes_text("standby");
    case CONSENSUS_SPARE:
        return bytes_text("spare");
    }
    return BYTES_NONE;
}

static struct bytes
own_state(const struct consensus_status *status)
{
    if (status->needs_rebuild) {
        return bytes_text("needs_rebuild");
    }
    switch (status->state) {
    case CONSENSUS_LEADER:
        return bytes_text("leader");
    case CONSENSUS_CANDIDATE:
        return bytes_text("candidate");
    case CONSENSUS_FOLLOWER:
        return bytes_text("follower");
    }
    return BYTES_NONE;
}

/* What is known of another: by a leader from its answers; else only who leads. */
static struct bytes
other_state(const struct consensus_status *status, const struct consensus_member_status *member)
{
    if (member->id == status->leader_id) {
        return bytes_text("leader");
    }
    if (!member->known) {
        return BYTES_NONE;
    }
    return member->needs_rebuild ? bytes_text("needs_rebuild")
           : member->reachable   ? bytes_text("follower")
                                 : bytes_text("unreachable");
}

/* Everything up to here has become state: the log's own entries are nothing to execute. */
static uint64_t
applied_index(const struct node *node, const struct consensus_status *status)
{
    return state_idle(node->state) ? status->delivered_index : node->executed_index;
}

static struct wire_member
describe(const struct node *node, const struct consensus_status *status,
         const struct consensus_member_status *member)
{
    struct wire_member described = {
        .id = member->id,
        .address = bytes_text(member->address),
        .role = role_name(member->role),
    };
    if (member->id == node->identity->node_id) {
        uint64_t applied = applied_index(node, status);
        described.state = own_state(status);
        described.applied_index = (struct wire_known){true, applied};
        described.committed_index = (struct wire_known){true, status->committed_index};
        described.lag = (struct wire_known){
            true, status->committed_index > applied ? status->committed_index - applied : 0};
        return described;
    }
    described.state = other_state(status, member);
    if (member->known) { /* How much of the leader's log it does not hold. */
        described.lag = (struct wire_known){true, status->last_index > member->match_index
                                                      ? status->last_index - member->match_index
                                                      : 0};
    }
    return described;
}

static void
sizes_read(struct node *node, struct read_job *job)
{
    const struct sizes *sizes = job->context;
    struct consensus_status status;
    struct wire_member members[QO_MEMBERS_MAX];
    char digest[2 * sizeof node->digest.bytes + 1];
    consensus_status(node->consensus, &status);
    for (uint32_t i = 0; i < status.members_count; i++) {
        members[i] = describe(node, &status, &status.members[i]);
    }
    hash_hex(bytes_make(node->digest.bytes, sizeof node->digest.bytes), digest);
    const struct wire_status answer = {
        .cluster_id = bytes_text(node->identity->cluster_id),
        .node_id = node->identity->node_id,
        .leader = node_leader_address(node),
        .term = status.term,
        .epoch = node->epoch,
        .shards = node->identity->shards,
        .members = members,
        .members_count = status.members_count,
        .digest_index = node->executed_index,
        .digest_value = bytes_text(digest),
        .store = sizes->items,
        .store_count = sizes->count,
        .uptime_s = (uint64_t)(node_now_us(node) - node->started_us) / 1000000,
    };
    struct buf *out = request_answer_begin(node, job->request);
    if (out != NULL) {
        wire_put_result(out, job->request->msgid);
        wire_put_status(out, &answer);
        request_answer_end(node, job->request);
    }
    job->request->answered = true;
    request_release(node, job->request);
    readers_free_job(node, job);
}

void
status_cluster(struct node *node, struct request *request)
{
    struct read_job *job = readers_take_job(node);
    if (job == NULL) {
        request_fail_plain(node, request, QO_OVERLOADED, QO_RETRY_AFTER_MS);
        request_release(node, request);
        return;
    }
    request->stage = REQUEST_READING;
    job->context = arena_zalloc(&job->arena, sizeof(struct sizes));
    job->request = request;
    job->run = read_sizes;
    job->done = sizes_read;
    readers_submit(node, job);
}
