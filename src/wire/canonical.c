/* See canonical.h. Thread: any, one at a time per decoder.
 *
 * No recursion: a stack of at most QO_NESTING_MAX frames. A map is written in the order in which it
 * came; if that was not sorted, its entries are sorted when it is complete, which moves bytes only
 * inside it, so that the maps around it need not know. */
#include "canonical.h"

#include <math.h>
#include <stdlib.h>

#include "common/arena.h"
#include "common/assert.h"
#include "common/limits.h"
#include "wire/writer.h"

/* One entry of a map that is not complete: its key in the message, its bytes in the output. */
struct entry {
    struct bytes key;
    size_t start, size;
    enum value_type type; /* Attributes only. */
};

struct frame {
    bool map, sorted;
    uint32_t left;   /* Elements or pairs still to come. */
    size_t entries;  /* Size of the entries' buffer when the map began. */
    size_t contents; /* Offset of its first entry in the output. */
};

static_assert(QO_ATTRIBUTES_MAX == 16384 && QO_NAME_MAX == 64 && QO_NESTING_MAX == 16,
              "the sentences below say so");

static bool
wrong(struct canonical_fault *fault, const char *predicate)
{
    *fault = (struct canonical_fault){.predicate = predicate};
    return false;
}

static bool
over(struct canonical_fault *fault, const char *predicate, int64_t limit)
{
    *fault = (struct canonical_fault){.predicate = predicate, .has_limit = true, .limit = limit};
    return false;
}

static struct entry *
entries_at(struct buf *entries, size_t offset)
{
    return (struct entry *)(void *)(entries->data + offset);
}

static void
entries_push(struct buf *entries, struct bytes key, size_t start)
{
    struct entry entry = {.key = key, .start = start};
    buf_append(entries, &entry, sizeof entry);
}

