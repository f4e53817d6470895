/* See orders.h. Thread: main. */
#include "orders.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/arena.h"
#include "common/assert.h"
#include "common/clock.h"
#include "link.h"
#include "machine/machine.h"
#include "watch.h"
#include "wire/request.h"

enum {
    CHUNK = 256, /* Orders in one order.get_many or order.batch. */
    WINDOW = 8,  /* Chunks under way. */
    ANSWER_MS = 10000,
    LEADER_MS = 15000,
    PAUSE_MS = 20,
    TRIES_MAX = 500, /* In a row that brought nothing. */
};
static_assert(CHUNK <= QO_IDS_MAX && CHUNK <= QO_OPERATIONS_MAX, "a chunk is one request");

/* Where a chunk stands. */
enum chunk_state { CHUNK_LEARN, CHUNK_MAKE, CHUNK_DONE };

struct preparing {
    struct orders *orders;
    const struct plan *plan;
    struct watch *watch;
    const char *nonce;
    uint8_t *states; /* enum chunk_state of each chunk. */
    uint32_t chunks, done;
    uint64_t made;
    struct link link;
    struct arena arena;
    bool failed; /* A sentence was printed. */
};

size_t
orders_id(const struct orders *orders, uint32_t number, char out[QO_ID_MAX])
{
    size_t size = orders->prefix_size;
    memcpy(out, orders->prefix, size);
    out[size] = '-';
    for (size_t i = ORDERS_DIGITS; i > 0; i--, number /= 10) {
        out[size + i] = (char)('0' + number % 10);
    }
    return size + 1 + ORDERS_DIGITS;
}

static struct bytes
id_of(struct preparing *preparing, uint32_t number)
{
    char text[QO_ID_MAX];
    size_t size = orders_id(preparing->orders, number, text);
    return arena_copy(&preparing->arena, bytes_make(text, size));
}

/* The orders of a chunk: from `first`, how many. */
static uint32_t
chunk_size(const struct preparing *preparing, uint32_t chunk)
{
    uint32_t left = preparing->orders->count - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static void
encode_learn(struct preparing *preparing, uint32_t chunk)
{
    uint32_t count = chunk_size(preparing, chunk);
    struct bytes *ids = arena_alloc(&preparing->arena, count * sizeof *ids);
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = id_of(preparing, chunk * CHUNK + i);
    }
    struct wire_request request = {
        .method = WIRE_ORDER_GET_MANY, .msgid = chunk, .ids = {ids, count}};
    wire_encode_request(&preparing->link.out, &request);
}

/* Creations of those orders of the chunk that are not there; each with its own request id, the same
 * if the chunk is sent again. */
static void
encode_make(struct preparing *preparing, uint32_t chunk)
{
    struct wire_operation *operations = arena_zalloc(&preparing->arena, CHUNK * sizeof *operations);
    uint32_t count = 0;
    for (uint32_t i = 0; i < chunk_size(preparing, chunk); i++) {
        uint32_t number = chunk * CHUNK + i;
        if (preparing->orders->items[number].version > 0) {
            continue;
        }
        char request_id[32];
        int size = snprintf(request_id, sizeof request_id, "%.8s-m%08u", preparing->nonce, number);
        operations[count++] = (struct wire_operation){
            .kind = WIRE_CREATE,
            .id = id_of(preparing, number),
            .machine = preparing->plan->name,
            .request_id = arena_copy(&preparing->arena, bytes_make(request_id, (size_t)size)),
        };
    }
    struct wire_request request = {.method = WIRE_ORDER_BATCH,
                                   .msgid = chunk,
                                   .operations = operations,
                                   .operations_count = count,
                                   .timeout_ms = ANSWER_MS};
    wire_encode_request(&preparing->link.out, &request);
}

static void
complain(struct preparing *preparing, const char *what, struct bytes text)
{
    if (!preparing->failed) {
        fprintf(stderr, "quorder-bench: %s: %.*s\n", what, BYTES_FORMAT(text));
    }
    preparing->failed = true;
}

/* Whether the same request may succeed later by itself. */
static bool
passes_by(enum qo_error error)
{
    return error >= QO_NOT_LEADER && error <= QO_OVERLOADED;
}

