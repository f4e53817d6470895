/*
 * A small world for tests of the store and of the feed: a model in plain memory, made from a seed
 * entry by entry, and the same entries put into a store. What the store shows is then compared with
 * the model. The n-th entry of a seed is always the same, so a model can be made again up to the
 * entry that a store is found at.
 *
 * Included by one test each, so everything is static inline. Include support/test.h first.
 */
#ifndef STORE_TEST_WORLD_H
#define STORE_TEST_WORLD_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/attributes.h"
#include "machine/machine.h"
#include "store/store.h"
#include "support/seed.h"

enum {
    WORLD_SHARDS = 7,
    WORLD_ORDERS_MAX = 64,
    WORLD_VERSIONS_MAX = 600,
    WORLD_EVENTS_MAX = 20000,
    WORLD_SPILL_EVERY = 5, /* Versions that the order's spilled row names. */
    WORLD_FINGERPRINT = 77,
    WORLD_PLACE = 3, /* Of the order's page, which names them too. */
};

/* The second version of `job` has one more state, which sorts first, so that indexes move. */
static const char *const world_sources[] = {
    "machine: job\nversion: 1\ninitial: Q\nattributes:\n  a: {type: integer}\n"
    "states:\n  Q: {}\n  R: {}\n  S: {}\n"
    "events:\n  go: {from: [Q, R, S], to: R}\n  end: {from: [Q, R, S], to: S}\n",
    "machine: part\nversion: 1\ninitial: X\nattributes:\n"
    "  key: {type: string, required: true, immutable: true, unique: true}\n"
    "states:\n  X: {}\n  Y: {}\nevents:\n  flip: {from: X, to: Y}\n  back: {from: Y, to: X}\n",
    "machine: job\nversion: 2\ninitial: Q\nattributes:\n  a: {type: integer}\n"
    "states:\n  A: {}\n  Q: {}\n  R: {}\n  S: {}\n"
    "events:\n  go: {from: [A, Q, R, S], to: R}\n  halt: {from: [Q, R, S], to: A}\n"
    "  end: {from: [A, Q, R, S], to: S}\n",
};
enum { WORLD_DEFINITIONS = sizeof world_sources / sizeof world_sources[0] };

/* One order of the model, with all it ever was. */
struct world_order {
    char id[32];
    uint32_t shard;
    uint16_t definition;
    uint64_t versions;
    struct world_version {
        uint64_t seq;
        int64_t at;
        uint16_t state;
        uint64_t entered_seq, entered_version;
        int64_t entered_at, deadline;
        struct buf held;
    } * history; /* history[v - 1] is version v. */
    struct order_record record;
    struct buf record_bytes;
};

struct world {
    uint64_t seed;
    struct registry *registry; /* Of the store, or of the model alone. */
    struct store *store;       /* NULL: the model alone. */
    struct applied_point applied;
    uint32_t orders_count;
    struct world_order orders[WORLD_ORDERS_MAX];
    struct buf *events; /* events[seq - 1]: the encoded event. */
    uint16_t *events_order;
};

static inline struct bytes
world_id(const struct world_order *order)
{
    return bytes_text(order->id);
}

/* A random canonical list; with nils if `nils`. Names a to h, values small integers and texts. */
static inline struct bytes
world_attributes(uint64_t *prng, bool nils, struct buf *buf)
{
    struct attributes_builder builder = attributes_build(buf);
    for (char name = 'a'; name <= 'h'; name++) {
        uint8_t value[40];
        uint64_t kind = seed_below(prng, 8);
        if (kind == 0) {
            value[0] = (uint8_t)seed_below(prng, 128);
            attributes_append(&builder, bytes_make(&name, 1), VALUE_INTEGER, bytes_make(value, 1));
        } else if (kind == 1) {
            size_t size = seed_below(prng, 31);
            value[0] = (uint8_t)(0xa0 + size);
            memset(value + 1, 'a' + (int)seed_below(prng, 26), size);
            attributes_append(&builder, bytes_make(&name, 1), VALUE_TEXT,
                              bytes_make(value, 1 + size));
        } else if (kind == 2 && nils) {
            value[0] = 0xc0;
            attributes_append(&builder, bytes_make(&name, 1), VALUE_NIL, bytes_make(value, 1));
        }
    }
    return attributes_built(&builder);
}

