/* See report.h. Thread: main. */
#include "report.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "common/assert.h"

static uint64_t
errors_of(const struct load_result *run)
{
    uint64_t errors = 0;
    for (uint32_t i = 0; i < LOAD_CODES; i++) {
        errors += run->errors_by_code[i];
    }
    for (uint32_t i = 0; i < LOAD_OWN_ERRORS; i++) {
        errors += run->errors_own[i];
    }
    return errors;
}

static double
rate_of(const struct load_result *run)
{
    return run->seconds > 0 ? (double)run->ops / run->seconds : 0;
}

static double
per_op(int64_t value, uint64_t ops)
{
    return value < 0 || ops == 0 ? -1 : (double)value / (double)ops;
}

uint32_t
report_median(const struct report *report)
{
    QO_PRE(report->runs_count > 0);
    for (uint32_t i = 0; i < report->runs_count; i++) {
        uint32_t below = 0; /* Runs that come before it by throughput; equals by place. */
        for (uint32_t j = 0; j < report->runs_count; j++) {
            double a = rate_of(report->runs[j]);
            double b = rate_of(report->runs[i]);
            below += a < b || (!(b < a) && j < i) ? 1 : 0;
        }
        if (below == (report->runs_count - 1) / 2) {
            return i;
        }
    }
    return 0;
}

bool
report_well(const struct report *report)
{
    bool well = true;
    for (uint32_t i = 0; i < report->runs_count; i++) {
        const struct load_result *run = report->runs[i];
        well = well && run->errors_own[LOAD_WRONG] == 0 && run->refused == 0 &&
               run->unresolved == 0 && run->ops > 0;
    }
    return well;
}

/* -- Table ----------------------------------------------------------------------------------- */

static void
latency_line(FILE *out, const char *name, const struct histogram *latency)
{
    static const double fractions[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    if (latency->total == 0) {
        return;
    }
    fprintf(out, "  %-12s %12" PRIu64, name, latency->total);
    for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
        fprintf(out, " %9.3f", (double)histogram_quantile(latency, fractions[i]) / 1e6);
    }
    fprintf(out, " %9.3f\n", (double)latency->max / 1e6);
}

static void
errors_lines(FILE *out, const struct load_result *run)
{
    fprintf(out, "errors         %" PRIu64 "\n", errors_of(run));
    for (uint32_t i = 0; i < LOAD_CODES; i++) {
        if (run->errors_by_code[i] > 0) {
            fprintf(out, "  %-20s %" PRIu64 "\n", load_code_name(i), run->errors_by_code[i]);
        }
    }
    for (uint32_t i = 0; i < LOAD_OWN_ERRORS; i++) {
        if (run->errors_own[i] > 0) {
            fprintf(out, "  %-20s %" PRIu64 "\n", load_own_name(i), run->errors_own[i]);
        }
    }
    if (run->retries + run->refused + run->unresolved + run->not_begun > 0) {
        fprintf(out,
                "  sent again %" PRIu64 " (of which applied before %" PRIu64 "), refused %" PRIu64
                ", outcome unknown at the end %" PRIu64 ", due but not begun %" PRIu64 "\n",
                run->retries, run->replays, run->refused, run->unresolved, run->not_begun);
    }
    for (uint32_t i = 0; i < run->shown_count; i++) {
        fprintf(out, "  ! %s\n", run->shown[i]);
    }
}

static const struct watch_node *
node_in(const struct watch_sample *sample, uint64_t node_id)
{
    for (uint32_t i = 0; i < sample->nodes_count; i++) {
        if (sample->nodes[i].node_id == node_id) {
            return &sample->nodes[i];
        }
    }
    return NULL;
}

/* A counter's value before; false if that node did not have it. */
static bool
value_before(const struct load_result *run, const struct watch_node *node, const char *name,
             uint64_t *value_out)
{
    const struct watch_node *before = node_in(&run->before, node->node_id);
    for (uint32_t i = 0; before != NULL && i < before->values_count; i++) {
        if (strcmp(before->values[i].name, name) == 0) {
            *value_out = before->values[i].value;
            return true;
        }
    }
    return false;
}

static void
nodes_lines(FILE *out, const struct report *report, const struct load_result *run)
{
    const struct nodes *nodes = report->options->nodes;
    for (uint32_t i = 0; i < nodes->count; i++) {
        fprintf(out,
                "  process %-8d %.2f us of CPU per op, of which %.2f in the kernel; %.0f bytes "
                "written per op\n",
                (int)nodes->pids[i], per_op(run->usage.cpu_us[i], run->ops),
                per_op(run->usage.system_us[i], run->ops),
                per_op(run->usage.written_bytes[i], run->ops));
    }
    fprintf(out, "  quorder-bench    %.2f us of CPU per op\n", per_op(run->own_cpu_us, run->ops));
    for (uint32_t i = 0; i < run->after.nodes_count; i++) {
        const struct watch_node *node = &run->after.nodes[i];
        fprintf(out, "  node %" PRIu64 " store:", node->node_id);
        for (uint32_t j = 0; j < node->values_count; j++) {
            uint64_t before = 0;
            uint64_t after = node->values[j].value;
            bool known = value_before(run, node, node->values[j].name, &before);
            fprintf(out, " %s=%" PRIu64, node->values[j].name, after);
            if (known && after != before) {
                fprintf(out, "(%+" PRId64 ")", (int64_t)(after - before));
            }
        }
        fprintf(out, "\n");
    }
}

