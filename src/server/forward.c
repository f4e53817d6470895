/* See forward.h. Thread: loop. */
#include "forward.h"

#include <netinet/tcp.h>
#include <stdio.h>

#include "common/assert.h"
#include "common/limits.h"
#include "common/log.h"
#include "session.h"
#include "wire/cut.h"
#include "wire/reader.h"
#include "wire/request.h"
#include "wire/response.h"

enum link_state { LINK_CLOSED, LINK_RESOLVING, LINK_CONNECTING, LINK_OPEN, LINK_CLOSING };

/* One message in a link's `waiting`. */
struct waiting_part {
    uint32_t place;
    uint32_t size;
};

/* The connection to one member. */
struct link {
    struct node *node;
    const struct consensus_member *member;
    enum link_state state;
    int64_t retry_us;        /* Not before. */
    int64_t opening_us;      /* Since when it is RESOLVING or CONNECTING. */
    int64_t former_since_us; /* Since when another member leads; 0: none does. */
    uv_tcp_t socket;
    uv_connect_t connect;
    uv_getaddrinfo_t resolve;
    struct buf waiting;       /* Messages to be sent: at the end of this turn, or once connected. */
    struct buf waiting_parts; /* struct waiting_part of each, in order. */
    uint64_t unsent;

    /* What the member's monotonic clock said, and when, by ours, that came: never before it was. */
    uint64_t clock_us; /* 0: not known yet, and nothing is forwarded. */
    int64_t clock_at_us;
    bool asks_clock;  /* peer.hello is sent and not answered, */
    int64_t asked_us; /* since then. */
    bool clock_slow;  /* Its answer took so long that requests lose too much time by it. */
    struct buf in;
    struct wire_cutter cutter;

    /* Requests under way; the place is their id on this link. */
    struct request **slots; /* QO_FORWARDS_MAX; allocated at first use. */
    uint32_t *free;         /* Places that are free, as a stack. */
    uint32_t free_count;
};

struct forward {
    struct link links[QO_MEMBERS_MAX]; /* In the order of the identity's members. */
    struct log_limit broken_log, defect_log;
};

enum { READ_BYTES_MIN = 64 * 1024 };

struct forward *
forward_open(struct node *node)
{
    struct forward *forward = mem_zalloc(sizeof *forward);
    for (uint32_t i = 0; i < node->identity->members_count; i++) {
        forward->links[i].node = node;
        forward->links[i].member = &node->identity->members[i];
    }
    return forward;
}

/* Not that of the loop, which stands still within a turn. */
static int64_t
exact_now_us(void)
{
    return (int64_t)(uv_hrtime() / 1000);
}

/* -- The end of a link ------------------------------------------------------------------------ */

/* Why a request gets no answer of the leader's. */
enum loss {
    LOSS_OF_LINK,
    LOSS_BY_DEFECT, /* What came is nothing that a node answers. */
};

/* What was sent may have arrived, whatever came back. Releases the request. */
static void
fail(struct link *link, struct request *request, enum loss loss)
{
    bool sent = request->stage == REQUEST_FORWARDED;
    if (sent && loss == LOSS_BY_DEFECT) {
        const struct wire_failure failure = {.error = QO_INTERNAL,
                                             .unknown_effect = request->write};
        request_fail(link->node, request, &failure);
    } else if (sent && request->write) {
        request_fail_plain(link->node, request, QO_UNKNOWN_OUTCOME, 0);
    } else {
        request_fail_plain(link->node, request, QO_UNAVAILABLE, QO_RETRY_AFTER_MS);
    }
    request_release(link->node, request);
}

static void
fail_all(struct link *link, enum loss loss)
{
    for (uint32_t place = 0; link->slots != NULL && place < QO_FORWARDS_MAX; place++) {
        struct request *request = link->slots[place];
        if (request != NULL) {
            link->slots[place] = NULL;
            link->free[link->free_count++] = place;
            fail(link, request, loss);
        }
    }
}

static void
closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    link->state = LINK_CLOSED;
    link->unsent = 0;
}