static inline const struct definition *
world_definition(const struct world *world, const struct world_order *order)
{
    return registry_get(world->registry, REGISTRY_STATE, order->definition);
}

static inline struct world_version *
world_newest(const struct world_order *order)
{
    return &order->history[order->versions - 1];
}

/* The record of the newest version, told from the history alone. */
static inline void
world_make_record(struct world_order *order, struct sha256 chain)
{
    const struct world_version *newest = world_newest(order);
    struct order_record *record = &order->record;
    *record = (struct order_record){
        .definition = order->definition,
        .state = newest->state,
        .version = order->versions,
        .seq = newest->seq,
        .created_at = order->history[0].at,
        .updated_at = newest->at,
        .entered_seq = newest->entered_seq,
        .entered_version = newest->entered_version,
        .entered_at = newest->entered_at,
        .deadline = newest->deadline,
        .chain = chain,
        .attributes = buf_bytes(&newest->held),
    };
    for (uint64_t version = order->versions; version > 0; version &= version - 1) {
        record->prefixes_count++;
    }
    uint32_t place = record->prefixes_count;
    for (uint64_t version = order->versions; version > 0; version &= version - 1) {
        record->prefixes[--place] = order->history[version - 1].seq;
    }
    /* Odd versions have a request id. */
    uint64_t oldest =
        order->versions > QO_FINGERPRINTS_MAX ? order->versions - QO_FINGERPRINTS_MAX + 1 : 1;
    for (uint64_t version = oldest; version <= order->versions; version++) {
        if (version % 2 == 1) {
            record->fingerprints[version % QO_FINGERPRINTS_MAX] = (uint32_t)version * 1000003u;
            record->fingerprints_set |= UINT32_C(1) << (version % QO_FINGERPRINTS_MAX);
        }
    }
    buf_clear(&order->record_bytes);
    order_record_encode(record, &order->record_bytes);
}

/* What one command changes beside the order and its event. */
static inline void
world_put_rows(struct world *world, struct world_order *order)
{
    struct store *store = world->store;
    const struct definition *definition = world_definition(world, order);
    const struct world_version *now = world_newest(order);
    const struct world_version *before = order->versions > 1 ? now - 1 : NULL;
    struct bytes id = world_id(order);
    store_put_order(store, id, order->shard, buf_bytes(&order->record_bytes));
    store_put_event(store, now->seq, buf_bytes(&world->events[now->seq - 1]));
    if (now->entered_seq == now->seq) {
        store_put_list(store, definition->machine_number, definition->state_numbers[now->state],
                       now->seq, id);
        if (before != NULL) {
            store_list_left(store, definition->machine_number,
                            definition->state_numbers[before->state], before->entered_seq);
        }
    }
    if (before != NULL && before->deadline != 0 && before->deadline != now->deadline) {
        store_deadline_left(store, before->deadline, before->entered_at);
    }
    if (now->deadline != 0 && now->entered_seq == now->seq) {
        store_put_deadline(store, now->deadline, id, order->shard, now->entered_version);
    }
    if (before == NULL) {
        store_put_unique(store, definition->machine_number, 0, id, id);
    } else if (order->versions % 3 == 0) {
        store_delete_unique(store, definition->machine_number, 0, id);
    } else if (order->versions % 3 == 1) {
        store_put_unique(store, definition->machine_number, 0, id, id);
    }
    if (order->versions % WORLD_SPILL_EVERY == 0) {
        uint64_t seqs[WORLD_VERSIONS_MAX];
        uint32_t count = 0;
        for (uint64_t v = WORLD_SPILL_EVERY; v <= order->versions; v += WORLD_SPILL_EVERY) {
            seqs[count++] = order->history[v - 1].seq;
        }
        store_put_spilled(store, id, order->shard, WORLD_FINGERPRINT, seqs, count);
        store_put_page(store, id, order->shard, WORLD_PLACE, bytes_make(seqs, 8 * (size_t)count));
    }
}

