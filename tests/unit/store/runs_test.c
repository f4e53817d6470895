/*
 * Goal: what was put one by one comes back one by one, however runs were cut; where a reader begins
 *       makes no difference.
 * Method: events of sizes around the size at which a run is closed, in entries of one to many;
 * lists of the longest ids over many runs; each read from each place.
 */
#include "support/test.h"

#include "common/log.h"
#include "rocks.h"
#include "runs.h"
#include "world.h"

/* -- Events -------------------------------------------------------------------------------------*/

enum { EVENTS = 1200, EVENT_SIZE_MAX = 5 * RUN_BYTES };

/* Size and bytes of an event follow from its seq, so that each can be known again. */
static size_t
event_size(uint64_t seq)
{
    uint64_t prng = seq * 1000003;
    static const size_t wholes[] = {RUN_BYTES, RUN_BYTES / 2, RUN_BYTES / 3, 2 * RUN_BYTES};
    switch (seed_below(&prng, 8)) {
    case 0: /* Just below, at and above what fits a run alone, or with one or two others. */
        return wholes[seed_below(&prng, 4)] - 12 + seed_below(&prng, 24);
    case 1:
        return 1 + seed_below(&prng, EVENT_SIZE_MAX);
    case 2:
        return 1;
    default:
        return 1 + seed_below(&prng, 400);
    }
}

static struct bytes
event_bytes(uint64_t seq, uint8_t out[EVENT_SIZE_MAX])
{
    uint64_t prng = seq;
    size_t size = event_size(seq);
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(i % 64 == 0 ? seed_next(&prng) : seq + i);
    }
    return bytes_make(out, size);
}

static void
assert_event(struct bytes event, uint64_t seq)
{
    static uint8_t expected[EVENT_SIZE_MAX];
    assert_true(bytes_equal(event, event_bytes(seq, expected)));
}

/* Entries of one event, of some, and of more than a run holds; now and then one without any. */
static void
put_events(struct store *store)
{
    static uint8_t bytes[EVENT_SIZE_MAX];
    static const uint32_t counts[] = {1, 0, 2, 7, 1, 90};
    struct applied_point applied = {0};
    while (applied.seq < EVENTS) {
        uint32_t count = counts[applied.index % 6];
        for (uint32_t i = 0; i < count && applied.seq < EVENTS; i++) {
            applied.seq++;
            store_put_event(store, applied.seq, event_bytes(applied.seq, bytes));
        }
        applied.index++;
        store_commit(store, &applied);
    }
}

static void
check_events(struct store *store)
{
    struct store_view *view = store_view_begin(store);
    struct buf one = {0};
    for (uint64_t from = 0; from <= EVENTS + 2; from++) {
        struct store_events *events = store_events_begin(view, from);
        uint64_t expected = from == 0 ? 1 : from, seq;
        struct bytes event;
        while (expected <= EVENTS && expected < from + 8) {
            assert_true(store_events_next(events, &seq, &event));
            assert_int_equal(seq, expected);
            assert_event(event, seq);
            expected++;
        }
        if (expected > EVENTS) {
            assert_false(store_events_next(events, &seq, &event));
            assert_false(store_events_next(events, &seq, &event));
        }
        store_events_end(events);

        bool there = from >= 1 && from <= EVENTS;
        buf_clear(&one);
        assert_true(store_view_get_event(view, from, &one) == there);
        if (there) {
            assert_event(buf_bytes(&one), from);
        }
        buf_clear(&one);
        assert_true(store_get_event(store, from, &one) == there);
        if (there) {
            assert_event(buf_bytes(&one), from);
        }
    }
    buf_free(&one);
    store_view_end(view);
}

static void
events_of_any_size_come_back_from_anywhere(void **state)
{
    char directory[256];
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, 0);
    put_events(store);
    check_events(store);
    store_close(store);
    store = world_store(directory, 0); /* From files, no longer from memory. */
    check_events(store);
    store_close(store);
    world_copy(directory, NULL);
}

static void
a_run_is_as_full_as_it_may_be(void **state)
{
    char directory[256];
    uint64_t at, before = 0;
    size_t size_before = 0;
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, 0);
    static uint8_t bytes[EVENT_SIZE_MAX];
    struct applied_point applied = {.index = 1};
    for (; applied.seq < EVENTS; applied.seq++) {
        store_put_event(store, applied.seq + 1, event_bytes(applied.seq + 1, bytes));
    }
    store_commit(store, &applied);
    rocksdb_iterator_t *rows = rocksdb_create_iterator_cf(store->rocks.db, store->read_newest,
                                                          store->rocks.families[FAMILY_EVENTS]);
    rocksdb_iter_seek_to_first(rows);
    for (; rocks_iterator_valid(rows); rocksdb_iter_next(rows)) {
        struct bytes event;
        struct cursor run = run_open(rocks_iterator_value(rows));
        assert_true(key_event_decode(rocks_iterator_key(rows), &at));
        assert_true(run_next_event(&run, &event));
        /* It did not fit the run before it. */
        assert_true(before == 0 || size_before + event.size > RUN_BYTES);
        assert_true(at > before);
        before = at;
        size_before = rocks_iterator_value(rows).size;
        /* What exceeds the bound is one event's own, or the size before it. */
        assert_true(size_before <= RUN_BYTES + 4 || !run_next_event(&run, &event));
    }
    rocksdb_iter_destroy(rows);
    store_close(store);
    world_copy(directory, NULL);
}

