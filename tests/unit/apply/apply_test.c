/*
 * Goal: each rule of deciding holds where it could be broken: the order of checks, unique
 *     values, timers, definitions, what is skipped. Exactly once and groups: replay_test.c.
 * Method: small scenes on a real store; the expected outcome beside each command. Random runs
 *     against a model are in model_test.c.
 *
 * Each of these mutants fails a test here:
 *   UNIQUE_STORE_ONLY      unique_values_hold_inside_one_entry
 *   TIMER_WITHOUT_VERSION  a_timer_fires_only_for_the_entry_it_was_set_for
 */
#include "support/test.h"

#include <sys/wait.h>
#include <unistd.h>

#include "common/assert.h"
#include "support.h"

/* -- Order of checks ----------------------------------------------------------------------- */

/* A command that breaks one or two rules at once. */
struct check_case {
    const char *name;
    enum operation_kind kind;
    const char *id, *machine;
    uint32_t machine_version;
    const char *event, *request_id, *expect_state;
    uint64_t expect_version;
    const char *attributes;
    enum qo_error want;
    const char *detail; /* What of not_found; the attribute of invalid_attribute, not_unique. */
};

static void
run_check_case(struct world *world, const struct check_case *c)
{
    struct arena arena = {0};
    struct operation operation = {.kind = c->kind,
                                  .id = bytes_text(c->id),
                                  .machine = text_or_none(c->machine),
                                  .machine_version = c->machine_version,
                                  .event = text_or_none(c->event),
                                  .expect_state = text_or_none(c->expect_state),
                                  .has_expect_version = c->expect_version != 0,
                                  .expect_version = c->expect_version,
                                  .attributes = list_of(&arena, c->attributes)};
    struct command command = command_of(&operation, 1, c->request_id);
    uint64_t seq = store_applied(world->store)->seq;
    const struct outcome *outcome = world_outcome(world, &command);
    bool right = outcome->error == c->want && store_applied(world->store)->seq == seq;
    if (right && c->detail != NULL) {
        right = c->want == QO_NOT_FOUND ? strcmp(outcome->what, c->detail) == 0
                                        : bytes_equal(outcome->attribute, bytes_text(c->detail));
    }
    if (!right) {
        fail_msg("%s: %s", c->name, error_code(outcome->error));
    }
    arena_free(&arena);
}

