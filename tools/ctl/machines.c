/* The commands machine check, put, list, get, graph. Thread: main. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/assert.h"
#include "ctl.h"
#include "machine/graph.h"
#include "machine/machine.h"
#include "tools/json.h"

/* One more than a definition may have, so that a longer one is refused by its reader in words. */
enum { SOURCE_MAX = 1024 * 1024 };

/* Compiles and opens; NULL after printing `path:line:column: why`. */
static struct machine *
open_source(const char *path, struct bytes source)
{
    struct buf compiled = {0};
    struct machine_error error;
    struct machine *machine = NULL;
    if (machine_compile(source, &compiled, &error) == QO_OK) {
        machine = machine_open(buf_bytes(&compiled));
        QO_ASSERT(machine != NULL);
    } else {
        fprintf(stderr, "%s:%u:%u: %s\n", path, error.line, error.column, error.why);
    }
    buf_free(&compiled);
    return machine;
}

static void
add_checked(json_t *rows, const char *path, const struct machine *machine)
{
    char name[QO_NAME_MAX + 1];
    (void)snprintf(name, sizeof name, "%.*s", BYTES_FORMAT(machine_name(machine)));
    json_t *row = json_object();
    json_set(row, "file", json_text(path));
    json_set(row, "machine", json_text(name));
    json_set(row, "version", json_natural(machine_version(machine)));
    json_set(row, "states", json_natural(machine_state_count(machine)));
    json_set(row, "events", json_natural(machine_event_count(machine)));
    json_set(row, "attributes", json_natural(machine_attribute_count(machine)));
    json_set(row, "checksum", json_text(machine_checksum(machine)));
    json_add(rows, row);
}

int
run_machine_check(struct ctl *ctl)
{
    static const struct table_column columns[] = {
        {"FILE", "file", TABLE_PLAIN},         {"MACHINE", "machine", TABLE_PLAIN},
        {"VERSION", "version", TABLE_PLAIN},   {"STATES", "states", TABLE_PLAIN},
        {"EVENTS", "events", TABLE_PLAIN},     {"ATTRIBUTES", "attributes", TABLE_PLAIN},
        {"CHECKSUM", "checksum", TABLE_PLAIN},
    };
    json_t *rows = json_array();
    int status = EXIT_OK;
    for (int i = 0; i < ctl->arguments_count; i++) {
        struct buf source = {0};
        const char *path = ctl->arguments[i];
        if (!ctl_read(path, SOURCE_MAX, &source)) {
            status = EXIT_ERROR;
        } else {
            struct machine *machine = open_source(path, buf_bytes(&source));
            if (machine != NULL) {
                add_checked(rows, path, machine);
                machine_close(machine);
            } else if (status == EXIT_OK) {
                status = EXIT_REFUSED;
            }
        }
        buf_free(&source);
    }
    if (json_array_size(rows) > 0) {
        ctl_print_rows(ctl, rows, columns, sizeof columns / sizeof columns[0]);
    }
    json_decref(rows);
    return status;
}

static json_t *
json_of_machine(const struct qo_machine *machine)
{
    json_t *object = json_object();
    json_set(object, "machine", json_text(machine->machine));
    json_set(object, "version", json_natural(machine->version));
    json_set(object, "checksum", json_text(machine->checksum));
    return object;
}

int
run_machine_put(struct ctl *ctl)
{
    static const struct table_column columns[] = {
        {"machine", "machine", TABLE_PLAIN},
        {"version", "version", TABLE_PLAIN},
        {"checksum", "checksum", TABLE_PLAIN},
        {"changed", "changed", TABLE_PLAIN},
    };
    struct buf source = {0};
    const char *path = ctl->arguments[0];
    if (!ctl_read(path, SOURCE_MAX, &source)) {
        buf_free(&source);
        return EXIT_ERROR;
    }
    if (memchr(source.data, '\0', source.size) != NULL || source.size == 0) {
        fprintf(stderr, "%s:1:1: this is no YAML text.\n", path);
        buf_free(&source);
        return EXIT_REFUSED;
    }
    struct qo_request request = {.method = QO_METHOD_MACHINE_PUT,
                                 .source = (const char *)source.data,
                                 .source_size = source.size};
    struct qo_result *result = ctl_call(ctl, &request);
    const struct qo_failure *failure = result != NULL ? qo_result_failure(result) : NULL;
    if (failure != NULL && failure->code == QO_CODE_INVALID_MACHINE) {
        fprintf(stderr, "%s:%u:%u: %s\n", path, failure->line, failure->column,
                failure->why != NULL ? failure->why : failure->message);
    }
    int status = ctl_status(ctl, result);
    if (status == EXIT_OK) {
        size_t count = 0;
        const struct qo_machine *machine = qo_result_machines(result, &count);
        json_t *object = json_of_machine(machine);
        json_set(object, "changed", json_boolean(machine->changed));
        ctl_print_object(ctl, object, columns, sizeof columns / sizeof columns[0]);
        json_decref(object);
    }
    qo_result_free(result);
    buf_free(&source);
    return status;
}

