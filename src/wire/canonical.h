/*
 * canonical: values in their one form (include/PROTOCOL.md, "Values"). Private to wire.
 *
 * Shortest integers up to 2^63-1; every float binary64, finite, never -0; bin and str are str,
 * UTF-8 without control characters; maps with unique text keys, sorted by bytes, at every depth; no
 * extension types; at most QO_NESTING_MAX containers inside one another.
 */
#ifndef WIRE_CANONICAL_H
#define WIRE_CANONICAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attributes.h"
#include "wire/reader.h"
#include "wire/request.h"

/* What is wrong with a value: a predicate that goes on from its name. */
struct canonical_fault {
    const char *predicate; /* Static text: "holds a NaN". */
    bool has_limit;
    int64_t limit;
    struct bytes attribute; /* canonical_attributes: the attribute; BYTES_NONE: the map itself. */
};

/*
 * Reads one object and appends its canonical form to `out`. False with `fault` filled in, and then
 * `out` holds a part of it. `out` may grow to QO_ATTRIBUTES_MAX beyond `start_size` and one text
 * more; over that it is a fault with that limit.
 */
bool canonical_value(struct wire_reader *reader, struct buf *out, size_t start_size,
                     struct buf *entries, enum value_type *type_out, struct canonical_fault *fault);

/* Reads the `pairs` of a map of attributes and gives them as a canonical list in the arena. */
bool canonical_attributes(struct wire_decoder *decoder, struct wire_reader *reader, uint32_t pairs,
                          struct arena *arena, struct bytes *list_out,
                          struct canonical_fault *fault);

#endif
