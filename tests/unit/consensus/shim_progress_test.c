/*
 * Goal: the rules S-7 and S-11 to S-14 of the shim, by which members find out how far a log goes
 * and who may lead, each in all its cases and against what libraft is told without it.
 * Method: shim_below.h.
 */
#include "support/test.h"

#include "shim_below.h"

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
    fake->shim.peers[0] = (struct shim_peer){.id = 1, .heard_ms = fake->now};
    fake->now += fake->raft.election_timeout - 1;
    receive(vote);
    assert_int_equal(fake->received, 4);
    assert_int_equal(fake->raft.follower_state.current_leader.id, 1);
    fake->now++; /* One that was silent for an election timeout is forgotten. */
    receive(vote);
    assert_int_equal(fake->raft.follower_state.current_leader.id, 0);
    assert_int_equal(fake->received, 6);
}

/* libraft then probes from behind what was acknowledged in this term, which may be nothing. */
static void
probes_from_the_end_after_a_failed_send(void **state)
{
    static struct raft_server servers[2] = {{1, NULL, RAFT_VOTER}, {2, NULL, RAFT_VOTER}};
    struct raft_progress progress[2] = {{0}, {0}};
    struct raft_io_send sends[3];
    (void)state;
    fake->raft.state = RAFT_LEADER;
    fake->shim.lead_term = fake->raft.current_term;
    fake->raft.configuration = (struct raft_configuration){servers, 2};
    fake->raft.leader_state.progress = progress;
    fake->raft.log.entries = entries;
    fake->raft.log.size = ENTRIES;
    fake->raft.log.back = 10;
    fake->raft.log.offset = 10;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(send_entries(&sends[i], 0, 0, 0), 0);
        progress[1].next_index = 1;
        fake->shim.rules.probe_from_end = i < 2;
        fake->sends[i]->cb(fake->sends[i], i == 0 ? 0 : RAFT_NOCONNECTION);
        assert_int_equal(progress[1].next_index, i == 1 ? 21 : 1);
    }
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

/* The leader's log begins at 101; libraft probes from behind what the answer says. */
static void
steps_back_at_a_refusal_but_not_behind_what_it_could_compare(void **state)
{
    static const struct {
        const char *name;
        raft_index match, rejected, last, said;
        raft_term term;
        bool off;
    } cases[] = {
        {"by what may be under way", 0, 220, 300, 220 - QO_PROPOSALS_MAX - 1, 3, false},
        {"not behind what was acknowledged", 190, 220, 300, 190, 3, false},
        {"not behind the log", 0, 130, 300, 101, 3, false},
        {"from the log's first entry as ever", 0, 101, 300, 300, 3, false},
        {"a log that is shorter says so itself", 0, 220, 219, 219, 3, false},
        {"of another term", 0, 220, 300, 300, 2, false},
        {"an agreement", 0, 0, 300, 300, 3, false},
        {"without the rule", 0, 220, 300, 300, 3, true},
    };
    static struct raft_server servers[2] = {{1, NULL, RAFT_VOTER}, {2, NULL, RAFT_VOTER}};
    struct raft_progress progress[2] = {{0}, {0}};
    (void)state;
    fake->raft.state = RAFT_LEADER;
    fake->shim.lead_term = fake->raft.current_term;
    fake->raft.configuration = (struct raft_configuration){servers, 2};
    fake->raft.leader_state.progress = progress;
    fake->raft.log.offset = 100;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct raft_message answer = {.type = RAFT_IO_APPEND_ENTRIES_RESULT};
        answer.append_entries_result.term = cases[i].term;
        answer.append_entries_result.rejected = cases[i].rejected;
        answer.append_entries_result.last_log_index = cases[i].last;
        progress[1].match_index = cases[i].match;
        fake->shim.rules.step_back = !cases[i].off;
        receive(answer);
        if (fake->heard.append_entries_result.last_log_index != cases[i].said) {
            fail_msg("%s: %llu", cases[i].name, fake->heard.append_entries_result.last_log_index);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(leaves_out_of_a_message_what_is_committed_here, set_up),
        cmocka_unit_test_setup(learns_the_term_of_who_asks_for_a_pre_vote, set_up),
        cmocka_unit_test_setup(probes_from_the_end_after_a_failed_send, set_up),
        cmocka_unit_test_setup(believes_a_refusal_of_who_is_to_get_a_snapshot, set_up),
        cmocka_unit_test_setup(steps_back_at_a_refusal_but_not_behind_what_it_could_compare,
                               set_up),
    };
    return cmocka_run_group_tests_name("consensus/shim_progress", tests, NULL, NULL);
}
