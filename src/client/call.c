/* The life of one call; see client.h and judge.h. Thread: I/O. */
#include "common/assert.h"

#include "client.h"

void
call_free(struct call *call)
{
    struct arena arena = call->arena;
    qo_result_free(call->result);
    arena_free(&arena);
    mem_free(call);
}

/* Ends a call: its result goes to its owner. `call` is gone. */
static void
end(struct call *call, enum qo_outcome outcome)
{
    struct qo_client *client = call->client;
    QO_PRE(call->result != NULL);
    list_remove(&call->all);
    if (list_has(&call->place)) {
        list_remove(&call->place);
    }
    result_finish(call->result, outcome, call->copies, call->doubt);

    (void)pthread_mutex_lock(&client->lock);
    QO_ASSERT(client->calls_count > 0 && client->bytes_count >= call->encoded_bytes);
    client->calls_count--;
    client->bytes_count -= call->encoded_bytes;
    if (client->room_waiters > 0) {
        (void)pthread_cond_broadcast(&client->changed);
    }
    (void)pthread_mutex_unlock(&client->lock);

    struct qo_result *result = call->result;
    call->result = NULL;
    call->callback(result, call->context);
    call_free(call);
}

/* Ends a call that got no answer to believe. */
static void
give_up(struct call *call)
{
    struct qo_client *client = call->client;
    if (call->result == NULL) {
        bool ready = false;
        for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
            ready = ready || client->nodes[i].state == NODE_READY;
        }
        call->result =
            ready ? result_of_failure(call, NULL, QO_CODE_TIMEOUT,
                                      "The call's time ran out before a node answered.")
                  : result_of_failure(call, NULL, QO_CODE_UNREACHABLE,
                                      client->trouble[0] == '\0'
                                          ? "The call's time ran out before a node was reached."
                                          : client->trouble);
    }
    end(call, judge_end(call->is_write, call->doubt));
}

static void
enqueue(struct call *call)
{
    call->state = CALL_QUEUED;
    call->node = NULL;
    list_append(&call->client->queue, &call->place);
}

/* Asks again at `at_us`; what lies beyond the call's end would come too late. */
static void
rest(struct call *call, int64_t at_us)
{
    if (at_us >= call->deadline_us) {
        give_up(call);
        return;
    }
    call->state = CALL_RESTING;
    call->node = NULL;
    call->not_before_us = at_us;
    list_append(&call->client->resting, &call->place);
    client_timer_by(call->client, at_us);
}

static void
rest_a_while(struct call *call, uint32_t retry_after_ms)
{
    struct qo_client *client = call->client;
    int64_t wait_us;
    if (retry_after_ms > 0) {
        uint32_t wait_ms = retry_after_ms < QO_CLIENT_RETRY_AFTER_MS_MAX
                               ? retry_after_ms
                               : QO_CLIENT_RETRY_AFTER_MS_MAX;
        /* Never earlier than asked for, and not all at once. */
        wait_us = (int64_t)wait_ms * 1000 +
                  (int64_t)(client_chance(client) % ((uint64_t)wait_ms * 250 + 1));
    } else {
        wait_us = judge_backoff_us(call->attempts, QO_CLIENT_RETRY_MS_MIN, QO_CLIENT_RETRY_MS_MAX,
                                   client_chance(client));
    }
    call->attempts++;
    rest(call, client->now_us + wait_us);
}

void
call_begin(struct qo_client *client, struct call *call)
{
    list_append(&client->calls, &call->all);
    if (call->encoded_bytes == 0) {
        end(call, QO_OUTCOME_FAILED);
        return;
    }
    client_timer_by(client, call->deadline_us);
    enqueue(call);
}

static void
send_copy(struct call *call, struct node *node)
{
    int64_t now_us = call->client->now_us;
    int64_t wait_us = (int64_t)call->request.wait_ms * 1000;
    uint32_t timeout_ms =
        judge_copy_timeout_ms(call->timeout_ms, call->deadline_us - wait_us - now_us);
    int64_t answer_by_us =
        now_us + wait_us + ((int64_t)timeout_ms + QO_CLIENT_ANSWER_GRACE_MS) * 1000;
    call->request.timeout_ms = timeout_ms;
    struct slot *slot = node_send(node, &call->request, SLOT_CALL, answer_by_us);
    slot->call = call;
    call->state = CALL_SENT;
    call->node = node;
    call->msgid = slot->msgid;
    call->copy_timeout_ms = timeout_ms;
}

void
call_dispatch(struct qo_client *client)
{
    struct link *after;
    for (struct link *link = client->queue.after; link != &client->queue; link = after) {
        struct call *call = LIST_ITEM(link, struct call, place);
        after = link->after;
        struct node *node = node_choose(client, call->node_address, call->wants_leader);
        if (node != NULL && node_has_room(node)) {
            list_remove(link);
            send_copy(call, node);
        }
    }
}

/* A copy whose effect is not known, and which may arrive for as long as its time lasts. The time is
 * counted from now, not from the sending: until now a node may have begun to read it. */
static void
doubt(struct call *call)
{
    if (!call->is_write) {
        return;
    }
    int64_t until_us = judge_live_until(call->client->now_us, call->copy_timeout_ms);
    call->doubt = true;
    if (until_us > call->live_until_us) {
        call->live_until_us = until_us;
    }
}

static void
keep_result(struct call *call, struct qo_result *result)
{
    qo_result_free(call->result);
    call->result = result;
}

