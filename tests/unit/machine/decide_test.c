/*
 * Goal: what a command may bring, what an order then holds, and which attribute answers if
 * something is wrong. Method: one machine with an attribute of every kind, and tables of what is
 * held, brought and expected; lists are written as words (see put_list()).
 */
#include "support/test.h"

#include <inttypes.h>

#include "unit/machine/support.h"

static const char rules[] =
    "machine: rules\n"
    "version: 7\n"
    "initial: A\n"
    "attributes:\n"
    "  bool: {type: boolean}\n"
    "  enum: {type: enum, values: [RED, GREEN, 'NO']}\n"
    "  fix:  {type: string, immutable: true}\n"
    "  id:   {type: string, required: true, immutable: true, unique: true}\n"
    "  int:  {type: integer}\n"
    "  list: {type: list}\n"
    "  map:  {type: map}\n"
    "  must: {type: string, required: true}\n"
    "  num:  {type: number}\n"
    "  text: {type: string}\n"
    "  time: {type: timestamp}\n"
    "states:\n"
    "  A: {timeout: {after: 90s, event: go}}\n"
    "  B: {has: [text]}\n"
    "  C: {final: true, has: [id, text]}\n"
    "  D: {}\n"
    "events:\n"
    "  all: {from: A, accepts: [bool, enum, fix, id, int, list, map, must,\n"
    "                           num, text, time]}\n"
    "  again: {from: A, restart: true}\n"
    "  go: {from: A, to: D}\n"
    "  set: {from: [A, D], to: B, requires: [text], accepts: [fix, int]}\n"
    "  edit: {from: B, accepts: [text, must]}\n"
    "  end: {from: B, to: C, accepts: [text]}\n"
    "  fixed: {from: B, to: D, requires: [fix]}\n";

static struct machine *machine;

static int
open_rules(void **state)
{
    (void)state;
    machine = open_text("rules", rules);
    return 0;
}

static int
close_rules(void **state)
{
    (void)state;
    machine_close(machine);
    return 0;
}

static uint16_t
state_of(const char *name)
{
    int32_t index = machine_state_find(machine, bytes_text(name));
    assert_true(index >= 0);
    return (uint16_t)index;
}

static uint16_t
event_of(const char *name)
{
    int32_t index = machine_event_find(machine, bytes_text(name));
    assert_true(index >= 0);
    return (uint16_t)index;
}

static void
expect_list(const char *name, const char *what, struct bytes list, const char *want)
{
    struct buf expected = {0};
    put_list(&expected, want);
    /* An empty list may be absent or two zero bytes. */
    if (!bytes_equal(list, buf_bytes(&expected)) &&
        !(list.size == 0 && attributes_count(buf_bytes(&expected)) == 0)) {
        fail_msg("%s: %s is not as expected", name, what);
    }
    buf_free(&expected);
}

static void
expect_refusal(const char *name, enum qo_error result, const struct machine_refusal *refusal,
               const char *attribute, const char *why)
{
    if (result != QO_INVALID_ATTRIBUTE || refusal->error != result) {
        fail_msg("%s: %s, not invalid_attribute", name, error_code(result));
    }
    if (!bytes_equal(refusal->attribute, bytes_text(attribute)) ||
        strcmp(machine_why_text(refusal->why), why) != 0) {
        fail_msg("%s: %.*s %s, not %s %s", name, BYTES_FORMAT(refusal->attribute),
                 machine_why_text(refusal->why), attribute, why);
    }
}

struct creation {
    const char *name, *brought;
    const char *held;            /* NULL: refused. */
    const char *attribute, *why; /* Then. */
};

