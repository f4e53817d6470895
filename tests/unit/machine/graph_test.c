/*
 * Goal: a picture shows what a machine is.
 * Method: the whole text for one machine that has everything a picture shows.
 */
#include "support/test.h"

#include "machine/graph.h"
#include "unit/machine/support.h"

static const char source[] = "machine: parcel\n"
                             "version: 2\n"
                             "initial: SENT\n"
                             "states:\n"
                             "  SENT: {timeout: {after: 36h, event: lose}}\n"
                             "  HOME: {final: true}\n"
                             "  LOST: {timeout: {after: 1500ms, event: find}}\n"
                             "events:\n"
                             "  bring: {from: SENT, to: HOME}\n"
                             "  lose: {from: SENT, to: LOST}\n"
                             "  find: {from: LOST, to: SENT}\n"
                             "  see: {from: [SENT, LOST]}\n"
                             "  wait: {from: SENT, restart: true}\n";

static void
expect_text(void (*graph)(const struct machine *, struct buf *), const char *want)
{
    struct machine *machine = open_text("parcel", source);
    struct buf out = {0};
    buf_append(&out, "> ", 2); /* Appended to what is there. */
    graph(machine, &out);
    buf_put_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    buf_free(&out);
    machine_close(machine);
}

static void
draws_for_graphviz(void **state)
{
    (void)state;
    expect_text(machine_graph_dot,
                "> digraph \"parcel\" {\n"
                "  label=\"parcel, version 2\";\n"
                "  rankdir=LR;\n"
                "  node [shape=box, style=rounded];\n"
                "  \"\" [shape=point];\n"
                "  \"HOME\" [peripheries=2];\n"
                "  \"LOST\";\n"
                "  \"SENT\";\n"
                "  \"\" -> \"SENT\";\n"
                "  \"LOST\" -> \"SENT\" [label=\"find\"];\n"
                "  \"LOST\" -> \"SENT\" [label=\"find after 1500ms\", style=dashed];\n"
                "  \"LOST\" -> \"LOST\" [label=\"see\"];\n"
                "  \"SENT\" -> \"HOME\" [label=\"bring\"];\n"
                "  \"SENT\" -> \"LOST\" [label=\"lose\"];\n"
                "  \"SENT\" -> \"LOST\" [label=\"lose after 36h\", style=dashed];\n"
                "  \"SENT\" -> \"SENT\" [label=\"see\"];\n"
                "  \"SENT\" -> \"SENT\" [label=\"wait (restart)\"];\n"
                "}\n");
}

static void
draws_for_mermaid(void **state)
{
    (void)state;
    expect_text(machine_graph_mermaid, "> ---\n"
                                       "title: \"parcel, version 2\"\n"
                                       "---\n"
                                       "stateDiagram-v2\n"
                                       "    state \"HOME\" as s0\n"
                                       "    state \"LOST\" as s1\n"
                                       "    state \"SENT\" as s2\n"
                                       "    [*] --> s2\n"
                                       "    s1 --> s2: find\n"
                                       "    s1 --> s2: find after 1500ms\n"
                                       "    s1 --> s1: see\n"
                                       "    s2 --> s0: bring\n"
                                       "    s2 --> s1: lose\n"
                                       "    s2 --> s1: lose after 36h\n"
                                       "    s2 --> s2: see\n"
                                       "    s2 --> s2: wait (restart)\n"
                                       "    s0 --> [*]\n");
}

/* The longest names and largest numbers fit the lines. */
static void
draws_the_longest_names(void **state)
{
    char a[65], b[65], e[65], text[1024];
    (void)state;
    memset(a, 'A', 64);
    memset(b, 'B', 64);
    memset(e, 'e', 64);
    a[64] = b[64] = e[64] = '\0';
    (void)snprintf(text, sizeof text,
                   "machine: %s\nversion: 2147483648\ninitial: %s\nstates:\n"
                   "  %s: {timeout: {after: 315359999999ms, event: %s}}\n  %s: {final: true}\n"
                   "events:\n  %s: {from: %s, to: %s}\n",
                   a, a, a, e, b, e, a, b);
    struct machine *machine = open_text("long", text);
    struct buf out = {0};
    machine_graph_dot(machine, &out);
    machine_graph_mermaid(machine, &out);
    buf_put_u8(&out, 0);
    assert_non_null(strstr((const char *)out.data, "e after 315359999999ms"));
    assert_int_equal(machine_version(machine), 2147483648u);
    buf_free(&out);
    machine_close(machine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_for_graphviz),
        cmocka_unit_test(draws_for_mermaid),
        cmocka_unit_test(draws_the_longest_names),
    };
    return cmocka_run_group_tests_name("machine/graph", tests, NULL, NULL);
}
