/* See wire/response.h. Thread: any. Each table stands once and serves both directions. */
#include "wire/response.h"

#include "common/assert.h"
#include "common/limits.h"
#include "record.h"
#include "wire/writer.h"

#define ALL(table)                                                                                 \
    (struct fields)                                                                                \
    {                                                                                              \
        (table), sizeof(table) / sizeof((table)[0])                                                \
    }

/* -- Tables: the keys in the page's order -- */

#define F(key, kind, member) FIELD(wire_receipt, key, FIELD_##kind, member)
static const struct field receipt_fields[] = {
    F("id", TEXT, id),
    F("machine", TEXT, machine),
    F("machine_version", NATURAL, machine_version),
    F("event", TEXT, event),
    F("from", TEXT, from),
    F("to", TEXT, to),
    F("version", NATURAL, version),
    F("seq", NATURAL, seq),
    F("at", INTEGER, at),
    F("epoch", NATURAL, epoch),
    F("replayed", BOOLEAN, replayed),
};
#undef F
#define F(key, kind, member) FIELD(wire_order, key, FIELD_##kind, member)
static const struct field order_fields[] = {
    F("id", TEXT, id),
    F("machine", TEXT, machine),
    F("machine_version", NATURAL, machine_version),
    F("state", TEXT, state),
    F("version", NATURAL, version),
    F("attributes", ATTRIBUTES, attributes),
    F("created_at", INTEGER, created_at),
    F("updated_at", INTEGER, updated_at),
    F("entered_at", INTEGER, entered_at),
    F("seq", NATURAL, seq),
    F("final", BOOLEAN, final),
    F("allowed", TEXTS, allowed),
    F("deadline", DEADLINE, has_deadline),
};
#undef F
#define F(key, kind, member) FIELD(wire_event, key, FIELD_##kind, member)
static const struct field event_fields[] = {
    F("seq", NATURAL, seq),
    F("kind", TEXT, kind),
    F("epoch", NATURAL, epoch),
    F("id", TEXT, id),
    F("machine", TEXT, machine),
    F("machine_version", NATURAL, machine_version),
    F("shard", NATURAL_32, shard),
    F("version", NATURAL, version),
    F("event", TEXT, event),
    F("from", TEXT, from),
    F("to", TEXT, to),
    F("at", INTEGER, at),
    F("actor", TEXT, actor),
    F("reason", TEXT, reason),
    F("request_id", TEXT, request_id),
    F("trace", TEXT, trace),
    F("attributes", ATTRIBUTES, attributes),
};
#undef F
#define F(key, kind, member) FIELD(wire_hello, key, FIELD_##kind, member)
static const struct field hello_fields[] = {
    F("protocol", INTEGER, protocol), F("server", TEXT, server), F("cluster_id", TEXT, cluster_id),
    F("node_id", NATURAL, node_id),   F("leader", TEXT, leader), F("shards", NATURAL_32, shards),
    F("epoch", NATURAL, epoch),
};
#undef F
#define F(key, kind, member) FIELD(wire_ping, key, FIELD_##kind, member)
static const struct field ping_fields[] = {F("at", INTEGER, at), F("clock", INTEGER, clock)};
#undef F
#define F(key, kind, member) FIELD(wire_peer_hello, key, FIELD_##kind, member)
static const struct field peer_hello_fields[] = {F("clock_us", NATURAL, clock_us)};
#undef F
#define F(key, kind, member) FIELD(wire_machine_put, key, FIELD_##kind, member)
static const struct field machine_put_fields[] = {
    F("machine", TEXT, machine),
    F("version", NATURAL, version),
    F("checksum", TEXT, checksum),
    F("changed", BOOLEAN, changed),
};
#undef F
#define F(key, kind, member) FIELD(wire_machine, key, FIELD_##kind, member)
static const struct field machine_fields[] = {
    F("machine", TEXT, machine),
    F("version", NATURAL, version),
    F("checksum", TEXT, checksum),
    F("source", TEXT, source),
};
#undef F
#define F(key, kind, member) FIELD(wire_machine_version, key, FIELD_##kind, member)
static const struct field machine_version_fields[] = {
    F("version", NATURAL, version),
    F("checksum", TEXT, checksum),
    F("at", INTEGER, at),
};
#undef F
#define F(key, kind, member) FIELD(wire_member, key, FIELD_##kind, member)
static const struct field member_fields[] = {
    F("id", NATURAL, id),
    F("address", TEXT, address),
    F("role", TEXT, role),
    F("state", TEXT, state),
    F("applied_index", KNOWN, applied_index),
    F("committed_index", KNOWN, committed_index),
    F("lag", KNOWN, lag),
};
#undef F
#define F(key, kind, member) FIELD(wire_status, key, FIELD_##kind, member)
static const struct field status_fields[] = {
    F("cluster_id", TEXT, cluster_id), F("node_id", NATURAL, node_id),
    F("leader", TEXT, leader),         F("term", NATURAL, term),
    F("epoch", NATURAL, epoch),        F("shards", NATURAL_32, shards),
};
static const struct field uptime_fields[] = {F("uptime_s", NATURAL, uptime_s)};
static const struct field digest_fields[] = {
    F("index", NATURAL, digest_index),
    F("value", TEXT, digest_value),
};
#undef F
#define F(key, kind, member) FIELD(wire_page, key, FIELD_##kind, member)
static const struct field page_fields[] = {
    F("orders", OBJECTS, elements),
    F("events", OBJECTS, elements),
    F("results", OBJECTS, elements),
    F("machines", OBJECTS, elements),
    F("versions", OBJECTS, elements),
    F("more", BOOLEAN, more),
    F("applied_seq", NATURAL, applied_seq),
    F("cursor", TEXT, cursor),
    F("next_seq", NATURAL, next_seq),
    F("high_seq", NATURAL, high_seq),
    F("epoch", NATURAL, epoch),
    F("subscription", NATURAL, subscription),
    F("machine", TEXT, machine),
    F("receipt", OBJECT, receipt),
    F("error", OBJECT, error),
};
#undef F

