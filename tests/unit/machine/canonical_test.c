/*
 * Goal: one meaning has one compiled form, other meanings have others, and only a compiled form is
 *       opened.
 * Method: one definition written in many ways; one definition changed in every part; random bytes
 *         changed in compiled forms, where what still opens must encode to the same bytes.
 */
#include "support/test.h"

#include "common/hash.h"
#include "definition.h"
#include "support/seed.h"
#include "unit/machine/support.h"

/* -- One meaning ----------------------------------------------------------------------------- */

static const char plain[] = "machine: m\n"
                            "version: 3\n"
                            "description: Two words\n"
                            "initial: A\n"
                            "attributes:\n"
                            "  colour: {type: enum, values: [RED, GREEN]}\n"
                            "  note: {type: string}\n"
                            "  who: {type: string, required: true, immutable: true, unique: true}\n"
                            "states:\n"
                            "  A: {timeout: {after: 72h, event: end}}\n"
                            "  B: {has: [who, note]}\n"
                            "  C: {final: true}\n"
                            "events:\n"
                            "  go: {from: A, to: B, requires: [note], accepts: [colour]}\n"
                            "  end: {from: [A, B], to: C, roles: [x, y]}\n"
                            "  stay: {from: B, accepts: [colour, note]}\n";

static const char *const same[] = {
    /* Comments, order of keys, block style, quotes. */
    "# A comment\n"
    "events:\n"
    "  stay:\n"
    "    accepts:\n"
    "      - note\n"
    "      - colour\n"
    "    from: B\n"
    "  end:\n"
    "    roles: [y, x]   # and another\n"
    "    to: C\n"
    "    from: [B, A]\n"
    "  go: {accepts: [colour], requires: [note], to: B, from: A}\n"
    "states:\n"
    "  C: {final: true}\n"
    "  B: {has: [note, who]}\n"
    "  A:\n"
    "    timeout:\n"
    "      event: end\n"
    "      after: 72h\n"
    "attributes:\n"
    "  who: {unique: true, immutable: true, required: true, type: string}\n"
    "  note: {type: 'string'}\n"
    "  colour: {values: [GREEN, RED], type: \"enum\"}\n"
    "initial: 'A'\n"
    "description: \"Two words\"\n"
    "version: 3\n"
    "machine: \"m\"\n",
    /* Rules spread over entries, staying written out, what is false anyway, the same time. */
    "machine: m\n"
    "version: 3\n"
    "description: >-\n"
    "  Two\n"
    "  words\n"
    "initial: A\n"
    "acyclic: false\n"
    "attributes:\n"
    "  colour: {type: enum, values: [RED, GREEN], required: false, unique: false}\n"
    "  note: {type: string, immutable: false}\n"
    "  who: {type: string, required: true, immutable: true, unique: true}\n"
    "states:\n"
    "  A: {timeout: {after: 259200000ms, event: end}, has: [], final: false}\n"
    "  B: {has: [who, note]}\n"
    "  C: {final: true, has: []}\n"
    "events:\n"
    "  go: [{from: [A], to: B, requires: [note], accepts: [colour, note], restart: false}]\n"
    "  end:\n"
    "    - {from: B, to: C, roles: [x, y], requires: []}\n"
    "    - {from: A, to: C, roles: [x, y]}\n"
    "  stay: {from: B, to: B, accepts: [colour, note]}\n",
    /* One line, with a version of YAML said and the document opened and closed. */
    "%YAML 1.1\n"
    "---\n"
    "{events: {go: {from: A, to: B, requires: [note], accepts: [colour]}, stay: {from: B, accepts: "
    "[colour, note]}, end: {from: [A, B], to: C, roles: [x, y]}}, states: {A: {timeout: {after: "
    "3d, "
    "event: end}}, B: {has: [who, note]}, C: {final: true}}, machine: m, version: 3, initial: A, "
    "description: Two words, attributes: {colour: {type: enum, values: [RED, GREEN]}, note: {type: "
    "string}, who: {type: string, required: true, immutable: true, unique: true}}}\n"
    "...\n",
};

