/*
 * Goal: what is pushed to the state thread is executed once, in order, by the one whose turn it is,
 *     and the loop comes back for it: neither is woken for nothing, and neither is left asleep.
 * What was large or many once does not stay. Method: the real thread on a real store. The linker
 * leads apply_execute(), sem_post() and pthread_cond_wait() through this file (--wrap), which
 * counts who executes and how often the loop wakes the thread, and holds the thread before an
 * entry. poll() on the descriptor that the loop would wait on tells whether anything would wake the
 * loop. A state ends with its process, so each test leaves its thread asleep, and its loop.
 */
#include "support/test.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <uv.h>

#include "common/assert.h"
#include "state.h"
#include "support/seed.h"
#include "unit/apply/support.h"

enum { OVERDUE_MS = 60 * 1000, ROOMY_BYTES = 8 * 1024 };

struct memory {
    size_t entry_most, arena_most; /* Capacities. */
    uint32_t roomy;                /* Items with a buffer for an entry of ROOMY_BYTES. */
};

struct node {
    struct world world; /* The store, and how entries are made. */
    uv_loop_t loop;
    uv_timer_t guard;
    struct state *state;
    uint32_t pushed, came; /* Entries. */
    uint64_t last_index;   /* That came. */
    bool back;             /* The next event of the order `a`. */
    struct memory memory;  /* Of the entries that came. */
};

/* -- What the linker leads here ---------------------------------------------------------------- */

void __real_apply_execute(struct apply *apply, uint64_t index, uint64_t term, struct bytes entry,
                          struct arena *arena, struct apply_results *results_out);
void __wrap_apply_execute(struct apply *apply, uint64_t index, uint64_t term, struct bytes entry,
                          struct arena *arena, struct apply_results *results_out);
int __real_sem_post(sem_t *semaphore);
int __wrap_sem_post(sem_t *semaphore);
int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);

static pthread_t loop_thread;
static atomic_uint by_loop, by_thread;                   /* Entries executed. */
static unsigned wakes;                                   /* Of the state thread, by the loop. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* Locked: the state thread waits. */

void
__wrap_apply_execute(struct apply *apply, uint64_t index, uint64_t term, struct bytes entry,
                     struct arena *arena, struct apply_results *results_out)
{
    bool here = pthread_equal(pthread_self(), loop_thread) != 0;
    if (!here) {
        pthread_mutex_lock(&gate);
        pthread_mutex_unlock(&gate);
    }
    __real_apply_execute(apply, index, term, entry, arena, results_out);
    atomic_fetch_add(here ? &by_loop : &by_thread, 1);
}

int
__wrap_sem_post(sem_t *semaphore)
{
    wakes += pthread_equal(pthread_self(), loop_thread) != 0;
    return __real_sem_post(semaphore);
}

static _Thread_local sem_t *told; /* Told that this thread begins to wait. */

int
__wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    if (told != NULL) {
        (void)sem_post(told);
    }
    return __real_pthread_cond_wait(condition, mutex);
}

/* -- Support ----------------------------------------------------------------------------------- */

static void
note_memory(struct memory *memory, const struct state_item *item)
{
    size_t entry = item->entry.capacity, arena = arena_capacity(&item->arena);
    memory->entry_most = entry > memory->entry_most ? entry : memory->entry_most;
    memory->arena_most = arena > memory->arena_most ? arena : memory->arena_most;
    memory->roomy += entry >= ROOMY_BYTES;
}

static void
executed(void *context, const struct state_item *item)
{
    struct node *node = context;
    note_memory(&node->memory, item);
    assert_true(item->index > node->last_index);
    assert_false(item->results.skipped);
    assert_int_equal(item->results.index, item->index);
    assert_int_equal(item->results.commands_count, 1);
    assert_applied(&item->results.commands[0].outcomes[0]);
    node->last_index = item->index;
    node->came++;
}

static void
push_group(struct node *node, struct operation *operations, uint32_t count)
{
    struct command command = command_of(operations, count, NULL);
    node->world.index++;
    world_encode(&node->world, &node->world.entry, &command, 1);
    node->pushed++;
    state_push_entry(node->state, node->world.index, node->world.term,
                     buf_bytes(&node->world.entry));
}

static void
push(struct node *node, struct operation operation)
{
    push_group(node, &operation, 1);
}

