/* See server.h. Thread: the run's, inside member_run(). */
#include "server.h"

#include <stdio.h>
#include <string.h>

#include "apply/apply.h"
#include "clients.h"
#include "common/assert.h"
#include "common/attributes.h"
#include "consensus/consensus.h"
#include "leader_clock.h"
#include "member.h"
#include "store/store.h"
#include "story.h"
#include "truth.h"

enum {
    BATCH_MAX = 24, /* Requests of one entry: few, so that there are many entries. */
    PENDING_MAX = 256,
    TIMERS_MAX = 32,
    TIMERS_EVERY_US = 50000,
    EXPIRE_EVERY_US = 20000,
};

struct item {
    enum { ITEM_ENTRY, ITEM_ADVANCE, ITEM_MARKER } kind;
    uint64_t index, term;
    struct buf entry;
    struct arena arena;
    struct apply_results results;
    struct reads *round; /* ITEM_MARKER */
    struct item *next;
};

struct queue {
    struct item *first, **end;
};

/* The reads that share a read point. */
struct reads {
    struct server *server;
    struct request requests[PENDING_MAX];
    uint32_t count;
};

struct batch {
    struct server *server;
    uint64_t counter;
    struct request requests[BATCH_MAX];
    uint32_t count;
    bool timers, in_flight, settled, lost, answered;
    int64_t lost_us;
    struct batch *next;
};

struct server {
    unsigned id;
    struct consensus *consensus;
    struct store *store;
    struct apply *apply;
    bool ready;
    uint64_t term;
    struct queue to_state, to_loop;
    uint32_t items_count; /* In both. */
    bool executing, returning;
    struct request pending[PENDING_MAX];
    int64_t pending_since_us[PENDING_MAX];
    uint32_t pending_count;
    struct reads *waiting; /* Reads that have no read point under way. */
    struct batch *batches;
    uint32_t in_flight;
    uint64_t counter;
    struct leader_clock clock;
    bool timers_busy;
    struct store_deadline due[TIMERS_MAX];
    uint32_t due_count;
    struct arena due_arena;
    struct buf entry;
};

static struct server *servers[MEMBERS_MAX + 1];
static int64_t state_us_min[MEMBERS_MAX + 1], state_us_max[MEMBERS_MAX + 1];

struct server *
server_of(unsigned id)
{
    return servers[id];
}

void
server_slow_state(unsigned id, int64_t us_min, int64_t us_max)
{
    state_us_min[id] = us_min;
    state_us_max[id] = us_max;
}

static void
answer(const struct server *server, const struct request *request, enum qo_error error)
{
    clients_answer(server->id, request, &(struct answer){.error = error});
}

/* -- The state --------------------------------------------------------------------------------- */

static void
queue_add(struct queue *queue, struct item *item)
{
    item->next = NULL;
    *queue->end = item;
    queue->end = &item->next;
}

static struct item *
queue_take(struct queue *queue)
{
    struct item *item = queue->first;
    if (item != NULL) {
        queue->first = item->next;
        if (queue->first == NULL) {
            queue->end = &queue->first;
        }
    }
    return item;
}

static void take_back(void *context);
static void execute(void *context);

static void
plan_state(struct server *server)
{
    int64_t us_max = state_us_max[server->id];
    if (!server->executing && server->to_state.first != NULL) {
        server->executing = true;
        event_plan(us_max == 0 ? chance_between(10, 300)
                               : chance_between(state_us_min[server->id], us_max),
                   server->id, execute, server);
    }
    if (!server->returning && server->to_loop.first != NULL) {
        server->returning = true;
        event_plan(chance_between(5, 200), server->id, take_back, server);
    }
}

