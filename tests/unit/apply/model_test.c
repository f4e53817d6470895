/*
 * Goal: apply decides as the protocol says, whatever comes in whatever order; and the same log
 *     gives the same state on every node, however it was cut, cached and interrupted.
 * Method: random commands (several machines, unique values, timers, atomic groups, repeats, request
 *     ids used again) against the plain model of model.h. Every outcome and at the end every order
 *     and event is compared; each error that apply can give must have come up. Then the log of such
 *     a run is executed again on nodes with other caches that are closed and opened at random and
 *     get entries again that they have already.
 */
#include "support/test.h"

#include "common/hash.h"
#include "model.h"
#include "support/seed.h"

enum {
    NEAR = 12, /* Orders that are touched at a time; the window moves on. */
    DEFINITIONS = 8,
    ENTRIES = 6000,
    COMMANDS = 6,
    SENT = 64, /* Commands kept to be sent again. */
    SECOND = 1000000,
    LONG_NOTE = QO_ATTRIBUTES_MAX - 19,
};

/* -- Random commands ----------------------------------------------------------------------- */

struct maker {
    uint64_t prng;
    struct arena arena; /* All that was ever made. */
    struct command sent[SENT];
    uint32_t sent_count;
    uint32_t near;                         /* The window's first order. */
    struct bytes definitions[DEFINITIONS]; /* Compiled. */
    struct bytes long_note;
};

static uint32_t
below(struct maker *maker, uint32_t bound)
{
    return (uint32_t)seed_below(&maker->prng, bound);
}

static struct bytes
make_text(struct maker *maker, const char *prefix, uint32_t number)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%s%u", prefix, number);
    return arena_copy(&maker->arena, bytes_text(text));
}

/* Mostly what the machine likes; sometimes not. */
static struct bytes
make_attributes(struct maker *maker, bool create)
{
    char words[64];
    switch (below(maker, 16)) {
    case 0:
        return BYTES_NONE;
    case 1:
        return list_of(&maker->arena, "nope=1");
    case 2:
        return list_of(&maker->arena, "note=~");
    case 3:
    case 4: {
        struct buf buf = {0};
        struct attributes_builder builder = attributes_build(&buf);
        attributes_append(&builder, bytes_text(below(maker, 2) == 0 ? "memo" : "note"), VALUE_TEXT,
                          maker->long_note);
        struct bytes list = arena_copy(&maker->arena, attributes_built(&builder));
        buf_free(&buf);
        return list;
    }
    default:
        if (create) {
            (void)snprintf(words, sizeof words, "key=k%u", below(maker, NEAR / 2));
        } else if (below(maker, 3) == 0) {
            (void)snprintf(words, sizeof words, "note=n%u", below(maker, 9));
        } else {
            (void)snprintf(words, sizeof words, "count=%u", below(maker, 9));
        }
        return list_of(&maker->arena, words);
    }
}

static struct operation
make_operation(struct maker *maker, const struct model *model)
{
    static const char *const machines[] = {"shop", "shop", "loop", "loop", "late", "none"};
    static const char *const events[] = {"pay",    "touch",  "touch", "renew", "reopen",
                                         "finish", "expire", "go",    "back",  "nothing"};
    static const char *const states[] = {"NEW", "PAID", "A", "NOWHERE"};
    uint32_t number = maker->near + below(maker, NEAR);
    char id[4];
    id_of(number, id);
    const struct model_order *order = &model->orders[number];
    struct operation operation = {.id = arena_copy(&maker->arena, bytes_text(id))};
    if (order->definition == NULL ? below(maker, 8) > 0 : below(maker, 20) == 0) {
        const char *machine = machines[below(maker, 6)];
        operation.kind = OPERATION_CREATE;
        operation.machine = bytes_text(machine);
        operation.machine_version = below(maker, 3) == 0 ? below(maker, 4) : 0;
        operation.attributes = strcmp(machine, "loop") == 0 && below(maker, 4) > 0
                                   ? BYTES_NONE
                                   : make_attributes(maker, true);
        return operation;
    }
    operation.kind = OPERATION_TRANSITION;
    operation.event = bytes_text(events[below(maker, 10)]);
    uint16_t allowed[QO_EVENTS_MAX];
    if (order->definition != NULL && below(maker, 4) > 0) {
        const struct machine *machine = order->definition->machine;
        uint32_t count = machine_allowed(machine, order->state, allowed);
        if (count > 0) {
            uint32_t choice = below(maker, count);
            if (machine_state_count(machine) > 2 && below(maker, 4) > 0) {
                choice = count - 1; /* Later names lead on less often to a final state. */
            }
            operation.event = machine_event_name(machine, allowed[choice]);
        }
    }
    bool bare = bytes_equal(operation.event, bytes_text("renew")) ||
                bytes_equal(operation.event, bytes_text("reopen")) ||
                bytes_equal(operation.event, bytes_text("finish")) ||
                bytes_equal(operation.event, bytes_text("expire"));
    operation.attributes = bare && below(maker, 8) > 0 ? BYTES_NONE : make_attributes(maker, false);
    if (below(maker, 3) == 0) {
        operation.has_expect_version = true;
        operation.expect_version = order->version + (below(maker, 5) == 0);
    }
    if (below(maker, 8) == 0) {
        operation.expect_state = bytes_text(states[below(maker, 4)]);
    }
    if (below(maker, 4) == 0) {
        operation.actor = make_text(maker, "actor", below(maker, 5));
        operation.reason = make_text(maker, "why", below(maker, 5));
    }
    return operation;
}

