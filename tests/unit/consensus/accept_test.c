/*
 * Goal: what a connection is, any number of its first bytes tells: enough of them for certain,
 * fewer only that it may still be a link. Method: every prefix of a link's opening, and each of
 * these with one byte changed.
 */
#include "support/test.h"

#include <stdint.h>
#include <string.h>

#include "consensus/consensus.h"
#include "links.h"

static const uint8_t opening[] = "\x94\x00\x01\xa9peer.link\x91\xc4\x20 and what follows it";
enum { SHOWN = sizeof opening - 1 };

static void
tells_a_link_at_its_last_byte(void **state)
{
    (void)state;
    for (size_t size = 0; size <= SHOWN; size++) {
        enum consensus_opening want =
            size < LINKS_PREFIX_BYTES ? CONSENSUS_OPENING_MAYBE : CONSENSUS_OPENING_YES;
        if (consensus_link_opening(bytes_make(opening, size)) != want) {
            fail_msg("after %zu bytes", size);
        }
    }
}

static void
tells_a_client_at_the_first_byte_that_differs(void **state)
{
    (void)state;
    for (size_t place = 0; place < LINKS_PREFIX_BYTES; place++) {
        for (unsigned change = 1; change < 256; change++) {
            uint8_t first[SHOWN];
            memcpy(first, opening, sizeof first);
            first[place] = (uint8_t)(first[place] ^ change);
            for (size_t size = 0; size <= SHOWN; size++) {
                enum consensus_opening want =
                    size <= place ? CONSENSUS_OPENING_MAYBE : CONSENSUS_OPENING_NO;
                if (consensus_link_opening(bytes_make(first, size)) != want) {
                    fail_msg("byte %zu changed, %zu bytes", place, size);
                }
            }
        }
    }
}

static void
what_follows_does_not_matter(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t first[SHOWN];
        memcpy(first, opening, sizeof first);
        memset(first + LINKS_PREFIX_BYTES, (int)byte, SHOWN - LINKS_PREFIX_BYTES);
        assert_int_equal(consensus_link_opening(bytes_make(first, SHOWN)), CONSENSUS_OPENING_YES);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_a_link_at_its_last_byte),
        cmocka_unit_test(tells_a_client_at_the_first_byte_that_differs),
        cmocka_unit_test(what_follows_does_not_matter),
    };
    return cmocka_run_group_tests_name("consensus/accept", tests, NULL, NULL);
}
