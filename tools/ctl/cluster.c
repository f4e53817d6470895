/* The commands cluster status and ping. Thread: main. */
#include <stdio.h>

#include "common/clock.h"
#include "ctl.h"
#include "tools/json.h"
#include "tools/results.h"

enum { PING_TIMEOUT_MS = 2000 };

int
run_cluster_status(struct ctl *ctl)
{
    static const struct table_column status_columns[] = {
        {"cluster", "cluster_id", TABLE_PLAIN}, {"node asked", "node_id", TABLE_PLAIN},
        {"leader", "leader", TABLE_PLAIN},      {"term", "term", TABLE_PLAIN},
        {"epoch", "epoch", TABLE_PLAIN},        {"shards", "shards", TABLE_PLAIN},
        {"digest", "digest", TABLE_PLAIN},      {"up for seconds", "uptime_s", TABLE_PLAIN},
        {"store", "store", TABLE_PLAIN},
    };
    static const struct table_column member_columns[] = {
        {"ID", "id", TABLE_PLAIN},
        {"ADDRESS", "address", TABLE_PLAIN},
        {"ROLE", "role", TABLE_PLAIN},
        {"STATE", "state", TABLE_PLAIN},
        {"APPLIED", "applied_index", TABLE_PLAIN},
        {"COMMITTED", "committed_index", TABLE_PLAIN},
        {"LAG", "lag", TABLE_PLAIN},
    };
    struct qo_request request = {.method = QO_METHOD_STATUS};
    struct qo_result *result = ctl_call(ctl, &request);
    int status = ctl_status(ctl, result);
    if (status == EXIT_OK) {
        json_t *object = json_of_status(qo_result_status(result));
        ctl_print_object(ctl, object, status_columns,
                         sizeof status_columns / sizeof status_columns[0]);
        if (ctl->format == FORMAT_TABLE) {
            putchar('\n');
            table_print(stdout, json_object_get(object, "members"), member_columns,
                        sizeof member_columns / sizeof member_columns[0]);
        }
        json_decref(object);
    }
    qo_result_free(result);
    return status;
}

/* One node's row; the second of two questions is measured, the first may have to connect. */
static int
ping_one(struct ctl *ctl, const char *endpoint, json_t *rows)
{
    json_t *row = json_object();
    struct qo_result *result = NULL;
    int64_t began_us = 0;
    for (int i = 0; i < 2 && (result == NULL || qo_result_outcome(result) == QO_OUTCOME_OK); i++) {
        struct qo_request request = {.method = QO_METHOD_PING, .node = endpoint};
        qo_result_free(result);
        began_us = clock_monotonic_us();
        result = ctl_call(ctl, &request);
        if (result == NULL) {
            json_decref(row);
            return EXIT_ERROR;
        }
    }
    int64_t took_us = clock_monotonic_us() - began_us;
    const struct qo_ping *ping = qo_result_ping(result);
    json_set(row, "endpoint", json_text(endpoint));
    json_set(row, "answers", json_boolean(ping != NULL));
    json_set(row, "round_trip_us", ping != NULL ? json_integer(took_us) : json_null());
    json_set(row, "at", ping != NULL ? json_integer(ping->at_us) : json_null());
    json_set(row, "clock", ping != NULL ? json_integer(ping->clock_us) : json_null());
    json_add(rows, row);
    if (ping == NULL) {
        fprintf(stderr, "quorderctl: %s does not answer: %s\n", endpoint,
                qo_result_failure(result)->message);
    }
    qo_result_free(result);
    return ping != NULL ? EXIT_OK : EXIT_UNREACHABLE;
}

int
run_ping(struct ctl *ctl)
{
    static const struct table_column columns[] = {
        {"ENDPOINT", "endpoint", TABLE_PLAIN},
        {"ANSWERS", "answers", TABLE_PLAIN},
        {"MICROSECONDS", "round_trip_us", TABLE_PLAIN},
        {"LAST ENTRY", "at", TABLE_TIME},
        {"CLOCK", "clock", TABLE_TIME},
    };
    json_t *rows = json_array();
    int status = EXIT_OK;
    if (ctl->timeout_ms > PING_TIMEOUT_MS) {
        ctl->timeout_ms = PING_TIMEOUT_MS;
    }
    if (ctl->node != NULL) {
        status = ping_one(ctl, ctl->node, rows);
    }
    for (uint32_t i = 0; ctl->node == NULL && i < ctl->endpoints.count; i++) {
        int one = ping_one(ctl, ctl->endpoints.items[i], rows);
        status = one != EXIT_OK ? one : status;
    }
    ctl_print_rows(ctl, rows, columns, sizeof columns / sizeof columns[0]);
    json_decref(rows);
    return status;
}