static void
the_first_check_that_fails_answers(void **state)
{
    /* Held: order `held` in PAID at version 2 with key `taken`, made by request `r1`. */
    static const struct check_case cases[] = {
        {"no order before no event", OPERATION_TRANSITION, "none", NULL, 0, "nothing", NULL, NULL,
         0, "", QO_NOT_FOUND, "order"},
        {"no order before request id", OPERATION_TRANSITION, "none", NULL, 0, "pay", "r1", NULL, 0,
         "", QO_NOT_FOUND, "order"},
        {"request id before unknown event", OPERATION_TRANSITION, "held", NULL, 0, "nothing", "r1",
         NULL, 0, "", QO_REQUEST_ID_REUSED, NULL},
        {"request id before version", OPERATION_TRANSITION, "held", NULL, 0, "finish", "r1", NULL,
         9, "", QO_REQUEST_ID_REUSED, NULL},
        {"request id before exists", OPERATION_CREATE, "held", "shop", 0, NULL, "r1", NULL, 0,
         "key=other", QO_REQUEST_ID_REUSED, NULL},
        {"exists before unknown machine", OPERATION_CREATE, "held", "none", 0, NULL, NULL, NULL, 0,
         "", QO_ALREADY_EXISTS, NULL},
        {"machine before attributes", OPERATION_CREATE, "new", "none", 0, NULL, NULL, NULL, 0,
         "nope=1", QO_NOT_FOUND, "machine"},
        {"version before attributes", OPERATION_CREATE, "new", "shop", 2, NULL, NULL, NULL, 0,
         "nope=1", QO_NOT_FOUND, "version"},
        {"unknown event before version", OPERATION_TRANSITION, "held", NULL, 0, "nothing", NULL,
         NULL, 9, "", QO_INVALID_TRANSITION, NULL},
        {"unknown event before state", OPERATION_TRANSITION, "held", NULL, 0, "nothing", NULL,
         "NEW", 0, "", QO_INVALID_TRANSITION, NULL},
        {"version before accepts", OPERATION_TRANSITION, "held", NULL, 0, "renew", NULL, NULL, 9,
         "", QO_VERSION_CONFLICT, NULL},
        {"state before accepts", OPERATION_TRANSITION, "held", NULL, 0, "renew", NULL, "NEW", 2, "",
         QO_VERSION_CONFLICT, NULL},
        {"unknown state is a conflict", OPERATION_TRANSITION, "held", NULL, 0, "finish", NULL,
         "NOWHERE", 2, "", QO_VERSION_CONFLICT, NULL},
        {"accepts before attributes", OPERATION_TRANSITION, "held", NULL, 0, "pay", NULL, "PAID", 2,
         "nope=1", QO_INVALID_TRANSITION, NULL},
        {"attributes of an event", OPERATION_TRANSITION, "held", NULL, 0, "touch", NULL, NULL, 2,
         "key=x", QO_INVALID_ATTRIBUTE, "key"},
        {"attributes before unique", OPERATION_CREATE, "new", "shop", 1, NULL, NULL, NULL, 0,
         "key=taken,nope=1", QO_INVALID_ATTRIBUTE, "nope"},
        {"unique", OPERATION_CREATE, "new", "shop", 1, NULL, "r1", NULL, 0, "key=taken",
         QO_NOT_UNIQUE, "key"},
    };
    struct world world = world_with_machines();
    (void)state;
    assert_applied(world_create(&world, "held", "shop", "key=taken", NULL));
    assert_applied(world_send(&world, "held", "pay", "count=1", "r1"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run_check_case(&world, &cases[i]);
    }
    world_close(&world);
}

static void
a_refusal_says_what_stands_in_the_way(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    assert_applied(world_create(&world, "o", "shop", "key=taken", "r1"));
    assert_applied(world_send(&world, "o", "touch", "note=a", "r2"));

    const struct outcome *outcome = world_create(&world, "o", "loop", "", "r3");
    assert_int_equal(outcome->error, QO_ALREADY_EXISTS);
    assert_int_equal(outcome->version, 2);
    assert_true(bytes_equal(outcome->state, bytes_text("NEW")));

    outcome = world_send(&world, "o", "finish", "", NULL);
    assert_int_equal(outcome->error, QO_INVALID_TRANSITION);
    assert_true(bytes_equal(outcome->state, bytes_text("NEW")));
    assert_true(bytes_equal(outcome->event, bytes_text("finish")));
    uint16_t allowed[QO_EVENTS_MAX];
    assert_int_equal(machine_allowed(outcome->of->machine, outcome->of_state, allowed), 4);

    outcome = world_send(&world, "o", "touch", "note=b", "r1");
    assert_int_equal(outcome->error, QO_REQUEST_ID_REUSED);
    assert_int_equal(outcome->seq, 1);

    outcome = world_create(&world, "p", "shop", "key=taken", NULL);
    assert_int_equal(outcome->error, QO_NOT_UNIQUE);
    assert_true(bytes_equal(outcome->held_by, bytes_text("o")));

    outcome = world_send(&world, "o", "touch", "note=7", NULL);
    assert_int_equal(outcome->error, QO_INVALID_ATTRIBUTE);
    assert_int_equal(outcome->why, MACHINE_TYPE);
    world_close(&world);
}

static void
merged_attributes_have_a_bound(void **state)
{
    struct world world = world_with_machines();
    struct buf list = {0};
    uint8_t text[10003] = {0xda, 10000 >> 8, 10000 & 255};
    static const char *const names[] = {"memo", "note"};
    (void)state;
    memset(text + 3, 'x', sizeof text - 3);
    assert_applied(world_create(&world, "o", "shop", "key=k", NULL));
    for (size_t i = 0; i < 2; i++) {
        buf_clear(&list);
        struct attributes_builder builder = attributes_build(&list);
        attributes_append(&builder, bytes_text(names[i]), VALUE_TEXT,
                          bytes_make(text, sizeof text));
        struct operation operation = transition_of("o", "touch", attributes_built(&builder));
        struct command command = command_of(&operation, 1, NULL);
        const struct outcome *outcome = world_outcome(&world, &command);
        assert_int_equal(outcome->error, i == 0 ? QO_OK : QO_BAD_REQUEST);
        if (i == 1) {
            assert_string_equal(outcome->field, "attributes");
            assert_int_equal(outcome->limit, QO_ATTRIBUTES_MAX);
        }
    }
    assert_applied(world_send(&world, "o", "touch", "memo=~", NULL)); /* Room again. */
    buf_free(&list);
    world_close(&world);
}

/* -- Unique values ------------------------------------------------------------------------- */

static void
unique_values_hold_inside_one_entry(void **state)
{
    struct world world = world_with_machines();
    struct arena arena = {0};
    (void)state;
    struct operation a = create_of("a", "shop", list_of(&arena, "key=k"));
    struct operation b = create_of("b", "shop", list_of(&arena, "key=k"));
    struct operation pay = transition_of("a", "pay", list_of(&arena, "count=1"));
    struct operation finish = transition_of("a", "finish", BYTES_NONE);
    struct command commands[] = {command_of(&a, 1, NULL), command_of(&b, 1, NULL),
                                 command_of(&pay, 1, NULL), command_of(&finish, 1, NULL),
                                 command_of(&b, 1, NULL)};
    struct apply_results results = world_submit(&world, commands, 5);
    assert_applied(&results.commands[0].outcomes[0]);
    assert_int_equal(results.commands[1].outcomes[0].error, QO_NOT_UNIQUE);
    assert_true(bytes_equal(results.commands[1].outcomes[0].held_by, bytes_text("a")));
    assert_applied(&results.commands[3].outcomes[0]);
    assert_applied(&results.commands[4].outcomes[0]); /* Final states free the value. */
    assert_int_equal(world_create(&world, "c", "shop", "key=k", NULL)->error, QO_NOT_UNIQUE);

    struct operation both[] = {create_of("d", "shop", list_of(&arena, "key=l")),
                               create_of("e", "shop", list_of(&arena, "key=l"))};
    struct command_result result = submit_group(&world, both, 2, NULL);
    assert_true(result.failed && result.index == 1);
    assert_int_equal(result.outcomes[0].error, QO_NOT_UNIQUE);
    assert_applied(world_create(&world, "e", "shop", "key=l", NULL));
    arena_free(&arena);
    world_close(&world);
}

static void
unique_values_span_the_versions_of_a_machine(void **state)
{
    struct world world = world_with_machines();
    struct buf source = {0};
    (void)state;
    assert_applied(world_create(&world, "a", "shop", "key=k", NULL));
    buf_append(&source, shop_source, strlen(shop_source) + 1);
    char *version = strstr((char *)source.data, "version: 1");
    version[9] = '2';
    assert_true(world_define(&world, (const char *)source.data)->changed);
    const struct outcome *outcome = world_create(&world, "b", "shop", "key=k", NULL);
    assert_int_equal(outcome->error, QO_NOT_UNIQUE);
    outcome = world_create(&world, "b", "shop", "key=l", NULL);
    assert_applied(outcome);
    assert_int_equal(machine_version(outcome->receipt.definition->machine), 2);
    buf_free(&source);
    world_close(&world);
}

static void
an_order_that_begins_final_claims_nothing(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    world_define(&world, "machine: note\nversion: 1\ninitial: KEPT\n"
                         "attributes:\n"
                         "  key: {type: string, required: true, immutable: true, unique: true}\n"
                         "states:\n  KEPT: {final: true}\n"
                         "events: {}\n");
    assert_applied(world_create(&world, "a", "note", "key=k", NULL));
    assert_applied(world_create(&world, "b", "note", "key=k", NULL));
    world_close(&world);
}

/* -- Timers -------------------------------------------------------------------------------- */

enum { SECOND = 1000000, EXPIRES = 10 * SECOND };

/* The deadline that the order has now, 0: none, with the rows in the store checked. */
static int64_t
deadline_of(struct world *world, const char *id, uint64_t *entered_version_out)
{
    struct buf buf = {0};
    struct arena arena = {0};
    struct order_record record;
    struct store_deadline rows[8];
    struct deadline_place next;
    assert_true(world_record(world, id, &buf, &record));
    uint32_t count = store_scan_deadlines(world->store, (struct deadline_place){0}, INT64_MAX,
                                          &arena, rows, 8, &next),
             own = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (bytes_equal(rows[i].id, bytes_text(id))) {
            assert_int_equal(rows[i].deadline, record.deadline);
            assert_int_equal(rows[i].entered_version, record.entered_version);
            own++;
        }
    }
    assert_int_equal(own, record.deadline != 0);
    *entered_version_out = record.entered_version;
    buf_free(&buf);
    arena_free(&arena);
    return record.deadline;
}

