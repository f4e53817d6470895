/* See links_world.h. Thread: one. */
#include "support/test.h"

#include "links_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/hash.h"
#include "message.h"

/* -- What comes -------------------------------------------------------------------------------- */

static void
message_came(void *context, struct raft_message *message)
{
    struct member *member = context;
    struct seen seen = {.type = message->type, .from = (uint32_t)message->server_id};
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        seen.term = message->append_entries.term;
        seen.index = message->append_entries.prev_log_index;
        seen.entries = message->append_entries.n_entries;
        for (uint32_t i = 0; i < seen.entries; i++) {
            const struct raft_buffer *buffer = &message->append_entries.entries[i].buf;
            seen.bytes += buffer->len;
            seen.hash = seen.hash * 31 + hash_xxh64(bytes_make(buffer->base, buffer->len));
        }
        break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        seen.term = message->append_entries_result.term;
        seen.index = message->append_entries_result.last_log_index;
        break;
    case RAFT_IO_REQUEST_VOTE:
        seen.term = message->request_vote.term;
        seen.index = message->request_vote.last_log_index;
        break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        seen.term = message->request_vote_result.term;
        break;
    default:
        seen.term = message->timeout_now.term;
        seen.index = message->timeout_now.last_log_index;
        break;
    }
    message_drop(message);
    QO_ASSERT(member->seen_count < SEEN_MAX);
    member->seen[member->seen_count++] = seen;
}

static void
note_came(void *context, uint32_t from, uint8_t kind, struct bytes body)
{
    struct member *member = context;
    (void)from;
    member->notes_count++;
    member->note_kind = kind;
    member->note_bytes = body.size;
    if (body.size > 0) {
        memcpy(member->note, body.data, body.size);
    }
}

static void
member_gone(void *context, uint32_t id)
{
    struct member *member = context;
    member->gone_count++;
    member->gone_member = id;
}

/* As a server does: reads first, then hands over what looks like a link. Waits for the bytes of one
 * that is slow, which no server may, but a test with nothing to say to others can. */
static void
somebody_came(uv_poll_t *poll, int status, int events)
{
    struct member *member = poll->data;
    uint8_t first[64];
    (void)status;
    (void)events;
    for (int fd; (fd = accept(member->listener, NULL, NULL)) >= 0;) {
        ssize_t got = recv(fd, first, sizeof first, MSG_DONTWAIT);
        links_accept(member->links, fd, bytes_make(first, got > 0 ? (size_t)got : 0));
    }
}

/* -- Members ----------------------------------------------------------------------------------- */

