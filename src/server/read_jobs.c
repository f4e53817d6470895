/* See read_jobs.h. Thread: reader. */
#include "read_jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/assert.h"
#include "common/limits.h"
#include "feed/feed.h"
#include "machine/machine.h"
#include "render.h"
#include "wire/response.h"

/* What a read works with. */
struct reading {
    struct read_job *job;
    struct store *store;
    struct store_view *view;
    const struct registry *registry;
    const struct wire_request *wire;
    struct buf *out;
    uint64_t applied_seq;
    struct buf record; /* Of the order looked at. */
};

/* Room that stays free at the end of a message: the end of any list with the longest cursor. */
enum { END_ROOM = WIRE_LIST_END_MAX + QO_CURSOR_MAX };

static void
fail(struct reading *reading, const struct wire_failure *failure)
{
    buf_clear(reading->out);
    wire_put_error(reading->out, reading->wire->msgid, failure);
}

static void
fail_not_found(struct reading *reading, const char *what)
{
    const struct wire_failure failure = {.error = QO_NOT_FOUND, .what = bytes_text(what)};
    fail(reading, &failure);
}

static void
fail_field(struct reading *reading, const char *field, const char *message)
{
    const struct wire_failure failure = {
        .error = QO_BAD_REQUEST, .field = bytes_text(field), .message = bytes_text(message)};
    fail(reading, &failure);
}

static const struct definition *
definition_of(const struct reading *reading, uint16_t number)
{
    const struct definition *definition =
        registry_get(reading->registry, REGISTRY_PUBLISHED, number);
    if (definition == NULL) {
        qo_fatal(FATAL_CORRUPT, "a record names definition %u, which is not there", number);
    }
    return definition;
}

static struct wire_order
decode_order(const struct reading *reading, struct bytes id, struct bytes encoded)
{
    struct order_record record;
    if (!order_record_decode(encoded, &record)) {
        qo_fatal(FATAL_CORRUPT, "the record of order %.*s does not decode", BYTES_FORMAT(id));
    }
    return render_order(id, &record, definition_of(reading, record.definition),
                        &reading->job->arena);
}

/* False: there is none. The order points into reading->record. */
static bool
get_order(struct reading *reading, struct bytes id, struct wire_order *order_out)
{
    buf_clear(&reading->record);
    if (!store_view_get_order(reading->view, id, &reading->record)) {
        return false;
    }
    *order_out = decode_order(reading, id, buf_bytes(&reading->record));
    return true;
}

/* True if what was appended since `before` still leaves room for the end; else takes it back. */
static bool
fits(struct reading *reading, size_t before)
{
    if (reading->out->size + END_ROOM <= QO_MESSAGE_MAX) {
        return true;
    }
    reading->out->size = before;
    return false;
}

/* -- Orders ----------------------------------------------------------------------------------- */

static void
read_as_of(struct reading *reading)
{
    const struct wire_request *wire = reading->wire;
    int64_t last = store_view_applied(reading->view)->time;
    if (wire->as_of > last) {
        const struct wire_failure failure = {.error = QO_BAD_REQUEST,
                                             .field = bytes_text("as_of"),
                                             .has_limit = true,
                                             .limit = last};
        fail(reading, &failure);
        return;
    }
    struct order_record record;
    if (!feed_read_as_of(reading->view, wire->id, wire->as_of, &reading->job->arena, &record)) {
        fail_not_found(reading, "order");
        return;
    }
    struct wire_order order = render_order(
        wire->id, &record, definition_of(reading, record.definition), &reading->job->arena);
    wire_put_result(reading->out, wire->msgid);
    wire_put_order_get(reading->out, &order, reading->applied_seq);
}

static void
read_get(struct reading *reading)
{
    struct wire_order order;
    if (reading->wire->has_as_of) {
        read_as_of(reading);
    } else if (!get_order(reading, reading->wire->id, &order)) {
        fail_not_found(reading, "order");
    } else {
        wire_put_result(reading->out, reading->wire->msgid);
        wire_put_order_get(reading->out, &order, reading->applied_seq);
    }
}

