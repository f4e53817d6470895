/* One address: connect, greet, read, write, lose; and who leads. See client.h. Thread: I/O. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "common/assert.h"
#include "common/error.h"
#include "decode.h"

/* -- Addresses --------------------------------------------------------------------------------- */

bool
node_parse(const char *address, size_t size, char *host_out, size_t host_size, char port_out[6])
{
    size_t colon = size;
    while (colon > 0 && address[colon - 1] != ':') {
        colon--;
    }
    if (colon < 2 || size - colon < 1 || size - colon > 5) {
        return false;
    }
    uint32_t port = 0;
    for (size_t i = colon; i < size; i++) {
        if (address[i] < '0' || address[i] > '9') {
            return false;
        }
        port = port * 10 + (uint32_t)(address[i] - '0');
    }
    const char *host = address;
    size_t length = colon - 1;
    bool bracketed = length >= 2 && host[0] == '[' && host[length - 1] == ']';
    if (bracketed) {
        host++;
        length -= 2;
    }
    bool many_colons = memchr(host, ':', length) != NULL;
    if (memchr(host, '[', length) != NULL || memchr(host, ']', length) != NULL) {
        return false;
    }
    if (port < 1 || port > 65535 || length < 1 || length >= host_size || many_colons != bracketed) {
        return false;
    }
    memcpy(host_out, host, length);
    host_out[length] = '\0';
    memcpy(port_out, address + colon, size - colon);
    port_out[size - colon] = '\0';
    return true;
}

/* A free place, or that of a learned address that nobody needs now. */
static struct node *
place(struct qo_client *client)
{
    struct node *forgotten = NULL;
    for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
        struct node *node = &client->nodes[i];
        if (node->address[0] == '\0') {
            return node;
        }
        if (node->learned && node->state == NODE_IDLE && node != client->leader) {
            forgotten = node;
        }
    }
    return forgotten;
}

struct node *
node_find(struct qo_client *client, const char *address, size_t size, bool learned)
{
    char host[QO_ADDRESS_MAX + 1], port[6];
    if (size > QO_ADDRESS_MAX || !node_parse(address, size, host, sizeof host, port)) {
        return NULL;
    }
    for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
        struct node *node = &client->nodes[i];
        if (strlen(node->address) == size && memcmp(node->address, address, size) == 0) {
            return node;
        }
    }
    struct node *node = place(client);
    if (node != NULL) {
        *node = (struct node){.client = client, .learned = learned, .fd = -1};
        memcpy(node->address, address, size);
    }
    return node;
}

/* -- Who leads, and where things go ------------------------------------------------------------ */

void
node_learn_leader(struct qo_client *client, struct bytes address)
{
    if (address.data == NULL) {
        return;
    }
    struct node *node = node_find(client, (const char *)address.data, address.size, true);
    if (node != NULL && client->now_us >= node->suspect_until_us) {
        client->leader = node;
    }
}

void
node_suspect(struct node *node)
{
    struct qo_client *client = node->client;
    node->suspect_until_us = client->now_us + (int64_t)QO_CLIENT_SUSPECT_MS * 1000;
    if (client->leader == node) {
        client->leader = NULL;
    }
}

struct node *
node_choose(struct qo_client *client, const char *address, bool wants_leader)
{
    if (address[0] != '\0') {
        struct node *node = node_find(client, address, strlen(address), true);
        return node != NULL && node->state == NODE_READY ? node : NULL;
    }
    struct node *leader = client->leader;
    if (wants_leader && leader != NULL) {
        if (leader->state == NODE_READY) {
            return leader;
        }
        if (leader->failures == 0) {
            return NULL; /* It is being connected to. */
        }
    }
    struct node *suspect = NULL;
    for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
        struct node *node = &client->nodes[(client->first_node + i) % QO_CLIENT_NODES_MAX];
        if (node->state != NODE_READY) {
            continue;
        }
        if (client->now_us >= node->suspect_until_us) {
            return node;
        }
        suspect = node;
    }
    return suspect;
}

