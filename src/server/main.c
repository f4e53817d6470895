/* quorderd: one node. See README.md beside this file. Thread: main, which becomes the loop. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "address.h"
#include "common/assert.h"
#include "common/limits.h"
#include "common/log.h"
#include "config.h"
#include "consensus/consensus.h"
#include "node.h"
#include "version.h"

enum { EXIT_USAGE = 2 };

static const char usage_text[] =
    "quorderd " QUORDER_VERSION ": a node of a Quorder cluster\n"
    "\n"
    "  quorderd --dev [--data DIR] [--listen HOST:PORT]\n"
    "      One node on 127.0.0.1:7401 that needs no configuration (data: ./quorder-dev).\n"
    "  quorderd init --data DIR --cluster ID --id N --member N=HOST:PORT ... [--shards 16]\n"
    "      Makes the data directory of one first member; the same --cluster, --member list\n"
    "      and --shards on each of them. Ids count from 1. Clients and members use one port.\n"
    "  quorderd --data DIR [--config FILE] [--SETTING VALUE ...]\n"
    "      Runs a node on a directory that init has made.\n"
    "  quorderd check-config FILE\n"
    "      Says whether a configuration file is right.\n"
    "\n"
    "Settings, in a file or as flags (flags win):\n"
    "  --data DIR            the data directory\n"
    "  --listen HOST:PORT    where to listen; default: the member's own address. Clients and\n"
    "                        members dial that address all the same: it must lead here.\n"
    "  --secret-file FILE    16 to 1024 bytes, the same on every member, readable by its owner\n"
    "                        only: members prove to each other that they know them\n"
    "  --log-level LEVEL     debug, info (default), warn, error\n"
    "  --disk-reserve BYTES  writes are refused below it; default the smaller of 1 GiB and 5 %\n"
    "  --log-bytes BYTES     log between two snapshots, default 268435456\n"
    "  --cache-bytes BYTES   hot records, default 268435456\n"
    "  --block-cache-bytes BYTES  the store's files, for reads, default 268435456\n"
    "  --memtable-bytes BYTES     rows that are not in files yet, default 67108864\n"
    "  --heartbeat-ms N      default 50;  --election-ms N  default 500\n"
    "\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 2 usage; 10 configuration, 11 data directory, 12 storage, 13 corruption,\n"
    "15 consensus, 16 memory, 17 newer entry, 18 network (cluster/README.md).\n";

static _Noreturn void
usage_error(const char *what, const char *argument)
{
    (void)fprintf(stderr, "quorderd: %s%s%s\nTry `quorderd --help`.\n", what,
                  argument == NULL ? "" : ": ", argument == NULL ? "" : argument);
    exit(EXIT_USAGE);
}

static const struct option options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {"dev", no_argument, NULL, 'd'},
    {"config", required_argument, NULL, 'c'},
    {"cluster", required_argument, NULL, 'C'},
    {"id", required_argument, NULL, 'i'},
    {"member", required_argument, NULL, 'm'},
    {"shards", required_argument, NULL, 's'},
    /* Settings: named as in the file, with dashes. */
    {"data", required_argument, NULL, 'S'},
    {"listen", required_argument, NULL, 'S'},
    {"secret-file", required_argument, NULL, 'S'},
    {"log-level", required_argument, NULL, 'S'},
    {"disk-reserve", required_argument, NULL, 'S'},
    {"log-bytes", required_argument, NULL, 'S'},
    {"cache-bytes", required_argument, NULL, 'S'},
    {"block-cache-bytes", required_argument, NULL, 'S'},
    {"memtable-bytes", required_argument, NULL, 'S'},
    {"heartbeat-ms", required_argument, NULL, 'S'},
    {"election-ms", required_argument, NULL, 'S'},
    {NULL, 0, NULL, 0},
};

/* What the command line says. */
struct arguments {
    struct config config;
    bool dev;
    bool has_id, has_shards, has_cluster;
    struct consensus_identity identity; /* Of init and --dev. */
};

static void
set(struct config *config, const char *flag, const char *value)
{
    char name[32], why[CONFIG_WHY_MAX];
    size_t size = strlen(flag);
    QO_ASSERT(size < sizeof name);
    for (size_t i = 0; i <= size; i++) {
        name[i] = (char)(flag[i] == '-' ? '_' : flag[i]);
    }
    if (!config_set(config, name, value, why)) {
        usage_error(why, NULL);
    }
}

