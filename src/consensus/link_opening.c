/* See links.h and link_hello.h: what is said before a connection is a link. Thread: the loop. */
#include "common/assert.h"
#include "frame.h"
#include "link_state.h"

static struct log_limit *
refusal_lines(struct conn *conn)
{
    return conn->peer != NULL ? &conn->peer->refusal_lines : &conn->links->stranger_lines;
}

static bool
decides(const struct conn *conn)
{
    return conn->links->id < conn->peer->id;
}

void
conn_reject(struct conn *conn, const char *why)
{
    log_limited(refusal_lines(conn), LOG_WARN, "link_rejected", "member=%u reason=\"%s\"",
                conn->peer != NULL ? conn->peer->id : 0, why);
    links_ended(conn, UV_EPROTO);
}

/* The last that is said. A dial that ends so has failed, as if it had not been answered. */
static void
refuse(struct conn *conn, enum hello_refusal reason, const char *text)
{
    struct buf out = {0}, payload = {0};
    log_limited(refusal_lines(conn), LOG_WARN, "link_refused",
                "by=%u member=%u reason=%s text=\"%s\"", conn->links->id, conn->theirs.from,
                hello_refusal_name((uint8_t)reason), text);
    buf_put_u8(&payload, (uint8_t)reason);
    buf_append(&payload, text, strlen(text));
    frame_put(&out, FRAME_REFUSAL, buf_bytes(&payload));
    link_stream_say(conn->stream, buf_bytes(&out));
    link_stream_finish(conn->stream);
    conn->state = CONN_REFUSING;
    buf_free(&payload);
    buf_free(&out);
}

static void
hear_refusal(struct conn *conn, struct bytes payload)
{
    char text[HELLO_TEXT_MAX + 1];
    if (payload.size == 0) {
        conn_reject(conn, "an empty refusal");
        return;
    }
    hello_clean(bytes_make(payload.data + 1, payload.size - 1), text);
    log_limited(refusal_lines(conn), LOG_WARN, "link_refused",
                "by=%u member=%u reason=%s text=\"%s\"", conn->peer != NULL ? conn->peer->id : 0,
                conn->links->id, hello_refusal_name(payload.data[0]), text);
    links_ended(conn, UV_ECONNABORTED);
}

/* -- Hellos ------------------------------------------------------------------------------------ */

static void
make_hello(struct conn *conn, uint32_t to)
{
    const struct links *links = conn->links;
    conn->own = (struct hello){
        .version = HELLO_VERSION,
        .has_secret = links->secret_size > 0,
        .from = links->id,
        .to = to,
        .life = links->life,
    };
    memcpy(conn->own.cluster_id, links->cluster_id, sizeof conn->own.cluster_id);
    hello_fill_nonce(&conn->own);
    hello_write(&conn->own, conn->own_bytes);
}

void
conn_say_hello(struct conn *conn)
{
    uint8_t out[HELLO_PREFIX_BYTES + 1 + HELLO_BYTES];
    make_hello(conn, conn->peer->id);
    memcpy(out, hello_prefix, HELLO_PREFIX_BYTES);
    out[HELLO_PREFIX_BYTES] = HELLO_BYTES;
    memcpy(out + HELLO_PREFIX_BYTES + 1, conn->own_bytes, HELLO_BYTES);
    conn->state = CONN_HELLO;
    link_stream_say(conn->stream, bytes_make(out, sizeof out));
}

/* True if it may go on. */
static bool
hear_hello(struct conn *conn, struct bytes bytes)
{
    char text[HELLO_TEXT_MAX + 1];
    if (!hello_read(bytes, &conn->theirs)) {
        conn_reject(conn, "no hello of a member");
        return false;
    }
    if (!conn->dialled) {
        make_hello(conn, conn->theirs.from);
    }
    struct peer *from = links_peer(conn->links, conn->theirs.from);
    bool known = from != NULL && (!conn->dialled || from == conn->peer);
    enum hello_refusal reason = hello_judge(&conn->own, &conn->theirs, known, text);
    if (reason != REFUSED_NOT) {
        refuse(conn, reason, text);
        return false;
    }
    memcpy(conn->their_bytes, bytes.data, HELLO_BYTES);
    conn->peer = from;
    return true;
}

