/*
 * log_segment: the files that hold records, and how they are prepared, recycled and removed.
 *
 * The first block of a segment is its header; records follow. The header stands in it twice, at 0
 * and at 2048, so that one flipped bit does no harm; log_open() writes a half one anew before
 * anything else, since a copy that stayed behind would come back when the other one goes:
 *
 *   offset  bytes
 *   0       8      "QOLOGSEG"
 *   8       4      format, 1
 *   12      4      CRC-32C of 16 to 40
 *   16      8      serial
 *   24      8      salt of this log
 *   32      8      size of the file
 *
 * Life: free (a new file, or one whose entries a snapshot holds), prepared (header with the next
 * serial written), active, full, free. One preparation or removal is under way at a time, the
 * lowest serial first, so serials on the disk are contiguous and at most one file has no good
 * header. A segment is written only when the next one is prepared: so a damaged header of one that
 * holds records leaves a gap in the serials, and is found.
 *
 * Thread: the loop; never blocks.
 */
#ifndef CONSENSUS_LOG_SEGMENT_H
#define CONSENSUS_LOG_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "log_disk.h"

struct log;

struct log_segment {
    int file;
    uint32_t number; /* Of its name. */
    uint64_t serial;
    uint64_t first_index; /* Of its first durable record; 0: none yet. */
    bool half;            /* Only one copy of its header is right. */
};

void log_segment_name(uint32_t number, char name_out[LOG_NAME_MAX]);

/* Fills the block at `block`. */
void log_header_encode(uint8_t *block, uint64_t salt, uint64_t serial, uint64_t size);
/* The serial of the header at `block`; 0: none of this log. `whole_out`: both copies say it. If
 * they differ, a crash came between: the newer one counts. */
uint64_t log_header_decode(const uint8_t *block, uint64_t salt, uint64_t size, bool *whole_out);

/* Begins what is to be done next in the background: a preparation, else a removal. */
void log_segments_work(struct log *log);

/* Lets segments go whose entries may go and that are over what is kept. */
void log_segments_release(struct log *log);

/* How many are prepared behind the active one. */
uint32_t log_segments_ahead(const struct log *log);

#endif