static void
read_get_many(struct reading *reading)
{
    const struct wire_texts *ids = &reading->wire->ids;
    wire_put_result(reading->out, reading->wire->msgid);
    struct wire_list list = wire_begin_get_many(reading->out);
    bool more = false;
    for (uint32_t i = 0; i < ids->count && !more; i++) {
        struct wire_order order;
        size_t before = reading->out->size;
        bool found = get_order(reading, ids->items[i], &order);
        wire_put_order(reading->out, found ? &order : NULL);
        if (fits(reading, before)) {
            wire_list_added(&list);
        } else {
            more = true;
        }
    }
    wire_end_get_many(&list, more, reading->applied_seq);
}

/* Where events go, and until when. */
struct event_sink {
    struct reading *reading;
    struct wire_list *list;
    size_t start, bytes_max;
};

static bool
put_event(void *context, const struct event_record *event, const struct definition *definition)
{
    struct event_sink *sink = context;
    struct buf *out = sink->reading->out;
    size_t before = out->size;
    struct wire_event rendered = render_event(event, definition);
    wire_put_event(out, &rendered);
    /* The first event always fits: it is far smaller than a message. */
    if (sink->list->count > 0 && out->size - sink->start > sink->bytes_max) {
        out->size = before;
        return false;
    }
    wire_list_added(sink->list);
    return true;
}

static void
read_history(struct reading *reading)
{
    const struct wire_request *wire = reading->wire;
    const struct feed_history history = {
        .id = wire->id,
        .from_version = wire->has_from_version ? wire->from_version : 0,
        .limit = wire->limit,
        .descending = wire->descending,
    };
    wire_put_result(reading->out, wire->msgid);
    struct wire_list list = wire_begin_history(reading->out);
    struct event_sink sink = {reading, &list, 0, QO_MESSAGE_MAX - END_ROOM};
    struct feed_history_page page = {0};
    struct wire_order order;
    bool nothing = wire->descending && wire->has_from_version && wire->from_version == 0;
    if (nothing ? !get_order(reading, wire->id, &order)
                : !feed_read_history(reading->view, &history, put_event, &sink, &page)) {
        fail_not_found(reading, "order");
        return;
    }
    wire_end_history(&list, page.more, reading->applied_seq);
}

/* -- Lists ------------------------------------------------------------------------------------ */

#define CURSOR_FORMAT "e%" PRIx64

/* A cursor is the seq at which the last order looked at entered its state, as text. */
static bool
parse_cursor(struct bytes cursor, uint64_t *after_seq_out)
{
    char text[QO_CURSOR_MAX + 1];
    char *end;
    if (cursor.data == NULL) {
        *after_seq_out = 0;
        return true;
    }
    if (cursor.size < 2 || cursor.size > QO_CURSOR_MAX) {
        return false;
    }
    memcpy(text, cursor.data, cursor.size);
    text[cursor.size] = '\0';
    *after_seq_out = strtoull(text + 1, &end, 16);
    /* Only the one text that stands for this position; strtoull() takes many others. */
    char again[QO_CURSOR_MAX + 1];
    (void)snprintf(again, sizeof again, CURSOR_FORMAT, *after_seq_out);
    return strcmp(text, again) == 0;
}

/* The one live order that holds a unique value, if any. */
static void
read_list_by_value(struct reading *reading, uint16_t machine)
{
    const struct wire_request *wire = reading->wire;
    int32_t attribute =
        registry_attribute_number(reading->registry, REGISTRY_PUBLISHED, machine, wire->attribute);
    if (attribute < 0) {
        fail_field(reading, "attribute", "Only a unique attribute of the machine finds orders.");
        return;
    }
    struct buf id = {0};
    struct wire_order order;
    wire_put_result(reading->out, wire->msgid);
    struct wire_list list = wire_begin_order_list(reading->out);
    if (store_view_get_unique(reading->view, machine, (uint16_t)attribute, wire->value, &id) &&
        get_order(reading, buf_bytes(&id), &order) &&
        (wire->state.data == NULL || bytes_equal(order.state, wire->state)) &&
        (!wire->has_entered_before || order.entered_at < wire->entered_before)) {
        wire_put_order(reading->out, &order);
        wire_list_added(&list);
    }
    wire_end_order_list(&list, BYTES_NONE, reading->applied_seq);
    buf_free(&id);
}

