/* See log_disk.h. Thread: the loop, and one for each lane. */
#include "log_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <uv.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/ring.h"
#include "log_aio.h"
#include "log_meta.h"

enum { ZEROS_BYTES = 1024 * 1024 };

/* Requests go to the thread, and come back done. A NULL cannot go through a ring: `quit` ends it.
 */
struct lane {
    struct log_disk_real *real;
    pthread_t thread;
    struct ring to, from;
    void *to_slots[LOG_IO_MAX], *from_slots[LOG_IO_MAX];
    sem_t count; /* Of requests, and one for `quit`. */
    struct log_io quit;
};

struct log_disk_real {
    struct log_disk table;
    int directory;
    bool looped;
    atomic_bool buffered;    /* A file system without O_DIRECT. */
    bool appending;          /* A request of that lane is under way, */
    uint64_t began_ns;       /* since then. */
    uint32_t for_the_thread; /* So many appends from here on. */
    struct log_aio *aio;     /* NULL: the kernel gives none. */
    struct lane lanes[LOG_LANES];
    uv_async_t wake;
    void (*closed)(void *context);
    void *closed_context;
};

/* -- Operations -------------------------------------------------------------------------------- */

static int
disk_names(void *context, void (*each)(void *arg, const char *name), void *arg)
{
    struct log_disk_real *real = context;
    /* A killed process may have made files whose names are in no more than a cache. */
    if (fsync(real->directory) != 0) {
        return errno;
    }
    int fd = openat(real->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        int error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return error;
    }
    const struct dirent *entry;
    errno = 0;
    while ((entry = readdir(directory)) != NULL) {
        each(arg, entry->d_name);
    }
    int error = errno;
    (void)closedir(directory);
    return error;
}

/* Durable writes of whole blocks, past the page cache where the file system can. */
static int
open_file(struct log_disk_real *real, const char *name, int flags)
{
    flags |= O_RDWR | O_DSYNC | O_CLOEXEC;
    int file = openat(real->directory, name, flags | O_DIRECT, 0600);
    if (file < 0 && errno == EINVAL) { /* tmpfs of older kernels. */
        file = openat(real->directory, name, flags & ~O_EXCL, 0600);
        if (file >= 0) {
            atomic_store(&real->buffered, true);
        }
    }
    return file;
}

static int
disk_open(void *context, const char *name, int *file_out, uint64_t *size_out)
{
    struct log_disk_real *real = context;
    struct stat status;
    int file = open_file(real, name, 0);
    /* What a killed process had written may be in no more than a cache: what is read from here on
     * must be what a power cut leaves. */
    if (file < 0 || fstat(file, &status) != 0 || fsync(file) != 0) {
        int error = errno;
        if (file >= 0) {
            (void)close(file);
        }
        return error;
    }
    *file_out = file;
    *size_out = (uint64_t)status.st_size;
    return 0;
}

