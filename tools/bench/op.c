/* See op.h. Thread: main. */
#include "op.h"

#include <stdio.h>
#include <string.h>

#include "common/assert.h"
#include "machine/machine.h"
#include "wire/writer.h"

/* Printable, so that a request id can be copied from a log; 64 of them are 6 bits each. */
static const char alphabet[65] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._";

const char *
op_kind_name(enum op_kind kind)
{
    static const char *const names[] = {"transition", "create", "read", "learn"};
    return names[kind];
}

static void
spell(uint64_t bits, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++, bits >>= 6) {
        out[i] = alphabet[bits & 63];
    }
}

void
op_request_id(const struct op_world *world, uint64_t number, char out[OP_REQUEST_ID_SIZE])
{
    static_assert(OP_NONCE_SIZE + 48 / 6 == OP_REQUEST_ID_SIZE, "nonce and number fill it");
    memcpy(out, world->nonce, OP_NONCE_SIZE);
    spell(number, OP_REQUEST_ID_SIZE - OP_NONCE_SIZE, out + OP_NONCE_SIZE);
}

static void
note_of(const struct op_world *world, uint64_t number, char out[OP_NOTE_SIZE])
{
    uint64_t state = world->seed ^ (number << 16);
    spell(op_random(&state), 10, out);
    spell(op_random(&state), 10, out + 10);
    spell(op_random(&state), 10, out + 20);
    spell(op_random(&state), 2, out + 30);
}

static size_t
id_of(const struct op_world *world, const struct op *op, char out[QO_ID_MAX])
{
    if (op->kind != OP_CREATE) {
        return orders_id(world->orders, op->order, out);
    }
    size_t size = world->orders->prefix_size;
    memcpy(out, world->orders->prefix, size);
    out[size] = '+';
    op_request_id(world, op->number, out + size + 1);
    return size + 1 + OP_REQUEST_ID_SIZE;
}
static_assert(PREFIX_MAX + 1 + OP_REQUEST_ID_SIZE <= QO_ID_MAX, "the id of a creation fits");

/* `[0, msgid, method, [{`: `pairs` keys and values must follow. */
static void
put_head(struct buf *out, uint32_t msgid, struct bytes method, uint32_t pairs)
{
    wire_put_array(out, 4);
    wire_put_natural(out, 0);
    wire_put_natural(out, msgid);
    wire_put_text(out, method);
    wire_put_array(out, 1);
    wire_put_map(out, pairs);
}

static void
put_write(const struct op_world *world, const struct op *op, struct buf *out)
{
    char note[OP_NOTE_SIZE];
    char request_id[OP_REQUEST_ID_SIZE];
    if (op->kind == OP_TRANSITION) {
        const struct order *order = &world->orders->items[op->order];
        wire_put_key(out, "event");
        wire_put_text(out, world->plan->steps[order->state].event);
        wire_put_key(out, "expect_version");
        wire_put_natural(out, order->version);
        wire_put_key(out, "attributes");
        wire_put_map(out, 1);
        wire_put_key(out, PLAN_ATTRIBUTE);
        note_of(world, op->number, note);
        wire_put_text(out, bytes_make(note, sizeof note));
    } else {
        wire_put_key(out, "machine");
        wire_put_text(out, world->plan->name);
    }
    op_request_id(world, op->number, request_id);
    wire_put_key(out, "request_id");
    wire_put_text(out, bytes_make(request_id, sizeof request_id));
}

void
op_encode(const struct op_world *world, const struct op *op, uint32_t msgid, struct buf *out)
{
    char id[QO_ID_MAX];
    size_t id_size = id_of(world, op, id);
    uint32_t more = world->timeout_ms != 0 ? 1 : 0;
    bool local = op->kind == OP_READ && world->consistency == WIRE_LOCAL;
    switch ((enum op_kind)op->kind) {
    case OP_TRANSITION:
        put_head(out, msgid, bytes_text("order.transition"), 5 + more);
        break;
    case OP_CREATE:
        put_head(out, msgid, bytes_text("order.create"), 3 + more);
        break;
    case OP_READ:
    case OP_LEARN:
        put_head(out, msgid, bytes_text("order.get"), (local ? 2u : 1u) + more);
        break;
    }
    wire_put_key(out, "id");
    wire_put_text(out, bytes_make(id, id_size));
    if (op->kind == OP_TRANSITION || op->kind == OP_CREATE) {
        put_write(world, op, out);
    } else if (local) {
        wire_put_key(out, "consistency");
        wire_put_key(out, "local");
    }
    if (more != 0) {
        wire_put_key(out, "timeout_ms");
        wire_put_natural(out, world->timeout_ms);
    }
}

/* The order's entry cannot be trusted after this: the caller learns it anew. */
static void
wrong(struct op_verdict *verdict, const char *what, struct bytes id, uint64_t got, uint64_t want)
{
    verdict->outcome = OP_WRONG;
    (void)snprintf(verdict->why, sizeof verdict->why, "%.*s: %s (got %llu, expected %llu)",
                   BYTES_FORMAT(id), what, (unsigned long long)got, (unsigned long long)want);
}

