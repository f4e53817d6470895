/*
 * quorder-replay: real orders through a machine, in order of time, by many workers.
 *
 * Thread: main (and work.h's).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/limits.h"
#include "machine/machine.h"
#include "report.h"
#include "tools/endpoints.h"
#include "tools/options.h"

enum {
    KEY_ENDPOINTS = 1,
    KEY_WORKERS,
    KEY_RATE,
    KEY_MACHINE,
    KEY_PREFIX,
    KEY_MADE,
    KEY_SEED,
    KEY_ACKNOWLEDGED,
    KEY_TIMEOUT,
    KEY_OUTPUT,
    KEY_QUIET,
    KEY_HELP,
};

static const struct option_spec specs[] = {
    {KEY_ENDPOINTS, 'e', "endpoints", "LIST",
     "host:port of some or all nodes, divided by commas (default: QUORDER_ENDPOINTS,\nelse "
     "127.0.0.1:7401)"},
    {KEY_WORKERS, 'w', "workers", "N", "requests under way at a time (default 32)"},
    {KEY_RATE, 0, "rate", "N", "events a second (default: as fast as answers come)"},
    {KEY_MACHINE, 0, "machine", "FILE",
     "another definition than the built-in `marketplace`; it must have the same\nevents and "
     "attributes"},
    {KEY_PREFIX, 0, "prefix", "TEXT", "put before each order id, to replay a file anew"},
    {KEY_MADE, 0, "made", "N", "where FILE is not there or not given: N made rows of the same mix"},
    {KEY_SEED, 0, "seed", "N", "of the made rows (default 1)"},
    {KEY_ACKNOWLEDGED, 0, "acknowledged", "FILE",
     "write each acknowledged event as one JSON object a line"},
    {KEY_TIMEOUT, 't', "timeout", "TIME", "how long to try each request (default 60s)"},
    {KEY_OUTPUT, 'o', "output", "WORD", "table (default) or json"},
    {KEY_QUIET, 'q', "quiet", NULL, "no progress on stderr"},
    {KEY_HELP, 'h', "help", NULL, "this text"},
};
enum {
    SPECS_COUNT = sizeof specs / sizeof specs[0],
    PREFIX_MAX = (int)QO_ID_MAX - ROW_ID_SIZE,
    PUT_TIMEOUT_MS = 15000,
    PROBE_TIMEOUT_MS = 500,
};

struct settings {
    const char *path, *machine_file, *acknowledged;
    struct endpoints endpoints;
    struct work_options work;
    uint64_t made, seed, timeout_ms;
    bool json;
};

static void
help(void)
{
    printf("quorder-replay: real orders through a machine, in order of time, by many workers.\n\n"
           "Usage: quorder-replay [FILE] [options]\n\n"
           "FILE is a CSV with the header\n"
           "  order_id,customer_id,status,purchased_at,approved_at,carrier_at,delivered_at,"
           "estimated_at\n\nOptions:\n");
    options_help(stdout, specs, SPECS_COUNT, NULL, NULL);
    printf("\nExamples:\n"
           "  quorder-replay orders.csv\n"
           "  quorder-replay orders.csv --made 2000 --rate 500 --acknowledged acks.jsonl\n"
           "  quorder-replay --made 10000 --seed 7 -o json\n\n"
           "Request ids follow from the rows: replayed again, what was acknowledged has no second\n"
           "effect, but what was refused may be accepted then. --prefix makes new orders.\n\n"
           "Exit status: 0 each order ended in its row's status or its refusal is reported, 1 not "
           "so,\n2 usage, 3 no node could be reached, 5 no leader.\n");
}

static bool
take_option(struct settings *settings, int key, const char *value)
{
    uint64_t natural = 0;
    bool well = true;
    switch (key) {
    case KEY_ENDPOINTS:
        return endpoints_parse(value, &settings->endpoints);
    case KEY_WORKERS:
        well = parse_natural("--workers", value, 1, WORKERS_MAX, &natural);
        settings->work.workers = (uint32_t)natural;
        return well;
    case KEY_RATE:
        well = parse_natural("--rate", value, 1, 1000000, &natural);
        settings->work.rate = (uint32_t)natural;
        return well;
    case KEY_MACHINE:
        settings->machine_file = value;
        return true;
    case KEY_PREFIX:
        settings->work.prefix = value;
        if (strlen(value) > PREFIX_MAX) {
            fprintf(stderr, "--prefix takes at most %d bytes.\n", (int)PREFIX_MAX);
            return false;
        }
        return true;
    case KEY_MADE:
        return parse_natural("--made", value, 1, ROWS_MAX, &settings->made);
    case KEY_SEED:
        return parse_natural("--seed", value, 0, UINT64_MAX, &settings->seed);
    case KEY_ACKNOWLEDGED:
        settings->acknowledged = value;
        return true;
    case KEY_TIMEOUT:
        return parse_duration_ms("--timeout", value, 3600000, &settings->timeout_ms);
    case KEY_OUTPUT:
        settings->json = strcmp(value, "json") == 0;
        if (!settings->json && strcmp(value, "table") != 0) {
            fprintf(stderr, "--output takes table or json, not '%s'.\n", value);
            return false;
        }
        return true;
    default:
        settings->work.quiet = true;
        return true;
    }
}

/* EXIT_OK: go on. `*helped_out`: the help was asked for and printed. */
static int
take_options(struct settings *settings, int argc, char **argv, bool *helped_out)
{
    struct options options = {
        .program = "quorder-replay", .specs = specs, .specs_count = SPECS_COUNT};
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
    int rest = argc - options.rest;
    settings->path = rest > 0 ? argv[options.rest] : NULL;
    if (rest > 1 || (rest == 0 && settings->made == 0)) {
        fprintf(stderr, "Usage: quorder-replay [FILE] [options]; without FILE give --made N.\n");
        return EXIT_USAGE;
    }
    return endpoints_given || endpoints_parse(NULL, &settings->endpoints) ? EXIT_OK : EXIT_USAGE;
}

