/* See message.h. Thread: any; pure. */
#include "message.h"

#include "common/assert.h"
#include "common/limits.h"

enum { APPEND_HEAD_BYTES = 48, ENTRY_HEAD_BYTES = 16 };

static_assert(sizeof(raft_term) == 8 && sizeof(raft_index) == 8, "le64 on the wire");
static_assert(APPEND_HEAD_BYTES <= 64 && ENTRY_HEAD_BYTES + 7 < 24,
              "QO_LINK_MESSAGE_BYTES_MAX counts 24 bytes an entry and 64");

/* -- Writing ----------------------------------------------------------------------------------- */

static size_t
append_bytes(const struct raft_append_entries *append)
{
    size_t bytes = APPEND_HEAD_BYTES;
    if (append->n_entries > QO_APPEND_ENTRIES_MAX) {
        return SIZE_MAX;
    }
    for (unsigned i = 0; i < append->n_entries; i++) {
        size_t size = append->entries[i].buf.len;
        if (size > QO_LINK_MESSAGE_BYTES_MAX) {
            return SIZE_MAX;
        }
        bytes += ENTRY_HEAD_BYTES + size + message_padding(size);
    }
    return bytes <= QO_LINK_MESSAGE_BYTES_MAX ? bytes : SIZE_MAX;
}

size_t
message_bytes(const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        return append_bytes(&message->append_entries);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
    case RAFT_IO_TIMEOUT_NOW:
        return 8 + 3 * 8;
    case RAFT_IO_REQUEST_VOTE:
        return 8 + 4 * 8 + 8;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        return 8 + 8 + 8;
    default:
        return 0;
    }
}

static void
put_flags(struct buf *out, uint8_t first, uint8_t second)
{
    const uint8_t flags[8] = {first, second};
    buf_append(out, flags, sizeof flags);
}

static void
put_append(struct buf *out, const struct raft_append_entries *append)
{
    buf_put_le64(out, append->term);
    buf_put_le64(out, append->prev_log_index);
    buf_put_le64(out, append->prev_log_term);
    buf_put_le64(out, append->leader_commit);
    buf_put_le64(out, append->n_entries); /* Its upper half is the four zeros. */
    for (unsigned i = 0; i < append->n_entries; i++) {
        const struct raft_entry *entry = &append->entries[i];
        QO_PRE(entry->type >= RAFT_COMMAND && entry->type <= RAFT_CHANGE);
        buf_put_le64(out, entry->term);
        buf_put_le32(out, (uint32_t)entry->buf.len);
        buf_put_le32(out, entry->type);
    }
}

void
message_put_head(const struct raft_message *message, struct buf *out)
{
    put_flags(out, (uint8_t)message->type, 0);
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        put_append(out, &message->append_entries);
        break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        buf_put_le64(out, message->append_entries_result.term);
        buf_put_le64(out, message->append_entries_result.rejected);
        buf_put_le64(out, message->append_entries_result.last_log_index);
        break;
    case RAFT_IO_REQUEST_VOTE:
        buf_put_le64(out, message->request_vote.term);
        buf_put_le64(out, message->request_vote.candidate_id);
        buf_put_le64(out, message->request_vote.last_log_index);
        buf_put_le64(out, message->request_vote.last_log_term);
        put_flags(out, message->request_vote.disrupt_leader, message->request_vote.pre_vote);
        break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        buf_put_le64(out, message->request_vote_result.term);
        put_flags(out, message->request_vote_result.vote_granted,
                  (uint8_t)message->request_vote_result.pre_vote);
        break;
    default:
        QO_PRE(message->type == RAFT_IO_TIMEOUT_NOW);
        buf_put_le64(out, message->timeout_now.term);
        buf_put_le64(out, message->timeout_now.last_log_index);
        buf_put_le64(out, message->timeout_now.last_log_term);
        break;
    }
}

/* -- Reading ----------------------------------------------------------------------------------- */

/* Two values of one byte and six zeros, each value at most its maximum. */
static void
take_flags(struct cursor *cursor, uint8_t most, uint8_t second_most, uint8_t *first_out,
           uint8_t *second_out)
{
    uint64_t both = cursor_le64(cursor);
    *first_out = (uint8_t)(both & 0xff);
    *second_out = (uint8_t)(both >> 8 & 0xff);
    if (both >> 16 != 0 || *first_out > most || *second_out > second_most) {
        cursor->failed = true;
    }
}

/* The table of entries: sizes and types are right, and what follows is as long as it says. */
static bool
table_fits(struct bytes table, size_t data_bytes)
{
    size_t bytes = 0;
    for (size_t at = 0; at < table.size; at += ENTRY_HEAD_BYTES) {
        uint32_t size = get_le32(table.data + at + 8);
        uint32_t type = get_le32(table.data + at + 12);
        if (size > QO_ENTRY_BYTES_MAX || type < RAFT_COMMAND || type > RAFT_CHANGE) {
            return false;
        }
        bytes += size + message_padding(size);
    }
    return bytes == data_bytes;
}

