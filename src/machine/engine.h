/* engine: the inside of a `struct machine`, for the files of this module. Thread: any. */
#ifndef MACHINE_ENGINE_H
#define MACHINE_ENGINE_H

#include "common/hash.h"
#include "definition.h"

struct machine {
    uint8_t *compiled; /* What the definition's texts point into. */
    size_t compiled_size;
    struct definition definition;
    uint32_t *first_edge; /* The edges of state s: from first_edge[s] up to first_edge[s + 1]. */
    struct attribute_set required;
    uint16_t uniques[QO_DECLARED_ATTRIBUTES_MAX];
    uint16_t uniques_count;
    char checksum[2 * sizeof(struct sha256) + 1];
};

/* The edge of an event out of a state; NULL if the state does not accept the event. */
const struct definition_edge *machine_edge(const struct machine *machine, uint16_t state,
                                           uint16_t event);

#endif
