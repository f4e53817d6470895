/* See log_record.h. Thread: any; pure. */
#include "log_record.h"

#include "common/assert.h"
#include "common/hash.h"
#include "common/limits.h"

uint32_t
log_record_seed(uint64_t salt, uint64_t serial)
{
    uint8_t both[16];
    put_le64(both, salt);
    put_le64(both + 8, serial);
    return hash_crc32c(bytes_make(both, sizeof both));
}

static uint32_t
checksum_of(uint32_t seed, const uint8_t *at, uint64_t size)
{
    return hash_crc32c_more(seed, bytes_make(at + 4, LOG_RECORD_HEADER - 4 + size));
}

void
log_record_encode(uint32_t seed, struct log_record *record, uint8_t *at)
{
    size_t size = record->data.size;
    QO_PRE(size <= QO_ENTRY_BYTES_MAX);
    QO_PRE(record->durable < record->sequence);
    memset(at, 0, LOG_RECORD_HEADER);
    put_le32(at + 4, (uint32_t)size);
    put_le32(at + 8, record->previous);
    at[12] = record->type;
    at[13] = record->flags;
    put_le64(at + 16, record->sequence);
    put_le64(at + 24, record->index);
    put_le64(at + 32, record->term);
    put_le64(at + 40, record->durable);
    if (size > 0) {
        memcpy(at + LOG_RECORD_HEADER, record->data.data, size);
    }
    memset(at + LOG_RECORD_HEADER + size, 0, log_record_bytes(size) - LOG_RECORD_HEADER - size);
    record->checksum = checksum_of(seed, at, size);
    put_le32(at, record->checksum);
}

bool
log_record_plausible(struct bytes from, uint64_t above)
{
    if (from.size < LOG_RECORD_HEADER) {
        return false;
    }
    uint64_t sequence = get_le64(from.data + 16);
    return log_record_bytes(get_le32(from.data + 4)) <= from.size &&
           get_le32(from.data + 4) <= QO_ENTRY_BYTES_MAX && sequence > above &&
           get_le64(from.data + 40) < sequence && get_le64(from.data + 24) > 0;
}

bool
log_record_decode(uint32_t seed, struct bytes from, struct log_record *record_out)
{
    if (!log_record_plausible(from, 0)) {
        return false;
    }
    const uint8_t *at = from.data;
    uint32_t size = get_le32(at + 4);
    *record_out = (struct log_record){
        .checksum = get_le32(at),
        .previous = get_le32(at + 8),
        .sequence = get_le64(at + 16),
        .index = get_le64(at + 24),
        .term = get_le64(at + 32),
        .durable = get_le64(at + 40),
        .type = at[12],
        .flags = at[13],
        .data = bytes_make(at + LOG_RECORD_HEADER, size),
    };
    return record_out->checksum == checksum_of(seed, at, size);
}