static void
execute(void *context)
{
    struct server *server = context;
    struct item *item = queue_take(&server->to_state);
    server->executing = false;
    switch (item->kind) {
    case ITEM_ENTRY:
        apply_execute(server->apply, item->index, item->term, buf_bytes(&item->entry), &item->arena,
                      &item->results);
        truth_executed(server->id, &item->results, store_applied(server->store));
        break;
    case ITEM_ADVANCE:
        apply_advance(server->apply, item->index, item->term);
        truth_executed(server->id, NULL, store_applied(server->store));
        break;
    case ITEM_MARKER:
        break;
    }
    queue_add(&server->to_loop, item);
    plan_state(server);
}

bool
server_has_room(const struct server *server)
{
    return server->items_count < members_options()->queue_max;
}

static struct item *
push(struct server *server)
{
    struct item *item = mem_zalloc(sizeof *item);
    queue_add(&server->to_state, item);
    server->items_count++;
    plan_state(server);
    return item;
}

void
server_deliver(struct server *server, uint64_t index, uint64_t term, struct bytes entry)
{
    struct item *item = push(server);
    item->kind = entry.data == NULL ? ITEM_ADVANCE : ITEM_ENTRY;
    item->index = index;
    item->term = term;
    buf_append(&item->entry, entry.data, entry.size);
}

/* -- Reads ------------------------------------------------------------------------------------- */

static void
read_order(struct server *server, const struct request *request)
{
    struct store_view *view = store_view_begin(server->store);
    struct truth_read read = {.order = request->wishes[0].order};
    struct buf encoded = {0};
    char id[16], why[FEED_WHY_MAX];
    model_order_id(read.order, id);
    if (store_view_get_order(view, bytes_text(id), &encoded)) {
        struct order_record record;
        struct attribute note;
        bool decoded = order_record_decode(buf_bytes(&encoded), &record);
        EXPECT(decoded, "member %u: the record of %s does not decode", server->id, id);
        const struct definition *definition =
            registry_get(store_registry(server->store), REGISTRY_PUBLISHED, record.definition);
        read.found = true;
        read.version = record.version;
        read.seq = record.seq;
        read.state = machine_state_name(definition->machine, record.state);
        if (attributes_find(record.attributes, bytes_text("note"), &note)) {
            read.note = note.value.data[0];
        }
        EXPECT(!chance_permille(20) || feed_verify_order(view, bytes_text(id), why),
               "member %u: %s: %s", server->id, id, why);
    }
    struct truth_answer about = {.member = server->id,
                                 .floor = request->floor,
                                 .index = store_view_applied(view)->index,
                                 .command = UINT32_MAX};
    truth_read(&about, &read);
    store_view_end(view);
    clients_answer(server->id, request, &(struct answer){.decided = true, .version = read.version});
    buf_free(&encoded);
}

static void
read_point(void *context, enum qo_error status, uint64_t index)
{
    struct reads *round = context;
    (void)index;
    if (status == QO_OK) {
        struct item *item = push(round->server);
        item->kind = ITEM_MARKER;
        item->round = round;
        return;
    }
    for (uint32_t i = 0; i < round->count; i++) {
        answer(round->server, &round->requests[i], QO_UNAVAILABLE);
    }
    mem_free(round);
}

static void
flush_reads(struct server *server)
{
    struct reads *round = server->waiting;
    if (round != NULL) {
        server->waiting = NULL;
        if (!server->ready || consensus_read_point(server->consensus, read_point, round) != QO_OK) {
            read_point(round, QO_UNAVAILABLE, 0);
        }
    }
}

static void
add_read(struct server *server, const struct request *request)
{
    if (server->waiting == NULL) {
        server->waiting = mem_zalloc(sizeof *server->waiting);
        server->waiting->server = server;
    }
    if (server->waiting->count == PENDING_MAX) {
        answer(server, request, QO_OVERLOADED);
        return;
    }
    server->waiting->requests[server->waiting->count++] = *request;
}

/* -- Commands ---------------------------------------------------------------------------------- */