/* Not light: whether there is such an order is read. */
static void
push_heavy(struct node *node)
{
    char id[16];
    (void)snprintf(id, sizeof id, "o%u", (unsigned)node->pushed);
    push(node, create_of(id, "loop", BYTES_NONE));
}

static void
push_light(struct node *node)
{
    push(node, transition_of("a", node->back ? "back" : "go", BYTES_NONE));
    node->back = !node->back;
}

static void
push_heavies(struct node *node, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        push_heavy(node);
    }
}

static bool
would_wake(const struct node *node)
{
    struct pollfd waits = {.fd = uv_backend_fd(&node->loop), .events = POLLIN};
    int ready = poll(&waits, 1, 0);
    assert_true(ready >= 0);
    return ready > 0;
}

static void
overdue(uv_timer_t *guard)
{
    (void)guard;
    fail_msg("the loop was not woken");
}

/* Waits, as the loop does, until all entries are back. */
static void
wait_for_all(struct node *node)
{
    assert_int_equal(uv_timer_start(&node->guard, overdue, OVERDUE_MS, 0), 0);
    while (node->came < node->pushed) {
        (void)uv_run(&node->loop, UV_RUN_ONCE);
    }
    assert_int_equal(uv_timer_stop(&node->guard), 0);
}

/* As before the loop waits: what is executed after that wakes it, the rest is taken here. */
static void
somebody_waits(struct node *node)
{
    state_wake_for_entries(node->state, true);
    state_take_back(node->state);
}

struct marker {
    struct node *node;
    uint32_t pushed; /* Entries before it. */
    unsigned passed;
};

static void
passed(void *context)
{
    struct marker *marker = context;
    marker->passed++;
    assert_int_equal(marker->node->came, marker->pushed);
}

static void
push_marker(struct node *node, struct marker *marker)
{
    *marker = (struct marker){.node = node, .pushed = node->pushed};
    state_push_marker(node->state, passed, marker);
}

static void
wait_for_marker(struct node *node, const struct marker *marker)
{
    assert_int_equal(uv_timer_start(&node->guard, overdue, OVERDUE_MS, 0), 0);
    while (marker->passed == 0) {
        (void)uv_run(&node->loop, UV_RUN_ONCE);
    }
    assert_int_equal(uv_timer_stop(&node->guard), 0);
    assert_int_equal(marker->passed, 1);
}

static void
forget_counts(void)
{
    atomic_store(&by_loop, 0);
    atomic_store(&by_thread, 0);
    wakes = 0;
}

/* A node on which nobody waits, and the order `a`. No wake of the loop is left over: the marker's
 * was the only one. */
static int
start(void **state)
{
    struct node *node = mem_zalloc(sizeof *node);
    struct marker marker;
    loop_thread = pthread_self();
    node->world = world_with_machines();
    node->last_index = node->world.index;
    apply_close(node->world.apply);
    assert_int_equal(uv_loop_init(&node->loop), 0);
    assert_int_equal(uv_timer_init(&node->loop, &node->guard), 0);
    node->state = state_start(&node->loop, node->world.store, 0, executed, node);
    assert_int_equal(state_executed_index(node->state), node->world.index);
    state_wake_for_entries(node->state, false);
    push(node, create_of("a", "loop", BYTES_NONE));
    push_marker(node, &marker);
    wait_for_marker(node, &marker);
    assert_true(state_idle(node->state) && !would_wake(node));
    forget_counts();
    *state = node;
    return 0;
}

static int
stop(void **state)
{
    struct node *node = *state;
    struct marker marker;
    push_marker(node, &marker);
    wait_for_marker(node, &marker);
    assert_true(state_idle(node->state));
    /* The thread sleeps, and has nothing left that would lead it to the store. */
    node->world.apply = apply_open(node->world.store, &(struct apply_options){0});
    world_close(&node->world);
    return 0;
}

/* -- Order ------------------------------------------------------------------------------------- */

