/* See session.h. Thread: loop. */
#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "common/assert.h"
#include "common/limits.h"
#include "common/log.h"
#include "consensus/consensus.h"
#include "feeds.h"
#include "files.h"
#include "methods.h"
#include "msgids.h"
#include "node.h"
#include "wire/cut.h"
#include "wire/response.h"

enum session_state {
    SESSION_FREE,
    SESSION_OPEN,
    SESSION_ENDING,   /* Reads no more requests; answers what is under way, then shuts down. */
    SESSION_DRAINING, /* Writing is shut down; what still comes is thrown away. */
    SESSION_CLOSING,  /* uv_close() is under way. */
};

struct session {
    struct node *node;
    uint32_t slot, generation;
    enum session_state state;
    bool begun;   /* Its first bytes are a session's and no link's. */
    bool spare;   /* Over the bound of sessions: may only become a link, or take a free place. */
    bool peer;    /* Said peer.hello: another node that forwards to us. */
    bool reading; /* libuv reads the socket. */
    bool ended;   /* The other side will send no more. */
    bool touched; /* In the list of sessions to flush. */
    bool refused; /* `refusal` goes out after the last answer. */
    uv_tcp_t socket;
    struct session *next_touched;

    int64_t accepted_us;
    struct buf in;             /* What was read and not yet cut. */
    struct wire_cutter cutter; /* Over `in`. */
    int64_t read_us;           /* The last read(2). */
    int64_t started_us;        /* First byte of what stands at the start of `in`; 0: empty. */
    int64_t half_us, idle_us;  /* As started_us and read_us, but a pause of ours restarts them. */
    int64_t ended_us;          /* When SESSION_DRAINING began. */

    struct buf out;     /* To be sent at the end of this turn. */
    uint64_t unsent;    /* Bytes given to libuv and not yet written. */
    struct buf refusal; /* A whole response. */

    struct msgids msgids; /* Under way. */
    struct subscription *subscriptions;
    uint32_t subscriptions_count;
};

struct sessions {
    struct node *node;
    uv_tcp_t listener;
    uint32_t max;           /* Sessions that are not spare. */
    struct session **slots; /* SLOTS_MAX; allocated as they are first used. */
    uint32_t slots_used;
    uint32_t count;          /* Not free. */
    uint32_t spare_count;    /* Of these, open and spare. */
    struct session *touched; /* Have something to send. */
    struct log_limit refused_log, defect_log;
};

/* Room for one read(2): large enough that a pipelining client costs few calls. */
enum { READ_BYTES_MIN = 64 * 1024 };
/* A spare one that makes room for a newer one keeps its slot until libuv has closed it. */
enum { SLOTS_MAX = QO_CONNECTIONS_MAX + 2 * QO_CONNECTIONS_SPARE };

static struct session *
find(struct node *node, struct session_ref ref)
{
    struct sessions *sessions = node->sessions;
    QO_PRE(ref.slot < sessions->slots_used);
    struct session *session = sessions->slots[ref.slot];
    return session->generation == ref.generation && session->state != SESSION_FREE &&
                   session->state != SESSION_CLOSING
               ? session
               : NULL;
}

static struct session_ref
ref_of(const struct session *session)
{
    return (struct session_ref){session->slot, session->generation};
}

static void
touch(struct session *session)
{
    if (!session->touched) {
        session->touched = true;
        session->next_touched = session->node->sessions->touched;
        session->node->sessions->touched = session;
    }
}

/* -- The end of a session --------------------------------------------------------------------- */

static void
closed(uv_handle_t *handle)
{
    struct session *session = handle->data;
    QO_ASSERT(session->state == SESSION_CLOSING);
    buf_free(&session->in);
    buf_free(&session->out);
    buf_free(&session->refusal);
    msgids_free(&session->msgids);
    session->generation++;
    session->state = SESSION_FREE;
    session->node->sessions->count--;
}

static void
leave_spare(struct session *session)
{
    if (session->spare) {
        session->spare = false;
        session->node->sessions->spare_count--;
    }
}

