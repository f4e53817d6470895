/* See tools/endpoints.h. Thread: any. */
#include "tools/endpoints.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* host:port with a port from 1 to 65535; a host in brackets is an IPv6 address. */
static bool
well_formed(struct bytes endpoint)
{
    const char *text = (const char *)endpoint.data;
    size_t colon = endpoint.size;
    while (colon > 0 && text[colon - 1] != ':') {
        colon--;
    }
    if (colon < 2 || endpoint.size >= ENDPOINT_SIZE || colon == endpoint.size ||
        endpoint.size - colon > 5) {
        return false;
    }
    uint32_t port = 0;
    for (size_t i = colon; i < endpoint.size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    return port >= 1 && port <= 65535;
}

void
endpoints_add(struct endpoints *endpoints, struct bytes endpoint)
{
    if (endpoint.data == NULL || !well_formed(endpoint) || endpoints->count == ENDPOINTS_MAX) {
        return;
    }
    for (uint32_t i = 0; i < endpoints->count; i++) {
        if (bytes_equal(bytes_text(endpoints->items[i]), endpoint)) {
            return;
        }
    }
    char *item = endpoints->items[endpoints->count++];
    memcpy(item, endpoint.data, endpoint.size);
    item[endpoint.size] = '\0';
}

bool
endpoints_parse(const char *text, struct endpoints *endpoints_out)
{
    const char *from = "--endpoints";
    if (text == NULL) {
        text = getenv("QUORDER_ENDPOINTS");
        from = "QUORDER_ENDPOINTS";
    }
    if (text == NULL || text[0] == '\0') {
        text = ENDPOINTS_DEFAULT;
    }
    *endpoints_out = (struct endpoints){.count = 0};
    for (const char *at = text; at != NULL;) {
        const char *comma = strchr(at, ',');
        struct bytes item = bytes_make(at, comma != NULL ? (size_t)(comma - at) : strlen(at));
        if (!well_formed(item)) {
            fprintf(stderr, "%s takes host:port, several divided by commas, not '%.*s'.\n", from,
                    BYTES_FORMAT(item));
            return false;
        }
        if (endpoints_out->count == ENDPOINTS_MAX) {
            fprintf(stderr, "%s takes at most %d addresses.\n", from, (int)ENDPOINTS_MAX);
            return false;
        }
        endpoints_add(endpoints_out, item);
        at = comma != NULL ? comma + 1 : NULL;
    }
    return true;
}

void
endpoints_text(const struct endpoints *endpoints, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < endpoints->count && used < size; i++) {
        int written =
            snprintf(out + used, size - used, "%s%s", i == 0 ? "" : ", ", endpoints->items[i]);
        used += written > 0 ? (size_t)written : 0;
    }
}

static int
probe_address(const struct addrinfo *address, int timeout_ms)
{
    int error = 0;
    socklen_t size = sizeof error;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        error = errno;
        if (error == EINPROGRESS) {
            int ready = poll(&wait, 1, timeout_ms);
            error = ready == 0 ? ETIMEDOUT : ready < 0 ? errno : 0;
        }
        if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
            error = errno;
        }
    }
    close(fd);
    return error;
}

int
endpoints_probe(const char *endpoint, int timeout_ms)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    char host[ENDPOINT_SIZE];
    (void)snprintf(host, sizeof host, "%s", endpoint);
    char *port = strrchr(host, ':');
    if (port == NULL) {
        return EINVAL;
    }
    *port++ = '\0';
    size_t size = strlen(host);
    char *name = host;
    if (size > 2 && host[0] == '[' && host[size - 1] == ']') {
        host[size - 1] = '\0';
        name++;
    }
    if (getaddrinfo(name, port, &hints, &addresses) != 0) {
        return EHOSTUNREACH;
    }
    int error = EHOSTUNREACH;
    for (const struct addrinfo *at = addresses; at != NULL && error != 0; at = at->ai_next) {
        error = probe_address(at, timeout_ms);
    }
    freeaddrinfo(addresses);
    return error;
}

int
endpoints_probe_all(const struct endpoints *endpoints, int timeout_ms)
{
    int first = 0;
    for (uint32_t i = 0; i < endpoints->count; i++) {
        int error = endpoints_probe(endpoints->items[i], timeout_ms);
        if (error == 0) {
            return 0;
        }
        first = first != 0 ? first : error;
    }
    return first;
}
