/* See keys.h. Thread: any; pure. */
#include "keys.h"

#include "common/assert.h"
#include "common/hash.h"

static_assert(1 + 2 + 2 + 1 + KEY_UNIQUE_VALUE_MAX <= KEY_MAX, "a unique value's key fits");
static_assert(1 + 1 + QO_ID_MAX + 8 <= KEY_MAX, "a spilled request id's key fits");

static void
key_id(struct key *key, struct bytes id)
{
    QO_PRE(id.size >= 1 && id.size <= QO_ID_MAX);
    memcpy(key->bytes + key->size, id.data, id.size);
    key->size += (uint32_t)id.size;
}

struct key
key_order(uint32_t shard, struct bytes id)
{
    QO_PRE(shard < QO_SHARDS_MAX);
    struct key key;
    put_be64(key.bytes, hash_xxh64(id));
    key.bytes[0] = (uint8_t)shard;
    key.size = 8;
    key_id(&key, id);
    return key;
}

struct key
key_event(uint64_t seq)
{
    struct key key;
    put_be64(key.bytes, seq);
    key.size = 8;
    return key;
}

struct key
key_list(uint16_t machine, uint16_t state, uint64_t entered_seq)
{
    struct key key;
    key.bytes[0] = 'L';
    put_be16(key.bytes + 1, machine);
    put_be16(key.bytes + 3, state);
    put_be64(key.bytes + 5, entered_seq);
    key.size = KEY_LIST_SIZE;
    return key;
}

struct key
key_unique(uint16_t machine, uint16_t attribute, struct bytes value)
{
    struct key key;
    key.bytes[0] = 'U';
    put_be16(key.bytes + 1, machine);
    put_be16(key.bytes + 3, attribute);
    if (value.size <= KEY_UNIQUE_VALUE_MAX) {
        key.bytes[5] = 0;
        memcpy(key.bytes + 6, value.data, value.size);
        key.size = 6 + (uint32_t)value.size;
    } else {
        struct sha256 hash = hash_sha256(value);
        key.bytes[5] = 1;
        memcpy(key.bytes + 6, hash.bytes, sizeof hash.bytes);
        key.size = 6 + sizeof hash.bytes;
    }
    return key;
}

struct key
key_deadline_from(int64_t deadline)
{
    struct key key;
    key.bytes[0] = 'D';
    put_be64(key.bytes + 1, deadline < 0 ? 0 : (uint64_t)deadline);
    key.size = 9;
    return key;
}

struct key
key_deadline_end(void)
{
    struct key key;
    key.bytes[0] = 'D' + 1;
    key.size = 1;
    return key;
}

struct key
key_deadline(int64_t deadline, uint64_t index)
{
    QO_PRE(deadline > 0); /* 0 says "none" in a record. */
    struct key key = key_deadline_from(deadline);
    put_be64(key.bytes + key.size, index);
    key.size += 8;
    return key;
}

struct key
key_page(uint32_t shard, struct bytes id, uint8_t place)
{
    QO_PRE(shard < QO_SHARDS_MAX);
    struct key key;
    key.bytes[0] = 'P';
    key.bytes[1] = (uint8_t)shard;
    key.size = 2;
    key_id(&key, id);
    key.bytes[key.size++] = place;
    return key;
}

struct key
key_spilled(uint32_t shard, struct bytes id, uint64_t fingerprint)
{
    QO_PRE(shard < QO_SHARDS_MAX);
    struct key key;
    key.bytes[0] = 'R';
    key.bytes[1] = (uint8_t)shard;
    key.size = 2;
    key_id(&key, id);
    put_be64(key.bytes + key.size, fingerprint);
    key.size += 8;
    return key;
}

struct key
key_applied(void)
{
    return (struct key){.bytes = {'A'}, .size = 1};
}

struct key
key_identity(void)
{
    return (struct key){.bytes = {'I'}, .size = 1};
}

struct key
key_definition(uint32_t number)
{
    QO_PRE(number < QO_DEFINITIONS_MAX);
    struct key key;
    key.bytes[0] = 'M';
    put_be16(key.bytes + 1, (uint16_t)number);
    key.size = 3;
    return key;
}

bool
key_list_decode(struct bytes key, struct list_key *out)
{
    if (key.size != KEY_LIST_SIZE || key.data[0] != 'L') {
        return false;
    }
    out->machine = get_be16(key.data + 1);
    out->state = get_be16(key.data + 3);
    out->entered_seq = get_be64(key.data + 5);
    return true;
}

bool
key_deadline_decode(struct bytes key, int64_t *deadline_out, uint64_t *index_out)
{
    if (key.size != 1 + 8 + 8 || key.data[0] != 'D') {
        return false;
    }
    *deadline_out = (int64_t)get_be64(key.data + 1);
    *index_out = get_be64(key.data + 1 + 8);
    return true;
}

bool
key_event_decode(struct bytes key, uint64_t *seq_out)
{
    if (key.size != 8) {
        return false;
    }
    *seq_out = get_be64(key.data);
    return true;
}
