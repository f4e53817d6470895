/*
 * model: what the cluster should do, in the plainest words. Executes the committed entries one
 * after the other and says what each command must come to, what each order was at each index, and
 * which events there are.
 *
 * It shares with the code under test only the decoder of entries. The machine is its own: the YAML
 * in model_source, and a switch that says the same. Thread: the run's.
 */
#ifndef SIMULATION_MODEL_H
#define SIMULATION_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "apply/apply.h"
#include "common/bytes.h"

enum {
    MODEL_ORDERS = 160,
    MODEL_HOT = 6,   /* The first few get most of the requests. */
    MODEL_KEYS = 24, /* Values of the unique attribute. */
    MODEL_GROUP_MAX = 3,
    MODEL_REQUESTS_MAX = 1 << 20,
};

enum model_state { STATE_NEW, STATE_PAID, STATE_DONE, STATE_EXPIRED, STATE_NONE };
enum model_event_kind {
    EVENT_PAY,
    EVENT_TOUCH,
    EVENT_RENEW,
    EVENT_REOPEN,
    EVENT_FINISH,
    EVENT_EXPIRE,
    EVENT_CREATE,
};

extern const char model_source[];
extern const int64_t model_timeout_us; /* In NEW. */

const char *model_state_name(enum model_state state);
const char *model_event_name(enum model_event_kind event);

struct model_version {
    uint64_t index; /* Of the entry that made it. */
    uint64_t version, seq;
    enum model_state state;
    uint32_t note;
};

struct model_event {
    uint32_t order;
    uint32_t request; /* 0: none. */
    uint32_t note;    /* Of the order, after it. */
    enum model_event_kind event;
    enum model_state from, to;
    uint64_t version;
    int64_t at;
};

/* What one command must come to. */
struct model_outcome {
    enum qo_error error;
    uint64_t seq, version;
    enum model_event_kind event;
    enum model_state from, to; /* A refusal that tells the state: `to`. */
    int64_t at;
    bool replayed, changed;
    uint32_t holder; /* not_unique */
};

struct model_result {
    enum command_kind kind;
    uint32_t request; /* 0: none. */
    bool failed;
    uint32_t index, count;
    struct model_outcome outcomes[MODEL_GROUP_MAX];
};

struct model_entry {
    struct entry_header header;
    struct model_result *results; /* header.count of them. */
    uint64_t seq;                 /* Of the last event after it. */
    int64_t time;
};

/* Executes the entry at `index`; BYTES_NONE: the log's own. What it must come to, valid for ever.
 */
struct model_entry model_execute(uint64_t index, struct bytes entry);

uint64_t model_seq(void);
const struct model_event *model_event_at(uint64_t seq);
/* The order as of `index`; NULL: there was none. */
const struct model_version *model_order_at(uint32_t order, uint64_t index);
/* Deadlines of NEW orders that are at or before `time`. */
uint32_t model_overdue(int64_t time);
/* How many events a request made; at most one for each of its operations. */
uint32_t model_events_of(uint32_t request);

/* Texts and back. `text` has room for 16. */
void model_order_id(uint32_t order, char *text);
void model_request_id(uint32_t request, char *text);
uint32_t model_number_of(struct bytes text);

#endif
