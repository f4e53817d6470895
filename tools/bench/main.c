/*
 * quorder-bench: how fast a cluster is, with every receipt checked.
 *
 * Goes over its own sockets, not through libquorder: it shares the machine with the nodes that it
 * measures, and what it costs is missing there. Thread: main (and watch.h's).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "load.h"
#include "report.h"
#include "tools/options.h"

enum {
    KEY_ENDPOINTS = 1,
    KEY_CONNECTIONS,
    KEY_OUTSTANDING,
    KEY_MIX,
    KEY_ORDERS,
    KEY_PREFIX,
    KEY_RATE,
    KEY_WARMUP,
    KEY_SECONDS,
    KEY_RUNS,
    KEY_CONSISTENCY,
    KEY_SPREAD,
    KEY_TIMEOUT,
    KEY_MACHINE,
    KEY_PIDS,
    KEY_DATA,
    KEY_SEED,
    KEY_OUTPUT,
    KEY_QUIET,
    KEY_HELP,
};

static const struct option_spec specs[] = {
    {KEY_ENDPOINTS, 'e', "endpoints", "LIST",
     "host:port of one or more nodes, divided by commas (default: QUORDER_ENDPOINTS,\nelse "
     "127.0.0.1:7401); the others are found by themselves"},
    {KEY_CONNECTIONS, 'c', "connections", "N", "connections (default 64)"},
    {KEY_OUTSTANDING, 'n', "outstanding", "N", "requests under way on each (default 32)"},
    {KEY_MIX, 0, "mix", "LIST",
     "percent of each kind (default transition=100), such as\ntransition=80,create=5,read=15"},
    {KEY_ORDERS, 0, "orders", "N",
     "orders to work on, made if they are not there (default 100000)"},
    {KEY_PREFIX, 0, "prefix", "TEXT", "their ids begin so (default bench)"},
    {KEY_RATE, 0, "rate", "N",
     "ops a second, latency counted from when each was due; default: closed loop,\nas fast as "
     "answers come"},
    {KEY_WARMUP, 0, "warmup", "S", "seconds before measuring (default 5)"},
    {KEY_SECONDS, 's', "seconds", "S", "seconds to measure (default 10)"},
    {KEY_RUNS, 0, "runs", "N", "repeat, and report the median (default 1)"},
    {KEY_CONSISTENCY, 0, "read-consistency", "WORD", "linearizable (default) or local"},
    {KEY_SPREAD, 0, "spread", NULL, "connect to all nodes in turn, not only to the leader"},
    {KEY_TIMEOUT, 0, "timeout", "TIME", "timeout_ms of each request (default: the server's, 5s)"},
    {KEY_MACHINE, 0, "machine", "FILE", "another machine than the built-in `bench`"},
    {KEY_PIDS, 0, "pids", "LIST", "the nodes' process ids, to report their CPU per op"},
    {KEY_DATA, 0, "data", "DIR", "find them in the directory of cluster/local"},
    {KEY_SEED, 0, "seed", "N", "of what is picked and sent (default: a new one, reported)"},
    {KEY_OUTPUT, 'o', "output", "WORD", "table (default) or json"},
    {KEY_QUIET, 'q', "quiet", NULL, "no progress on stderr"},
    {KEY_HELP, 'h', "help", NULL, "this text"},
};
enum {
    SPECS_COUNT = sizeof specs / sizeof specs[0],
    RUNS_MAX = 100,
    FIRST_LEADER_MS = 15000,
    PROBE_TIMEOUT_MS = 500
};

struct settings {
    struct endpoints endpoints;
    struct load_options load;
    struct nodes nodes;
    uint32_t orders, runs, timeout_ms;
    const char *prefix, *machine_file;
    enum wire_consistency consistency;
    uint64_t seed;
    bool json;
};

static void
help(void)
{
    printf("quorder-bench: how fast a Quorder cluster is, with every receipt checked.\n\n"
           "Usage: quorder-bench [options]\n\n");
    options_help(stdout, specs, SPECS_COUNT, NULL, NULL);
    printf("\nIt leaves its machine (`bench`, or that of --machine) and its orders in the cluster, "
           "for\nthere is no way to delete either: measure a cluster that is made for it.\n"
           "\nExamples:\n"
           "  quorder-bench                                      all the defaults\n"
           "  quorder-bench -c 64 -n 1 -s 60 --runs 5 -o json    median of five minutes\n"
           "  quorder-bench --rate 10000 --mix transition=90,read=10\n"
           "  quorder-bench -c 1 -n 1 --orders 1000              latency of a lone client\n\n"
           "Exit status: 0 every answer right and every outcome known, 1 not, 2 usage,\n"
           "3 no node could be reached, 5 no leader.\n");
}

/* One `kind=percent` of the list; `at` moves behind it. */
static bool
parse_share(const char **at, uint32_t mix[OP_KINDS])
{
    for (uint32_t kind = 0; kind < OP_KINDS; kind++) {
        const char *name = op_kind_name((enum op_kind)kind);
        size_t size = strlen(name);
        if (strncmp(*at, name, size) == 0 && (*at)[size] == '=') {
            char *end = NULL;
            unsigned long share = strtoul(*at + size + 1, &end, 10);
            if (end == *at + size + 1 || share > 100 || (*end != ',' && *end != '\0')) {
                return false;
            }
            mix[kind] = (uint32_t)share;
            *at = *end == ',' ? end + 1 : end;
            return true;
        }
    }
    return false;
}

