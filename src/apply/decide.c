/* Creation and transition: the checks in the protocol's order, and what they make of a record.
 * Thread: state. Writes scratch memory only: see the rule in state.h. */
#include "state.h"

#include "common/assert.h"
#include "common/attributes.h"

/* -- Unique values ------------------------------------------------------------------------- */

static struct bytes
unique_key(struct apply *apply, uint16_t machine, uint16_t attribute, struct bytes value)
{
    uint8_t *key = arena_alloc(&apply->scratch, 4 + value.size);
    put_le16(key, machine);
    put_le16(key + 2, attribute);
    memcpy(key + 4, value.data, value.size);
    return bytes_make(key, 4 + value.size);
}

/* The order that holds the value: by the group, else the entry, else the store. False: none. */
static bool
unique_holder(struct apply *apply, uint16_t machine, const struct unique_write *unique,
              struct bytes *holder_out)
{
#if !defined(QO_MUTANT_UNIQUE_STORE_ONLY)
    if (overlay_get(&apply->group_unique, unique->key, holder_out) ||
        overlay_get(&apply->unique, unique->key, holder_out)) {
        return holder_out->data != NULL;
    }
#endif
    buf_clear(&apply->fetched);
    if (!store_get_unique(apply->store, machine, unique->attribute, unique->value,
                          &apply->fetched)) {
        return false;
    }
    *holder_out = buf_bytes(&apply->fetched);
    return true;
}

/* The unique values among `held`: what the order claims when it begins to live and gives back when
 * it ends. They are required and immutable, so an order holds the same ones all its life. */
static void
uniques_collect(struct apply *apply, const struct definition *definition, struct bytes held,
                struct change *change)
{
    uint16_t count;
    const uint16_t *uniques = machine_uniques(definition->machine, &count);
    change->uniques_count = 0;
    if (count == 0) {
        return;
    }
    change->uniques = arena_alloc(&apply->scratch, count * sizeof change->uniques[0]);
    for (uint16_t i = 0; i < count; i++) {
        struct attribute attribute;
        struct bytes name = machine_attribute_name(definition->machine, uniques[i]);
        uint16_t number = definition->attribute_numbers[uniques[i]];
        bool found = attributes_find(held, name, &attribute);
        QO_ASSERT(found && number != RECORD_NONE);
        struct bytes key = unique_key(apply, definition->machine_number, number, attribute.value);
        change->uniques[change->uniques_count++] =
            (struct unique_write){number, key, bytes_make(key.data + 4, key.size - 4)};
    }
}

static bool
uniques_free(struct apply *apply, const struct definition *definition, const struct change *change,
             struct outcome *outcome)
{
    uint16_t count;
    const uint16_t *uniques = machine_uniques(definition->machine, &count);
    for (uint32_t i = 0; i < change->uniques_count; i++) {
        struct bytes holder;
        if (unique_holder(apply, definition->machine_number, &change->uniques[i], &holder)) {
            QO_ASSERT(i < count);
            outcome->error = QO_NOT_UNIQUE;
            outcome->attribute = machine_attribute_name(definition->machine, uniques[i]);
            outcome->held_by = arena_copy(apply->results, holder);
            return false;
        }
    }
    return true;
}

/* -- From a decision to a change ----------------------------------------------------------- */

static int64_t
deadline_after(int64_t at, int64_t after_us)
{
    return at > INT64_MAX - after_us ? INT64_MAX : at + after_us;
}

int64_t
decide_given_at(const struct machine *machine, const struct order_record *record)
{
    int64_t after_us;
    uint16_t event;
    QO_PRE(record->deadline != 0);
    bool has = machine_state_timeout(machine, record->state, &after_us, &event);
    QO_ASSERT(has);
    /* Too early where deadline_after() has cut it, which is harmless. */
    return record->deadline - after_us;
}

/* The state's place in lists and its timer, as the record and the change have them. */
static void
change_entered(const struct apply *apply, struct order_record *record,
               const struct machine_step *step, struct change *change)
{
    const struct machine *machine = change->definition->machine;
    bool creates = change->version == 1;
    change->entered = creates || !step->stays;
    change->state = step->to;
    change->left_state = creates || step->stays ? RECORD_NONE : record->state;
    change->left_entered_seq = record->entered_seq;
    change->deadline_left = change->deadline_put = change->left_given_at = 0;
    if (record->deadline != 0 && (change->entered || step->restart)) {
        change->deadline_left = record->deadline;
        change->left_given_at = decide_given_at(machine, record);
    }
    if (change->entered) {
        record->state = step->to;
        record->entered_seq = change->seq;
        record->entered_version = change->version;
        record->entered_at = apply->applied.time;
    }
    if (change->entered || step->restart) {
        int64_t after_us = 0;
        uint16_t event;
        record->deadline = machine_state_timeout(machine, step->to, &after_us, &event)
                               ? deadline_after(apply->applied.time, after_us)
                               : 0;
        change->deadline_put = record->deadline;
    }
    change->entered_version = record->entered_version;
}