static struct command
make_group(struct maker *maker, const struct model *model)
{
    if (maker->sent_count > 0 && below(maker, 6) == 0) {
        return maker->sent[below(maker, maker->sent_count)];
    }
    uint32_t count = below(maker, 5) > 0 ? 1 : 1 + below(maker, GROUP);
    struct operation *operations = arena_alloc(&maker->arena, count * sizeof operations[0]);
    for (uint32_t i = 0; i < count; i++) {
        operations[i] = make_operation(maker, model);
        if (i > 0 && below(maker, 3) == 0) {
            operations[i].id = operations[i - 1].id; /* Several on one order. */
        }
    }
    struct command command = command_of(operations, count, NULL);
    if (below(maker, 4) > 0) {
        uint32_t number = below(maker, 6) == 0 ? below(maker, 10) : (uint32_t)maker->prng;
        command.request_id = make_text(maker, "r", number);
        maker->sent[maker->sent_count < SENT ? maker->sent_count++ : below(maker, SENT)] = command;
    }
    return command;
}

static struct command
make_timer(struct maker *maker, const struct model *model)
{
    uint32_t number = maker->near + below(maker, NEAR);
    for (uint32_t i = 0; i < ORDERS && model->orders[number].deadline == 0; i++) {
        number = (number + 1) % ORDERS;
    }
    const struct model_order *order = &model->orders[number];
    char id[4];
    id_of(number, id);
    int64_t deadline = order->deadline == 0 ? 1 : order->deadline;
    uint64_t entered = order->entered_version == 0 ? 1 : order->entered_version;
    return (struct command){.kind = COMMAND_TIMER,
                            .timer_id = arena_copy(&maker->arena, bytes_text(id)),
                            .timer_deadline = deadline + (below(maker, 6) == 0 ? 1 : 0),
                            .timer_entered_version = entered + (below(maker, 6) == 0 ? 1 : 0)};
}

static struct command
make_command(struct maker *maker, const struct model *model)
{
    uint32_t kind = below(maker, 100);
    if (kind < 12) {
        return make_timer(maker, model);
    }
    if (kind < 14) {
        return (struct command){.kind = COMMAND_DEFINITION,
                                .compiled = maker->definitions[below(maker, DEFINITIONS)],
                                .source = bytes_text("source")};
    }
    return make_group(maker, model);
}

/* Versions 1 to 3 of a machine, and other contents of the second. */
static void
make_definitions(struct maker *maker)
{
    static const struct {
        const char *name;
        char version;
        const char *timeout;
    } sources[DEFINITIONS] = {
        {"shop", '1', "10s"}, {"loop", '1', "72h"}, {"shop", '2', "10s"}, {"shop", '3', "10s"},
        {"shop", '2', "11s"}, {"loop", '1', "71h"}, {"late", '1', "10s"}, {"late", '2', "10s"},
    };
    for (uint32_t i = 0; i < DEFINITIONS; i++) {
        struct buf source = {0}, compiled = {0};
        struct machine_error error;
        const char *of = strcmp(sources[i].name, "loop") == 0 ? loop_source : shop_source;
        buf_append(&source, of, strlen(of) + 1);
        char *text = (char *)source.data;
        memcpy(strstr(text, "machine: ") + 9, sources[i].name, 4);
        strstr(text, "version: ")[9] = sources[i].version;
        memcpy(strstr(text, "after: ") + 7, sources[i].timeout, 3);
        assert_int_equal(machine_compile(bytes_text(text), &compiled, &error), QO_OK);
        maker->definitions[i] = arena_copy(&maker->arena, buf_bytes(&compiled));
        buf_free(&source);
        buf_free(&compiled);
    }
    /* So long that it fits beside a key, but not beside a key and a count. */
    uint8_t *note = arena_alloc(&maker->arena, LONG_NOTE);
    memset(note, 'x', LONG_NOTE);
    note[0] = 0xda;
    put_be16(note + 1, LONG_NOTE - 3);
    maker->long_note = bytes_make(note, LONG_NOTE);
}