static bool
parse_mix(const char *text, uint32_t mix[OP_KINDS])
{
    const char *at = text;
    uint32_t total = 0;
    memset(mix, 0, OP_KINDS * sizeof mix[0]);
    while (*at != '\0') {
        if (!parse_share(&at, mix)) {
            break;
        }
    }
    for (uint32_t kind = 0; kind < OP_KINDS; kind++) {
        total += mix[kind];
    }
    if (*at == '\0' && total == 100) {
        return true;
    }
    fprintf(stderr,
            "--mix takes percents of transition, create and read that add up to 100, such as "
            "transition=80,create=5,read=15, not '%s'.\n",
            text);
    return false;
}

static bool
parse_word(const char *what, const char *text, const char *no, const char *yes, bool *yes_out)
{
    *yes_out = strcmp(text, yes) == 0;
    if (*yes_out || strcmp(text, no) == 0) {
        return true;
    }
    fprintf(stderr, "%s takes %s or %s, not '%s'.\n", what, no, yes, text);
    return false;
}

static bool
parse_u32(const char *what, const char *text, uint64_t min, uint64_t max, uint32_t *value_out)
{
    uint64_t value = 0;
    bool well = parse_natural(what, text, min, max, &value);
    *value_out = (uint32_t)value;
    return well;
}

static bool
parse_prefix(const char *text, const char **prefix_out)
{
    *prefix_out = text;
    if (wire_is_text(bytes_text(text)) && text[0] != '\0' && strlen(text) <= PREFIX_MAX) {
        return true;
    }
    fprintf(stderr, "--prefix takes 1 to %d bytes of text.\n", (int)PREFIX_MAX);
    return false;
}

static bool
parse_timeout(const char *text, uint32_t *ms_out)
{
    uint64_t ms = 0;
    bool well = parse_duration_ms("--timeout", text, QO_TIMEOUT_MS_MAX, &ms) && ms > 0;
    *ms_out = (uint32_t)ms;
    return well;
}