static int
compare_entries(const void *a, const void *b)
{
    return bytes_compare(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

/* Sorts the entries from `from` on. False if two have the same key, which is then `*twice_out`. */
static bool
entries_sort(struct buf *entries, size_t from, struct bytes *twice_out)
{
    size_t count = (entries->size - from) / sizeof(struct entry);
    struct entry *all = entries_at(entries, from);
    qsort(all, count, sizeof *all, compare_entries);
    for (size_t i = 1; i < count; i++) {
        if (bytes_equal(all[i - 1].key, all[i].key)) {
            *twice_out = all[i].key;
            return false;
        }
    }
    return true;
}

/* Takes the key of the next entry. */
static bool
take_key(struct wire_reader *reader, struct buf *out, struct buf *entries, struct frame *frame,
         struct canonical_fault *fault)
{
    struct wire_token token;
    if (!wire_next(reader, &token)) {
        return wrong(fault, "is cut off");
    }
    if ((token.kind != WIRE_STR && token.kind != WIRE_BIN) || !wire_is_text(token.bytes)) {
        return wrong(fault, "holds a key that is not a text of UTF-8 without control characters");
    }
    if (entries->size > frame->entries) {
        const struct entry *last = entries_at(entries, entries->size - sizeof *last);
        frame->sorted = frame->sorted && bytes_compare(last->key, token.bytes) < 0;
    }
    entries_push(entries, token.bytes, out->size);
    wire_put_text(out, token.bytes);
    return true;
}

/* Ends a map: its entries are sorted in the output and forgotten. */
static bool
close_map(struct buf *out, struct buf *entries, const struct frame *frame,
          struct canonical_fault *fault)
{
    size_t count = (entries->size - frame->entries) / sizeof(struct entry);
    if (!frame->sorted) {
        struct entry *all = entries_at(entries, frame->entries);
        size_t end = out->size;
        struct bytes twice;
        for (size_t i = 0; i < count; i++) {
            all[i].size = (i + 1 < count ? all[i + 1].start : end) - all[i].start;
        }
        if (!entries_sort(entries, frame->entries, &twice)) {
            return wrong(fault, "holds a key twice");
        }
        (void)buf_reserve(out, end - frame->contents);
        for (size_t i = 0; i < count; i++) {
            buf_append(out, out->data + all[i].start, all[i].size);
        }
        QO_ASSERT(out->size - end == end - frame->contents);
        memcpy(out->data + frame->contents, out->data + end, end - frame->contents);
        out->size = end;
    }
    entries->size = frame->entries;
    return true;
}

/* Writes a value without elements, or the head of one that has some. */
static bool
put_token(struct buf *out, const struct wire_token *token, enum value_type *type,
          struct canonical_fault *fault)
{
    switch (token->kind) {
    case WIRE_NIL:
        *type = VALUE_NIL;
        wire_put_nil(out);
        return true;
    case WIRE_BOOLEAN:
        *type = VALUE_BOOLEAN;
        wire_put_boolean(out, token->boolean);
        return true;
    case WIRE_INTEGER:
        *type = VALUE_INTEGER;
        wire_put_integer(out, token->integer);
        return true;
    case WIRE_UNSIGNED:
        return wrong(fault, "holds an integer over 2^63-1");
    case WIRE_FLOAT:
        if (!isfinite(token->number)) {
            return wrong(fault, "holds a number that is not finite");
        }
        *type = VALUE_NUMBER;
        wire_put_number(out, token->number);
        return true;
    case WIRE_STR:
    case WIRE_BIN:
        if (!wire_is_text(token->bytes)) {
            return wrong(fault, "holds a text that is not UTF-8 without control characters");
        }
        *type = VALUE_TEXT;
        wire_put_text(out, token->bytes);
        return true;
    case WIRE_ARRAY:
        *type = VALUE_LIST;
        wire_put_array(out, token->count);
        return true;
    case WIRE_MAP:
        *type = VALUE_MAP;
        wire_put_map(out, token->count);
        return true;
    case WIRE_EXTENSION:
        break;
    }
    return wrong(fault, "holds a MessagePack extension type");
}

/* Passes over the containers that have just been completed. */
static bool
close_complete(struct frame *frames, uint32_t *depth, struct buf *out, struct buf *entries,
               struct canonical_fault *fault)
{
    while (*depth > 0 && frames[*depth - 1].left == 0) {
        const struct frame *frame = &frames[*depth - 1];
        if (frame->map && !close_map(out, entries, frame, fault)) {
            return false;
        }
        --*depth;
    }
    return true;
}

bool
canonical_value(struct wire_reader *reader, struct buf *out, size_t start_size, struct buf *entries,
                enum value_type *type_out, struct canonical_fault *fault)
{
    struct frame frames[QO_NESTING_MAX];
    uint32_t depth = 0;
    enum value_type type = VALUE_NIL;
    bool first = true;
    do {
        struct wire_token token;
        if (depth > 0) {
            struct frame *frame = &frames[depth - 1];
            frame->left--;
            if (frame->map && !take_key(reader, out, entries, frame, fault)) {
                return false;
            }
        }
        if (!wire_next(reader, &token)) {
            return wrong(fault, "is cut off");
        }
        bool container = token.kind == WIRE_ARRAY || token.kind == WIRE_MAP;
        if (container && depth == QO_NESTING_MAX) {
            return over(fault, "must not be nested deeper than 16 levels", QO_NESTING_MAX);
        }
        if (!put_token(out, &token, &type, fault)) {
            return false;
        }
        if (out->size - start_size > QO_ATTRIBUTES_MAX) {
            return over(fault, "must not take more than 16384 bytes, encoded", QO_ATTRIBUTES_MAX);
        }
        if (first) {
            *type_out = type;
            first = false;
        }
        if (container) {
            frames[depth++] = (struct frame){.map = token.kind == WIRE_MAP,
                                             .sorted = true,
                                             .left = token.count,
                                             .entries = entries->size,
                                             .contents = out->size};
        }
        if (!close_complete(frames, &depth, out, entries, fault)) {
            return false;
        }
    } while (depth > 0);
    return true;
}

/* The next attribute's name. */
static bool
take_name(struct wire_reader *reader, struct bytes *name_out, struct canonical_fault *fault)
{
    struct wire_token token;
    if (!wire_next(reader, &token)) {
        return wrong(fault, "is cut off");
    }
    if ((token.kind != WIRE_STR && token.kind != WIRE_BIN) || !wire_is_text(token.bytes)) {
        return wrong(fault, "holds a key that is not a text of UTF-8 without control characters");
    }
    *name_out = token.bytes;
    if (token.bytes.size > QO_NAME_MAX) {
        (void)over(fault, "is too long for a name", QO_NAME_MAX);
        fault->attribute = token.bytes;
        return false;
    }
    if (!wire_is_name(token.bytes)) {
        (void)wrong(fault, "is not a name: 1 to 64 characters of A-Z a-z 0-9 _ . : -");
        fault->attribute = token.bytes;
        return false;
    }
    return true;
}

/* Builds the list of the entries, which are sorted, in the decoder's scratch. */
static struct bytes
build_list(struct wire_decoder *decoder)
{
    size_t count = decoder->entries.size / sizeof(struct entry);
    const struct entry *all = entries_at(&decoder->entries, 0);
    buf_clear(&decoder->scratch);
    struct attributes_builder builder = attributes_build(&decoder->scratch);
    for (size_t i = 0; i < count; i++) {
        attributes_append(&builder, all[i].key, all[i].type,
                          bytes_make(decoder->values.data + all[i].start, all[i].size));
    }
    return attributes_built(&builder);
}

bool
canonical_attributes(struct wire_decoder *decoder, struct wire_reader *reader, uint32_t pairs,
                     struct arena *arena, struct bytes *list_out, struct canonical_fault *fault)
{
    struct buf *values = &decoder->values, *entries = &decoder->entries;
    bool sorted = true;
    buf_clear(values);
    buf_clear(entries);
    *list_out = BYTES_NONE;
    for (uint32_t i = 0; i < pairs; i++) {
        struct bytes name,
            last = i == 0 ? BYTES_NONE
                          : entries_at(entries, entries->size - sizeof(struct entry))->key;
        struct entry entry = {.start = values->size};
        size_t entries_before = entries->size;
        if (!take_name(reader, &name, fault)) {
            return false;
        }
        sorted = sorted && (i == 0 || bytes_compare(last, name) < 0);
        if (!canonical_value(reader, values, entry.start, entries, &entry.type, fault)) {
            /* That limit is one of all attributes together. */
            fault->attribute = fault->limit == QO_ATTRIBUTES_MAX ? BYTES_NONE : name;
            return false;
        }
        QO_ASSERT(entries->size == entries_before);
        entry.key = name;
        entry.size = values->size - entry.start;
        buf_append(entries, &entry, sizeof entry);
        /* Counted in full below; here only so that the buffers stay small. */
        if (values->size > QO_ATTRIBUTES_MAX) {
            return over(fault, "must not take more than 16384 bytes, encoded", QO_ATTRIBUTES_MAX);
        }
    }
    if (pairs == 0) {
        return true;
    }
    struct bytes twice;
    if (!sorted && !entries_sort(entries, 0, &twice)) {
        (void)wrong(fault, "stands there twice");
        fault->attribute = twice;
        return false;
    }
    struct bytes list = build_list(decoder);
    if (attributes_encoded_size(list) > QO_ATTRIBUTES_MAX) {
        return over(fault, "must not take more than 16384 bytes, encoded", QO_ATTRIBUTES_MAX);
    }
    *list_out = arena_copy(arena, list);
    return true;
}
