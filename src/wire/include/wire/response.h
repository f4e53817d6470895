/*
 * response: answers and feed notifications, from structs to messages and back.
 *
 * A node appends: a header (wire_put_result), then exactly one object, the result, by one of the
 * functions below. Lists are opened, filled and closed, so that they can stop early when a message
 * is nearly full (look at the buffer's size). A client reads the same structs back; keys that it
 * does not know are passed over, keys that are missing are as nil.
 *
 * Thread: any, one at a time per buffer, reader or arena. Memory: decoded texts point into the
 * message; lists stand in the arena.
 */
#ifndef WIRE_RESPONSE_H
#define WIRE_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/bytes.h"
#include "wire/reader.h"
#include "wire/types.h"

/* -- Whole messages -- */

/* `[1, msgid, nil,` and one object must follow: the result. */
void wire_put_result(struct buf *buf, uint32_t msgid);
/* A whole response: `[1, msgid, [number, message, details], nil]`. */
void wire_put_error(struct buf *buf, uint32_t msgid, const struct wire_failure *failure);

/* -- Results -- */

void wire_put_receipt(struct buf *buf, const struct wire_receipt *receipt);
/* An order as an element of a list; NULL is nil: there is none. */
void wire_put_order(struct buf *buf, const struct wire_order *order);
/* The result of order.get: the order's keys and `applied_seq` in one map. */
void wire_put_order_get(struct buf *buf, const struct wire_order *order, uint64_t applied_seq);
void wire_put_event(struct buf *buf, const struct wire_event *event);
/* `[number, message, details]`; `allowed` holds at most `allowed_max` names. */
void wire_put_failure(struct buf *buf, const struct wire_failure *failure, uint32_t allowed_max);
void wire_put_hello(struct buf *buf, const struct wire_hello *hello); /* With the limits. */
void wire_put_ping(struct buf *buf, const struct wire_ping *ping);
void wire_put_machine_put(struct buf *buf, const struct wire_machine_put *put);
void wire_put_machine(struct buf *buf, const struct wire_machine *machine);
void wire_put_status(struct buf *buf, const struct wire_status *status);
/* feed.subscribe */
void wire_put_subscribed(struct buf *buf, uint64_t subscription, uint64_t next_seq);
/* feed.credit, feed.unsubscribe: the empty map. */
void wire_put_empty(struct buf *buf);

/*
 * Lists. begin, put the elements (counting them by wire_list_added), end:
 *
 *   struct wire_list list = wire_begin_events(buf);
 *   wire_put_event(buf, &event), wire_list_added(&list);
 *   wire_end_history(&list, more, applied_seq);
 *
 * To take the last element back (the message would be too long): set buf->size to what it was
 * before it, and do not count it.
 */
struct wire_list {
    struct buf *buf;
    size_t opened;
    uint32_t count;
};
static inline void
wire_list_added(struct wire_list *list)
{
    list->count++;
}
/* Room that the end of any list takes at most, a cursor's text aside. */
#define WIRE_LIST_END_MAX 96u

struct wire_list wire_begin_get_many(struct buf *buf); /* of wire_put_order() */
void wire_end_get_many(struct wire_list *list, bool more, uint64_t applied_seq);
struct wire_list wire_begin_history(struct buf *buf); /* of wire_put_event() */
void wire_end_history(struct wire_list *list, bool more, uint64_t applied_seq);
struct wire_list wire_begin_order_list(struct buf *buf); /* of wire_put_order() */
void wire_end_order_list(struct wire_list *list, struct bytes cursor, uint64_t applied_seq);
struct wire_list wire_begin_feed_read(struct buf *buf); /* of wire_put_event() */
void wire_end_feed_read(struct wire_list *list, uint64_t next_seq, uint64_t high_seq,
                        uint64_t epoch);