static int
disk_read(void *context, int file, uint64_t offset, uint8_t *data, size_t size)
{
    (void)context;
    while (size > 0) {
        ssize_t got = pread(file, data, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? errno : EIO;
        }
        data += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static int
disk_write(void *context, int file, uint64_t offset, const uint8_t *data, size_t size)
{
    (void)context;
    while (size > 0) {
        ssize_t put = pwrite(file, data, size, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return put < 0 ? errno : EIO;
        }
        data += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return 0;
}

static int
fill_with_zeros(int file, uint64_t size)
{
    void *memory;
    const uint8_t *zeros = log_blocks_alloc(ZEROS_BYTES, &memory);
    int error = 0;
    for (uint64_t at = 0; at < size && error == 0; at += ZEROS_BYTES) {
        uint64_t left = size - at;
        error =
            disk_write(NULL, file, at, zeros, (size_t)(left < ZEROS_BYTES ? left : ZEROS_BYTES));
    }
    mem_free(memory);
    return error;
}

/* A full disk is asked for room at every tick. Filling it to its last byte each time would take
 * from the store what it needs meanwhile. */
static int
look_for_room(const struct log_disk_real *real, uint64_t size)
{
    struct statvfs system;
    if (fstatvfs(real->directory, &system) != 0) {
        return errno;
    }
    bool known = system.f_blocks > 0 && system.f_frsize > 0;
    return known && size / system.f_frsize >= system.f_bavail ? ENOSPC : 0;
}

static int
disk_create(void *context, const char *name, uint64_t size, int *file_out)
{
    struct log_disk_real *real = context;
    int error = look_for_room(real, size);
    int file = error == 0 ? open_file(real, name, O_CREAT | O_EXCL) : -1;
    if (file < 0) {
        return error == 0 ? errno : error;
    }
    error = fill_with_zeros(file, size);
    if (error == 0 && (fsync(file) != 0 || fsync(real->directory) != 0)) {
        error = errno;
    }
    if (error != 0) {
        (void)close(file);
        (void)unlinkat(real->directory, name, 0);
        return error;
    }
    *file_out = file;
    return 0;
}

static int
disk_remove(void *context, const char *name, int file)
{
    struct log_disk_real *real = context;
    (void)close(file);
    if (unlinkat(real->directory, name, 0) != 0 || fsync(real->directory) != 0) {
        return errno;
    }
    return 0;
}

static void
disk_close(void *context, int file)
{
    (void)context;
    (void)close(file);
}

/* -- Lanes ------------------------------------------------------------------------------------- */

static void
work(struct log_disk_real *real, struct log_io *io)
{
    switch (io->kind) {
    case LOG_IO_WRITE:
        io->error = disk_write(real, io->file, io->offset, io->data, (size_t)io->size);
        break;
    case LOG_IO_CREATE:
        io->error = disk_create(real, io->name, io->size, &io->file);
        break;
    case LOG_IO_REMOVE:
        io->error = disk_remove(real, io->name, io->file);
        break;
    }
}

static void *
run_lane(void *arg)
{
    struct lane *lane = arg;
    for (;;) {
        while (sem_wait(&lane->count) != 0) {
        }
        struct log_io *io = ring_pop(&lane->to);
        QO_ASSERT(io != NULL);
        if (io == &lane->quit) {
            return NULL;
        }
        work(lane->real, io);
        bool room = ring_push(&lane->from, io);
        QO_ASSERT(room); /* No more than LOG_IO_MAX are under way. */
        (void)uv_async_send(&lane->real->wake);
    }
}

static void
submit(struct lane *lane, struct log_io *io)
{
    bool room = ring_push(&lane->to, io);
    QO_ASSERT(room);
    (void)sem_post(&lane->count);
}

/* False: the thread is to do it. After a write that was slow, or that the kernel would not begin,
 * it does some more: a loop that waits for a place in the queue of a busy disk beats no heart. */
static bool
append_without_thread(struct log_disk_real *real, struct log_io *io)
{
    if (real->aio == NULL || atomic_load(&real->buffered)) {
        return false;
    }
    if (real->for_the_thread > 0) {
        real->for_the_thread--;
        return false;
    }
    bool begun = log_aio_write(real->aio, io);
    if (!begun) {
        real->for_the_thread = QO_LOG_THREAD_APPENDS;
    }
    return begun;
}

static void
disk_submit(void *context, struct log_io *io)
{
    struct log_disk_real *real = context;
    bool append = io->lane == LOG_LANE_APPEND;
    QO_PRE(real->looped && QO_IMPLIES(append, !real->appending && io->kind == LOG_IO_WRITE));
    if (append) {
        real->appending = true;
        real->began_ns = uv_hrtime();
    }
    if (!append || !append_without_thread(real, io)) {
        submit(&real->lanes[io->lane], io);
    }
}

static void
tell(struct log_disk_real *real, struct log_io *io)
{
    if (io->lane == LOG_LANE_APPEND) {
        real->appending = false;
        if (uv_hrtime() - real->began_ns > UINT64_C(1000000) * QO_LOG_SLOW_APPEND_MS) {
            real->for_the_thread = QO_LOG_THREAD_APPENDS;
        }
    }
    io->done(io);
}

static void
aio_done(void *context, struct log_io *io, int error)
{
    struct log_disk_real *real = context;
    if (error == EAGAIN) { /* A part of it: all of it once more. */
        submit(&real->lanes[io->lane], io);
        return;
    }
    io->error = error;
    tell(real, io);
}

static void
woken(uv_async_t *wake)
{
    struct log_disk_real *real = wake->data;
    for (unsigned i = 0; i < LOG_LANES; i++) {
        struct log_io *io;
        while ((io = ring_pop(&real->lanes[i].from)) != NULL) {
            tell(real, io);
        }
    }
}

static void
start_lane(struct log_disk_real *real, struct lane *lane)
{
    sigset_t all, before; /* Signals are for other threads: a write is not interrupted. */
    lane->real = real;
    ring_init(&lane->to, lane->to_slots, LOG_IO_MAX);
    ring_init(&lane->from, lane->from_slots, LOG_IO_MAX);
    (void)sem_init(&lane->count, 0, 0);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&lane->thread, NULL, run_lane, lane);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        qo_fatal(FATAL_MEMORY, "no thread for the log");
    }
}

/* -- Opening and closing ----------------------------------------------------------------------- */

struct log_disk_real *
log_disk_open(const char *directory, struct uv_loop_s *loop)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    struct log_disk_real *real = mem_zalloc(sizeof *real);
    real->directory = fd;
    real->table = (struct log_disk){
        .context = real,
        .names = disk_names,
        .open = disk_open,
        .create = disk_create,
        .read = disk_read,
        .write = disk_write,
        .remove = disk_remove,
        .close = disk_close,
        .submit = disk_submit,
    };
    if (loop != NULL) {
        real->looped = true;
        int status = uv_async_init(loop, &real->wake, woken);
        QO_ASSERT(status == 0);
        real->wake.data = real;
        real->aio = log_aio_open(loop, aio_done, real);
        for (unsigned i = 0; i < LOG_LANES; i++) {
            start_lane(real, &real->lanes[i]);
        }
    }
    return real;
}

const struct log_disk *
log_disk_table(const struct log_disk_real *real)
{
    return &real->table;
}

static void
finish(struct log_disk_real *real)
{
    (void)close(real->directory);
    if (real->closed != NULL) {
        real->closed(real->closed_context);
    }
    mem_free(real);
}

static void
wake_closed(uv_handle_t *handle)
{
    finish(handle->data);
}

void
log_disk_close(struct log_disk_real *real, void (*closed)(void *context), void *context)
{
    real->closed = closed;
    real->closed_context = context;
    if (!real->looped) {
        finish(real);
        return;
    }
    if (real->aio != NULL) {
        log_aio_close(real->aio);
    }
    for (unsigned i = 0; i < LOG_LANES; i++) {
        struct lane *lane = &real->lanes[i];
        submit(lane, &lane->quit);
        (void)pthread_join(lane->thread, NULL);
        (void)sem_destroy(&lane->count);
    }
    uv_close((uv_handle_t *)&real->wake, wake_closed);
}
