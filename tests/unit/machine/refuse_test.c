/*
 * Goal: everything that the language refuses is refused, at the line and column to blame.
 * Method: a table of definitions. `^` stands in front of the byte at which the error must point
 * (and is taken out before compiling); the position is counted here, byte by byte. Then the limits,
 * built by loops, and every pair of a plain word and a place where a name is wanted.
 */
#include "support/test.h"

#include "unit/machine/support.h"

#define HEAD "machine: m\nversion: 1\ninitial: A\n"
#define STATES "states:\n  A: {}\n  B: {final: true}\n"
#define EVENTS "events:\n  go: {from: A, to: B}\n"
#define NOTE "attributes:\n  note: {type: string}\n"

struct refusal {
    const char *name;
    const char *source; /* With one `^`. */
    const char *why;    /* Stands in the message. */
};

/* Takes the `^` out of `marked`; where it stood. */
static void
unmark(const char *marked, char *out, uint32_t *line_out, uint32_t *column_out)
{
    const char *mark = strchr(marked, '^');
    assert_non_null(mark);
    assert_null(strchr(mark + 1, '^'));
    *line_out = 1;
    *column_out = 1;
    for (const char *at = marked; at < mark; at++) {
        *column_out += 1;
        if (*at == '\n') {
            *line_out += 1;
            *column_out = 1;
        }
    }
    memcpy(out, marked, (size_t)(mark - marked));
    memcpy(out + (mark - marked), mark + 1, strlen(mark));
}

static void
expect_refused(const char *name, struct bytes source, uint32_t line, uint32_t column,
               const char *why)
{
    struct buf compiled = {0};
    struct machine_error error = {0};
    enum qo_error result = machine_compile(source, &compiled, &error);
    if (result != QO_INVALID_MACHINE) {
        fail_msg("%s: accepted", name);
    }
    if (error.line != line || error.column != column || strstr(error.why, why) == NULL) {
        fail_msg("%s: %u:%u: %s; not %u:%u: %s", name, error.line, error.column, error.why, line,
                 column, why);
    }
    assert_int_equal(compiled.size, 0);
    buf_free(&compiled);
}

static void
expect_table(const struct refusal *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char source[4096];
        uint32_t line, column;
        assert_true(strlen(table[i].source) < sizeof source);
        unmark(table[i].source, source, &line, &column);
        expect_refused(table[i].name, bytes_text(source), line, column, table[i].why);
    }
}
#define EXPECT_TABLE(table) expect_table(table, sizeof(table) / sizeof(table)[0])

static void
the_base_of_this_table_is_accepted(void **state)
{
    (void)state;
    machine_close(open_text("base", HEAD STATES EVENTS));
    machine_close(open_text("with attributes", HEAD NOTE STATES EVENTS));
}

static void
refuses_what_is_not_yaml(void **state)
{
    static const struct refusal table[] = {
        {"empty", "^", "empty"},
        {"only a comment", "^# nothing\n", "empty"},
        {"only space", "^\n\n", "empty"},
        {"a tab as indentation", HEAD "states:\n^\tA: {}\n", "not YAML"},
        {"an open list", HEAD "states: {A: {has: [x\n^", "not YAML"},
        {"an open quote", "machine: \"m\n^", "not YAML"},
        {"two colons", "machine: m^: n\n", "not YAML"},
        {"bytes that are no text", "machine: m\n# ab^\xff\n", "not YAML"},
        {"half a character", "machine: m\n# ^\xc3", "not YAML"},
        {"a control character", "machine: m\n# a^\x01\n", "not YAML"},
        {"UTF-16", "^\xff\xfem\n", "not YAML"},
        {"no map but a text", "^hello\n", "a definition is a map"},
        {"no map but a list", "^- machine: m\n", "a definition is a map"},
        {"an empty document", "---\n^...\n", "a definition is a map"},
    };
    (void)state;
    EXPECT_TABLE(table);
    expect_refused("none", BYTES_NONE, 1, 1, "empty");
    expect_refused("a NUL", bytes_make("machine: \0", 10), 1, 10, "not YAML");
}

