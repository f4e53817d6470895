/*
 * The command order batch: JSON lines become operations, a request for each 1,024 of them.
 *
 * Without --atomic each operation has a request id of its own: the one on its line, else the
 * command's with the line's number behind it. So the same file with the same --request-id has no
 * second effect. Thread: main.
 */
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "tools/json.h"
#include "tools/results.h"

enum {
    INPUT_MAX = 256 * 1024 * 1024,
    REQUEST_ID_SIZE = (int)QO_REQUEST_ID_MAX + 1,
    BATCH_BYTES_MAX = (int)QO_MESSAGE_MAX - 64 * 1024, /* Of lines; MessagePack is shorter. */
};

struct line {
    json_t *json; /* The texts of `operation` are its. */
    struct qo_attributes *attributes;
    uint64_t number; /* From 1. */
    char request_id[REQUEST_ID_SIZE];
};

struct batch {
    struct ctl *ctl;
    struct line lines[QO_OPERATIONS_MAX];
    struct qo_operation operations[QO_OPERATIONS_MAX];
    uint32_t count;
    size_t bytes;
    json_t *rows;
    bool unknown, refused, failed;
};

static bool
complain(uint64_t line, const char *what, const char *key)
{
    fprintf(stderr, "quorderctl: line %llu: %s%s%s%s\n", (unsigned long long)line, what,
            key != NULL ? " '" : "", key != NULL ? key : "", key != NULL ? "'." : "");
    return false;
}

static bool
take_attributes(struct line *line, json_t *value)
{
    const char *name = NULL;
    json_t *one = NULL;
    if (!json_is_object(value)) {
        return complain(line->number, "`attributes` is not an object.", NULL);
    }
    line->attributes = qo_attributes_new();
    json_object_foreach(value, name, one)
    {
        if (!ctl_attribute_add(line->attributes, name, one)) {
            return complain(line->number, "the protocol takes no such attribute as", name);
        }
    }
    return true;
}

/* Where a text of the line goes; NULL if there is no such key. */
static const char **
text_of(struct qo_operation *operation, const char *key)
{
    const struct {
        const char *key;
        const char **text;
    } texts[] = {
        {"id", &operation->id},
        {"machine", &operation->machine},
        {"event", &operation->event},
        {"expect_state", &operation->expect_state},
        {"actor", &operation->actor},
        {"reason", &operation->reason},
        {"request_id", &operation->request_id},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].key, key) == 0) {
            return texts[i].text;
        }
    }
    return NULL;
}

static bool
take_member(struct line *line, struct qo_operation *operation, const char *key, json_t *value)
{
    const char **text = text_of(operation, key);
    bool is_version = strcmp(key, "expect_version") == 0;
    if (json_is_null(value)) {
        return true;
    }
    if (strcmp(key, "op") == 0) {
        const char *op = json_string_value(value);
        bool create = op != NULL && strcmp(op, "create") == 0;
        operation->method = create ? QO_METHOD_CREATE : QO_METHOD_TRANSITION;
        if (!create && (op == NULL || strcmp(op, "transition") != 0)) {
            return complain(line->number, "`op` is neither \"create\" nor \"transition\".", NULL);
        }
        return true;
    }
    if (strcmp(key, "attributes") == 0) {
        return take_attributes(line, value);
    }
    if (text != NULL) {
        *text = json_string_value(value);
        return *text != NULL || complain(line->number, "this is not a text:", key);
    }
    if (is_version || strcmp(key, "machine_version") == 0) {
        json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;
        *(is_version ? &operation->expect_version : &operation->machine_version) = (uint64_t)number;
        return number > 0 || complain(line->number, "this is not a whole number from 1:", key);
    }
    return complain(line->number, "there is no key", key);
}

