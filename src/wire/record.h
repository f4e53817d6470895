/*
 * record: the structs of wire/types.h as maps, by one table each that encoding and decoding share.
 * Private to wire. Thread: any.
 */
#ifndef WIRE_RECORD_H
#define WIRE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "wire/reader.h"
#include "wire/types.h"

enum field_kind {
    FIELD_TEXT,       /* struct bytes */
    FIELD_NATURAL,    /* uint64_t */
    FIELD_INTEGER,    /* int64_t */
    FIELD_NATURAL_32, /* uint32_t */
    FIELD_BOOLEAN,    /* bool */
    FIELD_ATTRIBUTES, /* struct bytes: a canonical list */
    FIELD_TEXTS,      /* struct wire_texts */
    FIELD_KNOWN,      /* struct wire_known */
    FIELD_DEADLINE,   /* of struct wire_order */
    FIELD_OBJECTS,    /* Decoding a struct wire_page only: an array's elements and their number. */
    FIELD_OBJECT,     /* Decoding only: struct bytes, one whole object. */
    FIELD_TEXT_OPTIONAL,    /* struct bytes; BYTES_NONE: the key is left out. */
    FIELD_INTEGER_OPTIONAL, /* int64_t with a bool at `has`; false: the key is left out. */
    FIELD_NATURAL_32_OPTIONAL,
};

/* Room for the longest key and its NUL. Copied whole each time: cheaper than by its size. */
enum { FIELD_KEY_ROOM = 16 };

struct field {
    char key[FIELD_KEY_ROOM];
    uint8_t key_size;
    enum field_kind kind;
    uint16_t offset, has;
};

#define FIELD(type, text, field_kind, member)                                                      \
    {                                                                                              \
        .key = text, .key_size = sizeof(text) - 1, .kind = (field_kind),                           \
        .offset = offsetof(struct type, member)                                                    \
    }

struct fields {
    const struct field *items;
    uint32_t count;
};

/* Appends the pairs of the fields, without the map's head. Returns how many. */
uint32_t record_put_pairs(struct buf *buf, struct fields fields, const void *record);
/* How many pairs record_put_pairs() would append. */
uint32_t record_count_pairs(struct fields fields, const void *record);
/* A whole map. */
void record_put(struct buf *buf, struct fields fields, const void *record);

/* Reads a map, or nil, into the zeroed record. False: another type, or a known key's value has one
 * that does not fit. `arena` may be NULL for tables without lists and attributes. */
bool record_read(struct wire_reader *reader, struct fields fields, struct arena *arena,
                 void *record);

#endif
