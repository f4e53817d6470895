/*
 * Goal: a ring never loses, doubles or reorders an item, and knows when it is full or empty.
 * Method: random pushes and pops against a model of two counters, then two real threads.
 */
#include "support/test.h"

#include <pthread.h>

#include "common/ring.h"
#include "support/seed.h"

enum { ITEMS = 100000 };
static uint32_t items[ITEMS]; /* The n-th item pushed is always &items[n]. */

struct ring_case {
    const char *name;
    uint32_t capacity, start; /* `start`: both counters before the first push. */
};

static void
agree_with_model(const struct ring_case *c, uint64_t *prng)
{
    struct ring ring;
    void *slots[64];
    uint32_t in = 0, out = 0, refused = 0, empty = 0; /* The model: `in` and `out`. */
    ring_init(&ring, slots, c->capacity);
    atomic_store(&ring.pushed, c->start);
    atomic_store(&ring.popped, c->start);
    for (uint32_t step = 0; step < ITEMS; step++) {
        bool right;
        /* Mostly pushes, then mostly pops, so that both ends are met. */
        if (seed_next(prng) % 100 < (step / 500 % 2 == 0 ? 80 : 20)) {
            bool took = ring_push(&ring, &items[in]);
            right = took == (in - out < c->capacity);
            in += took;
            refused += !took;
        } else {
            void *item = ring_pop(&ring);
            right = item == (out < in ? &items[out] : NULL);
            out += item != NULL;
            empty += item == NULL;
        }
        if (!right) {
            fail_msg("%s: step %u, in %u, out %u", c->name, step, in, out);
        }
    }
    assert_true(refused > 0 && empty > 0); /* Else this case tested too little. */
}

static void
agrees_with_model(void **state)
{
    static const struct ring_case cases[] = {
        {"smallest", 2, 0},
        {"usual", 64, 0},
        {"counters wrap", 8, UINT32_MAX - 20},
    };
    uint64_t prng = seed_init();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        agree_with_model(&cases[i], &prng);
    }
}

/* NULL if every item came in order, with what was written to it before its push. */
static void *
consume(void *arg)
{
    struct ring *ring = arg;
    bool right = true; /* Noted here; asserted on the thread that runs the test. */
    for (uint32_t n = 0; n < ITEMS;) {
        uint32_t *item = ring_pop(ring);
        if (item != NULL) {
            right = right && item == &items[n] && *item == n;
            n++;
        }
    }
    return right ? NULL : ring;
}

static void
two_threads_see_one_order(void **state)
{
    struct ring ring;
    void *slots[16], *wrong;
    pthread_t consumer;
    (void)state;
    ring_init(&ring, slots, 16);
    assert_int_equal(pthread_create(&consumer, NULL, consume, &ring), 0);
    for (uint32_t n = 0; n < ITEMS;) {
        items[n] = n;
        n += ring_push(&ring, &items[n]);
    }
    assert_int_equal(pthread_join(consumer, &wrong), 0);
    assert_null(wrong);
    ring_close(&ring);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_model),
        cmocka_unit_test(two_threads_see_one_order),
    };
    return cmocka_run_group_tests_name("common/ring", tests, NULL, NULL);
}
