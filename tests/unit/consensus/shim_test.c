/*
 * Goal: what the shim promises about order, callbacks, bounds and failures, whatever lies below it.
 * Method: a raft_io below that does nothing until told, and a struct raft whose fields the test
 * sets, so that each case is one call and what follows. What must end the process runs in a child.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "shim.h"

enum { CALLS_MAX = 64, PENDING_MAX = 16, ENTRY_BYTES = 1024 * 1024, ENTRIES = 40 };

/* -- Below ------------------------------------------------------------------------------------- */

struct fake {
    struct fake *before;
    struct raft_io io;
    struct raft raft;
    struct shim shim;
    char calls[CALLS_MAX * 16]; /* "append(2) truncate(8) " */
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    raft_time now;
    int status;  /* What the next methods return, or say in callbacks from inside. */
    bool inside; /* Call back inside the method. */
    struct raft_io_append *appends[PENDING_MAX];
    unsigned appends_count;
    struct raft_io_send *sends[PENDING_MAX];
    unsigned sends_count;
    struct raft_io_snapshot_put *put;
    struct raft_message message; /* The last sent. */
    raft_term term;
    raft_id vote;
    /* What libraft was told. */
    unsigned told, received, ticked;
    int told_status;
    struct raft_message heard;
    struct raft_request_vote first_vote; /* That it heard of. */
};

static struct fake *fake;
static struct raft_entry entries[ENTRIES];

static void
note(const char *call, unsigned long long argument)
{
    size_t used = strlen(fake->calls);
    (void)snprintf(fake->calls + used, sizeof fake->calls - used, "%s(%llu) ", call, argument);
}

static int
fake_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    (void)io;
    (void)ms;
    fake->tick = tick;
    fake->recv = recv;
    return 0;
}

static int
fake_set_term(struct raft_io *io, raft_term term)
{
    (void)io;
    fake->term = fake->status == 0 ? term : fake->term;
    return fake->status;
}

static int
fake_set_vote(struct raft_io *io, raft_id vote)
{
    (void)io;
    fake->vote = fake->status == 0 ? vote : fake->vote;
    return fake->status;
}

static int
fake_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
          raft_io_send_cb callback)
{
    (void)io;
    fake->message = *message;
    if (fake->inside) {
        callback(request, fake->status);
        return 0;
    }
    if (fake->status == 0) {
        request->cb = callback;
        fake->sends[fake->sends_count] = request;
        fake->sends_count++;
    }
    return fake->status;
}

static int
fake_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry *list,
            unsigned n, raft_io_append_cb callback)
{
    (void)io;
    (void)list;
    note("append", n);
    if (fake->inside) {
        callback(request, fake->status);
        return 0;
    }
    if (fake->status == 0) {
        request->cb = callback;
        fake->appends[fake->appends_count] = request;
        fake->appends_count++;
    }
    return fake->status;
}

static int
fake_truncate(struct raft_io *io, raft_index index)
{
    (void)io;
    note("truncate", index);
    return fake->status;
}

static int
fake_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
         const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb callback)
{
    (void)io;
    (void)trailing;
    note("put", snapshot->index);
    request->cb = callback;
    fake->put = fake->status == 0 ? request : NULL;
    return fake->status;
}

static raft_time
fake_time(struct raft_io *io)
{
    (void)io;
    return fake->now;
}

/* -- libraft ----------------------------------------------------------------------------------- */

static void
hear_tick(struct raft_io *io)
{
    (void)io;
    fake->ticked++;
}

static void
hear(struct raft_io *io, struct raft_message *message)
{
    (void)io;
    if (fake->received == 0) {
        fake->first_vote = message->request_vote;
    }
    fake->received++;
    fake->heard = *message;
}

static void
told_send(struct raft_io_send *request, int status)
{
    (void)request;
    fake->told++;
    fake->told_status = status;
}

static void
told_append(struct raft_io_append *request, int status)
{
    (void)request;
    fake->told++;
    fake->told_status = status;
}