static bool
take_option(struct settings *settings, int key, const char *value)
{
    bool local = false;
    bool well = true;
    switch (key) {
    case KEY_ENDPOINTS:
        return endpoints_parse(value, &settings->endpoints);
    case KEY_CONNECTIONS:
        return parse_u32("--connections", value, 1, CONNECTIONS_MAX, &settings->load.connections);
    case KEY_OUTSTANDING:
        return parse_u32("--outstanding", value, 1, QO_OUTSTANDING_MAX,
                         &settings->load.outstanding);
    case KEY_MIX:
        return parse_mix(value, settings->load.mix);
    case KEY_ORDERS:
        return parse_u32("--orders", value, 2, ORDERS_MAX, &settings->orders);
    case KEY_PREFIX:
        return parse_prefix(value, &settings->prefix);
    case KEY_RATE:
        return parse_u32("--rate", value, 1, 10000000, &settings->load.rate);
    case KEY_WARMUP:
        return parse_u32("--warmup", value, 0, 3600, &settings->load.warmup_s);
    case KEY_SECONDS:
        return parse_u32("--seconds", value, 1, 86400, &settings->load.seconds);
    case KEY_RUNS:
        return parse_u32("--runs", value, 1, RUNS_MAX, &settings->runs);
    case KEY_CONSISTENCY:
        well = parse_word("--read-consistency", value, "linearizable", "local", &local);
        settings->consistency = local ? WIRE_LOCAL : WIRE_LINEARIZABLE;
        return well;
    case KEY_SPREAD:
        settings->load.spread = true;
        return true;
    case KEY_TIMEOUT:
        return parse_timeout(value, &settings->timeout_ms);
    case KEY_MACHINE:
        settings->machine_file = value;
        return true;
    case KEY_PIDS:
        return nodes_parse(&settings->nodes, value);
    case KEY_DATA:
        return nodes_of_directory(&settings->nodes, value);
    case KEY_SEED:
        return parse_natural("--seed", value, 0, UINT64_MAX, &settings->seed);
    case KEY_OUTPUT:
        return parse_word("--output", value, "table", "json", &settings->json);
    default:
        settings->load.quiet = true;
        return true;
    }
}

/* EXIT_OK: go on. `*helped_out`: the help was asked for and printed. */
static int
take_options(struct settings *settings, int argc, char **argv, bool *helped_out)
{
    struct options options = {
        .program = "quorder-bench", .specs = specs, .specs_count = SPECS_COUNT};
    bool endpoints_given = false;
    int key = 0;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        if (key == KEY_HELP) {
            help();
            *helped_out = true;
            return EXIT_OK;
        }
        endpoints_given = endpoints_given || key == KEY_ENDPOINTS;
        if (key == OPTIONS_WRONG || !take_option(settings, key, options.value)) {
            return EXIT_USAGE;
        }
    }
    if (options.rest < argc) {
        fprintf(stderr, "quorder-bench: '%s' is no option; --help lists them.\n",
                argv[options.rest]);
        return EXIT_USAGE;
    }
    uint64_t slots = (uint64_t)settings->load.connections * settings->load.outstanding;
    if (settings->orders < 2 * slots) {
        fprintf(stderr,
                "--orders must be at least %llu, twice as many as requests are under way: no two "
                "of them are for one order.\n",
                2 * (unsigned long long)slots);
        return EXIT_USAGE;
    }
    return endpoints_given || endpoints_parse(NULL, &settings->endpoints) ? EXIT_OK : EXIT_USAGE;
}

/* The definition to use, in `file` if it comes from one. False after printing why not. */
static bool
read_source(const char *path, struct buf *file, struct bytes *source_out)
{
    *source_out = plan_builtin();
    if (path == NULL) {
        return true;
    }
    FILE *in = fopen(path, "re");
    if (in != NULL) {
        size_t got = fread(buf_reserve(file, QO_DEFINITION_SOURCE_MAX + 1), 1,
                           QO_DEFINITION_SOURCE_MAX + 1, in);
        file->size = got;
        fclose(in);
    }
    if (in == NULL || file->size == 0 || file->size > QO_DEFINITION_SOURCE_MAX) {
        fprintf(stderr, "--machine: '%s' cannot be read, is empty, or is over 256 KiB%s%s.\n", path,
                in == NULL ? ": " : "", in == NULL ? strerror(errno) : "");
        return false;
    }
    *source_out = buf_bytes(file);
    return true;
}

static void
make_nonce(char nonce[OP_NONCE_SIZE])
{
    struct op_world spelling = {.plan = NULL};
    char text[OP_REQUEST_ID_SIZE];
    uint64_t chance = 0;
    ssize_t got = getrandom(&chance, sizeof chance, 0);
    QO_ASSERT(got == (ssize_t)sizeof chance);
    op_request_id(&spelling, chance, text); /* Spells 48 bits behind the (empty) nonce. */
    memcpy(nonce, text + OP_NONCE_SIZE, OP_NONCE_SIZE);
}

