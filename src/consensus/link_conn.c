/* See link_state.h. One connection: its bytes, its frames, its end. Thread: the loop. */
#include "common/assert.h"
#include "frame.h"
#include "link_state.h"
#include "message.h"

static_assert((int)LINKS_PREFIX_BYTES == (int)HELLO_PREFIX_BYTES, "one prefix");

bool
links_is_opening(struct bytes first)
{
    return first.size >= HELLO_PREFIX_BYTES &&
           memcmp(first.data, hello_prefix, HELLO_PREFIX_BYTES) == 0;
}

/* -- What comes -------------------------------------------------------------------------------- */

static void
hand_over(struct conn *conn, struct raft_message *message)
{
    const struct links *links = conn->links;
    message->server_id = conn->peer->id;
    message->server_address = conn->peer->address;
    links->client.message(links->client.context, message);
}

/* True if these bytes are a message of this peer. `batch` as in message_decode(). */
static enum message_reading
decode(const struct conn *conn, struct bytes whole, void *batch, struct raft_message *message_out)
{
    enum message_reading reading = message_decode(whole, batch, message_out);
    if (reading != MESSAGE_BAD && message_out->type == RAFT_IO_REQUEST_VOTE &&
        message_out->request_vote.candidate_id != conn->peer->id) {
        return MESSAGE_BAD; /* It stands for somebody else. */
    }
    return reading;
}

static void
hear_message(struct conn *conn, struct bytes payload)
{
    struct raft_message message;
    if (decode(conn, payload, NULL, &message) == MESSAGE_BAD) {
        conn_reject(conn, "no message");
        return;
    }
    hand_over(conn, &message);
}

static void
drop_partial(struct conn *conn)
{
    raft_free(conn->partial);
    conn->partial = NULL;
}

static void
hear_part(struct conn *conn, struct bytes payload)
{
    if (conn->partial == NULL || payload.size > conn->partial_total - conn->partial_size) {
        conn_reject(conn, "a part of no message");
        return;
    }
    memcpy(conn->partial + conn->partial_size, payload.data, payload.size);
    conn->partial_size += payload.size;
    if (conn->partial_size < conn->partial_total) {
        return;
    }
    struct raft_message message;
    uint8_t *batch = conn->partial;
    switch (decode(conn, bytes_make(batch, conn->partial_total), batch, &message)) {
    case MESSAGE_BAD:
        conn_reject(conn, "no message");
        break;
    case MESSAGE_GOOD:
        drop_partial(conn);
        hand_over(conn, &message);
        break;
    case MESSAGE_TOOK:
        conn->partial = NULL;
        hand_over(conn, &message);
        break;
    }
}

static void
hear_first_part(struct conn *conn, struct bytes payload)
{
    size_t total = payload.size > FRAME_FIRST_BYTES ? get_le32(payload.data) : 0;
    if (conn->partial != NULL || total <= QO_LINK_PART_BYTES || total > QO_LINK_MESSAGE_BYTES_MAX) {
        conn_reject(conn, "a first part out of bounds");
        return;
    }
    conn->partial = raft_malloc(total);
    QO_ASSERT(conn->partial != NULL);
    conn->partial_total = total;
    conn->partial_size = 0;
    hear_part(conn, bytes_make(payload.data + FRAME_FIRST_BYTES, payload.size - FRAME_FIRST_BYTES));
}

static void
hear_note(struct conn *conn, struct bytes payload)
{
    const struct transport_client *client = &conn->links->client;
    if (payload.size == 0 || payload.size - 1 > QO_LINK_NOTE_BYTES_MAX) {
        conn_reject(conn, "a note out of bounds");
        return;
    }
    client->note(client->context, conn->peer->id, payload.data[0],
                 bytes_make(payload.data + 1, payload.size - 1));
}

