/*
 * Goal: S-16. A member says only of entries that are on its disk that it has them, though leaders
 * take turns while its disk is slow; and what the rule leaves out of a message comes again.
 * Method: libraft and the shim over a disk that finishes when the test says so, with messages of
 * leaders as the script has them; each script with the rule, and without it, where the member must
 * be caught saying too much. Then a whole cluster (world.h) whose leader is libraft, too.
 */
#include "support/test.h"

#include <string.h>

#include "common/bytes.h"
#include "consensus/consensus.h"
#include "peek.h"
#include "world.h"

enum { SELF = 5, COMMON = 5, INDEX_MAX = 16, OPERATIONS_MAX = 16, ELECTION_MS = 1000 };

struct operation {
    struct raft_io_append *append; /* NULL: a truncation. */
    raft_index from;
    raft_term terms[INDEX_MAX];
    const void *bytes[INDEX_MAX]; /* Without the rule, libraft loses what it counts twice. */
    unsigned count;
};

/* Member 5 of five voters, whose log holds a snapshot up to COMMON. */
struct member {
    struct member *before; /* All of them, so that they stay reachable. */
    struct raft_io below;
    struct shim shim;
    struct raft_fsm fsm;
    struct raft raft;
    raft_time now;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    raft_index end;               /* Of the log, once all operations are done. */
    raft_index stored;            /* Of the log on the disk. */
    raft_term on_disk[INDEX_MAX]; /* Terms. */
    struct operation operations[OPERATIONS_MAX];
    unsigned begun, done;
    unsigned answers;
    struct raft_append_entries_result answer; /* The last one, */
    raft_id answered;                         /* and to whom. */
    bool lied;
};

static struct member *member; /* The one under test. */

/* -- The disk ---------------------------------------------------------------------------------- */

/* True if the disk holds this entry, and no operation that was begun takes it away meanwhile. */
static bool
is_safe(raft_index index)
{
    for (unsigned i = member->done; i < member->begun; i++) {
        if (member->operations[i].append == NULL && member->operations[i].from <= index) {
            return false;
        }
    }
    return index <= COMMON ||
           (index <= member->stored && member->on_disk[index] == peek_term(&member->raft, index));
}

static int
take_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[],
            unsigned n, raft_io_append_cb callback)
{
    struct operation *operation = &member->operations[member->begun];
    (void)io;
    assert_true(member->begun < OPERATIONS_MAX && member->end + n < INDEX_MAX);
    member->begun++;
    request->cb = callback;
    operation->append = request;
    operation->from = member->end + 1;
    operation->count = n;
    for (unsigned i = 0; i < n; i++) {
        operation->terms[i] = entries[i].term;
        operation->bytes[i] = entries[i].buf.base;
    }
    member->end += n;
    return 0;
}

static int
take_truncate(struct raft_io *io, raft_index index)
{
    (void)io;
    assert_true(member->begun < OPERATIONS_MAX);
    member->operations[member->begun].from = index;
    member->begun++;
    member->end = index - 1;
    return 0;
}

/* The disk finishes what was begun, in order, up to the next append. */
static void
finish_append(void)
{
    struct raft_io_append *append = NULL;
    while (append == NULL && member->done < member->begun) {
        const struct operation *operation = &member->operations[member->done];
        member->done++;
        append = operation->append;
        memcpy(&member->on_disk[operation->from], operation->terms,
               operation->count * sizeof operation->terms[0]);
        member->stored = operation->from - 1 + operation->count;
    }
    if (append != NULL) {
        append->cb(append, 0);
    }
}

/* -- The rest of what is below ----------------------------------------------------------------- */

static int
take_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static int
take_load(struct raft_io *io, raft_term *term, raft_id *vote, struct raft_snapshot **snapshot,
          raft_index *start, struct raft_entry *entries[], size_t *count)
{
    (void)io;
    *snapshot = raft_calloc(1, sizeof **snapshot);
    (*snapshot)->index = COMMON;
    (*snapshot)->term = 1;
    (*snapshot)->configuration_index = 1;
    for (raft_id id = 1; id <= 5; id++) {
        const char address[] = {(char)('0' + id), '\0'};
        int status = raft_configuration_add(&(*snapshot)->configuration, id, address, RAFT_VOTER);
        assert_int_equal(status, 0);
    }
    (*snapshot)->bufs = raft_calloc(1, sizeof *(*snapshot)->bufs);
    (*snapshot)->bufs[0] = (struct raft_buffer){raft_calloc(1, 8), 8};
    (*snapshot)->n_bufs = 1;
    *term = 1;
    *vote = 0;
    *start = COMMON + 1;
    *entries = NULL;
    *count = 0;
    return 0;
}