static void
one_meaning_has_one_form(void **state)
{
    struct machine *first = open_text("plain", plain);
    struct bytes content = machine_compiled(first);
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct machine *other = open_text("same", same[i]);
        struct bytes others = machine_compiled(other);
        if (strcmp(machine_checksum(first), machine_checksum(other)) != 0 ||
            content.size != others.size ||
            memcmp(content.data + COMPILED_HEADER_SIZE, others.data + COMPILED_HEADER_SIZE,
                   content.size - COMPILED_HEADER_SIZE) != 0) {
            fail_msg("way %zu of writing it has another form", i);
        }
        machine_close(other);
    }
    machine_close(first);
}

static void
a_form_does_not_depend_on_the_run(void **state)
{
    /* Computed by hand from definition.h, with another program: a compiler that writes other bytes
     * makes all definitions of all clusters look changed. Then COMPILED_FORMAT must rise. */
    static const char checksum[] =
        "2f6a5fa72bf018cdde874e5cca97547cfe94827e383526e66d679c2857b83301";
    struct machine *machine = open_text("plain", plain);
    (void)state;
    assert_string_equal(machine_checksum(machine), checksum);
    struct bytes compiled = machine_compiled(machine);
    struct sha256 sum = hash_sha256(
        bytes_make(compiled.data + COMPILED_HEADER_SIZE, compiled.size - COMPILED_HEADER_SIZE));
    char hex[65];
    hash_hex(bytes_make(sum.bytes, sizeof sum.bytes), hex);
    assert_string_equal(hex, checksum);
    assert_int_equal(compiled.data[0], COMPILED_FORMAT);
    machine_close(machine);
}

static void
the_place_of_the_version_travels_and_is_no_content(void **state)
{
    char source[2048];
    struct machine *first = open_text("plain", plain);
    (void)state;
    (void)snprintf(source, sizeof source, "# one line\n\n%s", plain);
    struct machine *moved = open_text("moved", source);
    assert_int_equal(machine_version_line(first), 2);
    assert_int_equal(machine_version_column(first), 10);
    assert_int_equal(machine_version_line(moved), 4);
    assert_int_equal(machine_version_column(moved), 10);
    assert_string_equal(machine_checksum(first), machine_checksum(moved));
    assert_false(bytes_equal(machine_compiled(first), machine_compiled(moved)));
    machine_close(first);
    machine_close(moved);
    struct machine *wide =
        open_text("wide", "{description: 'äö', version: 1, machine: m, initial: A,"
                          " states: {A: {final: true}}, events: {}}\n");
    assert_int_equal(machine_version_line(wide), 1);
    assert_int_equal(machine_version_column(wide), 32);
    machine_close(wide);
}

/* -- Other meanings -------------------------------------------------------------------------- */