static void
told_put(struct raft_io_snapshot_put *request, int status)
{
    (void)request;
    note("told_put", (unsigned)status);
}

/* -- The test's hands -------------------------------------------------------------------------- */

static int
set_up(void **state)
{
    static uint8_t bytes[ENTRY_BYTES];
    struct shim_hooks hooks = {0};
    (void)state;
    struct fake *before = fake;
    fake = mem_zalloc(sizeof *fake);
    fake->before = before; /* What a case leaves under way stays reachable. */
    fake->now = 1000000;
    fake->io = (struct raft_io){
        .version = 1,
        .start = fake_start,
        .set_term = fake_set_term,
        .set_vote = fake_set_vote,
        .send = fake_send,
        .append = fake_append,
        .truncate = fake_truncate,
        .snapshot_put = fake_put,
        .time = fake_time,
    };
    shim_init(&fake->shim, &fake->io, &hooks);
    fake->shim.io.data = &fake->raft;
    fake->raft.io = &fake->shim.io;
    fake->raft.state = RAFT_FOLLOWER;
    fake->raft.current_term = 3;
    fake->raft.election_timeout = 500;
    for (size_t i = 0; i < ENTRIES; i++) {
        entries[i] = (struct raft_entry){.term = 3, .type = RAFT_COMMAND, .buf = {bytes, 8}};
    }
    assert_int_equal(fake->shim.io.start(&fake->shim.io, 50, hear_tick, hear), 0);
    return 0;
}

static void
tick_after(unsigned ms)
{
    fake->now += ms;
    fake->tick(&fake->io);
}

static void
receive(struct raft_message message)
{
    message.server_id = 2;
    message.server_address = "2";
    fake->recv(&fake->io, &message);
}

static int
append(struct raft_io_append *request, unsigned n)
{
    return fake->shim.io.append(&fake->shim.io, request, entries, n, told_append);
}

static void
finish_append(unsigned i, int status)
{
    fake->appends[i]->cb(fake->appends[i], status);
}

static int
send_entries(struct raft_io_send *request, raft_index previous, unsigned n, raft_index commit)
{
    struct raft_message message = {
        .type = RAFT_IO_APPEND_ENTRIES, .server_id = 2, .server_address = "2"};
    message.append_entries.prev_log_index = previous;
    message.append_entries.entries = entries;
    message.append_entries.n_entries = n;
    message.append_entries.leader_commit = commit;
    return fake->shim.io.send(&fake->shim.io, request, &message, told_send);
}

/* Exit status of a child that runs `body`; 0 if it ran to its end. */
static int
status_of_child(void (*body)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO); /* Its last line is expected, and would only alarm. */
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* -- S-9 --------------------------------------------------------------------------------------- */

static void
never_calls_back_inside(void **state)
{
    struct raft_io_send send;
    struct raft_io_append request;
    (void)state;
    fake->inside = true;
    assert_int_equal(send_entries(&send, 1, 1, 0), 0);
    assert_int_equal(fake->told, 0);
    tick_after(50);
    assert_int_equal(fake->told, 1);
    assert_int_equal(append(&request, 1), 0);
    assert_int_equal(fake->told, 1);
    tick_after(50);
    assert_int_equal(fake->told, 2);
    /* Without the rule it does: libraft would go on with a request that it has freed. */
    fake->shim.rules.never_inside = false;
    assert_int_equal(send_entries(&send, 1, 1, 0), 0);
    assert_int_equal(fake->told, 3);
    assert_int_equal(append(&request, 1), 0);
    assert_int_equal(fake->told, 4);
}

static void
never_returns_an_error_of_send(void **state)
{
    struct raft_io_send send;
    (void)state;
    fake->status = RAFT_TOOBIG;
    assert_int_equal(send_entries(&send, 1, 1, 0), 0);
    assert_int_equal(fake->told, 0);
    tick_after(50);
    assert_int_equal(fake->told, 1);
    assert_int_equal(fake->told_status, RAFT_NOCONNECTION);
    tick_after(50);
    assert_int_equal(fake->told, 1);
    fake->shim.rules.never_inside = false; /* libraft would turn itself off for that. */
    assert_int_equal(send_entries(&send, 1, 1, 0), RAFT_TOOBIG);
}

