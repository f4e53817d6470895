/*
 * registry: every definition of the cluster, by number.
 *
 * A definition gets the next number (0, 1, 2 …, at most QO_DEFINITIONS_MAX) when the log accepts it
 * and keeps it for ever. Machines, and per machine the names of states and unique attributes, get
 * numbers of their own in order of first appearance, so that lists and unique values span versions.
 * All numbers follow from the log alone.
 *
 * Thread: registry_add() the state thread (or whoever opens the store). Look-ups any thread: what
 * is published is immutable. `state thread` look-ups see what was added but not yet published.
 * Memory: everything lives as long as the registry.
 */
#ifndef STORE_REGISTRY_H
#define STORE_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "store/record.h" /* RECORD_NONE */

struct machine; /* machine/machine.h */
struct registry;

struct definition {
    uint16_t number;
    uint16_t machine_number;
    const struct machine *machine;
    struct bytes source; /* The YAML, for people. */
    int64_t at;          /* When the log accepted it. */
    /* Per state of this definition: its number among all state names of the machine; likewise for
     * attributes (RECORD_NONE where not unique). */
    uint16_t state_numbers[QO_STATES_MAX];
    uint16_t attribute_numbers[QO_DECLARED_ATTRIBUTES_MAX];
};

enum registry_view {
    REGISTRY_STATE,     /* What the state thread has added. Only there. */
    REGISTRY_PUBLISHED, /* What is committed. */
};

uint32_t registry_count(const struct registry *registry, enum registry_view view);
/* NULL if the number is not in the view. */
const struct definition *registry_get(const struct registry *registry, enum registry_view view,
                                      uint32_t number);
/* version 0: the latest. NULL: none such; registry_machine() tells whether the name is known. */
const struct definition *registry_find(const struct registry *registry, enum registry_view view,
                                       struct bytes machine, uint32_t version);
/* The number of a machine's name, or -1. */
int32_t registry_machine(const struct registry *registry, enum registry_view view,
                         struct bytes machine);
uint32_t registry_machines_count(const struct registry *registry, enum registry_view view);
/* The machine's number for a state name / a unique attribute's name, or -1. */
int32_t registry_state_number(const struct registry *registry, enum registry_view view,
                              uint16_t machine_number, struct bytes state);
int32_t registry_attribute_number(const struct registry *registry, enum registry_view view,
                                  uint16_t machine_number, struct bytes attribute);
/* How many state names a machine has over all its versions. */
uint32_t registry_states_count(const struct registry *registry, enum registry_view view,
                               uint16_t machine_number);

/* Whether a further definition has room: numbers for it and for its names are left. To be asked
 * before registry_add(). Thread: the one that adds. */
bool registry_fits(const struct registry *registry, const struct machine *machine);

/* Adds the next definition; `compiled` must open (else the node stops: FATAL_CORRUPT). Rules about
 * versions are the caller's. Copies compiled and source. */
const struct definition *registry_add(struct registry *registry, struct bytes compiled,
                                      struct bytes source, int64_t at);
/* Makes everything added visible to all threads. store_commit() does so itself just before it
 * writes a batch with a definition, so that no view ever shows an order of a definition that it
 * cannot find; calling it again does no harm. */
void registry_publish(struct registry *registry);

#endif