static void
other_content_has_another_checksum(void **state)
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"machine: m", "machine: n"},
        {"version: 3", "version: 4"},
        {"Two words", "Two wordz"},
        {"description: Two words\n", ""},
        {"initial: A", "initial: A\nacyclic: true"},
        {"RED, GREEN", "RED, BLUE"},
        {"RED, GREEN", "RED, GREEN, BLUE"},
        {"note: {type: string}", "note: {type: map}"},
        {"note: {type: string}", "note: {type: string, immutable: true}"},
        {"note: {type: string}", "note: {type: string, required: true}"},
        {"unique: true", "unique: false"},
        {"after: 72h", "after: 71h"},
        {"{timeout: {after: 72h, event: end}}", "{}"},
        {"event: end", "event: out"},
        {"[who, note]", "[who]"},
        {"accepts: [colour]", "accepts: []"},
        {"requires: [note], accepts: [colour]", "requires: [note, colour]"},
        {"out: {from: A, to: C}", "out: {from: [A, B], to: C}"},
        {"roles: [x, y]", "roles: [x, z]"},
        {", roles: [x, y]", ", roles: []"},
        {", roles: [x, y]", ""},
        {"{from: B, accepts", "{from: B, restart: true, accepts"},
        {"{from: B, accepts", "{from: B, to: A, accepts"},
        {"  stay:", "  wait:"},
        {"C: {final: true}", "C: {final: true, has: [who]}"},
    };
    enum { CHANGES = sizeof changes / sizeof changes[0] };
    char checksums[CHANGES + 1][65];
    (void)state;
    for (size_t i = 0; i <= CHANGES; i++) {
        char source[2048];
        (void)snprintf(source, sizeof source, "%s  out: {from: A, to: C}\n", plain);
        if (i < CHANGES) {
            char rest[2048];
            char *at = strstr(source, changes[i].from);
            assert_non_null(at);
            (void)snprintf(rest, sizeof rest, "%s", at + strlen(changes[i].from));
            (void)snprintf(at, sizeof source - (size_t)(at - source), "%s%s", changes[i].to, rest);
        }
        struct machine *machine = open_text(i < CHANGES ? changes[i].to : "base", source);
        memcpy(checksums[i], machine_checksum(machine), 65);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(checksums[i], checksums[j]) == 0) {
                fail_msg("change %zu has the checksum of %zu", i, j);
            }
        }
        machine_close(machine);
    }
}

/* -- Opening --------------------------------------------------------------------------------- */

static const char *const files[] = {
    "cluster/machines/bench.yaml",          "cluster/machines/checkout.yaml",
    "cluster/machines/delivery.yaml",       "cluster/machines/food-delivery.yaml",
    "cluster/machines/marketplace.yaml",    "cluster/machines/order.yaml",
    "cluster/machines/order-tracking.yaml",
};

static void
what_is_opened_is_what_was_compiled(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *text = read_text(files[i]);
        struct buf compiled = {0}, again = {0};
        struct machine_error error;
        buf_append(&compiled, "before", 6); /* Appended to what is there. */
        assert_int_equal(machine_compile(bytes_text(text), &compiled, &error), QO_OK);
        struct bytes form = bytes_make(compiled.data + 6, compiled.size - 6);
        struct machine *machine = machine_open(form);
        assert_non_null(machine);
        assert_true(bytes_equal(machine_compiled(machine), form));
        struct definition definition = {0};
        assert_true(definition_decode(form, &definition));
        definition_encode(&again, &definition);
        assert_true(bytes_equal(buf_bytes(&again), form));
        definition_free(&definition);
        buf_clear(&again);
        assert_int_equal(machine_compile(bytes_text(text), &again, &error), QO_OK);
        assert_true(bytes_equal(buf_bytes(&again), form));
        machine_close(machine);
        buf_free(&compiled);
        buf_free(&again);
        mem_free(text);
    }
}

static void
the_example_of_the_readme_compiles(void **state)
{
    char *text = read_text("src/machine/README.md");
    char *start = strstr(text, "```yaml\n");
    (void)state;
    assert_non_null(start);
    start += strlen("```yaml\n");
    char *end = strstr(start, "```");
    assert_non_null(end);
    *end = '\0';
    struct machine *machine = open_text("README.md", start);
    assert_true(bytes_equal(machine_name(machine), bytes_text("parcel")));
    machine_close(machine);
    mem_free(text);
}

static void
refuses_what_is_cut_or_longer(void **state)
{
    struct machine *machine = open_file("cluster/machines/food-delivery.yaml");
    struct bytes form = machine_compiled(machine);
    (void)state;
    for (size_t size = 0; size < form.size; size++) {
        /* A copy of just that size, so that a sanitizer sees every read behind the end. */
        uint8_t *cut = mem_alloc(size);
        memcpy(cut, form.data, size);
        assert_null(machine_open(bytes_make(cut, size)));
        mem_free(cut);
    }
    struct buf longer = {0};
    buf_append(&longer, form.data, form.size);
    buf_put_u8(&longer, 0);
    assert_null(machine_open(buf_bytes(&longer)));
    assert_null(machine_open(BYTES_NONE));
    longer.data[0] = COMPILED_FORMAT + 1;
    assert_null(machine_open(bytes_make(longer.data, form.size)));
    buf_free(&longer);
    machine_close(machine);
}