/* Takes the slot of the new version; what is about to be lost is noted for the store. */
static void
change_remember(struct apply *apply, struct order_record *record, const struct cause *cause,
                struct change *change)
{
    uint32_t slot = (uint32_t)(change->version % QO_FINGERPRINTS_MAX);
    change->spill = NULL;
    if (slot == 1 && change->version > 1 && record->fingerprints_set != 0) {
        struct page_block *spill = arena_alloc(&apply->scratch, sizeof *spill);
        spill->before = change->version - QO_FINGERPRINTS_MAX - 1;
        spill->set = record->fingerprints_set;
        memcpy(spill->fingerprints, record->fingerprints, sizeof spill->fingerprints);
        change->spill = spill;
    }
    record->fingerprints_set &= ~(UINT32_C(1) << slot);
    record->fingerprints[slot] = 0;
    change->collisions = (struct versions){NULL, 0};
    if (cause->remembered) {
        record->fingerprints_set |= UINT32_C(1) << slot;
        record->fingerprints[slot] = cause->fingerprint;
        change->fingerprint = cause->fingerprint;
        change->collisions = cause->collisions;
    }
}

static uint32_t
ones(uint64_t bits)
{
    uint32_t count = 0;
    for (; bits != 0; bits &= bits - 1) {
        count++;
    }
    return count;
}

/* Room for the next event of the entry. */
static struct event_place *
event_place(struct apply *apply)
{
    uint64_t place = apply->next_seq - apply->first_seq;
    if (place >= apply->places_capacity) {
        apply->places_capacity = apply->places_capacity == 0 ? 1024 : apply->places_capacity * 2;
        apply->places =
            mem_realloc(apply->places, apply->places_capacity * sizeof apply->places[0]);
    }
    return &apply->places[place];
}

static void
change_event(struct apply *apply, const struct order_record *record,
             const struct machine_step *step, const struct cause *cause, struct change *change)
{
    /* The version before: its last prefix. The version with the lowest bit cleared: the one that
     * the new list of prefixes still has in front. */
    uint64_t prev = record->seq;
    uint32_t kept = ones(change->version) - 1;
    struct event_record event = {
        .seq = change->seq,
        .kind = EVENT_KIND_ORDER,
        .timer = cause->timer,
        .operation = cause->operation,
        .operations = cause->operations,
        .epoch = apply->applied.epoch,
        .definition = record->definition,
        .event = cause->event,
        .from = change->from,
        .to = step->to,
        .shard = (uint8_t)change->shard,
        .version = change->version,
        .at = apply->applied.time,
        .prev = prev,
        .jump = kept == 0 ? 0 : record->prefixes[kept - 1],
        .entered_seq = record->entered_seq,
        .entered_at = record->entered_at,
        .deadline = record->deadline,
        .content = cause->content,
        .id = change->id,
        .request_id = cause->request_id,
        .trace = cause->trace,
        .actor = cause->actor,
        .reason = cause->reason,
        .attributes = step->brought,
        .held = change->version % QO_SNAPSHOT_EVERY == 0 ? step->held : BYTES_NONE,
    };
    event.chain = event_record_chain(&event, record->chain);
    change->chain = event.chain;
    struct event_place *place = event_place(apply);
    place->at = apply->events.size;
    event_record_encode(&event, &apply->events);
    place->size = apply->events.size - place->at;
}

void
decide_change(struct apply *apply, struct order_record *record, const struct machine_step *step,
              const struct cause *cause, struct change *change)
{
    change->from = record->version == 0 ? RECORD_NONE : record->state;
    change->definition = registry_get(apply->registry, REGISTRY_STATE, record->definition);
    QO_ASSERT(change->definition != NULL);
    change->seq = apply->next_seq;
    change->version = record->version + 1;
    change_entered(apply, record, step, change);
    change_remember(apply, record, cause, change);
    change_event(apply, record, step, cause, change);

    record->version = change->version;
    record->seq = change->seq;
    record->updated_at = apply->applied.time;
    record->chain = change->chain;
    record->prefixes_count = ones(change->version);
    record->prefixes[record->prefixes_count - 1] = change->seq;
    record->attributes = step->held;
    buf_clear(&apply->encoded);
    order_record_encode(record, &apply->encoded);
    change->record = buf_bytes(&apply->encoded);

    bool final = machine_state_final(change->definition->machine, step->to);
    change->frees = final;
    if (change->version > 1) {
        change->uniques_count = 0;
        if (final) {
            uniques_collect(apply, change->definition, step->held, change);
        }
    }
    apply->next_seq++;
}

/* -- The checks ---------------------------------------------------------------------------- */

static bool
refuse_transition(struct apply *apply, const struct operation *operation,
                  const struct definition *definition, const struct order_record *record,
                  struct outcome *outcome)
{
    outcome->error = QO_INVALID_TRANSITION;
    outcome->state = machine_state_name(definition->machine, record->state);
    outcome->event = arena_copy(apply->results, operation->event);
    outcome->of = definition;
    outcome->of_state = record->state;
    return false;
}

