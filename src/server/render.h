/*
 * render: from what the store and the state machine speak in (numbers of definitions, states,
 * events) to what travels (wire/types.h: names). Thread: any; pure. Memory: lists of names stand in
 * the arena; texts point to where they were.
 */
#ifndef SERVER_RENDER_H
#define SERVER_RENDER_H

#include "apply/apply.h"
#include "common/arena.h"
#include "store/record.h"
#include "store/registry.h"
#include "wire/types.h"

struct wire_receipt render_receipt(const struct receipt *receipt);

/* `definition` is the record's. */
struct wire_order render_order(struct bytes id, const struct order_record *record,
                               const struct definition *definition, struct arena *arena);

struct wire_event render_event(const struct event_record *event,
                               const struct definition *definition);

/* Of a failed command. `operation`: its place in an order.batch that is not atomic, RENDER_ALONE if
 * it was a request of its own, RENDER_ATOMIC if it was a whole atomic batch: then the failure names
 * the operation. */
enum { RENDER_ALONE = -1, RENDER_ATOMIC = -2 };
struct wire_failure render_failure(const struct command_result *result, int operation,
                                   struct arena *arena);

#endif