static void
end_link(struct link *link, const char *why, enum loss loss)
{
    log_limited(&link->node->forward->broken_log, LOG_WARN, "link_broken", "member=%u why=\"%s\"",
                link->member->id, why);
    link->retry_us = node_now_us(link->node) + (int64_t)QO_FORWARD_RETRY_MS * 1000;
    buf_clear(&link->waiting);
    buf_clear(&link->waiting_parts);
    link->clock_us = 0;
    link->asks_clock = false;
    buf_clear(&link->in);
    link->cutter = (struct wire_cutter){.size_max = QO_PEER_MESSAGE_MAX};
    fail_all(link, loss);
    if (link->state == LINK_RESOLVING) { /* Until resolved() is called, however long it takes. */
        link->state = LINK_CLOSING;
        (void)uv_cancel((uv_req_t *)&link->resolve);
    } else if (link->state == LINK_CONNECTING || link->state == LINK_OPEN) {
        link->state = LINK_CLOSING;
        uv_close((uv_handle_t *)&link->socket, closed);
    }
}

static void
broke(struct link *link, const char *why)
{
    end_link(link, why, LOSS_OF_LINK);
}

/* -- Answers ---------------------------------------------------------------------------------- */

/* Enough of a message that is none of ours to find out what sent it. */
static void
log_defect(struct link *link, const char *why, struct bytes message)
{
    enum { SHOWN_BYTES_MAX = 48 };
    char hex[2 * SHOWN_BYTES_MAX + 1];
    size_t shown = message.size < SHOWN_BYTES_MAX ? message.size : SHOWN_BYTES_MAX;
    for (size_t i = 0; i < shown; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", message.data[i]);
    }
    hex[2 * shown] = '\0';
    log_limited(&link->node->forward->defect_log, LOG_ERROR, "peer_defect",
                "member=%u address=%s why=\"%s\" bytes=%zu first_bytes=%s", link->member->id,
                link->member->address, why, message.size, hex);
}

/* Whether this is a whole response to the client's message: it goes to the client as it is. */
static bool
answers_client(struct node *node, const struct request *request, struct bytes response)
{
    struct wire_answer answer;
    if (!wire_decode_answer(response, &answer) || answer.kind == WIRE_ANSWER_NOTIFICATION ||
        answer.msgid != request->msgid) {
        return false;
    }
    struct wire_reader reader = wire_reader_of(answer.body);
    struct wire_failure failure;
    struct wire_token token;
    if (answer.kind == WIRE_ANSWER_ERROR) {
        arena_reset(&node->arena);
        return wire_read_failure(&reader, &node->arena, &failure);
    }
    return wire_next(&reader, &token) && token.kind == WIRE_MAP;
}

/* The answer to a peer.forward. */
static void
take_forwarded(struct link *link, struct request *request, const struct wire_answer *answer,
               struct bytes message)
{
    struct wire_reader reader = wire_reader_of(answer->body);
    struct wire_token token;
    if (answer->kind == WIRE_ANSWER_RESULT && wire_next(&reader, &token) &&
        token.kind == WIRE_BIN && answers_client(link->node, request, token.bytes)) {
        request_answer(link->node, request, token.bytes);
        request_release(link->node, request);
        return;
    }
    log_defect(link, "no answer to a forwarded message", message);
    fail(link, request, LOSS_BY_DEFECT);
}

/* What may come over a link, and what not. */
enum taken { TAKEN, TAKEN_REFUSAL, TAKEN_NONSENSE };

static enum taken
take_hello(struct link *link, const struct wire_answer *answer)
{
    struct wire_reader reader = wire_reader_of(answer->body);
    struct wire_peer_hello hello;
    if (answer->kind != WIRE_ANSWER_RESULT) {
        return TAKEN_REFUSAL;
    }
    if (!link->asks_clock || !wire_read_peer_hello(&reader, &hello) || hello.clock_us == 0) {
        return TAKEN_NONSENSE;
    }
    link->clock_us = hello.clock_us;
    link->clock_at_us = exact_now_us();
    link->clock_slow = link->clock_at_us - link->asked_us > (int64_t)QO_FORWARD_ANSWER_MS * 1000;
    link->asks_clock = false;
    return TAKEN;
}