void
report_table(FILE *out, const struct report *report)
{
    const struct load_options *options = report->options;
    uint32_t median = report_median(report);
    const struct load_result *run = report->runs[median];
    if (report->runs_count > 1) {
        fprintf(out, "runs          ");
        for (uint32_t i = 0; i < report->runs_count; i++) {
            fprintf(out, " %.0f%s", rate_of(report->runs[i]), i == median ? "*" : "");
        }
        fprintf(out, " ops/s; the rest is about the one with *, the median\n");
    }
    fprintf(out,
            "load           %u connections of %u outstanding, %s, machine %s, %u orders, "
            "transitions %u %%, creates %u %%, reads %u %%\n",
            options->connections, options->outstanding,
            options->rate > 0 ? "fixed rate" : "closed loop", report->machine, report->orders,
            options->mix[OP_TRANSITION], options->mix[OP_CREATE], options->mix[OP_READ]);
    fprintf(out, "throughput     %.0f ops/s over %.1f s%s\n", rate_of(run), run->seconds,
            run->interrupted ? " (interrupted)" : "");
    fprintf(out, "longest pause  %.3f ms\n", (double)run->longest_pause_ns / 1e6);
    fprintf(out, "latency in ms  %12s %9s %9s %9s %9s %9s %9s\n", "ops", "p50", "p90", "p99",
            "p99.9", "p99.99", "max");
    latency_line(out, "all", &run->all);
    for (uint32_t kind = 0; kind < OP_KINDS; kind++) {
        if (run->latency[kind].total != run->all.total) {
            latency_line(out, op_kind_name((enum op_kind)kind), &run->latency[kind]);
        }
    }
    errors_lines(out, run);
    nodes_lines(out, report, run);
}

/* -- JSON ------------------------------------------------------------------------------------ */

static void
set(json_t *object, const char *key, json_t *value)
{
    int failed = json_object_set_new(object, key, value);
    QO_ASSERT(failed == 0);
}

static json_t *
us(uint64_t ns)
{
    return json_real((double)ns / 1000);
}

static void
set_latency(json_t *object, const struct histogram *latency)
{
    set(object, "p50_us", us(histogram_quantile(latency, 0.5)));
    set(object, "p90_us", us(histogram_quantile(latency, 0.9)));
    set(object, "p99_us", us(histogram_quantile(latency, 0.99)));
    set(object, "p999_us", us(histogram_quantile(latency, 0.999)));
    set(object, "p9999_us", us(histogram_quantile(latency, 0.9999)));
    set(object, "max_us", us(latency->max));
    set(object, "mean_us",
        json_real(latency->total > 0 ? (double)latency->sum / (double)latency->total / 1000 : 0));
}

/* `[[upper_us, count] ...]` of the buckets that hold something. */
static json_t *
buckets_of(const struct histogram *latency)
{
    json_t *buckets = json_array();
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (latency->counts[i] > 0) {
            int failed =
                json_array_append_new(buckets, json_pack("[f,I]", (double)histogram_upper(i) / 1000,
                                                         (json_int_t)latency->counts[i]));
            QO_ASSERT(failed == 0);
        }
    }
    return buckets;
}

static void
set_errors(json_t *object, const struct load_result *run)
{
    json_t *by_code = json_object();
    for (uint32_t i = 0; i < LOAD_CODES; i++) {
        if (run->errors_by_code[i] > 0) {
            set(by_code, load_code_name(i), json_integer((json_int_t)run->errors_by_code[i]));
        }
    }
    for (uint32_t i = 0; i < LOAD_OWN_ERRORS; i++) {
        if (run->errors_own[i] > 0) {
            set(by_code, load_own_name(i), json_integer((json_int_t)run->errors_own[i]));
        }
    }
    set(object, "errors", json_integer((json_int_t)errors_of(run)));
    set(object, "errors_by_code", by_code);
    set(object, "wrong_answers", json_integer((json_int_t)run->errors_own[LOAD_WRONG]));
    set(object, "retries", json_integer((json_int_t)run->retries));
    set(object, "replays", json_integer((json_int_t)run->replays));
    set(object, "refused", json_integer((json_int_t)run->refused));
    set(object, "unresolved", json_integer((json_int_t)run->unresolved));
    set(object, "not_begun", json_integer((json_int_t)run->not_begun));
    json_t *shown = json_array();
    for (uint32_t i = 0; i < run->shown_count; i++) {
        json_t *text = json_string(run->shown[i]);
        (void)json_array_append_new(shown, text != NULL ? text : json_string("(not UTF-8)"));
    }
    set(object, "first_errors", shown);
}

