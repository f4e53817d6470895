/* See sweep.h and store/store.h. Thread: state for the counters, one of any for store_sweep(). */
#include "sweep.h"

#include <stdlib.h>

#include "common/assert.h"
#include "common/thread.h"
#include "rocks.h"
#include "runs.h"

enum { DELETES_PER_WRITE = 1024 };

void
sweep_open(struct store *store)
{
    struct sweep_counters *counters = &store->sweep_counters;
    uint64_t seq = store->applied.seq;
    counters->slots = mem_zalloc(SWEEP_SLOTS * sizeof counters->slots[0]);
    counters->open_block = seq >> SWEEP_BLOCK_SHIFT;
    /* The block of the next seq, if nothing stands in it yet (seqs begin with 1). */
    counters->tracked_from = seq == 0 ? 0 : (seq + SWEEP_BLOCK_SEQS) >> SWEEP_BLOCK_SHIFT;

    struct sweep_backlog *backlog = &store->sweep_backlog;
    int failed = pthread_mutex_init(&backlog->lock, NULL);
    QO_ASSERT(failed == 0);
    backlog->blocks = mem_alloc(QO_SWEEP_BACKLOG_MAX * sizeof backlog->blocks[0]);
    backlog->walk = seq > 0;
    backlog->walk_to = seq;
    store->sweeper.blocks = mem_alloc(QO_SWEEP_BACKLOG_MAX * sizeof store->sweeper.blocks[0]);
}

void
sweep_close(struct store *store)
{
    pthread_mutex_destroy(&store->sweep_backlog.lock);
    mem_free(store->sweep_counters.slots);
    buf_free(&store->sweep_counters.left);
    mem_free(store->sweep_backlog.blocks);
    mem_free(store->sweeper.blocks);
    buf_free(&store->sweeper.record);
    buf_free(&store->sweeper.kept);
}

/* -- Counting: the state thread -------------------------------------------------------------- */

static uint32_t
slot_home(uint16_t machine, uint16_t state, uint64_t block)
{
    uint64_t mixed = (block << 32 ^ (uint64_t)machine << 16 ^ state) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(mixed >> 40) & (SWEEP_SLOTS - 1);
}

/* The counter of a block, or the free slot where it would stand. */
static struct sweep_counter *
counter_find(struct sweep_counters *counters, uint16_t machine, uint16_t state, uint64_t block)
{
    uint32_t slot = slot_home(machine, state, block);
    for (;; slot = (slot + 1) & (SWEEP_SLOTS - 1)) {
        struct sweep_counter *counter = &counters->slots[slot];
        if (counter->put == 0 ||
            (counter->block == block && counter->machine == machine && counter->state == state)) {
            return counter;
        }
    }
}

/* Frees a slot and moves those behind it up, so that no search stops short of what it looks for. */
static void
counter_remove(struct sweep_counters *counters, struct sweep_counter *counter)
{
    uint32_t hole = (uint32_t)(counter - counters->slots);
    for (uint32_t slot = hole;;) {
        slot = (slot + 1) & (SWEEP_SLOTS - 1);
        const struct sweep_counter *next = &counters->slots[slot];
        if (next->put == 0) {
            break;
        }
        uint32_t home = slot_home(next->machine, next->state, next->block);
        /* It may move to the hole if its home does not lie between the hole and itself. */
        if (((slot - home) & (SWEEP_SLOTS - 1)) >= ((slot - hole) & (SWEEP_SLOTS - 1))) {
            counters->slots[hole] = *next;
            hole = slot;
        }
    }
    counters->slots[hole] = (struct sweep_counter){0};
    QO_ASSERT(counters->count > 0);
    counters->count--;
}

/* Makes room by forgetting, of a few closed blocks, the one with the smallest part dead. False:
 * there was no closed one among them. */
static bool
counter_forget(struct sweep_counters *counters)
{
    enum { LOOKED_AT = 256 };
    struct sweep_counter *least = NULL;
    for (uint32_t i = 0; i < LOOKED_AT; i++) {
        struct sweep_counter *counter = &counters->slots[counters->hand];
        counters->hand = (counters->hand + 1) & (SWEEP_SLOTS - 1);
        if (counter->put > 0 && counter->block < counters->open_block &&
            (least == NULL ||
             (uint32_t)counter->dead * least->put < (uint32_t)least->dead * counter->put)) {
            least = counter;
        }
    }
    if (least == NULL) {
        return false;
    }
    if (least->dead > 0) {
        uint64_t last = ((least->block + 1) << SWEEP_BLOCK_SHIFT) - 1;
        counters->unknown += least->dead;
        counters->unknown_seq = last > counters->unknown_seq ? last : counters->unknown_seq;
    }
    counter_remove(counters, least);
    return true;
}

