/*
 * log_aio: one write at a time by the kernel's asynchronous I/O (libaio).
 *
 * A write begins inside the call and ends in a callback on the loop, so no thread is woken for it
 * on either way. It never waits: what the kernel could only do by waiting (a time stamp that has
 * changed is such a thing, every few milliseconds) is refused and is for a thread to do. The file
 * is one with O_DIRECT and O_DSYNC: elsewhere the kernel writes inside the call, or before the
 * bytes are durable.
 *
 * Thread: the loop. Memory: requests are the caller's until they are done.
 */
#ifndef CONSENSUS_LOG_AIO_H
#define CONSENSUS_LOG_AIO_H

#include <stdbool.h>

#include "log_disk.h"

struct log_aio;

/* `done` is told of each write that was begun, never inside log_aio_write(): 0, an errno, or EAGAIN
 * if it must be done again by somebody who may wait. NULL if the kernel gives none: containers
 * switch it off, and fs.aio-max-nr bounds it. */
struct log_aio *log_aio_open(struct uv_loop_s *loop,
                             void (*done)(void *context, struct log_io *io, int error),
                             void *context);

/* False: the kernel would have to wait, or another write is under way; nothing was begun. */
bool log_aio_write(struct log_aio *aio, struct log_io *io);

/* Waits for what is under way, and does not tell it. The loop must run once more to free it. */
void log_aio_close(struct log_aio *aio);

#endif
