/*
 * Goal: what was encoded is decoded the same, and nothing else is decoded.
 * Method: random records and events of all sizes; every truncation and every flipped byte of some.
 */
#include "support/test.h"

#include <string.h>

#include "store/record.h"
#include "support/seed.h"

enum { ROUNDS = 2000 };

static void
fill(uint64_t *prng, void *out, size_t size)
{
    uint8_t *at = out;
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)seed_next(prng);
    }
}

/* Random bytes of a random size of at least `min` and at most `max`, in `memory`. */
static struct bytes
random_bytes(uint64_t *prng, uint8_t *memory, size_t min, size_t max)
{
    size_t size = min + (size_t)seed_below(prng, max - min + 1);
    fill(prng, memory, size);
    return bytes_make(memory, size);
}

struct order_input {
    struct order_record record;
    uint8_t attributes[300];
};

static void
random_order(uint64_t *prng, struct order_input *input)
{
    struct order_record *record = &input->record;
    *record = (struct order_record){0};
    /* Of all magnitudes: 1, and up to 2^64 - 1. */
    record->version = (seed_next(prng) >> seed_below(prng, 64)) | 1;
    record->definition = (uint16_t)seed_next(prng);
    record->state = (uint16_t)seed_next(prng);
    record->seq = record->version + (UINT64_MAX - record->version) / 2;
    record->created_at = (int64_t)seed_next(prng);
    record->updated_at = (int64_t)seed_next(prng);
    record->entered_seq = seed_below(prng, record->seq) + 1;
    record->entered_version = seed_below(prng, record->version) + 1;
    record->entered_at = (int64_t)seed_next(prng);
    record->deadline = (int64_t)seed_next(prng);
    fill(prng, &record->chain, sizeof record->chain);
    for (uint64_t version = record->version; version > 0; version &= version - 1) {
        record->prefixes_count++;
    }
    for (uint32_t i = 0; i < record->prefixes_count; i++) {
        record->prefixes[record->prefixes_count - 1 - i] = record->seq - i;
    }
    for (uint64_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
        bool possible = record->version >= 32 || (slot >= 1 && slot <= record->version);
        if (possible && seed_below(prng, 2) == 0) {
            record->fingerprints_set |= UINT32_C(1) << slot;
            record->fingerprints[slot] = (uint32_t)seed_next(prng);
        }
    }
    record->attributes = seed_below(prng, 4) == 0
                             ? BYTES_NONE
                             : random_bytes(prng, input->attributes, 1, sizeof input->attributes);
}

static void
an_order_is_decoded_as_encoded(void **state)
{
    uint64_t prng = seed_init();
    struct buf first = {0}, second = {0};
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct order_input input;
        struct order_record decoded;
        random_order(&prng, &input);
        buf_clear(&first);
        buf_clear(&second);
        order_record_encode(&input.record, &first);
        assert_true(order_record_decode(buf_bytes(&first), &decoded));
        assert_true(bytes_equal(decoded.attributes, input.record.attributes));
        assert_int_equal(decoded.version, input.record.version);
        assert_int_equal(decoded.deadline, input.record.deadline);
        assert_int_equal(decoded.fingerprints_set, input.record.fingerprints_set);
        assert_memory_equal(decoded.fingerprints, input.record.fingerprints,
                            sizeof decoded.fingerprints);
        assert_memory_equal(decoded.prefixes, input.record.prefixes,
                            8 * (size_t)decoded.prefixes_count);
        order_record_encode(&decoded, &second); /* All other fields. */
        assert_true(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    }
    buf_free(&first);
    buf_free(&second);
}

struct event_input {
    struct event_record event;
    uint8_t id[QO_ID_MAX], request_id[QO_REQUEST_ID_MAX], trace[QO_TRACE_MAX];
    uint8_t actor[QO_ACTOR_MAX], reason[QO_REASON_MAX], attributes[400], held[400];
};

static struct bytes
maybe(uint64_t *prng, uint8_t *memory, size_t min, size_t max)
{
    return seed_below(prng, 3) == 0 ? BYTES_NONE : random_bytes(prng, memory, min, max);
}