/* At once: requests under way find the session gone. */
static void
close_now(struct session *session)
{
    if (session->state == SESSION_CLOSING) {
        return;
    }
    leave_spare(session);
    feeds_session_closed(session->node, &session->subscriptions);
    session->subscriptions_count = 0;
    session->state = SESSION_CLOSING;
    session->reading = false;
    uv_close((uv_handle_t *)&session->socket, closed);
}

/* The connection is no more, also where the kernel still has bytes of it to give. Not for a session
 * that has shut down writing: there the other side's end of stream looks the same. */
static bool
was_reset(const struct session *session)
{
    uv_os_fd_t socket;
    if (uv_fileno((const uv_handle_t *)&session->socket, &socket) != 0) {
        return true;
    }
    struct pollfd look = {.fd = socket};
    return poll(&look, 1, 0) == 1 && (look.revents & (POLLERR | POLLHUP)) != 0;
}

static void
was_shut_down(uv_shutdown_t *shutdown, int status)
{
    struct session *session = shutdown->data;
    mem_free(shutdown);
    if (status != 0 || session->ended) {
        close_now(session);
    }
}

static void start_reading(struct session *session);

/* Everything is answered and sent: ends the stream. What still comes is read and thrown away, since
 * closing over unread bytes would reset the connection and could take the answer with it. */
static void
shut_down(struct session *session)
{
    QO_PRE(session->state == SESSION_ENDING);
    session->state = SESSION_DRAINING;
    session->ended_us = node_now_us(session->node);
    if (!session->ended) {
        start_reading(session);
        if (session->state != SESSION_DRAINING) {
            return;
        }
    }
    uv_shutdown_t *shutdown = mem_zalloc(sizeof *shutdown);
    shutdown->data = session;
    if (uv_shutdown(shutdown, (uv_stream_t *)&session->socket, was_shut_down) != 0) {
        mem_free(shutdown);
        close_now(session);
    }
}

/* Takes no more requests; `refusal` is what is said last, or NULL. */
static void
end(struct session *session, const struct wire_refusal *refusal)
{
    if (session->state != SESSION_OPEN) {
        return;
    }
    session->state = SESSION_ENDING;
    feeds_session_closed(session->node, &session->subscriptions);
    session->subscriptions_count = 0;
    if (refusal != NULL && !refusal->silent) {
        wire_put_error(&session->refusal, refusal->msgid, &refusal->failure);
    }
    if (refusal != NULL) {
        log_limited(&session->node->sessions->defect_log, LOG_WARN, "connection_refused",
                    "session=%u why=\"%.*s\"", session->slot,
                    BYTES_FORMAT(refusal->failure.message));
    }
    session->started_us = 0;
    touch(session);
}

/* -- Writing ---------------------------------------------------------------------------------- */

struct write {
    uv_write_t uv;
    struct session *session;
    struct buf buf;
};

static void resume_reading(struct session *session);

static void
written(uv_write_t *uv, int status)
{
    struct write *write = uv->data;
    struct session *session = write->session;
    session->unsent -= write->buf.size;
    buf_free(&write->buf);
    mem_free(write);
    if (status != 0) {
        close_now(session);
        return;
    }
    resume_reading(session);
}

static uint64_t
unsent_bytes(const struct session *session)
{
    return session->unsent + session->out.size;
}

/* Writes at once what the socket takes; libuv sends the rest. */
static void
send_out(struct session *session)
{
    if (session->out.size == 0) {
        return;
    }
    size_t sent = 0;
    if (session->unsent == 0) {
        uv_buf_t piece = uv_buf_init((char *)session->out.data, (unsigned)session->out.size);
        int result = uv_try_write((uv_stream_t *)&session->socket, &piece, 1);
        if (result < 0 && result != UV_EAGAIN) {
            close_now(session);
            return;
        }
        sent = result > 0 ? (size_t)result : 0;
    }
    if (sent < session->out.size) {
        struct write *write = mem_zalloc(sizeof *write);
        write->session = session;
        write->uv.data = write;
        buf_append(&write->buf, session->out.data + sent, session->out.size - sent);
        session->unsent += write->buf.size;
        uv_buf_t piece = uv_buf_init((char *)write->buf.data, (unsigned)write->buf.size);
        if (uv_write(&write->uv, (uv_stream_t *)&session->socket, &piece, 1, written) != 0) {
            session->unsent -= write->buf.size;
            buf_free(&write->buf);
            mem_free(write);
            close_now(session);
            return;
        }
    }
    if (session->out.capacity > QO_MESSAGE_MAX) { /* As with `in`. */
        buf_free(&session->out);
    } else {
        buf_clear(&session->out);
    }
}

