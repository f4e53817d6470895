/* See apply/entry.h. Thread: any; pure.
 *
 * A command is its kind and fields; a field is a tag and a value whose form follows from the tag.
 * Tags ascend and the tag 0 ends the list, so that a command has one encoding only. All integers
 * little-endian; bytesN is a length of N bits and so many bytes.
 *
 *   group       1 atomic (no value)  2 request id:bytes8  3 trace:bytes16  4 content:16 bytes
 *               5 operations: count:le32, each kind:u8 and its own fields:
 *   operation   1 id:bytes8  2 machine:bytes8  3 machine version:le32  4 event:bytes8
 *               5 expect_version:le64  6 expect_state:bytes8  7 actor:bytes16  8 reason:bytes16
 *               9 attributes:bytes32
 *   timer       1 id:bytes8  2 entered version:le64  3 deadline:le64
 *   definition  1 compiled:bytes32  2 source:bytes32
 */
#include "apply/entry.h"

#include "common/arena.h"
#include "common/assert.h"
#include "common/attributes.h"

enum {
    HEADER_SIZE = 56,
    MAGIC = 0x31454f51, /* "QOE1" */
    FORMAT = 1,
    AT_FORMAT = 4,
    AT_LEVEL = 5,
    AT_RESERVED = 6,
    AT_LENGTH = 8,
    AT_CRC = 12,
    AT_NODE = 16,
    AT_COUNT = 20,
    AT_INCARNATION = 24,
    AT_COUNTER = 32,
    AT_TERM = 40,
    AT_TIME = 48,
    ALIGNMENT = 8,
};

enum group_tag {
    GROUP_ATOMIC = 1,
    GROUP_REQUEST_ID = 2,
    GROUP_TRACE = 3,
    GROUP_CONTENT = 4,
    GROUP_OPERATIONS = 5,
};

enum operation_tag {
    OPERATION_ID = 1,
    OPERATION_MACHINE = 2,
    OPERATION_MACHINE_VERSION = 3,
    OPERATION_EVENT = 4,
    OPERATION_EXPECT_VERSION = 5,
    OPERATION_EXPECT_STATE = 6,
    OPERATION_ACTOR = 7,
    OPERATION_REASON = 8,
    OPERATION_ATTRIBUTES = 9,
};

enum timer_tag { TIMER_ID = 1, TIMER_ENTERED_VERSION = 2, TIMER_DEADLINE = 3 };
enum definition_tag { DEFINITION_COMPILED = 1, DEFINITION_SOURCE = 2 };

/* An operation takes at least its kind, an id of one byte and the end. */
enum { OPERATION_SIZE_MIN = 1 + 3 + 1, TAG_END = 0 };

static uint32_t
entry_crc(struct bytes entry)
{
    uint32_t crc = hash_crc32c(bytes_make(entry.data, AT_CRC));
    return hash_crc32c_more(crc, bytes_make(entry.data + AT_NODE, entry.size - AT_NODE));
}