/* Changes up to four bytes; what still opens must be exactly what would be written. */
static void
opens_nothing_that_it_would_not_write(void **state)
{
    enum { ROUNDS = 40000 };
    uint64_t prng = seed_init();
    uint32_t opened = 0, refused = 0;
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct machine *machine = open_file(files[i]);
        struct bytes form = machine_compiled(machine);
        uint8_t *changed = mem_alloc(form.size);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            memcpy(changed, form.data, form.size);
            for (uint64_t n = 1 + seed_below(&prng, 4); n > 0; n--) {
                uint8_t *at = &changed[seed_below(&prng, form.size)];
                *at = seed_below(&prng, 2) == 0 ? (uint8_t)seed_next(&prng)
                                                : (uint8_t)(*at + seed_below(&prng, 3) - 1);
            }
            struct definition definition = {0};
            bool good = definition_decode(bytes_make(changed, form.size), &definition);
            if (good) {
                struct buf again = {0};
                definition_encode(&again, &definition);
                if (!bytes_equal(buf_bytes(&again), bytes_make(changed, form.size))) {
                    fail_msg("%s: round %u is opened and written otherwise", files[i], round);
                }
                buf_free(&again);
            }
            opened += good;
            refused += !good;
            definition_free(&definition);
        }
        mem_free(changed);
        machine_close(machine);
    }
    assert_true(opened > 0 && refused > 0); /* Else this tested too little. */
}

/* Each spoils one thing in the tables of `plain`. */
static void
unsort_rules(struct definition *d)
{
    struct definition_rule first = d->rules[0];
    d->rules[0] = d->rules[1];
    d->rules[1] = first;
}

static void
double_a_rule(struct definition *d)
{
    d->rules[1] = d->rules[0];
}

static void
leave_a_rule_unused(struct definition *d)
{
    for (uint32_t i = 0; i < d->edges_count; i++) {
        d->edges[i].rule = 0;
    }
}

static void
leave_an_event_unused(struct definition *d)
{
    for (uint32_t i = 0; i + 1 < d->edges_count; i++) {
        if (d->edges[i].event == 1) { /* `go`; its state is left with `end` alone. */
            memmove(&d->edges[i], &d->edges[i + 1], (d->edges_count - i - 1) * sizeof d->edges[0]);
            d->edges_count--;
        }
    }
}

static void
unsort_edges(struct definition *d)
{
    struct definition_edge first = d->edges[0];
    d->edges[0] = d->edges[1];
    d->edges[1] = first;
}

static void
lead_out_of_a_final_state(struct definition *d)
{
    d->edges[d->edges_count - 1].from = 2;
}

static void
lead_to_no_state(struct definition *d)
{
    d->edges[0].to = d->states_count;
}

static void
restart_on_a_way_out(struct definition *d)
{
    d->rules[d->edges[0].rule].restart = true;
}

static void
time_out_on_a_final_state(struct definition *d)
{
    d->states[2].timeout_us = 1000000;
}

static void
time_out_too_soon(struct definition *d)
{
    d->states[0].timeout_us = DURATION_US_MIN - 1;
}

static void
time_out_too_late(struct definition *d)
{
    d->states[0].timeout_us = DURATION_US_MAX + 1000;
}

static void
time_out_by_what_does_not_leave(struct definition *d)
{
    d->states[0].timeout_event = 2;
}

static void
time_out_by_what_requires(struct definition *d)
{
    d->states[0].timeout_event = 1;
}

