/*
 * Goal: a request has one effect, however often it is sent, and a group is applied whole or not at
 *     all; both also inside one entry, over a restart, and after hundreds of later events.
 * Method: small scenes on a real store; request ids whose fingerprints are the same, so that hints
 *     mislead. Random runs against a model are in model_test.c.
 *
 * The mutant REQUEST_ID_NOT_LOOKED_UP fails a_repeat_gives_the_first_receipt.
 */
#include "support/test.h"

#include "support.h"

/* -- Exactly once -------------------------------------------------------------------------- */

static void
a_repeat_gives_the_first_receipt(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    world.time = 5000000;
    assert_applied(world_create(&world, "o", "shop", "key=k", "r1"));
    assert_applied(world_send(&world, "o", "pay", "count=1", "r2"));
    world.time = 6000000;
    assert_applied(world_send(&world, "o", "finish", "", NULL));

    const struct outcome *outcome = world_create(&world, "o", "shop", "key=k", "r1");
    assert_replay_of(outcome, 1, 1);
    assert_int_equal(outcome->receipt.event, RECORD_NONE);
    assert_int_equal(outcome->receipt.from, RECORD_NONE);
    assert_int_equal(outcome->receipt.at, 5000000);
    assert_int_equal(outcome->receipt.epoch, 1);
    outcome = world_send(&world, "o", "pay", "count=1", "r2"); /* Moved on, final: the same. */
    assert_replay_of(outcome, 2, 2);
    assert_true(bytes_equal(outcome->receipt.id, bytes_text("o")));
    assert_true(
        bytes_equal(machine_state_name(outcome->receipt.definition->machine, outcome->receipt.to),
                    bytes_text("PAID")));
    world_reopen(&world);
    assert_replay_of(world_send(&world, "o", "pay", "count=1", "r2"), 2, 2);
    assert_int_equal(world_send(&world, "o", "pay", "count=2", "r2")->error, QO_REQUEST_ID_REUSED);
    assert_int_equal(store_applied(world.store)->seq, 3);
    world_close(&world);
}

static void
the_same_request_twice_in_one_entry_is_a_replay(void **state)
{
    struct world world = world_with_machines();
    struct arena arena = {0};
    (void)state;
    assert_applied(world_create(&world, "o", "shop", "key=k", NULL));
    struct operation pay = transition_of("o", "pay", list_of(&arena, "count=1"));
    struct operation other = transition_of("o", "pay", list_of(&arena, "count=2"));
    struct command commands[] = {command_of(&pay, 1, "r"), command_of(&pay, 1, "r"),
                                 command_of(&other, 1, "r")};
    struct apply_results results = world_submit(&world, commands, 3);
    assert_applied(&results.commands[0].outcomes[0]);
    assert_replay_of(&results.commands[1].outcomes[0], 2, 2);
    assert_int_equal(results.commands[2].outcomes[0].error, QO_REQUEST_ID_REUSED);
    assert_int_equal(results.events_count, 1);
    arena_free(&arena);
    world_close(&world);
}

static void
a_refused_request_id_is_not_remembered(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    assert_applied(world_create(&world, "o", "shop", "key=k", NULL));
    assert_int_equal(world_send(&world, "o", "finish", "", "r")->error, QO_INVALID_TRANSITION);
    assert_applied(world_send(&world, "o", "pay", "count=1", "r"));
    world_close(&world);
}

/* Request ids whose fingerprints are all the same, found by search. */
static const char *const colliding[] = {"req-0000000000", "req-0061efd542", "req-026915c65a",
                                        "req-04a70d0658"};
enum { COLLIDING = sizeof colliding / sizeof colliding[0] };

/* Versions at which the colliding ids are sent: both in a record, in rows of one run and of
 * several, on either side of the place where a run is written. */
struct long_case {
    const char *name;
    uint32_t at[COLLIDING];
};

/* The request id and content of each version of the history of a long order. */
static void
long_request(const struct long_case *c, uint32_t version, char id[32], char attributes[32])
{
    (void)snprintf(id, 32, "plain-%u", version);
    for (uint32_t i = 0; i < COLLIDING; i++) {
        if (c->at[i] == version) {
            (void)snprintf(id, 32, "%s", colliding[i]);
        }
    }
    (void)snprintf(attributes, 32, "note=v%u", version);
}

static const struct outcome *
long_send(struct world *world, const struct long_case *c, uint32_t version)
{
    char id[32], attributes[32];
    long_request(c, version, id, attributes);
    if (version == 1) {
        return world_create(world, "o", "loop", attributes, id);
    }
    return world_send(world, "o", version % 2 == 0 ? "go" : "back", attributes, id);
}