static void
creation_brings_what_is_required_and_may_bring_the_rest(void **state)
{
    static const struct creation table[] = {
        {"least", "id=1x must=m", "id=1x must=m", NULL, NULL},
        {"all",
         "bool=true enum=RED fix=f id=i int=-5 list=[] map={} must=m num=1.5 text=t "
         "time=1506942420",
         "bool=true enum=RED fix=f id=i int=-5 list=[] map={} must=m num=1.5 text=t "
         "time=1506942420",
         NULL, NULL},
        {"an empty text is a text", "id=i must=", "id=i must=", NULL, NULL},
        {"nil is left out", "bool=nil enum=nil fix=nil id=i must=m text=nil", "id=i must=m", NULL,
         NULL},
        {"an integer for a number", "id=i must=m num=3", "id=i must=m num=3.0", NULL, NULL},
        {"an integer for a number, and nil", "bool=nil id=i must=m num=-0 text=nil",
         "id=i must=m num=0.0", NULL, NULL},
        {"nothing", "", NULL, "id", "missing"},
        {"not the second", "id=i", NULL, "must", "missing"},
        {"not the first", "must=m", NULL, "id", "missing"},
        {"nil for a required one", "id=i must=nil", NULL, "must", "missing"},
        {"nil for a required and immutable one", "id=nil must=m", NULL, "id", "missing"},
        {"undeclared", "id=i must=m other=1", NULL, "other", "undeclared"},
        {"undeclared and nil", "id=i must=m other=nil", NULL, "other", "undeclared"},
        {"the first by name: undeclared before missing", "an=1 must=m", NULL, "an", "undeclared"},
        {"the first by name: missing before undeclared", "must=m other=1", NULL, "id", "missing"},
        {"the first by name: type before missing", "bool=7", NULL, "bool", "type"},
        {"the first by name: missing before type", "text=7", NULL, "id", "missing"},
        {"a wrong type is not missing", "id=7", NULL, "id", "type"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct creation *c = &table[i];
        struct buf brought = {0}, out = {0};
        struct machine_step step;
        struct machine_refusal refusal;
        put_list(&brought, c->brought);
        enum qo_error result = machine_create(machine, buf_bytes(&brought), &out, &step, &refusal);
        if (c->held == NULL) {
            expect_refusal(c->name, result, &refusal, c->attribute, c->why);
        } else {
            if (result != QO_OK) {
                fail_msg("%s: %.*s %s", c->name, BYTES_FORMAT(refusal.attribute),
                         machine_why_text(refusal.why));
            }
            assert_int_equal(step.to, state_of("A"));
            assert_false(step.stays || step.restart);
            expect_list(c->name, "held", step.held, c->held);
            expect_list(c->name, "brought", step.brought, c->held);
        }
        buf_free(&brought);
        buf_free(&out);
    }
}

static void
absent_attributes_are_an_empty_list(void **state)
{
    struct buf out = {0};
    struct machine_step step;
    struct machine_refusal refusal;
    (void)state;
    assert_int_equal(machine_create(machine, BYTES_NONE, &out, &step, &refusal),
                     QO_INVALID_ATTRIBUTE);
    struct machine_command command = {state_of("A"), event_of("go"), BYTES_NONE, BYTES_NONE};
    assert_int_equal(machine_transition(machine, &command, &out, &step, &refusal), QO_OK);
    assert_int_equal(attributes_count(step.held), 0);
    buf_free(&out);
}

/* Every type of attribute and every type of value. */
static void
a_value_must_have_the_type_of_its_attribute(void **state)
{
    static const char *const values[] = {"true", "RED", "12", "1.5", "[]", "{}"};
    static const struct {
        const char *attribute;
        const char *fits; /* For each value: y or n. */
    } table[] = {
        {"bool", "ynnnnn"}, {"enum", "nynnnn"}, {"fix", "nynnnn"},
        {"int", "nnynnn"},  {"list", "nnnnyn"}, {"map", "nnnnny"},
        {"num", "nnyynn"},  {"text", "nynnnn"}, {"time", "nnynnn"},
    };
    (void)state;
    for (size_t a = 0; a < sizeof table / sizeof table[0]; a++) {
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            char words[64];
            struct buf held = {0}, brought = {0}, out = {0};
            struct machine_step step;
            struct machine_refusal refusal;
            (void)snprintf(words, sizeof words, "%s=%s", table[a].attribute, values[v]);
            put_list(&held, "id=i must=m");
            put_list(&brought, words);
            struct machine_command command = {state_of("A"), event_of("all"), buf_bytes(&held),
                                              buf_bytes(&brought)};
            enum qo_error result = machine_transition(machine, &command, &out, &step, &refusal);
            if (table[a].fits[v] == 'y') {
                if (result != QO_OK) {
                    fail_msg("%s is refused", words);
                }
            } else {
                expect_refusal(words, result, &refusal, table[a].attribute, "type");
            }
            buf_free(&held);
            buf_free(&brought);
            buf_free(&out);
        }
    }
}