static uint32_t
parse_number(const char *what, const char *text, uint32_t min, uint32_t max)
{
    uint64_t number;
    char why[CONFIG_WHY_MAX];
    if (!config_number(what, text, min, max, &number, why)) {
        usage_error(why, NULL);
    }
    return (uint32_t)number;
}

/* N=HOST:PORT */
static void
add_member(struct consensus_identity *identity, const char *text)
{
    const char *equals = strchr(text, '=');
    char number[16];
    if (equals == NULL || (size_t)(equals - text) >= sizeof number || strchr(equals, ':') == NULL ||
        strlen(equals + 1) > QO_ADDRESS_MAX) {
        usage_error("--member takes N=HOST:PORT, not", text);
    }
    if (identity->members_count == QO_MEMBERS_MAX) {
        usage_error("too many members", text);
    }
    memcpy(number, text, (size_t)(equals - text));
    number[equals - text] = '\0';
    struct consensus_member *member = &identity->members[identity->members_count++];
    member->id = parse_number("--member", number, 1, UINT32_MAX);
    (void)snprintf(member->address, sizeof member->address, "%s", equals + 1);
}

static void
set_cluster(struct arguments *arguments, const char *id)
{
    if (strlen(id) > QO_CLUSTER_ID_MAX) {
        usage_error("--cluster is too long", id);
    }
    (void)snprintf(arguments->identity.cluster_id, sizeof arguments->identity.cluster_id, "%s", id);
    arguments->has_cluster = true;
}

static void
parse(struct arguments *arguments, int count, char **values)
{
    int chosen, place;
    char why[CONFIG_WHY_MAX];
    *arguments = (struct arguments){.identity = {.shards = QO_SHARDS_DEFAULT, .epoch = 1}};
    config_init(&arguments->config);
    /* The file first, wherever it stands on the line: flags win over it. */
    for (int i = 1; i + 1 < count; i++) {
        if (strcmp(values[i], "--config") == 0 &&
            !config_read(&arguments->config, values[i + 1], why)) {
            usage_error(why, NULL);
        }
    }
    while ((chosen = getopt_long(count, values, "", options, &place)) != -1) {
        switch (chosen) {
        case 'h':
            (void)fputs(usage_text, stdout);
            exit(0);
        case 'v':
            (void)puts("quorderd " QUORDER_VERSION);
            exit(0);
        case 'd':
            arguments->dev = true;
            break;
        case 'c':
            break;
        case 'C':
            set_cluster(arguments, optarg);
            break;
        case 'i':
            arguments->identity.node_id = parse_number("--id", optarg, 1, UINT32_MAX);
            arguments->has_id = true;
            break;
        case 'm':
            add_member(&arguments->identity, optarg);
            break;
        case 's':
            arguments->identity.shards = parse_number("--shards", optarg, 1, QO_SHARDS_MAX);
            arguments->has_shards = true;
            break;
        case 'S':
            set(&arguments->config, options[place].name, optarg);
            break;
        default:
            exit(EXIT_USAGE); /* getopt has said what is wrong. */
        }
    }
    if (optind < count) {
        usage_error("what is this", values[optind]);
    }
}

/* Ends the process with a sentence, not with a line of a log: nothing runs yet. */
static _Noreturn void
refuse(enum fatal_reason reason, const char *why)
{
    (void)fprintf(stderr, "quorderd: %s\n", why);
    exit((int)reason);
}

/* A mistyped --data is a mistake of the line. */
static void
check_parent(const char *directory)
{
    struct stat found;
    char parent[CONFIG_TEXT_MAX];
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/') {
        size--;
    }
    while (size > 0 && directory[size - 1] != '/') {
        size--;
    }
    if (size == 0) {
        return; /* Here. */
    }
    (void)snprintf(parent, sizeof parent, "%.*s", (int)size, directory);
    if (stat(parent, &found) != 0 || !S_ISDIR(found.st_mode)) {
        usage_error("--data: there is no directory", parent);
    }
}

static void
make_directory(const char *directory, const struct consensus_identity *identity)
{
    char why[CONSENSUS_TEXT_MAX];
    if (consensus_identity_fault(identity, why) != NULL) {
        usage_error(why, NULL);
    }
    check_parent(directory);
    if (!consensus_init_directory(directory, identity, why)) {
        refuse(FATAL_DIRECTORY, why);
    }
}

