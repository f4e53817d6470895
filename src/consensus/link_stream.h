/*
 * link_stream: a stream of bytes to one other process, and the only place that knows it is TCP.
 * TLS would stand here, with these same functions.
 *
 * Thread    the loop. Nothing is called back inside the function that was called.
 * Memory    a stream frees itself after link_stream_close(); nothing is called back after that.
 */
#ifndef CONSENSUS_LINK_STREAM_H
#define CONSENSUS_LINK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/bytes.h"

struct link_stream;
struct uv_loop_s;

struct link_stream_client {
    void *context;
    /* Of link_stream_dial(): 0, or a negative errno, after which there is only closing. */
    void (*connected)(void *context, int status);
    void (*read)(void *context, struct bytes bytes); /* Borrowed until return. */
    /* What was given to link_stream_write() is with the kernel. */
    void (*written)(void *context);
    /* The stream can do nothing more: a negative errno, or UV_EOF. Once. */
    void (*ended)(void *context, int status);
    /* Closed: its memory is gone. The only call after link_stream_close(). */
    void (*closed)(void *context);
};

struct link_stream_options {
    struct uv_loop_s *loop;
    uint32_t silence_ms;
    struct link_stream_client client; /* Copied. */
};

/* Takes a connected socket, and reads it. NULL if it cannot be used; it is closed then, and nothing
 * is called. */
struct link_stream *link_stream_accept(const struct link_stream_options *options, int fd);

/* Dials, and reads once connected. A negative errno, and no stream, if that fails at once: no
 * descriptor, no way there. A refusal is told by `connected`, as all that comes from there. */
int link_stream_dial(const struct link_stream_options *options, const struct sockaddr *address,
                     struct link_stream **stream_out);

/* Writes a few bytes. Copied. */
void link_stream_say(struct link_stream *stream, struct bytes bytes);

/* Writes; one at a time. The pieces are copied, their bytes borrowed until `written` or until
 * `closed`. */
void link_stream_write(struct link_stream *stream, const struct bytes *pieces, size_t count);

/* Says that nothing more will come, once all is written. */
void link_stream_finish(struct link_stream *stream);

void link_stream_close(struct link_stream *stream);

#endif