/* -- Lists --------------------------------------------------------------------------------------*/

enum { LISTED = 1500, GONE_EVERY = 7 };

static struct bytes
long_id(uint64_t seq, char out[QO_ID_MAX + 1])
{
    size_t size = seq % 3 == 0 ? 20 : QO_ID_MAX - seq % 2;
    (void)snprintf(out, QO_ID_MAX + 1, "%020llu%0*d", (unsigned long long)seq, QO_ID_MAX - 20, 0);
    return bytes_make(out, size);
}

static void
put_record(struct store *store, struct bytes id, uint64_t seq, uint16_t state)
{
    struct order_record record = {.state = state,
                                  .version = 1,
                                  .seq = seq,
                                  .entered_seq = seq,
                                  .entered_version = 1,
                                  .prefixes_count = 1,
                                  .prefixes = {seq}};
    struct buf encoded = {0};
    order_record_encode(&record, &encoded);
    store_put_order(store, id, hash_shard(id, WORLD_SHARDS), buf_bytes(&encoded));
    buf_free(&encoded);
}

static void
put_definition(struct store *store)
{
    struct buf compiled = {0};
    struct machine_error error;
    assert_int_equal(machine_compile(bytes_text(world_sources[0]), &compiled, &error), QO_OK);
    store_put_definition(store, registry_add(store_registry(store), buf_bytes(&compiled),
                                             bytes_text(world_sources[0]), 1));
    buf_free(&compiled);
}

/* Orders that enter one state in a few large entries; then each GONE_EVERY-th moves to another. */
static uint16_t
put_listed(struct store *store)
{
    char id[QO_ID_MAX + 1];
    struct applied_point applied = {0};
    put_definition(store);
    const struct definition *definition = registry_get(store_registry(store), REGISTRY_STATE, 0);
    while (applied.seq < LISTED) {
        applied.seq++;
        put_record(store, long_id(applied.seq, id), applied.seq, 0);
        store_put_list(store, 0, definition->state_numbers[0], applied.seq,
                       long_id(applied.seq, id));
        if (applied.seq % 500 == 0) {
            applied.index++;
            store_commit(store, &applied);
        }
    }
    for (uint64_t gone = GONE_EVERY; gone <= LISTED; gone += GONE_EVERY) {
        applied.seq++;
        put_record(store, long_id(gone, id), applied.seq, 1);
        store_put_list(store, 0, definition->state_numbers[1], applied.seq, long_id(gone, id));
        store_list_left(store, 0, definition->state_numbers[0], gone);
    }
    applied.index++;
    store_commit(store, &applied);
    return definition->state_numbers[0];
}

static void
check_listed(struct store *store, uint16_t state)
{
    struct store_view *view = store_view_begin(store);
    char expected_id[QO_ID_MAX + 1];
    for (uint64_t after = 0; after <= LISTED; after++) {
        struct store_list *list = store_list_begin(view, 0, state, after);
        uint64_t expected = after + 1;
        struct bytes id, record;
        for (uint32_t i = 0; i < 5; i++) {
            expected += expected % GONE_EVERY == 0 ? 1 : 0;
            if (expected > LISTED) {
                assert_false(store_list_next(list, &id, &record));
                break;
            }
            assert_true(store_list_next(list, &id, &record));
            assert_true(bytes_equal(id, long_id(expected, expected_id)));
            bool end;
            assert_int_equal(store_list_position(list, &end), expected);
            expected++;
        }
        store_list_end(list);
    }
    store_view_end(view);
}

static void
a_list_goes_on_from_anywhere(void **state)
{
    char directory[256];
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, 0);
    uint16_t listed = put_listed(store);
    check_listed(store, listed);
    store_close(store);
    store = world_store(directory, 0);
    check_listed(store, listed);
    assert_int_equal(store_sweep(store, 100000), LISTED / GONE_EVERY); /* Makes the runs shorter. */
    check_listed(store, listed);
    assert_int_equal(store_sweep(store, 100000), 0);
    store_close(store);
    world_copy(directory, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_any_size_come_back_from_anywhere),
        cmocka_unit_test(a_run_is_as_full_as_it_may_be),
        cmocka_unit_test(a_list_goes_on_from_anywhere),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("store/runs", tests, NULL, NULL);
}
