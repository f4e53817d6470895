/*
 * Goal: numbers mean the same over all versions and for ever, and a reader sees what is published,
 *       whole.
 * Method: a few definitions looked up by hand; many versions added while other threads look up.
 */
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "machine/machine.h"
#include "registry_private.h"
#include "store/registry.h"

static const struct definition *
add(struct registry *registry, const char *source)
{
    struct buf compiled = {0};
    struct machine_error error;
    if (machine_compile(bytes_text(source), &compiled, &error) != QO_OK) {
        fail_msg("%u:%u: %s", error.line, error.column, error.why);
    }
    const struct definition *definition =
        registry_add(registry, buf_bytes(&compiled), bytes_text(source), 7);
    buf_free(&compiled);
    return definition;
}

static const char *const door_1 =
    "machine: door\nversion: 1\ninitial: OPEN\n"
    "attributes:\n  key: {type: string, required: true, immutable: true, unique: true}\n"
    "  note: {type: string}\n"
    "states:\n  OPEN: {}\n  SHUT: {}\n"
    "events:\n  shut: {from: OPEN, to: SHUT}\n  open: {from: SHUT, to: OPEN}\n";
/* AJAR sorts before the others, and `alias` before `key`. */
static const char *const door_2 =
    "machine: door\nversion: 2\ninitial: OPEN\n"
    "attributes:\n  alias: {type: string, required: true, immutable: true, unique: true}\n"
    "  key: {type: string, required: true, immutable: true, unique: true}\n"
    "states:\n  AJAR: {}\n  OPEN: {}\n  SHUT: {}\n"
    "events:\n  shut: {from: [OPEN, AJAR], to: SHUT}\n  open: {from: SHUT, to: OPEN}\n"
    "  blow: {from: OPEN, to: AJAR}\n";
static const char *const lamp_1 = "machine: lamp\nversion: 1\ninitial: DARK\n"
                                  "states:\n  DARK: {}\n  LIT: {}\n"
                                  "events:\n  go: {from: DARK, to: LIT}\n"
                                  "  stop: {from: LIT, to: DARK}\n";

static int32_t
state_of(const struct registry *registry, uint16_t machine, const char *name)
{
    return registry_state_number(registry, REGISTRY_STATE, machine, bytes_text(name));
}

static void
numbers_span_versions(void **state)
{
    struct registry *registry = registry_open();
    (void)state;
    const struct definition *first = add(registry, door_1);
    const struct definition *lamp = add(registry, lamp_1);
    const struct definition *second = add(registry, door_2);
    assert_int_equal(first->number, 0);
    assert_int_equal(second->number, 2);
    assert_int_equal(first->machine_number, 0);
    assert_int_equal(second->machine_number, 0);
    assert_int_equal(lamp->machine_number, 1);
    assert_int_equal(first->at, 7);
    assert_true(bytes_equal(second->source, bytes_text(door_2)));
    assert_int_equal(registry_machines_count(registry, REGISTRY_STATE), 2);
    assert_int_equal(registry_states_count(registry, REGISTRY_STATE, 0), 3);
    assert_int_equal(registry_states_count(registry, REGISTRY_STATE, 1), 2);
    assert_int_equal(registry_states_count(registry, REGISTRY_STATE, 2), 0);
    static const char *const names[] = {"OPEN", "SHUT"};
    for (size_t i = 0; i < 2; i++) {
        int32_t in_first = machine_state_find(first->machine, bytes_text(names[i]));
        int32_t in_second = machine_state_find(second->machine, bytes_text(names[i]));
        assert_int_not_equal(in_first, in_second);
        assert_int_equal(first->state_numbers[in_first], second->state_numbers[in_second]);
        assert_int_equal(state_of(registry, 0, names[i]), first->state_numbers[in_first]);
    }
    assert_int_equal(state_of(registry, 0, "AJAR"), 2);
    assert_int_equal(state_of(registry, 1, "AJAR"), -1);
    /* `key` keeps its number, `note` has none, `alias` has the next. */
    assert_int_equal(first->attribute_numbers[0], 0);
    assert_int_equal(first->attribute_numbers[1], RECORD_NONE);
    assert_int_equal(second->attribute_numbers[0], 1);
    assert_int_equal(second->attribute_numbers[1], 0);
    assert_int_equal(registry_attribute_number(registry, REGISTRY_STATE, 0, bytes_text("note")),
                     -1);
    assert_int_equal(registry_attribute_number(registry, REGISTRY_STATE, 0, bytes_text("alias")),
                     1);
    assert_true(registry_fits(registry, second->machine));
    registry_close(registry);
}

