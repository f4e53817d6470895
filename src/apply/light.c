/* Whether an entry is executed without waiting for a disk. Thread: state. */
#include "common/assert.h"
#include "common/thread.h"
#include "state.h"

/* The one operation of an entry that has no other; NULL if it has, or is not understood here. */
static const struct operation *
only_operation(struct apply *apply, struct bytes entry, struct command *command_out)
{
    struct entry_header header;
    struct cursor cursor;
    if (entry.size > QO_LIGHT_ENTRY_BYTES_MAX || !entry_open(entry, &header, &cursor) ||
        header.level > ENTRY_LEVEL || header.count != 1) {
        return NULL;
    }
    bool simple = entry_next(&cursor, &apply->scratch, command_out) &&
                  command_out->kind == COMMAND_GROUP && command_out->operations_count == 1;
    return simple ? &command_out->operations[0] : NULL;
}

/* Whether the record alone tells that a request id is new, and takes in the next version. A hint
 * costs the read of an event. */
static bool
record_is_enough(const struct order_record *record, struct bytes request_id)
{
    if (request_id.data == NULL) {
        bool spills = record->version % QO_FINGERPRINTS_MAX == 0 && record->fingerprints_set != 0;
        return !spills;
    }
    if (record->version >= QO_FINGERPRINTS_MAX) {
        return false; /* Pages, or a block that goes to one. */
    }
    uint32_t fingerprint = request_fingerprint(request_id);
    for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
        bool set = (record->fingerprints_set >> slot & 1) != 0;
        if (set && record->fingerprints[slot] == fingerprint) {
            return false;
        }
    }
    return true;
}

bool
apply_light(struct apply *apply, struct bytes entry)
{
    struct command command;
    struct bytes encoded;
    uint16_t uniques;
    QO_PRE(thread_is(THREAD_STATE));
    arena_reset(&apply->scratch);
    const struct operation *operation = only_operation(apply, entry, &command);
    if (operation == NULL ||
        !cache_get(apply->cache, operation->id, hash_xxh64(operation->id), &encoded) ||
        !order_record_decode(encoded, &apply->record)) {
        return false;
    }
    const struct order_record *record = &apply->record;
    const struct definition *definition =
        registry_get(apply->registry, REGISTRY_STATE, record->definition);
    if (definition == NULL) {
        return false; /* Executing it says what is wrong. */
    }
    (void)machine_uniques(definition->machine, &uniques);
    return uniques == 0 && record_is_enough(record, command.request_id) &&
           !store_stalls(apply->store);
}
