/*
 * judge: what an answer, or its absence, says about a call. The rules of exactly once, and nothing
 * else: pure functions over values, so that a table can test them.
 *
 * Words
 *   copy    one request on one connection
 *   lost    a copy whose last byte was handed to the socket and whose connection ended before its
 *           answer came. A copy whose last byte was not handed over was never a request: a node
 *           executes whole messages only
 *   doubt   some copy's effect is not known: it was lost, or was answered unknown_outcome
 *   live    a copy in doubt that may still arrive somewhere and be proposed
 *
 * Why a refusal is not believed while a copy is live: the refusal speaks of its own copy only. The
 * live one may be proposed afterwards and be accepted then (PROTOCOL.md, "Exactly once"). Why it is
 * believed later: had an earlier copy been applied, its request id would have been found, and the
 * answer would have been its receipt.
 *
 * Thread: any; pure.
 */
#ifndef CLIENT_JUDGE_H
#define CLIENT_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "quorder.h"

enum verdict {
    VERDICT_DONE,       /* It succeeded. */
    VERDICT_REFUSED,    /* Final: no, and no copy will have an effect. */
    VERDICT_BROKEN,     /* Final: a defect in the node; certainly no effect. */
    VERDICT_REDIRECTED, /* Ask the leader that the answer names. */
    VERDICT_AGAIN,      /* Ask again after a while. */
    VERDICT_AGAIN_LATE, /* A refusal that cannot be believed yet: ask again when no copy is live. */
};

/* What an answer says. */
struct answer_facts {
    enum qo_code code;   /* QO_CODE_OK: a result. */
    bool unknown_effect; /* `applied` is nil. */
    bool names_leader;   /* not_leader with an address. */
};

/* Judges one answer. `is_write`: the call may have an effect. `live`: an earlier copy is. */
enum verdict judge_answer(struct answer_facts facts, bool is_write, bool live);

/* True if an answer leaves its own copy in doubt, and live. */
bool judge_doubtful(struct answer_facts facts);

/* The verdict over a batch whose items got verdicts of their own: what has most left to do wins. */
enum verdict judge_worse(enum verdict a, enum verdict b);

/* When a copy in doubt since `since_us` can no longer be proposed, having had `timeout_ms`. */
int64_t judge_live_until(int64_t since_us, uint32_t timeout_ms);

/* The time to give to one copy: the call's wish, but a bit less than what is left of the call, so
 * that the node's own "no effect" arrives before the call ends. 1 at least. */
uint32_t judge_copy_timeout_ms(uint32_t timeout_ms, int64_t left_us);

/* The outcome of a call that ends without an answer to believe. */
enum qo_outcome judge_end(bool is_write, bool doubt);

/* How long to wait before attempt `attempts` + 1: from `min_ms` doubled to `max_ms`, of which half
 * is chance (`chance` is any number). In microseconds. */
int64_t judge_backoff_us(uint32_t attempts, uint32_t min_ms, uint32_t max_ms, uint64_t chance);

#endif
