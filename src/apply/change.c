/* Reading the newest record of an order, and writing what was decided. Thread: state. */
#include "state.h"

#include "common/assert.h"

bool
order_load(struct apply *apply, struct bytes id, const struct prepared_operation *prepared,
           struct order_record *record_out)
{
    struct bytes encoded;
    if (!overlay_get(&apply->group_orders, id, &encoded) &&
        !cache_get(apply->cache, id, prepared->hash, &encoded)) {
        if (prepared->absent) {
            return false; /* Else this entry created it, and then it is in the cache. */
        }
        buf_clear(&apply->fetched);
        if (!store_get_order(apply->store, id, prepared->shard, &apply->fetched)) {
            return false;
        }
        encoded = buf_bytes(&apply->fetched);
        cache_put(apply->cache, id, prepared->hash, encoded);
        bool cached = cache_get(apply->cache, id, prepared->hash, &encoded);
        QO_ASSERT(cached);
    }
    if (!order_record_decode(encoded, record_out)) {
        qo_fatal(FATAL_CORRUPT, "the record of order %.*s does not decode", BYTES_FORMAT(id));
    }
    return true;
}

void
order_forget_deadline(struct apply *apply, struct bytes id,
                      const struct prepared_operation *prepared, struct order_record *record)
{
    QO_PRE(record->deadline != 0);
    const struct machine *machine =
        registry_get(apply->registry, REGISTRY_STATE, record->definition)->machine;
    store_deadline_left(apply->store, record->deadline, decide_given_at(machine, record));
    record->deadline = 0;
    buf_clear(&apply->encoded);
    order_record_encode(record, &apply->encoded);
    store_put_order(apply->store, id, prepared->shard, buf_bytes(&apply->encoded));
    cache_put(apply->cache, id, prepared->hash, buf_bytes(&apply->encoded));
}

static void
write_list(struct apply *apply, const struct change *change)
{
    const struct definition *definition = change->definition;
    if (change->left_state != RECORD_NONE) {
        store_list_left(apply->store, definition->machine_number,
                        definition->state_numbers[change->left_state], change->left_entered_seq);
    }
    if (change->entered) {
        store_put_list(apply->store, definition->machine_number,
                       definition->state_numbers[change->state], change->seq, change->id);
    }
}

static void
write_deadline(struct apply *apply, const struct change *change)
{
    if (change->deadline_left != 0) {
        store_deadline_left(apply->store, change->deadline_left, change->left_given_at);
    }
    if (change->deadline_put != 0) {
        store_put_deadline(apply->store, change->deadline_put, change->id, change->shard,
                           change->entered_version);
    }
}

static void
write_uniques(struct apply *apply, const struct change *change)
{
    uint16_t machine = change->definition->machine_number;
    for (uint32_t i = 0; i < change->uniques_count; i++) {
        const struct unique_write *unique = &change->uniques[i];
        if (change->frees) {
            store_delete_unique(apply->store, machine, unique->attribute, unique->value);
            overlay_put(&apply->unique, unique->key, BYTES_NONE);
        } else {
            store_put_unique(apply->store, machine, unique->attribute, unique->value, change->id);
            overlay_put(&apply->unique, unique->key, change->id);
        }
    }
}

void
change_write(struct apply *apply, const struct change *change)
{
    QO_PRE(change->seq == apply->applied.seq + 1 && change->seq < apply->next_seq);
    struct event_place place = apply->places[change->seq - apply->first_seq];
    store_put_event(apply->store, change->seq,
                    bytes_make(apply->events.data + place.at, place.size));
    store_put_order(apply->store, change->id, change->shard, change->record);
    write_list(apply, change);
    write_deadline(apply, change);
    write_uniques(apply, change);
    replay_spill(apply, change);
    cache_put(apply->cache, change->id, change->hash, change->record);

    struct digest *shard = &apply->applied.shards[change->shard];
    *shard = hash_digest(*shard, bytes_make(change->chain.bytes, sizeof change->chain.bytes));
    apply->applied.seq = change->seq;
    apply->counters.events++;
}

void
change_forget(struct apply *apply)
{
    uint64_t first = apply->applied.seq + 1;
    if (first < apply->next_seq) {
        apply->events.size = apply->places[first - apply->first_seq].at;
        apply->next_seq = first;
    }
}