void
sweep_put(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq)
{
    struct sweep_counters *counters = &store->sweep_counters;
    uint64_t block = entered_seq >> SWEEP_BLOCK_SHIFT;
    struct sweep_counter *counter = counter_find(counters, machine, state, block);
    if (counter->put == 0) {
        if (block < counters->tracked_from) {
            return;
        }
        if (counters->count == QO_SWEEP_COUNTERS_MAX) {
            if (!counter_forget(counters)) {
                /* A counter that began later would miss this put. */
                counters->tracked_from = block + 1;
                return;
            }
            counter = counter_find(counters, machine, state, block);
        }
        *counter = (struct sweep_counter){.block = block, .machine = machine, .state = state};
        counters->count++;
    }
    counter->put++;
    QO_ASSERT(counter->put <= SWEEP_BLOCK_SEQS);
}

void
sweep_leave(struct store *store, uint16_t machine, uint16_t state, uint64_t entered_seq)
{
    struct sweep_left left = {.entered_seq = entered_seq, .machine = machine, .state = state};
    buf_append(&store->sweep_counters.left, &left, sizeof left);
}

static bool
backlog_push(struct sweep_backlog *backlog, struct sweep_block block)
{
    pthread_mutex_lock(&backlog->lock);
    bool room = backlog->count < QO_SWEEP_BACKLOG_MAX;
    if (room) {
        backlog->blocks[backlog->count++] = block;
    }
    pthread_mutex_unlock(&backlog->lock);
    return room;
}

/* Hands a closed block over if enough of it is dead. True: its counter is gone. */
static bool
counter_offer(struct store *store, struct sweep_counter *counter)
{
    QO_ASSERT(counter->dead <= counter->put);
    struct sweep_block block = {
        .block = counter->block,
        .machine = counter->machine,
        .state = counter->state,
        .rows = counter->dead,
        .all_dead = counter->dead == counter->put,
    };
    if (block.all_dead) {
        if (backlog_push(&store->sweep_backlog, block)) {
            counter_remove(&store->sweep_counters, counter);
            return true;
        }
    } else if (counter->put >= SWEEP_LOOKED_ROWS_MIN &&
               store->sweep_counters.open_block - counter->block >= SWEEP_PATIENCE_BLOCKS &&
               (uint32_t)counter->dead * 100 >= (uint32_t)counter->put * SWEEP_DEAD_PERCENT &&
               backlog_push(&store->sweep_backlog, block)) {
        counter->put = (uint16_t)(counter->put - counter->dead);
        counter->dead = 0;
    }
    return false;
}

/* Offers all that have been closed: 1 MiB is read, once per SWEEP_BLOCK_SEQS events. */
static void
offer_closed(struct store *store)
{
    struct sweep_counters *counters = &store->sweep_counters;
    for (uint32_t slot = 0; slot < SWEEP_SLOTS && counters->count > 0;) {
        struct sweep_counter *counter = &counters->slots[slot];
        bool closed = counter->put > 0 && counter->block < counters->open_block;
        /* A removal may have moved another counter into this slot: look again. */
        if (!closed || !counter_offer(store, counter)) {
            slot++;
        }
    }
}

static void
tell_unknown(struct store *store)
{
    struct sweep_counters *counters = &store->sweep_counters;
    struct sweep_backlog *backlog = &store->sweep_backlog;
    pthread_mutex_lock(&backlog->lock);
    backlog->walk_to = backlog->walk && backlog->walk_to > counters->unknown_seq
                           ? backlog->walk_to
                           : counters->unknown_seq;
    backlog->walk = true;
    pthread_mutex_unlock(&backlog->lock);
    counters->unknown = 0;
    counters->unknown_seq = 0;
}

void
sweep_committed(struct store *store)
{
    struct sweep_counters *counters = &store->sweep_counters;
    for (size_t at = 0; at < counters->left.size; at += sizeof(struct sweep_left)) {
        struct sweep_left left;
        memcpy(&left, counters->left.data + at, sizeof left);
        uint64_t block = left.entered_seq >> SWEEP_BLOCK_SHIFT;
        struct sweep_counter *counter = counter_find(counters, left.machine, left.state, block);
        if (counter->put == 0) {
            counters->unknown++;
            counters->unknown_seq =
                left.entered_seq > counters->unknown_seq ? left.entered_seq : counters->unknown_seq;
            continue;
        }
        counter->dead++;
        if (block < counters->open_block) {
            counter_offer(store, counter);
        }
    }
    buf_clear(&counters->left);
    uint64_t open_block = store->applied.seq >> SWEEP_BLOCK_SHIFT;
    if (open_block != counters->open_block) {
        counters->open_block = open_block;
        offer_closed(store);
    }
    if (counters->unknown >= QO_SWEEP_UNKNOWN_MAX) {
        tell_unknown(store);
    }
}

