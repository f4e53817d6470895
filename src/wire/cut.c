/* See wire/cut.h. Thread: any, one at a time per cutter. */
#include "wire/cut.h"

#include "common/assert.h"
#include "common/limits.h"
#include "token.h"

static bool
is_array(uint8_t first)
{
    return (first & 0xf0) == 0x90 || first == 0xdc || first == 0xdd;
}

enum wire_cut
wire_cut(struct wire_cutter *cutter, struct bytes available, size_t *message_size_out)
{
    size_t size_max = cutter->size_max == 0 ? QO_MESSAGE_MAX : cutter->size_max;
    if (available.size == 0) {
        return WIRE_CUT_NEED_MORE;
    }
    if (cutter->next == 0) {
        if (!is_array(available.data[0])) {
            return WIRE_CUT_MALFORMED;
        }
        cutter->owed = 1;
    }
    while (cutter->owed > 0) {
        if (cutter->next >= available.size) {
            return WIRE_CUT_NEED_MORE;
        }
        const uint8_t *at = available.data + cutter->next;
        uint8_t header = token_header_size(*at);
        if (header == 0) {
            return WIRE_CUT_MALFORMED;
        }
        if (header > available.size - cutter->next) {
            return WIRE_CUT_NEED_MORE; /* At most five bytes are looked at again. */
        }
        struct token_extent extent = token_extent(at);
        /* None of these overflows: each is below 2^34, and the sum is checked each time. */
        cutter->next += extent.header + extent.body;
        cutter->owed += extent.children - 1;
        if (cutter->next + cutter->owed > size_max) {
            return WIRE_CUT_TOO_LARGE;
        }
    }
    if (cutter->next > available.size) {
        return WIRE_CUT_NEED_MORE; /* The last token's bytes are still coming. */
    }
    *message_size_out = cutter->next;
    QO_POST(*message_size_out > 0 && *message_size_out <= size_max);
    *cutter = (struct wire_cutter){.size_max = cutter->size_max};
    return WIRE_CUT_MESSAGE;
}