void
member_listen(struct member *member, uv_loop_t *loop, uint32_t id, const char *host, uint16_t port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool is_six = strchr(host, ':') != NULL;
    socklen_t size = is_six ? sizeof six : sizeof four;
    int yes = 1;
    (void)signal(SIGPIPE, SIG_IGN); /* As consensus_prepare_process() does: libuv writes plainly. */
    memset(member, 0, sizeof *member);
    member->id = id;
    member->loop = loop;
    member->listener =
        socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(member->listener >= 0);
    assert_int_equal(setsockopt(member->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    if (is_six) {
        assert_int_equal(inet_pton(AF_INET6, host, &six.sin6_addr), 1);
    } else {
        assert_int_equal(inet_pton(AF_INET, host, &four.sin_addr), 1);
    }
    struct sockaddr *name = is_six ? (void *)&six : (void *)&four;
    assert_int_equal(bind(member->listener, name, size), 0);
    assert_int_equal(listen(member->listener, 64), 0);
    assert_int_equal(getsockname(member->listener, name, &size), 0);
    member->port = ntohs(is_six ? six.sin6_port : four.sin_port);
    (void)snprintf(member->address, sizeof member->address, is_six ? "[%s]:%u" : "%s:%u", host,
                   (unsigned)member->port);
    member->incoming.data = member;
    assert_int_equal(uv_poll_init(loop, &member->incoming, member->listener), 0);
    assert_int_equal(uv_poll_start(&member->incoming, UV_READABLE, somebody_came), 0);
}

void
member_start(struct member *member, struct links_options options)
{
    struct transport_client client = {member, message_came, note_came, member_gone};
    options.loop = member->loop;
    options.id = member->id;
    options.cluster_id = options.cluster_id != NULL ? options.cluster_id : "c";
    member->links = links_open(&options);
    member->transport = links_transport(member->links);
    member->transport.start(member->transport.context, &client);
}

void
member_meets(struct member *member, const struct member *const *others, uint32_t count)
{
    struct transport_member list[QO_MEMBERS_MAX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        list[i].id = others[i]->id;
        memcpy(list[i].address, others[i]->address, sizeof list[i].address);
    }
    member->transport.members(member->transport.context, list, count);
}

bool
member_up(const struct member *member, uint32_t other)
{
    struct links_status status;
    return links_status(member->links, other, &status) && status.up;
}

static bool
both_up(void *context)
{
    struct member *const *pair = context;
    return member_up(pair[0], pair[1]->id) && member_up(pair[1], pair[0]->id);
}

void
member_pair(struct member *a, struct member *b, uv_loop_t *loop, const char *host)
{
    struct member *pair[2] = {a, b};
    member_listen(a, loop, 1, host, 0);
    member_listen(b, loop, 2, host, 0);
    member_start(a, (struct links_options){0});
    member_start(b, (struct links_options){0});
    member_meets(a, (const struct member *const *)pair, 2);
    member_meets(b, (const struct member *const *)pair, 2);
    assert_true(world_run(loop, both_up, pair));
}

static void
links_closed(void *context)
{
    struct member *member = context;
    member->closed = true;
}

static void
poll_closed(uv_handle_t *handle)
{
    struct member *member = handle->data;
    member->listener = -1;
}

static bool
stopped(void *context)
{
    const struct member *member = context;
    return member->listener < 0 && (member->links == NULL || member->closed);
}

void
member_stop(struct member *member)
{
    (void)close(member->listener);
    uv_close((uv_handle_t *)&member->incoming, poll_closed);
    if (member->links != NULL) {
        links_close(member->links, links_closed, member);
    }
    assert_true(world_run(member->loop, stopped, member));
    member->links = NULL;
}

/* -- The loop ---------------------------------------------------------------------------------- */

static void
time_is_up(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void
look_again(uv_timer_t *timer)
{
    (void)timer; /* Raw sockets are no handles of the loop: they are looked at now and then. */
}

static void
timer_closed(uv_handle_t *handle)
{
    handle->data = NULL;
}

bool
world_run(uv_loop_t *loop, world_fn until, void *context)
{
    bool late = false;
    uv_timer_t end, look;
    uv_update_time(loop);
    (void)uv_timer_init(loop, &end);
    (void)uv_timer_init(loop, &look);
    end.data = look.data = &late;
    (void)uv_timer_start(&end, time_is_up, WORLD_WAIT_MS, 0);
    (void)uv_timer_start(&look, look_again, 1, 1);
    bool reached = until(context);
    while (!reached && !late) {
        (void)uv_run(loop, UV_RUN_ONCE);
        reached = until(context);
    }
    uv_close((uv_handle_t *)&end, timer_closed);
    uv_close((uv_handle_t *)&look, timer_closed);
    while (end.data != NULL || look.data != NULL) {
        (void)uv_run(loop, UV_RUN_NOWAIT);
    }
    return reached;
}

bool
world_close(uv_loop_t *loop)
{
    (void)uv_run(loop, UV_RUN_NOWAIT); /* What is still open is a failed test's. */
    return uv_loop_close(loop) == 0;
}

/* -- Raw --------------------------------------------------------------------------------------- */

void
raw_dial(struct raw *raw, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    memset(raw, 0, sizeof *raw);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(raw->fd, (void *)&to, sizeof to), 0);
}

void
raw_send(struct raw *raw, struct bytes bytes)
{
    ssize_t sent = send(raw->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
    raw->ended = raw->ended || sent != (ssize_t)bytes.size;
}

void
raw_send_frame(struct raw *raw, enum frame_type type, struct bytes payload)
{
    struct buf out = {0};
    frame_put(&out, type, payload);
    raw_send(raw, buf_bytes(&out));
    buf_free(&out);
}

void
raw_send_hello(struct raw *raw)
{
    struct buf out = {0};
    hello_write(&raw->own, raw->own_bytes);
    buf_append(&out, hello_prefix, HELLO_PREFIX_BYTES);
    buf_put_u8(&out, HELLO_BYTES);
    buf_append(&out, raw->own_bytes, HELLO_BYTES);
    raw_send(raw, buf_bytes(&out));
    buf_free(&out);
}

static void
raw_receive(struct raw *raw)
{
    for (ssize_t got = 1; got > 0 && !raw->ended;) {
        got = recv(raw->fd, buf_reserve(&raw->in, 4096), 4096, MSG_DONTWAIT);
        raw->in.size += got > 0 ? (size_t)got : 0;
        raw->ended = got == 0 || (got < 0 && errno != EAGAIN);
    }
}

static bool
frame_or_end(void *context)
{
    struct raw *raw = context;
    struct frame frame;
    raw_receive(raw);
    return raw->ended || frame_read(buf_bytes(&raw->in), &frame) != FRAME_INCOMPLETE;
}

/* The frame's bytes are valid until the next call. */
bool
raw_frame(struct raw *raw, uv_loop_t *loop, struct frame *frame_out)
{
    static uint8_t kept[FRAME_PAYLOAD_MAX];
    assert_true(world_run(loop, frame_or_end, raw));
    if (frame_read(buf_bytes(&raw->in), frame_out) != FRAME_WHOLE) {
        return false;
    }
    size_t size = FRAME_HEADER + frame_out->payload.size;
    if (frame_out->payload.size > 0) {
        memcpy(kept, frame_out->payload.data, frame_out->payload.size);
    }
    frame_out->payload.data = kept;
    memmove(raw->in.data, raw->in.data + size, raw->in.size - size);
    raw->in.size -= size;
    return true;
}

static bool
at_end(void *context)
{
    struct raw *raw = context;
    raw_receive(raw);
    return raw->ended;
}

bool
raw_ends(struct raw *raw, uv_loop_t *loop)
{
    return world_run(loop, at_end, raw);
}

bool
raw_open(struct raw *raw, uv_loop_t *loop, struct bytes secret)
{
    struct frame frame;
    raw_send_hello(raw);
    if (!raw_frame(raw, loop, &frame) || frame.type != FRAME_HELLO) {
        return false;
    }
    memcpy(raw->their_bytes, frame.payload.data, HELLO_BYTES);
    struct sha256 proof = hello_prove(secret, true, raw->own_bytes, raw->their_bytes);
    raw_send_frame(raw, FRAME_PROOF, bytes_make(proof.bytes, sizeof proof.bytes));
    if (!raw_frame(raw, loop, &frame) || frame.type != FRAME_PROOF) {
        return false;
    }
    if (raw->own.from > raw->own.to) {
        return raw_frame(raw, loop, &frame) && frame.type == FRAME_OPEN;
    }
    uint8_t order[8] = {1};
    raw_send_frame(raw, FRAME_OPEN, bytes_make(order, sizeof order));
    return true;
}

void
raw_close(struct raw *raw)
{
    (void)close(raw->fd);
    buf_free(&raw->in);
}
