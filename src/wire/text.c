/* See wire/reader.h, its part on texts. Thread: any; pure. */
#include "common/assert.h"
#include "common/limits.h"
#include "wire/reader.h"

/* The bytes of the character at `at`, 0 if it is none. RFC 3629, its table of well-formed bytes. */
static size_t
character_size(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);
    uint8_t first = at[0];
    if (first < 0x80) {
        return 1;
    }
    size_t size = first >= 0xc2 && first <= 0xdf   ? 2
                  : first >= 0xe0 && first <= 0xef ? 3
                  : first >= 0xf0 && first <= 0xf4 ? 4
                                                   : 0;
    if (size == 0 || size > left) {
        return 0;
    }
    /* The second byte's range rules out overlong forms, surrogates and what is over U+10FFFF. */
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* True if all eight bytes are ASCII from 0x20 on: the usual case, eight at a time. */
static inline bool
plain_word(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    /* With no high bit set, x - 0x20 borrows into the high bit only where x < 0x20. A borrow from
     * a lower byte can only come from a byte that is itself below 0x20. */
    return ((word | (word - EACH_BYTE(0x20))) & EACH_BYTE(0x80)) == 0;
}

static bool
check(struct bytes text, uint8_t least)
{
    const uint8_t *at = text.data, *end = at + text.size;
    while (at < end) {
        if (end - at >= 8 && plain_word(at)) {
            at += 8;
            continue;
        }
        size_t size = character_size(at, end);
        if (size == 0 || *at < least) {
            return false;
        }
        at += size;
    }
    return true;
}

bool
wire_is_utf8(struct bytes text)
{
    return text.size == 0 || check(text, 0);
}

bool
wire_is_text(struct bytes text)
{
    return text.size == 0 || check(text, 0x20);
}

bool
wire_is_name(struct bytes text)
{
    /* Bit c % 32 of word c / 32: '-' '.' 0-9 ':' A-Z '_' a-z. */
    static const uint32_t allowed[8] = {0, 0x07ff6000, 0x87fffffe, 0x07fffffe, 0, 0, 0, 0};
    if (text.size == 0 || text.size > QO_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if ((allowed[c >> 5] >> (c & 31) & 1) == 0) {
            return false;
        }
    }
    return true;
}

struct bytes
wire_cut_text(struct bytes text, size_t size_max)
{
    if (text.size <= size_max) {
        return text;
    }
    size_t size = size_max;
    /* A character is at most four bytes: never more than three to go back over. */
    for (int back = 0; back < 3 && size > 0 && (text.data[size] & 0xc0) == 0x80; back++) {
        size--;
    }
    return bytes_make(text.data, size);
}
