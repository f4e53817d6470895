/* See tools/endpoints.h. Thread: any. */
#include "tools/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