/* How many events the timer caused, at most one. */
static uint64_t
fire(struct world *world, uint64_t entered_version, int64_t deadline)
{
    struct command timer = timer_of("o", entered_version, deadline);
    struct apply_results results = world_submit(world, &timer, 1);
    assert_int_equal(results.commands[0].outcomes_count, results.events_count);
    return results.events_count;
}

static void
a_timer_fires_once_and_not_early(void **state)
{
    struct world world = world_with_machines();
    struct buf buf = {0};
    struct event_record event;
    uint64_t entered;
    (void)state;
    world.time = SECOND;
    assert_applied(world_create(&world, "o", "shop", "key=k", NULL));
    int64_t deadline = deadline_of(&world, "o", &entered);
    assert_int_equal(deadline, SECOND + EXPIRES);
    assert_int_equal(entered, 1);
    world.time = deadline - 1;
    assert_int_equal(fire(&world, 1, deadline), 0);
    world.time = deadline;
    assert_int_equal(fire(&world, 1, deadline + 1), 0);
    assert_int_equal(fire(&world, 1, deadline), 1);
    assert_int_equal(fire(&world, 1, deadline), 0);
    world_event(&world, 2, &buf, &event);
    assert_true(event.timer && event.at == deadline && event.request_id.size == 0);
    assert_true(bytes_equal(event.actor, bytes_text("timer")) && event.reason.data == NULL);
    assert_int_equal(deadline_of(&world, "o", &entered), 0);
    /* The timer's order was live and is final now: its key is free. */
    assert_applied(world_create(&world, "p", "shop", "key=k", NULL));
    struct apply_counters counters = apply_counters(world.apply);
    assert_true(counters.timers_fired == 1 && counters.timers_void == 3);
    buf_free(&buf);
    world_close(&world);
}

