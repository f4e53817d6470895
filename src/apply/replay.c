/* Was this request applied before? Thread: state.
 *
 * The record of an order keeps 32 bits of the hash of the request ids of its last
 * QO_FINGERPRINTS_MAX versions, in slots. Older ones lie in the store. A fingerprint is only a
 * hint: the event is read and the whole request id compared.
 *
 * Pages   When the first slot is about to be used again, all slots go as a block into a page
 *         (pages.h): one put for 32 versions. Pages are looked through in the cache, beside the
 *         records; only what is not there costs a get, of 512 versions.
 * Rows    When the place of a page is about to be used again, which is after PAGES_VERSIONS further
 *         versions, its fingerprints go to rows (order, fingerprint) -> a version that has it: any
 *         one of them, put without looking.
 *         (order, fingerprint + 2^32) -> all versions that have it, if there are two or more. Put
 *         when a version arises whose fingerprint an older one has already: replay_find() has read
 *         them all by then, for its own purpose.
 * So up to QO_FINGERPRINTS_MAX versions cost neither get nor put; up to PAGES_VERSIONS more a put
 * in 32 versions, and a request a look through at most QO_FINGERPRINT_PAGES pages; any further
 * number a put a version besides, and a request one get besides, mostly of a row that is not there.
 *
 * Versions, not seqs, are found: the seq follows from the record over `prev` and `jump` when a hint
 * hits, which is next to never but for real replays.
 *
 * Of several events of an order that one command caused, only the first has a fingerprint: they
 * share the request id, and one of them is enough to find the command.
 */
#include "state.h"

#include "common/assert.h"

enum { SPILLED_GUESS = 8 };
#define SPILLED_ALL (UINT64_C(1) << 32)

uint32_t
request_fingerprint(struct bytes request_id)
{
    return (uint32_t)hash_xxh64(request_id);
}

void
event_read(struct apply *apply, uint64_t seq, struct event_record *event_out)
{
    struct bytes encoded;
    if (seq >= apply->first_seq) {
        QO_ASSERT(seq <= apply->applied.seq);
        struct event_place place = apply->places[seq - apply->first_seq];
        encoded = bytes_make(apply->events.data + place.at, place.size);
    } else {
        buf_clear(&apply->read_event);
        if (!store_get_event(apply->store, seq, &apply->read_event)) {
            qo_fatal(FATAL_CORRUPT, "event %llu is missing", (unsigned long long)seq);
        }
        encoded = buf_bytes(&apply->read_event);
    }
    if (!event_record_decode(seq, encoded, event_out)) {
        qo_fatal(FATAL_CORRUPT, "event %llu does not decode", (unsigned long long)seq);
    }
}

/* The event of one version of the order: from the nearest known version at or above it, down by
 * `jump` where that does not go too far, else by `prev`. At most about log2(version)^2 / 2 reads.
 */
static void
event_of_version(struct apply *apply, struct bytes id, const struct order_record *record,
                 uint64_t version, struct event_record *event_out)
{
    QO_PRE(version >= 1 && version <= record->version);
    uint64_t at = record->version;
    uint32_t known = record->prefixes_count;
    while (known > 1 && (at & (at - 1)) >= version) {
        at &= at - 1;
        known--;
    }
    QO_ASSERT(known >= 1);
    uint64_t seq = record->prefixes[known - 1];
    for (;;) {
        event_read(apply, seq, event_out);
        if (event_out->version != at || !bytes_equal(event_out->id, id)) {
            qo_fatal(FATAL_CORRUPT, "event %llu is not version %llu of order %.*s",
                     (unsigned long long)seq, (unsigned long long)at, BYTES_FORMAT(id));
        }
        if (at == version) {
            return;
        }
        bool jumps = (at & (at - 1)) >= version;
        seq = jumps ? event_out->jump : event_out->prev;
        at = jumps ? at & (at - 1) : at - 1;
    }
}

/* Key of an overlay: the order and the row. */
static struct bytes
spilled_key(struct apply *apply, struct bytes id, uint64_t row)
{
    uint8_t *key = arena_alloc(&apply->scratch, sizeof row + id.size);
    put_le64(key, row);
    memcpy(key + sizeof row, id.data, id.size);
    return bytes_make(key, sizeof row + id.size);
}

