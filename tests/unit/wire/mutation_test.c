/*
 * Goal: no bytes from a socket harm a node: each stream is answered or cut off, and what is taken
 * is right.
 * Method: 100,000 streams made from valid requests by flipping, cutting, doubling, splicing and
 * inserting bytes, and of random bytes; the properties of tests/fuzz/wire_property.h hold for each.
 */
#include "support/test.h"

#include "fuzz/wire_property.h"
#include "notation.h"
#include "support/seed.h"

enum { STREAMS = 100000 };

static const char *const seeds[] = {
    "[0, 1, 'ping', []]",
    "[0, 7, 'hello', [{'protocol': 1, 'client': 'c'}]]",
    "[0, 7, 'order.create', [{'id': 'a', 'machine': 'm', 'machine_version': 1, 'attributes': {'b': "
    "[1, 2.5, {'y': nil, 'x': 'z'}], 'a': 'text'}, 'actor': 'me', 'request_id': 'r'}]]",
    "[0, 300, 'order.transition', [{'id': 'a', 'event': 'e', 'expect_version': 3, 'attributes': "
    "{'n': 5.0, 'm': -7, 'o': true}, 'request_id': '0123456789abcdef', 'trace': 't'}]]",
    "[0, 70000, 'order.batch', [{'atomic': true, 'request_id': 'q', 'operations': [{'op': "
    "'create', "
    "'id': 'a', 'machine': 'm'}*3, {'op': 'transition', 'id': 'a', 'event': 'e'}]}]]",
    "[0, 7, 'order.batch', [{'atomic': false, 'operations': [{'op': 'create', 'id': 'a', "
    "'machine': "
    "'m', 'request_id': 'q', 'attributes': {'k': {'b': 1, 'a': 2}}}]}]]",
    "[0, 7, 'order.list', [{'machine': 'm', 'attribute': 'a', 'value': {'b': 1, 'a': [nil]}}]]",
    "[0, 7, 'order.get_many', [{'ids': ['a', 'b'], 'min_seq': 5, 'consistency': 'local'}]]",
    "[0, 7, 'feed.read', [{'from_seq': 3, 'shards': [1, 2], 'machines': ['b', 'a'], 'limit': 9}]]",
    "[2, 'feed.credit', [{'subscription': 1, 'credit': 5}]]",
    "[0, 7, 'machine.put', [{'source': 'machine: m'}]]",
    "{'id': 'a', 'attributes': {'a': 1, 'b': [2]}, 'allowed': ['x'], 'deadline': {'at': 5}}",
    "[1, 7, [100, 'x', {'code': 'bad_request', 'applied': false, 'field': 'f', 'index': 3}], nil]",
};
enum { SEEDS = sizeof seeds / sizeof seeds[0] };

static struct buf valid[SEEDS];

static void
mutate(struct buf *stream, uint64_t *seed)
{
    static const uint8_t heads[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1,
                                    0xc2, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcf, 0xd3, 0xd4,
                                    0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};
    if (stream->size == 0) {
        return;
    }
    size_t at = seed_below(seed, stream->size);
    size_t size = 1 + seed_below(seed, stream->size - at < 16 ? stream->size - at : 16);
    switch (seed_below(seed, 6)) {
    case 0: /* A bit. */
        stream->data[at] = (uint8_t)(stream->data[at] ^ (1u << seed_below(seed, 8)));
        break;
    case 1: /* Another head. */
        stream->data[at] = heads[seed_below(seed, sizeof heads)];
        break;
    case 2: /* Cut off. */
        stream->size = at;
        break;
    case 3: /* A piece taken out. */
        memmove(stream->data + at, stream->data + at + size, stream->size - at - size);
        stream->size -= size;
        break;
    case 4: /* A piece doubled. */
        (void)buf_reserve(stream, size);
        memmove(stream->data + at + size, stream->data + at, stream->size - at);
        stream->size += size;
        break;
    default: /* A piece of another message over it. */
        for (size_t i = 0; i < size; i++) {
            const struct buf *other = &valid[(at + size) % SEEDS];
            stream->data[at + i] = other->data[(at * 7 + i) % other->size];
        }
        break;
    }
}

static void
survives_mutated_streams(void **state)
{
    uint64_t seed = seed_init();
    struct wire_property property = {0};
    struct buf stream = {0};
    (void)state;
    for (int n = 0; n < STREAMS; n++) {
        const struct buf *base = &valid[seed_below(&seed, SEEDS)];
        buf_clear(&stream);
        buf_append(&stream, base->data, base->size);
        if (seed_below(&seed, 10) == 0) { /* Only the first byte is right. */
            for (size_t i = 1; i < stream.size; i++) {
                stream.data[i] = (uint8_t)seed_next(&seed);
            }
        }
        for (uint64_t changes = seed_below(&seed, 5); changes > 0; changes--) {
            mutate(&stream, &seed);
        }
        wire_property_stream(&property, buf_bytes(&stream));
    }
    /* Else the mutations were too wild or too tame to test anything. */
    assert_true(property.taken > STREAMS / 20 && property.refused > STREAMS / 20);
    wire_property_free(&property);
    buf_free(&stream);
}

static int
make_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < SEEDS; i++) {
        notation_put(&valid[i], seeds[i]);
    }
    return 0;
}

static int
free_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < SEEDS; i++) {
        buf_free(&valid[i]);
    }
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_mutated_streams),
    };
    return cmocka_run_group_tests_name("wire/mutation", tests, make_valid, free_valid);
}