static int
take_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    (void)io;
    (void)ms;
    member->tick = tick;
    member->recv = recv;
    return 0;
}

static int
take_term(struct raft_io *io, raft_term term)
{
    (void)io;
    (void)term;
    return 0;
}

static int
take_vote(struct raft_io *io, raft_id vote)
{
    (void)io;
    (void)vote;
    return 0;
}

static int
take_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
          raft_io_send_cb callback)
{
    (void)io;
    if (message->type == RAFT_IO_APPEND_ENTRIES_RESULT) {
        member->answers++;
        member->answered = message->server_id;
        member->answer = message->append_entries_result;
        for (raft_index i = 1; member->answer.rejected == 0 && i <= member->answer.last_log_index;
             i++) {
            member->lied = member->lied || !is_safe(i);
        }
    }
    callback(request, 0); /* The shim tells libraft later. */
    return 0;
}

static raft_time
tell_time(struct raft_io *io)
{
    (void)io;
    return member->now;
}

static int
tell_chance(struct raft_io *io, int min, int max)
{
    (void)io;
    (void)max;
    return min;
}

static int
apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
    (void)fsm;
    (void)buffer;
    *result = NULL;
    member->lied = member->lied || !is_safe(member->raft.last_applied + 1);
    return 0;
}

static int
restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
    (void)fsm;
    raft_free(buffer->base);
    return 0;
}

static void
start_member(bool rule)
{
    struct shim_hooks hooks = {0};
    struct member *before = member;
    consensus_prepare_process();
    member = mem_zalloc(sizeof *member);
    member->before = before;
    member->now = 1000000;
    member->end = member->stored = COMMON;
    member->below = (struct raft_io){
        .version = 2,
        .init = take_init,
        .load = take_load,
        .start = take_start,
        .set_term = take_term,
        .set_vote = take_vote,
        .send = take_send,
        .append = take_append,
        .truncate = take_truncate,
        .time = tell_time,
        .random = tell_chance,
    };
    member->fsm = (struct raft_fsm){.version = 1, .apply = apply, .restore = restore};
    shim_init(&member->shim, &member->below, &hooks);
    member->shim.rules.spare_unstored = rule;
    assert_int_equal(raft_init(&member->raft, &member->shim.io, &member->fsm, SELF, "5"), 0);
    raft_set_election_timeout(&member->raft, ELECTION_MS);
    assert_int_equal(raft_start(&member->raft), 0);
    shim_settle(&member->shim);
}

/* -- Leaders ----------------------------------------------------------------------------------- */

enum { X = 1, Y = 2 };

/* What leader `from` sends: its `count` entries behind `prev`, of these terms. */
static void
hear(raft_id from, raft_term term, raft_index prev, raft_index commit, const raft_term *terms,
     unsigned count)
{
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES, .server_id = from};
    struct raft_append_entries *sent = &message.append_entries;
    message.server_address = from == X ? "1" : "2";
    sent->term = term;
    sent->prev_log_index = prev;
    sent->prev_log_term = prev == COMMON ? 1 : terms[-1];
    sent->leader_commit = commit;
    sent->n_entries = count;
    if (count > 0) {
        uint8_t *batch = raft_calloc(count, 8);
        sent->entries = raft_calloc(count, sizeof *sent->entries);
        for (unsigned i = 0; i < count; i++) {
            sent->entries[i] = (struct raft_entry){.term = terms[i],
                                                   .type = RAFT_COMMAND,
                                                   .buf = {batch + (size_t)8 * i, 8},
                                                   .batch = batch};
        }
    }
    member->now += 10;
    member->recv(&member->below, &message);
}

/* Logs of leaders, by index from COMMON + 1 on. */
static const raft_term log_of_x[] = {2, 2, 4, 4};
static const raft_term log_of_y[] = {3};

/* What leader `from` sends of its log: `count` entries from `first` on. */
static void
hear_log(raft_id from, raft_term term, raft_index first, unsigned count, raft_index commit)
{
    const raft_term *log = from == X ? log_of_x : log_of_y;
    hear(from, term, first - 1, commit, &log[first - COMMON - 1], count);
}

static void
follow_x(void)
{
    hear_log(X, 2, 6, 2, COMMON);
}

