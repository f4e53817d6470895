/*
 * Goal: what log.h promises of failures, order and bounds, one by one.
 * Method: fixed cases over the simulated disk, which does an operation when it is told to. What
 * must end the process runs in a child.
 */
#include "support/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bytes.h"
#include "log.h"
#include "log_sim.h"
#include "support/seed.h"

enum { SEGMENT_BYTES = 8 * LOG_BLOCK, APPENDS_MAX = 64 };

struct world {
    uint64_t prng;
    struct sim_disk sim;
    struct log *log;
    struct log_failure failure;
    struct log_append appends[APPENDS_MAX];
    struct log_publish publish;
    unsigned appended, told, published;
    bool in_order;
    enum fatal_reason stopped;
};

static struct world world;

static uint8_t large[3 * LOG_BLOCK];
static const struct log_entry small_entry = {1, 1, {(const uint8_t *)"small", 5}};
static const struct log_entry large_entry = {1, 1, {large, sizeof large}};

static void
node_stopped(void *context, enum fatal_reason reason, const char *text)
{
    (void)context;
    (void)text;
    world.stopped = reason;
}

static bool
open_log(void)
{
    struct log_options options = {.disk = &world.sim.table, .stop = node_stopped};
    world.log = log_open(&options, &world.failure);
    return world.log != NULL;
}

static int
begin(void **state)
{
    struct log_shape shape = {.salt = 5, .segment_bytes = SEGMENT_BYTES};
    (void)state;
    memset(&world, 0, sizeof world);
    world.prng = 1;
    world.in_order = true;
    shape.manifest_bytes_max = 1000;
    sim_init(&world.sim, &world.prng);
    bool made = log_create(&world.sim.table, &shape, &world.failure) && open_log();
    return made ? 0 : -1;
}

static int
end(void **state)
{
    (void)state;
    if (world.log != NULL) {
        log_free(world.log);
    }
    sim_free(&world.sim);
    return 0;
}

static void
told(struct log_append *request)
{
    world.in_order = world.in_order && request == &world.appends[world.told];
    world.told++;
}

static void
published(struct log_publish *request)
{
    (void)request;
    world.published++;
}

static void
append(const struct log_entry *entry)
{
    log_append(world.log, &world.appends[world.appended++], entry, 1, told);
}

static void
settle(void)
{
    while (sim_step(&world.sim)) {
    }
}

static void
reopen(void)
{
    log_free(world.log);
    sim_restart(&world.sim);
    world.appended = world.told = 0;
    assert_true(open_log());
}

/* -- Failures ---------------------------------------------------------------------------------- */

static void
fail_append(void)
{
    append(&small_entry);
    append(&small_entry);
}

static void
fail_term(void)
{
    log_set_term(world.log, 9);
}

static void
fail_publish(void)
{
    append(&small_entry);
    settle();
    world.told = 0;
    world.sim.error = EIO;
    log_publish(world.log, &world.publish, 1, 1, 0, bytes_text("x"), published);
}

static void
fail_mark(void)
{
    append(&small_entry);
    settle();
    world.told = 0;
    world.sim.error = EIO;
    for (unsigned i = 0; i < QO_LOG_MARK_TICKS; i++) {
        log_tick(world.log);
    }
}

static void
a_failed_write_ends_the_node_before_anybody_is_told(void **state)
{
    static void (*const failures[])(void) = {fail_append, fail_term, fail_publish, fail_mark};
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        world.sim.error = EIO;
        failures[i]();
        settle();
        assert_int_equal(world.stopped, FATAL_STORAGE);
        append(&small_entry); /* A dead log does nothing. */
        settle();
        assert_int_equal(world.told + world.published, 0);
        (void)end(state);
        (void)begin(state);
    }
}

static void
a_failed_write_is_exit_status_12(void **state)
{
    int status;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct log_options options = {.disk = &world.sim.table};
        log_free(world.log);
        world.log = log_open(&options, &world.failure);
        world.sim.error = EIO;
        log_set_term(world.log, 2);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), FATAL_STORAGE);
}

static void
appends_wait_for_room_and_go_on_at_a_tick(void **state)
{
    (void)state;
    /* One large entry for each segment; two must be ahead, so the third needs a new one. */
    append(&large_entry);
    append(&large_entry);
    append(&large_entry);
    append(&large_entry);
    for (unsigned i = 0; i < 8; i++) {
        append(&large_entry);
    }
    bool full = true;
    do {
        world.sim.error = 0;
        for (unsigned lane = 0; lane < LOG_LANES; lane++) {
            bool creates =
                world.sim.counts[lane] > 0 && world.sim.queues[lane][0]->kind == LOG_IO_CREATE;
            world.sim.error =
                creates && world.sim.counts[LOG_LANE_APPEND] == 0 ? ENOSPC : world.sim.error;
        }
        full = full && sim_step(&world.sim);
    } while (full);
    world.sim.error = 0;
    unsigned before = world.told;
    assert_in_range(before, 1, 11);
    assert_int_equal(world.stopped, 0);
    log_tick(world.log); /* There is room again. */
    settle();
    assert_int_equal(world.told, 12);
    assert_true(world.in_order);
}

/* -- Order ------------------------------------------------------------------------------------- */

static void
truncated_requests_are_told_in_order(void **state)
{
    (void)state;
    append(&small_entry);
    append(&small_entry); /* Waits for the first write. */
    append(&small_entry);
    log_truncate(world.log, 2);
    append(&small_entry);
    assert_int_equal(world.told, 0);
    settle();
    assert_int_equal(world.told, 4);
    assert_true(world.in_order);
    reopen();
    assert_int_equal(log_loaded(world.log)->count, 2);
}

