/*
 * random_object: random MessagePack written by msgpack-c, the independent encoder of these tests.
 */
#ifndef WIRE_RANDOM_OBJECT_H
#define WIRE_RANDOM_OBJECT_H

#include <msgpack.h>

#include "support/seed.h"

/* An integer of any size: each number of bits is as likely as any other. */
static inline uint64_t
random_bits(uint64_t *seed)
{
    return seed_next(seed) >> seed_below(seed, 64);
}

static inline void
random_bytes(char *at, size_t size, uint64_t *seed)
{
    for (size_t i = 0; i < size; i++) {
        at[i] = (char)seed_next(seed);
    }
}

static inline size_t
random_size(uint64_t *seed)
{
    static const uint64_t bounds[] = {4, 40, 300, 70000};
    /* Long ones are rare: they cost time and their heads are soon seen. */
    uint64_t kind = seed_below(seed, 100);
    return seed_below(seed, bounds[kind < 60 ? 0 : kind < 90 ? 1 : kind < 99 ? 2 : 3]);
}

static inline void
random_scalar(msgpack_packer *packer, uint64_t *seed)
{
    static char bytes[70000];
    size_t size = random_size(seed);
    double number;
    uint64_t bits = seed_next(seed);
    switch (seed_below(seed, 9)) {
    case 0:
        msgpack_pack_nil(packer);
        break;
    case 1:
        seed_below(seed, 2) == 0 ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
        break;
    case 2:
        msgpack_pack_uint64(packer, random_bits(seed));
        break;
    case 3:
        msgpack_pack_int64(packer, (int64_t)random_bits(seed));
        break;
    case 4:
        msgpack_pack_int64(packer, -(int64_t)(random_bits(seed) >> 1));
        break;
    case 5:
        memcpy(&number, &bits, sizeof number);
        if (seed_below(seed, 2) == 0) {
            msgpack_pack_double(packer, number);
        } else {
            msgpack_pack_float(packer, (float)(bits >> 40));
        }
        break;
    case 6:
        random_bytes(bytes, size, seed);
        msgpack_pack_str(packer, size);
        msgpack_pack_str_body(packer, bytes, size);
        break;
    case 7:
        random_bytes(bytes, size, seed);
        msgpack_pack_bin(packer, size);
        msgpack_pack_bin_body(packer, bytes, size);
        break;
    default:
        random_bytes(bytes, size, seed);
        msgpack_pack_ext(packer, size, (int8_t)bits);
        msgpack_pack_ext_body(packer, bytes, size);
        break;
    }
}

/* Appends one random array, with arrays and maps inside. No recursion: `owed` objects are still to
 * come, and a container adds to them. */
static inline void
random_array(msgpack_sbuffer *out, uint64_t *seed)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    uint64_t owed = seed_below(seed, 6);
    msgpack_pack_array(&packer, (size_t)owed);
    for (uint64_t put = 0; owed > 0; put++) {
        uint64_t kind = put > 40 ? 9 : seed_below(seed, 10), count = seed_below(seed, 5);
        owed--;
        if (kind == 0) {
            msgpack_pack_array(&packer, (size_t)count);
            owed += count;
        } else if (kind == 1) {
            msgpack_pack_map(&packer, (size_t)count);
            owed += 2 * count;
        } else {
            random_scalar(&packer, seed);
        }
    }
}

#endif