static void
require_and_accept(struct definition *d)
{
    for (uint16_t i = 0; i < d->rules_count; i++) {
        d->rules[i].accepts.bits[0] |= d->rules[i].requires.bits[0];
    }
}

static void
unique_and_not_required(struct definition *d)
{
    d->attributes[2].required = false;
}

static void
an_enum_of_nothing(struct definition *d)
{
    d->attributes[0].values_count = 0;
}

static void
unsort_values(struct definition *d)
{
    struct bytes first = d->texts[d->attributes[0].values];
    d->texts[d->attributes[0].values] = d->texts[d->attributes[0].values + 1];
    d->texts[d->attributes[0].values + 1] = first;
}

static void
unsort_states(struct definition *d)
{
    struct bytes first = d->states[0].name;
    d->states[0].name = d->states[1].name;
    d->states[1].name = first;
}

static void
double_an_attribute(struct definition *d)
{
    d->attributes[1].name = d->attributes[0].name;
}

static void
name_an_event_create(struct definition *d)
{
    d->events[0] = bytes_text("create");
}

static void
misname(struct definition *d)
{
    d->name = bytes_text("a b");
}

static void
start_nowhere(struct definition *d)
{
    d->initial = d->states_count;
}

static void
be_of_no_version(struct definition *d)
{
    d->version = 0;
}

static void
be_of_a_version_too_high(struct definition *d)
{
    d->version = DEFINITION_VERSION_MAX + 1;
}

static void
stand_nowhere(struct definition *d)
{
    d->line = 0;
}

static void
refuses_tables_that_no_definition_makes(void **state)
{
    static const struct {
        const char *name;
        void (*spoil)(struct definition *);
    } table[] = {
#define ROW(function) {#function, function}
        ROW(unsort_rules),
        ROW(double_a_rule),
        ROW(leave_a_rule_unused),
        ROW(leave_an_event_unused),
        ROW(unsort_edges),
        ROW(lead_out_of_a_final_state),
        ROW(lead_to_no_state),
        ROW(restart_on_a_way_out),
        ROW(time_out_on_a_final_state),
        ROW(time_out_too_soon),
        ROW(time_out_too_late),
        ROW(time_out_by_what_does_not_leave),
        ROW(time_out_by_what_requires),
        ROW(require_and_accept),
        ROW(unique_and_not_required),
        ROW(an_enum_of_nothing),
        ROW(unsort_values),
        ROW(unsort_states),
        ROW(double_an_attribute),
        ROW(name_an_event_create),
        ROW(misname),
        ROW(start_nowhere),
        ROW(be_of_no_version),
        ROW(be_of_a_version_too_high),
        ROW(stand_nowhere),
#undef ROW
    };
    struct machine *machine = open_text("plain", plain);
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct definition definition = {0}, spoiled = {0};
        struct buf form = {0};
        assert_true(definition_decode(machine_compiled(machine), &definition));
        table[i].spoil(&definition);
        definition_encode(&form, &definition);
        if (definition_decode(buf_bytes(&form), &spoiled)) {
            fail_msg("%s: opened", table[i].name);
        }
        assert_null(machine_open(buf_bytes(&form)));
        definition_free(&definition);
        definition_free(&spoiled);
        buf_free(&form);
    }
    machine_close(machine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_meaning_has_one_form),
        cmocka_unit_test(a_form_does_not_depend_on_the_run),
        cmocka_unit_test(the_place_of_the_version_travels_and_is_no_content),
        cmocka_unit_test(other_content_has_another_checksum),
        cmocka_unit_test(what_is_opened_is_what_was_compiled),
        cmocka_unit_test(the_example_of_the_readme_compiles),
        cmocka_unit_test(refuses_what_is_cut_or_longer),
        cmocka_unit_test(refuses_tables_that_no_definition_makes),
        cmocka_unit_test(opens_nothing_that_it_would_not_write),
    };
    return cmocka_run_group_tests_name("machine/canonical", tests, NULL, NULL);
}