/* One command on `order`, new or not: the next version. */
static inline void
world_command(struct world *world, struct world_order *order, uint64_t *prng, uint16_t operation,
              uint16_t operations)
{
    struct buf brought = {0};
    bool creation = order->versions == 0;
    uint64_t seq = ++world->applied.seq, version = order->versions + 1;
    const struct machine *machine = world_definition(world, order)->machine;
    struct world_version *before = creation ? NULL : world_newest(order);
    struct world_version *now = &order->history[version - 1];
    *now = (struct world_version){.seq = seq, .at = world->applied.time};
    bool stays = !creation && seed_below(prng, 4) == 0;
    now->state = stays ? before->state : (uint16_t)seed_below(prng, machine_state_count(machine));
    now->entered_seq = stays ? before->entered_seq : seq;
    now->entered_version = stays ? before->entered_version : version;
    now->entered_at = stays ? before->entered_at : now->at;
    now->deadline = stays                      ? before->deadline
                    : seed_below(prng, 2) == 0 ? 0
                                               : now->at + 1 + (int64_t)seed_below(prng, 5000);
    struct bytes list = world_attributes(prng, !creation, &brought);
    attributes_merge(&now->held, creation ? BYTES_NONE : buf_bytes(&before->held), list);
    uint64_t jump = version & (version - 1);
    struct event_record event = {
        .seq = seq,
        .kind = EVENT_KIND_ORDER,
        .timer = seed_below(prng, 10) == 0,
        .operation = operation,
        .operations = operations,
        .epoch = 1,
        .definition = order->definition,
        .event = creation ? RECORD_NONE : (uint16_t)seed_below(prng, 2),
        .from = creation ? RECORD_NONE : before->state,
        .to = now->state,
        .shard = (uint8_t)order->shard,
        .version = version,
        .at = now->at,
        .prev = creation ? 0 : before->seq,
        .jump = jump == 0 ? 0 : order->history[jump - 1].seq,
        .entered_seq = now->entered_seq,
        .entered_at = now->entered_at,
        .deadline = now->deadline,
        .id = world_id(order),
        .request_id = version % 2 == 1 ? bytes_text("request") : BYTES_NONE,
        .actor = seed_below(prng, 2) == 0 ? bytes_text("somebody") : BYTES_NONE,
        .attributes = list,
        .held = version % QO_SNAPSHOT_EVERY == 0 ? buf_bytes(&now->held) : BYTES_NONE,
    };
    event.chain = event_record_chain(&event, order->record.chain);
    event_record_encode(&event, &world->events[seq - 1]);
    world->events_order[seq - 1] = (uint16_t)(order - world->orders);
    order->versions = version;
    world_make_record(order, event.chain);
    world->applied.shards[order->shard] =
        hash_digest(world->applied.shards[order->shard],
                    bytes_make(event.chain.bytes, sizeof event.chain.bytes));
    buf_free(&brought);
    if (world->store != NULL) {
        world_put_rows(world, order);
    }
}

/* The next definition; at most one per entry, before its commands. */
static inline void
world_define(struct world *world)
{
    uint32_t number = registry_count(world->registry, REGISTRY_STATE);
    struct buf compiled = {0};
    struct machine_error error;
    if (machine_compile(bytes_text(world_sources[number]), &compiled, &error) != QO_OK) {
        fail_msg("definition %u: %u:%u: %s", number, error.line, error.column, error.why);
    }
    const struct definition *definition =
        registry_add(world->registry, buf_bytes(&compiled), bytes_text(world_sources[number]),
                     world->applied.time);
    if (world->store != NULL) {
        store_put_definition(world->store, definition);
    } else {
        registry_publish(world->registry);
    }
    buf_free(&compiled);
}

