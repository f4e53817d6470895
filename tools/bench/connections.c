/*
 * See load.h and parts.h. Thread: main.
 *
 * Reading an event: fill the shared buffer, cut answers, judge each, let its slot begin the next
 * op, and send all that this connection has to send with one call. A clock is read once per event,
 * not per op.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/assert.h"
#include "link.h"
#include "parts.h"
#include "wire/cut.h"

enum { RETRY_MS = 10, RECONNECT_MS = 10 };

/* -- Connections ----------------------------------------------------------------------------- */

static void
poll_for(struct load *load, struct connection *connection, bool out, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = connection};
    int failed = epoll_ctl(load->epoll_fd, operation, connection->fd, &event);
    QO_ASSERT(failed == 0);
    connection->polls_out = out;
}

void
connection_lose(struct load *load, struct connection *connection, enum load_own_error why)
{
    if (connection->state == CONNECTION_UP) {
        load_count_own(load, why);
        for (uint32_t i = 0; i < load->options->outstanding; i++) {
            if (connection->slots[i].state == SLOT_FLYING) {
                slot_send_later(load, connection, &connection->slots[i], 0);
            }
        }
        watch_hurry(load->watch);
    }
    if (connection->fd >= 0) {
        close(connection->fd);
    }
    connection->fd = -1;
    connection->state = CONNECTION_DOWN;
    connection->retry_ns = load->now_ns + RECONNECT_MS * UINT64_C(1000000);
    connection->out.size = 0;
    connection->out_sent = 0;
    connection->left.size = 0;
}

void
connection_dial(struct load *load, struct connection *connection)
{
    const char *endpoint = load->leader;
    struct endpoints all;
    if (load->options->spread) {
        watch_endpoints(load->watch, &all);
        endpoint = all.items[connection->place % all.count];
    }
    connection->fd = endpoint[0] != '\0' ? link_dial(endpoint) : -1;
    if (connection->fd < 0) {
        connection->retry_ns = load->now_ns + RECONNECT_MS * UINT64_C(1000000);
        watch_hurry(load->watch);
        return;
    }
    connection->state = CONNECTION_DIALLING;
    connection->retry_ns = load->now_ns + SECOND_NS;
    poll_for(load, connection, true, EPOLL_CTL_ADD);
}

void
connection_flush(struct load *load, struct connection *connection)
{
    struct buf *out = &connection->out;
    while (connection->out_sent < out->size) {
        ssize_t wrote = send(connection->fd, out->data + connection->out_sent,
                             out->size - connection->out_sent, MSG_NOSIGNAL);
        if (wrote > 0) {
            connection->out_sent += (size_t)wrote;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            connection_lose(load, connection, LOAD_LOST);
            return;
        }
    }
    bool all = connection->out_sent == out->size;
    if (all) {
        buf_clear(out);
        connection->out_sent = 0;
    }
    if (connection->polls_out == all) {
        poll_for(load, connection, !all, EPOLL_CTL_MOD);
    }
}

void
connection_resume(struct load *load, struct connection *connection)
{
    bool closed = load->options->rate == 0 && load->phase != PHASE_ENDING;
    for (uint32_t i = 0; i < load->options->outstanding; i++) {
        struct slot *slot = &connection->slots[i];
        if (slot->state == SLOT_WAITING && slot->due_ns <= load->now_ns) {
            connection->waiting--;
            load->result->retries += slot->op.copies > 0 ? 1 : 0;
            slot_encode(load, connection, slot);
        } else if (slot->state == SLOT_FREE && closed) {
            slot_begin(load, connection, slot, load->now_ns);
        }
    }
    connection_flush(load, connection);
}

void
connection_dialled(struct load *load, struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        connection_lose(load, connection, LOAD_LOST);
        watch_hurry(load->watch);
        return;
    }
    connection->state = CONNECTION_UP;
    connection_resume(load, connection);
}

/* -- Answers --------------------------------------------------------------------------------- */