static void
takes_a_send_that_nobody_waits_for(void **state)
{
    struct raft_message message = {
        .type = RAFT_IO_TIMEOUT_NOW, .server_id = 2, .server_address = "2"};
    struct raft_io_send send;
    (void)state;
    assert_int_equal(fake->shim.io.send(&fake->shim.io, &send, &message, NULL), 0);
    assert_ptr_not_equal(fake->sends[0], &send); /* libraft may free its own meanwhile (B5). */
    fake->sends[0]->cb(fake->sends[0], 0);
    assert_int_equal(fake->told, 0);
}

/* Its append was under way when the leader's process ended. */
static void
answers_nobody_whose_leader_is_gone(void **state)
{
    struct raft_message answer = {.type = RAFT_IO_APPEND_ENTRIES_RESULT};
    struct raft_io_send send;
    (void)state;
    assert_int_equal(fake->shim.io.send(&fake->shim.io, &send, &answer, told_send), 0);
    assert_true(fake->sends_count == 0 && fake->told == 0);
    tick_after(50);
    assert_true(fake->told == 1 && fake->told_status == 0);
}

/* -- Acknowledging ----------------------------------------------------------------------------- */

/* Mutant ACK_BEFORE_SYNC must fail here. */
static void
tells_of_an_append_only_once_the_disk_has_it(void **state)
{
    struct raft_io_append first, second;
    (void)state;
    assert_int_equal(append(&first, 1), 0);
    assert_int_equal(append(&second, 1), 0);
    tick_after(50);
    tick_after(50);
    assert_int_equal(fake->told, 0);
    finish_append(1, 0); /* Out of order below: still told in order. */
    assert_int_equal(fake->told, 0);
    finish_append(0, 0);
    assert_int_equal(fake->told, 2);
}

static void
tells_a_leader_of_the_next_batch_when_the_last_is_committed(void **state)
{
    struct raft_io_append first, second;
    (void)state;
    fake->raft.state = RAFT_LEADER;
    fake->shim.lead_term = fake->raft.current_term;
    fake->raft.last_stored = fake->raft.commit_index = 5;
    assert_int_equal(append(&first, 1), 0);
    assert_int_equal(append(&second, 1), 0);
    finish_append(0, 0);
    assert_int_equal(fake->told, 1);
    fake->raft.last_stored = 6; /* As libraft does when told. */
    finish_append(1, 0);
    assert_int_equal(fake->told, 1);
    fake->raft.commit_index = 6;
    tick_after(50);
    assert_int_equal(fake->told, 2);
}

/* -- S-4 --------------------------------------------------------------------------------------- */

static void
fail_set_term(void)
{
    fake->status = RAFT_IOERR;
    (void)fake->shim.io.set_term(&fake->shim.io, 4);
}

static void
fail_set_vote(void)
{
    fake->status = RAFT_IOERR;
    (void)fake->shim.io.set_vote(&fake->shim.io, 1);
}

static void
fail_append_at_once(void)
{
    struct raft_io_append request;
    fake->status = RAFT_NOSPACE;
    (void)append(&request, 1);
}

static void
fail_append_later(void)
{
    static struct raft_io_append request;
    (void)append(&request, 1);
    finish_append(0, RAFT_NOSPACE);
}

static void
fail_truncate(void)
{
    fake->status = RAFT_IOERR;
    (void)fake->shim.io.truncate(&fake->shim.io, 9);
}

static void
truncate_committed(void)
{
    fake->raft.commit_index = 9;
    (void)fake->shim.io.truncate(&fake->shim.io, 9);
}

static void
put_and_fail(unsigned trailing)
{
    static struct raft_io_snapshot_put request;
    static struct raft_snapshot snapshot = {.index = 6, .term = 2};
    (void)fake->shim.io.snapshot_put(&fake->shim.io, trailing, &request, &snapshot, told_put);
    fake->put->cb(fake->put, RAFT_NOSPACE);
}

