/*
 * server: what src/server does for a member, without sockets, threads and libuv: batches commands
 * into named entries, hands entries to the state in order, finds results by name, gets read points
 * for reads, proposes timers. The real server's own code cannot be used: it is written against
 * libuv and one node a process; leader_clock.c is the real one.
 *
 * Simplified: no forwarding, no admission by bytes, a scan for timers always begins at the first
 * deadline, one reader that reads at once. The state executes an entry some time after it was
 * handed over, and its results come back some time after that; a crash may fall between.
 * Thread: the run's, inside member_run().
 */
#ifndef SIMULATION_SERVER_H
#define SIMULATION_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "model.h"

struct consensus;
struct store;
struct server;

/* One operation of a request. */
struct wish {
    bool create;
    uint32_t order;
    enum model_event_kind event;
    bool expects;
    uint64_t expect_version;
    uint32_t key, note; /* 0: none. */
};

enum request_kind { REQUEST_WRITE, REQUEST_READ, REQUEST_DEFINE };

/* One copy of what a client asks. */
struct request {
    enum request_kind kind;
    uint32_t client, attempt;
    uint32_t number; /* Of the request id; REQUEST_READ: none. */
    uint32_t count;
    struct wish wishes[MODEL_GROUP_MAX]; /* REQUEST_READ: the first names the order. */
    uint64_t floor;                      /* truth_floor() when it was first asked. */
    int64_t timeout_us;
};

struct answer {
    enum qo_error error;
    bool decided;     /* By the state machine; else the error is this member's. */
    uint64_t version; /* Of the last order, if `error` is QO_OK. */
};

struct server *server_open(unsigned id, struct consensus *consensus, struct store *store);
void server_ask(struct server *server, const struct request *request);
/* The end of a turn of the loop. */
void server_turn(struct server *server);
struct server *server_of(unsigned id);

/* What consensus calls. */
bool server_has_room(const struct server *server);
void server_deliver(struct server *server, uint64_t index, uint64_t term, struct bytes entry);
void server_leadership(struct server *server, bool ready, uint64_t term);

/* How long the state takes for an entry, on member `id`; 0 and 0: the default. */
void server_slow_state(unsigned id, int64_t us_min, int64_t us_max);

#endif