/* A whole notification `feed.events`. */
struct wire_list wire_begin_feed_events(struct buf *buf, uint64_t subscription);
void wire_end_feed_events(struct wire_list *list, uint64_t next_seq, uint64_t high_seq);
/* order.batch: of wire_put_batch_receipt() and wire_put_batch_error(). */
struct wire_list wire_begin_batch(struct buf *buf);
void wire_put_batch_receipt(struct buf *buf, const struct wire_receipt *receipt);
void wire_put_batch_error(struct buf *buf, const struct wire_failure *failure);
void wire_end_batch(struct wire_list *list);
/* machine.list: for each machine begin_machine, versions, end_machine. */
struct wire_list wire_begin_machines(struct buf *buf);
struct wire_list wire_begin_machine(struct buf *buf, struct bytes machine);
void wire_put_machine_version(struct buf *buf, const struct wire_machine_version *version);
void wire_end_machine(struct wire_list *machine);
void wire_end_machines(struct wire_list *list);

/* -- Between nodes -- */

void wire_put_peer_hello(struct buf *buf, const struct wire_peer_hello *hello);
/* The result of peer.forward: the whole response of the client's message, as a bin. */
void wire_put_forwarded(struct buf *buf, struct bytes response);
/* The same response with another msgid, appended: a node that forwards under ids of its own gives
 * the answer back under the client's. False: not a response; nothing was appended. */
bool wire_put_response_as(struct buf *buf, uint32_t msgid, struct bytes response);

/* -- Decoding -- */

enum wire_answer_kind { WIRE_ANSWER_RESULT, WIRE_ANSWER_ERROR, WIRE_ANSWER_NOTIFICATION };
struct wire_answer {
    enum wire_answer_kind kind;
    uint32_t msgid;      /* Of a response. */
    struct bytes body;   /* The result, the error, or the params' only map: one whole object. */
    struct bytes method; /* Of a notification. */
};
/* Takes a message apart. False: not one that a node sends. */
bool wire_decode_answer(struct bytes message, struct wire_answer *answer_out);

/* Each reads one object, which may also be nil (then everything is zero), and returns false if it
 * is not a map (an array for an error) or a key that we know has a wrong type. The reader stands
 * behind the object on true. */
bool wire_read_receipt(struct wire_reader *reader, struct wire_receipt *receipt_out);
bool wire_read_event(struct wire_reader *reader, struct arena *arena, struct wire_event *event_out);
/* An order without `id` (BYTES_NONE) was nil: there is none. */
bool wire_read_order(struct wire_reader *reader, struct arena *arena, struct wire_order *order_out);
bool wire_read_failure(struct wire_reader *reader, struct arena *arena,
                       struct wire_failure *failure_out);
bool wire_read_hello(struct wire_reader *reader, struct wire_hello *hello_out);
bool wire_read_ping(struct wire_reader *reader, struct wire_ping *ping_out);
bool wire_read_peer_hello(struct wire_reader *reader, struct wire_peer_hello *hello_out);
bool wire_read_machine_put(struct wire_reader *reader, struct wire_machine_put *put_out);
bool wire_read_machine(struct wire_reader *reader, struct wire_machine *machine_out);
bool wire_read_machine_version(struct wire_reader *reader,
                               struct wire_machine_version *version_out);
bool wire_read_status(struct wire_reader *reader, struct arena *arena,
                      struct wire_status *status_out);

/* A result that is a map of a list and some values. What the result does not have is zero. */
struct wire_page {
    struct bytes
        elements; /* What the array `orders`, `events`, `results`, `machines`, `versions` holds. */
    uint32_t count; /* How many objects follow one another in `elements`. */
    bool more;
    uint64_t applied_seq; /* Also of order.get. */
    struct bytes cursor;
    uint64_t next_seq, high_seq, epoch, subscription;
    struct bytes machine; /* Of one element of `machines`. */
    /* Of one element of `results`: one whole object, the other BYTES_NONE. */
    struct bytes receipt, error;
};
/* Then: struct wire_reader r = wire_reader_of(page.elements), and `count` times wire_read_...(&r).
 */
bool wire_read_page(struct wire_reader *reader, struct wire_page *page_out);

/* -- Sentences -- */

/* One plain sentence of at most QO_ERROR_MESSAGE_MAX bytes and a NUL that says what a failure
 * without `message` says: what stood in the way and, where one can tell, what to do. */
void wire_failure_sentence(const struct wire_failure *failure, char *out);

#endif