static void
fail_install(void)
{
    put_and_fail(0);
}

static void
fail_own_snapshot(void)
{
    put_and_fail(100);
    _exit(strstr(fake->calls, "told_put(22)") != NULL ? 0 : 1);
}

static void
ends_the_process_before_libraft_hears_of_a_failed_disk(void **state)
{
    static const struct {
        void (*body)(void);
        int status;
    } cases[] = {
        {fail_set_term, FATAL_STORAGE},       {fail_set_vote, FATAL_STORAGE},
        {fail_append_at_once, FATAL_STORAGE}, {fail_append_later, FATAL_STORAGE},
        {fail_truncate, FATAL_STORAGE},       {fail_install, FATAL_STORAGE},
        {truncate_committed, FATAL_RAFT},     {fail_own_snapshot, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = status_of_child(cases[i].body);
        if (status != cases[i].status) {
            fail_msg("case %zu: exit status %d, not %d", i, status, cases[i].status);
        }
    }
    fake->shim.rules.storage_is_fatal = false; /* libraft would truncate its memory and go on. */
    fail_append_later();
    assert_int_equal(fake->told_status, RAFT_NOSPACE);
}

/* -- S-5 --------------------------------------------------------------------------------------- */

static void
does_not_become_a_candidate_while_it_writes(void **state)
{
    struct raft_io_append request;
    struct raft_message now = {.type = RAFT_IO_TIMEOUT_NOW};
    struct raft_message depose = {.type = RAFT_IO_REQUEST_VOTE};
    depose.request_vote.disrupt_leader = true;
    (void)state;
    tick_after(1000);
    assert_int_equal(fake->ticked, 1);
    assert_int_equal(append(&request, 1), 0);
    tick_after(50);
    receive(now);
    receive(depose);
    assert_true(fake->ticked == 1 && fake->received == 0);
    finish_append(0, 0);
    tick_after(50);
    receive(now);
    receive(depose);
    assert_true(fake->ticked == 2 && fake->received == 2);
    assert_int_equal(append(&request, 1), 0);
    fake->raft.state = RAFT_LEADER; /* A leader's clock is its heartbeat. */
    fake->shim.lead_term = fake->raft.current_term;
    tick_after(50);
    assert_int_equal(fake->ticked, 3);
}

/* -- S-10 -------------------------------------------------------------------------------------- */

static void
wait_for_disk_too_long(void)
{
    static struct raft_io_append request;
    (void)append(&request, 1);
    for (unsigned i = 0; i < QO_APPEND_STALL_MS_MAX / 50 + 2; i++) {
        tick_after(50);
    }
}

static void
wait_for_snapshot_too_long(void)
{
    static struct raft_io_snapshot_put request;
    static struct raft_snapshot snapshot = {.index = 6, .term = 2};
    (void)fake->shim.io.snapshot_put(&fake->shim.io, 9, &request, &snapshot, told_put);
    for (unsigned i = 0; i < QO_SNAPSHOT_STALL_MS_MAX / 50 + 2; i++) {
        tick_after(50);
    }
}

static void
be_unavailable(void)
{
    fake->raft.state = RAFT_UNAVAILABLE;
    tick_after(50);
}

/* Stopped for an hour with an append under way: the disk was not asked meanwhile. */
static void
be_stopped(void)
{
    static struct raft_io_append request;
    (void)append(&request, 1);
    tick_after(3600 * 1000);
    tick_after(50);
}

static void
lead_slow_followers(void)
{
    fake->raft.state = RAFT_LEADER;
    fake->shim.lead_term = fake->raft.current_term;
    fake->raft.last_stored = 100;
    for (unsigned i = 0; i < 10 * QO_APPEND_STALL_MS_MAX / 50; i++) {
        tick_after(50);
    }
}

static void
ends_the_process_if_its_own_disk_is_silent_and_for_nobody_else(void **state)
{
    (void)state;
    assert_int_equal(status_of_child(wait_for_disk_too_long), FATAL_STORAGE);
    assert_int_equal(status_of_child(wait_for_snapshot_too_long), FATAL_STORAGE);
    assert_int_equal(status_of_child(be_unavailable), FATAL_RAFT);
    assert_int_equal(status_of_child(be_stopped), 0);
    assert_int_equal(status_of_child(lead_slow_followers), 0);
    fake->shim.rules.watch = false; /* It would sit there, deaf, for ever. */
    assert_int_equal(status_of_child(wait_for_disk_too_long), 0);
    assert_int_equal(status_of_child(be_unavailable), 0);
}

/* -- Votes, messages, snapshots ---------------------------------------------------------------- */

static void
does_not_vote_right_after_its_start(void **state)
{
    struct raft_message vote = {.type = RAFT_IO_REQUEST_VOTE};
    struct raft_message ack = {.type = RAFT_IO_APPEND_ENTRIES_RESULT};
    (void)state;
    fake->now += 499;
    receive(vote);
    assert_int_equal(fake->received, 0);
    receive(ack);
    assert_int_equal(fake->received, 1);
    fake->now += 1;
    receive(vote);
    assert_int_equal(fake->received, 2);
}

static void
bounds_messages_and_what_is_on_the_way(void **state)
{
    static struct raft_server servers[2] = {{1, NULL, RAFT_VOTER}, {2, NULL, RAFT_VOTER}};
    struct raft_progress progress[2] = {{0}, {.state = 1, .match_index = 1}};
    struct raft_io_send sends[16];
    raft_index next = 2;
    (void)state;
    for (size_t i = 0; i < ENTRIES; i++) {
        entries[i].buf.len = ENTRY_BYTES - 64;
    }
    fake->raft.state = RAFT_LEADER;
    fake->shim.lead_term = fake->raft.current_term;
    fake->raft.configuration = (struct raft_configuration){servers, 2};
    fake->raft.leader_state.progress = progress;
    for (unsigned i = 0; i < 4; i++) {
        progress[1].next_index = 100; /* libraft believes that it sent all. */
        shim_enter(&fake->shim);
        assert_int_equal(send_entries(&sends[i], next - 1, ENTRIES, 90), 0);
        shim_leave(&fake->shim);
        assert_int_equal(fake->message.append_entries.n_entries, 4);
        assert_int_equal(fake->message.append_entries.leader_commit, next + 3);
        next += 4;
        assert_int_equal(progress[1].next_index, next);
    }
    shim_enter(&fake->shim); /* 16 MiB are on the way: a heartbeat and no more. */
    assert_int_equal(send_entries(&sends[4], next - 1, ENTRIES, 90), 0);
    shim_leave(&fake->shim);
    assert_int_equal(fake->message.append_entries.n_entries, 0);
    fake->sends[0]->cb(fake->sends[0], 0);
    assert_int_equal(send_entries(&sends[5], next - 1, ENTRIES, 90), 0);
    assert_int_equal(fake->message.append_entries.n_entries, 4);
    fake->shim.rules.windows = false; /* All of it, however much. */
    assert_int_equal(send_entries(&sends[6], next - 1, ENTRIES, 90), 0);
    assert_int_equal(fake->message.append_entries.n_entries, ENTRIES);
}

static void
commits_nothing_that_a_message_did_not_bring(void **state)
{
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES};
    message.append_entries.prev_log_index = 5;
    message.append_entries.leader_commit = 9;
    (void)state;
    receive(message);
    assert_int_equal(fake->heard.append_entries.leader_commit, 5);
}