static void
refuses_surprises_of_yaml(void **state)
{
    static const struct refusal table[] = {
        {"duplicate key at the top", HEAD STATES EVENTS "^version: 1\n", "second time"},
        {"duplicate state", HEAD "states:\n  A: {}\n  B: {final: true}\n  ^A: {}\n" EVENTS,
         "second time"},
        {"duplicate state, quoted",
         HEAD "states:\n  A: {}\n  B: {final: true}\n  ^\"A\": {}\n" EVENTS, "second time"},
        {"duplicate event", HEAD STATES EVENTS "  ^go: {from: A, to: B}\n", "second time"},
        {"duplicate attribute", HEAD NOTE "  ^note: {type: string}\n" STATES EVENTS, "second time"},
        {"duplicate key in a body",
         HEAD "states:\n  A: {}\n  B: {final: true, ^final: true}\n" EVENTS, "second time"},
        {"duplicate key in a timeout",
         HEAD
         "states:\n  A: {timeout: {after: 1s, ^after: 1s, event: go}}\n  B: {final: true}\n" EVENTS,
         "second time"},
        {"anchor on a map", HEAD "states:\n  A: ^&a {}\n  B: {final: true}\n" EVENTS, "anchors"},
        {"anchor on a text", "machine: ^&a m\n", "anchors"},
        {"anchor on a list", HEAD STATES "events:\n  go: {from: ^&a [A], to: B}\n", "anchors"},
        {"anchor on a key", HEAD "states:\n  ^&a A: {}\n", "anchors"},
        {"alias", "machine: m\nversion: ^*a\n", "aliases"},
        {"tag on a text", "machine: ^!!str m\n", "tags"},
        {"tag on a map", HEAD "states: ^!!map {}\n", "tags"},
        {"tag on a list", HEAD STATES "events:\n  go: {from: ^!x [A], to: B}\n", "tags"},
        {"lone tag on a text", "machine: ^! m\n", "tags"},
        {"lone tag on a quoted text", "machine: ^! 'm'\n", "tags"},
        {"lone tag behind wide characters", "description: äöü€\nmachine: ^! m\n", "tags"},
        {"tag directive", "^%TAG ! tag:x,2020:\n---\nmachine: m\n", "tags"},
        {"merge key", HEAD "states:\n  A: {^<<: {final: true}}\n", "merge keys"},
        {"second document", HEAD STATES EVENTS "^---\nmachine: n\n", "second document"},
        {"second document, empty", HEAD STATES EVENTS "^---\n", "second document"},
        {"second document after an end", HEAD STATES EVENTS "...\n^---\n{}\n", "second document"},
        {"a list as a key", HEAD "states:\n  ^[A, B]: {}\n", "a key must be a plain word"},
        {"a map as a key", HEAD "states:\n  ? ^{A: B}\n  : {}\n", "a key must be a plain word"},
        {"too deep", "machine: [[[[[[[^[[[[m]]]]]]]]]]\n", "nested too deeply"},
        {"yes for true", HEAD "states:\n  A: {}\n  B: {final: ^yes}\n" EVENTS,
         "must be true or false"},
        {"True for true", HEAD "states:\n  A: {}\n  B: {final: ^True}\n" EVENTS,
         "must be true or false"},
        {"quoted true", HEAD "states:\n  A: {}\n  B: {final: ^\"true\"}\n" EVENTS,
         "must be true or false"},
        {"on for true", HEAD "acyclic: ^on\n" STATES EVENTS, "must be true or false"},
        {"1 for true", HEAD "attributes:\n  a: {type: string, required: ^1}\n" STATES EVENTS,
         "must be true or false"},
        {"nothing for true", HEAD "states:\n  A: {}\n  B: {^final: }\n" EVENTS,
         "must be true or false"},
        {"nothing for true, short", HEAD "states:\n  A: {}\n  B: {^final}\n" EVENTS,
         "must be true or false"},
    };
    (void)state;
    EXPECT_TABLE(table);
}

static void
refuses_unknown_and_missing_words(void **state)
{
    static const struct refusal table[] = {
        {"unknown at the top", HEAD "^colour: red\n" STATES EVENTS,
         "unknown word `colour`: a definition may have machine, version, description, initial, "
         "acyclic, attributes, states and events"},
        {"unknown in an attribute",
         HEAD "attributes:\n  a: {type: string, ^default: x}\n" STATES EVENTS,
         "unknown word `default`: an attribute may have type"},
        {"unknown in a state", HEAD "states:\n  A: {^entry: x}\n" EVENTS, "unknown word `entry`"},
        {"unknown in a timeout", HEAD "states:\n  A: {timeout: {^afterwards: 1s}}\n" EVENTS,
         "unknown word `afterwards`: a timeout may have after and event"},
        {"unknown in an event", HEAD STATES "events:\n  go: {from: A, to: B, ^guard: x}\n",
         "unknown word `guard`: an event may have from"},
        {"unknown in an entry", HEAD STATES "events:\n  go: [{from: A, to: B, ^when: x}]\n",
         "unknown word `when`"},
        {"words in capitals", "^Machine: m\n", "unknown word `Machine`"},
        {"a word with a control character", "^\"a\\nb\": m\n", "unknown word `a?b`"},
        {"no machine", "^version: 1\ninitial: A\n" STATES EVENTS, "needs `machine`"},
        {"no machine, behind a comment", "# x\n\n^version: 1\ninitial: A\n" STATES EVENTS,
         "needs `machine`"},
        {"no version", "^machine: m\ninitial: A\n" STATES EVENTS, "needs `version`"},
        {"no initial", "^machine: m\nversion: 1\n" STATES EVENTS, "needs `initial`"},
        {"no states", "^" HEAD EVENTS, "needs `states`"},
        {"no events", "^" HEAD STATES, "needs `events`"},
        {"nothing at all", "^{}\n", "needs `machine`"},
        {"no type", HEAD "attributes:\n  a: ^{required: true}\n" STATES EVENTS, "needs `type`"},
        {"no type, block", HEAD "attributes:\n  a:\n    ^required: true\n" STATES EVENTS,
         "needs `type`"},
        {"no values", HEAD "attributes:\n  a: ^{type: enum}\n" STATES EVENTS, "needs `values`"},
        {"no after", HEAD "states:\n  A: {timeout: ^{event: go}}\n" EVENTS, "needs `after`"},
        {"no event", HEAD "states:\n  A: {timeout: ^{after: 1s}}\n" EVENTS, "needs `event`"},
        {"no from", HEAD STATES "events:\n  go: ^{to: B}\n", "needs `from`"},
        {"no from in an entry", HEAD STATES "events:\n  go: [{from: A, to: B}, ^{to: B}]\n",
         "needs `from`"},
        {"no from in an entry, block",
         HEAD STATES "events:\n  go:\n    - from: A\n      to: B\n    - ^to: B\n", "needs `from`"},
    };
    (void)state;
    EXPECT_TABLE(table);
}