/* The next entry: 1 to 20 commands, into the model and, if there is one, the store. */
static inline void
world_entry(struct world *world)
{
    uint64_t prng = world->seed + 0x9e3779b97f4a7c15u * (world->applied.index + 1);
    world->applied.index++;
    world->applied.term = 1 + world->applied.index / 100;
    world->applied.epoch = 1;
    world->applied.time += (int64_t)seed_below(&prng, 3) * 500; /* Often the same. */
    uint32_t defined = registry_count(world->registry, REGISTRY_STATE);
    if (defined < WORLD_DEFINITIONS && world->applied.index == 1 + 20 * (uint64_t)defined) {
        world_define(world);
        defined++;
    }
    uint16_t operations = (uint16_t)(1 + seed_below(&prng, 20));
    for (uint16_t i = 0; i < operations; i++) {
        uint64_t chosen = seed_below(&prng, WORLD_ORDERS_MAX);
        /* A few orders get most events, so that histories become long. */
        chosen = seed_below(&prng, 4) > 0 ? chosen % 4 : chosen;
        struct world_order *order = &world->orders[chosen];
        if (chosen >= world->orders_count) {
            order = &world->orders[world->orders_count++];
            snprintf(order->id, sizeof order->id, "order-%u", world->orders_count);
            order->shard = hash_shard(world_id(order), WORLD_SHARDS);
            order->definition = (uint16_t)seed_below(&prng, defined);
            order->history = mem_zalloc(WORLD_VERSIONS_MAX * sizeof order->history[0]);
        }
        if (order->versions < WORLD_VERSIONS_MAX && world->applied.seq < WORLD_EVENTS_MAX) {
            world_command(world, order, &prng, 0, 1);
        }
    }
    world->applied.digest = hash_digest(world->applied.digest, bytes_make(&world->applied.seq, 8));
    if (world->store != NULL) {
        store_commit(world->store, &world->applied);
    }
}

/* A world at entry 0. It borrows `store` and `registry` (the store's, or an empty one). */
static inline struct world *
world_begin(uint64_t seed, struct store *store, struct registry *registry)
{
    struct world *world = mem_zalloc(sizeof *world);
    world->seed = seed;
    world->store = store;
    world->registry = registry;
    world->applied.time = 1000;
    world->events = mem_zalloc(WORLD_EVENTS_MAX * sizeof world->events[0]);
    world->events_order = mem_zalloc(WORLD_EVENTS_MAX * sizeof world->events_order[0]);
    return world;
}

static inline void
world_end(struct world *world)
{
    for (uint32_t i = 0; i < world->orders_count; i++) {
        for (uint64_t v = 0; v < world->orders[i].versions; v++) {
            buf_free(&world->orders[i].history[v].held);
        }
        mem_free(world->orders[i].history);
        buf_free(&world->orders[i].record_bytes);
    }
    for (uint64_t seq = 0; seq < world->applied.seq; seq++) {
        buf_free(&world->events[seq]);
    }
    mem_free(world->events);
    mem_free(world->events_order);
    mem_free(world);
}

/* -- Comparing a store with the model -------------------------------------------------------- */

static inline void
world_same(const char *what, struct bytes got, struct bytes want)
{
    if (!bytes_equal(got, want)) {
        fail_msg("%s: %zu bytes, not the %zu expected", what, got.size, want.size);
    }
}

static inline void
world_check_applied(const struct world *world, const struct applied_point *got)
{
    const struct applied_point *want = &world->applied;
    assert_int_equal(got->index, want->index);
    assert_int_equal(got->term, want->term);
    assert_int_equal(got->seq, want->seq);
    assert_int_equal(got->time, want->time);
    assert_int_equal(got->epoch, want->epoch);
    assert_memory_equal(&got->digest, &want->digest, sizeof want->digest);
    assert_memory_equal(got->shards, want->shards, WORLD_SHARDS * sizeof want->shards[0]);
}

