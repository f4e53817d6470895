/* See member.h. Thread: the run's. */
#include "member.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/bytes.h"
#include "ground.h"
#include "media.h"
#include "network.h"
#include "peek.h"
#include "server.h"
#include "state.h" /* Of consensus. */
#include "story.h"
#include "truth.h"

enum { PATH_BYTES = 512 };

struct member {
    unsigned id;
    bool up, end_expected;
    uint64_t life;
    int64_t stopped_until_us;
    /* Clocks: what they showed at `since_us` of the true time, and how fast they run since. */
    int64_t since_us, monotonic_us, wall_ahead_us;
    int32_t drift_ppm;
    struct disk disk;
    struct transport transport;
    /* Of this life. */
    struct ground *ground;
    struct consensus *consensus;
    struct store *store;
    struct server *server;
    uint64_t checked_index; /* Committed entries up to here were compared. */
};

static struct member members[MEMBERS_MAX + 1];
static struct members_options options;
static unsigned running; /* Whose code is on the stack; 0: nobody's. */
static jmp_buf escape;
static char last_words[STORY_LINE_BYTES];
static uint32_t deaths_permille;

const struct members_options *
members_options(void)
{
    return &options;
}

unsigned
members_count(void)
{
    return options.count;
}

bool
member_up(unsigned id)
{
    return members[id].up;
}

uint64_t
member_life(unsigned id)
{
    return members[id].life;
}

bool
member_votes(unsigned id)
{
    return id <= options.voters_count;
}

/* -- Clocks ------------------------------------------------------------------------------------ */

/* A day before all begins, so that no clock shows 0. */
static const int64_t monotonic_start_us = INT64_C(86400000000);
static const int64_t wall_start_us = INT64_C(1800000000000000);

int64_t
member_monotonic_us(unsigned id)
{
    const struct member *member = &members[id];
    int64_t passed_us = events_now_us() - member->since_us;
    return member->monotonic_us + passed_us + passed_us * member->drift_ppm / 1000000;
}

int64_t
member_wall_us(unsigned id)
{
    return wall_start_us + member_monotonic_us(id) + members[id].wall_ahead_us;
}

int64_t
member_true_us(unsigned id, int64_t local_us)
{
    return local_us - local_us * members[id].drift_ppm / 1000000;
}

void
member_jump_wall(unsigned id, int64_t by_us)
{
    members[id].wall_ahead_us += by_us;
}

void
member_set_drift(unsigned id, int32_t ppm)
{
    struct member *member = &members[id];
    member->monotonic_us = member_monotonic_us(id);
    member->since_us = events_now_us();
    member->drift_ppm = ppm;
}

void
member_stop(unsigned id, int64_t for_us)
{
    members[id].stopped_until_us = events_now_us() + for_us;
}

int64_t
member_stopped_until_us(unsigned id)
{
    return members[id].stopped_until_us;
}

/* -- What consensus calls ---------------------------------------------------------------------- */

static bool
room(void *context, size_t size)
{
    const struct member *member = context;
    (void)size;
    return server_has_room(member->server);
}

static void
deliver(void *context, uint64_t index, uint64_t term, struct bytes entry)
{
    struct member *member = context;
    server_deliver(member->server, index, term, entry);
}

static void
leadership(void *context, bool ready, uint64_t term)
{
    struct member *member = context;
    if (ready) {
        truth_ready(member->id, term, member->consensus->delivered_index);
    }
    server_leadership(member->server, ready, term);
}

static bool
checkpoint(void *context, uint64_t index, uint64_t term, struct buf *manifest_out,
           uint64_t *applied_out)
{
    struct member *member = context;
    struct applied_point applied;
    (void)term;
    if (chance_permille(100)) {
        return false;
    }
    QO_ASSERT(store_applied(member->store)->index >= index);
    store_checkpoint(member->store, &applied);
    member_may_die(member->id);
    buf_append(manifest_out, "checkpoint", 10);
    *applied_out = applied.index;
    return true;
}