static void
attributes_of(const struct wish *wish, struct buf *out)
{
    struct attributes_builder builder = attributes_build(out);
    if (wish->key != 0) {
        char text[16];
        (void)snprintf(text + 1, sizeof text - 1, "key-%u", wish->key);
        size_t size = strlen(text + 1);
        text[0] = (char)(0xa0 | size);
        attributes_append(&builder, bytes_text("key"), VALUE_TEXT, bytes_make(text, size + 1));
    }
    if (wish->note != 0) {
        uint8_t note = (uint8_t)wish->note;
        attributes_append(&builder, bytes_text("note"), VALUE_INTEGER, bytes_make(&note, 1));
    }
    (void)attributes_built(&builder);
}

/* As wire/content.h: everything that counts as content, and not the request id. */
static void
seal(struct command *command)
{
    static struct buf buf;
    struct command bare = *command;
    bare.request_id = BYTES_NONE;
    entry_begin(&buf);
    entry_add(&buf, &bare);
    struct sha256 hash = hash_sha256(buf_bytes(&buf));
    memcpy(command->content.bytes, hash.bytes, sizeof command->content.bytes);
    buf_clear(&buf);
}

static void
add_definition(struct buf *entry)
{
    struct buf compiled = {0};
    struct machine_error error;
    enum qo_error status = machine_compile(bytes_text(model_source), &compiled, &error);
    EXPECT(status == QO_OK, "the machine does not compile: %u: %s", error.line, error.why);
    const struct command command = {.kind = COMMAND_DEFINITION,
                                    .compiled = buf_bytes(&compiled),
                                    .source = bytes_text(model_source)};
    entry_add(entry, &command);
    buf_free(&compiled);
}

static void
add_group(struct buf *entry, const struct request *request)
{
    struct operation operations[MODEL_GROUP_MAX];
    struct buf attributes[MODEL_GROUP_MAX] = {{0}};
    char ids[MODEL_GROUP_MAX][16], request_id[16], trace[QO_TRACE_MAX];
    for (uint32_t i = 0; i < request->count; i++) {
        const struct wish *wish = &request->wishes[i];
        model_order_id(wish->order, ids[i]);
        attributes_of(wish, &attributes[i]);
        operations[i] = (struct operation){
            .kind = wish->create ? OPERATION_CREATE : OPERATION_TRANSITION,
            .id = bytes_text(ids[i]),
            .machine = wish->create ? bytes_text("shop") : BYTES_NONE,
            .event = wish->create ? BYTES_NONE : bytes_text(model_event_name(wish->event)),
            .has_expect_version = wish->expects,
            .expect_version = wish->expect_version,
            .attributes = buf_bytes(&attributes[i]),
        };
    }
    model_request_id(request->number, request_id);
    struct command command = {.kind = COMMAND_GROUP,
                              .atomic = request->count > 1,
                              .operations_count = request->count,
                              .operations = operations};
    seal(&command);
    command.request_id = bytes_text(request_id);
    /* So that what waits for a disk is often more than one block. */
    memset(trace, 'a' + (int)(request->number % 26), sizeof trace);
    command.trace = bytes_make(trace, request->number * 37 % sizeof trace + 1);
    entry_add(entry, &command);
    for (uint32_t i = 0; i < request->count; i++) {
        buf_free(&attributes[i]);
    }
}

static void
add_timers(struct server *server)
{
    for (uint32_t i = 0; i < server->due_count; i++) {
        const struct command command = {
            .kind = COMMAND_TIMER,
            .timer_id = server->due[i].id,
            .timer_entered_version = server->due[i].entered_version,
            .timer_deadline = server->due[i].deadline,
        };
        entry_add(&server->entry, &command);
    }
}

/* -- Batches ----------------------------------------------------------------------------------- */

static int64_t
leader_time(struct server *server)
{
    return leader_clock_read(&server->clock, member_wall_us(server->id),
                             member_monotonic_us(server->id));
}

