/*
 * lost_writes: a preloaded library under which a killed process loses what it had not synced.
 * Thread: any; one lock around the journal.
 *
 * SIGKILL alone proves nothing about fsync, because the page cache survives it. Under this library
 * it does not: every write below the data directory (the word after `--data` on the command line)
 * that is not yet covered by fsync, fdatasync or O_DSYNC is first noted in a journal beside the
 * directory (DIR.unsynced), with the bytes that it writes over. The journal survives the kill. When
 * the process is started again, and before its main(), whatever the journal holds and no sync
 * covered is taken back: files shrink to their synced length, overwritten bytes return.
 *
 * So reads, mmap and file sizes are the real ones while the process runs, and any call may be the
 * last.
 *
 * What a power cut may do and this does not: lose the making, renaming or removal of a file whose
 * directory was not synced; lose a truncation or an allocation of room; keep one unsynced write
 * and lose an earlier one (all unsynced writes of all files are lost); tear a write that is under
 * way. Writes to a file opened with O_DSYNC are taken for synced when they return, as the log's
 * are. The kernel's asynchronous I/O is refused, as containers do, and threads write the log.
 * stdio's files (fopen) and writes through mmap are not seen; nothing of ours writes so.
 *
 * QO_LOST_DELAY_US makes each write to an O_DSYNC file wait up to so long before it reaches the
 * kernel: the time between handing a write over and its being durable becomes long enough for a
 * kill to fall into, and then that write never happened.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FD_MAX = 65536, FILES_MAX = 65536, PATH_BYTES = 1024 };

/* What stands before each entry of the journal; `bytes` bytes follow, then `to_bytes`. */
struct entry {
    char kind; /* See below. */
    char path[255];
    uint64_t number; /* Counts from 1. */
    uint64_t upto;   /* SYNCED: entries up to this number are covered. */
    uint64_t offset, length, size_before;
    uint64_t bytes;
};
enum { WRITTEN = 'W', SYNCED = 'S', RENAMED = 'R', REMOVED = 'U', SIZED = 'T' };

static struct {
    bool active;
    char directory[PATH_BYTES];
    size_t directory_size;
    int journal;
    uint64_t number;
    uint64_t delay_us;
    _Atomic uint64_t chance;
    pthread_mutex_t lock;
    /* Path below the directory of each descriptor that can write there, else NULL. */
    char *_Atomic paths[FD_MAX];
    bool durable[FD_MAX]; /* O_DSYNC or O_SYNC. */
} lost = {.lock = PTHREAD_MUTEX_INITIALIZER, .journal = -1};

/* The C library's own `name`, as a function of this type. */
#define REAL(type, name) ((type)real(#name))
typedef void (*any_fn)(void);
static any_fn
real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        fprintf(stderr, "lost_writes: no %s below\n", name);
        abort();
    }
    any_fn function;
    memcpy(&function, &found, sizeof function); /* POSIX promises what C does not. */
    return function;
}

typedef int (*open_fn)(const char *, int, ...);
typedef int (*openat_fn)(int, const char *, int, ...);
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*writev_fn)(int, const struct iovec *, int);
typedef ssize_t (*pwritev_fn)(int, const struct iovec *, int, off_t);
typedef int (*fd_fn)(int);
typedef int (*size_fn)(int, off_t);
typedef int (*range_fn)(int, off_t, off_t);
typedef int (*fallocate_fn)(int, int, off_t, off_t);
typedef int (*path_fn)(const char *);
typedef int (*paths_fn)(const char *, const char *);
typedef int (*unlinkat_fn)(int, const char *, int);
typedef long (*syscall_fn)(long, ...);

static void
die(const char *what)
{
    fprintf(stderr, "lost_writes: %s: %s\n", what, strerror(errno));
    abort();
}

int io_setup(int count, void *context);

/* libaio's: the error itself. Writes that begin in the kernel would not be seen here. */
int
io_setup(int count, void *context)
{
    (void)count;
    (void)context;
    return -ENOSYS;
}

/* -- The journal ----------------------------------------------------------------------------- */

/* Appends an entry and what follows it; its number. */
static uint64_t
note(struct entry *entry, const void *follows)
{
    struct iovec parts[2] = {{entry, sizeof *entry}, {NULL, entry->bytes}};
    memcpy(&parts[1].iov_base, &follows, sizeof follows);
    pthread_mutex_lock(&lost.lock);
    entry->number = ++lost.number;
    ssize_t written = REAL(writev_fn, writev)(lost.journal, parts, 2);
    pthread_mutex_unlock(&lost.lock);
    if (written != (ssize_t)(sizeof *entry + entry->bytes)) {
        die("journal");
    }
    return entry->number;
}

