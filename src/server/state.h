/*
 * state: the state thread. It executes committed entries in log order (apply/apply.h) and does
 * nothing else.
 *
 * Waking it, and then the loop, is a good part of what a lone entry costs (decision 0014), so:
 * while the thread has nothing to do and somebody waits, the loop executes a light entry itself
 * (apply_light(): nothing that waits); while nobody waits, the thread is woken for a group.
 *
 * The loop hands items over through one ring and gets the same items back, executed, through
 * another, in the same order. An item is an entry, or a marker: who sent a marker and has it back
 * knows that everything handed over before it is executed and committed.
 *
 * Bounds: QO_APPLY_QUEUE_ENTRIES_MAX items, QO_APPLY_QUEUE_BYTES_MAX bytes. state_room() says
 * whether an entry fits; the log holds back what does not. Of the items that came back,
 * QO_APPLY_POOL_ITEMS are kept, with buffers of QO_APPLY_POOL_BUFFER_BYTES.
 *
 * Thread: loop, except state_wait().
 */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "apply/apply.h"

struct state;

enum state_item_kind { STATE_ENTRY, STATE_MARKER, STATE_ADVANCE };

struct state_item {
    enum state_item_kind kind;
    /* STATE_ENTRY, STATE_ADVANCE */
    uint64_t index, term;
    struct buf entry;
    /* STATE_MARKER */
    void (*passed)(void *context);
    void *context;
    /* Afterwards: */
    struct apply_results results; /* STATE_ENTRY; in `arena`. */
    struct arena arena;
    uint64_t seq;
    int64_t time;
    struct digest digest;
    struct state_item *next; /* In the pool, on the loop. */
};

/* Called on the loop for each entry that was executed (or skipped), in log order. The item is the
 * callee's until it returns. */
typedef void (*state_executed_cb)(void *context, const struct state_item *item);

struct state *state_start(uv_loop_t *loop, struct store *store, uint64_t cache_bytes,
                          state_executed_cb executed, void *context);

/* Whether the loop is to be woken for each entry that was executed. While it need not be, it takes
 * back what was executed at its turns and ticks, by state_take_back(): a follower whose clients
 * wait for nothing saves the half of its wakes. Markers always wake it. */
void state_wake_for_entries(struct state *state, bool wake);
void state_take_back(struct state *state);
/* Wakes the thread for what was handed over and still waits for a group: at each tick. */
void state_hurry(struct state *state);
/* Before the loop waits, and after the last that may hand over: keeps it from waiting if an entry
 * that it executed itself is not taken back. */
void state_stay_awake(struct state *state);

bool state_room(const struct state *state, size_t size);
/* True while less than half of the room is taken. */
bool state_roomy(const struct state *state);
/* True if everything handed over is executed. */
bool state_idle(const struct state *state);
/* Copies the entry. There must be room (asserted). */
void state_push_entry(struct state *state, uint64_t index, uint64_t term, struct bytes entry);
/* `passed` is called on the loop. Markers always fit: there are at most QO_MARKERS_MAX. */
void state_push_marker(struct state *state, void (*passed)(void *context), void *context);
/* Moves the applied point to `index`, over entries that are the log's own (barriers,
 * configurations): everything handed over up to there has been executed by then. */
void state_push_advance(struct state *state, uint64_t index, uint64_t term);

/* Up to where entries are executed and committed. Thread: any. */
uint64_t state_executed_index(struct state *state);

/* Waits until everything up to `index` is executed and committed; what is not handed over yet will
 * be. Thread: any but loop and state. */
void state_wait(struct state *state, uint64_t index);

#endif
