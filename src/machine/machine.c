/* See machine/machine.h: opening a machine, and what it is. Thread: any. */
#include "machine/machine.h"

#include "engine.h"

/* Fills what is derived from the tables. */
static void
derive(struct machine *machine)
{
    const struct definition *definition = &machine->definition;
    for (uint16_t i = 0; i < definition->attributes_count; i++) {
        if (definition->attributes[i].required) {
            set_add(&machine->required, i);
        }
        if (definition->attributes[i].unique) {
            machine->uniques[machine->uniques_count++] = i;
        }
    }
    machine->first_edge =
        mem_zalloc((definition->states_count + 1u) * sizeof machine->first_edge[0]);
    uint32_t edge = 0;
    for (uint16_t state = 0; state < definition->states_count; state++) {
        machine->first_edge[state] = edge;
        while (edge < definition->edges_count && definition->edges[edge].from == state) {
            edge++;
        }
    }
    QO_ASSERT(edge == definition->edges_count);
    machine->first_edge[definition->states_count] = edge;
    struct sha256 sum = hash_sha256(bytes_make(machine->compiled + COMPILED_HEADER_SIZE,
                                               machine->compiled_size - COMPILED_HEADER_SIZE));
    hash_hex(bytes_make(sum.bytes, sizeof sum.bytes), machine->checksum);
}

/* True if encoding the tables gives the bytes that they came from. */
static bool
encodes_back(const struct machine *machine)
{
    struct buf again = {0};
    definition_encode(&again, &machine->definition);
    bool same = bytes_equal(buf_bytes(&again), machine_compiled(machine));
    buf_free(&again);
    return same;
}

struct machine *
machine_open(struct bytes compiled)
{
    if (compiled.size <= COMPILED_HEADER_SIZE || compiled.size > QO_COMPILED_MAX) {
        return NULL;
    }
    struct machine *machine = mem_zalloc(sizeof *machine);
    machine->compiled = mem_alloc(compiled.size);
    machine->compiled_size = compiled.size;
    memcpy(machine->compiled, compiled.data, compiled.size);
    if (!definition_decode(machine_compiled(machine), &machine->definition)) {
        machine_close(machine);
        return NULL;
    }
    QO_VERIFY(encodes_back(machine));
    (void)encodes_back;
    derive(machine);
    return machine;
}

void
machine_close(struct machine *machine)
{
    if (machine == NULL) {
        return;
    }
    definition_free(&machine->definition);
    mem_free(machine->first_edge);
    mem_free(machine->compiled);
    mem_free(machine);
}

struct bytes
machine_compiled(const struct machine *machine)
{
    return bytes_make(machine->compiled, machine->compiled_size);
}

struct bytes
machine_name(const struct machine *machine)
{
    return machine->definition.name;
}

uint32_t
machine_version(const struct machine *machine)
{
    return machine->definition.version;
}

const char *
machine_checksum(const struct machine *machine)
{
    return machine->checksum;
}

uint32_t
machine_version_line(const struct machine *machine)
{
    return machine->definition.line;
}

uint32_t
machine_version_column(const struct machine *machine)
{
    return machine->definition.column;
}

uint16_t
machine_state_count(const struct machine *machine)
{
    return machine->definition.states_count;
}

uint16_t
machine_event_count(const struct machine *machine)
{
    return machine->definition.events_count;
}

uint16_t
machine_attribute_count(const struct machine *machine)
{
    return machine->definition.attributes_count;
}

int32_t
machine_state_find(const struct machine *machine, struct bytes name)
{
    const struct definition *definition = &machine->definition;
    return definition_find(definition->states, definition->states_count,
                           sizeof definition->states[0], name);
}

int32_t
machine_event_find(const struct machine *machine, struct bytes name)
{
    const struct definition *definition = &machine->definition;
    return definition_find(definition->events, definition->events_count,
                           sizeof definition->events[0], name);
}

int32_t
machine_attribute_find(const struct machine *machine, struct bytes name)
{
    const struct definition *definition = &machine->definition;
    return definition_find(definition->attributes, definition->attributes_count,
                           sizeof definition->attributes[0], name);
}

struct bytes
machine_state_name(const struct machine *machine, uint16_t state)
{
    QO_PRE(state < machine->definition.states_count);
    return machine->definition.states[state].name;
}

struct bytes
machine_event_name(const struct machine *machine, uint16_t event)
{
    QO_PRE(event < machine->definition.events_count);
    return machine->definition.events[event];
}

static const struct definition_attribute *
attribute_at(const struct machine *machine, uint16_t attribute)
{
    QO_PRE(attribute < machine->definition.attributes_count);
    return &machine->definition.attributes[attribute];
}

struct bytes
machine_attribute_name(const struct machine *machine, uint16_t attribute)
{
    return attribute_at(machine, attribute)->name;
}

uint16_t
machine_initial(const struct machine *machine)
{
    return machine->definition.initial;
}

bool
machine_state_final(const struct machine *machine, uint16_t state)
{
    QO_PRE(state < machine->definition.states_count);
    return machine->definition.states[state].final;
}

bool
machine_state_timeout(const struct machine *machine, uint16_t state, int64_t *after_us_out,
                      uint16_t *event_out)
{
    QO_PRE(state < machine->definition.states_count);
    const struct definition_state *found = &machine->definition.states[state];
    if (found->timeout_us == 0) {
        return false;
    }
    *after_us_out = found->timeout_us;
    *event_out = found->timeout_event;
    return true;
}

uint32_t
machine_allowed(const struct machine *machine, uint16_t state, uint16_t *events_out)
{
    QO_PRE(state < machine->definition.states_count);
    uint32_t first = machine->first_edge[state];
    uint32_t count = machine->first_edge[state + 1] - first;
    QO_ASSERT(count <= QO_EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        events_out[i] = machine->definition.edges[first + i].event;
    }
    return count;
}

const struct definition_edge *
machine_edge(const struct machine *machine, uint16_t state, uint16_t event)
{
    QO_PRE(state < machine->definition.states_count);
    QO_PRE(event < machine->definition.events_count);
    uint32_t low = machine->first_edge[state], high = machine->first_edge[state + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct definition_edge *edge = &machine->definition.edges[middle];
        if (edge->event == event) {
            return edge;
        }
        if (edge->event < event) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

bool
machine_accepts(const struct machine *machine, uint16_t state, uint16_t event)
{
    return machine_edge(machine, state, event) != NULL;
}

enum machine_type
machine_attribute_type(const struct machine *machine, uint16_t attribute)
{
    return attribute_at(machine, attribute)->type;
}

bool
machine_attribute_required(const struct machine *machine, uint16_t attribute)
{
    return attribute_at(machine, attribute)->required;
}

bool
machine_attribute_immutable(const struct machine *machine, uint16_t attribute)
{
    return attribute_at(machine, attribute)->immutable;
}

bool
machine_attribute_unique(const struct machine *machine, uint16_t attribute)
{
    return attribute_at(machine, attribute)->unique;
}

const uint16_t *
machine_uniques(const struct machine *machine, uint16_t *count_out)
{
    *count_out = machine->uniques_count;
    return machine->uniques;
}
