/* The commands cluster status and ping. Thread: main. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "ctl.h"
#include "tools/json.h"
#include "tools/results.h"

enum { PING_TIMEOUT_MS = 2000, MEMBER_TIMEOUT_MS = 1000 };

/* -- cluster status -------------------------------------------------------------------------- */

/* The row of the member `id`; NULL if the answer does not name it. */
static json_t *
row_of(json_t *answer, json_int_t id)
{
    size_t place = 0;
    json_t *row = NULL;
    json_array_foreach(json_object_get(answer, "members"), place, row)
    {
        if (json_integer_value(json_object_get(row, "id")) == id) {
            return row;
        }
    }
    return NULL;
}

static json_int_t
number_of(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* What a node says of itself. */
static json_t *
own_row(json_t *answer)
{
    return row_of(answer, number_of(answer, "node_id"));
}

static bool
from_leader(json_t *answer)
{
    const char *state = json_string_value(json_object_get(own_row(answer), "state"));
    return state != NULL && strcmp(state, "leader") == 0;
}

/* The answer to believe about who is a member: of the highest term, the leader's first. */
static json_t *
newest(json_t *answers)
{
    size_t place = 0;
    json_t *answer = NULL;
    json_t *best = json_array_get(answers, 0);
    json_array_foreach(answers, place, answer)
    {
        json_int_t term = number_of(answer, "term");
        json_int_t best_term = number_of(best, "term");
        if (term > best_term || (term == best_term && from_leader(answer) && !from_leader(best))) {
            best = answer;
        }
    }
    return best;
}

json_t *
ctl_merge_members(json_t *answers)
{
    json_t *best = newest(answers);
    json_int_t committed = number_of(own_row(best), "committed_index");
    json_t *rows = json_array();
    size_t place = 0;
    json_t *member = NULL;
    json_array_foreach(json_object_get(best, "members"), place, member)
    {
        json_t *own = NULL;
        size_t i = 0;
        json_t *answer = NULL;
        json_array_foreach(answers, i, answer)
        {
            if (number_of(answer, "node_id") == number_of(member, "id")) {
                own = own_row(answer);
            }
        }
        json_t *row = json_copy(member);
        json_int_t behind = committed - number_of(own, "applied_index");
        json_set(row, "state",
                 own != NULL ? json_incref(json_object_get(own, "state"))
                             : json_string("unreachable"));
        json_set(row, "applied_index",
                 own != NULL ? json_incref(json_object_get(own, "applied_index")) : json_null());
        json_set(row, "committed_index",
                 own != NULL ? json_incref(json_object_get(own, "committed_index")) : json_null());
        json_set(row, "lag",
                 own != NULL && from_leader(best) ? json_integer(behind > 0 ? behind : 0)
                                                  : json_null());
        json_add(rows, row);
    }
    return rows;
}

static void
learn(struct endpoints *endpoints, json_t *answer)
{
    size_t place = 0;
    json_t *member = NULL;
    json_array_foreach(json_object_get(answer, "members"), place, member)
    {
        const char *address = json_string_value(json_object_get(member, "address"));
        if (address != NULL) {
            endpoints_add(endpoints, bytes_text(address));
        }
    }
}

/* Asks all endpoints, and all members that their answers name, each for MEMBER_TIMEOUT_MS at most.
 * Gives the answers, that of `first` among them. */
static json_t *
ask_all(struct ctl *ctl, json_t *first)
{
    struct endpoints endpoints = ctl->endpoints;
    json_t *answers = json_array();
    uint32_t timeout_ms = ctl->timeout_ms;
    ctl->timeout_ms = timeout_ms < MEMBER_TIMEOUT_MS ? timeout_ms : MEMBER_TIMEOUT_MS;
    json_add(answers, json_incref(first));
    learn(&endpoints, first);
    for (uint32_t i = 0; i < endpoints.count; i++) { /* It grows on the way. */
        struct qo_request request = {.method = QO_METHOD_STATUS, .node = endpoints.items[i]};
        if (endpoints_probe(endpoints.items[i], MEMBER_TIMEOUT_MS) != 0) {
            continue;
        }
        struct qo_result *result = ctl_call(ctl, &request);
        const struct qo_status *status = result != NULL ? qo_result_status(result) : NULL;
        if (status != NULL) {
            json_t *answer = json_of_status(status);
            learn(&endpoints, answer);
            json_add(answers, answer);
        }
        qo_result_free(result);
    }
    ctl->timeout_ms = timeout_ms;
    return answers;
}

static void
print_status(const struct ctl *ctl, json_t *object)
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
    ctl_print_object(ctl, object, status_columns, sizeof status_columns / sizeof status_columns[0]);
    if (ctl->format == FORMAT_TABLE) {
        json_t *asked = json_object_get(object, "members_asked");
        putchar('\n');
        table_print(stdout, asked != NULL ? asked : json_object_get(object, "members"),
                    member_columns, sizeof member_columns / sizeof member_columns[0]);
    }
}

int
run_cluster_status(struct ctl *ctl)
{
    struct qo_request request = {.method = QO_METHOD_STATUS};
    struct qo_result *result = ctl_call(ctl, &request);
    int status = ctl_status(ctl, result);
    if (status == EXIT_OK) {
        json_t *object = json_of_status(qo_result_status(result));
        if (ctl->node == NULL) {
            json_t *answers = ask_all(ctl, object);
            json_set(object, "members_asked", ctl_merge_members(answers));
            json_decref(answers);
        }
        print_status(ctl, object);
        json_decref(object);
    }
    qo_result_free(result);
    return status;
}

/* -- ping ------------------------------------------------------------------------------------ */

/* One node's row; the second of two questions is measured, the first may have to connect. */
static int
ping_one(struct ctl *ctl, const char *endpoint, json_t *rows)
{
    json_t *row = json_object();
    struct qo_result *result = NULL;
    int64_t began_us = 0;
    int error = endpoints_probe(endpoint, (int)ctl->timeout_ms);
    for (int i = 0;
         error == 0 && i < 2 && (result == NULL || qo_result_outcome(result) == QO_OUTCOME_OK);
         i++) {
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
    const struct qo_ping *ping = result != NULL ? qo_result_ping(result) : NULL;
    json_set(row, "endpoint", json_text(endpoint));
    json_set(row, "answers", json_boolean(ping != NULL));
    json_set(row, "round_trip_us", ping != NULL ? json_integer(took_us) : json_null());
    json_set(row, "at", ping != NULL ? json_integer(ping->at_us) : json_null());
    json_set(row, "clock", ping != NULL ? json_integer(ping->clock_us) : json_null());
    json_add(rows, row);
    if (ping == NULL) {
        fprintf(stderr, "quorderctl: %s is unreachable: %s\n", endpoint,
                error != 0 ? strerror(error) : qo_result_failure(result)->message);
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