static size_t
padded(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

void
entry_begin(struct buf *buf)
{
    buf_clear(buf);
    memset(buf_reserve(buf, HEADER_SIZE), 0, HEADER_SIZE);
    buf->size = HEADER_SIZE;
}

static void
put_text8(struct buf *buf, uint8_t tag, struct bytes text)
{
    if (text.data != NULL) {
        buf_put_u8(buf, tag);
        buf_put_bytes8(buf, text);
    }
}

static void
put_text16(struct buf *buf, uint8_t tag, struct bytes text)
{
    if (text.data != NULL) {
        buf_put_u8(buf, tag);
        buf_put_bytes16(buf, text);
    }
}

static void
put_text32(struct buf *buf, uint8_t tag, struct bytes text)
{
    if (text.data != NULL) {
        buf_put_u8(buf, tag);
        buf_put_bytes32(buf, text);
    }
}

/* What a decoder accepts and an encoder may write. */
static bool
operation_valid(const struct operation *operation)
{
    bool create = operation->kind == OPERATION_CREATE;
    if (!create && operation->kind != OPERATION_TRANSITION) {
        return false;
    }
    /* Each kind has its own fields and none of the other's. */
    bool shape = create ? operation->machine.size >= 1 && operation->event.data == NULL &&
                              !operation->has_expect_version && operation->expect_state.data == NULL
                        : operation->event.size >= 1 && operation->machine.data == NULL &&
                              operation->machine_version == 0;
    return shape && operation->id.size >= 1 && operation->id.size <= QO_ID_MAX &&
           operation->machine.size <= QO_NAME_MAX && operation->event.size <= QO_NAME_MAX &&
           operation->actor.size <= QO_ACTOR_MAX && operation->reason.size <= QO_REASON_MAX &&
           attributes_valid(operation->attributes);
}

static bool
group_valid(const struct command *command)
{
    return command->operations_count >= 1 && command->operations_count <= QO_OPERATIONS_MAX &&
           QO_IMPLIES(command->request_id.data != NULL,
                      command->request_id.size >= 1 &&
                          command->request_id.size <= QO_REQUEST_ID_MAX) &&
           command->trace.size <= QO_TRACE_MAX;
}

static bool
timer_valid(const struct command *command)
{
    return command->timer_id.size >= 1 && command->timer_id.size <= QO_ID_MAX &&
           command->timer_entered_version >= 1 && command->timer_deadline > 0;
}

static bool
definition_valid(const struct command *command)
{
    return command->compiled.size >= 1 && command->compiled.size <= QO_COMPILED_MAX &&
           command->source.data != NULL && command->source.size <= QO_DEFINITION_SOURCE_MAX;
}

static void
operation_add(struct buf *buf, const struct operation *operation)
{
    QO_PRE(operation_valid(operation));
    buf_put_u8(buf, (uint8_t)operation->kind);
    put_text8(buf, OPERATION_ID, operation->id);
    put_text8(buf, OPERATION_MACHINE, operation->machine);
    if (operation->machine_version != 0) {
        buf_put_u8(buf, OPERATION_MACHINE_VERSION);
        buf_put_le32(buf, operation->machine_version);
    }
    put_text8(buf, OPERATION_EVENT, operation->event);
    if (operation->has_expect_version) {
        buf_put_u8(buf, OPERATION_EXPECT_VERSION);
        buf_put_le64(buf, operation->expect_version);
    }
    put_text8(buf, OPERATION_EXPECT_STATE, operation->expect_state);
    put_text16(buf, OPERATION_ACTOR, operation->actor);
    put_text16(buf, OPERATION_REASON, operation->reason);
    put_text32(buf, OPERATION_ATTRIBUTES, operation->attributes);
    buf_put_u8(buf, TAG_END);
}

static void
group_add(struct buf *buf, const struct command *command)
{
    QO_PRE(group_valid(command));
    if (command->atomic) {
        buf_put_u8(buf, GROUP_ATOMIC);
    }
    put_text8(buf, GROUP_REQUEST_ID, command->request_id);
    put_text16(buf, GROUP_TRACE, command->trace);
    buf_put_u8(buf, GROUP_CONTENT);
    buf_append(buf, command->content.bytes, sizeof command->content.bytes);
    buf_put_u8(buf, GROUP_OPERATIONS);
    buf_put_le32(buf, command->operations_count);
    for (uint32_t i = 0; i < command->operations_count; i++) {
        operation_add(buf, &command->operations[i]);
    }
}

void
entry_add(struct buf *buf, const struct command *command)
{
    size_t before = buf->size;
    buf_put_u8(buf, (uint8_t)command->kind);
    switch (command->kind) {
    case COMMAND_GROUP:
        group_add(buf, command);
        break;
    case COMMAND_TIMER:
        QO_PRE(timer_valid(command));
        put_text8(buf, TIMER_ID, command->timer_id);
        buf_put_u8(buf, TIMER_ENTERED_VERSION);
        buf_put_le64(buf, command->timer_entered_version);
        buf_put_u8(buf, TIMER_DEADLINE);
        buf_put_le64(buf, (uint64_t)command->timer_deadline);
        break;
    case COMMAND_DEFINITION:
        QO_PRE(definition_valid(command));
        put_text32(buf, DEFINITION_COMPILED, command->compiled);
        put_text32(buf, DEFINITION_SOURCE, command->source);
        break;
    }
    buf_put_u8(buf, TAG_END);
    QO_POST(buf->size - before <= entry_command_size(command));
}

uint64_t
entry_command_size(const struct command *command)
{
    /* Kind, fixed fields with their tags, the longest lengths, the end: rounded up. */
    uint64_t size = 64 + (uint64_t)command->request_id.size + command->trace.size +
                    command->timer_id.size + command->compiled.size + command->source.size;
    for (uint32_t i = 0; i < command->operations_count; i++) {
        const struct operation *operation = &command->operations[i];
        size += 48 + (uint64_t)operation->id.size + operation->machine.size +
                operation->event.size + operation->expect_state.size + operation->actor.size +
                operation->reason.size + operation->attributes.size;
    }
    return size;
}

void
entry_end(struct buf *buf, const struct entry_header *header)
{
    QO_PRE(buf->size >= HEADER_SIZE && buf->size <= QO_ENTRY_BYTES_MAX);
    size_t length = buf->size;
    size_t padding = padded(length) - length;
    memset(buf_reserve(buf, ALIGNMENT), 0, ALIGNMENT);
    buf->size += padding;
    put_le32(buf->data, MAGIC);
    buf->data[AT_FORMAT] = FORMAT;
    buf->data[AT_LEVEL] = ENTRY_LEVEL;
    put_le16(buf->data + AT_RESERVED, 0);
    put_le32(buf->data + AT_LENGTH, (uint32_t)length);
    put_le32(buf->data + AT_NODE, header->name.node);
    put_le32(buf->data + AT_COUNT, header->count);
    put_le64(buf->data + AT_INCARNATION, header->name.incarnation);
    put_le64(buf->data + AT_COUNTER, header->name.counter);
    put_le64(buf->data + AT_TERM, header->term);
    put_le64(buf->data + AT_TIME, (uint64_t)header->time);
    put_le32(buf->data + AT_CRC, entry_crc(bytes_make(buf->data, length)));
}

bool
entry_open(struct bytes entry, struct entry_header *header_out, struct cursor *commands_out)
{
    if (entry.size < HEADER_SIZE || get_le32(entry.data) != MAGIC ||
        entry.data[AT_FORMAT] != FORMAT) {
        return false;
    }
    uint32_t length = get_le32(entry.data + AT_LENGTH);
    if (length < HEADER_SIZE || padded(length) != entry.size ||
        get_le32(entry.data + AT_CRC) != entry_crc(bytes_make(entry.data, length))) {
        return false;
    }
    for (size_t i = length; i < entry.size; i++) {
        if (entry.data[i] != 0) {
            return false;
        }
    }
    *header_out = (struct entry_header){
        .name = {.node = get_le32(entry.data + AT_NODE),
                 .incarnation = get_le64(entry.data + AT_INCARNATION),
                 .counter = get_le64(entry.data + AT_COUNTER)},
        .term = get_le64(entry.data + AT_TERM),
        .time = (int64_t)get_le64(entry.data + AT_TIME),
        .count = get_le32(entry.data + AT_COUNT),
        .level = entry.data[AT_LEVEL],
    };
    *commands_out = cursor_of(bytes_make(entry.data + HEADER_SIZE, length - HEADER_SIZE));
    return true;
}

/* The next tag, which must be larger than the last. False at the end, or with `failed` set. */
static bool
next_tag(struct cursor *cursor, uint8_t *tag)
{
    uint8_t last = *tag;
    *tag = cursor_u8(cursor);
    if (cursor->failed || *tag == TAG_END) {
        return false;
    }
    cursor->failed = *tag <= last;
    return !cursor->failed;
}

static bool
operation_read(struct cursor *cursor, struct operation *operation)
{
    *operation = (struct operation){.kind = (enum operation_kind)cursor_u8(cursor)};
    uint8_t tag = 0;
    while (next_tag(cursor, &tag)) {
        switch (tag) {
        case OPERATION_ID:
            operation->id = cursor_bytes8(cursor);
            break;
        case OPERATION_MACHINE:
            operation->machine = cursor_bytes8(cursor);
            break;
        case OPERATION_MACHINE_VERSION:
            operation->machine_version = cursor_le32(cursor);
            break;
        case OPERATION_EVENT:
            operation->event = cursor_bytes8(cursor);
            break;
        case OPERATION_EXPECT_VERSION:
            operation->has_expect_version = true;
            operation->expect_version = cursor_le64(cursor);
            break;
        case OPERATION_EXPECT_STATE:
            operation->expect_state = cursor_bytes8(cursor);
            break;
        case OPERATION_ACTOR:
            operation->actor = cursor_bytes16(cursor);
            break;
        case OPERATION_REASON:
            operation->reason = cursor_bytes16(cursor);
            break;
        case OPERATION_ATTRIBUTES:
            operation->attributes = cursor_bytes32(cursor);
            break;
        default:
            return false; /* Written by a newer build: to leave it out would change its meaning. */
        }
    }
    return !cursor->failed && operation_valid(operation);
}

static bool
operations_read(struct cursor *cursor, struct arena *arena, struct command *command)
{
    uint32_t count = cursor_le32(cursor);
    if (cursor->failed || count < 1 || count > QO_OPERATIONS_MAX ||
        (size_t)(cursor->end - cursor->at) / OPERATION_SIZE_MIN < count) {
        return false;
    }
    command->operations_count = count;
    command->operations = arena_alloc(arena, count * sizeof command->operations[0]);
    for (uint32_t i = 0; i < count; i++) {
        if (!operation_read(cursor, &command->operations[i])) {
            return false;
        }
    }
    return true;
}

static bool
content_read(struct cursor *cursor, struct content_digest *content)
{
    struct bytes bytes = cursor_bytes(cursor, sizeof content->bytes);
    if (bytes.data == NULL) {
        return false;
    }
    memcpy(content->bytes, bytes.data, sizeof content->bytes);
    return true;
}

static bool
group_read(struct cursor *cursor, struct arena *arena, struct command *command)
{
    uint8_t tag = 0;
    bool has_content = false;
    while (next_tag(cursor, &tag)) {
        switch (tag) {
        case GROUP_ATOMIC:
            command->atomic = true;
            break;
        case GROUP_REQUEST_ID:
            command->request_id = cursor_bytes8(cursor);
            break;
        case GROUP_TRACE:
            command->trace = cursor_bytes16(cursor);
            break;
        case GROUP_CONTENT:
            has_content = content_read(cursor, &command->content);
            break;
        case GROUP_OPERATIONS:
            if (!operations_read(cursor, arena, command)) {
                return false;
            }
            break;
        default:
            return false;
        }
    }
    return !cursor->failed && has_content && group_valid(command);
}

static bool
timer_read(struct cursor *cursor, struct command *command)
{
    uint8_t tag = 0;
    while (next_tag(cursor, &tag)) {
        switch (tag) {
        case TIMER_ID:
            command->timer_id = cursor_bytes8(cursor);
            break;
        case TIMER_ENTERED_VERSION:
            command->timer_entered_version = cursor_le64(cursor);
            break;
        case TIMER_DEADLINE:
            command->timer_deadline = (int64_t)cursor_le64(cursor);
            break;
        default:
            return false;
        }
    }
    return !cursor->failed && timer_valid(command);
}

static bool
definition_read(struct cursor *cursor, struct command *command)
{
    uint8_t tag = 0;
    while (next_tag(cursor, &tag)) {
        switch (tag) {
        case DEFINITION_COMPILED:
            command->compiled = cursor_bytes32(cursor);
            break;
        case DEFINITION_SOURCE:
            command->source = cursor_bytes32(cursor);
            break;
        default:
            return false;
        }
    }
    return !cursor->failed && definition_valid(command);
}

bool
entry_next(struct cursor *commands, struct arena *arena, struct command *command_out)
{
    *command_out = (struct command){.kind = (enum command_kind)cursor_u8(commands)};
    switch (command_out->kind) {
    case COMMAND_GROUP:
        return group_read(commands, arena, command_out);
    case COMMAND_TIMER:
        return timer_read(commands, command_out);
    case COMMAND_DEFINITION:
        return definition_read(commands, command_out);
    }
    return false; /* Unknown, or past the end. */
}
