/*
 * keys: the whole key space of the store.
 *
 *   family  key                                                     value, after its format byte
 *   orders  shard:u8 hash:7 id                                      an order's record (record.c)
 *   events  seq:be64, of the first                                  a run of events (runs.h)
 *   index   'D' deadline:be64 log index of its entry:be64           a run of orders (runs.h)
 *           'L' machine:be16 state:be16 entered_seq:be64, the first a run of ids (runs.h)
 *           'P' shard:u8 id place:u8                                a page (apply/pages.h)
 *           'R' shard:u8 id fingerprint:be64                        version:le64, each
 *           'U' machine:be16 attribute:be16 0 value                 id
 *           'U' machine:be16 attribute:be16 1 SHA-256(value)        id (value over 128 bytes)
 *   meta    'A'                                                     the applied point (store.c)
 *           'I'                                                     shards:le32 cluster_id
 *           'M' number:be16                                         a definition (store.c)
 *
 * `meta` is the family that RocksDB calls "default". Keys are big-endian, so that RocksDB's order
 * is theirs; an id stands last or before fields of fixed size, so that no two things share a key.
 * Every value begins with its format version; numbers in values are little-endian.
 *
 * Thread: any; pure.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"

enum {
    KEY_UNIQUE_VALUE_MAX = 128, /* Longer values stand in their key by their hash. */
    KEY_MAX = 1 + 8 + 1 + QO_ID_MAX,
    KEY_LIST_SIZE = 1 + 2 + 2 + 8,
    KEY_FORMAT = 2, /* Of the values that are laid out in store.c. */
};

struct key {
    uint8_t bytes[KEY_MAX];
    uint32_t size;
};

/* Between shard and id stand the low seven bytes of XXH64(id), so that keys are spread evenly over
 * the buckets of the memtable (buckets.h). */
struct key key_order(uint32_t shard, struct bytes id);
struct key key_event(uint64_t seq);
struct key key_list(uint16_t machine, uint16_t state, uint64_t entered_seq);
struct key key_unique(uint16_t machine, uint16_t attribute, struct bytes value);
struct key key_deadline(int64_t deadline, uint64_t index);
/* The first possible key of a deadline, and the first behind all deadlines. */
struct key key_deadline_from(int64_t deadline);
struct key key_deadline_end(void);
struct key key_page(uint32_t shard, struct bytes id, uint8_t place);
struct key key_spilled(uint32_t shard, struct bytes id, uint64_t fingerprint);
struct key key_applied(void);
struct key key_identity(void);
struct key key_definition(uint32_t number);

/* The parts of a key as RocksDB gives it. False: it is none of these. */
struct list_key {
    uint16_t machine, state;
    uint64_t entered_seq;
};
bool key_list_decode(struct bytes key, struct list_key *out);
bool key_deadline_decode(struct bytes key, int64_t *deadline_out, uint64_t *index_out);
bool key_event_decode(struct bytes key, uint64_t *seq_out);

#endif
