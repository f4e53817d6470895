/* See member.h. Thread: the run's. */
#include "member.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "ground.h"
#include "media.h"
#include "network.h"
#include "peek.h"
#include "run.h"
#include "server.h"
#include "state.h" /* Of consensus. */
#include "story.h"
#include "truth.h"

/* What the log of a member that is down holds. */
struct shadow {
    bool known;
    uint64_t first, last;
    uint64_t *terms; /* [index - first] */
};

struct member {
    unsigned id;
    bool up, end_expected, flipped, lost;
    uint64_t life;
    int64_t stopped_until_us;
    /* Clocks: what they showed at `since_us` of the true time, and how fast they run since. */
    int64_t since_us, monotonic_us, wall_ahead_us;
    int32_t drift_ppm;
    struct disk disk;
    struct shadow shadow;
    /* Of this life. */
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
    story->counts.snapshots++;
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

/* -- Lives ------------------------------------------------------------------------------------- */

void
members_birth(const struct members_options *given)
{
    options = *given;
    process_set_heap();
    for (unsigned id = 1; id <= options.count; id++) {
        struct member *member = &members[id];
        *member = (struct member){.id = id, .monotonic_us = monotonic_start_us * (int64_t)id};
        disk_init(&member->disk, id);
        ground_birth(&member->disk, options.count, options.segment_bytes);
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

/* A log that refuses is a finding, unless bits were flipped in it. */
static struct io *
open_log(struct member *member)
{
    struct log_failure failure;
    const struct ground_options ground_options = {.id = member->id,
                                                  .disk = &member->disk,
                                                  .keep_bytes = options.keep_bytes,
                                                  .without = options.rules->log_without};
    struct io *io = ground_open(&ground_options, &failure);
    if (io == NULL) {
        EXPECT(member->flipped, "member %u cannot open its log: %s", member->id, failure.text);
        tell(member->id, "its log refuses: %s", failure.text);
        story->counts.lost++;
        member->lost = true;
        member_die("its log is lost");
    }
    return io;
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
        .log_bytes_max = options.hoarder == member->id ? 0 : options.log_bytes_max,
        .client = {.context = member,
                   .room = room,
                   .deliver = deliver,
                   .leadership = leadership,
                   .checkpoint = checkpoint,
                   .restore = restore},
    };
    struct consensus_ground ground = {.where = "memory",
                                      .rules = &options.rules->shim,
                                      .rounds_without = options.rules->rounds_without};
    identity_of(member, &ground.identity);
    network_begin(member->id);
    ground.io = open_log(member);
    member->consensus = consensus_build(&consensus_options, &ground);
    member->store = store_open(&store_options);
    member->server = server_open(member->id, member->consensus, member->store);
    const struct applied_point *applied = store_applied(member->store);
    truth_started(member->id, applied);
    consensus_start(member->consensus, applied->index, applied->term);
    const struct raft *raft = &member->consensus->raft;
    tell(member->id, "starts: log %llu to %llu, term %llu, store at %llu",
         (unsigned long long)peek_first_index(raft), (unsigned long long)peek_last_index(raft),
         raft->current_term, (unsigned long long)applied->index);
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
    disk_crash(&member->disk);
    network_gone(id);
    media_crash(id);
    member->shadow.known = false;
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

bool
member_is_to_die(unsigned id)
{
    QO_PRE(running == id);
    return chance_permille(deaths_permille);
}

void
member_die(const char *why)
{
    QO_PRE(running != 0);
    (void)snprintf(last_words, sizeof last_words, "%s", why);
    longjmp(escape, 1);
}

void
member_may_die(unsigned id)
{
    if (member_is_to_die(id)) {
        member_die("in the middle of something");
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
        EXPECT(entry != NULL || index <= raft->log.snapshot.last_index,
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
member_has_executed_snapshot(unsigned id)
{
    const struct member *member = &members[id];
    return store_applied(member->store)->index >= member->consensus->snapshots.index;
}

bool
member_needs_rebuild(unsigned id)
{
    uint64_t common = members[id].lost ? 0 : truth_common(id);
    bool needs = members[id].lost;
    for (unsigned other = 1; other <= options.count && !needs; other++) {
        /* A log that begins right behind what is common must still know the term before it, or it
         * cannot say that what follows belongs there. */
        uint64_t first = member_log_first(other);
        needs =
            !members[other].lost &&
            (common + 1 < first || (common + 1 == first && member_log_term(other, common) == 0));
    }
    return needs;
}

/* -- What is on disks -------------------------------------------------------------------------- */

/* Opens a copy of the disk's log, as the member would. */
static struct log *
open_copy(const struct member *member, struct disk *copy)
{
    struct log_failure failure;
    disk_copy(copy, &member->disk);
    const struct log_options log_options = {.disk = &copy->table,
                                            .without = options.rules->log_without};
    return log_open(&log_options, &failure);
}

static void
look_at_disk(struct member *member)
{
    struct shadow *shadow = &member->shadow;
    struct disk copy;
    struct log *log = open_copy(member, &copy);
    mem_free(shadow->terms);
    *shadow = (struct shadow){.known = true, .first = 1};
    if (log != NULL) {
        const struct log_loaded *loaded = log_loaded(log);
        shadow->first = loaded->first_index;
        shadow->last = loaded->first_index + loaded->count - 1;
        shadow->terms = mem_alloc((loaded->count + 1) * sizeof shadow->terms[0]);
        for (size_t i = 0; i < loaded->count; i++) {
            shadow->terms[i] = loaded->entries[i].term;
        }
        log_free(log);
    }
    disk_free(&copy);
}

static const struct shadow *
shadow_of(unsigned id)
{
    if (!members[id].shadow.known) {
        look_at_disk(&members[id]);
    }
    return &members[id].shadow;
}

uint64_t
member_log_first(unsigned id)
{
    return members[id].up ? peek_first_index(&members[id].consensus->raft) : shadow_of(id)->first;
}

uint64_t
member_log_last(unsigned id)
{
    return members[id].up ? peek_last_index(&members[id].consensus->raft) : shadow_of(id)->last;
}

uint64_t
member_log_term(unsigned id, uint64_t index)
{
    if (members[id].up) {
        return peek_term(&members[id].consensus->raft, index);
    }
    const struct shadow *shadow = shadow_of(id);
    return index < shadow->first || index > shadow->last ? 0 : shadow->terms[index - shadow->first];
}

bool
member_disk_holds(unsigned id, uint64_t index, uint64_t term)
{
    struct disk copy;
    struct log *log = open_copy(&members[id], &copy);
    bool holds = true; /* A log that would refuse says nothing. */
    if (log != NULL) {
        const struct log_loaded *loaded = log_loaded(log);
        uint64_t end = loaded->first_index + loaded->count;
        holds = index < loaded->first_index ||
                (index < end && loaded->entries[index - loaded->first_index].term == term);
        log_free(log);
    }
    disk_free(&copy);
    return holds;
}

bool
member_flip(unsigned id)
{
    struct member *member = &members[id];
    struct log_status status = {0};
    struct disk copy;
    QO_PRE(!member->up && !member->lost);
    struct log *log = open_copy(member, &copy);
    if (log != NULL) {
        log_status(log, &status);
        log_free(log);
    }
    disk_free(&copy);
    if (log == NULL || !disk_flip(&member->disk, status.mark == status.sequence)) {
        return false;
    }
    member->flipped = true;
    member->shadow.known = false;
    return true;
}

bool
member_flipped(unsigned id)
{
    return members[id].flipped;
}

bool
member_lost(unsigned id)
{
    return members[id].lost;
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
    tell(id, "%s in term %llu, vote %llu; log to %llu, stored %llu, committed %llu",
         states[raft->state], raft->current_term, raft->voted_for,
         raft_last_index((void *)(uintptr_t)raft), raft->last_stored, raft->commit_index);
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
