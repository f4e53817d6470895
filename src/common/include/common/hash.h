/*
 * hash: the checksums and digests of the project, each for one use. Thread: any; pure.
 *
 *   XXH64    shard of an order and fingerprint of a request id: fixed for ever, seed 0
 *   CRC-32C  log entries and metadata on disk: catches torn and flipped bytes
 *   SHA-256  contents, chains and definitions: compared instead of the thing itself
 *   HMAC     proofs that somebody knows a secret
 */
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

uint64_t hash_xxh64(struct bytes bytes);
uint32_t hash_crc32c(struct bytes bytes);
/* Continues a CRC-32C over more bytes. */
uint32_t hash_crc32c_more(uint32_t crc, struct bytes bytes);

struct sha256 {
    uint8_t bytes[32];
};
struct sha256 hash_sha256(struct bytes bytes);
/* The same over pieces one after the other, without copying them together. */
struct sha256 hash_sha256_parts(const struct bytes *parts, size_t count);

/* HMAC-SHA-256 (RFC 2104) of pieces one after the other. The key is not empty. */
struct sha256 hash_hmac_sha256(struct bytes key, const struct bytes *parts, size_t count);
/* Takes the same time wherever they differ. */
bool hash_equal_secret(const struct sha256 *a, const struct sha256 *b);

/* The shard of an order: XXH64(id, seed 0) modulo `shards`. */
static inline uint32_t
hash_shard(struct bytes id, uint32_t shards)
{
    return (uint32_t)(hash_xxh64(id) % shards);
}

/* 16 bytes that follow a sequence of inputs, for digests that members compare (XXH3, 128 bits: it
 * guards against bugs and bit rot, not against an attacker; chains use SHA-256). */
struct digest {
    uint8_t bytes[16];
};
/* H(digest, bytes). */
struct digest hash_digest(struct digest previous, struct bytes bytes);

/* Lower-case hex and a NUL into `out`, which has room for 2 * bytes.size + 1. */
void hash_hex(struct bytes bytes, char *out);

#endif