static void
restore(void *context, struct bytes manifest, uint64_t index)
{
    const struct member *member = context;
    EXPECT(manifest.size == 10 && store_applied(member->store)->index >= index,
           "member %u: its log begins behind %llu, its store holds %llu", member->id,
           (unsigned long long)index, (unsigned long long)store_applied(member->store)->index);
}

/* Who is in the simulated network is fixed. */
static void
take_part(void *context, const struct transport_member *given, uint32_t count)
{
    (void)context;
    (void)given;
    QO_ASSERT(count == options.count);
}

static void
send_note(void *context, uint32_t to, uint8_t kind, struct bytes body)
{
    const struct member *member = context;
    network_note(member->id, to, kind, body);
}

/* -- Lives ------------------------------------------------------------------------------------- */

void
members_birth(const struct members_options *given)
{
    options = *given;
    process_set_heap();
    for (unsigned id = 1; id <= options.count; id++) {
        struct member *member = &members[id];
        *member = (struct member){.id = id, .monotonic_us = monotonic_start_us * (int64_t)id};
        member->transport =
            (struct transport){.context = member, .members = take_part, .note = send_note};
        disk_birth(&member->disk, options.count);
    }
}

static void
identity_of(const struct member *member, struct consensus_identity *identity)
{
    *identity = (struct consensus_identity){
        .cluster_id = "simulated",
        .node_id = member->id,
        .incarnation = 1000 + member->id,
        .shards = QO_SHARDS_DEFAULT,
        .epoch = 1,
        .boot = member->life + 1,
        .members_count = options.count,
    };
    for (unsigned id = 1; id <= options.count; id++) {
        identity->members[id - 1].id = id;
        (void)snprintf(identity->members[id - 1].address, sizeof identity->members[0].address, "%s",
                       ground_address(id));
    }
}

/* As node_run() of the server does it. */
static void
begin_life(void *context)
{
    struct member *member = context;
    struct store_options store_options = {.directory = media_directory(member->id),
                                          .cluster_id = "simulated",
                                          .shards = QO_SHARDS_DEFAULT};
    const struct consensus_options consensus_options = {
        .log_bytes_max = options.log_bytes_max,
        .client = {.context = member,
                   .room = room,
                   .deliver = deliver,
                   .leadership = leadership,
                   .checkpoint = checkpoint,
                   .restore = restore},
    };
    struct consensus_ground ground = {.where = "memory",
                                      .rules = options.rules,
                                      .transport = &member->transport,
                                      .rounds_without = options.rounds_without};
    identity_of(member, &ground.identity);
    member->ground = ground_open(member->id, &member->disk, options.count);
    ground.below = ground_io(member->ground);
    member->consensus = consensus_build(&consensus_options, &ground);
    member->store = store_open(&store_options);
    member->server = server_open(member->id, member->consensus, member->store);
    const struct applied_point *applied = store_applied(member->store);
    tell(member->id, "starts: log %llu to %llu, term %llu, store at %llu",
         (unsigned long long)member->disk.first_index,
         (unsigned long long)disk_last_index(&member->disk), (unsigned long long)member->disk.term,
         (unsigned long long)applied->index);
    truth_started(member->id, applied);
    consensus_start(member->consensus, applied->index, applied->term);
}

void
member_start(unsigned id)
{
    struct member *member = &members[id];
    QO_PRE(!member->up);
    member->up = true;
    member->end_expected = false;
    member->stopped_until_us = 0;
    member->checked_index = 0;
    member->ground = NULL;
    member->consensus = NULL;
    member->server = NULL;
    member_run(id, begin_life, member);
}

void
member_crash(unsigned id, const char *why)
{
    struct member *member = &members[id];
    QO_PRE(member->up && running == 0);
    tell(id, "dies: %s", why);
    story->counts.crashes++;
    if (member->ground != NULL) {
        ground_crash(member->ground);
    }
    media_crash(id);
    member->up = false;
    member->life++;
    member->server = NULL;
}

bool
member_running(void)
{
    return running != 0;
}

