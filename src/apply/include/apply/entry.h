/*
 * entry: a log entry, encoded by the leader's batch and decoded by every state thread.
 *
 * An entry is a header and commands. A command is an atomic group of operations with one request
 * id, a timer's firing, or a definition; its fields are tagged. What cannot be understood (unknown
 * kind or tag, a level above ours) is never skipped: the node stops (FATAL_LEVEL).
 *
 *   header  magic:le32 format:u8 level:u8 reserved:le16 length:le32 crc:le32 node:le32 count:le32
 *           incarnation:le64 counter:le64 term:le64 time:le64
 *   length  bytes of the entry without padding; the whole is padded with zeros to a multiple of 8
 *   crc     CRC-32C over everything behind the field, padding excluded, and everything before it
 *
 * Thread: any; pure. Memory: a decoded entry points into the bytes it was decoded from.
 */
#ifndef APPLY_ENTRY_H
#define APPLY_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "store/record.h"

#define ENTRY_LEVEL 1u /* What a cluster must understand to execute what we write. */

/* The proposer's name of an entry: unique for ever. Results find their sessions by it. */
struct entry_name {
    uint32_t node;
    uint64_t incarnation; /* Random, of this start of the node. */
    uint64_t counter;
};

struct entry_header {
    struct entry_name name;
    uint64_t term; /* In which it was proposed. */
    int64_t time;  /* The leader's clock. */
    uint32_t count;
    uint8_t
        level; /* What it takes to execute it. Set by entry_open(); entry_end() does not look. */
};

enum operation_kind { OPERATION_CREATE = 1, OPERATION_TRANSITION = 2 };

struct operation {
    enum operation_kind kind;
    struct bytes id;
    struct bytes machine;     /* create */
    uint32_t machine_version; /* create; 0: the latest at this place of the log */
    struct bytes event;       /* transition */
    bool has_expect_version;
    uint64_t expect_version;
    struct bytes expect_state;  /* data NULL: none */
    struct bytes actor, reason; /* data NULL: none */
    struct bytes attributes;    /* canonical list, nil included */
};

enum command_kind { COMMAND_GROUP = 1, COMMAND_TIMER = 2, COMMAND_DEFINITION = 3 };

struct command {
    enum command_kind kind;
    /* COMMAND_GROUP: one or more operations, all or nothing. `atomic` is true for an atomic
     * order.batch, whose errors carry the index of the operation. */
    bool atomic;
    struct bytes request_id; /* data NULL: none */
    struct bytes trace;      /* data NULL: none */
    struct content_digest content;
    uint32_t operations_count;
    struct operation *operations; /* Decoding: in the arena. */
    /* COMMAND_TIMER */
    struct bytes timer_id;
    uint64_t timer_entered_version;
    int64_t timer_deadline;
    /* COMMAND_DEFINITION */
    struct bytes compiled, source;
};

/* Encoding: begin, one call per command, end. The entry stands at the start of `buf`. Commands may
 * also be encoded elsewhere while they wait, and appended between begin and end as bytes. */
void entry_begin(struct buf *buf);
void entry_add(struct buf *buf, const struct command *command);
/* Bytes that entry_add() would append, for the bound of a batch. An upper bound. */
uint64_t entry_command_size(const struct command *command);
/* Fills the header, the checksum and the padding. */
void entry_end(struct buf *buf, const struct entry_header *header);

struct arena;

/* Checks length and checksum and reads the header. False: these bytes are no entry. The caller
 * looks at the level before it goes on: commands above ENTRY_LEVEL must not be read. */
bool entry_open(struct bytes entry, struct entry_header *header_out, struct cursor *commands_out);
/* The next command; its operations are in `arena`. False: it is malformed or of an unknown kind,
 * and the node must stop. Called header.count times. */
bool entry_next(struct cursor *commands, struct arena *arena, struct command *command_out);

#endif
