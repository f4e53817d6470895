/*
 * Goal: any version and any time of an order is found, and what verification says is true.
 * Method: orders with hundreds of versions against a model that keeps every state; orders whose
 *         events or record were changed in one place.
 */
#include "support/test.h"

#include "common/log.h"
#include "feed/feed.h"
#include "unit/store/world.h"

struct fixture {
    char directory[256];
    struct store *store;
    struct world *world;
    uint64_t prng;
};

static void
fixture_open(struct fixture *fixture, uint32_t entries)
{
    uint64_t seed = seed_init();
    world_directory(fixture->directory);
    fixture->store = world_store(fixture->directory, 0);
    fixture->world = world_begin(seed, fixture->store, store_registry(fixture->store));
    fixture->prng = seed;
    for (uint32_t i = 0; i < entries; i++) {
        world_entry(fixture->world);
    }
}

static void
fixture_close(struct fixture *fixture)
{
    world_end(fixture->world);
    store_close(fixture->store);
    world_copy(fixture->directory, NULL);
}

struct taker {
    const struct world_order *order;
    uint64_t next; /* The version expected next. */
    bool descending;
    uint32_t room, count;
    bool wrong;
};

static bool
take(void *context, const struct event_record *event, const struct definition *definition)
{
    struct taker *taker = context;
    if (taker->count == taker->room) {
        return false;
    }
    taker->wrong = taker->wrong || event->version != taker->next ||
                   event->seq != taker->order->history[event->version - 1].seq ||
                   definition->number != event->definition;
    taker->next += taker->descending ? UINT64_MAX : 1;
    taker->count++;
    return true;
}

/* One page of a history against the model. */
static void
check_page(struct fixture *fixture, struct store_view *view, const struct world_order *order)
{
    uint64_t *prng = &fixture->prng;
    struct feed_history history = {
        .id = world_id(order),
        .from_version = seed_below(prng, 4) == 0 ? 0 : seed_below(prng, order->versions + 3),
        .limit = (uint32_t)(1 + seed_below(prng, seed_below(prng, 2) == 0 ? 5 : QO_LIMIT_MAX)),
        .descending = seed_below(prng, 2) == 0,
    };
    uint64_t first = history.from_version == 0 ? 1 : history.from_version, left;
    if (history.descending) {
        first = history.from_version == 0 || history.from_version > order->versions
                    ? order->versions
                    : history.from_version;
        left = first;
    } else {
        left = first > order->versions ? 0 : order->versions - first + 1;
    }
    struct taker taker = {.order = order,
                          .next = first,
                          .descending = history.descending,
                          .room = (uint32_t)(1 + seed_below(prng, 2 * QO_LIMIT_MAX))};
    uint64_t given = left < history.limit ? left : history.limit;
    given = given < taker.room ? given : taker.room;
    struct feed_history_page page;
    assert_true(feed_read_history(view, &history, take, &taker, &page));
    assert_false(taker.wrong);
    assert_int_equal(page.given, given);
    assert_int_equal(taker.count, given);
    assert_int_equal(page.more, given < left);
}

static void
a_history_is_given_from_any_version_in_both_directions(void **state)
{
    struct fixture fixture;
    uint64_t longest = 0;
    (void)state;
    fixture_open(&fixture, 250);
    struct store_view *view = store_view_begin(fixture.store);
    for (uint32_t i = 0; i < fixture.world->orders_count; i++) {
        const struct world_order *order = &fixture.world->orders[i];
        longest = order->versions > longest ? order->versions : longest;
        for (uint32_t round = 0; round < 30; round++) {
            check_page(&fixture, view, order);
        }
    }
    assert_true(longest > 300);
    struct feed_history history = {.id = bytes_text("nobody"), .limit = 1};
    struct feed_history_page page;
    assert_false(feed_read_history(view, &history, take, NULL, &page));
    store_view_end(view);
    fixture_close(&fixture);
}

