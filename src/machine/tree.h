/*
 * tree: a YAML text as a tree of texts, lists and maps, without YAML's surprises.
 *
 * Refused while reading: anchors, aliases, tags, merge keys, second documents, keys that are not
 * texts, deep nesting. Duplicate keys are found by who reads a map. Every node knows where it
 * stands, so that what is refused later can be pointed at.
 *
 * Thread: any. Memory: nodes and texts come from the arena given.
 */
#ifndef MACHINE_TREE_H
#define MACHINE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/bytes.h"
#include "machine/machine.h"

enum node_kind { NODE_TEXT, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    bool plain;         /* A text without quotes: what YAML might read as something else. */
    size_t at;          /* Where it stands: bytes before it. */
    struct bytes text;  /* Of a NODE_TEXT. */
    struct node *first; /* Of a list: its items. Of a map: key, value, key, value ... */
    struct node *next;
    uint32_t count; /* Items of a list, keys of a map. */
};

/* Reads `source`. NULL with `error_out` filled if it is refused. */
const struct node *tree_read(struct bytes source, struct arena *arena,
                             struct machine_error *error_out);

/* Line and column, in bytes and from 1, of the byte after `at` others. Lines end with LF, CRLF or
 * CR. */
void tree_locate(struct bytes source, size_t at, uint32_t *line_out, uint32_t *column_out);

/* A text of the source made fit for a message: cut, in valid UTF-8, without control characters. */
struct quoted {
    char text[84];
};
struct quoted tree_quote(struct bytes text);

/* Fills `error_out`: what stands at `at` is refused. Always false. */
bool tree_refuse(struct bytes source, size_t at, struct machine_error *error_out,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* True if the node is a text that YAML, or somebody used to it, would not read as one: true, false,
 * yes, no, on, off, null (in any case), ~ or a number, without quotes; or nothing at all. */
bool tree_ambiguous(const struct node *node);

/* True if nothing is written where the node stands. */
static inline bool
tree_missing(const struct node *node)
{
    return node->kind == NODE_TEXT && node->plain && node->text.size == 0;
}

#endif