/* The list of one state (or RECORD_NONE) of a machine, page by page of `page` rows. */
static inline void
world_check_list(const struct world *world, struct store_view *view, uint16_t machine,
                 uint16_t state, uint32_t page)
{
    uint64_t position = 0;
    uint32_t listed = 0, expected = 0;
    for (bool end = false; !end;) {
        struct store_list *list = store_list_begin(view, machine, state, position);
        struct bytes id, record;
        uint64_t before = position;
        for (uint32_t i = 0; i < page && store_list_next(list, &id, &record); i++) {
            const struct world_order *order = NULL;
            for (uint32_t n = 0; n < world->orders_count && order == NULL; n++) {
                order = bytes_equal(world_id(&world->orders[n]), id) ? &world->orders[n] : NULL;
            }
            QO_ASSERT(order != NULL);
            const struct definition *definition = world_definition(world, order);
            assert_int_equal(definition->machine_number, machine);
            assert_true(state == RECORD_NONE ||
                        definition->state_numbers[world_newest(order)->state] == state);
            world_same("listed record", record, buf_bytes(&order->record_bytes));
            assert_true(world_newest(order)->entered_seq > before);
            before = world_newest(order)->entered_seq;
            listed++;
        }
        position = store_list_position(list, &end);
        store_list_end(list);
    }
    for (uint32_t n = 0; n < world->orders_count; n++) {
        const struct definition *definition = world_definition(world, &world->orders[n]);
        expected += definition->machine_number == machine &&
                    (state == RECORD_NONE ||
                     definition->state_numbers[world_newest(&world->orders[n])->state] == state);
    }
    assert_int_equal(listed, expected); /* In rising order, so none twice. */
}

static inline void
world_check_lists(const struct world *world, struct store_view *view)
{
    for (uint16_t machine = 0; machine < registry_machines_count(world->registry, REGISTRY_STATE);
         machine++) {
        uint32_t states = registry_states_count(world->registry, REGISTRY_STATE, machine);
        for (uint32_t state = 0; state < states; state++) {
            world_check_list(world, view, machine, (uint16_t)state, 1000);
        }
        world_check_list(world, view, machine, RECORD_NONE, 7);
    }
}

static inline void
world_check_deadlines(const struct world *world, struct store *store)
{
    struct store_deadline rows[WORLD_ORDERS_MAX + 1];
    struct deadline_place next;
    struct arena arena = {0};
    uint32_t expected = 0;
    for (uint32_t n = 0; n < world->orders_count; n++) {
        expected += world_newest(&world->orders[n])->deadline != 0;
    }
    uint32_t count = store_scan_deadlines(store, (struct deadline_place){0}, INT64_MAX, &arena,
                                          rows, WORLD_ORDERS_MAX + 1, &next);
    assert_int_equal(count, expected);
    for (uint32_t i = 0; i < count; i++) {
        bool found = false;
        assert_true(i == 0 || rows[i].deadline >= rows[i - 1].deadline);
        for (uint32_t n = 0; n < world->orders_count; n++) {
            const struct world_order *order = &world->orders[n];
            found = found ||
                    (bytes_equal(world_id(order), rows[i].id) && order->shard == rows[i].shard &&
                     world_newest(order)->deadline == rows[i].deadline &&
                     world_newest(order)->entered_version == rows[i].entered_version);
        }
        assert_true(found);
    }
    if (count > 2) { /* Both ends count, and the limit holds. */
        const struct deadline_place from = {rows[1].deadline, 0};
        int64_t to = rows[count - 2].deadline;
        struct store_deadline some[WORLD_ORDERS_MAX];
        expected = 0;
        for (uint32_t i = 0; i < count; i++) {
            expected += rows[i].deadline >= from.deadline && rows[i].deadline <= to;
        }
        assert_int_equal(
            store_scan_deadlines(store, from, to, &arena, some, WORLD_ORDERS_MAX, &next), expected);
        assert_int_equal(store_scan_deadlines(store, from, to, &arena, some, 1, &next), 1);
        assert_int_equal(some[0].deadline, from.deadline);
        assert_int_equal(store_scan_deadlines(store, (struct deadline_place){to, 0},
                                              from.deadline - 1, &arena, some, 1, &next),
                         0);
    }
    arena_free(&arena);
}

