/*
 * Goal: what the shim promises about order, callbacks, bounds and failures, whatever lies below it.
 * Method: shim_below.h. What must end the process runs in a child.
 */
#include "support/test.h"

#include <string.h>
#include <unistd.h>

#include "common/assert.h"
#include "shim_below.h"

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

/* libraft names what is in its memory; 8 and 9 are not on the disk yet. */
static void
names_what_is_stored_when_it_asks_for_votes(void **state)
{
    struct raft_message vote = {
        .type = RAFT_IO_REQUEST_VOTE, .server_id = 2, .server_address = "2"};
    struct raft_io_send sends[3];
    const struct raft_request_vote *asked = &fake->message.request_vote;
    (void)state;
    fake->raft.log.entries = entries;
    fake->raft.log.size = ENTRIES;
    fake->raft.log.back = 9;
    entries[6].term = 2;
    vote.request_vote.last_log_index = 9;
    vote.request_vote.last_log_term = 3;
    fake->raft.last_stored = 9;
    assert_int_equal(fake->shim.io.send(&fake->shim.io, &sends[0], &vote, told_send), 0);
    assert_true(asked->last_log_index == 9 && asked->last_log_term == 3);
    fake->raft.last_stored = 7;
    assert_int_equal(fake->shim.io.send(&fake->shim.io, &sends[1], &vote, told_send), 0);
    assert_true(asked->last_log_index == 7 && asked->last_log_term == 2);
    fake->shim.rules.stored_candidacy = false;
    assert_int_equal(fake->shim.io.send(&fake->shim.io, &sends[2], &vote, told_send), 0);
    assert_true(asked->last_log_index == 9 && asked->last_log_term == 3);
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
    fake->now -= 400;
    fake->shim.rules.late_votes = false;
    receive(vote);
    assert_int_equal(fake->received, 3);
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
    fake->shim.rules.windows = false; /* libraft would commit up to 9 what it has there itself. */
    receive(message);
    assert_int_equal(fake->heard.append_entries.leader_commit, 9);
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
    fake->shim.rules.no_install = false;
    receive(install);
    assert_int_equal(fake->received, 1);
    assert_int_equal(fake->shim.io.send(&fake->shim.io, &send, &install, told_send), 0);
    assert_int_equal(fake->sends_count, 1);
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
        cmocka_unit_test_setup(names_what_is_stored_when_it_asks_for_votes, set_up),
        cmocka_unit_test_setup(ends_the_process_if_its_own_disk_is_silent_and_for_nobody_else,
                               set_up),
        cmocka_unit_test_setup(does_not_vote_right_after_its_start, set_up),
        cmocka_unit_test_setup(bounds_messages_and_what_is_on_the_way, set_up),
        cmocka_unit_test_setup(commits_nothing_that_a_message_did_not_bring, set_up),
        cmocka_unit_test_setup(drops_snapshots_both_ways, set_up),
    };
    return cmocka_run_group_tests_name("consensus/shim", tests, NULL, NULL);
}
