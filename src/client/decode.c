/* See decode.h. Thread: any, one at a time per arena. */
#include "decode.h"

#include "common/attributes.h"
#include "common/limits.h"

static_assert((int)QO_TYPE_NIL == (int)VALUE_NIL && (int)QO_TYPE_BOOLEAN == (int)VALUE_BOOLEAN &&
                  (int)QO_TYPE_INTEGER == (int)VALUE_INTEGER &&
                  (int)QO_TYPE_NUMBER == (int)VALUE_NUMBER &&
                  (int)QO_TYPE_TEXT == (int)VALUE_TEXT && (int)QO_TYPE_LIST == (int)VALUE_LIST &&
                  (int)QO_TYPE_MAP == (int)VALUE_MAP,
              "types are numbered alike");

const char *
decode_text(struct arena *arena, struct bytes text)
{
    if (text.data == NULL) {
        return NULL;
    }
    char *copy = arena_alloc(arena, text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    return copy;
}

static const char *const *
texts(struct arena *arena, struct wire_texts from)
{
    const char **copies = arena_alloc(arena, ((size_t)from.count + 1) * sizeof *copies);
    for (uint32_t i = 0; i < from.count; i++) {
        copies[i] = decode_text(arena, from.items[i]);
    }
    copies[from.count] = NULL;
    return copies;
}

static struct qo_value
value_of(struct arena *arena, const struct attribute *attribute)
{
    struct bytes raw = arena_copy(arena, attribute->value);
    struct qo_value value = {
        .type = (enum qo_type)attribute->type, .raw = raw.data, .raw_size = raw.size};
    switch (attribute->type) {
    case VALUE_BOOLEAN:
        value.boolean = raw.data[0] == 0xc3;
        break;
    case VALUE_INTEGER:
        value.integer = value_integer(raw);
        break;
    case VALUE_NUMBER:
        value.number = value_number(raw);
        break;
    case VALUE_TEXT:
        value.text = decode_text(arena, value_text(raw));
        break;
    case VALUE_NIL:
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    return value;
}

static const struct qo_attribute *
attributes_of(struct arena *arena, struct bytes list, size_t *count_out)
{
    size_t count = attributes_count(list);
    struct qo_attribute *attributes = arena_alloc(arena, (count + 1) * sizeof *attributes);
    struct attributes_iterator iterator = attributes_begin(list);
    struct attribute attribute;
    for (size_t i = 0; attributes_next(&iterator, &attribute); i++) {
        attributes[i].name = decode_text(arena, attribute.name);
        attributes[i].value = value_of(arena, &attribute);
    }
    *count_out = count;
    return attributes;
}

struct qo_receipt *
decode_receipt(struct arena *arena, struct wire_reader *reader)
{
    struct wire_receipt from;
    if (!wire_read_receipt(reader, &from) || from.id.data == NULL) {
        return NULL;
    }
    struct qo_receipt *to = arena_alloc(arena, sizeof *to);
    *to = (struct qo_receipt){
        .id = decode_text(arena, from.id),
        .machine = decode_text(arena, from.machine),
        .machine_version = from.machine_version,
        .event = decode_text(arena, from.event),
        .from = decode_text(arena, from.from),
        .to = decode_text(arena, from.to),
        .version = from.version,
        .seq = from.seq,
        .at_us = from.at,
        .epoch = from.epoch,
        .replayed = from.replayed,
    };
    return to;
}

struct qo_failure *
decode_own_failure(struct arena *arena, enum qo_code code, const char *message)
{
    struct qo_failure *failure = arena_zalloc(arena, sizeof *failure);
    failure->code = code;
    failure->message = decode_text(arena, bytes_text(message));
    return failure;
}

struct qo_failure *
decode_failure(struct arena *arena, struct wire_reader *reader, bool *unknown_effect_out)
{
    struct wire_failure from;
    if (!wire_read_failure(reader, arena, &from) || from.error == QO_OK) {
        return NULL;
    }
    struct qo_failure *to = arena_alloc(arena, sizeof *to);
    *to = (struct qo_failure){
        .code = (enum qo_code)from.error,
        .message = from.message.data == NULL ? "" : decode_text(arena, from.message),
        .field = decode_text(arena, from.field),
        .has_limit = from.has_limit,
        .limit = from.limit,
        .method = decode_text(arena, from.method),
        .needs = decode_text(arena, from.needs),
        .what = decode_text(arena, from.what),
        .version = from.version,
        .state = decode_text(arena, from.state),
        .from = decode_text(arena, from.from),
        .event = decode_text(arena, from.event),
        .allowed = texts(arena, from.allowed),
        .allowed_count = from.allowed.count,
        .attribute = decode_text(arena, from.attribute),
        .why = decode_text(arena, from.why),
        .held_by = decode_text(arena, from.held_by),
        .seq = from.seq,
        .resource = decode_text(arena, from.resource),
        .available = from.available,
        .line = from.line,
        .column = from.column,
        .epoch = from.epoch,
        .first_seq = from.first_seq,
        .high_seq = from.high_seq,
        .leader = decode_text(arena, from.leader),
        .retry_after_ms = from.retry_after_ms,
        .reason = decode_text(arena, from.reason),
        .has_index = from.has_index,
        .index = from.index,
    };
    *unknown_effect_out = from.unknown_effect;
    return to;
}

static void
order_of(struct arena *arena, const struct wire_order *from, struct qo_order *to)
{
    *to = (struct qo_order){
        .id = decode_text(arena, from->id),
        .machine = decode_text(arena, from->machine),
        .machine_version = from->machine_version,
        .state = decode_text(arena, from->state),
        .version = from->version,
        .created_at_us = from->created_at,
        .updated_at_us = from->updated_at,
        .entered_at_us = from->entered_at,
        .seq = from->seq,
        .is_final = from->final,
        .allowed = texts(arena, from->allowed),
        .allowed_count = from->allowed.count,
    };
    if (from->has_deadline) {
        to->deadline_event = decode_text(arena, from->deadline_event);
        to->deadline_at_us = from->deadline_at;
    }
    to->attributes = attributes_of(arena, from->attributes, &to->attributes_count);
}

bool
decode_orders(struct arena *arena, struct wire_reader *reader, uint32_t count,
              struct qo_order **orders_out)
{
    struct qo_order *orders = arena_zalloc(arena, ((size_t)count + 1) * sizeof *orders);
    for (uint32_t i = 0; i < count; i++) {
        struct wire_order order;
        if (!wire_read_order(reader, arena, &order)) {
            return false;
        }
        if (order.id.data != NULL) {
            order_of(arena, &order, &orders[i]);
        }
    }
    *orders_out = orders;
    return true;
}

static void
event_of(struct arena *arena, const struct wire_event *from, struct qo_event *to)
{
    *to = (struct qo_event){
        .seq = from->seq,
        .kind = decode_text(arena, from->kind),
        .epoch = from->epoch,
        .id = decode_text(arena, from->id),
        .machine = decode_text(arena, from->machine),
        .machine_version = from->machine_version,
        .shard = from->shard,
        .version = from->version,
        .event = decode_text(arena, from->event),
        .from = decode_text(arena, from->from),
        .to = decode_text(arena, from->to),
        .at_us = from->at,
        .actor = decode_text(arena, from->actor),
        .reason = decode_text(arena, from->reason),
        .request_id = decode_text(arena, from->request_id),
        .trace = decode_text(arena, from->trace),
    };
    to->attributes = attributes_of(arena, from->attributes, &to->attributes_count);
}

bool
decode_events(struct arena *arena, const struct wire_page *page, struct qo_event **events_out)
{
    struct wire_reader reader = wire_reader_of(page->elements);
    struct qo_event *events = arena_zalloc(arena, ((size_t)page->count + 1) * sizeof *events);
    for (uint32_t i = 0; i < page->count; i++) {
        struct wire_event event;
        if (!wire_read_event(&reader, arena, &event)) {
            return false;
        }
        event_of(arena, &event, &events[i]);
    }
    *events_out = events;
    return true;
}

struct qo_hello *
decode_hello(struct arena *arena, struct wire_reader *reader)
{
    struct wire_hello from;
    if (!wire_read_hello(reader, &from)) {
        return NULL;
    }
    struct qo_hello *to = arena_alloc(arena, sizeof *to);
    *to = (struct qo_hello){
        .protocol = from.protocol,
        .server = decode_text(arena, from.server),
        .cluster_id = decode_text(arena, from.cluster_id),
        .node_id = from.node_id,
        .leader = decode_text(arena, from.leader),
        .shards = from.shards,
        .epoch = from.epoch,
    };
    return to;
}

static struct qo_number
number_of(struct wire_known from)
{
    return (struct qo_number){.known = from.known, .value = from.known ? from.value : 0};
}

struct qo_status *
decode_status(struct arena *arena, struct wire_reader *reader)
{
    struct wire_status from;
    if (!wire_read_status(reader, arena, &from)) {
        return NULL;
    }
    struct qo_member *members =
        arena_alloc(arena, ((size_t)from.members_count + 1) * sizeof *members);
    for (uint32_t i = 0; i < from.members_count; i++) {
        const struct wire_member *member = &from.members[i];
        members[i] = (struct qo_member){
            .id = member->id,
            .address = decode_text(arena, member->address),
            .role = decode_text(arena, member->role),
            .state = decode_text(arena, member->state),
            .applied_index = number_of(member->applied_index),
            .committed_index = number_of(member->committed_index),
            .lag = number_of(member->lag),
        };
    }
    struct qo_store_size *store =
        arena_alloc(arena, ((size_t)from.store_count + 1) * sizeof *store);
    for (uint32_t i = 0; i < from.store_count; i++) {
        store[i].name = decode_text(arena, from.store[i].name);
        store[i].bytes = from.store[i].bytes;
    }
    struct qo_status *to = arena_alloc(arena, sizeof *to);
    *to = (struct qo_status){
        .cluster_id = decode_text(arena, from.cluster_id),
        .node_id = from.node_id,
        .leader = decode_text(arena, from.leader),
        .term = from.term,
        .epoch = from.epoch,
        .shards = from.shards,
        .members = members,
        .members_count = from.members_count,
        .digest_index = from.digest_index,
        .digest_value = decode_text(arena, from.digest_value),
        .store = store,
        .store_count = from.store_count,
        .uptime_s = from.uptime_s,
    };
    return to;
}

bool
decode_machines(struct arena *arena, const struct wire_page *page, struct qo_machine **machines_out,
                size_t *count_out)
{
    struct qo_machine *machines = arena_alloc(arena, QO_DEFINITIONS_MAX * sizeof *machines);
    size_t count = 0;
    struct wire_reader reader = wire_reader_of(page->elements);
    for (uint32_t i = 0; i < page->count; i++) {
        struct wire_page one;
        if (!wire_read_page(&reader, &one)) {
            return false;
        }
        struct wire_reader versions = wire_reader_of(one.elements);
        const char *name = decode_text(arena, one.machine);
        for (uint32_t j = 0; j < one.count; j++) {
            struct wire_machine_version version;
            if (!wire_read_machine_version(&versions, &version) || count == QO_DEFINITIONS_MAX) {
                return false;
            }
            machines[count++] = (struct qo_machine){
                .machine = name,
                .version = version.version,
                .checksum = decode_text(arena, version.checksum),
                .at_us = version.at,
            };
        }
    }
    *machines_out = machines;
    *count_out = count;
    return true;
}