/* The rows, and in `source` what they are. False after printing why there are none. */
static bool
get_rows(const struct settings *settings, struct rows *rows_out, char source[512])
{
    if (settings->path != NULL && (settings->made == 0 || access(settings->path, F_OK) == 0)) {
        (void)snprintf(source, 512, "%s", settings->path);
        return rows_read(rows_out, settings->path);
    }
    rows_make(rows_out, (uint32_t)settings->made, settings->seed);
    (void)snprintf(source, 512, "%u made orders with the mix of the real data, seed %llu",
                   rows_out->count, (unsigned long long)settings->seed);
    FILE *out = settings->json ? stderr : stdout;
    if (settings->path != NULL) {
        fprintf(out, "%s is not there: ", settings->path);
    }
    fprintf(out, "replaying %s\n", source);
    (void)fflush(out);
    return true;
}

/* The definition's source: the built-in one, or that of --machine. */
static bool
get_source(const char *path, struct buf *out)
{
    if (path == NULL) {
        buf_append(out, builtin_machine, sizeof builtin_machine);
        return true;
    }
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        out->size = fread(buf_reserve(out, QO_DEFINITION_SOURCE_MAX + 1), 1,
                          QO_DEFINITION_SOURCE_MAX + 1, file);
        fclose(file);
    }
    if (file == NULL || out->size == 0 || out->size > QO_DEFINITION_SOURCE_MAX) {
        fprintf(stderr, "--machine: '%s' cannot be read, is empty, or is over 256 KiB.\n", path);
        return false;
    }
    return true;
}

/* The machine's name; false after printing why the source is none. */
static bool
get_name(struct bytes source, char name[QO_NAME_MAX + 1])
{
    struct buf compiled = {0};
    struct machine_error error;
    bool well = machine_compile(source, &compiled, &error) == QO_OK;
    if (well) {
        struct machine *machine = machine_open(buf_bytes(&compiled));
        (void)snprintf(name, QO_NAME_MAX + 1, "%.*s", BYTES_FORMAT(machine_name(machine)));
        machine_close(machine);
    } else {
        fprintf(stderr, "machine: line %u, column %u: %s\n", error.line, error.column, error.why);
    }
    buf_free(&compiled);
    return well;
}

static int
put_machine(struct qo_client *client, struct bytes source)
{
    struct qo_request request = {.method = QO_METHOD_MACHINE_PUT,
                                 .deadline_ms = PUT_TIMEOUT_MS,
                                 .source = (const char *)source.data,
                                 .source_size = source.size};
    struct qo_result *result = qo_call(client, &request);
    enum qo_code code = qo_result_code(result);
    int status = EXIT_OK;
    if (qo_result_outcome(result) != QO_OUTCOME_OK) {
        bool headless = code == QO_CODE_UNAVAILABLE || code == QO_CODE_NOT_LEADER;
        status = code == QO_CODE_UNREACHABLE ? EXIT_UNREACHABLE
                 : headless                  ? EXIT_NO_LEADER
                                             : EXIT_ERROR;
        fprintf(stderr, "quorder-replay: the cluster does not take the machine: %s: %s%s\n",
                qo_code_name(code), qo_result_failure(result)->message,
                status == EXIT_UNREACHABLE
                    ? " Start a cluster (cluster/local start), or name its addresses with "
                      "--endpoints."
                    : "");
    }
    qo_result_free(result);
    return status;
}

