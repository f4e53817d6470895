/*
 * log_aio: one write at a time by the kernel's asynchronous I/O (libaio).
 *
 * A write begins inside the call and ends in a callback on the loop, so no thread is woken for it
 * on either way. What the kernel knows that it could only do by waiting (pages in the cache are
 * such a thing) is refused and is for a thread to do. Two waits are left inside the call: for room
 * in the queue of a device that has very much to do, and for a file system that is frozen
 * (fsfreeze, some backups), when the node stands still until that ends, and another leads. The file
 * is one with O_DIRECT and O_DSYNC: elsewhere the kernel writes inside the call, or tells too
 * early.
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
 * switch it off, fs.aio-max-nr and the limit of open files bound it. */
struct log_aio *log_aio_open(struct uv_loop_s *loop,
                             void (*done)(void *context, struct log_io *io, int error),
                             void *context);

/* False: the kernel would have to wait, or another write is under way; nothing was begun. */
bool log_aio_write(struct log_aio *aio, struct log_io *io);

/* Waits until nothing is under way, and does not tell what became of it. The loop must run once
 * more to free it. */
void log_aio_close(struct log_aio *aio);

#endif
