/*
 * cut: where messages end in a stream of bytes.
 *
 * MessagePack-RPC has no length prefix: a message ends where its outermost object ends. To find
 * that end needs no tree and no stack, only the number of objects still owed: a token pays one, an
 * array of n owes n more, a map of n owes 2n more. So nesting costs nothing, and a message that
 * comes byte by byte is scanned once.
 *
 * A cutter knows no shapes but one: a message is an array. Bytes that begin otherwise (a browser, a
 * TLS hello) are refused at the first byte.
 *
 * Thread: any, one at a time per cutter. Memory: none.
 */
#ifndef WIRE_CUT_H
#define WIRE_CUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

struct wire_cutter {
    size_t next;     /* Offset at which the next token begins; may lie beyond what has arrived. */
    uint64_t owed;   /* Objects that the message still owes. 0 with `next` 0: nothing seen yet. */
    size_t size_max; /* Set by the caller; 0: QO_MESSAGE_MAX. Links between nodes take
                        QO_PEER_MESSAGE_MAX: a forwarded message stands inside another. */
};

enum wire_cut {
    WIRE_CUT_NEED_MORE,
    WIRE_CUT_MESSAGE,
    WIRE_CUT_TOO_LARGE, /* Over `size_max`, or will be: each object owed takes a byte at least. */
    WIRE_CUT_MALFORMED, /* No array, or a byte that MessagePack does not have (0xc1). */
};

/*
 * Looks for the end of the message that begins at available.data[0].
 *
 *   cutter            zeroed before the first message (`size_max` aside); reset by itself after
 * each one. Between calls the caller may move the bytes, but the message must still begin at
 *                     available.data[0], and no byte seen before may have changed or gone
 *   available         borrowed; everything of the message that has arrived, and maybe more behind
 * it message_size_out  written on WIRE_CUT_MESSAGE only: the first that many bytes are one message
 *
 * After WIRE_CUT_TOO_LARGE or WIRE_CUT_MALFORMED there is no way to find the next message: the
 * connection is answered (wire_refuse_cut() in wire/request.h) and closed.
 */
enum wire_cut wire_cut(struct wire_cutter *cutter, struct bytes available,
                       size_t *message_size_out);

#endif
