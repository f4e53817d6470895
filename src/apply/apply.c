/* See apply/apply.h. Thread: state.
 *
 * apply_execute() in order: skip what was executed, read the commands, prefetch their orders,
 * execute command by command (group.c, timer.c, definition.c), commit, then the cache's bound.
 */
#include "apply/apply.h"

#include "common/assert.h"
#include "common/thread.h"
#include "state.h"

#define CACHE_BYTES_DEFAULT (UINT64_C(256) * 1024 * 1024)

struct apply *
apply_open(struct store *store, const struct apply_options *options)
{
    struct apply *apply = mem_zalloc(sizeof *apply);
    uint64_t cache_bytes = options == NULL ? 0 : options->cache_bytes;
    apply->store = store;
    apply->registry = store_registry(store);
    apply->shards = store_shards(store);
    apply->cache = cache_open(cache_bytes == 0 ? CACHE_BYTES_DEFAULT : cache_bytes);
    apply->applied = *store_applied(store);
    if (apply->applied.epoch == 0) {
        apply->applied.epoch = 1; /* A store before its first entry. */
    }
    QO_POST(apply->shards >= 1 && apply->shards <= QO_SHARDS_MAX);
    return apply;
}

void
apply_close(struct apply *apply)
{
    if (apply == NULL) {
        return;
    }
    cache_close(apply->cache);
    arena_free(&apply->scratch);
    overlay_free(&apply->unique);
    overlay_free(&apply->spilled);
    overlay_free(&apply->group_orders);
    overlay_free(&apply->group_unique);
    buf_free(&apply->events);
    buf_free(&apply->trail);
    buf_free(&apply->fetched);
    buf_free(&apply->read_event);
    buf_free(&apply->machine_out);
    buf_free(&apply->encoded);
    buf_free(&apply->page);
    mem_free(apply->places);
    mem_free(apply);
}

/* Reads the header and all commands of the entry. Ends the node on what it does not understand. */
static struct prepared_command *
entry_read(struct apply *apply, uint64_t index, struct bytes entry, struct entry_header *header)
{
    struct cursor cursor;
    if (!entry_open(entry, header, &cursor)) {
        qo_fatal(FATAL_CORRUPT, "entry %llu of the log is damaged or of another format",
                 (unsigned long long)index);
    }
    if (header->level > ENTRY_LEVEL) {
        qo_fatal(FATAL_LEVEL, "entry %llu of the log needs level %u, and this build has %u",
                 (unsigned long long)index, header->level, ENTRY_LEVEL);
    }
    if (header->count > QO_ENTRY_COMMANDS_MAX) {
        qo_fatal(FATAL_CORRUPT, "entry %llu of the log has %u commands", (unsigned long long)index,
                 header->count);
    }
    struct prepared_command *prepared =
        arena_alloc(&apply->scratch, header->count * sizeof prepared[0]);
    for (uint32_t i = 0; i < header->count; i++) {
        if (!entry_next(&cursor, &apply->scratch, &prepared[i].command)) {
            qo_fatal(FATAL_LEVEL, "command %u of entry %llu of the log is not understood", i,
                     (unsigned long long)index);
        }
    }
    if (!cursor_done(&cursor)) {
        qo_fatal(FATAL_CORRUPT, "entry %llu of the log holds more than its %u commands",
                 (unsigned long long)index, header->count);
    }
    return prepared;
}

/* The orders that the cache lacks, and whose `absent` their answers fill. */
struct missing {
    struct store_order_key *keys;
    struct prepared_operation **operations;
    uint32_t count;
};

static void
prefetch_one(struct apply *apply, struct bytes id, struct prepared_operation *operation,
             struct missing *missing)
{
    struct bytes record;
    operation->hash = hash_xxh64(id);
    operation->shard = (uint32_t)(operation->hash % apply->shards); /* As hash_shard(). */
    operation->absent = false;
    if (cache_get(apply->cache, id, operation->hash, &record)) {
        apply->counters.cache_hits++;
        return;
    }
    apply->counters.cache_misses++;
    missing->keys[missing->count] = (struct store_order_key){id, operation->shard};
    missing->operations[missing->count++] = operation;
}

