/* See log.h, "Where the log ends". Thread: the loop, before anything else runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "log_record.h"
#include "log_state.h"

static const char replace_text[] =
    "What this node acknowledged is missing or changed: replace this member (its data is on the "
    "others), look at the disk, do not delete or copy files of the log";

/* -- Files ------------------------------------------------------------------------------------- */

struct listing {
    uint32_t numbers[QO_LOG_SEGMENTS_MAX];
    uint32_t count;
    bool too_many;
};

static void
list_name(void *arg, const char *name)
{
    struct listing *listing = arg;
    static const char prefix[] = "segment-";
    char *end;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) {
        return;
    }
    unsigned long number = strtoul(name + sizeof prefix - 1, &end, 10);
    if (*end != '\0' || number >= UINT32_MAX) {
        return;
    }
    if (listing->count == QO_LOG_SEGMENTS_MAX) {
        listing->too_many = true;
        return;
    }
    listing->numbers[listing->count++] = (uint32_t)number;
}

/* A file of a segment that a crash left without a header, or without its full size. */
struct leftover {
    struct log_segment segment;
    bool is, whole;
};

static bool
open_segment(struct log *log, uint32_t number, struct leftover *leftover,
             struct log_failure *failure_out)
{
    struct log_segment segment = {.number = number};
    char name[LOG_NAME_MAX];
    uint64_t size;
    log_segment_name(number, name);
    int error = log->disk->open(log->disk->context, name, &segment.file, &size);
    if (error == 0 && size == log->root.segment_bytes) {
        error = log->disk->read(log->disk->context, segment.file, 0, log->header, LOG_BLOCK);
        bool whole;
        segment.serial = log_header_decode(log->header, log->root.salt, size, &whole);
        segment.half = !whole;
    }
    if (error != 0) {
        return log_refuse(failure_out, FATAL_STORAGE, "%s of the log cannot be read: %s", name,
                          strerror(error));
    }
    if (segment.serial != 0) {
        log->segments[log->count++] = segment;
        return true;
    }
    if (leftover->is) {
        char other[LOG_NAME_MAX];
        log_segment_name(leftover->segment.number, other);
        return log_refuse(failure_out, FATAL_CORRUPT,
                          "%s and %s of the log have no good header (offset 0); a crash leaves one "
                          "such file at most. %s",
                          other, name, replace_text);
    }
    *leftover = (struct leftover){segment, true, size == log->root.segment_bytes};
    return true;
}

static int
compare_serials(const void *a, const void *b)
{
    const struct log_segment *left = a, *right = b;
    return (left->serial > right->serial) - (left->serial < right->serial);
}

static bool
open_segments(struct log *log, struct leftover *leftover, struct log_failure *failure_out)
{
    struct listing *listing = mem_zalloc(sizeof *listing);
    int error = log->disk->names(log->disk->context, list_name, listing);
    bool right = error == 0 && !listing->too_many;
    if (!right) {
        (void)log_refuse(failure_out, FATAL_STORAGE, "the log's directory cannot be read: %s",
                         error == 0 ? "too many segments" : strerror(error));
    }
    for (uint32_t i = 0; right && i < listing->count; i++) {
        right = open_segment(log, listing->numbers[i], leftover, failure_out);
    }
    mem_free(listing);
    if (!right) {
        return false;
    }
    qsort(log->segments, log->count, sizeof *log->segments, compare_serials);
    for (uint32_t i = 1; i < log->count; i++) {
        uint64_t before = log->segments[i - 1].serial, serial = log->segments[i].serial;
        if (serial != before + 1) {
            return log_refuse(failure_out, FATAL_CORRUPT,
                              "between the segments %llu (segment-%04u) and %llu (segment-%04u) of "
                              "the log something is missing or twice. %s",
                              (unsigned long long)before, log->segments[i - 1].number,
                              (unsigned long long)serial, log->segments[i].number, replace_text);
        }
    }
    uint64_t first = log->root.first_serial;
    if (log->count == 0 || log->segments[log->count - 1].serial < first) {
        return log_refuse(failure_out, FATAL_CORRUPT, "segment %llu of the log is missing. %s",
                          (unsigned long long)first, replace_text);
    }
    while (log->segments[log->first].serial < first) {
        log->first++;
    }
    return true;
}

