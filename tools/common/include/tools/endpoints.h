/*
 * endpoints: where nodes listen, as `host:port,host:port`.
 *
 * Thread: any. Memory: the struct holds its texts.
 */
#ifndef TOOLS_ENDPOINTS_H
#define TOOLS_ENDPOINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

#define ENDPOINTS_DEFAULT "127.0.0.1:7401"
enum { ENDPOINTS_MAX = 16, ENDPOINT_SIZE = 272 /* A DNS name of 253, a colon, a port, a NUL. */ };

struct endpoints {
    char items[ENDPOINTS_MAX][ENDPOINT_SIZE];
    uint32_t count;
};

/* Reads a list divided by commas. `text` NULL: QUORDER_ENDPOINTS, else ENDPOINTS_DEFAULT. False
 * after printing what is wrong with it. */
bool endpoints_parse(const char *text, struct endpoints *endpoints_out);

/* Adds one if it is new, well formed and there is room. */
void endpoints_add(struct endpoints *endpoints, struct bytes endpoint);

/* Whether something listens there: 0, or the errno of the attempt to connect (EHOSTUNREACH for a
 * name that cannot be resolved), known after `timeout_ms` at the latest, the resolver aside. */
int endpoints_probe(const char *endpoint, int timeout_ms);

/* Probes all. 0 if something listens at one of them, else the errno of the first. */
int endpoints_probe_all(const struct endpoints *endpoints, int timeout_ms);

/* "a:1, b:2" for messages; cut where it does not fit. */
void endpoints_text(const struct endpoints *endpoints, char *out, size_t size);

#endif