static enum taken
take_answer(struct link *link, struct bytes message)
{
    struct wire_answer answer;
    if (!wire_decode_answer(message, &answer) || answer.kind == WIRE_ANSWER_NOTIFICATION) {
        return TAKEN_NONSENSE;
    }
    if (answer.msgid == QO_FORWARDS_MAX) {
        return take_hello(link, &answer);
    }
    if (answer.msgid > QO_FORWARDS_MAX || link->slots[answer.msgid] == NULL ||
        link->slots[answer.msgid]->stage != REQUEST_FORWARDED) { /* Or not sent yet. */
        return TAKEN_NONSENSE;
    }
    struct request *request = link->slots[answer.msgid];
    link->slots[answer.msgid] = NULL;
    link->free[link->free_count++] = answer.msgid;
    take_forwarded(link, request, &answer, message);
    return TAKEN;
}

static void
give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room_out)
{
    struct link *link = handle->data;
    (void)suggested;
    uint8_t *at = buf_reserve(&link->in, READ_BYTES_MIN);
    *room_out = uv_buf_init((char *)at, (unsigned)(link->in.capacity - link->in.size));
}

static void
was_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *room)
{
    struct link *link = stream->data;
    (void)room;
    if (link->state != LINK_OPEN) {
        return;
    }
    if (size < 0) {
        broke(link, uv_strerror((int)size));
        return;
    }
    link->in.size += (size_t)size;
    size_t taken = 0, message_size;
    while (taken < link->in.size) {
        struct bytes rest = bytes_make(link->in.data + taken, link->in.size - taken);
        enum wire_cut cut = wire_cut(&link->cutter, rest, &message_size);
        if (cut == WIRE_CUT_NEED_MORE) {
            break;
        }
        enum taken answer = cut == WIRE_CUT_MESSAGE
                                ? take_answer(link, bytes_make(rest.data, message_size))
                                : TAKEN_NONSENSE;
        if (answer == TAKEN_NONSENSE) {
            log_defect(link, "no message of a node", rest);
            end_link(link, "an answer that is none", LOSS_BY_DEFECT);
            return;
        }
        if (answer == TAKEN_REFUSAL) {
            broke(link, "refused as a member: is its address another cluster's?");
            return;
        }
        taken += message_size;
    }
    link->in.size -= taken;
    if (link->in.size > 0 && taken > 0) {
        memmove(link->in.data, link->in.data + taken, link->in.size);
    }
}

/* -- Connecting ------------------------------------------------------------------------------- */

/* A member whose packets vanish says nothing: the kernel would wait for it for a quarter of an hour
 * with what was sent, and for two hours without. */
static void
tune(struct link *link)
{
    uv_os_fd_t fd;
    unsigned silence_ms = QO_FORWARD_SILENCE_MS;
    int interval_s = QO_FORWARD_KEEPALIVE_S;
    (void)uv_tcp_nodelay(&link->socket, 1);
    (void)uv_tcp_keepalive(&link->socket, 1, QO_FORWARD_KEEPALIVE_S);
    if (uv_fileno((const uv_handle_t *)&link->socket, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof silence_ms);
    }
}

static void
connected(uv_connect_t *connect, int status)
{
    struct link *link = connect->data;
    if (link->state != LINK_CONNECTING) {
        return;
    }
    if (status != 0) {
        broke(link, uv_strerror(status));
        return;
    }
    tune(link);
    if (uv_read_start((uv_stream_t *)&link->socket, give_room, was_read) != 0) {
        broke(link, "cannot read");
        return;
    }
    link->state = LINK_OPEN;
}

static void
resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    struct link *link = resolve->data;
    bool wanted = link->state == LINK_RESOLVING;
    link->state = LINK_CLOSED;
    if (!wanted || status != 0) {
        uv_freeaddrinfo(found);
        if (wanted) {
            broke(link, uv_strerror(status));
        }
        return;
    }
    uv_tcp_init(&link->node->loop, &link->socket);
    link->socket.data = link;
    link->connect.data = link;
    link->state = LINK_CONNECTING;
    status = uv_tcp_connect(&link->connect, &link->socket, found->ai_addr, connected);
    uv_freeaddrinfo(found);
    if (status != 0) {
        broke(link, uv_strerror(status));
    }
}

