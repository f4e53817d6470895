/* See writes.h. Thread: loop. */
#include "writes.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "leader_clock.h"
#include "render.h"
#include "session.h"
#include "wire/response.h"

/* The commands of one request, encoded, waiting for their batch. */
struct pending {
    struct request *request; /* NULL: timers. */
    size_t size;             /* In `writes->encoded`. */
    uint32_t commands;
};

/* Where the results of one request stand among those of an entry. */
struct batch_slot {
    struct request *request; /* NULL: timers. */
    uint32_t first, count;
};

/* A proposed entry. */
struct batch {
    uint64_t counter; /* Its name; node and incarnation are ours. */
    size_t bytes;
    bool in_flight; /* Counts against QO_ENTRIES_IN_FLIGHT. */
    bool settled;   /* The log called back. */
    bool lost;      /* The log does not know what becomes of it. */
    int64_t lost_us;
    bool timers;
    struct batch_slot *slots; /* Capacity QO_ENTRY_COMMANDS_MAX. */
    uint32_t slots_count;
    struct node *node;
    struct batch *next; /* In order of counter, or in the pool. */
};

struct writes {
    struct pending *pending; /* A ring of QO_REQUESTS_MAX + 1 (timers are one more). */
    uint32_t pending_first, pending_count;
    struct buf encoded; /* The commands of all pending, in order, from `encoded_taken` on. */
    size_t encoded_taken;

    struct batch *batches, **batches_end; /* Proposed, in order. */
    struct batch *pool;
    uint32_t in_flight;
    uint64_t in_flight_bytes;

    uint64_t counter;
    struct leader_clock clock;
    struct buf entry; /* The one being built. */
    struct buf result;
    void (*timers_done)(struct node *node, bool executed);
    struct arena arena; /* Of one answer. */
    struct log_limit lost_log;
};

enum { PENDING_CAPACITY = QO_REQUESTS_MAX + 1 };

struct writes *
writes_open(struct node *node)
{
    struct writes *writes = mem_zalloc(sizeof *writes);
    /* Names are unique over all starts of this directory: the boot stands above the count. */
    writes->counter = node->identity->boot << 40;
    writes->pending = mem_zalloc(sizeof *writes->pending * PENDING_CAPACITY);
    writes->batches_end = &writes->batches;
    return writes;
}

uint64_t
writes_pending_bytes(const struct writes *writes)
{
    return writes->encoded.size - writes->encoded_taken + writes->in_flight_bytes;
}

/* -- Admission -------------------------------------------------------------------------------- */

bool
writes_admit(struct node *node, bool create, struct wire_failure *failure_out)
{
    uint64_t bytes = writes_pending_bytes(node->writes);
    uint64_t bytes_max = QO_PENDING_BYTES_MAX;
    if (create) {
        bytes_max = bytes_max / 100 * QO_PENDING_CREATE_PERCENT;
    }
    if (node->disk_low) {
        *failure_out = (struct wire_failure){.error = QO_OVERLOADED,
                                             .has_retry_after_ms = true,
                                             .retry_after_ms = 10 * QO_RETRY_AFTER_MS,
                                             .reason = bytes_text("disk")};
        return false;
    }
    if (bytes >= bytes_max) {
        *failure_out = (struct wire_failure){.error = QO_OVERLOADED,
                                             .has_retry_after_ms = true,
                                             .retry_after_ms = QO_RETRY_AFTER_MS,
                                             .reason = bytes_text("queue")};
        return false;
    }
    return true;
}

/* False: together they are too large for an entry, and nothing was added. */
static bool
add(struct writes *writes, struct request *request, const struct command *commands, uint32_t count)
{
    QO_PRE(count >= 1 && count <= QO_ENTRY_COMMANDS_MAX);
    QO_ASSERT(writes->pending_count < PENDING_CAPACITY);
    size_t before = writes->encoded.size;
    for (uint32_t i = 0; i < count; i++) {
        entry_add(&writes->encoded, &commands[i]);
        if (writes->encoded.size - before > QO_REQUEST_ENTRY_BYTES_MAX) {
            writes->encoded.size = before;
            return false;
        }
    }
    uint32_t place = (writes->pending_first + writes->pending_count) % PENDING_CAPACITY;
    writes->pending[place] = (struct pending){request, writes->encoded.size - before, count};
    writes->pending_count++;
    return true;
}

