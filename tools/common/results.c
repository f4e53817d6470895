/* See tools/results.h. Thread: any. */
#include "tools/results.h"

#include "common/bytes.h"
#include "tools/json.h"

json_t *
json_of_receipt(const struct qo_receipt *receipt)
{
    json_t *object = json_object();
    json_set(object, "id", json_text(receipt->id));
    json_set(object, "machine", json_text(receipt->machine));
    json_set(object, "machine_version", json_natural(receipt->machine_version));
    json_set(object, "event", json_text(receipt->event));
    json_set(object, "from", json_text(receipt->from));
    json_set(object, "to", json_text(receipt->to));
    json_set(object, "version", json_natural(receipt->version));
    json_set(object, "seq", json_natural(receipt->seq));
    json_set(object, "at", json_integer(receipt->at_us));
    json_set(object, "epoch", json_natural(receipt->epoch));
    json_set(object, "replayed", json_boolean(receipt->replayed));
    return object;
}

json_t *
json_of_attributes(const struct qo_attribute *attributes, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        const struct qo_value *value = &attributes[i].value;
        json_t *json = json_of_messagepack(bytes_make(value->raw, value->raw_size));
        json_set(object, attributes[i].name, json != NULL ? json : json_null());
    }
    return object;
}

json_t *
json_of_order(const struct qo_order *order)
{
    if (order->id == NULL) {
        return json_null();
    }
    json_t *object = json_object();
    json_t *allowed = json_array();
    for (size_t i = 0; i < order->allowed_count; i++) {
        json_add(allowed, json_text(order->allowed[i]));
    }
    json_t *deadline = json_null();
    if (order->deadline_event != NULL) {
        deadline = json_object();
        json_set(deadline, "at", json_integer(order->deadline_at_us));
        json_set(deadline, "event", json_text(order->deadline_event));
    }
    json_set(object, "id", json_text(order->id));
    json_set(object, "machine", json_text(order->machine));
    json_set(object, "machine_version", json_natural(order->machine_version));
    json_set(object, "state", json_text(order->state));
    json_set(object, "version", json_natural(order->version));
    json_set(object, "attributes", json_of_attributes(order->attributes, order->attributes_count));
    json_set(object, "created_at", json_integer(order->created_at_us));
    json_set(object, "updated_at", json_integer(order->updated_at_us));
    json_set(object, "entered_at", json_integer(order->entered_at_us));
    json_set(object, "seq", json_natural(order->seq));
    json_set(object, "final", json_boolean(order->is_final));
    json_set(object, "allowed", allowed);
    json_set(object, "deadline", deadline);
    return object;
}

json_t *
json_of_event(const struct qo_event *event)
{
    json_t *object = json_object();
    json_set(object, "seq", json_natural(event->seq));
    json_set(object, "kind", json_text(event->kind));
    json_set(object, "epoch", json_natural(event->epoch));
    json_set(object, "id", json_text(event->id));
    json_set(object, "machine", json_text(event->machine));
    json_set(object, "machine_version", json_natural(event->machine_version));
    json_set(object, "shard", json_natural(event->shard));
    json_set(object, "version", json_natural(event->version));
    json_set(object, "event", json_text(event->event));
    json_set(object, "from", json_text(event->from));
    json_set(object, "to", json_text(event->to));
    json_set(object, "at", json_integer(event->at_us));
    json_set(object, "actor", json_text(event->actor));
    json_set(object, "reason", json_text(event->reason));
    json_set(object, "request_id", json_text(event->request_id));
    json_set(object, "trace", json_text(event->trace));
    json_set(object, "attributes", json_of_attributes(event->attributes, event->attributes_count));
    return object;
}

static json_t *
json_of_number(struct qo_number number)
{
    return number.known ? json_natural(number.value) : json_null();
}