uint64_t
sweep_backlog_count(struct store *store)
{
    struct sweep_backlog *backlog = &store->sweep_backlog;
    pthread_mutex_lock(&backlog->lock);
    uint64_t count = (uint64_t)backlog->count + (backlog->walk ? 1 : 0);
    pthread_mutex_unlock(&backlog->lock);
    return count;
}

/* -- Sweeping: one background thread --------------------------------------------------------- */

/* One call of store_sweep(). */
struct sweep_run {
    struct store *store;
    struct store_view *view;
    rocksdb_writebatch_t *batch;
    uint64_t looks_left; /* Rows that may still be looked at. */
    uint64_t removed;
};

static void
run_write(struct sweep_run *run)
{
    if (rocksdb_writebatch_count(run->batch) > 0) {
        char *error = NULL;
        rocksdb_write(run->store->rocks.db, run->store->write, run->batch, &error);
        rocks_check(error, "sweeping lists");
        rocksdb_writebatch_clear(run->batch);
    }
}

static int
block_compare(const void *left, const void *right)
{
    const struct sweep_block *a = left, *b = right;
    if (a->machine != b->machine) {
        return a->machine < b->machine ? -1 : 1;
    }
    if (a->state != b->state) {
        return a->state < b->state ? -1 : 1;
    }
    return a->block < b->block ? -1 : a->block > b->block;
}

/* Takes what waits, in order of keys, so that neighbours become one range. */
static void
take_backlog(struct store *store)
{
    struct sweeper *sweeper = &store->sweeper;
    struct sweep_backlog *backlog = &store->sweep_backlog;
    QO_PRE(sweeper->next == sweeper->count);
    pthread_mutex_lock(&backlog->lock);
    memcpy(sweeper->blocks, backlog->blocks, backlog->count * sizeof backlog->blocks[0]);
    sweeper->count = backlog->count;
    sweeper->next = 0;
    backlog->count = 0;
    pthread_mutex_unlock(&backlog->lock);
    qsort(sweeper->blocks, sweeper->count, sizeof sweeper->blocks[0], block_compare);
}

/* Deletes the block at `next` and those that follow it without a gap, unseen. */
static void
delete_dead_blocks(struct sweep_run *run)
{
    struct sweeper *sweeper = &run->store->sweeper;
    const struct sweep_block *first = &sweeper->blocks[sweeper->next], *last = first;
    run->removed += first->rows;
    sweeper->next++;
    while (sweeper->next < sweeper->count) {
        const struct sweep_block *block = &sweeper->blocks[sweeper->next];
        if (!block->all_dead || block->machine != first->machine || block->state != first->state ||
            block->block != last->block + 1) {
            break;
        }
        run->removed += block->rows;
        last = block;
        sweeper->next++;
    }
    struct key from = key_list(first->machine, first->state, first->block << SWEEP_BLOCK_SHIFT);
    struct key end = key_list(first->machine, first->state, (last->block + 1) << SWEEP_BLOCK_SHIFT);
    rocksdb_writebatch_delete_range_cf(run->batch, run->store->rocks.families[FAMILY_INDEX],
                                       (const char *)from.bytes, from.size, (const char *)end.bytes,
                                       end.size);
}

/* The first key behind all rows of this state. */
static struct key
behind_state(struct list_key row)
{
    if (row.state < UINT16_MAX) {
        return key_list(row.machine, (uint16_t)(row.state + 1), 0);
    }
    QO_ASSERT(row.machine < UINT16_MAX);
    return key_list((uint16_t)(row.machine + 1), 0, 0);
}

/* Keeps of one run what lives: the whole, a shorter one under the same key, or nothing. Nobody else
 * writes the row again. */
static void
look_through_run(struct sweep_run *run, struct bytes key, const struct list_key *first,
                 struct bytes value)
{
    struct store *store = run->store;
    struct sweeper *sweeper = &store->sweeper;
    struct cursor items = run_open(value);
    struct order_record record;
    struct bytes id;
    uint32_t delta, alive = 0, dead = 0;
    run_begin(&sweeper->kept);
    while (run_next_listed(&items, &delta, &id)) {
        struct list_key row = *first;
        row.entered_seq += delta;
        if (list_row_alive(run->view, &row, id, &sweeper->record, &record)) {
            run_add_listed(&sweeper->kept, delta, id);
            alive++;
        } else {
            dead++;
        }
        run->looks_left -= run->looks_left > 0 ? 1 : 0;
    }
    rocksdb_column_family_handle_t *family = store->rocks.families[FAMILY_INDEX];
    if (alive == 0) {
        rocksdb_writebatch_delete_cf(run->batch, family, (const char *)key.data, key.size);
    } else if (dead > 0) {
        rocksdb_writebatch_put_cf(run->batch, family, (const char *)key.data, key.size,
                                  (const char *)sweeper->kept.data, sweeper->kept.size);
    }
    run->removed += dead;
    if (rocksdb_writebatch_count(run->batch) >= DELETES_PER_WRITE) {
        run_write(run);
    }
}

