/*
 * Members with links over real sockets of this machine, on loops that run until something is true.
 * Ports are given by the kernel. Thread: one.
 */
#ifndef CONSENSUS_LINKS_WORLD_H
#define CONSENSUS_LINKS_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/bytes.h"
#include "frame.h"
#include "link_hello.h"
#include "links.h"

enum { WORLD_WAIT_MS = 60000, SEEN_MAX = 4096 };

/* A message that came. */
struct seen {
    unsigned type;
    uint32_t from;
    uint64_t term, index; /* Index: what distinguishes messages of one type in a test. */
    uint32_t entries;
    uint64_t bytes, hash; /* Of all entries. */
};

/* A member. */
struct member {
    uint32_t id;
    uv_loop_t *loop;
    struct links *links; /* NULL: not running. */
    struct transport transport;
    int listener;
    uint16_t port;
    char address[QO_ADDRESS_MAX + 1];
    uv_poll_t incoming;
    struct seen seen[SEEN_MAX];
    uint32_t seen_count, notes_count, gone_count, gone_member;
    uint8_t note_kind;
    uint8_t note[QO_LINK_NOTE_BYTES_MAX];
    size_t note_bytes;
    bool closed;
};

/* Listens at `host` ("127.0.0.1" or "::1") on any port, or on `port` if it is not 0. */
void member_listen(struct member *member, uv_loop_t *loop, uint32_t id, const char *host,
                   uint16_t port);
/* Starts its links. Of `options`, loop and id are filled in; the cluster id is "c" if it is NULL.
 */
void member_start(struct member *member, struct links_options options);
/* Tells it who takes part. */
void member_meets(struct member *member, const struct member *const *others, uint32_t count);
/* Two members of one cluster on one loop, which meet; ends when both have the link. */
void member_pair(struct member *a, struct member *b, uv_loop_t *loop, const char *host);
bool member_up(const struct member *member, uint32_t other);
/* Closes links and listener, as the end of a process does, and waits for it. */
void member_stop(struct member *member);

typedef bool (*world_fn)(void *context);
/* Runs the loop until `until` says so; false if it did not within WORLD_WAIT_MS. */
bool world_run(uv_loop_t *loop, world_fn until, void *context);
/* False: something is open, as a test that failed leaves it. */
bool world_close(uv_loop_t *loop);

/* -- One who speaks the bytes himself ---------------------------------------------------------- */

struct raw {
    int fd;
    struct buf in;
    bool ended; /* Closed by the other side. */
    struct hello own;
    uint8_t own_bytes[HELLO_BYTES], their_bytes[HELLO_BYTES];
};

/* Connects, saying nothing. */
void raw_dial(struct raw *raw, uint16_t port);
void raw_send(struct raw *raw, struct bytes bytes);
void raw_send_frame(struct raw *raw, enum frame_type type, struct bytes payload);
/* Sends prefix and hello. */
void raw_send_hello(struct raw *raw);
/* The next frame; the world runs until it is there. False: the end came first. */
bool raw_frame(struct raw *raw, uv_loop_t *loop, struct frame *frame_out);
/* Runs until the other side has closed. */
bool raw_ends(struct raw *raw, uv_loop_t *loop);
/* The whole opening as a member, `own` being filled in; true once it is a link. */
bool raw_open(struct raw *raw, uv_loop_t *loop, struct bytes secret);
void raw_close(struct raw *raw);

#endif
