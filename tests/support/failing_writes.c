/*
 * failing_writes: a preloaded library under which the disk of one node fails when a test says so.
 * Thread: any.
 *
 * While the file DIR.fails exists, where DIR is the word after `--data` on the command line, each
 * call that writes to a file below DIR, syncs it or gives it room fails; an errno of the name that
 * stands in that file ("EIO", "ENOSPC") says why. "EIO-sync": only syncs fail. Reads go on. A
 * write by the kernel's asynchronous I/O is told to have failed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, LINE_BYTES = 16384 };

static char directory[PATH_BYTES]; /* Empty: not a node. */
static char control[PATH_BYTES + 16];

#define REAL(type, name) ((type)real(#name))
typedef void (*any_fn)(void);
static any_fn
real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        fprintf(stderr, "failing_writes: no %s below\n", name);
        abort();
    }
    any_fn function;
    memcpy(&function, &found, sizeof function); /* POSIX promises what C does not. */
    return function;
}

typedef ssize_t (*read_fn)(int, void *, size_t);
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*writev_fn)(int, const struct iovec *, int);
typedef ssize_t (*pwritev_fn)(int, const struct iovec *, int, off_t);
typedef int (*fd_fn)(int);
typedef int (*range_fn)(int, off_t, off_t);
typedef int (*fallocate_fn)(int, int, off_t, off_t);
typedef int (*getevents_fn)(io_context_t, long, long, struct io_event *, struct timespec *);

static bool
is_ours(int fd)
{
    char link[64], path[PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    size_t prefix = strlen(directory);
    return size > (ssize_t)prefix && memcmp(path, directory, prefix) == 0 && path[prefix] == '/';
}

/* The errno with which this call fails; 0: it does not. */
static int
failure(int fd, bool sync)
{
    if (directory[0] == '\0' || access(control, F_OK) != 0 || !is_ours(fd)) {
        return 0;
    }
    char how[16] = "";
    int file = open(control, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (REAL(read_fn, read)(file, how, sizeof how - 1) < 0) {
            how[0] = '\0';
        }
        (void)REAL(fd_fn, close)(file);
    }
    if (strcmp(how, "ENOSPC") == 0) {
        return sync ? 0 : ENOSPC;
    }
    return strcmp(how, "EIO") == 0 || (sync && strcmp(how, "EIO-sync") == 0) ? EIO : 0;
}

/* Does what the C library does, unless it fails. */
#define OR_FAIL(fd, sync, call)                                                                    \
    int error = failure(fd, sync);                                                                 \
    if (error != 0) {                                                                              \
        errno = error;                                                                             \
        return -1;                                                                                 \
    }                                                                                              \
    return call

ssize_t
write(int fd, const void *data, size_t size)
{
    OR_FAIL(fd, false, REAL(write_fn, write)(fd, data, size));
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
    OR_FAIL(fd, false, REAL(pwrite_fn, pwrite)(fd, data, size, offset));
}

ssize_t
pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    OR_FAIL(fd, false, REAL(pwrite_fn, pwrite64)(fd, data, size, offset));
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    OR_FAIL(fd, false, REAL(writev_fn, writev)(fd, parts, count));
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    OR_FAIL(fd, false, REAL(pwritev_fn, pwritev)(fd, parts, count, offset));
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    OR_FAIL(fd, false, REAL(pwritev_fn, pwritev64)(fd, parts, count, offset));
}

int
fsync(int fd)
{
    OR_FAIL(fd, true, REAL(fd_fn, fsync)(fd));
}

int
fdatasync(int fd)
{
    OR_FAIL(fd, true, REAL(fd_fn, fdatasync)(fd));
}

int
fallocate(int fd, int mode, off_t offset, off_t size)
{
    OR_FAIL(fd, false, REAL(fallocate_fn, fallocate)(fd, mode, offset, size));
}

int
fallocate64(int fd, int mode, off_t offset, off_t size)
{
    OR_FAIL(fd, false, REAL(fallocate_fn, fallocate64)(fd, mode, offset, size));
}

/* These two give the error itself. */
int
posix_fallocate(int fd, off_t offset, off_t size)
{
    int error = failure(fd, false);
    return error != 0 ? error : REAL(range_fn, posix_fallocate)(fd, offset, size);
}

int
posix_fallocate64(int fd, off_t offset, off_t size)
{
    int error = failure(fd, false);
    return error != 0 ? error : REAL(range_fn, posix_fallocate64)(fd, offset, size);
}

int
io_getevents(io_context_t context, long least, long most, struct io_event *events,
             struct timespec *wait)
{
    int got = REAL(getevents_fn, io_getevents)(context, least, most, events, wait);
    for (int i = 0; i < got; i++) {
        int error = failure(events[i].obj->aio_fildes, false);
        if (error != 0) {
            events[i].res = (unsigned long)-(long)error;
        }
    }
    return got;
}

__attribute__((constructor)) static void
begin(void)
{
    static char line[LINE_BYTES];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : REAL(read_fn, read)(fd, line, sizeof line - 1);
    if (fd >= 0) {
        (void)REAL(fd_fn, close)(fd);
    }
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(line + at) + 1) {
        if (strcmp(line + at, "--data") == 0 && at + 7 < size && line[at + 7] == '/') {
            snprintf(directory, sizeof directory, "%s", line + at + 7);
            snprintf(control, sizeof control, "%s.fails", directory);
        }
    }
}