static void
open_link(struct link *link)
{
    char host[QO_ADDRESS_MAX + 1];
    const char *colon = strrchr(link->member->address, ':');
    QO_ASSERT(colon != NULL); /* Checked when the directory was made. */
    const char *begin = link->member->address;
    size_t size = (size_t)(colon - begin);
    if (size >= 2 && begin[0] == '[') {
        begin++;
        size -= 2;
    }
    memcpy(host, begin, size);
    host[size] = '\0';
    if (link->slots == NULL) {
        link->slots = mem_zalloc(sizeof(struct request *) * QO_FORWARDS_MAX);
        link->free = mem_alloc(sizeof *link->free * QO_FORWARDS_MAX);
        for (uint32_t place = QO_FORWARDS_MAX; place > 0; place--) {
            link->free[link->free_count++] = place - 1;
        }
    }
    link->cutter = (struct wire_cutter){.size_max = QO_PEER_MESSAGE_MAX};
    link->resolve.data = link;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int failed =
        uv_getaddrinfo(&link->node->loop, &link->resolve, resolved, host, colon + 1, &hints);
    if (failed != 0) {
        broke(link, uv_strerror(failed));
        return;
    }
    link->state = LINK_RESOLVING;
    link->opening_us = node_now_us(link->node);
}

/* -- Sending ---------------------------------------------------------------------------------- */

static struct link *
find_link(struct node *node, uint32_t member_id)
{
    for (uint32_t i = 0; i < node->identity->members_count; i++) {
        if (node->identity->members[i].id == member_id) {
            return &node->forward->links[i];
        }
    }
    return NULL;
}

static void
refuse(struct node *node, struct request *request, enum qo_error error)
{
    request_fail_plain(node, request, error, QO_RETRY_AFTER_MS);
    request_release(node, request);
}

void
forward_request(struct node *node, struct request *request, struct bytes message,
                uint32_t leader_id)
{
    struct link *link = find_link(node, leader_id);
    if (link == NULL || link->state == LINK_CLOSING ||
        (link->state == LINK_CLOSED && node_now_us(node) < link->retry_us)) {
        refuse(node, request, QO_UNAVAILABLE);
        return;
    }
    if (link->state == LINK_CLOSED) {
        open_link(link);
        if (link->state == LINK_CLOSED) {
            refuse(node, request, QO_UNAVAILABLE);
            return;
        }
    }
    if (link->free_count == 0 || link->unsent + link->waiting.size > QO_FORWARD_BYTES_MAX) {
        refuse(node, request, QO_OVERLOADED);
        return;
    }
    const struct waiting_part part = {link->free[--link->free_count], (uint32_t)message.size};
    QO_ASSERT(link->slots[part.place] == NULL);
    link->slots[part.place] = request;
    request->stage = REQUEST_TO_FORWARD;
    buf_append(&link->waiting_parts, &part, sizeof part);
    buf_append(&link->waiting, message.data, message.size);
}

static bool
clock_is_older(const struct link *link, unsigned ms)
{
    return link->clock_us == 0 || exact_now_us() - link->clock_at_us > (int64_t)ms * 1000;
}

static void
put_hello(struct link *link, struct buf *out)
{
    link->asks_clock = true;
    link->asked_us = exact_now_us();
    const struct wire_request hello = {
        .method = WIRE_PEER_HELLO,
        .msgid = QO_FORWARDS_MAX,
        .cluster_id = bytes_text(link->node->identity->cluster_id),
        .node_id = link->node->identity->node_id,
    };
    wire_encode_request(out, &hello);
}

/* Nobody waits for the message any more if its connection was reset or its time ran out; then it is
 * not sent. */