static void
every_request_of_a_long_history_is_remembered(void **state)
{
    enum { VERSIONS = 200 };
    static const struct long_case cases[] = {
        {"all in the record", {180, 185, 190, 199}},
        {"one run", {3, 7, 8, 31}},
        {"at the edges of runs", {32, 33, 64, 65}},
        {"the first and the last", {1, 34, 66, 200}},
        {"far apart", {2, 60, 100, 150}},
    };
    (void)state;
    for (uint32_t i = 1; i < COLLIDING; i++) {
        assert_int_equal((uint32_t)hash_xxh64(bytes_text(colliding[i])),
                         (uint32_t)hash_xxh64(bytes_text(colliding[0])));
    }
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        const struct long_case *c = &cases[n];
        struct world world = world_with_machines();
        uint64_t prng = n;
        for (uint32_t version = 1; version <= VERSIONS; version++) {
            const struct outcome *outcome = long_send(&world, c, version);
            if (outcome->error != QO_OK || outcome->receipt.replayed ||
                outcome->receipt.version != version) {
                fail_msg("%s: version %u", c->name, version);
            }
            uint32_t back = 1 + (uint32_t)(prng = prng * 31 + 7) % version;
            assert_replay_of(long_send(&world, c, back), back, back);
        }
        world_reopen(&world);
        for (uint32_t version = 1; version <= VERSIONS; version++) {
            assert_replay_of(long_send(&world, c, version), version, version);
        }
        assert_int_equal(store_applied(world.store)->seq, VERSIONS);
        world_close(&world);
    }
}

static void
a_long_history_inside_one_entry_is_remembered(void **state)
{
    enum { VERSIONS = 100, COMMANDS = 2 * VERSIONS };
    static const struct long_case c = {"one entry", {5, 20, 40, 90}};
    static struct operation operations[COMMANDS];
    static struct command commands[COMMANDS];
    static char ids[COMMANDS][32];
    struct world world = world_with_machines();
    struct arena arena = {0};
    (void)state;
    for (uint32_t i = 0; i < COMMANDS; i++) {
        char attributes[32];
        uint32_t version = i % VERSIONS + 1; /* All of them, and then all again. */
        long_request(&c, version, ids[i], attributes);
        operations[i] = version == 1 ? create_of("o", "loop", list_of(&arena, attributes))
                                     : transition_of("o", version % 2 == 0 ? "go" : "back",
                                                     list_of(&arena, attributes));
        commands[i] = command_of(&operations[i], 1, ids[i]);
    }
    struct apply_results results = world_submit(&world, commands, COMMANDS);
    assert_int_equal(results.events_count, VERSIONS);
    for (uint32_t i = 0; i < COMMANDS; i++) {
        const struct outcome *outcome = &results.commands[i].outcomes[0];
        assert_int_equal(outcome->error, QO_OK);
        assert_int_equal(outcome->receipt.replayed, i >= VERSIONS);
        assert_int_equal(outcome->receipt.version, i % VERSIONS + 1);
    }
    arena_free(&arena);
    world_close(&world);
}

/* What it costs to remember: correctness must not depend on it, speed does. */
static void
a_history_costs_one_further_put_in_32_versions(void **state)
{
    static const struct long_case c = {"plain", {0}};
    struct world world = world_with_machines();
    struct store_counters before = {0}, after;
    (void)state;
    for (uint32_t version = 1; version <= 65; version++) {
        before = store_counters(world.store);
        assert_applied(long_send(&world, &c, version));
        after = store_counters(world.store);
        /* Order, event, list row, applied point; in B a deadline; then the page. */
        uint64_t deadline = version % 2 == 0 ? 1 : 0;
        uint64_t want = 4 + deadline + (version == 33 || version == 65);
        assert_int_equal(after.puts - before.puts, want);
    }
    world_close(&world);
}

/* -- Groups -------------------------------------------------------------------------------- */

static void
a_group_applies_whole_or_not_at_all(void **state)
{
    struct world world = world_with_machines();
    struct arena arena = {0};
    struct buf buf = {0};
    struct order_record record;
    (void)state;
    struct operation operations[] = {
        create_of("a", "shop", list_of(&arena, "key=k")),
        transition_of("a", "pay", list_of(&arena, "count=1")), /* Sees the creation. */
        transition_of("a", "finish", BYTES_NONE),              /* Gives the key back. */
        create_of("b", "shop", list_of(&arena, "key=k")),      /* And here it is free. */
        transition_of("b", "finish", BYTES_NONE),              /* Refused: NEW. */
    };
    struct command_result result = submit_group(&world, operations, 5, "r");
    assert_true(result.failed);
    assert_int_equal(result.index, 4);
    assert_int_equal(result.outcomes_count, 1);
    assert_int_equal(result.outcomes[0].error, QO_INVALID_TRANSITION);
    assert_int_equal(store_applied(world.store)->seq, 0);
    assert_false(world_record(&world, "a", &buf, &record));

    operations[4] = transition_of("b", "touch", list_of(&arena, "note=x"));
    result = submit_group(&world, operations, 5, "r");
    assert_false(result.failed);
    assert_int_equal(result.outcomes_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        struct event_record event;
        assert_int_equal(result.outcomes[i].receipt.seq, i + 1);
        world_event(&world, i + 1, &buf, &event);
        assert_true(event.operation == i && event.operations == 5);
        assert_true(bytes_equal(event.request_id, bytes_text("r")));
    }
    assert_true(world_record(&world, "b", &buf, &record) && record.version == 2);
    assert_int_equal(world_create(&world, "c", "shop", "key=k", NULL)->error, QO_NOT_UNIQUE);

    result = submit_group(&world, operations, 5, "r");
    assert_int_equal(result.outcomes_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(result.outcomes[i].receipt.replayed);
        assert_int_equal(result.outcomes[i].receipt.seq, i + 1);
    }
    arena_free(&arena);
    buf_free(&buf);
    world_close(&world);
}

