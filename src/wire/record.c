/* See record.h. Thread: any. */
#include "record.h"

#include "common/assert.h"
#include "common/attributes.h"
#include "wire/response.h"
#include "wire/writer.h"

/* -- Encoding -- */

static bool
is_left_out(const struct field *field, const uint8_t *record)
{
    switch (field->kind) {
    case FIELD_TEXT_OPTIONAL:
        return ((const struct bytes *)(const void *)(record + field->offset))->data == NULL;
    case FIELD_INTEGER_OPTIONAL:
    case FIELD_NATURAL_32_OPTIONAL:
        return !*(const bool *)(record + field->has);
    case FIELD_TEXT:
    case FIELD_NATURAL:
    case FIELD_INTEGER:
    case FIELD_NATURAL_32:
    case FIELD_BOOLEAN:
    case FIELD_ATTRIBUTES:
    case FIELD_TEXTS:
    case FIELD_KNOWN:
    case FIELD_DEADLINE:
    case FIELD_OBJECTS:
    case FIELD_OBJECT:
        break;
    }
    return false;
}

static void
put_deadline(struct buf *buf, const struct wire_order *order)
{
    if (!order->has_deadline) {
        wire_put_nil(buf);
        return;
    }
    wire_put_map(buf, 2);
    wire_put_key(buf, "at");
    wire_put_integer(buf, order->deadline_at);
    wire_put_key(buf, "event");
    wire_put_text(buf, order->deadline_event);
}

static void
put_texts(struct buf *buf, const struct wire_texts *texts)
{
    wire_put_array(buf, texts->count);
    for (uint32_t i = 0; i < texts->count; i++) {
        wire_put_text(buf, texts->items[i]);
    }
}

static void
put_known(struct buf *buf, const struct wire_known *known)
{
    if (known->known) {
        wire_put_natural(buf, known->value);
    } else {
        wire_put_nil(buf);
    }
}

static void
put_value(struct buf *buf, const struct field *field, const void *record)
{
    const void *at = (const uint8_t *)record + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_TEXT_OPTIONAL:
        wire_put_text(buf, *(const struct bytes *)at);
        break;
    case FIELD_NATURAL:
        wire_put_natural(buf, *(const uint64_t *)at);
        break;
    case FIELD_INTEGER:
    case FIELD_INTEGER_OPTIONAL:
        wire_put_integer(buf, *(const int64_t *)at);
        break;
    case FIELD_NATURAL_32:
    case FIELD_NATURAL_32_OPTIONAL:
        wire_put_natural(buf, *(const uint32_t *)at);
        break;
    case FIELD_BOOLEAN:
        wire_put_boolean(buf, *(const bool *)at);
        break;
    case FIELD_ATTRIBUTES:
        wire_put_attributes(buf, *(const struct bytes *)at);
        break;
    case FIELD_TEXTS:
        put_texts(buf, at);
        break;
    case FIELD_KNOWN:
        put_known(buf, at);
        break;
    case FIELD_DEADLINE:
        put_deadline(buf, record);
        break;
    case FIELD_OBJECTS:
    case FIELD_OBJECT:
        assert_failed("precondition", "a kind that can be encoded", __FILE__, __LINE__);
    }
}

uint32_t
record_put_pairs(struct buf *buf, struct fields fields, const void *record)
{
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (is_left_out(field, record)) {
            continue;
        }
        uint8_t *start = wire_room(buf, 1 + FIELD_KEY_ROOM + WIRE_HEAD_MAX);
        uint8_t *at = wire_write_byte(start, 0xa0u | field->key_size);
        memcpy(at, field->key, FIELD_KEY_ROOM);
        at += field->key_size;
        if (field->kind == FIELD_NATURAL) { /* The commonest kind: the room is there. */
            at = wire_write_natural(
                at, *(const uint64_t *)(const void *)((const uint8_t *)record + field->offset));
            buf->size += (size_t)(at - start);
            pairs++;
            continue;
        }
        buf->size += (size_t)(at - start);
        put_value(buf, field, record);
        pairs++;
    }
    return pairs;
}

uint32_t
record_count_pairs(struct fields fields, const void *record)
{
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < fields.count; i++) {
        pairs += !is_left_out(&fields.items[i], record);
    }
    return pairs;
}

void
record_put(struct buf *buf, struct fields fields, const void *record)
{
    wire_put_map(buf, fields.count);
    uint32_t pairs = record_put_pairs(buf, fields, record);
    QO_POST(pairs == fields.count); /* No optional keys in these: all are always there. */
}

/* -- Decoding -- */

static bool
read_texts(struct wire_reader *reader, struct arena *arena, struct wire_texts *texts)
{
    uint32_t count = wire_read_array(reader);
    if (reader->failed || count > (size_t)(reader->end - reader->at)) {
        return false; /* Each text takes a byte at least. */
    }
    struct bytes *items = arena_alloc(arena, count * sizeof *items);
    for (uint32_t i = 0; i < count; i++) {
        items[i] = wire_read_text(reader);
    }
    *texts = (struct wire_texts){items, count};
    return !reader->failed;
}

static bool
type_of(const struct wire_token *token, enum value_type *type)
{
    static const struct {
        bool right;
        enum value_type type;
    } types[] = {
        [WIRE_NIL] = {true, VALUE_NIL},         [WIRE_BOOLEAN] = {true, VALUE_BOOLEAN},
        [WIRE_INTEGER] = {true, VALUE_INTEGER}, [WIRE_FLOAT] = {true, VALUE_NUMBER},
        [WIRE_STR] = {true, VALUE_TEXT},        [WIRE_ARRAY] = {true, VALUE_LIST},
        [WIRE_MAP] = {true, VALUE_MAP},         [WIRE_EXTENSION] = {false, VALUE_NIL},
    };
    *type = types[token->kind].type;
    return types[token->kind].right;
}

