/* See log_segment.h. Thread: the loop. */
#include "log_segment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/hash.h"
#include "common/log.h"
#include "log_state.h"

enum { HEADER_BYTES = 40, HEADER_SECOND = LOG_BLOCK / 2, FORMAT = 1 };
static const char magic[8] = {'Q', 'O', 'L', 'O', 'G', 'S', 'E', 'G'};

void
log_segment_name(uint32_t number, char name_out[LOG_NAME_MAX])
{
    (void)snprintf(name_out, LOG_NAME_MAX, "segment-%04u", number);
}

void
log_header_encode(uint8_t *block, uint64_t salt, uint64_t serial, uint64_t size)
{
    memset(block, 0, LOG_BLOCK);
    memcpy(block, magic, sizeof magic);
    put_le32(block + 8, FORMAT);
    put_le64(block + 16, serial);
    put_le64(block + 24, salt);
    put_le64(block + 32, size);
    put_le32(block + 12, hash_crc32c(bytes_make(block + 16, HEADER_BYTES - 16)));
    memcpy(block + HEADER_SECOND, block, HEADER_BYTES);
}

uint64_t
log_header_decode(const uint8_t *block, uint64_t salt, uint64_t size, bool *whole_out)
{
    uint64_t serials[2] = {0, 0};
    for (unsigned copy = 0; copy < 2; copy++) {
        const uint8_t *header = block + (size_t)copy * HEADER_SECOND;
        if (memcmp(header, magic, sizeof magic) == 0 && get_le32(header + 8) == FORMAT &&
            get_le32(header + 12) == hash_crc32c(bytes_make(header + 16, HEADER_BYTES - 16)) &&
            get_le64(header + 24) == salt && get_le64(header + 32) == size) {
            serials[copy] = get_le64(header + 16);
        }
    }
    *whole_out = serials[0] == serials[1];
    return serials[0] > serials[1] ? serials[0] : serials[1];
}

uint32_t
log_segments_ahead(const struct log *log)
{
    return log->count - 1 - log->active;
}

static void
forget(struct log *log, uint32_t at)
{
    QO_PRE(at < log->first);
    memmove(&log->segments[at], &log->segments[at + 1],
            (log->count - at - 1) * sizeof *log->segments);
    log->count--;
    log->first--;
    log->active--;
}

static void work_done(struct log_io *io);

static void
submit(struct log *log, enum log_work work, struct log_io io)
{
    log->work = work;
    io.lane = LOG_LANE_BACKGROUND;
    io.owner = log;
    io.done = work_done;
    log->work_io = io;
    log->disk->submit(log->disk->context, &log->work_io);
}

static void
write_header(struct log *log)
{
    QO_PRE(log->has_blank);
    log->blank.serial = log->segments[log->count - 1].serial + 1;
    log->blank.first_index = 0;
    log->blank.half = false;
    log_header_encode(log->header, log->root.salt, log->blank.serial, log->root.segment_bytes);
    submit(
        log, LOG_WORK_HEADER,
        (struct log_io){
            .kind = LOG_IO_WRITE, .file = log->blank.file, .data = log->header, .size = LOG_BLOCK});
}

static uint32_t
unused_number(const struct log *log)
{
    for (uint32_t number = 0;; number++) { /* Ends: there are `count` names in use. */
        bool used = false;
        for (uint32_t i = 0; i < log->count && !used; i++) {
            used = log->segments[i].number == number;
        }
        if (!used) {
            return number;
        }
    }
}

static void
create(struct log *log)
{
    struct log_io io = {.kind = LOG_IO_CREATE, .size = log->root.segment_bytes};
    log->blank.number = unused_number(log);
    log_segment_name(log->blank.number, io.name);
    submit(log, LOG_WORK_CREATE, io);
}

/* The lowest serial goes first, so that no gap appears. */
static void
remove_lowest(struct log *log)
{
    struct log_io io = {.kind = LOG_IO_REMOVE, .file = log->segments[0].file};
    log_segment_name(log->segments[0].number, io.name);
    forget(log, 0);
    submit(log, LOG_WORK_REMOVE, io);
}

void
log_segments_work(struct log *log)
{
    if (log->stopped || log->no_room || log->work != LOG_WORK_NONE) {
        return;
    }
    if (log_segments_ahead(log) < QO_LOG_SEGMENTS_AHEAD) {
        if (!log->has_blank && log->first > 0) {
            log->blank = log->segments[0];
            log->has_blank = true;
            forget(log, 0);
        }
        if (log->has_blank) {
            write_header(log);
        } else if (log->count < QO_LOG_SEGMENTS_MAX) {
            create(log);
        } else {
            log_stop(log, FATAL_STORAGE, "the log has %u segments and no snapshot lets one go",
                     log->count);
        }
    } else if (log->first > QO_LOG_SEGMENTS_FREE_MAX) {
        remove_lowest(log);
    }
}

static void
work_done(struct log_io *io)
{
    static struct log_limit limit;
    struct log *log = io->owner;
    enum log_work work = log->work;
    if (log->stopped) {
        return;
    }
    log->work = LOG_WORK_NONE;
    if (work == LOG_WORK_CREATE && (io->error == ENOSPC || io->error == EDQUOT)) {
        log_limited(&limit, LOG_ERROR, "log_no_room", "segment=%s bytes=%llu", io->name,
                    (unsigned long long)io->size);
        log->no_room = true;
        return;
    }
    if (io->error != 0) {
        log_stop(log, FATAL_STORAGE, "cannot prepare or remove a segment of the log (%s): %s",
                 io->name, strerror(io->error));
        return;
    }
    if (work == LOG_WORK_CREATE) {
        log->blank.file = io->file;
        log->has_blank = true;
    } else if (work == LOG_WORK_HEADER) {
        log->segments[log->count++] = log->blank;
        log->has_blank = false;
    }
    log_segments_work(log);
    log_publish_work(log);
    log_pump(log);
}

void
log_segments_release(struct log *log)
{
    uint64_t live = log->active - log->first + 1;
    while (log->first < log->active && live * log->root.segment_bytes > log->options.keep_bytes &&
           log->segments[log->first + 1].first_index != 0 &&
           log->segments[log->first + 1].first_index <= log->may_go + 1) {
        log->first++;
        live--;
    }
    log_segments_work(log);
}
