/* See address.h. Thread: any. */
#include "address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/limits.h"

/* Splits at the last colon; brackets around the host are taken off. */
static bool
split(const char *address, char *host, size_t host_size, const char **port_out)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == '\0') {
        return false;
    }
    const char *begin = address;
    size_t size = (size_t)(colon - address);
    if (address[0] == '[' && colon[-1] == ']') {
        begin++;
        size -= 2;
    }
    if (size == 0 || size >= host_size) {
        return false;
    }
    memcpy(host, begin, size);
    host[size] = '\0';
    *port_out = colon + 1;
    return true;
}

bool
address_valid(const char *address)
{
    char host[QO_ADDRESS_MAX + 1];
    const char *port;
    if (!split(address, host, sizeof host, &port)) {
        return false;
    }
    size_t digits = strspn(port, "0123456789");
    return port[digits] == '\0' && digits <= 5 && strtoul(port, NULL, 10) >= 1 &&
           strtoul(port, NULL, 10) <= 65535;
}

bool
address_resolve(const char *address, struct sockaddr_storage *out, char *why_out)
{
    char host[QO_ADDRESS_MAX + 1];
    const char *port;
    if (!split(address, host, sizeof host, &port)) {
        (void)snprintf(why_out, ADDRESS_WHY_MAX, "not of the form host:port");
        return false;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) {
        (void)snprintf(why_out, ADDRESS_WHY_MAX, "%s", gai_strerror(failed));
        return false;
    }
    memset(out, 0, sizeof *out);
    memcpy(out, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

static socklen_t
size_of(const struct sockaddr_storage *where)
{
    return where->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool
address_can_listen(const char *address, char *why_out)
{
    struct sockaddr_storage where;
    int yes = 1;
    if (!address_resolve(address, &where, why_out)) {
        return false;
    }
    int fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool can = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
               bind(fd, (const struct sockaddr *)&where, size_of(&where)) == 0;
    if (!can) {
        (void)snprintf(why_out, ADDRESS_WHY_MAX, "%s", strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return can;
}
