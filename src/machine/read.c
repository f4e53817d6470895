/* See draft.h: the words of the language, and what may stand behind each. Thread: any. */
#include <stdlib.h>

#include "draft.h"

/* A key and its value; both NULL where the word was left out. */
struct pair {
    const struct node *key, *value;
};

/* The words that a map may have. */
struct vocabulary {
    const char *of;
    const char *words[8];
};

enum { TOP_MACHINE, TOP_VERSION, TOP_DESCRIPTION, TOP_INITIAL, TOP_ACYCLIC, TOP_ATTRIBUTES };
enum { TOP_STATES = TOP_ATTRIBUTES + 1, TOP_EVENTS, TOP_WORDS };
static const struct vocabulary top_vocabulary = {
    "a definition",
    {"machine", "version", "description", "initial", "acyclic", "attributes", "states", "events"}};

enum { ATTRIBUTE_TYPE, ATTRIBUTE_REQUIRED, ATTRIBUTE_IMMUTABLE, ATTRIBUTE_UNIQUE };
enum { ATTRIBUTE_VALUES = ATTRIBUTE_UNIQUE + 1, ATTRIBUTE_WORDS };
static const struct vocabulary attribute_vocabulary = {
    "an attribute", {"type", "required", "immutable", "unique", "values"}};

enum { STATE_TIMEOUT, STATE_FINAL, STATE_HAS, STATE_WORDS };
static const struct vocabulary state_vocabulary = {"a state", {"timeout", "final", "has"}};

enum { TIMEOUT_AFTER, TIMEOUT_EVENT, TIMEOUT_WORDS };
static const struct vocabulary timeout_vocabulary = {"a timeout", {"after", "event"}};

enum { EVENT_FROM, EVENT_TO, EVENT_REQUIRES, EVENT_ACCEPTS, EVENT_ROLES, EVENT_RESTART };
enum { EVENT_WORDS = EVENT_RESTART + 1 };
static const struct vocabulary event_vocabulary = {
    "an event", {"from", "to", "requires", "accepts", "roles", "restart"}};

/* In the order of enum machine_type, which counts from 1. */
static const char *const type_names[] = {"string",    "integer", "number", "boolean",
                                         "timestamp", "enum",    "list",   "map"};

/* -- Small readers -------------------------------------------------------------------- */

/* What to point at if the value is wrong: the key if nothing stands behind it. */
static const struct node *
to_blame(struct pair pair)
{
    return tree_missing(pair.value) ? pair.key : pair.value;
}

/* The words of a vocabulary as "a, b and c". */
static void
list_words(const struct vocabulary *vocabulary, uint32_t count, char *out, size_t size)
{
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *word = vocabulary->words[i];
        const char *before = i == 0 ? "" : i + 1 == count ? " and " : ", ";
        size_t more = strlen(before) + strlen(word);
        QO_ASSERT(used + more < size);
        memcpy(out + used, before, strlen(before));
        memcpy(out + used + strlen(before), word, strlen(word));
        used += more;
    }
    out[used] = '\0';
}

static bool
read_body(struct draft *draft, const struct node *map, const struct vocabulary *vocabulary,
          uint32_t count, struct pair *pairs_out)
{
    memset(pairs_out, 0, count * sizeof pairs_out[0]);
    for (const struct node *key = map->first; key != NULL; key = key->next->next) {
        uint32_t word = 0;
        while (word < count && !bytes_equal(key->text, bytes_text(vocabulary->words[word]))) {
            word++;
        }
        if (word == count) {
            char words[100];
            list_words(vocabulary, count, words, sizeof words);
            return DRAFT_REFUSE(draft, key, "unknown word `%s`: %s may have %s",
                                tree_quote(key->text).text, vocabulary->of, words);
        }
        if (pairs_out[word].key != NULL) {
            return DRAFT_REFUSE(draft, key, "`%s` stands here a second time: keep one of them",
                                vocabulary->words[word]);
        }
        pairs_out[word] = (struct pair){key, key->next};
    }
    return true;
}

