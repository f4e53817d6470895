/*
 * Goal: the simulated store is one that RocksDB's could be: it shows the same after the same
 * entries, through views that are many commits old too, and goes back at a crash to a commit at or
 * above the last checkpoint, from where the same entries lead to the same state.
 * Method: seeded runs of several lives. In each life a child opens both stores, executes what
 * either lost, does the same random things with both and compares all that they show; then it
 * closes both or is killed. Its parent does the same things with the simulated one alone, so that
 * that one goes through all lives.
 */
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/log.h"
#include "events.h"
#include "media.h"
#include "store_face.h"
#include "story.h"
#include "support/seed.h"

enum {
    LIVES = 5,
    STEPS = 250, /* Of one life. */
    LIFE_SECONDS_MAX = 120,
};

/* Shared by all processes. */
struct met {
    _Atomic uint32_t compared, entries, crashes, rocks_lost, rocks_kept, media_lost, media_kept;
};
static struct met *met;

/* -- The world that media.c stands in ---------------------------------------------------------- */

static uint64_t chance;
static event_fn flush;
static void *flush_context;

uint64_t
chance_below(uint64_t bound)
{
    return seed_below(&chance, bound);
}

int64_t
chance_between(int64_t from, int64_t to)
{
    return from + (int64_t)chance_below((uint64_t)(to - from) + 1);
}

bool
chance_permille(uint32_t permille)
{
    return chance_below(1000) < permille;
}

/* The end of a flush is all that media.c plans, one at a time. */
void
event_plan(int64_t after_us, unsigned owner, event_fn run, void *context)
{
    (void)after_us;
    (void)owner;
    QO_PRE(flush == NULL);
    flush = run;
    flush_context = context;
}

void
tell(unsigned member, const char *format, ...)
{
    (void)member;
    (void)format;
}

/* -- Lives ------------------------------------------------------------------------------------- */

struct life {
    uint64_t seed; /* Of the run. */
    uint32_t number;
    uint64_t top; /* How far the life before was. */
    uint64_t checkpointed;
    const char *directory; /* Of the real store. */
};

static struct face *
open_leveled(const struct life *life, const struct store_face *as, const char *directory,
             uint64_t *found_out)
{
    struct face *face = as->open(directory, life->seed);
    *found_out = as->index(face);
    if (*found_out > 0) {
        as->check(face);
    }
    while (as->index(face) < life->top) {
        as->entry(face);
    }
    return face;
}

static bool
ends_by_crash(const struct life *life)
{
    uint64_t prng = life->seed + life->number;
    return seed_below(&prng, 4) != 0;
}

/* Both, and all that they show compared. `rocks` NULL: the simulated one alone. */
static void
live(const struct life *life, struct face *media, struct face *rocks)
{
    struct buf one = {0}, other = {0};
    uint64_t prng = life->seed ^ (UINT64_C(0x1000193) * (life->number + 1));
    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t seed = seed_next(&prng);
        buf_clear(&one);
        media_face.act(media, seed, &one);
        if (flush != NULL && chance_permille(300)) {
            event_fn run = flush;
            flush = NULL;
            run(flush_context);
        }
        if (rocks == NULL) {
            continue;
        }
        buf_clear(&other);
        rocks_face.act(rocks, seed, &other);
        met->compared++;
        if (!bytes_equal(buf_bytes(&one), buf_bytes(&other))) {
            fail_msg("life %u, step %u: the stores differ at entry %llu", life->number, step,
                     (unsigned long long)rocks_face.index(rocks));
        }
    }
    buf_free(&one);
    buf_free(&other);
}

/* The child's part. */
static _Noreturn void
live_with_both(const struct life *life)
{
    uint64_t found;
    (void)alarm(LIFE_SECONDS_MAX); /* Another signal than the one that is expected. */
    struct face *media = open_leveled(life, &media_face, media_directory(1), &found);
    struct face *rocks = open_leveled(life, &rocks_face, life->directory, &found);
    met->rocks_lost += found < life->top;
    met->rocks_kept += found > 0 && found < life->top;
    if (found > life->top) {
        fail_msg("the real store went on to %llu", (unsigned long long)found);
    }
    live(life, media, rocks);
    media_face.check(media);
    rocks_face.check(rocks);
    met->entries += (uint32_t)(rocks_face.index(rocks) - life->top);
    if (ends_by_crash(life)) {
        (void)raise(SIGKILL);
    }
    rocks_face.close(rocks);
    media_face.close(media);
    _exit(0);
}

/* The parent's part: the same life of the simulated store alone. How far it went. */
static uint64_t
live_with_one(const struct life *life)
{
    uint64_t found;
    struct face *media = open_leveled(life, &media_face, media_directory(1), &found);
    met->media_lost += found < life->top;
    met->media_kept += found > 0 && found < life->top;
    live(life, media, NULL);
    uint64_t top = media_face.index(media);
    if (ends_by_crash(life)) {
        met->crashes++;
        media_face.leave(media);
        media_crash(1);
    } else {
        media_face.close(media);
    }
    flush = NULL;
    return top;
}

static _Noreturn void
run(uint64_t seed)
{
    char directory[256], command[300];
    const char *base = getenv("TMPDIR");
    (void)snprintf(directory, sizeof directory, "%.200s/quorder-media-XXXXXX",
                   base == NULL ? "/tmp" : base);
    if (mkdtemp(directory) == NULL) {
        _exit(2);
    }
    struct life life = {.seed = seed, .directory = directory};
    chance = seed;
    media_set_flushes(1 + (uint32_t)chance_below(100));
    bool right = true;
    for (; life.number < LIVES && right; life.number++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            live_with_both(&life);
        }
        right = child > 0 && waitpid(child, &status, 0) == child &&
                (ends_by_crash(&life) ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                                      : WIFEXITED(status) && WEXITSTATUS(status) == 0);
        life.top = live_with_one(&life);
    }
    (void)snprintf(command, sizeof command, "rm -r '%s'", directory);
    _exit(system(command) == 0 && right ? 0 : 1);
}

static void
shows_what_rocksdb_shows(void **state)
{
    const char *scale = getenv("QO_SCALE");
    uint32_t runs = scale != NULL && strcmp(scale, "full") == 0 ? 60 : 4;
    uint64_t seed = seed_init();
    (void)state;
    for (uint32_t i = 0; i < runs; i++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            run(seed + i);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fail_msg("run %u, of QO_SEED=%llu: the simulated store is another", i,
                     (unsigned long long)(seed + i));
        }
    }
    print_message("%u runs: %u comparisons, %u entries; %u crashes; after them the real store had "
                  "lost something in %u and kept something of it in %u, the simulated in %u and "
                  "%u\n",
                  runs, met->compared, met->entries, met->crashes, met->rocks_lost, met->rocks_kept,
                  met->media_lost, met->media_kept);
    assert_true(met->rocks_kept > 0 && met->media_kept > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shows_what_rocksdb_shows)};
    log_set_level(LOG_ERROR);
    met = mmap(NULL, sizeof *met, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (met == MAP_FAILED) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
