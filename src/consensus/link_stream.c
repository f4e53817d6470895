/* See link_stream.h. Thread: the loop. */
#include "link_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>
#include <uv.h>

#include "common/assert.h"
#include "common/limits.h"
#include "link_queue.h"

struct link_stream {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    bool writing, ended, closing, finishing;
    uint32_t silence_ms;
    struct link_stream_client client;
    uint8_t in[QO_LINK_READ_BYTES];
};

struct said {
    uv_write_t write;
    struct link_stream *stream;
    uint8_t bytes[];
};

static void
end(struct link_stream *stream, int status)
{
    if (!stream->ended && !stream->closing) {
        stream->ended = true;
        (void)uv_read_stop((uv_stream_t *)&stream->tcp);
        stream->client.ended(stream->client.context, status);
    }
}

/* Without TCP_NODELAY small messages wait for delayed acks (measured: p99 of 47 ms for 5). A peer
 * that takes nothing for a while must not hold what is queued for it for ever (B4). What is in the
 * kernel and not on its way cannot be overtaken by a vote, so there is little of it. */
static void
tune(struct link_stream *stream)
{
    uv_os_fd_t fd;
    int unsent = (int)QO_LINK_UNSENT_BYTES;
    unsigned silence_ms = stream->silence_ms;
    (void)uv_tcp_nodelay(&stream->tcp, 1);
    (void)uv_tcp_keepalive(&stream->tcp, 1, QO_LINK_KEEPALIVE_S);
    if (uv_fileno((const uv_handle_t *)&stream->tcp, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof silence_ms);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    }
}

static void
give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room_out)
{
    struct link_stream *stream = handle->data;
    (void)suggested;
    *room_out = uv_buf_init((char *)stream->in, sizeof stream->in);
}

static void
was_read(uv_stream_t *tcp, ssize_t got, const uv_buf_t *room)
{
    struct link_stream *stream = tcp->data;
    (void)room;
    if (got < 0) {
        end(stream, (int)got);
    } else if (got > 0) {
        stream->client.read(stream->client.context, bytes_make(stream->in, (size_t)got));
    }
}

static struct link_stream *
make(const struct link_stream_options *options)
{
    struct link_stream *stream = mem_zalloc(sizeof *stream);
    stream->client = options->client;
    stream->silence_ms = options->silence_ms;
    int status = uv_tcp_init(options->loop, &stream->tcp);
    QO_ASSERT(status == 0); /* Without flags it makes no socket, and cannot fail. */
    stream->tcp.data = stream;
    return stream;
}

static int
begin_reading(struct link_stream *stream)
{
    tune(stream);
    return uv_read_start((uv_stream_t *)&stream->tcp, give_room, was_read);
}

static void
free_unused(uv_handle_t *handle)
{
    mem_free(handle->data);
}

struct link_stream *
link_stream_accept(const struct link_stream_options *options, int fd)
{
    struct link_stream *stream = make(options);
    int status = uv_tcp_open(&stream->tcp, fd);
    if (status != 0) {
        (void)close(fd);
    } else {
        status = begin_reading(stream);
    }
    if (status != 0) {
        uv_close((uv_handle_t *)&stream->tcp, free_unused);
        return NULL;
    }
    return stream;
}

static void
connected(uv_connect_t *connect, int status)
{
    struct link_stream *stream = connect->data;
    if (stream->closing) {
        return;
    }
    if (status == 0) {
        status = begin_reading(stream);
    }
    stream->ended = status != 0;
    stream->client.connected(stream->client.context, status);
}

int
link_stream_dial(const struct link_stream_options *options, const struct sockaddr *address,
                 struct link_stream **stream_out)
{
    struct link_stream *stream = make(options);
    stream->connect.data = stream;
    int status = uv_tcp_connect(&stream->connect, &stream->tcp, address, connected);
    if (status != 0) {
        uv_close((uv_handle_t *)&stream->tcp, free_unused);
        stream = NULL;
    }
    *stream_out = stream;
    return status;
}

static void
was_said(uv_write_t *write, int status)
{
    struct said *said = write->data;
    if (status != 0) {
        end(said->stream, status);
    }
    mem_free(said);
}

void
link_stream_say(struct link_stream *stream, struct bytes bytes)
{
    QO_PRE(!stream->closing);
    if (stream->ended) {
        return;
    }
    struct said *said = mem_alloc(sizeof *said + bytes.size);
    said->stream = stream;
    said->write.data = said;
    memcpy(said->bytes, bytes.data, bytes.size);
    uv_buf_t piece = uv_buf_init((char *)said->bytes, (unsigned)bytes.size);
    int status = uv_write(&said->write, (uv_stream_t *)&stream->tcp, &piece, 1, was_said);
    if (status != 0) { /* Not connected any more: reading says so, too. */
        mem_free(said);
    }
}

static void
was_written(uv_write_t *write, int status)
{
    struct link_stream *stream = write->data;
    stream->writing = false;
    if (status != 0) {
        end(stream, status);
    } else if (!stream->closing && !stream->ended) {
        stream->client.written(stream->client.context);
    }
}

void
link_stream_write(struct link_stream *stream, const struct bytes *pieces, size_t count)
{
    uv_buf_t out[LINK_PIECES_MAX];
    QO_PRE(!stream->writing && !stream->closing && count > 0 && count <= LINK_PIECES_MAX);
    if (stream->ended) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        union {
            const uint8_t *borrowed;
            char *parameter; /* It does not write. */
        } base = {.borrowed = pieces[i].data};
        out[i] = uv_buf_init(base.parameter, (unsigned)pieces[i].size);
    }
    stream->write.data = stream;
    stream->writing = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, out, (unsigned)count,
                               was_written) == 0;
}

static void
was_shut(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown; /* The other side closes, or the opening's time ends. */
    (void)status;
}

void
link_stream_finish(struct link_stream *stream)
{
    QO_PRE(!stream->closing);
    if (!stream->ended && !stream->finishing) {
        stream->finishing = true;
        (void)uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, was_shut);
    }
}

static void
was_closed(uv_handle_t *handle)
{
    struct link_stream *stream = handle->data;
    struct link_stream_client client = stream->client;
    mem_free(stream);
    client.closed(client.context);
}

void
link_stream_close(struct link_stream *stream)
{
    QO_PRE(!stream->closing);
    stream->closing = true;
    uv_close((uv_handle_t *)&stream->tcp, was_closed);
}