/* Looks at the rows from `at` up to `bound` with entered_seq <= `seq_to` and deletes the stale
 * ones. True: done. False: no looks are left, and `at` is where to go on. */
static bool
look_through(struct sweep_run *run, struct key *at, const struct key *bound, uint64_t seq_to)
{
    struct store *store = run->store;
    if (run->view == NULL) {
        run->view = store_view_begin(store);
    }
    rocksdb_readoptions_t *options = rocks_iterate_below(run->view->snapshot, bound);
    rocksdb_readoptions_set_fill_cache(options, 0); /* Others read what is newer. */
    rocksdb_iterator_t *iterator =
        rocksdb_create_iterator_cf(store->rocks.db, options, store->rocks.families[FAMILY_INDEX]);
    bool done = false;
    rocksdb_iter_seek(iterator, (const char *)at->bytes, at->size);
    while (!(done = !rocks_iterator_valid(iterator))) {
        struct list_key row;
        struct bytes key = rocks_iterator_key(iterator);
        if (!key_list_decode(key, &row)) {
            qo_fatal(FATAL_CORRUPT, "store: a list row's key does not decode");
        }
        if (run->looks_left == 0) {
            *at = key_list(row.machine, row.state, row.entered_seq);
            break;
        }
        if (row.entered_seq > seq_to) {
            struct key next = behind_state(row);
            rocksdb_iter_seek(iterator, (const char *)next.bytes, next.size);
            continue;
        }
        look_through_run(run, key, &row, rocks_iterator_value(iterator));
        rocksdb_iter_next(iterator);
    }
    rocksdb_iter_destroy(iterator);
    rocksdb_readoptions_destroy(options);
    return done;
}

/* Looks through the block at `next`. */
static void
look_through_block(struct sweep_run *run)
{
    struct sweeper *sweeper = &run->store->sweeper;
    const struct sweep_block *block = &sweeper->blocks[sweeper->next];
    uint64_t first = block->block << SWEEP_BLOCK_SHIFT;
    struct key at = key_list(block->machine, block->state,
                             sweeper->resume_seq > first ? sweeper->resume_seq : first);
    struct key bound = key_list(block->machine, block->state, first + SWEEP_BLOCK_SEQS);
    if (look_through(run, &at, &bound, UINT64_MAX)) {
        sweeper->resume_seq = 0;
        sweeper->next++;
    } else {
        sweeper->resume_seq = get_be64(at.bytes + KEY_LIST_SIZE - 8);
    }
}

/* Goes on with a walk, or begins one that is due. */
static void
walk(struct sweep_run *run)
{
    struct sweeper *sweeper = &run->store->sweeper;
    struct sweep_backlog *backlog = &run->store->sweep_backlog;
    if (!sweeper->walking) {
        pthread_mutex_lock(&backlog->lock);
        sweeper->walking = backlog->walk;
        sweeper->walk_to = backlog->walk_to;
        backlog->walk = false;
        pthread_mutex_unlock(&backlog->lock);
        sweeper->walk_at = key_list(0, 0, 0);
    }
    if (sweeper->walking) {
        struct key bound = key_list(UINT16_MAX, UINT16_MAX, UINT64_MAX);
        sweeper->walking = !look_through(run, &sweeper->walk_at, &bound, sweeper->walk_to);
    }
}

uint64_t
store_sweep(struct store *store, uint64_t rows_max)
{
    struct sweeper *sweeper = &store->sweeper;
    struct sweep_run run = {
        .store = store, .batch = rocksdb_writebatch_create(), .looks_left = rows_max};
    if (sweeper->next == sweeper->count) {
        take_backlog(store);
    }
    while (sweeper->next < sweeper->count && run.looks_left > 0) {
        if (sweeper->blocks[sweeper->next].all_dead) {
            delete_dead_blocks(&run);
        } else {
            look_through_block(&run);
        }
    }
    if (run.looks_left > 0) {
        walk(&run);
    }
    if (run.view == NULL) {
        run.view = store_view_begin(store);
    }
    /* Lists may take all looks for as long as the load lasts; deadlines have some of their own. */
    uint64_t looks_left = run.looks_left + rows_max / 4 + 1;
    run.removed += deadlines_sweep(run.view, run.batch, &sweeper->deadline_from, &looks_left);
    run_write(&run);
    store_view_end(run.view);
    rocksdb_writebatch_destroy(run.batch);
    return run.removed;
}