static bool
needs(struct draft *draft, const struct node *map, const struct vocabulary *vocabulary,
      const struct pair *pairs, uint32_t word)
{
    return pairs[word].key != NULL || DRAFT_REFUSE(draft, map, "%s needs `%s`: add it",
                                                   vocabulary->of, vocabulary->words[word]);
}

/* A name stands at `node`; `at` is what to point at if not. */
static bool
check_name(struct draft *draft, const struct node *node, const struct node *at, const char *what)
{
    if (node->kind != NODE_TEXT || tree_missing(node)) {
        return DRAFT_REFUSE(draft, at, "%s must be a name here", what);
    }
    if (tree_ambiguous(node)) {
        return DRAFT_REFUSE(draft, at,
                            "`%s` may be read as something else than a name: put quotes around it",
                            tree_quote(node->text).text);
    }
    if (node->text.size > QO_NAME_MAX) {
        return DRAFT_REFUSE(draft, at, "a name has at most %u characters, this has %zu",
                            QO_NAME_MAX, node->text.size);
    }
    if (!definition_name_valid(node->text)) {
        return DRAFT_REFUSE(draft, at, "`%s` is not a name: use letters, digits and `_.:-`",
                            tree_quote(node->text).text);
    }
    return true;
}

/* Left out is false. */
static bool
read_boolean(struct draft *draft, struct pair pair, bool *out)
{
    *out = false;
    if (pair.key == NULL) {
        return true;
    }
    const struct node *value = pair.value;
    bool is_text = value->kind == NODE_TEXT && value->plain;
    *out = is_text && bytes_equal(value->text, bytes_text("true"));
    return *out || (is_text && bytes_equal(value->text, bytes_text("false"))) ||
           DRAFT_REFUSE(draft, to_blame(pair), "`%s` must be true or false, without quotes",
                        tree_quote(pair.key->text).text);
}

static bool
read_version(struct draft *draft, struct pair pair)
{
    const struct node *value = pair.value;
    uint64_t version = 0;
    bool good = value->kind == NODE_TEXT && value->plain && value->text.size > 0 &&
                value->text.size <= 10 && value->text.data[0] != '0';
    for (size_t i = 0; good && i < value->text.size; i++) {
        good = value->text.data[i] >= '0' && value->text.data[i] <= '9';
        version = version * 10 + (uint64_t)(value->text.data[i] - '0');
    }
    if (!good || version > DEFINITION_VERSION_MAX) {
        return DRAFT_REFUSE(draft, to_blame(pair),
                            "`version` must be a whole number from 1 to 2147483648");
    }
    draft->definition.version = (uint32_t)version;
    tree_locate(draft->source, value->at, &draft->definition.line, &draft->definition.column);
    return true;
}

/* A whole number and a unit; false if it is none or out of range. */
static bool
parse_duration(struct bytes text, int64_t *us_out)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"ms", 1000},
                 {"s", INT64_C(1000) * 1000},
                 {"m", INT64_C(60) * 1000 * 1000},
                 {"h", INT64_C(3600) * 1000 * 1000},
                 {"d", INT64_C(86400) * 1000 * 1000}};
    enum { DIGITS_MAX = 12 }; /* 3,650 d are 12 digits of milliseconds. */
    int64_t number = 0;
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        if (digits == DIGITS_MAX) {
            return false;
        }
        number = number * 10 + (text.data[digits] - '0');
        digits++;
    }
    if (digits == 0 || text.data[0] == '0') {
        return false;
    }
    struct bytes unit = bytes_make(text.data + digits, text.size - digits);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_equal(unit, bytes_text(units[i].unit))) {
            *us_out = number <= DURATION_US_MAX / units[i].us ? number * units[i].us : 0;
            return *us_out >= DURATION_US_MIN;
        }
    }
    return false;
}