static struct versions
spilled_get(struct apply *apply, struct bytes id, uint32_t shard, uint64_t row)
{
    struct bytes put;
    if (apply->spilled.count > 0 &&
        overlay_get(&apply->spilled, spilled_key(apply, id, row), &put)) {
        /* The overlay holds our own arrays: aligned, and of whole numbers. */
        return (struct versions){(const void *)put.data, (uint32_t)(put.size / sizeof(uint64_t))};
    }
    uint64_t few[SPILLED_GUESS];
    uint32_t count = store_get_spilled(apply->store, id, shard, row, few, SPILLED_GUESS);
    if (count == 0) {
        return (struct versions){NULL, 0};
    }
    uint64_t *list = NULL;
    for (uint32_t max = SPILLED_GUESS; count == max || list == NULL;) {
        /* As many as asked for: there may be more. */
        max *= 2;
        list = arena_alloc(&apply->scratch, max * sizeof list[0]);
        count = store_get_spilled(apply->store, id, shard, row, list, max);
    }
    return (struct versions){list, count};
}

static void
spilled_put(struct apply *apply, const struct change *change, uint64_t row, struct versions rows)
{
    overlay_put(&apply->spilled, spilled_key(apply, change->id, row),
                bytes_make(rows.list, rows.count * sizeof rows.list[0]));
    store_put_spilled(apply->store, change->id, change->shard, row, rows.list, rows.count);
}

/* The newest version that has left the record, or will with the next one: all up to it are in
 * pages and rows, those behind it only in the record. */
static uint64_t
spilled_to(uint64_t version)
{
    return (version - 1) / QO_FINGERPRINTS_MAX * QO_FINGERPRINTS_MAX;
}

/* A page's key in the cache: no order's, for ids have no control characters. */
static struct bytes
page_key(struct bytes id, uint32_t place, uint8_t key[CACHE_KEY_MAX])
{
    static_assert(QO_FINGERPRINT_PAGES <= 0x20, "the place is a control character");
    memcpy(key, id.data, id.size);
    key[id.size] = (uint8_t)place;
    return bytes_make(key, id.size + 1);
}

/* The page in this place, in the cache: valid until the next put there. `version`: the newest that
 * it can hold. */
static struct bytes
page_load(struct apply *apply, struct bytes id, uint32_t shard, uint32_t place, uint64_t version)
{
    uint8_t bytes[CACHE_KEY_MAX];
    struct bytes key = page_key(id, place, bytes), page;
    uint64_t hash = hash_xxh64(key);
    if (!cache_get(apply->cache, key, hash, &page)) {
        buf_clear(&apply->page);
        if (!store_get_page(apply->store, id, shard, (uint8_t)place, &apply->page)) {
            page_begin(&apply->page, place); /* So that the cache knows that there is none. */
        }
        cache_put(apply->cache, key, hash, buf_bytes(&apply->page));
        bool cached = cache_get(apply->cache, key, hash, &page);
        QO_ASSERT(cached);
    }
    if (!page_valid(page, place, version)) {
        qo_fatal(FATAL_CORRUPT, "page %u of request ids of order %.*s does not decode", place,
                 BYTES_FORMAT(id));
    }
    return page;
}

/* Versions of both, which are in order. */
static struct versions
versions_joined(struct apply *apply, struct versions a, struct versions b)
{
    if (a.count == 0 || b.count == 0) {
        return a.count == 0 ? b : a;
    }
    uint64_t *list = arena_alloc(&apply->scratch, (a.count + b.count) * sizeof list[0]);
    for (uint32_t i = 0, j = 0; i + j < a.count + b.count;) {
        bool from_a = j == b.count || (i < a.count && a.list[i] < b.list[j]);
        uint64_t version = from_a ? a.list[i] : b.list[j];
        list[i + j] = version;
        i += from_a;
        j += !from_a;
    }
    return (struct versions){list, a.count + b.count};
}

/* Versions in the order's pages whose fingerprint it is, in order. */
static struct versions
pages_with(struct apply *apply, struct bytes id, uint32_t shard, uint64_t spilled,
           uint32_t fingerprint)
{
    struct versions all = {NULL, 0};
    uint32_t places = pages_places(spilled);
    for (uint32_t place = 0; place < places; place++) {
        struct bytes page = page_load(apply, id, shard, place, spilled);
        uint32_t count = page_find(page, fingerprint, NULL);
        if (count > 0) {
            uint64_t *list = arena_alloc(&apply->scratch, count * sizeof list[0]);
            (void)page_find(page, fingerprint, list);
            all = versions_joined(apply, all, (struct versions){list, count});
        }
    }
    return all;
}

