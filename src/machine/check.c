/* See draft.h: what a definition must be as a whole. Thread: any. */
#include <stdlib.h>

#include "draft.h"

#define QUOTE(draft, names, index) tree_quote((draft)->names.sorted[index].name).text

/* -- Ways: every state is reached and left ---------------------------------------------- */

static bool
check_reached(struct draft *draft)
{
    bool reached[QO_STATES_MAX] = {false};
    reached[draft->definition.initial] = true;
    /* At most once for each state does a round find something new. */
    for (bool found = true; found;) {
        found = false;
        for (uint32_t i = 0; i < draft->edges_count; i++) {
            const struct draft_edge *edge = &draft->edges[i];
            if (reached[edge->from] && !reached[edge->to]) {
                reached[edge->to] = true;
                found = true;
            }
        }
    }
    for (uint16_t i = 0; i < draft->states.count; i++) {
        uint16_t state = draft->states.in_source[i];
        if (!reached[state]) {
            return DRAFT_REFUSE(draft, draft->states.sorted[state].key,
                                "nothing reaches state `%s`: lead an event to it or remove it",
                                QUOTE(draft, states, state));
        }
    }
    return true;
}

static bool
check_left(struct draft *draft)
{
    bool left[QO_STATES_MAX] = {false};
    for (uint32_t i = 0; i < draft->edges_count; i++) {
        const struct draft_edge *edge = &draft->edges[i];
        left[edge->from] = left[edge->from] || edge->to != edge->from;
    }
    for (uint16_t i = 0; i < draft->states.count; i++) {
        uint16_t state = draft->states.in_source[i];
        if (!left[state] && !draft->definition.states[state].final) {
            return DRAFT_REFUSE(draft, draft->states.sorted[state].key,
                                "nothing leaves state `%s`: lead an event out of it or write "
                                "`final: true`",
                                QUOTE(draft, states, state));
        }
    }
    return true;
}

/* -- Timeouts ---------------------------------------------------------------------------- */

static const struct draft_edge *
find_edge(const struct draft *draft, uint16_t from, uint16_t event)
{
    for (uint32_t i = 0; i < draft->edges_count; i++) {
        if (draft->edges[i].from == from && draft->edges[i].event == event) {
            return &draft->edges[i];
        }
    }
    return NULL;
}

static bool
check_timeout(struct draft *draft, uint16_t index)
{
    const struct definition_state *state = &draft->definition.states[index];
    const struct draft_state *nodes = &draft->state_nodes[index];
    if (state->final) {
        return DRAFT_REFUSE(draft, nodes->timeout_key,
                            "`%s` is final and cannot have a timeout: remove one of the two",
                            QUOTE(draft, states, index));
    }
    const struct draft_edge *edge = find_edge(draft, index, state->timeout_event);
    if (edge == NULL || edge->to == edge->from) {
        return DRAFT_REFUSE(
            draft, nodes->timeout_event, "event `%s` does not leave `%s`: a timeout must lead on",
            QUOTE(draft, events, state->timeout_event), QUOTE(draft, states, index));
    }
    return set_empty(&draft->rules[edge->rule].requires) ||
           DRAFT_REFUSE(draft, nodes->timeout_event,
                        "event `%s` requires attributes from `%s`, and a timeout brings none",
                        QUOTE(draft, events, state->timeout_event), QUOTE(draft, states, index));
}

static bool
check_timeouts(struct draft *draft)
{
    for (uint16_t i = 0; i < draft->states.count; i++) {
        uint16_t state = draft->states.in_source[i];
        if (draft->definition.states[state].timeout_us != 0 && !check_timeout(draft, state)) {
            return false;
        }
    }
    return true;
}

/* -- Cycles -------------------------------------------------------------------------------- */

enum { STATE_WORDS = QO_STATES_MAX / 64 };
static_assert(QO_STATES_MAX % 64 == 0, "a set of states is whole words");

struct state_set {
    uint64_t bits[STATE_WORDS];
};