/* -- Whole messages -- */

void
wire_put_result(struct buf *buf, uint32_t msgid)
{
    wire_put_array(buf, 4);
    wire_put_natural(buf, 1);
    wire_put_natural(buf, msgid);
    wire_put_nil(buf);
}

void
wire_put_error(struct buf *buf, uint32_t msgid, const struct wire_failure *failure)
{
    wire_put_array(buf, 4);
    wire_put_natural(buf, 1);
    wire_put_natural(buf, msgid);
    wire_put_failure(buf, failure, UINT32_MAX);
    wire_put_nil(buf);
}

/* -- Results -- */

void
wire_put_receipt(struct buf *buf, const struct wire_receipt *receipt)
{
    record_put(buf, ALL(receipt_fields), receipt);
}

void
wire_put_order(struct buf *buf, const struct wire_order *order)
{
    if (order == NULL) {
        wire_put_nil(buf);
    } else {
        record_put(buf, ALL(order_fields), order);
    }
}

void
wire_put_order_get(struct buf *buf, const struct wire_order *order, uint64_t applied_seq)
{
    wire_put_map(buf, record_count_pairs(ALL(order_fields), order) + 1);
    (void)record_put_pairs(buf, ALL(order_fields), order);
    wire_put_key(buf, "applied_seq");
    wire_put_natural(buf, applied_seq);
}

void
wire_put_event(struct buf *buf, const struct wire_event *event)
{
    record_put(buf, ALL(event_fields), event);
}

static void
put_limits(struct buf *buf)
{
    static const struct {
        const char *name;
        uint64_t maximum;
    } limits[] = {
        {"id", QO_ID_MAX},
        {"request_id", QO_REQUEST_ID_MAX},
        {"name", QO_NAME_MAX},
        {"actor", QO_ACTOR_MAX},
        {"reason", QO_REASON_MAX},
        {"trace", QO_TRACE_MAX},
        {"attributes", QO_ATTRIBUTES_MAX},
        {"message", QO_MESSAGE_MAX},
        {"operations", QO_OPERATIONS_MAX},
        {"nesting", QO_NESTING_MAX},
        {"ids", QO_IDS_MAX},
        {"subscriptions", QO_SUBSCRIPTIONS_MAX},
        {"credit", QO_CREDIT_MAX},
        {"definitions", QO_DEFINITIONS_MAX},
        {"limit", QO_LIMIT_MAX},
        {"wait_ms", QO_WAIT_MS_MAX},
        {"outstanding", QO_OUTSTANDING_MAX},
    };
    const uint32_t count = sizeof limits / sizeof limits[0];
    wire_put_map(buf, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_text(buf, bytes_text(limits[i].name));
        wire_put_natural(buf, limits[i].maximum);
    }
    wire_put_key(buf, "definition");
    wire_put_map(buf, 4);
    wire_put_key(buf, "source");
    wire_put_natural(buf, QO_DEFINITION_SOURCE_MAX);
    wire_put_key(buf, "states");
    wire_put_natural(buf, QO_STATES_MAX);
    wire_put_key(buf, "events");
    wire_put_natural(buf, QO_EVENTS_MAX);
    wire_put_key(buf, "attributes");
    wire_put_natural(buf, QO_DECLARED_ATTRIBUTES_MAX);
}

