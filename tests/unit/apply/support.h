/*
 * What the tests of apply share: a store in a directory of its own with an apply on it, machines,
 * and short ways to say a command. Static inline: each test includes it once. Include
 * support/test.h first.
 */
#ifndef APPLY_TEST_SUPPORT_H
#define APPLY_TEST_SUPPORT_H

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/apply.h"
#include "common/attributes.h"

struct world {
    char directory[256];
    struct store *store;
    struct apply *apply;
    uint64_t cache_bytes;
    struct arena arena; /* Results; reset by each submission. */
    struct buf entry;
    uint64_t index, term;
    int64_t time;
};

static inline void
world_start(struct world *world)
{
    struct store_options options = {
        .directory = world->directory, .cluster_id = "apply-test", .shards = 4};
    struct apply_options apply_options = {.cache_bytes = world->cache_bytes};
    world->store = store_open(&options);
    world->apply = apply_open(world->store, &apply_options);
}

static inline void
world_stop(struct world *world)
{
    apply_close(world->apply);
    store_close(world->store);
}

static inline void
world_open(struct world *world, uint64_t cache_bytes)
{
    const char *base = getenv("TMPDIR");
    *world = (struct world){.cache_bytes = cache_bytes, .term = 1, .time = 1000000};
    (void)snprintf(world->directory, sizeof world->directory, "%s/quorder-apply-XXXXXX",
                   base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(world->directory));
    world_start(world);
}