static void
random_event(uint64_t *prng, struct event_input *input)
{
    uint64_t version = (seed_next(prng) >> seed_below(prng, 64)) | 1;
    version &= ~(seed_next(prng) & 1); /* Even ones too. */
    version += version == 0;
    uint64_t seq = 4096 + (seed_next(prng) >> 1);
    input->event = (struct event_record){
        .seq = seq,
        .kind = EVENT_KIND_ORDER,
        .timer = seed_below(prng, 2) == 0,
        .operation = (uint16_t)seed_below(prng, 1024),
        .operations = 1024,
        .epoch = (uint32_t)seed_next(prng),
        .definition = (uint16_t)seed_next(prng),
        .event = (uint16_t)seed_next(prng),
        .from = (uint16_t)seed_next(prng),
        .to = (uint16_t)seed_next(prng),
        .shard = (uint8_t)seed_next(prng),
        .version = version,
        .at = (int64_t)seed_next(prng),
        .prev = version == 1 ? 0 : seq - 1,
        .jump = (version & (version - 1)) == 0 ? 0 : seq - 2,
        .entered_seq = seed_below(prng, seq),
        .entered_at = (int64_t)seed_next(prng),
        .deadline = (int64_t)seed_next(prng),
        .id = random_bytes(prng, input->id, 1, sizeof input->id),
        .request_id = maybe(prng, input->request_id, 1, sizeof input->request_id),
        .trace = maybe(prng, input->trace, 0, sizeof input->trace),
        .actor = maybe(prng, input->actor, 0, sizeof input->actor),
        .reason = maybe(prng, input->reason, 0, sizeof input->reason),
        .attributes = maybe(prng, input->attributes, 2, sizeof input->attributes),
        .held = maybe(prng, input->held, 2, sizeof input->held),
    };
    fill(prng, &input->event.content, sizeof input->event.content);
    fill(prng, &input->event.chain, sizeof input->event.chain);
}

/* Absent and empty are different things here. */
static void
assert_same(struct bytes got, struct bytes want)
{
    assert_true(bytes_equal(got, want));
    assert_int_equal(got.data == NULL, want.data == NULL);
}

static void
an_event_is_decoded_as_encoded(void **state)
{
    uint64_t prng = seed_init();
    struct buf first = {0}, second = {0};
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct event_input input;
        struct event_record decoded;
        random_event(&prng, &input);
        buf_clear(&first);
        buf_clear(&second);
        event_record_encode(&input.event, &first);
        assert_true(event_record_decode(input.event.seq, buf_bytes(&first), &decoded));
        assert_int_equal(decoded.seq, input.event.seq);
        assert_int_equal(decoded.jump, input.event.jump);
        assert_same(decoded.id, input.event.id);
        assert_same(decoded.request_id, input.event.request_id);
        assert_same(decoded.trace, input.event.trace);
        assert_same(decoded.actor, input.event.actor);
        assert_same(decoded.reason, input.event.reason);
        assert_same(decoded.attributes, input.event.attributes);
        assert_same(decoded.held, input.event.held);
        event_record_encode(&decoded, &second);
        assert_true(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
        /* Under another key it is no event. */
        assert_false(event_record_decode(input.event.seq + 1, buf_bytes(&first), &decoded));
    }
    buf_free(&first);
    buf_free(&second);
}

static bool
decodes(bool event, uint64_t seq, struct bytes bytes)
{
    struct order_record order_out;
    struct event_record event_out;
    return event ? event_record_decode(seq, bytes, &event_out)
                 : order_record_decode(bytes, &order_out);
}

/* In memory of exactly its size, so that a read past the end is seen by the sanitizer. */
static void
assert_refused(bool event, uint64_t seq, const uint8_t *data, size_t size)
{
    uint8_t *copy = mem_alloc(size);
    memcpy(copy, data, size);
    bool decoded = decodes(event, seq, bytes_make(copy, size));
    mem_free(copy);
    assert_false(decoded);
}

