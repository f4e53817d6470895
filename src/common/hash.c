/* See common/hash.h. Thread: any; pure. */
#include "common/hash.h"

#include <isa-l/crc.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include "common/assert.h"

uint64_t
hash_xxh64(struct bytes bytes)
{
    return XXH64(bytes.data, bytes.size, 0);
}

uint32_t
hash_crc32c_more(uint32_t crc, struct bytes bytes)
{
    QO_PRE(bytes.size <= INT32_MAX);
    /* isa-l takes and gives the register itself; CRC-32C inverts it on both sides. Its parameter
     * lacks a const: it does not write. */
    union {
        const uint8_t *borrowed;
        unsigned char *parameter;
    } data = {.borrowed = bytes.data};
    return ~crc32_iscsi(data.parameter, (int)bytes.size, ~crc);
}

uint32_t
hash_crc32c(struct bytes bytes)
{
    return hash_crc32c_more(0, bytes);
}

/* A context per thread, kept: making one costs more than hashing a command. */
static _Thread_local EVP_MD_CTX *sha256_context;
static _Thread_local const EVP_MD *sha256_algorithm;

struct sha256
hash_sha256_parts(const struct bytes *parts, size_t count)
{
    struct sha256 hash;
    if (sha256_context == NULL) {
        sha256_context = EVP_MD_CTX_new();
        /* Fetched once: EVP_sha256() alone would look the algorithm up at each use. */
        sha256_algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
        QO_ASSERT(sha256_context != NULL && sha256_algorithm != NULL);
    }
    int right = EVP_DigestInit_ex2(sha256_context, sha256_algorithm, NULL);
    for (size_t i = 0; i < count; i++) {
        right = right && EVP_DigestUpdate(sha256_context, parts[i].data, parts[i].size);
    }
    right = right && EVP_DigestFinal_ex(sha256_context, hash.bytes, NULL);
    QO_ASSERT(right);
    return hash;
}

struct sha256
hash_sha256(struct bytes bytes)
{
    return hash_sha256_parts(&bytes, 1);
}

struct sha256
hash_hmac_sha256(struct bytes key, const struct bytes *parts, size_t count)
{
    struct sha256 hash;
    size_t size = sizeof hash.bytes;
    QO_PRE(key.size > 0);
    EVP_PKEY *signer = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, key.data, key.size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    QO_ASSERT(signer != NULL && context != NULL);
    int right = EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, signer);
    for (size_t i = 0; i < count; i++) {
        right = right && EVP_DigestSignUpdate(context, parts[i].data, parts[i].size);
    }
    right = right && EVP_DigestSignFinal(context, hash.bytes, &size);
    QO_ASSERT(right && size == sizeof hash.bytes);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(signer);
    return hash;
}

bool
hash_equal_secret(const struct sha256 *a, const struct sha256 *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

struct digest
hash_digest(struct digest previous, struct bytes bytes)
{
    /* XXH3(previous || XXH3(bytes)): both calls take one piece, so that no state is kept. */
    XXH128_canonical_t links[2];
    struct digest digest;
    static_assert(sizeof links[0] == sizeof digest, "a digest is one XXH128");
    memcpy(&links[0], previous.bytes, sizeof links[0]);
    XXH128_canonicalFromHash(&links[1], XXH3_128bits(bytes.data, bytes.size));
    XXH128_canonicalFromHash(&links[0], XXH3_128bits(links, sizeof links));
    memcpy(digest.bytes, &links[0], sizeof digest.bytes);
    return digest;
}

void
hash_hex(struct bytes bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.size; i++) {
        out[2 * i] = digits[bytes.data[i] >> 4];
        out[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    out[2 * bytes.size] = '\0';
}