static void
a_replaced_log_begins_behind_its_snapshot(void **state)
{
    static const struct log_entry later = {7, 2, {(const uint8_t *)"later", 5}};
    (void)state;
    append(&small_entry);
    append(&small_entry);
    log_replace(world.log, &world.publish, 100, 6, bytes_text("manifest"), published);
    append(&later); /* Held until the log is replaced. */
    settle();
    assert_int_equal(world.told, 3);
    assert_int_equal(world.published, 1);
    reopen();
    const struct log_loaded *loaded = log_loaded(world.log);
    assert_int_equal(loaded->snapshot_index, 100);
    assert_int_equal(loaded->snapshot_term, 6);
    assert_true(bytes_equal(loaded->manifest, bytes_text("manifest")));
    assert_int_equal(loaded->first_index, 101);
    assert_int_equal(loaded->count, 1);
    assert_int_equal(loaded->entries[0].term, 7);
}

static void
one_entry_is_durable_at_once(void **state)
{
    (void)state;
    assert_true(log_append_now(world.log, &small_entry));
    reopen();
    assert_int_equal(log_loaded(world.log)->count, 1);
    append(&small_entry);
    settle();
    reopen();
    assert_int_equal(log_loaded(world.log)->count, 2);
}

static void
truncating_what_a_snapshot_holds_is_a_bug(void **state)
{
    int status;
    (void)state;
    append(&small_entry);
    append(&small_entry);
    settle();
    log_publish(world.log, &world.publish, 2, 1, 0, bytes_text("x"), published);
    settle();
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        log_truncate(world.log, 2);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* -- Bounds ------------------------------------------------------------------------------------ */

static void
keeps_segments_for_members_that_lag_up_to_a_bound(void **state)
{
    struct log_status status;
    static const uint64_t keeps[] = {0, UINT64_C(6) * SEGMENT_BYTES};
    for (size_t i = 0; i < sizeof keeps / sizeof keeps[0]; i++) {
        struct log_options options = {.disk = &world.sim.table, .keep_bytes = keeps[i]};
        log_free(world.log);
        world.log = log_open(&options, &world.failure);
        for (unsigned n = 0; n < 40; n++) {
            append(&large_entry);
        }
        settle();
        log_status(world.log, &status);
        assert_in_range(status.live_bytes, 20 * SEGMENT_BYTES, 40 * SEGMENT_BYTES);
        log_publish(world.log, &world.publish, 40, 1, 40, bytes_text("x"), published);
        settle();
        log_status(world.log, &status);
        assert_int_equal(status.live_bytes, keeps[i] == 0 ? SEGMENT_BYTES : keeps[i]);
        assert_true(status.segments <= status.live_bytes / SEGMENT_BYTES + QO_LOG_SEGMENTS_AHEAD +
                                           QO_LOG_SEGMENTS_FREE_MAX);
        (void)end(state);
        (void)begin(state);
    }
}

/* -- Files of another time --------------------------------------------------------------------- */

static void
fill_segments(uint8_t letter)
{
    memset(large, letter, sizeof large);
    for (unsigned n = 0; n < 8; n++) {
        append(&large_entry);
    }
    settle();
}

/* An operator copies one segment from a backup: every record in it is good, but not of this log. */
static void
refuses_a_segment_of_another_history(void **state)
{
    struct sim_disk other;
    (void)state;
    fill_segments('a');
    sim_clone(&other, &world.sim, &world.prng); /* The backup ... */
    (void)end(state);
    (void)begin(state); /* ... and a log with the same start, but other entries. */
    fill_segments('b');
    log_free(world.log);
    int from = sim_find(&other, "segment-0001"), to = sim_find(&world.sim, "segment-0001");
    memcpy(world.sim.files[to].data, other.files[from].data, SEGMENT_BYTES);
    assert_false(open_log());
    assert_int_equal(world.failure.reason, FATAL_CORRUPT);
    /* Nothing but the chain tells. */
    struct log_options careless = {.disk = &world.sim.table, .without = LOG_WITHOUT_CHAIN};
    world.log = log_open(&careless, &world.failure);
    assert_non_null(world.log);
    sim_free(&other);
}

static void
refuses_gaps_between_segments(void **state)
{
    (void)state;
    fill_segments('a');
    log_free(world.log);
    world.sim.files[sim_find(&world.sim, "segment-0001")].exists = false;
    assert_false(open_log());
    assert_non_null(strstr(world.failure.text, "missing"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failed_write_ends_the_node_before_anybody_is_told, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_failed_write_is_exit_status_12, begin, end),
        cmocka_unit_test_setup_teardown(appends_wait_for_room_and_go_on_at_a_tick, begin, end),
        cmocka_unit_test_setup_teardown(truncated_requests_are_told_in_order, begin, end),
        cmocka_unit_test_setup_teardown(a_replaced_log_begins_behind_its_snapshot, begin, end),
        cmocka_unit_test_setup_teardown(one_entry_is_durable_at_once, begin, end),
        cmocka_unit_test_setup_teardown(truncating_what_a_snapshot_holds_is_a_bug, begin, end),
        cmocka_unit_test_setup_teardown(keeps_segments_for_members_that_lag_up_to_a_bound, begin,
                                        end),
        cmocka_unit_test_setup_teardown(refuses_a_segment_of_another_history, begin, end),
        cmocka_unit_test_setup_teardown(refuses_gaps_between_segments, begin, end),
    };
    return cmocka_run_group_tests_name("consensus/log_rules", tests, NULL, NULL);
}
