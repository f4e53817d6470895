/*
 * Goal: an entry is called light only if executing it reads nothing from the store and does not
 *     wait for it, and asking changes nothing.
 * Method: one scene for each thing that has to be read or is too much; then a history executed on
 *     two nodes of which one asks before each entry. Only that the store stalls is said in its
 *     place (--wrap).
 */
#include "support/test.h"

#include "support.h"

bool __real_store_stalls(struct store *store);
bool __wrap_store_stalls(struct store *store);

static bool stalls; /* As the store itself does in its own test (store/stalls_test.c). */

bool
__wrap_store_stalls(struct store *store)
{
    return __real_store_stalls(store) || stalls;
}

static bool
commands_light(struct world *world, const struct command *commands, uint32_t count)
{
    struct buf entry = {0};
    world_encode(world, &entry, commands, count);
    bool light = apply_light(world->apply, buf_bytes(&entry));
    buf_free(&entry);
    return light;
}

static bool
operation_light(struct world *world, struct operation operation, const char *request_id)
{
    struct command command = command_of(&operation, 1, request_id);
    return commands_light(world, &command, 1);
}

static bool
go_light(struct world *world, const char *id, const char *request_id)
{
    return operation_light(world, transition_of(id, "go", BYTES_NONE), request_id);
}

static void
an_order_that_the_cache_holds_is_all_it_needs(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    assert_false(go_light(&world, "a", "r1")); /* Nobody knows it: the store is asked. */
    assert_applied(world_create(&world, "a", "loop", "", "r0"));
    assert_true(go_light(&world, "a", "r1"));
    assert_true(go_light(&world, "a", NULL));
    uint64_t misses = apply_counters(world.apply).cache_misses;
    assert_applied(world_send(&world, "a", "go", "", "r1"));
    assert_int_equal(apply_counters(world.apply).cache_misses, misses);
    assert_true(operation_light(&world, transition_of("a", "go", BYTES_NONE), "r2")); /* Refused. */

    world_stop(&world);
    world_start(&world);
    assert_false(go_light(&world, "a", "r2"));
    world_close(&world);
}

static void
what_has_to_be_read_is_not_light(void **state)
{
    struct world world = world_with_machines();
    struct arena arena = {0};
    (void)state;
    assert_applied(world_create(&world, "a", "loop", "", "r0"));
    assert_applied(world_create(&world, "s", "shop", "key=k", NULL));
    assert_false(operation_light(&world, create_of("b", "loop", BYTES_NONE), NULL));
    assert_false(go_light(&world, "a", "r0")); /* Its event is read: was it the same request? */
    assert_false(operation_light(&world, transition_of("s", "touch", BYTES_NONE), NULL));

    struct operation two[] = {transition_of("a", "go", BYTES_NONE),
                              transition_of("a", "back", BYTES_NONE)};
    struct command both = command_of(two, 2, NULL);
    struct command commands[] = {command_of(&two[0], 1, NULL), command_of(&two[1], 1, NULL)};
    struct command timer = timer_of("a", 1, world.time);
    assert_false(commands_light(&world, &both, 1));
    assert_false(commands_light(&world, commands, 2));
    assert_true(commands_light(&world, commands, 1));
    assert_false(commands_light(&world, &timer, 1));
    arena_free(&arena);
    world_close(&world);
}

static void
an_order_with_pages_is_not_light_for_a_request_id(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    assert_applied(world_create(&world, "a", "loop", "", NULL));
    for (uint32_t version = 2; version <= QO_FINGERPRINTS_MAX; version++) {
        assert_true(go_light(&world, "a", "new"));
        assert_applied(world_send(&world, "a", version % 2 == 0 ? "go" : "back", "", NULL));
    }
    assert_false(go_light(&world, "a", "new"));
    assert_true(go_light(&world, "a", NULL));
    world_close(&world);
}