static void
check_receipt(struct op_world *world, const struct op *op, const struct wire_receipt *receipt,
              struct bytes id, struct op_verdict *verdict)
{
    struct order *order = op->kind == OP_TRANSITION ? &world->orders->items[op->order] : NULL;
    const struct plan_step *step = order != NULL ? &world->plan->steps[order->state] : NULL;
    uint64_t version = order != NULL ? order->version + 1 : 1;
    uint64_t seq = order != NULL ? order->seq : 0;
    struct bytes to = order != NULL
                          ? step->to_name
                          : machine_state_name(world->plan->machine, world->plan->initial);
    struct bytes event = order != NULL ? step->event : bytes_text("create");
    if (!bytes_equal(receipt->id, id)) {
        wrong(verdict, "the receipt is of another order", id, 0, 0);
    } else if (!bytes_equal(receipt->machine, world->plan->name)) {
        wrong(verdict, "the receipt names another machine", id, 0, 0);
    } else if (receipt->version != version) {
        wrong(verdict, "version", id, receipt->version, version);
    } else if (!bytes_equal(receipt->to, to) || !bytes_equal(receipt->event, event) ||
               (order != NULL ? !bytes_equal(receipt->from, step->from_name)
                              : receipt->from.data != NULL)) {
        wrong(verdict, "event, from or to is another than was asked for", id, 0, 0);
    } else if (receipt->seq <= seq) {
        wrong(verdict, "seq does not rise", id, receipt->seq, seq + 1);
    } else if (receipt->replayed && op->copies < 2) {
        wrong(verdict, "replayed, though it was sent once", id, receipt->version, version);
    } else {
        verdict->outcome = OP_DONE;
        verdict->replayed = receipt->replayed;
        if (order != NULL) {
            order->version = receipt->version;
            order->seq = receipt->seq;
            order->state = step->to;
        }
    }
}

static void
check_order(struct op_world *world, const struct op *op, const struct wire_order *got,
            struct bytes id, struct op_verdict *verdict)
{
    struct order *order = &world->orders->items[op->order];
    int32_t state =
        got->state.data != NULL ? machine_state_find(world->plan->machine, got->state) : -1;
    bool exact = op->kind == OP_READ && world->consistency == WIRE_LINEARIZABLE;
    if (!bytes_equal(got->id, id) || state < 0) {
        wrong(verdict, "the answer is another order", id, 0, 0);
    } else if (op->kind == OP_LEARN) {
        if (got->version < order->version) {
            wrong(verdict, "an acknowledged version is gone", id, got->version, order->version);
            return;
        }
        order->version = got->version;
        order->seq = got->seq;
        order->state = (uint16_t)state;
        verdict->outcome = OP_DONE;
    } else if (got->version > order->version || (exact && got->version != order->version)) {
        /* No other request on this order is under way. */
        wrong(verdict, "a read shows another version than the last receipt", id, got->version,
              order->version);
    } else if (got->version == order->version &&
               (got->seq != order->seq || (uint32_t)state != order->state)) {
        wrong(verdict, "a read shows another seq or state than the last receipt", id, got->seq,
              order->seq);
    } else {
        verdict->outcome = OP_DONE;
    }
}

static void
check_failure(struct op_world *world, struct bytes body, struct bytes id,
              struct op_verdict *verdict)
{
    struct wire_reader reader = wire_reader_of(body);
    struct wire_failure failure;
    if (!wire_read_failure(&reader, &world->arena, &failure)) {
        wrong(verdict, "an error that cannot be read", id, 0, 0);
        return;
    }
    verdict->error = failure.error;
    verdict->retry_after_ms = failure.has_retry_after_ms ? failure.retry_after_ms : 0;
    bool again = failure.error >= QO_NOT_LEADER || failure.unknown_effect;
    verdict->outcome = again ? OP_AGAIN : OP_REFUSED;
    if (!again) {
        (void)snprintf(verdict->why, sizeof verdict->why, "%.*s: %s: %.*s", BYTES_FORMAT(id),
                       error_code(failure.error), BYTES_FORMAT(failure.message));
    }
}

void
op_check(struct op_world *world, const struct op *op, bool is_error, struct bytes body,
         struct op_verdict *verdict)
{
    char text[QO_ID_MAX];
    struct bytes id = bytes_make(text, id_of(world, op, text));
    struct wire_reader reader = wire_reader_of(body);
    struct wire_receipt receipt;
    struct wire_order order;
    arena_reset(&world->arena);
    verdict->replayed = false;
    if (is_error) {
        check_failure(world, body, id, verdict);
    } else if (op->kind == OP_TRANSITION || op->kind == OP_CREATE) {
        if (wire_read_receipt(&reader, &receipt)) {
            check_receipt(world, op, &receipt, id, verdict);
        } else {
            wrong(verdict, "a receipt that cannot be read", id, 0, 0);
        }
    } else if (wire_read_order(&reader, &world->arena, &order)) {
        check_order(world, op, &order, id, verdict);
    } else {
        wrong(verdict, "an order that cannot be read", id, 0, 0);
    }
}