static bool
state_set_contains(const struct state_set *set, uint16_t state)
{
    return (set->bits[state / 64] >> (state % 64) & 1) != 0;
}

/* `from` now leads to `to`: whatever reaches the one reaches all that the other does. */
static void
add_way(struct state_set *reach, uint16_t count, uint16_t from, uint16_t to)
{
    for (uint16_t i = 0; i < count; i++) {
        if (state_set_contains(&reach[i], from)) {
            for (uint32_t word = 0; word < STATE_WORDS; word++) {
                reach[i].bits[word] |= reach[to].bits[word];
            }
        }
    }
}

/* Takes the ways one by one in the order of the source and keeps, for each state, what can be
 * reached from it: the first way whose end already reaches its start is the one that closes a
 * cycle. */
static bool
check_acyclic(struct draft *draft)
{
    if (!draft->definition.acyclic) {
        return true;
    }
    uint16_t count = draft->states.count;
    struct state_set *reach = arena_zalloc(draft->arena, count * sizeof reach[0]);
    for (uint16_t i = 0; i < count; i++) {
        reach[i].bits[i / 64] |= UINT64_C(1) << (i % 64);
    }
    for (uint32_t e = 0; e < draft->edges_count; e++) {
        const struct draft_edge *edge = &draft->edges[e];
        if (edge->from == edge->to) {
            continue; /* Staying is no cycle. */
        }
        if (state_set_contains(&reach[edge->to], edge->from)) {
            return DRAFT_REFUSE(draft, edge->to_at,
                                "event `%s` closes a cycle from `%s` over `%s`, and `acyclic` is "
                                "true: remove one of its ways",
                                QUOTE(draft, events, edge->event), QUOTE(draft, states, edge->from),
                                QUOTE(draft, states, edge->to));
        }
        if (!state_set_contains(&reach[edge->from], edge->to)) {
            add_way(reach, count, edge->from, edge->to);
        }
    }
    return true;
}

/* -- `has`: proven over every way from the start --------------------------------------------- */

/* What `edge` surely provides to the state it leads to. */
static struct attribute_set
provided(const struct draft *draft, const struct draft_edge *edge, const struct attribute_set *held)
{
    const struct attribute_set *requires = &draft->rules[edge->rule].requires;
    const struct attribute_set *before = &held[edge->from];
    return (struct attribute_set){
        {before->bits[0] | requires->bits[0], before->bits[1] | requires->bits[1]}};
}

/* `held` becomes, for each state, the attributes that every way into it has brought: the greatest
 * solution of "held at the start is what is required, held in a state is the least of what its ways
 * provide". Sets only shrink, and each by at least one attribute, so this ends. An attribute that
 * is removed later is no matter of the definition: the target's `has` is checked at every
 * transition. */
static void
solve_held(const struct draft *draft, struct attribute_set *held)
{
    const struct definition *definition = &draft->definition;
    struct attribute_set required = {{0, 0}};
    for (uint16_t i = 0; i < definition->attributes_count; i++) {
        if (definition->attributes[i].required) {
            set_add(&required, i);
        }
    }
    for (uint16_t i = 0; i < definition->states_count; i++) {
        held[i] =
            i == definition->initial ? required : (struct attribute_set){{UINT64_MAX, UINT64_MAX}};
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < draft->edges_count; i++) {
            const struct draft_edge *edge = &draft->edges[i];
            struct attribute_set by = provided(draft, edge, held);
            struct attribute_set *to = &held[edge->to];
            struct attribute_set lost = set_without(*to, by);
            changed = changed || !set_empty(&lost);
            *to = set_without(*to, lost);
        }
    }
}

/* Some way into `state` does not provide `attribute`: says which. */
static bool
refuse_has(struct draft *draft, uint16_t state, uint16_t attribute, const struct node *item,
           const struct attribute_set *held)
{
    for (uint32_t i = 0; i < draft->edges_count; i++) {
        const struct draft_edge *edge = &draft->edges[i];
        struct attribute_set by = provided(draft, edge, held);
        if (edge->to == state && edge->from != state && !set_contains(&by, attribute)) {
            return DRAFT_REFUSE(draft, item,
                                "event `%s` leads here from `%s` without `%s`: let an event on "
                                "the way require it",
                                QUOTE(draft, events, edge->event), QUOTE(draft, states, edge->from),
                                QUOTE(draft, attributes, attribute));
        }
    }
    return DRAFT_REFUSE(draft, item,
                        "an order starts here without `%s`: declare it with `required: true`",
                        QUOTE(draft, attributes, attribute));
}

