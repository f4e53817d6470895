/*
 * reader: MessagePack, token by token, over bytes that are all there.
 *
 * Knows the encoding and nothing of messages: no limits but the end of the bytes, no canonical
 * form. A value that has elements (array, map) is followed by its elements' tokens: the count says
 * how many. A failed read sets `failed`, after which every read fails and returns nothing, so that
 * one check at the end serves a whole decoder.
 *
 * Thread: any, one at a time per reader. Memory: none; texts point into the bytes read.
 */
#ifndef WIRE_READER_H
#define WIRE_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

enum wire_kind {
    WIRE_NIL,
    WIRE_BOOLEAN,
    WIRE_INTEGER,  /* Any integer up to 2^63-1. */
    WIRE_UNSIGNED, /* An integer from 2^63 to 2^64-1. */
    WIRE_FLOAT,    /* binary32 or binary64, as it came: NaN and infinities too. */
    WIRE_STR,
    WIRE_BIN,
    WIRE_ARRAY,
    WIRE_MAP,
    WIRE_EXTENSION, /* `bytes` without the type byte. */
};

struct wire_token {
    enum wire_kind kind;
    union {
        bool boolean;
        int64_t integer;    /* WIRE_INTEGER */
        uint64_t natural;   /* WIRE_UNSIGNED */
        double number;      /* WIRE_FLOAT */
        struct bytes bytes; /* WIRE_STR, WIRE_BIN, WIRE_EXTENSION */
        uint32_t count;     /* WIRE_ARRAY: elements. WIRE_MAP: pairs. */
    };
};

struct wire_reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct wire_reader
wire_reader_of(struct bytes bytes)
{
    return (struct wire_reader){bytes.data, bytes.data == NULL ? NULL : bytes.data + bytes.size,
                                bytes.data == NULL};
}

/* The next token. False: nothing is left, the bytes end inside it, or they are not MessagePack. */
bool wire_next(struct wire_reader *reader, struct wire_token *token_out);

/* Passes over one whole object with all that it holds, without a stack. `object_out` (may be NULL)
 * gets its bytes. False as wire_next(). */
bool wire_skip(struct wire_reader *reader, struct bytes *object_out);

/* The kind of the next object without taking it. False at the end. */
bool wire_peek(const struct wire_reader *reader, enum wire_kind *kind_out);

/* One object of an expected kind; another kind sets `failed`. Texts may be str or bin. A nil text
 * is BYTES_NONE, every other nil 0 or false. */
struct bytes wire_read_text(struct wire_reader *reader);
int64_t wire_read_integer(struct wire_reader *reader);
uint64_t wire_read_natural(struct wire_reader *reader);
bool wire_read_boolean(struct wire_reader *reader);
uint32_t wire_read_array(struct wire_reader *reader); /* How many elements follow. */
uint32_t wire_read_map(struct wire_reader *reader);   /* How many pairs follow. */
/* True, and passes over it, if the next object is nil. */
bool wire_read_nil(struct wire_reader *reader);

/* True if nothing failed and nothing is left. */
static inline bool
wire_reader_done(const struct wire_reader *reader)
{
    return !reader->failed && reader->at == reader->end;
}

/* True if `text` is UTF-8 (no overlong forms, no surrogates, at most U+10FFFF). */
bool wire_is_utf8(struct bytes text);
/* True if `text` is a text of the protocol: UTF-8 without U+0000 to U+001F. */
bool wire_is_text(struct bytes text);
/* True if `text` is a name: 1 to QO_NAME_MAX bytes of [A-Za-z0-9_.:-]. */
bool wire_is_name(struct bytes text);
/* The longest prefix of at most `size_max` bytes that does not cut a character in two. */
struct bytes wire_cut_text(struct bytes text, size_t size_max);

#endif
