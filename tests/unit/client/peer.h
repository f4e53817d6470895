/*
 * peer: nodes at the far end of real sockets, whose every answer a test writes by hand.
 *
 * A world is up to four nodes that listen on loopback ports of the kernel's choice. The test's own
 * thread runs them: peer_next() accepts, answers hello as the world says, and hands out the next
 * request of any other kind; the test answers it, or loses its connection. Nothing runs beside it
 * but the client under test, so a scenario reads from top to bottom.
 *
 * Thread: the test's. A wait that lasts 60 seconds fails the test.
 */
#ifndef CLIENT_PEER_H
#define CLIENT_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "quorder.h"
#include "wire/request.h"
#include "wire/response.h"

enum { PEER_NODES_MAX = 4, PEER_CONNECTIONS_MAX = 64, PEER_REQUESTS_MAX = 8192 };

struct connection {
    int fd; /* -1: none. */
    uint32_t node;
    struct buf in;
    struct wire_cutter cutter;
};

/* One request that arrived. */
struct arrival {
    struct connection *connection;
    int fd; /* Of the connection then: it may be another's place by now. */
    uint32_t node;
    int64_t at_us;
    struct wire_request request;
    struct buf message;
    struct arena arena;
};

struct node_peer {
    int listener; /* -1: the node is down. */
    uint16_t port;
    char address[32];
    bool deaf; /* Connected, but neither reads nor answers. */
    const char *cluster_id;
};

struct world {
    struct node_peer nodes[PEER_NODES_MAX];
    uint32_t count;
    const char *leader; /* What hello says; NULL: nil. */
    uint64_t epoch;
    char endpoints[PEER_NODES_MAX * 32];
    struct connection connections[PEER_CONNECTIONS_MAX];
    struct arrival *arrivals[PEER_REQUESTS_MAX];
    uint32_t arrived, taken;
    uint32_t hellos;
    struct wire_decoder decoder;
    struct buf out;
};

void world_open(struct world *world, uint32_t count);
void world_close(struct world *world);
/* Lets the client see the others fail: the node stops listening and resets its connections. */
void world_down(struct world *world, uint32_t node);
void world_up(struct world *world, uint32_t node);

/* One turn: whatever arrives within `wait_ms`. */
void world_turn(struct world *world, int wait_ms);
/* The next request that is no hello, in order of arrival. */
struct arrival *peer_next(struct world *world);

/* Ends the connection on which it came, with a reset. */
void peer_lose(struct world *world, const struct arrival *arrival);
/* True once the client has ended the connection on which it came. */
bool peer_sees_end(struct world *world, const struct arrival *arrival);

/* Answers. */
void peer_send(struct world *world, const struct arrival *arrival, struct bytes message);
/* A receipt of the order asked for, in state `to`. */
void peer_receipt(struct world *world, const struct arrival *arrival, uint64_t version,
                  bool replayed);
void peer_failure(struct world *world, const struct arrival *arrival, struct wire_failure failure);
void peer_error(struct world *world, const struct arrival *arrival, enum qo_error error);
/* An empty buffer for an answer that the test writes; peer_send(world, a, buf_bytes(...)) it. */
struct buf *peer_buf(struct world *world);

/* One call of the client and its end, noted by the callback. */
struct asked {
    struct qo_result *_Atomic result;
    int64_t at_us; /* When it ended; valid once `result` is. */
};
enum qo_code ask(struct qo_client *client, const struct qo_request *request, struct asked *asked);
/* Turns the world until the call has ended; the result is `asked`'s until asked_free(). */
const struct qo_result *world_answer(struct world *world, struct asked *asked);
void asked_free(struct asked *asked);

struct qo_client *world_client(const struct world *world, struct qo_options options);

#endif
