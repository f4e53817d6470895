/*
 * log_disk: the few operations on a directory that the log stands on, and the real ones.
 *
 * A file is known by a small number that open() or create() gave. Offsets, sizes and buffers are
 * multiples of LOG_BLOCK, buffers aligned to it. A result is 0 or an errno.
 *
 * Durability: what write(), create() and remove() did is durable when they return, name and
 * content; before that a crash may leave any part of it, block by block. What names() and
 * open() find is durable too: they see to it, since a killed process leaves things in caches.
 *
 * Thread: the loop. Appends are the kernel's asynchronous I/O where it can do them without waiting
 * (log_aio.h); all else is done by one thread per lane, which lets the loop know by a uv_async_t.
 * Files of different lanes differ, so no lock is needed: requests and answers go through rings.
 */
#ifndef CONSENSUS_LOG_DISK_H
#define CONSENSUS_LOG_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;

enum { LOG_BLOCK = 4096, LOG_NAME_MAX = 24 };

enum log_io_kind { LOG_IO_WRITE, LOG_IO_CREATE, LOG_IO_REMOVE };

/* Requests of one lane are done one after the other, in order; lanes do not wait for each other.
 * Appends come one at a time. */
enum log_lane { LOG_LANE_APPEND, LOG_LANE_BACKGROUND, LOG_LANES };

/* The submitter's, untouched by it until `done`. */
struct log_io {
    enum log_io_kind kind;
    enum log_lane lane;
    int file; /* CREATE gives it. */
    char name[LOG_NAME_MAX];
    uint64_t offset;
    const uint8_t *data;
    uint64_t size;
    int error;
    void (*done)(struct log_io *io); /* On the loop, never inside submit(). */
    void *owner;
};

struct log_disk {
    void *context;
    /* Calls `each` with every name in the directory. */
    int (*names)(void *context, void (*each)(void *arg, const char *name), void *arg);
    int (*open)(void *context, const char *name, int *file_out, uint64_t *size_out);
    /* A file of `size` zeros, which are written and not only reserved. ENOSPC leaves no file. */
    int (*create)(void *context, const char *name, uint64_t size, int *file_out);
    int (*read)(void *context, int file, uint64_t offset, uint8_t *data, size_t size);
    int (*write)(void *context, int file, uint64_t offset, const uint8_t *data, size_t size);
    int (*remove)(void *context, const char *name, int file);
    void (*close)(void *context, int file);
    /* One of the last three, in the background. At most LOG_IO_MAX of one lane are under way. */
    void (*submit)(void *context, struct log_io *io);
};

enum { LOG_IO_MAX = 8 };

/* -- The real one ------------------------------------------------------------------------------ */

struct log_disk_real;

/* A directory that exists. `loop` is borrowed; NULL: nothing will be submitted (birth, tools).
 * NULL with errno if it cannot be opened. */
struct log_disk_real *log_disk_open(const char *directory, struct uv_loop_s *loop);
const struct log_disk *log_disk_table(const struct log_disk_real *real);

/* Waits until nothing that was submitted is under way, without telling. The loop must run once more
 * to close its handle, then `closed` is called (NULL allowed), the last place for log_free(): the
 * table goes with this. Without a loop at once. */
void log_disk_close(struct log_disk_real *real, void (*closed)(void *context), void *context);

#endif
