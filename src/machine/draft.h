/*
 * draft: a definition on its way from the source to its compiled form.
 *
 * draft_read() (read.c) knows the words of the language: it fills the tables, so that afterwards
 * every name is an index and every value has its type. draft_check() (check.c) knows what a whole
 * must be: every state reached and left, timeouts that lead on, no cycle where none is allowed,
 * every `has` provided. Both point at the first thing that is wrong.
 *
 * Thread: any. Memory: the arena's, but for the tables of `definition`.
 */
#ifndef MACHINE_DRAFT_H
#define MACHINE_DRAFT_H

#include "common/arena.h"
#include "definition.h"
#include "tree.h"

/* A key of `attributes`, `states` or `events` with its body. */
struct draft_name {
    struct bytes name; /* First: definition_find() looks here. */
    const struct node *key, *value;
};

struct draft_names {
    struct draft_name *sorted; /* By name: the position is the index. */
    uint16_t *in_source;       /* The same indexes in the order of the source. */
    uint16_t count;
};

struct draft_edge {
    uint16_t event, from, to;
    uint32_t rule;              /* In `rules`. */
    const struct node *from_at; /* The state in `from`. */
    const struct node *to_at;   /* NULL: `to` was left out. */
};

/* What a state's body says, kept for check.c to point at; NULL where left out. */
struct draft_state {
    const struct node *timeout_key, *timeout_event, *has;
};

struct draft {
    struct bytes source;
    struct arena *arena;
    struct machine_error *error;
    struct definition definition; /* Its rules and edges are filled last, sorted. */
    struct draft_names attributes, states, events;
    struct draft_state *state_nodes;
    struct draft_edge *edges; /* In the order of the source. */
    struct definition_rule *rules;
    uint32_t edges_count, rules_count;
};

/* Fills a draft (zeroed but for source, arena and error) from the tree. False if refused. The
 * tables are to be freed either way. */
bool draft_read(struct draft *draft, const struct node *root);

/* False if refused. */
bool draft_check(struct draft *draft);

/* Sorts rules and edges into the definition's tables. After draft_check(). */
void draft_finish(struct draft *draft);

#define DRAFT_REFUSE(draft, node, ...)                                                             \
    tree_refuse((draft)->source, (node)->at, (draft)->error, __VA_ARGS__)

#endif
