/* One command of clients: its operations, all or nothing. Thread: state. */
#include "state.h"

#include "common/assert.h"

/* What the request id of a group was found to mean. */
enum verdict { VERDICT_NEW, VERDICT_REPLAY, VERDICT_REUSED };

struct group {
    const struct command *command;
    const struct prepared_operation *prepared;
    uint32_t number; /* Of the command in its entry. */
    struct outcome *outcomes;
    struct change *changes;
    struct versions *collisions; /* Of each operation. */
    uint32_t fingerprint;
    bool exists; /* A group of one has its order loaded into apply->record already. */
};

static void
receipt_of_event(struct apply *apply, const struct event_record *event, struct outcome *outcome)
{
    *outcome = (struct outcome){
        .error = QO_OK,
        .receipt = {.id = arena_copy(apply->results, event->id),
                    .definition = registry_get(apply->registry, REGISTRY_STATE, event->definition),
                    .event = event->event,
                    .from = event->from,
                    .to = event->to,
                    .version = event->version,
                    .seq = event->seq,
                    .at = event->at,
                    .epoch = event->epoch,
                    .replayed = true}};
    QO_ASSERT(outcome->receipt.definition != NULL);
}

/* True if the events from `first` on are what this very command did: then the outcomes are their
 * receipts. */
static bool
group_receipts(struct apply *apply, struct group *group, uint64_t first)
{
    const struct command *command = group->command;
    for (uint32_t i = 0; i < command->operations_count; i++) {
        struct event_record event;
        event_read(apply, first + i, &event);
        if (!bytes_equal(event.id, command->operations[i].id)) {
            return false;
        }
        receipt_of_event(apply, &event, &group->outcomes[i]);
    }
    return true;
}

/* A repeat finds all or nothing: each order holds the id from the same command with the same
 * content. `index_out` and `seq_out` belong to VERDICT_REUSED. */
static enum verdict
group_seen(struct apply *apply, struct group *group, uint32_t *index_out, uint64_t *seq_out)
{
    const struct command *command = group->command;
    uint32_t count = command->operations_count, missing = count;
    struct replay_hit found = {0};
    bool same = true;
    for (uint32_t i = 0; i < count; i++) {
        const struct operation *operation = &command->operations[i];
        const struct prepared_operation *prepared = &group->prepared[i];
        struct replay_hit hit;
        bool exists = order_load(apply, operation->id, prepared, &apply->record);
        group->exists = exists;
        if (!exists || !replay_find(apply, operation->id, prepared->shard, &apply->record,
                                    command->request_id, &hit, &group->collisions[i])) {
            missing = missing == count ? i : missing;
        } else if (found.seq == 0) {
            found = hit;
        } else {
            same = same && hit.first == found.first;
        }
    }
    if (found.seq == 0) {
        return VERDICT_NEW;
    }
    if (missing == count && same && found.operations == count &&
        memcmp(&found.content, &command->content, sizeof found.content) == 0 &&
        group_receipts(apply, group, found.first)) {
        return VERDICT_REPLAY;
    }
    *index_out = missing == count ? 0 : missing;
    *seq_out = found.seq;
    return VERDICT_REUSED;
}

static void
group_refused(struct apply *apply, const struct group *group, uint32_t index,
              struct command_result *result)
{
    change_forget(apply);
    result->failed = true;
    result->index = index;
    result->outcomes_count = 1;
    group->outcomes[0] = group->outcomes[index];
    trail_refusal(apply, group->number, index, &group->outcomes[0]);
}

/* Later operations of the group see what this one decided. */
static void
group_stage(struct apply *apply, struct change *change)
{
    change->record = arena_copy(&apply->scratch, change->record);
    overlay_put(&apply->group_orders, change->id, change->record);
    for (uint32_t i = 0; i < change->uniques_count; i++) {
        overlay_put(&apply->group_unique, change->uniques[i].key,
                    change->frees ? BYTES_NONE : change->id);
    }
}

