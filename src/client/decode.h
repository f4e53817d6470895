/*
 * decode: structs of wire become structs of the API: texts with a NUL, everything in an arena.
 * Thread: any, one at a time per arena. Memory: the arena only; what wire handed over may go.
 */
#ifndef CLIENT_DECODE_H
#define CLIENT_DECODE_H

#include "common/arena.h"
#include "quorder.h"
#include "wire/response.h"
#include "wire/types.h"

/* A NUL-terminated copy; NULL for BYTES_NONE. */
const char *decode_text(struct arena *arena, struct bytes text);
/* Each reads one object of the reader; NULL: it is not one. The order, an array of one, may be nil.
 */
struct qo_receipt *decode_receipt(struct arena *arena, struct wire_reader *reader);
struct qo_failure *decode_failure(struct arena *arena, struct wire_reader *reader,
                                  bool *unknown_effect_out);
bool decode_orders(struct arena *arena, struct wire_reader *reader, uint32_t count,
                   struct qo_order **orders_out);
bool decode_events(struct arena *arena, const struct wire_page *page, struct qo_event **events_out);
struct qo_status *decode_status(struct arena *arena, struct wire_reader *reader);
struct qo_hello *decode_hello(struct arena *arena, struct wire_reader *reader);
/* machine.list: one element for each version. */
bool decode_machines(struct arena *arena, const struct wire_page *page,
                     struct qo_machine **machines_out, size_t *count_out);

/* A failure of the library's own. */
struct qo_failure *decode_own_failure(struct arena *arena, enum qo_code code, const char *message);

#endif
