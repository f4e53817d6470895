/* See log.h: birth, opening, term and vote, the mark, the end. Thread: the loop. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log_record.h"
#include "log_state.h"

/* -- Failure ----------------------------------------------------------------------------------- */

bool
log_refuse(struct log_failure *failure_out, enum fatal_reason reason, const char *format, ...)
{
    va_list arguments;
    failure_out->reason = reason;
    va_start(arguments, format);
    (void)vsnprintf(failure_out->text, sizeof failure_out->text, format, arguments);
    va_end(arguments);
    return false;
}

void
log_stop(struct log *log, enum fatal_reason reason, const char *format, ...)
{
    char text[sizeof((struct log_failure *)0)->text];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (log->stopped) {
        return;
    }
    log->stopped = true;
    if (log->options.stop == NULL) {
        qo_fatal(reason, "%s", text);
    }
    log->options.stop(log->options.stop_context, reason, text);
}

/* -- The root ---------------------------------------------------------------------------------- */

void
log_root_encode(const struct log_root *root, uint8_t out[LOG_ROOT_BYTES])
{
    put_le64(out, root->salt);
    put_le64(out + 8, root->segment_bytes);
    put_le64(out + 16, root->first_serial);
    put_le64(out + 24, root->first_sequence);
    put_le64(out + 32, root->base_index);
    put_le32(out + 40, root->first_chain);
    put_le32(out + 44, 0);
    put_le64(out + 48, root->snapshot_index);
    put_le64(out + 56, root->snapshot_term);
}

bool
log_root_decode(struct bytes content, struct log_root *root_out)
{
    struct cursor cursor = cursor_of(content);
    const uint8_t *at = cursor_take(&cursor, LOG_ROOT_BYTES);
    if (at == NULL) {
        return false;
    }
    *root_out = (struct log_root){
        .salt = get_le64(at),
        .segment_bytes = get_le64(at + 8),
        .first_serial = get_le64(at + 16),
        .first_sequence = get_le64(at + 24),
        .base_index = get_le64(at + 32),
        .first_chain = get_le32(at + 40),
        .snapshot_index = get_le64(at + 48),
        .snapshot_term = get_le64(at + 56),
    };
    return root_out->segment_bytes % LOG_BLOCK == 0 &&
           root_out->segment_bytes >= UINT64_C(2) * LOG_BLOCK &&
           root_out->segment_bytes <= QO_LOG_SEGMENT_BYTES_MAX && root_out->first_serial > 0 &&
           root_out->first_sequence > 0;
}

uint32_t
log_seed(const struct log *log, const struct log_segment *segment)
{
    bool seeded = (log->options.without & LOG_WITHOUT_SEED) == 0;
    return seeded ? log_record_seed(log->root.salt, segment->serial) : 0;
}

/* -- Birth ------------------------------------------------------------------------------------- */

static int
create_segments(const struct log_disk *disk, const struct log_root *root)
{
    void *memory;
    uint8_t *header = log_blocks_alloc(LOG_BLOCK, &memory);
    int error = 0;
    for (uint32_t i = 0; i <= QO_LOG_SEGMENTS_AHEAD && error == 0; i++) {
        char name[LOG_NAME_MAX];
        int file;
        log_segment_name(i, name);
        log_header_encode(header, root->salt, i + 1, root->segment_bytes);
        error = disk->create(disk->context, name, root->segment_bytes, &file);
        if (error == 0) {
            error = disk->write(disk->context, file, 0, header, LOG_BLOCK);
            disk->close(disk->context, file);
        }
    }
    mem_free(memory);
    return error;
}

bool
log_create(const struct log_disk *disk, const struct log_shape *shape,
           struct log_failure *failure_out)
{
    struct log_root root = {
        .salt = shape->salt,
        .segment_bytes = shape->segment_bytes != 0 ? shape->segment_bytes : QO_LOG_SEGMENT_BYTES,
        .first_serial = 1,
        .first_sequence = 1,
    };
    uint64_t manifest_max =
        shape->manifest_bytes_max != 0 ? shape->manifest_bytes_max : QO_LOG_MANIFEST_BYTES_MAX;
    uint8_t root_bytes[LOG_ROOT_BYTES], vote[LOG_VOTE_BYTES] = {1}, mark[LOG_MARK_BYTES] = {0};
    QO_PRE(root.segment_bytes % LOG_BLOCK == 0 && root.segment_bytes >= UINT64_C(2) * LOG_BLOCK);
    QO_PRE(root.segment_bytes <= QO_LOG_SEGMENT_BYTES_MAX);
    log_root_encode(&root, root_bytes);