static void
everything_comes_back_in_order_and_a_marker_behind_what_was_before_it(void **state)
{
    enum { STEPS = 2000, MARKERS = STEPS };
    static struct marker markers[MARKERS];
    struct node *node = *state;
    uint64_t prng = seed_init();
    uint32_t count = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        switch (seed_below(&prng, 8)) {
        case 0:
        case 1:
            push_heavy(node);
            break;
        case 2:
        case 3:
            push_light(node);
            break;
        case 4:
            push_marker(node, &markers[count++]);
            break;
        case 5:
            state_push_advance(node->state, ++node->world.index, node->world.term);
            break;
        case 6:
            state_wake_for_entries(node->state, false);
            (void)uv_run(&node->loop, UV_RUN_NOWAIT);
            break;
        default:
            somebody_waits(node);
            state_stay_awake(node->state);
            wait_for_all(node);
            break;
        }
    }
    state_push_advance(node->state, ++node->world.index, node->world.term);
    push_marker(node, &markers[count++]);
    wait_for_marker(node, &markers[count - 1]);
    assert_int_equal(node->came, node->pushed);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(markers[i].passed, 1);
    }
    assert_true(atomic_load(&by_loop) > 0 && atomic_load(&by_thread) > 0);
    assert_int_equal(atomic_load(&by_loop) + atomic_load(&by_thread), node->pushed - 1);
    assert_int_equal(state_executed_index(node->state), node->world.index);
    assert_int_equal(store_applied(node->world.store)->index, node->world.index);
}

/* -- Executed on the loop ---------------------------------------------------------------------- */

static void
the_loop_executes_a_light_entry_and_stays_awake_for_it(void **state)
{
    struct node *node = *state;
    somebody_waits(node);
    for (uint32_t round = 1; round <= 10; round++) {
        push_light(node);
        assert_int_equal(atomic_load(&by_loop), round);
        assert_int_equal(state_executed_index(node->state), node->world.index);
        assert_int_equal(node->came, node->pushed - 1); /* Never inside. */
        assert_false(state_idle(node->state));
        /* Nothing else would wake the loop, however long it waited. */
        assert_int_equal(uv_backend_timeout(&node->loop), -1);
        assert_false(would_wake(node));
        (void)uv_run(&node->loop, UV_RUN_NOWAIT);
        assert_int_equal(node->came, node->pushed - 1);

        state_stay_awake(node->state);
        assert_true(would_wake(node));
        (void)uv_run(&node->loop, UV_RUN_NOWAIT);
        assert_int_equal(node->came, node->pushed);
        assert_true(state_idle(node->state));
        state_stay_awake(node->state);
        assert_false(would_wake(node)); /* Else it would never wait again. */
    }
    assert_int_equal(wakes, 0);
    assert_int_equal(atomic_load(&by_thread), 0);
}

static void
an_entry_that_is_not_light_goes_to_the_thread(void **state)
{
    struct node *node = *state;
    somebody_waits(node);
    push_heavy(node);
    assert_int_equal(wakes, 1);
    state_stay_awake(node->state);
    wait_for_all(node); /* The thread wakes the loop. */
    assert_int_equal(atomic_load(&by_loop), 0);
    assert_int_equal(atomic_load(&by_thread), 1);
}

static void
a_light_entry_goes_to_the_thread_while_that_has_work(void **state)
{
    struct node *node = *state;
    somebody_waits(node);
    pthread_mutex_lock(&gate);
    push_heavy(node);
    push_light(node);
    push_light(node);
    unsigned here = atomic_load(&by_loop);
    uint64_t index = state_executed_index(node->state);
    pthread_mutex_unlock(&gate);
    assert_int_equal(here, 0);
    assert_int_equal(index, node->world.index - 3);
    wait_for_all(node);
    assert_int_equal(atomic_load(&by_thread), 3);
    /* And again while what it executed is not taken back. */
    push_light(node);
    push_light(node);
    assert_int_equal(atomic_load(&by_loop), 1);
    wait_for_all(node);
    assert_int_equal(atomic_load(&by_thread), 4);
}

static void
a_light_entry_for_which_nobody_waits_goes_to_the_thread(void **state)
{
    struct node *node = *state;
    push_light(node);
    assert_int_equal(atomic_load(&by_loop), 0);
    state_hurry(node->state);
    state_wait(node->state, node->world.index);
    assert_int_equal(atomic_load(&by_thread), 1);
}

/* -- Where nobody waits ------------------------------------------------------------------------ */

