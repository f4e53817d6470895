/* See failure.h and wire/response.h. Thread: any. */
#include "failure.h"

#include <stdio.h>

#include "common/assert.h"
#include "common/limits.h"
#include "wire/response.h"
#include "wire/writer.h"

#define F(key, kind, member) FIELD(wire_failure, key, kind, member)
#define OPTIONAL(text, field_kind, member, has_member)                                             \
    {                                                                                              \
        .key = text, .key_size = sizeof(text) - 1, .kind = (field_kind),                           \
        .offset = offsetof(struct wire_failure, member),                                           \
        .has = offsetof(struct wire_failure, has_member)                                           \
    }
#define TEXT(member) F(#member, FIELD_TEXT, member)
#define NATURAL(member) F(#member, FIELD_NATURAL, member)

static const struct field bad_request[] = {
    TEXT(field), OPTIONAL("limit", FIELD_INTEGER_OPTIONAL, limit, has_limit)};
static const struct field unknown_method[] = {TEXT(method)};
static const struct field forbidden[] = {TEXT(needs)};
static const struct field not_found[] = {TEXT(what)};
static const struct field version_and_state[] = {NATURAL(version), TEXT(state)};
static const struct field invalid_transition[] = {TEXT(from), TEXT(event),
                                                  F("allowed", FIELD_TEXTS, allowed)};
static const struct field invalid_attribute[] = {TEXT(attribute), TEXT(why)};
static const struct field not_unique[] = {TEXT(attribute), TEXT(held_by)};
static const struct field request_id_reused[] = {NATURAL(seq)};
static const struct field resource_taken[] = {TEXT(resource), TEXT(held_by)};
static const struct field insufficient[] = {TEXT(resource),
                                            F("available", FIELD_INTEGER, available)};
static const struct field invalid_machine[] = {F("line", FIELD_NATURAL_32, line),
                                               F("column", FIELD_NATURAL_32, column), TEXT(why)};
static const struct field position_lost[] = {NATURAL(epoch), NATURAL(first_seq), NATURAL(high_seq)};
static const struct field not_leader[] = {TEXT(leader)};
static const struct field unavailable[] = {
    OPTIONAL("retry_after_ms", FIELD_NATURAL_32_OPTIONAL, retry_after_ms, has_retry_after_ms)};
static const struct field overloaded[] = {F("retry_after_ms", FIELD_NATURAL_32, retry_after_ms),
                                          F("reason", FIELD_TEXT_OPTIONAL, reason)};
static const struct field index_field[] = {
    OPTIONAL("index", FIELD_NATURAL_32_OPTIONAL, index, has_index)};

#define ALL(table)                                                                                 \
    (struct fields)                                                                                \
    {                                                                                              \
        (table), sizeof(table) / sizeof((table)[0])                                                \
    }

struct fields
failure_fields(enum qo_error error)
{
    switch (error) {
    case QO_BAD_REQUEST:
        return ALL(bad_request);
    case QO_UNKNOWN_METHOD:
        return ALL(unknown_method);
    case QO_FORBIDDEN:
        return ALL(forbidden);
    case QO_NOT_FOUND:
        return ALL(not_found);
    case QO_ALREADY_EXISTS:
    case QO_VERSION_CONFLICT:
        return ALL(version_and_state);
    case QO_INVALID_TRANSITION:
        return ALL(invalid_transition);
    case QO_INVALID_ATTRIBUTE:
        return ALL(invalid_attribute);
    case QO_NOT_UNIQUE:
        return ALL(not_unique);
    case QO_REQUEST_ID_REUSED:
        return ALL(request_id_reused);
    case QO_RESOURCE_TAKEN:
        return ALL(resource_taken);
    case QO_INSUFFICIENT:
        return ALL(insufficient);
    case QO_INVALID_MACHINE:
        return ALL(invalid_machine);
    case QO_POSITION_LOST:
        return ALL(position_lost);
    case QO_NOT_LEADER:
        return ALL(not_leader);
    case QO_UNAVAILABLE:
        return ALL(unavailable);
    case QO_OVERLOADED:
        return ALL(overloaded);
    case QO_OK:
    case QO_UNAUTHORIZED:
    case QO_UNKNOWN_OUTCOME:
    case QO_TIMEOUT:
    case QO_INTERNAL:
        break;
    }
    return (struct fields){NULL, 0};
}

struct fields
failure_index_field(void)
{
    return ALL(index_field);
}

