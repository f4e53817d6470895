/* See msgids.h. Thread: loop. */
#include "msgids.h"

#include "common/assert.h"
#include "common/bytes.h"

enum { CAPACITY_MIN = 16 };

/* Fibonacci hashing: clients count their ids up, and neighbours should not cluster. */
static uint32_t
place_of(const struct msgids *msgids, uint32_t msgid)
{
    return (msgid * UINT32_C(2654435769)) & (msgids->capacity - 1);
}

/* The slot that holds `msgid`, or the free one where it belongs. */
static uint32_t
find(const struct msgids *msgids, uint32_t msgid)
{
    uint32_t place = place_of(msgids, msgid);
    while (msgids->slots[place] != 0 && msgids->slots[place] != (uint64_t)msgid + 1) {
        place = (place + 1) & (msgids->capacity - 1);
    }
    return place;
}

static void
grow(struct msgids *msgids)
{
    struct msgids grown = {.capacity = msgids->capacity == 0 ? CAPACITY_MIN : msgids->capacity * 2,
                           .count = msgids->count};
    grown.slots = mem_zalloc(sizeof *grown.slots * grown.capacity);
    for (uint32_t i = 0; i < msgids->capacity; i++) {
        if (msgids->slots[i] != 0) {
            grown.slots[find(&grown, (uint32_t)(msgids->slots[i] - 1))] = msgids->slots[i];
        }
    }
    mem_free(msgids->slots);
    *msgids = grown;
}

bool
msgids_add(struct msgids *msgids, uint32_t msgid)
{
    if (msgids->count * 2 >= msgids->capacity) {
        grow(msgids);
    }
    uint32_t place = find(msgids, msgid);
    if (msgids->slots[place] != 0) {
        return false;
    }
    msgids->slots[place] = (uint64_t)msgid + 1;
    msgids->count++;
    return true;
}

void
msgids_remove(struct msgids *msgids, uint32_t msgid)
{
    QO_PRE(msgids->count > 0);
    uint32_t hole = find(msgids, msgid);
    QO_ASSERT(msgids->slots[hole] != 0);
    msgids->count--;
    /* Whoever stands behind the hole and belongs at or before it moves into it (Knuth, TAOCP 3,
     * 6.4, algorithm R), so that no look-up stops too early. */
    uint32_t mask = msgids->capacity - 1;
    for (uint32_t next = (hole + 1) & mask; msgids->slots[next] != 0; next = (next + 1) & mask) {
        uint32_t home = place_of(msgids, (uint32_t)(msgids->slots[next] - 1));
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            msgids->slots[hole] = msgids->slots[next];
            hole = next;
        }
    }
    msgids->slots[hole] = 0;
}

void
msgids_free(struct msgids *msgids)
{
    mem_free(msgids->slots);
    *msgids = (struct msgids){0};
}