    int error = create_segments(disk, &root);
    error = error != 0
                ? error
                : log_pair_create(disk, LOG_PAIR_MARK, sizeof mark, bytes_make(mark, sizeof mark));
    error = error != 0
                ? error
                : log_pair_create(disk, LOG_PAIR_VOTE, sizeof vote, bytes_make(vote, sizeof vote));
    error = error != 0 ? error
                       : log_pair_create(disk, LOG_PAIR_MANIFEST, LOG_ROOT_BYTES + manifest_max,
                                         bytes_make(root_bytes, sizeof root_bytes));
    return error == 0 ||
           log_refuse(failure_out, FATAL_STORAGE, "cannot make the log: %s", strerror(error));
}

/* -- Opening ----------------------------------------------------------------------------------- */

static bool
open_pair(struct log *log, struct log_pair *pair, enum log_pair_kind kind, struct buf *content_out,
          bool *repair_out, struct log_failure *failure_out)
{
    int error = log_pair_open(pair, log->disk, kind, content_out, repair_out);
    if (error == 0) {
        return true;
    }
    if (error == EBADMSG) {
        return log_refuse(failure_out, FATAL_CORRUPT,
                          "file '%s' of the log: neither copy has a good checksum (offsets 0 and "
                          "%llu). Replace this member; do not copy the file from another one",
                          log_pair_name(kind), (unsigned long long)pair->copy_bytes);
    }
    return log_refuse(failure_out, error == ENOENT ? FATAL_DIRECTORY : FATAL_STORAGE,
                      "file '%s' of the log cannot be read: %s. If it is gone, replace this "
                      "member: without it, it could vote twice or forget what it told",
                      log_pair_name(kind), strerror(error));
}

static struct bytes
vote_bytes(const struct log *log, uint8_t out[LOG_VOTE_BYTES])
{
    put_le64(out, log->term);
    put_le64(out + 8, log->voted);
    return bytes_make(out, LOG_VOTE_BYTES);
}

static bool
open_meta(struct log *log, uint64_t *mark_out, bool repair_out[2], struct log_failure *failure_out)
{
    struct buf vote = {0}, mark = {0};
    bool turn;
    bool right = open_pair(log, &log->vote, LOG_PAIR_VOTE, &vote, &repair_out[0], failure_out) &&
                 open_pair(log, &log->mark, LOG_PAIR_MARK, &mark, &turn, failure_out) &&
                 open_pair(log, &log->manifest, LOG_PAIR_MANIFEST, &log->loaded_manifest,
                           &repair_out[1], failure_out);
    if (right) {
        right = vote.size == LOG_VOTE_BYTES && mark.size == LOG_MARK_BYTES &&
                log_root_decode(buf_bytes(&log->loaded_manifest), &log->root);
        if (!right) {
            (void)log_refuse(failure_out, FATAL_CORRUPT,
                             "a file of the log (vote, mark or manifest) was written by another "
                             "version of this program");
        }
    }
    if (right) {
        log->term = get_le64(vote.data);
        log->voted = get_le64(vote.data + 8);
        *mark_out = get_le64(mark.data);
        bool in_turn = (log->options.without & LOG_WITHOUT_COPY) != 0;
        log->mark.in_turn = true;
        log->vote.in_turn = log->manifest.in_turn = in_turn;
    }
    buf_free(&vote);
    buf_free(&mark);
    return right;
}

/* Both copies the same again, before one of them is all there is. */
static bool
repair(struct log *log, const bool repairs[2], struct log_failure *failure_out)
{
    uint8_t vote[LOG_VOTE_BYTES];
    int error = 0;
    if (repairs[0] && !log->vote.in_turn) {
        error = log_pair_repair(&log->vote, log->disk, vote_bytes(log, vote));
    }
    if (error == 0 && repairs[1] && !log->manifest.in_turn) {
        error = log_pair_repair(&log->manifest, log->disk, buf_bytes(&log->loaded_manifest));
    }
    return error == 0 || log_refuse(failure_out, FATAL_STORAGE,
                                    "cannot write a copy of vote or manifest: %s", strerror(error));
}

struct log *
log_open(const struct log_options *options, struct log_failure *failure_out)
{
    struct log *log = mem_zalloc(sizeof *log);
    uint64_t mark = 0;
    bool repairs[2] = {false, false};
    log->disk = options->disk;
    log->options = *options;
    log->waiting_end = &log->waiting;
    log->written_end = &log->written;
    log->segments = mem_zalloc(QO_LOG_SEGMENTS_MAX * sizeof *log->segments);
    log->header = log_blocks_alloc(LOG_BLOCK, &log->header_memory);
    if (!open_meta(log, &mark, repairs, failure_out) || !log_recover(log, mark, failure_out) ||
        !repair(log, repairs, failure_out)) {
        log_free(log);
        return NULL;
    }
    uint64_t write_max = QO_LOG_WRITE_BYTES_MAX;
    if (write_max > log->root.segment_bytes) {
        write_max = log->root.segment_bytes;
    }
    log->write_buffer = log_blocks_alloc(write_max, &log->write_memory);
    log->write_max = write_max;
    log->marked = mark < log->durable ? mark : log->durable;
    log->may_go = log->root.base_index;
    log->loaded.salt = log->root.salt;
    log->loaded.term = log->term;
    log->loaded.vote = log->voted;
    log->loaded.snapshot_index = log->root.snapshot_index;
    log->loaded.snapshot_term = log->root.snapshot_term;
    log->loaded.manifest = bytes_make(log->loaded_manifest.data + LOG_ROOT_BYTES,
                                      log->loaded_manifest.size - LOG_ROOT_BYTES);
    return log;
}

