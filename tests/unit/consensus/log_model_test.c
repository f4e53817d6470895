/*
 * Goal: whatever crashes and bit flips do, the log holds everything that it told as stored, is a
 * beginning of what was appended, and says so rather than being shorter.
 * Method: seeded runs over a simulated disk: random appends, truncations, snapshots, replacements,
 * terms and votes, with crashes and failures at random operations; after each the log is compared
 * with all that was appended, cut at the record that it says is its last. Before it goes on, copies
 * of the disk with one flipped bit are opened too. Then the same runs with each rule off, which
 * must fail.
 */
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "log.h"
#include "log_record.h"
#include "log_sim.h"
#include "support/seed.h"

enum {
    RUNS = 3000,
    RUNS_TO_FIND = 20000, /* A rule that is off is found within so many. */
    LIVES = 4,            /* Starts in one run. */
    STEPS = 60,           /* Of one life. */
    RECORDS_MAX = LIVES * STEPS * 4,
    MANIFESTS_MAX = LIVES * STEPS,
    DATA_MAX = 9000,
    MANIFEST_MAX = 6000,
    FLIPS = 3,
};

struct appended {
    uint64_t index, term, id;
    uint32_t size;
};

struct published {
    uint64_t index, term, id, after; /* `after`: sequence of the last record appended before. */
    uint32_t size;
    bool replaces;
};

struct world {
    uint64_t prng, seed;
    struct sim_disk sim;
    struct log *log;
    unsigned without;
    /* All records ever appended that a crash did not take, by sequence; and the log they make. */
    struct appended records[RECORDS_MAX + 1];
    uint64_t count, stored;
    uint64_t sequences[RECORDS_MAX + 2]; /* By index: of the entry that is there now. */
    uint64_t base, last, floor;          /* `floor`: nothing at or below is truncated. */
    struct published manifests[MANIFESTS_MAX + 1];
    unsigned manifests_count, manifests_stored;
    uint64_t term, vote, old_term, old_vote, entry_term;
    /* What must be found out if it is missing: records above may look torn. */
    uint64_t said, before, writes, mark;
    uint64_t ids;
    bool publishing;
    const char *wrong; /* What was found; NULL: nothing. */
    char text[600];
    /* What was met. */
    unsigned crashes, torn, refused, shortened, harmless, settled, failed;
};

struct request {
    struct log_append append;
    struct log_publish publish;
    struct world *world;
    struct log_entry entries[4];
    uint64_t last; /* Its last sequence. */
    uint8_t *data;
    struct request *next;
};

static struct request *all_requests; /* Of this life; freed with it. */

static struct request *
new_request(struct world *world)
{
    struct request *request = mem_zalloc(sizeof *request);
    request->world = world;
    request->append.owner = request;
    request->publish.owner = request;
    request->next = all_requests;
    all_requests = request;
    return request;
}

static void
free_requests(void)
{
    while (all_requests != NULL) {
        struct request *next = all_requests->next;
        mem_free(all_requests->data);
        mem_free(all_requests);
        all_requests = next;
    }
}

/* -- Content ----------------------------------------------------------------------------------- */

/* The bytes of thing `id`. Some look like records of a log without a seed, on the second block of
 * their write. */
static void
fill(uint64_t id, uint8_t *data, uint32_t size)
{
    enum { FORGED_AT = LOG_BLOCK - LOG_RECORD_HEADER };
    uint64_t state = id;
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = seed_next(&state);
        memcpy(data + i, &word, size - i < 8 ? size - i : 8);
    }
    if (size >= FORGED_AT + 64 && id % 3 == 0) {
        struct log_record forged = {
            .sequence = 1ull << 41, .durable = 1ull << 40, .index = 1, .term = 1};
        forged.data = bytes_text("forged");
        log_record_encode(0, &forged, data + FORGED_AT);
    }
}

static bool
holds(struct bytes bytes, uint64_t id, uint32_t size)
{
    static uint8_t want[DATA_MAX];
    fill(id, want, size);
    return bytes_equal(bytes, bytes_make(want, size));
}

/* -- The model --------------------------------------------------------------------------------- */