static void
a_timer_fires_only_for_the_entry_it_was_set_for(void **state)
{
    struct world world = world_with_machines();
    uint64_t entered;
    (void)state;
    world.time = SECOND;
    assert_applied(world_create(&world, "o", "shop", "key=k", NULL));
    int64_t old = deadline_of(&world, "o", &entered);
    /* The state is left and entered again, at the very time at which it was: only the version
     * tells the two apart. */
    assert_applied(world_send(&world, "o", "pay", "count=1", NULL));
    assert_int_equal(deadline_of(&world, "o", &entered), 0);
    assert_applied(world_send(&world, "o", "reopen", "", NULL));
    assert_int_equal(deadline_of(&world, "o", &entered), old);
    assert_int_equal(entered, 3);
    world.time = old;
    assert_int_equal(fire(&world, 1, old), 0);
    /* And once more, later: the old one comes after its own time and before the new one's. */
    assert_applied(world_send(&world, "o", "pay", "count=1", NULL));
    assert_applied(world_send(&world, "o", "reopen", "", NULL));
    int64_t new = deadline_of(&world, "o", &entered);
    assert_int_equal(new, old + EXPIRES);
    assert_int_equal(fire(&world, 3, old), 0);
    world.time = new;
    assert_int_equal(fire(&world, 3, old), 0);
    assert_int_equal(fire(&world, entered, new), 1);
    world_close(&world);
}

