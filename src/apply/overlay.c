/* See overlay.h. Thread: state. */
#include "overlay.h"

#include "common/assert.h"
#include "common/hash.h"

enum { OVERLAY_CAPACITY_MIN = 256 };

void
overlay_reset(struct overlay *overlay)
{
    overlay->generation++; /* 64 bits: never comes round. */
    overlay->count = 0;
}

void
overlay_free(struct overlay *overlay)
{
    mem_free(overlay->slots);
    *overlay = (struct overlay){0};
}

/* The slot of the key, or the free one where it would go. There is always a free one. */
static struct overlay_slot *
overlay_slot(const struct overlay *overlay, uint64_t hash, struct bytes key)
{
    uint32_t mask = overlay->capacity - 1;
    for (uint32_t at = (uint32_t)hash & mask;; at = (at + 1) & mask) {
        struct overlay_slot *slot = &overlay->slots[at];
        if (slot->generation != overlay->generation ||
            (slot->hash == hash && bytes_equal(slot->key, key))) {
            return slot;
        }
    }
}

static void
overlay_grow(struct overlay *overlay)
{
    struct overlay old = *overlay;
    QO_ASSERT(old.capacity <= UINT32_MAX / 4);
    overlay->capacity = old.capacity == 0 ? OVERLAY_CAPACITY_MIN : old.capacity * 2;
    overlay->slots = mem_zalloc(overlay->capacity * sizeof overlay->slots[0]);
    if (old.slots == NULL) {
        overlay->generation++; /* Zeroed slots must not look used. */
    }
    for (uint32_t i = 0; old.slots != NULL && i < old.capacity; i++) {
        if (old.slots[i].generation == old.generation) {
            *overlay_slot(overlay, old.slots[i].hash, old.slots[i].key) = old.slots[i];
        }
    }
    mem_free(old.slots);
}

bool
overlay_get(const struct overlay *overlay, struct bytes key, struct bytes *value_out)
{
    if (overlay->count == 0) {
        return false;
    }
    const struct overlay_slot *slot = overlay_slot(overlay, hash_xxh64(key), key);
    if (slot->generation != overlay->generation) {
        return false;
    }
    *value_out = slot->value;
    return true;
}

void
overlay_put(struct overlay *overlay, struct bytes key, struct bytes value)
{
    if (overlay->count >= overlay->capacity / 2) {
        overlay_grow(overlay);
    }
    uint64_t hash = hash_xxh64(key);
    struct overlay_slot *slot = overlay_slot(overlay, hash, key);
    if (slot->generation != overlay->generation) {
        *slot = (struct overlay_slot){.hash = hash, .generation = overlay->generation, .key = key};
        overlay->count++;
    }
    slot->value = value;
}