static void
settled(void *context, enum qo_error status)
{
    struct batch *batch = context;
    batch->settled = true;
    if (status != QO_OK && !batch->answered) {
        batch->lost = true;
        batch->lost_us = member_monotonic_us(batch->server->id);
    }
    if (status != QO_OK && batch->in_flight) {
        batch->in_flight = false;
        batch->server->in_flight--;
    }
}

static void
fail_batch(struct batch *batch, enum qo_error error)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        answer(batch->server, &batch->requests[i], error);
    }
    if (batch->timers) {
        batch->server->timers_busy = false;
    }
}

/* Fills the batch and the entry with what waits and still has time. */
static uint32_t
build(struct server *server, struct batch *batch)
{
    uint32_t taken = 0;
    int64_t now_us = member_monotonic_us(server->id);
    entry_begin(&server->entry);
    while (taken < server->pending_count && batch->count < BATCH_MAX) {
        const struct request *request = &server->pending[taken];
        if (now_us - server->pending_since_us[taken] >= request->timeout_us) {
            answer(server, request, QO_TIMEOUT);
        } else if (request->kind == REQUEST_DEFINE) {
            add_definition(&server->entry);
            batch->requests[batch->count++] = *request;
        } else {
            add_group(&server->entry, request);
            batch->requests[batch->count++] = *request;
        }
        taken++;
    }
    server->pending_count -= taken;
    memmove(server->pending, server->pending + taken,
            server->pending_count * sizeof server->pending[0]);
    memmove(server->pending_since_us, server->pending_since_us + taken,
            server->pending_count * sizeof server->pending_since_us[0]);
    batch->timers = server->due_count > 0;
    add_timers(server);
    uint32_t commands = batch->count + server->due_count;
    server->due_count = 0;
    return commands;
}

static void
flush_writes(struct server *server)
{
    while ((server->pending_count > 0 || server->due_count > 0) && server->ready &&
           server->in_flight < members_options()->in_flight_max) {
        struct batch *batch = mem_zalloc(sizeof *batch);
        batch->server = server;
        buf_clear(&server->entry);
        uint32_t commands = build(server, batch);
        if (commands == 0) {
            mem_free(batch);
            continue;
        }
        batch->counter = ++server->counter;
        const struct entry_header header = {
            .name = {server->id, 1000 + server->id, batch->counter},
            .term = server->term,
            .time = leader_time(server),
            .count = commands,
        };
        entry_end(&server->entry, &header);
        enum qo_error error =
            consensus_propose(server->consensus, buf_bytes(&server->entry), settled, batch);
        if (error != QO_OK) {
            fail_batch(batch, QO_UNAVAILABLE);
            mem_free(batch);
            return;
        }
        batch->in_flight = true;
        server->in_flight++;
        batch->next = server->batches;
        server->batches = batch;
    }
}

static void
answer_batch(struct batch *batch, const struct item *item)
{
    struct server *server = batch->server;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct request *request = &batch->requests[i];
        const struct command_result *result = &item->results.commands[i];
        const struct outcome *outcome = &result->outcomes[result->outcomes_count - 1];
        struct truth_answer about = {.member = server->id,
                                     .floor = request->floor,
                                     .index = item->index,
                                     .request = request->number,
                                     .command = i};
        truth_answered(&about);
        clients_answer(server->id, request,
                       &(struct answer){.error = outcome->error,
                                        .decided = true,
                                        .version = outcome->receipt.version});
    }
    batch->answered = true;
    if (batch->timers) {
        server->timers_busy = false;
    }
    if (batch->in_flight) {
        batch->in_flight = false;
        server->in_flight--;
    }
}

static void
executed(struct server *server, const struct item *item)
{
    const struct entry_name *name = &item->results.header.name;
    if (item->results.skipped || name->node != server->id) {
        return;
    }
    for (struct batch *batch = server->batches; batch != NULL; batch = batch->next) {
        if (batch->counter == name->counter && !batch->answered) {
            answer_batch(batch, item);
            return;
        }
    }
}