static void
put_message(struct link *link, struct buf *out, uint32_t place, struct bytes message)
{
    struct node *node = link->node;
    struct request *request = link->slots[place];
    QO_ASSERT(request != NULL && request->stage == REQUEST_TO_FORWARD);
    if (!request->answered && request->deadline_us <= node_now_us(node)) {
        request_fail_plain(node, request, QO_TIMEOUT, 0);
    }
    if (request->answered || !session_alive(node, request->session)) {
        link->slots[place] = NULL;
        link->free[link->free_count++] = place;
        request->answered = true;
        request_release(node, request);
        return;
    }
    request->stage = REQUEST_FORWARDED;
    const struct wire_request forward = {
        .method = WIRE_PEER_FORWARD,
        .msgid = place,
        .node_id = node->identity->node_id,
        .deadline_us = link->clock_us + (uint64_t)(request->deadline_us - link->clock_at_us),
        .message = message,
    };
    wire_encode_request(out, &forward);
}

/* Encodes what waits and may leave. */
static struct buf
take_waiting(struct link *link)
{
    struct buf out = {0};
    if (!link->asks_clock && (link->clock_slow || clock_is_older(link, QO_FORWARD_CLOCK_MS))) {
        put_hello(link, &out);
    }
    if (clock_is_older(link, 2 * QO_FORWARD_CLOCK_MS)) {
        return out; /* Until that is answered. */
    }
    size_t from = 0;
    for (size_t at = 0; at < link->waiting_parts.size; at += sizeof(struct waiting_part)) {
        struct waiting_part part;
        memcpy(&part, link->waiting_parts.data + at, sizeof part);
        put_message(link, &out, part.place, bytes_make(link->waiting.data + from, part.size));
        from += part.size;
    }
    QO_ASSERT(from == link->waiting.size);
    buf_clear(&link->waiting);
    buf_clear(&link->waiting_parts);
    return out;
}

/* Not told by the link itself: a process that stands still keeps its connections. */
void
forward_tick(struct node *node, int64_t now_us)
{
    uint32_t leader_id = node_leader_id(node);
    for (uint32_t i = 0; i < node->identity->members_count; i++) {
        struct link *link = &node->forward->links[i];
        bool former = leader_id != 0 && leader_id != link->member->id;
        bool waits = link->slots != NULL && link->free_count < QO_FORWARDS_MAX;
        bool opening = link->state == LINK_RESOLVING || link->state == LINK_CONNECTING;
        if (leader_id != 0 && !former) {
            link->former_since_us = 0;
        } else if (former && link->former_since_us == 0) {
            link->former_since_us = now_us;
            link->clock_us = 0; /* Its machine may have stood still, and its clock with it. */
        }
        if (former && waits && link->state != LINK_CLOSING &&
            now_us - link->former_since_us > (int64_t)QO_FORWARD_FORMER_MS * 1000) {
            broke(link, "another member leads now, and it does not answer");
        } else if (opening && now_us - link->opening_us > (int64_t)QO_FORWARD_CONNECT_MS * 1000) {
            broke(link, "no connection in time");
        }
    }
}

struct link_write {
    uv_write_t uv;
    struct link *link;
    struct buf buf;
};

static void
written(uv_write_t *uv, int status)
{
    struct link_write *write = uv->data;
    struct link *link = write->link;
    if (link->state == LINK_OPEN) {
        link->unsent -= write->buf.size;
    }
    buf_free(&write->buf);
    mem_free(write);
    if (status != 0 && link->state == LINK_OPEN) {
        broke(link, uv_strerror(status));
    }
}

void
forward_flush(struct node *node)
{
    for (uint32_t i = 0; i < node->identity->members_count; i++) {
        struct link *link = &node->forward->links[i];
        if (link->state != LINK_OPEN || (link->waiting_parts.size == 0 && link->clock_us != 0)) {
            continue;
        }
        struct buf out = take_waiting(link);
        if (out.size == 0) {
            continue;
        }
        struct link_write *write = mem_zalloc(sizeof *write);
        write->link = link;
        write->uv.data = write;
        write->buf = out;
        link->unsent += write->buf.size;
        uv_buf_t piece = uv_buf_init((char *)write->buf.data, (unsigned)write->buf.size);
        int failed = uv_write(&write->uv, (uv_stream_t *)&link->socket, &piece, 1, written);
        if (failed != 0) {
            buf_free(&write->buf);
            mem_free(write);
            broke(link, uv_strerror(failed));
        }
    }
}