static int
compare_texts(const void *a, const void *b)
{
    const struct bytes *one = a, *other = b;
    return bytes_compare(*one, *other);
}

/* Points at the second item of `list` that is `text`. */
static bool
refuse_second(struct draft *draft, const struct node *list, struct bytes text)
{
    uint32_t seen = 0;
    for (const struct node *item = list->first; item != NULL; item = item->next) {
        seen += bytes_equal(item->text, text);
        if (seen == 2) {
            return DRAFT_REFUSE(draft, item, "`%s` stands in this list twice",
                                tree_quote(text).text);
        }
    }
    assert_failed("assertion", "the text stands in the list twice", __FILE__, __LINE__);
}

/* A list of names that means a set, into `texts`, sorted. */
static bool
read_texts(struct draft *draft, struct pair pair, const char *what, uint32_t *first_out,
           uint32_t *count_out)
{
    struct definition *definition = &draft->definition;
    if (pair.value->kind != NODE_LIST) {
        return DRAFT_REFUSE(draft, to_blame(pair), "`%s` must be a list",
                            tree_quote(pair.key->text).text);
    }
    uint32_t first = definition->texts_count, count = pair.value->count;
    *first_out = first;
    *count_out = count;
    for (const struct node *item = pair.value->first; item != NULL; item = item->next) {
        if (!check_name(draft, item, item, what)) {
            return false;
        }
        (void)definition_add_text(definition, item->text);
    }
    if (count < 2) {
        return true;
    }
    struct bytes *texts = definition->texts + first;
    qsort(texts, count, sizeof texts[0], compare_texts);
    for (uint32_t i = 1; i < count; i++) {
        if (bytes_equal(texts[i - 1], texts[i])) {
            return refuse_second(draft, pair.value, texts[i]);
        }
    }
    return true;
}

/* A list of declared attributes that means a set. Left out is the empty set. */
static bool
read_set(struct draft *draft, struct pair pair, struct attribute_set *set_out)
{
    *set_out = (struct attribute_set){{0, 0}};
    if (pair.key == NULL) {
        return true;
    }
    if (pair.value->kind != NODE_LIST) {
        return DRAFT_REFUSE(draft, to_blame(pair), "`%s` must be a list of attributes",
                            tree_quote(pair.key->text).text);
    }
    for (const struct node *item = pair.value->first; item != NULL; item = item->next) {
        if (!check_name(draft, item, item, "an attribute")) {
            return false;
        }
        int32_t attribute = definition_find(draft->attributes.sorted, draft->attributes.count,
                                            sizeof draft->attributes.sorted[0], item->text);
        if (attribute < 0) {
            return DRAFT_REFUSE(draft, item, "attribute `%s` is not declared under `attributes`",
                                tree_quote(item->text).text);
        }
        if (set_contains(set_out, (uint16_t)attribute)) {
            return DRAFT_REFUSE(draft, item, "`%s` stands in this list twice",
                                tree_quote(item->text).text);
        }
        set_add(set_out, (uint16_t)attribute);
    }
    return true;
}

/* The index of a state or event; `at` is what to point at if there is none. */
static bool
read_index(struct draft *draft, const struct draft_names *names, const struct node *node,
           const struct node *at, uint16_t *index_out)
{
    const char *what = names == &draft->states ? "state" : "event";
    if (!check_name(draft, node, at, names == &draft->states ? "a state" : "an event")) {
        return false;
    }
    int32_t index =
        definition_find(names->sorted, names->count, sizeof names->sorted[0], node->text);
    if (index < 0) {
        return DRAFT_REFUSE(draft, at, "there is no %s `%s`", what, tree_quote(node->text).text);
    }
    *index_out = (uint16_t)index;
    return true;
}

