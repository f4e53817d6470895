/*
 * params: one table per method of the keys that it takes. Decoding and encoding both walk it.
 * Private to wire. Thread: any: constants.
 */
#ifndef WIRE_PARAMS_H
#define WIRE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/request.h"

enum param_kind {
    PARAM_TEXT,     /* struct bytes; min to max bytes. */
    PARAM_SOURCE,   /* struct bytes; UTF-8 with anything in it, at most max bytes. */
    PARAM_NAME,     /* struct bytes; a name. */
    PARAM_BINARY,   /* struct bytes; bin. */
    PARAM_NATURAL,  /* uint64_t, and a bool at `has` if that is not 0. */
    PARAM_INTEGER,  /* int64_t, and a bool at `has`. */
    PARAM_TIME,     /* int64_t, and a bool at `has`; more than fits is the most that fits. */
    PARAM_RANGE,    /* uint32_t; min to max. */
    PARAM_RANGE_64, /* uint64_t; min to max. */
    PARAM_BOOLEAN,  /* bool */
    PARAM_CONSISTENCY,
    PARAM_ATTRIBUTES,
    PARAM_VALUE,  /* `value` and `value_type` of a request. */
    PARAM_IDS,    /* struct wire_texts */
    PARAM_NAMES,  /* struct wire_names */
    PARAM_SHARDS, /* struct wire_shards */
    PARAM_KIND,   /* `op` of an operation: told by the caller. */
    PARAM_OPERATIONS,
};

struct param {
    const char *name;
    uint8_t name_size;
    enum param_kind kind;
    bool required;
    bool of_operation; /* The offsets are of struct wire_operation, else of struct wire_request. */
    uint16_t offset, has;
    uint64_t min, max;
};

struct params {
    const struct param *items;
    uint32_t count;
};

/* What the method takes. */
struct params params_of_method(enum wire_method method);
/* What an operation of that kind takes inside `order.batch`. */
struct params params_of_operation(enum wire_operation_kind kind);

/* The place of a param in its struct. */
static inline void *
param_at(const struct param *param, struct wire_request *request, struct wire_operation *operation)
{
    return (uint8_t *)(param->of_operation ? (void *)operation : (void *)request) + param->offset;
}

#define PARAMS_MAX 16u

#endif
