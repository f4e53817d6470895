/*
 * Goal: the store holds what was committed, all of an entry or nothing, over restarts and crashes.
 * Method: random entries against a model in memory (world.h); a process that is killed; a
 * checkpoint put in the place of a store; a reader's views while a writer commits.
 */
#include "support/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "common/assert.h"
#include "common/log.h"
#include "registry_private.h"
#include "world.h"

enum { MIB = 1024 * 1024, SMALL_MEMTABLE = 256 * 1024, CHILD_SECONDS_MAX = 600 };

/* A model alone, up to the entry `index`. */
static struct world *
model_until(uint64_t seed, uint64_t index, struct registry *registry)
{
    struct world *world = world_begin(seed, NULL, registry);
    while (world->applied.index < index) {
        world_entry(world);
    }
    return world;
}

static void
check_against_model(uint64_t seed, struct store *store)
{
    struct registry *registry = registry_open();
    struct world *model = model_until(seed, store_applied(store)->index, registry);
    assert_int_equal(registry_count(store_registry(store), REGISTRY_PUBLISHED),
                     registry_count(registry, REGISTRY_STATE));
    world_check(model, store);
    world_end(model);
    registry_close(registry);
}

static void
agrees_with_a_model_and_after_reopening(void **state)
{
    uint64_t seed = seed_init();
    char directory[256];
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, 0);
    struct world *world = world_begin(seed, store, store_registry(store));
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < 40; i++) {
            world_entry(world);
        }
        world_check(world, store);
        store_close(store);
        store = world_store(directory, 0);
        world->store = store;
        world->registry = store_registry(store);
        world_check(world, store);
    }
    struct store_counters counters = store_counters(store);
    assert_int_equal(counters.commits, 0);
    world_entry(world);
    counters = store_counters(store);
    assert_int_equal(counters.commits, 1);
    assert_true(counters.puts >= 3 && counters.bytes > 300);
    world_end(world);
    store_close(store);
    world_copy(directory, NULL);
}

static void
many_orders_are_read_at_once(void **state)
{
    uint64_t seed = seed_init();
    char directory[256];
    struct arena arena = {0};
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, 0);
    struct world *world = world_begin(seed, store, store_registry(store));
    for (uint32_t i = 0; i < 60; i++) {
        world_entry(world);
    }
    enum { KEYS = 3 * WORLD_ORDERS_MAX };
    struct store_order_key keys[KEYS];
    struct bytes records[KEYS];
    for (uint32_t i = 0; i < KEYS; i++) {
        const struct world_order *order = &world->orders[i % world->orders_count];
        keys[i] = (struct store_order_key){.id = world_id(order), .shard = order->shard};
        if (i % 5 == 0) {
            keys[i].id = bytes_text("nobody");
        }
    }
    store_get_orders(store, keys, KEYS, &arena, records);
    for (uint32_t i = 0; i < KEYS; i++) {
        const struct world_order *order = &world->orders[i % world->orders_count];
        if (i % 5 == 0) {
            assert_null(records[i].data);
        } else {
            world_same(order->id, records[i], buf_bytes(&order->record_bytes));
        }
    }
    store_get_orders(store, keys, 0, &arena, records);
    arena_free(&arena);
    world_end(world);
    store_close(store);
    world_copy(directory, NULL);
}

/* Commits without end, with memtables so small that flushes happen all the time. */
_Noreturn static void
commit_until_killed(const char *directory, uint64_t seed)
{
    alarm(CHILD_SECONDS_MAX); /* Another signal than the one that is expected. */
    struct store *store = world_store(directory, SMALL_MEMTABLE);
    struct world *world = world_begin(seed, store, store_registry(store));
    for (;;) {
        world_entry(world);
        if (world->applied.index % 16 == 0) {
            store_sweep(store, 1000);
        }
        if (world->applied.seq >= 6000) {
            raise(SIGKILL);
        }
    }
}

static void
a_killed_process_leaves_whole_entries(void **state)
{
    enum { CHILDREN = 3 };
    uint64_t seed = seed_init();
    char directories[CHILDREN][256];
    pid_t children[CHILDREN];
    uint32_t kept = 0;
    (void)state;
    for (uint32_t i = 0; i < CHILDREN; i++) {
        world_directory(directories[i]);
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            commit_until_killed(directories[i], seed + i);
        }
    }
    for (uint32_t i = 0; i < CHILDREN; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    for (uint32_t i = 0; i < CHILDREN; i++) {
        struct store *store = world_store(directories[i], SMALL_MEMTABLE);
        kept += store_applied(store)->index > 0;
        check_against_model(seed + i, store);
        store_close(store);
        world_copy(directories[i], NULL);
    }
    assert_true(kept > 0); /* Else nothing had been flushed, and this proves nothing. */
}

