/*
 * transport: what carries messages between members: links.h, or a simulated one. It may lose, delay
 * and reorder messages between connections; within one connection it keeps their order, and what
 * it hands over is whole and from the member that it names.
 *
 * Thread: the loop. Nothing is called back inside the function that was called.
 */
#ifndef CONSENSUS_TRANSPORT_H
#define CONSENSUS_TRANSPORT_H

#include <raft.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"

struct transport_member {
    uint32_t id;
    char address[QO_ADDRESS_MAX + 1]; /* host:port, where clients reach it too. */
};

/* What a transport calls. */
struct transport_client {
    void *context;
    /* A message for libraft. Takes entries and buffers in it, as raft_io's receive callback: one
     * batch of raft_malloc(), the entries themselves raft_malloc(). */
    void (*message)(void *context, struct raft_message *message);
    /* A note of our own (read rounds). `body` is borrowed until return. */
    void (*note)(void *context, uint32_t from, uint8_t kind, struct bytes body);
    /* The process of this member has ended: its connection was reset or closed, and a new one was
     * refused at once. Once each time. A hint that costs nothing but an early election if wrong. */
    void (*gone)(void *context, uint32_t member);
};

struct transport {
    void *context;
    /* Begins to listen to others. Once, before anything else. `client` is copied. */
    void (*start)(void *context, const struct transport_client *client);
    /* Who takes part: messages come from and go to these alone. Copied. */
    void (*members)(void *context, const struct transport_member *members, uint32_t count);
    /* As raft_io.send: entries are borrowed until the callback, which comes exactly once, later;
     * with a status other than 0 if the message was certainly or possibly not delivered. */
    int (*send)(void *context, struct raft_io_send *request, const struct raft_message *message,
                raft_io_send_cb callback);
    /* Sends a note, at best: none is kept for a member that cannot be reached. Copied. At most
     * QO_LINK_NOTE_BYTES_MAX. */
    void (*note)(void *context, uint32_t to, uint8_t kind, struct bytes body);
};

#endif