/* -- Records ----------------------------------------------------------------------------------- */

struct walk {
    struct log *log;
    struct log_failure *failure;
    uint32_t seed;
    const uint8_t *data; /* Of the segment at hand. */
    uint64_t expected;   /* Sequence of the next record; 0: not known yet. */
    uint32_t chain;      /* Checksum of the last one. */
    bool shortened;      /* What the log began with was removed. */
    uint64_t base, last; /* The log is the entries above `base` up to `last`. */
    uint32_t tail;       /* The segment of the last good record ... */
    uint64_t tail_at;    /* ... and where it ends. */
    /* The first bad record behind the last good one, and what good ones behind it say. */
    uint32_t bad;
    uint64_t bad_at, durable_seen;
    bool any_seen;
};

static struct bytes
rest(const struct walk *walk, uint64_t at)
{
    return bytes_make(walk->data + at, (size_t)(walk->log->root.segment_bytes - at));
}

static uint64_t
next_block(uint64_t at)
{
    return (at + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
}

static bool
good_at(const struct walk *walk, uint64_t at, struct log_record *record_out)
{
    bool chained = (walk->log->options.without & LOG_WITHOUT_CHAIN) == 0;
    return at < walk->log->root.segment_bytes &&
           log_record_decode(walk->seed, rest(walk, at), record_out) &&
           (walk->expected == 0 || (record_out->sequence == walk->expected &&
                                    QO_IMPLIES(chained, record_out->previous == walk->chain)));
}

static void
keep_entry(struct walk *walk, const struct log_record *record)
{
    struct log *log = walk->log;
    uint64_t at = record->index - walk->base - 1;
    if (at >= log->loaded_capacity) {
        log->loaded_capacity = log->loaded_capacity == 0 ? 1024 : 2 * log->loaded_capacity;
        log->loaded_entries =
            mem_realloc(log->loaded_entries, log->loaded_capacity * sizeof *log->loaded_entries);
    }
    log->loaded_entries[at] = (struct log_entry){record->term, record->type, record->data};
    bool drops = (log->options.without & LOG_WITHOUT_DROPPING) == 0;
    if (drops || record->index > walk->last) {
        walk->last = record->index;
    }
}

/* A good record at `at`: false if it cannot follow the ones before. */
static bool
accept(struct walk *walk, uint32_t segment, uint64_t at, const struct log_record *record)
{
    struct log *log = walk->log;
    bool begins = walk->expected == 0;
    bool truncates = (record->flags & LOG_TRUNCATES) != 0;
    /* Segments before this one went when a snapshot held what was left of them; a truncation from
     * before that snapshot may reach back behind what is still here. */
    if (begins || (walk->shortened && truncates && record->index <= walk->base)) {
        walk->base = walk->last = record->index - 1;
    }
    bool drops = (log->options.without & LOG_WITHOUT_DROPPING) == 0;
    bool flag_right = truncates == (record->index <= walk->last) ||
                      (walk->shortened && record->index == walk->base + 1);
    if (record->index > walk->last + 1 || record->index <= walk->base || (drops && !flag_right)) {
        return log_refuse(walk->failure, FATAL_CORRUPT,
                          "segment-%04u of the log, offset %llu: the record has index %llu, but "
                          "follows %llu. %s",
                          log->segments[segment].number, (unsigned long long)at,
                          (unsigned long long)record->index, (unsigned long long)walk->last,
                          replace_text);
    }
    keep_entry(walk, record);
    walk->expected = record->sequence + 1;
    walk->chain = record->checksum;
    walk->tail = segment;
    walk->tail_at = at + log_record_bytes(record->data.size);
    walk->bad_at = 0;
    walk->durable_seen = 0;
    walk->any_seen = false;
    if (log->segments[segment].first_index == 0) {
        log->segments[segment].first_index = record->index;
    }
    return true;
}

/* What good records of later writes say; each write begins on a block. */
static void
look_behind(struct walk *walk, uint32_t segment, uint64_t at)
{
    if (walk->bad_at == 0) {
        walk->bad = segment;
        walk->bad_at = at;
    }
    for (at = next_block(at); at < walk->log->root.segment_bytes; at += LOG_BLOCK) {
        struct log_record record;
        if (log_record_plausible(rest(walk, at), walk->expected) &&
            log_record_decode(walk->seed, rest(walk, at), &record)) {
            walk->any_seen = true;
            if (record.durable > walk->durable_seen) {
                walk->durable_seen = record.durable;
            }
        }
    }
}

static bool
walk_segment(struct walk *walk, uint32_t segment)
{
    uint64_t at = LOG_BLOCK;
    struct log_record record;
    for (;;) {
        /* At once behind the record before, or on the next block, by another write. */
        if (!good_at(walk, at, &record)) {
            uint64_t aligned = next_block(at);
            if (aligned == at || !good_at(walk, aligned, &record)) {
                break;
            }
            at = aligned;
        }
        if (!accept(walk, segment, at, &record)) {
            return false;
        }
        at = walk->tail_at;
    }
    if (walk->expected == 0) {
        return log_refuse(walk->failure, FATAL_CORRUPT,
                          "segment-%04u of the log, offset %llu: the first record of the log is "
                          "damaged. %s",
                          walk->log->segments[segment].number, (unsigned long long)at,
                          replace_text);
    }
    look_behind(walk, segment, at);
    return true;
}

static bool
read_segment(struct walk *walk, uint32_t segment)
{
    struct log *log = walk->log;
    void *memory;
    uint64_t size = log->root.segment_bytes;
    uint8_t *data = log_blocks_alloc(size, &memory);
    log->loaded_memory[log->loaded_memory_count++] = memory;
    int error =
        log->disk->read(log->disk->context, log->segments[segment].file, 0, data, (size_t)size);
    if (error != 0) {
        return log_refuse(walk->failure, FATAL_STORAGE, "segment-%04u of the log: %s",
                          log->segments[segment].number, strerror(error));
    }
    walk->data = data;
    walk->seed = log_seed(log, &log->segments[segment]);
    if (!walk_segment(walk, segment)) {
        return false;
    }
    if (log->segments[segment].first_index == 0) { /* No entry points there. */
        mem_free(memory);
        log->loaded_memory_count--;
    }
    return true;
}

/* -- Verdict ----------------------------------------------------------------------------------- */

static bool
judge_end(const struct walk *walk, uint64_t mark)
{
    const struct log *log = walk->log;
    unsigned without = log->options.without;
    uint64_t ends = walk->expected - 1;
    bool damaged = (without & LOG_WITHOUT_DURABLE) == 0 && walk->durable_seen >= walk->expected;
    damaged = damaged || ((without & LOG_WITHOUT_TEARING) != 0 && walk->any_seen);
    if (damaged) {
        return log_refuse(walk->failure, FATAL_CORRUPT,
                          "segment-%04u of the log, offset %llu: record %llu is damaged, and a "
                          "later one says that it was durable (up to %llu). %s",
                          log->segments[walk->bad].number, (unsigned long long)walk->bad_at,
                          (unsigned long long)walk->expected,
                          (unsigned long long)walk->durable_seen, replace_text);
    }
    if ((without & LOG_WITHOUT_MARK) == 0 && mark > ends) {
        return log_refuse(walk->failure, FATAL_CORRUPT,
                          "segment-%04u of the log, offset %llu: the log ends with record %llu, "
                          "but the mark says that %llu was acknowledged. %s",
                          log->segments[walk->bad].number, (unsigned long long)walk->bad_at,
                          (unsigned long long)ends, (unsigned long long)mark, replace_text);
    }
    return true;
}

static bool
judge_snapshot(const struct walk *walk)
{
    const struct log_root *root = &walk->log->root;
    uint64_t snapshot = root->snapshot_index;
    if (walk->base > snapshot || walk->last < snapshot) {
        return log_refuse(walk->failure, FATAL_CORRUPT,
                          "the log has the indexes %llu to %llu, which does not meet its snapshot "
                          "at %llu. %s",
                          (unsigned long long)walk->base + 1, (unsigned long long)walk->last,
                          (unsigned long long)snapshot, replace_text);
    }
    uint64_t term = snapshot == walk->base
                        ? root->snapshot_term
                        : walk->log->loaded_entries[snapshot - walk->base - 1].term;
    return term == root->snapshot_term ||
           log_refuse(walk->failure, FATAL_CORRUPT,
                      "the log has term %llu at index %llu, its snapshot has %llu. %s",
                      (unsigned long long)term, (unsigned long long)snapshot,
                      (unsigned long long)root->snapshot_term, replace_text);
}

/* A file that a crash left unfinished is taken as the next segment, or goes. */
static bool
take_leftover(struct log *log, const struct leftover *leftover, struct log_failure *failure_out)
{
    if (leftover->is && leftover->whole) {
        log->blank = leftover->segment;
        log->has_blank = true;
    } else if (leftover->is) {
        char name[LOG_NAME_MAX];
        log_segment_name(leftover->segment.number, name);
        int error = log->disk->remove(log->disk->context, name, leftover->segment.file);
        if (error != 0) {
            return log_refuse(failure_out, FATAL_STORAGE, "cannot remove %s: %s", name,
                              strerror(error));
        }
    }
    return true;
}

/* Before a further segment gets a serial that a forgotten copy may have too. */
static bool
repair_headers(struct log *log, struct log_failure *failure_out)
{
    for (uint32_t i = 0; i < log->count; i++) {
        struct log_segment *segment = &log->segments[i];
        if (!segment->half) {
            continue;
        }
        log_header_encode(log->header, log->root.salt, segment->serial, log->root.segment_bytes);
        int error = log->disk->write(log->disk->context, segment->file, 0, log->header, LOG_BLOCK);
        if (error != 0) {
            return log_refuse(failure_out, FATAL_STORAGE,
                              "cannot write segment-%04u of the log: %s", segment->number,
                              strerror(error));
        }
        segment->half = false;
    }
    return true;
}

bool
log_recover(struct log *log, uint64_t mark, struct log_failure *failure_out)
{
    struct leftover leftover = {.is = false};
    if (!open_segments(log, &leftover, failure_out)) {
        return false;
    }
    struct walk walk = {.log = log, .failure = failure_out, .tail = log->first};
    walk.tail_at = LOG_BLOCK;
    walk.shortened = log->segments[log->first].serial != log->root.first_serial;
    if (!walk.shortened) {
        walk.expected = log->root.first_sequence;
        walk.chain = log->root.first_chain;
        walk.base = walk.last = log->root.base_index;
    }
    log->loaded_memory = mem_zalloc(log->count * sizeof *log->loaded_memory);
    for (uint32_t i = log->first; i < log->count; i++) {
        if (!read_segment(&walk, i)) {
            return false;
        }
    }
    if (!judge_end(&walk, mark) || !judge_snapshot(&walk) || !repair_headers(log, failure_out) ||
        !take_leftover(log, &leftover, failure_out)) {
        return false;
    }
    log->active = walk.tail;
    log->position = next_block(walk.tail_at);
    log->sequence = log->durable = walk.expected - 1;
    log->chain = walk.chain;
    log->index = walk.last;
    log->next_index = walk.last + 1;
    log->loaded.first_index = walk.base + 1;
    log->loaded.entries = log->loaded_entries;
    log->loaded.count = (size_t)(walk.last - walk.base);
    return true;
}
