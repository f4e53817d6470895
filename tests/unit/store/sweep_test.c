/*
 * Goal: stale list rows go, live ones stay, whatever the sweeper has seen of them.
 * Method: orders that move through states for some hundred thousand seqs while another thread
 *         sweeps; the rows on disk are then compared with a model. Restarts lose all counters; more
 *         lists than there are counters make the store forget.
 */
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/assert.h"
#include "common/log.h"
#include "rocks.h"
#include "runs.h"
#include "world.h"

enum { ORDERS = 300, STATES = 3, PER_ENTRY = 128 };

/* Orders of the first definition, each in one state. */
struct lists {
    struct store *store;
    uint64_t prng;
    struct applied_point applied;
    struct {
        uint16_t state;
        uint64_t entered_seq; /* 0: not created. */
    } orders[ORDERS];
};

static struct bytes
order_id(uint32_t order, char out[16])
{
    snprintf(out, 16, "o%u", order);
    return bytes_text(out);
}

static void
move_order(struct lists *lists, uint32_t order, uint16_t state)
{
    char text[16];
    struct bytes id = order_id(order, text);
    struct buf bytes = {0};
    uint64_t seq = ++lists->applied.seq;
    struct order_record record = {
        .state = state,
        .version = 1,
        .seq = seq,
        .entered_seq = seq,
        .entered_version = 1,
        .prefixes_count = 1,
        .prefixes = {seq},
    };
    order_record_encode(&record, &bytes);
    store_put_order(lists->store, id, hash_shard(id, WORLD_SHARDS), buf_bytes(&bytes));
    buf_free(&bytes);
    const struct definition *definition =
        registry_get(store_registry(lists->store), REGISTRY_STATE, 0);
    store_put_list(lists->store, 0, definition->state_numbers[state], seq, id);
    if (lists->orders[order].entered_seq > 0) {
        store_list_left(lists->store, 0, definition->state_numbers[lists->orders[order].state],
                        lists->orders[order].entered_seq);
    }
    lists->orders[order].state = state;
    lists->orders[order].entered_seq = seq;
}

static void
commit(struct lists *lists)
{
    lists->applied.index++;
    store_commit(lists->store, &lists->applied);
}

/* Until `seq`: a third of the orders rests in the last state for good, the others move. */
static void
move_until(struct lists *lists, uint64_t seq)
{
    while (lists->applied.seq < seq) {
        for (uint32_t i = 0; i < PER_ENTRY; i++) {
            uint32_t order = (uint32_t)seed_below(&lists->prng, ORDERS);
            bool rests = order % 3 == 0;
            if (rests && lists->orders[order].entered_seq > 0) {
                continue;
            }
            uint16_t state = rests ? STATES - 1 : (uint16_t)seed_below(&lists->prng, STATES);
            move_order(lists, order, state);
        }
        commit(lists);
    }
}

static void
lists_open(struct lists *lists, const char *directory)
{
    lists->store = world_store(directory, 0);
    lists->applied = *store_applied(lists->store);
    if (lists->applied.index == 0) {
        struct buf compiled = {0};
        struct machine_error error;
        assert_int_equal(machine_compile(bytes_text(world_sources[0]), &compiled, &error), QO_OK);
        store_put_definition(lists->store,
                             registry_add(store_registry(lists->store), buf_bytes(&compiled),
                                          bytes_text(world_sources[0]), 1));
        buf_free(&compiled);
    }
}

struct rows {
    uint64_t live, stale, stale_old; /* Old: up to a given seq. */
};

/* All rows on disk: counts, and each live one where the model has it. */
static struct rows
rows_on_disk(struct lists *lists, uint64_t old_to)
{
    struct rows rows = {0};
    struct key first = key_list(0, 0, 0), bound = key_list(UINT16_MAX, 0, 0);
    rocksdb_readoptions_t *options = rocks_iterate_below(NULL, &bound);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(
        lists->store->rocks.db, options, lists->store->rocks.families[FAMILY_INDEX]);
    rocksdb_iter_seek(iterator, (const char *)first.bytes, first.size);
    for (; rocks_iterator_valid(iterator); rocksdb_iter_next(iterator)) {
        struct list_key row;
        struct cursor run = run_open(rocks_iterator_value(iterator));
        struct bytes id;
        uint32_t delta;
        assert_true(key_list_decode(rocks_iterator_key(iterator), &row));
        while (run_next_listed(&run, &delta, &id)) {
            char text[16] = {0};
            uint64_t entered_seq = row.entered_seq + delta;
            memcpy(text, id.data + 1, id.size - 1); /* Behind the 'o'. */
            uint32_t order = (uint32_t)strtoul(text, NULL, 10);
            bool live = lists->orders[order].entered_seq == entered_seq;
            rows.live += live;
            rows.stale += !live;
            rows.stale_old += !live && entered_seq <= old_to;
        }
    }
    rocksdb_iter_destroy(iterator);
    rocksdb_readoptions_destroy(options);
    return rows;
}