size_t
conn_take_prefix(struct conn *conn, struct bytes bytes)
{
    size_t compared = bytes.size < HELLO_PREFIX_BYTES ? bytes.size : HELLO_PREFIX_BYTES;
    if (memcmp(bytes.data, hello_prefix, compared) != 0) {
        conn_reject(conn, "no opening of a link");
        return 0;
    }
    if (bytes.size <= HELLO_PREFIX_BYTES ||
        bytes.size - HELLO_PREFIX_BYTES - 1 < bytes.data[HELLO_PREFIX_BYTES]) {
        return 0;
    }
    size_t size = bytes.data[HELLO_PREFIX_BYTES];
    if (hear_hello(conn, bytes_make(bytes.data + HELLO_PREFIX_BYTES + 1, size))) {
        struct buf out = {0};
        frame_put(&out, FRAME_HELLO, bytes_make(conn->own_bytes, HELLO_BYTES));
        conn->state = CONN_PROOF;
        link_stream_say(conn->stream, buf_bytes(&out));
        buf_free(&out);
    }
    return HELLO_PREFIX_BYTES + 1 + size;
}

/* -- Proofs and the decision ------------------------------------------------------------------- */

static struct sha256
proof_of(const struct conn *conn, bool dialler)
{
    const struct links *links = conn->links;
    return hello_prove(bytes_make(links->secret, links->secret_size), dialler,
                       conn->dialled ? conn->own_bytes : conn->their_bytes,
                       conn->dialled ? conn->their_bytes : conn->own_bytes);
}

static void
say_proof(struct conn *conn)
{
    struct buf out = {0};
    struct sha256 proof = proof_of(conn, conn->dialled);
    frame_put(&out, FRAME_PROOF, bytes_make(proof.bytes, sizeof proof.bytes));
    conn->proved = true;
    link_stream_say(conn->stream, buf_bytes(&out));
    buf_free(&out);
}

/* The rule of links.h, on the decider's side. */
static void
decide(struct conn *conn)
{
    struct links *links = conn->links;
    struct buf out = {0};
    uint8_t order[8];
    if (conn->dialled && conn->peer->link != NULL) {
        conn_close(conn);
        return;
    }
    conn->order = ++links->orders;
    put_le64(order, conn->order);
    frame_put(&out, FRAME_OPEN, bytes_make(order, sizeof order));
    link_stream_say(conn->stream, buf_bytes(&out));
    buf_free(&out);
    links_opened(conn);
}

static void
hear_proof(struct conn *conn, struct bytes payload)
{
    struct sha256 wanted = proof_of(conn, !conn->dialled), got;
    if (payload.size != sizeof got.bytes) {
        conn_reject(conn, "no proof");
        return;
    }
    memcpy(got.bytes, payload.data, sizeof got.bytes);
    if (!hash_equal_secret(&wanted, &got)) {
        char text[HELLO_TEXT_MAX + 1];
        hello_wrong_secret(conn->links->id, conn->theirs.from, text);
        refuse(conn, REFUSED_SECRET_WRONG, text);
        return;
    }
    if (!conn->dialled) {
        say_proof(conn);
    }
    if (decides(conn)) {
        decide(conn);
    } else {
        conn->state = CONN_DECISION;
    }
}

/* The rule of links.h, on the other side. */
static void
hear_open(struct conn *conn, struct bytes payload)
{
    if (payload.size != 8) {
        conn_reject(conn, "no number of a link");
        return;
    }
    conn->order = get_le64(payload.data);
    const struct conn *old = conn->peer->link;
    if (old != NULL && old->theirs.life == conn->theirs.life && old->order > conn->order) {
        conn_close(conn);
        return;
    }
    links_opened(conn);
}

void
conn_opening_frame(struct conn *conn, uint8_t type, struct bytes payload)
{
    if (type == FRAME_REFUSAL) {
        hear_refusal(conn, payload);
    } else if (conn->state == CONN_HELLO && type == FRAME_HELLO) {
        if (hear_hello(conn, payload)) {
            say_proof(conn);
            conn->state = CONN_PROOF;
        }
    } else if (conn->state == CONN_PROOF && type == FRAME_PROOF) {
        hear_proof(conn, payload);
    } else if (conn->state == CONN_DECISION && type == FRAME_OPEN) {
        hear_open(conn, payload);
    } else {
        conn_reject(conn, "a frame out of place");
    }
}