static void
receipt_of_change(struct apply *apply, const struct change *change, const struct cause *cause,
                  struct outcome *outcome)
{
    outcome->receipt = (struct receipt){
        .id = arena_copy(apply->results, change->id),
        .definition = change->definition,
        .event = cause->event,
        .from = change->from,
        .to = change->state,
        .version = change->version,
        .seq = change->seq,
        .at = apply->applied.time,
        .epoch = apply->applied.epoch,
    };
}

/* Decides operation `index`. False: refused. */
static bool
group_decide(struct apply *apply, struct group *group, uint32_t index)
{
    const struct command *command = group->command;
    const struct operation *operation = &command->operations[index];
    const struct prepared_operation *prepared = &group->prepared[index];
    struct change *change = &group->changes[index];
    struct outcome *outcome = &group->outcomes[index];
    bool alone = command->operations_count == 1;
    bool has_id = command->request_id.data != NULL;
    bool exists = alone && has_id ? group->exists
                                  : order_load(apply, operation->id, prepared, &apply->record);
    struct bytes earlier; /* The order's first event of a command is the one remembered. */
    bool first = alone || !overlay_get(&apply->group_orders, operation->id, &earlier);
    struct cause cause = {
        .request_id = command->request_id,
        .trace = command->trace,
        .actor = operation->actor,
        .reason = operation->reason,
        .content = command->content,
        .operation = (uint16_t)index,
        .operations = (uint16_t)command->operations_count,
        .remembered = has_id && first,
        .fingerprint = group->fingerprint,
        .collisions = has_id ? group->collisions[index] : (struct versions){NULL, 0},
    };
    change->id = operation->id;
    change->hash = prepared->hash;
    change->shard = prepared->shard;
    *outcome = (struct outcome){.error = QO_OK};
    if (!decide_operation(apply, operation, &cause, exists, &apply->record, outcome, change)) {
        QO_POST(outcome->error != QO_OK);
        return false;
    }
    receipt_of_change(apply, change, &cause, outcome);
    return true;
}

static void
group_replayed(struct apply *apply, const struct group *group, struct command_result *result)
{
    result->outcomes_count = group->command->operations_count;
    for (uint32_t i = 0; i < result->outcomes_count; i++) {
        trail_add(apply, group->number, i, TRAIL_REPLAYED, group->outcomes[i].receipt.seq);
    }
    apply->counters.replays++;
}

static void
group_begin(struct apply *apply, struct group *group)
{
    uint32_t count = group->command->operations_count;
    group->outcomes = arena_alloc(apply->results, count * sizeof group->outcomes[0]);
    group->changes = arena_alloc(&apply->scratch, count * sizeof group->changes[0]);
    if (group->command->request_id.data != NULL) {
        group->collisions = arena_zalloc(&apply->scratch, count * sizeof group->collisions[0]);
        group->fingerprint = request_fingerprint(group->command->request_id);
    }
    overlay_reset(&apply->group_orders);
    overlay_reset(&apply->group_unique);
}

void
group_execute(struct apply *apply, uint32_t number, const struct prepared_command *prepared,
              struct command_result *result)
{
    struct group group = {
        .command = &prepared->command, .prepared = prepared->operations, .number = number};
    uint32_t count = group.command->operations_count;
    group_begin(apply, &group);
    result->outcomes = group.outcomes;
    apply->counters.operations += count;

    if (group.command->request_id.data != NULL) {
        uint32_t index = 0;
        uint64_t seq = 0;
        switch (group_seen(apply, &group, &index, &seq)) {
        case VERDICT_NEW:
            break;
        case VERDICT_REPLAY:
            group_replayed(apply, &group, result);
            return;
        case VERDICT_REUSED:
            group.outcomes[index] = (struct outcome){.error = QO_REQUEST_ID_REUSED, .seq = seq};
            group_refused(apply, &group, index, result);
            return;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!group_decide(apply, &group, i)) {
            group_refused(apply, &group, i, result);
            return;
        }
        if (count > 1) {
            group_stage(apply, &group.changes[i]);
        }
    }
    result->outcomes_count = count;
    for (uint32_t i = 0; i < count; i++) {
        change_write(apply, &group.changes[i]);
        trail_add(apply, number, i, TRAIL_APPLIED, group.changes[i].seq);
    }
}
