/*
 * notation: messages written as text, for tables of tests.
 *
 *   [0, 7, 'order.get', [{'id': 'a'}]]    arrays, maps, texts, integers
 *   1.5 nan inf -inf nil true false       floats are those with a point
 *   b'raw'                                bin
 *   xc7010500                             bytes as they are: one object
 *   'a'#300                               a text of 300 letters a
 *   'x'*3                                 in an array or map: three times this element or pair
 *   deep17                                17 arrays inside one another
 *
 * Heads of containers are written in their longest form, so that no test relies on short ones.
 */
#ifndef WIRE_NOTATION_H
#define WIRE_NOTATION_H

#include "support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/bytes.h"
#include "wire/writer.h"

enum { NOTATION_DEPTH_MAX = 32 };

struct notation_frame {
    size_t head;  /* Offset of the count. */
    size_t start; /* Offset of the element, or of the pair's key, that was read last. */
    uint32_t count, objects;
    bool map;
};

static inline void
notation_raw(struct buf *out, const char **at)
{
    for (; strspn(*at, "0123456789abcdef") >= 2; *at += 2) {
        char digits[3] = {(*at)[0], (*at)[1]};
        buf_put_u8(out, (uint8_t)strtoul(digits, NULL, 16));
    }
}

static inline void
notation_text(struct buf *out, const char **at, bool binary)
{
    struct buf text = {0};
    const char *end = strchr(*at, '\'');
    buf_append(&text, *at, (size_t)(end - *at));
    *at = end + 1;
    if (**at == '#') {
        char *after;
        unsigned long size = strtoul(*at + 1, &after, 10);
        uint8_t letter = text.data[0];
        buf_clear(&text);
        memset(buf_reserve(&text, size + 1), letter, size);
        text.size = size;
        *at = after;
    }
    (void)buf_reserve(&text, 1);
    if (binary) {
        wire_put_binary(out, buf_bytes(&text));
    } else {
        wire_put_text(out, buf_bytes(&text));
    }
    buf_free(&text);
}

static inline void
notation_float(struct buf *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    buf_put_u8(out, 0xcb);
    put_be64(buf_reserve(out, 8), bits);
    out->size += 8;
}

static inline void
notation_number(struct buf *out, const char **at)
{
    char *after;
    size_t digits = strspn(*at, "+-0123456789");
    if ((*at)[digits] == '.' || (*at)[digits] == 'e') {
        notation_float(out, strtod(*at, &after));
    } else if (**at == '-') {
        wire_put_integer(out, strtoll(*at, &after, 10));
    } else {
        wire_put_natural(out, strtoull(*at, &after, 10));
    }
    *at = after;
}

static inline bool
notation_word(const char **at, const char *word)
{
    bool is = strncmp(*at, word, strlen(word)) == 0;
    *at += is ? strlen(word) : 0;
    return is;
}

static inline void
notation_scalar(struct buf *out, const char **at)
{
    if (notation_word(at, "'")) {
        notation_text(out, at, false);
    } else if (notation_word(at, "b'")) {
        notation_text(out, at, true);
    } else if (notation_word(at, "x")) {
        notation_raw(out, at);
    } else if (notation_word(at, "nil")) {
        wire_put_nil(out);
    } else if (notation_word(at, "nan")) {
        notation_float(out, (double)NAN);
    } else if (notation_word(at, "inf")) {
        notation_float(out, (double)INFINITY);
    } else if (notation_word(at, "-inf")) {
        notation_float(out, -(double)INFINITY);
    } else if (notation_word(at, "true")) {
        wire_put_boolean(out, true);
    } else if (notation_word(at, "false")) {
        wire_put_boolean(out, false);
    } else if (notation_word(at, "deep")) {
        char *after;
        for (unsigned long levels = strtoul(*at, &after, 10); levels > 0; levels--) {
            buf_put_u8(out, levels == 1 ? 0x90 : 0x91);
        }
        *at = after;
    } else if (strchr("+-0123456789", **at) != NULL && **at != '\0') {
        notation_number(out, at);
    } else {
        fail_msg("notation: what is `%.20s`?", *at);
    }
}

/* `*n` behind an element or a pair: the bytes since its start once more, n-1 times. */
static inline void
notation_repeat(struct buf *out, const char **at, struct notation_frame *frame)
{
    char *after;
    size_t size = out->size - frame->start;
    for (unsigned long n = strtoul(*at + 1, &after, 10); n > 1; n--) {
        (void)buf_reserve(out, size);
        buf_append(out, out->data + frame->start, size);
        frame->count++;
    }
    *at = after;
}

/* Appends what `text` says to `out`. */
static inline void
notation_put(struct buf *out, const char *text)
{
    struct notation_frame frames[NOTATION_DEPTH_MAX];
    uint32_t depth = 0;
    for (const char *at = text; *at != '\0';) {
        struct notation_frame *frame = depth == 0 ? NULL : &frames[depth - 1];
        if (strchr(" ,:\n", *at) != NULL) {
            at++;
        } else if (*at == ']' || *at == '}') {
            put_be32(out->data + frame->head, frame->count);
            depth--;
            at++;
        } else if (*at == '*') {
            notation_repeat(out, &at, frame);
        } else {
            if (frame != NULL && (!frame->map || frame->objects % 2 == 0)) {
                frame->start = out->size;
                frame->count++;
            }
            if (frame != NULL) {
                frame->objects++;
            }
            if (*at == '[' || *at == '{') {
                assert_true(depth < NOTATION_DEPTH_MAX);
                buf_put_u8(out, *at == '[' ? 0xdd : 0xdf);
                frames[depth++] = (struct notation_frame){.head = out->size, .map = *at == '{'};
                (void)buf_reserve(out, 4);
                out->size += 4;
                at++;
            } else {
                notation_scalar(out, &at);
            }
        }
    }
    assert_int_equal(depth, 0);
}

#endif
