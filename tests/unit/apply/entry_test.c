/*
 * Goal: what a leader encodes every node decodes to the same, and what is not understood is never
 * taken for something else.
 * Method: random entries there and back; then damage of every kind.
 */
#include "support/test.h"

#include "apply/entry.h"
#include "common/arena.h"
#include "common/attributes.h"
#include "support/seed.h"

enum { ENTRIES = 500, COMMANDS_MAX = 8, OPERATIONS_MAX = 5 };

static struct bytes
random_text(uint64_t *prng, struct arena *arena, uint64_t min, uint64_t max)
{
    size_t size = (size_t)(min + seed_below(prng, max - min + 1));
    uint8_t *text = arena_alloc(arena, size);
    for (size_t i = 0; i < size; i++) {
        text[i] = (uint8_t)('a' + seed_below(prng, 26));
    }
    return bytes_make(text, size);
}

static struct bytes
sometimes(uint64_t *prng, struct arena *arena, uint64_t max)
{
    return seed_below(prng, 2) == 0 ? BYTES_NONE : random_text(prng, arena, 1, max);
}

static struct operation
random_operation(uint64_t *prng, struct arena *arena)
{
    struct operation operation = {.id = random_text(prng, arena, 1, QO_ID_MAX),
                                  .actor = sometimes(prng, arena, QO_ACTOR_MAX),
                                  .reason = sometimes(prng, arena, QO_REASON_MAX)};
    if (seed_below(prng, 2) == 0) {
        operation.kind = OPERATION_CREATE;
        operation.machine = random_text(prng, arena, 1, QO_NAME_MAX);
        operation.machine_version = (uint32_t)seed_below(prng, 3);
    } else {
        operation.kind = OPERATION_TRANSITION;
        operation.event = random_text(prng, arena, 1, QO_NAME_MAX);
        operation.has_expect_version = seed_below(prng, 2) == 0;
        operation.expect_version = operation.has_expect_version ? seed_next(prng) : 0;
        operation.expect_state = sometimes(prng, arena, QO_NAME_MAX);
    }
    if (seed_below(prng, 3) > 0) {
        struct buf buf = {0};
        struct attributes_builder builder = attributes_build(&buf);
        if (seed_below(prng, 2) == 0) {
            attributes_append(&builder, bytes_text("note"), VALUE_TEXT, bytes_text("\xa2ok"));
        }
        operation.attributes = arena_copy(arena, attributes_built(&builder));
        buf_free(&buf);
    }
    return operation;
}

static struct command
random_command(uint64_t *prng, struct arena *arena)
{
    struct command command = {.kind = (enum command_kind)(1 + seed_below(prng, 3))};
    switch (command.kind) {
    case COMMAND_GROUP:
        command.atomic = seed_below(prng, 2) == 0;
        command.request_id = sometimes(prng, arena, QO_REQUEST_ID_MAX);
        command.trace = sometimes(prng, arena, QO_TRACE_MAX);
        for (size_t i = 0; i < sizeof command.content.bytes; i++) {
            command.content.bytes[i] = (uint8_t)seed_next(prng);
        }
        command.operations_count = (uint32_t)(1 + seed_below(prng, OPERATIONS_MAX));
        command.operations =
            arena_alloc(arena, command.operations_count * sizeof command.operations[0]);
        for (uint32_t i = 0; i < command.operations_count; i++) {
            command.operations[i] = random_operation(prng, arena);
        }
        break;
    case COMMAND_TIMER:
        command.timer_id = random_text(prng, arena, 1, QO_ID_MAX);
        command.timer_entered_version = 1 + seed_below(prng, 1000);
        command.timer_deadline = (int64_t)(1 + seed_below(prng, INT64_MAX));
        break;
    case COMMAND_DEFINITION:
        command.compiled = random_text(prng, arena, 1, 3000);
        command.source = random_text(prng, arena, 1, 3000);
        break;
    }
    return command;
}

static bool
same_text(struct bytes a, struct bytes b)
{
    return (a.data == NULL) == (b.data == NULL) && bytes_equal(a, b);
}