/* -- The three lists of names ---------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
    const struct draft_name *one = a, *other = b;
    return bytes_compare(one->name, other->name);
}

/* Reads the keys of `attributes`, `states` or `events`: at most `max`, each a name, none twice. */
static bool
read_names(struct draft *draft, struct pair pair, const char *what, uint32_t max,
           struct draft_names *names)
{
    if (pair.key == NULL) {
        return true;
    }
    if (pair.value->kind != NODE_MAP) {
        return DRAFT_REFUSE(draft, to_blame(pair), "`%s` must be a map from names to bodies",
                            tree_quote(pair.key->text).text);
    }
    uint32_t count = 0;
    names->sorted = arena_zalloc(draft->arena, max * sizeof names->sorted[0]);
    for (const struct node *key = pair.value->first; key != NULL; key = key->next->next) {
        if (count == max) {
            return DRAFT_REFUSE(draft, key,
                                "`%s` may have at most %u entries, and this is one more",
                                tree_quote(pair.key->text).text, max);
        }
        if (!check_name(draft, key, key, what)) {
            return false;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (bytes_equal(names->sorted[i].name, key->text)) {
                return DRAFT_REFUSE(draft, key, "`%s` stands here a second time: keep one of them",
                                    tree_quote(key->text).text);
            }
        }
        names->sorted[count++] = (struct draft_name){key->text, key, key->next};
    }
    qsort(names->sorted, count, sizeof names->sorted[0], compare_names);
    names->count = (uint16_t)count;
    names->in_source = arena_zalloc(draft->arena, (count + 1) * sizeof names->in_source[0]);
    uint32_t next = 0;
    for (const struct node *key = pair.value->first; key != NULL; key = key->next->next) {
        names->in_source[next++] =
            (uint16_t)definition_find(names->sorted, count, sizeof names->sorted[0], key->text);
    }
    return true;
}

static bool
check_map(struct draft *draft, const struct draft_name *name, const char *what)
{
    return name->value->kind == NODE_MAP ||
           DRAFT_REFUSE(draft, to_blame((struct pair){name->key, name->value}),
                        "the body of %s must be a map; write {} if there is nothing to say", what);
}

/* -- Bodies --------------------------------------------------------------------------- */

static bool
read_type(struct draft *draft, struct pair pair, enum machine_type *type_out)
{
    for (uint32_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        if (pair.value->kind == NODE_TEXT &&
            bytes_equal(pair.value->text, bytes_text(type_names[i]))) {
            *type_out = (enum machine_type)(i + 1);
            return true;
        }
    }
    return DRAFT_REFUSE(draft, to_blame(pair),
                        "`type` must be string, integer, number, boolean, timestamp, enum, list "
                        "or map");
}

static bool
check_unique(struct draft *draft, const struct definition_attribute *attribute, struct pair unique)
{
    if (attribute->type != MACHINE_STRING && attribute->type != MACHINE_INTEGER &&
        attribute->type != MACHINE_ENUM && attribute->type != MACHINE_TIMESTAMP) {
        return DRAFT_REFUSE(draft, unique.key,
                            "`unique` may stand on a string, an integer, an enum or a timestamp");
    }
    return (attribute->required && attribute->immutable) ||
           DRAFT_REFUSE(draft, unique.key,
                        "a unique attribute must be required and immutable too: add `required: "
                        "true` and `immutable: true`");
}

