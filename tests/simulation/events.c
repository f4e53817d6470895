/* See events.h. Thread: the run's. */
#include "events.h"

#include "common/assert.h"
#include "common/bytes.h"
#include "member.h"
#include "story.h"
#include "support/seed.h"

struct event {
    int64_t at_us;
    uint64_t order; /* Among those of one time. */
    unsigned owner;
    uint64_t life; /* Of the owner. */
    event_fn run;
    void *context;
};

/* A binary heap, the next event first. */
static struct event *heap;
static size_t heap_count, heap_capacity;
static uint64_t planned, chance;
static int64_t now_us;

void
events_start(uint64_t seed)
{
    chance = seed;
    heap_count = 0;
    planned = 0;
    now_us = 0;
}

int64_t
events_now_us(void)
{
    return now_us;
}

uint64_t
chance_below(uint64_t bound)
{
    return seed_below(&chance, bound);
}

int64_t
chance_between(int64_t from, int64_t to)
{
    QO_PRE(from <= to);
    return from + (int64_t)chance_below((uint64_t)(to - from) + 1);
}

bool
chance_permille(uint32_t permille)
{
    return chance_below(1000) < permille;
}

uint64_t *
events_chance(void)
{
    return &chance;
}

static bool
before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void
insert(struct event event)
{
    if (heap_count == heap_capacity) {
        heap_capacity = heap_capacity == 0 ? 1024 : 2 * heap_capacity;
        heap = mem_realloc(heap, heap_capacity * sizeof *heap);
    }
    size_t at = heap_count++;
    while (at > 0 && before(&event, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = event;
}

static struct event
take_first(void)
{
    struct event first = heap[0], last = heap[--heap_count];
    size_t at = 0;
    for (size_t child = 1; child < heap_count; child = 2 * at + 1) {
        if (child + 1 < heap_count && before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!before(&heap[child], &last)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

void
event_plan(int64_t after_us, unsigned owner, event_fn run, void *context)
{
    QO_PRE(after_us >= 0);
    insert((struct event){
        .at_us = now_us + after_us,
        .order = planned++,
        .owner = owner,
        .life = owner != 0 ? member_life(owner) : 0,
        .run = run,
        .context = context,
    });
}

static void
note(const struct event *event)
{
    uint64_t words[3] = {story->fingerprint, (uint64_t)event->at_us,
                         event->order << 8 | event->owner};
    uint64_t mixed = words[0] ^ words[1] * UINT64_C(0x9e3779b97f4a7c15) ^ words[2];
    story->fingerprint = seed_next(&mixed);
    story->counts.events++;
    story->counts.simulated_us = (uint64_t)event->at_us;
}

bool
event_next(int64_t until_us)
{
    while (heap_count > 0 && heap[0].at_us <= until_us) {
        struct event event = take_first();
        now_us = event.at_us;
        if (event.owner == 0) {
            note(&event);
            event.run(event.context);
            return true;
        }
        if (event.life != member_life(event.owner)) {
            continue;
        }
        int64_t stopped_until_us = member_stopped_until_us(event.owner);
        if (stopped_until_us > now_us) {
            event.at_us = stopped_until_us;
            insert(event);
            continue;
        }
        note(&event);
        member_run(event.owner, event.run, event.context);
        return true;
    }
    now_us = until_us;
    return false;
}