static void
the_thread_is_woken_for_a_group(void **state)
{
    enum { GROUPS = 5 };
    struct node *node = *state;
    for (uint32_t group = 1; group <= GROUPS; group++) {
        push_heavies(node, QO_APPLY_GROUP_ENTRIES - 1);
        assert_int_equal(wakes, (group - 1) * QO_APPLY_GROUP_ENTRIES);
        assert_int_equal(state_executed_index(node->state),
                         node->world.index - (QO_APPLY_GROUP_ENTRIES - 1));
        push_heavy(node);
        assert_int_equal(wakes, group * QO_APPLY_GROUP_ENTRIES);
        state_wait(node->state, node->world.index);
    }
    /* All but the last are surely on their way back, and the loop is not woken for them. */
    assert_false(would_wake(node));
    state_take_back(node->state);
    assert_in_range(node->came, node->pushed - 1, node->pushed);
}

static void
the_thread_is_woken_for_less_than_a_group_when_the_loop_hurries(void **state)
{
    struct node *node = *state;
    for (uint32_t count = 1; count < QO_APPLY_GROUP_ENTRIES; count++) {
        push_heavies(node, count);
        assert_int_equal(wakes, 0);
        state_hurry(node->state);
        assert_int_equal(wakes, count);
        state_wait(node->state, node->world.index);
        assert_int_equal(store_applied(node->world.store)->index, node->world.index);
        state_hurry(node->state);
        assert_int_equal(wakes, count); /* Each item once. */
        wakes = 0;
    }
}

static void
a_marker_brings_back_what_waits_for_a_group(void **state)
{
    struct node *node = *state;
    struct marker marker;
    push_heavies(node, 2);
    push_marker(node, &marker);
    assert_int_equal(wakes, 3);
    wait_for_marker(node, &marker);
}

static void
what_waits_for_a_group_is_executed_when_somebody_begins_to_wait(void **state)
{
    struct node *node = *state;
    push_heavies(node, 2);
    assert_int_equal(wakes, 0);
    somebody_waits(node);
    assert_int_equal(wakes, 2);
    wait_for_all(node);
}

/* The loop says that it waits while the thread executes: what it does not find then wakes it. */
static void
nothing_is_forgotten_while_the_loop_begins_to_wait(void **state)
{
    enum { ROUNDS = 300 };
    struct node *node = *state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        state_wake_for_entries(node->state, false);
        push_heavies(node, QO_APPLY_GROUP_ENTRIES);
        state_wait(node->state, node->world.index - round % QO_APPLY_GROUP_ENTRIES);
        somebody_waits(node);
        wait_for_all(node);
    }
}

/* -- Waiting for the thread -------------------------------------------------------------------- */

struct waiter {
    struct state *state;
    uint64_t index;
    sem_t waits;       /* Or has not waited. */
    unsigned executed; /* By the thread, when it had waited. */
    uint64_t reached;
};

static void *
wait_for_index(void *argument)
{
    struct waiter *waiter = argument;
    told = &waiter->waits;
    state_wait(waiter->state, waiter->index);
    waiter->executed = atomic_load(&by_thread);
    waiter->reached = state_executed_index(waiter->state);
    (void)sem_post(&waiter->waits);
    return NULL;
}

/* The thread is at the gate with the first entry, and the second is not yet handed over. */
static void
who_waits_for_an_index_waits_until_it_is_executed(void **state)
{
    enum { ROUNDS = 20 };
    struct node *node = *state;
    somebody_waits(node);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        struct waiter waiter = {.state = node->state, .index = node->world.index + 2};
        pthread_t thread;
        assert_int_equal(sem_init(&waiter.waits, 0, 0), 0);
        pthread_mutex_lock(&gate);
        push_heavy(node);
        int failed = pthread_create(&thread, NULL, wait_for_index, &waiter);
        if (failed == 0) {
            while (sem_wait(&waiter.waits) != 0) {
            }
            push_heavy(node);
        }
        pthread_mutex_unlock(&gate);
        assert_int_equal(failed, 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(waiter.executed, 2 * round);
        assert_int_equal(waiter.reached, waiter.index);
        (void)sem_destroy(&waiter.waits);
        wait_for_all(node);
    }
}

/* -- Memory ------------------------------------------------------------------------------------ */

enum { LARGE_OPERATIONS = QO_OPERATIONS_MAX, LARGE_NOTE_BYTES = 256 };

