/* See wire/reader.h. Thread: any, one at a time per reader. */
#include "wire/reader.h"

#include "common/assert.h"
#include "common/limits.h"
#include "token.h"

static bool
fail(struct wire_reader *reader)
{
    reader->failed = true;
    return false;
}

/* The value of an integer token longer than one byte; `natural` where it is over 2^63-1. */
static void
decode_integer(uint8_t head, const uint8_t *body, struct wire_token *token)
{
    uint64_t bits;
    token->kind = WIRE_INTEGER;
    switch (head) {
    case 0xcc:
        token->integer = body[0];
        break;
    case 0xcd:
        token->integer = (int64_t)token_be16(body);
        break;
    case 0xce:
        token->integer = token_be32(body);
        break;
    case 0xd0:
        token->integer = (int64_t)(body[0] ^ 0x80u) - 0x80;
        break;
    case 0xd1:
        token->integer = (int16_t)token_be16(body);
        break;
    case 0xd2:
        token->integer = (int32_t)token_be32(body);
        break;
    default: /* 0xcf and 0xd3 */
        bits = token_be64(body);
        if (head == 0xcf && bits > INT64_MAX) {
            token->kind = WIRE_UNSIGNED;
            token->natural = bits;
        } else {
            token->integer = (int64_t)bits;
        }
        break;
    }
}

static void
decode_float(uint8_t head, const uint8_t *body, struct wire_token *token)
{
    token->kind = WIRE_FLOAT;
    if (head == 0xca) {
        float single;
        uint32_t bits = token_be32(body);
        memcpy(&single, &bits, sizeof single);
        token->number = (double)single;
    } else {
        uint64_t bits = token_be64(body);
        memcpy(&token->number, &bits, sizeof token->number);
    }
}

/* A token of the range 0xc0 to 0xdf, whole at `at`. */
static void
decode_long(const uint8_t *at, struct token_extent extent, struct wire_token *token)
{
    const uint8_t *body = at + extent.header;
    uint8_t head = *at;
    if (head == 0xc0) {
        token->kind = WIRE_NIL;
    } else if (head <= 0xc3) {
        token->kind = WIRE_BOOLEAN;
        token->boolean = head == 0xc3;
    } else if (head == 0xca || head == 0xcb) {
        decode_float(head, body, token);
    } else if (head >= 0xcc && head <= 0xd3) {
        decode_integer(head, body, token);
    } else if (head >= 0xde) {
        token->kind = WIRE_MAP;
        token->count = (uint32_t)(extent.children / 2);
    } else if (head >= 0xdc) {
        token->kind = WIRE_ARRAY;
        token->count = (uint32_t)extent.children;
    } else {
        /* Texts and extensions: 0xc4-c6 bin, 0xc7-c9 ext, 0xd4-d8 fixext, 0xd9-db str. */
        token->kind = head <= 0xc6 ? WIRE_BIN : head >= 0xd9 ? WIRE_STR : WIRE_EXTENSION;
        token->bytes = bytes_make(body, extent.body);
    }
}

bool
wire_next(struct wire_reader *reader, struct wire_token *token_out)
{
    if (reader->failed || reader->at == reader->end) {
        return fail(reader);
    }
    const uint8_t *at = reader->at;
    size_t left = (size_t)(reader->end - at);
    /* One byte of head first: most tokens of a request. */
    if (*at < 0x80 || *at >= 0xe0) {
        token_out->kind = WIRE_INTEGER;
        token_out->integer = (int64_t)(*at ^ 0x80u) - 0x80; /* Its sign is bit 7. */
        reader->at = at + 1;
        return true;
    }
    if (*at < 0xa0) {
        token_out->kind = *at >= 0x90 ? WIRE_ARRAY : WIRE_MAP;
        token_out->count = *at & 15u;
        reader->at = at + 1;
        return true;
    }
    if (*at < 0xc0) {
        size_t size = *at & 31u;
        if (size > left - 1) {
            return fail(reader);
        }
        token_out->kind = WIRE_STR;
        token_out->bytes = bytes_make(at + 1, size);
        reader->at = at + 1 + size;
        return true;
    }
    uint8_t header = token_header_size(*at);
    if (header == 0 || header > left) {
        return fail(reader);
    }
    struct token_extent extent = token_extent(at);
    if (extent.body > left - header) {
        return fail(reader);
    }
    reader->at = at + header + extent.body;
    decode_long(at, extent, token_out);
    return true;
}

