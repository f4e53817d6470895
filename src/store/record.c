/*
 * See store/record.h. Thread: any; pure.
 *
 * The encodings. Numbers are little-endian and of fixed size; `crc` is CRC-32C over all that stands
 * behind it (for an event: begun with its seq, so that bytes under another key do not decode). It
 * guards the way from here through memtable, cache, file and compaction back to here.
 *
 *   record  format:u8 crc:le32 definition:le16 state:le16 version:le64 seq:le64 created_at:le64
 *           updated_at:le64 entered_seq:le64 entered_version:le64 entered_at:le64 deadline:le64
 *           chain:32 fingerprints_set:le32
 *           prefixes:le64 each, popcount(version) of them
 *           fingerprints:le32 each, those set, in order of slot
 *           attributes: the rest
 *
 *   event   format:u8 crc:le32 body chain:32 personal
 *   body    flags:u8 kind:u8 shard:u8 operation:le16 operations:le16 epoch:le32 definition:le16
 *           event:le16 from:le16 to:le16 version:le64 at:le64 prev:le64 jump:le64 entered_seq:le64
 *           entered_at:le64 deadline:le64 content:16 id_size:u8 request_id_size:u8 trace_size:le16
 *           id request_id trace
 *   personal  actor_size:le32 reason_size:le32 attributes_size:le32 held_size:le32
 *           actor reason attributes held; a size of 2^32 - 1: absent
 *
 * `held` repeats attributes of earlier events, so it is personal too.
 */
#include "store/record.h"

#include "common/assert.h"

enum {
    RECORD_FORMAT = 1,
    RECORD_FIXED_SIZE = 1 + 4 + 2 * 2 + 8 * 8 + 32 + 4,
    CHECKED_FROM = 5, /* Where the bytes begin that the checksum covers. */
    EVENT_FORMAT = 1,
    EVENT_FLAG_TIMER = 1,
    EVENT_FLAG_TRACE = 2, /* There is a trace, perhaps an empty one. */
    EVENT_FLAGS = EVENT_FLAG_TIMER | EVENT_FLAG_TRACE,
    BODY_FIXED_SIZE = 3 + 2 * 2 + 4 + 4 * 2 + 7 * 8 + 16 + 4,
    BODY_MAX = BODY_FIXED_SIZE + QO_ID_MAX + QO_REQUEST_ID_MAX + QO_TRACE_MAX,
    PERSONAL_PARTS = 4,
    PERSONAL_FIXED_SIZE = 4 * PERSONAL_PARTS,
};
#define PART_ABSENT UINT32_MAX

static uint32_t
popcount32(uint32_t value)
{
    value -= (value >> 1) & 0x55555555u;
    value = (value & 0x33333333u) + ((value >> 2) & 0x33333333u);
    return (((value + (value >> 4)) & 0x0f0f0f0fu) * 0x01010101u) >> 24;
}

static uint32_t
popcount64(uint64_t value)
{
    return popcount32((uint32_t)value) + popcount32((uint32_t)(value >> 32));
}

/* Writers and readers that move on; the caller has seen to the room. */
#define STEP_LE(bits)                                                                              \
    static inline uint8_t *step_put##bits(uint8_t *at, uint##bits##_t value)                       \
    {                                                                                              \
        put_le##bits(at, value);                                                                   \
        return at + sizeof value;                                                                  \
    }                                                                                              \
    static inline uint##bits##_t step_get##bits(const uint8_t **at)                                \
    {                                                                                              \
        uint##bits##_t value = get_le##bits(*at);                                                  \
        *at += sizeof value;                                                                       \
        return value;                                                                              \
    }
STEP_LE(16)
STEP_LE(32)
STEP_LE(64)
#undef STEP_LE

static inline uint8_t *
step_put(uint8_t *at, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(at, data, size);
    }
    return at + size;
}

/* Slots that versions 1 to `version` can have used. */
static uint32_t
fingerprints_possible(uint64_t version)
{
    static_assert(QO_FINGERPRINTS_MAX == 32, "one bit of a uint32_t per slot");
    return version >= QO_FINGERPRINTS_MAX ? UINT32_MAX
                                          : (uint32_t)(((uint64_t)2 << version) - 2) & UINT32_MAX;
}

