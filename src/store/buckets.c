/* See buckets.h. Thread: any; pure. */
#include "buckets.h"

#include <stddef.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/limits.h"

static const uint64_t secret = UINT64_C(0xbe4ba423396cfeb8);
static const uint64_t prime_1 = UINT64_C(0x9e3779b1);
static const uint64_t prime_2 = UINT64_C(0xc2b2ae3d27d4eb4f);
static const uint64_t prime_3 = UINT64_C(0x165667b19e3779f9);
/* Their inverses modulo 2^64. */
static const uint64_t inverse_1 = UINT64_C(0xcfa4a56b0e8b2f51);
static const uint64_t inverse_2 = UINT64_C(0x0ba79078168d4baf);
static const uint64_t inverse_3 = UINT64_C(0xe9e9f4c41d6df849);
enum { PREFIX_BYTES = 8 };

uint64_t
bucket_hash(uint64_t prefix)
{
    uint64_t mixed = prefix ^ secret;
    mixed = PREFIX_BYTES + (mixed ^ (mixed >> 51)) * prime_1;
    mixed = (mixed ^ (mixed >> 47)) * prime_2;
    mixed = (mixed ^ (mixed >> 37)) * prime_3;
    return mixed ^ (mixed >> 32);
}

/* x ^ (x >> n) undone, for n of 32 or more. */
static uint64_t
unshift(uint64_t value, unsigned n)
{
    return value ^ (value >> n);
}

uint64_t
bucket_prefix(uint64_t hash)
{
    uint64_t mixed = unshift(hash, 32) * inverse_3;
    mixed = unshift(mixed, 37) * inverse_2;
    mixed = (unshift(mixed, 47) - PREFIX_BYTES) * inverse_1;
    return unshift(mixed, 51) ^ secret;
}

/* What the first eight bytes of a key are multiplied by: its top byte is below `shards`. */
struct extractor {
    uint64_t factor;
};

static void
destroy(void *state)
{
    mem_free(state);
}

static unsigned char
always(void *state, const char *key, size_t size)
{
    (void)state, (void)key;
    return size >= PREFIX_BYTES;
}

static char *
extract(void *state, const char *key, size_t size, size_t *size_out)
{
    /* RocksDB looks at it before this thread asks again. */
    static _Thread_local char prefix[PREFIX_BYTES];
    const struct extractor *extractor = state;
    QO_PRE(size >= PREFIX_BYTES);
    uint64_t hash = get_be64((const uint8_t *)key) * extractor->factor;
    put_le64((uint8_t *)prefix, bucket_prefix(hash));
    *size_out = sizeof prefix;
    return prefix;
}

static const char *
name(void *state)
{
    (void)state;
    return "quorder.buckets.1";
}

rocksdb_slicetransform_t *
bucket_extractor(uint32_t shards)
{
    QO_PRE(shards >= 1 && shards <= QO_SHARDS_MAX);
    struct extractor *extractor = mem_alloc(sizeof *extractor);
    extractor->factor = QO_SHARDS_MAX / shards;
    return rocksdb_slicetransform_create(extractor, destroy, extract, always, always, name);
}