static void
refuses_values_of_the_wrong_shape(void **state)
{
    static const struct refusal table[] = {
        {"machine is a list", "machine: ^[m]\nversion: 1\ninitial: A\n" STATES EVENTS, "a name"},
        {"machine is empty", "^machine:\nversion: 1\ninitial: A\n" STATES EVENTS, "a name"},
        {"machine is an empty text", "machine: ^''\nversion: 1\ninitial: A\n" STATES EVENTS,
         "not a name"},
        {"machine has a space", "machine: ^my m\nversion: 1\ninitial: A\n" STATES EVENTS,
         "not a name"},
        {"machine has an umlaut", "machine: ^mä\nversion: 1\ninitial: A\n" STATES EVENTS,
         "not a name"},
        {"description is a map", HEAD "description: ^{a: b}\n" STATES EVENTS, "must be a text"},
        {"states is a list", HEAD "states: ^[A, B]\n" EVENTS, "must be a map"},
        {"states is empty", HEAD "^states:\n" EVENTS, "must be a map"},
        {"no state", "machine: m\nversion: 1\ninitial: ^A\nstates: {}\nevents: {}\n",
         "there is no state"},
        {"a state without a body", HEAD "states:\n  ^A:\n  B: {final: true}\n" EVENTS,
         "must be a map"},
        {"a state with a text", HEAD "states:\n  A: ^final\n  B: {final: true}\n" EVENTS,
         "must be a map"},
        {"an attribute with a text", HEAD "attributes:\n  a: ^string\n" STATES EVENTS,
         "must be a map"},
        {"an event without a body", HEAD STATES "events:\n  ^go:\n", "must be a map with `from`"},
        {"an event with a text", HEAD STATES "events:\n  go: ^A\n", "must be a map with `from`"},
        {"an event with no entries", HEAD STATES "events:\n  go: ^[]\n", "must be a map"},
        {"an entry that is no map", HEAD STATES "events:\n  go: [{from: A, to: B}, ^A]\n",
         "must be a map with `from`"},
        {"a timeout that is no map", HEAD "states:\n  A: {timeout: ^72h}\n" EVENTS,
         "must be a map with `after`"},
        {"a type of our own", HEAD "attributes:\n  a: {type: ^text}\n" STATES EVENTS,
         "`type` must be string"},
        {"a type as a list", HEAD "attributes:\n  a: {type: ^[string]}\n" STATES EVENTS,
         "`type` must be string"},
        {"no type behind the word", HEAD "attributes:\n  a: {^type: }\n" STATES EVENTS,
         "`type` must be string"},
        {"values of a string",
         HEAD "attributes:\n  a: {type: string, ^values: [A]}\n" STATES EVENTS, "only an enum"},
        {"values that are no list",
         HEAD "attributes:\n  a: {type: enum, values: ^A}\n" STATES EVENTS, "must be a list"},
        {"an enum of nothing", HEAD "attributes:\n  a: {type: enum, values: ^[]}\n" STATES EVENTS,
         "at least one value"},
        {"a value twice",
         HEAD "attributes:\n  a: {type: enum, values: [C, A, B, ^A, A]}\n" STATES EVENTS, "twice"},
        {"a value that is no name",
         HEAD "attributes:\n  a: {type: enum, values: [A, ^a b]}\n" STATES EVENTS, "not a name"},
        {"a value that is a map",
         HEAD "attributes:\n  a: {type: enum, values: [A, ^{}]}\n" STATES EVENTS, "a name"},
        {"from nothing", HEAD STATES "events:\n  go: {from: ^[], to: B}\n", "at least one state"},
        {"from a map", HEAD STATES "events:\n  go: {from: ^{A: B}, to: B}\n", "a name"},
        {"from an empty value", HEAD STATES "events:\n  go: {to: B, ^from: }\n", "a name"},
        {"to a list", HEAD STATES "events:\n  go: {from: A, to: ^[B]}\n", "a name"},
        {"to an empty value", HEAD STATES "events:\n  go: {from: A, ^to: }\n", "a name"},
        {"requires a text", HEAD NOTE STATES "events:\n  go: {from: A, to: B, requires: ^note}\n",
         "must be a list of attributes"},
        {"requires a list in a list",
         HEAD NOTE STATES "events:\n  go: {from: A, to: B, requires: [^[note]]}\n", "a name"},
        {"requires twice",
         HEAD NOTE STATES "events:\n  go: {from: A, to: B, requires: [note, ^note]}\n", "twice"},
        {"accepts a map", HEAD NOTE STATES "events:\n  go: {from: A, to: B, accepts: ^{}}\n",
         "must be a list of attributes"},
        {"has a text", HEAD NOTE "states:\n  A: {}\n  B: {final: true, has: ^note}\n" EVENTS,
         "must be a list of attributes"},
        {"roles as a text", HEAD STATES "events:\n  go: {from: A, to: B, roles: ^partner}\n",
         "must be a list"},
        {"a role twice", HEAD STATES "events:\n  go: {from: A, to: B, roles: [p, ^p]}\n", "twice"},
    };
    (void)state;
    EXPECT_TABLE(table);
}

