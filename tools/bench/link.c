/* See link.h. Thread: any. */
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/endpoints.h"
#include "wire/cut.h"

enum { RECEIVE_CHUNK = 64 * 1024, SEND_TIMEOUT_MS = 10000 };

static bool
split(const char *endpoint, char host[ENDPOINT_SIZE], char port[8])
{
    const char *colon = strrchr(endpoint, ':');
    if (colon == NULL || strlen(colon + 1) >= 8) {
        return false;
    }
    const char *from = endpoint;
    size_t size = (size_t)(colon - endpoint);
    if (size >= 2 && from[0] == '[' && from[size - 1] == ']') {
        from++;
        size -= 2;
    }
    if (size == 0 || size >= ENDPOINT_SIZE) {
        return false;
    }
    memcpy(host, from, size);
    host[size] = '\0';
    (void)snprintf(port, 8, "%s", colon + 1);
    return true;
}

int
link_dial(const char *endpoint)
{
    char host[ENDPOINT_SIZE];
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (!split(endpoint, host, port) || getaddrinfo(host, port, &hints, &found) != 0) {
        errno = EHOSTUNREACH;
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd >= 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
            int error = errno;
            close(fd);
            errno = error;
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* Waits until the socket is ready for `events`. */
static bool
ready(int fd, short events, int timeout_ms)
{
    struct pollfd wait = {.fd = fd, .events = events};
    int got = poll(&wait, 1, timeout_ms);
    return got == 1 || (got < 0 && errno == EINTR);
}

bool
link_open(struct link *link, const char *endpoint, int timeout_ms)
{
    link->fd = link_dial(endpoint);
    link->in.size = 0;
    link->taken = 0;
    buf_clear(&link->out);
    if (link->fd < 0) {
        return false;
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (!ready(link->fd, POLLOUT, timeout_ms) ||
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        link_close(link);
        return false;
    }
    return true;
}

void
link_close(struct link *link)
{
    if (link->fd >= 0) {
        close(link->fd);
    }
    link->fd = -1;
}

void
link_free(struct link *link)
{
    link_close(link);
    buf_free(&link->in);
    buf_free(&link->out);
}

bool
link_send(struct link *link)
{
    size_t sent = 0;
    while (link->fd >= 0 && sent < link->out.size) {
        ssize_t wrote = send(link->fd, link->out.data + sent, link->out.size - sent, MSG_NOSIGNAL);
        if (wrote >= 0) {
            sent += (size_t)wrote;
        } else if (errno != EINTR &&
                   (errno != EAGAIN || !ready(link->fd, POLLOUT, SEND_TIMEOUT_MS))) {
            link_close(link);
        }
    }
    buf_clear(&link->out);
    return link->fd >= 0;
}

/* Takes one whole message from what has come. -1: it is none of the protocol. */
static int
take(struct link *link, struct wire_answer *answer_out)
{
    struct bytes rest = {link->in.data + link->taken, link->in.size - link->taken};
    struct wire_cutter cutter = {0};
    size_t size = 0;
    if (rest.size == 0) {
        return 0;
    }
    enum wire_cut cut = wire_cut(&cutter, rest, &size);
    if (cut == WIRE_CUT_NEED_MORE) {
        return 0;
    }
    link->taken += size;
    return cut == WIRE_CUT_MESSAGE &&
                   wire_decode_answer((struct bytes){rest.data, size}, answer_out)
               ? 1
               : -1;
}

bool
link_receive(struct link *link, int timeout_ms, struct wire_answer *answer_out)
{
    int64_t end_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    while (link->fd >= 0) {
        int taken = take(link, answer_out);
        if (taken == 1) {
            return true;
        }
        int64_t left_ms = (end_us - clock_monotonic_us()) / 1000;
        if (taken < 0 || left_ms <= 0) {
            break;
        }
        if (link->taken > 0) {
            memmove(link->in.data, link->in.data + link->taken, link->in.size - link->taken);
            link->in.size -= link->taken;
            link->taken = 0;
        }
        if (!ready(link->fd, POLLIN, (int)left_ms)) {
            break;
        }
        ssize_t got = recv(link->fd, buf_reserve(&link->in, RECEIVE_CHUNK), RECEIVE_CHUNK, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            break;
        }
        link->in.size += got > 0 ? (size_t)got : 0;
    }
    link_close(link);
    return false;
}