static bool
take_learnt(struct preparing *preparing, uint32_t chunk, struct bytes body)
{
    struct wire_reader reader = wire_reader_of(body);
    struct wire_page page;
    uint32_t count = chunk_size(preparing, chunk);
    if (!wire_read_page(&reader, &page) || page.count != count) {
        complain(preparing, "order.get_many", bytes_text("an answer that does not fit"));
        return false;
    }
    bool all = true;
    struct wire_reader elements = wire_reader_of(page.elements);
    for (uint32_t i = 0; i < count; i++) {
        struct wire_order order;
        struct order *known = &preparing->orders->items[chunk * CHUNK + i];
        if (!wire_read_order(&elements, &preparing->arena, &order)) {
            complain(preparing, "order.get_many", bytes_text("an answer that cannot be read"));
            return false;
        }
        if (order.id.data == NULL) {
            all = false;
            continue;
        }
        int32_t state = machine_state_find(preparing->plan->machine, order.state);
        if (!bytes_equal(order.machine, preparing->plan->name) || state < 0) {
            complain(preparing, "an order of another machine has this id; take another --prefix",
                     order.id);
            return false;
        }
        *known =
            (struct order){.seq = order.seq, .version = order.version, .state = (uint16_t)state};
    }
    preparing->states[chunk] = all ? CHUNK_DONE : CHUNK_MAKE;
    return true;
}

static bool
take_made(struct preparing *preparing, uint32_t chunk, struct bytes body)
{
    struct wire_reader reader = wire_reader_of(body);
    struct wire_page page;
    if (!wire_read_page(&reader, &page)) {
        complain(preparing, "order.batch", bytes_text("an answer that cannot be read"));
        return false;
    }
    struct wire_reader elements = wire_reader_of(page.elements);
    uint32_t taken = 0;
    bool again = false;
    for (uint32_t i = 0; i < chunk_size(preparing, chunk) && taken < page.count; i++) {
        struct order *known = &preparing->orders->items[chunk * CHUNK + i];
        if (known->version > 0) {
            continue;
        }
        struct wire_page element;
        struct wire_receipt receipt = {.version = 0};
        struct wire_failure failure = {.error = QO_OK};
        taken++;
        if (!wire_read_page(&elements, &element)) {
            complain(preparing, "order.batch", bytes_text("an answer that cannot be read"));
            return false;
        }
        struct wire_reader one =
            wire_reader_of(element.receipt.data != NULL ? element.receipt : element.error);
        if (element.receipt.data != NULL && wire_read_receipt(&one, &receipt)) {
            *known = (struct order){
                .seq = receipt.seq, .version = receipt.version, .state = preparing->plan->initial};
            preparing->made++;
        } else if (element.error.data != NULL &&
                   wire_read_failure(&one, &preparing->arena, &failure) &&
                   passes_by(failure.error)) {
            again = true;
        } else {
            complain(preparing, "an order could not be made", failure.message);
            return false;
        }
    }
    preparing->states[chunk] = again ? CHUNK_MAKE : CHUNK_DONE;
    return true;
}

static void
pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* Takes one answer. False: the chunk must be asked again, or `failed`. */
static bool
take(struct preparing *preparing, const struct wire_answer *answer)
{
    uint32_t chunk = answer->msgid;
    if (chunk >= preparing->chunks || preparing->states[chunk] == CHUNK_DONE) {
        complain(preparing, "making orders", bytes_text("an answer to nothing"));
        return false;
    }
    if (answer->kind == WIRE_ANSWER_ERROR) {
        struct wire_reader reader = wire_reader_of(answer->body);
        struct wire_failure failure;
        if (!wire_read_failure(&reader, &preparing->arena, &failure) || !passes_by(failure.error)) {
            complain(preparing, "making orders", failure.message);
        }
        return false;
    }
    enum chunk_state before = (enum chunk_state)preparing->states[chunk];
    return before == CHUNK_LEARN ? take_learnt(preparing, chunk, answer->body)
                                 : take_made(preparing, chunk, answer->body);
}

/* Sends a window of chunks that are not done and takes their answers. True if all went through. */
static bool
window_once(struct preparing *preparing, uint32_t from)
{
    uint32_t sent = 0;
    arena_reset(&preparing->arena);
    for (uint32_t chunk = from; chunk < preparing->chunks && sent < WINDOW; chunk++) {
        if (preparing->states[chunk] == CHUNK_LEARN) {
            encode_learn(preparing, chunk);
        } else if (preparing->states[chunk] == CHUNK_MAKE) {
            encode_make(preparing, chunk);
        } else {
            continue;
        }
        sent++;
    }
    bool well = link_send(&preparing->link);
    for (uint32_t i = 0; i < sent && preparing->link.fd >= 0 && !preparing->failed; i++) {
        struct wire_answer answer;
        well = link_receive(&preparing->link, ANSWER_MS + 1000, &answer) &&
               take(preparing, &answer) && well;
    }
    return well;
}