/* The log that the first `count` records make, with the first `manifests` published. */
static void
replay(struct world *world, uint64_t count, unsigned manifests)
{
    unsigned manifest = 1;
    world->base = world->last = 0;
    for (uint64_t sequence = 1; sequence <= count + 1; sequence++) {
        while (manifest <= manifests && world->manifests[manifest].after < sequence) {
            if (world->manifests[manifest].replaces) {
                world->base = world->last = world->manifests[manifest].index;
            }
            manifest++;
        }
        if (sequence <= count) {
            world->last = world->records[sequence].index;
            world->sequences[world->last] = sequence;
        }
    }
}

static bool
wrong(struct world *world, const char *what)
{
    world->wrong = what;
    return false;
}

static bool
check_manifest(struct world *world, const struct log_loaded *loaded, unsigned *manifest_out)
{
    unsigned i = world->manifests_count;
    while (i > 0 && world->manifests[i].index != loaded->snapshot_index) {
        i--;
    }
    const struct published *manifest = &world->manifests[i];
    if (i < world->manifests_stored) {
        return wrong(world, "an older snapshot came back");
    }
    if (i > 0 && (loaded->snapshot_term != manifest->term ||
                  !holds(loaded->manifest, manifest->id, manifest->size))) {
        return wrong(world, "the manifest is not what was published");
    }
    *manifest_out = i;
    return i > 0 || loaded->snapshot_index == 0 || wrong(world, "an unknown snapshot");
}

/* Compares an opened log with the model, which may not have fewer than `bound` records. */
static bool
check(struct world *world, const struct log *log, uint64_t bound, uint64_t *count_out,
      unsigned *manifest_out)
{
    const struct log_loaded *loaded = log_loaded(log);
    struct log_status status;
    log_status(log, &status);
    if (status.sequence > world->count) {
        return wrong(world, "the log has records that nobody appended");
    }
    if (status.sequence < bound) {
        return wrong(world, "the log is shorter than what was told");
    }
    if (!check_manifest(world, loaded, manifest_out)) {
        return false;
    }
    replay(world, status.sequence, *manifest_out);
    if (loaded->first_index > loaded->snapshot_index + 1 || loaded->first_index <= world->base) {
        return wrong(world, "the log begins at another index");
    }
    if (loaded->first_index + loaded->count != world->last + 1) {
        return wrong(world, "the log ends at another index");
    }
    for (size_t i = 0; i < loaded->count; i++) {
        const struct appended *want = &world->records[world->sequences[loaded->first_index + i]];
        const struct log_entry *entry = &loaded->entries[i];
        if (entry->term != want->term || entry->type != (uint8_t)want->id ||
            !holds(entry->data, want->id, want->size)) {
            return wrong(world, "an entry differs");
        }
    }
    bool new_vote = loaded->term == world->term && loaded->vote == world->vote;
    bool old_vote = loaded->term == world->old_term && loaded->vote == world->old_vote;
    *count_out = status.sequence;
    return new_vote || old_vote || wrong(world, "another term or vote");
}

/* -- What a node does -------------------------------------------------------------------------- */

static void
stored(struct log_append *append)
{
    struct request *request = append->owner;
    struct world *world = request->world;
    if (request->last <= world->stored) {
        world->wrong = "callbacks out of order";
    }
    world->stored = request->last;
}

static void
published(struct log_publish *publish)
{
    struct request *request = publish->owner;
    request->world->publishing = false;
    request->world->manifests_stored = request->world->manifests_count;
}

static uint32_t
some_size(struct world *world)
{
    if (world->seed % 4 == 0) { /* Exactly a block: each record of a write begins on one. */
        return LOG_BLOCK - LOG_RECORD_HEADER;
    }
    switch (seed_below(&world->prng, 3)) {
    case 0:
        return LOG_BLOCK * (1 + (uint32_t)seed_below(&world->prng, 2)) - LOG_RECORD_HEADER;
    case 1:
        return (uint32_t)seed_below(&world->prng, DATA_MAX);
    default:
        return (uint32_t)seed_below(&world->prng, 600);
    }
}