static uint64_t
last_number(void)
{
    pthread_mutex_lock(&lost.lock);
    uint64_t number = lost.number;
    pthread_mutex_unlock(&lost.lock);
    return number;
}

static void
entry_init(struct entry *entry, char kind, const char *path)
{
    memset(entry, 0, sizeof *entry);
    entry->kind = kind;
    if (strlen(path) >= sizeof entry->path) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(entry->path, path); /* NOLINT: its length was just checked. */
}

/* Where `path` lies below the directory; NULL if elsewhere. */
static const char *
below(const char *path)
{
    if (!lost.active || strncmp(path, lost.directory, lost.directory_size) != 0 ||
        path[lost.directory_size] != '/') {
        return NULL;
    }
    path += lost.directory_size;
    while (*path == '/') {
        path++;
    }
    return path;
}

static char *
path_of(int fd)
{
    return lost.active && fd >= 0 && fd < FD_MAX ? atomic_load(&lost.paths[fd]) : NULL;
}

static int
open_plain(const char *path, int flags, mode_t mode)
{
    return REAL(open_fn, open64)(path, flags, mode);
}

/* Notes a write of `length` bytes at `offset` (-1: where the descriptor stands) before it happens.
 */
static void
note_write(int fd, off_t offset, size_t length)
{
    char *path = path_of(fd);
    struct stat st;
    if (path == NULL || lost.durable[fd] || length == 0) {
        return;
    }
    if (fstat(fd, &st) != 0) {
        die("fstat");
    }
    if (offset < 0) {
        bool appends = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
        offset = appends ? st.st_size : lseek(fd, 0, SEEK_CUR);
    }
    struct entry entry;
    entry_init(&entry, WRITTEN, path);
    entry.offset = (uint64_t)offset;
    entry.length = length;
    entry.size_before = (uint64_t)st.st_size;
    void *old = NULL;
    if (offset < st.st_size) {
        char full[PATH_BYTES + 256];
        snprintf(full, sizeof full, "%s/%s", lost.directory, path);
        uint64_t room = (uint64_t)(st.st_size - offset);
        entry.bytes = room < length ? room : length;
        old = malloc(entry.bytes);
        int reads = open_plain(full, O_RDONLY | O_CLOEXEC, 0);
        if (old == NULL || reads < 0 ||
            pread(reads, old, entry.bytes, offset) != (ssize_t)entry.bytes) {
            die(full);
        }
        REAL(fd_fn, close)(reads);
    }
    note(&entry, old);
    free(old);
}

/* -- Descriptors ----------------------------------------------------------------------------- */

static void
forget(int fd)
{
    if (fd >= 0 && fd < FD_MAX) {
        free(atomic_exchange(&lost.paths[fd], NULL));
    }
}

static int
opened(const char *path, int flags, int fd)
{
    const char *inside = below(path);
    forget(fd);
    if (fd < 0 || fd >= FD_MAX || inside == NULL || (flags & O_ACCMODE) == O_RDONLY) {
        return fd;
    }
    lost.durable[fd] = (flags & (O_DSYNC | O_SYNC)) != 0;
    char *copy = strdup(inside);
    if (copy == NULL) {
        die("strdup");
    }
    if ((flags & O_TRUNC) != 0) {
        struct entry entry;
        entry_init(&entry, SIZED, inside);
        note(&entry, NULL);
    }
    atomic_store(&lost.paths[fd], copy);
    return fd;
}

static mode_t
mode_of(int flags, va_list list)
{
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    return makes ? va_arg(list, mode_t) : 0;
}

int
open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return opened(path, flags, open_plain(path, flags, mode));
}

int
open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return opened(path, flags, open_plain(path, flags, mode));
}