/* This member leads in term 2 itself; X is then who had its entries. */
static void
lead(void)
{
    static struct raft_apply request;
    struct raft_buffer buffer = {raft_calloc(1, 8), 8};
    struct raft_message vote = {.type = RAFT_IO_REQUEST_VOTE_RESULT};
    vote.request_vote_result.term = 2;
    vote.request_vote_result.vote_granted = true;
    member->now += 2 * (raft_time)ELECTION_MS;
    member->tick(&member->below);
    vote.server_id = 3;
    vote.server_address = "3";
    member->recv(&member->below, &vote);
    vote.server_id = 4;
    vote.server_address = "4";
    member->recv(&member->below, &vote);
    assert_int_equal(raft_state(&member->raft), RAFT_LEADER);
    shim_enter(&member->shim); /* Behind its own first entry, 6. */
    assert_int_equal(raft_apply(&member->raft, &request, &buffer, 1, NULL), 0);
    shim_leave(&member->shim);
}

/* -- Tests ------------------------------------------------------------------------------------- */

/*
 * 6 and 7 of term 2 are being written; Y, who has neither, sends its own 6; X, who has both, sends
 * all again, and 8. The disk awakes.
 */
static void
take_turns(void (*begin)(void))
{
    begin();
    hear_log(Y, 3, 6, 1, COMMON);
    hear_log(X, 4, 6, 3, COMMON);
}

static void
finish_all(void)
{
    while (member->done < member->begun) {
        finish_append();
        hear_log(X, 4, 9, 0, COMMON); /* A heartbeat behind 8. */
    }
}

static bool
acknowledges_what_a_crash_takes(void (*begin)(void))
{
    take_turns(begin);
    finish_append(); /* The first. Next are a truncation, or 8. */
    hear_log(X, 4, 8, 0, COMMON);
    return member->lied;
}

static bool
acknowledges_the_next_entry_before_it_is_stored(void (*begin)(void))
{
    take_turns(begin);
    finish_all();
    member->lied = false; /* What was said before 8 was stored is not the question. */
    hear_log(X, 4, 9, 1, 8);
    hear_log(X, 4, 10, 0, 8);
    return member->lied;
}

static bool
executes_an_entry_before_it_is_stored(void (*begin)(void))
{
    take_turns(begin);
    finish_all();
    member->lied = false;
    hear_log(X, 4, 9, 1, 8);
    hear_log(X, 4, 10, 0, 9); /* Others have stored it. */
    return member->raft.commit_index > 8;
}

static void
says_only_what_is_on_its_disk(void **state)
{
    static const struct {
        const char *name;
        bool (*faulty)(void (*begin)(void));
        void (*begin)(void);
    } cases[] = {
        {"an ack, then a truncation", acknowledges_what_a_crash_takes, follow_x},
        {"an ack, then a truncation; led before", acknowledges_what_a_crash_takes, lead},
        {"an ack too early", acknowledges_the_next_entry_before_it_is_stored, follow_x},
        {"an ack too early; led before", acknowledges_the_next_entry_before_it_is_stored, lead},
        {"executed too early", executes_an_entry_before_it_is_stored, follow_x},
        {"executed too early; led before", executes_an_entry_before_it_is_stored, lead},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start_member(false);
        if (!cases[i].faulty(cases[i].begin)) {
            fail_msg("%s: the fault does not appear without the rule", cases[i].name);
        }
        start_member(true);
        if (cases[i].faulty(cases[i].begin)) {
            fail_msg("%s: the fault appears with the rule", cases[i].name);
        }
        finish_all();
        hear_log(X, 4, 9, 1, 8); /* And it has all in the end, whatever was left out. */
        finish_all();
        hear_log(X, 4, 10, 0, 9);
        assert_int_equal(member->answer.last_log_index, 9);
        assert_int_equal(member->raft.last_stored, 9);
        assert_true(member->stored == 9 && member->raft.commit_index == 9);
    }
}

/* The term, the leader and its patience are as after any message; only the entries are not there.
 */
static void
takes_a_sign_of_life_from_what_it_leaves_out(void **state)
{
    (void)state;
    start_member(true);
    follow_x();
    unsigned answers = member->answers;
    hear_log(Y, 3, 6, 1, COMMON);
    assert_int_equal(member->raft.current_term, 3);
    assert_int_equal(member->raft.follower_state.current_leader.id, Y);
    assert_int_equal(member->raft.election_timer_start, member->now);
    assert_int_equal(member->answers, answers + 1);
    assert_int_equal(member->answered, Y);
    assert_true(member->answer.rejected == 0 && member->answer.last_log_index == COMMON);
    assert_true(member->raft.last_stored == COMMON && peek_last_index(&member->raft) == 7);
    finish_append(); /* Y sends again. */
    hear_log(Y, 3, 6, 1, COMMON);
    assert_true(peek_last_index(&member->raft) == 6 && peek_term(&member->raft, 6) == 3);
    finish_append();
    assert_true(member->answer.rejected == 0 && member->answer.last_log_index == 6);
    assert_int_equal(member->raft.last_stored, 6);
}