/* The fingerprints that the record holds leave it all at once, for a page that has to be read. */
static void
a_version_that_spills_is_not_light(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    assert_applied(world_create(&world, "a", "loop", "", "r0"));
    for (uint32_t version = 2; version <= QO_FINGERPRINTS_MAX + 2; version++) {
        bool spills = version == QO_FINGERPRINTS_MAX + 1;
        assert_true(go_light(&world, "a", NULL) != spills);
        assert_applied(world_send(&world, "a", version % 2 == 0 ? "go" : "back", "", NULL));
    }
    world_close(&world);
}

static void
large_and_damaged_entries_are_not_light(void **state)
{
    struct world world = world_with_machines();
    struct buf entry = {0};
    (void)state;
    assert_applied(world_create(&world, "a", "loop", "", NULL));
    struct operation operation = transition_of("a", "go", BYTES_NONE);
    struct command command = command_of(&operation, 1, NULL);
    world_encode(&world, &entry, &command, 1);
    assert_true(apply_light(world.apply, buf_bytes(&entry)));
    assert_false(apply_light(world.apply, bytes_make(entry.data, entry.size - 1)));
    entry.data[entry.size / 2] ^= 1;
    assert_false(apply_light(world.apply, buf_bytes(&entry)));
    struct buf list = {0};
    struct attributes_builder builder = attributes_build(&list);
    uint8_t note[QO_LIGHT_ENTRY_BYTES_MAX] = {0xda, (sizeof note - 3) >> 8,
                                              (sizeof note - 3) & 255};
    memset(note + 3, 'x', sizeof note - 3);
    attributes_append(&builder, bytes_text("note"), VALUE_TEXT, bytes_make(note, sizeof note));
    operation.attributes = attributes_built(&builder);
    command = command_of(&operation, 1, NULL);
    assert_false(commands_light(&world, &command, 1));
    assert_applied(world_outcome(&world, &command));
    buf_free(&list);
    buf_free(&entry);
    world_close(&world);
}

static void
nothing_is_light_while_the_store_stalls(void **state)
{
    struct world world = world_with_machines();
    (void)state;
    assert_applied(world_create(&world, "a", "loop", "", NULL));
    assert_true(go_light(&world, "a", NULL));
    stalls = true;
    bool light = go_light(&world, "a", NULL);
    stalls = false;
    assert_false(light);
    assert_true(go_light(&world, "a", NULL));
    world_close(&world);
}

static void
asking_changes_nothing(void **state)
{
    enum { ENTRIES = 200 };
    struct world asked = world_with_machines(), other = world_with_machines();
    uint32_t light = 0;
    (void)state;
    assert_applied(world_create(&asked, "a", "loop", "", "r"));
    assert_applied(world_create(&other, "a", "loop", "", "r"));
    for (uint32_t i = 0; i < ENTRIES; i++) {
        char request_id[16];
        (void)snprintf(request_id, sizeof request_id, "r%u", i % 150);
        const char *event = i % 3 == 0 ? "go" : "back";
        light += go_light(&asked, "a", request_id);
        const struct outcome *first = world_send(&asked, "a", event, "", request_id);
        enum qo_error error = first->error;
        assert_int_equal(world_send(&other, "a", event, "", request_id)->error, error);
    }
    assert_in_range(light, 1, ENTRIES - 1);
    const struct applied_point *a = store_applied(asked.store), *b = store_applied(other.store);
    assert_memory_equal(&a->digest, &b->digest, sizeof a->digest);
    assert_int_equal(a->seq, b->seq);
    world_close(&asked);
    world_close(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_that_the_cache_holds_is_all_it_needs),
        cmocka_unit_test(what_has_to_be_read_is_not_light),
        cmocka_unit_test(an_order_with_pages_is_not_light_for_a_request_id),
        cmocka_unit_test(a_version_that_spills_is_not_light),
        cmocka_unit_test(large_and_damaged_entries_are_not_light),
        cmocka_unit_test(nothing_is_light_while_the_store_stalls),
        cmocka_unit_test(asking_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
