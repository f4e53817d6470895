/*
 * Creates an order and moves it, once each, whatever happens on the way: a leader that dies, a lost
 * answer, this program started twice with the same arguments.
 *
 *     quorderctl machine put cluster/machines/marketplace.yaml
 *     move_order 127.0.0.1:7401,127.0.0.1:7402 marketplace order-17 cancel customer_id=c-7
 *
 * Each NAME=VALUE is a text attribute that the order is created with.
 *
 * Exit status: 0 done, 1 refused, 2 usage, 3 nobody answered, 4 not known.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <quorder.h>

/* Says what became of a call, and gives the exit status for it. */
static int
report(const char *what, const struct qo_result *result)
{
    const struct qo_failure *failure = qo_result_failure(result);
    switch (qo_result_outcome(result)) {
    case QO_OUTCOME_OK: {
        const struct qo_receipt *receipt = qo_result_receipt(result);
        printf("%s: now in %s, version %" PRIu64 ", event %" PRIu64 "%s\n", what, receipt->to,
               receipt->version, receipt->seq, receipt->replayed ? " (done before)" : "");
        return 0;
    }
    case QO_OUTCOME_REFUSED:
        fprintf(stderr, "%s: %s: %s\n", what, qo_code_name(failure->code), failure->message);
        return 1;
    case QO_OUTCOME_FAILED:
        fprintf(stderr, "%s: nothing was done: %s\n", what, failure->message);
        return 3;
    case QO_OUTCOME_UNKNOWN:
        fprintf(stderr, "%s: not known; ask again with request id %s\n", what,
                qo_result_request_id(result));
        return 4;
    }
    return 4;
}

/* Adds NAME=VALUE; 0 if it is none, or the library does not take it. */
static int
add_attribute(struct qo_attributes *attributes, const char *text)
{
    char name[65]; /* The protocol's names have at most 64 bytes. */
    const char *equals = strchr(text, '=');
    size_t size = equals != NULL ? (size_t)(equals - text) : 0;
    if (equals == NULL || size >= sizeof name) {
        return 0;
    }
    memcpy(name, text, size);
    name[size] = '\0';
    return qo_attributes_add_text(attributes, name, equals + 1);
}

int
main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: move_order ENDPOINTS MACHINE ID EVENT [NAME=VALUE ...]\n");
        return 2;
    }
    const char *id = argv[3];
    struct qo_attributes *attributes = qo_attributes_new();
    for (int i = 5; i < argc; i++) {
        if (!add_attribute(attributes, argv[i])) {
            fprintf(stderr, "move_order: '%s' is no NAME=VALUE\n", argv[i]);
            qo_attributes_free(attributes);
            return 2;
        }
    }
    struct qo_client *client = qo_client_open(
        &(struct qo_options){.endpoints = argv[1], .name = "move_order", .deadline_ms = 20000});
    if (client == NULL) {
        perror("qo_client_open");
        qo_attributes_free(attributes);
        return 2;
    }

    /* A request id names an intent, not an attempt, and belongs to its order: a second run asks
     * with the same ids and changes nothing. Left out, the library makes one for all attempts of a
     * call. */
    char request_id[64];
    snprintf(request_id, sizeof request_id, "example-%.50s", argv[4]);
    struct qo_result *result = qo_call(client, &(struct qo_request){.method = QO_METHOD_CREATE,
                                                                    .id = id,
                                                                    .machine = argv[2],
                                                                    .attributes = attributes,
                                                                    .actor = "example",
                                                                    .request_id = "example"});
    int status = report("create", result);
    qo_result_free(result);
    qo_attributes_free(attributes);

    if (status == 0) {
        result = qo_call(client, &(struct qo_request){.method = QO_METHOD_TRANSITION,
                                                      .id = id,
                                                      .event = argv[4],
                                                      .actor = "example",
                                                      .request_id = request_id});
        status = report(argv[4], result);
        qo_result_free(result);
    }
    qo_client_close(client);
    return status;
}