/* All that the store shows, against the model. */
static inline void
world_check(const struct world *world, struct store *store)
{
    struct buf got = {0};
    world_check_applied(world, store_applied(store));
    for (uint32_t n = 0; n < world->orders_count; n++) {
        const struct world_order *order = &world->orders[n];
        struct bytes id = world_id(order);
        uint16_t machine = world_definition(world, order)->machine_number;
        buf_clear(&got);
        assert_true(store_get_order(store, id, order->shard, &got));
        world_same(order->id, buf_bytes(&got), buf_bytes(&order->record_bytes));
        buf_clear(&got);
        bool held = order->versions % 3 != 0;
        assert_int_equal(store_get_unique(store, machine, 0, id, &got), held);
        assert_true(!held || bytes_equal(buf_bytes(&got), id));
        uint64_t seqs[WORLD_VERSIONS_MAX];
        uint32_t count =
            store_get_spilled(store, id, order->shard, WORLD_FINGERPRINT, seqs, WORLD_VERSIONS_MAX);
        assert_int_equal(count, order->versions / WORLD_SPILL_EVERY);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(seqs[i], order->history[(i + 1) * WORLD_SPILL_EVERY - 1].seq);
        }
        assert_int_equal(store_get_spilled(store, id, order->shard, WORLD_FINGERPRINT + 1, seqs, 1),
                         0);
        buf_clear(&got);
        assert_int_equal(store_get_page(store, id, order->shard, WORLD_PLACE, &got), count > 0);
        assert_true(bytes_equal(buf_bytes(&got), bytes_make(seqs, 8 * (size_t)count)));
        assert_false(store_get_page(store, id, order->shard, WORLD_PLACE + 1, &got));
    }
    for (uint64_t seq = 1; seq <= world->applied.seq; seq++) {
        buf_clear(&got);
        assert_true(store_get_event(store, seq, &got));
        world_same("event", buf_bytes(&got), buf_bytes(&world->events[seq - 1]));
    }
    buf_clear(&got);
    assert_false(store_get_event(store, world->applied.seq + 1, &got));
    assert_false(store_get_order(store, bytes_text("nobody"), 0, &got));
    buf_free(&got);
    struct store_view *view = store_view_begin(store);
    world_check_applied(world, store_view_applied(view));
    world_check_lists(world, view);
    store_view_end(view);
    world_check_deadlines(world, store);
}

/* -- Directories ----------------------------------------------------------------------------- */

/* A new directory below $TMPDIR or /tmp. */
static inline void
world_directory(char path_out[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(path_out, 256, "%s/quorder-test-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(path_out));
}

/* Copies `from` to `to`, or removes `from` if `to` is NULL; two levels of directories at most, as
 * stores have. */
static inline void
world_copy(const char *from, const char *to)
{
    assert_true(strlen(from) < 600 && (to == NULL || strlen(to) < 600));
    char command[2 * 700];
    if (to == NULL) {
        snprintf(command, sizeof command, "rm -r '%s'", from);
    } else {
        int size = snprintf(command, sizeof command, "cp -r '%s' '%s'", from, to);
        assert_true(size > 0 && (size_t)size < sizeof command);
    }
    assert_int_equal(system(command), 0);
}

static inline struct store *
world_store(const char *directory, uint64_t memtable_bytes)
{
    struct store_options options = {
        .directory = directory,
        .cluster_id = "test-cluster",
        .shards = WORLD_SHARDS,
        .block_cache_bytes = 8 * 1024 * 1024,
        .memtable_bytes = memtable_bytes,
    };
    return store_open(&options);
}

#endif
