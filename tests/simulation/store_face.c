/* See store_face.h. Thread: the test's. */
#include "support/test.h"

#include "registry_private.h"
#include "store_face.h"
#include "unit/store/world.h"

#ifndef STORE_FACE
#define STORE_FACE rocks_face
#endif
#define FACE_NAME_OF(name) #name
#define FACE_NAME(name) FACE_NAME_OF(name)

enum {
    VIEWS = 3,
    ENTRIES_AT_ONCE = 4,
    MEMTABLE_BYTES = 64 * 1024, /* So that flushes happen all the time. */
    SPILLED_MAX = 40,
};

struct face {
    struct store *store;
    struct world *world;
    struct registry *model; /* Of the world until it was as far as the store. */
    struct store_view *views[VIEWS];
};

static struct face *
face_open(const char *directory, uint64_t seed)
{
    struct face *face = mem_zalloc(sizeof *face);
    face->store = world_store(directory, MEMTABLE_BYTES);
    face->model = registry_open();
    face->world = world_begin(seed, NULL, face->model);
    while (face->world->applied.index < store_applied(face->store)->index) {
        world_entry(face->world);
    }
    face->world->store = face->store;
    face->world->registry = store_registry(face->store);
    return face;
}

static void
face_leave(struct face *face)
{
    world_end(face->world);
    registry_close(face->model);
    mem_free(face);
}

static void
face_close(struct face *face)
{
    for (uint32_t i = 0; i < VIEWS; i++) {
        if (face->views[i] != NULL) {
            store_view_end(face->views[i]);
        }
    }
    store_close(face->store);
    face_leave(face);
}

static uint64_t
face_index(const struct face *face)
{
    return store_applied(face->store)->index;
}

static void
face_entry(struct face *face)
{
    world_entry(face->world);
}

static void
face_check(struct face *face)
{
    world_check(face->world, face->store);
}

/* -- What it shows ----------------------------------------------------------------------------- */

static void
show_bytes(struct buf *out, bool found, struct bytes bytes)
{
    buf_put_u8(out, found);
    buf_put_bytes32(out, found ? bytes : BYTES_NONE);
}

static void
show_applied(struct buf *out, const struct applied_point *applied)
{
    buf_put_le64(out, applied->index);
    buf_put_le64(out, applied->term);
    buf_put_le64(out, applied->entry_index);
    buf_put_le64(out, applied->seq);
    buf_put_le64(out, (uint64_t)applied->time);
    buf_put_le32(out, applied->epoch);
    buf_append(out, &applied->digest, sizeof applied->digest);
    buf_append(out, applied->shards, WORLD_SHARDS * sizeof applied->shards[0]);
}

static uint16_t
some_machine(const struct face *face, uint64_t *prng)
{
    return (uint16_t)seed_below(prng,
                                registry_machines_count(face->world->registry, REGISTRY_STATE) + 1);
}

/* An order, or the id of none. */
static struct bytes
some_id(const struct face *face, uint64_t *prng, uint32_t *shard_out)
{
    const struct world *world = face->world;
    uint64_t chosen = seed_below(prng, WORLD_ORDERS_MAX);
    struct bytes id =
        chosen < world->orders_count ? world_id(&world->orders[chosen]) : bytes_text("nobody");
    *shard_out = hash_shard(id, WORLD_SHARDS);
    return id;
}

static void
show_orders(struct face *face, uint64_t *prng, struct buf *out)
{
    struct store_order_key keys[WORLD_ORDERS_MAX];
    struct bytes records[WORLD_ORDERS_MAX];
    struct arena arena = {0};
    struct buf got = {0};
    uint32_t count = (uint32_t)seed_below(prng, WORLD_ORDERS_MAX + 1);
    for (uint32_t i = 0; i < count; i++) {
        keys[i].id = some_id(face, prng, &keys[i].shard);
    }
    store_get_orders(face->store, keys, count, &arena, records);
    for (uint32_t i = 0; i < count; i++) {
        show_bytes(out, records[i].data != NULL, records[i]);
        buf_clear(&got);
        bool found = store_get_order(face->store, keys[i].id, keys[i].shard, &got);
        show_bytes(out, found, buf_bytes(&got));
    }
    arena_free(&arena);
    buf_free(&got);
}

