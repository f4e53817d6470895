/* See methods.h. Thread: loop; compile() on a reader. */
#include "methods.h"

#include "common/assert.h"
#include "common/limits.h"
#include "feeds.h"
#include "forward.h"
#include "machine/machine.h"
#include "readers.h"
#include "reads.h"
#include "session.h"
#include "status.h"
#include "wire/response.h"
#include "writes.h"

/* -- Writes: from the wire's form to the log's ------------------------------------------------ */

static struct operation
operation_of(const struct wire_operation *wire)
{
    return (struct operation){
        .kind = wire->kind == WIRE_CREATE ? OPERATION_CREATE : OPERATION_TRANSITION,
        .id = wire->id,
        .machine = wire->machine,
        /* Versions over 32 bits do not exist, and neither does 0: the largest stands for both. */
        .machine_version = !wire->has_machine_version ? 0
                           : wire->machine_version == 0 || wire->machine_version > UINT32_MAX
                               ? UINT32_MAX
                               : (uint32_t)wire->machine_version,
        .event = wire->event,
        .has_expect_version = wire->has_expect_version,
        .expect_version = wire->expect_version,
        .expect_state = wire->expect_state,
        .actor = wire->actor,
        .reason = wire->reason,
        .attributes = wire->attributes,
    };
}

static struct content_digest
content_of(const struct wire_content *wire)
{
    struct content_digest content;
    static_assert(sizeof content == sizeof *wire, "both are 16 bytes of SHA-256");
    memcpy(&content, wire, sizeof content);
    return content;
}

static bool
creates(const struct wire_request *wire)
{
    for (uint32_t i = 0; i < wire->operations_count; i++) {
        if (wire->operations[i].kind == WIRE_CREATE) {
            return true;
        }
    }
    return false;
}

/* An atomic batch is one command of all its operations; what is not atomic, one command each. */
static void
add_operations(struct node *node, struct request *request, const struct wire_request *wire)
{
    uint32_t count = wire->operations_count;
    struct operation *operations = arena_alloc(&node->arena, sizeof *operations * count);
    for (uint32_t i = 0; i < count; i++) {
        operations[i] = operation_of(&wire->operations[i]);
    }
    if (wire->atomic) {
        const struct command command = {
            .kind = COMMAND_GROUP,
            .atomic = true,
            .request_id = wire->request_id,
            .trace = wire->trace,
            .content = content_of(&wire->content),
            .operations_count = count,
            .operations = operations,
        };
        request->atomic = true;
        writes_add(node, request, &command, 1);
        return;
    }
    struct command *commands = arena_alloc(&node->arena, sizeof *commands * count);
    for (uint32_t i = 0; i < count; i++) {
        commands[i] = (struct command){
            .kind = COMMAND_GROUP,
            .request_id = wire->operations[i].request_id,
            .trace = wire->trace,
            .content = content_of(&wire->operations[i].content),
            .operations_count = 1,
            .operations = &operations[i],
        };
    }
    writes_add(node, request, commands, count);
}

/* -- machine.put: compiled on a reader, then decided by the log ------------------------------- */

static void
compile(struct read_job *job, struct store *store, struct store_view *view)
{
    struct machine_error error;
    (void)store;
    (void)view;
    buf_clear(&job->out);
    job->compiled = machine_compile(buf_bytes(&job->message), &job->out, &error) == QO_OK;
    if (!job->compiled) {
        const struct wire_failure failure = {.error = QO_INVALID_MACHINE,
                                             .line = error.line,
                                             .column = error.column,
                                             .why = bytes_text(error.why)};
        buf_clear(&job->out);
        wire_put_error(&job->out, job->wire.msgid, &failure);
    }
}

static void
compiled(struct node *node, struct read_job *job)
{
    struct request *request = job->request;
    struct wire_failure failure;
    if (!job->compiled) {
        request_answer(node, request, buf_bytes(&job->out));
    } else if (!request->answered && !node->ready) {
        request_fail_plain(node, request, QO_UNAVAILABLE, QO_RETRY_AFTER_MS);
    } else if (!request->answered && !writes_admit(node, false, &failure)) {
        request_fail(node, request, &failure);
    }
    if (request->answered) {
        request_release(node, request);
    } else {
        const struct command command = {
            .kind = COMMAND_DEFINITION,
            .compiled = buf_bytes(&job->out),
            .source = buf_bytes(&job->message),
        };
        writes_add(node, request, &command, 1);
    }
    readers_free_job(node, job);
}