void
writes_add(struct node *node, struct request *request, const struct command *commands,
           uint32_t count)
{
    request->stage = REQUEST_PENDING;
    request->write = true;
    if (!add(node->writes, request, commands, count)) {
        const struct wire_failure failure = {
            .error = QO_BAD_REQUEST,
            .field = bytes_text("operations"),
            .has_limit = true,
            .limit = QO_REQUEST_ENTRY_BYTES_MAX,
            .message = bytes_text("The operations, each with the trace, come to too many bytes."),
        };
        request_fail(node, request, &failure);
        request_release(node, request);
    }
}

void
writes_add_timers(struct node *node, const struct command *commands, uint32_t count,
                  void (*done)(struct node *node, bool executed))
{
    QO_PRE(node->writes->timers_done == NULL);
    node->writes->timers_done = done;
    bool added = add(node->writes, NULL, commands, count);
    QO_ASSERT(added); /* QO_TIMERS_PER_ENTRY_MAX of them come to far less. */
}

static void
finish_timers(struct node *node, bool executed)
{
    void (*done)(struct node * node, bool executed) = node->writes->timers_done;
    QO_ASSERT(done != NULL);
    node->writes->timers_done = NULL;
    done(node, executed);
}

int64_t
writes_time(struct node *node)
{
    return leader_clock_read(&node->writes->clock, clock_wall_us(), clock_monotonic_us());
}

int64_t
writes_time_floor(struct node *node)
{
    /* The log's time never goes back, and what is not proposed yet will be stamped later. */
    return node->writes->in_flight > 0 ? node->time : writes_time(node);
}

/* -- Batches ---------------------------------------------------------------------------------- */

static struct batch *
take_batch(struct node *node)
{
    struct writes *writes = node->writes;
    struct batch *batch = writes->pool;
    if (batch == NULL) {
        batch = mem_zalloc(sizeof *batch);
        batch->slots = mem_zalloc(sizeof *batch->slots * QO_ENTRY_COMMANDS_MAX);
        batch->node = node;
    } else {
        writes->pool = batch->next;
    }
    struct batch_slot *slots = batch->slots;
    *batch = (struct batch){.slots = slots, .node = node, .counter = ++writes->counter};
    return batch;
}

static void
drop_taken(struct writes *writes)
{
    if (writes->encoded_taken == writes->encoded.size) {
        buf_clear(&writes->encoded);
        writes->encoded_taken = 0;
    } else if (writes->encoded_taken > writes->encoded.size / 2) {
        writes->encoded.size -= writes->encoded_taken;
        memmove(writes->encoded.data, writes->encoded.data + writes->encoded_taken,
                writes->encoded.size);
        writes->encoded_taken = 0;
    }
}

/* Takes the oldest pending request; `commands_out` are its encoded commands. */
static struct pending
take_pending(struct writes *writes, struct bytes *commands_out)
{
    QO_PRE(writes->pending_count > 0);
    struct pending pending = writes->pending[writes->pending_first];
    writes->pending_first = (writes->pending_first + 1) % PENDING_CAPACITY;
    writes->pending_count--;
    *commands_out = bytes_make(writes->encoded.data + writes->encoded_taken, pending.size);
    writes->encoded_taken += pending.size;
    return pending;
}

/* A request may be proposed unless it was answered (its time ran out), its time has run out since,
 * or its connection was reset. */
static bool
may_propose(struct node *node, struct request *request, int64_t now_us)
{
    if (!session_alive(node, request->session)) {
        request->answered = true;
    } else if (!request->answered && now_us >= request->deadline_us) {
        request_fail_plain(node, request, QO_TIMEOUT, 0);
    }
    return !request->answered;
}

/* Fills `batch` and writes->entry from what waits. */
static void
build(struct node *node, struct batch *batch)
{
    struct writes *writes = node->writes;
    int64_t now_us = (int64_t)(uv_hrtime() / 1000);
    uint32_t commands = 0;
    buf_clear(&writes->entry);
    entry_begin(&writes->entry);
    while (writes->pending_count > 0 && writes->entry.size < QO_ENTRY_BYTES_TARGET) {
        const struct pending *next = &writes->pending[writes->pending_first];
        if (commands > 0 && (commands + next->commands > QO_ENTRY_COMMANDS_MAX ||
                             writes->entry.size + next->size > QO_REQUEST_ENTRY_BYTES_MAX)) {
            break;
        }
        struct bytes encoded;
        struct pending pending = take_pending(writes, &encoded);
        if (pending.request != NULL && !may_propose(node, pending.request, now_us)) {
            request_release(node, pending.request);
            continue;
        }
        batch->slots[batch->slots_count++] =
            (struct batch_slot){pending.request, commands, pending.commands};
        batch->timers = batch->timers || pending.request == NULL;
        commands += pending.commands;
        buf_append(&writes->entry, encoded.data, encoded.size);
        if (pending.request != NULL) {
            pending.request->stage = REQUEST_PROPOSED;
        }
    }
    drop_taken(writes);
    const struct entry_header header = {
        .name = {node->identity->node_id, node->identity->incarnation, batch->counter},
        .term = node->term,
        .time = writes_time(node),
        .count = commands,
    };
    if (commands > 0) {
        entry_end(&writes->entry, &header);
    }
}

