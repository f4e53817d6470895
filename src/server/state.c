/* See state.h. Thread: loop, and the state thread in state_main() and below it. */
#include "state.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "common/assert.h"
#include "common/log.h"
#include "common/ring.h"
#include "common/thread.h"

struct state {
    struct apply *apply;
    struct store *store;
    state_executed_cb executed;
    void *context;
    uv_async_t wake_loop;
    _Atomic(uint32_t) wake_for_entries; /* 0 or 1. */
    pthread_t thread;

    struct ring to_state, to_loop;
    void *to_state_slots[QO_APPLY_QUEUE_ENTRIES_MAX];
    void *to_loop_slots[QO_APPLY_QUEUE_ENTRIES_MAX];
    sem_t wake_state; /* One post per item. */

    uint32_t items_count;    /* Handed over and not yet back. */
    uint32_t held;           /* Of them, those that the thread was not woken for. */
    bool executed_here;      /* By the loop, and not taken back. */
    uint64_t bytes;          /* Of their entries. */
    struct state_item *free; /* Items that came back; kept with their memory. */
    uint32_t free_count;

    /* For state_wait(). */
    pthread_mutex_t lock;
    pthread_cond_t progress;
    uint64_t executed_index; /* Under the lock. */
};

/* -- The state thread ------------------------------------------------------------------------- */

static void
execute(struct state *state, struct state_item *item)
{
    switch (item->kind) {
    case STATE_ENTRY:
        arena_reset(&item->arena);
        apply_execute(state->apply, item->index, item->term, buf_bytes(&item->entry), &item->arena,
                      &item->results);
        break;
    case STATE_ADVANCE:
        apply_advance(state->apply, item->index, item->term);
        break;
    case STATE_MARKER:
        break;
    }
    const struct applied_point *applied = store_applied(state->store);
    item->seq = applied->seq;
    item->time = applied->time;
    item->digest = applied->digest;
}

static void
tell_progress(struct state *state, uint64_t index)
{
    pthread_mutex_lock(&state->lock);
    state->executed_index = index;
    pthread_cond_broadcast(&state->progress); /* Cheap when nobody waits. */
    pthread_mutex_unlock(&state->lock);
}

static void *
state_main(void *argument)
{
    struct state *state = argument;
    thread_declare(THREAD_STATE, "qo-state");
    for (;;) {
        while (sem_wait(&state->wake_state) != 0) {
            /* Interrupted: wait again. */
        }
        struct state_item *item = ring_pop(&state->to_state);
        QO_ASSERT(item != NULL);
        execute(state, item);
        if (item->kind != STATE_MARKER) {
            tell_progress(state, item->index);
        }
        bool wakes = item->kind == STATE_MARKER;
        bool pushed = ring_push(&state->to_loop, item);
        QO_ASSERT(pushed); /* Both rings have room for all items that there are. */
        /* A read that writes: either it sees that the loop has begun to wait, or what the loop
         * exchanged for that came later, and its look afterwards sees the item. */
        wakes = atomic_fetch_or(&state->wake_for_entries, 0) != 0 || wakes;
        if (wakes) {
            uv_async_send(&state->wake_loop);
        }
    }
    return NULL;
}

/* -- The loop --------------------------------------------------------------------------------- */

/* Neither the buffers of a rare large entry nor the items of a rare crowd may stay in the pool. */
static void
give_item(struct state *state, struct state_item *item)
{
    bool keeps = state->free_count < QO_APPLY_POOL_ITEMS;
    buf_clear(&item->entry);
    if (!keeps || item->entry.capacity > QO_APPLY_POOL_BUFFER_BYTES) {
        buf_free(&item->entry);
    }
    if (!keeps || arena_capacity(&item->arena) > QO_APPLY_POOL_BUFFER_BYTES) {
        arena_free(&item->arena);
    }
    if (!keeps) {
        mem_free(item);
        return;
    }
    item->next = state->free;
    state->free = item;
    state->free_count++;
}

void
state_take_back(struct state *state)
{
    state->executed_here = false;
    for (;;) {
        struct state_item *item = ring_pop(&state->to_loop);
        if (item == NULL) {
            return;
        }
        QO_ASSERT(state->items_count > 0 && state->bytes >= item->entry.size);
        state->items_count--;
        state->bytes -= item->entry.size;
        if (item->kind == STATE_ENTRY) {
            state->executed(state->context, item);
        } else if (item->kind == STATE_MARKER) {
            item->passed(item->context);
        }
        give_item(state, item);
    }
}

static void
woken(uv_async_t *async)
{
    state_take_back(async->data);
}

static bool
wakes_for_entries(const struct state *state)
{
    return atomic_load_explicit(&state->wake_for_entries, memory_order_relaxed) != 0;
}

void
state_hurry(struct state *state)
{
    for (; state->held > 0; state->held--) {
        sem_post(&state->wake_state);
    }
}

void
state_stay_awake(struct state *state)
{
    if (state->executed_here) {
        uv_async_send(&state->wake_loop);
    }
}