static bool
connect_leader(struct preparing *preparing)
{
    char leader[ENDPOINT_SIZE];
    if (preparing->link.fd >= 0) {
        return true;
    }
    if (!watch_wait(preparing->watch, LEADER_MS)) {
        return false;
    }
    (void)watch_leader(preparing->watch, leader);
    if (link_open(&preparing->link, leader, 1000)) {
        return true;
    }
    watch_hurry(preparing->watch);
    return false;
}

/* Sends the machine once. False: no answer, and it may be sent again. */
static bool
put_machine_once(struct preparing *preparing, struct wire_answer *answer_out)
{
    struct wire_request request = {
        .method = WIRE_MACHINE_PUT, .msgid = 1, .source = preparing->plan->source};
    if (!connect_leader(preparing)) {
        return false;
    }
    wire_encode_request(&preparing->link.out, &request);
    return link_send(&preparing->link) && link_receive(&preparing->link, ANSWER_MS, answer_out);
}

static bool
put_machine(struct preparing *preparing)
{
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        struct wire_answer answer;
        struct wire_failure failure = {.error = QO_OK};
        if (put_machine_once(preparing, &answer)) {
            struct wire_reader reader = wire_reader_of(answer.body);
            if (answer.kind == WIRE_ANSWER_RESULT) {
                return true;
            }
            if (!wire_read_failure(&reader, &preparing->arena, &failure) ||
                !passes_by(failure.error)) {
                complain(preparing, "the cluster does not take the machine", failure.message);
                return false;
            }
        }
        pause_ms(PAUSE_MS);
    }
    complain(preparing, "the cluster does not take the machine", bytes_text("no answer in time"));
    return false;
}

static void
prepare_all(struct preparing *preparing, bool quiet)
{
    uint32_t first = 0; /* All chunks before it are done. */
    uint32_t tries = 0;
    int64_t shown_us = clock_monotonic_us();
    while (first < preparing->chunks && !preparing->failed) {
        uint32_t before = first;
        bool well = connect_leader(preparing) && window_once(preparing, first);
        while (first < preparing->chunks && preparing->states[first] == CHUNK_DONE) {
            first++;
        }
        tries = first > before ? 0 : tries + 1;
        if (tries > TRIES_MAX) {
            complain(preparing, "making orders", bytes_text("the cluster does not get on"));
        } else if (!well) {
            pause_ms(PAUSE_MS);
        }
        if (!quiet && clock_monotonic_us() - shown_us > 1000000) {
            shown_us = clock_monotonic_us();
            fprintf(stderr, "orders ready: %u of %u\n", first * CHUNK, preparing->orders->count);
        }
    }
}

bool
orders_prepare(struct orders *orders_out, const struct plan *plan, struct watch *watch,
               const char *prefix, uint32_t count, const char nonce[8], bool quiet)
{
    QO_PRE(strlen(prefix) <= PREFIX_MAX && count <= ORDERS_MAX);
    *orders_out = (struct orders){.prefix = prefix,
                                  .prefix_size = strlen(prefix),
                                  .count = count,
                                  .items = mem_zalloc(count * sizeof(struct order))};
    struct preparing preparing = {.orders = orders_out,
                                  .plan = plan,
                                  .watch = watch,
                                  .nonce = nonce,
                                  .chunks = (count + CHUNK - 1) / CHUNK,
                                  .link = {.fd = -1}};
    preparing.states = mem_zalloc(preparing.chunks); /* CHUNK_LEARN */
    if (put_machine(&preparing)) {
        prepare_all(&preparing, quiet);
    }
    if (!preparing.failed && !quiet) {
        fprintf(stderr, "orders ready: %u, of which %llu are new\n", count,
                (unsigned long long)preparing.made);
    }
    link_free(&preparing.link);
    arena_free(&preparing.arena);
    mem_free(preparing.states);
    if (preparing.failed) {
        orders_free(orders_out);
    }
    return !preparing.failed;
}

void
orders_free(struct orders *orders)
{
    mem_free(orders->items);
    orders->items = NULL;
}
