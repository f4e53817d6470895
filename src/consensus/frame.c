/* See frame.h. Thread: any; pure. */
#include "frame.h"

#include "common/assert.h"
#include "common/hash.h"

void
frame_seal(uint8_t header[FRAME_HEADER], enum frame_type type, const struct bytes *pieces,
           size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += pieces[i].size;
    }
    QO_PRE(size <= FRAME_PAYLOAD_MAX);
    memset(header, 0, FRAME_HEADER);
    put_le32(header + 4, (uint32_t)size);
    header[8] = (uint8_t)type;
    uint32_t crc = hash_crc32c(bytes_make(header + 4, FRAME_HEADER - 4));
    for (size_t i = 0; i < count; i++) {
        crc = pieces[i].size == 0 ? crc : hash_crc32c_more(crc, pieces[i]);
    }
    put_le32(header, crc);
}

void
frame_put(struct buf *out, enum frame_type type, struct bytes payload)
{
    uint8_t header[FRAME_HEADER];
    frame_seal(header, type, &payload, 1);
    buf_append(out, header, sizeof header);
    buf_append(out, payload.data, payload.size);
}

enum frame_reading
frame_read(struct bytes from, struct frame *frame_out)
{
    if (from.size < FRAME_HEADER) {
        return FRAME_INCOMPLETE;
    }
    uint32_t size = get_le32(from.data + 4);
    if (size > FRAME_PAYLOAD_MAX) {
        return FRAME_DAMAGED;
    }
    if (from.size - FRAME_HEADER < size) {
        return FRAME_INCOMPLETE;
    }
    uint32_t crc = hash_crc32c(bytes_make(from.data + 4, FRAME_HEADER - 4 + size));
    *frame_out = (struct frame){from.data[8], bytes_make(from.data + FRAME_HEADER, size)};
    return crc == get_le32(from.data) ? FRAME_WHOLE : FRAME_DAMAGED;
}
