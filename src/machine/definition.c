/* See definition.h. Thread: any. */
#include "definition.h"

#include "common/assert.h"

bool
definition_name_valid(struct bytes name)
{
    if (name.size < 1 || name.size > QO_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != ':' && c != '-') {
            return false;
        }
    }
    return true;
}

uint32_t
definition_add_text(struct definition *definition, struct bytes text)
{
    enum { CAPACITY_MIN = 8 };
    if (definition->texts_count == definition->texts_capacity) {
        uint32_t capacity = definition->texts_capacity;
        capacity = capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity * 2;
        QO_ASSERT(capacity <= QO_COMPILED_MAX); /* Each is at least two bytes of what it is from. */
        definition->texts = mem_realloc(definition->texts, capacity * sizeof definition->texts[0]);
        definition->texts_capacity = capacity;
    }
    definition->texts[definition->texts_count] = text;
    return definition->texts_count++;
}

int32_t
definition_find(const void *elements, size_t count, size_t size, struct bytes name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct bytes found;
        memcpy(&found, (const uint8_t *)elements + middle * size, sizeof found);
        int order = bytes_compare(found, name);
        if (order == 0) {
            return (int32_t)middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

void
definition_free(struct definition *definition)
{
    mem_free(definition->attributes);
    mem_free(definition->states);
    mem_free(definition->events);
    mem_free(definition->rules);
    mem_free(definition->edges);
    mem_free(definition->texts);
    *definition = (struct definition){0};
}

/* -- Encoding ------------------------------------------------------------------------ */

static void
put_set(struct buf *out, const struct attribute_set *set, uint16_t attributes_count)
{
    uint8_t count = 0;
    size_t at = out->size;
    buf_put_u8(out, 0);
    for (uint16_t i = 0; i < attributes_count; i++) {
        if (set_contains(set, i)) {
            buf_put_u8(out, (uint8_t)i);
            count++;
        }
    }
    out->data[at] = count;
}

static void
put_texts(struct buf *out, const struct definition *definition, uint32_t first, uint32_t count)
{
    buf_put_le32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        buf_put_bytes8(out, definition->texts[first + i]);
    }
}

void
definition_encode_rule(struct buf *out, const struct definition *definition,
                       const struct definition_rule *rule)
{
    buf_put_u8(out, (uint8_t)((rule->restart ? 1 : 0) | (rule->roles_given ? 2 : 0)));
    put_set(out, &rule->requires, definition->attributes_count);
    put_set(out, &rule->accepts, definition->attributes_count);
    if (rule->roles_given) {
        put_texts(out, definition, rule->roles, rule->roles_count);
    }
}

static void
put_attribute(struct buf *out, const struct definition *definition,
              const struct definition_attribute *attribute)
{
    buf_put_bytes8(out, attribute->name);
    buf_put_u8(out, (uint8_t)attribute->type);
    buf_put_u8(out, (uint8_t)((attribute->required ? 1 : 0) | (attribute->immutable ? 2 : 0) |
                              (attribute->unique ? 4 : 0)));
    if (attribute->type == MACHINE_ENUM) {
        put_texts(out, definition, attribute->values, attribute->values_count);
    }
}

static void
put_state(struct buf *out, const struct definition *definition,
          const struct definition_state *state)
{
    buf_put_bytes8(out, state->name);
    buf_put_u8(out, (uint8_t)((state->final ? 1 : 0) | (state->timeout_us != 0 ? 2 : 0)));
    put_set(out, &state->has, definition->attributes_count);
    if (state->timeout_us != 0) {
        buf_put_le64(out, (uint64_t)state->timeout_us);
        buf_put_le16(out, state->timeout_event);
    }
}

static void
put_edges(struct buf *out, const struct definition *definition)
{
    uint32_t next = 0;
    for (uint16_t state = 0; state < definition->states_count; state++) {
        uint32_t first = next;
        while (next < definition->edges_count && definition->edges[next].from == state) {
            next++;
        }
        buf_put_le16(out, (uint16_t)(next - first));
        for (uint32_t i = first; i < next; i++) {
            const struct definition_edge *edge = &definition->edges[i];
            buf_put_le16(out, edge->event);
            buf_put_u8(out, (uint8_t)edge->to);
            buf_put_le16(out, edge->rule);
        }
    }
    QO_POST(next == definition->edges_count); /* Else they were not sorted. */
}

void
definition_encode(struct buf *out, const struct definition *definition)
{
    buf_put_u8(out, COMPILED_FORMAT);
    buf_put_le32(out, definition->line);
    buf_put_le32(out, definition->column);
    buf_put_bytes8(out, definition->name);
    buf_put_le32(out, definition->version);
    buf_put_u8(out, definition->acyclic ? 1 : 0);
    buf_put_bytes32(out, definition->description);
    buf_put_le16(out, definition->attributes_count);
    for (uint16_t i = 0; i < definition->attributes_count; i++) {
        put_attribute(out, definition, &definition->attributes[i]);
    }
    buf_put_le16(out, definition->states_count);
    for (uint16_t i = 0; i < definition->states_count; i++) {
        put_state(out, definition, &definition->states[i]);
    }
    buf_put_le16(out, definition->initial);
    buf_put_le16(out, definition->events_count);
    for (uint16_t i = 0; i < definition->events_count; i++) {
        buf_put_bytes8(out, definition->events[i]);
    }
    buf_put_le16(out, definition->rules_count);
    for (uint16_t i = 0; i < definition->rules_count; i++) {
        definition_encode_rule(out, definition, &definition->rules[i]);
    }
    put_edges(out, definition);
}

/* -- Decoding: takes only what encoding writes --------------------------------------- */

/* A sorted set. */
static bool
get_set(struct cursor *cursor, uint16_t attributes_count, struct attribute_set *set_out)
{
    int32_t last = -1;
    *set_out = (struct attribute_set){{0, 0}};
    for (uint8_t left = cursor_u8(cursor); left > 0; left--) {
        uint8_t attribute = cursor_u8(cursor);
        if (cursor->failed || attribute >= attributes_count || (int32_t)attribute <= last) {
            return false;
        }
        set_add(set_out, attribute);
        last = attribute;
    }
    return !cursor->failed;
}

/* A valid name that sorts behind `last` (BYTES_NONE: the first). */
static bool
get_name(struct cursor *cursor, struct bytes last, struct bytes *name_out)
{
    *name_out = cursor_bytes8(cursor);
    return !cursor->failed && definition_name_valid(*name_out) &&
           (last.data == NULL || bytes_compare(last, *name_out) < 0);
}

static bool
get_texts(struct cursor *cursor, struct definition *definition, uint32_t *first_out,
          uint32_t *count_out)
{
    struct bytes last = BYTES_NONE;
    *first_out = definition->texts_count;
    *count_out = cursor_le32(cursor);
    for (uint32_t i = 0; i < *count_out; i++) {
        if (!get_name(cursor, last, &last)) {
            return false;
        }
        (void)definition_add_text(definition, last);
    }
    return !cursor->failed;
}

static bool
get_attributes(struct cursor *cursor, struct definition *definition)
{
    uint16_t count = cursor_le16(cursor);
    if (cursor->failed || count > QO_DECLARED_ATTRIBUTES_MAX) {
        return false;
    }
    definition->attributes = mem_zalloc(count * sizeof definition->attributes[0]);
    definition->attributes_count = count;
    struct bytes last = BYTES_NONE;
    for (uint16_t i = 0; i < count; i++) {
        struct definition_attribute *attribute = &definition->attributes[i];
        if (!get_name(cursor, last, &attribute->name)) {
            return false;
        }
        last = attribute->name;
        uint8_t type = cursor_u8(cursor), flags = cursor_u8(cursor);
        if (cursor->failed || type < MACHINE_STRING || type > MACHINE_MAP || flags > 7 ||
            !QO_IMPLIES((flags & 4) != 0, (flags & 3) == 3)) {
            return false;
        }
        attribute->type = (enum machine_type)type;
        attribute->required = (flags & 1) != 0;
        attribute->immutable = (flags & 2) != 0;
        attribute->unique = (flags & 4) != 0;
        if (attribute->type == MACHINE_ENUM &&
            (!get_texts(cursor, definition, &attribute->values, &attribute->values_count) ||
             attribute->values_count == 0)) {
            return false;
        }
    }
    return true;
}

static bool
get_states(struct cursor *cursor, struct definition *definition)
{
    uint16_t count = cursor_le16(cursor);
    if (cursor->failed || count == 0 || count > QO_STATES_MAX) {
        return false;
    }
    definition->states = mem_zalloc(count * sizeof definition->states[0]);
    definition->states_count = count;
    struct bytes last = BYTES_NONE;
    for (uint16_t i = 0; i < count; i++) {
        struct definition_state *state = &definition->states[i];
        if (!get_name(cursor, last, &state->name)) {
            return false;
        }
        last = state->name;
        uint8_t flags = cursor_u8(cursor);
        if (flags > 2 || !get_set(cursor, definition->attributes_count, &state->has)) {
            return false; /* 3 would be a final state with a timeout. */
        }
        state->final = flags == 1;
        if (flags == 2) {
            uint64_t after_us = cursor_le64(cursor);
            if (after_us < (uint64_t)DURATION_US_MIN || after_us > (uint64_t)DURATION_US_MAX ||
                after_us % (uint64_t)DURATION_US_MIN != 0) {
                return false;
            }
            state->timeout_us = (int64_t)after_us;
            state->timeout_event = cursor_le16(cursor);
        }
    }
    definition->initial = cursor_le16(cursor);
    return !cursor->failed && definition->initial < count;
}

static bool
get_events(struct cursor *cursor, struct definition *definition)
{
    uint16_t count = cursor_le16(cursor);
    if (cursor->failed || count > QO_EVENTS_MAX) {
        return false;
    }
    definition->events = mem_zalloc(count * sizeof definition->events[0]);
    definition->events_count = count;
    struct bytes last = BYTES_NONE;
    for (uint16_t i = 0; i < count; i++) {
        if (!get_name(cursor, last, &definition->events[i]) ||
            bytes_equal(definition->events[i], bytes_text(EVENT_RESERVED))) {
            return false;
        }
        last = definition->events[i];
    }
    return true;
}

static bool
get_rules(struct cursor *cursor, struct definition *definition)
{
    uint16_t count = cursor_le16(cursor);
    if (cursor->failed || count > cursor->end - cursor->at) {
        return false;
    }
    definition->rules = mem_zalloc(count * sizeof definition->rules[0]);
    definition->rules_count = count;
    struct bytes last = BYTES_NONE;
    for (uint16_t i = 0; i < count; i++) {
        struct definition_rule *rule = &definition->rules[i];
        const uint8_t *start = cursor->at;
        uint8_t flags = cursor_u8(cursor);
        if (flags > 3 || !get_set(cursor, definition->attributes_count, &rule->requires) ||
            !get_set(cursor, definition->attributes_count, &rule->accepts) ||
            ((rule->requires.bits[0] & rule->accepts.bits[0]) |
             (rule->requires.bits[1] & rule->accepts.bits[1])) != 0) {
            return false;
        }
        rule->restart = (flags & 1) != 0;
        rule->roles_given = (flags & 2) != 0;
        if (rule->roles_given && !get_texts(cursor, definition, &rule->roles, &rule->roles_count)) {
            return false;
        }
        struct bytes encoded = bytes_make(start, (size_t)(cursor->at - start));
        if (cursor->failed || (last.data != NULL && bytes_compare(last, encoded) >= 0)) {
            return false;
        }
        last = encoded;
    }
    return true;
}

static bool
get_edges_of_state(struct cursor *cursor, struct definition *definition, uint16_t from)
{
    uint16_t count = cursor_le16(cursor);
    const struct definition_state *state = &definition->states[from];
    if (cursor->failed || count > definition->events_count || (state->final && count > 0)) {
        return false;
    }
    bool timeout_leaves = state->timeout_us == 0;
    int32_t last = -1;
    for (uint16_t i = 0; i < count; i++) {
        struct definition_edge edge = {.from = from};
        edge.event = cursor_le16(cursor);
        edge.to = cursor_u8(cursor);
        edge.rule = cursor_le16(cursor);
        if (cursor->failed || edge.event >= definition->events_count ||
            (int32_t)edge.event <= last || edge.to >= definition->states_count ||
            edge.rule >= definition->rules_count) {
            return false;
        }
        const struct definition_rule *rule = &definition->rules[edge.rule];
        if (rule->restart && edge.to != from) {
            return false;
        }
        timeout_leaves = timeout_leaves || (edge.event == state->timeout_event && edge.to != from &&
                                            set_empty(&rule->requires));
        last = edge.event;
        definition->edges[definition->edges_count++] = edge;
    }
    return timeout_leaves;
}

static bool
get_edges(struct cursor *cursor, struct definition *definition)
{
    enum { EDGE_SIZE = 5 };
    size_t edges_max = (size_t)(cursor->end - cursor->at) / EDGE_SIZE;
    definition->edges = mem_zalloc(edges_max * sizeof definition->edges[0]);
    for (uint16_t from = 0; from < definition->states_count; from++) {
        if (!get_edges_of_state(cursor, definition, from)) {
            return false;
        }
    }
    QO_POST(definition->edges_count <= edges_max);
    return true;
}

/* True if every event and every rule stands on an edge: what nothing uses is never written. */
static bool
all_used(const struct definition *definition)
{
    bool *used = mem_zalloc((size_t)definition->events_count + definition->rules_count);
    for (uint32_t i = 0; i < definition->edges_count; i++) {
        used[definition->edges[i].event] = true;
        used[definition->events_count + definition->edges[i].rule] = true;
    }
    bool all = true;
    for (uint32_t i = 0; i < (uint32_t)definition->events_count + definition->rules_count; i++) {
        all = all && used[i];
    }
    mem_free(used);
    return all;
}

bool
definition_decode(struct bytes compiled, struct definition *definition)
{
    struct cursor cursor = cursor_of(compiled);
    if (compiled.size > QO_COMPILED_MAX || cursor_u8(&cursor) != COMPILED_FORMAT) {
        return false;
    }
    definition->line = cursor_le32(&cursor);
    definition->column = cursor_le32(&cursor);
    if (definition->line == 0 || definition->column == 0 ||
        !get_name(&cursor, BYTES_NONE, &definition->name)) {
        return false;
    }
    definition->version = cursor_le32(&cursor);
    uint8_t flags = cursor_u8(&cursor);
    definition->description = cursor_bytes32(&cursor);
    if (cursor.failed || definition->version == 0 || definition->version > DEFINITION_VERSION_MAX ||
        flags > 1) {
        return false;
    }
    definition->acyclic = flags == 1;
    return get_attributes(&cursor, definition) && get_states(&cursor, definition) &&
           get_events(&cursor, definition) && get_rules(&cursor, definition) &&
           get_edges(&cursor, definition) && cursor_done(&cursor) && all_used(definition);
}