static void
hear_frame(struct conn *conn, const struct frame *frame)
{
    if (conn->state != CONN_LINK) {
        conn_opening_frame(conn, frame->type, frame->payload);
        return;
    }
    switch (frame->type) {
    case FRAME_MESSAGE:
        hear_message(conn, frame->payload);
        break;
    case FRAME_FIRST:
        hear_first_part(conn, frame->payload);
        break;
    case FRAME_PART:
        hear_part(conn, frame->payload);
        break;
    case FRAME_NOTE:
        hear_note(conn, frame->payload);
        break;
    default:
        conn_reject(conn, "a frame out of place");
        break;
    }
}

/* Takes the next of what has come; bytes taken, 0 if that is not whole yet. */
static size_t
take_next(struct conn *conn, struct bytes bytes)
{
    struct frame frame;
    if (conn->state == CONN_HELLO && !conn->dialled) {
        return conn_take_prefix(conn, bytes);
    }
    switch (frame_read(bytes, &frame)) {
    case FRAME_INCOMPLETE:
        return 0;
    case FRAME_DAMAGED:
        conn_reject(conn, "a damaged frame");
        return 0;
    case FRAME_WHOLE:
        break;
    }
    hear_frame(conn, &frame);
    return FRAME_HEADER + frame.payload.size;
}

void
conn_read(void *context, struct bytes bytes)
{
    struct conn *conn = context;
    size_t taken = 0;
    buf_append(&conn->in, bytes.data, bytes.size);
    while (taken < conn->in.size && conn->state != CONN_CLOSED && conn->state != CONN_REFUSING) {
        size_t more = take_next(conn, bytes_make(conn->in.data + taken, conn->in.size - taken));
        taken += more;
        if (more == 0) {
            break;
        }
    }
    if (conn->state == CONN_REFUSING) {
        taken = conn->in.size;
    }
    if (taken > 0) {
        memmove(conn->in.data, conn->in.data + taken, conn->in.size - taken);
        conn->in.size -= taken;
    }
}

/* -- What goes --------------------------------------------------------------------------------- */

void
conn_flush(struct conn *conn)
{
    struct bytes pieces[LINK_PIECES_MAX];
    if (conn->state != CONN_LINK || conn->writing) {
        return;
    }
    size_t count = link_queue_fill(&conn->queue, pieces);
    if (count > 0) {
        conn->writing = true;
        link_stream_write(conn->stream, pieces, count);
    }
}

static void
written(void *context)
{
    struct conn *conn = context;
    struct link_items done = link_queue_written(&conn->queue);
    conn->writing = false;
    conn_flush(conn);
    for (struct link_item *item; (item = link_items_pop(&done)) != NULL;) {
        if (item->callback != NULL) {
            item->callback(item->request, 0);
        }
        link_item_free(item);
    }
}

/* -- Life -------------------------------------------------------------------------------------- */

void
conn_piece_closed(struct conn *conn)
{
    QO_ASSERT(conn->pieces > 0);
    conn->pieces--;
    if (conn->pieces == 0) {
        struct links *links = conn->links;
        QO_ASSERT(conn->state == CONN_CLOSED);
        buf_free(&conn->in);
        mem_free(conn);
        links_piece_closed(links);
    }
}

static void
stream_closed(void *context)
{
    conn_piece_closed(context);
}

static void
deadline_closed(uv_handle_t *handle)
{
    conn_piece_closed(handle->data);
}

static void
deadline_passed(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    links_ended(conn, UV_ETIMEDOUT);
}

static void
ended(void *context, int status)
{
    links_ended(context, status);
}

/* Of several addresses all must refuse for the peer to count as refusing. */
static void
note_failure(struct conn *conn, int status)
{
    conn->worst = conn->worst == 0 || status != UV_ECONNREFUSED ? status : conn->worst;
}

static void
connected(void *context, int status)
{
    struct conn *conn = context;
    if (status == 0) {
        conn_say_hello(conn);
        return;
    }
    note_failure(conn, status);
    if (!conn_dial_next(conn)) {
        links_ended(conn, conn->worst);
    }
}