static void
put_machine(struct node *node, struct request *request, const struct wire_request *wire)
{
    struct read_job *job = readers_take_job(node);
    if (job == NULL) {
        request_fail_plain(node, request, QO_OVERLOADED, QO_RETRY_AFTER_MS);
        request_release(node, request);
        return;
    }
    request->stage = REQUEST_READING; /* Nothing is proposed yet. */
    buf_append(&job->message, wire->source.data, wire->source.size);
    job->wire.msgid = wire->msgid;
    job->request = request;
    job->run = compile;
    job->done = compiled;
    readers_submit(node, job);
}

/* -- What only a leader answers --------------------------------------------------------------- */

static void
answer_as_leader(struct node *node, struct request *request, const struct arrival *arrival,
                 const struct wire_request *wire)
{
    struct wire_failure failure;
    if (wire->class != WIRE_CLASS_WRITE) {
        reads_add(node, request, arrival->message, wire);
    } else if (!writes_admit(node, creates(wire), &failure)) {
        request_fail(node, request, &failure);
        request_release(node, request);
    } else if (wire->method == WIRE_MACHINE_PUT) {
        put_machine(node, request, wire);
    } else {
        add_operations(node, request, wire);
    }
}

/* Here if this node leads, else by the leader, else not now. */
static void
answer_by_leader(struct node *node, struct request *request, const struct arrival *arrival,
                 const struct wire_request *wire)
{
    uint32_t leader_id = node_leader_id(node);
    if (node->ready) {
        answer_as_leader(node, request, arrival, wire);
    } else if (leader_id == 0 || leader_id == node->identity->node_id) {
        request_fail_plain(node, request, QO_UNAVAILABLE, QO_RETRY_AFTER_MS);
        request_release(node, request);
    } else if (request->peer) {
        const struct wire_failure failure = {.error = QO_NOT_LEADER,
                                             .leader = node_leader_address(node)};
        request_fail(node, request, &failure);
        request_release(node, request);
    } else {
        forward_request(node, request, arrival->message, leader_id);
    }
}

/* -- Dispatch --------------------------------------------------------------------------------- */

/* A request that was taken: goes to the part that answers it. */
static void
route(struct node *node, struct request *request, const struct arrival *arrival,
      const struct wire_request *wire)
{
    request->method = wire->method;
    request->msgid = wire->msgid;
    request->write = wire->class == WIRE_CLASS_WRITE;
    switch (wire->method) {
    case WIRE_HELLO:
        status_hello(node, request, wire);
        request_release(node, request);
        return;
    case WIRE_PING:
        status_ping(node, request);
        request_release(node, request);
        return;
    case WIRE_CLUSTER_STATUS:
        status_cluster(node, request);
        return;
    case WIRE_FEED_READ:
        feeds_read(node, request, wire);
        return;
    case WIRE_FEED_SUBSCRIBE:
        feeds_subscribe(node, request, wire);
        request_release(node, request);
        return;
    case WIRE_FEED_CREDIT:
        feeds_credit(node, request->session, request, wire);
        request_release(node, request);
        return;
    case WIRE_FEED_UNSUBSCRIBE:
        feeds_unsubscribe(node, request, wire);
        request_release(node, request);
        return;
    case WIRE_ORDER_GET:
    case WIRE_ORDER_GET_MANY:
    case WIRE_ORDER_HISTORY:
    case WIRE_ORDER_LIST:
    case WIRE_MACHINE_GET:
    case WIRE_MACHINE_LIST:
        if (reads_are_local(wire)) {
            reads_add(node, request, arrival->message, wire);
            return;
        }
        answer_by_leader(node, request, arrival, wire);
        return;
    case WIRE_ORDER_CREATE:
    case WIRE_ORDER_TRANSITION:
    case WIRE_ORDER_BATCH:
    case WIRE_MACHINE_PUT:
        answer_by_leader(node, request, arrival, wire);
        return;
    case WIRE_PEER_HELLO:
    case WIRE_PEER_FORWARD:
        break;
    }
    assert_failed("precondition", "the method is a client's", __FILE__, __LINE__);
}

