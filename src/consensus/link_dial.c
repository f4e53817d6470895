/* See link_state.h. Where a member is. Thread: the loop. */
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "common/assert.h"
#include "link_state.h"

bool
link_address_split(const char *address, char *host_out, uint16_t *port_out)
{
    const char *colon = strrchr(address, ':'), *host = address;
    if (colon == NULL || strlen(address) > QO_ADDRESS_MAX) {
        return false;
    }
    size_t size = (size_t)(colon - address);
    bool bracketed = size > 2 && address[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        host++;
        size -= 2;
    }
    if (size == 0 || (!bracketed && memchr(host, ':', size) != NULL)) {
        return false;
    }
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '1' || colon[1] > '9' || *end != '\0' || port > UINT16_MAX) {
        return false;
    }
    memcpy(host_out, host, size);
    host_out[size] = '\0';
    *port_out = (uint16_t)port;
    return true;
}

bool
links_address_valid(const char *address)
{
    char host[QO_ADDRESS_MAX + 1];
    uint16_t port;
    struct sockaddr_in6 ipv6;
    if (!link_address_split(address, host, &port)) {
        return false;
    }
    return address[0] != '[' || uv_ip6_addr(host, port, &ipv6) == 0;
}

static void
looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct conn *conn = lookup->data;
    struct link_addresses *addresses = &conn->addresses;
    bool open = conn->state == CONN_LOOKUP;
    for (const struct addrinfo *info = found;
         info != NULL && open && addresses->count < QO_LINK_ADDRESSES_MAX; info = info->ai_next) {
        QO_ASSERT(info->ai_addrlen <= sizeof addresses->list[0]);
        memcpy(&addresses->list[addresses->count++], info->ai_addr, info->ai_addrlen);
    }
    uv_freeaddrinfo(found);
    if (open && !conn_dial_next(conn)) {
        links_ended(conn, status != 0 ? status : UV_EADDRNOTAVAIL);
    }
    conn_piece_closed(conn);
}

int
link_look_up(struct conn *conn)
{
    char host[QO_ADDRESS_MAX + 1], service[8];
    uint16_t port;
    struct sockaddr_storage *first = &conn->addresses.list[0];
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
    if (!link_address_split(conn->peer->address, host, &port)) {
        return UV_EINVAL;
    }
    if (uv_ip4_addr(host, port, &ipv4) == 0) {
        memcpy(first, &ipv4, sizeof ipv4);
        conn->addresses.count = 1;
        return 1;
    }
    if (uv_ip6_addr(host, port, &ipv6) == 0) {
        memcpy(first, &ipv6, sizeof ipv6);
        conn->addresses.count = 1;
        return 1;
    }
    /* A name is looked up each time: its address may change. */
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    conn->lookup.data = conn;
    int status = uv_getaddrinfo(conn->links->loop, &conn->lookup, looked_up, host, service, &hints);
    conn->pieces += status == 0;
    return status;
}