static void
a_failed_group_leaves_nothing_in_its_entry(void **state)
{
    struct world world = world_with_machines();
    struct arena arena = {0};
    (void)state;
    struct operation failing[] = {create_of("a", "shop", list_of(&arena, "key=k")),
                                  transition_of("none", "pay", BYTES_NONE)};
    struct operation create = create_of("b", "shop", list_of(&arena, "key=k"));
    struct operation pay = transition_of("a", "pay", list_of(&arena, "count=1"));
    struct command commands[] = {command_of(failing, 2, "r1"), command_of(&create, 1, "r2"),
                                 command_of(&pay, 1, "r3"), command_of(&create, 1, "r2")};
    struct apply_results results = world_submit(&world, commands, 4);
    assert_int_equal(results.commands[0].outcomes[0].error, QO_NOT_FOUND);
    assert_int_equal(results.commands[0].index, 1);
    assert_applied(&results.commands[1].outcomes[0]);
    assert_int_equal(results.commands[1].outcomes[0].receipt.seq, 1);
    assert_int_equal(results.commands[2].outcomes[0].error, QO_NOT_FOUND);
    assert_replay_of(&results.commands[3].outcomes[0], 1, 1);
    assert_int_equal(results.events_count, 1);
    arena_free(&arena);
    world_close(&world);
}

static void
a_repeat_of_a_group_finds_all_or_nothing(void **state)
{
    struct world world = world_with_machines();
    struct arena arena = {0};
    (void)state;
    const char *const ids[] = {"a", "b", "c"};
    struct operation touch[3];
    for (uint32_t i = 0; i < 3; i++) {
        assert_applied(world_create(&world, ids[i], "loop", "", NULL));
        touch[i] = transition_of(ids[i], "go", list_of(&arena, "note=x"));
    }
    assert_false(submit_group(&world, touch, 2, "r").failed); /* Seqs 4 and 5. */
    struct {
        const char *name;
        struct operation operations[3];
        uint32_t count, index;
        uint64_t seq;
    } cases[] = {
        {"other content", {touch[0], transition_of("b", "go", BYTES_NONE)}, 2, 0, 4},
        {"other order of operations", {touch[1], touch[0]}, 2, 0, 5},
        {"one more, which does not hold it", {touch[0], touch[1], touch[2]}, 3, 2, 4},
        {"first does not hold it", {touch[2], touch[1]}, 2, 0, 5},
        {"an order that is not there",
         {touch[0], transition_of("none", "go", BYTES_NONE)},
         2,
         1,
         4},
        {"one of them alone", {touch[1]}, 1, 0, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct command_result result =
            submit_group(&world, cases[i].operations, cases[i].count, "r");
        if (!result.failed || result.outcomes[0].error != QO_REQUEST_ID_REUSED ||
            result.index != cases[i].index || result.outcomes[0].seq != cases[i].seq) {
            fail_msg("%s: %s, index %u, seq %u", cases[i].name,
                     error_code(result.outcomes[0].error), result.index,
                     (unsigned)result.outcomes[0].seq);
        }
    }
    assert_false(submit_group(&world, touch, 2, "r").failed);
    assert_int_equal(store_applied(world.store)->seq, 5);
    arena_free(&arena);
    world_close(&world);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeat_gives_the_first_receipt),
        cmocka_unit_test(the_same_request_twice_in_one_entry_is_a_replay),
        cmocka_unit_test(a_refused_request_id_is_not_remembered),
        cmocka_unit_test(every_request_of_a_long_history_is_remembered),
        cmocka_unit_test(a_long_history_inside_one_entry_is_remembered),
        cmocka_unit_test(a_history_costs_one_further_put_in_32_versions),
        cmocka_unit_test(a_group_applies_whole_or_not_at_all),
        cmocka_unit_test(a_failed_group_leaves_nothing_in_its_entry),
        cmocka_unit_test(a_repeat_of_a_group_finds_all_or_nothing),
    };
    return cmocka_run_group_tests_name("apply/replay", tests, NULL, NULL);
}