/* A message of `n` entries from index 1 on, in the memory that libraft takes; entry i has term i.
 */
static struct raft_message
entries_from_the_first(unsigned n)
{
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES};
    struct raft_entry *list = raft_calloc(n, sizeof *list);
    uint8_t *batch = raft_calloc(n, 8);
    for (unsigned i = 0; i < n; i++) {
        list[i] = (struct raft_entry){
            .term = i + 1, .type = RAFT_COMMAND, .buf = {batch + (size_t)8 * i, 8}, .batch = batch};
    }
    message.append_entries.entries = list;
    message.append_entries.n_entries = n;
    message.append_entries.leader_commit = n;
    return message;
}

static void
free_heard_entries(void)
{
    raft_free(fake->heard.append_entries.entries[0].batch);
    raft_free(fake->heard.append_entries.entries);
}

static void
leaves_out_of_a_message_what_is_committed_here(void **state)
{
    const struct raft_append_entries *heard = &fake->heard.append_entries;
    (void)state;
    fake->raft.log.offset = 10; /* All of it in a snapshot. */
    fake->raft.log.snapshot.last_index = 10;
    fake->raft.log.snapshot.last_term = 2;
    fake->raft.commit_index = 10;
    receive(entries_from_the_first(12));
    assert_true(heard->prev_log_index == 10 && heard->prev_log_term == 2);
    assert_int_equal(heard->n_entries, 2);
    assert_true(heard->entries[0].term == 11 && heard->entries[1].term == 12);
    assert_int_equal(heard->leader_commit, 12);
    free_heard_entries();
    receive(entries_from_the_first(7)); /* Nothing is left: a heartbeat. */
    assert_true(heard->prev_log_index == 10 && heard->prev_log_term == 2);
    assert_true(heard->n_entries == 0 && heard->entries == NULL);
    fake->shim.rules.skip_committed = false; /* libraft would append it all behind 10. */
    receive(entries_from_the_first(12));
    assert_true(heard->prev_log_index == 0 && heard->n_entries == 12);
    free_heard_entries();
}