static void
nothing_shows_before_it_is_published(void **state)
{
    struct registry *registry = registry_open();
    struct bytes door = bytes_text("door"), lamp = bytes_text("lamp");
    (void)state;
    add(registry, door_1);
    assert_int_equal(registry_count(registry, REGISTRY_PUBLISHED), 0);
    assert_int_equal(registry_machine(registry, REGISTRY_PUBLISHED, door), -1);
    assert_null(registry_get(registry, REGISTRY_PUBLISHED, 0));
    assert_null(registry_find(registry, REGISTRY_PUBLISHED, door, 0));
    assert_non_null(registry_find(registry, REGISTRY_STATE, door, 0));
    registry_publish(registry);
    const struct definition *second = add(registry, door_2);
    add(registry, lamp_1);
    assert_int_equal(registry_find(registry, REGISTRY_PUBLISHED, door, 0)->number, 0);
    assert_null(registry_find(registry, REGISTRY_PUBLISHED, door, 2));
    assert_int_equal(registry_machine(registry, REGISTRY_PUBLISHED, lamp), -1);
    assert_int_equal(registry_states_count(registry, REGISTRY_PUBLISHED, 0), 2);
    assert_int_equal(registry_state_number(registry, REGISTRY_PUBLISHED, 0, bytes_text("AJAR")),
                     -1);
    registry_publish(registry);
    assert_ptr_equal(registry_find(registry, REGISTRY_PUBLISHED, door, 0), second);
    assert_ptr_equal(registry_find(registry, REGISTRY_PUBLISHED, door, 2), second);
    assert_null(registry_find(registry, REGISTRY_PUBLISHED, door, 3));
    assert_int_equal(registry_machine(registry, REGISTRY_PUBLISHED, lamp), 1);
    registry_close(registry);
}

enum { MACHINES = 20, VERSIONS = 10 };

struct beside {
    struct registry *registry;
    atomic_bool stop;
    uint64_t wrong;
};

/* Every machine of the view is found by name, its newest version by number, without end. */
static void *
look_up(void *arg)
{
    struct beside *beside = arg;
    const struct registry *registry = beside->registry;
    while (!atomic_load(&beside->stop)) {
        uint32_t count = registry_count(registry, REGISTRY_PUBLISHED);
        for (uint32_t number = 0; number < count; number++) {
            const struct definition *definition =
                registry_get(registry, REGISTRY_PUBLISHED, number);
            struct bytes name = machine_name(definition->machine);
            const struct definition *found = registry_find(registry, REGISTRY_PUBLISHED, name,
                                                           machine_version(definition->machine));
            const struct definition *newest = registry_find(registry, REGISTRY_PUBLISHED, name, 0);
            beside->wrong += found != definition || newest == NULL || newest->number < number;
        }
    }
    return NULL;
}

static void
readers_look_up_while_definitions_are_added(void **state)
{
    struct registry *registry = registry_open();
    struct beside beside = {.registry = registry};
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, look_up, &beside), 0);
    for (uint32_t version = 1; version <= VERSIONS; version++) {
        for (uint32_t machine = 0; machine < MACHINES; machine++) {
            char source[400];
            snprintf(source, sizeof source,
                     "machine: m%u\nversion: %u\ninitial: OPEN\n"
                     "states:\n  OPEN: {}\n  S%u: {}\n"
                     "events:\n  shut: {from: OPEN, to: S%u}\n  open: {from: S%u, to: OPEN}\n",
                     machine, version, version, version, version);
            add(registry, source);
            registry_publish(registry);
        }
    }
    atomic_store(&beside.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(beside.wrong, 0);
    assert_int_equal(registry_states_count(registry, REGISTRY_PUBLISHED, 3), VERSIONS + 1);
    registry_close(registry);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_span_versions),
        cmocka_unit_test(nothing_shows_before_it_is_published),
        cmocka_unit_test(readers_look_up_while_definitions_are_added),
    };
    return cmocka_run_group_tests_name("store/registry", tests, NULL, NULL);
}