static void
append(struct world *world)
{
    struct request *request = new_request(world);
    size_t count = 1 + seed_below(&world->prng, 3);
    request->data = mem_alloc(sizeof request->entries / sizeof request->entries[0] * DATA_MAX);
    for (size_t i = 0; i < count; i++) {
        struct appended *record = &world->records[++world->count];
        *record = (struct appended){++world->last, world->entry_term, ++world->ids, 0};
        record->size = some_size(world);
        world->sequences[record->index] = world->count;
        uint8_t *data = request->data + i * DATA_MAX;
        fill(record->id, data, record->size);
        request->entries[i] =
            (struct log_entry){record->term, (uint8_t)record->id, bytes_make(data, record->size)};
    }
    request->last = world->count;
    log_append(world->log, &request->append, request->entries, count, stored);
}

static void
truncate_log(struct world *world)
{
    if (world->last > world->floor) {
        world->last = world->floor + seed_below(&world->prng, world->last - world->floor);
        world->entry_term++;
        log_truncate(world->log, world->last + 1);
    }
}

static void
publish(struct world *world, bool replaces)
{
    static uint8_t data[MANIFEST_MAX];
    uint64_t before =
        world->manifests_count == 0 ? 0 : world->manifests[world->manifests_count].index;
    if (world->publishing || (!replaces && world->last <= before)) {
        return;
    }
    struct published *manifest = &world->manifests[world->manifests_count + 1];
    *manifest = (struct published){.replaces = replaces, .id = ++world->ids, .after = world->count};
    manifest->size = (uint32_t)seed_below(&world->prng, MANIFEST_MAX);
    uint64_t most = replaces ? world->last + 3 : world->last;
    most = most > before ? most : before + 1;
    manifest->index = before + 1 + seed_below(&world->prng, most - before);
    if (manifest->index > RECORDS_MAX) {
        return;
    }
    manifest->term =
        replaces ? world->entry_term : world->records[world->sequences[manifest->index]].term;
    if (!replaces && manifest->index <= world->base) {
        return;
    }
    world->manifests_count++;
    world->publishing = true;
    world->floor = manifest->index;
    fill(manifest->id, data, manifest->size);
    struct request *request = new_request(world);
    struct bytes bytes = bytes_make(data, manifest->size);
    if (replaces) {
        world->base = world->last = manifest->index;
        log_replace(world->log, &request->publish, manifest->index, manifest->term, bytes,
                    published);
    } else {
        uint64_t may_go = manifest->index - seed_below(&world->prng, manifest->index - before);
        log_publish(world->log, &request->publish, manifest->index, manifest->term, may_go, bytes,
                    published);
    }
}

static void
vote(struct world *world)
{
    world->old_term = world->term;
    world->old_vote = world->vote;
    if (world->vote != 0 || seed_below(&world->prng, 2) == 0) {
        world->term++;
        world->vote = 0;
        log_set_term(world->log, world->term);
    } else {
        world->vote = 1 + seed_below(&world->prng, 5);
        log_set_vote(world->log, world->vote);
    }
    if (!world->sim.crashed) { /* It is durable. */
        world->old_term = world->term;
        world->old_vote = world->vote;
    }
}

/* What the disk has said by now: see `said`. */
static void
observe(struct world *world)
{
    struct log_status status;
    log_status(world->log, &status);
    if (status.writes > world->writes) {
        world->writes = status.writes;
        world->said = world->before > world->said ? world->before : world->said;
        world->before = status.durable;
    }
    world->mark = status.mark;
}

static void
act(struct world *world)
{
    uint64_t chance = seed_below(&world->prng, 100);
    if (seed_below(&world->prng, 400) == 0) {
        world->sim.error = EIO;
    }
    if (chance < 25) {
        append(world);
    } else if (chance < 32) {
        truncate_log(world);
    } else if (chance < 36) {
        vote(world);
    } else if (chance < 40) {
        publish(world, false);
    } else if (chance < 41) {
        publish(world, true);
    } else if (chance < 48) {
        log_tick(world->log);
    } else {
        (void)sim_step(&world->sim);
    }
    observe(world);
}

/* -- Crashes and flips ------------------------------------------------------------------------- */

/* A node that stops is a crash, at an operation that failed. */
static void
node_stopped(void *context, enum fatal_reason reason, const char *text)
{
    struct world *world = context;
    (void)reason;
    (void)text;
    world->sim.crashed = true;
    world->failed++;
}

