/*
 * Goal: a page gives back the versions of each fingerprint that it was given, and damaged or
 *     misplaced bytes are no page.
 * Method: pages of random blocks, some left out, against plain arrays; a table of bad bytes.
 */
#include "support/test.h"

#include "pages.h"
#include "support/seed.h"

enum { NUMBER = 7 + QO_FINGERPRINT_PAGES };
#define FIRST ((uint64_t)NUMBER * PAGE_VERSIONS)

static void
gives_the_versions_of_each_fingerprint(void **state)
{
    enum { FEW = 9 }; /* Fingerprints, so that most occur often; 0 is one. */
    uint64_t prng = seed_init();
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        bool set[PAGE_VERSIONS] = {false};
        uint32_t given[PAGE_VERSIONS] = {0};
        struct buf page = {0};
        uint32_t written = 0;
        page_begin(&page, NUMBER);
        for (uint32_t b = 0; b < QO_FINGERPRINT_PAGE_BLOCKS; b++) {
            struct page_block block = {.before = FIRST + (uint64_t)b * QO_FINGERPRINTS_MAX};
            if (seed_below(&prng, 3) == 0) {
                continue;
            }
            for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
                uint64_t at = page_block_version(&block, slot) - FIRST - 1;
                given[at] = block.fingerprints[slot] = (uint32_t)seed_below(&prng, FEW);
                set[at] = seed_below(&prng, 2) == 0;
                block.set |= (uint32_t)set[at] << slot;
            }
            page_add(&page, &block);
            written = b + 1;
        }
        assert_int_equal(page_blocks(buf_bytes(&page)), written);
        assert_int_equal(page_number(buf_bytes(&page)), NUMBER);
        for (uint32_t fingerprint = 0; fingerprint <= FEW; fingerprint++) {
            uint64_t found[PAGE_VERSIONS];
            uint32_t count = page_find(buf_bytes(&page), fingerprint, found), wanted = 0;
            assert_int_equal(count, page_find(buf_bytes(&page), fingerprint, NULL));
            for (uint32_t at = 0; at < PAGE_VERSIONS; at++) {
                if (set[at] && given[at] == fingerprint) {
                    assert_true(wanted < count);
                    assert_int_equal(found[wanted++], FIRST + at + 1);
                }
            }
            assert_int_equal(count, wanted);
        }
        buf_free(&page);
    }
}

static void
refuses_what_is_no_page_of_its_place(void **state)
{
    struct buf page = {0};
    struct page_block block = {.before = FIRST, .set = 2};
    (void)state;
    page_begin(&page, NUMBER);
    page_add(&page, &block);
    uint64_t end = FIRST + QO_FINGERPRINTS_MAX;
    struct bytes whole = buf_bytes(&page);
    const struct {
        const char *name;
        size_t size;
        uint32_t place;
        uint64_t version;
        bool valid;
    } cases[] = {
        {"a page", whole.size, page_place(NUMBER), end, true},
        {"older than the order", whole.size, page_place(NUMBER), end + 100000, true},
        {"without blocks", 8, page_place(NUMBER), FIRST, true},
        {"of another place", whole.size, page_place(NUMBER) + 1, end, false},
        {"newer than the order", whole.size, page_place(NUMBER), end - 1, false},
        {"much newer", whole.size, page_place(NUMBER), 32, false},
        {"cut in a block", whole.size - 1, page_place(NUMBER), end, false},
        {"cut in its number", 7, page_place(NUMBER), end, false},
        {"empty", 0, page_place(NUMBER), end, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes bytes = bytes_make(page.data, cases[i].size);
        if (page_valid(bytes, cases[i].place, cases[i].version) != cases[i].valid) {
            fail_msg("%s", cases[i].name);
        }
    }
    put_le64(page.data, UINT64_MAX - QO_FINGERPRINT_PAGES + 1 + page_place(NUMBER));
    assert_false(page_valid(whole, page_place(NUMBER), UINT64_MAX));
    put_le64(page.data, NUMBER);
    for (uint32_t b = 1; b < QO_FINGERPRINT_PAGE_BLOCKS; b++) {
        block.before = FIRST + (uint64_t)b * QO_FINGERPRINTS_MAX;
        page_add(&page, &block);
    }
    assert_true(page_valid(buf_bytes(&page), page_place(NUMBER), UINT64_MAX));
    size_t more = (whole.size - 8) * (QO_FINGERPRINT_PAGE_BLOCKS + 1);
    memset(buf_reserve(&page, more), 0, more);
    assert_false(page_valid(bytes_make(page.data, 8 + more), page_place(NUMBER), UINT64_MAX));
    buf_free(&page);
}

static void
places_come_round(void **state)
{
    (void)state;
    assert_int_equal(page_of(1), 0);
    assert_int_equal(page_of(PAGE_VERSIONS), 0);
    assert_int_equal(page_of(PAGE_VERSIONS + 1), 1);
    assert_int_equal(pages_places(1), 1);
    assert_int_equal(pages_places(PAGE_VERSIONS), 1);
    assert_int_equal(pages_places(PAGE_VERSIONS + 1), 2);
    assert_int_equal(pages_places(PAGES_VERSIONS), QO_FINGERPRINT_PAGES);
    assert_int_equal(pages_places(UINT64_MAX), QO_FINGERPRINT_PAGES);
    assert_int_equal(page_place(page_of(PAGES_VERSIONS)), QO_FINGERPRINT_PAGES - 1);
    assert_int_equal(page_place(page_of(PAGES_VERSIONS + 1)), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_versions_of_each_fingerprint),
        cmocka_unit_test(refuses_what_is_no_page_of_its_place),
        cmocka_unit_test(places_come_round),
    };
    return cmocka_run_group_tests_name("apply/pages", tests, NULL, NULL);
}