bool
node_has_room(const struct node *node)
{
    return node->calls_under_way < QO_CLIENT_CONNECTION_CALLS_MAX &&
           node->out.size - node->out_at < QO_CLIENT_OUT_BYTES_MAX;
}

/* -- Slots ------------------------------------------------------------------------------------- */

struct slot *
node_send(struct node *node, struct wire_request *request, enum slot_kind kind, int64_t deadline_us)
{
    QO_PRE(node->state == NODE_GREETING || node->state == NODE_READY);
    QO_ASSERT(node->slots_used < QO_OUTSTANDING_MAX);
    struct slot *slot;
    do {
        node->msgid_next += node->msgid_next == UINT32_MAX ? 2 : 1; /* 0 is nobody's. */
        slot = &node->slots[node->msgid_next % QO_OUTSTANDING_MAX];
    } while (slot->kind != SLOT_FREE);
    size_t size = node->out.size;
    request->msgid = node->msgid_next;
    wire_encode_request(&node->out, request);
    node->queued += node->out.size - size;
    node->slots_used++;
    node->calls_under_way += kind == SLOT_CALL;
    if (deadline_us < node->slots_due_us) {
        node->slots_due_us = deadline_us;
    }
    *slot = (struct slot){
        .kind = kind, .msgid = request->msgid, .end = node->queued, .deadline_us = deadline_us};
    return slot;
}

void
node_notify(struct node *node, struct wire_request *request)
{
    QO_PRE(node->state == NODE_READY && request->notification);
    size_t size = node->out.size;
    wire_encode_request(&node->out, request);
    node->queued += node->out.size - size;
}

void
node_slot_free(struct node *node, struct slot *slot)
{
    QO_ASSERT(slot->kind != SLOT_FREE && node->slots_used > 0);
    node->slots_used--;
    if (slot->kind == SLOT_CALL || slot->kind == SLOT_ABANDONED) {
        QO_ASSERT(node->calls_under_way > 0);
        node->calls_under_way--;
    }
    *slot = (struct slot){0};
}

/* -- Losing ------------------------------------------------------------------------------------ */

/* Ends the socket, if there is one. A reset, not a farewell: what the node has not read yet should
 * not be executed by it after we have gone on elsewhere. */