/* What an encoder promises and a decoder demands. */
static bool
order_record_valid(const struct order_record *record)
{
    if (record->version == 0 || record->seq < record->version || record->entered_version == 0 ||
        record->entered_version > record->version || record->entered_seq > record->seq ||
        record->prefixes_count != popcount64(record->version) ||
        (record->fingerprints_set & ~fingerprints_possible(record->version)) != 0) {
        return false;
    }
    for (uint32_t i = 1; i < record->prefixes_count; i++) {
        if (record->prefixes[i] <= record->prefixes[i - 1]) {
            return false;
        }
    }
    return record->prefixes[record->prefixes_count - 1] == record->seq;
}

void
order_record_encode(const struct order_record *record, struct buf *out)
{
    QO_PRE(order_record_valid(record));
    size_t size = RECORD_FIXED_SIZE + 8 * (size_t)record->prefixes_count +
                  4 * (size_t)popcount32(record->fingerprints_set) + record->attributes.size;
    uint8_t *start = buf_reserve(out, size);
    uint8_t *at = start + CHECKED_FROM;
    start[0] = RECORD_FORMAT;
    at = step_put16(at, record->definition);
    at = step_put16(at, record->state);
    at = step_put64(at, record->version);
    at = step_put64(at, record->seq);
    at = step_put64(at, (uint64_t)record->created_at);
    at = step_put64(at, (uint64_t)record->updated_at);
    at = step_put64(at, record->entered_seq);
    at = step_put64(at, record->entered_version);
    at = step_put64(at, (uint64_t)record->entered_at);
    at = step_put64(at, (uint64_t)record->deadline);
    at = step_put(at, record->chain.bytes, sizeof record->chain.bytes);
    at = step_put32(at, record->fingerprints_set);
    for (uint32_t i = 0; i < record->prefixes_count; i++) {
        at = step_put64(at, record->prefixes[i]);
    }
    for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
        if ((record->fingerprints_set >> slot & 1) != 0) {
            at = step_put32(at, record->fingerprints[slot]);
        }
    }
    at = step_put(at, record->attributes.data, record->attributes.size);
    QO_POST(at == start + size);
    put_le32(start + 1, hash_crc32c(bytes_make(start + CHECKED_FROM, size - CHECKED_FROM)));
    out->size += size;
}

bool
order_record_decode(struct bytes encoded, struct order_record *record)
{
    if (encoded.size < RECORD_FIXED_SIZE || encoded.data[0] != RECORD_FORMAT ||
        get_le32(encoded.data + 1) !=
            hash_crc32c(bytes_make(encoded.data + CHECKED_FROM, encoded.size - CHECKED_FROM))) {
        return false;
    }
    const uint8_t *at = encoded.data + CHECKED_FROM;
    record->definition = step_get16(&at);
    record->state = step_get16(&at);
    record->version = step_get64(&at);
    record->seq = step_get64(&at);
    record->created_at = (int64_t)step_get64(&at);
    record->updated_at = (int64_t)step_get64(&at);
    record->entered_seq = step_get64(&at);
    record->entered_version = step_get64(&at);
    record->entered_at = (int64_t)step_get64(&at);
    record->deadline = (int64_t)step_get64(&at);
    memcpy(record->chain.bytes, at, sizeof record->chain.bytes);
    at += sizeof record->chain.bytes;
    record->fingerprints_set = step_get32(&at);
    record->prefixes_count = popcount64(record->version);
    size_t left = encoded.size - RECORD_FIXED_SIZE;
    size_t lists =
        8 * (size_t)record->prefixes_count + 4 * (size_t)popcount32(record->fingerprints_set);
    if (left < lists) {
        return false;
    }
    for (uint32_t i = 0; i < record->prefixes_count; i++) {
        record->prefixes[i] = step_get64(&at);
    }
    for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
        bool set = (record->fingerprints_set >> slot & 1) != 0;
        record->fingerprints[slot] = set ? step_get32(&at) : 0;
    }
    record->attributes = left == lists ? BYTES_NONE : bytes_make(at, left - lists);
    return order_record_valid(record);
}

