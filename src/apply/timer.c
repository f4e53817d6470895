/* A timeout that the leader found due. Whether it still is, is decided here. Thread: state. */
#include "state.h"

#include "common/assert.h"
#include "common/log.h"

/* The order is still in the state that it entered then, its timeout was not started again, and the
 * log's own time has come. */
static bool
timer_due(const struct apply *apply, const struct command *command,
          const struct order_record *record)
{
    if (record->deadline == 0 || apply->applied.time < command->timer_deadline) {
        return false;
    }
#if defined(QO_MUTANT_TIMER_WITHOUT_VERSION)
    return true; /* Some timeout of this order, not the one that was found due. */
#else
    return record->deadline == command->timer_deadline &&
           record->entered_version == command->timer_entered_version;
#endif
}

enum timer_verdict { TIMER_FIRES, TIMER_NOT_DUE, TIMER_REFUSED };

static enum timer_verdict
timer_decide(struct apply *apply, const struct command *command,
             const struct prepared_operation *prepared, struct change *change, uint16_t *event_out)
{
    struct order_record *record = &apply->record;
    if (!order_load(apply, command->timer_id, prepared, record) ||
        !timer_due(apply, command, record)) {
        return TIMER_NOT_DUE;
    }
    const struct definition *definition =
        registry_get(apply->registry, REGISTRY_STATE, record->definition);
    int64_t after_us;
    bool has = definition != NULL &&
               machine_state_timeout(definition->machine, record->state, &after_us, event_out);
    QO_ASSERT(has); /* Else the record would have no deadline. */

    struct machine_command fired = {
        .state = record->state, .event = *event_out, .held = record->attributes};
    struct machine_step step;
    struct machine_refusal refusal = {.attribute = BYTES_NONE};
    buf_clear(&apply->machine_out);
    enum qo_error decided =
        machine_transition(definition->machine, &fired, &apply->machine_out, &step, &refusal);
    if (decided != QO_OK) {
        /* The definition proves what the target state must have over every way that leads there,
         * but nil may have taken it away since. The timeout is over and did nothing; were it left
         * due, it would be proposed for ever. */
        static struct log_limit limit;
        log_limited(&limit, LOG_WARN, "timeout_without_effect", "id=%.*s attribute=%.*s",
                    BYTES_FORMAT(command->timer_id), BYTES_FORMAT(refusal.attribute));
        order_forget_deadline(apply, command->timer_id, prepared, record);
        return TIMER_REFUSED;
    }
    struct cause cause = {
        .actor = bytes_text("timer"), .event = *event_out, .operations = 1, .timer = true};
    change->id = command->timer_id;
    change->hash = prepared->hash;
    change->shard = prepared->shard;
    decide_change(apply, record, &step, &cause, change);
    return TIMER_FIRES;
}

void
timer_execute(struct apply *apply, uint32_t number, const struct prepared_command *prepared,
              struct command_result *result)
{
    const struct command *command = &prepared->command;
    struct change change;
    uint16_t event;
    overlay_reset(&apply->group_orders);
    overlay_reset(&apply->group_unique);
    enum timer_verdict verdict =
        timer_decide(apply, command, prepared->operations, &change, &event);
    if (verdict != TIMER_FIRES) {
        trail_add(apply, number, 0,
                  verdict == TIMER_REFUSED ? TRAIL_TIMER_REFUSED : TRAIL_TIMER_VOID, 0);
        apply->counters.timers_void++;
        return; /* No outcome: nobody asked. */
    }
    struct outcome *outcome = arena_zalloc(apply->results, sizeof *outcome);
    outcome->receipt = (struct receipt){.id = arena_copy(apply->results, change.id),
                                        .definition = change.definition,
                                        .event = event,
                                        .from = change.from,
                                        .to = change.state,
                                        .version = change.version,
                                        .seq = change.seq,
                                        .at = apply->applied.time,
                                        .epoch = apply->applied.epoch};
    result->outcomes = outcome;
    result->outcomes_count = 1;
    change_write(apply, &change);
    trail_add(apply, number, 0, TRAIL_APPLIED, change.seq);
    apply->counters.timers_fired++;
}
