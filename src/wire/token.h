/*
 * token: how far one MessagePack token reaches, which is all that cutting and skipping need.
 * Private to wire. Thread: any; pure.
 */
#ifndef WIRE_TOKEN_H
#define WIRE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

struct token_extent {
    uint8_t header;    /* Bytes of the head; 0: no MessagePack (0xc1). */
    uint64_t body;     /* Bytes behind the head that belong to the token: a text, a number. */
    uint64_t children; /* Objects that the token owes. */
};

/* The bytes of the head that begins with `first`: 0 for 0xc1. A number's bytes count as body. */
static inline uint8_t
token_header_size(uint8_t first)
{
    /* From 0xc0 on; everything below and above is one byte. */
    static const uint8_t sizes[32] = {
        1, 0, 1, 1, 2, 3, 5, 3, 4, 6, 1, 1, 1, 1, 1, 1, /* nil … bin, ext, float, unsigned */
        1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 5, 3, 5, 3, 5, /* signed, fixext, str, array, map */
    };
    return first >= 0xc0 && first < 0xe0 ? sizes[first - 0xc0] : 1;
}

/* Written out, so that the compiler sees one load and one byte swap. */
static inline uint32_t
token_be16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static inline uint32_t
token_be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t
token_be64(const uint8_t *at)
{
    return (uint64_t)token_be32(at) << 32 | token_be32(at + 4);
}

/* The extent of a token whose whole head is at `at`. */
static inline struct token_extent
token_extent(const uint8_t *at)
{
    uint8_t first = *at, header = token_header_size(first);
    if (first < 0x80 || first >= 0xe0) {
        return (struct token_extent){1, 0, 0};
    }
    if (first < 0xc0) {
        uint8_t count = first & (first < 0xa0 ? 15 : 31);
        return first < 0x90   ? (struct token_extent){1, 0, (uint64_t)2 * count}
               : first < 0xa0 ? (struct token_extent){1, 0, count}
                              : (struct token_extent){1, count, 0};
    }
    uint64_t length = 0;
    if (header == 2) {
        length = at[1];
    } else if (header == 3 || header == 4) {
        length = token_be16(at + 1);
    } else if (header >= 5) {
        length = token_be32(at + 1);
    }
    switch (first) {
    case 0xc7: /* ext 8: length, type, body */
        return (struct token_extent){header, at[1], 0};
    case 0xca: /* float 32 */
    case 0xce: /* unsigned and signed 32 */
    case 0xd2:
        return (struct token_extent){header, 4, 0};
    case 0xcb: /* float 64 */
    case 0xcf:
    case 0xd3:
        return (struct token_extent){header, 8, 0};
    case 0xcc:
    case 0xd0:
        return (struct token_extent){header, 1, 0};
    case 0xcd:
    case 0xd1:
        return (struct token_extent){header, 2, 0};
    case 0xd4: /* fixext 1, 2, 4, 8, 16: type, body */
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return (struct token_extent){header, 1u << (first - 0xd4), 0};
    case 0xdc: /* array */
    case 0xdd:
        return (struct token_extent){header, 0, length};
    case 0xde: /* map */
    case 0xdf:
        return (struct token_extent){header, 0, 2 * length};
    default: /* nil, booleans: nothing. bin, ext 16 and 32, str: length. */
        return (struct token_extent){header, length, 0};
    }
}

#endif
