/*
 * op: one request of the load: what is sent, and whether the answer is right.
 *
 * Knows no sockets and no time. A request that has to be sent again is encoded from the same
 * `struct op`, byte for byte but for its message id: its request id and its note follow from
 * `number`.
 *
 * Thread: main. Memory: as said at each function.
 */
#ifndef BENCH_OP_H
#define BENCH_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/bytes.h"
#include "orders.h"
#include "plan.h"
#include "wire/request.h"
#include "wire/response.h"

enum op_kind {
    OP_TRANSITION,
    OP_CREATE,
    OP_READ,
    OP_KINDS,
    OP_LEARN = OP_KINDS, /* A read that is no load: after a refusal, how does the order stand? */
};
const char *op_kind_name(enum op_kind kind);

enum { OP_REQUEST_ID_SIZE = 16, OP_NOTE_SIZE = 32, OP_NONCE_SIZE = 8 };

/* What all ops of a run share. */
struct op_world {
    const struct plan *plan;
    struct orders *orders;
    char nonce[OP_NONCE_SIZE]; /* Of this run of the program: makes request ids unique. */
    uint64_t seed;
    uint32_t timeout_ms; /* 0: the server's default. */
    enum wire_consistency consistency;
    struct arena arena; /* Scratch of op_check(). */
};

struct op {
    uint64_t number; /* Counts the ops of this run of the program; under 2^48. */
    uint32_t order;  /* Unless OP_CREATE. */
    uint16_t copies; /* Sent so often. */
    uint8_t kind;    /* enum op_kind */
};

/* Appends the request as a message. */
void op_encode(const struct op_world *world, const struct op *op, uint32_t msgid, struct buf *out);

enum op_outcome {
    OP_DONE,    /* As it must be; the order's entry is brought up to date. */
    OP_AGAIN,   /* Send it again, after `retry_after_ms`: overloaded, no leader, unknown … */
    OP_REFUSED, /* The server decided against it, which nothing in this load explains. */
    OP_WRONG,   /* The answer breaks a promise: `why` says which. */
};

struct op_verdict {
    enum op_outcome outcome;
    enum qo_error error; /* OP_AGAIN, OP_REFUSED. */
    uint32_t retry_after_ms;
    bool replayed; /* OP_DONE: an earlier copy had been applied. */
    char why[160]; /* OP_WRONG: what is wrong; OP_REFUSED: the server's sentence. */
};

/* Judges an answer. `body` is its result or error. `verdict->why` is written only for the outcomes
 * that have one. */
void op_check(struct op_world *world, const struct op *op, bool is_error, struct bytes body,
              struct op_verdict *verdict);

/* A request id: the nonce and 48 bits of `number`, in 16 characters. */
void op_request_id(const struct op_world *world, uint64_t number, char out[OP_REQUEST_ID_SIZE]);

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
static inline uint64_t
op_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