static void
staying_keeps_the_timer_and_restart_sets_it_anew(void **state)
{
    struct world world = world_with_machines();
    struct buf buf = {0};
    struct order_record before, after;
    uint64_t entered;
    (void)state;
    world.time = SECOND;
    assert_applied(world_create(&world, "o", "shop", "key=k", NULL));
    assert_true(world_record(&world, "o", &buf, &before));
    world.time = 3 * SECOND;
    assert_applied(world_send(&world, "o", "touch", "note=a", NULL));
    int64_t first = deadline_of(&world, "o", &entered);
    assert_int_equal(first, SECOND + EXPIRES);
    assert_applied(world_send(&world, "o", "renew", "", NULL));
    int64_t second = deadline_of(&world, "o", &entered);
    assert_int_equal(second, 3 * SECOND + EXPIRES);
    assert_int_equal(entered, 1);
    assert_true(world_record(&world, "o", &buf, &after));
    assert_true(after.entered_seq == before.entered_seq && after.entered_at == before.entered_at);
    assert_int_equal(after.version, 3);
    world.time = first;
    assert_int_equal(fire(&world, 1, first), 0);
    world.time = second;
    assert_int_equal(fire(&world, 1, second), 1);
    buf_free(&buf);
    world_close(&world);
}

static void
a_timeout_that_the_machine_refuses_is_spent(void **state)
{
    struct world world;
    uint64_t entered;
    (void)state;
    world_open(&world, 0);
    world_define(&world, "machine: m\nversion: 1\ninitial: A\n"
                         "attributes: {tag: {type: string}}\n"
                         "states:\n"
                         "  A: {}\n"
                         "  B: {timeout: {after: 10s, event: end}}\n"
                         "  C: {final: true, has: [tag]}\n"
                         "events:\n"
                         "  drop: {from: B, accepts: [tag]}\n"
                         "  end: {from: B, to: C}\n"
                         "  go: {from: A, to: B, requires: [tag]}\n"
                         "  renew: {from: B, accepts: [tag], restart: true}\n");
    assert_applied(world_create(&world, "o", "m", "", NULL));
    assert_applied(world_send(&world, "o", "go", "tag=x", NULL));
    assert_applied(world_send(&world, "o", "drop", "tag=~", NULL));
    int64_t deadline = deadline_of(&world, "o", &entered);
    struct digest before = store_applied(world.store)->digest;
    world.time = deadline;
    assert_int_equal(fire(&world, entered, deadline), 0);
    assert_int_equal(deadline_of(&world, "o", &entered), 0);
    assert_memory_not_equal(&before, &store_applied(world.store)->digest, sizeof before);
    world_reopen(&world);
    assert_int_equal(deadline_of(&world, "o", &entered), 0);
    /* The order goes on, and a timeout that is started again fires. */
    assert_applied(world_send(&world, "o", "renew", "tag=y", NULL));
    world.time = deadline_of(&world, "o", &entered);
    assert_int_equal(fire(&world, entered, world.time), 1);
    world_close(&world);
}

/* -- Definitions --------------------------------------------------------------------------- */

static void
versions_of_a_machine_follow_one_another(void **state)
{
    static const struct {
        const char *name, *last;
        uint32_t version;
        enum qo_error want;
        bool changed;
    } cases[] = {
        {"first not 1", "B", 2, QO_INVALID_MACHINE, false},
        {"first", "B", 1, QO_OK, true},
        {"the same again", "B", 1, QO_OK, false},
        {"other content", "C", 1, QO_INVALID_MACHINE, false},
        {"one left out", "C", 3, QO_INVALID_MACHINE, false},
        {"next", "C", 2, QO_OK, true},
        {"the first again", "B", 1, QO_OK, false},
        {"the second again", "C", 2, QO_OK, false},
    };
    struct world world;
    (void)state;
    world_open(&world, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char source[512];
        (void)snprintf(source, sizeof source,
                       "machine: m\nversion: %u\ninitial: A\n"
                       "states: {A: {}, %s: {final: true}}\n"
                       "events: {end: {from: A, to: %s}}\n",
                       cases[i].version, cases[i].last, cases[i].last);
        const struct outcome *outcome = world_define(&world, source);
        bool right = outcome->error == cases[i].want && outcome->changed == cases[i].changed;
        if (right && cases[i].want == QO_OK) {
            right = machine_version(outcome->definition->machine) == cases[i].version;
        } else if (right) {
            right = outcome->line == 2 && outcome->column == 10 &&
                    strstr(outcome->why_machine, "version: ") != NULL;
        }
        if (!right) {
            fail_msg("%s: %s", cases[i].name, error_code(outcome->error));
        }
    }
    assert_int_equal(registry_count(store_registry(world.store), REGISTRY_PUBLISHED), 2);
    world_reopen(&world);
    assert_int_equal(registry_count(store_registry(world.store), REGISTRY_PUBLISHED), 2);
    world_close(&world);
}