static void
flush(struct session *session)
{
    if (session->state == SESSION_FREE || session->state == SESSION_CLOSING) {
        return;
    }
    if (unsent_bytes(session) > (size_t)2 * QO_CONNECTION_ANSWER_BYTES_MAX) {
        log_limited(&session->node->sessions->defect_log, LOG_WARN, "connection_deaf",
                    "session=%u unsent_bytes=%llu", session->slot,
                    (unsigned long long)unsent_bytes(session));
        close_now(session);
        return;
    }
    bool last = session->state == SESSION_ENDING && session->msgids.count == 0;
    if (last) {
        buf_append(&session->out, session->refusal.data, session->refusal.size);
        buf_clear(&session->refusal);
    }
    send_out(session);
    if (last && session->state == SESSION_ENDING) {
        shut_down(session);
    }
}

void
sessions_flush(struct node *node)
{
    struct sessions *sessions = node->sessions;
    while (sessions->touched != NULL) {
        struct session *session = sessions->touched;
        sessions->touched = session->next_touched;
        session->touched = false;
        flush(session);
        resume_reading(session);
    }
}

/* -- Reading ---------------------------------------------------------------------------------- */

static bool
may_read(const struct session *session)
{
    return (session->peer || session->msgids.count < QO_OUTSTANDING_MAX) &&
           unsent_bytes(session) < QO_CONNECTION_WRITE_BYTES_MAX;
}

/* One whole message at the start of `in`. False: the session takes no more. */
static bool
take_message(struct session *session, struct bytes message)
{
    struct node *node = session->node;
    struct wire_request wire;
    struct wire_refusal refusal;
    arena_reset(&node->arena);
    if (!wire_decode_request(&node->decoder, message, &node->arena, &wire, &refusal)) {
        if (refusal.close) {
            end(session, &refusal);
            return false;
        }
        wire_put_error(&session->out, refusal.msgid, &refusal.failure);
        touch(session);
        return true;
    }
    if (!wire.notification && !msgids_add(&session->msgids, wire.msgid)) {
        const struct wire_failure failure = {
            .error = QO_BAD_REQUEST,
            .field = bytes_text("msgid"),
            .message = bytes_text("A request with this msgid is still under way."),
        };
        wire_put_error(&session->out, wire.msgid, &failure);
        touch(session);
        return true;
    }
    if (wire.method == WIRE_PEER_HELLO &&
        bytes_equal(wire.cluster_id, bytes_text(node->identity->cluster_id))) {
        session->peer = true;
        session->cutter.size_max = QO_PEER_MESSAGE_MAX;
    }
    const struct arrival arrival = {ref_of(session), session->peer, session->started_us, message};
    method_dispatch(node, &arrival, &wire);
    return session->state == SESSION_OPEN;
}