/* Each order stands once in the list of its state. */
static void
check_lists(struct lists *lists)
{
    struct store_view *view = store_view_begin(lists->store);
    const struct definition *definition =
        registry_get(store_registry(lists->store), REGISTRY_PUBLISHED, 0);
    uint32_t expected = 0, listed = 0;
    for (uint32_t i = 0; i < ORDERS; i++) {
        expected += lists->orders[i].entered_seq > 0;
    }
    for (uint16_t state = 0; state < STATES; state++) {
        uint64_t position = 0;
        for (bool end = false; !end;) {
            struct bytes id, bytes;
            struct store_list *list =
                store_list_begin(view, 0, definition->state_numbers[state], position);
            while (store_list_next(list, &id, &bytes)) {
                char text[16] = {0};
                memcpy(text, id.data + 1, id.size - 1);
                assert_int_equal(lists->orders[strtoul(text, NULL, 10)].state, state);
                listed++;
            }
            position = store_list_position(list, &end);
            store_list_end(list);
        }
    }
    assert_int_equal(listed, expected);
    store_view_end(view);
}

/* Every seq has put one row, and none was swept: a list of all states ends where it may look no
 * further, and goes on from there. */
static void
check_looks(struct lists *lists)
{
    struct store_view *view = store_view_begin(lists->store);
    struct bytes id, bytes;
    uint64_t position = 0;
    uint32_t listed = 0, pages = 0;
    for (bool end = false; !end; pages++) {
        struct store_list *list = store_list_begin(view, 0, RECORD_NONE, position);
        while (store_list_next(list, &id, &bytes)) {
            listed++;
        }
        uint64_t looked = lists->applied.seq - position;
        looked = looked < QO_LIST_LOOK_MAX ? looked : QO_LIST_LOOK_MAX;
        assert_int_equal(store_list_position(list, &end), position + looked);
        position += looked;
        store_list_end(list);
    }
    assert_true(pages > 1);
    assert_int_equal(listed, ORDERS);
    store_view_end(view);
}

/* Sweeps in small steps until nothing is left to do. */
static uint64_t
sweep_all(struct store *store, uint64_t rows_max)
{
    uint64_t removed = 0;
    do {
        removed += store_sweep(store, rows_max);
    } while (sweep_backlog_count(store) > 0 || store->sweeper.walking ||
             store->sweeper.next < store->sweeper.count);
    return removed;
}

struct sweeping {
    struct store *store;
    atomic_bool stop;
    uint64_t removed;
};

static void *
sweep_beside(void *arg)
{
    struct sweeping *sweeping = arg;
    while (!atomic_load(&sweeping->stop)) {
        sweeping->removed += store_sweep(sweeping->store, 500);
    }
    return NULL;
}

/* Stale rows may stay only in the open block and, in closed ones, where few are live. */
static void
assert_swept(struct lists *lists, uint64_t old_to)
{
    struct rows rows = rows_on_disk(lists, old_to);
    uint64_t blocks = (lists->applied.seq >> SWEEP_BLOCK_SHIFT) + 1;
    uint64_t created = 0;
    for (uint32_t i = 0; i < ORDERS; i++) {
        created += lists->orders[i].entered_seq > 0;
    }
    assert_int_equal(rows.live, created);
    assert_true(rows.stale <= SWEEP_BLOCK_SEQS + blocks * STATES * SWEEP_LOOKED_ROWS_MIN);
    assert_int_equal(rows.stale_old, 0);
}

