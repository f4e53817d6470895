/* See peer.h. Thread: the test's; the callback of ask() runs on the client's. */
#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "support/test.h"

static void
listen_on(struct node_peer *node)
{
    const int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(node->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    node->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(node->listener >= 0);
    (void)setsockopt(node->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(node->listener, (struct sockaddr *)(void *)&address, size), 0);
    assert_int_equal(listen(node->listener, 64), 0);
    assert_int_equal(getsockname(node->listener, (struct sockaddr *)(void *)&address, &size), 0);
    node->port = ntohs(address.sin_port);
    (void)snprintf(node->address, sizeof node->address, "127.0.0.1:%u", node->port);
}

void
world_open(struct world *world, uint32_t count)
{
    *world = (struct world){.count = count, .epoch = 1};
    for (uint32_t i = 0; i < PEER_CONNECTIONS_MAX; i++) {
        world->connections[i].fd = -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        world->nodes[i].cluster_id = "c1";
        listen_on(&world->nodes[i]);
        size_t at = strlen(world->endpoints);
        (void)snprintf(world->endpoints + at, sizeof world->endpoints - at, "%s%s",
                       i == 0 ? "" : ",", world->nodes[i].address);
    }
    world->leader = world->nodes[0].address;
}

static void
drop(struct connection *connection)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (connection->fd >= 0) {
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        (void)close(connection->fd);
    }
    buf_free(&connection->in);
    *connection = (struct connection){.fd = -1};
}

void
world_down(struct world *world, uint32_t node)
{
    (void)close(world->nodes[node].listener);
    world->nodes[node].listener = -1;
    for (uint32_t i = 0; i < PEER_CONNECTIONS_MAX; i++) {
        if (world->connections[i].fd >= 0 && world->connections[i].node == node) {
            drop(&world->connections[i]);
        }
    }
}

void
world_up(struct world *world, uint32_t node)
{
    listen_on(&world->nodes[node]);
}

void
world_close(struct world *world)
{
    for (uint32_t i = 0; i < world->count; i++) {
        if (world->nodes[i].listener >= 0) {
            world_down(world, i);
        }
    }
    for (uint32_t i = 0; i < world->arrived; i++) {
        buf_free(&world->arrivals[i]->message);
        arena_free(&world->arrivals[i]->arena);
        mem_free(world->arrivals[i]);
    }
    wire_decoder_free(&world->decoder);
    buf_free(&world->out);
}

/* Writes all of it; a client that is gone is none of our business here. */
static void
write_all(int fd, struct bytes message)
{
    while (message.size > 0) {
        ssize_t took = send(fd, message.data, message.size, MSG_NOSIGNAL);
        if (took < 0 && errno == EINTR) {
            continue;
        }
        if (took <= 0) {
            return;
        }
        message.data += took;
        message.size -= (size_t)took;
    }
}

static void
answer_hello(struct world *world, const struct arrival *arrival)
{
    struct wire_hello hello = {
        .protocol = 1,
        .server = bytes_text("peer"),
        .cluster_id = bytes_text(world->nodes[arrival->node].cluster_id),
        .node_id = arrival->node + 1,
        .leader = world->leader == NULL ? BYTES_NONE : bytes_text(world->leader),
        .shards = 16,
        .epoch = world->epoch,
    };
    struct buf *out = peer_buf(world);
    wire_put_result(out, arrival->request.msgid);
    wire_put_hello(out, &hello);
    peer_send(world, arrival, buf_bytes(out));
    world->hellos++;
}

static void
arrive(struct world *world, struct connection *connection, struct bytes message)
{
    struct arrival *arrival = mem_zalloc(sizeof *arrival);
    struct wire_refusal refusal;
    arrival->connection = connection;
    arrival->fd = connection->fd;
    arrival->node = connection->node;
    arrival->at_us = clock_monotonic_us();
    buf_append(&arrival->message, message.data, message.size);
    bool right = wire_decode_request(&world->decoder, buf_bytes(&arrival->message), &arrival->arena,
                                     &arrival->request, &refusal);
    assert_true(world->arrived < PEER_REQUESTS_MAX);
    world->arrivals[world->arrived++] = arrival;
    if (!right) {
        fail_msg("the client sent what a node refuses: %.*s",
                 BYTES_FORMAT(refusal.failure.message));
    }
    if (arrival->request.method == WIRE_HELLO && !arrival->request.trace.data) {
        world->arrived--;
        answer_hello(world, arrival);
        buf_free(&arrival->message);
        arena_free(&arrival->arena);
        mem_free(arrival);
    }
}

static void
read_from(struct world *world, struct connection *connection)
{
    ssize_t got = recv(connection->fd, buf_reserve(&connection->in, 65536), 65536, 0);
    if (got <= 0) {
        drop(connection);
        return;
    }
    connection->in.size += (size_t)got;
    size_t at = 0, size;
    while (at < connection->in.size) {
        struct bytes rest = bytes_make(connection->in.data + at, connection->in.size - at);
        enum wire_cut cut = wire_cut(&connection->cutter, rest, &size);
        if (cut != WIRE_CUT_MESSAGE) {
            assert_int_equal(cut, WIRE_CUT_NEED_MORE);
            break;
        }
        arrive(world, connection, bytes_make(rest.data, size));
        at += size;
    }
    connection->in.size -= at;
    memmove(connection->in.data, connection->in.data + at, connection->in.size);
}