static struct log *
open_log(struct world *world, struct sim_disk *sim, struct log_failure *failure)
{
    struct log_options options = {
        .disk = &sim->table,
        .without = world->without,
        .stop = node_stopped,
        .stop_context = world,
    };
    options.keep_bytes = seed_below(&world->prng, 8) * 5 * LOG_BLOCK;
    return log_open(&options, failure);
}

/* A byte that is not zero, so that most of them mean something. */
static void
flip(struct world *world, struct sim_disk *sim)
{
    for (unsigned tries = 0; tries < 1000; tries++) {
        struct sim_file *file = &sim->files[seed_below(&world->prng, SIM_FILES_MAX)];
        uint64_t at = file->exists && file->size > 0 ? seed_below(&world->prng, file->size) : 0;
        if (file->exists && file->size > 0 && file->data[at] != 0) {
            file->data[at] ^= (uint8_t)(1u << seed_below(&world->prng, 8));
            return;
        }
    }
}

/* The disk as it is, but for one bit: everything that the log can know of is there, or it says. */
static bool
survives_flip(struct world *world)
{
    struct sim_disk sim;
    struct log_failure failure;
    uint64_t count;
    unsigned manifest;
    uint64_t bound = world->said > world->mark ? world->said : world->mark;
    sim_clone(&sim, &world->sim, &world->prng);
    flip(world, &sim);
    struct log *log = open_log(world, &sim, &failure);
    bool right = true;
    if (log == NULL) {
        world->refused++;
    } else {
        right = check(world, log, bound, &count, &manifest);
        if (right && count < world->stored) {
            world->shortened++;
        }
        world->harmless++;
        log_free(log);
    }
    sim_free(&sim);
    return right;
}

/* The next life: opens what the crash left, and compares. */
static bool
restart(struct world *world)
{
    struct log_failure failure;
    uint64_t count;
    unsigned manifest;
    sim_restart(&world->sim);
    log_free(world->log);
    free_requests();
    for (unsigned i = 0; i < FLIPS; i++) {
        if (!survives_flip(world)) {
            world->log = NULL;
            return false;
        }
    }
    if (seed_below(&world->prng, 4) == 0) { /* It may crash while it opens, too. */
        world->sim.crash_in = (int64_t)seed_below(&world->prng, 4);
        struct log *log = open_log(world, &world->sim, &failure);
        if (log != NULL) {
            log_free(log);
        }
        sim_restart(&world->sim);
    }
    world->log = open_log(world, &world->sim, &failure);
    if (world->log == NULL) {
        (void)snprintf(world->text, sizeof world->text, "refused: %s", failure.text);
        return wrong(world, world->text);
    }
    if (!check(world, world->log, world->stored, &count, &manifest)) {
        return false;
    }
    world->torn += count < world->count;
    world->count = count;
    world->stored = count;
    world->manifests_count = world->manifests_stored = manifest;
    world->floor = log_loaded(world->log)->snapshot_index;
    world->term = world->old_term = log_loaded(world->log)->term;
    world->vote = world->old_vote = log_loaded(world->log)->vote;
    world->entry_term++;
    world->before = count;
    world->writes = 0;
    world->publishing = false;
    if (seed_below(&world->prng, 2) == 0) {
        log_forget_loaded(world->log);
    }
    return true;
}

/* Without a crash everything that was asked for is done, in the end. */
static bool
settle(struct world *world)
{
    world->sim.crash_in = -1;
    world->sim.error = 0;
    log_tick(world->log);
    while (sim_step(&world->sim)) {
    }
    return world->wrong == NULL && ((world->stored == world->count && !world->publishing) ||
                                    wrong(world, "an append or a snapshot is never told"));
}

