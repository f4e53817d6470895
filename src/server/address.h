/*
 * address: host:port, a name or a literal, "[::1]:7401" for IPv6. Thread: any; may block on DNS.
 */
#ifndef SERVER_ADDRESS_H
#define SERVER_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#define ADDRESS_WHY_MAX 256

/* True if it has the form above, with a port from 1 to 65535. Looks nothing up. */
bool address_valid(const char *address);

/* Whether this machine could listen there now. False: `why_out` (ADDRESS_WHY_MAX bytes) says why
 * not. Nothing is kept, so it is advice and no promise. */
bool address_can_listen(const char *address, char *why_out);

/* The first address that the name has. False: `why_out` (ADDRESS_WHY_MAX bytes) says why. */
bool address_resolve(const char *address, struct sockaddr_storage *out, char *why_out);

#endif
