/*
 * Goal: the row of a deadline goes with the last order that leaves it, and never before.
 * Method: single orders put and left; the table of counters filled; what a scan then finds.
 */
#include "support/test.h"

#include "common/log.h"
#include "rocks.h"
#include "world.h"

enum {
    DEADLINE = 1000,
    FAR_AWAY =
        1000000, /* Deadlines of orders that no scan here comes to, and that have no record. */
};

struct fixture {
    char directory[256];
    struct store *store;
    struct applied_point applied;
    struct arena arena;
};

static void
open_store(struct fixture *fixture)
{
    *fixture = (struct fixture){0};
    world_directory(fixture->directory);
    fixture->store = world_store(fixture->directory, 0);
}

static void
close_store(struct fixture *fixture)
{
    arena_free(&fixture->arena);
    store_close(fixture->store);
    world_copy(fixture->directory, NULL);
}

/* The record of an order that entered its state at `seq`; in an entry that ends there. */
static void
put_record(struct fixture *fixture, const char *id, uint64_t seq, int64_t deadline)
{
    struct order_record record = {.version = 1,
                                  .seq = seq,
                                  .entered_seq = seq,
                                  .entered_version = 1,
                                  .deadline = deadline,
                                  .prefixes_count = 1,
                                  .prefixes = {seq}};
    struct buf encoded = {0};
    order_record_encode(&record, &encoded);
    store_put_order(fixture->store, bytes_text(id), 0, buf_bytes(&encoded));
    buf_free(&encoded);
}

/* Ends an entry, a microsecond after the one before. */
static void
commit(struct fixture *fixture)
{
    fixture->applied.index++;
    fixture->applied.time++;
    store_commit(fixture->store, &fixture->applied);
}

/* An entry that gives an order its deadline; when. */
static int64_t
enter(struct fixture *fixture, const char *id)
{
    put_record(fixture, id, ++fixture->applied.seq, DEADLINE);
    store_put_deadline(fixture->store, DEADLINE, bytes_text(id), 0, 1);
    commit(fixture);
    return fixture->applied.time;
}

static void
leave(struct fixture *fixture, const char *id, int64_t given_at)
{
    put_record(fixture, id, ++fixture->applied.seq, 0);
    store_deadline_left(fixture->store, DEADLINE, given_at);
    commit(fixture);
}

static uint32_t
due(struct fixture *fixture)
{
    struct store_deadline rows[8];
    int64_t next;
    return store_scan_deadlines(fixture->store, 0, DEADLINE, &fixture->arena, rows, 8, &next);
}

static uint64_t
deletes(const struct fixture *fixture)
{
    return store_counters(fixture->store).deletes;
}

static void
a_row_goes_with_the_last_order(void **state)
{
    struct fixture fixture;
    (void)state;
    open_store(&fixture);
    put_record(&fixture, "one", 1, DEADLINE);
    put_record(&fixture, "two", 2, DEADLINE);
    store_put_deadline(fixture.store, DEADLINE, bytes_text("one"), 0, 1);
    store_put_deadline(fixture.store, DEADLINE, bytes_text("two"), 0, 1);
    fixture.applied.seq = 2;
    commit(&fixture);
    assert_int_equal(due(&fixture), 2);
    leave(&fixture, "one", 1);
    assert_int_equal(due(&fixture), 1);
    assert_int_equal(deletes(&fixture), 0);
    leave(&fixture, "two", 1);
    assert_int_equal(due(&fixture), 0);
    assert_int_equal(deletes(&fixture), 1);
    assert_int_equal(fixture.store->deadlines.count, 0);
    close_store(&fixture);
}

static void
an_order_from_before_the_opening_takes_no_row_along(void **state)
{
    struct fixture fixture;
    (void)state;
    open_store(&fixture);
    int64_t old = enter(&fixture, "old");
    store_close(fixture.store);
    fixture.store = world_store(fixture.directory, 0);
    enter(&fixture, "new");
    leave(&fixture, "old", old);
    assert_int_equal(due(&fixture), 1);
    close_store(&fixture);
}

static void
an_order_without_a_counter_takes_no_row_along(void **state)
{
    struct fixture fixture;
    (void)state;
    open_store(&fixture);
    for (uint32_t i = 0; i < QO_DEADLINE_COUNTERS_MAX; i++) {
        store_put_deadline(fixture.store, FAR_AWAY + (int64_t)i, bytes_text("filler"), 0, 1);
    }
    fixture.applied.seq = 1;
    commit(&fixture);
    assert_int_equal(fixture.store->deadlines.count, QO_DEADLINE_COUNTERS_MAX);

    int64_t uncounted = enter(&fixture, "uncounted");
    assert_int_equal(fixture.store->deadlines.count, QO_DEADLINE_COUNTERS_MAX);
    store_deadline_left(fixture.store, FAR_AWAY, 1); /* Makes room for one. */
    commit(&fixture);
    int64_t counted = enter(&fixture, "counted");
    assert_int_equal(fixture.store->deadlines.count, QO_DEADLINE_COUNTERS_MAX);

    leave(&fixture, "uncounted", uncounted);
    assert_int_equal(due(&fixture), 1);
    leave(&fixture, "counted", counted);
    assert_int_equal(due(&fixture), 0);
    assert_int_equal(fixture.store->deadlines.count, QO_DEADLINE_COUNTERS_MAX - 1);
    close_store(&fixture);
}

static void
counters_that_have_passed_are_forgotten(void **state)
{
    struct fixture fixture;
    (void)state;
    open_store(&fixture);
    enter(&fixture, "one");
    assert_int_equal(fixture.store->deadlines.count, 1);
    fixture.applied.time = DEADLINE;
    for (uint32_t i = 0; i < DEADLINE_SLOTS / DEADLINE_SLOTS_PER_COMMIT; i++) {
        commit(&fixture);
    }
    assert_int_equal(fixture.store->deadlines.count, 0);
    close_store(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_goes_with_the_last_order),
        cmocka_unit_test(an_order_from_before_the_opening_takes_no_row_along),
        cmocka_unit_test(an_order_without_a_counter_takes_no_row_along),
        cmocka_unit_test(counters_that_have_passed_are_forgotten),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("store/deadlines", tests, NULL, NULL);
}