/* Cuts and takes what has arrived, until more is needed or the session may not read on. */
static void
take_messages(struct session *session)
{
    size_t taken = 0;
    while (session->state == SESSION_OPEN && may_read(session) && taken < session->in.size) {
        struct bytes rest = bytes_make(session->in.data + taken, session->in.size - taken);
        size_t size;
        enum wire_cut cut = wire_cut(&session->cutter, rest, &size);
        if (cut == WIRE_CUT_NEED_MORE) {
            break;
        }
        if (cut != WIRE_CUT_MESSAGE) {
            struct wire_refusal refusal = wire_refuse_cut(cut, rest);
            end(session, &refusal);
            break;
        }
        taken += size;
        bool goes_on = take_message(session, bytes_make(rest.data, size));
        /* What lies behind came with the last read: a pause of reading begins only when all that
         * is whole was looked at, and no read comes in between. */
        session->started_us = session->read_us;
        session->half_us = session->idle_us;
        if (!goes_on) {
            break;
        }
    }
    if (session->state == SESSION_CLOSING || session->state == SESSION_FREE) {
        return;
    }
    if (session->state != SESSION_OPEN) {
        buf_clear(&session->in);
        return;
    }
    session->in.size -= taken;
    if (taken > 0 && session->in.size > 0) {
        memmove(session->in.data, session->in.data + taken, session->in.size);
    }
    if (session->in.size == 0) {
        session->started_us = 0;
        /* A large message must not hold its memory for ever. */
        if (session->in.capacity > (size_t)4 * READ_BYTES_MIN) {
            buf_free(&session->in);
        }
    }
}

static void
give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room_out)
{
    struct session *session = handle->data;
    (void)suggested;
    if (session->state != SESSION_OPEN) {
        buf_clear(&session->in);
    }
    uint8_t *at = buf_reserve(&session->in, READ_BYTES_MIN);
    *room_out = uv_buf_init((char *)at, (unsigned)(session->in.capacity - session->in.size));
}

static void
stop_reading(struct session *session)
{
    if (session->reading) {
        session->reading = false;
        uv_read_stop((uv_stream_t *)&session->socket);
    }
}

/* A member's link and no session: the connection lives on in a socket of its own, since closing the
 * one here neither shuts it down nor sends anything. */
static void
hand_over(struct session *session)
{
    uv_os_fd_t socket;
    int copy = -1;
    stop_reading(session);
    if (uv_fileno((const uv_handle_t *)&session->socket, &socket) == 0) {
        copy = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    }
    if (copy < 0) {
        log_limited(&session->node->sessions->refused_log, LOG_WARN, "accept_failed", "why=\"%s\"",
                    strerror(errno));
    } else {
        consensus_accept_link(session->node->consensus, copy, buf_bytes(&session->in));
    }
    close_now(session);
}

/* A client's connection, or another node's that forwards. False: there are too many. */
static bool
take_place(struct session *session)
{
    struct sessions *sessions = session->node->sessions;
    if (session->spare && sessions->count - sessions->spare_count >= sessions->max) {
        log_limited(&sessions->refused_log, LOG_WARN, "connections_full", "limit=%u",
                    sessions->max);
        close_now(session);
        return false;
    }
    leave_spare(session);
    session->begun = true;
    return true;
}

/* Looks at the first bytes, however few. True: it is a session, and has a place. */
static bool
begin(struct session *session)
{
    switch (consensus_link_opening(buf_bytes(&session->in))) {
    case CONSENSUS_OPENING_MAYBE: /* Waits for more, as long as for the rest of any message. */
        return false;
    case CONSENSUS_OPENING_YES:
        hand_over(session);
        return false;
    case CONSENSUS_OPENING_NO:
        break;
    }
    return take_place(session);
}

static void
was_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *room)
{
    struct session *session = stream->data;
    (void)room;
    /* libuv calls it an end of stream if the reset came together with the last bytes. */
    if (size == UV_EOF && session->state != SESSION_DRAINING && was_reset(session)) {
        size = UV_ECONNRESET;
    }
    if (size == UV_EOF) {
        session->ended = true;
        stop_reading(session);
        if (session->state == SESSION_DRAINING) {
            close_now(session);
        } else {
            end(session, NULL);
        }
        return;
    }
    if (size < 0) { /* Reset: what it asked and nobody decided yet is dropped. */
        close_now(session);
        return;
    }
    if (session->state != SESSION_OPEN) {
        return;
    }
    bool halted = node_was_halted(session->node);
    if (halted && was_reset(session)) {
        close_now(session);
        return;
    }
    int64_t now_us = node_now_us(session->node);
    session->read_us = halted ? session->node->polled_us : now_us;
    session->idle_us = now_us;
    if (session->started_us == 0) {
        session->started_us = session->read_us;
        session->half_us = now_us;
    }
    session->in.size += (size_t)size;
    if (!session->begun && !begin(session)) {
        return;
    }
    take_messages(session);
    if (session->state == SESSION_OPEN && !may_read(session)) {
        stop_reading(session);
    }
}