static void
the_latest_version_is_the_one_at_its_place_in_the_log(void **state)
{
    struct world world;
    struct buf compiled = {0};
    struct machine_error error;
    (void)state;
    world_open(&world, 0);
    assert_int_equal(machine_compile(bytes_text(loop_source), &compiled, &error), QO_OK);
    struct operation a = create_of("a", "loop", BYTES_NONE), b = create_of("b", "loop", BYTES_NONE);
    struct command commands[] = {command_of(&a, 1, NULL),
                                 {.kind = COMMAND_DEFINITION,
                                  .compiled = buf_bytes(&compiled),
                                  .source = bytes_text(loop_source)},
                                 command_of(&b, 1, NULL)};
    struct apply_results results = world_submit(&world, commands, 3);
    assert_int_equal(results.commands[0].outcomes[0].error, QO_NOT_FOUND);
    assert_true(results.commands[1].outcomes[0].changed);
    assert_applied(&results.commands[2].outcomes[0]);
    buf_free(&compiled);
    world_close(&world);
}

/* -- The log ------------------------------------------------------------------------------- */

static void
an_entry_is_executed_once(void **state)
{
    struct world world = world_with_machines();
    struct apply_results results;
    (void)state;
    assert_applied(world_create(&world, "o", "shop", "key=k", NULL));
    struct applied_point before = *store_applied(world.store);
    struct apply_counters counters = apply_counters(world.apply);
    apply_execute(world.apply, world.index, world.term, buf_bytes(&world.entry), &world.arena,
                  &results);
    assert_true(results.skipped);
    assert_int_equal(results.header.name.counter, world.index);
    assert_int_equal(results.commands_count, 0);
    assert_memory_equal(&before.digest, &store_applied(world.store)->digest, sizeof before.digest);
    assert_int_equal(apply_counters(world.apply).entries, counters.entries);
    world_close(&world);
}

static void
time_never_goes_back(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    world.time = 9 * SECOND;
    assert_int_equal(world_create(&world, "a", "loop", "", NULL)->receipt.at, 9 * SECOND);
    world.time = 4 * SECOND;
    assert_int_equal(world_create(&world, "b", "loop", "", NULL)->receipt.at, 9 * SECOND);
    world_reopen(&world);
    assert_int_equal(world_create(&world, "c", "loop", "", NULL)->receipt.at, 9 * SECOND);
    world_close(&world);
}

static void
the_applied_point_moves_over_entries_of_the_log_itself(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    assert_applied(world_create(&world, "a", "loop", "", NULL));
    struct applied_point before = *store_applied(world.store);
    apply_advance(world.apply, world.index + 3, 2);
    const struct applied_point *after = store_applied(world.store);
    assert_true(after->index == world.index + 3 && after->term == 2);
    assert_true(after->entry_index == world.index && after->seq == before.seq);
    assert_memory_equal(&before.digest, &after->digest, sizeof before.digest);
    apply_advance(world.apply, world.index, 1); /* Not above: nothing. */
    assert_int_equal(store_applied(world.store)->index, world.index + 3);
    world.index += 3;
    world.term = 2;
    assert_applied(world_send(&world, "a", "go", "", NULL));
    world_close(&world);
}