json_t *
json_of_status(const struct qo_status *status)
{
    json_t *object = json_object();
    json_t *members = json_array();
    for (size_t i = 0; i < status->members_count; i++) {
        const struct qo_member *member = &status->members[i];
        json_t *one = json_object();
        json_set(one, "id", json_natural(member->id));
        json_set(one, "address", json_text(member->address));
        json_set(one, "role", json_text(member->role));
        json_set(one, "state", json_text(member->state));
        json_set(one, "applied_index", json_of_number(member->applied_index));
        json_set(one, "committed_index", json_of_number(member->committed_index));
        json_set(one, "lag", json_of_number(member->lag));
        json_add(members, one);
    }
    json_t *digest = json_object();
    json_set(digest, "index", json_natural(status->digest_index));
    json_set(digest, "value", json_text(status->digest_value));
    json_t *store = json_object();
    for (size_t i = 0; i < status->store_count; i++) {
        json_set(store, status->store[i].name, json_natural(status->store[i].bytes));
    }
    json_set(object, "cluster_id", json_text(status->cluster_id));
    json_set(object, "node_id", json_natural(status->node_id));
    json_set(object, "leader", json_text(status->leader));
    json_set(object, "term", json_natural(status->term));
    json_set(object, "epoch", json_natural(status->epoch));
    json_set(object, "shards", json_natural(status->shards));
    json_set(object, "members", members);
    json_set(object, "digest", digest);
    json_set(object, "store", store);
    json_set(object, "uptime_s", json_natural(status->uptime_s));
    return object;
}

static void
set_text(json_t *object, const char *key, const char *text)
{
    if (text != NULL) {
        json_set(object, key, json_text(text));
    }
}

static void
set_natural(json_t *object, const char *key, uint64_t value, bool has)
{
    if (has) {
        json_set(object, key, json_natural(value));
    }
}

json_t *
json_of_failure(const struct qo_failure *failure)
{
    enum qo_code code = failure->code;
    json_t *object = json_object();
    set_text(object, "code", qo_code_name(code));
    set_text(object, "message", failure->message);
    set_text(object, "field", failure->field);
    if (failure->has_limit) {
        json_set(object, "limit", json_integer(failure->limit));
    }
    set_text(object, "method", failure->method);
    set_text(object, "needs", failure->needs);
    set_text(object, "what", failure->what);
    set_natural(object, "version", failure->version,
                code == QO_CODE_ALREADY_EXISTS || code == QO_CODE_VERSION_CONFLICT);
    set_text(object, "state", failure->state);
    set_text(object, "from", failure->from);
    set_text(object, "event", failure->event);
    if (code == QO_CODE_INVALID_TRANSITION) {
        json_t *allowed = json_array();
        for (size_t i = 0; i < failure->allowed_count; i++) {
            json_add(allowed, json_text(failure->allowed[i]));
        }
        json_set(object, "allowed", allowed);
    }
    set_text(object, "attribute", failure->attribute);
    set_text(object, "why", failure->why);
    set_text(object, "held_by", failure->held_by);
    set_natural(object, "seq", failure->seq, code == QO_CODE_REQUEST_ID_REUSED);
    set_text(object, "resource", failure->resource);
    if (code == QO_CODE_INSUFFICIENT) {
        json_set(object, "available", json_integer(failure->available));
    }
    set_natural(object, "line", failure->line, code == QO_CODE_INVALID_MACHINE);
    set_natural(object, "column", failure->column, code == QO_CODE_INVALID_MACHINE);
    set_natural(object, "epoch", failure->epoch, code == QO_CODE_POSITION_LOST);
    set_natural(object, "first_seq", failure->first_seq, code == QO_CODE_POSITION_LOST);
    set_natural(object, "high_seq", failure->high_seq, code == QO_CODE_POSITION_LOST);
    set_text(object, "leader", failure->leader);
    set_natural(object, "retry_after_ms", failure->retry_after_ms, failure->retry_after_ms > 0);
    set_text(object, "reason", failure->reason);
    set_natural(object, "index", failure->index, failure->has_index);
    return object;
}