/* -- Comparing ----------------------------------------------------------------------------- */

static void
compare_outcome(const struct outcome *got, const struct outcome *want, const struct operation *op)
{
    if (got->error != want->error) {
        fail_msg("%s, not %s", error_code(got->error), error_code(want->error));
    }
    switch ((int)got->error) {
    case QO_OK:
        assert_true(bytes_equal(got->receipt.id, op->id));
        assert_int_equal(got->receipt.definition->number, want->receipt.definition->number);
        assert_int_equal(got->receipt.event, want->receipt.event);
        assert_int_equal(got->receipt.from, want->receipt.from);
        assert_int_equal(got->receipt.to, want->receipt.to);
        assert_int_equal(got->receipt.version, want->receipt.version);
        assert_int_equal(got->receipt.seq, want->receipt.seq);
        assert_int_equal(got->receipt.at, want->receipt.at);
        assert_int_equal(got->receipt.epoch, want->receipt.epoch);
        assert_int_equal(got->receipt.replayed, want->receipt.replayed);
        break;
    case QO_NOT_FOUND:
        assert_string_equal(got->what, want->what);
        break;
    case QO_ALREADY_EXISTS:
    case QO_VERSION_CONFLICT:
        assert_int_equal(got->version, want->version);
        assert_true(bytes_equal(got->state, want->state));
        break;
    case QO_INVALID_TRANSITION:
        assert_true(bytes_equal(got->state, want->state));
        assert_true(bytes_equal(got->event, op->event));
        break;
    case QO_INVALID_ATTRIBUTE:
        assert_true(bytes_equal(got->attribute, want->attribute));
        assert_int_equal(got->why, want->why);
        break;
    case QO_NOT_UNIQUE:
        assert_true(bytes_equal(got->attribute, want->attribute));
        assert_int_equal(order_of(got->held_by), want->seq);
        break;
    case QO_REQUEST_ID_REUSED:
        assert_int_equal(got->seq, want->seq);
        break;
    default:
        assert_int_equal(got->error, QO_BAD_REQUEST);
        assert_string_equal(got->field, "attributes");
    }
}

/* The definition's own rules, said again in the plainest way. */
static void
compare_definition(struct model *model, const struct command *command,
                   const struct outcome *outcome, uint32_t known_before)
{
    struct machine *machine = machine_open(command->compiled);
    uint32_t same = 0, latest = 0;
    for (uint32_t i = 0; i < known_before; i++) {
        const struct machine *known = registry_get(model->registry, REGISTRY_STATE, i)->machine;
        if (bytes_equal(machine_name(known), machine_name(machine))) {
            latest = machine_version(known);
            same += latest == machine_version(machine) &&
                    strcmp(machine_checksum(known), machine_checksum(machine)) == 0;
        }
    }
    bool next = machine_version(machine) == latest + 1;
    assert_int_equal(outcome->error, same > 0 || next ? QO_OK : QO_INVALID_MACHINE);
    assert_int_equal(outcome->changed, next);
    assert_int_equal(registry_count(model->registry, REGISTRY_STATE),
                     known_before + (next ? 1 : 0));
    model->errors[outcome->error]++;
    machine_close(machine);
}

static void
compare_command(struct model *model, const struct command *command,
                const struct command_result *result)
{
    struct expected expected = {0};
    if (command->kind == COMMAND_TIMER) {
        model_timer(model, command, &expected);
    } else {
        model_group(model, command, &expected);
    }
    assert_int_equal(result->failed, expected.failed);
    assert_int_equal(result->index, expected.index);
    assert_int_equal(result->outcomes_count, expected.failed ? 1 : expected.count);
    for (uint32_t i = 0; i < result->outcomes_count; i++) {
        struct operation timer = {.id = command->timer_id};
        const struct operation *operation =
            command->kind == COMMAND_TIMER ? &timer : &command->operations[expected.index + i];
        model->errors[result->outcomes[i].error]++;
        compare_outcome(&result->outcomes[i], &expected.outcomes[i], operation);
    }
}