/* Reads one line into the next place of the batch. */
static bool
take_line(struct batch *batch, struct bytes text, uint64_t number)
{
    struct ctl *ctl = batch->ctl;
    bool atomic = (ctl->given & OWN(KEY_ATOMIC)) != 0;
    struct line *line = &batch->lines[batch->count];
    struct qo_operation *operation = &batch->operations[batch->count];
    json_error_t error;
    *line = (struct line){.number = number};
    *operation = (struct qo_operation){.method = QO_METHOD_HELLO};
    line->json = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &error);
    batch->count++; /* From here on release() gives it back. */
    if (line->json == NULL || !json_is_object(line->json)) {
        return complain(number,
                        "no JSON object, such as {\"op\":\"transition\",\"id\":\"o-1\","
                        "\"event\":\"pay\"}.",
                        NULL);
    }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(line->json, key, value)
    {
        if (!take_member(line, operation, key, value)) {
            return false;
        }
    }
    if (operation->method == QO_METHOD_HELLO || operation->id == NULL) {
        return complain(number, "`op` or `id` is missing.", NULL);
    }
    operation->attributes = line->attributes;
    if (atomic && operation->request_id != NULL) {
        return complain(number, "an atomic batch has one request id for all (--request-id).", NULL);
    }
    if (!atomic && operation->request_id == NULL) {
        int size = snprintf(line->request_id, sizeof line->request_id, "%s-%llu", ctl->request_id,
                            (unsigned long long)number);
        if (size >= (int)sizeof line->request_id) {
            return complain(number, "--request-id is too long to put line numbers behind it.",
                            NULL);
        }
        operation->request_id = line->request_id;
    }
    batch->bytes += text.size;
    return true;
}

static void
release(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        qo_attributes_free(batch->lines[i].attributes);
        json_decref(batch->lines[i].json);
    }
    batch->count = 0;
    batch->bytes = 0;
}

static void
add_row(struct batch *batch, uint32_t place, const struct qo_item *item)
{
    json_t *row = json_object();
    const struct qo_operation *operation = &batch->operations[place];
    json_set(row, "line", json_natural(batch->lines[place].number));
    json_set(row, "id", json_text(operation->id));
    json_set(row, "request_id",
             json_text(item->request_id != NULL ? item->request_id : batch->ctl->request_id));
    if (item->outcome == QO_OUTCOME_OK) {
        json_set(row, "receipt", json_of_receipt(item->receipt));
    } else {
        json_t *error = json_of_failure(item->failure);
        json_set(error, "applied",
                 item->outcome == QO_OUTCOME_UNKNOWN ? json_null() : json_false());
        json_set(row, "error", error);
    }
    batch->unknown = batch->unknown || item->outcome == QO_OUTCOME_UNKNOWN;
    batch->refused = batch->refused || item->outcome == QO_OUTCOME_REFUSED;
    batch->failed = batch->failed || item->outcome == QO_OUTCOME_FAILED;
    json_add(batch->rows, row);
}

/* Sends what has been gathered. Another status than EXIT_OK: do not go on. */
static int
send_batch(struct batch *batch)
{
    struct ctl *ctl = batch->ctl;
    bool atomic = (ctl->given & OWN(KEY_ATOMIC)) != 0;
    struct qo_request request = {.method = QO_METHOD_BATCH,
                                 .operations = batch->operations,
                                 .operations_count = batch->count,
                                 .atomic = atomic,
                                 .request_id = atomic ? ctl->request_id : NULL};
    if (batch->count == 0) {
        return EXIT_OK;
    }
    struct qo_result *result = ctl_call(ctl, &request);
    size_t count = 0;
    const struct qo_item *items = result != NULL ? qo_result_items(result, &count) : NULL;
    for (uint32_t i = 0; i < count && i < batch->count; i++) {
        add_row(batch, i, &items[i]);
    }
    int status = result == NULL ? EXIT_ERROR : EXIT_OK;
    if (result != NULL && qo_result_outcome(result) != QO_OUTCOME_OK) {
        const struct qo_failure *failure = qo_result_failure(result);
        if (failure->has_index && failure->index < batch->count) {
            fprintf(stderr, "quorderctl: line %llu decided it; nothing of the batch was applied.\n",
                    (unsigned long long)batch->lines[failure->index].number);
        }
        status = ctl_failed(ctl, qo_result_outcome(result), failure, ctl->request_id);
    }
    qo_result_free(result);
    release(batch);
    return status;
}

