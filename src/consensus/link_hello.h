/*
 * link_hello: what members say to each other before a connection is a link; see links.h for the
 * order. A hello has a fixed size:
 *
 *   version:u8 flags:u8 0 0  from:le32 to:le32  life:le64  nonce:32  cluster id:64, zeros behind it
 *
 * The version stands first and stays there for ever; another one may have another size.
 * A refusal is reason:u8 and a sentence. Thread: any; pure but for hello_make(), which asks the
 * kernel for chance.
 */
#ifndef CONSENSUS_LINK_HELLO_H
#define CONSENSUS_LINK_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/hash.h"
#include "common/limits.h"

enum {
    HELLO_VERSION = 1,
    HELLO_BYTES = 116,
    HELLO_NONCE_BYTES = 32,
    HELLO_PREFIX_BYTES = 15, /* Up to and without its size. */
    HELLO_TEXT_MAX = 200,    /* Of a sentence. */
};

struct hello {
    uint8_t version;
    bool has_secret;
    uint32_t from, to;
    uint64_t life;
    uint8_t nonce[HELLO_NONCE_BYTES];
    char cluster_id[QO_CLUSTER_ID_MAX + 1];
};

/* X(name, number on the wire, in logs) */
#define HELLO_REFUSAL_MAP(X)                                                                       \
    X(REFUSED_VERSION, 1, "version")                                                               \
    X(REFUSED_CLUSTER, 2, "cluster")                                                               \
    X(REFUSED_MEMBER, 3, "member")                                                                 \
    X(REFUSED_STRANGER, 4, "stranger")                                                             \
    X(REFUSED_SECRET_MISSING, 5, "secret_missing")                                                 \
    X(REFUSED_SECRET_WRONG, 6, "secret_wrong")

enum hello_refusal {
    REFUSED_NOT = 0,
#define X(name, number, text) name = (number),
    HELLO_REFUSAL_MAP(X)
#undef X
};

/* Its name in logs; "unknown" for what is none of them. */
const char *hello_refusal_name(uint8_t reason);

/* What a connection begins with when it is to become a link. */
extern const uint8_t hello_prefix[HELLO_PREFIX_BYTES];

/* Fills the nonce; the caller fills the rest. */
void hello_fill_nonce(struct hello *hello);
void hello_write(const struct hello *hello, uint8_t out[HELLO_BYTES]);

/* False: not a hello. True with a version other than ours: nothing else was read. */
bool hello_read(struct bytes bytes, struct hello *hello_out);

/*
 * Whether `own` can talk to who said `theirs`; `known`: it is a member, and, if we dialled, the one
 * that we meant. Not REFUSED_NOT: `text_out` (HELLO_TEXT_MAX + 1 bytes) has the sentence.
 */
enum hello_refusal hello_judge(const struct hello *own, const struct hello *theirs, bool known,
                               char *text_out);

/* The sentence for a wrong proof. */
void hello_wrong_secret(uint32_t own, uint32_t other, char *text_out);

/* What proves that the one in this role knows the secret, in the connection that these two hellos
 * began. Without a secret it still binds both. */
struct sha256 hello_prove(struct bytes secret, bool dialled, const uint8_t dial[HELLO_BYTES],
                          const uint8_t accept[HELLO_BYTES]);

/* A sentence from outside, fit for a log: what is not printable is a dot. `text_out` has
 * HELLO_TEXT_MAX + 1 bytes. */
void hello_clean(struct bytes sentence, char *text_out);

#endif
