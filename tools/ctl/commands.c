/* See ctl.h. Thread: any: constants. */
#include "ctl.h"

#include <string.h>

#define WRITES (OWN(KEY_REQUEST_ID) | OWN(KEY_TRACE))
#define COMMANDS_OF_ORDERS (WRITES | OWN(KEY_ATTRIBUTE) | OWN(KEY_ACTOR) | OWN(KEY_REASON))
#define READS (OWN(KEY_CONSISTENCY) | OWN(KEY_MIN_SEQ))

const struct option_spec ctl_options[] = {
    {KEY_ENDPOINTS, 'e', "endpoints", "LIST",
     "host:port of some or all nodes, divided by commas\n(default: QUORDER_ENDPOINTS, else "
     "127.0.0.1:7401)"},
    {KEY_OUTPUT, 'o', "output", "WORD", "table (default), json, or jsonl: one object a line"},
    {KEY_TIMEOUT, 't', "timeout", "TIME",
     "how long to try, such as 500ms or 1m (default 5s);\nfeed tail: the first connection only"},
    {KEY_NODE, 0, "node", "HOST:PORT", "ask this node only, leader or not"},
    {KEY_HELP, 'h', "help", NULL, "this text"},
    {KEY_VERSION, 0, "version", NULL, "print the version"},
    {KEY_REQUEST_ID, 0, "request-id", "TEXT",
     "the same id again has no second effect and gives the first\nreceipt; made and printed if "
     "absent"},
    {KEY_ATTRIBUTE, 'a', "attribute", "NAME=VALUE",
     "a text; NAME:=JSON any other value (null removes it),\nNAME@=2017-10-02T10:56:00Z a time; "
     "may be repeated"},
    {KEY_ACTOR, 0, "actor", "TEXT", "who does it; kept with the event"},
    {KEY_REASON, 0, "reason", "TEXT", "why; kept with the event"},
    {KEY_TRACE, 0, "trace", "TEXT", "a W3C traceparent, kept with the event"},
    {KEY_EXPECT_VERSION, 0, "expect-version", "N", "refuse if the order has another version"},
    {KEY_EXPECT_STATE, 0, "expect-state", "STATE", "refuse if the order is in another state"},
    {KEY_MACHINE_VERSION, 0, "machine-version", "N", "of the machine (default: the latest)"},
    {KEY_CONSISTENCY, 0, "consistency", "WORD",
     "linearizable (default: never stale) or local (may lag)"},
    {KEY_MIN_SEQ, 0, "min-seq", "N", "wait until the node has applied this event"},
    {KEY_AS_OF, 0, "as-of", "TIME",
     "the order as it was then: 2017-10-02T10:56:00Z, or microseconds"},
    {KEY_FROM_VERSION, 0, "from-version", "N", "begin here, inclusive"},
    {KEY_DESCENDING, 0, "descending", NULL, "newest first"},
    {KEY_LIMIT, 'n', "limit", "N", "at most so many (default 100; feed tail: no limit)"},
    {KEY_STATE, 's', "state", "STATE", "only this state; feed tail: may be repeated"},
    {KEY_ENTERED_BEFORE, 0, "entered-before", "TIME",
     "only those that came into their state before"},
    {KEY_MATCH, 0, "match", "NAME=VALUE", "the live order with this value of a unique attribute"},
    {KEY_CURSOR, 0, "cursor", "TEXT", "go on where the page before ended"},
    {KEY_ATOMIC, 0, "atomic", NULL, "all of it or nothing"},
    {KEY_FORMAT, 'f', "format", "WORD", "dot (default) or mermaid"},
    {KEY_FROM_SEQ, 0, "from-seq", "N",
     "begin with this event; 1 is the first (default: the next,\nwith --no-follow the first)"},
    {KEY_EPOCH, 0, "epoch", "N", "refuse if the cluster was restored since"},
    {KEY_MACHINE, 'm', "machine", "NAME", "only this machine; may be repeated"},
    {KEY_SHARD, 0, "shard", "N", "only this shard; may be repeated"},
    {KEY_NO_FOLLOW, 0, "no-follow", NULL, "print what there is, from the first event on, and end"},
};
const uint32_t ctl_options_count = sizeof ctl_options / sizeof ctl_options[0];

