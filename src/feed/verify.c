/* See feed/feed.h. Thread: readers. */
#include "feed/feed.h"

#include <stdio.h>

#include "common/assert.h"
#include "common/attributes.h"
#include "walk.h"

/* What of an event must agree with the event after it, without what points into its bytes. */
struct link {
    uint64_t seq, version, prev, jump, entered_seq;
    int64_t at, entered_at;
    uint16_t definition, from, to;
};

static struct link
link_of(const struct event_record *event)
{
    return (struct link){
        .seq = event->seq,
        .version = event->version,
        .prev = event->prev,
        .jump = event->jump,
        .entered_seq = event->entered_seq,
        .at = event->at,
        .entered_at = event->entered_at,
        .definition = event->definition,
        .from = event->from,
        .to = event->to,
    };
}

static bool
wrong(char why[FEED_WHY_MAX], uint64_t version, const char *what)
{
    snprintf(why, FEED_WHY_MAX, "version %llu: %s", (unsigned long long)version, what);
    return false;
}

/* No list at all is an empty one. */
static bool
same_attributes(struct bytes list, struct bytes other)
{
    return bytes_equal(list, other) ||
           (attributes_count(list) == 0 && attributes_count(other) == 0);
}

/* The record against the newest event, which is the one read. */
static bool
record_agrees(struct walk *walk, char why[FEED_WHY_MAX])
{
    const struct order_record *record = &walk->record;
    const struct event_record *event = &walk->event;
    if (record->definition != event->definition || record->state != event->to ||
        record->updated_at != event->at || record->entered_seq != event->entered_seq ||
        record->entered_at != event->entered_at || record->deadline != event->deadline ||
        memcmp(&record->chain, &event->chain, sizeof record->chain) != 0) {
        return wrong(why, record->version, "the record is not what the newest event says");
    }
    uint64_t version = record->version;
    for (uint32_t i = record->prefixes_count; i > 0; i--) {
        if (!walk_try(walk, record->prefixes[i - 1], version)) {
            return wrong(why, version, "the record names another event for it");
        }
        version &= version - 1;
    }
    struct buf held = {0};
    bool equal = walk_fold(walk, record->seq, record->version, &held) &&
                 same_attributes(buf_bytes(&held), record->attributes);
    buf_free(&held);
    return equal || wrong(why, record->version, "the record holds other attributes");
}

/* An event that carries all attributes against those before it. */
static bool
carried_agrees(struct walk *walk, const struct event_record *event, char why[FEED_WHY_MAX])
{
    if (event->version % QO_SNAPSHOT_EVERY != 0) {
        return event->held.data == NULL ||
               wrong(why, event->version, "it carries all attributes, which is not its turn");
    }
    struct buf before = {0}, held = {0};
    bool equal = walk_fold(walk, event->prev, event->version - 1, &before);
    if (equal) {
        attributes_merge(&held, buf_bytes(&before), event->attributes);
        equal = same_attributes(buf_bytes(&held), event->held);
    }
    buf_free(&before);
    buf_free(&held);
    return equal || wrong(why, event->version, "it carries other attributes than it should");
}

/* An event against the one before it. */
static bool
links_agree(const struct link *later, const struct link *earlier, char why[FEED_WHY_MAX])
{
    bool stayed = later->entered_seq != later->seq;
    if (later->at < earlier->at) {
        return wrong(why, later->version, "it is older than the version before it");
    }
    if (later->definition == earlier->definition && later->from != earlier->to) {
        return wrong(why, later->version, "it leaves a state that the order was not in");
    }
    if (stayed && (later->to != later->from || later->entered_seq != earlier->entered_seq ||
                   later->entered_at != earlier->entered_at)) {
        return wrong(why, later->version,
                     "it stays, and says that the state was entered elsewhere");
    }
    return stayed || later->entered_at == later->at ||
           wrong(why, later->version, "it enters a state at another time than its own");
}

/* `event` is version `version`, decoded from `bytes`; checks it against what it names. */
static bool
event_agrees(struct walk *walk, const struct event_record *event, char why[FEED_WHY_MAX])
{
    struct link later = link_of(event);
    struct sha256 previous = {{0}};
    uint64_t jump = later.version & (later.version - 1);
    if (jump > 0 && !walk_try(walk, later.jump, jump)) {
        return wrong(why, later.version, "its jump leads astray");
    }
    if (later.version > 1) {
        if (!walk_try(walk, later.prev, later.version - 1)) {
            return wrong(why, later.version, "the version before it is not where it says");
        }
        struct link earlier = link_of(&walk->event);
        previous = walk->event.chain;
        if (!links_agree(&later, &earlier, why)) {
            return false;
        }
    } else if (later.from != RECORD_NONE || later.entered_seq != later.seq ||
               later.at != walk->record.created_at) {
        return wrong(why, later.version, "it is no creation, or not at the record's time");
    }
    struct sha256 chain = event_record_chain(event, previous);
    if (memcmp(&chain, &event->chain, sizeof chain) != 0) {
        return wrong(why, later.version, "its chain hash is not that of its bytes");
    }
    return carried_agrees(walk, event, why);
}

bool
feed_verify_order(struct store_view *view, struct bytes id, char why[FEED_WHY_MAX])
{
    struct walk walk;
    why[0] = '\0';
    if (!walk_begin(&walk, view, id)) {
        snprintf(why, FEED_WHY_MAX, "there is no such order");
        return false;
    }
    struct buf bytes = {0};
    uint64_t seq = walk.record.seq;
    bool right = true;
    for (uint64_t version = walk.record.version; right && version > 0; version--) {
        struct event_record event;
        if (!walk_try(&walk, seq, version)) {
            right = wrong(why, version, "there is no such event");
            break;
        }
        /* A copy of its own: checking it reads others. */
        buf_clear(&bytes);
        buf_append(&bytes, walk.event_bytes.data, walk.event_bytes.size);
        right = event_record_decode(seq, buf_bytes(&bytes), &event);
        QO_ASSERT(right);
        right = (version < walk.record.version || record_agrees(&walk, why)) &&
                event_agrees(&walk, &event, why);
        seq = event.prev;
    }
    buf_free(&bytes);
    walk_end(&walk);
    QO_POST(right == (why[0] == '\0'));
    return right;
}
