/*
 * Goal: a request id is remembered for as long as its order lives, over thousands of versions and
 *     wherever it lies by then: in the record, a page or a row; whatever shares its fingerprint,
 *     and whatever the cache holds.
 * Method: random histories on a real store against a plain array of what each version was, with
 *     entries of many commands, repeats, ids used again with another content, stretches without
 *     ids, and the store closed and opened. Fingerprints are chosen: XXH64 of eight bytes has an
 *     inverse. They are the same for many ids, mostly where blocks and pages meet.
 *
 * The mutant REQUEST_ID_NOT_LOOKED_UP fails this too.
 */
#include "support/test.h"

#include "pages.h"
#include "support.h"
#include "support/seed.h"

enum {
    /* Some places are used again; two would be, but those versions have no request ids. */
    LONG = PAGES_VERSIONS + 5 * PAGE_VERSIONS,
    ORDERS = 3,
    COMMANDS = 400, /* Of one entry at most. */
    SHARED = 48,    /* Fingerprints that many ids share. */
    REOPEN_IN = 25, /* Entries. */
    REPEAT_IN = 8,  /* Commands. */
    ID_SIZE = 8,
};

/* -- Request ids with a given fingerprint -------------------------------------------------- */

/* x with x * odd == 1 modulo 2^64: Newton's method doubles the bits that are right, from three. */
static uint64_t
inverse(uint64_t odd)
{
    uint64_t x = odd;
    for (uint32_t i = 0; i < 5; i++) {
        x *= 2 - odd * x;
    }
    return x;
}

static uint64_t
rotate_right(uint64_t x, uint32_t by)
{
    return x >> by | x << (64 - by);
}

/* The eight bytes whose XXH64 is `hash`: the steps of that function backwards. */
static void
id_with_hash(uint64_t hash, uint8_t id[ID_SIZE])
{
    static const uint64_t p1 = UINT64_C(0x9e3779b185ebca87), p2 = UINT64_C(0xc2b2ae3d27d4eb4f),
                          p3 = UINT64_C(0x165667b19e3779f9), p4 = UINT64_C(0x85ebca77c2b2ae63),
                          p5 = UINT64_C(0x27d4eb2f165667c5);
    uint64_t x = hash;
    x = (x ^ x >> 32) * inverse(p3);
    x = (x ^ x >> 29 ^ x >> 58) * inverse(p2);
    x = ((x ^ x >> 33) - p4) * inverse(p1);
    x = rotate_right(x, 27) ^ (p5 + ID_SIZE);
    x = rotate_right(x * inverse(p1), 31) * inverse(p2);
    put_le64(id, x);
    assert_true(hash_xxh64(bytes_make(id, ID_SIZE)) == hash);
}

/* -- What an order was ---------------------------------------------------------------------- */

struct known {
    uint64_t seq;
    uint64_t hash; /* Of its request id; 0: it had none. */
};

struct history {
    const char *id;
    uint32_t versions, wanted;
    uint32_t bare_from, bare_to; /* Versions without request ids. */
    struct known known[LONG + 1];
};

/* What the outcome of a command must be. */
struct expected {
    enum qo_error error;
    bool replayed;
    uint64_t seq, version;
};

struct run {
    struct world world;
    struct arena arena; /* Of one entry. */
    uint64_t prng;
    uint64_t seq;
    uint64_t ids; /* Made so far: the high half of their hashes. */
    struct history histories[ORDERS];
    struct operation operations[COMMANDS];
    struct command commands[COMMANDS];
    struct expected expected[COMMANDS];
    uint32_t count;
    uint32_t repeats, reused;
};

/* Whether the version stands beside one where a block ends. */
static bool
at_edge(uint32_t version)
{
    return (version + 1) % QO_FINGERPRINTS_MAX <= 3;
}

static uint64_t
new_hash(struct run *run, uint32_t version)
{
    static const uint32_t shared[] = {0, 1, UINT32_MAX}; /* The others: 1000 and more. */
    uint32_t fingerprint = (uint32_t)seed_next(&run->prng);
    if (seed_below(&run->prng, at_edge(version) ? 8 : 64) == 0) {
        uint32_t choice = (uint32_t)seed_below(&run->prng, SHARED);
        fingerprint = choice < 3 ? shared[choice] : 1000 + choice;
    }
    return ++run->ids << 32 | fingerprint;
}

static void
add_command(struct run *run, const struct history *history, uint32_t version, uint64_t hash,
            bool other, struct expected expected)
{
    char note[32];
    struct operation *operation = &run->operations[run->count];
    (void)snprintf(note, sizeof note, other ? "note=w%u" : "note=v%u", version);
    struct bytes attributes = list_of(&run->arena, note);
    *operation = version == 1
                     ? create_of(history->id, "loop", attributes)
                     : transition_of(history->id, version % 2 == 0 ? "go" : "back", attributes);
    struct command *command = &run->commands[run->count];
    *command = command_of(operation, 1, NULL);
    if (hash != 0) {
        uint8_t *id = arena_alloc(&run->arena, ID_SIZE);
        id_with_hash(hash, id);
        command->request_id = bytes_make(id, ID_SIZE);
    }
    run->expected[run->count++] = expected;
}