bool
wire_skip(struct wire_reader *reader, struct bytes *object_out)
{
    const uint8_t *start = reader->at;
    uint64_t owed = 1;
    while (owed > 0) {
        if (reader->failed || reader->at == reader->end) {
            return fail(reader);
        }
        size_t left = (size_t)(reader->end - reader->at);
        uint8_t header = token_header_size(*reader->at);
        if (header == 0 || header > left) {
            return fail(reader);
        }
        struct token_extent extent = token_extent(reader->at);
        if (extent.body > left - header) {
            return fail(reader);
        }
        reader->at += header + extent.body;
        owed += extent.children - 1;
        /* Without this a few heads could owe more than any bytes could pay, up to the overflow. */
        if (owed > (size_t)(reader->end - reader->at)) {
            return fail(reader);
        }
    }
    if (object_out != NULL) {
        *object_out = bytes_make(start, (size_t)(reader->at - start));
    }
    return true;
}

bool
wire_peek(const struct wire_reader *reader, enum wire_kind *kind_out)
{
    struct wire_reader ahead = *reader;
    struct wire_token token;
    if (!wire_next(&ahead, &token)) {
        return false;
    }
    *kind_out = token.kind;
    return true;
}

bool
wire_read_nil(struct wire_reader *reader)
{
    if (reader->failed || reader->at == reader->end || *reader->at != 0xc0) {
        return false;
    }
    reader->at++;
    return true;
}

/* True with a token of `kind` in `token`; false, with `failed` unless it was nil, with another. */
static bool
expect(struct wire_reader *reader, enum wire_kind kind, struct wire_token *token)
{
    if (!wire_next(reader, token) || token->kind == WIRE_NIL) {
        return false;
    }
    return token->kind == kind || fail(reader);
}

struct bytes
wire_read_text(struct wire_reader *reader)
{
    struct wire_token token;
    if (!wire_next(reader, &token) || token.kind == WIRE_NIL) {
        return BYTES_NONE;
    }
    if (token.kind != WIRE_STR && token.kind != WIRE_BIN) {
        (void)fail(reader);
        return BYTES_NONE;
    }
    return token.bytes;
}

int64_t
wire_read_integer(struct wire_reader *reader)
{
    struct wire_token token;
    return expect(reader, WIRE_INTEGER, &token) ? token.integer : 0;
}

uint64_t
wire_read_natural(struct wire_reader *reader)
{
    struct wire_token token;
    if (!wire_next(reader, &token) || token.kind == WIRE_NIL) {
        return 0;
    }
    if (token.kind == WIRE_UNSIGNED) {
        return token.natural;
    }
    if (token.kind != WIRE_INTEGER || token.integer < 0) {
        (void)fail(reader);
        return 0;
    }
    return (uint64_t)token.integer;
}

bool
wire_read_boolean(struct wire_reader *reader)
{
    struct wire_token token;
    return expect(reader, WIRE_BOOLEAN, &token) && token.boolean;
}

uint32_t
wire_read_array(struct wire_reader *reader)
{
    struct wire_token token;
    return expect(reader, WIRE_ARRAY, &token) ? token.count : 0;
}

uint32_t
wire_read_map(struct wire_reader *reader)
{
    struct wire_token token;
    return expect(reader, WIRE_MAP, &token) ? token.count : 0;
}