/* Where `name` lies that was given together with an open directory. False: too long, or gone. */
static bool
path_at(int directory, const char *name, char full[PATH_BYTES + 256])
{
    char link[64], base[PATH_BYTES];
    if (name[0] == '/' || directory == AT_FDCWD) {
        return snprintf(full, PATH_BYTES + 256, "%s", name) < PATH_BYTES + 256;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t size = readlink(link, base, sizeof base - 1);
    if (size < 0) {
        return false;
    }
    base[size] = '\0';
    return snprintf(full, PATH_BYTES + 256, "%s/%s", base, name) < PATH_BYTES + 256;
}

static int
opened_at(int directory, const char *name, int flags, mode_t mode)
{
    char full[PATH_BYTES + 256];
    int fd = REAL(openat_fn, openat64)(directory, name, flags, mode);
    int error = errno;
    if (fd >= 0) {
        if (!path_at(directory, name, full)) {
            die(name);
        }
        opened(full, flags, fd);
    }
    errno = error;
    return fd;
}

int
openat(int directory, const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return opened_at(directory, name, flags, mode);
}

int
openat64(int directory, const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return opened_at(directory, name, flags, mode);
}

int __openat_2(int directory, const char *name, int flags);
int
__openat_2(int directory, const char *name, int flags)
{
    return opened_at(directory, name, flags, 0);
}

int __openat64_2(int directory, const char *name, int flags);
int
__openat64_2(int directory, const char *name, int flags)
{
    return opened_at(directory, name, flags, 0);
}

int __open_2(const char *path, int flags);
int
__open_2(const char *path, int flags)
{
    return opened(path, flags, open_plain(path, flags, 0));
}

int __open64_2(const char *path, int flags);
int
__open64_2(const char *path, int flags)
{
    return opened(path, flags, open_plain(path, flags, 0));
}

int
close(int fd)
{
    forget(fd); /* What it wrote stays unsynced, as with a real file. */
    return REAL(fd_fn, close)(fd);
}

/* -- Writing --------------------------------------------------------------------------------- */

static uint64_t
draw(void)
{
    uint64_t z = atomic_fetch_add(&lost.chance, UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Before each write: what it overwrites is noted, or it is made late. */
static void
before_write(int fd, off_t offset, size_t length)
{
    if (path_of(fd) == NULL || !lost.durable[fd]) {
        note_write(fd, offset, length);
    } else if (lost.delay_us > 0) {
        uint64_t us = draw() % lost.delay_us;
        struct timespec delay = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
        nanosleep(&delay, NULL);
    }
}

static size_t
total(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += parts[i].iov_len;
    }
    return sum;
}

ssize_t
write(int fd, const void *data, size_t size)
{
    before_write(fd, -1, size);
    return REAL(write_fn, write)(fd, data, size);
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    before_write(fd, -1, total(parts, count));
    return REAL(writev_fn, writev)(fd, parts, count);
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
    before_write(fd, offset, size);
    return REAL(pwrite_fn, pwrite64)(fd, data, size, offset);
}

ssize_t
pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    before_write(fd, offset, size);
    return REAL(pwrite_fn, pwrite64)(fd, data, size, offset);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    before_write(fd, offset, total(parts, count));
    return REAL(pwritev_fn, pwritev64)(fd, parts, count, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    before_write(fd, offset, total(parts, count));
    return REAL(pwritev_fn, pwritev64)(fd, parts, count, offset);
}

static int
synced(int fd, fd_fn sync_file)
{
    uint64_t upto = lost.active ? last_number() : 0; /* Later writes may miss this sync. */
    int status = sync_file(fd);
    int error = errno;
    char *path = path_of(fd);
    if (status == 0 && path != NULL) {
        struct entry entry;
        entry_init(&entry, SYNCED, path);
        entry.upto = upto;
        note(&entry, NULL);
    }
    errno = error;
    return status;
}

int
fsync(int fd)
{
    return synced(fd, REAL(fd_fn, fsync));
}

int
fdatasync(int fd)
{
    return synced(fd, REAL(fd_fn, fdatasync));
}

/* -- Sizes and names: durable at once -------------------------------------------------------- */

static int
sized(int fd, int status)
{
    char *path = path_of(fd);
    struct stat st;
    if (status == 0 && path != NULL && fstat(fd, &st) == 0) {
        struct entry entry;
        entry_init(&entry, SIZED, path);
        entry.size_before = (uint64_t)st.st_size;
        note(&entry, NULL);
    }
    return status;
}

static off_t
size_now(int fd)
{
    struct stat st;
    return path_of(fd) != NULL && fstat(fd, &st) == 0 ? st.st_size : -1;
}

/* Notes a change of size; a call that leaves the size as it is makes nothing durable. */
#define CHANGE_SIZE(fd, call)                                                                      \
    off_t before = size_now(fd);                                                                   \
    int status = (call);                                                                           \
    return size_now(fd) != before ? sized(fd, status) : status

int
ftruncate(int fd, off_t size)
{
    CHANGE_SIZE(fd, REAL(size_fn, ftruncate64)(fd, size));
}

int
ftruncate64(int fd, off64_t size)
{
    CHANGE_SIZE(fd, REAL(size_fn, ftruncate64)(fd, size));
}

int
posix_fallocate(int fd, off_t offset, off_t size)
{
    CHANGE_SIZE(fd, REAL(range_fn, posix_fallocate64)(fd, offset, size));
}

int
posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    CHANGE_SIZE(fd, REAL(range_fn, posix_fallocate64)(fd, offset, size));
}

int
fallocate(int fd, int mode, off_t offset, off_t size)
{
    CHANGE_SIZE(fd, REAL(fallocate_fn, fallocate64)(fd, mode, offset, size));
}

int
fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    CHANGE_SIZE(fd, REAL(fallocate_fn, fallocate64)(fd, mode, offset, size));
}

