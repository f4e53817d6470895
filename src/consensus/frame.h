/*
 * frame: how bytes are cut on a link, and checked.
 *
 *   crc:le32     CRC-32C of all that follows
 *   length:le32  of the payload, at most FRAME_PAYLOAD_MAX
 *   type:u8  0 0 0
 *   payload
 *
 * Thread: any; pure.
 */
#ifndef CONSENSUS_FRAME_H
#define CONSENSUS_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"

enum frame_type {
    /* Of an opening; link_hello.h. */
    FRAME_HELLO = 1,
    FRAME_PROOF = 2,
    FRAME_OPEN = 3, /* le64: the decider's number of this link. */
    FRAME_REFUSAL = 4,
    /* Of a link. */
    FRAME_MESSAGE = 5, /* A whole one; message.h. */
    FRAME_FIRST = 6,   /* le32: bytes of the whole message; and as many as fit. */
    FRAME_PART = 7,    /* More of it. */
    FRAME_NOTE = 8,    /* u8: kind; and its body. */
};

enum {
    FRAME_HEADER = 12,
    FRAME_FIRST_BYTES = 4, /* What a first part has in front. */
    FRAME_PAYLOAD_MAX = QO_LINK_PART_BYTES + FRAME_FIRST_BYTES,
};

struct frame {
    uint8_t type; /* Any: what is not known is the reader's to refuse. */
    struct bytes payload;
};

/* Writes the header of a frame whose payload is these pieces. */
void frame_seal(uint8_t header[FRAME_HEADER], enum frame_type type, const struct bytes *pieces,
                size_t count);

/* Appends a whole frame. */
void frame_put(struct buf *out, enum frame_type type, struct bytes payload);

enum frame_reading { FRAME_WHOLE, FRAME_INCOMPLETE, FRAME_DAMAGED };

/* The frame at the beginning of `from`, pointing into it. A length over the maximum is found at
 * once, a wrong checksum when all has come. */
enum frame_reading frame_read(struct bytes from, struct frame *frame_out);

#endif
