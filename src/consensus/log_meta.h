/*
 * log_meta: a small thing that is kept in two copies in one file.
 *
 * Copies begin at 0 and at half of the file, which is made in full size at birth:
 *
 *   offset  bytes
 *   0       4      CRC-32C of everything from 4 to the end of the content
 *   4       4      kind: which file this is
 *   8       8      version
 *   16      8      size of the content
 *   24      size   content
 *
 * The newest good copy counts. Written one after the other (vote, manifest), a copy that is damaged
 * later does not bring an older version back, because the other has the same; log_pair_repair()
 * writes it anew. Written in turn (mark), damage may bring the version before: enough for a lower
 * bound. Both copies bad is damage, never a crash.
 *
 * Thread: the loop; blocks, but for what log_pair_encode() is for.
 */
#ifndef CONSENSUS_LOG_META_H
#define CONSENSUS_LOG_META_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "log_disk.h"

enum { LOG_PAIR_HEADER = 24 };

enum log_pair_kind { LOG_PAIR_VOTE = 1, LOG_PAIR_MANIFEST, LOG_PAIR_MARK };

struct log_pair {
    enum log_pair_kind kind;
    int file;
    uint64_t copy_bytes;
    uint64_t version; /* The newest that was encoded or read. */
    unsigned newest;  /* The copy that was read by log_pair_open(). */
    bool in_turn;     /* Written to one copy only, to the other one the next time. */
    void *memory;
    uint8_t *copy; /* In `memory`, aligned: the copy encoded last. */
};

/* Aligned to LOG_BLOCK inside `*memory_out`, which is what mem_free() takes. Zeroed. */
uint8_t *log_blocks_alloc(uint64_t size, void **memory_out);

const char *log_pair_name(enum log_pair_kind kind);

/* Makes the file with `content` as version 1. Gives an errno. */
int log_pair_create(const struct log_disk *disk, enum log_pair_kind kind, uint64_t content_max,
                    struct bytes content);

/* Reads it; the newest content is appended to `content_out`. Gives an errno, or EBADMSG if no copy
 * is good. Writes nothing; `repair_out` says that the copies differ. */
int log_pair_open(struct log_pair *pair, const struct log_disk *disk, enum log_pair_kind kind,
                  struct buf *content_out, bool *repair_out);

/* Makes `content`, as the next version, ready to be written. Gives how many bytes to write from
 * pair->copy, first to log_pair_first(), then, unless written in turn, to log_pair_second(). */
uint64_t log_pair_encode(struct log_pair *pair, struct bytes content);

static inline uint64_t
log_pair_first(const struct log_pair *pair)
{
    return pair->in_turn ? pair->version % 2 * pair->copy_bytes : 0;
}

static inline uint64_t
log_pair_second(const struct log_pair *pair)
{
    return pair->copy_bytes;
}

/* Writes `content` as the next version. Gives an errno. */
int log_pair_write(struct log_pair *pair, const struct log_disk *disk, struct bytes content);

/* After log_pair_open(): makes the other copy the same as the newest, which is not touched: until
 * then it is all there is. Gives an errno. */
int log_pair_repair(struct log_pair *pair, const struct log_disk *disk, struct bytes content);

/* Closes the file too. A pair that is all zeros is left alone. */
void log_pair_free(struct log_pair *pair, const struct log_disk *disk);

#endif
