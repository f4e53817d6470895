/* See ctl.h. Thread: main. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/assert.h"
#include "common/hash.h"
#include "ctl.h"
#include "tools/json.h"
#include "tools/results.h"

/* A copy of a request asks a node for so long at most; the call as a whole takes --timeout. */
enum { COPY_TIMEOUT_MS = 5000 };

bool
ctl_open(struct ctl *ctl)
{
    char endpoints[ENDPOINTS_MAX * ENDPOINT_SIZE] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < ctl->endpoints.count; i++) {
        used += (size_t)snprintf(endpoints + used, sizeof endpoints - used, "%s%s",
                                 i == 0 ? "" : ",", ctl->endpoints.items[i]);
    }
    if (ctl->client == NULL) {
        struct qo_options options = {.endpoints = endpoints, .name = "quorderctl"};
        ctl->client = qo_client_open(&options);
    }
    if (ctl->client == NULL) {
        fprintf(stderr, "quorderctl: the client could not be opened for %s: %s.\n", endpoints,
                strerror(errno));
    }
    return ctl->client != NULL;
}

struct qo_result *
ctl_call(struct ctl *ctl, struct qo_request *request)
{
    if (!ctl_open(ctl)) {
        return NULL;
    }
    request->deadline_ms = ctl->timeout_ms;
    request->timeout_ms = ctl->timeout_ms < COPY_TIMEOUT_MS ? ctl->timeout_ms : COPY_TIMEOUT_MS;
    request->node = request->node != NULL ? request->node : ctl->node;
    request->trace = ctl->trace;
    ctl->asked_id = request->id;
    ctl->asked_machine = request->machine;
    ctl->asked_version = request->machine_version;
    return qo_call(ctl->client, request);
}

int
ctl_node_listens(const struct ctl *ctl)
{
    int error = ctl->node != NULL ? endpoints_probe(ctl->node, PROBE_TIMEOUT_MS) : 0;
    if (error == 0) {
        return EXIT_OK;
    }
    fprintf(stderr, "quorderctl: unreachable: %s: %s.\n", ctl->node, strerror(error));
    if (ctl->format != FORMAT_TABLE) {
        json_t *object = json_object();
        json_t *failure = json_object();
        json_set(failure, "code", json_text(qo_code_name(QO_CODE_UNREACHABLE)));
        json_set(failure, "message", json_text(strerror(error)));
        json_set(failure, "applied", json_false());
        json_set(object, "error", failure);
        ctl_print_json(ctl, object);
        json_decref(object);
    }
    return EXIT_UNREACHABLE;
}

void
ctl_request_id(struct ctl *ctl, const char *what)
{
    if (ctl->request_id != NULL) {
        return;
    }
    uint8_t chance[16];
    ssize_t got = getrandom(chance, sizeof chance, 0);
    QO_ASSERT(got == (ssize_t)sizeof chance);
    hash_hex(bytes_make(chance, sizeof chance), ctl->request_id_made);
    ctl->request_id = ctl->request_id_made;
    fprintf(stderr, "%s %s\n", what, ctl->request_id);
}

/* -- The command that asks again ------------------------------------------------------------- */

static void
append_quoted(struct buf *out, const char *word)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        buf_append(out, word, strlen(word));
        return;
    }
    buf_put_u8(out, '\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            buf_append(out, "'\\''", 4);
        } else {
            buf_put_u8(out, (uint8_t)*word);
        }
    }
    buf_put_u8(out, '\'');
}

void
ctl_again(const struct ctl *ctl, const char *request_id, struct buf *out)
{
    for (int i = 0; i < ctl->argc; i++) {
        if (i > 0) {
            buf_put_u8(out, ' ');
        }
        append_quoted(out, ctl->line[i]);
        if (i == 0 && (ctl->given & OWN(KEY_REQUEST_ID)) == 0 && request_id != NULL) {
            static const char option[] = " --request-id ";
            buf_append(out, option, sizeof option - 1);
            append_quoted(out, request_id);
        }
    }
}

/* -- What went wrong ------------------------------------------------------------------------- */

static int
status_of(enum qo_outcome outcome, enum qo_code code)
{
    if (outcome == QO_OUTCOME_UNKNOWN) {
        return EXIT_UNKNOWN;
    }
    if (code == QO_CODE_UNREACHABLE) {
        return EXIT_UNREACHABLE;
    }
    if (code == QO_CODE_NOT_LEADER || code == QO_CODE_UNAVAILABLE) {
        return EXIT_NO_LEADER;
    }
    /* Decided by the state machine from the order and its machine. */
    bool refused = code >= QO_CODE_ALREADY_EXISTS && code <= QO_CODE_INVALID_MACHINE;
    return refused ? EXIT_REFUSED : EXIT_ERROR;
}