int
run_machine_list(struct ctl *ctl)
{
    static const struct table_column columns[] = {
        {"MACHINE", "machine", TABLE_PLAIN},
        {"VERSION", "version", TABLE_PLAIN},
        {"SINCE", "at", TABLE_TIME},
        {"CHECKSUM", "checksum", TABLE_PLAIN},
    };
    struct qo_request request = {.method = QO_METHOD_MACHINE_LIST};
    struct qo_result *result = ctl_call(ctl, &request);
    int status = ctl_status(ctl, result);
    if (status == EXIT_OK) {
        size_t count = 0;
        const struct qo_machine *machines = qo_result_machines(result, &count);
        json_t *rows = json_array();
        for (size_t i = 0; i < count; i++) {
            json_t *row = json_of_machine(&machines[i]);
            json_set(row, "at", json_integer(machines[i].at_us));
            json_add(rows, row);
        }
        ctl_print_rows(ctl, rows, columns, sizeof columns / sizeof columns[0]);
        json_decref(rows);
    }
    qo_result_free(result);
    return status;
}

/* Asks for a machine. EXIT_OK with `*result_out` the caller's, which has it; else it was told. */
static int
fetch(struct ctl *ctl, struct qo_result **result_out, const struct qo_machine **machine_out)
{
    struct qo_request request = {.method = QO_METHOD_MACHINE_GET,
                                 .machine = ctl->arguments[0],
                                 .machine_version = ctl->machine_version};
    struct qo_result *result = ctl_call(ctl, &request);
    int status = ctl_status(ctl, result);
    size_t count = 0;
    *machine_out = status == EXIT_OK ? qo_result_machines(result, &count) : NULL;
    if (status == EXIT_OK && count == 0) {
        fprintf(stderr, "quorderctl: the node answered without a machine.\n");
        status = EXIT_ERROR;
    }
    if (status == EXIT_OK) {
        *result_out = result;
    } else {
        qo_result_free(result);
    }
    return status;
}

int
run_machine_get(struct ctl *ctl)
{
    struct qo_result *result = NULL;
    const struct qo_machine *machine = NULL;
    int status = fetch(ctl, &result, &machine);
    if (status != EXIT_OK) {
        return status;
    }
    if (ctl->format == FORMAT_TABLE) {
        (void)fwrite(machine->source, 1, machine->source_size, stdout);
    } else {
        json_t *object = json_of_machine(machine);
        json_t *source = json_stringn(machine->source, machine->source_size);
        json_set(object, "source", source != NULL ? source : json_null());
        ctl_print_json(ctl, object);
        json_decref(object);
    }
    qo_result_free(result);
    return EXIT_OK;
}

static int
print_graph(const struct ctl *ctl, const char *path, struct bytes source)
{
    struct machine *machine = open_source(path, source);
    struct buf graph = {0};
    if (machine == NULL) {
        return EXIT_REFUSED;
    }
    if (ctl->graph_format != NULL && strcmp(ctl->graph_format, "mermaid") == 0) {
        machine_graph_mermaid(machine, &graph);
    } else {
        machine_graph_dot(machine, &graph);
    }
    (void)fwrite(graph.data, 1, graph.size, stdout);
    buf_free(&graph);
    machine_close(machine);
    return EXIT_OK;
}

int
run_machine_graph(struct ctl *ctl)
{
    const char *name = ctl->arguments[0];
    /* A name has no slash; what looks like a path or is a file is one. */
    if (strcmp(name, "-") == 0 || strchr(name, '/') != NULL || access(name, F_OK) == 0) {
        struct buf source = {0};
        int status = ctl_read(name, SOURCE_MAX, &source)
                         ? print_graph(ctl, name, buf_bytes(&source))
                         : EXIT_ERROR;
        buf_free(&source);
        return status;
    }
    struct qo_result *result = NULL;
    const struct qo_machine *machine = NULL;
    int status = fetch(ctl, &result, &machine);
    if (status == EXIT_OK) {
        status = print_graph(ctl, name, bytes_make(machine->source, machine->source_size));
        qo_result_free(result);
    }
    return status;
}
