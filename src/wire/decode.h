/*
 * decode: what the decoding of one request holds, its faults, and the values of single keys.
 * Private to wire. Thread: any, one at a time per struct.
 */
#ifndef WIRE_DECODE_H
#define WIRE_DECODE_H

#include "params.h"
#include "wire/reader.h"
#include "wire/request.h"

/* What a decoder holds while it works, and where in the message it stands: from that the path of a
 * fault is made, so that messages without one pay nothing for it. */
struct decode {
    struct wire_decoder *buffers;
    struct arena *arena;
    struct wire_reader reader;
    struct wire_request *request;
    struct wire_operation *operation; /* That the keys belong to; NULL: none. */
    int64_t operation_index;          /* In a batch; -1: not inside `operations`. */
    struct wire_failure *failure;
    /* Where `operations` stand: read once the keys around them are known, so that nothing recurses.
     */
    const struct param *operations;
    struct wire_reader operations_at;
};

enum { FIELD_KEY_MAX = 128, FIELD_MAX = 2 * FIELD_KEY_MAX + 64 };

/* Each fills d->failure and returns false. `predicate` goes on from the field's name: "is missing".
 * The field is given whole, or as a key where the decoder stands, or as a param. */
bool decode_refuse_field(struct decode *d, struct bytes field, const char *predicate);
bool decode_refuse_key(struct decode *d, struct bytes key, const char *predicate);
bool decode_refuse(struct decode *d, const struct param *param, const char *predicate);
/* Over a limit, which the failure then names; `unit` goes on from the number: " bytes". */
bool decode_refuse_over(struct decode *d, struct bytes field, uint64_t limit, const char *unit);

/* The path of `key` where the decoder stands, with `inner` behind a dot if there is one, or with
 * `element` in brackets if that is not negative. In the arena. */
struct bytes decode_path(struct decode *d, struct bytes key, struct bytes inner, int64_t element);

/* Reads one value that is not nil, by its param, into its place. `operations` is the caller's. */
bool decode_param(struct decode *d, const struct param *param);

static inline struct bytes
param_name(const struct param *param)
{
    return bytes_make(param->name, param->name_size);
}

static inline bool
is_text_kind(const struct wire_token *token)
{
    return token->kind == WIRE_STR || token->kind == WIRE_BIN;
}

#endif