static void
refusals_and_replays_enter_the_digest(void **state)
{
    struct world world = world_with_machines();
    struct digest digests[5];
    (void)state;
    assert_applied(world_create(&world, "o", "shop", "key=k", "r"));
    digests[0] = store_applied(world.store)->digest;
    (void)world_create(&world, "o", "shop", "key=k", "r");
    digests[1] = store_applied(world.store)->digest;
    (void)world_send(&world, "o", "finish", "", NULL);
    digests[2] = store_applied(world.store)->digest;
    (void)fire(&world, 1, 1);
    digests[3] = store_applied(world.store)->digest;
    (void)world_define(&world, shop_source);
    digests[4] = store_applied(world.store)->digest;
    for (uint32_t i = 1; i < 5; i++) {
        assert_memory_not_equal(&digests[i - 1], &digests[i], sizeof digests[i]);
    }
    assert_int_equal(store_applied(world.store)->seq, 1);
    world_close(&world);
}

/* How a node ends that is given these bytes as its next entry. */
static int
exit_status_of(struct world *world, struct bytes entry)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct apply_results results;
        apply_execute(world->apply, world->index + 1, 1, entry, &world->arena, &results);
        _exit(0); /* It went on. */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The checksum of a header that was changed on purpose is made right again. */
static void
entry_seal(struct buf *entry)
{
    uint32_t length = get_le32(entry->data + 8);
    uint32_t crc = hash_crc32c(bytes_make(entry->data, 12));
    put_le32(entry->data + 12, hash_crc32c_more(crc, bytes_make(entry->data + 16, length - 16)));
}

static void
an_entry_that_is_not_understood_ends_the_node(void **state)
{
    struct world world = world_with_machines();
    struct operation operation = create_of("o", "loop", BYTES_NONE);
    struct command command = command_of(&operation, 1, NULL);
    struct buf entry = {0};
    (void)state;

    world_encode(&world, &entry, &command, 1);
    entry.data[5] = ENTRY_LEVEL + 1;
    entry_seal(&entry);
    assert_int_equal(exit_status_of(&world, buf_bytes(&entry)), FATAL_LEVEL);

    world_encode(&world, &entry, &command, 1);
    entry.data[56] = 9; /* The kind of the command. */
    entry_seal(&entry);
    assert_int_equal(exit_status_of(&world, buf_bytes(&entry)), FATAL_LEVEL);

    world_encode(&world, &entry, &command, 1);
    entry.data[20] = 0; /* The count of commands. */
    entry_seal(&entry);
    assert_int_equal(exit_status_of(&world, buf_bytes(&entry)), FATAL_CORRUPT);

    world_encode(&world, &entry, &command, 1);
    entry.data[60] ^= 1;
    assert_int_equal(exit_status_of(&world, buf_bytes(&entry)), FATAL_CORRUPT);

    buf_free(&entry);
    world_close(&world);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_check_that_fails_answers),
        cmocka_unit_test(a_refusal_says_what_stands_in_the_way),
        cmocka_unit_test(merged_attributes_have_a_bound),
        cmocka_unit_test(unique_values_hold_inside_one_entry),
        cmocka_unit_test(unique_values_span_the_versions_of_a_machine),
        cmocka_unit_test(an_order_that_begins_final_claims_nothing),
        cmocka_unit_test(a_timer_fires_once_and_not_early),
        cmocka_unit_test(a_timer_fires_only_for_the_entry_it_was_set_for),
        cmocka_unit_test(staying_keeps_the_timer_and_restart_sets_it_anew),
        cmocka_unit_test(a_timeout_that_the_machine_refuses_is_spent),
        cmocka_unit_test(versions_of_a_machine_follow_one_another),
        cmocka_unit_test(the_latest_version_is_the_one_at_its_place_in_the_log),
        cmocka_unit_test(an_entry_is_executed_once),
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(the_applied_point_moves_over_entries_of_the_log_itself),
        cmocka_unit_test(refusals_and_replays_enter_the_digest),
        cmocka_unit_test(an_entry_that_is_not_understood_ends_the_node),
    };
    return cmocka_run_group_tests_name("apply/apply", tests, NULL, NULL);
}