static bool
read_attribute(struct draft *draft, uint16_t index)
{
    const struct draft_name *name = &draft->attributes.sorted[index];
    struct definition_attribute *attribute = &draft->definition.attributes[index];
    struct pair pairs[ATTRIBUTE_WORDS];
    attribute->name = name->name;
    if (!check_map(draft, name, "an attribute") ||
        !read_body(draft, name->value, &attribute_vocabulary, ATTRIBUTE_WORDS, pairs) ||
        !needs(draft, name->value, &attribute_vocabulary, pairs, ATTRIBUTE_TYPE) ||
        !read_type(draft, pairs[ATTRIBUTE_TYPE], &attribute->type) ||
        !read_boolean(draft, pairs[ATTRIBUTE_REQUIRED], &attribute->required) ||
        !read_boolean(draft, pairs[ATTRIBUTE_IMMUTABLE], &attribute->immutable) ||
        !read_boolean(draft, pairs[ATTRIBUTE_UNIQUE], &attribute->unique)) {
        return false;
    }
    struct pair values = pairs[ATTRIBUTE_VALUES];
    if (attribute->type != MACHINE_ENUM && values.key != NULL) {
        return DRAFT_REFUSE(draft, values.key, "only an enum has `values`");
    }
    if (attribute->type == MACHINE_ENUM) {
        if (!needs(draft, name->value, &attribute_vocabulary, pairs, ATTRIBUTE_VALUES) ||
            !read_texts(draft, values, "a value of an enum", &attribute->values,
                        &attribute->values_count)) {
            return false;
        }
        if (attribute->values_count == 0) {
            return DRAFT_REFUSE(draft, values.value, "an enum needs at least one value");
        }
    }
    return !attribute->unique || check_unique(draft, attribute, pairs[ATTRIBUTE_UNIQUE]);
}

static bool
read_timeout(struct draft *draft, struct pair timeout, uint16_t index)
{
    struct definition_state *state = &draft->definition.states[index];
    struct pair pairs[TIMEOUT_WORDS];
    if (timeout.value->kind != NODE_MAP) {
        return DRAFT_REFUSE(draft, to_blame(timeout),
                            "`timeout` must be a map with `after` and `event`");
    }
    if (!read_body(draft, timeout.value, &timeout_vocabulary, TIMEOUT_WORDS, pairs) ||
        !needs(draft, timeout.value, &timeout_vocabulary, pairs, TIMEOUT_AFTER) ||
        !needs(draft, timeout.value, &timeout_vocabulary, pairs, TIMEOUT_EVENT)) {
        return false;
    }
    struct pair after = pairs[TIMEOUT_AFTER], event = pairs[TIMEOUT_EVENT];
    if (after.value->kind != NODE_TEXT || !parse_duration(after.value->text, &state->timeout_us)) {
        return DRAFT_REFUSE(draft, to_blame(after),
                            "`after` must be a whole number without leading zero and ms, s, m, h "
                            "or d, from 1ms to 3650d");
    }
    draft->state_nodes[index].timeout_key = timeout.key;
    draft->state_nodes[index].timeout_event = event.value;
    return read_index(draft, &draft->events, event.value, to_blame(event), &state->timeout_event);
}

static bool
read_state(struct draft *draft, uint16_t index)
{
    const struct draft_name *name = &draft->states.sorted[index];
    struct definition_state *state = &draft->definition.states[index];
    struct pair pairs[STATE_WORDS];
    state->name = name->name;
    if (!check_map(draft, name, "a state") ||
        !read_body(draft, name->value, &state_vocabulary, STATE_WORDS, pairs) ||
        !read_boolean(draft, pairs[STATE_FINAL], &state->final) ||
        !read_set(draft, pairs[STATE_HAS], &state->has)) {
        return false;
    }
    draft->state_nodes[index].has = pairs[STATE_HAS].value;
    return pairs[STATE_TIMEOUT].key == NULL || read_timeout(draft, pairs[STATE_TIMEOUT], index);
}

/* One way: from the state at `node` by the entry's rule. `used` says which states this event has
 * left already. */
static bool
read_edge(struct draft *draft, const struct pair *pairs, const struct node *node,
          struct draft_edge edge, bool *used)
{
    const struct node *at = node == pairs[EVENT_FROM].value ? to_blame(pairs[EVENT_FROM]) : node;
    struct bytes event = draft->events.sorted[edge.event].name;
    if (!read_index(draft, &draft->states, node, at, &edge.from)) {
        return false;
    }
    if (draft->definition.states[edge.from].final) {
        return DRAFT_REFUSE(draft, at, "`%s` is final: no event leads from it or stays in it",
                            tree_quote(node->text).text);
    }
    if (used[edge.from]) {
        return DRAFT_REFUSE(draft, at, "event `%s` already leads out of `%s`: keep one way",
                            tree_quote(event).text, tree_quote(node->text).text);
    }
    used[edge.from] = true;
    if (edge.to_at == NULL) {
        edge.to = edge.from;
    }
    if (edge.to != edge.from && draft->rules[edge.rule].restart) {
        return DRAFT_REFUSE(draft, pairs[EVENT_RESTART].key,
                            "`restart` stands only on an event that stays in its state");
    }
    edge.from_at = node;
    draft->edges[draft->edges_count++] = edge;
    return true;
}