/* The batch is out of the log's hands: its place among those in flight is free. */
static void
land(struct writes *writes, struct batch *batch)
{
    if (batch->in_flight) {
        batch->in_flight = false;
        QO_ASSERT(writes->in_flight > 0 && writes->in_flight_bytes >= batch->bytes);
        writes->in_flight--;
        writes->in_flight_bytes -= batch->bytes;
    }
}

/* Answers all that still wait with one error, and gives the batch back. */
static void
fail_batch(struct node *node, struct batch *batch, enum qo_error error)
{
    for (uint32_t i = 0; i < batch->slots_count; i++) {
        struct request *request = batch->slots[i].request;
        if (request != NULL) {
            request_fail_plain(node, request, error,
                               error == QO_UNAVAILABLE ? QO_RETRY_AFTER_MS : 0);
            request_release(node, request);
        }
    }
    if (batch->timers) {
        finish_timers(node, false);
    }
}

static void
give_back(struct writes *writes, struct batch *batch)
{
    QO_PRE(!batch->in_flight);
    batch->next = writes->pool;
    writes->pool = batch;
}

/* The log's word on an entry. It answers nobody (writes.h). */
static void
settled(void *context, enum qo_error status)
{
    struct batch *batch = context;
    struct node *node = batch->node;
    struct writes *writes = node->writes;
    QO_ASSERT(!batch->settled);
    batch->settled = true;
    if (status != QO_OK) {
        batch->lost = true;
        batch->lost_us = node_now_us(node);
        land(writes, batch);
        log_limited(&writes->lost_log, LOG_WARN, "batch_open", "counter=%llu requests=%u",
                    (unsigned long long)batch->counter, batch->slots_count);
    }
}

static bool
propose(struct node *node)
{
    struct writes *writes = node->writes;
    struct batch *batch = take_batch(node);
    build(node, batch);
    if (batch->slots_count == 0) {
        give_back(writes, batch);
        return true;
    }
    enum qo_error error =
        consensus_propose(node->consensus, buf_bytes(&writes->entry), settled, batch);
    if (error != QO_OK) {
        fail_batch(node, batch, QO_UNAVAILABLE);
        give_back(writes, batch);
        return false;
    }
    batch->bytes = writes->entry.size;
    batch->in_flight = true;
    writes->in_flight++;
    writes->in_flight_bytes += batch->bytes;
    batch->next = NULL;
    *writes->batches_end = batch;
    writes->batches_end = &batch->next;
    return true;
}

void
writes_flush(struct node *node)
{
    struct writes *writes = node->writes;
    while (writes->pending_count > 0 && node->ready && writes->in_flight < QO_ENTRIES_IN_FLIGHT) {
        if (!propose(node)) {
            return;
        }
    }
}

/* -- Results ---------------------------------------------------------------------------------- */

static void
put_command(struct buf *out, const struct command_result *result, int operation,
            struct arena *arena)
{
    if (result->failed) {
        struct wire_failure failure = render_failure(result, operation, arena);
        wire_put_batch_error(out, &failure);
        return;
    }
    struct wire_receipt receipt = render_receipt(&result->outcomes[0].receipt);
    wire_put_batch_receipt(out, &receipt);
}

/* order.batch: an atomic one is one command of many operations, another one many commands. */
static void
put_batch(struct buf *out, const struct request *request, const struct command_result *results,
          uint32_t count, struct arena *arena)
{
    struct wire_list list = wire_begin_batch(out);
    if (request->atomic) {
        QO_ASSERT(count == 1);
        for (uint32_t i = 0; i < results[0].outcomes_count; i++) {
            struct wire_receipt receipt = render_receipt(&results[0].outcomes[i].receipt);
            wire_put_batch_receipt(out, &receipt);
            wire_list_added(&list);
        }
    } else {
        for (uint32_t i = 0; i < count; i++) {
            put_command(out, &results[i], (int)i, arena);
            wire_list_added(&list);
        }
    }
    wire_end_batch(&list);
}

