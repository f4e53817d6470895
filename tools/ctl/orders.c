/* The commands order create, transition, get, history, list. Thread: main. */
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "tools/json.h"
#include "tools/results.h"

static const struct table_column receipt_columns[] = {
    {"id", "id", TABLE_PLAIN},
    {"machine", "machine", TABLE_PLAIN},
    {"event", "event", TABLE_PLAIN},
    {"from", "from", TABLE_PLAIN},
    {"to", "to", TABLE_PLAIN},
    {"version", "version", TABLE_PLAIN},
    {"seq", "seq", TABLE_PLAIN},
    {"at", "at", TABLE_TIME},
    {"replayed", "replayed", TABLE_PLAIN},
};
static const struct table_column order_columns[] = {
    {"id", "id", TABLE_PLAIN},
    {"machine", "machine", TABLE_PLAIN},
    {"machine version", "machine_version", TABLE_PLAIN},
    {"state", "state", TABLE_PLAIN},
    {"version", "version", TABLE_PLAIN},
    {"attributes", "attributes", TABLE_PLAIN},
    {"created", "created_at", TABLE_TIME},
    {"updated", "updated_at", TABLE_TIME},
    {"in this state since", "entered_at", TABLE_TIME},
    {"seq", "seq", TABLE_PLAIN},
    {"final", "final", TABLE_PLAIN},
    {"allowed", "allowed", TABLE_PLAIN},
    {"deadline", "deadline", TABLE_PLAIN},
};
static const struct table_column list_columns[] = {
    {"ID", "id", TABLE_PLAIN},           {"MACHINE", "machine", TABLE_PLAIN},
    {"STATE", "state", TABLE_PLAIN},     {"VERSION", "version", TABLE_PLAIN},
    {"SINCE", "entered_at", TABLE_TIME}, {"ATTRIBUTES", "attributes", TABLE_PLAIN},
};
static const struct table_column event_columns[] = {
    {"VERSION", "version", TABLE_PLAIN},
    {"SEQ", "seq", TABLE_PLAIN},
    {"AT", "at", TABLE_TIME},
    {"EVENT", "event", TABLE_PLAIN},
    {"FROM", "from", TABLE_PLAIN},
    {"TO", "to", TABLE_PLAIN},
    {"ACTOR", "actor", TABLE_PLAIN},
    {"REASON", "reason", TABLE_PLAIN},
    {"ATTRIBUTES", "attributes", TABLE_PLAIN},
};
#define COUNT(columns) (uint32_t)(sizeof(columns) / sizeof(columns)[0])

/* Sends a write that gives a receipt, and prints it. */
static int
write_order(struct ctl *ctl, struct qo_request *request)
{
    struct qo_attributes *attributes = NULL;
    if (!ctl_attributes(ctl, &attributes)) {
        return EXIT_USAGE;
    }
    ctl_request_id(ctl, "request id");
    request->attributes = attributes;
    request->actor = ctl->actor;
    request->reason = ctl->reason;
    request->request_id = ctl->request_id;
    struct qo_result *result = ctl_call(ctl, request);
    int status = ctl_status(ctl, result);
    if (status == EXIT_OK) {
        json_t *receipt = json_of_receipt(qo_result_receipt(result));
        json_set(receipt, "request_id", json_text(ctl->request_id));
        ctl_print_object(ctl, receipt, receipt_columns, COUNT(receipt_columns));
        json_decref(receipt);
    }
    qo_result_free(result);
    qo_attributes_free(attributes);
    return status;
}

int
run_order_create(struct ctl *ctl)
{
    struct qo_request request = {.method = QO_METHOD_CREATE,
                                 .id = ctl->arguments[0],
                                 .machine = ctl->arguments[1],
                                 .machine_version = ctl->machine_version};
    return write_order(ctl, &request);
}

int
run_order_transition(struct ctl *ctl)
{
    struct qo_request request = {.method = QO_METHOD_TRANSITION,
                                 .id = ctl->arguments[0],
                                 .event = ctl->arguments[1],
                                 .expect_version = ctl->expect_version,
                                 .expect_state = ctl->expect_state};
    return write_order(ctl, &request);
}

static json_t *
orders_of(const struct qo_result *result)
{
    size_t count = 0;
    const struct qo_order *orders = qo_result_orders(result, &count);
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++) {
        json_add(rows, json_of_order(&orders[i]));
    }
    return rows;
}

/* Several orders; ids that are no orders are told on standard error. */
static int
get_many(struct ctl *ctl)
{
    size_t asked = (size_t)ctl->arguments_count;
    const char *const *ids = (const char *const *)ctl->arguments;
    json_t *rows = json_array();
    int status = EXIT_OK;
    bool missing = false;
    for (size_t done = 0; done < asked && status == EXIT_OK;) {
        struct qo_request request = {.method = QO_METHOD_GET_MANY,
                                     .ids = ids + done,
                                     .ids_count = asked - done,
                                     .consistency = ctl->consistency,
                                     .min_seq = ctl->min_seq};
        struct qo_result *result = ctl_call(ctl, &request);
        status = ctl_status(ctl, result);
        json_t *orders = status == EXIT_OK ? orders_of(result) : json_array();
        size_t got = json_array_size(orders);
        if (status == EXIT_OK && got == 0) { /* No answer leaves all of them out. */
            fprintf(stderr, "quorderctl: the node answered without any of the orders asked for.\n");
            status = EXIT_ERROR;
        }
        for (size_t i = 0; i < got; i++) {
            json_t *order = json_array_get(orders, i);
            if (json_is_null(order)) {
                fprintf(stderr, "quorderctl: there is no order '%s'.\n", ids[done + i]);
                missing = true;
            } else {
                json_add(rows, json_incref(order));
            }
        }
        done += got;
        json_decref(orders);
        qo_result_free(result);
    }
    if (status == EXIT_OK) {
        ctl_print_rows(ctl, rows, list_columns, COUNT(list_columns));
    }
    json_decref(rows);
    return status == EXIT_OK && missing ? EXIT_ERROR : status;
}