/* Answers on the session itself, under the id of the message that came. */
static void
refuse(struct node *node, const struct arrival *arrival, uint32_t msgid,
       const struct wire_failure *failure)
{
    struct buf *out = session_out(node, arrival->session);
    if (out != NULL) {
        wire_put_error(out, msgid, failure);
    }
    session_answered(node, arrival->session, msgid);
}

static void
greet_peer(struct node *node, const struct arrival *arrival, const struct wire_request *wire)
{
    if (!bytes_equal(wire->cluster_id, bytes_text(node->identity->cluster_id))) {
        const struct wire_failure failure = {
            .error = QO_BAD_REQUEST,
            .field = bytes_text("cluster_id"),
            .message = bytes_text("This node belongs to another cluster.")};
        refuse(node, arrival, wire->msgid, &failure);
        return;
    }
    struct buf *out = session_out(node, arrival->session);
    if (out != NULL) {
        const struct wire_peer_hello hello = {.clock_us = uv_hrtime() / 1000};
        wire_put_result(out, wire->msgid);
        wire_put_peer_hello(out, &hello);
    }
    session_answered(node, arrival->session, wire->msgid);
}

static bool
is_client_method(const struct wire_request *wire)
{
    return wire->class != WIRE_CLASS_PEER;
}

/* A message of a client of another node. Its answer goes back inside ours. */
static void
take_forwarded(struct node *node, const struct arrival *outer, const struct wire_request *carrier)
{
    struct wire_request wire;
    struct wire_refusal refusal;
    struct arrival inner = *outer;
    inner.message = carrier->message;
    bool decoded =
        wire_decode_request(&node->decoder, inner.message, &node->arena, &wire, &refusal);
    if (!decoded || !is_client_method(&wire) || wire.notification) {
        const struct wire_failure failure = {.error = QO_BAD_REQUEST,
                                             .field = bytes_text("message")};
        refuse(node, outer, carrier->msgid, &failure);
        return;
    }
    struct request *request = request_take(node, outer->session);
    if (request == NULL) {
        const struct wire_failure failure = {.error = QO_OVERLOADED,
                                             .has_retry_after_ms = true,
                                             .retry_after_ms = QO_RETRY_AFTER_MS};
        buf_clear(&node->scratch);
        wire_put_error(&node->scratch, wire.msgid, &failure);
        struct buf *out = session_out(node, outer->session);
        if (out != NULL) {
            wire_put_result(out, carrier->msgid);
            wire_put_forwarded(out, buf_bytes(&node->scratch));
        }
        session_answered(node, outer->session, carrier->msgid);
        return;
    }
    request->peer = true;
    request->peer_msgid = carrier->msgid;
    /* By our clock, so what was long under way has no time left. Never more than a client gets. */
    uint64_t latest_us = (uint64_t)outer->started_us + QO_TIMEOUT_MS_MAX * UINT64_C(1000);
    request->deadline_us =
        (int64_t)(carrier->deadline_us < latest_us ? carrier->deadline_us : latest_us);
    route(node, request, &inner, &wire);
}

void
method_dispatch(struct node *node, const struct arrival *arrival, const struct wire_request *wire)
{
    if (wire->notification) {
        feeds_credit(node, arrival->session, NULL, wire);
        return;
    }
    if (wire->method == WIRE_PEER_HELLO) {
        greet_peer(node, arrival, wire);
        return;
    }
    if (wire->method == WIRE_PEER_FORWARD && !arrival->peer) {
        const struct wire_failure failure = {.error = QO_UNKNOWN_METHOD,
                                             .method = wire_method_name(wire->method)};
        refuse(node, arrival, wire->msgid, &failure);
        return;
    }
    if (wire->method == WIRE_PEER_FORWARD) {
        take_forwarded(node, arrival, wire);
        return;
    }
    struct request *request = request_take(node, arrival->session);
    if (request == NULL) {
        const struct wire_failure failure = {.error = QO_OVERLOADED,
                                             .has_retry_after_ms = true,
                                             .retry_after_ms = QO_RETRY_AFTER_MS};
        refuse(node, arrival, wire->msgid, &failure);
        return;
    }
    request->deadline_us = arrival->started_us + (int64_t)wire->timeout_ms * 1000;
    route(node, request, arrival, wire);
}
