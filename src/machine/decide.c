/* See machine/machine.h: what a command does to an order. Thread: any; pure. */
#include "common/attributes.h"
#include "engine.h"
#include "machine/machine.h"

const char *
machine_why_text(enum machine_why why)
{
    static const char *const texts[] = {
#define X(name, text) text,
        MACHINE_WHY_MAP(X)
#undef X
    };
    QO_PRE((size_t)why < sizeof texts / sizeof texts[0]);
    return texts[why];
}

/* What a command is checked against. */
struct request {
    const struct machine *machine;
    const struct definition_rule *rule; /* NULL: a creation, which accepts all that is declared. */
    const struct attribute_set *needed; /* What must be brought. */
    const struct attribute_set *has;    /* What must be there afterwards. */
    struct bytes held, brought;
};

/* The first attribute by name that is wrong so far. */
struct finding {
    bool found;
    struct bytes attribute;
    enum machine_why why;
};

/* Keeps the finding that answers: the first by name, then by the order of the reasons. */
static void
report(struct finding *finding, struct bytes attribute, enum machine_why why)
{
    int order = finding->found ? bytes_compare(attribute, finding->attribute) : -1;
    if (order < 0 || (order == 0 && why < finding->why)) {
        *finding = (struct finding){true, attribute, why};
    }
}

/* True if binary64 holds `integer` exactly: at most 53 bits from its first to its last one. */
static bool
exact_as_number(int64_t integer)
{
    uint64_t magnitude = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    while (magnitude != 0 && (magnitude & 1) == 0) {
        magnitude >>= 1;
    }
    return magnitude <= UINT64_C(1) << 53;
}

static bool
type_fits(enum machine_type type, const struct attribute *brought)
{
    switch (type) {
    case MACHINE_STRING:
    case MACHINE_ENUM:
        return brought->type == VALUE_TEXT;
    case MACHINE_INTEGER:
    case MACHINE_TIMESTAMP:
        return brought->type == VALUE_INTEGER;
    case MACHINE_NUMBER:
        return brought->type == VALUE_NUMBER ||
               (brought->type == VALUE_INTEGER && exact_as_number(value_integer(brought->value)));
    case MACHINE_BOOLEAN:
        return brought->type == VALUE_BOOLEAN;
    case MACHINE_LIST:
        return brought->type == VALUE_LIST;
    case MACHINE_MAP:
        return brought->type == VALUE_MAP;
    }
    return false;
}

/* True if `attribute` may take the value that was brought; why not, if not. */
static bool
value_fits(const struct request *request, uint16_t index, const struct attribute *brought,
           enum machine_why *why_out)
{
    const struct definition *definition = &request->machine->definition;
    const struct definition_attribute *attribute = &definition->attributes[index];
    struct attribute unused;
    /* Immutable and required was set at creation: no need to look. At creation nothing is held. */
    if (attribute->immutable && request->rule != NULL &&
        (brought->type == VALUE_NIL || attribute->required ||
         attributes_find(request->held, brought->name, &unused))) {
        *why_out = MACHINE_IMMUTABLE;
        return false;
    }
    if (brought->type == VALUE_NIL) {
        *why_out = MACHINE_MISSING;
        return !attribute->required;
    }
    if (!type_fits(attribute->type, brought)) {
        *why_out = MACHINE_TYPE;
        return false;
    }
    *why_out = MACHINE_ENUM_VALUE;
    return attribute->type != MACHINE_ENUM ||
           definition_find(definition->texts + attribute->values, attribute->values_count,
                           sizeof definition->texts[0], value_text(brought->value)) >= 0;
}

/* What the pass over the brought attributes learns. */
struct survey {
    struct attribute_set given, removed; /* With a value; with nil. */
    bool changes;                        /* Normalising changes something. */
    struct finding finding;
};

static void
survey_brought(const struct request *request, struct survey *survey)
{
    struct attributes_iterator iterator = attributes_begin(request->brought);
    struct attribute brought;
    while (attributes_next(&iterator, &brought)) {
        int32_t found = machine_attribute_find(request->machine, brought.name);
        if (found < 0) {
            report(&survey->finding, brought.name, MACHINE_UNDECLARED);
            continue;
        }
        uint16_t index = (uint16_t)found;
        enum machine_why why;
        if (request->rule != NULL && !set_contains(&request->rule->requires, index) &&
            !set_contains(&request->rule->accepts, index)) {
            report(&survey->finding, brought.name, MACHINE_NOT_ACCEPTED);
        } else if (!value_fits(request, index, &brought, &why)) {
            report(&survey->finding, brought.name, why);
        }
        if (brought.type == VALUE_NIL) {
            set_add(&survey->removed, index);
            survey->changes = survey->changes || request->rule == NULL;
        } else {
            set_add(&survey->given, index);
            survey->changes =
                survey->changes ||
                (brought.type == VALUE_INTEGER &&
                 request->machine->definition.attributes[index].type == MACHINE_NUMBER);
        }
    }
}

/* The lowest attribute of a set that is not empty: the first by name. */
static uint16_t
set_first(const struct attribute_set *set)
{
    uint16_t attribute = 0;
    while (!set_contains(set, attribute)) {
        attribute++;
    }
    return attribute;
}