int
rename(const char *from, const char *to)
{
    int status = REAL(paths_fn, rename)(from, to);
    const char *inside = below(from);
    const char *target = below(to);
    if (status == 0 && inside != NULL && target != NULL) {
        struct entry entry;
        entry_init(&entry, RENAMED, inside);
        entry.bytes = strlen(target) + 1;
        note(&entry, target);
        pthread_mutex_lock(&lost.lock);
        for (int fd = 0; fd < FD_MAX; fd++) { /* Descriptors follow the file, not its name. */
            char *path = atomic_load(&lost.paths[fd]);
            if (path != NULL && strcmp(path, inside) == 0) {
                atomic_store(&lost.paths[fd], strdup(target)); /* The old text may be in use. */
            }
        }
        pthread_mutex_unlock(&lost.lock);
    }
    return status;
}

static void
removed(const char *path)
{
    const char *inside = below(path);
    if (inside != NULL) {
        struct entry entry;
        entry_init(&entry, REMOVED, inside);
        note(&entry, NULL);
    }
}

int
unlink(const char *path)
{
    int status = REAL(path_fn, unlink)(path);
    if (status == 0) {
        removed(path);
    }
    return status;
}

int
unlinkat(int directory, const char *name, int flags)
{
    char full[PATH_BYTES + 256];
    int status = REAL(unlinkat_fn, unlinkat)(directory, name, flags);
    if (status == 0 && (flags & AT_REMOVEDIR) == 0 && path_at(directory, name, full)) {
        removed(full);
    }
    return status;
}

/* -- System calls by number ------------------------------------------------------------------- */

long
syscall(long number, ...)
{
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(list, long);
    }
    va_end(list);
    if (number == SYS_close) { /* libuv closes so. */
        forget((int)a[0]);
    }
    return REAL(syscall_fn, syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* -- Taking back ----------------------------------------------------------------------------- */

/* A file with writes that no sync has covered so far. */
struct file {
    char path[256];
    struct entry *writes[4096]; /* In order. */
    size_t count;
    uint64_t durable_size; /* Valid while count > 0. */
};

static struct file *files[FILES_MAX];
static size_t files_count;

static struct file *
file_of(const char *path)
{
    for (size_t i = 0; i < files_count; i++) {
        if (strcmp(files[i]->path, path) == 0) {
            return files[i];
        }
    }
    if (files_count == FILES_MAX) {
        errno = ENFILE;
        die("taking back");
    }
    struct file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        die("taking back");
    }
    snprintf(file->path, sizeof file->path, "%s", path);
    files[files_count++] = file;
    return file;
}

static void
cover(struct file *file, uint64_t upto)
{
    size_t kept = 0;
    for (size_t i = 0; i < file->count; i++) {
        struct entry *write = file->writes[i];
        if (write->number > upto) {
            file->writes[kept++] = write;
        } else if (file->durable_size < write->offset + write->length) {
            file->durable_size = write->offset + write->length;
        }
    }
    file->count = kept;
}

