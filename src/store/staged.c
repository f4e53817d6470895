/* See staged.h. Thread: state. */
#include "staged.h"

#include <stdlib.h>

#include "common/assert.h"

static uint64_t
prefix_of(const struct key *key)
{
    uint8_t bytes[8] = {0};
    memcpy(bytes, key->bytes, key->size < sizeof bytes ? key->size : sizeof bytes);
    return get_be64(bytes);
}

static void
stage(struct staged *staged, uint32_t family, const struct key *key, struct bytes value,
      bool deletes)
{
    struct staged_row row = {
        .family = family,
        .place = staged_count(staged),
        .prefix = prefix_of(key),
        .key_at = (uint32_t)staged->bytes.size,
        .key_size = key->size,
        .value_size = (uint32_t)value.size,
        .deletes = deletes,
    };
    buf_append(&staged->bytes, key->bytes, key->size);
    buf_append(&staged->bytes, value.data, value.size);
    QO_ASSERT(staged->bytes.size <= UINT32_MAX);
    buf_append(&staged->rows, &row, sizeof row);
}

void
staged_put(struct staged *staged, uint32_t family, const struct key *key, struct bytes value)
{
    stage(staged, family, key, value, false);
}

void
staged_delete(struct staged *staged, uint32_t family, const struct key *key)
{
    stage(staged, family, key, BYTES_NONE, true);
}

/* Where qsort()'s rows have their keys: it has no context of its own. */
static _Thread_local const uint8_t *sorted_bytes;

static int
compare(const void *a, const void *b)
{
    const struct staged_row *left = a, *right = b;
    if (left->family != right->family) {
        return left->family < right->family ? -1 : 1;
    }
    if (left->prefix != right->prefix) {
        return left->prefix < right->prefix ? -1 : 1;
    }
    int order = bytes_compare(bytes_make(sorted_bytes + left->key_at, left->key_size),
                              bytes_make(sorted_bytes + right->key_at, right->key_size));
    if (order != 0) {
        return order;
    }
    return left->place < right->place ? -1 : 1;
}

void
staged_write(struct staged *staged, rocksdb_writebatch_t *batch,
             rocksdb_column_family_handle_t *const *families)
{
    uint32_t count = staged_count(staged);
    union {
        uint8_t *bytes;
        struct staged_row *rows;
    } sorted = {.bytes = staged->rows.data};
    sorted_bytes = staged->bytes.data;
    if (count > 1) {
        qsort(sorted.rows, count, sizeof *sorted.rows, compare);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct staged_row *row = &sorted.rows[i];
        const char *key = (const char *)staged->bytes.data + row->key_at;
        if (row->deletes != 0) {
            rocksdb_writebatch_delete_cf(batch, families[row->family], key, row->key_size);
        } else {
            rocksdb_writebatch_put_cf(batch, families[row->family], key, row->key_size,
                                      key + row->key_size, row->value_size);
        }
    }
    buf_clear(&staged->rows);
    buf_clear(&staged->bytes);
}

uint32_t
staged_count(const struct staged *staged)
{
    return (uint32_t)(staged->rows.size / sizeof(struct staged_row));
}

void
staged_free(struct staged *staged)
{
    buf_free(&staged->rows);
    buf_free(&staged->bytes);
}
