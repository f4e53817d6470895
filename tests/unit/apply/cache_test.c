/*
 * Goal: the cache gives the last record put or none, never another, and keeps to its bound.
 * Method: random puts, gets and trims against a plain array, with hashes made to collide.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "overlay.h"
#include "support/seed.h"

enum { ORDERS = 4000, STEPS = 200000, RECORD_MAX = 700, BYTES_MAX = 700000 };

struct known {
    uint32_t size; /* 0: never put. */
    uint8_t fill;
};

static struct bytes
id_of(uint32_t order, char id[16])
{
    return bytes_make(id, (size_t)snprintf(id, 16, "order-%u", order));
}

/* Few different homes, so that runs of slots are long and removals have much to move. */
static uint64_t
hash_of(uint32_t order)
{
    return (uint64_t)(order % 97) * UINT64_C(0x9e3779b97f4a7c15);
}

static void
gives_the_last_record_put_or_none(void **state)
{
    static struct known known[ORDERS];
    uint64_t prng = seed_init();
    struct cache *cache = cache_open(BYTES_MAX);
    uint32_t hits = 0, misses = 0;
    (void)state;
    for (uint32_t step = 0; step < STEPS; step++) {
        char id[16];
        uint8_t record[RECORD_MAX];
        uint32_t order = (uint32_t)seed_below(&prng, ORDERS);
        if (seed_below(&prng, 2) == 0) {
            known[order].size = (uint32_t)(1 + seed_below(&prng, RECORD_MAX));
            known[order].fill = (uint8_t)seed_next(&prng);
            memset(record, known[order].fill, known[order].size);
            cache_put(cache, id_of(order, id), hash_of(order),
                      bytes_make(record, known[order].size));
        }
        struct bytes found;
        if (cache_get(cache, id_of(order, id), hash_of(order), &found)) {
            memset(record, known[order].fill, known[order].size);
            assert_true(bytes_equal(found, bytes_make(record, known[order].size)));
            hits++;
        } else {
            misses++;
        }
        if (step % 100 == 0) {
            cache_trim(cache);
            assert_true(cache_bytes(cache) <= BYTES_MAX + BYTES_MAX / QO_CACHE_OVER_SHARE);
        }
    }
    assert_true(hits > 0 && misses > 0 && cache_count(cache) > 0);
    cache_close(cache);
}

static void
keeps_what_is_used_over_what_is_not(void **state)
{
    struct cache *cache = cache_open(100000);
    char id[16];
    struct bytes found, record = bytes_text("0123456789012345678901234567890123456789");
    uint32_t lost_used = 0, lost_unused = 0;
    (void)state;
    /* Order 0 is used at each step, order 1 only when it has to be put again. */
    for (uint32_t order = 2; order < ORDERS; order++) {
        cache_put(cache, id_of(order, id), hash_of(order), record);
        if (!cache_get(cache, id_of(0, id), hash_of(0), &found)) {
            cache_put(cache, id_of(0, id), hash_of(0), record);
            lost_used++;
        }
        if (order % 1000 == 0 && !cache_get(cache, id_of(1, id), hash_of(1), &found)) {
            cache_put(cache, id_of(1, id), hash_of(1), record);
            lost_unused++;
        }
        cache_trim(cache);
    }
    /* A clock may take what is used when all is used: once a round at most. */
    assert_true(cache_count(cache) < ORDERS / 4);
    assert_true(lost_unused >= 2 && lost_used < ORDERS / 100);
    cache_close(cache);
}

static void
an_overlay_forgets_all_at_once(void **state)
{
    struct overlay overlay = {0};
    static char keys[2000][16];
    struct bytes value;
    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 2000; i++) { /* Grows on the way. */
            struct bytes key = id_of(i, keys[i]);
            assert_false(overlay_get(&overlay, key, &value));
            overlay_put(&overlay, key, BYTES_NONE);
            assert_true(overlay_get(&overlay, key, &value) && value.data == NULL);
            overlay_put(&overlay, key, key);
        }
        for (uint32_t i = 0; i < 2000; i++) {
            struct bytes key = bytes_text(keys[i]);
            assert_true(overlay_get(&overlay, key, &value) && bytes_equal(key, value));
        }
        assert_int_equal(overlay.count, 2000);
        overlay_reset(&overlay);
    }
    overlay_free(&overlay);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_last_record_put_or_none),
        cmocka_unit_test(keeps_what_is_used_over_what_is_not),
        cmocka_unit_test(an_overlay_forgets_all_at_once),
    };
    return cmocka_run_group_tests_name("apply/cache", tests, NULL, NULL);
}