static inline void
world_close(struct world *world)
{
    world_stop(world);
    arena_free(&world->arena);
    buf_free(&world->entry);
    char *roots[] = {world->directory, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    assert_non_null(tree);
    for (FTSENT *file = fts_read(tree); file != NULL; file = fts_read(tree)) {
        assert_true(file->fts_info == FTS_D || remove(file->fts_accpath) == 0);
    }
    assert_int_equal(fts_close(tree), 0);
}

/* Closes the store and opens it again; what it had not written is lost, as at a kill. */
static inline void
world_reopen(struct world *world)
{
    world_stop(world);
    world_start(world);
}

static inline void
world_encode(struct world *world, struct buf *entry, const struct command *commands, uint32_t count)
{
    struct entry_header header = {.name = {.node = 1, .incarnation = 7, .counter = world->index},
                                  .term = world->term,
                                  .time = world->time,
                                  .count = count};
    entry_begin(entry);
    for (uint32_t i = 0; i < count; i++) {
        entry_add(entry, &commands[i]);
    }
    entry_end(entry, &header);
}

/* One entry with these commands, at the next index and the world's time. */
static inline struct apply_results
world_submit(struct world *world, const struct command *commands, uint32_t count)
{
    struct apply_results results;
    world->index++;
    world_encode(world, &world->entry, commands, count);
    arena_reset(&world->arena);
    apply_execute(world->apply, world->index, world->term, buf_bytes(&world->entry), &world->arena,
                  &results);
    assert_false(results.skipped);
    assert_int_equal(results.commands_count, count);
    return results;
}

/* The only outcome of an entry with one command that has one. */
static inline const struct outcome *
world_outcome(struct world *world, const struct command *command)
{
    struct apply_results results = world_submit(world, command, 1);
    assert_int_equal(results.commands[0].outcomes_count, 1);
    return &results.commands[0].outcomes[0];
}

/* A list from words such as "count=5,key=abc,note=~": names in order; a number, nil, or a text. */
static inline struct bytes
list_of(struct arena *arena, const char *words)
{
    struct buf buf = {0};
    struct attributes_builder builder = attributes_build(&buf);
    while (*words != '\0') {
        const char *equals = strchr(words, '=');
        const char *end = strchr(words, ',');
        end = end == NULL ? words + strlen(words) : end;
        const char *text = equals + 1;
        size_t size = (size_t)(end - text);
        uint8_t value[32];
        assert_true(size < 31);
        enum value_type type = VALUE_TEXT;
        size_t value_size = 1;
        if (size == 1 && *text == '~') {
            type = VALUE_NIL;
            value[0] = 0xc0;
        } else if (*text >= '0' && *text <= '9') {
            long number = strtol(text, NULL, 10);
            assert_true(number >= 0 && number < 128);
            type = VALUE_INTEGER;
            value[0] = (uint8_t)number;
        } else {
            value[0] = (uint8_t)(0xa0 | size);
            memcpy(value + 1, text, size);
            value_size = 1 + size;
        }
        attributes_append(&builder, bytes_make(words, (size_t)(equals - words)), type,
                          bytes_make(value, value_size));
        words = *end == ',' ? end + 1 : end;
    }
    struct bytes list = arena_copy(arena, attributes_built(&builder));
    buf_free(&buf);
    return list;
}

/* The digest of everything in the command that counts as content. */
static inline void
command_seal(struct command *command)
{
    struct buf buf = {0};
    struct command bare = *command;
    bare.request_id = bare.trace = BYTES_NONE;
    bare.content = (struct content_digest){{0}};
    entry_begin(&buf);
    entry_add(&buf, &bare);
    struct sha256 hash = hash_sha256(buf_bytes(&buf));
    memcpy(command->content.bytes, hash.bytes, sizeof command->content.bytes);
    buf_free(&buf);
}

static inline struct bytes
text_or_none(const char *text)
{
    return text == NULL ? BYTES_NONE : bytes_text(text);
}

/* Sealed, for literal texts; `operation` is the caller's and outlives the command. */
static inline struct command
command_of(struct operation *operation, uint32_t count, const char *request_id)
{
    struct command command = {.kind = COMMAND_GROUP,
                              .atomic = count > 1,
                              .request_id = text_or_none(request_id),
                              .operations_count = count,
                              .operations = operation};
    command_seal(&command);
    return command;
}

static inline struct operation
create_of(const char *id, const char *machine, struct bytes attributes)
{
    return (struct operation){.kind = OPERATION_CREATE,
                              .id = bytes_text(id),
                              .machine = bytes_text(machine),
                              .attributes = attributes};
}

static inline struct operation
transition_of(const char *id, const char *event, struct bytes attributes)
{
    return (struct operation){.kind = OPERATION_TRANSITION,
                              .id = bytes_text(id),
                              .event = bytes_text(event),
                              .attributes = attributes};
}

static inline const struct outcome *
world_define(struct world *world, const char *source)
{
    struct buf compiled = {0};
    struct machine_error error;
    if (machine_compile(bytes_text(source), &compiled, &error) != QO_OK) {
        fail_msg("%u:%u: %s", error.line, error.column, error.why);
    }
    struct command command = {
        .kind = COMMAND_DEFINITION, .compiled = buf_bytes(&compiled), .source = bytes_text(source)};
    const struct outcome *outcome = world_outcome(world, &command);
    buf_free(&compiled);
    return outcome;
}

static inline const struct outcome *
world_create(struct world *world, const char *id, const char *machine, const char *attributes,
             const char *request_id)
{
    struct arena arena = {0};
    struct operation operation = create_of(id, machine, list_of(&arena, attributes));
    struct command command = command_of(&operation, 1, request_id);
    const struct outcome *outcome = world_outcome(world, &command);
    arena_free(&arena);
    return outcome;
}

static inline const struct outcome *
world_send(struct world *world, const char *id, const char *event, const char *attributes,
           const char *request_id)
{
    struct arena arena = {0};
    struct operation operation = transition_of(id, event, list_of(&arena, attributes));
    struct command command = command_of(&operation, 1, request_id);
    const struct outcome *outcome = world_outcome(world, &command);
    arena_free(&arena);
    return outcome;
}

static inline struct command
timer_of(const char *id, uint64_t entered_version, int64_t deadline)
{
    return (struct command){.kind = COMMAND_TIMER,
                            .timer_id = bytes_text(id),
                            .timer_entered_version = entered_version,
                            .timer_deadline = deadline};
}

/* The order's record as a reader sees it, in `buf`. */
static inline bool
world_record(struct world *world, const char *id, struct buf *buf, struct order_record *record_out)
{
    struct store_view *view = store_view_begin(world->store);
    buf_clear(buf);
    bool found = store_view_get_order(view, bytes_text(id), buf);
    store_view_end(view);
    assert_true(!found || order_record_decode(buf_bytes(buf), record_out));
    return found;
}

static inline void
world_event(struct world *world, uint64_t seq, struct buf *buf, struct event_record *event_out)
{
    buf_clear(buf);
    assert_true(store_get_event(world->store, seq, buf));
    assert_true(event_record_decode(seq, buf_bytes(buf), event_out));
}

/* Every rule about attributes, unique values, timers and staying, in few states. */
static const char *const shop_source = "machine: shop\n"
                                       "version: 1\n"
                                       "initial: NEW\n"
                                       "attributes:\n"
                                       "  count: {type: integer}\n"
                                       "  key: {type: string, required: true, immutable: true, "
                                       "unique: true}\n"
                                       "  memo: {type: string}\n"
                                       "  note: {type: string}\n"
                                       "states:\n"
                                       "  NEW: {timeout: {after: 10s, event: expire}}\n"
                                       "  PAID: {}\n"
                                       "  DONE: {final: true}\n"
                                       "  EXPIRED: {final: true}\n"
                                       "events:\n"
                                       "  pay: {from: NEW, to: PAID, requires: [count], "
                                       "accepts: [memo, note]}\n"
                                       "  touch: {from: [NEW, PAID], accepts: [memo, note]}\n"
                                       "  renew: {from: NEW, restart: true}\n"
                                       "  reopen: {from: PAID, to: NEW}\n"
                                       "  finish: {from: PAID, to: DONE}\n"
                                       "  expire: {from: NEW, to: EXPIRED}\n";

/* Two states that lead to each other, for long histories. */
static const char *const loop_source = "machine: loop\n"
                                       "version: 1\n"
                                       "initial: A\n"
                                       "attributes:\n"
                                       "  note: {type: string}\n"
                                       "states:\n"
                                       "  A: {}\n"
                                       "  B: {timeout: {after: 72h, event: back}}\n"
                                       "events:\n"
                                       "  go: {from: A, to: B, accepts: [note]}\n"
                                       "  back: {from: B, to: A, accepts: [note]}\n";

static inline struct world
world_with_machines(void)
{
    struct world world;
    world_open(&world, 0);
    assert_true(world_define(&world, shop_source)->changed);
    assert_true(world_define(&world, loop_source)->changed);
    return world;
}

#define assert_applied(outcome_)                                                                   \
    do {                                                                                           \
        const struct outcome *applied_ = (outcome_);                                               \
        assert_string_equal(error_code(applied_->error), "ok");                                    \
        assert_false(applied_->receipt.replayed);                                                  \
    } while (0)

static inline void
assert_replay_of(const struct outcome *outcome, uint64_t seq, uint64_t version)
{
    assert_string_equal(error_code(outcome->error), "ok");
    assert_true(outcome->receipt.replayed);
    assert_int_equal(outcome->receipt.seq, seq);
    assert_int_equal(outcome->receipt.version, version);
}

static inline struct command_result
submit_group(struct world *world, struct operation *operations, uint32_t count,
             const char *request_id)
{
    struct command command = command_of(operations, count, request_id);
    return world_submit(world, &command, 1).commands[0];
}

#endif
