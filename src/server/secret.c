/* See secret.h. Thread: main, before anything runs. */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* NULL if the file may hold a secret, else what is wrong, in `text`. */
static const char *
fault_of(const struct stat *found, char *text, size_t text_size)
{
    if (!S_ISREG(found->st_mode)) {
        return "is no plain file";
    }
    if ((found->st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)snprintf(text, text_size,
                       "is open to others than its owner (mode %04o): chmod 600 it, and take "
                       "another secret if somebody may have read it",
                       (unsigned)(found->st_mode & 07777));
        return text;
    }
    return NULL;
}

/* Up to `size` bytes; -1 and errno if they cannot be read. */
static ssize_t
read_all(int file, uint8_t *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t more = read(file, data + done, size - done);
        if (more < 0 && errno == EINTR) {
            continue;
        }
        if (more <= 0) {
            return more < 0 ? -1 : (ssize_t)done;
        }
        done += (size_t)more;
    }
    return (ssize_t)done;
}

bool
secret_read(const char *path, struct secret *secret_out, char *why_out)
{
    uint8_t data[QO_SECRET_BYTES_MAX + 2]; /* A newline, and one byte to know that there is more. */
    struct stat found;
    char text[256];
    const char *fault = NULL;
    ssize_t size = -1;
    /* Not to wait for somebody to write into a pipe. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &found) != 0) {
        fault = strerror(errno);
    } else {
        fault = fault_of(&found, text, sizeof text);
    }
    if (fault == NULL) {
        size = read_all(file, data, sizeof data);
        fault = size < 0 ? strerror(errno) : NULL;
    }
    if (file >= 0) {
        (void)close(file);
    }
    if (fault == NULL) {
        size -= size > 0 && data[size - 1] == '\n' ? 1 : 0;
        if (size < (ssize_t)QO_SECRET_BYTES_MIN || size > (ssize_t)QO_SECRET_BYTES_MAX) {
            (void)snprintf(text, sizeof text,
                           "has %s bytes than a secret, which has %u to %u (a newline at the end "
                           "does not count): `openssl rand -hex 32` makes one",
                           size < (ssize_t)QO_SECRET_BYTES_MIN ? "fewer" : "more",
                           QO_SECRET_BYTES_MIN, QO_SECRET_BYTES_MAX);
            fault = text;
        }
    }
    if (fault == NULL) {
        memcpy(secret_out->data, data, (size_t)size);
        secret_out->size = (uint32_t)size;
    } else {
        (void)snprintf(why_out, SECRET_WHY_MAX, "secret_file: %.200s: %s", path, fault);
    }
    explicit_bzero(data, sizeof data);
    return fault == NULL;
}
