/*
 * media: the simulated store. store/store.h in memory, linked in the place of RocksDB's part;
 * records and registry are the real ones.
 *
 * What a member's store holds survives its lives as far as RocksDB without a write-ahead log would
 * keep it: as of some commit whose memtables were flushed, all families at one point. A flush
 * begins at some commit and is done some time later; a checkpoint is a flush that is done when it
 * returns. At a crash everything after the last flush that was done is forgotten, definitions too.
 *
 * Lists and deadlines are found by looking at all orders, so there is no sweeping and no layout.
 * media_test.c holds this against the real one.
 * Thread: the run's.
 */
#ifndef SIMULATION_MEDIA_H
#define SIMULATION_MEDIA_H

#include <stdint.h>

/* The directory that stands for the store of member `id` in store_options. Valid for ever. */
const char *media_directory(unsigned id);

/* Of a member that is not open: what was not flushed is gone. */
void media_crash(unsigned id);

/* How likely a commit begins a flush, in thousandths. */
void media_set_flushes(uint32_t permille);

#endif