static void
answer(struct node *node, struct request *request, const struct command_result *results,
       uint32_t count)
{
    struct arena *arena = &node->writes->arena;
    arena_reset(arena);
    bool batch = request->method == WIRE_ORDER_BATCH;
    if (results[0].failed && (!batch || request->atomic)) {
        struct wire_failure failure =
            render_failure(&results[0], batch ? RENDER_ATOMIC : RENDER_ALONE, arena);
        request_fail(node, request, &failure);
        return;
    }
    struct buf *out = request_answer_begin(node, request);
    if (out == NULL) {
        request->answered = true;
        return;
    }
    wire_put_result(out, request->msgid);
    if (batch) {
        put_batch(out, request, results, count, arena);
    } else if (request->method == WIRE_MACHINE_PUT) {
        const struct definition *definition = results[0].outcomes[0].definition;
        const struct wire_machine_put put = {
            .machine = machine_name(definition->machine),
            .version = machine_version(definition->machine),
            .checksum = bytes_text(machine_checksum(definition->machine)),
            .changed = results[0].outcomes[0].changed,
        };
        wire_put_machine_put(out, &put);
    } else {
        struct wire_receipt receipt = render_receipt(&results[0].outcomes[0].receipt);
        wire_put_receipt(out, &receipt);
    }
    request_answer_end(node, request);
}

/* Takes the batch of that name out of the list, or NULL: given up, or of an earlier life. */
static struct batch *
find_batch(struct writes *writes, uint64_t counter)
{
    for (struct batch **at = &writes->batches; *at != NULL; at = &(*at)->next) {
        if ((*at)->counter == counter) {
            struct batch *batch = *at;
            *at = batch->next;
            if (*at == NULL) {
                writes->batches_end = at;
            }
            return batch;
        }
    }
    return NULL;
}

void
writes_executed(struct node *node, const struct state_item *item)
{
    const struct apply_results *results = &item->results;
    const struct entry_name *name = &results->header.name;
    if (results->skipped || name->node != node->identity->node_id ||
        name->incarnation != node->identity->incarnation) {
        return;
    }
    struct batch *batch = find_batch(node->writes, name->counter);
    if (batch == NULL) {
        return;
    }
    land(node->writes, batch);
    for (uint32_t i = 0; i < batch->slots_count; i++) {
        const struct batch_slot *slot = &batch->slots[i];
        QO_ASSERT(slot->first + slot->count <= results->commands_count);
        if (slot->request != NULL) {
            answer(node, slot->request, &results->commands[slot->first], slot->count);
            request_release(node, slot->request);
        }
    }
    if (batch->timers) {
        finish_timers(node, true);
    }
    if (batch->settled) {
        give_back(node->writes, batch);
    } else {
        /* The log still holds its address: settled() comes, and frees it by `slots_count` 0. */
        batch->slots_count = 0;
        batch->timers = false;
        batch->next = NULL;
        *node->writes->batches_end = batch;
        node->writes->batches_end = &batch->next;
    }
}

void
writes_leadership(struct node *node, bool ready)
{
    struct writes *writes = node->writes;
    if (ready) {
        leader_clock_start(&writes->clock, clock_wall_us(), clock_monotonic_us());
        return;
    }
    /* Nothing of what waits was proposed. */
    while (writes->pending_count > 0) {
        struct bytes encoded;
        struct pending pending = take_pending(writes, &encoded);
        if (pending.request == NULL) {
            finish_timers(node, false);
            continue;
        }
        request_fail_plain(node, pending.request, QO_UNAVAILABLE, QO_RETRY_AFTER_MS);
        request_release(node, pending.request);
    }
    drop_taken(writes);
}

void
writes_expire(struct node *node, int64_t now_us)
{
    struct writes *writes = node->writes;
    struct batch **at = &writes->batches;
    while (*at != NULL) {
        struct batch *batch = *at;
        bool executed = batch->settled && batch->slots_count == 0;
        bool given_up =
            batch->lost && now_us - batch->lost_us >= (int64_t)QO_UNKNOWN_GRACE_MS * 1000;
        if (!executed && !given_up) {
            at = &batch->next;
            continue;
        }
        *at = batch->next;
        if (*at == NULL) {
            writes->batches_end = at;
        }
        fail_batch(node, batch, QO_UNKNOWN_OUTCOME);
        give_back(writes, batch);
    }
}