static bool
check_has(struct draft *draft)
{
    struct attribute_set held[QO_STATES_MAX];
    solve_held(draft, held);
    for (uint16_t i = 0; i < draft->states.count; i++) {
        uint16_t state = draft->states.in_source[i];
        const struct node *has = draft->state_nodes[state].has;
        const struct node *item = has == NULL ? NULL : has->first;
        for (; item != NULL; item = item->next) {
            int32_t attribute = definition_find(draft->attributes.sorted, draft->attributes.count,
                                                sizeof draft->attributes.sorted[0], item->text);
            QO_ASSERT(attribute >= 0);
            if (!set_contains(&held[state], (uint16_t)attribute)) {
                return refuse_has(draft, state, (uint16_t)attribute, item, held);
            }
        }
    }
    return true;
}

bool
draft_check(struct draft *draft)
{
    return check_timeouts(draft) && check_reached(draft) && check_left(draft) &&
           check_acyclic(draft) && check_has(draft);
}

/* -- One form for one meaning ------------------------------------------------------------------ */

struct encoded_rule {
    struct bytes encoded;
    uint32_t index; /* In the draft. */
};

static int
compare_rules(const void *a, const void *b)
{
    const struct encoded_rule *one = a, *other = b;
    return bytes_compare(one->encoded, other->encoded);
}

static int
compare_edges(const void *a, const void *b)
{
    const struct definition_edge *one = a, *other = b;
    return one->from != other->from ? (int)one->from - (int)other->from
                                    : (int)one->event - (int)other->event;
}

/* Sorts the rules by what they say, each once. `place_out`: for each rule of the draft its index.
 */
static void
finish_rules(struct draft *draft, uint16_t *place_out)
{
    struct definition *definition = &draft->definition;
    uint32_t count = draft->rules_count;
    struct encoded_rule *order = arena_zalloc(draft->arena, count * sizeof order[0]);
    struct buf scratch = {0};
    for (uint32_t i = 0; i < count; i++) {
        buf_clear(&scratch);
        definition_encode_rule(&scratch, definition, &draft->rules[i]);
        order[i] = (struct encoded_rule){arena_copy(draft->arena, buf_bytes(&scratch)), i};
    }
    buf_free(&scratch);
    if (count > 1) {
        qsort(order, count, sizeof order[0], compare_rules);
    }
    definition->rules = mem_zalloc(count * sizeof definition->rules[0]);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || !bytes_equal(order[i - 1].encoded, order[i].encoded)) {
            QO_ASSERT(definition->rules_count < UINT16_MAX); /* A rule is ten bytes of source. */
            definition->rules[definition->rules_count++] = draft->rules[order[i].index];
        }
        place_out[order[i].index] = (uint16_t)(definition->rules_count - 1);
    }
}

void
draft_finish(struct draft *draft)
{
    struct definition *definition = &draft->definition;
    uint16_t *place = arena_zalloc(draft->arena, draft->rules_count * sizeof place[0]);
    finish_rules(draft, place);
    definition->edges = mem_zalloc(draft->edges_count * sizeof definition->edges[0]);
    definition->edges_count = draft->edges_count;
    for (uint32_t i = 0; i < draft->edges_count; i++) {
        const struct draft_edge *edge = &draft->edges[i];
        definition->edges[i] = (struct definition_edge){
            .from = edge->from, .event = edge->event, .to = edge->to, .rule = place[edge->rule]};
    }
    if (definition->edges_count > 1) {
        qsort(definition->edges, definition->edges_count, sizeof definition->edges[0],
              compare_edges);
    }
}