const struct log_loaded *
log_loaded(const struct log *log)
{
    return &log->loaded;
}

void
log_forget_loaded(struct log *log)
{
    for (uint32_t i = 0; i < log->loaded_memory_count; i++) {
        mem_free(log->loaded_memory[i]);
    }
    mem_free(log->loaded_memory);
    mem_free(log->loaded_entries);
    buf_free(&log->loaded_manifest);
    log->loaded_memory = NULL;
    log->loaded_memory_count = 0;
    log->loaded_entries = NULL;
    log->loaded = (struct log_loaded){0};
}

void
log_free(struct log *log)
{
    log_forget_loaded(log);
    log_pair_free(&log->vote, log->disk);
    log_pair_free(&log->mark, log->disk);
    log_pair_free(&log->manifest, log->disk);
    for (uint32_t i = 0; i < log->count; i++) {
        log->disk->close(log->disk->context, log->segments[i].file);
    }
    if (log->has_blank) {
        log->disk->close(log->disk->context, log->blank.file);
    }
    buf_free(&log->publish_content);
    mem_free(log->segments);
    mem_free(log->header_memory);
    mem_free(log->write_memory);
    mem_free(log);
}

/* -- Term and vote ----------------------------------------------------------------------------- */

static void
store_vote(struct log *log)
{
    uint8_t vote[LOG_VOTE_BYTES];
    if (log->stopped) {
        return;
    }
    int error = log_pair_write(&log->vote, log->disk, vote_bytes(log, vote));
    if (error != 0) {
        log_stop(log, FATAL_STORAGE, "cannot store term %llu and vote %llu: %s",
                 (unsigned long long)log->term, (unsigned long long)log->voted, strerror(error));
    }
}

void
log_set_term(struct log *log, uint64_t term)
{
    QO_PRE(term >= log->term);
    log->term = term;
    log->voted = 0;
    store_vote(log);
}

void
log_set_vote(struct log *log, uint64_t vote)
{
    QO_PRE(QO_IMPLIES(log->voted != 0, log->voted == vote)); /* One vote in a term. */
    log->voted = vote;
    store_vote(log);
}

/* -- The mark ---------------------------------------------------------------------------------- */

static void
mark_done(struct log_io *io)
{
    struct log *log = io->owner;
    if (log->stopped) {
        return;
    }
    log->marking = false;
    if (io->error != 0) {
        log_stop(log, FATAL_STORAGE, "cannot write the log's mark: %s", strerror(io->error));
        return;
    }
    log->marked = log->mark_next;
}

static void
begin_mark(struct log *log)
{
    uint8_t mark[LOG_MARK_BYTES];
    log->mark_next = log->durable;
    put_le64(mark, log->durable);
    uint64_t size = log_pair_encode(&log->mark, bytes_make(mark, sizeof mark));
    log->mark_io = (struct log_io){
        .kind = LOG_IO_WRITE,
        .lane = LOG_LANE_BACKGROUND,
        .file = log->mark.file,
        .offset = log_pair_first(&log->mark),
        .data = log->mark.copy,
        .size = size,
        .done = mark_done,
        .owner = log,
    };
    log->marking = true;
    log->disk->submit(log->disk->context, &log->mark_io);
}

void
log_tick(struct log *log)
{
    if (log->stopped) {
        return;
    }
    log->no_room = false;
    log_segments_work(log);
    log->ticks++;
    if (log->ticks >= QO_LOG_MARK_TICKS && !log->marking && log->marked < log->durable) {
        log->ticks = 0;
        begin_mark(log);
    }
}

void
log_status(const struct log *log, struct log_status *status_out)
{
    *status_out = (struct log_status){
        .snapshot_index = log->root.snapshot_index,
        .next_index = log->next_index,
        .sequence = log->sequence,
        .durable = log->durable,
        .mark = log->marked,
        .writes = log->writes,
        .live_bytes = (log->active - log->first + 1) * log->root.segment_bytes,
        .segments = log->count + (log->has_blank ? 1 : 0),
        .ahead = log_segments_ahead(log),
        .writing = log->writing,
    };
}