static void
accept_from(struct world *world, uint32_t node)
{
    int fd = accept(world->nodes[node].listener, NULL, NULL);
    for (uint32_t i = 0; fd >= 0 && i < PEER_CONNECTIONS_MAX; i++) {
        if (world->connections[i].fd < 0) {
            world->connections[i] = (struct connection){.fd = fd, .node = node};
            return;
        }
    }
    assert_true(fd < 0);
}

void
world_turn(struct world *world, int wait_ms)
{
    struct pollfd fds[PEER_NODES_MAX + PEER_CONNECTIONS_MAX];
    for (uint32_t i = 0; i < PEER_NODES_MAX; i++) {
        bool open = i < world->count && !world->nodes[i].deaf;
        fds[i] = (struct pollfd){.fd = open ? world->nodes[i].listener : -1, .events = POLLIN};
    }
    for (uint32_t i = 0; i < PEER_CONNECTIONS_MAX; i++) {
        bool open = !world->nodes[world->connections[i].node].deaf;
        fds[PEER_NODES_MAX + i] =
            (struct pollfd){.fd = open ? world->connections[i].fd : -1, .events = POLLIN};
    }
    if (poll(fds, PEER_NODES_MAX + PEER_CONNECTIONS_MAX, wait_ms) <= 0) {
        return;
    }
    for (uint32_t i = 0; i < PEER_CONNECTIONS_MAX; i++) {
        if (fds[PEER_NODES_MAX + i].revents != 0) {
            read_from(world, &world->connections[i]);
        }
    }
    for (uint32_t i = 0; i < world->count; i++) {
        if (fds[i].revents != 0) {
            accept_from(world, i);
        }
    }
}

enum { WAIT_US = 60 * 1000 * 1000 };

struct arrival *
peer_next(struct world *world)
{
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    while (world->taken == world->arrived) {
        world_turn(world, 10);
        if (clock_monotonic_us() > until_us) {
            fail_msg("no request came within 60 seconds");
        }
    }
    return world->arrivals[world->taken++];
}

static bool
is_there(const struct arrival *arrival)
{
    return arrival->connection->fd == arrival->fd && arrival->fd >= 0;
}

void
peer_lose(struct world *world, const struct arrival *arrival)
{
    (void)world;
    assert_true(is_there(arrival));
    drop(arrival->connection);
}

bool
peer_sees_end(struct world *world, const struct arrival *arrival)
{
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    while (is_there(arrival) && clock_monotonic_us() < until_us) {
        world_turn(world, 10);
    }
    return !is_there(arrival);
}

struct buf *
peer_buf(struct world *world)
{
    buf_clear(&world->out);
    return &world->out;
}

void
peer_send(struct world *world, const struct arrival *arrival, struct bytes message)
{
    (void)world;
    if (is_there(arrival)) {
        write_all(arrival->fd, message);
    }
}

void
peer_receipt(struct world *world, const struct arrival *arrival, uint64_t version, bool replayed)
{
    struct wire_receipt receipt = {
        .id = arrival->request.operations[0].id,
        .machine = bytes_text("m"),
        .machine_version = 1,
        .event = arrival->request.operations[0].event,
        .from = bytes_text("open"),
        .to = bytes_text("paid"),
        .version = version,
        .seq = 100 + version,
        .at = 1,
        .epoch = 1,
        .replayed = replayed,
    };
    struct buf *out = peer_buf(world);
    wire_put_result(out, arrival->request.msgid);
    wire_put_receipt(out, &receipt);
    peer_send(world, arrival, buf_bytes(out));
}

void
peer_failure(struct world *world, const struct arrival *arrival, struct wire_failure failure)
{
    struct buf *out = peer_buf(world);
    wire_put_error(out, arrival->request.msgid, &failure);
    peer_send(world, arrival, buf_bytes(out));
}

void
peer_error(struct world *world, const struct arrival *arrival, enum qo_error error)
{
    peer_failure(world, arrival, (struct wire_failure){.error = error});
}

static void
note(struct qo_result *result, void *context)
{
    struct asked *asked = context;
    asked->at_us = clock_monotonic_us();
    atomic_store(&asked->result, result);
}

enum qo_code
ask(struct qo_client *client, const struct qo_request *request, struct asked *asked)
{
    atomic_store(&asked->result, NULL);
    return qo_call_async(client, request, note, asked);
}

const struct qo_result *
world_answer(struct world *world, struct asked *asked)
{
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    while (atomic_load(&asked->result) == NULL) {
        world_turn(world, 5);
        if (clock_monotonic_us() > until_us) {
            fail_msg("the call did not end within 60 seconds");
        }
    }
    return atomic_load(&asked->result);
}

void
asked_free(struct asked *asked)
{
    qo_result_free(atomic_load(&asked->result));
    atomic_store(&asked->result, NULL);
}

struct qo_client *
world_client(const struct world *world, struct qo_options options)
{
    options.endpoints = world->endpoints;
    struct qo_client *client = qo_client_open(&options);
    assert_non_null(client);
    return client;
}