void
wire_put_hello(struct buf *buf, const struct wire_hello *hello)
{
    wire_put_map(buf, sizeof hello_fields / sizeof hello_fields[0] + 1);
    (void)record_put_pairs(buf, ALL(hello_fields), hello);
    wire_put_key(buf, "limits");
    put_limits(buf);
}

void
wire_put_ping(struct buf *buf, const struct wire_ping *ping)
{
    record_put(buf, ALL(ping_fields), ping);
}

void
wire_put_peer_hello(struct buf *buf, const struct wire_peer_hello *hello)
{
    record_put(buf, ALL(peer_hello_fields), hello);
}

void
wire_put_machine_put(struct buf *buf, const struct wire_machine_put *put)
{
    record_put(buf, ALL(machine_put_fields), put);
}

void
wire_put_machine(struct buf *buf, const struct wire_machine *machine)
{
    record_put(buf, ALL(machine_fields), machine);
}

void
wire_put_status(struct buf *buf, const struct wire_status *status)
{
    wire_put_map(buf, sizeof status_fields / sizeof status_fields[0] + 4);
    (void)record_put_pairs(buf, ALL(status_fields), status);
    wire_put_key(buf, "members");
    wire_put_array(buf, status->members_count);
    for (uint32_t i = 0; i < status->members_count; i++) {
        record_put(buf, ALL(member_fields), &status->members[i]);
    }
    wire_put_key(buf, "digest");
    record_put(buf, ALL(digest_fields), status);
    wire_put_key(buf, "store");
    wire_put_map(buf, status->store_count);
    for (uint32_t i = 0; i < status->store_count; i++) {
        wire_put_text(buf, status->store[i].name);
        wire_put_natural(buf, status->store[i].bytes);
    }
    (void)record_put_pairs(buf, ALL(uptime_fields), status);
}

void
wire_put_subscribed(struct buf *buf, uint64_t subscription, uint64_t next_seq)
{
    wire_put_map(buf, 2);
    wire_put_key(buf, "subscription");
    wire_put_natural(buf, subscription);
    wire_put_key(buf, "next_seq");
    wire_put_natural(buf, next_seq);
}

void
wire_put_empty(struct buf *buf)
{
    wire_put_map(buf, 0);
}

/* -- Lists -- */

static struct wire_list
begin(struct buf *buf)
{
    return (struct wire_list){.buf = buf, .opened = wire_open_array(buf), .count = 0};
}

static void
end(struct wire_list *list)
{
    wire_close_array(list->buf, list->opened, list->count);
}

static void
put_number(struct wire_list *list, const char *key, uint64_t value)
{
    wire_put_text(list->buf, bytes_text(key));
    wire_put_natural(list->buf, value);
}

static void
end_with_more(struct wire_list *list, bool more, uint64_t applied_seq)
{
    end(list);
    wire_put_key(list->buf, "more");
    wire_put_boolean(list->buf, more);
    put_number(list, "applied_seq", applied_seq);
}

struct wire_list
wire_begin_get_many(struct buf *buf)
{
    wire_put_map(buf, 3);
    wire_put_key(buf, "orders");
    return begin(buf);
}

void
wire_end_get_many(struct wire_list *list, bool more, uint64_t applied_seq)
{
    end_with_more(list, more, applied_seq);
}

struct wire_list
wire_begin_history(struct buf *buf)
{
    wire_put_map(buf, 3);
    wire_put_key(buf, "events");
    return begin(buf);
}

void
wire_end_history(struct wire_list *list, bool more, uint64_t applied_seq)
{
    end_with_more(list, more, applied_seq);
}

struct wire_list
wire_begin_order_list(struct buf *buf)
{
    return wire_begin_get_many(buf);
}

void
wire_end_order_list(struct wire_list *list, struct bytes cursor, uint64_t applied_seq)
{
    end(list);
    wire_put_key(list->buf, "cursor");
    wire_put_text(list->buf, cursor);
    put_number(list, "applied_seq", applied_seq);
}

struct wire_list
wire_begin_feed_read(struct buf *buf)
{
    wire_put_map(buf, 4);
    wire_put_key(buf, "events");
    return begin(buf);
}