static void
fill_entries(struct bytes table, uint8_t *data, void *batch, struct raft_entry *entries)
{
    for (size_t at = 0; at < table.size; at += ENTRY_HEAD_BYTES) {
        uint32_t size = get_le32(table.data + at + 8);
        entries[at / ENTRY_HEAD_BYTES] = (struct raft_entry){
            .term = get_le64(table.data + at),
            .type = (unsigned short)get_le32(table.data + at + 12),
            .buf = {.base = data, .len = size},
            .batch = batch,
        };
        data += size + message_padding(size);
    }
}

static enum message_reading
take_append(struct cursor *cursor, void *batch, struct raft_append_entries *append)
{
    append->term = cursor_le64(cursor);
    append->prev_log_index = cursor_le64(cursor);
    append->prev_log_term = cursor_le64(cursor);
    append->leader_commit = cursor_le64(cursor);
    uint64_t count = cursor_le64(cursor);
    if (cursor->failed || count > QO_APPEND_ENTRIES_MAX) {
        return MESSAGE_BAD;
    }
    struct bytes table = cursor_bytes(cursor, (size_t)count * ENTRY_HEAD_BYTES);
    struct bytes data = cursor_bytes(cursor, (size_t)(cursor->end - cursor->at));
    if (cursor->failed || !table_fits(table, data.size)) {
        return MESSAGE_BAD;
    }
    append->n_entries = (unsigned)count;
    append->entries = NULL;
    if (count == 0) {
        return MESSAGE_GOOD;
    }
    append->entries = raft_malloc((size_t)count * sizeof *append->entries);
    uint8_t *base;
    if (batch != NULL) {
        base = (uint8_t *)batch + APPEND_HEAD_BYTES + table.size;
        QO_PRE(base == data.data);
        fill_entries(table, base, batch, append->entries);
        return MESSAGE_TOOK;
    }
    base = raft_malloc(data.size + 1); /* Entries may all be empty. */
    QO_ASSERT(base != NULL && append->entries != NULL);
    memcpy(base, data.data, data.size);
    fill_entries(table, base, base, append->entries);
    return MESSAGE_GOOD;
}

static void
take_vote(struct cursor *cursor, struct raft_request_vote *vote)
{
    uint8_t disrupt, pre;
    vote->term = cursor_le64(cursor);
    vote->candidate_id = cursor_le64(cursor);
    vote->last_log_index = cursor_le64(cursor);
    vote->last_log_term = cursor_le64(cursor);
    take_flags(cursor, true, true, &disrupt, &pre);
    vote->disrupt_leader = disrupt != 0;
    vote->pre_vote = pre != 0;
}

static void
take_vote_result(struct cursor *cursor, struct raft_request_vote_result *result)
{
    uint8_t granted, pre;
    result->term = cursor_le64(cursor);
    take_flags(cursor, true, raft_tribool_false, &granted, &pre);
    result->vote_granted = granted != 0;
    result->pre_vote = (raft_tribool)pre;
}

enum message_reading
message_decode(struct bytes whole, void *batch, struct raft_message *message_out)
{
    struct cursor cursor = cursor_of(whole);
    uint8_t type, zero;
    memset(message_out, 0, sizeof *message_out);
    take_flags(&cursor, RAFT_IO_TIMEOUT_NOW, 0, &type, &zero);
    if (whole.size > QO_LINK_MESSAGE_BYTES_MAX || cursor.failed) {
        return MESSAGE_BAD;
    }
    message_out->type = type;
    switch (type) {
    case RAFT_IO_APPEND_ENTRIES:
        return take_append(&cursor, batch, &message_out->append_entries);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        message_out->append_entries_result.term = cursor_le64(&cursor);
        message_out->append_entries_result.rejected = cursor_le64(&cursor);
        message_out->append_entries_result.last_log_index = cursor_le64(&cursor);
        break;
    case RAFT_IO_REQUEST_VOTE:
        take_vote(&cursor, &message_out->request_vote);
        break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        take_vote_result(&cursor, &message_out->request_vote_result);
        break;
    case RAFT_IO_TIMEOUT_NOW:
        message_out->timeout_now.term = cursor_le64(&cursor);
        message_out->timeout_now.last_log_index = cursor_le64(&cursor);
        message_out->timeout_now.last_log_term = cursor_le64(&cursor);
        break;
    default:
        return MESSAGE_BAD;
    }
    return cursor_done(&cursor) ? MESSAGE_GOOD : MESSAGE_BAD;
}

void
message_drop(struct raft_message *message)
{
    if (message->type == RAFT_IO_APPEND_ENTRIES && message->append_entries.n_entries > 0) {
        raft_free(message->append_entries.entries[0].batch);
        raft_free(message->append_entries.entries);
        message->append_entries.n_entries = 0;
        message->append_entries.entries = NULL;
    }
}
