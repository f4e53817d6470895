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

/* Of a failed command; `atomic`: with the index of the operation. */
struct wire_failure render_failure(const struct command_result *result, bool atomic,
                                   struct arena *arena);

#endif