void
wire_end_feed_read(struct wire_list *list, uint64_t next_seq, uint64_t high_seq, uint64_t epoch)
{
    end(list);
    put_number(list, "next_seq", next_seq);
    put_number(list, "high_seq", high_seq);
    put_number(list, "epoch", epoch);
}

struct wire_list
wire_begin_feed_events(struct buf *buf, uint64_t subscription)
{
    wire_put_array(buf, 3);
    wire_put_natural(buf, 2);
    wire_put_key(buf, "feed.events");
    wire_put_array(buf, 1);
    wire_put_map(buf, 4);
    wire_put_key(buf, "subscription");
    wire_put_natural(buf, subscription);
    wire_put_key(buf, "events");
    return begin(buf);
}

void
wire_end_feed_events(struct wire_list *list, uint64_t next_seq, uint64_t high_seq)
{
    end(list);
    put_number(list, "next_seq", next_seq);
    put_number(list, "high_seq", high_seq);
}

struct wire_list
wire_begin_batch(struct buf *buf)
{
    wire_put_map(buf, 1);
    wire_put_key(buf, "results");
    return begin(buf);
}

void
wire_put_batch_receipt(struct buf *buf, const struct wire_receipt *receipt)
{
    wire_put_map(buf, 1);
    wire_put_key(buf, "receipt");
    wire_put_receipt(buf, receipt);
}

void
wire_put_batch_error(struct buf *buf, const struct wire_failure *failure)
{
    wire_put_map(buf, 1);
    wire_put_key(buf, "error");
    wire_put_failure(buf, failure, QO_BATCH_ALLOWED_MAX);
}

void
wire_end_batch(struct wire_list *list)
{
    end(list);
}

struct wire_list
wire_begin_machines(struct buf *buf)
{
    wire_put_map(buf, 1);
    wire_put_key(buf, "machines");
    return begin(buf);
}

struct wire_list
wire_begin_machine(struct buf *buf, struct bytes machine)
{
    wire_put_map(buf, 2);
    wire_put_key(buf, "machine");
    wire_put_text(buf, machine);
    wire_put_key(buf, "versions");
    return begin(buf);
}

void
wire_put_machine_version(struct buf *buf, const struct wire_machine_version *version)
{
    record_put(buf, ALL(machine_version_fields), version);
}

void
wire_end_machine(struct wire_list *machine)
{
    end(machine);
}

void
wire_end_machines(struct wire_list *list)
{
    end(list);
}

/* -- Between nodes -- */

void
wire_put_forwarded(struct buf *buf, struct bytes response)
{
    wire_put_binary(buf, response);
}

bool
wire_put_response_as(struct buf *buf, uint32_t msgid, struct bytes response)
{
    struct wire_reader reader = wire_reader_of(response);
    if (wire_read_array(&reader) != 4 || wire_read_natural(&reader) != 1) {
        return false;
    }
    (void)wire_read_natural(&reader);
    if (reader.failed || reader.at == reader.end) {
        return false;
    }
    wire_put_array(buf, 4);
    wire_put_natural(buf, 1);
    wire_put_natural(buf, msgid);
    buf_append(buf, reader.at, (size_t)(reader.end - reader.at));
    return true;
}

/* -- Decoding -- */

bool
wire_decode_answer(struct bytes message, struct wire_answer *answer_out)
{
    struct wire_reader reader = wire_reader_of(message);
    struct bytes error, result;
    uint32_t count = wire_read_array(&reader);
    uint64_t type = wire_read_natural(&reader);
    *answer_out = (struct wire_answer){0};
    if (!reader.failed && count == 3 && type == 2) {
        answer_out->kind = WIRE_ANSWER_NOTIFICATION;
        answer_out->method = wire_read_text(&reader);
        return wire_read_array(&reader) == 1 && wire_skip(&reader, &answer_out->body) &&
               wire_reader_done(&reader);
    }
    uint64_t msgid = wire_read_natural(&reader);
    if (reader.failed || count != 4 || type != 1 || msgid > UINT32_MAX ||
        !wire_skip(&reader, &error) || !wire_skip(&reader, &result) || !wire_reader_done(&reader)) {
        return false;
    }
    answer_out->msgid = (uint32_t)msgid;
    answer_out->kind = error.data[0] == 0xc0 ? WIRE_ANSWER_RESULT : WIRE_ANSWER_ERROR;
    answer_out->body = answer_out->kind == WIRE_ANSWER_RESULT ? result : error;
    return true;
}