/* Versions that only the record has and whose fingerprint it is, in order. */
static struct versions
slots_with(struct apply *apply, const struct order_record *record, uint32_t fingerprint)
{
    uint32_t hits = 0, count = 0;
    for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
        hits |= (uint32_t)(record->fingerprints[slot] == fingerprint) << slot;
    }
    hits &= record->fingerprints_set;
    if (hits == 0) {
        return (struct versions){NULL, 0};
    }
    uint64_t *list = arena_alloc(&apply->scratch, QO_FINGERPRINTS_MAX * sizeof list[0]);
    for (uint64_t v = spilled_to(record->version) + 1; v <= record->version; v++) {
        if ((hits >> v % QO_FINGERPRINTS_MAX & 1) != 0) {
            list[count++] = v;
        }
    }
    return (struct versions){list, count};
}

/* All versions of the order whose request ids have this fingerprint, oldest first. */
static struct versions
versions_with(struct apply *apply, struct bytes id, uint32_t shard,
              const struct order_record *record, uint32_t fingerprint)
{
    struct versions slots = slots_with(apply, record, fingerprint);
    uint64_t spilled = spilled_to(record->version);
    if (spilled == 0) {
        return slots;
    }
    if (spilled > PAGES_VERSIONS) {
        struct versions any = spilled_get(apply, id, shard, fingerprint);
        if (any.count > 0) {
            struct versions all = spilled_get(apply, id, shard, SPILLED_ALL | fingerprint);
            return all.count > 0 ? all : any;
        }
    }
    return versions_joined(apply, pages_with(apply, id, shard, spilled, fingerprint), slots);
}

bool
replay_find(struct apply *apply, struct bytes id, uint32_t shard, const struct order_record *record,
            struct bytes request_id, struct replay_hit *hit_out, struct versions *collisions_out)
{
    *collisions_out = (struct versions){NULL, 0};
#if defined(QO_MUTANT_REQUEST_ID_NOT_LOOKED_UP)
    if (request_id.size > 0) {
        return false;
    }
#endif
    uint32_t fingerprint = request_fingerprint(request_id);
    struct versions hints = versions_with(apply, id, shard, record, fingerprint);
    for (uint32_t i = 0; i < hints.count; i++) {
        struct event_record event;
        event_of_version(apply, id, record, hints.list[i], &event);
        if (bytes_equal(event.request_id, request_id)) {
            QO_ASSERT(event.operation < event.operations && event.seq > event.operation);
            *hit_out = (struct replay_hit){.seq = event.seq,
                                           .first = event.seq - event.operation,
                                           .operations = event.operations,
                                           .content = event.content};
            return true;
        }
    }
    *collisions_out = hints;
    return false;
}

/* The fingerprints of a page whose place is needed, to rows. */
static void
spill_page(struct apply *apply, const struct change *change, struct bytes page)
{
    for (uint32_t index = 0; index < page_blocks(page); index++) {
        struct page_block block;
        page_block_read(page, index, &block);
        for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
            if ((block.set >> slot & 1) != 0) {
                uint64_t *version = arena_alloc(&apply->scratch, sizeof *version);
                *version = page_block_version(&block, slot);
                spilled_put(apply, change, block.fingerprints[slot], (struct versions){version, 1});
            }
        }
    }
}

/* The record's block, to its page. */
static void
spill_block(struct apply *apply, const struct change *change)
{
    const struct page_block *block = change->spill;
    uint64_t number = page_of(block->before + 1);
    uint32_t place = page_place(number);
    struct bytes page = page_load(apply, change->id, change->shard, place, block->before);
    if (page_number(page) == number) {
        buf_clear(&apply->page);
        buf_append(&apply->page, page.data, page.size);
    } else {
        spill_page(apply, change, page);
        page_begin(&apply->page, number);
    }
    page_add(&apply->page, block);
    uint8_t bytes[CACHE_KEY_MAX];
    struct bytes key = page_key(change->id, place, bytes);
    store_put_page(apply->store, change->id, change->shard, (uint8_t)place,
                   buf_bytes(&apply->page));
    cache_put(apply->cache, key, hash_xxh64(key), buf_bytes(&apply->page));
}

void
replay_spill(struct apply *apply, const struct change *change)
{
    if (change->spill != NULL) {
        spill_block(apply, change);
    }
    if (change->collisions.count > 0) {
        uint32_t count = change->collisions.count + 1;
        uint64_t *list = arena_alloc(&apply->scratch, count * sizeof list[0]);
        memcpy(list, change->collisions.list, (count - 1) * sizeof list[0]);
        list[count - 1] = change->version;
        QO_ASSERT(list[count - 2] < change->version);
        spilled_put(apply, change, SPILLED_ALL | change->fingerprint,
                    (struct versions){list, count});
    }
}