/* A note of `size` bytes. The buffer is the caller's. */
static struct bytes
note_of(struct buf *buf, uint16_t size)
{
    struct buf text = {0};
    uint8_t head[] = {0xda, (uint8_t)(size >> 8), (uint8_t)size};
    buf_append(&text, head, sizeof head);
    memset(buf_reserve(&text, size), 'x', size);
    text.size += size;
    struct attributes_builder builder = attributes_build(buf);
    attributes_append(&builder, bytes_text("note"), VALUE_TEXT, buf_bytes(&text));
    buf_free(&text);
    return attributes_built(&builder);
}

/* Long ids, which its results name too. */
static void
push_large(struct node *node)
{
    static struct operation operations[LARGE_OPERATIONS];
    static char ids[LARGE_OPERATIONS][QO_ID_MAX + 1];
    struct buf note = {0};
    struct bytes attributes = note_of(&note, LARGE_NOTE_BYTES);
    for (uint32_t i = 0; i < LARGE_OPERATIONS; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "large-%0*u", (int)QO_ID_MAX - 6, (unsigned)i);
        operations[i] = create_of(ids[i], "loop", attributes);
    }
    push_group(node, operations, LARGE_OPERATIONS);
    buf_free(&note);
}

static void
what_was_large_is_not_kept(void **state)
{
    struct node *node = *state;
    somebody_waits(node);
    push_large(node);
    wait_for_all(node);
    assert_true(node->memory.entry_most > QO_APPLY_POOL_BUFFER_BYTES);
    assert_true(node->memory.arena_most > QO_APPLY_POOL_BUFFER_BYTES);
    node->memory = (struct memory){0};
    push_heavy(node); /* In the item that came back last. */
    wait_for_all(node);
    assert_in_range(node->memory.entry_most, 1, QO_APPLY_POOL_BUFFER_BYTES);
    assert_in_range(node->memory.arena_most, 1, QO_APPLY_POOL_BUFFER_BYTES);
}

/* All at once: the thread is at the gate, and the loop takes none back meanwhile. */
static void
push_crowd(struct node *node, uint32_t count, struct bytes attributes)
{
    char id[24];
    node->memory = (struct memory){0};
    pthread_mutex_lock(&gate);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(id, sizeof id, "crowd-%u", (unsigned)node->pushed);
        push(node, create_of(id, "loop", attributes));
    }
    pthread_mutex_unlock(&gate);
    wait_for_all(node);
}

static void
of_a_crowd_no_more_is_kept_than_the_pool_holds(void **state)
{
    enum { CROWD = 4 * QO_APPLY_POOL_ITEMS };
    struct node *node = *state;
    struct buf note = {0};
    somebody_waits(node);
    push_crowd(node, CROWD, note_of(&note, ROOMY_BYTES));
    assert_int_equal(node->memory.roomy, CROWD);
    push_crowd(node, CROWD, BYTES_NONE);
    assert_int_equal(node->memory.roomy, QO_APPLY_POOL_ITEMS);
    buf_free(&note);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            everything_comes_back_in_order_and_a_marker_behind_what_was_before_it, start, stop),
        cmocka_unit_test_setup_teardown(the_loop_executes_a_light_entry_and_stays_awake_for_it,
                                        start, stop),
        cmocka_unit_test_setup_teardown(an_entry_that_is_not_light_goes_to_the_thread, start, stop),
        cmocka_unit_test_setup_teardown(a_light_entry_goes_to_the_thread_while_that_has_work, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_light_entry_for_which_nobody_waits_goes_to_the_thread,
                                        start, stop),
        cmocka_unit_test_setup_teardown(the_thread_is_woken_for_a_group, start, stop),
        cmocka_unit_test_setup_teardown(
            the_thread_is_woken_for_less_than_a_group_when_the_loop_hurries, start, stop),
        cmocka_unit_test_setup_teardown(a_marker_brings_back_what_waits_for_a_group, start, stop),
        cmocka_unit_test_setup_teardown(
            what_waits_for_a_group_is_executed_when_somebody_begins_to_wait, start, stop),
        cmocka_unit_test_setup_teardown(nothing_is_forgotten_while_the_loop_begins_to_wait, start,
                                        stop),
        cmocka_unit_test_setup_teardown(who_waits_for_an_index_waits_until_it_is_executed, start,
                                        stop),
        cmocka_unit_test_setup_teardown(what_was_large_is_not_kept, start, stop),
        cmocka_unit_test_setup_teardown(of_a_crowd_no_more_is_kept_than_the_pool_holds, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("server/state", tests, NULL, NULL);
}