static void
a_checkpoint_is_a_whole_store(void **state)
{
    uint64_t seed = seed_init();
    char directory[256], copy[256], path[600], database[600];
    struct applied_point points[4];
    (void)state;
    world_directory(directory);
    world_directory(copy);
    struct store *store = world_store(directory, 0);
    struct world *world = world_begin(seed, store, store_registry(store));
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t n = 0; n < 25; n++) {
            world_entry(world);
        }
        store_checkpoint(store, &points[i]);
        world_check_applied(world, &points[i]);
        store_checkpoint(store, &points[i]); /* Again, with nothing new. */
        world_check_applied(world, &points[i]);
    }
    /* The last two are kept, and nothing half made. */
    uint32_t found = 0;
    snprintf(path, sizeof path, "%s/checkpoints", directory);
    DIR *checkpoints = opendir(path);
    assert_non_null(checkpoints);
    for (struct dirent *entry; (entry = readdir(checkpoints)) != NULL;) {
        found += entry->d_name[0] != '.';
    }
    closedir(checkpoints);
    assert_int_equal(found, 2);
    world_end(world);
    store_close(store);

    for (uint32_t i = 2; i < 4; i++) {
        snprintf(path, sizeof path, "%s/checkpoints/%llu", directory,
                 (unsigned long long)points[i].index);
        snprintf(database, sizeof database, "%s/" STORE_DATABASE, copy);
        world_copy(path, database);
        store = world_store(copy, 0);
        assert_int_equal(store_applied(store)->index, points[i].index);
        check_against_model(seed, store);
        store_close(store);
        world_copy(database, NULL);
    }
    world_copy(directory, NULL);
    world_copy(copy, NULL);
}

/* The exit status of a process that opens a store with these options, commits so many entries, and
 * closes it. */
static int
status_of_opening(const struct store_options *options, uint32_t entries)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS_MAX);
        struct store *store = store_open(options);
        struct world *world = world_begin(1, store, store_registry(store));
        for (uint32_t i = 0; i < entries; i++) {
            world_entry(world);
        }
        store_close(store);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
refuses_a_directory_that_is_not_its_own(void **state)
{
    char directory[256];
    (void)state;
    world_directory(directory);
    struct store_options options = {
        .directory = directory, .cluster_id = "test-cluster", .shards = WORLD_SHARDS};
    assert_int_equal(status_of_opening(&options, 30), 0);
    assert_int_equal(status_of_opening(&options, 0), 0);
    options.shards = WORLD_SHARDS + 1;
    assert_int_equal(status_of_opening(&options, 0), FATAL_DIRECTORY);
    options.shards = WORLD_SHARDS;
    snprintf(options.cluster_id, sizeof options.cluster_id, "test-cluster-2");
    assert_int_equal(status_of_opening(&options, 0), FATAL_DIRECTORY);
    world_copy(directory, NULL);
}

static void
a_damaged_file_ends_the_node(void **state)
{
    char directory[256], path[600];
    (void)state;
    world_directory(directory);
    struct store_options options = {
        .directory = directory, .cluster_id = "test-cluster", .shards = WORLD_SHARDS};
    assert_int_equal(status_of_opening(&options, 30), 0);
    /* Every file of the database that holds tables gets a hole in its middle. */
    snprintf(path, sizeof path, "%s/" STORE_DATABASE, directory);
    DIR *database = opendir(path);
    assert_non_null(database);
    uint32_t damaged = 0;
    for (struct dirent *entry; (entry = readdir(database)) != NULL;) {
        if (strstr(entry->d_name, ".sst") != NULL) {
            char file[900];
            snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            FILE *table = fopen(file, "r+b");
            assert_non_null(table);
            for (long at = 8; at < 64; at++) {
                fseek(table, at, SEEK_SET);
                fputc(0x5a, table);
            }
            fclose(table);
            damaged++;
        }
    }
    closedir(database);
    assert_true(damaged > 0);
    assert_int_equal(status_of_opening(&options, 0), FATAL_CORRUPT);
    world_copy(directory, NULL);
}

/* A reader beside a writer. What goes wrong is noted, and asserted on the test's own thread. */
struct beside {
    struct store *store;
    atomic_bool stop;
    uint64_t views, wrong;
};

