/*
 * See store/store.h. Thread: the one that began the view.
 *
 * A list of one state is one cursor over its rows. A list of all states of a machine is one cursor
 * per state, merged by seq of entry: each order has one live row, so each appears once.
 */
#include "store/store.h"

#include "common/assert.h"
#include "rocks.h"
#include "runs.h"

/* The rows of one state, from `row` on. */
struct list_cursor {
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *iterator;
    struct key bound;  /* The first key behind the state; the iterator points here. */
    struct cursor run; /* What is left of the run that the iterator stands on. */
    uint64_t run_seq;  /* That run's first. */
    struct list_key row;
    struct bytes id; /* Of `row`, in the run. */
    bool ended;
};

struct store_list {
    struct store_view *view;
    struct list_cursor *cursors;
    uint32_t cursors_count;
    uint32_t looked;
    uint64_t position;
    struct buf record;
    uint8_t id[QO_ID_MAX];
};

bool
list_row_alive(struct store_view *view, const struct list_key *row, struct bytes id,
               struct buf *record_bytes, struct order_record *record)
{
    buf_clear(record_bytes);
    if (!store_view_get_order(view, id, record_bytes) ||
        !order_record_decode(buf_bytes(record_bytes), record)) {
        qo_fatal(FATAL_CORRUPT, "store: order '%.*s' stands in a list and does not decode",
                 BYTES_FORMAT(id));
    }
    const struct definition *definition =
        registry_get(view->store->registry, REGISTRY_PUBLISHED, record->definition);
    if (definition == NULL || record->state >= QO_STATES_MAX) {
        qo_fatal(FATAL_CORRUPT, "store: order '%.*s' names definition %u, state %u",
                 BYTES_FORMAT(id), (unsigned)record->definition, (unsigned)record->state);
    }
    return record->entered_seq == row->entered_seq && definition->machine_number == row->machine &&
           definition->state_numbers[record->state] == row->state;
}

/* Opens the run that the iterator stands on. */
static void
cursor_open_run(struct list_cursor *cursor)
{
    cursor->ended = !rocks_iterator_valid(cursor->iterator);
    if (cursor->ended) {
        return;
    }
    if (!key_list_decode(rocks_iterator_key(cursor->iterator), &cursor->row)) {
        qo_fatal(FATAL_CORRUPT, "store: a list row's key does not decode");
    }
    cursor->run_seq = cursor->row.entered_seq;
    cursor->run = run_open(rocks_iterator_value(cursor->iterator));
}

/* The next row, of this run or a later one. */
static void
cursor_advance(struct list_cursor *cursor)
{
    uint32_t delta;
    while (!cursor->ended && !run_next_listed(&cursor->run, &delta, &cursor->id)) {
        rocksdb_iter_next(cursor->iterator);
        cursor_open_run(cursor);
    }
    if (!cursor->ended) {
        cursor->row.entered_seq = cursor->run_seq + delta;
    }
}

static void
cursor_begin(struct list_cursor *cursor, struct store_view *view, uint16_t machine, uint16_t state,
             uint64_t after_seq)
{
    cursor->ended = after_seq == UINT64_MAX;
    if (cursor->ended) {
        return;
    }
    struct key first = key_list(machine, state, after_seq + 1), begin = key_list(machine, state, 0);
    cursor->bound = key_list(machine, state, UINT64_MAX); /* No event has this seq. */
    cursor->options = rocks_iterate_below(view->snapshot, &cursor->bound);
    cursor->iterator = rocksdb_create_iterator_cf(view->store->rocks.db, cursor->options,
                                                  view->store->rocks.families[FAMILY_INDEX]);
    /* The run that may hold the first row begins at it or before; or there is none in this state.
     */
    rocksdb_iter_seek_for_prev(cursor->iterator, (const char *)first.bytes, first.size);
    if (!rocks_iterator_valid(cursor->iterator) ||
        bytes_compare(rocks_iterator_key(cursor->iterator), bytes_make(begin.bytes, begin.size)) <
            0) {
        rocksdb_iter_seek(cursor->iterator, (const char *)begin.bytes, begin.size);
    }
    cursor_open_run(cursor);
    do {
        cursor_advance(cursor);
    } while (!cursor->ended && cursor->row.entered_seq <= after_seq);
}

struct store_list *
store_list_begin(struct store_view *view, uint16_t machine, uint16_t state, uint64_t after_seq)
{
    struct store_list *list = mem_zalloc(sizeof *list);
    bool all = state == RECORD_NONE;
    list->view = view;
    list->position = after_seq;
    list->cursors_count =
        all ? registry_states_count(view->store->registry, REGISTRY_PUBLISHED, machine) : 1;
    list->cursors = mem_zalloc(list->cursors_count * sizeof list->cursors[0]);
    for (uint32_t i = 0; i < list->cursors_count; i++) {
        cursor_begin(&list->cursors[i], view, machine, all ? (uint16_t)i : state, after_seq);
    }
    return list;
}

/* The cursor whose row is next in order of entry; NULL at the end of all. */
static struct list_cursor *
cursor_next(const struct store_list *list)
{
    struct list_cursor *first = NULL;
    for (uint32_t i = 0; i < list->cursors_count; i++) {
        struct list_cursor *cursor = &list->cursors[i];
        if (!cursor->ended && (first == NULL || cursor->row.entered_seq < first->row.entered_seq)) {
            first = cursor;
        }
    }
    return first;
}

bool
store_list_next(struct store_list *list, struct bytes *id_out, struct bytes *record_out)
{
    struct list_cursor *cursor;
    struct order_record record;
    while (list->looked < QO_LIST_LOOK_MAX && (cursor = cursor_next(list)) != NULL) {
        struct list_key row = cursor->row;
        if (cursor->id.size < 1 || cursor->id.size > QO_ID_MAX) {
            qo_fatal(FATAL_CORRUPT, "store: a list row does not decode");
        }
        memcpy(list->id, cursor->id.data, cursor->id.size);
        struct bytes id = bytes_make(list->id, cursor->id.size);
        cursor_advance(cursor);
        list->looked++;
        list->position = row.entered_seq;
        if (list_row_alive(list->view, &row, id, &list->record, &record)) {
            *id_out = id;
            *record_out = buf_bytes(&list->record);
            return true;
        }
    }
    return false;
}

uint64_t
store_list_position(const struct store_list *list, bool *end_out)
{
    *end_out = cursor_next(list) == NULL;
    return list->position;
}

void
store_list_end(struct store_list *list)
{
    for (uint32_t i = 0; i < list->cursors_count; i++) {
        if (list->cursors[i].iterator != NULL) {
            rocksdb_iter_destroy(list->cursors[i].iterator);
            rocksdb_readoptions_destroy(list->cursors[i].options);
        }
    }
    mem_free(list->cursors);
    buf_free(&list->record);
    mem_free(list);
}