static bool
same_operation(const struct operation *a, const struct operation *b)
{
    return a->kind == b->kind && same_text(a->id, b->id) && same_text(a->machine, b->machine) &&
           a->machine_version == b->machine_version && same_text(a->event, b->event) &&
           a->has_expect_version == b->has_expect_version &&
           a->expect_version == b->expect_version && same_text(a->expect_state, b->expect_state) &&
           same_text(a->actor, b->actor) && same_text(a->reason, b->reason) &&
           same_text(a->attributes, b->attributes);
}

static bool
same_command(const struct command *a, const struct command *b)
{
    bool same = a->kind == b->kind && a->atomic == b->atomic &&
                same_text(a->request_id, b->request_id) && same_text(a->trace, b->trace) &&
                memcmp(&a->content, &b->content, sizeof a->content) == 0 &&
                a->operations_count == b->operations_count && same_text(a->timer_id, b->timer_id) &&
                a->timer_entered_version == b->timer_entered_version &&
                a->timer_deadline == b->timer_deadline && same_text(a->compiled, b->compiled) &&
                same_text(a->source, b->source);
    for (uint32_t i = 0; same && i < a->operations_count; i++) {
        same = same_operation(&a->operations[i], &b->operations[i]);
    }
    return same;
}

static void
encode(struct buf *buf, const struct command *commands, uint32_t count)
{
    struct entry_header header = {
        .name = {3, UINT64_C(0x1122334455667788), 42}, .term = 9, .time = -5, .count = count};
    entry_begin(buf);
    for (uint32_t i = 0; i < count; i++) {
        size_t before = buf->size;
        entry_add(buf, &commands[i]);
        assert_true(buf->size - before <= entry_command_size(&commands[i]));
    }
    entry_end(buf, &header);
    assert_int_equal(buf->size % 8, 0);
}

static void
decodes_to_what_was_encoded(void **state)
{
    uint64_t prng = seed_init();
    struct arena arena = {0};
    struct buf buf = {0}, again = {0};
    (void)state;
    for (uint32_t round = 0; round < ENTRIES; round++) {
        struct command commands[COMMANDS_MAX], decoded[COMMANDS_MAX];
        struct entry_header header;
        struct cursor cursor;
        uint32_t count = (uint32_t)seed_below(&prng, COMMANDS_MAX + 1);
        arena_reset(&arena);
        for (uint32_t i = 0; i < count; i++) {
            commands[i] = random_command(&prng, &arena);
        }
        encode(&buf, commands, count);
        assert_true(entry_open(buf_bytes(&buf), &header, &cursor));
        assert_true(header.name.node == 3 && header.name.counter == 42 && header.term == 9);
        assert_true(header.name.incarnation == UINT64_C(0x1122334455667788));
        assert_true(header.time == -5 && header.count == count && header.level == ENTRY_LEVEL);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(entry_next(&cursor, &arena, &decoded[i]));
            assert_true(same_command(&commands[i], &decoded[i]));
        }
        assert_true(cursor_done(&cursor));
        encode(&again, decoded, count); /* One encoding only. */
        assert_true(bytes_equal(buf_bytes(&buf), buf_bytes(&again)));
    }
    buf_free(&buf);
    buf_free(&again);
    arena_free(&arena);
}

static struct command
small_command(struct operation *operation)
{
    *operation = (struct operation){
        .kind = OPERATION_TRANSITION, .id = bytes_text("o1"), .event = bytes_text("pay")};
    return (struct command){.kind = COMMAND_GROUP, .operations_count = 1, .operations = operation};
}

static void
notices_every_flipped_bit_and_every_cut(void **state)
{
    struct operation operation;
    struct command command = small_command(&operation);
    struct buf buf = {0};
    struct entry_header header;
    struct cursor cursor;
    (void)state;
    encode(&buf, &command, 1);
    assert_true(entry_open(buf_bytes(&buf), &header, &cursor));
    for (size_t bit = 0; bit < buf.size * 8; bit++) {
        buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(entry_open(buf_bytes(&buf), &header, &cursor));
        buf.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < buf.size; size++) {
        assert_false(entry_open(bytes_make(buf.data, size), &header, &cursor));
    }
    buf_free(&buf);
}