/* Fills a page with live rows of a state or of all. True: there is nothing behind it. */
static bool
fill_list(struct reading *reading, struct store_list *rows, struct wire_list *list,
          uint64_t *position)
{
    const struct wire_request *wire = reading->wire;
    struct bytes id, encoded;
    bool at_end;
    while (store_list_next(rows, &id, &encoded)) {
        struct wire_order order = decode_order(reading, id, encoded);
        if (wire->has_entered_before && order.entered_at >= wire->entered_before) {
            return true; /* Rows come in order of entry. */
        }
        /* One more than the page holds is looked at: it alone tells a last page from a full one. */
        if (list->count == wire->limit) {
            return false;
        }
        size_t before = reading->out->size;
        wire_put_order(reading->out, &order);
        if (!fits(reading, before)) {
            return false;
        }
        wire_list_added(list);
        *position = store_list_position(rows, &at_end);
    }
    *position = store_list_position(rows, &at_end);
    return at_end;
}

static void
read_list(struct reading *reading)
{
    const struct wire_request *wire = reading->wire;
    int32_t machine = registry_machine(reading->registry, REGISTRY_PUBLISHED, wire->machine);
    int32_t state = RECORD_NONE;
    uint64_t position;
    if (!parse_cursor(wire->cursor, &position)) {
        fail_field(reading, "cursor", "`cursor` is none that order.list gave.");
        return;
    }
    if (machine < 0) {
        fail_not_found(reading, "machine");
        return;
    }
    if (wire->attribute.data != NULL) {
        read_list_by_value(reading, (uint16_t)machine);
        return;
    }
    if (wire->state.data != NULL) {
        state = registry_state_number(reading->registry, REGISTRY_PUBLISHED, (uint16_t)machine,
                                      wire->state);
    }
    char cursor[QO_CURSOR_MAX + 1];
    bool at_end = true;
    wire_put_result(reading->out, wire->msgid);
    struct wire_list list = wire_begin_order_list(reading->out);
    if (state >= 0) { /* A state that nobody knows has no orders. */
        struct store_list *rows =
            store_list_begin(reading->view, (uint16_t)machine, (uint16_t)state, position);
        at_end = fill_list(reading, rows, &list, &position);
        store_list_end(rows);
        (void)snprintf(cursor, sizeof cursor, CURSOR_FORMAT, position);
    }
    wire_end_order_list(&list, at_end ? BYTES_NONE : bytes_text(cursor), reading->applied_seq);
}

/* -- Machines --------------------------------------------------------------------------------- */

static void
read_machine_get(struct reading *reading)
{
    const struct wire_request *wire = reading->wire;
    const struct definition *definition = NULL;
    if (!wire->has_version || (wire->version >= 1 && wire->version <= UINT32_MAX)) {
        definition = registry_find(reading->registry, REGISTRY_PUBLISHED, wire->machine,
                                   wire->has_version ? (uint32_t)wire->version : 0);
    }
    if (definition == NULL) {
        bool known = registry_machine(reading->registry, REGISTRY_PUBLISHED, wire->machine) >= 0;
        fail_not_found(reading, known ? "version" : "machine");
        return;
    }
    const struct wire_machine machine = {
        .machine = machine_name(definition->machine),
        .version = machine_version(definition->machine),
        .checksum = bytes_text(machine_checksum(definition->machine)),
        .source = definition->source,
    };
    wire_put_result(reading->out, wire->msgid);
    wire_put_machine(reading->out, &machine);
}

/* One machine with its versions. Definitions are numbered in order of acceptance, so that a
 * machine's versions come in order. */
static void
put_machine(struct reading *reading, uint32_t definitions_count, uint16_t machine)
{
    struct wire_list versions;
    bool begun = false;
    for (uint32_t i = 0; i < definitions_count; i++) {
        const struct definition *definition =
            registry_get(reading->registry, REGISTRY_PUBLISHED, i);
        if (definition->machine_number != machine) {
            continue;
        }
        if (!begun) {
            versions = wire_begin_machine(reading->out, machine_name(definition->machine));
            begun = true;
        }
        const struct wire_machine_version version = {
            .version = machine_version(definition->machine),
            .checksum = bytes_text(machine_checksum(definition->machine)),
            .at = definition->at,
        };
        wire_put_machine_version(reading->out, &version);
        wire_list_added(&versions);
    }
    QO_ASSERT(begun);
    wire_end_machine(&versions);
}

