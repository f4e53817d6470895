/* See log_meta.h. Thread: the loop. */
#include "log_meta.h"

#include <errno.h>

#include "common/assert.h"
#include "common/hash.h"

uint8_t *
log_blocks_alloc(uint64_t size, void **memory_out)
{
    *memory_out = mem_zalloc(size + LOG_BLOCK);
    uintptr_t at = (uintptr_t)*memory_out;
    return (uint8_t *)*memory_out + (LOG_BLOCK - at % LOG_BLOCK) % LOG_BLOCK;
}

const char *
log_pair_name(enum log_pair_kind kind)
{
    switch (kind) {
    case LOG_PAIR_VOTE:
        return "vote";
    case LOG_PAIR_MANIFEST:
        return "manifest";
    case LOG_PAIR_MARK:
        return "mark";
    }
    QO_ASSERT(false);
    return "";
}

static uint64_t
whole_blocks(uint64_t size)
{
    return (size + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
}

static uint32_t
checksum_of(const uint8_t *copy, uint64_t size)
{
    return hash_crc32c(bytes_make(copy + 4, LOG_PAIR_HEADER - 4 + size));
}

uint64_t
log_pair_encode(struct log_pair *pair, struct bytes content)
{
    uint64_t size = LOG_PAIR_HEADER + content.size;
    uint8_t *copy = pair->copy;
    QO_PRE(size <= pair->copy_bytes);
    pair->version++;
    put_le32(copy + 4, (uint32_t)pair->kind);
    put_le64(copy + 8, pair->version);
    put_le64(copy + 16, content.size);
    if (content.size > 0) {
        memcpy(copy + LOG_PAIR_HEADER, content.data, content.size);
    }
    put_le32(copy, checksum_of(copy, content.size));
    memset(copy + size, 0, whole_blocks(size) - size);
    return whole_blocks(size);
}

int
log_pair_write(struct log_pair *pair, const struct log_disk *disk, struct bytes content)
{
    uint64_t size = log_pair_encode(pair, content);
    int error =
        disk->write(disk->context, pair->file, log_pair_first(pair), pair->copy, (size_t)size);
    if (error == 0 && !pair->in_turn) {
        error =
            disk->write(disk->context, pair->file, log_pair_second(pair), pair->copy, (size_t)size);
    }
    return error;
}

int
log_pair_create(const struct log_disk *disk, enum log_pair_kind kind, uint64_t content_max,
                struct bytes content)
{
    struct log_pair pair = {.kind = kind,
                            .copy_bytes = whole_blocks(LOG_PAIR_HEADER + content_max)};
    int error = disk->create(disk->context, log_pair_name(kind), 2 * pair.copy_bytes, &pair.file);
    if (error == 0) {
        pair.copy = log_blocks_alloc(pair.copy_bytes, &pair.memory);
        error = log_pair_write(&pair, disk, content);
        log_pair_free(&pair, disk);
    }
    return error;
}

int
log_pair_repair(struct log_pair *pair, const struct log_disk *disk, struct bytes content)
{
    pair->version--; /* The same version, again. */
    uint64_t size = log_pair_encode(pair, content);
    return disk->write(disk->context, pair->file, pair->newest == 0 ? pair->copy_bytes : 0,
                       pair->copy, (size_t)size);
}

static bool
copy_good(const struct log_pair *pair, const uint8_t *copy)
{
    uint64_t size = get_le64(copy + 16);
    return get_le32(copy + 4) == (uint32_t)pair->kind && get_le64(copy + 8) > 0 &&
           size <= pair->copy_bytes - LOG_PAIR_HEADER && get_le32(copy) == checksum_of(copy, size);
}

int
log_pair_open(struct log_pair *pair, const struct log_disk *disk, enum log_pair_kind kind,
              struct buf *content_out, bool *repair_out)
{
    uint64_t size;
    *pair = (struct log_pair){.kind = kind};
    int error = disk->open(disk->context, log_pair_name(kind), &pair->file, &size);
    if (error != 0) {
        return error;
    }
    if (size == 0 || size % (2 * (uint64_t)LOG_BLOCK) != 0) {
        disk->close(disk->context, pair->file);
        return EBADMSG;
    }
    pair->copy_bytes = size / 2;
    pair->copy = log_blocks_alloc(pair->copy_bytes, &pair->memory);
    void *memory;
    uint8_t *both = log_blocks_alloc(size, &memory);
    error = disk->read(disk->context, pair->file, 0, both, (size_t)size);
    const uint8_t *newest = NULL;
    uint64_t versions[2] = {0, 0};
    for (unsigned i = 0; i < 2 && error == 0; i++) {
        const uint8_t *copy = both + i * pair->copy_bytes;
        versions[i] = copy_good(pair, copy) ? get_le64(copy + 8) : 0;
        if (versions[i] > pair->version) {
            pair->version = versions[i];
            newest = copy;
            pair->newest = i;
        }
    }
    *repair_out = versions[0] != versions[1];
    if (error == 0 && newest == NULL) {
        error = EBADMSG;
    }
    if (error == 0) {
        buf_append(content_out, newest + LOG_PAIR_HEADER, (size_t)get_le64(newest + 16));
    }
    mem_free(memory);
    return error;
}

void
log_pair_free(struct log_pair *pair, const struct log_disk *disk)
{
    if (pair->copy_bytes > 0) {
        disk->close(disk->context, pair->file);
        mem_free(pair->memory);
    }
    *pair = (struct log_pair){.copy_bytes = 0};
}