/* 6 and 7 are stored, 8 is not. Y has the same 6, another 7, and knows both to be committed. */
static void
leaves_out_only_what_differs_and_commits_none_of_it(void **state)
{
    static const raft_term of_x[] = {2, 2, 2}, of_y[] = {2, 3};
    (void)state;
    start_member(true);
    member->shim.rules.windows = false; /* It bounds what is committed, too. */
    hear(X, 2, COMMON, COMMON, of_x, 2);
    finish_append();
    hear(X, 2, 7, COMMON, &of_x[2], 1);
    hear(Y, 3, COMMON, 7, of_y, 2);
    assert_true(member->answer.rejected == 0 && member->answer.last_log_index == 6);
    assert_int_equal(member->raft.commit_index, 6); /* Not 7 of X. */
    finish_append();
    hear(Y, 3, COMMON, 7, of_y, 2);
    assert_int_equal(peek_term(&member->raft, 7), 3);
    assert_int_equal(member->raft.commit_index, 6);
    finish_append();
    assert_int_equal(member->raft.commit_index, 7);
    assert_false(member->lied);
}

/* -- With a leader that is libraft's, too ------------------------------------------------------ */

static struct world *world;

static bool
is_level(struct raft_fixture *fixture, void *argument)
{
    (void)fixture;
    (void)argument;
    return world->histories[4].count == world->histories[1].count;
}

/* 4 writes x and y of 0, slowly; 1 is elected by 2 and 3 and goes on with other entries. */
static void
gets_from_the_leader_what_it_left_out(void **state)
{
    enum { DISK_MS = 8000, HEARTBEAT_MS = 100 };
    (void)state;
    world = world_make(5, &shim_rules_all, NULL);
    raft_fixture_elect(&world->fixture, 0);
    raft_fixture_step_until_elapsed(&world->fixture, 500);
    for (unsigned i = 1; i < 4; i++) { /* Only 4 hears of x and y. */
        world_cut(world, 0, i);
        world_cut(world, i, 0);
        world_timeout(world, i, i == 1 ? 1500 : 3000);
    }
    raft_fixture_set_disk_latency(&world->fixture, 4, DISK_MS);
    raft_time begin = raft_fixture_time(&world->fixture);
    world_propose(world, 0, 'x');
    world_propose(world, 0, 'y');
    raft_fixture_step_until_elapsed(&world->fixture, 100);
    raft_index written = raft_last_index(world_raft(world, 4));
    world_isolate(world, 0);
    raft_fixture_set_randomized_election_timeout(&world->fixture, 0, 60000);
    assert_true(raft_fixture_step_until_state_is(&world->fixture, 1, RAFT_LEADER, 4000));
    raft_fixture_set_disk_latency(&world->fixture, 4, 1);
    for (uint32_t value = 'a'; value <= 'c'; value++) {
        world_propose(world, 1, value);
        raft_fixture_step_until_elapsed(&world->fixture, 500);
    }
    assert_true(world_acknowledged(world, 'c'));
    assert_true(raft_fixture_time(&world->fixture) < begin + DISK_MS);
    const struct raft *slow = world_raft(world, 4);
    assert_int_equal(slow->follower_state.current_leader.id, 2);
    assert_true(raft_last_index(world_raft(world, 4)) == written);
    assert_int_equal(world_copies(world, 'a'), 3);
    unsigned left = (unsigned)(begin + DISK_MS - raft_fixture_time(&world->fixture));
    assert_true(raft_fixture_step_until(&world->fixture, is_level, NULL, left + 6 * HEARTBEAT_MS));
    assert_int_equal(world_copies(world, 'c'), 4);
    assert_false(world_diverged(world));
    assert_int_equal(raft_state(world_raft(world, 1)), RAFT_LEADER);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_only_what_is_on_its_disk),
        cmocka_unit_test(takes_a_sign_of_life_from_what_it_leaves_out),
        cmocka_unit_test(leaves_out_only_what_differs_and_commits_none_of_it),
        cmocka_unit_test(gets_from_the_leader_what_it_left_out),
    };
    return cmocka_run_group_tests_name("consensus/unstored", tests, NULL, NULL);
}
