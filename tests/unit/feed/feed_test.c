/*
 * Goal: the feed gives every event that a filter lets through, once, in order, whatever the pages.
 * Method: random entries and filters; page after page against all events of a model.
 */
#include "support/test.h"

#include "common/log.h"
#include "feed/feed.h"
#include "unit/store/world.h"

enum { NAMES_MAX = 4 };

struct taker {
    const struct world *world;
    uint32_t room; /* Events it takes before it says that it is full. */
    uint32_t count;
    uint64_t seqs[QO_LIMIT_MAX];
    bool wrong;
};

static bool
take(void *context, const struct event_record *event, const struct definition *definition)
{
    struct taker *taker = context;
    struct buf encoded = {0};
    if (taker->count == taker->room) {
        return false;
    }
    event_record_encode(event, &encoded);
    taker->wrong =
        taker->wrong ||
        !bytes_equal(buf_bytes(&encoded), buf_bytes(&taker->world->events[event->seq - 1])) ||
        definition->number != event->definition;
    buf_free(&encoded);
    taker->seqs[taker->count++] = event->seq;
    return true;
}

struct filter_input {
    struct feed_filter filter;
    uint32_t shards[NAMES_MAX];
    struct bytes machines[NAMES_MAX], states[NAMES_MAX];
};

static void
random_filter(uint64_t *prng, struct filter_input *input)
{
    static const char *const machines[] = {"job", "part", "unknown", ""};
    static const char *const states[] = {"A", "Q", "R", "S", "X", "Y", "Z", "q"};
    input->filter = (struct feed_filter){0};
    if (seed_below(prng, 3) == 0) {
        input->filter.shards = input->shards;
        input->filter.shards_count = (size_t)seed_below(prng, NAMES_MAX + 1);
        for (uint32_t i = 0; i < NAMES_MAX; i++) {
            input->shards[i] = (uint32_t)seed_below(prng, WORLD_SHARDS + 1);
        }
        input->shards[0] += seed_below(prng, 20) == 0 ? 1000 : 0;
    }
    if (seed_below(prng, 3) == 0) {
        input->filter.machines = input->machines;
        input->filter.machines_count = (size_t)seed_below(prng, NAMES_MAX + 1);
        for (uint32_t i = 0; i < NAMES_MAX; i++) {
            input->machines[i] = bytes_text(machines[seed_below(prng, 4)]);
        }
    }
    if (seed_below(prng, 3) == 0) {
        input->filter.states = input->states;
        input->filter.states_count = (size_t)seed_below(prng, NAMES_MAX + 1);
        for (uint32_t i = 0; i < NAMES_MAX; i++) {
            input->states[i] = bytes_text(states[seed_below(prng, 8)]);
        }
    }
}

static bool
named(struct bytes name, const struct bytes *names, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        found = found || bytes_equal(names[i], name);
    }
    return names == NULL || found;
}

/* Whether the model's event passes: told from names, one by one. */
static bool
wanted(const struct world *world, const struct feed_filter *filter, uint64_t seq)
{
    struct event_record event;
    assert_true(event_record_decode(seq, buf_bytes(&world->events[seq - 1]), &event));
    const struct machine *machine =
        registry_get(world->registry, REGISTRY_STATE, event.definition)->machine;
    bool shard = filter->shards == NULL;
    for (size_t i = 0; i < filter->shards_count; i++) {
        shard = shard || filter->shards[i] == event.shard;
    }
    return shard && named(machine_name(machine), filter->machines, filter->machines_count) &&
           named(machine_state_name(machine, event.to), filter->states, filter->states_count);
}

/* Reads all from `from` in pages; the count of events given. */
static uint64_t
read_all(const struct world *world, struct store_view *view, struct filter_input *input,
         uint64_t *prng, uint64_t from)
{
    uint64_t expected = from == 0 ? 1 : from, total = 0;
    input->filter.from_seq = from;
    for (uint32_t idle = 0; idle < 2;) {
        struct taker taker = {.world = world};
        input->filter.limit = 1 + (uint32_t)seed_below(prng, 300);
        taker.room = 1 + (uint32_t)seed_below(prng, 300);
        struct feed_page page = feed_read(view, &input->filter, take, &taker);
        assert_false(taker.wrong);
        assert_int_equal(page.high_seq, world->applied.seq);
        assert_int_equal(page.given, taker.count);
        assert_true(page.given <= input->filter.limit && page.looked <= QO_FEED_LOOK_MAX);
        assert_true(page.next_seq >= input->filter.from_seq);
        for (uint32_t i = 0; i < taker.count; i++) {
            /* Nothing that is wanted lies between one given and the next. */
            while (expected < taker.seqs[i]) {
                assert_false(wanted(world, &input->filter, expected++));
            }
            assert_int_equal(taker.seqs[i], expected);
            assert_true(wanted(world, &input->filter, expected++));
        }
        while (expected < page.next_seq) {
            assert_false(wanted(world, &input->filter, expected++));
        }
        assert_int_equal(page.next_seq, expected);
        if (page.full) {
            assert_int_equal(taker.count, taker.room);
            assert_true(wanted(world, &input->filter, page.next_seq));
        }
        total += page.given;
        input->filter.from_seq = page.next_seq;
        idle += page.next_seq > page.high_seq;
    }
    assert_int_equal(expected, world->applied.seq + 1);
    return total;
}