static void
start_reading(struct session *session)
{
    if (!session->reading) {
        session->reading = true;
        if (uv_read_start((uv_stream_t *)&session->socket, give_room, was_read) != 0) {
            close_now(session);
        }
    }
}

/* Goes on after a bound was reached: first with what is here already. */
static void
resume_reading(struct session *session)
{
    if (session->state != SESSION_OPEN || session->reading || !may_read(session)) {
        return;
    }
    if (session->in.size > 0 && was_reset(session)) { /* A socket that is not read is silent. */
        close_now(session);
        return;
    }
    session->half_us = session->idle_us = node_now_us(session->node);
    take_messages(session);
    if (session->state == SESSION_OPEN && may_read(session)) {
        start_reading(session);
    }
}

/* -- Beginning -------------------------------------------------------------------------------- */

static struct session *
take_slot(struct sessions *sessions)
{
    for (uint32_t i = 0; i < sessions->slots_used; i++) {
        if (sessions->slots[i]->state == SESSION_FREE) {
            return sessions->slots[i];
        }
    }
    if (sessions->slots_used == SLOTS_MAX) {
        return NULL;
    }
    struct session *session = mem_zalloc(sizeof *session);
    session->node = sessions->node;
    session->slot = sessions->slots_used;
    sessions->slots[sessions->slots_used++] = session;
    return session;
}

static void
refused_closed(uv_handle_t *handle)
{
    mem_free(handle);
}

/* So that a link is let in behind any number of connections that say nothing. */
static void
close_oldest_spare(struct sessions *sessions)
{
    struct session *oldest = NULL;
    for (uint32_t i = 0; i < sessions->slots_used; i++) {
        struct session *session = sessions->slots[i];
        if (session->spare && (oldest == NULL || session->accepted_us < oldest->accepted_us)) {
            oldest = session;
        }
    }
    QO_ASSERT(oldest != NULL);
    close_now(oldest);
}

/* Over the bound of connections, spare ones too: accepted and closed, so that the client sees an
 * end. */
static void
refuse(struct sessions *sessions, uv_stream_t *listener)
{
    uv_tcp_t *socket = mem_zalloc(sizeof *socket);
    uv_tcp_init(&sessions->node->loop, socket);
    (void)uv_accept(listener, (uv_stream_t *)socket);
    uv_close((uv_handle_t *)socket, refused_closed);
    log_limited(&sessions->refused_log, LOG_WARN, "connections_full", "limit=%u", sessions->max);
}

static void
accept_session(uv_stream_t *listener, int status)
{
    struct sessions *sessions = listener->data;
    if (status != 0) {
        log_limited(&sessions->refused_log, LOG_WARN, "accept_failed", "why=\"%s\"",
                    uv_strerror(status));
        return;
    }
    bool spare = sessions->count - sessions->spare_count >= sessions->max;
    if (spare && sessions->spare_count == QO_CONNECTIONS_SPARE) {
        close_oldest_spare(sessions);
    }
    struct session *session = take_slot(sessions);
    if (session == NULL) {
        refuse(sessions, listener);
        return;
    }
    uint32_t slot = session->slot, generation = session->generation;
    bool touched = session->touched; /* It may still stand in the list of its last life. */
    struct session *next_touched = session->next_touched;
    *session = (struct session){.node = sessions->node,
                                .slot = slot,
                                .generation = generation,
                                .state = SESSION_OPEN,
                                .accepted_us = node_now_us(sessions->node),
                                .spare = spare,
                                .touched = touched,
                                .next_touched = next_touched};
    sessions->count++;
    sessions->spare_count += spare ? 1 : 0;
    uv_tcp_init(&sessions->node->loop, &session->socket);
    session->socket.data = session;
    if (uv_accept(listener, (uv_stream_t *)&session->socket) != 0) {
        close_now(session);
        return;
    }
    uv_tcp_nodelay(&session->socket, 1);
    uv_tcp_keepalive(&session->socket, 1, 60);
    resume_reading(session);
}

