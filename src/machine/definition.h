/*
 * definition: a machine as tables, and its compiled form.
 *
 * Compiling fills the tables (read.c) and checks what they mean (check.c); encoding writes them
 * down in the one canonical form; decoding fills them again, and the engine (machine.c, decide.c)
 * reads them. Everything is sorted: attributes, states and events by name, edges by state and
 * event, rules by what they say, so that equal meaning is equal bytes.
 *
 *   compiled  = format:u8 line:le32 column:le32 content
 *   content   = name:bytes8 version:le32 flags:u8 (1 acyclic) description:bytes32
 *               count:le16 attribute*  count:le16 state*  initial:le16  count:le16 event*
 *               count:le16 rule*  (count:le16 edge*) for each state
 *   attribute = name:bytes8 type:u8 flags:u8 (1 required, 2 immutable, 4 unique)
 *               and for an enum: count:le32 value:bytes8*, sorted
 *   state     = name:bytes8 flags:u8 (1 final, 2 timeout) set of what it has
 *               and with a timeout: after_us:le64 event:le16
 *   event     = name:bytes8
 *   rule      = flags:u8 (1 restart, 2 roles) set of required, set of accepted (and not required)
 *               and with roles: count:le32 role:bytes8*, sorted
 *   edge      = event:le16 to:u8 rule:le16, sorted by event
 *   set       = count:u8 attribute:u8*, ascending
 *
 * Thread: any. Memory: the arrays are the definition's, texts point into source or compiled form.
 */
#ifndef MACHINE_DEFINITION_H
#define MACHINE_DEFINITION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/limits.h"
#include "machine/machine.h"

enum {
    COMPILED_FORMAT = 1,
    COMPILED_HEADER_SIZE = 9, /* What stands before the content. */
    VERSION_MAX_BITS = 31,
};
#define DEFINITION_VERSION_MAX (UINT32_C(1) << VERSION_MAX_BITS)

/* What an order's first event is called: no event of a machine. */
#define EVENT_RESERVED "create"

/* Durations: whole milliseconds, 1 ms to 3,650 d. */
#define DURATION_US_MIN INT64_C(1000)
#define DURATION_US_MAX (INT64_C(3650) * 24 * 60 * 60 * 1000 * 1000)

static_assert(QO_DECLARED_ATTRIBUTES_MAX <= 128, "an attribute is a bit of an attribute_set");
static_assert(QO_STATES_MAX <= 256, "a state is one byte of an edge");
static_assert(QO_EVENTS_MAX <= UINT16_MAX, "an event is two bytes of an edge");

/* A set of attributes of one machine. */
struct attribute_set {
    uint64_t bits[2];
};

static inline bool
set_contains(const struct attribute_set *set, uint16_t attribute)
{
    return (set->bits[attribute / 64] >> (attribute % 64) & 1) != 0;
}

static inline void
set_add(struct attribute_set *set, uint16_t attribute)
{
    set->bits[attribute / 64] |= UINT64_C(1) << (attribute % 64);
}

/* What is in `a` and not in `b`. */
static inline struct attribute_set
set_without(struct attribute_set a, struct attribute_set b)
{
    return (struct attribute_set){{a.bits[0] & ~b.bits[0], a.bits[1] & ~b.bits[1]}};
}

static inline bool
set_empty(const struct attribute_set *set)
{
    return (set->bits[0] | set->bits[1]) == 0;
}

struct definition_attribute {
    struct bytes name;
    enum machine_type type;
    bool required, immutable, unique;
    uint32_t values, values_count; /* Of an enum: where in `texts`, sorted. */
};

struct definition_state {
    struct bytes name;
    bool final;
    int64_t timeout_us; /* 0: no timeout. */
    uint16_t timeout_event;
    struct attribute_set has;
};

/* What an event asks for; shared by all edges that ask for the same. */
struct definition_rule {
    bool restart, roles_given;
    struct attribute_set requires, accepts; /* Disjoint. */
    uint32_t roles, roles_count;            /* Where in `texts`, sorted. */
};

struct definition_edge {
    uint16_t from, event, to, rule;
};

struct definition {
    struct bytes name, description;
    uint32_t version, line, column;
    bool acyclic;
    uint16_t initial;
    uint16_t attributes_count, states_count, events_count, rules_count;
    uint32_t edges_count, texts_count;
    struct definition_attribute *attributes;
    struct definition_state *states;
    struct bytes *events; /* Their names. */
    struct definition_rule *rules;
    struct definition_edge *edges; /* Sorted by `from`, then `event`. */
    struct bytes *texts;           /* Enum values and roles. */
    uint32_t texts_capacity;
};

/* True if `name` has 1 to 64 characters of [A-Za-z0-9_.:-]. */
bool definition_name_valid(struct bytes name);

/* Appends a text; its place in `texts`. */
uint32_t definition_add_text(struct definition *definition, struct bytes text);

/* Appends the encoding of one rule: what rules are sorted by and compared as. */
void definition_encode_rule(struct buf *out, const struct definition *definition,
                            const struct definition_rule *rule);

/* Appends the compiled form. */
void definition_encode(struct buf *out, const struct definition *definition);

/* Fills a zeroed `definition` from a compiled form, into which its texts point. False if
 * definition_encode() would not write exactly these bytes or an index or a range is wrong. The
 * definition is to be freed either way. */
bool definition_decode(struct bytes compiled, struct definition *definition);

void definition_free(struct definition *definition);

/* The position of `name` among `count` sorted names, each the first member of an element of `size`
 * bytes; -1 if it is none of them. */
int32_t definition_find(const void *elements, size_t count, size_t size, struct bytes name);

#endif
