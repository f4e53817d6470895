/*
 * orders: what the load knows of each order that it works on, made or found before it begins.
 *
 * Order n of a prefix has the id `<prefix>-<n as 8 digits>`, so that a later run finds the orders
 * of an earlier one and goes on with them.
 *
 * Thread: main. Memory: 24 bytes an order.
 */
#ifndef BENCH_ORDERS_H
#define BENCH_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "plan.h"

struct watch;

enum { ORDERS_MAX = 99999999, ORDERS_DIGITS = 8, PREFIX_MAX = 64 };
static_assert(PREFIX_MAX + 1 + ORDERS_DIGITS <= QO_ID_MAX, "an id fits");

struct order {
    uint64_t seq;     /* Of its last event that we know. */
    uint64_t version; /* As the last receipt said. */
    uint16_t state;
    bool busy; /* A request on it is under way. */
};

struct orders {
    const char *prefix;
    size_t prefix_size;
    uint32_t count;
    struct order *items;
};

/* Writes the id of order `number`; its size. */
size_t orders_id(const struct orders *orders, uint32_t number, char out[QO_ID_MAX]);

/*
 * Puts the plan's machine, learns the orders that are there and makes those that are not, by
 * order.batch. Lives through failovers. False after printing why it could not.
 *
 *   prefix  must outlive the orders; at most PREFIX_MAX bytes
 *   nonce   8 characters that no other run has: begins each request id
 *   quiet   no progress on stderr
 */
bool orders_prepare(struct orders *orders_out, const struct plan *plan, struct watch *watch,
                    const char *prefix, uint32_t count, const char nonce[8], bool quiet);
void orders_free(struct orders *orders);

#endif