static void
learns_the_term_of_who_asks_for_a_pre_vote(void **state)
{
    struct raft_message vote = {.type = RAFT_IO_REQUEST_VOTE};
    vote.request_vote = (struct raft_request_vote){
        .term = 20, .candidate_id = 2, .last_log_index = 7, .last_log_term = 5, .pre_vote = true};
    (void)state;
    fake->now += 500;
    fake->raft.state = RAFT_CANDIDATE; /* In term 3. */
    receive(vote);
    assert_int_equal(fake->received, 2);
    assert_true(fake->first_vote.term == 19 && !fake->first_vote.pre_vote);
    assert_true(fake->first_vote.last_log_index == 0 && fake->first_vote.candidate_id == 2);
    assert_true(fake->heard.request_vote.term == 20 && fake->heard.request_vote.pre_vote);
    fake->raft.current_term = 19; /* As libraft does then. Nothing more is to be learned. */
    receive(vote);
    assert_int_equal(fake->received, 3);
    fake->raft.current_term = 3;
    fake->raft.state = RAFT_FOLLOWER;
    fake->raft.follower_state.current_leader.id = 1; /* A leader that is heard is not deposed. */
    receive(vote);
    assert_int_equal(fake->received, 4);
}

/* Member 2's log ends at 15, this leader's holds 11 to 20; 2's acknowledgements were lost, so
 * libraft probes from 1, which is gone, and has decided to offer a snapshot. */