/* -- Encoding -- */

void
wire_put_failure(struct buf *buf, const struct wire_failure *failure, uint32_t allowed_max)
{
    char sentence[QO_ERROR_MESSAGE_MAX + 1];
    struct wire_failure cut = *failure;
    struct fields own = failure_fields(failure->error), index = failure_index_field();
    QO_PRE(failure->error != QO_OK);
    if (cut.allowed.count > allowed_max) {
        cut.allowed.count = allowed_max;
    }
    if (cut.message.data == NULL) {
        wire_failure_sentence(failure, sentence);
        cut.message = bytes_text(sentence);
    }
    bool unknown =
        cut.error == QO_UNKNOWN_OUTCOME || (cut.error == QO_INTERNAL && cut.unknown_effect);
    wire_put_array(buf, 3);
    wire_put_natural(buf, (uint64_t)cut.error);
    wire_put_text(buf, wire_cut_text(cut.message, QO_ERROR_MESSAGE_MAX));
    wire_put_map(buf, 2 + record_count_pairs(own, &cut) + record_count_pairs(index, &cut));
    wire_put_key(buf, "code");
    wire_put_text(buf, bytes_text(error_code(cut.error)));
    wire_put_key(buf, "applied");
    if (unknown) {
        wire_put_nil(buf);
    } else {
        wire_put_boolean(buf, false);
    }
    (void)record_put_pairs(buf, own, &cut);
    (void)record_put_pairs(buf, index, &cut);
}

/* -- Decoding -- */

/* `applied` is nil for "not known", so that a missing key means the same: nobody knows. */
static bool
read_applied(struct wire_reader details)
{
    uint32_t pairs = wire_read_map(&details);
    for (uint32_t i = 0; i < pairs && !details.failed; i++) {
        if (bytes_equal(wire_read_text(&details), bytes_text("applied"))) {
            enum wire_kind kind;
            return wire_peek(&details, &kind) && kind == WIRE_BOOLEAN;
        }
        (void)wire_skip(&details, NULL);
    }
    return false;
}

/* The own keys and `index` are read in two passes over the same map: one table each. */
bool
wire_read_failure(struct wire_reader *reader, struct arena *arena, struct wire_failure *failure_out)
{
    *failure_out = (struct wire_failure){0};
    if (wire_read_nil(reader)) {
        return true;
    }
    uint32_t count = wire_read_array(reader);
    if (reader->failed || count < 3) {
        reader->failed = true;
        return false;
    }
    failure_out->error = error_of_number(wire_read_integer(reader));
    failure_out->message = wire_read_text(reader);
    struct wire_reader once_more = *reader;
    failure_out->unknown_effect = !read_applied(*reader);
    struct fields own = failure_fields(failure_out->error);
    bool right =
        !reader->failed && record_read(&once_more, failure_index_field(), NULL, failure_out);
    right = right && (own.count == 0 ? wire_skip(reader, NULL)
                                     : record_read(reader, own, arena, failure_out));
    for (uint32_t i = 3; i < count && right; i++) {
        right = wire_skip(reader, NULL);
    }
    reader->failed = reader->failed || !right;
    return right;
}

/* -- Sentences -- */

/* A text of a failure in a sentence: short, and never absent. */
#define SHOWN(text, otherwise)                                                                     \
    (int)((text).data == NULL ? sizeof(otherwise) - 1 : wire_cut_text((text), 64).size),           \
        (text).data == NULL ? (otherwise) : (const char *)(text).data

static int
attribute_sentence(const struct wire_failure *f, char *out, size_t size)
{
    static const struct {
        const char *why, *format;
    } sentences[] = {
        {"missing", "The attribute `%.*s` is required here and was not given."},
        {"type", "The attribute `%.*s` has another type than the machine declares."},
        {"enum", "The attribute `%.*s` is none of the values that the machine declares."},
        {"immutable", "The attribute `%.*s` is set once and may not be set again."},
        {"not_accepted", "The event does not accept the attribute `%.*s`."},
        {"undeclared", "The machine does not declare an attribute `%.*s`."},
        {"has", "In the state that this leads to an order must have the attribute `%.*s`."},
    };
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        if (bytes_equal(f->why, bytes_text(sentences[i].why))) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            return snprintf(out, size, sentences[i].format, SHOWN(f->attribute, "?"));
#pragma GCC diagnostic pop
        }
    }
    return snprintf(out, size, "The attribute `%.*s` does not fit.", SHOWN(f->attribute, "?"));
}