static void
refuses_versions_and_durations_out_of_range(void **state)
{
    static const char *const versions[] = {"0",           "-1",  "+1",  "01",         "1.0",  "1e1",
                                           "0x1",         "'1'", "one", "2147483649", "[1]",  "1_0",
                                           "99999999999", "~",   "{}",  "4294967297", "12:30"};
    static const char *const durations[] = {"0ms",
                                            "0s",
                                            "01s",
                                            "1",
                                            "s",
                                            "1.5h",
                                            "1h30m",
                                            "1 s",
                                            "1S",
                                            "1w",
                                            "1sec",
                                            "-1s",
                                            "+1s",
                                            "3651d",
                                            "87601h",
                                            "5256001m",
                                            "315360001s",
                                            "315360000001ms",
                                            "9999999999999ms",
                                            "[1s]",
                                            "{}",
                                            "1_0s",
                                            "''",
                                            "'1 h'"};
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        char source[512];
        (void)snprintf(source, sizeof source,
                       "machine: m\ninitial: A\nversion:   %s\n" STATES EVENTS, versions[i]);
        expect_refused(versions[i], bytes_text(source), 3, 12, "`version` must be a whole number");
    }
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        char source[512];
        (void)snprintf(source, sizeof source,
                       HEAD EVENTS "states:\n  A: {timeout: {event: go, after: %s}}\n"
                                   "  B: {final: true}\n",
                       durations[i]);
        expect_refused(durations[i], bytes_text(source), 7, 35, "`after` must be a whole number");
    }
    expect_refused("no duration",
                   bytes_text(HEAD EVENTS "states:\n  A: {timeout: {event: go, after: "
                                          "}}\n  B: {final: true}\n"),
                   7, 28, "`after` must be");
    expect_refused("no version", bytes_text("machine: m\nversion:\ninitial: A\n" STATES EVENTS), 2,
                   1, "`version` must be");
}

static void
refuses_names_that_mean_nothing(void **state)
{
    static const struct refusal table[] = {
        {"initial unknown", "machine: m\nversion: 1\ninitial: ^C\n" STATES EVENTS,
         "there is no state `C`"},
        {"from unknown", HEAD STATES "events:\n  go: {from: ^C, to: B}\n", "there is no state `C`"},
        {"from unknown in a list", HEAD STATES "events:\n  go: {from: [A, ^C], to: B}\n",
         "there is no state `C`"},
        {"to unknown", HEAD STATES "events:\n  go: {from: A, to: ^C}\n", "there is no state `C`"},
        {"names mind capitals", HEAD STATES "events:\n  go: {from: ^a, to: B}\n",
         "there is no state `a`"},
        {"required and not declared",
         HEAD STATES "events:\n  go: {from: A, to: B, requires: [^note]}\n",
         "`note` is not declared"},
        {"accepted and not declared",
         HEAD NOTE STATES "events:\n  go: {from: A, to: B, accepts: [note, ^other]}\n",
         "`other` is not declared"},
        {"had and not declared", HEAD "states:\n  A: {}\n  B: {final: true, has: [^note]}\n" EVENTS,
         "`note` is not declared"},
        {"timeout's event unknown",
         HEAD "states:\n  A: {timeout: {after: 1s, event: ^gone}}\n  B: {final: true}\n" EVENTS,
         "there is no event `gone`"},
        {"event named create",
         HEAD STATES "events:\n  go: {from: A, to: B}\n"
                     "  ^create: {from: A, to: B}\n",
         "reserved"},
        {"event named create, quoted", HEAD STATES "events:\n  ^\"create\": {from: A, to: B}\n",
         "reserved"},
    };
    (void)state;
    EXPECT_TABLE(table);
}

