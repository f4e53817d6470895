/*
 * quorderctl: orders, machines, feed and cluster from the command line.
 *
 * Here: the line is read, checked against the table of commands, and the command is run.
 * Thread: main.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/assert.h"
#include "ctl.h"

enum { TIMEOUT_MS_DEFAULT = 5000, TIMEOUT_MS_MAX = 24 * 3600 * 1000 };

static bool
is_global(int key, const void *context)
{
    (void)context;
    return key < KEY_OWN;
}

static bool
is_own_of(int key, const void *context)
{
    const struct command *command = context;
    return key >= KEY_OWN && (command->options & OWN(key)) != 0;
}

static void
help_all(FILE *out)
{
    fprintf(out, "quorderctl: orders, machines, feed and cluster of Quorder.\n\n"
                 "Usage: quorderctl NOUN VERB [arguments] [options]\n\n");
    for (uint32_t i = 0; i < commands_count; i++) {
        char words[64];
        (void)snprintf(words, sizeof words, "%s %s%s%s", commands[i].noun, commands[i].verb,
                       commands[i].verb[0] != '\0' ? " " : "", commands[i].arguments);
        fprintf(out, "  %-28s %s\n", words, commands[i].summary);
    }
    fprintf(out, "\nOptions of every command:\n");
    options_help(out, ctl_options, ctl_options_count, is_global, NULL);
    fprintf(out, "\nExamples:\n"
                 "  quorderctl machine put cluster/machines/order.yaml\n"
                 "  quorderctl order create o-1 order -a customer_id=c-7 -a total_cents:=1999 "
                 "-a currency=EUR\n"
                 "  quorderctl order transition o-1 pay -a payment_id=p-1\n"
                 "  quorderctl feed tail --from-seq 1\n\n"
                 "quorderctl NOUN VERB --help tells more.\n\n"
                 "Exit status: 0 done, 1 error, 2 usage, 3 no node could be reached, 4 refused by "
                 "the\nmachine, 5 no leader, 6 the outcome is not known: ask again with the same "
                 "request id.\n");
}

static void
help_noun(FILE *out, const char *noun)
{
    fprintf(out, "Usage: quorderctl %s VERB [arguments] [options]\n\n", noun);
    for (uint32_t i = 0; i < commands_count; i++) {
        if (strcmp(commands[i].noun, noun) == 0) {
            char words[64];
            (void)snprintf(words, sizeof words, "%s %s", commands[i].verb, commands[i].arguments);
            fprintf(out, "  %-24s %s\n", words, commands[i].summary);
        }
    }
    fprintf(out, "\nExamples:\n");
    for (uint32_t i = 0; i < commands_count; i++) {
        if (strcmp(commands[i].noun, noun) == 0) {
            const char *end = strchr(commands[i].examples, '\n');
            fprintf(out, "%.*s\n", (int)(end - commands[i].examples), commands[i].examples);
        }
    }
    fprintf(out, "\nquorderctl %s VERB --help tells more.\n", noun);
}

static void
help_command(FILE *out, const struct command *command)
{
    fprintf(out, "%s\n\nUsage: quorderctl %s%s%s%s%s [options]\n", command->summary, command->noun,
            command->verb[0] != '\0' ? " " : "", command->verb,
            command->arguments[0] != '\0' ? " " : "", command->arguments);
    if (command->options != 0) {
        fprintf(out, "\nOptions:\n");
        options_help(out, ctl_options, ctl_options_count, is_own_of, command);
    }
    fprintf(out, "\nOptions of every command:\n");
    options_help(out, ctl_options, ctl_options_count, is_global, NULL);
    fprintf(out, "\nExamples:\n%s", command->examples);
}

/* -- Options --------------------------------------------------------------------------------- */

static bool
take_word(const char *what, const char *text, const char *const words[], uint32_t count,
          uint32_t *place_out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            *place_out = i;
            return true;
        }
    }
    fprintf(stderr, "%s takes", what);
    for (uint32_t i = 0; i < count; i++) {
        fprintf(stderr, "%s%s", i == 0 ? " " : i + 1 == count ? " or " : ", ", words[i]);
    }
    fprintf(stderr, ", not '%s'.\n", text);
    return false;
}

static bool
take_more(const char *what, const char *text, const char **list, uint32_t max, uint32_t *count)
{
    if (*count == max) {
        fprintf(stderr, "%s may be given at most %u times.\n", what, max);
        return false;
    }
    list[(*count)++] = text;
    return true;
}

static bool
take_global(struct ctl *ctl, int key, const char *value)
{
    static const char *const formats[] = {"table", "json", "jsonl"};
    struct endpoints one;
    uint64_t ms = 0;
    uint32_t place = 0;
    bool well = false;
    switch (key) {
    case KEY_ENDPOINTS:
        return endpoints_parse(value, &ctl->endpoints);
    case KEY_OUTPUT:
        well = take_word("--output", value, formats, 3, &place);
        ctl->format = (enum ctl_format)place;
        return well;
    case KEY_TIMEOUT:
        well = parse_duration_ms("--timeout", value, TIMEOUT_MS_MAX, &ms);
        ctl->timeout_ms = ms > 0 ? (uint32_t)ms : 1;
        return well;
    default:
        QO_ASSERT(key == KEY_NODE);
        ctl->node = value;
        return endpoints_parse(value, &one);
    }
}