static void
read_machine_list(struct reading *reading)
{
    /* Counted once: more may be published while this runs. */
    uint32_t definitions_count = registry_count(reading->registry, REGISTRY_PUBLISHED);
    int32_t machines = -1;
    for (uint32_t i = 0; i < definitions_count; i++) {
        int32_t number = registry_get(reading->registry, REGISTRY_PUBLISHED, i)->machine_number;
        machines = number > machines ? number : machines;
    }
    wire_put_result(reading->out, reading->wire->msgid);
    struct wire_list list = wire_begin_machines(reading->out);
    for (int32_t machine = 0; machine <= machines; machine++) {
        put_machine(reading, definitions_count, (uint16_t)machine);
        wire_list_added(&list);
    }
    wire_end_machines(&list);
}

/* -- Entry ------------------------------------------------------------------------------------ */

static struct reading
begin(struct read_job *job, struct store *store, struct store_view *view)
{
    return (struct reading){.job = job,
                            .store = store,
                            .view = view,
                            .registry = store_registry(store),
                            .wire = &job->wire,
                            .out = &job->out,
                            .applied_seq = store_view_applied(view)->seq};
}

void
read_job_order(struct read_job *job, struct store *store, struct store_view *view)
{
    static _Thread_local struct wire_decoder decoder;
    struct wire_refusal refusal;
    bool decoded =
        wire_decode_request(&decoder, buf_bytes(&job->message), &job->arena, &job->wire, &refusal);
    QO_ASSERT(decoded);
    struct reading reading = begin(job, store, view);
    if (job->wire.method == WIRE_ORDER_GET) {
        read_get(&reading);
    } else if (job->wire.method == WIRE_ORDER_GET_MANY) {
        read_get_many(&reading);
    } else if (job->wire.method == WIRE_ORDER_HISTORY) {
        read_history(&reading);
    } else if (job->wire.method == WIRE_ORDER_LIST) {
        read_list(&reading);
    } else if (job->wire.method == WIRE_MACHINE_GET) {
        read_machine_get(&reading);
    } else {
        QO_ASSERT(job->wire.method == WIRE_MACHINE_LIST);
        read_machine_list(&reading);
    }
    buf_free(&reading.record);
}

/* Reads events by job->wire's filter into an open list. */
static struct feed_page
fill_feed(struct reading *reading, struct wire_list *list, size_t bytes_max)
{
    const struct wire_request *wire = reading->wire;
    uint32_t shards[QO_SHARDS_MAX];
    size_t shards_count = 0;
    for (uint32_t shard = 0; shard < QO_SHARDS_MAX; shard++) {
        if ((wire->shards.bits[shard / 64] >> (shard % 64) & 1) != 0) {
            shards[shards_count++] = shard;
        }
    }
    static const struct bytes no_names[1];
    const struct feed_filter filter = {
        .from_seq = wire->from_seq,
        .limit = wire->limit,
        .shards = wire->shards.present ? shards : NULL,
        .shards_count = shards_count,
        .machines = !wire->machines.present           ? NULL
                    : wire->machines.names.count == 0 ? no_names
                                                      : wire->machines.names.items,
        .machines_count = wire->machines.names.count,
        .states = !wire->states.present           ? NULL
                  : wire->states.names.count == 0 ? no_names
                                                  : wire->states.names.items,
        .states_count = wire->states.names.count,
    };
    struct event_sink sink = {reading, list, reading->out->size, bytes_max};
    struct feed_page page = feed_read(reading->view, &filter, put_event, &sink);
    reading->job->next_seq = page.next_seq;
    reading->job->high_seq = page.high_seq;
    reading->job->events_count = page.given;
    return page;
}

void
read_job_feed(struct read_job *job, struct store *store, struct store_view *view)
{
    struct reading reading = begin(job, store, view);
    buf_clear(&job->out);
    wire_put_result(&job->out, job->wire.msgid);
    struct wire_list list = wire_begin_feed_read(&job->out);
    struct feed_page page = fill_feed(&reading, &list, QO_MESSAGE_MAX - END_ROOM - 1024);
    wire_end_feed_read(&list, page.next_seq, page.high_seq, store_view_applied(view)->epoch);
}

void
read_job_feed_events(struct read_job *job, struct store *store, struct store_view *view)
{
    struct reading reading = begin(job, store, view);
    buf_clear(&job->out);
    struct wire_list list = wire_begin_feed_events(&job->out, job->wire.subscription);
    struct feed_page page = fill_feed(&reading, &list, QO_FEED_CHUNK_BYTES);
    wire_end_feed_events(&list, page.next_seq, page.high_seq);
}
