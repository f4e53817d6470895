/*
 * simulation: runs seeds, each in a process of its own, and tells of those that failed. See
 * README.md. Thread: main.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "run.h"
#include "story.h"

enum {
    SEED_SECONDS_MAX = 300, /* Of real time; then something goes round in circles. */
    STORY_SHOWN = 60,       /* Lines of a story that is not replayed. */
    PROGRESS_US = 10000000,
};

struct campaign {
    uint64_t first, seeds; /* seeds 0: as many as there is time for. */
    int64_t time_us;       /* 0: as long as it takes. */
    bool replay, expect_finding, quiet;
    struct world_rules rules;
    const char *without; /* NULL: all rules. */
    uint64_t members;    /* 0: as the seed says. */
    char directory[64];
    /* So far. */
    int64_t begun_us;
    uint64_t done, failed;
    struct story_counts counts;
};

static const char *program;

static void
remove_files(const struct campaign *campaign)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/log", campaign->directory);
    (void)unlink(path);
}

static _Noreturn void
be_run(const struct campaign *campaign, uint64_t seed)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/log", campaign->directory);
    int log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (log >= 0) {
        (void)dup2(log, STDERR_FILENO);
    }
    log_set_level(campaign->replay ? LOG_INFO : LOG_ERROR);
    (void)alarm(SEED_SECONDS_MAX);
    run_seed(seed, &(struct run_options){
                       .rules = &campaign->rules,
                       .members_count = (unsigned)campaign->members,
                   });
    _exit(0);
}

