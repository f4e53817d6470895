/*
 * Goal: store_stalls() says that a commit would wait for RocksDB while it would, and not after.
 * Method: real RocksDB whose compactions are held up: they have no thread. Flushes leave files on
 *     level 0 until their number comes to a bound of one family (which is lowered to it); then the
 *     compactions catch up. What RocksDB does with a write is told by one that must not wait
 *     (no_slowdown): it is not done.
 */
#include "support/test.h"

#include "rocks.h"
#include "world.h"

/* More than a delayed write is given at once: the second of two waits. */
enum { FILES = 4, MUCH = 1024 * 1024 };

struct bound {
    const char *option, *lowered, *usual;
};

static const struct bound bounds[] = {
    {"level0_slowdown_writes_trigger", "4", "20"}, /* FILES; what RocksDB has by itself. */
    {"level0_stop_writes_trigger", "4", "36"},
};

static bool
write_would_wait(struct store *store)
{
    rocksdb_writeoptions_t *at_once = rocksdb_writeoptions_create();
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    char *value = mem_zalloc(MUCH), *error = NULL;
    rocksdb_writeoptions_disable_WAL(at_once, 1);
    rocksdb_writeoptions_set_no_slowdown(at_once, 1);
    rocksdb_writebatch_put_cf(batch, store->rocks.families[FAMILY_META], "much", 4, value, MUCH);
    rocksdb_write(store->rocks.db, at_once, batch, &error);
    bool waits = error != NULL;
    if (waits && strstr(error, "Write stall") == NULL) {
        fail_msg("%s", error);
    }
    mem_free(value);
    rocksdb_free(error);
    rocksdb_writebatch_destroy(batch);
    rocksdb_writeoptions_destroy(at_once);
    return waits;
}

static void
set_bound(struct store *store, enum family family, const struct bound *bound, bool lowered)
{
    const char *value = lowered ? bound->lowered : bound->usual;
    char *error = NULL;
    rocksdb_set_options_cf(store->rocks.db, store->rocks.families[family], 1, &bound->option,
                           &value, &error);
    assert_null(error);
}

static void
flush(struct store *store, enum family family)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *error = NULL;
    rocksdb_flush_cf(store->rocks.db, options, store->rocks.families[family], &error);
    assert_null(error);
    rocksdb_flushoptions_destroy(options);
}

static void
stalls_at_a_bound_until_compactions_have_caught_up(struct store *store, struct world *world,
                                                   enum family family, const struct bound *bound)
{
    rocksdb_env_set_background_threads(store->options.env, 0);
    for (uint32_t file = 0; file < FILES; file++) {
        assert_false(store_stalls(store));
        world_entry(world); /* Rows for every family. */
        flush(store, family);
    }
    assert_false(store_stalls(store));
    assert_false(write_would_wait(store));
    set_bound(store, family, bound, true);
    assert_true(store_stalls(store));
    assert_true(write_would_wait(store));
    rocksdb_env_set_background_threads(store->options.env, 1);
    rocksdb_compact_range_cf(store->rocks.db, store->rocks.families[family], NULL, 0, NULL, 0);
    assert_false(store_stalls(store));
    assert_false(write_would_wait(store));
    set_bound(store, family, bound, false);
}

static void
stalls_while_a_commit_would_wait_for_any_family(void **state)
{
    char directory[256];
    (void)state;
    world_directory(directory);
    struct store *store = world_store(directory, 0);
    struct world *world = world_begin(seed_init(), store, store_registry(store));
    for (uint32_t family = 0; family < FAMILIES; family++) {
        for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
            stalls_at_a_bound_until_compactions_have_caught_up(store, world, (enum family)family,
                                                               &bounds[i]);
        }
    }
    world_entry(world);
    world_check(world, store);
    world_end(world);
    store_close(store);
    world_copy(directory, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stalls_while_a_commit_would_wait_for_any_family),
    };
    return cmocka_run_group_tests_name("store/stalls", tests, NULL, NULL);
}