/* One map of an event. */
static bool
read_entry(struct draft *draft, uint16_t event, const struct node *map, bool *used)
{
    struct definition_rule *rule = &draft->rules[draft->rules_count];
    struct draft_edge edge = {.event = event, .rule = draft->rules_count};
    struct pair pairs[EVENT_WORDS];
    if (!read_body(draft, map, &event_vocabulary, EVENT_WORDS, pairs) ||
        !needs(draft, map, &event_vocabulary, pairs, EVENT_FROM) ||
        !read_set(draft, pairs[EVENT_REQUIRES], &rule->requires) ||
        !read_set(draft, pairs[EVENT_ACCEPTS], &rule->accepts) ||
        !read_boolean(draft, pairs[EVENT_RESTART], &rule->restart)) {
        return false;
    }
    rule->accepts = set_without(rule->accepts, rule->requires);
    rule->roles_given = pairs[EVENT_ROLES].key != NULL;
    if (rule->roles_given &&
        !read_texts(draft, pairs[EVENT_ROLES], "a role", &rule->roles, &rule->roles_count)) {
        return false;
    }
    draft->rules_count++;
    struct pair to = pairs[EVENT_TO], from = pairs[EVENT_FROM];
    if (to.key != NULL) {
        edge.to_at = to.value;
        if (!read_index(draft, &draft->states, to.value, to_blame(to), &edge.to)) {
            return false;
        }
    }
    if (from.value->kind != NODE_LIST) {
        return read_edge(draft, pairs, from.value, edge, used);
    }
    if (from.value->count == 0) {
        return DRAFT_REFUSE(draft, from.value, "`from` needs at least one state");
    }
    for (const struct node *item = from.value->first; item != NULL; item = item->next) {
        if (!read_edge(draft, pairs, item, edge, used)) {
            return false;
        }
    }
    return true;
}

static bool
read_event(struct draft *draft, uint16_t event)
{
    const struct draft_name *name = &draft->events.sorted[event];
    bool used[QO_STATES_MAX] = {false};
    draft->definition.events[event] = name->name;
    if (name->value->kind == NODE_MAP) {
        return read_entry(draft, event, name->value, used);
    }
    if (name->value->kind != NODE_LIST || name->value->count == 0) {
        return DRAFT_REFUSE(draft, to_blame((struct pair){name->key, name->value}),
                            "an event must be a map with `from`, or a list of such maps");
    }
    for (const struct node *item = name->value->first; item != NULL; item = item->next) {
        if (item->kind != NODE_MAP) {
            return DRAFT_REFUSE(draft, item, "each entry of an event must be a map with `from`");
        }
        if (!read_entry(draft, event, item, used)) {
            return false;
        }
    }
    return true;
}

/* -- The whole ------------------------------------------------------------------------- */

static bool
read_events(struct draft *draft)
{
    uint32_t entries = 0;
    for (uint16_t i = 0; i < draft->events.count; i++) {
        const struct node *value = draft->events.sorted[i].value;
        entries += value->kind == NODE_LIST ? value->count : 1;
    }
    /* An event leads out of a state only once, so this many edges are enough. */
    size_t edges_max = (size_t)draft->events.count * draft->states.count;
    draft->rules = arena_zalloc(draft->arena, entries * sizeof draft->rules[0]);
    draft->edges = arena_zalloc(draft->arena, edges_max * sizeof draft->edges[0]);
    for (uint16_t i = 0; i < draft->events.count; i++) {
        if (!read_event(draft, draft->events.in_source[i])) {
            return false;
        }
    }
    return true;
}

