/*
 * parts: what the parts of the load share: slots, connections, the run. Private to load.h's
 * implementation, which is in slots.c (ops begin and end), connections.c (bytes and answers) and
 * load.c (time, and the whole).
 *
 * Thread: main.
 */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "load.h"

enum { SLOT_BITS = 10 }; /* Of a message id; above them stands the slot's generation. */
#define SECOND_NS UINT64_C(1000000000)
static_assert(QO_OUTSTANDING_MAX <= 1u << SLOT_BITS, "a slot's number fits its message id");

enum slot_state {
    SLOT_FREE,
    SLOT_FLYING,  /* Sent; the answer is awaited. */
    SLOT_WAITING, /* To be sent again, at `due_ns`. */
};

struct slot {
    uint64_t intended_ns; /* When its op was meant to be sent first. */
    uint64_t sent_ns;     /* When its last copy was handed to the connection. */
    uint64_t due_ns;
    struct op op;
    uint32_t generation; /* Upper bits of the message id: rises with each copy. */
    uint8_t state;       /* enum slot_state */
};

enum connection_state { CONNECTION_DOWN, CONNECTION_DIALLING, CONNECTION_UP };

struct connection {
    int fd;
    enum connection_state state;
    uint32_t place;    /* In load->connections. */
    uint32_t waiting;  /* Slots in SLOT_WAITING. */
    bool polls_out;    /* epoll reports room to write. */
    uint64_t retry_ns; /* DOWN: not before. DIALLING: give up then. */
    struct buf left;   /* Of an answer that has come in part. */
    struct buf out;    /* From `out_sent` on not yet taken by the socket. */
    size_t out_sent;
    struct slot *slots;
};

enum phase { PHASE_WARMUP, PHASE_MEASURED, PHASE_ENDING };

struct load {
    const struct load_options *options;
    struct op_world *world;
    struct watch *watch;
    int epoll_fd, timer_fd, wake_fd;
    struct connection *connections;
    uint8_t *received; /* RECEIVE_SIZE */
    char leader[ENDPOINT_SIZE];
    uint64_t leader_generation;
    uint64_t random;
    uint64_t op_number; /* Of the next op; never again the same. */
    uint64_t now_ns;
    uint64_t silence_ns;   /* When to look next for connections that do not answer. */
    uint64_t next_tick_ns; /* 0: at once. */

    /* Fixed rate: slots that are free, longest first. */
    uint32_t *ring;
    uint32_t ring_size, ring_first, ring_count;

    /* The run. */
    enum phase phase;
    uint64_t start_ns, measured_ns, end_ns;
    uint64_t begun;  /* Ops of this run, for the rate. */
    uint64_t flying; /* Slots that are not free. */
    uint64_t last_done_ns;
    uint64_t second_ns; /* End of the second that the progress line will be about. */
    uint64_t second_errors;
    struct histogram second;
    struct nodes_usage usage_before;
    int64_t own_cpu_before_us;
    struct load_result *result;
};

uint64_t load_now_ns(void);

/* -- slots.c --------------------------------------------------------------------------------- */

/* Keeps a sentence about something wrong, if it is one of the first. */
void load_show(struct load *load, const char *why);
void load_count_own(struct load *load, enum load_own_error error);
void load_count_code(struct load *load, enum qo_error error);

/* Fixed rate: the slot waits for its turn behind all others that are free. */
void slot_put_free(struct load *load, const struct connection *connection, const struct slot *slot);
/* Appends another copy of the slot's op to what the connection will send. */
void slot_encode(struct load *load, struct connection *connection, struct slot *slot);
/* A free slot takes a new op that was meant for `intended_ns`. */
void slot_begin(struct load *load, struct connection *connection, struct slot *slot,
                uint64_t intended_ns);
/* The slot's op has its end: free it, or let it begin the next. */
void slot_finish(struct load *load, struct connection *connection, struct slot *slot);
void slot_send_later(struct load *load, struct connection *connection, struct slot *slot,
                     uint64_t delay_ms);

/* -- connections.c --------------------------------------------------------------------------- */

enum { RECEIVE_SIZE = 512 * 1024 }; /* Shared by all connections: they are read one at a time. */

/* Closes it; what was under way is sent again over the next connection. */
void connection_lose(struct load *load, struct connection *connection, enum load_own_error why);
void connection_dial(struct load *load, struct connection *connection);
/* The socket has connected, or failed to. */
void connection_dialled(struct load *load, struct connection *connection);
/* Gives the socket what it takes. */
void connection_flush(struct load *load, struct connection *connection);
/* Sends again what is due, and in a closed loop lets free slots begin. */
void connection_resume(struct load *load, struct connection *connection);
/* Reads what has come and deals with every whole answer in it. */
void connection_read(struct load *load, struct connection *connection);

#endif