static void
add_new(struct run *run, struct history *history)
{
    uint32_t version = ++history->versions;
    bool bare = version >= history->bare_from && version <= history->bare_to;
    uint64_t hash = bare ? 0 : new_hash(run, version);
    history->known[version] = (struct known){++run->seq, hash};
    add_command(run, history, version, hash, false,
                (struct expected){QO_OK, false, run->seq, version});
}

static void
add_repeat(struct run *run, const struct history *history, uint32_t version)
{
    const struct known *known = &history->known[version];
    if (known->hash != 0) {
        bool other = seed_below(&run->prng, 8) == 0;
        add_command(
            run, history, version, known->hash, other,
            (struct expected){other ? QO_REQUEST_ID_REUSED : QO_OK, !other, known->seq, version});
        run->repeats += !other;
        run->reused += other;
    }
}

static void
submit(struct run *run)
{
    struct apply_results results = world_submit(&run->world, run->commands, run->count);
    for (uint32_t i = 0; i < run->count; i++) {
        const struct outcome *got = &results.commands[i].outcomes[0];
        const struct expected *want = &run->expected[i];
        bool same = got->error == want->error;
        if (same && got->error == QO_OK) {
            same = got->receipt.replayed == want->replayed && got->receipt.seq == want->seq &&
                   got->receipt.version == want->version;
        } else if (same) {
            same = got->seq == want->seq;
        }
        if (!same) {
            fail_msg(
                "%.*s, version %u%s: %s, seq %u, wanted %u", BYTES_FORMAT(run->operations[i].id),
                (unsigned)want->version, want->replayed ? " again" : "", error_code(got->error),
                (unsigned)(got->error == QO_OK ? got->receipt.seq : got->seq), (unsigned)want->seq);
        }
    }
    run->count = 0;
    arena_reset(&run->arena);
}

/* An old version, often one at the edge of a block. */
static uint32_t
old_version(struct run *run, const struct history *history)
{
    uint32_t version = 1 + (uint32_t)seed_below(&run->prng, history->versions);
    if (seed_below(&run->prng, 2) == 0) {
        version = version / QO_FINGERPRINTS_MAX * QO_FINGERPRINTS_MAX +
                  (uint32_t)seed_below(&run->prng, 2);
        version = version == 0 || version > history->versions ? 1 : version;
    }
    return version;
}

/* Lives all histories to their ends on a node with this cache; its digests. */
static struct applied_point
live(uint64_t seed, uint64_t cache_bytes)
{
    static struct run run;
    run = (struct run){
        .prng = seed,
        .histories = {{.id = "long",
                       .wanted = LONG,
                       .bare_from = PAGES_VERSIONS + 1,
                       .bare_to = PAGES_VERSIONS + 2 * PAGE_VERSIONS + 40},
                      {.id = "middling", .wanted = 2000},
                      {.id = "begins bare", .wanted = 1500, .bare_from = 1, .bare_to = 600}}};
    world_open(&run.world, cache_bytes);
    assert_true(world_define(&run.world, loop_source)->changed);
    for (bool more = true; more;) {
        uint32_t count = 1 + (uint32_t)seed_below(&run.prng, COMMANDS);
        while (run.count < count) {
            /* The long one mostly, so that all end at about the same time. */
            uint64_t choice = seed_below(&run.prng, 16);
            struct history *history = &run.histories[choice < 2 ? 1 + choice : 0];
            if (history->versions > 0 && seed_below(&run.prng, REPEAT_IN) == 0) {
                add_repeat(&run, history, old_version(&run, history));
            } else if (history->versions < history->wanted) {
                add_new(&run, history);
            } else if (run.histories[0].versions == LONG) {
                break;
            }
        }
        more = run.histories[0].versions < LONG;
        submit(&run);
        if (seed_below(&run.prng, REOPEN_IN) == 0) {
            world_reopen(&run.world);
        }
    }
    world_reopen(&run.world);
    for (uint32_t order = 0; order < ORDERS; order++) {
        struct history *history = &run.histories[order];
        for (uint32_t version = 1; version <= history->versions; version++) {
            if (at_edge(version) || version % 31 == 0) {
                add_repeat(&run, history, version);
            }
            if (run.count == COMMANDS || version == history->versions) {
                submit(&run);
            }
        }
    }
    assert_true(run.repeats > 1000 && run.reused > 100);
    assert_int_equal(store_applied(run.world.store)->seq, run.seq);
    struct applied_point applied = *store_applied(run.world.store);
    arena_free(&run.arena);
    world_close(&run.world);
    return applied;
}

static void
an_id_is_remembered_for_as_long_as_its_order_lives(void **state)
{
    uint64_t seed = seed_init();
    (void)state;
    struct applied_point kept = live(seed, 0);
    struct applied_point evicted = live(seed, 1); /* After each entry, all that it used. */
    assert_memory_equal(&kept.digest, &evicted.digest, sizeof kept.digest);
    assert_memory_equal(kept.shards, evicted.shards, sizeof kept.shards);
    assert_int_equal(kept.seq, evicted.seq);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_remembered_for_as_long_as_its_order_lives),
    };
    return cmocka_run_group_tests_name("apply/remember", tests, NULL, NULL);
}