/* Options that say what to read. */
static bool
take_reading(struct ctl *ctl, int key, const char *value)
{
    static const char *const consistencies[] = {"linearizable", "local"};
    static const char *const graphs[] = {"dot", "mermaid"};
    uint64_t natural = 0;
    uint32_t place = 0;
    bool well = true;
    switch (key) {
    case KEY_CONSISTENCY:
        well = take_word("--consistency", value, consistencies, 2, &place);
        ctl->consistency = place == 1 ? QO_LOCAL : QO_LINEARIZABLE;
        return well;
    case KEY_FORMAT:
        well = take_word("--format", value, graphs, 2, &place);
        ctl->graph_format = value;
        return well;
    case KEY_MIN_SEQ:
        return parse_natural("--min-seq", value, 0, UINT64_MAX, &ctl->min_seq);
    case KEY_AS_OF:
        return parse_time_us("--as-of", value, &ctl->as_of_us);
    case KEY_FROM_VERSION:
        return parse_natural("--from-version", value, 1, UINT64_MAX, &ctl->from_version);
    case KEY_LIMIT:
        return parse_natural("--limit", value, 0, UINT64_MAX, &ctl->limit); /* See check(). */
    case KEY_ENTERED_BEFORE:
        return parse_time_us("--entered-before", value, &ctl->entered_before_us);
    case KEY_FROM_SEQ:
        return parse_natural("--from-seq", value, 0, UINT64_MAX - 1, &ctl->from_seq);
    case KEY_EPOCH:
        return parse_natural("--epoch", value, 1, UINT64_MAX, &ctl->epoch);
    case KEY_MACHINE:
        return take_more("--machine", value, ctl->machines, FILTERS_MAX, &ctl->machines_count);
    case KEY_STATE:
        return take_more("--state", value, ctl->states, FILTERS_MAX, &ctl->states_count);
    case KEY_SHARD:
        if (ctl->shards_count == FILTERS_MAX ||
            !parse_natural("--shard", value, 0, QO_SHARDS_MAX - 1, &natural)) {
            return false;
        }
        ctl->shards[ctl->shards_count++] = (uint32_t)natural;
        return true;
    case KEY_MATCH:
        ctl->match = value;
        return true;
    case KEY_CURSOR:
        ctl->cursor = value;
        return true;
    default: /* Flags: `given` says it all. */
        return true;
    }
}

static bool
take_own(struct ctl *ctl, int key, const char *value)
{
    ctl->given |= OWN(key);
    switch (key) {
    case KEY_REQUEST_ID:
        ctl->request_id = value;
        return true;
    case KEY_ATTRIBUTE:
        return take_more("-a", value, ctl->attributes, ATTRIBUTES_MAX, &ctl->attributes_count);
    case KEY_ACTOR:
        ctl->actor = value;
        return true;
    case KEY_REASON:
        ctl->reason = value;
        return true;
    case KEY_TRACE:
        ctl->trace = value;
        return true;
    case KEY_EXPECT_STATE:
        ctl->expect_state = value;
        return true;
    case KEY_EXPECT_VERSION:
        return parse_natural("--expect-version", value, 1, UINT64_MAX, &ctl->expect_version);
    case KEY_MACHINE_VERSION:
        return parse_natural("--machine-version", value, 1, UINT64_MAX, &ctl->machine_version);
    default:
        return take_reading(ctl, key, value);
    }
}

/* -- Running --------------------------------------------------------------------------------- */

/* The command of the first words; NULL after printing a help or a complaint with its status. */
static const struct command *
find(struct ctl *ctl, bool help, int *status_out)
{
    const char *noun = ctl->arguments_count > 0 ? ctl->arguments[0] : NULL;
    const char *verb = ctl->arguments_count > 1 ? ctl->arguments[1] : NULL;
    bool noun_known = false;
    *status_out = help ? EXIT_OK : EXIT_USAGE;
    for (uint32_t i = 0; noun != NULL && i < commands_count; i++) {
        if (strcmp(commands[i].noun, noun) != 0) {
            continue;
        }
        noun_known = true;
        bool alone = commands[i].verb[0] == '\0';
        if (alone || (verb != NULL && strcmp(commands[i].verb, verb) == 0)) {
            ctl->arguments += alone ? 1 : 2;
            ctl->arguments_count -= alone ? 1 : 2;
            return &commands[i];
        }
    }
    if (noun_known && verb == NULL) {
        help_noun(help ? stdout : stderr, noun);
    } else if (noun == NULL) {
        help_all(help ? stdout : stderr);
    } else {
        *status_out = EXIT_USAGE;
        fprintf(stderr, "quorderctl: there is no command '%s%s%s'; quorderctl --help lists them.\n",
                noun, verb != NULL ? " " : "", verb != NULL ? verb : "");
    }
    return NULL;
}