const struct command commands[] = {
    {"order", "create", "ID MACHINE", 2, 2, COMMANDS_OF_ORDERS | OWN(KEY_MACHINE_VERSION),
     "Makes an order of a machine.",
     "  quorderctl order create o-1 order -a customer_id=c-7 -a total_cents:=1999 -a currency=EUR\n"
     "  quorderctl order create o-1 order ... --request-id 5f2c    safe to repeat\n",
     run_order_create},
    {"order", "transition", "ID EVENT", 2, 2,
     COMMANDS_OF_ORDERS | OWN(KEY_EXPECT_VERSION) | OWN(KEY_EXPECT_STATE),
     "Sends an event to an order.",
     "  quorderctl order transition o-1 pay -a payment_id=p-1\n"
     "  quorderctl order transition o-1 ship -a tracking_id=Z1 --expect-version 2 --actor anna\n",
     run_order_transition},
    {"order", "get", "ID ...", 1, (int)QO_IDS_MAX, READS | OWN(KEY_AS_OF),
     "Shows one order, or several in a list.",
     "  quorderctl order get o-1\n"
     "  quorderctl order get o-1 --as-of 2026-01-01T00:00:00Z -o json\n"
     "  quorderctl order get o-1 o-2 o-3 --consistency local\n",
     run_order_get},
    {"order", "history", "ID", 1, 1,
     READS | OWN(KEY_FROM_VERSION) | OWN(KEY_DESCENDING) | OWN(KEY_LIMIT),
     "Shows the events of an order.",
     "  quorderctl order history o-1\n"
     "  quorderctl order history o-1 --descending -n 5 -o jsonl\n",
     run_order_history},
    {"order", "list", "MACHINE", 1, 1,
     READS | OWN(KEY_STATE) | OWN(KEY_ENTERED_BEFORE) | OWN(KEY_MATCH) | OWN(KEY_LIMIT) |
         OWN(KEY_CURSOR),
     "Lists the orders of a machine in order of entry into their state.",
     "  quorderctl order list order --state PAID\n"
     "  quorderctl order list order --state PAID --entered-before 2026-01-01T00:00:00Z\n"
     "  quorderctl order list delivery --match payment_id=p-7\n",
     run_order_list},
    {"order", "batch", "FILE|-", 1, 1, WRITES | OWN(KEY_ATOMIC),
     "Does many creations and transitions, one JSON object a line.",
     "  echo '{\"op\":\"create\",\"id\":\"o-1\",\"machine\":\"order\"}' | quorderctl order batch "
     "-\n"
     "  quorderctl order batch operations.jsonl --atomic\n",
     run_order_batch},
    {"machine", "check", "FILE ...", 1, 64, 0, "Checks definitions, without a server.",
     "  quorderctl machine check cluster/machines/order.yaml\n", run_machine_check},
    {"machine", "put", "FILE", 1, 1, OWN(KEY_TRACE), "Gives a definition to the cluster.",
     "  quorderctl machine put cluster/machines/order.yaml\n", run_machine_put},
    {"machine", "list", "", 0, 0, 0, "Lists the machines and their versions.",
     "  quorderctl machine list\n", run_machine_list},
    {"machine", "get", "NAME", 1, 1, OWN(KEY_MACHINE_VERSION),
     "Prints the source of a machine as it was given.",
     "  quorderctl machine get order > order.yaml\n"
     "  quorderctl machine get order --machine-version 1\n",
     run_machine_get},
    {"machine", "graph", "FILE|NAME", 1, 1, OWN(KEY_FORMAT) | OWN(KEY_MACHINE_VERSION),
     "Draws a machine: a file without a server, a name from the cluster.",
     "  quorderctl machine graph cluster/machines/order.yaml | dot -Tsvg > order.svg\n"
     "  quorderctl machine graph order --format mermaid\n",
     run_machine_graph},
    {"feed", "tail", "", 0, 0,
     OWN(KEY_FROM_SEQ) | OWN(KEY_EPOCH) | OWN(KEY_MACHINE) | OWN(KEY_STATE) | OWN(KEY_SHARD) |
         OWN(KEY_LIMIT) | OWN(KEY_NO_FOLLOW),
     "Prints events as they happen, until interrupted.",
     "  quorderctl feed tail\n"
     "  quorderctl feed tail --from-seq 1 --no-follow -o jsonl > events.jsonl\n"
     "  quorderctl feed tail -m order -s PAID -n 10\n",
     run_feed_tail},
    {"cluster", "status", "", 0, 0, 0, "Shows the members, the leader and what a node stores.",
     "  quorderctl cluster status\n"
     "  quorderctl cluster status --node 127.0.0.1:7402 -o json\n",
     run_cluster_status},
    {"ping", "", "", 0, 0, 0, "Asks each of the endpoints whether it answers.",
     "  quorderctl ping -e 127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403\n", run_ping},
    {"completion", "", "bash|zsh", 1, 1, 0, "Prints the completion script of a shell.",
     "  source <(quorderctl completion bash)\n"
     "  quorderctl completion zsh > \"${fpath[1]}/_quorderctl\"\n",
     run_completion},
};
const uint32_t commands_count = sizeof commands / sizeof commands[0];

struct bytes
ctl_argument_name(const struct command *command, int place)
{
    const char *at = command->arguments;
    for (int i = 0; i < place && *at != '\0'; i++) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return bytes_make(at, strcspn(at, " "));
}

static_assert(KEYS_END - KEY_OWN <= 64, "a bit for each option");