/* Whether raw bytes decode as one command and nothing more. */
static bool
understood(const char *bytes, size_t size)
{
    struct arena arena = {0};
    struct command command;
    struct cursor cursor = cursor_of(bytes_make(bytes, size));
    bool right = entry_next(&cursor, &arena, &command) && cursor_done(&cursor);
    arena_free(&arena);
    return right;
}

#define CONTENT "0123456789abcdef"
#define COMMAND_CASE(name, bytes, want)                                                            \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, want                                                       \
    }

static void
refuses_what_it_does_not_know(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t size;
        bool want;
    } cases[] = {
        COMMAND_CASE("a transition",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\0"
                     "\0",
                     true),
        COMMAND_CASE("a creation",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\1"
                     "\1\1o"
                     "\2\1m"
                     "\0"
                     "\0",
                     true),
        COMMAND_CASE("unknown kind of command",
                     "\4"
                     "\0",
                     false),
        COMMAND_CASE("unknown kind of operation",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\3"
                     "\1\1o"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("unknown tag of a group",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\0"
                     "\6"
                     "\0",
                     false),
        COMMAND_CASE("unknown tag of an operation",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\x0a"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("a tag twice",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("tags out of order",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\4\1e"
                     "\1\1o"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("a creation with an event",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\1"
                     "\1\1o"
                     "\2\1m"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("a transition with a machine",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\2\1m"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("no id",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("no event",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("no content",
                     "\1"
                     "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("no operations",
                     "\1"
                     "\4" CONTENT "\0",
                     false),
        COMMAND_CASE("more operations than bytes",
                     "\1"
                     "\4" CONTENT "\5\0\4\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("more operations than there are",
                     "\1"
                     "\4" CONTENT "\5\2\0\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("attributes that are no list",
                     "\1"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\x09\1\0\0\0x"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("an empty request id",
                     "\1"
                     "\2\0"
                     "\4" CONTENT "\5\1\0\0\0"
                     "\2"
                     "\1\1o"
                     "\4\1e"
                     "\0"
                     "\0",
                     false),
        COMMAND_CASE("a timer",
                     "\2"
                     "\1\1o"
                     "\2\1\0\0\0\0\0\0\0"
                     "\3\1\0\0\0\0\0\0\0"
                     "\0",
                     true),
        COMMAND_CASE("a timer without deadline",
                     "\2"
                     "\1\1o"
                     "\2\1\0\0\0\0\0\0\0"
                     "\0",
                     false),
        COMMAND_CASE("a definition",
                     "\3"
                     "\1\1\0\0\0x"
                     "\2\1\0\0\0y"
                     "\0",
                     true),
        COMMAND_CASE("a definition without source",
                     "\3"
                     "\1\1\0\0\0x"
                     "\0",
                     false),
        COMMAND_CASE("no end",
                     "\3"
                     "\1\1\0\0\0x"
                     "\2\1\0\0\0y",
                     false),
        COMMAND_CASE("nothing", "", false),
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (understood(cases[i].bytes, cases[i].size) != cases[i].want) {
            fail_msg("%s", cases[i].name);
        }
    }
}

/* With a good checksum over bad bytes too, the decoder stays inside its bytes and its limits. */
static void
takes_any_bytes_without_harm(void **state)
{
    uint64_t prng = seed_init();
    struct arena arena = {0};
    struct buf buf = {0};
    uint32_t read = 0, refused = 0;
    (void)state;
    for (uint32_t round = 0; round < 20 * ENTRIES; round++) {
        arena_reset(&arena);
        struct command command = random_command(&prng, &arena);
        encode(&buf, &command, 1);
        for (uint64_t flips = seed_below(&prng, 4); flips > 0; flips--) {
            buf.data[56 + seed_below(&prng, buf.size - 56)] = (uint8_t)seed_next(&prng);
        }
        struct cursor cursor = cursor_of(bytes_make(buf.data + 56, buf.size - 56));
        bool right = entry_next(&cursor, &arena, &command);
        read += right;
        refused += !right;
    }
    assert_true(read > 0 && refused > 0);
    buf_free(&buf);
    arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_to_what_was_encoded),
        cmocka_unit_test(notices_every_flipped_bit_and_every_cut),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(takes_any_bytes_without_harm),
    };
    return cmocka_run_group_tests_name("apply/entry", tests, NULL, NULL);
}