static void
refuses_a_whole_that_does_not_hold_together(void **state)
{
    static const struct refusal table[] = {
        {"nothing reaches", HEAD STATES "  ^C: {final: true}\n" EVENTS,
         "nothing reaches state `C`"},
        {"only itself reaches",
         HEAD STATES "  ^C: {}\n" EVENTS "  stay: {from: C}\n"
                     "  out: {from: C, to: B}\n",
         "nothing reaches state `C`"},
        {"an island",
         HEAD STATES "  ^D: {}\n  C: {}\n" EVENTS "  x: {from: C, to: D}\n"
                     "  y: {from: D, to: C}\n",
         "nothing reaches state `D`"},
        {"nothing leaves", HEAD STATES "  ^C: {}\n" EVENTS "  x: {from: A, to: C}\n",
         "nothing leaves state `C`"},
        {"staying is no way out",
         HEAD STATES "  ^C: {}\n" EVENTS "  x: {from: A, to: C}\n  y: {from: C}\n",
         "nothing leaves state `C`"},
        {"to itself is no way out",
         HEAD STATES "  ^C: {}\n" EVENTS "  x: [{from: A, to: C}, {from: C, to: C}]\n",
         "nothing leaves state `C`"},
        {"the start is left by nothing", HEAD "states:\n  ^A: {}\nevents: {}\n",
         "nothing leaves state `A`"},
        {"from a final state", HEAD STATES EVENTS "  back: {from: ^B, to: A}\n", "`B` is final"},
        {"staying in a final state", HEAD STATES EVENTS "  note: {from: [A, ^B]}\n",
         "`B` is final"},
        {"two ways by one event",
         HEAD STATES "  C: {final: true}\nevents:\n  go: [{from: A, to: B}, {from: ^A, to: C}]\n",
         "already leads out of `A`"},
        {"two ways to the same state",
         HEAD STATES "events:\n  go: [{from: A, to: B}, {from: [^A], to: B}]\n",
         "already leads out of `A`"},
        {"twice in one list", HEAD STATES "events:\n  go: {from: [A, ^A], to: B}\n",
         "already leads out of `A`"},
        {"a way out and staying", HEAD STATES "events:\n  go: [{from: A, to: B}, {from: ^A}]\n",
         "already leads out of `A`"},
        {"timeout on a final state",
         HEAD "states:\n  A: {}\n  B: {final: true, ^timeout: {after: 1s, event: go}}\n" EVENTS,
         "is final and cannot have a timeout"},
        {"timeout by an event of another state",
         HEAD
         "states:\n  A: {timeout: {after: 1s, event: ^end}}\n  B: {}\n  C: {final: true}\n" EVENTS
         "  end: {from: B, to: C}\n",
         "`end` does not leave `A`"},
        {"timeout by an event that stays",
         HEAD "states:\n  A: {timeout: {after: 1s, event: ^stay}}\n  B: {final: true}\n" EVENTS
              "  stay: {from: A}\n",
         "`stay` does not leave `A`"},
        {"timeout by an event to itself",
         HEAD "states:\n  A: {timeout: {after: 1s, event: ^stay}}\n  B: {final: true}\n" EVENTS
              "  stay: {from: A, to: A}\n",
         "`stay` does not leave `A`"},
        {"timeout by an event that requires",
         HEAD NOTE "states:\n  A: {timeout: {after: 1s, event: ^go}}\n  B: {final: true}\n"
                   "events:\n  go: {from: A, to: B, requires: [note]}\n",
         "`go` requires attributes"},
        {"restart on a way out", HEAD STATES "events:\n  go: {from: A, to: B, ^restart: true}\n",
         "`restart` stands only"},
        {"restart on a way out for one of two",
         HEAD STATES "  C: {}\nevents:\n  go: {from: A, to: C}\n  end: {from: C, to: B}\n"
                     "  x: {from: [A, C], to: A, ^restart: true}\n",
         "`restart` stands only"},
        {"unique and not required",
         HEAD "attributes:\n  a: {type: string, immutable: true, ^unique: true}\n" STATES EVENTS,
         "must be required and immutable"},
        {"unique and not immutable",
         HEAD "attributes:\n  a: {type: string, required: true, ^unique: true}\n" STATES EVENTS,
         "must be required and immutable"},
        {"unique and only said not to be",
         HEAD "attributes:\n  a: {type: string, required: true, immutable: false, ^unique: "
              "true}\n" STATES EVENTS,
         "must be required and immutable"},
        {"unique on a number",
         HEAD
         "attributes:\n  a: {type: number, required: true, immutable: true, ^unique: true}\n" STATES
             EVENTS,
         "`unique` may stand on"},
        {"unique on a boolean",
         HEAD "attributes:\n  a: {type: boolean, required: true, immutable: true, ^unique: "
              "true}\n" STATES EVENTS,
         "`unique` may stand on"},
        {"unique on a list",
         HEAD
         "attributes:\n  a: {type: list, required: true, immutable: true, ^unique: true}\n" STATES
             EVENTS,
         "`unique` may stand on"},
        {"unique on a map",
         HEAD
         "attributes:\n  a: {type: map, required: true, immutable: true, ^unique: true}\n" STATES
             EVENTS,
         "`unique` may stand on"},
    };
    (void)state;
    EXPECT_TABLE(table);
}

static void
refuses_a_cycle_where_none_is_allowed(void **state)
{
    static const struct refusal table[] = {
        {"there and back",
         HEAD "acyclic: true\n" STATES "  C: {}\n" EVENTS "  x: {from: A, to: C}\n"
              "  y: {from: C, to: ^A}\n",
         "event `y` closes a cycle from `C` over `A`"},
        {"round three, closed in the middle of the text",
         HEAD "acyclic: true\n" STATES "  C: {}\n  D: {}\n" EVENTS "  x: {from: C, to: D}\n"
              "  y: {from: D, to: A}\n  z: {from: A, to: ^C}\n  w: {from: A, to: D}\n",
         "event `z` closes a cycle"},
        {"by a list of states",
         HEAD "acyclic: true\n" STATES "  C: {}\n" EVENTS "  x: {from: A, to: C}\n"
              "  y: {from: [A, C], to: ^A}\n",
         "event `y` closes a cycle"},
    };
    (void)state;
    EXPECT_TABLE(table);
    machine_close(open_text("staying is no cycle",
                            HEAD "acyclic: true\n" STATES EVENTS "  stay: {from: A}\n"
                                 "  same: {from: A, to: A}\n"));
    machine_close(open_text("two ways to one state are no cycle",
                            HEAD "acyclic: true\n" STATES "  C: {}\n" EVENTS
                                 "  x: {from: A, to: C}\n  y: {from: C, to: B}\n"));
    machine_close(open_text("a cycle is allowed where nothing forbids it",
                            HEAD "acyclic: false\n" STATES "  C: {}\n" EVENTS
                                 "  x: {from: A, to: C}\n  y: {from: C, to: A}\n"));
}

#define TWO "attributes:\n  p: {type: string}\n  q: {type: string, required: true}\n"