static int
replay(struct settings *settings, const struct rows *rows, const char *source)
{
    struct steps steps;
    struct order_state *states = mem_zalloc((rows->count + (size_t)1) * sizeof *states);
    if (settings->acknowledged != NULL) {
        settings->work.acknowledged = fopen(settings->acknowledged, "we");
        if (settings->work.acknowledged == NULL) {
            fprintf(stderr, "--acknowledged: '%s' cannot be written: %s.\n", settings->acknowledged,
                    strerror(errno));
            mem_free(states);
            return EXIT_ERROR;
        }
    }
    steps_make(&steps, rows);
    int64_t start_us = clock_monotonic_us();
    work_run(&settings->work, rows, &steps, states);
    struct report report = {.options = &settings->work,
                            .rows = rows,
                            .steps = &steps,
                            .states = states,
                            .source = source,
                            .seconds = (double)(clock_monotonic_us() - start_us) / 1e6};
    if (settings->json) {
        report_json(stdout, &report);
    } else {
        report_table(stdout, &report);
    }
    bool well = report_well(&report) && fflush(stdout) == 0;
    if (settings->work.acknowledged != NULL && fclose(settings->work.acknowledged) != 0) {
        fprintf(stderr, "--acknowledged: '%s' could not be written whole: %s.\n",
                settings->acknowledged, strerror(errno));
        well = false;
    }
    steps_free(&steps);
    mem_free(states);
    return well ? EXIT_OK : EXIT_ERROR;
}

/* EXIT_OK: somebody is there. Else nobody waits for PUT_TIMEOUT_MS. */
static int
reach(const struct settings *settings)
{
    char endpoints[ENDPOINTS_MAX * ENDPOINT_SIZE];
    int error = endpoints_probe_all(&settings->endpoints, PROBE_TIMEOUT_MS);
    if (error == 0) {
        return EXIT_OK;
    }
    endpoints_text(&settings->endpoints, endpoints, sizeof endpoints);
    fprintf(stderr,
            "quorder-replay: no node answers at %s (%s). Start a cluster (cluster/local start), "
            "or name its addresses with --endpoints.\n",
            endpoints, strerror(error));
    return EXIT_UNREACHABLE;
}

static int
connect_and_replay(struct settings *settings, const struct rows *rows, const char *what)
{
    char endpoints[ENDPOINTS_MAX * ENDPOINT_SIZE] = "";
    char name[QO_NAME_MAX + 1];
    struct buf source = {0};
    size_t used = 0;
    int status = EXIT_ERROR;
    for (uint32_t i = 0; i < settings->endpoints.count; i++) {
        used += (size_t)snprintf(endpoints + used, sizeof endpoints - used, "%s%s",
                                 i == 0 ? "" : ",", settings->endpoints.items[i]);
    }
    struct qo_options options = {.endpoints = endpoints,
                                 .name = "quorder-replay",
                                 .deadline_ms = (uint32_t)settings->timeout_ms};
    if (get_source(settings->machine_file, &source) && get_name(buf_bytes(&source), name)) {
        settings->work.client = qo_client_open(&options);
        settings->work.machine = name;
        if (settings->work.client == NULL) {
            fprintf(stderr, "quorder-replay: the client could not be opened for %s: %s.\n",
                    endpoints, strerror(errno));
        } else {
            status = reach(settings);
            status =
                status == EXIT_OK ? put_machine(settings->work.client, buf_bytes(&source)) : status;
        }
    }
    if (status == EXIT_OK && !settings->work.quiet) {
        fprintf(stderr, "Some rows contradict themselves, such as a delivery before the payment: "
                        "their events are refused, as they should be, and listed at the end.\n");
    }
    if (status == EXIT_OK) {
        status = replay(settings, rows, what);
    }
    qo_client_close(settings->work.client);
    settings->work.client = NULL;
    settings->work.machine = NULL;
    buf_free(&source);
    return status;
}

int
main(int argc, char **argv)
{
    struct settings settings = {
        .work = {.workers = 32, .prefix = ""}, .seed = 1, .timeout_ms = 60000};
    bool helped = false;
    (void)signal(SIGPIPE, SIG_IGN); /* Seen as a failed write. */
    int status = take_options(&settings, argc, argv, &helped);
    if (status != EXIT_OK || helped) {
        return status;
    }
    char source[512];
    struct rows rows;
    status = EXIT_ERROR;
    if (get_rows(&settings, &rows, source)) {
        status = connect_and_replay(&settings, &rows, source);
        rows_free(&rows);
    }
    return status;
}