/* What the answer says of the call; in a batch that is not atomic each operation has its own say.
 */
static enum verdict
judge(struct call *call, bool live)
{
    struct answer_facts facts = result_facts(call->result);
    enum verdict verdict = judge_answer(facts, call->is_write, live);
    bool doubtful = judge_doubtful(facts);
    for (size_t i = 0; i < result_items_count(call->result); i++) {
        facts = result_item_facts(call->result, i);
        verdict = judge_worse(verdict, judge_answer(facts, true, live));
        doubtful = doubtful || judge_doubtful(facts);
    }
    if (doubtful) {
        doubt(call);
    }
    bool answered = verdict == VERDICT_REFUSED || verdict == VERDICT_BROKEN;
    if (answered && result_items_count(call->result) > 0) {
        verdict = VERDICT_DONE; /* Each operation has its final answer. */
    }
    return verdict;
}

static bool
accuses_leader(enum qo_code code)
{
    return code == QO_CODE_NOT_LEADER || code == QO_CODE_UNAVAILABLE ||
           code == QO_CODE_UNKNOWN_OUTCOME || code == QO_CODE_TIMEOUT;
}

static void
redirect(struct call *call, const struct node *node)
{
    struct qo_client *client = call->client;
    const char *address = qo_result_failure(call->result)->leader;
    node_learn_leader(client, bytes_text(address));
    bool elsewhere = client->leader != NULL && client->leader != node;
    if (elsewhere && call->node_address[0] == '\0' && call->redirects < QO_CLIENT_REDIRECTS_MAX) {
        call->redirects++;
        enqueue(call);
        return;
    }
    call->redirects = 0;
    rest_a_while(call, 0);
}

bool
call_answered(struct node *node, struct slot *slot, const struct wire_answer *answer)
{
    struct call *call = slot->call;
    QO_PRE(call->state == CALL_SENT && call->node == node && call->msgid == slot->msgid);
    struct qo_result *result = result_of_answer(call, node->address, answer);
    if (result == NULL) {
        return false;
    }
    bool live = call->client->now_us < call->live_until_us;
    node_slot_free(node, slot);
    keep_result(call, result);
    call->copies++;
    enum verdict verdict = judge(call, live);
    enum qo_code code = qo_result_code(result);
    if (accuses_leader(code)) {
        node_suspect(node);
    }
    switch (verdict) {
    case VERDICT_DONE:
        end(call, QO_OUTCOME_OK);
        break;
    case VERDICT_REFUSED:
        end(call, QO_OUTCOME_REFUSED);
        break;
    case VERDICT_BROKEN:
        end(call, QO_OUTCOME_FAILED);
        break;
    case VERDICT_REDIRECTED:
        redirect(call, node);
        break;
    case VERDICT_AGAIN: {
        const struct qo_failure *failure = qo_result_failure(result);
        rest_a_while(call, failure == NULL ? 0 : failure->retry_after_ms);
        break;
    }
    case VERDICT_AGAIN_LATE:
        rest(call, call->live_until_us);
        break;
    }
    return true;
}

void
call_lost(struct call *call, const struct node *node, bool whole, enum qo_code code)
{
    QO_PRE(call->state == CALL_SENT);
    if (whole) {
        call->copies++;
        doubt(call);
    }
    if (call->result == NULL || result_items_count(call->result) == 0) {
        keep_result(call, result_of_failure(call, node->address, code, call->client->trouble));
    }
    rest_a_while(call, 0);
}

/* The call's time is over. */
static void
expire(struct call *call)
{
    if (call->state == CALL_SENT) {
        /* Even if its last byte is still with us: it may go out any moment. */
        struct slot *slot = &call->node->slots[call->msgid % QO_OUTSTANDING_MAX];
        QO_ASSERT(slot->kind == SLOT_CALL && slot->call == call);
        slot->kind = SLOT_ABANDONED;
        slot->call = NULL;
        call->copies += slot->end <= call->node->written;
        doubt(call);
    }
    give_up(call);
}

void
call_timers(struct qo_client *client)
{
    if (client->now_us < client->timer_us) {
        return;
    }
    struct link *after;
    client->timer_us = INT64_MAX;
    for (struct link *link = client->calls.after; link != &client->calls; link = after) {
        struct call *call = LIST_ITEM(link, struct call, all);
        after = link->after;
        if (call->deadline_us <= client->now_us) {
            expire(call);
            continue;
        }
        if (call->state == CALL_RESTING && call->not_before_us <= client->now_us) {
            list_remove(&call->place);
            enqueue(call);
        }
        client_timer_by(client, call->deadline_us);
        if (call->state == CALL_RESTING) {
            client_timer_by(client, call->not_before_us);
        }
    }
}

void
call_end_all(struct qo_client *client)
{
    while (!list_empty(&client->calls)) {
        struct call *call = LIST_ITEM(client->calls.after, struct call, all);
        if (call->state == CALL_SENT) {
            call->copies +=
                call->node->slots[call->msgid % QO_OUTSTANDING_MAX].end <= call->node->written;
            doubt(call);
        }
        if (call->result == NULL || result_items_count(call->result) == 0) {
            keep_result(call, result_of_failure(call, NULL, QO_CODE_CLOSED,
                                                "The client was closed before the answer came."));
        }
        end(call, judge_end(call->is_write, call->doubt));
    }
}