static void
refuses_a_state_that_does_not_surely_have_what_it_says(void **state)
{
    static const struct refusal table[] = {
        {"nobody brings it", HEAD TWO "states:\n  A: {}\n  B: {final: true, has: [q, ^p]}\n" EVENTS,
         "event `go` leads here from `A` without `p`"},
        {"accepting is not requiring",
         HEAD TWO "states:\n  A: {}\n  B: {final: true, has: [^p]}\n"
                  "events:\n  go: {from: A, to: B, accepts: [p]}\n",
         "without `p`"},
        {"the start has only what is required",
         HEAD TWO "states:\n  A: {has: [q, ^p]}\n"
                  "  B: {final: true}\n" EVENTS,
         "an order starts here without `p`"},
        {"one of two ways",
         HEAD TWO "states:\n  A: {}\n  B: {final: true, has: [^p]}\nevents:\n"
                  "  go: {from: A, to: B, requires: [p]}\n  also: {from: A, to: B}\n",
         "event `also` leads here from `A` without `p`"},
        {"one of two ways, a step before",
         HEAD TWO "states:\n  A: {}\n  C: {}\n  B: {final: true, has: [^p]}\nevents:\n"
                  "  one: {from: A, to: C, requires: [p]}\n  two: {from: A, to: C}\n"
                  "  go: {from: C, to: B}\n",
         "event `go` leads here from `C` without `p`"},
        {"a way around over a cycle",
         HEAD TWO "states:\n  A: {}\n  C: {has: [^p]}\n  D: {}\n  B: {final: true}\nevents:\n"
                  "  one: {from: A, to: C, requires: [p]}\n  jump: {from: A, to: D}\n"
                  "  loop: [{from: C, to: D}, {from: D, to: C}]\n  go: {from: D, to: B}\n",
         "event `loop` leads here from `D` without `p`"},
        {"staying brings it too late",
         HEAD TWO "states:\n  A: {}\n  C: {has: [^p]}\n  B: {final: true}\nevents:\n"
                  "  in: {from: A, to: C}\n  note: {from: C, requires: [p]}\n"
                  "  go: {from: C, to: B}\n",
         "event `in` leads here from `A` without `p`"},
        {"back to the start with it does not help",
         HEAD TWO "states:\n  A: {has: [^p]}\n  C: {}\n  B: {final: true}\nevents:\n"
                  "  in: {from: A, to: C}\n  back: {from: C, to: A, requires: [p]}\n"
                  "  go: {from: C, to: B}\n",
         "an order starts here without `p`"},
        {"over a long way, written backwards",
         HEAD TWO "states:\n  A: {}\n  D: {}\n  E: {}\n  C: {}\n  B: {final: true, has: [^p]}\n"
                  "events:\n  go: {from: C, to: B}\n  three: {from: E, to: C}\n"
                  "  two: {from: D, to: E}\n  one: {from: A, to: D}\n",
         "event `go` leads here from `C` without `p`"},
        {"in a block list",
         HEAD TWO "states:\n  A: {}\n  B:\n    final: true\n    has:\n"
                  "      - q\n      - ^p\n" EVENTS,
         "without `p`"},
    };
    (void)state;
    EXPECT_TABLE(table);
}

static void
accepts_a_state_that_surely_has_what_it_says(void **state)
{
    static const struct {
        const char *name, *source;
    } table[] = {
        {"required", HEAD TWO "states:\n  A: {has: [q]}\n  B: {final: true, has: [q]}\n" EVENTS},
        {"brought by the last step", HEAD TWO "states:\n  A: {}\n  B: {final: true, has: [p]}\n"
                                              "events:\n  go: {from: A, to: B, requires: [p]}\n"},
        {"brought two steps before, by each of two ways",
         HEAD TWO "states:\n  A: {}\n  C: {}\n  B: {final: true, has: [p, q]}\nevents:\n"
                  "  one: {from: A, to: C, requires: [p]}\n"
                  "  two: {from: A, to: C, requires: [q, p]}\n  go: {from: C, to: B}\n"},
        {"kept over a cycle", HEAD TWO
         "states:\n  A: {}\n  C: {has: [p]}\n  D: {has: [p]}\n  B: {final: true}\nevents:\n"
         "  one: {from: A, to: C, requires: [p]}\n"
         "  loop: [{from: C, to: D}, {from: D, to: C}]\n  go: {from: D, to: B}\n"},
        {"accepted on the way, which could remove it: checked when it happens",
         HEAD TWO "states:\n  A: {}\n  C: {}\n  B: {final: true, has: [p]}\nevents:\n"
                  "  one: {from: A, to: C, requires: [p]}\n  note: {from: C, accepts: [p]}\n"
                  "  go: {from: C, to: B}\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        machine_close(open_text(table[i].name, table[i].source));
    }
}

static void
points_at_bytes_not_at_characters(void **state)
{
    static const struct refusal table[] = {
        {"on a line with wide characters",
         HEAD "attributes:\n  a: {type: enum, values: [A, ^'€', B]}\n" STATES EVENTS, "not a name"},
        {"behind them on the line",
         HEAD "states:\n  A: {}\n  B: {final: true}\n# 😀\nevents: {'go': {from: A, to: B}, 'x':\n"
              " {from: A, to: ^'Ä'}}\n",
         "not a name"},
        {"behind four bytes on the line",
         "{machine: m, version: 1, description: \"😀😀\", initial: ^C, states: {A: {}}, events: "
         "{}}\n",
         "there is no state `C`"},
        {"CRLF", "machine: m\r\nversion: 1\r\ninitial: ^C\r\nstates: {A: {}}\r\nevents: {}\r\n",
         "there is no state `C`"},
        {"a line separator of Unicode ends no line",
         "{description: 'a\xe2\x80\xa8"
         "b', initial: ^C, machine: m, version: 1, states: {A: {}}, "
         "events: {}}\n",
         "there is no state `C`"},
    };
    (void)state;
    EXPECT_TABLE(table);
    struct machine_error error;
    struct buf compiled = {0};
    const char *cr = "machine: m\rversion: 1\rinitial: C\rstates: {A: {}}\revents: {}\r";
    assert_int_equal(machine_compile(bytes_text(cr), &compiled, &error), QO_INVALID_MACHINE);
    assert_int_equal(error.line, 3);
    assert_int_equal(error.column, 10);
    buf_free(&compiled);
}

/* Every place where a name is wanted, as a format with one %s. */
static const char *const name_places[] = {
    "machine: %s\nversion: 1\ninitial: A\n" STATES EVENTS,
    "machine: m\nversion: 1\ninitial: %s\n" STATES EVENTS,
    HEAD "states:\n  A: {}\n  %s: {final: true}\n" EVENTS,
    HEAD STATES "events:\n  %s: {from: A, to: B}\n",
    HEAD STATES "events:\n  go: {from: A, to: %s}\n",
    HEAD STATES "events:\n  go: {from: %s, to: B}\n",
    HEAD STATES "events:\n  go: {from: [A, %s], to: B}\n",
    HEAD "attributes:\n  %s: {type: string}\n" STATES EVENTS,
    HEAD "attributes:\n  a: {type: enum, values: [A, %s]}\n" STATES EVENTS,
    HEAD NOTE STATES "events:\n  go: {from: A, to: B, requires: [%s]}\n",
    HEAD NOTE STATES "events:\n  go: {from: A, to: B, accepts: [%s]}\n",
    HEAD NOTE "states:\n  A: {has: [%s]}\n  B: {final: true}\n" EVENTS,
    HEAD STATES "events:\n  go: {from: A, to: B, roles: [%s]}\n",
    HEAD "states:\n  A: {timeout: {after: 1s, event: %s}}\n  B: {final: true}\n" EVENTS,
};

static void
refuses_words_that_may_mean_something_else_where_a_name_is_wanted(void **state)
{
    static const char *const words[] = {
        "true",     "True", "TRUE",  "tRuE",   "false", "False",  "yes",  "Yes",  "YES",   "no",
        "No",       "NO",   "on",    "On",     "ON",    "off",    "Off",  "OFF",  "null",  "Null",
        "NULL",     "~",    "0",     "1",      "-1",    "12",     "1.5",  "-1.5", ".5",    "1.",
        "1e9",      "1E9",  "1e-9",  "1.5e10", "0x1F",  "0o17",   "0b11", "017",  "1_000", "12:30",
        "12:30:45", ".inf", "-.INF", ".nan",   ".NaN",  "1:20.5", "-0x1F"};
    (void)state;
    for (size_t p = 0; p < sizeof name_places / sizeof name_places[0]; p++) {
        for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
            char marked[512], source[512], name[512];
            char word[32];
            uint32_t line, column;
            (void)snprintf(word, sizeof word, "^%s", words[w]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(marked, sizeof marked, name_places[p], word);
#pragma GCC diagnostic pop
            unmark(marked, source, &line, &column);
            (void)snprintf(name, sizeof name, "%s at place %zu", words[w], p);
            expect_refused(name, bytes_text(source), line, column, "put quotes around it");
        }
    }
}

static void
accepts_such_words_in_quotes_and_others_that_only_look_like_them(void **state)
{
    static const char *const words[] = {
        "'true'", "\"no\"", "'12'", "'1.5'", "'null'", "\"0x1F\"", "y",   "n",   "nope",   "truex",
        "1a",     "0x",     "0xg",  "1.2.3", "1e",     "_1",       "v1",  "a:b", "-a",     "e9",
        "1-2",    ".",      "..",   "nil",   "None",   "0b12",     "inf", "nan", "oN-line"};
    (void)state;
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
        char source[512];
        (void)snprintf(
            source, sizeof source,
            "machine: %s\nversion: 1\ninitial: %s\nstates:\n  %s: {}\n  Z: {final: true}\n"
            "events:\n  %s: {from: %s, to: Z, roles: [%s]}\n",
            words[w], words[w], words[w], words[w], words[w], words[w]);
        machine_close(open_text(words[w], source));
    }
}