/* quorderd init */
static int
run_init(int count, char **values)
{
    struct arguments arguments;
    parse(&arguments, count, values);
    if (arguments.config.node.directory == NULL || !arguments.has_cluster || !arguments.has_id ||
        arguments.identity.members_count == 0) {
        usage_error("init needs --data, --cluster, --id and --member for each first member", NULL);
    }
    make_directory(arguments.config.node.directory, &arguments.identity);
    (void)printf("%s is member %u of cluster %s. Start it with\n  quorderd --data %s\n",
                 arguments.config.node.directory, arguments.identity.node_id,
                 arguments.identity.cluster_id, arguments.config.node.directory);
    return 0;
}

static int
run_check_config(int count, char **values)
{
    struct config config;
    char why[CONFIG_WHY_MAX];
    if (count == 2 && strcmp(values[1], "--help") == 0) {
        (void)fputs(usage_text, stdout);
        return 0;
    }
    if (count != 2) {
        usage_error("check-config takes one file", NULL);
    }
    config_init(&config);
    if (!config_read(&config, values[1], why) || !config_check(&config, why) ||
        !config_read_secret(&config, why)) {
        refuse(FATAL_CONFIG, why);
    }
    (void)printf("%s is right.\n", values[1]);
    return 0;
}

/* Ends the process unless the node of --dev can listen. */
static void
check_dev_ports(const char *address)
{
    char why[ADDRESS_WHY_MAX];
    if (!address_can_listen(address, why)) {
        (void)fprintf(stderr,
                      "quorderd: cannot listen on %s: %s\n"
                      "Another port, with a directory of its own:\n"
                      "  quorderd --dev --listen 127.0.0.1:PORT --data DIR\n",
                      address, why);
        exit(FATAL_NETWORK);
    }
}

/* The directory of an earlier --dev serves only the address that it was made for. If it is anything
 * else, opening it will say so. */
static void
check_dev_directory(const struct config *config)
{
    struct consensus_identity identity;
    if (!consensus_read_identity(config->node.directory, &identity)) {
        return;
    }
    const char *address = identity.members[0].address;
    if (config->node.listen != NULL && strcmp(config->node.listen, address) != 0) {
        (void)fprintf(stderr,
                      "quorderd: %s was made for %s; for %s give another directory with --data, or "
                      "leave --listen out\n",
                      config->node.directory, address, config->node.listen);
        exit(EXIT_USAGE);
    }
    check_dev_ports(address);
}

/* A cluster of one, made at its first start. */
static void
prepare_dev(struct arguments *arguments)
{
    struct stat found;
    uint64_t chance;
    char why[CONSENSUS_TEXT_MAX];
    if (arguments->config.node.directory == NULL) {
        set(&arguments->config, "data", "quorder-dev");
    }
    if (stat(arguments->config.node.directory, &found) == 0) {
        check_dev_directory(&arguments->config);
        return;
    }
    if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance) {
        qo_fatal(FATAL_CONFIG, "no random bytes: %s", strerror(errno));
    }
    struct consensus_identity *identity = &arguments->identity;
    (void)snprintf(identity->cluster_id, sizeof identity->cluster_id, "dev-%016llx",
                   (unsigned long long)chance);
    identity->node_id = 1;
    identity->members_count = 1;
    identity->members[0].id = 1;
    (void)snprintf(identity->members[0].address, sizeof identity->members[0].address, "%s",
                   arguments->config.node.listen == NULL ? "127.0.0.1:7401"
                                                         : arguments->config.node.listen);
    if (consensus_identity_fault(identity, why) != NULL) {
        usage_error(why, NULL);
    }
    check_dev_ports(identity->members[0].address);
    make_directory(arguments->config.node.directory, identity);
}

int
main(int count, char **values)
{
    struct arguments arguments;
    char why[CONFIG_WHY_MAX];
    if (count >= 2 && strcmp(values[1], "init") == 0) {
        return run_init(count - 1, values + 1);
    }
    if (count >= 2 && strcmp(values[1], "check-config") == 0) {
        return run_check_config(count - 1, values + 1);
    }
    parse(&arguments, count, values);
    if (arguments.has_id || arguments.has_cluster || arguments.has_shards ||
        arguments.identity.members_count > 0) {
        usage_error("--id, --cluster, --member and --shards belong to `quorderd init`", NULL);
    }
    if (arguments.dev) {
        prepare_dev(&arguments);
    }
    if (!config_check(&arguments.config, why) || !config_read_secret(&arguments.config, why)) {
        (void)fprintf(stderr, "quorderd: %s\nTry `quorderd --help`.\n", why);
        return EXIT_USAGE;
    }
    log_set_level(arguments.config.log_level);
    node_run(&arguments.config.node);
}