/* A map that a node wrote, canonical already, as a list. False if it is visibly not. */
static bool
read_attributes(struct wire_reader *reader, struct arena *arena, struct bytes *list)
{
    struct wire_reader ahead = *reader;
    struct bytes object;
    if (!wire_skip(&ahead, &object)) {
        return false;
    }
    uint32_t pairs = wire_read_map(reader);
    if (reader->failed || pairs == 0) {
        return !reader->failed;
    }
    /* An item takes four bytes more than its name and value, which take two bytes at least. */
    struct buf out = {.data = arena_alloc(arena, 2 + 3 * object.size),
                      .capacity = 2 + 3 * object.size};
    struct attributes_builder builder = attributes_build(&out);
    struct bytes last = BYTES_NONE;
    for (uint32_t i = 0; i < pairs; i++) {
        struct bytes name = wire_read_text(reader), value;
        struct wire_reader inside = *reader;
        struct wire_token token;
        enum value_type type;
        if (reader->failed || name.size == 0 || name.size > UINT8_MAX || i >= UINT16_MAX ||
            (i > 0 && bytes_compare(last, name) >= 0) || !wire_next(&inside, &token) ||
            !type_of(&token, &type) || !wire_skip(reader, &value) || value.size > UINT16_MAX ||
            (type == VALUE_NUMBER && value.size != 9)) {
            return false;
        }
        attributes_append(&builder, name, type, value);
        last = name;
    }
    QO_ASSERT(out.size <= 2 + 3 * object.size);
    *list = attributes_built(&builder);
    return true;
}

static bool
read_deadline(struct wire_reader *reader, struct wire_order *order)
{
    uint32_t pairs = wire_read_map(reader);
    order->has_deadline = true;
    for (uint32_t i = 0; i < pairs && !reader->failed; i++) {
        struct bytes key = wire_read_text(reader);
        if (bytes_equal(key, bytes_text("at"))) {
            order->deadline_at = wire_read_integer(reader);
        } else if (bytes_equal(key, bytes_text("event"))) {
            order->deadline_event = wire_read_text(reader);
        } else {
            (void)wire_skip(reader, NULL);
        }
    }
    return !reader->failed;
}

static bool
read_objects(struct wire_reader *reader, struct wire_page *page)
{
    page->count = wire_read_array(reader);
    const uint8_t *start = reader->at;
    for (uint32_t i = 0; i < page->count && !reader->failed; i++) {
        (void)wire_skip(reader, NULL);
    }
    if (!reader->failed) {
        page->elements = bytes_make(start, (size_t)(reader->at - start));
    }
    return !reader->failed;
}

static bool
read_natural_32(struct wire_reader *reader, uint32_t *at)
{
    uint64_t value = wire_read_natural(reader);
    *at = (uint32_t)value;
    return !reader->failed && value <= UINT32_MAX;
}

/* A value that is not nil. */
static bool
read_value(struct wire_reader *reader, const struct field *field, struct arena *arena, void *record)
{
    void *at = (uint8_t *)record + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_TEXT_OPTIONAL:
        *(struct bytes *)at = wire_read_text(reader);
        break;
    case FIELD_NATURAL:
        *(uint64_t *)at = wire_read_natural(reader);
        break;
    case FIELD_INTEGER_OPTIONAL:
        *(bool *)((uint8_t *)record + field->has) = true;
        *(int64_t *)at = wire_read_integer(reader);
        break;
    case FIELD_INTEGER:
        *(int64_t *)at = wire_read_integer(reader);
        break;
    case FIELD_NATURAL_32_OPTIONAL:
        *(bool *)((uint8_t *)record + field->has) = true;
        return read_natural_32(reader, at);
    case FIELD_NATURAL_32:
        return read_natural_32(reader, at);
    case FIELD_BOOLEAN:
        *(bool *)at = wire_read_boolean(reader);
        break;
    case FIELD_ATTRIBUTES:
        return read_attributes(reader, arena, at);
    case FIELD_TEXTS:
        return read_texts(reader, arena, at);
    case FIELD_KNOWN:
        *(struct wire_known *)at = (struct wire_known){true, wire_read_natural(reader)};
        break;
    case FIELD_DEADLINE:
        return read_deadline(reader, record);
    case FIELD_OBJECTS:
        return read_objects(reader, record);
    case FIELD_OBJECT:
        return wire_skip(reader, at);
    }
    return !reader->failed;
}

/* The field of `key`, NULL if none. `likely` is where it is if the sender kept the order. */
static const struct field *
find_field(struct fields fields, struct bytes key, uint32_t likely)
{
    for (uint32_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[(likely + i) % fields.count];
        if (field->key_size == key.size && memcmp(field->key, key.data, key.size) == 0) {
            return field;
        }
    }
    return NULL;
}

bool
record_read(struct wire_reader *reader, struct fields fields, struct arena *arena, void *record)
{
    if (wire_read_nil(reader)) {
        return true;
    }
    uint32_t pairs = wire_read_map(reader);
    for (uint32_t i = 0; i < pairs && !reader->failed; i++) {
        struct bytes key = wire_read_text(reader);
        const struct field *field =
            key.data == NULL || reader->failed ? NULL : find_field(fields, key, i % fields.count);
        if (wire_read_nil(reader)) {
            continue;
        }
        bool right =
            field == NULL ? wire_skip(reader, NULL) : read_value(reader, field, arena, record);
        if (!right) {
            reader->failed = true;
        }
    }
    return !reader->failed;
}
