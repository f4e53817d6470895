/*
 * staged: the rows of the open batch, which go to RocksDB sorted by key.
 *
 * A memtable is a skip list that remembers where it inserted last: a row that follows the one
 * before it costs a comparison or two, any other a search from the top. Rows of one entry come in
 * the order of its commands, hopping between lists and deadlines; sorted they are runs. Rows of one
 * key keep their order.
 *
 * Thread: state.
 */
#ifndef STORE_STAGED_H
#define STORE_STAGED_H

#include <rocksdb/c.h>

#include "common/bytes.h"
#include "keys.h"

struct staged_row {
    uint32_t family;
    uint32_t place;  /* Among those staged: the order of rows of one key. */
    uint64_t prefix; /* The first eight bytes of the key, so that most comparisons end here. */
    uint32_t key_at, key_size, value_size; /* In `bytes`: the key, then the value. */
    uint32_t deletes;                      /* 1: a deletion, without value. */
};

struct staged {
    struct buf rows; /* struct staged_row */
    struct buf bytes;
};

void staged_put(struct staged *staged, uint32_t family, const struct key *key, struct bytes value);
void staged_delete(struct staged *staged, uint32_t family, const struct key *key);
/* Moves all rows to `batch`, sorted. */
void staged_write(struct staged *staged, rocksdb_writebatch_t *batch,
                  rocksdb_column_family_handle_t *const *families);
uint32_t staged_count(const struct staged *staged);
void staged_free(struct staged *staged);

#endif
