/* See machine/graph.h. Thread: any. */
#include "machine/graph.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine.h"

enum { LINE_MAX_SIZE = 512 }; /* Three names of 64 characters and what stands around them. */

static void put(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
put(struct buf *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf((char *)buf_reserve(out, LINE_MAX_SIZE), LINE_MAX_SIZE, format, arguments);
    va_end(arguments);
    QO_ASSERT(size >= 0 && size < LINE_MAX_SIZE);
    out->size += (size_t)size;
}

/* A duration as it may be written in a definition: the largest unit that leaves nothing over. */
struct duration {
    char text[32];
};

static struct duration
duration_text(int64_t us)
{
    static const struct {
        int64_t us;
        const char *unit;
    } units[] = {{INT64_C(86400000000), "d"},
                 {INT64_C(3600000000), "h"},
                 {60000000, "m"},
                 {1000000, "s"},
                 {1000, "ms"}};
    struct duration duration = {""};
    size_t i = 0;
    while (us % units[i].us != 0) {
        i++;
        QO_ASSERT(i < sizeof units / sizeof units[0]);
    }
    (void)snprintf(duration.text, sizeof duration.text, "%" PRId64 "%s", us / units[i].us,
                   units[i].unit);
    return duration;
}

/* Names hold no character that a quoted text of either form must escape. */
void
machine_graph_dot(const struct machine *machine, struct buf *out)
{
    const struct definition *definition = &machine->definition;
    put(out, "digraph \"%.*s\" {\n", BYTES_FORMAT(definition->name));
    put(out, "  label=\"%.*s, version %" PRIu32 "\";\n", BYTES_FORMAT(definition->name),
        definition->version);
    put(out, "  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    put(out, "  \"\" [shape=point];\n");
    for (uint16_t i = 0; i < definition->states_count; i++) {
        const struct definition_state *state = &definition->states[i];
        put(out, "  \"%.*s\"%s;\n", BYTES_FORMAT(state->name),
            state->final ? " [peripheries=2]" : "");
    }
    put(out, "  \"\" -> \"%.*s\";\n", BYTES_FORMAT(definition->states[definition->initial].name));
    for (uint32_t i = 0; i < definition->edges_count; i++) {
        const struct definition_edge *edge = &definition->edges[i];
        const struct definition_state *from = &definition->states[edge->from];
        put(out, "  \"%.*s\" -> \"%.*s\" [label=\"%.*s%s\"];\n", BYTES_FORMAT(from->name),
            BYTES_FORMAT(definition->states[edge->to].name),
            BYTES_FORMAT(definition->events[edge->event]),
            definition->rules[edge->rule].restart ? " (restart)" : "");
        if (from->timeout_us != 0 && from->timeout_event == edge->event) {
            put(out, "  \"%.*s\" -> \"%.*s\" [label=\"%.*s after %s\", style=dashed];\n",
                BYTES_FORMAT(from->name), BYTES_FORMAT(definition->states[edge->to].name),
                BYTES_FORMAT(definition->events[edge->event]),
                duration_text(from->timeout_us).text);
        }
    }
    put(out, "}\n");
}

/* Mermaid takes no quoted names for states: each gets an id, s0, s1 ..., and its name as a label.
 */
void
machine_graph_mermaid(const struct machine *machine, struct buf *out)
{
    const struct definition *definition = &machine->definition;
    put(out, "---\ntitle: \"%.*s, version %" PRIu32 "\"\n---\n", BYTES_FORMAT(definition->name),
        definition->version);
    put(out, "stateDiagram-v2\n");
    for (uint16_t i = 0; i < definition->states_count; i++) {
        put(out, "    state \"%.*s\" as s%u\n", BYTES_FORMAT(definition->states[i].name),
            (unsigned)i);
    }
    put(out, "    [*] --> s%u\n", (unsigned)definition->initial);
    for (uint32_t i = 0; i < definition->edges_count; i++) {
        const struct definition_edge *edge = &definition->edges[i];
        const struct definition_state *from = &definition->states[edge->from];
        put(out, "    s%u --> s%u: %.*s%s\n", (unsigned)edge->from, (unsigned)edge->to,
            BYTES_FORMAT(definition->events[edge->event]),
            definition->rules[edge->rule].restart ? " (restart)" : "");
        if (from->timeout_us != 0 && from->timeout_event == edge->event) {
            put(out, "    s%u --> s%u: %.*s after %s\n", (unsigned)edge->from, (unsigned)edge->to,
                BYTES_FORMAT(definition->events[edge->event]),
                duration_text(from->timeout_us).text);
        }
    }
    for (uint16_t i = 0; i < definition->states_count; i++) {
        if (definition->states[i].final) {
            put(out, "    s%u --> [*]\n", (unsigned)i);
        }
    }
}