static void
show_rows(struct face *face, uint64_t *prng, struct buf *out)
{
    struct buf got = {0};
    uint64_t versions[SPILLED_MAX];
    uint32_t shard, max = 1 + (uint32_t)seed_below(prng, SPILLED_MAX);
    struct bytes id = some_id(face, prng, &shard);
    uint64_t seq = seed_below(prng, face->world->applied.seq + 3);
    bool found = store_get_unique(face->store, some_machine(face, prng),
                                  (uint16_t)seed_below(prng, 2), id, &got);
    show_bytes(out, found, buf_bytes(&got));
    buf_clear(&got);
    found = store_get_event(face->store, seq, &got);
    show_bytes(out, found, buf_bytes(&got));
    uint64_t fingerprint = WORLD_FINGERPRINT + seed_below(prng, 2);
    uint32_t count = store_get_spilled(face->store, id, shard, fingerprint, versions, max);
    show_bytes(out, true, bytes_make(versions, count * sizeof versions[0]));
    buf_clear(&got);
    uint8_t place = (uint8_t)(WORLD_PLACE + seed_below(prng, 2));
    found = store_get_page(face->store, id, shard, place, &got);
    show_bytes(out, found, buf_bytes(&got));
    buf_free(&got);
}

static int
compare_due(const void *left, const void *right)
{
    const struct store_deadline *a = left, *b = right;
    if (a->deadline != b->deadline) {
        return a->deadline < b->deadline ? -1 : 1;
    }
    return bytes_compare(a->id, b->id);
}

/* All in a span of time, and the first few of them: those of one deadline come in any order. */
static void
show_deadlines(struct face *face, uint64_t *prng, struct buf *out)
{
    struct store_deadline rows[WORLD_ORDERS_MAX + 1], few[WORLD_ORDERS_MAX + 1];
    struct deadline_place next, from = {0};
    struct arena arena = {0};
    int64_t now = face->world->applied.time;
    int64_t to = seed_below(prng, 4) == 0 ? INT64_MAX : now + (int64_t)seed_below(prng, 6000);
    from.deadline = seed_below(prng, 2) == 0 ? 0 : now - 3000 + (int64_t)seed_below(prng, 6000);
    from.deadline = from.deadline < 0 ? 0 : from.deadline;
    uint32_t max = 1 + (uint32_t)seed_below(prng, 8);
    uint32_t count =
        store_scan_deadlines(face->store, from, to, &arena, rows, WORLD_ORDERS_MAX + 1, &next);
    uint32_t few_count = store_scan_deadlines(face->store, from, to, &arena, few, max, &next);
    for (uint32_t i = 0; i < few_count; i++) {
        bool among = false;
        buf_put_le64(out, (uint64_t)few[i].deadline);
        for (uint32_t n = 0; n < count; n++) {
            among = among || (compare_due(&few[i], &rows[n]) == 0 &&
                              few[i].entered_version == rows[n].entered_version);
        }
        assert_true(among);
    }
    if (count > 1) {
        qsort(rows, count, sizeof rows[0], compare_due);
    }
    for (uint32_t i = 0; i < count; i++) {
        buf_put_le64(out, (uint64_t)rows[i].deadline);
        buf_put_le64(out, rows[i].entered_version);
        buf_put_le32(out, rows[i].shard);
        buf_put_bytes32(out, rows[i].id);
    }
    arena_free(&arena);
}

static void
show_definitions(struct face *face, struct buf *out)
{
    const struct registry *registry = store_registry(face->store);
    uint32_t count = registry_count(registry, REGISTRY_PUBLISHED);
    for (uint32_t number = 0; number < count; number++) {
        const struct definition *definition = registry_get(registry, REGISTRY_PUBLISHED, number);
        buf_put_le64(out, (uint64_t)definition->at);
        buf_put_le32(out, definition->machine_number);
        buf_put_bytes32(out, definition->source);
        buf_put_bytes32(out, machine_compiled(definition->machine));
    }
}

/* -- Views ------------------------------------------------------------------------------------- */

