/*
 * secret: what all members of a cluster know and nobody else does, read from a file.
 *
 * The file is a plain one that nobody but its owner (and root) may read or write: else it is
 * refused, since a secret that others can read is none. Its bytes are the secret, but for one
 * newline at the end, which editors leave.
 *
 * Thread: main, before anything runs; blocks on disk.
 */
#ifndef SERVER_SECRET_H
#define SERVER_SECRET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"

#define SECRET_WHY_MAX 512u

struct secret {
    uint8_t data[QO_SECRET_BYTES_MAX];
    uint32_t size; /* 0: none. */
};

static inline struct bytes
secret_bytes(const struct secret *secret)
{
    return secret->size == 0 ? BYTES_NONE : bytes_make(secret->data, secret->size);
}

/* Reads the secret in the file `path`. False: `why_out` (SECRET_WHY_MAX bytes) is a sentence that
 * says what is wrong with the file and how to mend it, and never shows what is in it. */
bool secret_read(const char *path, struct secret *secret_out, char *why_out);

#endif
