/* See link_queue.h. Thread: the loop. */
#include "link_queue.h"

#include "common/assert.h"
#include "frame.h"
#include "message.h"

/* Frames of one write: full parts, and small ones of at least a header and a few words each. What
 * is copied never moves while pieces point at it, so it gets its room at once. */
enum { COPIED_MAX = QO_LINK_WRITE_BYTES + FRAME_PAYLOAD_MAX + 2 * FRAME_HEADER };

/* -- Items ------------------------------------------------------------------------------------- */

void
link_items_add(struct link_items *items, struct link_item *item)
{
    item->next = NULL;
    if (items->last != NULL) {
        items->last->next = item;
    } else {
        items->first = item;
    }
    items->last = item;
}

struct link_item *
link_items_pop(struct link_items *items)
{
    struct link_item *item = items->first;
    if (item != NULL) {
        items->first = item->next;
        items->last = item->next == NULL ? NULL : items->last;
        item->next = NULL;
    }
    return item;
}

struct link_item *
link_item_of(const struct raft_message *message, struct raft_io_send *request,
             raft_io_send_cb callback)
{
    size_t bytes = message_bytes(message);
    bool append = message->type == RAFT_IO_APPEND_ENTRIES && bytes != SIZE_MAX;
    size_t entries = append ? message->append_entries.n_entries : 0;
    struct link_item *item = mem_zalloc(sizeof *item + entries * sizeof item->entries[0]);
    item->request = request;
    item->callback = callback;
    item->bytes = bytes;
    item->status = bytes == 0 ? RAFT_INVALID : bytes == SIZE_MAX ? RAFT_TOOBIG : 0;
    if (item->status != 0) {
        return item;
    }
    item->in_order = append || message->type == RAFT_IO_TIMEOUT_NOW;
    item->entries_count = entries;
    for (size_t i = 0; i < entries; i++) {
        const struct raft_buffer *buffer = &message->append_entries.entries[i].buf;
        item->entries[i] = bytes_make(buffer->base, buffer->len);
    }
    message_put_head(message, &item->head);
    return item;
}

void
link_item_free(struct link_item *item)
{
    buf_free(&item->head);
    mem_free(item);
}

/* -- Coming in --------------------------------------------------------------------------------- */

/* The receiver has entries that wait behind others compared when they come; this one compares with
 * nothing, commits nothing, and so may come at any time. One at a time is enough. */
static void
push_sign(struct link_queue *queue, const struct raft_append_entries *heartbeat)
{
    struct raft_message sign = {.type = RAFT_IO_APPEND_ENTRIES};
    sign.append_entries.term = heartbeat->term;
    struct link_item *item = link_item_of(&sign, NULL, NULL);
    item->in_order = false;
    item->sign = true;
    queue->sign_waits = true;
    queue->bytes += item->bytes;
    queue->messages++;
    link_items_add(&queue->front, item);
}

bool
link_queue_push(struct link_queue *queue, struct link_item *item,
                const struct raft_message *message)
{
    QO_PRE(item->status == 0);
    if (item->bytes > QO_LINK_QUEUE_BYTES_MAX - queue->bytes ||
        queue->messages + 2 > QO_LINK_MESSAGES_MAX) { /* It, and a sign of life. */
        item->status = RAFT_BUSY;
        return false;
    }
    bool heartbeat =
        message->type == RAFT_IO_APPEND_ENTRIES && message->append_entries.n_entries == 0;
    if (heartbeat && queue->in_order.first != NULL && !queue->sign_waits) {
        push_sign(queue, &message->append_entries);
    }
    queue->bytes += item->bytes;
    queue->messages++;
    link_items_add(item->in_order ? &queue->in_order : &queue->front, item);
    return true;
}

void
link_queue_note(struct link_queue *queue, uint8_t kind, struct bytes body)
{
    QO_PRE(body.size <= QO_LINK_NOTE_BYTES_MAX);
    size_t bytes = 1 + body.size;
    if (queue->note_bytes + bytes > QO_LINK_NOTES_BYTES_MAX) {
        return;
    }
    struct link_item *item = mem_zalloc(sizeof *item);
    item->note = true;
    item->bytes = bytes;
    buf_put_u8(&item->head, kind);
    buf_append(&item->head, body.data, body.size);
    queue->note_bytes += bytes;
    link_items_add(&queue->front, item);
}

/* -- Going out --------------------------------------------------------------------------------- */

/* A write that is being put together. */
struct filling {
    struct buf *copied;
    struct bytes *pieces;
    size_t count, bytes;
};

static void
add_piece(struct filling *filling, struct bytes piece, bool borrowed)
{
    struct bytes *last = filling->count > 0 ? &filling->pieces[filling->count - 1] : NULL;
    if (piece.size == 0) {
        return;
    }
    filling->bytes += piece.size;
    if (!borrowed) {
        const uint8_t *at = filling->copied->data + filling->copied->size;
        QO_ASSERT(filling->copied->capacity - filling->copied->size >= piece.size);
        memcpy(filling->copied->data + filling->copied->size, piece.data, piece.size);
        filling->copied->size += piece.size;
        piece.data = at;
    }
    if (last != NULL && last->data + last->size == piece.data && !borrowed) {
        last->size += piece.size; /* Right behind what was copied last. */
        return;
    }
    QO_ASSERT(filling->count < LINK_PIECES_MAX);
    filling->pieces[filling->count++] = piece;
}