static void
drop_socket(struct node *node)
{
    if (node->fd >= 0) {
        const struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(node->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        (void)close(node->fd);
        node->fd = -1;
    }
    buf_free(&node->in);
    buf_free(&node->out);
    node->cutter = (struct wire_cutter){0};
    node->out_at = 0;
    node->queued = node->written = 0;
    node->asking = false;
}

void
node_lose(struct node *node, const char *why, enum qo_code code)
{
    struct qo_client *client = node->client;
    struct slot *slots = node->slots;
    uint64_t written = node->written;
    (void)snprintf(client->trouble, sizeof client->trouble, "%.100s: %.90s.", node->address, why);
    drop_socket(node);
    node->state = NODE_IDLE;
    node->retry_at_us =
        client->now_us + judge_backoff_us(node->failures, QO_CLIENT_RECONNECT_MS_MIN,
                                          QO_CLIENT_RECONNECT_MS_MAX, client_chance(client));
    node->failures++;
    node->slots = NULL;
    node->slots_used = node->calls_under_way = 0;
    if (client->leader == node) {
        client->leader = NULL;
    }
    feed_lost(node);
    for (uint32_t i = 0; slots != NULL && i < QO_OUTSTANDING_MAX; i++) {
        if (slots[i].kind == SLOT_CALL) {
            call_lost(slots[i].call, node, slots[i].end <= written, code);
        }
    }
    mem_free(slots);
}

void
node_close(struct node *node)
{
    drop_socket(node);
    mem_free(node->slots);
    node->slots = NULL;
    node->state = NODE_IDLE;
}

/* -- Connecting -------------------------------------------------------------------------------- */

static void
ask_hello(struct node *node)
{
    struct qo_client *client = node->client;
    struct wire_request hello = {.method = WIRE_HELLO,
                                 .has_protocol = true,
                                 .protocol = 1,
                                 .client = bytes_text(client->name)};
    (void)node_send(node, &hello, SLOT_HELLO, INT64_MAX);
    node->asked_us = client->now_us;
    node->asking = true;
}

static void
greet(struct node *node)
{
    const int on = 1;
    (void)setsockopt(node->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    node->state = NODE_GREETING;
    node->slots = mem_zalloc(QO_OUTSTANDING_MAX * sizeof *node->slots);
    node->slots_due_us = INT64_MAX;
    node->msgid_next = 0;
    node->heard_us = node->client->now_us;
    ask_hello(node);
}

/* Begins to connect to the next of the name's addresses. False: this one failed at once. */
static bool
connect_to(struct node *node, const struct sockaddr_storage *address)
{
    socklen_t size =
        address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    node->fd = socket(address->ss_family, SOCK_STREAM, 0);
    if (node->fd < 0) {
        return false;
    }
    int flags = fcntl(node->fd, F_GETFL, 0);
    if (flags < 0 || fcntl(node->fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(node->fd, F_SETFD, FD_CLOEXEC) != 0) {
        return false;
    }
    node->state = NODE_CONNECTING;
    node->state_until_us = node->client->now_us + (int64_t)node->client->connect_timeout_ms * 1000;
    if (connect(node->fd, (const struct sockaddr *)(const void *)address, size) == 0) {
        greet(node);
        return true;
    }
    return errno == EINPROGRESS;
}

/* Tries the addresses that are left; none: the node is lost for a while. */
static void
connect_next(struct node *node, const char *why)
{
    while (node->sockets_next < node->sockets_count) {
        const struct sockaddr_storage *address = &node->sockets[node->sockets_next++];
        if (connect_to(node, address)) {
            return;
        }
        why = strerror(errno);
        drop_socket(node);
    }
    node_lose(node, why, QO_CODE_UNREACHABLE);
}

void
node_resolved(struct node *node)
{
    connect_next(node, "the name is not known");
}

static void
start(struct node *node)
{
    char host[QO_ADDRESS_MAX + 1], port[6];
    bool right = node_parse(node->address, strlen(node->address), host, sizeof host, port);
    QO_ASSERT(right);
    node->state = NODE_RESOLVING;
    if (resolve_start(node, host, port)) {
        node_resolved(node);
    }
}

/* -- Reading ----------------------------------------------------------------------------------- */

/* NULL, or why this node cannot be used. */
static const char *
greeted(struct node *node, const struct wire_answer *answer)
{
    struct qo_client *client = node->client;
    struct wire_reader reader = wire_reader_of(answer->body);
    struct wire_hello hello;
    node->asking = false;
    if (answer->kind != WIRE_ANSWER_RESULT) {
        return "the node refused to say hello";
    }
    if (!wire_read_hello(&reader, &hello) || hello.protocol != 1 ||
        hello.cluster_id.size >= sizeof client->cluster_id) {
        return "the node does not speak version 1 of the protocol";
    }
    if (client->cluster_id[0] == '\0' && hello.cluster_id.size > 0) {
        memcpy(client->cluster_id, hello.cluster_id.data, hello.cluster_id.size);
        client->cluster_id[hello.cluster_id.size] = '\0';
    }
    if (!bytes_equal(hello.cluster_id, bytes_text(client->cluster_id))) {
        /* A request id means nothing in another cluster: a repeat there would be a second effect.
         */
        return "the node belongs to another cluster";
    }
    if (hello.epoch > client->epoch) {
        client->epoch = hello.epoch;
    }
    if (hello.leader.data == NULL && client->leader == node) {
        client->leader = NULL;
    }
    node_learn_leader(client, hello.leader);
    if (node->state == NODE_GREETING) {
        node->state = NODE_READY;
        node->failures = 0;
    }
    return NULL;
}

static const char malformed[] = "the node answered what is not the protocol";

/* NULL, or why the connection must end. */
static const char *
take_response(struct node *node, const struct wire_answer *answer)
{
    struct slot *slot = &node->slots[answer->msgid % QO_OUTSTANDING_MAX];
    if (slot->kind == SLOT_FREE || slot->msgid != answer->msgid) {
        return malformed; /* To nothing that we asked; or to all of it, with msgid 0. */
    }
    struct qo_feed *feed = slot->feed;
    switch (slot->kind) {
    case SLOT_CALL:
        return call_answered(node, slot, answer) ? NULL : malformed;
    case SLOT_ABANDONED:
        node_slot_free(node, slot);
        return NULL;
    case SLOT_HELLO:
        node_slot_free(node, slot);
        return greeted(node, answer);
    case SLOT_SUBSCRIBE:
        node_slot_free(node, slot);
        return feed_subscribed(feed, answer) ? NULL : malformed;
    case SLOT_UNSUBSCRIBE:
        node_slot_free(node, slot);
        feed_left(feed);
        return NULL;
    case SLOT_FREE:
        break;
    }
    assert_failed("assertion", "a slot's kind", __FILE__, __LINE__);
}

/* NULL, or why the connection must end. */
static const char *
take_message(struct node *node, struct bytes message)
{
    struct wire_answer answer;
    if (!wire_decode_answer(message, &answer)) {
        return malformed;
    }
    if (answer.kind != WIRE_ANSWER_NOTIFICATION) {
        return take_response(node, &answer);
    }
    if (!bytes_equal(answer.method, bytes_text("feed.events"))) {
        return NULL; /* Of a later version. */
    }
    return feed_events(node, &answer) ? NULL : malformed;
}

/* Takes the whole messages from `in`. NULL, or why the connection must end. */
static const char *
take_messages(struct node *node)
{
    size_t at = 0;
    for (;;) {
        size_t size;
        struct bytes rest = bytes_make(node->in.data + at, node->in.size - at);
        enum wire_cut cut =
            rest.size == 0 ? WIRE_CUT_NEED_MORE : wire_cut(&node->cutter, rest, &size);
        if (cut == WIRE_CUT_NEED_MORE) {
            break;
        }
        if (cut != WIRE_CUT_MESSAGE) {
            return malformed;
        }
        const char *why = take_message(node, bytes_make(rest.data, size));
        if (why != NULL) {
            return why;
        }
        at += size;
    }
    node->in.size -= at;
    memmove(node->in.data, node->in.data + at, node->in.size);
    return NULL;
}

void
node_readable(struct node *node)
{
    for (uint32_t i = 0; i < QO_CLIENT_READS_MAX; i++) {
        uint8_t *room = buf_reserve(&node->in, QO_CLIENT_READ_BYTES);
        ssize_t got = recv(node->fd, room, QO_CLIENT_READ_BYTES, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            node_lose(node, got == 0 ? "the node closed the connection" : strerror(errno),
                      QO_CODE_UNREACHABLE);
            return;
        }
        node->in.size += (size_t)got;
        node->heard_us = node->client->now_us;
        const char *why = take_messages(node);
        if (why != NULL) {
            node_lose(node, why, QO_CODE_PROTOCOL);
            return;
        }
        if ((size_t)got < QO_CLIENT_READ_BYTES) {
            return; /* All that was there; level-triggered poll() brings the rest. */
        }
    }
}

/* -- Writing ----------------------------------------------------------------------------------- */

static void
finish_connect(struct node *node)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(node->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error == 0) {
        greet(node);
    } else {
        drop_socket(node);
        connect_next(node, strerror(error));
    }
}

void
node_flush(struct node *node)
{
    if (node->state == NODE_CONNECTING) {
        finish_connect(node);
    }
    while (node->fd >= 0 && node->out_at < node->out.size) {
        ssize_t took = send(node->fd, node->out.data + node->out_at, node->out.size - node->out_at,
                            MSG_NOSIGNAL);
        if (took < 0 && errno == EINTR) {
            continue;
        }
        if (took < 0 && errno == EAGAIN) {
            break;
        }
        if (took < 0) {
            node_lose(node, strerror(errno), QO_CODE_UNREACHABLE);
            return;
        }
        node->out_at += (size_t)took;
        node->written += (uint64_t)took;
    }
    if (node->out_at > 0) {
        node->out.size -= node->out_at;
        memmove(node->out.data, node->out.data + node->out_at, node->out.size);
        node->out_at = 0;
    }
}

short
node_events(const struct node *node)
{
    switch (node->state) {
    case NODE_IDLE:
    case NODE_RESOLVING:
        return 0;
    case NODE_CONNECTING:
        return POLLOUT;
    case NODE_GREETING:
    case NODE_READY:
        return node->out_at < node->out.size ? POLLIN | POLLOUT : POLLIN;
    }
    return 0;
}

/* -- Time -------------------------------------------------------------------------------------- */

/* When to ask again who leads, which also shows whether the node is there. */
static int64_t
hello_due_us(const struct node *node)
{
    const struct qo_client *client = node->client;
    bool seeking = client->leader == NULL && !list_empty(&client->calls);
    uint32_t every_ms = seeking                                        ? QO_CLIENT_HELLO_SEEK_MS
                        : !list_empty(&client->calls) || feed_on(node) ? QO_CLIENT_HELLO_BUSY_MS
                                                                       : QO_CLIENT_HELLO_IDLE_MS;
    return node->asked_us + (int64_t)every_ms * 1000;
}

/* When a node that does not answer hello is given up: sooner if another leads by now, for then what
 * is under way here waits for nothing, and the leader's word is enough. */
static int64_t
silence_us(const struct node *node)
{
    const struct node *leader = node->client->leader;
    uint32_t silence_ms =
        leader != NULL && leader != node ? QO_CLIENT_DEPOSED_SILENCE_MS : QO_CLIENT_SILENCE_MS;
    int64_t since_us = node->heard_us > node->asked_us ? node->heard_us : node->asked_us;
    return since_us + (int64_t)silence_ms * 1000;
}

int64_t
node_timer_us(const struct node *node)
{
    switch (node->state) {
    case NODE_IDLE:
        return node->address[0] == '\0' ? INT64_MAX : node->retry_at_us;
    case NODE_RESOLVING:
        return INT64_MAX;
    case NODE_CONNECTING:
    case NODE_GREETING:
        return node->state_until_us;
    case NODE_READY: {
        int64_t due_us = node->asking ? silence_us(node) : hello_due_us(node);
        return node->slots_due_us < due_us ? node->slots_due_us : due_us;
    }
    }
    return INT64_MAX;
}

/* True if some request has waited for its answer too long. */
static bool
is_stuck(struct node *node)
{
    int64_t now_us = node->client->now_us;
    if (now_us < node->slots_due_us) {
        return false;
    }
    node->slots_due_us = INT64_MAX;
    for (uint32_t i = 0; i < QO_OUTSTANDING_MAX; i++) {
        const struct slot *slot = &node->slots[i];
        if (slot->kind == SLOT_FREE) {
            continue;
        }
        if (slot->deadline_us <= now_us) {
            return true;
        }
        if (slot->deadline_us < node->slots_due_us) {
            node->slots_due_us = slot->deadline_us;
        }
    }
    return false;
}

void
node_timers(struct node *node)
{
    int64_t now_us = node->client->now_us;
    switch (node->state) {
    case NODE_IDLE:
        if (node->address[0] != '\0' && now_us >= node->retry_at_us) {
            start(node);
        }
        return;
    case NODE_RESOLVING:
        return;
    case NODE_CONNECTING:
        if (now_us >= node->state_until_us) {
            drop_socket(node);
            connect_next(node, "no connection in time");
        }
        return;
    case NODE_GREETING:
        if (now_us >= node->state_until_us) {
            node_lose(node, "connected, but no greeting in time", QO_CODE_UNREACHABLE);
        }
        return;
    case NODE_READY:
        if (is_stuck(node) || (node->asking && now_us >= silence_us(node))) {
            node_lose(node, "the node does not answer", QO_CODE_UNREACHABLE);
        } else if (!node->asking && now_us >= hello_due_us(node)) {
            ask_hello(node);
        }
        return;
    }
}
