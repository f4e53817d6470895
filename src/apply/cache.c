/* See cache.h. Thread: state. */
#include "cache.h"

#include "common/assert.h"
#include "common/limits.h"

enum {
    CACHE_CAPACITY_MIN = 1024,
    /* Room is given in steps, so that a record that grows a little stays where it is. */
    CACHE_RECORD_STEP = 64,
    /* What the allocator keeps beside each block. Guessed, for the bound. */
    CACHE_ALLOCATION_EXTRA = 16,
    /* Guessed: a record of the usual size with its id. Only the first size of the table. */
    CACHE_RECORD_USUAL = 512,
};

struct cache_item {
    uint32_t record_size, record_capacity;
    uint8_t id_size;
    bool used;      /* Since the hand came by. */
    uint8_t data[]; /* The id, then the record. */
};

struct cache_slot {
    uint64_t hash;
    struct cache_item *item; /* NULL: free. */
};

/* Linear probing, half full at most, no tombstones: a removal moves the followers up. */
struct cache {
    struct cache_slot *slots;
    uint64_t capacity; /* A power of two. */
    uint64_t count;
    uint64_t items_bytes, bytes_max;
    uint64_t hand;
};

static_assert(CACHE_KEY_MAX <= UINT8_MAX, "the size of an id is one byte");

static uint64_t
item_bytes(const struct cache_item *item)
{
    return sizeof *item + item->id_size + item->record_capacity + CACHE_ALLOCATION_EXTRA;
}

struct cache *
cache_open(uint64_t bytes_max)
{
    struct cache *cache = mem_zalloc(sizeof *cache);
    cache->bytes_max = bytes_max;
    cache->capacity = CACHE_CAPACITY_MIN;
    /* The table starts at its final size for usual records: doubling a large one is a pause. */
    while (cache->capacity < bytes_max / CACHE_RECORD_USUAL * 2) {
        cache->capacity *= 2;
    }
    cache->slots = mem_zalloc(cache->capacity * sizeof cache->slots[0]);
    return cache;
}

void
cache_close(struct cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (uint64_t i = 0; i < cache->capacity; i++) {
        mem_free(cache->slots[i].item);
    }
    mem_free(cache->slots);
    mem_free(cache);
}

static bool
item_is(const struct cache_item *item, struct bytes id)
{
    return item->id_size == id.size && memcmp(item->data, id.data, id.size) == 0;
}

/* The slot of the order, or the free one where it would go. */
static uint64_t
cache_slot_of(const struct cache *cache, struct bytes id, uint64_t hash)
{
    uint64_t mask = cache->capacity - 1;
    uint64_t at = hash & mask;
    while (cache->slots[at].item != NULL &&
           !(cache->slots[at].hash == hash && item_is(cache->slots[at].item, id))) {
        at = (at + 1) & mask;
    }
    return at;
}

bool
cache_get(struct cache *cache, struct bytes id, uint64_t hash, struct bytes *record_out)
{
    struct cache_item *item = cache->slots[cache_slot_of(cache, id, hash)].item;
    if (item == NULL) {
        return false;
    }
    item->used = true;
    *record_out = bytes_make(item->data + item->id_size, item->record_size);
    return true;
}

static void
cache_grow(struct cache *cache)
{
    struct cache_slot *old = cache->slots;
    uint64_t old_capacity = cache->capacity;
    cache->capacity *= 2;
    cache->hand = 0;
    cache->slots = mem_zalloc(cache->capacity * sizeof cache->slots[0]);
    for (uint64_t i = 0; i < old_capacity; i++) {
        if (old[i].item != NULL) {
            uint64_t at = old[i].hash & (cache->capacity - 1);
            while (cache->slots[at].item != NULL) {
                at = (at + 1) & (cache->capacity - 1);
            }
            cache->slots[at] = old[i];
        }
    }
    mem_free(old);
}

static struct cache_item *
item_make(struct bytes id, size_t record_size)
{
    size_t capacity = (record_size + CACHE_RECORD_STEP - 1) / CACHE_RECORD_STEP * CACHE_RECORD_STEP;
    struct cache_item *item = mem_alloc(sizeof *item + id.size + capacity);
    QO_ASSERT(capacity <= UINT32_MAX);
    item->record_capacity = (uint32_t)capacity;
    item->record_size = 0;
    item->id_size = (uint8_t)id.size;
    memcpy(item->data, id.data, id.size);
    return item;
}

void
cache_put(struct cache *cache, struct bytes id, uint64_t hash, struct bytes record)
{
    QO_PRE(id.size >= 1 && id.size <= CACHE_KEY_MAX && record.size >= 1);
    if (cache->count >= cache->capacity / 2) {
        cache_grow(cache);
    }
    struct cache_slot *slot = &cache->slots[cache_slot_of(cache, id, hash)];
    if (slot->item == NULL || slot->item->record_capacity < record.size) {
        struct cache_item *item = item_make(id, record.size);
        if (slot->item == NULL) {
            cache->count++;
        } else {
            cache->items_bytes -= item_bytes(slot->item);
            mem_free(slot->item);
        }
        *slot = (struct cache_slot){hash, item};
        cache->items_bytes += item_bytes(item);
    }
    memcpy(slot->item->data + slot->item->id_size, record.data, record.size);
    slot->item->record_size = (uint32_t)record.size;
    slot->item->used = true;
}

/* Empties the slot `hole` and moves up those behind it that would no longer be found. */
static void
cache_remove(struct cache *cache, uint64_t hole)
{
    uint64_t mask = cache->capacity - 1;
    cache->items_bytes -= item_bytes(cache->slots[hole].item);
    cache->count--;
    mem_free(cache->slots[hole].item);
    for (uint64_t at = (hole + 1) & mask; cache->slots[at].item != NULL; at = (at + 1) & mask) {
        /* It may move if its home is not between the hole and here, going round. */
        uint64_t home = cache->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            cache->slots[hole] = cache->slots[at];
            hole = at;
        }
    }
    cache->slots[hole].item = NULL;
}

void
cache_trim(struct cache *cache)
{
    uint64_t mask = cache->capacity - 1;
    uint64_t too_much = cache->bytes_max + cache->bytes_max / QO_CACHE_OVER_SHARE;
    uint32_t steps = 0;
    /* Ends: one round clears every `used`, the next takes what it finds. */
    while (cache_bytes(cache) > cache->bytes_max && cache->count > 0 &&
           (steps++ < QO_CACHE_TRIM_STEPS || cache_bytes(cache) > too_much)) {
        struct cache_item *item = cache->slots[cache->hand].item;
        if (item != NULL && !item->used) {
            cache_remove(cache, cache->hand); /* The hand stays: another may have moved here. */
            continue;
        }
        if (item != NULL) {
            item->used = false;
        }
        cache->hand = (cache->hand + 1) & mask;
    }
}

uint64_t
cache_bytes(const struct cache *cache)
{
    return cache->items_bytes + cache->capacity * sizeof cache->slots[0];
}

uint64_t
cache_count(const struct cache *cache)
{
    return cache->count;
}
