/* See walk.h. Thread: readers. */
#include "walk.h"

#include "common/assert.h"
#include "common/attributes.h"

bool
walk_begin(struct walk *walk, struct store_view *view, struct bytes id)
{
    *walk = (struct walk){.view = view, .id = id};
    if (!store_view_get_order(view, id, &walk->record_bytes)) {
        buf_free(&walk->record_bytes);
        return false;
    }
    if (!order_record_decode(buf_bytes(&walk->record_bytes), &walk->record)) {
        qo_fatal(FATAL_CORRUPT, "order '%.*s' does not decode", BYTES_FORMAT(id));
    }
    return true;
}

void
walk_end(struct walk *walk)
{
    buf_free(&walk->record_bytes);
    buf_free(&walk->event_bytes);
    *walk = (struct walk){0};
}

bool
walk_try(struct walk *walk, uint64_t seq, uint64_t version)
{
    buf_clear(&walk->event_bytes);
    return store_view_get_event(walk->view, seq, &walk->event_bytes) &&
           event_record_decode(seq, buf_bytes(&walk->event_bytes), &walk->event) &&
           walk->event.version == version && bytes_equal(walk->event.id, walk->id);
}

void
walk_read(struct walk *walk, uint64_t seq, uint64_t version)
{
    if (!walk_try(walk, seq, version)) {
        qo_fatal(FATAL_CORRUPT, "event %llu is not version %llu of order '%.*s'",
                 (unsigned long long)seq, (unsigned long long)version, BYTES_FORMAT(walk->id));
    }
}

/*
 * Invariant: version <= at, and `seq` is that of version `at`. A jump is taken whenever it does not
 * lead below `version`, else one step back: that clears the bit which the jump would have cleared
 * and sets all below it, so no bit is met twice from above and the walk takes at most about
 * log(at)^2 / 2 gets, a handful where versions are few hundreds.
 */
void
walk_to(struct walk *walk, uint64_t version)
{
    const struct order_record *record = &walk->record;
    QO_PRE(version >= 1 && version <= record->version);
    /* The record's prefixes save the first jumps: clear low bits while that stays at or above. */
    uint64_t at = record->version;
    uint32_t place = record->prefixes_count - 1;
    while (place > 0 && (at & (at - 1)) >= version) {
        at &= at - 1;
        place--;
    }
    uint64_t seq = record->prefixes[place];
    for (;;) {
        QO_ASSERT(at >= version);
        walk_read(walk, seq, at);
        if (at == version) {
            return;
        }
        uint64_t jump = at & (at - 1);
        seq = jump >= version ? walk->event.jump : walk->event.prev;
        at = jump >= version ? jump : at - 1;
    }
}

/* Whether an event says by itself what the order holds after it. */
static bool
carries_all(uint64_t version)
{
    return version == 1 || version % QO_SNAPSHOT_EVERY == 0;
}

bool
walk_fold(struct walk *walk, uint64_t seq, uint64_t version, struct buf *out)
{
    uint64_t seqs[QO_SNAPSHOT_EVERY]; /* Of versions `version`, version - 1 … */
    uint32_t count = 0;
    bool right = walk_try(walk, seq, version);
    while (right && !carries_all(version)) {
        QO_ASSERT(count < QO_SNAPSHOT_EVERY);
        seqs[count++] = seq;
        seq = walk->event.prev;
        version--;
        right = walk_try(walk, seq, version);
    }
    struct buf held = {0}, next = {0};
    if (right) {
        struct bytes all = version == 1 ? walk->event.attributes : walk->event.held;
        attributes_merge(&held, BYTES_NONE, all);
    }
    while (right && count > 0) {
        version++;
        right = walk_try(walk, seqs[--count], version);
        if (right) {
            buf_clear(&next);
            attributes_merge(&next, buf_bytes(&held), walk->event.attributes);
            struct buf swap = held;
            held = next;
            next = swap;
        }
    }
    buf_append(out, held.data, held.size);
    buf_free(&held);
    buf_free(&next);
    return right;
}