static void
take_back(void *context)
{
    struct server *server = context;
    struct item *item;
    server->returning = false;
    while ((item = queue_take(&server->to_loop)) != NULL) {
        server->items_count--;
        if (item->kind == ITEM_ENTRY) {
            executed(server, item);
        } else if (item->kind == ITEM_MARKER) {
            for (uint32_t i = 0; i < item->round->count; i++) {
                read_order(server, &item->round->requests[i]);
            }
            mem_free(item->round);
        }
        arena_free(&item->arena);
        buf_free(&item->entry);
        mem_free(item);
    }
}

/* Batches whose fate stays open are answered so; those that are done with are forgotten. */
static void
expire(void *context)
{
    struct server *server = context;
    int64_t now_us = member_monotonic_us(server->id);
    struct batch **at = &server->batches;
    while (*at != NULL) {
        struct batch *batch = *at;
        bool given_up = batch->lost && !batch->answered &&
                        now_us - batch->lost_us >= (int64_t)QO_UNKNOWN_GRACE_MS * 1000;
        if (given_up) {
            fail_batch(batch, QO_UNKNOWN_OUTCOME);
        }
        if (given_up || (batch->settled && batch->answered)) {
            *at = batch->next;
            mem_free(batch);
        } else {
            at = &batch->next;
        }
    }
    event_plan(member_true_us(server->id, EXPIRE_EVERY_US), server->id, expire, server);
}

/* -- Timers ------------------------------------------------------------------------------------ */

static void
look_for_timers(void *context)
{
    struct server *server = context;
    if (server->ready && !server->timers_busy) {
        struct deadline_place next;
        arena_reset(&server->due_arena);
        server->due_count =
            store_scan_deadlines(server->store, (struct deadline_place){0, 0}, leader_time(server),
                                 &server->due_arena, server->due, TIMERS_MAX, &next);
        server->timers_busy = server->due_count > 0;
    }
    event_plan(member_true_us(server->id, TIMERS_EVERY_US), server->id, look_for_timers, server);
}

/* -- The loop ---------------------------------------------------------------------------------- */

void
server_leadership(struct server *server, bool ready, uint64_t term)
{
    server->ready = ready;
    server->term = term;
    if (ready) {
        leader_clock_start(&server->clock, member_wall_us(server->id),
                           member_monotonic_us(server->id));
        return;
    }
    tell(server->id, "no longer leads term %llu", (unsigned long long)term);
    for (uint32_t i = 0; i < server->pending_count; i++) {
        answer(server, &server->pending[i], QO_UNAVAILABLE);
    }
    server->pending_count = 0;
    if (server->due_count > 0) {
        server->due_count = 0;
        server->timers_busy = false;
    }
}

void
server_ask(struct server *server, const struct request *request)
{
    if (!server->ready) {
        answer(server, request, QO_NOT_LEADER);
    } else if (request->kind == REQUEST_READ) {
        add_read(server, request);
    } else if (server->pending_count == PENDING_MAX) {
        answer(server, request, QO_OVERLOADED);
    } else {
        server->pending[server->pending_count] = *request;
        server->pending_since_us[server->pending_count++] = member_monotonic_us(server->id);
    }
}

void
server_turn(struct server *server)
{
    flush_writes(server);
    flush_reads(server);
    plan_state(server);
}

struct server *
server_open(unsigned id, struct consensus *consensus, struct store *store)
{
    const struct apply_options options = {.cache_bytes = 64 * 1024};
    struct server *server = mem_zalloc(sizeof *server);
    server->id = id;
    server->consensus = consensus;
    server->store = store;
    server->apply = apply_open(store, &options);
    server->counter = (member_life(id) + 1) << 40;
    server->to_state.end = &server->to_state.first;
    server->to_loop.end = &server->to_loop.first;
    servers[id] = server;
    event_plan(EXPIRE_EVERY_US, id, expire, server);
    event_plan(chance_between(1, TIMERS_EVERY_US), id, look_for_timers, server);
    return server;
}