/* Every order's record and every event against the model. */
static void
compare_state(struct world *world, const struct model *model)
{
    struct buf buf = {0};
    uint64_t last[ORDERS] = {0};
    for (uint64_t seq = 1; seq <= model->seq; seq++) {
        const struct model_event *want = &model->events[seq];
        struct event_record event;
        world_event(world, seq, &buf, &event);
        assert_int_equal(order_of(event.id), want->order);
        assert_int_equal(event.version, want->version);
        assert_int_equal(event.prev, last[want->order]);
        assert_int_equal(event.operation, seq - want->first);
        assert_int_equal(event.operations, want->count);
        assert_true(bytes_equal(event.request_id, want->request_id));
        assert_int_equal(event.at, want->at);
        assert_int_equal(event.held.data != NULL, want->version % QO_SNAPSHOT_EVERY == 0);
        last[want->order] = seq;
        if (event.jump != 0) {
            assert_int_equal(model->events[event.jump].order, want->order);
            assert_int_equal(model->events[event.jump].version,
                             want->version & (want->version - 1));
        } else {
            assert_int_equal(want->version & (want->version - 1), 0);
        }
    }
    for (uint32_t i = 0; i < ORDERS; i++) {
        char id[4];
        id_of(i, id);
        const struct model_order *want = &model->orders[i];
        struct order_record record;
        bool found = world_record(world, id, &buf, &record);
        assert_int_equal(found, want->definition != NULL);
        if (found) {
            assert_int_equal(record.version, want->version);
            assert_int_equal(record.state, want->state);
            assert_int_equal(record.seq, want->seq);
            assert_int_equal(record.entered_seq, want->entered_seq);
            assert_int_equal(record.deadline, want->deadline);
            assert_true(attributes_count(record.attributes) == attributes_count(want->held));
            assert_true(want->held.size < 3 || bytes_equal(record.attributes, want->held));
        }
    }
    buf_free(&buf);
}

/* -- The tests ----------------------------------------------------------------------------- */

struct run {
    struct buf log; /* Entries, each after its size. */
    struct model *model;
};

static void
run_random(uint64_t seed, struct world *world, struct run *run, uint32_t entries)
{
    static struct model model;
    struct maker maker = {.prng = seed};
    memset(&model, 0, sizeof model);
    model.registry = store_registry(world->store);
    model.time = 0;
    make_definitions(&maker);
    for (uint32_t n = 0; n < entries; n++) {
        maker.near = n * (ORDERS - NEAR) / entries;
        struct command commands[COMMANDS];
        uint32_t count = 1 + below(&maker, COMMANDS);
        /* Definitions stand alone, so that the registry shows the model what was known before. */
        for (uint32_t i = 0; i < count; i++) {
            commands[i] = make_command(&maker, &model);
            if (n < 2) {
                commands[i] = (struct command){.kind = COMMAND_DEFINITION,
                                               .compiled = maker.definitions[n],
                                               .source = bytes_text("source")};
            }
            if (commands[i].kind == COMMAND_DEFINITION) {
                commands[0] = commands[i];
                count = 1;
            }
        }
        world->index += below(&maker, 3);
        world->time += (int64_t)below(&maker, 3 * SECOND) - SECOND / 2;
        model.time = world->time > model.time ? world->time : model.time;
        uint32_t known = registry_count(model.registry, REGISTRY_STATE);
        struct apply_results results = world_submit(world, commands, count);
        buf_put_le64(&run->log, world->index);
        buf_put_bytes32(&run->log, buf_bytes(&world->entry));
        uint64_t seq = model.seq;
        for (uint32_t i = 0; i < count; i++) {
            if (commands[i].kind == COMMAND_DEFINITION) {
                compare_definition(&model, &commands[i], &results.commands[i].outcomes[0], known);
            } else {
                compare_command(&model, &commands[i], &results.commands[i]);
            }
        }
        assert_int_equal(results.events_count, model.seq - seq);
    }
    compare_state(world, &model);
    run->model = &model;
    arena_free(&maker.arena);
}

