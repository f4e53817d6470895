/*
 * Goal: the buckets of the memtable of `orders` come in order of keys.
 * Method: the prefix chosen for a hash hashes to it, and the other way round.
 */
#include "support/test.h"

#include "buckets.h"
#include "support/seed.h"

static void
a_prefix_hashes_to_what_it_was_chosen_for(void **state)
{
    uint64_t prng = seed_init();
    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t hash = seed_next(&prng);
        assert_true(bucket_hash(bucket_prefix(hash)) == hash);
        assert_true(bucket_prefix(bucket_hash(hash)) == hash);
    }
    assert_true(bucket_hash(bucket_prefix(0)) == 0);
    assert_true(bucket_hash(bucket_prefix(UINT64_MAX)) == UINT64_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_hashes_to_what_it_was_chosen_for),
    };
    return cmocka_run_group_tests_name("store/buckets", tests, NULL, NULL);
}
