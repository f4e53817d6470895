/*
 * log_record: an entry as it lies in a segment. Little-endian, aligned to 8 bytes.
 *
 *   offset  bytes
 *   0       4      checksum: CRC-32C of everything from 4 to the end of the entry, begun with the
 *                  segment's seed
 *   4       4      size of the entry
 *   8       4      the checksum of the record before it
 *   12      1      type
 *   13      1      flags
 *   14      2      zero
 *   16      8      sequence
 *   24      8      index
 *   32      8      term
 *   40      8      durable: all records up to this sequence were durable when this was written
 *   48      size   the entry; then zeros to a multiple of 8
 *
 * The next record follows at once, or on the next block if it belongs to another write.
 *
 * `durable` counts in sequences, because an index comes again after a truncation: a record that
 * says "index 7 is durable" would not say which.
 *
 * Thread: any; pure.
 */
#ifndef CONSENSUS_LOG_RECORD_H
#define CONSENSUS_LOG_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

enum { LOG_RECORD_HEADER = 48 };

/* Flag: its index is not above the last one; what is there and above is dropped. */
enum { LOG_TRUNCATES = 1 };

struct log_record {
    uint32_t checksum, previous;
    uint64_t sequence, index, term, durable;
    uint8_t type, flags;
    struct bytes data;
};

/* What checksums in a segment begin with: no entry can hold bytes that look like a record, and what
 * a recycled segment held before is nothing. */
uint32_t log_record_seed(uint64_t salt, uint64_t serial);

/* Bytes of a record whose entry has `size`. */
static inline uint64_t
log_record_bytes(uint64_t size)
{
    return (LOG_RECORD_HEADER + size + 7) / 8 * 8;
}

/* Writes log_record_bytes(record->data.size) bytes and sets record->checksum. */
void log_record_encode(uint32_t seed, struct log_record *record, uint8_t *at);

/* Reads the record that begins at `from`, whose data will point in there. False: there is none. */
bool log_record_decode(uint32_t seed, struct bytes from, struct log_record *record_out);

/* True if a record of a sequence above `above` may begin here, by a look at its header alone. */
bool log_record_plausible(struct bytes from, uint64_t above);

#endif
