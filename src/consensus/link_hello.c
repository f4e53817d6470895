/* See link_hello.h. Thread: any; pure. */
#include "link_hello.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "common/assert.h"

enum {
    FLAG_SECRET = 1,
    AT_FROM = 4,
    AT_TO = 8,
    AT_LIFE = 12,
    AT_NONCE = 20,
    AT_CLUSTER = AT_NONCE + HELLO_NONCE_BYTES
};

static_assert(AT_CLUSTER + QO_CLUSTER_ID_MAX + 1 == HELLO_BYTES, "the cluster id is the last");

/* [0, 1, "peer.link", [<bin8>]], up to the size of what follows. */
const uint8_t hello_prefix[HELLO_PREFIX_BYTES] = {0x94, 0x00, 0x01, 0xa9, 'p', 'e',  'e', 'r',
                                                  '.',  'l',  'i',  'n',  'k', 0x91, 0xc4};

const char *
hello_refusal_name(uint8_t reason)
{
    static const char *const names[] = {
#define X(name, number, text) [name] = (text),
        HELLO_REFUSAL_MAP(X)
#undef X
    };
    bool known = reason < sizeof names / sizeof names[0] && names[reason] != NULL;
    return known ? names[reason] : "unknown";
}

void
hello_fill_nonce(struct hello *hello)
{
    ssize_t got = getrandom(hello->nonce, sizeof hello->nonce, 0);
    if (got != (ssize_t)sizeof hello->nonce) { /* No kernel of ours does that. */
        qo_fatal(FATAL_CONFIG, "getrandom: %s", strerror(errno));
    }
}

void
hello_write(const struct hello *hello, uint8_t out[HELLO_BYTES])
{
    size_t size = strlen(hello->cluster_id);
    memset(out, 0, HELLO_BYTES);
    out[0] = hello->version;
    out[1] = hello->has_secret ? FLAG_SECRET : 0;
    put_le32(out + AT_FROM, hello->from);
    put_le32(out + AT_TO, hello->to);
    put_le64(out + AT_LIFE, hello->life);
    memcpy(out + AT_NONCE, hello->nonce, HELLO_NONCE_BYTES);
    memcpy(out + AT_CLUSTER, hello->cluster_id, size);
}

/* Only what a cluster id may hold, so that it can be logged, and zeros behind it. */
static bool
read_cluster_id(const uint8_t *at, char out[QO_CLUSTER_ID_MAX + 1])
{
    size_t size = 0;
    while (size < QO_CLUSTER_ID_MAX && at[size] != '\0') {
        char c = (char)at[size];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
            return false;
        }
        size++;
    }
    for (size_t i = size; i <= QO_CLUSTER_ID_MAX; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    memcpy(out, at, QO_CLUSTER_ID_MAX + 1);
    return true;
}

bool
hello_read(struct bytes bytes, struct hello *hello_out)
{
    memset(hello_out, 0, sizeof *hello_out);
    if (bytes.size == 0) {
        return false;
    }
    hello_out->version = bytes.data[0];
    if (hello_out->version != HELLO_VERSION) {
        return true;
    }
    if (bytes.size != HELLO_BYTES || bytes.data[1] > FLAG_SECRET || bytes.data[2] != 0 ||
        bytes.data[3] != 0) {
        return false;
    }
    hello_out->has_secret = bytes.data[1] == FLAG_SECRET;
    hello_out->from = get_le32(bytes.data + AT_FROM);
    hello_out->to = get_le32(bytes.data + AT_TO);
    hello_out->life = get_le64(bytes.data + AT_LIFE);
    memcpy(hello_out->nonce, bytes.data + AT_NONCE, HELLO_NONCE_BYTES);
    return read_cluster_id(bytes.data + AT_CLUSTER, hello_out->cluster_id);
}

#define SAY(...) (void)snprintf(text_out, HELLO_TEXT_MAX + 1, __VA_ARGS__)

enum hello_refusal
hello_judge(const struct hello *own, const struct hello *theirs, bool known, char *text_out)
{
    if (theirs->version != own->version) {
        SAY("member %u speaks version %u of the links and not %u", own->from, own->version,
            theirs->version);
        return REFUSED_VERSION;
    }
    if (strcmp(theirs->cluster_id, own->cluster_id) != 0) {
        SAY("member %u is of cluster '%s' and not of '%s'", own->from, own->cluster_id,
            theirs->cluster_id);
        return REFUSED_CLUSTER;
    }
    if (theirs->to != own->from) {
        SAY("this is member %u and not %u: the address of a member is wrong", own->from,
            theirs->to);
        return REFUSED_MEMBER;
    }
    if (!known) {
        SAY("member %u does not know member %u there: it is not in the configuration, or at the "
            "address of another",
            own->from, theirs->from);
        return REFUSED_STRANGER;
    }
    if (theirs->has_secret != own->has_secret) {
        SAY("member %u has a cluster secret and member %u has none",
            own->has_secret ? own->from : theirs->from, own->has_secret ? theirs->from : own->from);
        return REFUSED_SECRET_MISSING;
    }
    return REFUSED_NOT;
}

void
hello_wrong_secret(uint32_t own, uint32_t other, char *text_out)
{
    SAY("members %u and %u have different cluster secrets", own, other);
}

struct sha256
hello_prove(struct bytes secret, bool dialled, const uint8_t dial[HELLO_BYTES],
            const uint8_t accept[HELLO_BYTES])
{
    static const char none[] = "no secret";
    const struct bytes parts[] = {
        bytes_text(dialled ? "quorder link, dialled" : "quorder link, accepted"),
        bytes_make(dial, HELLO_BYTES),
        bytes_make(accept, HELLO_BYTES),
    };
    return hash_hmac_sha256(secret.size > 0 ? secret : bytes_text(none), parts, 3);
}

void
hello_clean(struct bytes sentence, char *text_out)
{
    size_t size = sentence.size < HELLO_TEXT_MAX ? sentence.size : HELLO_TEXT_MAX;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = sentence.data[i];
        text_out[i] = c >= ' ' && c <= '~' && c != '"' && c != '\\' ? (char)c : '.';
    }
    text_out[size] = '\0';
}