struct change {
    const char *name, *state, *event, *held, *brought;
    const char *after;           /* NULL: refused. */
    const char *attribute, *why; /* Then. */
};

static void
compare_change(const struct change *c)
{
    struct buf held = {0}, brought = {0}, out = {0};
    struct machine_step step;
    struct machine_refusal refusal;
    put_list(&held, c->held);
    put_list(&brought, c->brought);
    buf_append(&out, "before", 6); /* What stands in the buffer stays there. */
    struct machine_command command = {state_of(c->state), event_of(c->event), buf_bytes(&held),
                                      buf_bytes(&brought)};
    enum qo_error result = machine_transition(machine, &command, &out, &step, &refusal);
    if (c->after == NULL) {
        expect_refusal(c->name, result, &refusal, c->attribute, c->why);
    } else {
        if (result != QO_OK) {
            fail_msg("%s: %s", c->name, error_code(result));
        }
        expect_list(c->name, "held", step.held, c->after);
    }
    assert_memory_equal(out.data, "before", 6);
    buf_free(&held);
    buf_free(&brought);
    buf_free(&out);
}

static void
a_transition_changes_what_it_may(void **state)
{
    static const struct change table[] = {
        {"nothing brought, nothing changed", "A", "go", "id=i must=m", "", "id=i must=m", NULL,
         NULL},
        {"set", "A", "all", "id=i must=m", "int=5", "id=i int=5 must=m", NULL, NULL},
        {"set over", "A", "all", "id=i int=4 must=m", "int=5", "id=i int=5 must=m", NULL, NULL},
        {"removed by nil", "A", "all", "id=i int=4 must=m", "int=nil", "id=i must=m", NULL, NULL},
        {"nil for what is not there", "A", "all", "id=i must=m", "int=nil", "id=i must=m", NULL,
         NULL},
        {"several", "A", "all", "bool=true id=i must=m text=t", "bool=nil must=n text=u time=3",
         "id=i must=n text=u time=3", NULL, NULL},
        {"a required one may change", "A", "all", "id=i must=m", "must=n", "id=i must=n", NULL,
         NULL},
        {"an immutable one is set once", "A", "all", "id=i must=m", "fix=f", "fix=f id=i must=m",
         NULL, NULL},
        {"an enum", "A", "all", "id=i must=m", "enum=GREEN", "enum=GREEN id=i must=m", NULL, NULL},
        {"an enum's quoted value", "A", "all", "id=i must=m", "enum=NO", "enum=NO id=i must=m",
         NULL, NULL},
        {"an integer for a number", "A", "all", "id=i must=m num=1.5", "num=2",
         "id=i must=m num=2.0", NULL, NULL},
        {"required by the event", "A", "set", "id=i must=m", "text=t", "id=i must=m text=t", NULL,
         NULL},
        {"required and accepted", "D", "set", "id=i must=m", "int=1 text=t",
         "id=i int=1 must=m text=t", NULL, NULL},
        {"required again", "A", "set", "id=i must=m text=s", "text=t", "id=i must=m text=t", NULL,
         NULL},
        {"has, held", "B", "end", "id=i must=m text=t", "", "id=i must=m text=t", NULL, NULL},
        {"has, brought over nothing", "B", "end", "id=i must=m", "text=t", "id=i must=m text=t",
         NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        compare_change(&table[i]);
    }
}

static void
a_transition_refuses_the_rest(void **state)
{
    static const struct change table[] = {
        {"undeclared", "A", "all", "id=i must=m", "what=1", NULL, "what", "undeclared"},
        {"undeclared where nothing is accepted", "A", "go", "id=i must=m", "what=1", NULL, "what",
         "undeclared"},
        {"not accepted", "A", "go", "id=i must=m", "int=1", NULL, "int", "not_accepted"},
        {"not accepted, nil", "A", "go", "id=i must=m", "int=nil", NULL, "int", "not_accepted"},
        {"not accepted comes before immutable", "A", "go", "id=i must=m", "id=j", NULL, "id",
         "not_accepted"},
        {"not accepted comes before type", "A", "go", "id=i must=m", "int=x", NULL, "int",
         "not_accepted"},
        {"immutable", "A", "all", "id=i must=m", "id=j", NULL, "id", "immutable"},
        {"immutable, the same value", "A", "all", "id=i must=m", "id=i", NULL, "id", "immutable"},
        {"immutable, nil", "A", "all", "id=i must=m", "id=nil", NULL, "id", "immutable"},
        {"immutable, set before by an event", "A", "all", "fix=f id=i must=m", "fix=f", NULL, "fix",
         "immutable"},
        {"immutable, nil and held", "A", "all", "fix=f id=i must=m", "fix=nil", NULL, "fix",
         "immutable"},
        {"immutable, nil and not held", "A", "all", "id=i must=m", "fix=nil", NULL, "fix",
         "immutable"},
        {"immutable comes before type", "A", "all", "fix=f id=i must=m", "fix=7", NULL, "fix",
         "immutable"},
        {"required by the machine, nil", "A", "all", "id=i must=m", "must=nil", NULL, "must",
         "missing"},
        {"an enum of another value", "A", "all", "id=i must=m", "enum=BLUE", NULL, "enum", "enum"},
        {"an enum in other letters", "A", "all", "id=i must=m", "enum=red", NULL, "enum", "enum"},
        {"an enum's beginning", "A", "all", "id=i must=m", "enum=RE", NULL, "enum", "enum"},
        {"required by the event", "A", "set", "id=i must=m", "", NULL, "text", "missing"},
        {"required by the event, though held", "A", "set", "id=i must=m text=t", "", NULL, "text",
         "missing"},
        {"required by the event, nil", "A", "set", "id=i must=m text=t", "text=nil", NULL, "text",
         "missing"},
        {"required by the event, of a wrong type", "A", "set", "id=i must=m", "text=7", NULL,
         "text", "type"},
        {"required by the event and immutable, nil", "B", "fixed", "id=i must=m text=t", "fix=nil",
         NULL, "fix", "immutable"},
        {"has, not held", "B", "end", "id=i must=m", "", NULL, "text", "has"},
        {"has, removed on the way", "B", "end", "id=i must=m text=t", "text=nil", NULL, "text",
         "has"},
        {"has, removed by an event that stays", "B", "edit", "id=i must=m text=t", "text=nil", NULL,
         "text", "has"},
        {"the first by name: not accepted, then missing", "A", "set", "id=i must=m", "bool=true",
         NULL, "bool", "not_accepted"},
        {"the first by name: missing, then undeclared", "A", "set", "id=i must=m", "time=1 zoo=1",
         NULL, "text", "missing"},
        {"the first by name: has, then undeclared", "B", "end", "id=i must=m", "zoo=1", NULL,
         "text", "has"},
        {"the first by name: undeclared, then has", "B", "end", "id=i must=m", "ape=1", NULL, "ape",
         "undeclared"},
        {"the first by name: of two of a kind", "A", "all", "id=i must=m", "int=x text=7", NULL,
         "int", "type"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        compare_change(&table[i]);
    }
}

static void
an_integer_for_a_number_must_be_exact(void **state)
{
    static const struct {
        int64_t integer;
        bool exact;
    } table[] = {
        {0, true},
        {1, true},
        {-1, true},
        {INT64_C(1) << 53, true},
        {(INT64_C(1) << 53) + 1, false},
        {(INT64_C(1) << 53) + 2, true},
        {-(INT64_C(1) << 53), true},
        {-(INT64_C(1) << 53) - 1, false},
        {INT64_MAX, false},
        {INT64_MAX - 1023, true},
        {INT64_MAX - 1022, false},
        {INT64_MIN, true},
        {INT64_MIN + 1, false},
        {INT64_C(1) << 62, true},
        {INT64_C(3) << 61, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char words[64], name[64];
        struct buf held = {0}, brought = {0}, out = {0};
        struct machine_step step;
        struct machine_refusal refusal;
        (void)snprintf(name, sizeof name, "%" PRId64, table[i].integer);
        (void)snprintf(words, sizeof words, "num=%" PRId64, table[i].integer);
        put_list(&held, "id=i must=m");
        put_list(&brought, words);
        struct machine_command command = {state_of("A"), event_of("all"), buf_bytes(&held),
                                          buf_bytes(&brought)};
        enum qo_error result = machine_transition(machine, &command, &out, &step, &refusal);
        if (!table[i].exact) {
            expect_refusal(name, result, &refusal, "num", "type");
        } else {
            struct attribute number;
            assert_int_equal(result, QO_OK);
            assert_true(attributes_find(step.brought, bytes_text("num"), &number));
            assert_int_equal(number.type, VALUE_NUMBER);
            assert_true(value_number(number.value) == (double)table[i].integer);
            assert_true(attributes_find(step.held, bytes_text("num"), &number));
            assert_int_equal(number.type, VALUE_NUMBER);
            assert_true(attributes_find(step.held, bytes_text("must"), &number));
        }
        buf_free(&held);
        buf_free(&brought);
        buf_free(&out);
    }
}

static void
what_is_recorded_is_what_was_brought(void **state)
{
    struct buf held = {0}, brought = {0}, out = {0};
    struct machine_step step;
    struct machine_refusal refusal;
    (void)state;
    put_list(&held, "id=i int=3 must=m");
    put_list(&brought, "int=nil text=t");
    struct machine_command command = {state_of("A"), event_of("all"), buf_bytes(&held),
                                      buf_bytes(&brought)};
    assert_int_equal(machine_transition(machine, &command, &out, &step, &refusal), QO_OK);
    expect_list("nil is recorded", "brought", step.brought, "int=nil text=t");
    assert_ptr_equal(step.brought.data, brought.data); /* Nothing to change: no copy. */
    command.brought = BYTES_NONE;
    assert_int_equal(machine_transition(machine, &command, &out, &step, &refusal), QO_OK);
    assert_ptr_equal(step.held.data, held.data);
    buf_clear(&brought);
    put_list(&brought, "int=nil num=4");
    command.brought = buf_bytes(&brought);
    assert_int_equal(machine_transition(machine, &command, &out, &step, &refusal), QO_OK);
    expect_list("a number is recorded as one", "brought", step.brought, "int=nil num=4.0");
    expect_list("and held as one", "held", step.held, "id=i must=m num=4.0");
    buf_free(&held);
    buf_free(&brought);
    buf_free(&out);
}

static void
an_event_that_the_state_does_not_accept_comes_before_attributes(void **state)
{
    struct buf brought = {0}, out = {0};
    struct machine_step step;
    struct machine_refusal refusal;
    (void)state;
    put_list(&brought, "what=1");
    struct machine_command command = {state_of("C"), event_of("end"), BYTES_NONE,
                                      buf_bytes(&brought)};
    assert_int_equal(machine_transition(machine, &command, &out, &step, &refusal),
                     QO_INVALID_TRANSITION);
    assert_int_equal(refusal.error, QO_INVALID_TRANSITION);
    assert_int_equal(machine_event_find(machine, bytes_text("create")), -1);
    assert_int_equal(machine_event_find(machine, bytes_text("")), -1);
    buf_free(&brought);
    buf_free(&out);
}

static void
staying_and_restarting_are_told_apart(void **state)
{
    static const struct {
        const char *state, *event, *to;
        bool stays, restart;
    } table[] = {{"A", "all", "A", true, false},
                 {"A", "again", "A", true, true},
                 {"A", "go", "D", false, false},
                 {"B", "edit", "B", true, false}};
    struct buf held = {0}, out = {0};
    (void)state;
    put_list(&held, "id=i must=m text=t");
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct machine_step step;
        struct machine_refusal refusal;
        struct machine_command command = {state_of(table[i].state), event_of(table[i].event),
                                          buf_bytes(&held), BYTES_NONE};
        assert_int_equal(machine_transition(machine, &command, &out, &step, &refusal), QO_OK);
        assert_int_equal(step.to, state_of(table[i].to));
        assert_int_equal(step.stays, table[i].stays);
        assert_int_equal(step.restart, table[i].restart);
    }
    buf_free(&held);
    buf_free(&out);
}

static void
a_machine_tells_what_it_is(void **state)
{
    static const struct {
        const char *name;
        enum machine_type type;
        bool required, immutable, unique;
    } table[] = {
        {"bool", MACHINE_BOOLEAN, false, false, false},
        {"enum", MACHINE_ENUM, false, false, false},
        {"fix", MACHINE_STRING, false, true, false},
        {"id", MACHINE_STRING, true, true, true},
        {"int", MACHINE_INTEGER, false, false, false},
        {"list", MACHINE_LIST, false, false, false},
        {"map", MACHINE_MAP, false, false, false},
        {"must", MACHINE_STRING, true, false, false},
        {"num", MACHINE_NUMBER, false, false, false},
        {"text", MACHINE_STRING, false, false, false},
        {"time", MACHINE_TIMESTAMP, false, false, false},
    };
    (void)state;
    assert_true(bytes_equal(machine_name(machine), bytes_text("rules")));
    assert_int_equal(machine_version(machine), 7);
    assert_int_equal(machine_version_line(machine), 2);
    assert_int_equal(machine_version_column(machine), 10);
    assert_int_equal(machine_attribute_count(machine), sizeof table / sizeof table[0]);
    for (uint16_t i = 0; i < machine_attribute_count(machine); i++) {
        assert_int_equal(machine_attribute_find(machine, bytes_text(table[i].name)), i);
        assert_true(bytes_equal(machine_attribute_name(machine, i), bytes_text(table[i].name)));
        assert_int_equal(machine_attribute_type(machine, i), table[i].type);
        assert_int_equal(machine_attribute_required(machine, i), table[i].required);
        assert_int_equal(machine_attribute_immutable(machine, i), table[i].immutable);
        assert_int_equal(machine_attribute_unique(machine, i), table[i].unique);
    }
    uint16_t uniques;
    const uint16_t *unique = machine_uniques(machine, &uniques);
    assert_int_equal(uniques, 1);
    assert_int_equal(unique[0], machine_attribute_find(machine, bytes_text("id")));
    int64_t after_us;
    uint16_t event;
    assert_true(machine_state_timeout(machine, state_of("A"), &after_us, &event));
    assert_int_equal(after_us, 90 * 1000 * 1000);
    assert_int_equal(event, event_of("go"));
    assert_false(machine_state_timeout(machine, state_of("B"), &after_us, &event));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation_brings_what_is_required_and_may_bring_the_rest),
        cmocka_unit_test(absent_attributes_are_an_empty_list),
        cmocka_unit_test(a_value_must_have_the_type_of_its_attribute),
        cmocka_unit_test(a_transition_changes_what_it_may),
        cmocka_unit_test(a_transition_refuses_the_rest),
        cmocka_unit_test(an_integer_for_a_number_must_be_exact),
        cmocka_unit_test(what_is_recorded_is_what_was_brought),
        cmocka_unit_test(an_event_that_the_state_does_not_accept_comes_before_attributes),
        cmocka_unit_test(staying_and_restarting_are_told_apart),
        cmocka_unit_test(a_machine_tells_what_it_is),
    };
    return cmocka_run_group_tests_name("machine/decide", tests, open_rules, close_rules);
}
