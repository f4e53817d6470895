/*
 * runs: many small rows as one.
 *
 * A put costs a memtable some microseconds whatever its size, and again when it is flushed. Events
 * and list rows come in order of seq, many in one entry, and are never changed: so those of one
 * entry that are neighbours become one row, a run, under the key of its first item. A run never
 * holds items of two entries, nor of two blocks of the sweeper, and is closed at RUN_BYTES.
 *
 *   event run  format { size:le32 event }*            the n-th event has seq = the key's + n
 *   list run   format { delta:le32 size:u8 id }*      entered_seq = the key's + delta, rising
 *   due run    format { entered_version:le64 shard:u8 size:u8 id }*   the key's deadline
 *
 * Thread: any; pure.
 */
#ifndef STORE_RUNS_H
#define STORE_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

enum { RUN_BYTES = 8 * 1024 }; /* As a block of the file: what is read for one item anyway. */

/* Makes `run` an empty one. */
void run_begin(struct buf *run);
void run_add_event(struct buf *run, struct bytes event);
void run_add_listed(struct buf *run, uint32_t delta, struct bytes id);

struct due_item {
    uint64_t entered_version;
    uint8_t shard;
    struct bytes id;
};
void run_add_due(struct buf *run, uint64_t entered_version, uint8_t shard, struct bytes id);

/* What is left of a run. Ends the node (FATAL_CORRUPT) on a format that we do not know. */
struct cursor run_open(struct bytes value);
/* The next item. False at the end; ends the node on bytes that are no run. */
bool run_next_event(struct cursor *run, struct bytes *event_out);
bool run_next_listed(struct cursor *run, uint32_t *delta_out, struct bytes *id_out);
bool run_next_due(struct cursor *run, struct due_item *item_out);

#endif