static void
done(struct load *load, const struct slot *slot)
{
    struct load_result *result = load->result;
    uint64_t latency = load->now_ns - slot->intended_ns;
    histogram_record(&load->second, latency);
    if (load->phase == PHASE_MEASURED) {
        result->ops++;
        result->ops_by_kind[slot->op.kind]++;
        uint64_t pause = load->now_ns - load->last_done_ns;
        result->longest_pause_ns =
            pause > result->longest_pause_ns ? pause : result->longest_pause_ns;
        load->last_done_ns = load->now_ns;
    }
    if (slot->intended_ns >= load->measured_ns && slot->intended_ns < load->end_ns) {
        histogram_record(&result->latency[slot->op.kind], latency);
    }
}

/* After a refusal or a wrong answer nobody knows how the order stands: ask. */
static void
learn(struct load *load, struct connection *connection, struct slot *slot)
{
    if (slot->op.kind == OP_CREATE) {
        slot_finish(load, connection, slot);
    } else if (slot->op.kind == OP_LEARN) {
        /* Twice wrong: leave the order alone. It stays busy, so nothing picks it again. */
        slot->op.kind = OP_CREATE;
        slot_finish(load, connection, slot);
    } else {
        slot->op =
            (struct op){.number = load->op_number++, .kind = OP_LEARN, .order = slot->op.order};
        slot_send_later(load, connection, slot, 0);
    }
}

/* False: the answer belongs to nothing, and the connection is of no use. */
static bool
answered(struct load *load, struct connection *connection, const struct wire_answer *answer)
{
    uint32_t number = answer->msgid & ((1u << SLOT_BITS) - 1);
    struct slot *slot = number < load->options->outstanding ? &connection->slots[number] : NULL;
    if (slot == NULL || slot->state != SLOT_FLYING || answer->kind == WIRE_ANSWER_NOTIFICATION ||
        answer->msgid != (slot->generation << SLOT_BITS | number)) {
        load_show(load, "an answer to nothing");
        load_count_own(load, LOAD_WRONG);
        return false;
    }
    struct op_verdict verdict;
    op_check(load->world, &slot->op, answer->kind == WIRE_ANSWER_ERROR, answer->body, &verdict);
    if (answer->kind == WIRE_ANSWER_ERROR && verdict.outcome != OP_WRONG) {
        load_count_code(load, verdict.error);
    }
    switch (verdict.outcome) {
    case OP_DONE:
        if (slot->op.kind != OP_LEARN) {
            load->result->replays += verdict.replayed ? 1 : 0;
            done(load, slot);
        }
        slot_finish(load, connection, slot);
        break;
    case OP_AGAIN:
        if (verdict.error == QO_NOT_LEADER || verdict.error == QO_UNAVAILABLE) {
            watch_hurry(load->watch);
        }
        slot_send_later(load, connection, slot,
                        verdict.retry_after_ms > 0 ? verdict.retry_after_ms : RETRY_MS);
        break;
    case OP_REFUSED:
        load->result->refused++;
        load_show(load, verdict.why);
        learn(load, connection, slot);
        break;
    case OP_WRONG:
        load_count_own(load, LOAD_WRONG);
        load_show(load, verdict.why);
        learn(load, connection, slot);
        break;
    }
    return true;
}

void
connection_read(struct load *load, struct connection *connection)
{
    size_t had = connection->left.size;
    memcpy(load->received, connection->left.data != NULL ? connection->left.data : load->received,
           had);
    connection->left.size = 0;
    ssize_t got = recv(connection->fd, load->received + had, RECEIVE_SIZE - had, 0);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            buf_append(&connection->left, load->received, had);
            return;
        }
        connection_lose(load, connection, LOAD_LOST);
        return;
    }
    load->now_ns = load_now_ns();
    struct bytes rest = {load->received, had + (size_t)got};
    while (rest.size > 0) {
        struct wire_cutter cutter = {.size_max = RECEIVE_SIZE / 2};
        struct wire_answer answer;
        size_t size = 0;
        enum wire_cut cut = wire_cut(&cutter, rest, &size);
        if (cut == WIRE_CUT_NEED_MORE) {
            break;
        }
        if (cut != WIRE_CUT_MESSAGE ||
            !wire_decode_answer((struct bytes){rest.data, size}, &answer) ||
            !answered(load, connection, &answer)) {
            connection_lose(load, connection, LOAD_LOST);
            return;
        }
        rest = (struct bytes){rest.data + size, rest.size - size};
    }
    buf_append(&connection->left, rest.data, rest.size);
    connection_flush(load, connection);
}