/* -- Limits ------------------------------------------------------------------------------ */

struct text {
    struct buf buf;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf((char *)buf_reserve(&text->buf, 1024), 1024, format, arguments);
    va_end(arguments);
    assert_true(size >= 0 && size < 1024);
    text->buf.size += (size_t)size;
}

/* A machine with so many states, events and attributes, one on each line. */
static void
big(struct text *text, uint32_t states, uint32_t events, uint32_t attributes)
{
    add(text, "machine: big\nversion: 1\ninitial: S0\nattributes:\n");
    for (uint32_t i = 0; i < attributes; i++) {
        add(text, "  A%u: {type: string}\n", i);
    }
    add(text, "states:\n");
    for (uint32_t i = 0; i < states; i++) {
        add(text, "  S%u: {%s}\n", i, i + 1 == states ? "final: true" : "");
    }
    add(text, "events:\n");
    for (uint32_t i = 0; i < events; i++) {
        add(text, "  E%u: {from: S%u, to: S%u}\n", i, i < states - 1 ? i : 0,
            i < states - 1 ? i + 1 : 1);
    }
}

static void
keeps_the_limits_on_counts(void **state)
{
    static const struct {
        const char *name;
        uint32_t states, events, attributes;
        uint32_t line; /* 0: accepted. Of the first one too many. */
    } table[] = {
        {"all at their limits", QO_STATES_MAX, QO_EVENTS_MAX, QO_DECLARED_ATTRIBUTES_MAX, 0},
        {"a state too many", QO_STATES_MAX + 1, 300, 1, 4 + 1 + 1 + QO_STATES_MAX + 1},
        {"an event too many", 2, QO_EVENTS_MAX + 1, 1, 4 + 1 + 1 + 2 + 1 + QO_EVENTS_MAX + 1},
        {"events far too many", 2, 3 * QO_EVENTS_MAX, 1, 4 + 1 + 1 + 2 + 1 + QO_EVENTS_MAX + 1},
        {"an attribute too many", 2, 1, QO_DECLARED_ATTRIBUTES_MAX + 1,
         4 + QO_DECLARED_ATTRIBUTES_MAX + 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct text text = {0};
        big(&text, table[i].states, table[i].events, table[i].attributes);
        if (table[i].line != 0) {
            expect_refused(table[i].name, buf_bytes(&text.buf), table[i].line, 3, "at most");
        } else {
            buf_put_u8(&text.buf, 0);
            struct machine *machine = open_text(table[i].name, (const char *)text.buf.data);
            assert_int_equal(machine_state_count(machine), QO_STATES_MAX);
            assert_int_equal(machine_event_count(machine), QO_EVENTS_MAX);
            assert_int_equal(machine_attribute_count(machine), QO_DECLARED_ATTRIBUTES_MAX);
            machine_close(machine);
        }
        buf_free(&text.buf);
    }
}

static void
keeps_the_limit_on_names_and_source(void **state)
{
    char name[QO_NAME_MAX + 2], source[1024];
    (void)state;
    memset(name, 'x', sizeof name);
    name[QO_NAME_MAX + 1] = '\0';
    (void)snprintf(source, sizeof source, HEAD STATES "events:\n  %s: {from: A, to: B}\n", name);
    expect_refused("a name too long", bytes_text(source), 8, 3, "at most 64 characters");
    (void)snprintf(source, sizeof source,
                   HEAD STATES "events:\n  go: {from: A, to: B, roles: [%s]}\n", name);
    expect_refused("a role too long", bytes_text(source), 8, 32, "at most 64 characters");
    name[QO_NAME_MAX] = '\0';
    (void)snprintf(source, sizeof source, HEAD STATES "events:\n  %s: {from: A, to: B}\n", name);
    machine_close(open_text("the longest name", source));

    struct text text = {0};
    add(&text, HEAD STATES EVENTS "description: ");
    while (text.buf.size < QO_DEFINITION_SOURCE_MAX - 1) {
        buf_put_u8(&text.buf, 'd');
    }
    buf_put_u8(&text.buf, '\n');
    struct buf compiled = {0};
    struct machine_error error;
    assert_int_equal(machine_compile(buf_bytes(&text.buf), &compiled, &error), QO_OK);
    buf_put_u8(&text.buf, '\n');
    expect_refused("a source too long", buf_bytes(&text.buf), 1, 1, "at most 262144 bytes");
    buf_free(&compiled);
    buf_free(&text.buf);
}

/* The most edges that a source can hold: they fit the compiled form. */
static void
compiles_the_densest_source(void **state)
{
    struct text text = {0};
    (void)state;
    add(&text, "machine: m\nversion: 1\ninitial: aa\nstates: {z: {final: true}");
    for (uint32_t i = 0; i < QO_STATES_MAX - 1; i++) {
        add(&text, ",%c%c: {}", 'a' + (int)(i / 26), 'a' + (int)(i % 26));
    }
    add(&text, "}\nevents:\n  e: [");
    for (uint32_t i = 1; i < QO_STATES_MAX - 1; i++) { /* A chain, so that all are reached. */
        add(&text, "{from: %c%c, to: %c%c},", 'a' + (int)((i - 1) / 26), 'a' + (int)((i - 1) % 26),
            'a' + (int)(i / 26), 'a' + (int)(i % 26));
    }
    add(&text, "]\n");
    for (uint32_t event = 1; event < QO_EVENTS_MAX; event++) {
        struct text line = {0};
        add(&line, " e%u: {to: z,from: [", event);
        for (uint32_t i = 0; i < QO_STATES_MAX - 1; i++) {
            add(&line, "%c%c,", 'a' + (int)(i / 26), 'a' + (int)(i % 26));
        }
        add(&line, "]}\n");
        if (text.buf.size + line.buf.size + 1 < QO_DEFINITION_SOURCE_MAX) {
            buf_append(&text.buf, " ", 1);
            buf_append(&text.buf, line.buf.data, line.buf.size);
        }
        buf_free(&line.buf);
    }
    assert_true(text.buf.size > QO_DEFINITION_SOURCE_MAX - 1024);
    struct buf compiled = {0};
    struct machine_error error;
    if (machine_compile(buf_bytes(&text.buf), &compiled, &error) != QO_OK) {
        fail_msg("%u:%u: %s", error.line, error.column, error.why);
    }
    assert_true(compiled.size > QO_COMPILED_MAX / 3 && compiled.size <= QO_COMPILED_MAX);
    buf_free(&compiled);
    buf_free(&text.buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_base_of_this_table_is_accepted),
        cmocka_unit_test(refuses_what_is_not_yaml),
        cmocka_unit_test(refuses_surprises_of_yaml),
        cmocka_unit_test(refuses_unknown_and_missing_words),
        cmocka_unit_test(refuses_values_of_the_wrong_shape),
        cmocka_unit_test(refuses_versions_and_durations_out_of_range),
        cmocka_unit_test(refuses_names_that_mean_nothing),
        cmocka_unit_test(refuses_a_whole_that_does_not_hold_together),
        cmocka_unit_test(refuses_a_cycle_where_none_is_allowed),
        cmocka_unit_test(refuses_a_state_that_does_not_surely_have_what_it_says),
        cmocka_unit_test(accepts_a_state_that_surely_has_what_it_says),
        cmocka_unit_test(points_at_bytes_not_at_characters),
        cmocka_unit_test(refuses_words_that_may_mean_something_else_where_a_name_is_wanted),
        cmocka_unit_test(accepts_such_words_in_quotes_and_others_that_only_look_like_them),
        cmocka_unit_test(keeps_the_limits_on_counts),
        cmocka_unit_test(keeps_the_limit_on_names_and_source),
        cmocka_unit_test(compiles_the_densest_source),
    };
    return cmocka_run_group_tests_name("machine/refuse", tests, NULL, NULL);
}