static int
sentence_of(const struct wire_failure *f, char *out, size_t size)
{
    switch (f->error) {
    case QO_BAD_REQUEST:
        return f->has_limit ? snprintf(out, size, "`%.*s` must be at most %lld.",
                                       SHOWN(f->field, "message"), (long long)f->limit)
                            : snprintf(out, size, "`%.*s` is not what this method takes.",
                                       SHOWN(f->field, "message"));
    case QO_UNKNOWN_METHOD:
        return snprintf(out, size, "There is no method `%.*s`.", SHOWN(f->method, "?"));
    case QO_UNAUTHORIZED:
        return snprintf(out, size, "The token is missing or not valid.");
    case QO_FORBIDDEN:
        return snprintf(out, size, "This needs the role `%.*s`.", SHOWN(f->needs, "?"));
    case QO_NOT_FOUND:
        return snprintf(out, size, "There is no such %.*s.", SHOWN(f->what, "thing"));
    case QO_ALREADY_EXISTS:
        return snprintf(out, size, "The order exists already, in state `%.*s` at version %llu.",
                        SHOWN(f->state, "?"), (unsigned long long)f->version);
    case QO_INVALID_TRANSITION:
        return snprintf(out, size, "The state `%.*s` does not accept the event `%.*s`.",
                        SHOWN(f->from, "?"), SHOWN(f->event, "?"));
    case QO_VERSION_CONFLICT:
        return snprintf(out, size, "The order is in state `%.*s` at version %llu, not as expected.",
                        SHOWN(f->state, "?"), (unsigned long long)f->version);
    case QO_INVALID_ATTRIBUTE:
        return attribute_sentence(f, out, size);
    case QO_NOT_UNIQUE:
        return snprintf(out, size, "The value of `%.*s` is in use by the order `%.*s`.",
                        SHOWN(f->attribute, "?"), SHOWN(f->held_by, "?"));
    case QO_REQUEST_ID_REUSED:
        return snprintf(out, size, "The request id was used for another request, at seq %llu.",
                        (unsigned long long)f->seq);
    case QO_RESOURCE_TAKEN:
        return snprintf(out, size, "The resource `%.*s` is held by `%.*s`.",
                        SHOWN(f->resource, "?"), SHOWN(f->held_by, "?"));
    case QO_INSUFFICIENT:
        return snprintf(out, size, "Of `%.*s` only %lld are available.", SHOWN(f->resource, "?"),
                        (long long)f->available);
    case QO_INVALID_MACHINE:
        return snprintf(out, size, "Line %u, column %u: %.*s", f->line, f->column,
                        (int)wire_cut_text(f->why, QO_ERROR_MESSAGE_MAX).size,
                        f->why.data == NULL ? "" : (const char *)f->why.data);
    case QO_POSITION_LOST:
        return snprintf(out, size, "That position is gone: epoch %llu begins at seq %llu.",
                        (unsigned long long)f->epoch, (unsigned long long)f->first_seq);
    case QO_NOT_LEADER:
        return snprintf(out, size, "This node does not lead; the leader is %.*s.",
                        SHOWN(f->leader, "not known"));
    case QO_UNAVAILABLE:
        return snprintf(out, size, "No leader or no majority can be reached; nothing was done.");
    case QO_UNKNOWN_OUTCOME:
        return snprintf(out, size,
                        "Nobody knows whether this was done: repeat it with the same "
                        "request id to find out.");
    case QO_TIMEOUT:
        return snprintf(out, size, "The time ran out; nothing was done.");
    case QO_OVERLOADED:
        return snprintf(out, size, "There is no room (%.*s); try again in %u ms.",
                        SHOWN(f->reason, "queue"), f->retry_after_ms);
    case QO_OK:
    case QO_INTERNAL:
        break;
    }
    return snprintf(out, size, "The node met a defect of its own, which it has logged.");
}

void
wire_failure_sentence(const struct wire_failure *failure, char *out)
{
    char whole[512];
    int size = sentence_of(failure, whole, sizeof whole);
    QO_ASSERT(size > 0 && (size_t)size < sizeof whole);
    struct bytes cut = wire_cut_text(bytes_make(whole, (size_t)size), QO_ERROR_MESSAGE_MAX);
    memcpy(out, cut.data, cut.size);
    out[cut.size] = '\0';
}
