/* See log_aio.h. Thread: the loop. */
#include "log_aio.h"

#include <errno.h>
#include <libaio.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#include "common/assert.h"
#include "common/bytes.h"

struct log_aio {
    io_context_t kernel;
    int told; /* An eventfd that the kernel counts finished writes in. */
    uv_poll_t poll;
    struct iocb request;
    struct log_io *io; /* Under way, or finished and not told; or NULL. */
    bool finished;
    int error; /* Of what is finished. */
    void (*done)(void *context, struct log_io *io, int error);
    void *context;
};

/* Some file systems (ext4 with data=journal) take O_DIRECT and cannot write without waiting. What
 * is wrong with a write that they call invalid, the thread will be told too. */
static int
error_of(const struct log_io *io, long result)
{
    bool short_write = result >= 0 && (uint64_t)result != io->size;
    bool for_a_thread = short_write || result == -EOPNOTSUPP || result == -EINVAL;
    return for_a_thread ? EAGAIN : result < 0 ? (int)-result : 0;
}

/* True if the write is finished. Asks without a system call while nothing is. */
static bool
look(struct log_aio *aio)
{
    struct io_event event;
    struct timespec at_once = {0};
    if (!aio->finished && io_getevents(aio->kernel, 0, 1, &event, &at_once) == 1) {
        aio->finished = true;
        aio->error = error_of(aio->io, (long)event.res);
    }
    return aio->finished;
}

static void
told(uv_poll_t *poll, int status, int events)
{
    struct log_aio *aio = poll->data;
    uint64_t count;
    (void)events;
    QO_ASSERT(status == 0);
    ssize_t got = read(aio->told, &count, sizeof count); /* Or it stays readable. */
    (void)got; /* Nothing, if the one that it told of was taken by log_aio_write(). */
    if (aio->io != NULL && look(aio)) {
        struct log_io *io = aio->io;
        aio->io = NULL;
        aio->finished = false;
        aio->done(aio->context, io, aio->error);
    }
}

struct log_aio *
log_aio_open(struct uv_loop_s *loop, void (*done)(void *context, struct log_io *io, int error),
             void *context)
{
    io_context_t kernel = NULL;
    if (io_setup(1, &kernel) != 0) {
        return NULL;
    }
    int told_by = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (told_by < 0) {
        (void)io_destroy(kernel);
        return NULL;
    }
    struct log_aio *aio = mem_zalloc(sizeof *aio);
    aio->kernel = kernel;
    aio->done = done;
    aio->context = context;
    aio->told = told_by;
    int status = uv_poll_init(loop, &aio->poll, aio->told);
    QO_ASSERT(status == 0);
    aio->poll.data = aio;
    status = uv_poll_start(&aio->poll, UV_READABLE, told);
    QO_ASSERT(status == 0);
    return aio;
}

bool
log_aio_write(struct log_aio *aio, struct log_io *io)
{
    QO_PRE(io->kind == LOG_IO_WRITE);
    if (aio->io != NULL) {
        return false;
    }
    union {
        const uint8_t *borrowed;
        void *parameter; /* It does not write there. */
    } data = {.borrowed = io->data};
    struct iocb *request = &aio->request;
    io_prep_pwrite(request, io->file, data.parameter, (size_t)io->size, (long long)io->offset);
    io_set_eventfd(request, aio->told);
    request->aio_rw_flags = RWF_NOWAIT;
    if (io_submit(aio->kernel, 1, &request) != 1) {
        return false;
    }
    aio->io = io;
    /* What the kernel would have to wait for it says at once; the thread need not begin later. */
    if (look(aio) && aio->error == EAGAIN) {
        aio->io = NULL;
        aio->finished = false;
        return false;
    }
    return true;
}

static void
closed(uv_handle_t *handle)
{
    struct log_aio *aio = handle->data;
    (void)close(aio->told);
    mem_free(aio);
}

void
log_aio_close(struct log_aio *aio)
{
    (void)io_destroy(aio->kernel); /* Waits for what is under way. */
    aio->io = NULL;
    uv_close((uv_handle_t *)&aio->poll, closed);
}
