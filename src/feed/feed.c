/* See feed/feed.h. Thread: readers. */
#include "feed/feed.h"

#include "common/assert.h"
#include "machine/machine.h"

enum { MATCHES = 64 }; /* Definitions whose match is remembered during one read. */

/* What a filter says of one definition: found once, used for each of its events. */
struct match {
    bool known;
    uint16_t definition;
    bool machine;
    uint64_t states[QO_STATES_MAX / 64]; /* Bit per state of the definition. */
};

struct reading {
    const struct registry *registry;
    const struct feed_filter *filter;
    bool shards[QO_SHARDS_MAX];
    struct match matches[MATCHES]; /* By definition modulo MATCHES. */
};

static struct match
match_of(const struct feed_filter *filter, const struct definition *definition)
{
    struct match match = {.known = true, .definition = definition->number};
    match.machine = filter->machines == NULL;
    for (size_t i = 0; i < filter->machines_count && !match.machine; i++) {
        match.machine = bytes_equal(filter->machines[i], machine_name(definition->machine));
    }
    if (filter->states == NULL) {
        memset(match.states, 0xff, sizeof match.states);
    }
    for (size_t i = 0; filter->states != NULL && i < filter->states_count; i++) {
        int32_t state = machine_state_find(definition->machine, filter->states[i]);
        if (state >= 0) {
            match.states[state / 64] |= UINT64_C(1) << (state % 64);
        }
    }
    return match;
}

static bool
passes(struct reading *reading, const struct event_record *event,
       const struct definition *definition)
{
    if (reading->filter->shards != NULL && !reading->shards[event->shard]) {
        return false;
    }
    struct match *match = &reading->matches[event->definition % MATCHES];
    if (!match->known || match->definition != event->definition) {
        *match = match_of(reading->filter, definition);
    }
    return match->machine && (match->states[event->to / 64] >> (event->to % 64) & 1) != 0;
}

static void
reading_begin(struct reading *reading, struct store_view *view, const struct feed_filter *filter)
{
    *reading = (struct reading){
        .registry = store_registry(store_view_store(view)),
        .filter = filter,
    };
    for (size_t i = 0; filter->shards != NULL && i < filter->shards_count; i++) {
        if (filter->shards[i] < QO_SHARDS_MAX) {
            reading->shards[filter->shards[i]] = true;
        }
    }
}

/* The event of these bytes, and its definition. */
static const struct definition *
decode(const struct registry *registry, uint64_t seq, struct bytes bytes,
       struct event_record *event_out)
{
    if (!event_record_decode(seq, bytes, event_out)) {
        qo_fatal(FATAL_CORRUPT, "event %llu does not decode", (unsigned long long)seq);
    }
    const struct definition *definition =
        registry_get(registry, REGISTRY_PUBLISHED, event_out->definition);
    if (definition == NULL || event_out->to >= machine_state_count(definition->machine)) {
        qo_fatal(FATAL_CORRUPT, "event %llu names definition %u, state %u, which do not exist",
                 (unsigned long long)seq, (unsigned)event_out->definition, (unsigned)event_out->to);
    }
    return definition;
}

struct feed_page
feed_read(struct store_view *view, const struct feed_filter *filter, feed_event_fn each,
          void *context)
{
    QO_PRE(filter->limit >= 1 && filter->limit <= QO_LIMIT_MAX);
    struct reading reading;
    struct feed_page page = {
        .next_seq = filter->from_seq == 0 ? 1 : filter->from_seq,
        .high_seq = store_view_applied(view)->seq,
    };
    if (page.next_seq > page.high_seq) {
        return page; /* Not there yet: the caller waits. */
    }
    reading_begin(&reading, view, filter);
    struct store_events *events = store_events_begin(view, page.next_seq);
    while (page.given < filter->limit && page.looked < QO_FEED_LOOK_MAX) {
        struct event_record event;
        struct bytes bytes;
        uint64_t seq;
        if (!store_events_next(events, &seq, &bytes)) {
            break;
        }
        if (seq != page.next_seq) {
            qo_fatal(FATAL_CORRUPT, "event %llu is missing", (unsigned long long)page.next_seq);
        }
        const struct definition *definition = decode(reading.registry, seq, bytes, &event);
        if (passes(&reading, &event, definition)) {
            if (!each(context, &event, definition)) {
                page.full = true;
                break;
            }
            page.given++;
        }
        page.looked++;
        page.next_seq = seq + 1;
    }
    store_events_end(events);
    QO_POST(page.next_seq <= page.high_seq + 1);
#if defined(QO_MUTANT_FEED_ONE_OFF)
    page.next_seq += page.given > 0; /* Skips an event at each resumption. */
#endif
    return page;
}
