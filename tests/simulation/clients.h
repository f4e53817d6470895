/*
 * clients: those outside. Clients ask one thing at a time, and ask again with the same request id
 * until the state machine has decided; sometimes a copy of a request arrives long after. Consumers
 * follow the feed, on any member, each from where it was. Thread: the run's.
 */
#ifndef SIMULATION_CLIENTS_H
#define SIMULATION_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "server.h"

enum { CLIENTS_MAX = 12, CONSUMERS = 2 };
enum { CLIENT_STREAM = 1000 }; /* From here on they are not clients but writes of stream.h. */

/* `think_us`: between two requests of a client, at most. */
void clients_start(unsigned count, int64_t think_us);
/* They ask nothing new; what they have asked they ask on. */
void clients_stop(void);
bool clients_idle(void);
/* A client that waits longest has waited so long. */
int64_t clients_waiting_us(void);
/* Who waits for what, for the story. */
void clients_tell(void);
/* Every consumer has had all events. */
bool consumers_done(void);

/* Requests and answers on the way between clients and members are lost so often. */
void clients_set_loss(uint32_t permille);

/* For so long some clients read from `member` alone, one read after the other and not waiting long,
 * until it says that it does not lead; the others ask the other members. */
void clients_part(unsigned member, int64_t for_us);

/* For stream.h: a copy of a request on its way, and a write of one order. */
void clients_send(unsigned member, const struct request *request, int64_t delay_us);
void clients_fill_write(struct request *request);

/* For the server, on member `id`. */
void clients_answer(unsigned id, const struct request *request, const struct answer *answer);

#endif
