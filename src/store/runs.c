/* See runs.h. Thread: any; pure. */
#include "runs.h"

#include "common/assert.h"
#include "common/limits.h"
#include "keys.h"

void
run_begin(struct buf *run)
{
    buf_clear(run);
    buf_put_u8(run, KEY_FORMAT);
}

void
run_add_event(struct buf *run, struct bytes event)
{
    QO_PRE(run->size >= 1);
    buf_put_bytes32(run, event);
}

void
run_add_listed(struct buf *run, uint32_t delta, struct bytes id)
{
    QO_PRE(run->size >= 1 && id.size >= 1 && id.size <= QO_ID_MAX);
    buf_put_le32(run, delta);
    buf_put_bytes8(run, id);
}

void
run_add_due(struct buf *run, uint64_t entered_version, uint8_t shard, struct bytes id)
{
    QO_PRE(run->size >= 1 && id.size >= 1 && id.size <= QO_ID_MAX);
    buf_put_le64(run, entered_version);
    buf_put_u8(run, shard);
    buf_put_bytes8(run, id);
}

struct cursor
run_open(struct bytes value)
{
    struct cursor run = cursor_of(value);
    if (cursor_u8(&run) != KEY_FORMAT || cursor_done(&run)) {
        qo_fatal(FATAL_CORRUPT, "store: a run of rows is empty or of no format that we know");
    }
    return run;
}

static void
check(const struct cursor *run)
{
    if (run->failed) {
        qo_fatal(FATAL_CORRUPT, "store: a run of rows does not decode");
    }
}

bool
run_next_event(struct cursor *run, struct bytes *event_out)
{
    if (cursor_done(run)) {
        return false;
    }
    *event_out = cursor_bytes32(run);
    check(run);
    return true;
}

bool
run_next_listed(struct cursor *run, uint32_t *delta_out, struct bytes *id_out)
{
    if (cursor_done(run)) {
        return false;
    }
    *delta_out = cursor_le32(run);
    *id_out = cursor_bytes8(run);
    check(run);
    return true;
}

bool
run_next_due(struct cursor *run, struct due_item *item_out)
{
    if (cursor_done(run)) {
        return false;
    }
    item_out->entered_version = cursor_le64(run);
    item_out->shard = cursor_u8(run);
    item_out->id = cursor_bytes8(run);
    check(run);
    return true;
}