static void
refuses_what_was_cut_or_changed(void **state)
{
    uint64_t prng = seed_init();
    struct buf encoded = {0};
    (void)state;
    for (uint32_t round = 0; round < 40; round++) {
        struct order_input order;
        struct event_input event;
        bool is_event = round % 2 == 0;
        random_order(&prng, &order);
        random_event(&prng, &event);
        buf_clear(&encoded);
        if (is_event) {
            event_record_encode(&event.event, &encoded);
        } else {
            order_record_encode(&order.record, &encoded);
        }
        uint64_t seq = event.event.seq;
        assert_true(decodes(is_event, seq, buf_bytes(&encoded)));
        for (size_t size = 0; size < encoded.size; size++) {
            assert_refused(is_event, seq, encoded.data, size);
            uint8_t flip = (uint8_t)(1 + seed_below(&prng, 255));
            encoded.data[size] ^= flip;
            assert_refused(is_event, seq, encoded.data, encoded.size);
            encoded.data[size] ^= flip;
        }
        buf_put_u8(&encoded, 0);
        assert_refused(is_event, seq, encoded.data, encoded.size);
    }
    buf_free(&encoded);
}

static bool
same_hash(struct sha256 a, struct sha256 b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void
the_chain_covers_every_field(void **state)
{
    uint64_t prng = seed_init();
    struct event_input input;
    struct sha256 before = {{1, 2, 3}}, other = {{1, 2, 4}};
    (void)state;
    random_event(&prng, &input);
    struct event_record *event = &input.event;
    event->version = 7;
    event->prev = event->seq - 1;
    event->jump = event->seq - 2;
    event->actor = event->reason = event->attributes = event->held = bytes_text("x");
    event->request_id = event->trace = bytes_text("y");
    struct sha256 chain = event_record_chain(event, before);
    assert_false(same_hash(chain, event_record_chain(event, other)));

#define CHANGED(field, value)                                                                      \
    do {                                                                                           \
        struct event_record changed = *event;                                                      \
        changed.field = (value);                                                                   \
        if (same_hash(chain, event_record_chain(&changed, before))) {                              \
            fail_msg("%s does not enter the chain", #field);                                       \
        }                                                                                          \
    } while (0)
    CHANGED(seq, event->seq + 1);
    CHANGED(timer, !event->timer);
    CHANGED(operation, event->operation == 0 ? 1 : 0);
    CHANGED(operations, 1025);
    CHANGED(epoch, event->epoch + 1);
    CHANGED(definition, (uint16_t)(event->definition + 1));
    CHANGED(event, (uint16_t)(event->event + 1));
    CHANGED(from, (uint16_t)(event->from + 1));
    CHANGED(to, (uint16_t)(event->to + 1));
    CHANGED(shard, (uint8_t)(event->shard + 1));
    CHANGED(version, 11);
    CHANGED(at, event->at ^ 1);
    CHANGED(prev, event->prev - 1);
    CHANGED(jump, event->jump - 1);
    CHANGED(entered_seq, event->entered_seq ^ 1);
    CHANGED(entered_at, event->entered_at ^ 1);
    CHANGED(deadline, event->deadline ^ 1);
    CHANGED(content.bytes[15], (uint8_t)(event->content.bytes[15] + 1));
    CHANGED(id, bytes_text("z"));
    CHANGED(request_id, BYTES_NONE);
    CHANGED(trace, BYTES_NONE);
    CHANGED(actor, BYTES_NONE);
    CHANGED(reason, bytes_text(""));
    CHANGED(attributes, bytes_text("zz"));
    CHANGED(held, BYTES_NONE);
#undef CHANGED

    /* What is personal has one way to be cut into parts. */
    struct event_record moved = *event;
    moved.actor = bytes_text("xx");
    moved.reason = bytes_text("");
    assert_false(same_hash(chain, event_record_chain(&moved, before)));
    /* The hash itself is not read. */
    moved = *event;
    moved.chain.bytes[0]++;
    assert_true(same_hash(chain, event_record_chain(&moved, before)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_decoded_as_encoded),
        cmocka_unit_test(an_event_is_decoded_as_encoded),
        cmocka_unit_test(refuses_what_was_cut_or_changed),
        cmocka_unit_test(the_chain_covers_every_field),
    };
    return cmocka_run_group_tests_name("store/record", tests, NULL, NULL);
}