static bool
event_record_valid(const struct event_record *event)
{
    return event->kind == EVENT_KIND_ORDER && event->version >= 1 && event->seq >= 1 &&
           event->operation < event->operations && event->seq > event->operation &&
           event->prev < event->seq && event->jump <= event->prev &&
           (event->version == 1) == (event->prev == 0) &&
           ((event->version & (event->version - 1)) == 0) == (event->jump == 0) &&
           event->entered_seq <= event->seq && event->id.size >= 1 && event->id.size <= QO_ID_MAX &&
           event->request_id.size <= QO_REQUEST_ID_MAX && event->trace.size <= QO_TRACE_MAX;
}

/* Writes the body, at most BODY_MAX bytes; where it ends. */
static uint8_t *
body_write(const struct event_record *event, uint8_t *at)
{
    *at++ = (uint8_t)((event->timer ? EVENT_FLAG_TIMER : 0) |
                      (event->trace.data != NULL ? EVENT_FLAG_TRACE : 0));
    *at++ = (uint8_t)event->kind;
    *at++ = event->shard;
    at = step_put16(at, event->operation);
    at = step_put16(at, event->operations);
    at = step_put32(at, event->epoch);
    at = step_put16(at, event->definition);
    at = step_put16(at, event->event);
    at = step_put16(at, event->from);
    at = step_put16(at, event->to);
    at = step_put64(at, event->version);
    at = step_put64(at, (uint64_t)event->at);
    at = step_put64(at, event->prev);
    at = step_put64(at, event->jump);
    at = step_put64(at, event->entered_seq);
    at = step_put64(at, (uint64_t)event->entered_at);
    at = step_put64(at, (uint64_t)event->deadline);
    at = step_put(at, event->content.bytes, sizeof event->content.bytes);
    *at++ = (uint8_t)event->id.size;
    *at++ = (uint8_t)event->request_id.size;
    at = step_put16(at, (uint16_t)event->trace.size);
    at = step_put(at, event->id.data, event->id.size);
    at = step_put(at, event->request_id.data, event->request_id.size);
    return step_put(at, event->trace.data, event->trace.size);
}

/* Where the body ends, or NULL if it is none. */
static const uint8_t *
body_read(const uint8_t *at, const uint8_t *end, struct event_record *event)
{
    if ((size_t)(end - at) < BODY_FIXED_SIZE || (at[0] & ~EVENT_FLAGS) != 0 ||
        at[1] != EVENT_KIND_ORDER) {
        return NULL;
    }
    uint8_t flags = *at++;
    event->timer = (flags & EVENT_FLAG_TIMER) != 0;
    event->kind = EVENT_KIND_ORDER;
    at++;
    event->shard = *at++;
    event->operation = step_get16(&at);
    event->operations = step_get16(&at);
    event->epoch = step_get32(&at);
    event->definition = step_get16(&at);
    event->event = step_get16(&at);
    event->from = step_get16(&at);
    event->to = step_get16(&at);
    event->version = step_get64(&at);
    event->at = (int64_t)step_get64(&at);
    event->prev = step_get64(&at);
    event->jump = step_get64(&at);
    event->entered_seq = step_get64(&at);
    event->entered_at = (int64_t)step_get64(&at);
    event->deadline = (int64_t)step_get64(&at);
    memcpy(event->content.bytes, at, sizeof event->content.bytes);
    at += sizeof event->content.bytes;
    size_t id_size = at[0], request_id_size = at[1], trace_size = get_le16(at + 2);
    at += 4;
    if ((size_t)(end - at) < id_size + request_id_size + trace_size) {
        return NULL;
    }
    event->id = bytes_make(at, id_size);
    at += id_size;
    event->request_id = request_id_size == 0 ? BYTES_NONE : bytes_make(at, request_id_size);
    at += request_id_size;
    bool has_trace = (flags & EVENT_FLAG_TRACE) != 0;
    event->trace = has_trace ? bytes_make(at, trace_size) : BYTES_NONE;
    return trace_size == 0 || has_trace ? at + trace_size : NULL;
}

/* The personal part as pieces: the sizes, then the parts. `sizes` holds the first. */
static void
personal_parts(const struct event_record *event, uint8_t sizes[PERSONAL_FIXED_SIZE],
               struct bytes parts[1 + PERSONAL_PARTS])
{
    parts[0] = bytes_make(sizes, PERSONAL_FIXED_SIZE);
    parts[1] = event->actor;
    parts[2] = event->reason;
    parts[3] = event->attributes;
    parts[4] = event->held;
    for (uint32_t i = 0; i < PERSONAL_PARTS; i++) {
        QO_PRE(parts[1 + i].size < PART_ABSENT);
        bool absent = parts[1 + i].data == NULL;
        put_le32(sizes + (size_t)4 * i, absent ? PART_ABSENT : (uint32_t)parts[1 + i].size);
    }
}