/* What to do next, if the code alone tells. */
static const struct {
    enum qo_code code;
    const char *text;
} advice[] = {
    {QO_CODE_UNREACHABLE,
     "Start a node (quorderd --dev, or cluster/local start), or name the addresses with "
     "--endpoints."},
    {QO_CODE_NOT_LEADER,
     "quorderctl cluster status shows which members are up; try again when a majority is."},
    {QO_CODE_UNAVAILABLE,
     "quorderctl cluster status shows which members are up; try again when a majority is."},
    {QO_CODE_TIMEOUT, "Try again, or give it more time with --timeout."},
    {QO_CODE_OVERLOADED, "Nothing was done; try again in a moment."},
    {QO_CODE_VERSION_CONFLICT, "Read the order again (quorderctl order get) and decide anew."},
    {QO_CODE_REQUEST_ID_REUSED,
     "Each intent needs a request id of its own; leave --request-id out to have one made."},
    {QO_CODE_POSITION_LOST, "Read the orders anew and go on from the position named."},
};

void
ctl_not_found(const struct ctl *ctl, const char *what, struct buf *out)
{
    const char *machine = ctl->asked_machine != NULL ? ctl->asked_machine : "";
    char text[2 * QO_ID_MAX + 64];
    if (what != NULL && strcmp(what, "order") == 0 && ctl->asked_id != NULL) {
        (void)snprintf(text, sizeof text, "there is no order '%s'%s", ctl->asked_id,
                       ctl->as_of_us != 0 ? " at that time" : "");
    } else if (what != NULL && strcmp(what, "machine") == 0 && machine[0] != '\0') {
        (void)snprintf(text, sizeof text, "there is no machine '%s'", machine);
    } else if (what != NULL && strcmp(what, "version") == 0 && machine[0] != '\0') {
        (void)snprintf(text, sizeof text, "machine '%s' has no version %llu", machine,
                       (unsigned long long)ctl->asked_version);
    } else {
        (void)snprintf(text, sizeof text, "there is no such %s", what != NULL ? what : "thing");
    }
    buf_append(out, text, strlen(text));
}

static void
explain(const struct ctl *ctl, const struct qo_failure *failure)
{
    if (failure->code == QO_CODE_NOT_FOUND) {
        struct buf text = {0};
        ctl_not_found(ctl, failure->what, &text);
        fprintf(stderr, "quorderctl: not_found: %.*s.\n", BYTES_FORMAT(text));
        buf_free(&text);
    } else {
        fprintf(stderr, "quorderctl: %s: %s\n", qo_code_name(failure->code), failure->message);
    }
    if (failure->code == QO_CODE_INVALID_ATTRIBUTE && failure->why != NULL &&
        strcmp(failure->why, "type") == 0) {
        const char *name = failure->attribute != NULL ? failure->attribute : "NAME";
        fprintf(stderr,
                "NAME=VALUE is a text; numbers, booleans, lists and maps are given as -a "
                "'%s:=JSON', times as -a '%s@=TIME'.\n",
                name, name);
    }
    if (failure->code == QO_CODE_INVALID_TRANSITION) {
        fprintf(stderr, "State %s accepts:", failure->from != NULL ? failure->from : "?");
        for (size_t i = 0; i < failure->allowed_count; i++) {
            fprintf(stderr, " %s", failure->allowed[i]);
        }
        fprintf(stderr, "%s\n", failure->allowed_count == 0 ? " nothing, it is final." : "");
    }
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++) {
        if (advice[i].code == failure->code) {
            fprintf(stderr, "%s\n", advice[i].text);
        }
    }
}

int
ctl_failed(struct ctl *ctl, enum qo_outcome outcome, const struct qo_failure *failure,
           const char *request_id)
{
    if (outcome == QO_OUTCOME_UNKNOWN) {
        struct buf again = {0};
        ctl_again(ctl, request_id, &again);
        fprintf(stderr,
                "quorderctl: what became of the request is not known (the last answer: %s).\n"
                "Ask again with the same request id; it has at most one effect:\n  %.*s\n",
                qo_code_name(failure->code), BYTES_FORMAT(again));
        buf_free(&again);
    } else {
        explain(ctl, failure);
    }
    if (ctl->format != FORMAT_TABLE) {
        json_t *object = json_object();
        json_t *error = json_of_failure(failure);
        json_set(error, "applied", outcome == QO_OUTCOME_UNKNOWN ? json_null() : json_false());
        json_set(object, "error", error);
        if (request_id != NULL) {
            json_set(object, "request_id", json_text(request_id));
        }
        ctl_print_json(ctl, object);
        json_decref(object);
    }
    return status_of(outcome, failure->code);
}

int
ctl_status(struct ctl *ctl, const struct qo_result *result)
{
    if (result == NULL) {
        return EXIT_ERROR;
    }
    enum qo_outcome outcome = qo_result_outcome(result);
    if (outcome == QO_OUTCOME_OK) {
        return EXIT_OK;
    }
    const char *request_id = qo_result_request_id(result);
    return ctl_failed(ctl, outcome, qo_result_failure(result),
                      request_id != NULL ? request_id : ctl->request_id);
}