struct sessions *
sessions_open(struct node *node)
{
    struct sessions *sessions = mem_zalloc(sizeof *sessions);
    sessions->node = node;
    sessions->max = files_connections_max();
    sessions->slots = mem_zalloc(sizeof *sessions->slots * SLOTS_MAX);
    return sessions;
}

void
sessions_listen(struct node *node, const char *address)
{
    struct sessions *sessions = node->sessions;
    struct sockaddr_storage where;
    char why[ADDRESS_WHY_MAX];
    if (!address_resolve(address, &where, why)) {
        qo_fatal(FATAL_NETWORK, "cannot listen on %s: %s", address, why);
    }
    int failed = uv_tcp_init(&node->loop, &sessions->listener);
    QO_ASSERT(failed == 0);
    sessions->listener.data = sessions;
    failed = uv_tcp_bind(&sessions->listener, (const struct sockaddr *)&where, 0);
    if (failed == 0) {
        failed = uv_listen((uv_stream_t *)&sessions->listener, 512, accept_session);
    }
    if (failed != 0) {
        qo_fatal(FATAL_NETWORK, "cannot listen on %s: %s", address, uv_strerror(failed));
    }
}

/* -- What others ask -------------------------------------------------------------------------- */

bool
session_alive(struct node *node, struct session_ref session)
{
    return find(node, session) != NULL;
}

struct buf *
session_out(struct node *node, struct session_ref ref)
{
    struct session *session = find(node, ref);
    if (session == NULL || session->state == SESSION_DRAINING) {
        return NULL;
    }
    touch(session);
    return &session->out;
}

bool
session_full(struct node *node, struct session_ref ref)
{
    struct session *session = find(node, ref);
    return session == NULL || unsent_bytes(session) >= QO_CONNECTION_WRITE_BYTES_MAX / 2;
}

bool
session_deaf(struct node *node, struct session_ref ref)
{
    struct session *session = find(node, ref);
    return session != NULL && unsent_bytes(session) >= QO_CONNECTION_ANSWER_BYTES_MAX;
}

void
session_answered(struct node *node, struct session_ref ref, uint32_t msgid)
{
    struct session *session = find(node, ref);
    if (session != NULL) {
        msgids_remove(&session->msgids, msgid);
        touch(session);
    }
}

struct subscription **
session_subscriptions(struct node *node, struct session_ref ref, uint32_t **count_out)
{
    struct session *session = find(node, ref);
    if (session == NULL || session->state != SESSION_OPEN) {
        return NULL;
    }
    *count_out = &session->subscriptions_count;
    return &session->subscriptions;
}

void
sessions_drop_reset(struct node *node)
{
    struct sessions *sessions = node->sessions;
    for (uint32_t i = 0; i < sessions->slots_used; i++) {
        struct session *session = sessions->slots[i];
        bool open = session->state == SESSION_OPEN || session->state == SESSION_ENDING;
        if (open && was_reset(session)) {
            close_now(session);
        }
    }
}

void
sessions_expire(struct node *node, int64_t now_us)
{
    struct sessions *sessions = node->sessions;
    for (uint32_t i = 0; i < sessions->slots_used; i++) {
        struct session *session = sessions->slots[i];
        if (session->state == SESSION_DRAINING &&
            now_us - session->ended_us >= (int64_t)QO_CLOSE_DRAIN_MS * 1000) {
            close_now(session);
        } else if (session->spare &&
                   now_us - session->accepted_us >= (int64_t)QO_CONNECTION_SPARE_MS * 1000) {
            close_now(session);
        } else if (session->state == SESSION_OPEN && session->reading && session->started_us != 0 &&
                   session->in.size > 0 &&
                   (now_us - session->idle_us >= (int64_t)QO_HALF_MESSAGE_IDLE_MS * 1000 ||
                    now_us - session->half_us >= (int64_t)QO_HALF_MESSAGE_TOTAL_MS * 1000)) {
            struct wire_refusal refusal = wire_refuse_half();
            end(session, &refusal);
        }
    }
}