/* The order as of `at`, against the newest version of the model that is not later. */
static void
check_as_of(struct store_view *view, const struct world_order *order, int64_t at)
{
    struct arena arena = {0};
    struct order_record got;
    uint64_t version = 0;
    while (version < order->versions && order->history[version].at <= at) {
        version++;
    }
    assert_int_equal(feed_read_as_of(view, world_id(order), at, &arena, &got), version > 0);
    if (version > 0) {
        const struct world_version *want = &order->history[version - 1];
        assert_int_equal(got.version, version);
        assert_int_equal(got.seq, want->seq);
        assert_int_equal(got.state, want->state);
        assert_int_equal(got.definition, order->definition);
        assert_int_equal(got.created_at, order->history[0].at);
        assert_int_equal(got.updated_at, want->at);
        assert_int_equal(got.entered_at, want->entered_at);
        assert_int_equal(got.entered_seq, want->entered_seq);
        assert_int_equal(got.deadline, want->deadline);
        world_same("attributes", got.attributes, buf_bytes(&want->held));
    }
    arena_free(&arena);
}

static void
an_order_is_shown_as_of_any_time(void **state)
{
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, 250);
    struct store_view *view = store_view_begin(fixture.store);
    for (uint32_t i = 0; i < fixture.world->orders_count; i++) {
        const struct world_order *order = &fixture.world->orders[i];
        for (uint32_t round = 0; round < 20; round++) {
            const struct world_version *version =
                &order->history[seed_below(&fixture.prng, order->versions)];
            check_as_of(view, order, version->at);
            check_as_of(view, order, version->at - 1);
            check_as_of(view, order, version->at + 1);
        }
        check_as_of(view, order, INT64_MAX);
        check_as_of(view, order, INT64_MIN);
    }
    struct arena arena = {0};
    struct order_record got;
    assert_false(feed_read_as_of(view, bytes_text("nobody"), INT64_MAX, &arena, &got));
    arena_free(&arena);
    store_view_end(view);
    fixture_close(&fixture);
}

static bool
verifies(struct fixture *fixture, const struct world_order *order, char why[FEED_WHY_MAX])
{
    struct store_view *view = store_view_begin(fixture->store);
    bool right = feed_verify_order(view, world_id(order), why);
    store_view_end(view);
    return right;
}

/* Writes what the store would refuse, under the next index: bytes of an event or a record. */
static void
write_raw(struct fixture *fixture, struct world_order *order, const struct order_record *record)
{
    struct buf encoded = {0};
    order_record_encode(record, &encoded);
    store_put_order(fixture->store, world_id(order), order->shard, buf_bytes(&encoded));
    fixture->world->applied.index++;
    store_commit(fixture->store, &fixture->world->applied);
    buf_free(&encoded);
}

static void
every_order_of_the_model_verifies(void **state)
{
    struct fixture fixture;
    char why[FEED_WHY_MAX];
    (void)state;
    fixture_open(&fixture, 150);
    for (uint32_t i = 0; i < fixture.world->orders_count; i++) {
        if (!verifies(&fixture, &fixture.world->orders[i], why)) {
            fail_msg("%s: %s", fixture.world->orders[i].id, why);
        }
    }
    struct world_order nobody = {.id = "nobody"};
    assert_false(verifies(&fixture, &nobody, why));
    fixture_close(&fixture);
}

static void
a_record_that_differs_from_its_events_is_found(void **state)
{
    struct fixture fixture;
    char why[FEED_WHY_MAX];
    struct buf attributes = {0};
    (void)state;
    fixture_open(&fixture, 100);
    struct world_order *order = &fixture.world->orders[0];
    uint8_t one = 1;
    struct attributes_builder builder = attributes_build(&attributes);
    attributes_append(&builder, bytes_text("z"), VALUE_INTEGER, bytes_make(&one, 1));
    struct order_record changed[5];
    for (size_t i = 0; i < 5; i++) {
        changed[i] = order->record;
    }
    changed[0].state ^= 1;
    changed[1].deadline ^= 1;
    changed[2].chain.bytes[31] ^= 1;
    changed[3].attributes = attributes_built(&builder);
    changed[4].updated_at++;
    for (size_t i = 0; i < 5; i++) {
        write_raw(&fixture, order, &changed[i]);
        if (verifies(&fixture, order, why)) {
            fail_msg("change %zu was not found", i);
        }
    }
    write_raw(&fixture, order, &order->record);
    assert_true(verifies(&fixture, order, why));
    buf_free(&attributes);
    fixture_close(&fixture);
}