static struct conn *
make(struct links *links)
{
    struct conn *conn = mem_zalloc(sizeof *conn);
    conn->links = links;
    conn->next = links->conns;
    if (conn->next != NULL) {
        conn->next->previous = conn;
    }
    links->conns = conn;
    links->pieces++;
    conn->pieces = 1;
    (void)uv_timer_init(links->loop, &conn->deadline);
    conn->deadline.data = conn;
    (void)uv_timer_start(&conn->deadline, deadline_passed, links->opening_ms, 0);
    return conn;
}

static struct link_stream_options
stream_options(struct conn *conn)
{
    return (struct link_stream_options){
        .loop = conn->links->loop,
        .silence_ms = conn->links->silence_ms,
        .client = {conn, connected, conn_read, written, ended, stream_closed},
    };
}

struct conn *
conn_accept(struct links *links, int fd)
{
    struct conn *conn = make(links);
    struct link_stream_options options = stream_options(conn);
    conn->state = CONN_HELLO;
    links->openings++;
    conn->stream = link_stream_accept(&options, fd);
    conn->pieces += conn->stream != NULL;
    if (conn->stream == NULL) {
        conn_close(conn);
        return NULL;
    }
    return conn;
}

/* This host has no address of that kind, or no way there: that says nothing about the peer, and a
 * name often has such a one beside the one that serves (IPv6 where there is none). */
static bool
cannot_be_tried(int status)
{
    return status == UV_EADDRNOTAVAIL || status == UV_EAFNOSUPPORT || status == UV_ENETUNREACH;
}

bool
conn_dial_next(struct conn *conn)
{
    struct link_addresses *addresses = &conn->addresses;
    struct link_stream_options options = stream_options(conn);
    if (conn->stream != NULL) {
        link_stream_close(conn->stream);
        conn->stream = NULL;
    }
    conn->state = CONN_CONNECTING;
    while (conn->stream == NULL && addresses->next < addresses->count) {
        union {
            struct sockaddr_storage *stored;
            struct sockaddr *any;
        } to = {&addresses->list[addresses->next++]};
        int status = link_stream_dial(&options, to.any, &conn->stream);
        if (status != 0 && !cannot_be_tried(status)) {
            note_failure(conn, status);
        }
    }
    conn->pieces += conn->stream != NULL;
    return conn->stream != NULL;
}

struct conn *
conn_dial(struct peer *peer)
{
    struct conn *conn = make(peer->links);
    conn->peer = peer;
    conn->dialled = true;
    conn->state = CONN_LOOKUP;
    int status = link_look_up(conn);
    if (status < 0 || (status == 1 && !conn_dial_next(conn))) {
        /* The deadline ends it, at the next turn: nobody is told inside what he called. */
        (void)uv_timer_start(&conn->deadline, deadline_passed, 0, 0);
    }
    return conn;
}

void
conn_close(struct conn *conn)
{
    struct links *links = conn->links;
    struct peer *peer = conn->peer;
    QO_PRE(conn->state != CONN_CLOSED);
    if (!conn->dialled && conn->state != CONN_LINK) {
        QO_ASSERT(links->openings > 0);
        links->openings--;
    }
    if (peer != NULL) {
        peer->link = peer->link == conn ? NULL : peer->link;
        peer->dial = peer->dial == conn ? NULL : peer->dial;
    }
    if (conn->previous != NULL) {
        conn->previous->next = conn->next;
    } else {
        links->conns = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
    if (conn->state == CONN_LOOKUP) {
        (void)uv_cancel((uv_req_t *)&conn->lookup);
    }
    conn->state = CONN_CLOSED;
    conn->peer = NULL;
    if (conn->stream != NULL) { /* From here on it reads nothing that was borrowed. */
        link_stream_close(conn->stream);
    }
    drop_partial(conn);
    links_tell_later(links, link_queue_drain(&conn->queue), RAFT_NOCONNECTION);
    uv_close((uv_handle_t *)&conn->deadline, deadline_closed);
}