static int
send_all(struct batch *batch, struct bytes input)
{
    bool atomic = (batch->ctl->given & OWN(KEY_ATOMIC)) != 0;
    int status = EXIT_OK;
    uint64_t number = 0;
    for (size_t at = 0; at < input.size && status == EXIT_OK;) {
        const uint8_t *end = memchr(input.data + at, '\n', input.size - at);
        size_t size = end != NULL ? (size_t)(end - input.data) - at : input.size - at;
        struct bytes text = {input.data + at, size};
        at += size + 1;
        number++;
        if (size == 0) {
            continue;
        }
        bool full = batch->count == QO_OPERATIONS_MAX || batch->bytes + size > BATCH_BYTES_MAX;
        if (full && atomic) {
            fprintf(stderr,
                    "quorderctl: an atomic batch has at most %u operations and about 1 MB.\n",
                    QO_OPERATIONS_MAX);
            return EXIT_USAGE;
        }
        status = full ? send_batch(batch) : EXIT_OK;
        if (status == EXIT_OK && !take_line(batch, text, number)) {
            return EXIT_ERROR;
        }
    }
    return status == EXIT_OK ? send_batch(batch) : status;
}

static void
print_rows(struct batch *batch)
{
    static const struct table_column columns[] = {
        {"LINE", "line", TABLE_PLAIN},       {"ID", "id", TABLE_PLAIN},
        {"EVENT", "event", TABLE_PLAIN},     {"TO", "to", TABLE_PLAIN},
        {"VERSION", "version", TABLE_PLAIN}, {"SEQ", "seq", TABLE_PLAIN},
        {"CODE", "code", TABLE_PLAIN},       {"ERROR", "message", TABLE_PLAIN},
    };
    size_t place = 0;
    json_t *row = NULL;
    if (batch->ctl->format == FORMAT_TABLE) {
        /* What stands inside the receipt or the error gets columns of its own. */
        json_array_foreach(batch->rows, place, row)
        {
            (void)json_object_update_missing(row, json_object_get(row, "receipt"));
            (void)json_object_update_missing(row, json_object_get(row, "error"));
        }
    }
    ctl_print_rows(batch->ctl, batch->rows, columns, sizeof columns / sizeof columns[0]);
}

/* What became of the operations, taken together. */
static int
summary(struct batch *batch, int status)
{
    if (status == EXIT_OK && batch->unknown) {
        struct buf again = {0};
        ctl_again(batch->ctl, batch->ctl->request_id, &again);
        fprintf(stderr,
                "quorderctl: what became of some operations is not known. Ask again with the same "
                "request id:\n  %.*s\n",
                BYTES_FORMAT(again));
        buf_free(&again);
        return EXIT_UNKNOWN;
    }
    if (status == EXIT_OK) {
        status = batch->refused ? EXIT_REFUSED : batch->failed ? EXIT_ERROR : EXIT_OK;
    }
    return status;
}

int
run_order_batch(struct ctl *ctl)
{
    struct buf input = {0};
    int status = EXIT_ERROR;
    if (ctl_read(ctl->arguments[0], INPUT_MAX, &input)) {
        struct batch *batch = mem_zalloc(sizeof *batch);
        batch->ctl = ctl;
        batch->rows = json_array();
        bool atomic = (ctl->given & OWN(KEY_ATOMIC)) != 0;
        ctl_request_id(ctl, atomic ? "request id"
                                   : "lines get request ids of their own; to repeat them all "
                                     "without a second effect: --request-id");
        status = send_all(batch, buf_bytes(&input));
        release(batch);
        if (json_array_size(batch->rows) > 0) {
            print_rows(batch);
        }
        status = summary(batch, status);
        json_decref(batch->rows);
        mem_free(batch);
    }
    buf_free(&input);
    return status;
}