/* An order of four versions whose events are all new ones, one of them changed before it was
 * written (its chain hash as of the change, or from before it). */
static bool
finds_change(struct fixture *fixture, void (*change)(struct event_record *event), uint64_t at,
             bool chain_again, char why[FEED_WHY_MAX])
{
    struct world *world = fixture->world;
    struct world_order *order = &world->orders[1];
    struct order_record record = order->record;
    struct sha256 chain = {{0}};
    uint64_t seqs[5] = {0};
    for (uint64_t version = 1; version <= 4; version++) {
        struct buf encoded = {0};
        seqs[version] = ++world->applied.seq;
        uint64_t jump = version & (version - 1);
        struct event_record event = {
            .seq = seqs[version],
            .kind = EVENT_KIND_ORDER,
            .operations = 1,
            .definition = order->definition,
            .event = version == 1 ? RECORD_NONE : 0,
            .from = version == 1 ? RECORD_NONE : 0,
            .shard = (uint8_t)order->shard,
            .version = version,
            .at = 10 * (int64_t)version,
            .prev = seqs[version - 1],
            .jump = jump == 0 ? 0 : seqs[jump],
            .entered_seq = seqs[version],
            .entered_at = 10 * (int64_t)version,
            .id = world_id(order),
            .attributes = BYTES_NONE,
        };
        if (version == at && chain_again) {
            change(&event);
        }
        event.chain = event_record_chain(&event, chain);
        if (version == at && !chain_again) {
            change(&event);
        }
        chain = event.chain;
        event_record_encode(&event, &encoded);
        store_put_event(fixture->store, event.seq, buf_bytes(&encoded));
        record.chain = chain;
        buf_free(&encoded);
    }
    record.state = 0;
    record.version = 4;
    record.seq = record.entered_seq = seqs[4];
    record.entered_version = 4;
    record.created_at = 10;
    record.updated_at = record.entered_at = 40;
    record.deadline = 0;
    record.prefixes_count = 1;
    record.prefixes[0] = seqs[4];
    record.fingerprints_set = 0;
    record.attributes = BYTES_NONE;
    write_raw(fixture, order, &record);
    return !verifies(fixture, order, why);
}

static void
change_nothing(struct event_record *event)
{
    (void)event;
}

static void
change_reason(struct event_record *event)
{
    event->reason = bytes_text("because");
}

static void
change_jump(struct event_record *event)
{
    event->jump = 1;
}

static void
change_from(struct event_record *event)
{
    event->from = 1;
}

static void
change_at(struct event_record *event)
{
    event->at -= 15;
    event->entered_at -= 15;
}

static void
change_prev(struct event_record *event)
{
    event->prev -= 1;
    event->jump = event->prev;
}

static void
change_entered(struct event_record *event)
{
    event->entered_seq -= 1;
}

static void
change_held(struct event_record *event)
{
    event->held = bytes_make("\0\0", 2);
}

static void
an_event_that_was_changed_is_found(void **state)
{
    static const struct {
        const char *name;
        void (*change)(struct event_record *event);
        bool chain_again, found;
    } cases[] = {
        {"nothing", change_nothing, true, false},
        {"reason, chain left", change_reason, false, true},
        {"reason, chain made again", change_reason, true, false}, /* Then it was so all along. */
        {"jump", change_jump, true, true},
        {"from", change_from, true, true},
        {"at", change_at, true, true},
        {"prev", change_prev, true, true},
        {"entered", change_entered, true, true},
        {"held", change_held, true, true},
    };
    struct fixture fixture;
    char why[FEED_WHY_MAX];
    (void)state;
    fixture_open(&fixture, 60);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool found = finds_change(&fixture, cases[i].change, 3, cases[i].chain_again, why);
        if (found != cases[i].found) {
            fail_msg("%s: %s", cases[i].name, found ? why : "not found");
        }
    }
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_is_given_from_any_version_in_both_directions),
        cmocka_unit_test(an_order_is_shown_as_of_any_time),
        cmocka_unit_test(every_order_of_the_model_verifies),
        cmocka_unit_test(a_record_that_differs_from_its_events_is_found),
        cmocka_unit_test(an_event_that_was_changed_is_found),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("feed/history", tests, NULL, NULL);
}
