/* log_state: struct log, shared by log*.c. Thread: the loop. */
#ifndef CONSENSUS_LOG_STATE_H
#define CONSENSUS_LOG_STATE_H

#include "log.h"
#include "log_meta.h"
#include "log_segment.h"

/* The content of the file `manifest`, before the snapshot's own bytes. The log begins with the
 * segment `first_serial`, with the record `first_sequence`, behind one whose checksum is
 * `first_chain` and whose index is `base_index`. Later segments are the first once those before
 * are gone. */
struct log_root {
    uint64_t salt, segment_bytes;
    uint64_t first_serial, first_sequence, base_index;
    uint32_t first_chain;
    uint64_t snapshot_index, snapshot_term;
};
enum { LOG_ROOT_BYTES = 64, LOG_VOTE_BYTES = 16, LOG_MARK_BYTES = 8 };

enum log_work { LOG_WORK_NONE, LOG_WORK_CREATE, LOG_WORK_HEADER, LOG_WORK_REMOVE };

struct log {
    const struct log_disk *disk;
    struct log_options options;
    bool stopped;

    /* Segments, by serial: those below `first` are free, `active` is written, the rest is ahead. */
    struct log_segment *segments;
    uint32_t count, first, active;
    struct log_segment blank; /* A file without a header, or the one being prepared. */
    bool has_blank;
    enum log_work work;
    bool no_room; /* Until the next tick. */
    struct log_io work_io;
    void *header_memory;
    uint8_t *header;

    /* Where the next record goes, and what it says. */
    uint64_t position; /* In the active segment; on a block. */
    uint64_t sequence; /* Of the last record written or being written. */
    uint64_t index;    /* The same for its index. */
    uint32_t chain;    /* Its checksum. */
    uint64_t durable;  /* The last durable sequence. */

    /* What is under way. */
    struct log_io write_io;
    void *write_memory;
    uint8_t *write_buffer;
    bool writing;
    uint64_t write_max, write_first_index, writes;
    struct log_append *waiting, **waiting_end; /* Not whole in a write that began. */
    struct log_append *written, **written_end; /* Whole, but the write is not done. */
    uint64_t next_index;                       /* Of the next entry appended. */
    uint64_t appended, stored;                 /* Requests: numbers of the last. */

    struct log_pair vote, manifest, mark;
    uint64_t term, voted;

    /* Publishing. */
    struct log_root root;
    struct log_publish *publish; /* NULL: none. */
    struct log_root publish_root;
    struct buf publish_content;
    uint64_t publish_after; /* The request that must be stored before. */
    uint64_t publish_may_go;
    bool publish_replaces, publish_begun;
    struct log_io manifest_io;
    unsigned manifest_copy;
    uint64_t may_go; /* Entries up to here may be removed. */

    struct log_io mark_io;
    bool marking;
    uint64_t marked, mark_next; /* Durable; being written. */
    unsigned ticks;

    struct log_loaded loaded;
    struct log_entry *loaded_entries;
    size_t loaded_capacity;
    struct buf loaded_manifest;
    void **loaded_memory; /* One for each segment: its bytes. */
    uint32_t loaded_memory_count;
};

void log_root_encode(const struct log_root *root, uint8_t out[LOG_ROOT_BYTES]);
bool log_root_decode(struct bytes content, struct log_root *root_out);

uint32_t log_seed(const struct log *log, const struct log_segment *segment);

/* Ends the node: see struct log_options. */
void log_stop(struct log *log, enum fatal_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* log_recover.c: reads the segments and sets everything above that follows from them. */
bool log_recover(struct log *log, uint64_t mark, struct log_failure *failure_out);

/* Fills `failure_out` and gives false. */
bool log_refuse(struct log_failure *failure_out, enum fatal_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* log_write.c: begins a write if there is something to write and nothing under way. */
void log_pump(struct log *log);

/* log_publish.c: begins to publish if that was waiting and can begin now. */
void log_publish_work(struct log *log);

#endif