/* The next bytes of an item, at most `most`, that lie in one place; BYTES_NONE at its end. */
static struct bytes
next_bytes(struct link_item *item, size_t most)
{
    static const uint8_t zeros[8] = {0};
    while (item->piece <= item->entries_count) {
        bool head = item->piece == 0;
        struct bytes whole = head ? buf_bytes(&item->head) : item->entries[item->piece - 1];
        size_t padding = head ? 0 : message_padding(whole.size);
        if (item->piece_at < whole.size + padding) {
            bool data = item->piece_at < whole.size;
            size_t left = whole.size + (data ? 0 : padding) - item->piece_at;
            struct bytes next =
                data ? bytes_make(whole.data + item->piece_at, left) : bytes_make(zeros, left);
            next.size = next.size < most ? next.size : most;
            item->piece_at += next.size;
            return next;
        }
        item->piece++;
        item->piece_at = 0;
    }
    return BYTES_NONE;
}

/* Puts the item's next frame behind what is there. */
static void
put_frame(struct filling *filling, struct link_item *item)
{
    bool whole = item->note || item->bytes <= QO_LINK_PART_BYTES;
    enum frame_type type = item->note       ? FRAME_NOTE
                           : whole          ? FRAME_MESSAGE
                           : item->cut == 0 ? FRAME_FIRST
                                            : FRAME_PART;
    static const uint8_t nothing[FRAME_HEADER];
    struct buf *copied = filling->copied;
    /* Written when the payload is known; what is copied does not move. */
    uint8_t *header = copied->data + copied->size;
    size_t payload_at = copied->size + FRAME_HEADER;
    add_piece(filling, bytes_make(nothing, FRAME_HEADER), false);
    if (type == FRAME_FIRST) {
        uint8_t total[FRAME_FIRST_BYTES];
        put_le32(total, (uint32_t)item->bytes);
        add_piece(filling, bytes_make(total, sizeof total), false);
    }
    /* The payload: what is copied since the header, and large pieces between. */
    struct bytes payload[LINK_PIECES_MAX];
    size_t payload_count = 0, left = QO_LINK_PART_BYTES;
    size_t copied_from = payload_at;
    for (struct bytes next = next_bytes(item, left); next.size > 0;
         next = left > 0 ? next_bytes(item, left) : BYTES_NONE) {
        bool borrowed = next.size >= LINK_COPY_BYTES && item->piece > 0;
        if (borrowed) {
            QO_ASSERT(payload_count + 3 <= LINK_PIECES_MAX);
            payload[payload_count++] =
                bytes_make(copied->data + copied_from, copied->size - copied_from);
            payload[payload_count++] = next;
            copied_from = copied->size;
        }
        add_piece(filling, next, borrowed);
        left -= next.size;
        item->cut += next.size;
    }
    payload[payload_count++] = bytes_make(copied->data + copied_from, copied->size - copied_from);
    frame_seal(header, type, payload, payload_count);
}

/* A frame holds a part whole, and at worst copies it. */
static bool
room_for(const struct filling *filling, const struct link_item *item)
{
    size_t left = item->bytes - item->cut;
    size_t frame = FRAME_HEADER + FRAME_FIRST_BYTES +
                   (left < QO_LINK_PART_BYTES ? left : (size_t)QO_LINK_PART_BYTES);
    return filling->count == 0 || filling->bytes + frame <= QO_LINK_WRITE_BYTES;
}

size_t
link_queue_fill(struct link_queue *queue, struct bytes pieces_out[LINK_PIECES_MAX])
{
    QO_PRE(queue->written.first == NULL);
    struct filling filling = {.copied = &queue->copied, .pieces = pieces_out};
    buf_clear(&queue->copied);
    for (;;) {
        struct link_items *lane = queue->front.first != NULL ? &queue->front : &queue->in_order;
        struct link_item *item = lane->first;
        if (item == NULL || !room_for(&filling, item)) {
            break;
        }
        (void)buf_reserve(&queue->copied, queue->copied.size == 0 ? COPIED_MAX : 0);
        put_frame(&filling, item);
        if (item->cut == item->bytes) {
            (void)link_items_pop(lane);
            queue->sign_waits = queue->sign_waits && !item->sign;
            link_items_add(&queue->written, item);
        }
    }
    return filling.count;
}

static void
forget(struct link_queue *queue, const struct link_item *item)
{
    if (item->note) {
        QO_ASSERT(queue->note_bytes >= item->bytes);
        queue->note_bytes -= item->bytes;
    } else {
        QO_ASSERT(queue->bytes >= item->bytes && queue->messages > 0);
        queue->bytes -= item->bytes;
        queue->messages--;
    }
}

struct link_items
link_queue_written(struct link_queue *queue)
{
    struct link_items written = queue->written;
    queue->written = (struct link_items){0};
    for (const struct link_item *item = written.first; item != NULL; item = item->next) {
        forget(queue, item);
    }
    return written;
}

struct link_items
link_queue_drain(struct link_queue *queue)
{
    struct link_items all = {0};
    struct link_items *const lanes[] = {&queue->written, &queue->in_order, &queue->front};
    for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++) {
        for (struct link_item *item; (item = link_items_pop(lanes[i])) != NULL;) {
            forget(queue, item);
            link_items_add(&all, item);
        }
    }
    QO_POST(queue->bytes == 0 && queue->messages == 0 && queue->note_bytes == 0);
    buf_free(&queue->copied);
    memset(queue, 0, sizeof *queue);
    return all;
}