static void
agrees_with_a_plain_model(void **state)
{
    static const enum qo_error reached[] = {
        QO_OK,
        QO_BAD_REQUEST,
        QO_NOT_FOUND,
        QO_ALREADY_EXISTS,
        QO_INVALID_TRANSITION,
        QO_VERSION_CONFLICT,
        QO_NOT_UNIQUE,
        QO_INVALID_ATTRIBUTE,
        QO_REQUEST_ID_REUSED,
        QO_INVALID_MACHINE,
    };
    struct world world;
    struct run run = {0};
    (void)state;
    world_open(&world, 0);
    run_random(seed_init(), &world, &run, ENTRIES);
    for (size_t i = 0; i < sizeof reached / sizeof reached[0]; i++) {
        if (run.model->errors[reached[i]] == 0) {
            fail_msg("never reached %s", error_code(reached[i]));
        }
    }
    assert_true(run.model->replays > 0 && run.model->fired > 0 && run.model->void_timers > 0);
    struct apply_counters counters = apply_counters(world.apply);
    assert_int_equal(counters.events, run.model->seq);
    assert_int_equal(counters.replays, run.model->replays);
    assert_int_equal(counters.timers_fired, run.model->fired);
    assert_int_equal(counters.timers_void, run.model->void_timers);
    printf("%u entries, %u events, %u replays, %u fired\n", ENTRIES, (unsigned)run.model->seq,
           (unsigned)run.model->replays, (unsigned)run.model->fired);
    arena_free(&run.model->arena);
    buf_free(&run.log);
    world_close(&world);
}

/* Executes the log on `world`, closing and opening it at random, with entries given again. */
static void
execute_log(struct world *world, struct bytes log, uint64_t prng, uint32_t reopen_one_in)
{
    struct cursor cursor = cursor_of(log), behind = cursor;
    uint32_t again = 0;
    while (!cursor_done(&cursor)) {
        struct cursor *next = &cursor;
        if (again > 0) { /* Some entries from further back, which it has already. */
            next = &behind;
            again--;
        }
        uint64_t index = cursor_le64(next);
        struct bytes entry = cursor_bytes32(next);
        struct apply_results results;
        bool skipped = index <= store_applied(world->store)->index;
        arena_reset(&world->arena);
        apply_execute(world->apply, index, 1, entry, &world->arena, &results);
        assert_int_equal(results.skipped, skipped);
        if (next == &behind && behind.at == cursor.at) {
            again = 0;
        }
        if (reopen_one_in > 0 && seed_below(&prng, reopen_one_in) == 0) {
            world_reopen(world);
            behind = cursor_of(log);
            again = (uint32_t)seed_below(&prng, 5);
            again = behind.at < cursor.at ? again : 0;
        }
    }
}

static void
same_state(struct world *a, struct world *b)
{
    const struct applied_point *left = store_applied(a->store), *right = store_applied(b->store);
    struct buf one = {0}, other = {0};
    assert_int_equal(left->index, right->index);
    assert_int_equal(left->seq, right->seq);
    assert_int_equal(left->time, right->time);
    assert_memory_equal(&left->digest, &right->digest, sizeof left->digest);
    assert_memory_equal(left->shards, right->shards,
                        store_shards(a->store) * sizeof left->shards[0]);
    for (uint64_t seq = 1; seq <= left->seq; seq++) {
        buf_clear(&one);
        buf_clear(&other);
        assert_true(store_get_event(a->store, seq, &one) && store_get_event(b->store, seq, &other));
        assert_true(bytes_equal(buf_bytes(&one), buf_bytes(&other)));
    }
    for (uint32_t i = 0; i < ORDERS; i++) {
        char id[4];
        id_of(i, id);
        struct order_record record;
        assert_int_equal(world_record(a, id, &one, &record), world_record(b, id, &other, &record));
        assert_true(bytes_equal(buf_bytes(&one), buf_bytes(&other)));
    }
    buf_free(&one);
    buf_free(&other);
}

static void
the_same_log_gives_the_same_state(void **state)
{
    static const struct {
        const char *name;
        uint64_t cache_bytes;
        uint32_t reopen_one_in;
    } nodes[] = {
        {"hardly a cache", 1, 0},
        {"a small cache, interrupted", 30000, 100},
        {"the usual cache, interrupted", 0, 80},
    };
    uint64_t seed = seed_init();
    struct world first;
    struct run run = {0};
    (void)state;
    world_open(&first, 0);
    run_random(seed, &first, &run, ENTRIES / 3);
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        struct world node;
        world_open(&node, nodes[i].cache_bytes);
        execute_log(&node, buf_bytes(&run.log), seed + i, nodes[i].reopen_one_in);
        same_state(&first, &node);
        world_close(&node);
    }
    arena_free(&run.model->arena);
    buf_free(&run.log);
    world_close(&first);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_plain_model),
        cmocka_unit_test(the_same_log_gives_the_same_state),
    };
    return cmocka_run_group_tests_name("apply/model", tests, NULL, NULL);
}