struct fixture {
    char directory[256];
    struct store *store;
    struct world *world;
    uint64_t prng;
};

static void
fixture_open(struct fixture *fixture, uint32_t entries)
{
    uint64_t seed = seed_init();
    world_directory(fixture->directory);
    fixture->store = world_store(fixture->directory, 0);
    fixture->world = world_begin(seed, fixture->store, store_registry(fixture->store));
    fixture->prng = seed;
    for (uint32_t i = 0; i < entries; i++) {
        world_entry(fixture->world);
    }
}

static void
fixture_close(struct fixture *fixture)
{
    world_end(fixture->world);
    store_close(fixture->store);
    world_copy(fixture->directory, NULL);
}

static void
pages_follow_each_other_without_gap_or_overlap(void **state)
{
    struct fixture fixture;
    uint64_t given = 0, nothing = 0;
    (void)state;
    fixture_open(&fixture, 150);
    struct store_view *view = store_view_begin(fixture.store);
    for (uint32_t round = 0; round < 60; round++) {
        struct filter_input input;
        random_filter(&fixture.prng, &input);
        uint64_t from = seed_below(&fixture.prng, 3) == 0
                            ? seed_below(&fixture.prng, fixture.world->applied.seq + 2)
                            : 0;
        uint64_t count = read_all(fixture.world, view, &input, &fixture.prng, from);
        given += count > 0;
        nothing += count == 0;
    }
    assert_true(given > 0 && nothing > 0);
    store_view_end(view);
    fixture_close(&fixture);
}

static void
a_position_ahead_waits_where_it_is(void **state)
{
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, 5);
    struct store_view *view = store_view_begin(fixture.store);
    uint64_t high = fixture.world->applied.seq;
    static const uint64_t ahead[] = {1, 2, 1000, UINT64_MAX - UINT32_MAX};
    for (size_t i = 0; i < sizeof ahead / sizeof ahead[0]; i++) {
        struct taker taker = {.world = fixture.world, .room = 10};
        struct feed_filter filter = {.from_seq = high + ahead[i], .limit = 10};
        struct feed_page page = feed_read(view, &filter, take, &taker);
        assert_int_equal(page.given, 0);
        assert_int_equal(page.next_seq, high + ahead[i]);
        assert_int_equal(page.high_seq, high);
    }
    store_view_end(view);
    fixture_close(&fixture);
}

static void
a_machine_that_comes_later_begins_to_match(void **state)
{
    struct fixture fixture;
    struct bytes machine = bytes_text("part");
    struct feed_filter filter = {
        .machines = &machine, .machines_count = 1, .from_seq = 1, .limit = QO_LIMIT_MAX};
    (void)state;
    fixture_open(&fixture, 10); /* `part` is defined in entry 21. */
    struct store_view *view = store_view_begin(fixture.store);
    struct taker taker = {.world = fixture.world, .room = QO_LIMIT_MAX};
    struct feed_page page = feed_read(view, &filter, take, &taker);
    assert_int_equal(page.given, 0);
    assert_int_equal(page.next_seq, fixture.world->applied.seq + 1);
    store_view_end(view);
    filter.from_seq = page.next_seq;
    for (uint32_t i = 0; i < 90; i++) {
        world_entry(fixture.world);
    }
    view = store_view_begin(fixture.store);
    page = feed_read(view, &filter, take, &taker);
    assert_true(page.given > 0);
    store_view_end(view);
    fixture_close(&fixture);
}

static void
looks_at_no_more_than_it_may(void **state)
{
    struct fixture fixture;
    struct bytes machine = bytes_text("unknown");
    struct feed_filter filter = {.machines = &machine, .machines_count = 1, .limit = 1};
    (void)state;
    fixture_open(&fixture, 0);
    while (fixture.world->applied.seq <= QO_FEED_LOOK_MAX) {
        world_entry(fixture.world);
    }
    struct store_view *view = store_view_begin(fixture.store);
    struct taker taker = {.world = fixture.world, .room = 1};
    struct feed_page page = feed_read(view, &filter, take, &taker);
    assert_int_equal(page.looked, QO_FEED_LOOK_MAX);
    assert_int_equal(page.next_seq, QO_FEED_LOOK_MAX + 1);
    store_view_end(view);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_follow_each_other_without_gap_or_overlap),
        cmocka_unit_test(a_position_ahead_waits_where_it_is),
        cmocka_unit_test(a_machine_that_comes_later_begins_to_match),
        cmocka_unit_test(looks_at_no_more_than_it_may),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("feed/feed", tests, NULL, NULL);
}
