/* See judge.h. Thread: any; pure. */
#include "judge.h"

#include "common/assert.h"
#include "common/limits.h"

enum verdict
judge_answer(struct answer_facts facts, bool is_write, bool live)
{
    switch (facts.code) {
    case QO_CODE_OK:
        return VERDICT_DONE;
    case QO_CODE_BAD_REQUEST:
    case QO_CODE_UNKNOWN_METHOD:
    case QO_CODE_UNAUTHORIZED:
    case QO_CODE_FORBIDDEN:
    case QO_CODE_NOT_FOUND:
    case QO_CODE_ALREADY_EXISTS:
    case QO_CODE_INVALID_TRANSITION:
    case QO_CODE_VERSION_CONFLICT:
    case QO_CODE_INVALID_ATTRIBUTE:
    case QO_CODE_NOT_UNIQUE:
    case QO_CODE_REQUEST_ID_REUSED:
    case QO_CODE_RESOURCE_TAKEN:
    case QO_CODE_INSUFFICIENT:
    case QO_CODE_INVALID_MACHINE:
    case QO_CODE_POSITION_LOST:
        return is_write && live ? VERDICT_AGAIN_LATE : VERDICT_REFUSED;
    case QO_CODE_NOT_LEADER:
        return facts.names_leader ? VERDICT_REDIRECTED : VERDICT_AGAIN;
    case QO_CODE_UNAVAILABLE:
    case QO_CODE_UNKNOWN_OUTCOME:
    case QO_CODE_TIMEOUT:
    case QO_CODE_OVERLOADED:
    case QO_CODE_UNREACHABLE:
    case QO_CODE_PROTOCOL:
        return VERDICT_AGAIN;
    case QO_CODE_INTERNAL:
        if (facts.unknown_effect) {
            return VERDICT_AGAIN;
        }
        return is_write && live ? VERDICT_AGAIN_LATE : VERDICT_BROKEN;
    case QO_CODE_CLOSED:
    case QO_CODE_LOCAL_OVERLOADED:
        break; /* Ours: no node answers so. */
    }
    assert_failed("precondition", "a code that a node answers", __FILE__, __LINE__);
}

bool
judge_doubtful(struct answer_facts facts)
{
    /* A node that forwarded a copy and lost its link answers unknown_outcome while that copy may be
     * unread at the leader: such an answer is no end of the copy. */
    return facts.code == QO_CODE_UNKNOWN_OUTCOME ||
           (facts.code == QO_CODE_INTERNAL && facts.unknown_effect);
}

enum verdict
judge_worse(enum verdict a, enum verdict b)
{
    if (a == VERDICT_REDIRECTED || b == VERDICT_REDIRECTED) {
        return VERDICT_AGAIN; /* One operation's redirection is not the batch's. */
    }
    return a > b ? a : b;
}

int64_t
judge_live_until(int64_t since_us, uint32_t timeout_ms)
{
    return since_us + ((int64_t)timeout_ms + QO_CLIENT_LATE_MARGIN_MS) * 1000;
}

uint32_t
judge_copy_timeout_ms(uint32_t timeout_ms, int64_t left_us)
{
    QO_PRE(timeout_ms >= 1);
    int64_t left_ms = (left_us - left_us / 8) / 1000;
    if (left_ms < 1) {
        return 1;
    }
    return left_ms < timeout_ms ? (uint32_t)left_ms : timeout_ms;
}

enum qo_outcome
judge_end(bool is_write, bool doubt)
{
    return is_write && doubt ? QO_OUTCOME_UNKNOWN : QO_OUTCOME_FAILED;
}

int64_t
judge_backoff_us(uint32_t attempts, uint32_t min_ms, uint32_t max_ms, uint64_t chance)
{
    QO_PRE(min_ms >= 1 && min_ms <= max_ms && max_ms <= UINT32_MAX / 2);
    uint32_t span_ms = min_ms;
    for (uint32_t i = 0; i < attempts && span_ms < max_ms; i++) {
        span_ms *= 2;
    }
    if (span_ms > max_ms) {
        span_ms = max_ms;
    }
    uint64_t half_us = (uint64_t)span_ms * 500;
    return (int64_t)(half_us + chance % (half_us + 1));
}
