/* See load.h and parts.h. Thread: main. */
#include <stdio.h>

#include "common/assert.h"
#include "parts.h"

enum { PICKS_MAX = 64 };

const char *
load_code_name(uint32_t place)
{
    static const char *const names[] = {
#define X(name, number, code, effect) code,
        QO_ERROR_MAP(X)
#undef X
    };
    return names[place];
}

const char *
load_own_name(uint32_t place)
{
    static const char *const names[] = {
#define X(name, text) text,
        LOAD_OWN_ERRORS_MAP(X)
#undef X
    };
    return names[place];
}

static uint32_t
place_of(enum qo_error error)
{
    static const enum qo_error errors[] = {
#define X(name, number, code, effect) name,
        QO_ERROR_MAP(X)
#undef X
    };
    uint32_t place = 0;
    while (place + 1 < LOAD_CODES && errors[place] != error) {
        place++;
    }
    return place;
}

void
load_count_code(struct load *load, enum qo_error error)
{
    load->result->errors_by_code[place_of(error)]++;
    load->second_errors++;
}

void
load_show(struct load *load, const char *why)
{
    struct load_result *result = load->result;
    if (result->shown_count < WRONG_SHOWN_MAX) {
        (void)snprintf(result->shown[result->shown_count], sizeof result->shown[0], "%s", why);
        result->shown_count++;
    }
}

void
load_count_own(struct load *load, enum load_own_error error)
{
    load->result->errors_own[error]++;
    load->second_errors++;
}

/* -- Beginning ops --------------------------------------------------------------------------- */

void
slot_put_free(struct load *load, const struct connection *connection, const struct slot *slot)
{
    uint32_t last = (load->ring_first + load->ring_count) % load->ring_size;
    load->ring[last] =
        connection->place * load->options->outstanding + (uint32_t)(slot - connection->slots);
    load->ring_count++;
}

static enum op_kind
pick_kind(struct load *load)
{
    if (load->options->mix[OP_TRANSITION] == 100) {
        return OP_TRANSITION;
    }
    uint32_t drawn = (uint32_t)(op_random(&load->random) % 100);
    uint32_t kind = 0;
    while (drawn >= load->options->mix[kind]) {
        drawn -= load->options->mix[kind];
        kind++;
    }
    return (enum op_kind)kind;
}

/* An order on which nothing is under way. At most half are busy (checked when the options were
 * read), so the search is short; were chance to be unkind, the next free one will do. */
static uint32_t
pick_order(struct load *load)
{
    struct orders *orders = load->world->orders;
    uint32_t order = 0;
    for (uint32_t i = 0; i < PICKS_MAX; i++) {
        order = (uint32_t)(((op_random(&load->random) >> 32) * orders->count) >> 32);
        if (!orders->items[order].busy) {
            return order;
        }
    }
    while (orders->items[order].busy) {
        order = (order + 1) % orders->count;
    }
    return order;
}

void
slot_encode(struct load *load, struct connection *connection, struct slot *slot)
{
    uint32_t number = (uint32_t)(slot - connection->slots);
    slot->generation++;
    slot->op.copies++;
    slot->sent_ns = load->now_ns;
    slot->state = SLOT_FLYING;
    op_encode(load->world, &slot->op, slot->generation << SLOT_BITS | number, &connection->out);
}

void
slot_begin(struct load *load, struct connection *connection, struct slot *slot,
           uint64_t intended_ns)
{
    QO_PRE(slot->state == SLOT_FREE);
    enum op_kind kind = pick_kind(load);
    slot->op = (struct op){.number = load->op_number++, .kind = (uint8_t)kind};
    if (kind != OP_CREATE) {
        slot->op.order = pick_order(load);
        load->world->orders->items[slot->op.order].busy = true;
    }
    slot->intended_ns = intended_ns;
    load->flying++;
    load->begun++;
    slot_encode(load, connection, slot);
}

void
slot_finish(struct load *load, struct connection *connection, struct slot *slot)
{
    if (slot->op.kind != OP_CREATE) {
        load->world->orders->items[slot->op.order].busy = false;
    }
    slot->state = SLOT_FREE;
    load->flying--;
    if (load->options->rate > 0) {
        slot_put_free(load, connection, slot);
    } else if (load->phase != PHASE_ENDING) {
        slot_begin(load, connection, slot, load->now_ns);
    }
}

void
slot_send_later(struct load *load, struct connection *connection, struct slot *slot,
                uint64_t delay_ms)
{
    slot->state = SLOT_WAITING;
    slot->due_ns = load->now_ns + delay_ms * 1000000;
    connection->waiting++;
}
