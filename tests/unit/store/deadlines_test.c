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
    struct deadline_place next;
    return store_scan_deadlines(fixture->store, (struct deadline_place){0}, DEADLINE,
                                &fixture->arena, rows, 8, &next);
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

/* -- The scan -----------------------------------------------------------------------------------*/

/* Orders that entries give the same deadline, many in each; half of them leave it again. */
enum { ENTRIES = 4, PER_ENTRY = 300, OF_ONE_DEADLINE = ENTRIES * PER_ENTRY };

static void
name_order(char name[16], uint32_t n)
{
    (void)snprintf(name, 16, "o-%u", (unsigned)n);
}

static void
enter_many(struct fixture *fixture)
{
    char name[16];
    for (uint32_t n = 0; n < OF_ONE_DEADLINE; n++) {
        name_order(name, n);
        put_record(fixture, name, ++fixture->applied.seq, DEADLINE);
        store_put_deadline(fixture->store, DEADLINE, bytes_text(name), 0, 1);
        if (n % PER_ENTRY == PER_ENTRY - 1) {
            commit(fixture);
        }
    }
}

static void
each_order_of_one_deadline_is_given(void **state)
{
    enum { MAX = 64 };
    static bool fired[OF_ONE_DEADLINE];
    struct store_deadline rows[MAX];
    struct deadline_place next = {0};
    struct fixture fixture;
    char name[16];
    uint32_t count, total = 0;
    (void)state;
    open_store(&fixture);
    enter_many(&fixture);
    /* As the timers do it: what is given is fired, and then the scan goes on at `next`. */
    while ((count = store_scan_deadlines(fixture.store, next, DEADLINE, &fixture.arena, rows, MAX,
                                         &next)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t n = total + i;
            name_order(name, n); /* In order of entry. */
            assert_true(bytes_equal(rows[i].id, bytes_text(name)));
            assert_false(fired[n]);
            fired[n] = true;
            put_record(&fixture, name, ++fixture.applied.seq, 0);
            store_deadline_left(fixture.store, DEADLINE, 1);
        }
        commit(&fixture);
        total += count;
    }
    assert_int_equal(total, OF_ONE_DEADLINE);
    close_store(&fixture);
}

static void
a_scan_gets_past_any_number_of_stale_orders(void **state)
{
    struct deadline_place next = {0};
    struct store_deadline row;
    struct fixture fixture;
    uint32_t scans = 1, count;
    (void)state;
    open_store(&fixture);
    put_record(&fixture, "gone", 1, 0);
    fixture.applied.seq = 1;
    uint32_t stale = 3 * QO_DEADLINE_LOOK_MAX;
    for (uint32_t n = 1; n <= stale; n++) {
        store_put_deadline(fixture.store, DEADLINE - 1, bytes_text("gone"), 0, 1);
        if (n % PER_ENTRY == 0) {
            commit(&fixture);
        }
    }
    enter(&fixture, "due");
    while ((count = store_scan_deadlines(fixture.store, next, DEADLINE, &fixture.arena, &row, 1,
                                         &next)) == 0) {
        scans++;
        assert_true(scans < 10);
    }
    assert_int_equal(count, 1);
    assert_true(scans > 1); /* Else the bound was not met. */
    assert_true(bytes_equal(row.id, bytes_text("due")));
    assert_int_equal(row.deadline, DEADLINE);
    close_store(&fixture);
}

static void
a_scan_that_came_to_the_end_goes_on_behind_it(void **state)
{
    struct deadline_place next = {0};
    struct store_deadline row;
    struct fixture fixture;
    (void)state;
    open_store(&fixture);
    put_record(&fixture, "gone", 1, 0);
    store_put_deadline(fixture.store, DEADLINE, bytes_text("gone"), 0, 1);
    fixture.applied.seq = 1;
    commit(&fixture);
    assert_int_equal(
        store_scan_deadlines(fixture.store, next, DEADLINE, &fixture.arena, &row, 1, &next), 0);
    assert_int_equal(next.deadline, DEADLINE + 1);
    assert_int_equal(next.index, 0);
    close_store(&fixture);
}

static void
what_has_passed_is_swept_once_all_have_left(void **state)
{
    struct fixture fixture;
    (void)state;
    open_store(&fixture);
    int64_t one = enter(&fixture, "one");
    store_close(fixture.store); /* Its counter is lost. */
    fixture.store = world_store(fixture.directory, 0);
    enter(&fixture, "two");
    leave(&fixture, "one", one);
    assert_int_equal(store_sweep(fixture.store, 1), 0);
    assert_int_equal(due(&fixture), 1);
    fixture.applied.time = DEADLINE + 1;
    commit(&fixture);
    assert_int_equal(store_sweep(fixture.store, 100), 1);
    assert_int_equal(due(&fixture), 1); /* "two" has not left. */
    assert_int_equal(store_sweep(fixture.store, 100), 0);
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
        cmocka_unit_test(each_order_of_one_deadline_is_given),
        cmocka_unit_test(a_scan_gets_past_any_number_of_stale_orders),
        cmocka_unit_test(a_scan_that_came_to_the_end_goes_on_behind_it),
        cmocka_unit_test(what_has_passed_is_swept_once_all_have_left),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("store/deadlines", tests, NULL, NULL);
}