/* The texts and numbers at the top. */
static bool
read_heading(struct draft *draft, const struct pair *pairs)
{
    struct definition *definition = &draft->definition;
    struct pair machine = pairs[TOP_MACHINE], description = pairs[TOP_DESCRIPTION];
    if (!check_name(draft, machine.value, to_blame(machine), "`machine`") ||
        !read_version(draft, pairs[TOP_VERSION]) ||
        !read_boolean(draft, pairs[TOP_ACYCLIC], &definition->acyclic)) {
        return false;
    }
    definition->name = machine.value->text;
    definition->description = bytes_make("", 0);
    if (description.key != NULL) {
        if (description.value->kind != NODE_TEXT) {
            return DRAFT_REFUSE(draft, description.value, "`description` must be a text");
        }
        definition->description = description.value->text;
    }
    return true;
}

/* The names of everything, so that whatever stands first may speak of what stands later. */
static bool
read_all_names(struct draft *draft, const struct pair *pairs)
{
    struct definition *definition = &draft->definition;
    if (!read_names(draft, pairs[TOP_ATTRIBUTES], "an attribute", QO_DECLARED_ATTRIBUTES_MAX,
                    &draft->attributes) ||
        !read_names(draft, pairs[TOP_STATES], "a state", QO_STATES_MAX, &draft->states) ||
        !read_names(draft, pairs[TOP_EVENTS], "an event", QO_EVENTS_MAX, &draft->events)) {
        return false;
    }
    int32_t create = definition_find(draft->events.sorted, draft->events.count,
                                     sizeof draft->events.sorted[0], bytes_text(EVENT_RESERVED));
    if (create >= 0) {
        return DRAFT_REFUSE(draft, draft->events.sorted[create].key,
                            "`create` is reserved for the making of an order: rename the event");
    }
    definition->attributes_count = draft->attributes.count;
    definition->states_count = draft->states.count;
    definition->events_count = draft->events.count;
    definition->attributes =
        mem_zalloc(definition->attributes_count * sizeof definition->attributes[0]);
    definition->states = mem_zalloc(definition->states_count * sizeof definition->states[0]);
    definition->events = mem_zalloc(definition->events_count * sizeof definition->events[0]);
    draft->state_nodes =
        arena_zalloc(draft->arena, definition->states_count * sizeof draft->state_nodes[0]);
    return true;
}

bool
draft_read(struct draft *draft, const struct node *root)
{
    static const uint32_t needed[] = {TOP_MACHINE, TOP_VERSION, TOP_INITIAL, TOP_STATES,
                                      TOP_EVENTS};
    struct pair pairs[TOP_WORDS];
    if (root->kind != NODE_MAP) {
        return DRAFT_REFUSE(draft, root,
                            "a definition is a map that begins with `machine: <name>`");
    }
    if (!read_body(draft, root, &top_vocabulary, TOP_WORDS, pairs)) {
        return false;
    }
    for (uint32_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!needs(draft, root, &top_vocabulary, pairs, needed[i])) {
            return false;
        }
    }
    if (!read_heading(draft, pairs) || !read_all_names(draft, pairs) ||
        !read_index(draft, &draft->states, pairs[TOP_INITIAL].value, to_blame(pairs[TOP_INITIAL]),
                    &draft->definition.initial)) {
        return false;
    }
    for (uint16_t i = 0; i < draft->attributes.count; i++) {
        if (!read_attribute(draft, draft->attributes.in_source[i])) {
            return false;
        }
    }
    for (uint16_t i = 0; i < draft->states.count; i++) {
        if (!read_state(draft, draft->states.in_source[i])) {
            return false;
        }
    }
    return read_events(draft);
}
