/*
 * ctl: one run of quorderctl: what was asked for, and the commands that answer.
 *
 * A command is a row of a table (commands.c): its words, its help, the options that it takes, and
 * the function that runs it. Help, the check of the line and shell completion all come from that
 * table. A command prints its result to standard output in the format asked for and returns the
 * exit status; everything that is no result goes to standard error.
 *
 * Thread: main. Memory: texts are argv's and live as long as the program.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "quorder.h"
#include "tools/endpoints.h"
#include "tools/options.h"
#include "tools/table.h"

/* Beside EXIT_OK, EXIT_ERROR, EXIT_USAGE, EXIT_UNREACHABLE and EXIT_NO_LEADER (tools/options.h). */
enum { EXIT_REFUSED = 4, EXIT_UNKNOWN = 6 };

enum ctl_format { FORMAT_TABLE, FORMAT_JSON, FORMAT_JSONL };

enum ctl_key {
    /* Every command takes these. */
    KEY_ENDPOINTS = 1,
    KEY_OUTPUT,
    KEY_TIMEOUT,
    KEY_NODE,
    KEY_HELP,
    KEY_VERSION,
    /* Those of the commands: a bit each in `struct command`. */
    KEY_OWN,
    KEY_REQUEST_ID = KEY_OWN,
    KEY_ATTRIBUTE,
    KEY_ACTOR,
    KEY_REASON,
    KEY_TRACE,
    KEY_EXPECT_VERSION,
    KEY_EXPECT_STATE,
    KEY_MACHINE_VERSION,
    KEY_CONSISTENCY,
    KEY_MIN_SEQ,
    KEY_AS_OF,
    KEY_FROM_VERSION,
    KEY_DESCENDING,
    KEY_LIMIT,
    KEY_STATE,
    KEY_ENTERED_BEFORE,
    KEY_MATCH,
    KEY_CURSOR,
    KEY_ATOMIC,
    KEY_FORMAT,
    KEY_FROM_SEQ,
    KEY_EPOCH,
    KEY_MACHINE,
    KEY_SHARD,
    KEY_NO_FOLLOW,
    KEYS_END,
};
#define OWN(key) (UINT64_C(1) << ((key)-KEY_OWN))

enum { ATTRIBUTES_MAX = (int)QO_DECLARED_ATTRIBUTES_MAX, FILTERS_MAX = 256 };

struct ctl {
    int argc;
    char **line; /* As typed, argv[0] too: for the command that asks again. */
    char **arguments;
    int arguments_count;

    struct endpoints endpoints;
    enum ctl_format format;
    uint32_t timeout_ms;
    const char *node;

    uint64_t given; /* OWN() of each option that was given. */
    const char *request_id;
    char request_id_made[33]; /* "" if it was given. */
    const char *attributes[ATTRIBUTES_MAX];
    uint32_t attributes_count;
    const char *actor, *reason, *trace, *expect_state, *cursor, *match, *graph_format;
    uint64_t expect_version, machine_version, min_seq, from_version, from_seq, epoch, limit;
    int64_t as_of_us, entered_before_us;
    enum qo_consistency consistency;
    const char *states[FILTERS_MAX], *machines[FILTERS_MAX];
    uint32_t shards[FILTERS_MAX];
    uint32_t states_count, machines_count, shards_count;

    struct qo_client *client; /* Opened by the first call. */

    /* What the last call asked for, to name what was not found; NULL or 0 if it had none. */
    const char *asked_id, *asked_machine;
    uint64_t asked_version;
};

struct command {
    const char *noun, *verb; /* `verb` "" where the noun stands alone. */
    const char *arguments;   /* "ID EVENT"; "" for none. */
    int arguments_min, arguments_max;
    uint64_t options; /* OWN() of those it takes. */
    const char *summary;
    const char *examples; /* Lines that end in '\n'. */
    int (*run)(struct ctl *ctl);
};

extern const struct command commands[];
extern const uint32_t commands_count;
extern const struct option_spec ctl_options[];
extern const uint32_t ctl_options_count;