bool
wire_read_receipt(struct wire_reader *reader, struct wire_receipt *receipt_out)
{
    *receipt_out = (struct wire_receipt){0};
    return record_read(reader, ALL(receipt_fields), NULL, receipt_out);
}

bool
wire_read_event(struct wire_reader *reader, struct arena *arena, struct wire_event *event_out)
{
    *event_out = (struct wire_event){0};
    return record_read(reader, ALL(event_fields), arena, event_out);
}

bool
wire_read_order(struct wire_reader *reader, struct arena *arena, struct wire_order *order_out)
{
    *order_out = (struct wire_order){0};
    return record_read(reader, ALL(order_fields), arena, order_out);
}

bool
wire_read_hello(struct wire_reader *reader, struct wire_hello *hello_out)
{
    *hello_out = (struct wire_hello){0};
    return record_read(reader, ALL(hello_fields), NULL, hello_out);
}

bool
wire_read_ping(struct wire_reader *reader, struct wire_ping *ping_out)
{
    *ping_out = (struct wire_ping){0};
    return record_read(reader, ALL(ping_fields), NULL, ping_out);
}

bool
wire_read_peer_hello(struct wire_reader *reader, struct wire_peer_hello *hello_out)
{
    *hello_out = (struct wire_peer_hello){0};
    return record_read(reader, ALL(peer_hello_fields), NULL, hello_out);
}

bool
wire_read_machine_put(struct wire_reader *reader, struct wire_machine_put *put_out)
{
    *put_out = (struct wire_machine_put){0};
    return record_read(reader, ALL(machine_put_fields), NULL, put_out);
}

bool
wire_read_machine(struct wire_reader *reader, struct wire_machine *machine_out)
{
    *machine_out = (struct wire_machine){0};
    return record_read(reader, ALL(machine_fields), NULL, machine_out);
}

bool
wire_read_machine_version(struct wire_reader *reader, struct wire_machine_version *version_out)
{
    *version_out = (struct wire_machine_version){0};
    return record_read(reader, ALL(machine_version_fields), NULL, version_out);
}

static bool
read_members(struct wire_reader *reader, struct arena *arena, struct wire_status *status)
{
    uint32_t count = wire_read_array(reader);
    if (reader->failed || count > (size_t)(reader->end - reader->at)) {
        return false;
    }
    struct wire_member *members = arena_zalloc(arena, count * sizeof *members);
    for (uint32_t i = 0; i < count; i++) {
        if (!record_read(reader, ALL(member_fields), arena, &members[i])) {
            return false;
        }
    }
    status->members = members;
    status->members_count = count;
    return true;
}

static bool
read_store(struct wire_reader *reader, struct arena *arena, struct wire_status *status)
{
    uint32_t count = wire_read_map(reader);
    if (reader->failed || count > (size_t)(reader->end - reader->at)) {
        return false;
    }
    struct wire_store_size *store = arena_zalloc(arena, count * sizeof *store);
    for (uint32_t i = 0; i < count; i++) {
        store[i].name = wire_read_text(reader);
        store[i].bytes = wire_read_natural(reader);
    }
    status->store = store;
    status->store_count = count;
    return !reader->failed;
}

bool
wire_read_status(struct wire_reader *reader, struct arena *arena, struct wire_status *status_out)
{
    struct wire_reader plain = *reader, uptime = *reader;
    *status_out = (struct wire_status){0};
    /* The keys with a value of their own; then those whose value is a list or a map. */
    if (!record_read(&plain, ALL(status_fields), NULL, status_out) ||
        !record_read(&uptime, ALL(uptime_fields), NULL, status_out)) {
        return false;
    }
    uint32_t pairs = wire_read_map(reader);
    for (uint32_t i = 0; i < pairs && !reader->failed; i++) {
        struct bytes key = wire_read_text(reader);
        bool right = true;
        if (wire_read_nil(reader)) {
            continue;
        }
        if (bytes_equal(key, bytes_text("members"))) {
            right = read_members(reader, arena, status_out);
        } else if (bytes_equal(key, bytes_text("store"))) {
            right = read_store(reader, arena, status_out);
        } else if (bytes_equal(key, bytes_text("digest"))) {
            right = record_read(reader, ALL(digest_fields), NULL, status_out);
        } else {
            (void)wire_skip(reader, NULL);
        }
        reader->failed = reader->failed || !right;
    }
    return !reader->failed;
}

bool
wire_read_page(struct wire_reader *reader, struct wire_page *page_out)
{
    *page_out = (struct wire_page){0};
    return record_read(reader, ALL(page_fields), NULL, page_out);
}