/* Looks for attributes that should have been brought, and for those that the order would lack. */
static void
survey_lacking(const struct request *request, struct survey *survey)
{
    struct attribute_set missing = set_without(*request->needed, survey->given);
    if (!set_empty(&missing)) {
        uint16_t first = set_first(&missing);
        report(&survey->finding, machine_attribute_name(request->machine, first), MACHINE_MISSING);
    }
    struct attribute_set open = set_without(*request->has, survey->given);
    if (request->rule != NULL) {
        /* Held since creation, and never removed. */
        open = set_without(open, request->machine->required);
    }
    struct attribute unused;
    while (!set_empty(&open)) {
        uint16_t first = set_first(&open);
        struct bytes name = machine_attribute_name(request->machine, first);
        if (set_contains(&survey->removed, first) ||
            !attributes_find(request->held, name, &unused)) {
            report(&survey->finding, name, MACHINE_HAS);
            return;
        }
        struct attribute_set one = {{0, 0}};
        set_add(&one, first);
        open = set_without(open, one);
    }
}

/* Appends what was brought as the event records it; its size. */
static size_t
normalise(const struct request *request, struct buf *out)
{
    size_t start = out->size;
    struct attributes_builder builder = attributes_build(out);
    struct attributes_iterator iterator = attributes_begin(request->brought);
    struct attribute brought;
    while (attributes_next(&iterator, &brought)) {
        if (brought.type == VALUE_NIL && request->rule == NULL) {
            continue;
        }
        int32_t index = machine_attribute_find(request->machine, brought.name);
        QO_ASSERT(index >= 0);
        if (brought.type == VALUE_INTEGER &&
            request->machine->definition.attributes[index].type == MACHINE_NUMBER) {
            uint8_t number[9];
            value_put_number(number, (double)value_integer(brought.value)); /* Exact: checked. */
            attributes_append(&builder, brought.name, VALUE_NUMBER,
                              bytes_make(number, sizeof number));
        } else {
            attributes_append(&builder, brought.name, brought.type, brought.value);
        }
    }
    (void)attributes_built(&builder);
    return out->size - start;
}

/* Checks the request and, if it may be, says what is recorded and then held. */
static bool
settle(const struct request *request, struct buf *out, struct machine_step *step_out,
       struct machine_refusal *refusal_out)
{
    struct survey survey = {.changes = false};
    survey_brought(request, &survey);
    survey_lacking(request, &survey);
    if (survey.finding.found) {
        *refusal_out = (struct machine_refusal){QO_INVALID_ATTRIBUTE, survey.finding.attribute,
                                                survey.finding.why};
        return false;
    }
    size_t start = out->size, brought_size = 0;
    struct bytes brought = request->brought;
    if (survey.changes) {
        brought_size = normalise(request, out);
        /* Room first: the merge below must not move what it reads. */
        (void)buf_reserve(out, request->held.size + brought_size + 2);
        brought = bytes_make(out->data + start, brought_size);
    }
    step_out->brought = brought;
    if (request->rule == NULL) {
        step_out->held = brought;
    } else if (attributes_count(brought) == 0) {
        step_out->held = request->held;
    } else {
        (void)buf_reserve(out, request->held.size + brought.size + 2);
        size_t held_start = out->size;
        attributes_merge(out, request->held, brought);
        step_out->held = bytes_make(out->data + held_start, out->size - held_start);
        QO_POST(!survey.changes || step_out->brought.data == out->data + start);
    }
    return true;
}

enum qo_error
machine_create(const struct machine *machine, struct bytes brought, struct buf *out,
               struct machine_step *step_out, struct machine_refusal *refusal_out)
{
    uint16_t initial = machine->definition.initial;
    struct request request = {.machine = machine,
                              .needed = &machine->required,
                              .has = &machine->definition.states[initial].has,
                              .held = BYTES_NONE,
                              .brought = brought};
    QO_VERIFY(attributes_valid(brought));
    *step_out = (struct machine_step){.to = initial};
    return settle(&request, out, step_out, refusal_out) ? QO_OK : refusal_out->error;
}

enum qo_error
machine_transition(const struct machine *machine, const struct machine_command *command,
                   struct buf *out, struct machine_step *step_out,
                   struct machine_refusal *refusal_out)
{
    const struct definition *definition = &machine->definition;
    const struct definition_edge *edge = machine_edge(machine, command->state, command->event);
    QO_VERIFY(attributes_valid(command->held) && attributes_valid(command->brought));
    if (edge == NULL) {
        *refusal_out =
            (struct machine_refusal){QO_INVALID_TRANSITION, BYTES_NONE, MACHINE_UNDECLARED};
        return QO_INVALID_TRANSITION;
    }
    const struct definition_rule *rule = &definition->rules[edge->rule];
    struct request request = {.machine = machine,
                              .rule = rule,
                              .needed = &rule->requires,
                              .has = &definition->states[edge->to].has,
                              .held = command->held,
                              .brought = command->brought};
    *step_out = (struct machine_step){
        .to = edge->to, .stays = edge->to == command->state, .restart = rule->restart};
    QO_ASSERT(QO_IMPLIES(step_out->restart, step_out->stays));
    return settle(&request, out, step_out, refusal_out) ? QO_OK : refusal_out->error;
}