/* -- commands -------------------------------------------------------------------------------- */
int run_order_create(struct ctl *ctl);
int run_order_transition(struct ctl *ctl);
int run_order_get(struct ctl *ctl);
int run_order_history(struct ctl *ctl);
int run_order_list(struct ctl *ctl);
int run_order_batch(struct ctl *ctl);
int run_machine_check(struct ctl *ctl);
int run_machine_put(struct ctl *ctl);
int run_machine_list(struct ctl *ctl);
int run_machine_get(struct ctl *ctl);
int run_machine_graph(struct ctl *ctl);
int run_feed_tail(struct ctl *ctl);
int run_cluster_status(struct ctl *ctl);
int run_ping(struct ctl *ctl);
int run_completion(struct ctl *ctl);

/* -- calls ------------------------------------------------------------------------------------- */

/* Fills in what every request takes, asks, and waits. Gives the result; NULL after printing why the
 * client could not be opened. */
struct qo_result *ctl_call(struct ctl *ctl, struct qo_request *request);
bool ctl_open(struct ctl *ctl);

/* With --node: EXIT_OK if something listens there, else EXIT_UNREACHABLE after printing it, so that
 * nobody waits for a node that is not there. EXIT_OK without --node: the client tries them all. */
int ctl_node_listens(const struct ctl *ctl);
enum { PROBE_TIMEOUT_MS = 1000 };

/* The members as each says of itself. `answers`: what json_of_status() gives, an answer each, at
 * least one. Whose node did not answer is in state "unreachable", without a lag; the others' lag is
 * what the leader has committed and they have not applied, null if no leader answered. Gives the
 * rows: the members that the answer of the highest term names, the leader's before others'. */
json_t *ctl_merge_members(json_t *answers);

/* Makes `ctl->request_id` if none was given, and says so on standard error before anything is sent:
 * whoever interrupts the command can still ask again. `what` stands before it: "request id". */
void ctl_request_id(struct ctl *ctl, const char *what);

/* The word of "ID MACHINE" that stands at `place`, from 0; empty if there is none. */
struct bytes ctl_argument_name(const struct command *command, int place);
/* "there is no order 'o-1'" and so on: what a not_found of `what` means. Appends. */
void ctl_not_found(const struct ctl *ctl, const char *what, struct buf *out);

/* EXIT_OK for a result that is well, else what its outcome means, after printing it: a sentence,
 * what to do next, and with an unknown outcome the command that asks again. */
int ctl_status(struct ctl *ctl, const struct qo_result *result);
/* The same for a failure that has no result; `request_id` may be NULL. */
int ctl_failed(struct ctl *ctl, enum qo_outcome outcome, const struct qo_failure *failure,
               const char *request_id);

/* Appends the line as typed, quoted for a shell, with `--request-id` added if it was not given. */
void ctl_again(const struct ctl *ctl, const char *request_id, struct buf *out);

/* -- values ------------------------------------------------------------------------------------ */

/* The attributes of -a, the caller's; false after printing what is wrong. `*attributes_out` is NULL
 * if none was given. */
bool ctl_attributes(const struct ctl *ctl, struct qo_attributes **attributes_out);
/* One `name=value`, `name:=json` or `name@=time`: the value as JSON, the name's size. False after
 * printing what is wrong. `what` begins the sentence. */
bool ctl_pair(const char *what, const char *text, size_t *name_size_out, json_t **value_out);
/* Adds a JSON value; false if the protocol does not take it. */
bool ctl_attribute_add(struct qo_attributes *attributes, const char *name, json_t *value);

/* Reads a file, "-" for standard input, of at most `size_max` bytes. False after printing why not.
 */
bool ctl_read(const char *path, size_t size_max, struct buf *out);

/* -- output ------------------------------------------------------------------------------------ */

/* Prints a list: in columns, as one JSON array, or one object a line. */
void ctl_print_rows(const struct ctl *ctl, json_t *rows, const struct table_column *columns,
                    uint32_t count);
/* Prints one thing: `title  value` lines, or JSON. */
void ctl_print_object(const struct ctl *ctl, json_t *object, const struct table_column *columns,
                      uint32_t count);
void ctl_print_json(const struct ctl *ctl, json_t *value);

#endif
