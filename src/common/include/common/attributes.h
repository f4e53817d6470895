/*
 * attributes: the attributes of an order, in the one form in which they are logged, stored, hashed
 * and compared.
 *
 *   list  = count:le16 item*            items sorted by name (bytes), names unique
 *   item  = name_len:u8 name type:u8 value_len:le16 value
 *   value = the canonical MessagePack encoding of the value, which is also what is answered
 *
 * An empty list is two zero bytes; BYTES_NONE counts as an empty list wherever one is read. Lists
 * are made by our own code only (wire's decoder, attributes_merge), so readers assert the form.
 * Thread: any; pure.
 */
#ifndef COMMON_ATTRIBUTES_H
#define COMMON_ATTRIBUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

enum value_type {
    VALUE_NIL = 0,
    VALUE_BOOLEAN = 1,
    VALUE_INTEGER = 2, /* int64 */
    VALUE_NUMBER = 3,  /* binary64, never NaN, infinite or -0 */
    VALUE_TEXT = 4,
    VALUE_LIST = 5,
    VALUE_MAP = 6,
};

struct attribute {
    struct bytes name;
    enum value_type type;
    struct bytes value; /* Canonical MessagePack. */
};

struct attributes_iterator {
    struct cursor cursor;
    uint16_t left;
};

struct attributes_iterator attributes_begin(struct bytes list);
/* False at the end. `attribute_out` points into the list. */
bool attributes_next(struct attributes_iterator *iterator, struct attribute *attribute_out);
uint16_t attributes_count(struct bytes list);
bool attributes_find(struct bytes list, struct bytes name, struct attribute *attribute_out);

/* Builds a list at the end of `buf`: begin, append in sorted order, end. */
struct attributes_builder {
    struct buf *buf;
    size_t start;
    uint16_t count;
};
struct attributes_builder attributes_build(struct buf *buf);
void attributes_append(struct attributes_builder *builder, struct bytes name, enum value_type type,
                       struct bytes value);
/* The list, pointing into the buffer (valid until that grows). */
struct bytes attributes_built(struct attributes_builder *builder);

/* Appends `base` changed by `changes` to `buf`: a nil in `changes` removes, others set. */
void attributes_merge(struct buf *buf, struct bytes base, struct bytes changes);

/* Bytes of the list as one MessagePack map: what the limit `attributes` counts. */
size_t attributes_encoded_size(struct bytes list);

/* Values of canonical encodings. The type must fit (asserted). */
int64_t value_integer(struct bytes value);
double value_number(struct bytes value);
struct bytes value_text(struct bytes value);

/* Writes the canonical encoding of a number (9 bytes: 0xcb and binary64); -0 becomes 0. */
void value_put_number(uint8_t out[9], double number);

/* True if `list` keeps every rule above. For QO_VERIFY and tests; never asserts. */
bool attributes_valid(struct bytes list);

#endif
