/* See request.h. Thread: loop. */
#include "request.h"

#include "common/assert.h"
#include "common/limits.h"
#include "node.h"
#include "session.h"
#include "wire/response.h"

struct requests {
    struct request *slots;  /* QO_REQUESTS_MAX of them. */
    struct request *free;   /* By `next`. */
    struct request *active; /* By `next` and `previous`. */
    uint32_t count;
    struct buf response; /* Of a request that came through another node, before it is wrapped. */
};

struct requests *
requests_open(void)
{
    struct requests *requests = mem_zalloc(sizeof *requests);
    requests->slots = mem_zalloc(sizeof *requests->slots * QO_REQUESTS_MAX);
    for (uint32_t i = QO_REQUESTS_MAX; i > 0; i--) {
        requests->slots[i - 1].next = requests->free;
        requests->free = &requests->slots[i - 1];
    }
    return requests;
}

struct request *
request_take(struct node *node, struct session_ref session)
{
    struct requests *requests = node->requests;
    struct request *request = requests->free;
    if (request == NULL) {
        return NULL;
    }
    requests->free = request->next;
    *request = (struct request){.session = session, .next = requests->active};
    if (requests->active != NULL) {
        requests->active->previous = request;
    }
    requests->active = request;
    requests->count++;
    return request;
}

void
request_release(struct node *node, struct request *request)
{
    struct requests *requests = node->requests;
    QO_PRE(request->answered || !session_alive(node, request->session));
    if (request->previous != NULL) {
        request->previous->next = request->next;
    } else {
        QO_ASSERT(requests->active == request);
        requests->active = request->next;
    }
    if (request->next != NULL) {
        request->next->previous = request->previous;
    }
    request->previous = NULL;
    request->next = requests->free;
    requests->free = request;
    requests->count--;
}

struct buf *
request_answer_begin(struct node *node, struct request *request)
{
    if (request->answered) {
        return NULL;
    }
    struct buf *out = session_out(node, request->session);
    if (out == NULL || !request->peer) {
        return out;
    }
    buf_clear(&node->requests->response);
    return &node->requests->response;
}

void
request_answer_end(struct node *node, struct request *request)
{
    QO_PRE(!request->answered);
    request->answered = true;
    if (request->peer) {
        struct buf *out = session_out(node, request->session);
        QO_ASSERT(out != NULL);
        wire_put_result(out, request->peer_msgid);
        wire_put_forwarded(out, buf_bytes(&node->requests->response));
        session_answered(node, request->session, request->peer_msgid);
    } else {
        session_answered(node, request->session, request->msgid);
    }
}

void
request_answer(struct node *node, struct request *request, struct bytes response)
{
    if (!request->write && response.size > QO_SMALL_ANSWER_MAX &&
        session_deaf(node, request->session)) {
        request_fail_plain(node, request, QO_OVERLOADED, QO_RETRY_AFTER_MS);
        return;
    }
    struct buf *out = request_answer_begin(node, request);
    if (out != NULL) {
        buf_append(out, response.data, response.size);
        request_answer_end(node, request);
    }
    request->answered = true;
}

void
request_fail(struct node *node, struct request *request, const struct wire_failure *failure)
{
    struct buf *out = request_answer_begin(node, request);
    if (out != NULL) {
        wire_put_error(out, request->msgid, failure);
        request_answer_end(node, request);
    }
    request->answered = true;
}

void
request_fail_plain(struct node *node, struct request *request, enum qo_error error,
                   uint32_t retry_after_ms)
{
    const struct wire_failure failure = {
        .error = error, .has_retry_after_ms = retry_after_ms > 0, .retry_after_ms = retry_after_ms};
    request_fail(node, request, &failure);
}

/* What running out of time means depends on how far the request came. */
static enum qo_error
expired_error(const struct request *request)
{
    bool may_apply = request->write &&
                     (request->stage == REQUEST_PROPOSED || request->stage == REQUEST_FORWARDED);
    return may_apply ? QO_UNKNOWN_OUTCOME : QO_TIMEOUT;
}

void
requests_expire(struct node *node, int64_t now_us)
{
    struct request *next;
    for (struct request *request = node->requests->active; request != NULL; request = next) {
        next = request->next;
        if (!request->answered && now_us >= request->deadline_us) {
            request_fail_plain(node, request, expired_error(request), 0);
        }
    }
}