/* True if nothing was found; else story->finding says what. */
static bool
run_one(const struct campaign *campaign, uint64_t seed)
{
    int status = 0;
    memset(story, 0, sizeof *story);
    remove_files(campaign);
    pid_t child = fork();
    if (child == 0) {
        be_run(campaign, seed);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (child < 0) {
        (void)snprintf(story->finding, sizeof story->finding, "cannot fork: %s", strerror(errno));
    } else if (WIFSIGNALED(status)) {
        (void)snprintf(story->finding, sizeof story->finding, "the run ended by signal %d%s",
                       WTERMSIG(status), WTERMSIG(status) == SIGALRM ? " (it took too long)" : "");
    } else if (WEXITSTATUS(status) != 0 && story->finding[0] == '\0') {
        (void)snprintf(story->finding, sizeof story->finding, "the run ended with status %d",
                       WEXITSTATUS(status));
    }
    return story->finding[0] == '\0';
}

static void
show_story(uint64_t lines_max)
{
    uint64_t kept = story->lines_count < STORY_LINES ? story->lines_count : STORY_LINES;
    uint64_t shown = kept < lines_max ? kept : lines_max;
    for (uint64_t at = story->lines_count - shown; at < story->lines_count; at++) {
        (void)printf("  %s\n", story->lines[at % STORY_LINES]);
    }
}

static void
show_log(const struct campaign *campaign)
{
    char path[128], line[512];
    (void)snprintf(path, sizeof path, "%s/log", campaign->directory);
    FILE *log = fopen(path, "r");
    while (log != NULL && fgets(line, sizeof line, log) != NULL) {
        (void)printf("  | %s", line);
    }
    if (log != NULL) {
        (void)fclose(log);
    }
}

static void
add_counts(struct campaign *campaign)
{
    union {
        struct story_counts counts;
        uint64_t each[sizeof(struct story_counts) / sizeof(uint64_t)];
    } all = {campaign->counts}, one = {story->counts};
    for (size_t i = 0; i < sizeof all.each / sizeof all.each[0]; i++) {
        all.each[i] += one.each[i];
    }
    campaign->counts = all.counts;
}

static void
show_failure(const struct campaign *campaign, uint64_t seed)
{
    (void)printf("seed %" PRIu64 " failed: %s\n", seed, story->finding);
    show_story(STORY_SHOWN);
    show_log(campaign);
    (void)printf("replay with: tests/simulation/run%s%s",
                 campaign->without != NULL ? " --without " : "",
                 campaign->without != NULL ? campaign->without : "");
    if (campaign->members != 0) {
        (void)printf(" --members %" PRIu64, campaign->members);
    }
    (void)printf(" --replay %" PRIu64 "\n", seed);
}

/* Of processor time: what else the machine does changes it little. */
static void
show_speed(const struct story_counts *counts)
{
    struct rusage used;
    (void)getrusage(RUSAGE_CHILDREN, &used);
    uint64_t cpu_ms = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                      (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
    uint64_t simulated_ms = counts->simulated_us / 1000;
    (void)printf("%" PRIu64 " simulated s a second of processor time, %" PRIu64 ".%" PRIu64
                 " requests answered a simulated s\n",
                 simulated_ms / (cpu_ms > 0 ? cpu_ms : 1),
                 counts->answers * 1000 / (simulated_ms > 0 ? simulated_ms : 1),
                 counts->answers * 10000 / (simulated_ms > 0 ? simulated_ms : 1) % 10);
}

static void
summary(const struct campaign *campaign)
{
    show_speed(&campaign->counts);
    const struct story_counts *counts = &campaign->counts;
    int64_t real_us = clock_monotonic_us() - campaign->begun_us;
    uint64_t simulated = counts->simulated_us / 1000000;
    (void)printf("%s: %" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " simulated s in %" PRId64
                 " s (%" PRIu64 " a s); %" PRIu64 " done, %" PRIu64 " refused, %" PRIu64
                 " replayed, %" PRIu64 " unknown, %" PRIu64 " reads, %" PRIu64 " fed, %" PRIu64
                 " fired; %" PRIu64 " terms, %" PRIu64 " crashes, %" PRIu64 " torn, %" PRIu64
                 " snapshots, %" PRIu64 " failed disks, %" PRIu64 " times no room, %" PRIu64
                 " flipped bits, %" PRIu64 " logs refused, %" PRIu64 " to rebuild, %" PRIu64
                 " stuck by that\n",
                 program, campaign->done, campaign->failed, simulated, real_us / 1000000,
                 counts->simulated_us / (uint64_t)(real_us > 0 ? real_us : 1), counts->acknowledged,
                 counts->refused, counts->replayed, counts->unknown, counts->reads, counts->fed,
                 counts->fired, counts->terms, counts->crashes, counts->torn, counts->snapshots,
                 counts->storage_failures, counts->no_room, counts->flips, counts->lost,
                 counts->rebuilds, counts->stuck);
}

static int
run_campaign(struct campaign *campaign)
{
    int64_t progress_us = PROGRESS_US;
    campaign->begun_us = clock_monotonic_us();
    for (uint64_t seed = campaign->first;; seed++) {
        int64_t passed_us = clock_monotonic_us() - campaign->begun_us;
        if ((campaign->seeds != 0 && campaign->done == campaign->seeds) ||
            (campaign->time_us != 0 && passed_us >= campaign->time_us)) {
            break;
        }
        bool right = run_one(campaign, seed);
        campaign->done++;
        campaign->failed += !right;
        add_counts(campaign);
        if (!right && campaign->expect_finding) {
            (void)printf("found after %" PRIu64 " seeds, in seed %" PRIu64 ": %s\n", campaign->done,
                         seed, story->finding);
            break;
        }
        if (!right && !campaign->replay) {
            show_failure(campaign, seed);
        }
        if (passed_us >= progress_us && !campaign->quiet) {
            progress_us = passed_us + PROGRESS_US;
            (void)printf("%" PRIu64 " seeds, %" PRIu64 " failed, after %" PRId64 " s\n",
                         campaign->done, campaign->failed, passed_us / 1000000);
            (void)fflush(stdout);
        }
    }
    if (campaign->replay) {
        show_story(STORY_LINES);
        show_log(campaign);
        (void)printf("fingerprint %016" PRIx64 "\n", story->fingerprint);
    }
    summary(campaign);
    return (campaign->failed != 0) == campaign->expect_finding ? 0 : 1;
}

static int
usage(void)
{
    (void)fprintf(stderr,
                  "usage: %s [--seeds N] [--minutes M | --seconds S] [--first SEED]\n"
                  "       %s --replay SEED\n"
                  "  --members N      clusters of so many, not as the seed says\n"
                  "  --seeds N        so many seeds (100, if no time is given)\n"
                  "  --first SEED     the first; those after it follow (from the clock)\n"
                  "  --replay SEED    this one, with its whole story\n"
                  "  --without RULE   with this rule of the shim or of read rounds off\n"
                  "  --expect-finding exit 0 at the first failure, and 1 if there is none\n",
                  program, program);
    return 2;
}

static bool
read_options(struct campaign *campaign, int count, char **words)
{
    bool good = true, first_given = false;
    for (int i = 1; i < count && good; i++) {
        const char *value = i + 1 < count ? words[i + 1] : NULL;
        char *end = NULL;
        uint64_t number = value != NULL ? strtoull(value, &end, 10) : 0;
        bool is_number = value != NULL && *value >= '0' && *value <= '9' && *end == '\0';
        if (strcmp(words[i], "--expect-finding") == 0) {
            campaign->expect_finding = true;
            continue;
        }
        if (strcmp(words[i], "--without") == 0 && value != NULL) {
            campaign->without = value;
            good = run_rules_without(value, &campaign->rules);
        } else if (strcmp(words[i], "--seeds") == 0) {
            campaign->seeds = number;
            good = is_number;
        } else if (strcmp(words[i], "--minutes") == 0) {
            campaign->time_us = (int64_t)number * 60000000;
            good = is_number;
        } else if (strcmp(words[i], "--seconds") == 0) {
            campaign->time_us = (int64_t)number * 1000000;
            good = is_number;
        } else if (strcmp(words[i], "--members") == 0) {
            campaign->members = number;
            good = is_number && number >= 1 && number <= 5;
        } else if (strcmp(words[i], "--first") == 0 || strcmp(words[i], "--replay") == 0) {
            campaign->replay = words[i][2] == 'r';
            campaign->first = number;
            first_given = true;
            good = is_number;
        } else {
            good = false;
        }
        i++;
    }
    if (!first_given) {
        campaign->first = (uint64_t)clock_wall_us();
    }
    if (campaign->replay) {
        campaign->seeds = 1;
    } else if (campaign->seeds == 0 && campaign->time_us == 0) {
        campaign->seeds = 100;
    }
    return good;
}

int
main(int count, char **words)
{
    struct campaign campaign = {.rules = {.shim = shim_rules_all}};
    program = "simulation";
    if (!read_options(&campaign, count, words)) {
        return usage();
    }
    const char *base = getenv("TMPDIR");
    (void)snprintf(campaign.directory, sizeof campaign.directory, "%.30s/quorder-sim-XXXXXX",
                   base == NULL ? "/tmp" : base);
    if (mkdtemp(campaign.directory) == NULL) {
        (void)fprintf(stderr, "cannot make %s: %s\n", campaign.directory, strerror(errno));
        return 2;
    }
    story_open();
    int status = run_campaign(&campaign);
    remove_files(&campaign);
    (void)rmdir(campaign.directory);
    return status;
}
