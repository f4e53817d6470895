/* See log.h: snapshots' manifests, and the log that begins anew behind one. Thread: the loop. */
#include <string.h>

#include "log_state.h"

static void manifest_done(struct log_io *io);

static void
submit_copy(struct log *log, uint64_t offset, uint64_t size)
{
    log->manifest_io = (struct log_io){
        .kind = LOG_IO_WRITE,
        .lane = LOG_LANE_BACKGROUND,
        .file = log->manifest.file,
        .offset = offset,
        .data = log->manifest.copy,
        .size = size,
        .done = manifest_done,
        .owner = log,
    };
    log->disk->submit(log->disk->context, &log->manifest_io);
}

void
log_publish_work(struct log *log)
{
    if (log->stopped || log->publish == NULL || log->publish_begun ||
        log->stored < log->publish_after) {
        return;
    }
    struct log_root *root = &log->publish_root;
    if (log->publish_replaces) {
        log_segments_work(log);
        if (log->writing || log_segments_ahead(log) < 2) {
            return; /* What is under way comes back here. */
        }
        root->first_serial = log->segments[log->active + 1].serial;
        root->first_sequence = log->sequence + 1;
        root->first_chain = log->chain;
        root->base_index = root->snapshot_index;
    }
    log->publish_begun = true;
    log_root_encode(root, log->publish_content.data);
    uint64_t size = log_pair_encode(&log->manifest, buf_bytes(&log->publish_content));
    log->manifest_copy = log->manifest.in_turn ? 1 : 0;
    submit_copy(log, log_pair_first(&log->manifest), size);
}

static void
published(struct log *log)
{
    struct log_publish *request = log->publish;
    log->root = log->publish_root;
    log->publish = NULL;
    log->publish_begun = false;
    buf_free(&log->publish_content);
    log->may_go = log->publish_may_go;
    if (log->publish_replaces) {
        log->active++;
        log->first = log->active;
        log->position = LOG_BLOCK;
        log->index = log->root.base_index;
    }
    log_segments_release(log);
    request->done(request);
    log_pump(log);
}

static void
manifest_done(struct log_io *io)
{
    struct log *log = io->owner;
    if (log->stopped) {
        return;
    }
    if (io->error != 0) {
        log_stop(log, FATAL_STORAGE, "cannot write the log's manifest: %s", strerror(io->error));
        return;
    }
    if (log->manifest_copy == 0) {
        log->manifest_copy = 1;
        submit_copy(log, log_pair_second(&log->manifest), io->size);
        return;
    }
    published(log);
}

static void
begin(struct log *log, struct log_publish *request, uint64_t index, uint64_t term,
      struct bytes manifest, void (*done)(struct log_publish *request))
{
    static const uint8_t room[LOG_ROOT_BYTES];
    QO_PRE(log->publish == NULL);
    QO_PRE(index > log->root.snapshot_index);
    QO_PRE(manifest.size + LOG_ROOT_BYTES + LOG_PAIR_HEADER <= log->manifest.copy_bytes);
    request->done = done;
    log->publish = request;
    log->publish_begun = false;
    log->publish_after = log->appended;
    log->publish_root = log->root;
    log->publish_root.snapshot_index = index;
    log->publish_root.snapshot_term = term;
    buf_clear(&log->publish_content);
    buf_append(&log->publish_content, room, sizeof room);
    buf_append(&log->publish_content, manifest.data, manifest.size);
}

void
log_publish(struct log *log, struct log_publish *request, uint64_t index, uint64_t term,
            uint64_t may_go, struct bytes manifest, void (*done)(struct log_publish *request))
{
    QO_PRE(index < log->next_index && may_go <= index);
    begin(log, request, index, term, manifest, done);
    log->publish_replaces = false;
    log->publish_may_go = may_go;
    log_publish_work(log);
}

void
log_replace(struct log *log, struct log_publish *request, uint64_t index, uint64_t term,
            struct bytes manifest, void (*done)(struct log_publish *request))
{
    begin(log, request, index, term, manifest, done);
    log->publish_replaces = true;
    log->publish_may_go = index;
    log->next_index = index + 1;
    log_publish_work(log);
}