static json_t *
known(double value)
{
    return value < 0 ? json_null() : json_real(value);
}

static json_t *
processes_of(const struct report *report, const struct load_result *run)
{
    json_t *processes = json_array();
    for (uint32_t i = 0; i < report->options->nodes->count; i++) {
        json_t *process = json_object();
        set(process, "pid", json_integer(report->options->nodes->pids[i]));
        set(process, "cpu_us_per_op", known(per_op(run->usage.cpu_us[i], run->ops)));
        set(process, "system_us_per_op", known(per_op(run->usage.system_us[i], run->ops)));
        set(process, "written_bytes_per_op", known(per_op(run->usage.written_bytes[i], run->ops)));
        (void)json_array_append_new(processes, process);
    }
    return processes;
}

/* What each node's `store` counters rose by (`change`) and stand at (`after`). */
static json_t *
stores_of(const struct load_result *run)
{
    json_t *stores = json_array();
    for (uint32_t i = 0; i < run->after.nodes_count; i++) {
        const struct watch_node *node = &run->after.nodes[i];
        json_t *after = json_object();
        json_t *change = json_object();
        for (uint32_t j = 0; j < node->values_count; j++) {
            uint64_t before = 0;
            uint64_t value = node->values[j].value;
            set(after, node->values[j].name, json_integer((json_int_t)value));
            if (value_before(run, node, node->values[j].name, &before)) {
                set(change, node->values[j].name, json_integer((json_int_t)(value - before)));
            }
        }
        json_t *store = json_object();
        set(store, "node_id", json_integer((json_int_t)node->node_id));
        set(store, "endpoint", json_string(node->endpoint));
        set(store, "after", after);
        set(store, "change", change);
        (void)json_array_append_new(stores, store);
    }
    return stores;
}

static json_t *
json_of_run(const struct report *report, const struct load_result *run)
{
    json_t *object = json_object();
    set(object, "ops_per_s", json_real(rate_of(run)));
    set(object, "ops", json_integer((json_int_t)run->ops));
    set(object, "seconds", json_real(run->seconds));
    set(object, "connections", json_integer(report->options->connections));
    set(object, "outstanding", json_integer(report->options->outstanding));
    set_latency(object, &run->all);
    set(object, "longest_pause_us", us(run->longest_pause_ns));
    set_errors(object, run);
    set(object, "interrupted", json_boolean(run->interrupted));
    json_t *kinds = json_object();
    for (uint32_t kind = 0; kind < OP_KINDS; kind++) {
        if (run->latency[kind].total > 0) {
            json_t *one = json_object();
            set(one, "ops", json_integer((json_int_t)run->ops_by_kind[kind]));
            set_latency(one, &run->latency[kind]);
            set(kinds, op_kind_name((enum op_kind)kind), one);
        }
    }
    set(object, "by_kind", kinds);
    set(object, "nodes", processes_of(report, run));
    set(object, "bench_cpu_us_per_op", known(per_op(run->own_cpu_us, run->ops)));
    set(object, "store", stores_of(run));
    return object;
}

void
report_json(FILE *out, const struct report *report)
{
    uint32_t median = report_median(report);
    const struct load_result *run = report->runs[median];
    json_t *object = json_of_run(report, run);
    uint64_t worst_ns = 0;
    json_t *runs = json_array();
    for (uint32_t i = 0; i < report->runs_count; i++) {
        uint64_t pause_ns = report->runs[i]->longest_pause_ns;
        worst_ns = pause_ns > worst_ns ? pause_ns : worst_ns;
        (void)json_array_append_new(runs, json_of_run(report, report->runs[i]));
    }
    set(object, "histogram", buckets_of(&run->all));
    set(object, "machine", json_string(report->machine));
    set(object, "orders", json_integer(report->orders));
    set(object, "rate", json_integer(report->options->rate));
    set(object, "warmup_s", json_integer(report->options->warmup_s));
    set(object, "seed", json_integer((json_int_t)report->seed));
    set(object, "mix",
        json_pack("{s:i,s:i,s:i}", "transition", (int)report->options->mix[OP_TRANSITION], "create",
                  (int)report->options->mix[OP_CREATE], "read",
                  (int)report->options->mix[OP_READ]));
    set(object, "longest_pause_us_of_all_runs", us(worst_ns));
    set(object, "median_run", json_integer(median));
    set(object, "runs", runs);
    (void)json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    fputc('\n', out);
    json_decref(object);
}