/* EXIT_OK if the command takes what was given. */
static int
check(const struct ctl *ctl, const struct command *command)
{
    uint64_t wrong = ctl->given & ~command->options;
    for (uint32_t i = 0; wrong != 0 && i < ctl_options_count; i++) {
        const struct option_spec *spec = &ctl_options[i];
        if (spec->key >= KEY_OWN && (wrong & OWN(spec->key)) != 0) {
            fprintf(stderr,
                    "quorderctl %s %s does not take --%s; its --help lists what it takes.\n",
                    command->noun, command->verb, spec->name);
            return EXIT_USAGE;
        }
    }
    bool paged = command->run != run_feed_tail;
    if ((ctl->given & OWN(KEY_LIMIT)) != 0 &&
        (ctl->limit == 0 || (paged && ctl->limit > QO_LIMIT_MAX))) {
        if (paged) {
            fprintf(stderr, "--limit takes 1 to %u; ask for the rest page by page.\n",
                    QO_LIMIT_MAX);
        } else {
            fprintf(stderr, "--limit takes a whole number from 1.\n");
        }
        return EXIT_USAGE;
    }
    if (ctl->arguments_count < command->arguments_min ||
        ctl->arguments_count > command->arguments_max) {
        struct bytes missing = ctl_argument_name(command, ctl->arguments_count);
        if (ctl->arguments_count < command->arguments_min) {
            fprintf(stderr, "quorderctl: %.*s is missing.\n", BYTES_FORMAT(missing));
        } else {
            fprintf(stderr, "quorderctl: '%s' is one word too many.\n",
                    ctl->arguments[command->arguments_max]);
        }
        fprintf(stderr, "Usage: quorderctl %s%s%s%s%s [options]\n", command->noun,
                command->verb[0] != '\0' ? " " : "", command->verb,
                command->arguments[0] != '\0' ? " " : "", command->arguments);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

/* Reads the options. EXIT_OK: go on. */
static int
take_options(struct ctl *ctl, int argc, char **argv, bool *help_out, bool *version_out)
{
    struct options options = {
        .program = "quorderctl", .specs = ctl_options, .specs_count = ctl_options_count};
    bool endpoints_given = false;
    int key = 0;
    while ((key = options_next(&options, argc, argv)) != OPTIONS_END) {
        bool well = key != OPTIONS_WRONG;
        if (key == KEY_HELP) {
            *help_out = true;
        } else if (key == KEY_VERSION) {
            *version_out = true;
        } else if (well) {
            endpoints_given = endpoints_given || key == KEY_ENDPOINTS;
            well = key < KEY_OWN ? take_global(ctl, key, options.value)
                                 : take_own(ctl, key, options.value);
        }
        if (!well) {
            return EXIT_USAGE;
        }
    }
    ctl->arguments = argv + options.rest;
    ctl->arguments_count = argc - options.rest;
    if (!endpoints_given && !*help_out && !endpoints_parse(NULL, &ctl->endpoints)) {
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
    bool help = false;
    bool version = false;
    int status = take_options(ctl, argc, argv, &help, &version);
    if (status != EXIT_OK) {
        return status;
    }
    if (version) {
        printf("quorderctl " QO_TOOLS_VERSION "\n");
        return EXIT_OK;
    }
    if (ctl->arguments_count > 0 && strcmp(ctl->arguments[0], "help") == 0) {
        ctl->arguments++;
        ctl->arguments_count--;
        help = true;
    }
    const struct command *command = find(ctl, help, &status);
    if (command == NULL) {
        return status;
    }
    if (help) {
        help_command(stdout, command);
        return EXIT_OK;
    }
    status = check(ctl, command);
    /* Two tell it in their own words, two ask no node. */
    bool asks = command->run != run_ping && command->run != run_feed_tail &&
                command->run != run_machine_check && command->run != run_completion;
    if (status == EXIT_OK && asks) {
        status = ctl_node_listens(ctl);
    }
    return status == EXIT_OK ? command->run(ctl) : status;
}

/* Why standard output was not written whole; 0: it was. */
static int
output_error(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return 0;
    }
    if (errno != 0) {
        return errno;
    }
    /* The write that failed lies back; what is left to tell is whether its reader is gone. */
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0 ? EPIPE : EIO;
}

int
main(int argc, char **argv)
{
    /* A reader that went away (`| head`) is seen as a failed write, and ends us quietly. */
    (void)signal(SIGPIPE, SIG_IGN);
    struct ctl *ctl = mem_zalloc(sizeof *ctl);
    ctl->argc = argc;
    ctl->line = mem_alloc(((size_t)argc + 1) * sizeof *ctl->line);
    memcpy(ctl->line, argv, ((size_t)argc + 1) * sizeof *ctl->line);
    ctl->timeout_ms = TIMEOUT_MS_DEFAULT;
    int status = run(ctl, argc, argv);
    qo_client_close(ctl->client);
    int error = output_error();
    if (error != 0 && error != EPIPE) {
        fprintf(stderr, "quorderctl: the output could not be written: %s.\n", strerror(error));
        status = status == EXIT_OK ? EXIT_ERROR : status;
    }
    mem_free(ctl->line);
    mem_free(ctl);
    return status;
}
