/*
 * graph: a machine as a picture, in the text forms that other programs draw.
 *
 * Shown: the start, each state (final ones marked), each way from state to state with its event,
 * staying events as loops (`restart` marked), and timeouts as ways of their own with their time
 * (dashed where the form can). The text depends on nothing but the machine. Thread: any.
 */
#ifndef MACHINE_GRAPH_H
#define MACHINE_GRAPH_H

#include "common/bytes.h"

struct machine;

/* Appends a digraph for Graphviz. */
void machine_graph_dot(const struct machine *machine, struct buf *out);
/* Appends a stateDiagram-v2 for Mermaid. */
void machine_graph_mermaid(const struct machine *machine, struct buf *out);

#endif