int
run_order_get(struct ctl *ctl)
{
    if (ctl->arguments_count > 1) {
        if ((ctl->given & OWN(KEY_AS_OF)) != 0) {
            fprintf(stderr, "quorderctl: --as-of goes with one ID only.\n");
            return EXIT_USAGE;
        }
        return get_many(ctl);
    }
    struct qo_request request = {.method = QO_METHOD_GET,
                                 .id = ctl->arguments[0],
                                 .consistency = ctl->consistency,
                                 .min_seq = ctl->min_seq,
                                 .as_of_us = ctl->as_of_us};
    struct qo_result *result = ctl_call(ctl, &request);
    int status = ctl_status(ctl, result);
    if (status == EXIT_OK) {
        json_t *orders = orders_of(result);
        ctl_print_object(ctl, json_array_get(orders, 0), order_columns, COUNT(order_columns));
        json_decref(orders);
    }
    qo_result_free(result);
    return status;
}

/* Prints a page: as JSON an object that says how to go on, else the rows, and on standard error how
 * to go on. Takes `rows` and `next`, which is null after the last page. */
static void
print_page(const struct ctl *ctl, const char *name, json_t *rows, const char *option, json_t *next,
           const struct table_column *columns, uint32_t columns_count)
{
    if (ctl->format == FORMAT_JSON) {
        json_t *page = json_object();
        json_set(page, name, json_incref(rows));
        json_set(page, "more", json_boolean(!json_is_null(next)));
        json_set(page, option, json_incref(next));
        ctl_print_json(ctl, page);
        json_decref(page);
    } else {
        ctl_print_rows(ctl, rows, columns, columns_count);
        if (json_is_string(next)) {
            fprintf(stderr, "There is more: go on with --%s '%s'.\n", option,
                    json_string_value(next));
        } else if (json_is_integer(next)) {
            fprintf(stderr, "There is more: go on with --from-version %lld.\n",
                    (long long)json_integer_value(next));
        }
    }
    json_decref(rows);
    json_decref(next);
}

int
run_order_history(struct ctl *ctl)
{
    struct qo_request request = {.method = QO_METHOD_HISTORY,
                                 .id = ctl->arguments[0],
                                 .from_version = ctl->from_version,
                                 .descending = (ctl->given & OWN(KEY_DESCENDING)) != 0,
                                 .limit = (uint32_t)ctl->limit,
                                 .consistency = ctl->consistency,
                                 .min_seq = ctl->min_seq};
    struct qo_result *result = ctl_call(ctl, &request);
    int status = ctl_status(ctl, result);
    if (status == EXIT_OK) {
        size_t count = 0;
        const struct qo_event *events = qo_result_events(result, &count);
        json_t *rows = json_array();
        for (size_t i = 0; i < count; i++) {
            json_add(rows, json_of_event(&events[i]));
        }
        json_t *next = json_null();
        if (qo_result_page(result)->more && count > 0) {
            uint64_t last = events[count - 1].version;
            next = json_natural(request.descending ? last - 1 : last + 1);
        }
        print_page(ctl, "events", rows, "from_version", next, event_columns, COUNT(event_columns));
    }
    qo_result_free(result);
    return status;
}

/* --match as what the library takes: one value that is no list and no map. */
static bool
take_match(const struct ctl *ctl, char name[QO_NAME_MAX + 1], json_t **value_out,
           struct qo_attribute *match_out)
{
    size_t name_size = 0;
    if (!ctl_pair("--match", ctl->match, &name_size, value_out)) {
        return false;
    }
    (void)snprintf(name, QO_NAME_MAX + 1, "%.*s", (int)name_size, ctl->match);
    *match_out = (struct qo_attribute){.name = name};
    if (json_is_string(*value_out)) {
        match_out->value.type = QO_TYPE_TEXT;
        match_out->value.text = json_string_value(*value_out);
    } else if (json_is_integer(*value_out)) {
        match_out->value.type = QO_TYPE_INTEGER;
        match_out->value.integer = json_integer_value(*value_out);
    } else {
        fprintf(stderr, "--match takes a text, an integer or a time: nothing else is unique.\n");
        return false;
    }
    return true;
}

int
run_order_list(struct ctl *ctl)
{
    char name[QO_NAME_MAX + 1];
    json_t *value = NULL;
    struct qo_attribute match;
    if (ctl->match != NULL && !take_match(ctl, name, &value, &match)) {
        json_decref(value);
        return EXIT_USAGE;
    }
    if (ctl->states_count > 1) {
        fprintf(stderr, "quorderctl: order list takes one --state.\n");
        json_decref(value);
        return EXIT_USAGE;
    }
    struct qo_request request = {.method = QO_METHOD_LIST,
                                 .machine = ctl->arguments[0],
                                 .state = ctl->states_count > 0 ? ctl->states[0] : NULL,
                                 .entered_before_us = ctl->entered_before_us,
                                 .match = ctl->match != NULL ? &match : NULL,
                                 .limit = (uint32_t)ctl->limit,
                                 .cursor = ctl->cursor,
                                 .consistency = ctl->consistency,
                                 .min_seq = ctl->min_seq};
    struct qo_result *result = ctl_call(ctl, &request);
    int status = ctl_status(ctl, result);
    if (status == EXIT_OK) {
        print_page(ctl, "orders", orders_of(result), "cursor",
                   json_text(qo_result_page(result)->cursor), list_columns, COUNT(list_columns));
    }
    qo_result_free(result);
    json_decref(value);
    return status;
}