static void
show_list(struct store_view *view, uint16_t machine, uint16_t state, uint64_t after_seq,
          uint32_t page, struct buf *out)
{
    bool end = false;
    while (!end) {
        struct bytes id, record;
        struct store_list *list = store_list_begin(view, machine, state, after_seq);
        for (uint32_t i = 0; i < page && store_list_next(list, &id, &record); i++) {
            buf_put_bytes32(out, id);
            buf_put_bytes32(out, record);
        }
        after_seq = store_list_position(list, &end);
        store_list_end(list);
    }
}

static void
show_view(struct face *face, struct store_view *view, uint64_t *prng, struct buf *out)
{
    struct buf got = {0};
    struct bytes event;
    uint64_t last = store_view_applied(view)->seq, seq = seed_below(prng, last + 3);
    show_applied(out, store_view_applied(view));
    assert_ptr_equal(store_view_store(view), face->store);
    for (uint32_t i = 0, shard; i < 8; i++) {
        struct bytes id = some_id(face, prng, &shard);
        buf_clear(&got);
        bool found = store_view_get_order(view, id, &got);
        show_bytes(out, found, buf_bytes(&got));
        buf_clear(&got);
        found = store_view_get_unique(view, some_machine(face, prng), 0, id, &got);
        show_bytes(out, found, buf_bytes(&got));
    }
    buf_clear(&got);
    bool found = store_view_get_event(view, seq, &got);
    show_bytes(out, found, buf_bytes(&got));
    struct store_events *events = store_events_begin(view, seed_below(prng, last + 3));
    for (uint64_t i = seed_below(prng, 100); i > 0 && store_events_next(events, &seq, &event);
         i--) {
        buf_put_le64(out, seq);
        buf_put_bytes32(out, event);
    }
    store_events_end(events);
    uint16_t machine = some_machine(face, prng);
    if (machine < registry_machines_count(face->world->registry, REGISTRY_STATE)) {
        uint32_t states = registry_states_count(face->world->registry, REGISTRY_PUBLISHED, machine);
        uint64_t state = seed_below(prng, states + 1);
        show_list(view, machine, state == states ? RECORD_NONE : (uint16_t)state,
                  seed_below(prng, 2) == 0 ? 0 : seed_below(prng, last + 2),
                  1 + (uint32_t)seed_below(prng, 30), out);
    }
    buf_free(&got);
}

/* Begins a view, looks at one that may be many commits old, or ends it. */
static void
act_on_view(struct face *face, uint64_t *prng, struct buf *out)
{
    struct store_view **view = &face->views[seed_below(prng, VIEWS)];
    if (*view == NULL) {
        *view = store_view_begin(face->store);
    }
    show_view(face, *view, prng, out);
    if (seed_below(prng, 4) == 0) {
        store_view_end(*view);
        *view = NULL;
    }
}

/* -- One thing --------------------------------------------------------------------------------- */

static void
face_act(struct face *face, uint64_t seed, struct buf *out)
{
    uint64_t prng = seed;
    struct applied_point applied;
    switch (seed_below(&prng, 12)) {
    case 0:
        show_orders(face, &prng, out);
        break;
    case 1:
        show_rows(face, &prng, out);
        break;
    case 2:
        show_deadlines(face, &prng, out);
        break;
    case 3:
        show_definitions(face, out);
        break;
    case 4:
        (void)store_sweep(face->store, seed_below(&prng, 500));
        break;
    case 5:
        if (seed_below(&prng, 6) == 0) { /* Slow on a real disk. */
            store_checkpoint(face->store, &applied);
            show_applied(out, &applied);
        }
        break;
    case 6:
    case 7:
    case 8:
        act_on_view(face, &prng, out);
        break;
    default:
        for (uint64_t n = seed_below(&prng, ENTRIES_AT_ONCE) + 1; n > 0; n--) {
            face_entry(face);
        }
        break;
    }
    show_applied(out, store_applied(face->store));
}

const struct store_face STORE_FACE = {
    .name = FACE_NAME(STORE_FACE),
    .open = face_open,
    .close = face_close,
    .leave = face_leave,
    .index = face_index,
    .entry = face_entry,
    .act = face_act,
    .check = face_check,
};