static void
replay(struct entry *entry, const char *follows)
{
    struct file *file = file_of(entry->path);
    switch (entry->kind) {
    case WRITTEN:
        if (file->count == 0) {
            file->durable_size = entry->size_before;
        }
        if (file->count == sizeof file->writes / sizeof file->writes[0]) {
            /* Far behind: take the older half for written back, as a kernel does in time. */
            cover(file, file->writes[file->count / 2]->number);
        }
        file->writes[file->count++] = entry;
        break;
    case SYNCED:
        cover(file, entry->upto);
        break;
    case SIZED:
        if (file->count > 0) {
            file->durable_size = entry->size_before;
        }
        break;
    case REMOVED:
        file->count = 0;
        break;
    case RENAMED:
        file_of(follows)->path[0] = '\0'; /* Replaced; a file without a name is never touched. */
        snprintf(file->path, sizeof file->path, "%s", follows);
        break;
    default:
        errno = EBADMSG;
        die("journal");
    }
}

/* The number of bytes lost. */
static uint64_t
take_back(const struct file *file)
{
    char full[PATH_BYTES + 256];
    struct stat st;
    snprintf(full, sizeof full, "%s/%s", lost.directory, file->path);
    int fd = open_plain(full, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return 0; /* Its directory is gone. */
    }
    uint64_t bytes = 0;
    for (size_t i = file->count; i-- > 0;) {
        const struct entry *write = file->writes[i];
        bytes += write->length;
        if (write->bytes > 0 &&
            REAL(pwrite_fn, pwrite64)(fd, write + 1, write->bytes, (off_t)write->offset) < 0) {
            die(full);
        }
    }
    if (fstat(fd, &st) != 0 ||
        ((uint64_t)st.st_size > file->durable_size &&
         REAL(size_fn, ftruncate64)(fd, (off_t)file->durable_size) != 0) ||
        REAL(fd_fn, fsync)(fd) != 0) {
        die(full);
    }
    REAL(fd_fn, close)(fd);
    return bytes;
}

static void
take_back_all(int journal)
{
    struct stat st;
    uint64_t bytes = 0, lost_files = 0;
    if (fstat(journal, &st) != 0) {
        die("journal");
    }
    size_t size = (size_t)st.st_size;
    char *all = malloc(size + 1);
    for (size_t got = 0; got < size;) {
        ssize_t more = all == NULL ? -1 : pread(journal, all + got, size - got, (off_t)got);
        if (more <= 0) {
            die("journal");
        }
        got += (size_t)more;
    }
    for (size_t at = 0; at + sizeof(struct entry) <= size;) {
        /* Each in memory of its own: entries lie anywhere in the file. */
        uint64_t follow;
        memcpy(&follow, all + at + offsetof(struct entry, bytes), sizeof follow);
        if (at + sizeof(struct entry) + follow > size) {
            break; /* The kill fell into this entry: its write never happened. */
        }
        struct entry *entry = malloc(sizeof *entry + follow);
        if (entry == NULL) {
            die("journal");
        }
        memcpy(entry, all + at, sizeof *entry + follow);
        replay(entry, (const char *)(entry + 1));
        at += sizeof *entry + follow;
    }
    for (size_t i = 0; i < files_count; i++) {
        if (files[i]->count > 0 && files[i]->path[0] != '\0') {
            bytes += take_back(files[i]);
            lost_files++;
        }
    }
    fprintf(stderr, "lost_writes: %llu bytes of %llu files were not synced and are gone\n",
            (unsigned long long)bytes, (unsigned long long)lost_files);
    free(all); /* The entries themselves live as long as this short list of files. */
}

/* The word after `--data` on this process's command line. */
static bool
find_directory(void)
{
    static char line[16384];
    char given[PATH_BYTES] = "";
    int fd = open_plain("/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
    ssize_t size = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0) {
        REAL(fd_fn, close)(fd);
    }
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(line + at) + 1) {
        if (strcmp(line + at, "--data") == 0 && at + 7 < size) {
            snprintf(given, sizeof given, "%s", line + at + 7);
        }
    }
    if (given[0] != '/') {
        return false;
    }
    snprintf(lost.directory, sizeof lost.directory, "%s", given);
    lost.directory_size = strlen(lost.directory);
    return true;
}

__attribute__((constructor)) static void
begin(void)
{
    if (!find_directory()) {
        return;
    }
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s.unsynced", lost.directory);
    int journal = open_plain(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) {
        die(path);
    }
    take_back_all(journal);
    if (REAL(size_fn, ftruncate64)(journal, 0) != 0) {
        die(path);
    }
    const char *delay = getenv("QO_LOST_DELAY_US");
    lost.delay_us = delay != NULL ? strtoull(delay, NULL, 10) : 0;
    lost.chance = (uint64_t)getpid() * 1000003;
    lost.journal = journal;
    lost.active = true;
}