/* One run. False with world->wrong if something was found. */
static bool
run(struct world *world, uint64_t seed, unsigned without, bool lies)
{
    struct log_failure failure;
    *world = (struct world){.prng = seed, .seed = seed, .without = without};
    world->term = world->old_term = world->entry_term = 1;
    sim_init(&world->sim, &world->prng);
    struct log_shape shape = {
        .salt = seed_next(&world->prng),
        .segment_bytes = (5 + (uint32_t)seed_below(&world->prng, 6)) * LOG_BLOCK,
        .manifest_bytes_max = MANIFEST_MAX,
    };
    bool right = log_create(&world->sim.table, &shape, &failure);
    world->log = right ? open_log(world, &world->sim, &failure) : NULL;
    right = right && world->log != NULL;
    world->sim.lies = lies;
    for (unsigned life = 0; life < LIVES && right; life++) {
        if (life > 0) {
            right = restart(world);
            world->crashes++;
        }
        world->sim.crash_in = (int64_t)seed_below(&world->prng, STEPS);
        for (unsigned step = 0; right && step < STEPS && !world->sim.crashed; step++) {
            act(world);
            right = world->wrong == NULL;
        }
    }
    right = right && (world->sim.crashed || settle(world));
    if (world->log != NULL) {
        world->settled += right && !world->sim.crashed;
        log_free(world->log);
    }
    free_requests();
    sim_free(&world->sim);
    return right;
}

/* -- Tests ------------------------------------------------------------------------------------- */

/* Seeds that found something, and what. */
static void
holds_where_it_once_did_not(void **state)
{
    static const uint64_t finds[] = {
        14251122925243250017u, /* A half header, forgotten, gave two segments one serial. */
    };
    static struct world world;
    (void)state;
    for (size_t i = 0; i < sizeof finds / sizeof finds[0]; i++) {
        if (!run(&world, finds[i], 0, false)) {
            fail_msg("%llu: %s", (unsigned long long)finds[i], world.wrong);
        }
    }
}

static void
holds_what_it_told_over_crashes_and_flips(void **state)
{
    static struct world world;
    uint64_t prng = seed_init();
    unsigned crashes = 0, torn = 0, refused = 0, harmless = 0, shortened = 0, settled = 0;
    unsigned failed = 0;
    (void)state;
    for (unsigned i = 0; i < RUNS; i++) {
        uint64_t seed = i == 0 ? prng : seed_next(&prng);
        if (!run(&world, seed, 0, false)) {
            fail_msg("run %u, replay with QO_SEED=%llu: %s", i, (unsigned long long)seed,
                     world.wrong == NULL ? "could not begin" : world.wrong);
        }
        crashes += world.crashes;
        torn += world.torn;
        refused += world.refused;
        harmless += world.harmless;
        shortened += world.shortened;
        settled += world.settled;
        failed += world.failed;
    }
    print_message("%u crashes, %u by failed writes, %u torn tails; flips: %u refused, %u harmless, "
                  "of these %u took "
                  "what neither a later record nor the mark tells of\n",
                  crashes, failed, torn, refused, harmless, shortened);
    assert_true(settled > 0 && failed > 0 && torn > 0 && refused > 0 && harmless > shortened);
}

struct rule_case {
    const char *name;
    unsigned without;
    bool lies;
};

static void
finds_each_rule_that_is_off(void **state)
{
    static const struct rule_case cases[] = {
        {"durable", LOG_WITHOUT_DURABLE, false}, {"tearing", LOG_WITHOUT_TEARING, false},
        {"chain", LOG_WITHOUT_CHAIN, false},     {"seed", LOG_WITHOUT_SEED, false},
        {"mark", LOG_WITHOUT_MARK, false},       {"dropping", LOG_WITHOUT_DROPPING, false},
        {"copy", LOG_WITHOUT_COPY, false},       {"told before durable", 0, true},
    };
    static struct world world;
    uint64_t prng = seed_init();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned runs = 0;
        bool found = false;
        while (!found && runs < RUNS_TO_FIND) {
            found = !run(&world, seed_next(&prng), cases[i].without, cases[i].lies);
            runs++;
        }
        if (!found) {
            fail_msg("%s: not found in %u runs", cases[i].name, runs);
        }
        print_message("%-20s found in run %4u: %.120s\n", cases[i].name, runs, world.wrong);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_where_it_once_did_not),
        cmocka_unit_test(holds_what_it_told_over_crashes_and_flips),
        cmocka_unit_test(finds_each_rule_that_is_off),
    };
    return cmocka_run_group_tests_name("consensus/log_model", tests, NULL, NULL);
}