static bool
view_is_whole(struct store_view *view)
{
    const struct applied_point *applied = store_view_applied(view);
    const struct registry *registry = store_registry(store_view_store(view));
    uint64_t seq = applied->seq;
    struct buf buf = {0};
    struct event_record event;
    struct order_record record;
    struct bytes bytes;
    /* The last event it counts is there, and the one after it is not. */
    bool right = !store_view_get_event(view, seq + 1, &buf);
    if (seq == 0) {
        buf_free(&buf);
        return right;
    }
    right = right && store_view_get_event(view, seq, &buf) &&
            event_record_decode(seq, buf_bytes(&buf), &event) && event.at <= applied->time;
    /* Its order's record is of that event, and its definition can be found. */
    struct buf order = {0};
    right = right && store_view_get_order(view, event.id, &order) &&
            order_record_decode(buf_bytes(&order), &record) && record.seq == seq &&
            registry_get(registry, REGISTRY_PUBLISHED, record.definition) != NULL;
    /* The feed has no gap before it and ends there. */
    uint64_t from = seq > 50 ? seq - 50 : 1, next = from, given;
    struct store_events *events = store_events_begin(view, from);
    while (store_events_next(events, &given, &bytes)) {
        right = right && given == next && event_record_decode(given, bytes, &event);
        next++;
    }
    store_events_end(events);
    buf_free(&order);
    buf_free(&buf);
    return right && next == seq + 1;
}

static void *
look_at_views(void *arg)
{
    struct beside *beside = arg;
    uint64_t last = 0;
    while (!atomic_load(&beside->stop)) {
        struct store_view *view = store_view_begin(beside->store);
        uint64_t index = store_view_applied(view)->index;
        beside->wrong += index < last || !view_is_whole(view);
        last = index;
        store_view_end(view);
        beside->views++;
    }
    return NULL;
}

static void
views_show_whole_entries_while_a_writer_commits(void **state)
{
    uint64_t seed = seed_init();
    char directory[256];
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, MIB);
    struct world *world = world_begin(seed, store, store_registry(store));
    struct beside readers[2] = {{.store = store}, {.store = store}};
    pthread_t threads[2];
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look_at_views, &readers[i]), 0);
    }
    while (world->applied.seq < 6000) {
        world_entry(world);
    }
    for (uint32_t i = 0; i < 2; i++) {
        atomic_store(&readers[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(readers[i].views > 0);
        assert_int_equal(readers[i].wrong, 0);
    }
    world_check(world, store);
    world_end(world);
    store_close(store);
    world_copy(directory, NULL);
}

static void
a_view_stays_as_it_was(void **state)
{
    uint64_t seed = seed_init();
    char directory[256];
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, 0);
    struct world *world = world_begin(seed, store, store_registry(store));
    for (uint32_t i = 0; i < 30; i++) {
        world_entry(world);
    }
    struct store_view *view = store_view_begin(store);
    struct registry *registry = registry_open();
    struct world *model = model_until(seed, world->applied.index, registry);
    for (uint32_t i = 0; i < 30; i++) {
        world_entry(world);
        store_sweep(store, 1000);
    }
    world_check_applied(model, store_view_applied(view));
    world_check_lists(model, view);
    store_view_end(view);
    world_end(model);
    registry_close(registry);
    world_end(world);
    store_close(store);
    world_copy(directory, NULL);
}

static void
note_size(void *context, const char *name, uint64_t bytes)
{
    uint32_t *seen = context;
    *seen += strcmp(name, "sst") == 0 && bytes > 0 ? 1 : 0;
    *seen += strcmp(name, "memtables") == 0 && bytes > 0 ? 1 : 0;
    *seen += strcmp(name, "sweep_backlog") == 0 ? 1 : 0;
}

static void
tells_its_sizes(void **state)
{
    uint64_t seed = seed_init();
    char directory[256];
    struct applied_point applied;
    uint32_t seen = 0;
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, 0);
    struct world *world = world_begin(seed, store, store_registry(store));
    world_entry(world);
    store_checkpoint(store, &applied);
    store_sizes(store, note_size, &seen);
    assert_int_equal(seen, 3);
    world_end(world);
    store_close(store);
    world_copy(directory, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        /* First those that fork: RocksDB's threads do not come along. */
        cmocka_unit_test(refuses_a_directory_that_is_not_its_own),
        cmocka_unit_test(a_damaged_file_ends_the_node),
        cmocka_unit_test(a_killed_process_leaves_whole_entries),
        cmocka_unit_test(agrees_with_a_model_and_after_reopening),
        cmocka_unit_test(many_orders_are_read_at_once),
        cmocka_unit_test(a_checkpoint_is_a_whole_store),
        cmocka_unit_test(views_show_whole_entries_while_a_writer_commits),
        cmocka_unit_test(a_view_stays_as_it_was),
        cmocka_unit_test(tells_its_sizes),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("store/store", tests, NULL, NULL);
}