static int
find_leader(const struct settings *settings, struct watch *watch)
{
    char endpoints[ENDPOINTS_MAX * ENDPOINT_SIZE];
    int error = endpoints_probe_all(&settings->endpoints, PROBE_TIMEOUT_MS);
    if (error == 0 && watch_wait(watch, FIRST_LEADER_MS)) {
        return EXIT_OK;
    }
    endpoints_text(&settings->endpoints, endpoints, sizeof endpoints);
    if (error == 0 && watch_reached(watch)) {
        fprintf(stderr, "quorder-bench: the nodes at %s know no leader. Are enough of them up?\n",
                endpoints);
        return EXIT_NO_LEADER;
    }
    fprintf(stderr,
            "quorder-bench: no node answers at %s (%s). Start a cluster (cluster/local start), or "
            "name its addresses with --endpoints.\n",
            endpoints, error != 0 ? strerror(error) : "it listens but says nothing");
    return EXIT_UNREACHABLE;
}

static int
run_all(const struct settings *settings, struct op_world *world, struct watch *watch, int wake_fd)
{
    struct load_result *results = mem_zalloc(settings->runs * sizeof *results);
    const struct load_result *runs[RUNS_MAX];
    uint32_t done = 0;
    struct load *load = load_open(&settings->load, world, watch, wake_fd);
    for (bool go_on = true; go_on && done < settings->runs; done++) {
        if (settings->runs > 1 && !settings->load.quiet) {
            fprintf(stderr, "run %u of %u\n", done + 1, settings->runs);
        }
        load_run(load, &results[done]);
        runs[done] = &results[done];
        go_on = !results[done].interrupted;
    }
    load_close(load);
    char machine[QO_NAME_MAX + 1];
    (void)snprintf(machine, sizeof machine, "%.*s", BYTES_FORMAT(world->plan->name));
    struct report report = {.options = &settings->load,
                            .machine = machine,
                            .orders = world->orders->count,
                            .seed = world->seed,
                            .runs = runs,
                            .runs_count = done};
    if (settings->json) {
        report_json(stdout, &report);
    } else {
        report_table(stdout, &report);
    }
    bool well = report_well(&report) && fflush(stdout) == 0;
    mem_free(results);
    return well ? EXIT_OK : EXIT_ERROR;
}

static int
bench(const struct settings *settings, const struct plan *plan)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    QO_ASSERT(wake_fd >= 0);
    struct watch *watch = watch_start(&settings->endpoints, wake_fd);
    struct orders orders = {.items = NULL};
    struct op_world world = {.plan = plan,
                             .orders = &orders,
                             .seed = settings->seed,
                             .timeout_ms = settings->timeout_ms,
                             .consistency = settings->consistency};
    make_nonce(world.nonce);
    int status = find_leader(settings, watch);
    if (status == EXIT_OK) {
        status = EXIT_ERROR;
        if (orders_prepare(&orders, plan, watch, settings->prefix, settings->orders, world.nonce,
                           settings->load.quiet)) {
            status = run_all(settings, &world, watch, wake_fd);
            orders_free(&orders);
        }
    }
    watch_stop(watch);
    arena_free(&world.arena);
    close(wake_fd);
    return status;
}

int
main(int argc, char **argv)
{
    struct settings settings = {.load = {.connections = 64,
                                         .outstanding = 32,
                                         .mix = {[OP_TRANSITION] = 100},
                                         .warmup_s = 5,
                                         .seconds = 10},
                                .orders = 100000,
                                .runs = 1,
                                .prefix = "bench",
                                .seed = (uint64_t)clock_wall_us()};
    settings.load.nodes = &settings.nodes;
    bool helped = false;
    int status = take_options(&settings, argc, argv, &helped);
    if (status != EXIT_OK || helped) {
        return status;
    }
    struct buf file = {0};
    struct bytes source;
    struct plan plan;
    status = EXIT_ERROR;
    if (read_source(settings.machine_file, &file, &source) && plan_make(&plan, source)) {
        status = bench(&settings, &plan);
        plan_free(&plan);
    }
    buf_free(&file);
    return status;
}