static void
stale_rows_go_and_live_ones_stay(void **state)
{
    char directory[256];
    struct lists lists = {.prng = seed_init()};
    pthread_t thread;
    (void)state;
    world_directory(directory);
    lists_open(&lists, directory);
    struct sweeping sweeping = {.store = lists.store};
    assert_int_equal(pthread_create(&thread, NULL, sweep_beside, &sweeping), 0);
    move_until(&lists, 9 * SWEEP_BLOCK_SEQS / 2);
    check_lists(&lists);
    atomic_store(&sweeping.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    uint64_t removed = sweeping.removed + sweep_all(lists.store, 500);
    check_lists(&lists);
    assert_swept(&lists, 0);
    assert_true(removed > 2 * SWEEP_BLOCK_SEQS);
    store_close(lists.store);
    world_copy(directory, NULL);
}

static void
what_died_before_a_restart_is_found(void **state)
{
    char directory[256];
    struct lists lists = {.prng = seed_init()};
    (void)state;
    world_directory(directory);
    lists_open(&lists, directory);
    move_until(&lists, 5 * SWEEP_BLOCK_SEQS / 2);
    uint64_t old_to = lists.applied.seq;
    store_close(lists.store);

    lists_open(&lists, directory);
    assert_int_equal(lists.applied.seq, old_to);
    check_looks(&lists);
    assert_int_equal(rows_on_disk(&lists, old_to).stale_old,
                     old_to - rows_on_disk(&lists, old_to).live);
    assert_int_equal(sweep_all(lists.store, 700), old_to - rows_on_disk(&lists, old_to).live);
    assert_swept(&lists, old_to);
    /* The block that was open at the restart is not trusted, those after it are. */
    move_until(&lists, old_to + 5 * SWEEP_BLOCK_SEQS / 2);
    check_lists(&lists);
    assert_true(sweep_all(lists.store, 700) > SWEEP_BLOCK_SEQS / 2);
    check_lists(&lists);
    struct rows rows = rows_on_disk(&lists, 0);
    assert_true(rows.stale < 2 * SWEEP_BLOCK_SEQS + 5000);
    store_close(lists.store);
    world_copy(directory, NULL);
}

/* One order, a list row at every seq, in ever other lists, most of which have one row per block. */
static void
forgets_when_there_are_more_lists_than_counters(void **state)
{
    enum { LISTS = 20000, BLOCKS = 9 };
    char directory[256];
    struct lists lists = {.prng = seed_init()};
    (void)state;
    world_directory(directory);
    lists_open(&lists, directory);
    struct sweep_counters *counters = &lists.store->sweep_counters;
    uint32_t count_max = 0;
    move_order(&lists, 0, 0);
    for (uint64_t left = 1; lists.applied.seq < BLOCKS * SWEEP_BLOCK_SEQS;) {
        char text[16];
        for (uint32_t i = 0; i < PER_ENTRY; i++) {
            uint64_t seq = ++lists.applied.seq;
            store_put_list(lists.store, 1, (uint16_t)(seq % LISTS), seq, order_id(0, text));
            /* Every other row dies only much later, so that few blocks can be handed over. */
            if (seq % 2 == 0 && left < seq) {
                store_list_left(lists.store, 1, (uint16_t)(left % LISTS), left);
                left += 2;
            }
        }
        commit(&lists);
        count_max = counters->count > count_max ? counters->count : count_max;
        assert_true(counters->count <= QO_SWEEP_COUNTERS_MAX);
    }
    assert_int_equal(count_max, QO_SWEEP_COUNTERS_MAX);
    /* All rows but the model's one are stale to who looks; nothing may be deleted that is live. */
    sweep_all(lists.store, 5000);
    struct rows rows = rows_on_disk(&lists, 0);
    assert_int_equal(rows.live, 1);
    /* The table still finds what it holds. */
    uint32_t found = 0;
    for (uint32_t slot = 0; slot < SWEEP_SLOTS; slot++) {
        found += counters->slots[slot].put > 0;
    }
    assert_int_equal(found, counters->count);
    store_close(lists.store);
    world_copy(directory, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stale_rows_go_and_live_ones_stay),
        cmocka_unit_test(what_died_before_a_restart_is_found),
        cmocka_unit_test(forgets_when_there_are_more_lists_than_counters),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("store/sweep", tests, NULL, NULL);
}