void
state_wake_for_entries(struct state *state, bool wake)
{
    uint32_t value = wake ? 1 : 0;
    if (wake) {
        state_hurry(state);
    }
    if (wake != wakes_for_entries(state)) {
        (void)atomic_exchange(&state->wake_for_entries, value); /* See state_main(). */
    }
}

struct state *
state_start(uv_loop_t *loop, struct store *store, uint64_t cache_bytes, state_executed_cb executed,
            void *context)
{
    struct state *state = mem_zalloc(sizeof *state);
    const struct apply_options options = {.cache_bytes = cache_bytes};
    state->store = store;
    state->apply = apply_open(store, &options);
    state->executed = executed;
    state->executed_index = store_applied(store)->index;
    state->context = context;
    atomic_init(&state->wake_for_entries, 1);
    ring_init(&state->to_state, state->to_state_slots, QO_APPLY_QUEUE_ENTRIES_MAX);
    ring_init(&state->to_loop, state->to_loop_slots, QO_APPLY_QUEUE_ENTRIES_MAX);
    int failed = uv_async_init(loop, &state->wake_loop, woken);
    QO_ASSERT(failed == 0);
    state->wake_loop.data = state;
    failed = sem_init(&state->wake_state, 0, 0);
    QO_ASSERT(failed == 0);
    pthread_mutex_init(&state->lock, NULL);
    pthread_cond_init(&state->progress, NULL);
    failed = pthread_create(&state->thread, NULL, state_main, state);
    QO_ASSERT(failed == 0);
    return state;
}

static struct state_item *
take_item(struct state *state)
{
    struct state_item *item = state->free;
    if (item == NULL) {
        return mem_zalloc(sizeof *item);
    }
    state->free = item->next;
    state->free_count--;
    return item;
}

static void
push(struct state *state, struct state_item *item)
{
    state->items_count++;
    state->bytes += item->entry.size;
    bool pushed = ring_push(&state->to_state, item);
    QO_ASSERT(pushed);
    state->held++;
    if (wakes_for_entries(state) || item->kind == STATE_MARKER ||
        state->held >= QO_APPLY_GROUP_ENTRIES) {
        state_hurry(state);
    }
}

/* True: the loop has executed the entry itself. With no item handed over the thread waits for one,
 * and what it has done is behind the ring that gave the last one back. */
static bool
execute_here(struct state *state, struct state_item *item)
{
    if (state->items_count > 0 || !wakes_for_entries(state)) {
        return false;
    }
    enum thread_role role = thread_act(THREAD_STATE);
    bool light = apply_light(state->apply, buf_bytes(&item->entry));
    if (light) {
        execute(state, item);
    }
    (void)thread_act(role);
    if (light) {
        tell_progress(state, item->index);
        state->items_count++;
        state->bytes += item->entry.size;
        bool pushed = ring_push(&state->to_loop, item);
        QO_ASSERT(pushed);
        state->executed_here = true;
    }
    return light;
}

uint64_t
state_executed_index(struct state *state)
{
    pthread_mutex_lock(&state->lock);
    uint64_t index = state->executed_index;
    pthread_mutex_unlock(&state->lock);
    return index;
}

bool
state_room(const struct state *state, size_t size)
{
    return state->items_count + QO_MARKERS_MAX < QO_APPLY_QUEUE_ENTRIES_MAX &&
           (state->bytes == 0 || state->bytes + size <= QO_APPLY_QUEUE_BYTES_MAX);
}

bool
state_roomy(const struct state *state)
{
    return state->items_count < QO_APPLY_QUEUE_ENTRIES_MAX / 2 &&
           state->bytes < QO_APPLY_QUEUE_BYTES_MAX / 2;
}

bool
state_idle(const struct state *state)
{
    return state->items_count == 0;
}

void
state_push_entry(struct state *state, uint64_t index, uint64_t term, struct bytes entry)
{
    QO_PRE(state_room(state, entry.size));
    struct state_item *item = take_item(state);
    item->kind = STATE_ENTRY;
    item->index = index;
    item->term = term;
    buf_append(&item->entry, entry.data, entry.size);
    if (!execute_here(state, item)) {
        push(state, item);
    }
}

void
state_push_marker(struct state *state, void (*passed)(void *context), void *context)
{
    struct state_item *item = take_item(state);
    item->kind = STATE_MARKER;
    item->passed = passed;
    item->context = context;
    push(state, item);
}

void
state_push_advance(struct state *state, uint64_t index, uint64_t term)
{
    struct state_item *item = take_item(state);
    item->kind = STATE_ADVANCE;
    item->index = index;
    item->term = term;
    push(state, item);
}

void
state_wait(struct state *state, uint64_t index)
{
    pthread_mutex_lock(&state->lock);
    while (state->executed_index < index) {
        pthread_cond_wait(&state->progress, &state->lock);
    }
    pthread_mutex_unlock(&state->lock);
}
