/* See log.h: appends, merged into writes; truncation. Thread: the loop. */
#include <string.h>

#include "log_record.h"
#include "log_state.h"

/* What goes into one write: so many entries that wait, in order. */
struct plan {
    uint32_t records;
    uint64_t bytes; /* Whole blocks. */
};

/* Entries may be taken from this request now: none behind a log that is about to be replaced. */
static bool
takes(const struct log *log, const struct log_append *request)
{
    bool held = log->publish != NULL && log->publish_replaces;
    return request != NULL && (!held || request->number <= log->publish_after);
}

static uint64_t
whole_blocks(uint64_t size)
{
    return (size + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
}

static struct plan
plan_write(const struct log *log, uint64_t room)
{
    struct plan plan = {0, 0};
    uint64_t bytes = 0;
    for (const struct log_append *request = log->waiting; takes(log, request);
         request = request->next) {
        for (size_t i = request->written; i < request->count; i++) {
            uint64_t more = log_record_bytes(request->entries[i].data.size);
            if (whole_blocks(bytes + more) > room) {
                plan.bytes = whole_blocks(bytes);
                return plan;
            }
            bytes += more;
            plan.records++;
        }
    }
    plan.bytes = whole_blocks(bytes);
    return plan;
}

/* Encodes `plan.records` records and moves requests that are whole in them to `written`. */
static void
encode_write(struct log *log, struct plan plan)
{
    uint32_t seed = log_seed(log, &log->segments[log->active]);
    uint64_t at = 0;
    for (uint32_t left = plan.records; left > 0; left--) {
        struct log_append *request = log->waiting;
        QO_ASSERT(request != NULL); /* The plan counted it. */
        const struct log_entry *entry = &request->entries[request->written];
        uint64_t index = request->first_index + request->written;
        struct log_record record = {
            .previous = log->chain,
            .sequence = log->sequence + 1,
            .index = index,
            .term = entry->term,
            .durable = log->durable,
            .type = entry->type,
            .flags = index <= log->index ? LOG_TRUNCATES : 0,
            .data = entry->data,
        };
        QO_ASSERT(index <= log->index + 1);
        QO_ASSERT(index > log->root.base_index);
        log_record_encode(seed, &record, log->write_buffer + at);
        if (left == plan.records) {
            log->write_first_index = index;
        }
        at += log_record_bytes(entry->data.size);
        log->sequence = record.sequence;
        log->index = index;
        log->chain = record.checksum;
        request->written++;
        if (request->written == request->count) {
            log->waiting = request->next;
            if (log->waiting == NULL) {
                log->waiting_end = &log->waiting;
            }
            request->next = NULL;
            *log->written_end = request;
            log->written_end = &request->next;
        }
    }
    memset(log->write_buffer + at, 0, plan.bytes - at);
}

/* Calls back `request` and all behind it, which are whole on the disk. Callbacks may append. */
static void
tell(struct log *log, struct log_append *request)
{
    while (request != NULL && !log->stopped) {
        struct log_append *next = request->next; /* `done` may free the request. */
        log->stored = request->number;
        request->done(request);
        request = next;
    }
}

static void
write_done(struct log_io *io)
{
    struct log *log = io->owner;
    if (log->stopped) {
        return;
    }
    if (io->error != 0) {
        char name[LOG_NAME_MAX];
        log_segment_name(log->segments[log->active].number, name);
        log_stop(log, FATAL_STORAGE, "cannot write the log (%s at %llu): %s", name,
                 (unsigned long long)io->offset, strerror(io->error));
        return;
    }
    struct log_segment *active = &log->segments[log->active];
    log->writing = false;
    log->writes++;
    log->position += log->write_io.size;
    log->durable = log->sequence;
    if (active->first_index == 0) {
        active->first_index = log->write_first_index;
    }
    struct log_append *whole = log->written;
    log->written = NULL;
    log->written_end = &log->written;
    log_pump(log); /* The disk does not wait for the callbacks. */
    tell(log, whole);
    log_publish_work(log);
    log_pump(log);
}

/* The next segment becomes the active one, if there will still be one behind it. */
static bool
roll(struct log *log)
{
    if (log_segments_ahead(log) < 2) {
        return false; /* Its preparation is under way and will pump. */
    }
    log->active++;
    log->position = LOG_BLOCK;
    log_segments_release(log);
    return true;
}

void
log_pump(struct log *log)
{
    if (log->stopped || log->writing || !takes(log, log->waiting)) {
        return;
    }
    log_segments_work(log);
    if (log_segments_ahead(log) < 1) {
        return; /* Its preparation will come back here. */
    }
    uint64_t room = log->root.segment_bytes - log->position;
    uint64_t bound = log->write_max;
    struct plan plan = plan_write(log, room < bound ? room : bound);
    if (plan.records == 0) {
        if (!roll(log)) {
            return;
        }
        room = log->root.segment_bytes - log->position;
        plan = plan_write(log, room < bound ? room : bound);
    }
    QO_ASSERT(plan.records > 0); /* log_append() saw to it that each entry fits a segment. */
    encode_write(log, plan);
    log->writing = true;
    log->write_io = (struct log_io){
        .kind = LOG_IO_WRITE,
        .lane = LOG_LANE_APPEND,
        .file = log->segments[log->active].file,
        .offset = log->position,
        .data = log->write_buffer,
        .size = plan.bytes,
        .done = write_done,
        .owner = log,
    };
    log->disk->submit(log->disk->context, &log->write_io);
}

void
log_append(struct log *log, struct log_append *request, const struct log_entry *entries,
           size_t count, void (*done)(struct log_append *request))
{
    QO_PRE(count > 0);
    for (size_t i = 0; i < count; i++) {
        QO_PRE(log_record_bytes(entries[i].data.size) <= log->root.segment_bytes - LOG_BLOCK);
    }
    request->entries = entries;
    request->count = count;
    request->written = 0;
    request->first_index = log->next_index;
    request->number = ++log->appended;
    request->done = done;
    request->next = NULL;
    *log->waiting_end = request;
    log->waiting_end = &request->next;
    log->next_index += count;
    log_pump(log);
}

bool
log_append_now(struct log *log, const struct log_entry *entry)
{
    struct log_append request = {.entries = entry, .count = 1, .number = 1};
    QO_PRE(log->appended == 0 && !log->writing);
    QO_PRE(log_record_bytes(entry->data.size) <= log->root.segment_bytes - LOG_BLOCK);
    if (log->root.segment_bytes - log->position <
        whole_blocks(log_record_bytes(entry->data.size))) {
        if (!roll(log)) {
            return false;
        }
    }
    request.first_index = log->next_index++;
    log->waiting = &request;
    log->waiting_end = &request.next;
    struct plan plan = plan_write(log, log->write_max);
    encode_write(log, plan);
    log->written = NULL;
    log->written_end = &log->written;
    int error = log->disk->write(log->disk->context, log->segments[log->active].file, log->position,
                                 log->write_buffer, (size_t)plan.bytes);
    log->position += plan.bytes;
    log->durable = log->sequence;
    if (log->segments[log->active].first_index == 0) {
        log->segments[log->active].first_index = request.first_index;
    }
    return error == 0;
}

void
log_truncate(struct log *log, uint64_t index)
{
    QO_PRE(index > log->root.snapshot_index);
    QO_PRE(QO_IMPLIES(log->publish != NULL, index > log->publish_root.snapshot_index));
    QO_PRE(index <= log->next_index);
    log->next_index = index;
}