/* Attributes as the machine decided, and the bound of what an order holds. */
static bool
accept_step(struct apply *apply, enum qo_error decided, const struct machine_refusal *refusal,
            const struct machine_step *step, struct outcome *outcome)
{
    if (decided != QO_OK) {
        QO_ASSERT(decided == QO_INVALID_ATTRIBUTE);
        outcome->error = decided;
        outcome->attribute = arena_copy(apply->results, refusal->attribute);
        outcome->why = refusal->why;
        return false;
    }
    if (attributes_encoded_size(step->held) > QO_ATTRIBUTES_MAX) {
        outcome->error = QO_BAD_REQUEST;
        outcome->field = "attributes";
        outcome->limit = QO_ATTRIBUTES_MAX;
        return false;
    }
    return true;
}

static bool
refuse_state(enum qo_error error, const struct definition *definition,
             const struct order_record *record, struct outcome *outcome)
{
    outcome->error = error;
    outcome->version = record->version;
    outcome->state = machine_state_name(definition->machine, record->state);
    return false;
}

static const struct definition *
definition_of(const struct apply *apply, const struct order_record *record)
{
    const struct definition *definition =
        registry_get(apply->registry, REGISTRY_STATE, record->definition);
    if (definition == NULL || record->state >= machine_state_count(definition->machine)) {
        qo_fatal(FATAL_CORRUPT, "a record names definition %u, state %u, which are not there",
                 record->definition, record->state);
    }
    return definition;
}

static bool
decide_create(struct apply *apply, const struct operation *operation, const struct cause *cause,
              struct order_record *record, struct outcome *outcome, struct change *change)
{
    const struct definition *definition = registry_find(
        apply->registry, REGISTRY_STATE, operation->machine, operation->machine_version);
    if (definition == NULL) {
        int32_t machine = registry_machine(apply->registry, REGISTRY_STATE, operation->machine);
        outcome->error = QO_NOT_FOUND;
        outcome->what = machine < 0 ? "machine" : "version";
        return false;
    }
    struct machine_step step;
    struct machine_refusal refusal;
    buf_clear(&apply->machine_out);
    enum qo_error decided = machine_create(definition->machine, operation->attributes,
                                           &apply->machine_out, &step, &refusal);
    if (!accept_step(apply, decided, &refusal, &step, outcome)) {
        return false;
    }
    /* An order that begins in a final state never lives: it claims nothing. */
    change->uniques_count = 0;
    if (!machine_state_final(definition->machine, step.to)) {
        uniques_collect(apply, definition, step.held, change);
        if (!uniques_free(apply, definition, change, outcome)) {
            return false;
        }
    }
    *record =
        (struct order_record){.definition = definition->number, .created_at = apply->applied.time};
    decide_change(apply, record, &step, cause, change);
    return true;
}

static bool
decide_transition(struct apply *apply, const struct operation *operation, struct cause *cause,
                  struct order_record *record, struct outcome *outcome, struct change *change)
{
    const struct definition *definition = definition_of(apply, record);
    const struct machine *machine = definition->machine;
    int32_t event = machine_event_find(machine, operation->event);
    if (event < 0) {
        return refuse_transition(apply, operation, definition, record, outcome);
    }
    if ((operation->has_expect_version && operation->expect_version != record->version) ||
        (operation->expect_state.data != NULL &&
         !bytes_equal(operation->expect_state, machine_state_name(machine, record->state)))) {
        return refuse_state(QO_VERSION_CONFLICT, definition, record, outcome);
    }
    struct machine_command command = {.state = record->state,
                                      .event = (uint16_t)event,
                                      .held = record->attributes,
                                      .brought = operation->attributes};
    struct machine_step step;
    struct machine_refusal refusal;
    buf_clear(&apply->machine_out);
    enum qo_error decided =
        machine_transition(machine, &command, &apply->machine_out, &step, &refusal);
    if (decided == QO_INVALID_TRANSITION) {
        return refuse_transition(apply, operation, definition, record, outcome);
    }
    if (!accept_step(apply, decided, &refusal, &step, outcome)) {
        return false;
    }
    cause->event = (uint16_t)event;
    decide_change(apply, record, &step, cause, change);
    return true;
}

bool
decide_operation(struct apply *apply, const struct operation *operation, struct cause *cause,
                 bool exists, struct order_record *record, struct outcome *outcome,
                 struct change *change)
{
    if (operation->kind == OPERATION_CREATE) {
        cause->event = RECORD_NONE;
        if (exists) {
            return refuse_state(QO_ALREADY_EXISTS, definition_of(apply, record), record, outcome);
        }
        return decide_create(apply, operation, cause, record, outcome, change);
    }
    QO_ASSERT(operation->kind == OPERATION_TRANSITION);
    if (!exists) {
        outcome->error = QO_NOT_FOUND;
        outcome->what = "order";
        return false;
    }
    return decide_transition(apply, operation, cause, record, outcome, change);
}