static void
believes_a_refusal_of_who_is_to_get_a_snapshot(void **state)
{
    enum { PROBE, PIPELINE, SNAPSHOT };
    static const struct {
        const char *name;
        int before, after;
        raft_index match, last, next;
        raft_term term;
        bool accepted, off;
    } cases[] = {
        {"it is in the log", SNAPSHOT, PROBE, 0, 15, 16, 3, false, false},
        {"its last entry went with the snapshot", SNAPSHOT, PROBE, 0, 10, 11, 3, false, false},
        {"it has more than the leader", SNAPSHOT, PROBE, 0, 99, 21, 3, false, false},
        {"it lacks what is gone", SNAPSHOT, SNAPSHOT, 0, 9, 1, 3, false, false},
        {"it said so in another term", SNAPSHOT, SNAPSHOT, 0, 15, 1, 2, false, false},
        {"it acknowledged more before", SNAPSHOT, SNAPSHOT, 17, 15, 1, 3, false, false},
        {"it agrees", SNAPSHOT, SNAPSHOT, 0, 15, 1, 3, true, false},
        {"it gets entries", PIPELINE, PIPELINE, 0, 15, 1, 3, false, false},
        {"without the rule", SNAPSHOT, SNAPSHOT, 0, 15, 1, 3, false, true},
    };
    static struct raft_server servers[2] = {{1, NULL, RAFT_VOTER}, {2, NULL, RAFT_VOTER}};
    struct raft_progress progress[2] = {{0}, {0}};
    (void)state;
    fake->raft.state = RAFT_LEADER;
    fake->shim.lead_term = fake->raft.current_term;
    fake->raft.configuration = (struct raft_configuration){servers, 2};
    fake->raft.leader_state.progress = progress;
    fake->raft.log.entries = entries;
    fake->raft.log.size = ENTRIES;
    fake->raft.log.back = 10;
    fake->raft.log.offset = fake->raft.log.snapshot.last_index = 10;
    fake->raft.log.snapshot.last_term = 2;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct raft_message answer = {.type = RAFT_IO_APPEND_ENTRIES_RESULT};
        answer.append_entries_result.term = cases[i].term;
        answer.append_entries_result.rejected = cases[i].accepted ? 0 : 30;
        answer.append_entries_result.last_log_index = cases[i].last;
        progress[1].state = (unsigned short)cases[i].before;
        progress[1].match_index = cases[i].match;
        progress[1].next_index = 1;
        fake->shim.rules.believe_refusals = !cases[i].off;
        receive(answer);
        if (progress[1].state != cases[i].after || progress[1].next_index != cases[i].next) {
            fail_msg("%s: state %u, next %llu", cases[i].name, progress[1].state,
                     progress[1].next_index);
        }
    }
    assert_int_equal(fake->received, sizeof cases / sizeof cases[0]);
}

static void
drops_snapshots_both_ways(void **state)
{
    struct raft_message install = {
        .type = RAFT_IO_INSTALL_SNAPSHOT, .server_id = 2, .server_address = "2"};
    struct raft_io_send send;
    (void)state;
    install.install_snapshot.data = (struct raft_buffer){raft_malloc(8), 8};
    receive(install);
    assert_int_equal(fake->received, 0);
    assert_true(fake->shim.install_refused);
    assert_int_equal(fake->shim.io.send(&fake->shim.io, &send, &install, told_send), 0);
    assert_int_equal(fake->sends_count, 0);
    tick_after(50);
    assert_true(fake->told == 1 && fake->told_status == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(never_calls_back_inside, set_up),
        cmocka_unit_test_setup(never_returns_an_error_of_send, set_up),
        cmocka_unit_test_setup(takes_a_send_that_nobody_waits_for, set_up),
        cmocka_unit_test_setup(answers_nobody_whose_leader_is_gone, set_up),
        cmocka_unit_test_setup(tells_of_an_append_only_once_the_disk_has_it, set_up),
        cmocka_unit_test_setup(tells_a_leader_of_the_next_batch_when_the_last_is_committed, set_up),
        cmocka_unit_test_setup(ends_the_process_before_libraft_hears_of_a_failed_disk, set_up),
        cmocka_unit_test_setup(does_not_become_a_candidate_while_it_writes, set_up),
        cmocka_unit_test_setup(ends_the_process_if_its_own_disk_is_silent_and_for_nobody_else,
                               set_up),
        cmocka_unit_test_setup(does_not_vote_right_after_its_start, set_up),
        cmocka_unit_test_setup(bounds_messages_and_what_is_on_the_way, set_up),
        cmocka_unit_test_setup(commits_nothing_that_a_message_did_not_bring, set_up),
        cmocka_unit_test_setup(leaves_out_of_a_message_what_is_committed_here, set_up),
        cmocka_unit_test_setup(learns_the_term_of_who_asks_for_a_pre_vote, set_up),
        cmocka_unit_test_setup(believes_a_refusal_of_who_is_to_get_a_snapshot, set_up),
        cmocka_unit_test_setup(drops_snapshots_both_ways, set_up),
    };
    return cmocka_run_group_tests_name("consensus/shim", tests, NULL, NULL);
}