static bool
personal_read(const uint8_t *at, const uint8_t *end, struct event_record *event)
{
    struct bytes *parts[PERSONAL_PARTS] = {&event->actor, &event->reason, &event->attributes,
                                           &event->held};
    if (end - at < PERSONAL_FIXED_SIZE) {
        return false;
    }
    const uint8_t *sizes = at;
    at += PERSONAL_FIXED_SIZE;
    for (uint32_t i = 0; i < PERSONAL_PARTS; i++) {
        uint32_t size = step_get32(&sizes);
        *parts[i] = BYTES_NONE;
        if (size != PART_ABSENT) {
            if ((size_t)(end - at) < size) {
                return false;
            }
            *parts[i] = bytes_make(at, size);
            at += size;
        }
    }
    return at == end;
}

static uint32_t
event_checksum(uint64_t seq, const uint8_t *from, const uint8_t *end)
{
    uint8_t seed[8];
    put_le64(seed, seq);
    return hash_crc32c_more(hash_crc32c(bytes_make(seed, sizeof seed)),
                            bytes_make(from, (size_t)(end - from)));
}

void
event_record_encode(const struct event_record *event, struct buf *out)
{
    QO_PRE(event_record_valid(event));
    uint8_t sizes[PERSONAL_FIXED_SIZE];
    struct bytes parts[1 + PERSONAL_PARTS];
    personal_parts(event, sizes, parts);
    size_t size_max = CHECKED_FROM + BODY_MAX + sizeof event->chain.bytes;
    for (uint32_t i = 0; i <= PERSONAL_PARTS; i++) {
        size_max += parts[i].size;
    }
    uint8_t *start = buf_reserve(out, size_max);
    start[0] = EVENT_FORMAT;
    uint8_t *at = body_write(event, start + CHECKED_FROM);
    at = step_put(at, event->chain.bytes, sizeof event->chain.bytes);
    for (uint32_t i = 0; i <= PERSONAL_PARTS; i++) {
        at = step_put(at, parts[i].data, parts[i].size);
    }
    QO_POST((size_t)(at - start) <= size_max);
    put_le32(start + 1, event_checksum(event->seq, start + CHECKED_FROM, at));
    out->size += (size_t)(at - start);
}

bool
event_record_decode(uint64_t seq, struct bytes encoded, struct event_record *event)
{
    const uint8_t *end = encoded.data + encoded.size;
    if (encoded.size < CHECKED_FROM || encoded.data[0] != EVENT_FORMAT ||
        get_le32(encoded.data + 1) != event_checksum(seq, encoded.data + CHECKED_FROM, end)) {
        return false;
    }
    event->seq = seq;
    const uint8_t *at = body_read(encoded.data + CHECKED_FROM, end, event);
    if (at == NULL || (size_t)(end - at) < sizeof event->chain.bytes) {
        return false;
    }
    memcpy(event->chain.bytes, at, sizeof event->chain.bytes);
    return personal_read(at + sizeof event->chain.bytes, end, event) && event_record_valid(event);
}

struct sha256
event_record_chain(const struct event_record *event, struct sha256 previous)
{
    QO_PRE(event_record_valid(event));
    uint8_t sizes[PERSONAL_FIXED_SIZE];
    struct bytes parts[1 + PERSONAL_PARTS];
    personal_parts(event, sizes, parts);
    struct sha256 personal = hash_sha256_parts(parts, 1 + PERSONAL_PARTS);

    /* The seq is part of what is chained, though it is stored as the key only. */
    uint8_t input[sizeof previous.bytes + 8 + BODY_MAX + sizeof personal.bytes];
    uint8_t *at = step_put(input, previous.bytes, sizeof previous.bytes);
    at = step_put64(at, event->seq);
    at = body_write(event, at);
    at = step_put(at, personal.bytes, sizeof personal.bytes);
    return hash_sha256(bytes_make(input, (size_t)(at - input)));
}