static void
prefetch_missing(struct apply *apply, const struct missing *missing)
{
    struct bytes *records = arena_alloc(&apply->scratch, missing->count * sizeof records[0]);
    store_get_orders(apply->store, missing->keys, missing->count, &apply->scratch, records);
    for (uint32_t i = 0; i < missing->count; i++) {
        struct prepared_operation *operation = missing->operations[i];
        operation->absent = records[i].data == NULL;
        if (!operation->absent) {
            cache_put(apply->cache, missing->keys[i].id, operation->hash, records[i]);
        }
    }
}

static uint32_t
orders_count(const struct command *command)
{
    return command->kind == COMMAND_GROUP   ? command->operations_count
           : command->kind == COMMAND_TIMER ? 1
                                            : 0;
}

/* One read of the store for all orders that the entry names and the cache lacks. */
static void
prefetch(struct apply *apply, struct prepared_command *prepared, uint32_t count)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += orders_count(&prepared[i].command);
    }
    struct missing missing = {
        .keys = arena_alloc(&apply->scratch, total * sizeof missing.keys[0]),
        .operations = arena_alloc(&apply->scratch, total * sizeof missing.operations[0])};
    struct prepared_operation *operation =
        arena_alloc(&apply->scratch, total * sizeof operation[0]);
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = &prepared[i].command;
        prepared[i].operations = operation;
        for (uint32_t n = 0; n < orders_count(command); n++) {
            struct bytes id =
                command->kind == COMMAND_TIMER ? command->timer_id : command->operations[n].id;
            prefetch_one(apply, id, operation++, &missing);
        }
    }
    if (missing.count > 0) {
        prefetch_missing(apply, &missing);
    }
}

static void
command_execute(struct apply *apply, uint32_t number, const struct prepared_command *prepared,
                struct command_result *result)
{
    *result = (struct command_result){.kind = prepared->command.kind};
    switch (prepared->command.kind) {
    case COMMAND_GROUP:
        group_execute(apply, number, prepared, result);
        break;
    case COMMAND_TIMER:
        timer_execute(apply, number, prepared, result);
        break;
    case COMMAND_DEFINITION:
        definition_execute(apply, number, prepared, result);
        break;
    }
}

static void
entry_begin_execution(struct apply *apply, struct arena *results)
{
    arena_reset(&apply->scratch);
    overlay_reset(&apply->unique);
    overlay_reset(&apply->spilled);
    buf_clear(&apply->events);
    apply->results = results;
    apply->first_seq = apply->next_seq = apply->applied.seq + 1;
}

static void
commit(struct apply *apply, uint64_t index, uint64_t term)
{
    QO_ASSERT(apply->next_seq == apply->applied.seq + 1);
    apply->applied.index = index;
    apply->applied.term = term;
    store_commit(apply->store, &apply->applied);
}

void
apply_execute(struct apply *apply, uint64_t index, uint64_t term, struct bytes entry,
              struct arena *arena, struct apply_results *results_out)
{
    QO_PRE(thread_is(THREAD_STATE));
    *results_out = (struct apply_results){.index = index};
    if (index <= apply->applied.index) {
        struct cursor commands;
        results_out->skipped = true;
        (void)entry_open(entry, &results_out->header, &commands);
        return;
    }
    QO_PRE(term >= apply->applied.term);
    assert_set_log_index(index);
    entry_begin_execution(apply, arena);
    struct entry_header *header = &results_out->header;
    struct prepared_command *prepared = entry_read(apply, index, entry, header);
    prefetch(apply, prepared, header->count);

    if (header->time > apply->applied.time) {
        apply->applied.time = header->time;
    }
    apply->applied.entry_index = index;
    trail_begin(apply, index);
    results_out->commands_count = header->count;
    results_out->commands = arena_alloc(arena, header->count * sizeof results_out->commands[0]);
    for (uint32_t i = 0; i < header->count; i++) {
        command_execute(apply, i, &prepared[i], &results_out->commands[i]);
    }
    trail_end(apply);
    commit(apply, index, term);
    cache_trim(apply->cache);
    results_out->events_count = apply->next_seq - apply->first_seq;
    apply->counters.entries++;
    apply->counters.commands += header->count;
    assert_set_log_index(0);
}

void
apply_advance(struct apply *apply, uint64_t index, uint64_t term)
{
    QO_PRE(thread_is(THREAD_STATE));
    if (index > apply->applied.index) {
        QO_PRE(term >= apply->applied.term);
        apply->next_seq = apply->applied.seq + 1;
        commit(apply, index, term);
    }
}

struct apply_counters
apply_counters(const struct apply *apply)
{
    return apply->counters;
}