void
member_fatal(enum fatal_reason reason, const char *text)
{
    const struct member *member = &members[running];
    EXPECT(member->end_expected && reason == FATAL_STORAGE, "member %u ended itself (%d): %s",
           member->id, (int)reason, text);
    (void)snprintf(last_words, sizeof last_words, "%s", text);
    longjmp(escape, 1);
}

void
member_expect_end(unsigned id)
{
    members[id].end_expected = true;
}

void
member_set_deaths(uint32_t permille)
{
    deaths_permille = permille;
}

void
member_may_die(unsigned id)
{
    QO_PRE(running == id);
    if (chance_permille(deaths_permille)) {
        (void)snprintf(last_words, sizeof last_words, "in the middle of something");
        longjmp(escape, 1);
    }
}

/* -- Checks ------------------------------------------------------------------------------------ */

static void
check_committed(struct member *member)
{
    const struct raft *raft = &member->consensus->raft;
    while (member->checked_index < raft->commit_index) {
        uint64_t index = member->checked_index + 1;
        const struct raft_entry *entry = peek_entry(raft, index);
        EXPECT(entry != NULL || index <= disk_last_index(&member->disk),
               "member %u lacks entry %llu, which it says is committed", member->id,
               (unsigned long long)index);
        if (entry != NULL) {
            struct bytes bytes = entry->type == RAFT_COMMAND
                                     ? bytes_make(entry->buf.base, entry->buf.len)
                                     : BYTES_NONE;
            truth_committed(member->id, index, entry->term, bytes);
        }
        member->checked_index = index;
    }
}

static void
check(struct member *member)
{
    const struct raft *raft = &member->consensus->raft;
    if (raft->state == RAFT_LEADER) {
        truth_leads(member->id, raft->current_term);
    }
    check_committed(member);
}

void
member_run(unsigned id, event_fn run, void *context)
{
    QO_PRE(running == 0 && members[id].up);
    running = id;
    if (setjmp(escape) == 0) {
        run(context);
        consensus_resume(members[running].consensus);
        server_turn(members[running].server);
        check(&members[running]);
        running = 0;
    } else {
        unsigned ended = running;
        running = 0;
        member_crash(ended, last_words);
    }
}

/* -- Parts ------------------------------------------------------------------------------------- */

struct disk *
member_disk(unsigned id)
{
    return &members[id].disk;
}

struct ground *
member_ground(unsigned id)
{
    return members[id].ground;
}

struct consensus *
member_consensus(unsigned id)
{
    return members[id].consensus;
}

struct store *
member_store(unsigned id)
{
    return members[id].store;
}

bool
member_has_executed_all(unsigned id)
{
    return server_state_idle(members[id].server);
}

bool
member_needs_rebuild(unsigned id)
{
    uint64_t common = truth_common(&members[id].disk);
    bool needs = false;
    for (unsigned other = 1; other <= options.count; other++) {
        needs = needs || common < members[other].disk.first_index;
    }
    return needs;
}

void
member_tell(unsigned id)
{
    const struct member *member = &members[id];
    if (!member->up) {
        tell(id, "down");
        return;
    }
    static const char *const states[] = {"unavailable", "follower", "candidate", "leader"};
    const struct raft *raft = &member->consensus->raft;
    tell(id, "%s in term %llu, vote %llu; log to %llu, stored %llu, on disk %llu, committed %llu",
         states[raft->state], raft->current_term, raft->voted_for,
         raft_last_index((void *)(uintptr_t)raft), raft->last_stored,
         (unsigned long long)disk_last_index(&member->disk), raft->commit_index);
    tell(id, "handed over %llu, executed %llu of %llu%s%s%s",
         (unsigned long long)member->consensus->delivered_index,
         (unsigned long long)store_applied(member->store)->index, (unsigned long long)truth_head(),
         member_needs_rebuild(id) ? ", needs a rebuild" : "",
         member->consensus->shim.writes_first != NULL ? ", writes wait" : "",
         member->consensus->shim.put.request != NULL ? ", a snapshot waits" : "");
}

bool
member_leads(unsigned id)
{
    return members[id].up && members[id].consensus != NULL &&
           members[id].consensus->raft.state == RAFT_LEADER;
}
