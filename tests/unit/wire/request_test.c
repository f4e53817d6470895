/*
 * Goal: a message is taken exactly if the protocol says so, and a refusal names field and limit.
 * Method: one row per sentence of include/PROTOCOL.md about shapes, just under and just over each
 * limit; then the decoded fields of every method, and encode as the other side of decode.
 */
#include "support/test.h"

#include "common/limits.h"
#include "notation.h"
#include "wire/reader.h"
#include "wire/request.h"

static struct wire_decoder decoder;
static struct arena arena;
static struct buf message;

static bool
decode(const char *text, struct wire_request *request, struct wire_refusal *refusal)
{
    buf_clear(&message);
    notation_put(&message, text);
    arena_reset(&arena);
    return wire_decode_request(&decoder, buf_bytes(&message), &arena, request, refusal);
}

static struct wire_request
taken(const char *text)
{
    struct wire_request request;
    struct wire_refusal refusal;
    if (!decode(text, &request, &refusal)) {
        fail_msg("%s: refused: %.*s", text, BYTES_FORMAT(refusal.failure.message));
    }
    return request;
}

static void
is_text(struct bytes got, const char *want)
{
    bool right = want == NULL ? got.data == NULL : bytes_equal(got, bytes_text(want));
    if (!right) {
        fail_msg("got `%.*s`, want `%s`", BYTES_FORMAT(got), want == NULL ? "nothing" : want);
    }
}

struct refusal_case {
    const char *text;
    const char *field; /* NULL: taken. */
    int64_t limit;     /* 0: none named. */
};

static void
check_refusals(const struct refusal_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct refusal_case *c = &cases[i];
        struct wire_request request;
        struct wire_refusal refusal;
        bool right = decode(c->text, &request, &refusal);
        if (c->field == NULL) {
            if (!right) {
                fail_msg("%s: refused: %.*s", c->text, BYTES_FORMAT(refusal.failure.message));
            }
            continue;
        }
        if (right) {
            fail_msg("%s: taken", c->text);
        }
        const struct wire_failure *f = &refusal.failure;
        if (f->error != QO_BAD_REQUEST || !bytes_equal(f->field, bytes_text(c->field)) ||
            f->has_limit != (c->limit != 0) || f->limit != c->limit || refusal.msgid != 7 ||
            refusal.close || refusal.silent) {
            fail_msg("%s: field `%.*s`, limit %lld, msgid %u, close %d: %.*s", c->text,
                     BYTES_FORMAT(f->field), (long long)f->limit, refusal.msgid, refusal.close,
                     BYTES_FORMAT(f->message));
        }
        assert_true(f->message.size > 0 && f->message.size <= QO_ERROR_MESSAGE_MAX);
    }
}

#define CHECK(cases) check_refusals((cases), sizeof(cases) / sizeof((cases)[0]))
#define CREATE(more) "[0, 7, 'order.create', [{'id': 'a', 'machine': 'm'" more "}]]"
#define MOVE(more) "[0, 7, 'order.transition', [{'id': 'a', 'event': 'e'" more "}]]"
#define CALL(method, params) "[0, 7, '" method "', [{" params "}]]"
#define BATCH(atomic, operations)                                                                  \
    "[0, 7, 'order.batch', [{'atomic': " atomic ", 'operations': [" operations "]}]]"

static void
refuses_what_is_wrong_inside(void **state)
{
    static const struct refusal_case cases[] = {
        {CREATE(""), NULL, 0},
        {"[0, 7, 'ping', []]", NULL, 0},
        {"[0, 7, 'ping', [{}]]", NULL, 0},
        {"[0, 7, b'ping', [{b'trace': b'abc'}]]", NULL, 0},
        {"[0, 7, 'ping', [1]]", "message", 0},
        {"[0, 7, 'ping', [nil]]", "message", 0},
        {"[0, 7, 'ping', [{}, {}]]", "message", 0},
        {"[0, 7, 'ping', [[]]]", "message", 0},
        {CALL("ping", "1: 2"), "message", 0},
        {CALL("ping", "xa1ff: 2"), "message", 0},
        {CALL("ping", "'foo': 2"), "foo", 0},
        {CALL("ping", "'foo': nil"), "foo", 0},
        {CALL("ping", "'trace': 'a', 'trace': 'a'"), "trace", 0},
        {CALL("ping", "'trace': nil, 'trace': 'a'"), "trace", 0},
        {"[0, 7, xa2ff41, []]", "method", 0},
        /* Required keys; nil is left out. */
        {CALL("order.create", "'machine': 'm'"), "id", 0},
        {CALL("order.create", "'id': nil, 'machine': 'm'"), "id", 0},
        {CALL("order.create", "'id': 'a'"), "machine", 0},
        {"[0, 7, 'order.create', []]", "id", 0},
        {CALL("order.transition", "'id': 'a'"), "event", 0},
        {MOVE(", 'expect_version': nil, 'attributes': nil, 'actor': nil"), NULL, 0},
        {CALL("order.get", ""), "id", 0},
        {CALL("order.get_many", ""), "ids", 0},
        {CALL("order.list", ""), "machine", 0},
        {CALL("machine.put", ""), "source", 0},
        {CALL("machine.get", ""), "machine", 0},
        {CALL("feed.subscribe", ""), "credit", 0},
        {CALL("feed.credit", "'credit': 1"), "subscription", 0},
        {CALL("feed.credit", "'subscription': 1"), "credit", 0},
        {CALL("feed.unsubscribe", ""), "subscription", 0},
        {CALL("order.batch", "'operations': [{'op': 'create', 'id': 'a', 'machine': 'm'}]"),
         "atomic", 0},
        {CALL("order.batch", "'atomic': true"), "operations", 0},
        /* Types. */
        {CALL("order.get", "'id': 5"), "id", 0},
        {CALL("order.get", "'id': ''"), "id", 0},
        {CALL("order.get", "'id': ['a']"), "id", 0},
        {CALL("order.get", "'id': xa26100"), "id", 0},
        {CALL("order.get", "'id': xa1ff"), "id", 0},
        {CALL("order.get", "'id': xa2c080"), "id", 0},
        {CALL("order.get", "'id': xa3eda080"), "id", 0},
        {CALL("order.get", "'id': xa4f4908080"), "id", 0},
        {CALL("order.get", "'id': xa4f48fbfbf"), NULL, 0},
        {CALL("order.get", "'id': xc7010541"), "id", 0},
        {CREATE(", 'machine_version': -1"), "machine_version", 0},
        {CREATE(", 'machine_version': 1.0"), "machine_version", 0},
        {CREATE(", 'attributes': []"), "attributes", 0},
        {CREATE(", 'actor': 'timer'"), "actor", 0},
        {CREATE(", 'actor': 'timers'"), NULL, 0},
        {CREATE(", 'actor': ''"), NULL, 0},
        {CREATE(", 'request_id': ''"), "request_id", 0},
        {CREATE(", 'event': 'e'"), "event", 0},
        {CREATE(", 'consistency': 'local'"), "consistency", 0},
        {CALL("order.create", "'id': 'a', 'machine': 'm n'"), "machine", 0},
        {CALL("order.create", "'id': 'a', 'machine': 'Ab_9.:-'"), NULL, 0},
        {CALL("order.create", "'id': 'a', 'machine': ''"), "machine", 0},
        {MOVE(", 'machine': 'm'"), "machine", 0},
        {MOVE(", 'expect_state': 'a/b'"), "expect_state", 0},
        {MOVE(", 'expect_version': -1"), "expect_version", 0},
        {MOVE(", 'expect_version': 0"), NULL, 0},
        {MOVE(", 'expect_version': 18446744073709551615"), NULL, 0},
        {MOVE(", 'expect_version': '1'"), "expect_version", 0},
        {MOVE(", 'expect_version': true"), "expect_version", 0},
        {CALL("order.get", "'id': 'a', 'consistency': 'strong'"), "consistency", 0},
        {CALL("order.get", "'id': 'a', 'consistency': true"), "consistency", 0},
        {CALL("order.get", "'id': 'a', 'min_seq': -1"), "min_seq", 0},
        {CALL("order.get", "'id': 'a', 'min_seq': 18446744073709551615"), NULL, 0},
        {CALL("order.get", "'id': 'a', 'as_of': 1.5"), "as_of", 0},
        {CALL("order.get", "'id': 'a', 'as_of': -1"), NULL, 0},
        {CALL("order.get_many", "'ids': []"), "ids", 0},
        {CALL("order.get_many", "'ids': 'a'"), "ids", 0},
        {CALL("order.get_many", "'ids': ['a', 5]"), "ids[1]", 0},
        {CALL("order.get_many", "'ids': ['a', '']"), "ids[1]", 0},
        {CALL("order.history", "'id': 'a', 'descending': 1"), "descending", 0},
        {CALL("order.history", "'id': 'a', 'from_version': -1"), "from_version", 0},
        {CALL("order.history", "'id': 'a', 'limit': 0"), "limit", 0},
        {CALL("order.history", "'id': 'a', 'limit': -5"), "limit", 0},
        {CALL("order.list", "'machine': 'm', 'attribute': 'x'"), "value", 0},
        {CALL("order.list", "'machine': 'm', 'attribute': 'x', 'value': nil"), "value", 0},
        {CALL("order.list", "'machine': 'm', 'value': 5"), "attribute", 0},
        {CALL("order.list", "'machine': 'm', 'attribute': 'x', 'value': nan"), "value", 0},
        {CALL("order.list", "'machine': 'm', 'cursor': 5"), "cursor", 0},
        {CALL("feed.read", "'from_seq': -1"), "from_seq", 0},
        {CALL("feed.read", "'shards': 3"), "shards", 0},
        {CALL("feed.read", "'shards': [3, 'x']"), "shards[1]", 0},
        {CALL("feed.read", "'machines': ['a', 'b c']"), "machines[1]", 0},
        {CALL("feed.read", "'states': {}"), "states", 0},
        {CALL("feed.read", "'credit': 5"), "credit", 0},
        {CALL("feed.subscribe", "'credit': 0"), "credit", 0},
        {CALL("feed.subscribe", "'credit': 5, 'wait_ms': 5"), "wait_ms", 0},
        {CALL("machine.put", "'source': ''"), NULL, 0},
        {CALL("machine.put", "'source': xa3610a00"), NULL, 0},
        {CALL("machine.put", "'source': xa161"), NULL, 0},
        {CALL("machine.put", "'source': xa1ff"), "source", 0},
        {CALL("hello", "'protocol': '1'"), "protocol", 0},
        {CALL("ping", "'timeout_ms': 0"), "timeout_ms", 0},
        {CALL("ping", "'timeout_ms': 1"), NULL, 0},
        {CALL("ping", "'trace': ''"), NULL, 0},
    };
    (void)state;
    CHECK(cases);
}

static void
refuses_operations_by_their_path(void **state)
{
    static const struct refusal_case cases[] = {
        {BATCH("false", "{'op': 'create', 'id': 'a', 'machine': 'm', 'request_id': 'r'}"), NULL, 0},
        {BATCH("true", "{'id': 'a', 'machine': 'm', 'op': 'create'}"), NULL, 0},
        {BATCH("1", "{'op': 'create', 'id': 'a', 'machine': 'm'}"), "atomic", 0},
        {BATCH("true", ""), "operations", 0},
        {BATCH("true", "5"), "operations[0]", 0},
        {BATCH("true", "{}"), "operations[0].op", 0},
        {BATCH("true", "{'op': nil}"), "operations[0].op", 0},
        {BATCH("true", "{'op': 'delete', 'id': 'a'}"), "operations[0].op", 0},
        {BATCH("true", "{'op': 5, 'id': 'a'}"), "operations[0].op", 0},
        {BATCH("true", "{'op': 'create', 'op': 'create', 'id': 'a', 'machine': 'm'}"),
         "operations[0].op", 0},
        {BATCH("true", "{5: 6}"), "operations[0].op", 0},
        {BATCH("true", "{5: 6, 'op': 'create'}"), "operations[0]", 0},
        {BATCH("true", "{{'op': 1}: 6, 'op': 'create'}"), "operations[0]", 0},
        {BATCH("false", "{'op': 'create', 'id': 'a', 'machine': 'm'}*3, {'op': 'create', 'id': 5}"),
         "operations[3].id", 0},
        {BATCH("false", "{'op': 'create', 'id': 'a', 'machine': 'm', 'trace': 't'}"),
         "operations[0].trace", 0},
        {BATCH("false", "{'op': 'create', 'id': 'a', 'machine': 'm', 'timeout_ms': 5}"),
         "operations[0].timeout_ms", 0},
        {BATCH("false", "{'op': 'transition', 'id': 'a', 'machine': 'm'}"), "operations[0].machine",
         0},
        {BATCH("false", "{'op': 'transition', 'id': 'a', 'event': 'e', 'actor': 'timer'}"),
         "operations[0].actor", 0},
        {BATCH("false", "{'op': 'transition', 'id': 'a', 'event': 'e', 'attributes': {'n': nan}}"),
         "operations[0].attributes.n", 0},
        {BATCH("true", "{'op': 'create', 'id': 'a', 'machine': 'm'},"
                       "{'op': 'create', 'id': 'b', 'machine': 'm', 'request_id': 'r'}"),
         "operations[1].request_id", 0},
        {"[0, 7, 'order.batch', [{'request_id': 'r', 'operations': [{'op': 'create', 'id': 'a', "
         "'machine': 'm'}], 'atomic': false}]]",
         "request_id", 0},
        {"[0, 7, 'order.batch', [{'request_id': 'r', 'operations': [{'op': 'create', 'id': 'a', "
         "'machine': 'm'}], 'atomic': true}]]",
         NULL, 0},
        {BATCH("true", "{'op': 'create', 'id': 'a', 'machine': 'm'}*1024"), NULL, 0},
        {BATCH("true", "{'op': 'create', 'id': 'a', 'machine': 'm'}*1025"), "operations", 1024},
        {BATCH("true", "{'op': 'create', 'id': 'a'#129, 'machine': 'm'}"), "operations[0].id", 128},
    };
    (void)state;
    CHECK(cases);
}

static void
knows_each_limit_to_the_byte(void **state)
{
    static const struct refusal_case cases[] = {
        {CALL("order.get", "'id': 'a'#128"), NULL, 0},
        {CALL("order.get", "'id': 'a'#129"), "id", 128},
        {CALL("order.get_many", "'ids': ['a'*256]"), NULL, 0},
        {CALL("order.get_many", "'ids': ['a'*257]"), "ids", 256},
        {CALL("order.get_many", "'ids': ['a', 'a'#129]"), "ids[1]", 128},
        {CREATE(", 'request_id': 'r'#64"), NULL, 0},
        {CREATE(", 'request_id': 'r'#65"), "request_id", 64},
        {CREATE(", 'actor': 'r'#256"), NULL, 0},
        {CREATE(", 'actor': 'r'#257"), "actor", 256},
        {CREATE(", 'reason': 'r'#256"), NULL, 0},
        {CREATE(", 'reason': 'r'#257"), "reason", 256},
        {CREATE(", 'trace': 'r'#256"), NULL, 0},
        {CREATE(", 'trace': 'r'#257"), "trace", 256},
        {CALL("order.list", "'machine': 'm'#64"), NULL, 0},
        {CALL("order.list", "'machine': 'm'#65"), "machine", 64},
        {CALL("order.list", "'machine': 'm', 'state': 'm'#65"), "state", 64},
        {MOVE(", 'expect_state': 'm'#65"), "expect_state", 64},
        {CALL("order.transition", "'id': 'a', 'event': 'm'#65"), "event", 64},
        {CREATE(", 'attributes': {'m'#64: 1}"), NULL, 0},
        /* One attribute `t` and its text: 1 + 2 + 3 + size bytes. */
        {CREATE(", 'attributes': {'t': 'x'#16378}"), NULL, 0},
        {CREATE(", 'attributes': {'t': 'x'#16379}"), "attributes", 16384},
        {CREATE(", 'attributes': {'a': 'x'#8000, 'b': 'x'#8373}"), NULL, 0},
        {CREATE(", 'attributes': {'a': 'x'#8000, 'b': 'x'#8374}"), "attributes", 16384},
        {CREATE(", 'attributes': {'t': [1*16378]}"), NULL, 0},
        {CREATE(", 'attributes': {'t': [1*16379]}"), "attributes", 16384},
        /* Counted as canonical: a float of four bytes takes nine. */
        {CREATE(", 'attributes': {'t': [xca3f800000*1819]}"), NULL, 0},
        {CREATE(", 'attributes': {'t': [xca3f800000*1820]}"), "attributes", 16384},
        {CREATE(", 'attributes': {'t': deep16}"), NULL, 0},
        {CREATE(", 'attributes': {'t': deep17}"), "attributes.t", 16},
        {CALL("order.history", "'id': 'a', 'limit': 1000"), NULL, 0},
        {CALL("order.history", "'id': 'a', 'limit': 1001"), "limit", 1000},
        {CALL("order.list", "'machine': 'm', 'limit': 1001"), "limit", 1000},
        {CALL("feed.read", "'limit': 18446744073709551615"), "limit", 1000},
        {CALL("feed.read", "'wait_ms': 60000"), NULL, 0},
        {CALL("feed.read", "'wait_ms': 0"), NULL, 0},
        {CALL("feed.read", "'wait_ms': 60001"), "wait_ms", 60000},
        {CALL("feed.read", "'wait_ms': -1"), "wait_ms", 0},
        {CALL("ping", "'timeout_ms': 60000"), NULL, 0},
        {CALL("ping", "'timeout_ms': 60001"), "timeout_ms", 60000},
        {CALL("feed.subscribe", "'credit': 2147483648"), NULL, 0},
        {CALL("feed.subscribe", "'credit': 2147483649"), "credit", 2147483648},
        {CALL("feed.credit", "'subscription': 1, 'credit': 2147483649"), "credit", 2147483648},
        {CALL("machine.put", "'source': 'x'#262144"), NULL, 0},
        {CALL("machine.put", "'source': 'x'#262145"), "source", 262144},
        {CALL("feed.read", "'states': ['x'*4096]"), NULL, 0},
        {CALL("feed.read", "'states': ['x'*4097]"), "states", 4096},
    };
    (void)state;
    CHECK(cases);
}

static void
refuses_attributes_by_name(void **state)
{
    static const struct refusal_case cases[] = {
        {CREATE(", 'attributes': {'note': nil}"), NULL, 0},
        {CREATE(", 'attributes': {}"), NULL, 0},
        {CREATE(", 'attributes': {'note': nan}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': inf}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': [1, -inf]}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': 9223372036854775807}"), NULL, 0},
        {CREATE(", 'attributes': {'note': -9223372036854775808}"), NULL, 0},
        {CREATE(", 'attributes': {'note': 9223372036854775808}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': xc7010541}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': xd6ff00000000}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': xa10a}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': xa17f}"), NULL, 0},
        {CREATE(", 'attributes': {'note': xa1c3}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': xc401c3}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': {'a': 1, 'a': 2}}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': {'b': 1, 'a': 2, b'b': 2}}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': {1: 2}}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': {nil: 2}}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'note': {'any key': 2, '': 3}}"), NULL, 0},
        {CREATE(", 'attributes': {'note': 1, 'note': 2}"), "attributes.note", 0},
        {CREATE(", 'attributes': {'x': 0, 'a': 1, 'note': 1, b'x': 2}"), "attributes.x", 0},
        {CREATE(", 'attributes': {'a b': 1}"), "attributes.a b", 0},
        {CREATE(", 'attributes': {'': 1}"), "attributes.", 0},
        {CREATE(", 'attributes': {5: 1}"), "attributes", 0},
        {CREATE(", 'attributes': {xa1ff: 1}"), "attributes", 0},
    };
    (void)state;
    CHECK(cases);
}

struct close_case {
    const char *text;
    uint32_t msgid;
    bool silent;
};

static void
closes_on_what_is_no_message(void **state)
{
    static const struct close_case cases[] = {
        {"5", 0, false},
        {"nil", 0, false},
        {"{}", 0, false},
        {"'GET'", 0, false},
        {"[]", 0, false},
        {"[0]", 0, false},
        {"[0, 7]", 7, false},
        {"[0, 7, 'ping']", 7, false},
        {"[0, 7, 'ping', [], 1]", 7, false},
        {"[0, -1, 'ping', []]", 0, false},
        {"[0, 4294967296, 'ping', []]", 0, false},
        {"[0, 1.0, 'ping', []]", 0, false},
        {"[0, '7', 'ping', []]", 0, false},
        {"[0, nil, 'ping', []]", 0, false},
        {"[0, 4294967295, 5, []]", 4294967295, false},
        {"[0, 7, nil, []]", 7, false},
        {"[0, 7, ['ping'], []]", 7, false},
        {"[0, 7, 'ping', {}]", 7, false},
        {"[0, 7, 'ping', nil]", 7, false},
        {"[0, 7, 'ping', 5]", 7, false},
        {"[1, 7, nil, nil]", 0, false},
        {"[3, 7, 'ping', []]", 0, false},
        {"[-1, 7, 'ping', []]", 0, false},
        {"['0', 7, 'ping', []]", 0, false},
        {"[18446744073709551615, 7, 'ping', []]", 0, false},
        {"[2, 'feed.credit']", 0, false},
        {"[2, 'feed.credit', {}]", 0, false},
        {"[2, 5, []]", 0, false},
        {"[2, 7, 'feed.credit', []]", 0, false},
        {"[0, 7, 'ping', [xc1]]", 7, false},
        {"[0, 7, 'ping', [xa5aa]]", 7, false},
        {"[0, 7, 'ping', []] 5", 7, false},
        {"[2, 'ping', []]", 0, true},
        {"[2, 'nothing', []]", 0, true},
        {"[2, 'order.create', [{'id': 'a', 'machine': 'm'}]]", 0, true},
        {"[2, 'feed.credit', [{'subscription': 1}]]", 0, true},
        {"[2, 'feed.credit', [{'subscription': 1, 'credit': 0}]]", 0, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wire_request request;
        struct wire_refusal refusal;
        if (decode(cases[i].text, &request, &refusal)) {
            fail_msg("%s: taken", cases[i].text);
        }
        if (!refusal.close || refusal.msgid != cases[i].msgid ||
            refusal.silent != cases[i].silent || refusal.failure.message.size == 0) {
            fail_msg("%s: close %d, msgid %u, silent %d", cases[i].text, refusal.close,
                     refusal.msgid, refusal.silent);
        }
    }
}

static void
answers_an_unknown_method(void **state)
{
    static const char *const cases[] = {"[0, 7, 'nvim_set_client_info', []]", "[0, 7, '', []]",
                                        "[0, 7, 'Ping', [1, 2]]", "[0, 7, 'ping ', [{'x': 1}]]",
                                        "[0, 7, 'cluster.add', [{}]]"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wire_request request;
        struct wire_refusal refusal;
        assert_false(decode(cases[i], &request, &refusal));
        assert_int_equal(refusal.failure.error, QO_UNKNOWN_METHOD);
        assert_int_equal(refusal.msgid, 7);
        assert_false(refusal.close);
        assert_non_null(refusal.failure.method.data);
    }
}

static void
decodes_a_transition(void **state)
{
    struct wire_request r =
        taken("[0, 7, 'order.transition', [{'request_id': 'r', 'trace': 't', 'id': 'a', 'event': "
              "'pay', 'expect_version': 3, 'expect_state': 'NEW', 'actor': 'me', 'reason': '', "
              "'timeout_ms': 9, 'attributes': {'b': 1.5, 'a': {'y': b'z', 'x': nil}}}]]");
    (void)state;
    assert_int_equal(r.method, WIRE_ORDER_TRANSITION);
    assert_int_equal(r.class, WIRE_CLASS_WRITE);
    assert_int_equal(r.operations_count, 1);
    assert_int_equal(r.timeout_ms, 9);
    is_text(r.trace, "t");
    const struct wire_operation *o = r.operations;
    assert_int_equal(o->kind, WIRE_TRANSITION);
    is_text(o->id, "a");
    is_text(o->event, "pay");
    is_text(o->expect_state, "NEW");
    is_text(o->actor, "me");
    is_text(o->reason, "");
    assert_non_null(o->reason.data);
    is_text(o->request_id, "r");
    is_text(o->machine, NULL);
    assert_true(o->has_expect_version && o->expect_version == 3);
    static const uint8_t a[] = {0x82, 0xa1, 'x', 0xc0, 0xa1, 'y', 0xa1, 'z'};
    struct attribute attribute;
    assert_int_equal(attributes_count(o->attributes), 2);
    assert_true(attributes_find(o->attributes, bytes_text("a"), &attribute));
    assert_int_equal(attribute.type, VALUE_MAP);
    assert_true(bytes_equal(attribute.value, bytes_make(a, sizeof a)));
    assert_true(attributes_find(o->attributes, bytes_text("b"), &attribute));
    assert_int_equal(attribute.type, VALUE_NUMBER);
    assert_true(value_number(attribute.value) == 1.5);
}

static void
fills_in_defaults(void **state)
{
    struct wire_request r = taken(CALL("order.history", "'id': 'a', 'limit': nil"));
    (void)state;
    assert_int_equal(r.limit, QO_LIMIT_DEFAULT);
    assert_int_equal(r.timeout_ms, QO_TIMEOUT_MS_DEFAULT);
    assert_int_equal(r.class, WIRE_CLASS_LINEARIZABLE);
    assert_false(r.has_from_version);
    r = taken(CALL("order.history", "'id': 'a', 'consistency': 'local', 'descending': true"));
    assert_int_equal(r.class, WIRE_CLASS_LOCAL);
    assert_true(r.descending);
    r = taken("[0, 7, 'feed.read', []]");
    assert_int_equal(r.wait_ms, 0);
    assert_false(r.has_from_seq || r.shards.present || r.machines.present || r.states.present);
    r = taken(CALL("feed.read", "'from_seq': nil, 'epoch': nil, 'shards': nil"));
    assert_false(r.has_from_seq || r.has_epoch || r.shards.present);
    assert_int_equal(taken("[0, 7, 'machine.list', []]").class, WIRE_CLASS_LINEARIZABLE);
    assert_int_equal(taken("[0, 7, 'cluster.status', []]").class, WIRE_CLASS_LOCAL);
}

static void
makes_sets_of_filters(void **state)
{
    struct wire_request r =
        taken(CALL("feed.read", "'shards': [255, 0, 64, 64, 256, 18446744073709551615], "
                                "'machines': ['b', 'a', 'b', 'c', 'a'], 'states': []"));
    (void)state;
    assert_true(r.shards.present);
    assert_true(r.shards.bits[0] == 1 && r.shards.bits[1] == 1 && r.shards.bits[2] == 0 &&
                r.shards.bits[3] == UINT64_C(1) << 63);
    assert_int_equal(r.machines.names.count, 3);
    is_text(r.machines.names.items[0], "a");
    is_text(r.machines.names.items[1], "b");
    is_text(r.machines.names.items[2], "c");
    assert_true(r.states.present && r.states.names.count == 0);
}

static void
takes_times_beyond_what_fits(void **state)
{
    struct wire_request r = taken(CALL("order.get", "'id': 'a', 'as_of': 18446744073709551615"));
    (void)state;
    assert_true(r.has_as_of && r.as_of == INT64_MAX);
}

static void
takes_credit_as_a_notification(void **state)
{
    struct wire_request r = taken("[2, 'feed.credit', [{'subscription': 3, 'credit': 4}]]");
    (void)state;
    assert_true(r.notification && r.subscription == 3 && r.credit == 4 && r.msgid == 0);
}

/* Every method with all its keys, in the order in which they are encoded. */
static const char *const all_methods[] = {
    CALL("hello", "'protocol': 1, 'client': 'c', 'token': 't', 'trace': 'x', 'timeout_ms': 7"),
    CALL("ping", ""),
    CALL("order.create", "'actor': 'a', 'attributes': {'n': 1}, 'id': 'i', 'machine': 'm', "
                         "'machine_version': 2, 'reason': 'r', 'request_id': 'q', 'trace': 'x'"),
    CALL("order.transition", "'actor': 'a', 'attributes': {'n': nil}, 'event': 'e', "
                             "'expect_state': 's', 'expect_version': 0, 'id': 'i'"),
    CALL("order.get", "'id': 'i', 'consistency': 'local', 'min_seq': 0, 'as_of': -5"),
    CALL("order.get_many", "'ids': ['b', 'a', 'b'], 'min_seq': 5"),
    CALL("order.history", "'id': 'i', 'from_version': 1, 'limit': 5, 'descending': true"),
    CALL("order.list", "'machine': 'm', 'state': 's', 'entered_before': 5, 'attribute': 'a', "
                       "'value': {'x': 1.5}, 'limit': 5, 'cursor': 'c'"),
    CALL("order.batch", "'atomic': true, 'request_id': 'q', 'timeout_ms': 5, 'operations': [{'id': "
                        "'i', 'machine': 'm', 'op': 'create'}, {'event': 'e', 'id': 'i', 'op': "
                        "'transition'}]"),
    CALL("order.batch", "'atomic': false, 'operations': [{'id': 'i', 'machine': 'm', 'op': "
                        "'create', 'request_id': 'x'}]"),
    CALL("feed.read", "'from_seq': 1, 'limit': 5, 'wait_ms': 9, 'epoch': 1, 'shards': [0, 255], "
                      "'machines': [], 'states': ['a', 'b']"),
    CALL("feed.subscribe", "'from_seq': 0, 'epoch': 1, 'credit': 2147483648"),
    CALL("feed.credit", "'subscription': 1, 'credit': 5"),
    "[2, 'feed.credit', [{'subscription': 1, 'credit': 5}]]",
    CALL("feed.unsubscribe", "'subscription': 1"),
    CALL("machine.put", "'source': ''"),
    CALL("machine.get", "'machine': 'm', 'version': 0"),
    CALL("machine.list", ""),
    CALL("cluster.status", ""),
    CALL("peer.hello", "'cluster_id': 'c', 'node_id': 3"),
    CALL("peer.forward", "'origin': 3, 'deadline_us': 0, 'message': b'abc'"),
};

/* The same objects with the shortest heads. */
static void
put_shortest(struct buf *out, struct bytes objects)
{
    struct wire_reader reader = wire_reader_of(objects);
    struct wire_token token;
    while (reader.at < reader.end && wire_next(&reader, &token)) {
        switch (token.kind) {
        case WIRE_NIL:
            wire_put_nil(out);
            break;
        case WIRE_BOOLEAN:
            wire_put_boolean(out, token.boolean);
            break;
        case WIRE_INTEGER:
            wire_put_integer(out, token.integer);
            break;
        case WIRE_UNSIGNED:
            wire_put_natural(out, token.natural);
            break;
        case WIRE_FLOAT:
            wire_put_number(out, token.number);
            break;
        case WIRE_STR:
            wire_put_text(out, token.bytes);
            break;
        case WIRE_BIN:
            wire_put_binary(out, token.bytes);
            break;
        case WIRE_ARRAY:
            wire_put_array(out, token.count);
            break;
        case WIRE_MAP:
            wire_put_map(out, token.count);
            break;
        case WIRE_EXTENSION:
            fail();
        }
    }
    assert_true(wire_reader_done(&reader));
}

static void
encodes_what_it_decodes(void **state)
{
    struct buf encoded = {0}, wanted = {0};
    (void)state;
    for (size_t i = 0; i < sizeof all_methods / sizeof all_methods[0]; i++) {
        struct wire_request r = taken(all_methods[i]);
        if (strstr(all_methods[i], "'limit'") == NULL) {
            r.limit = 0; /* The default was filled in. */
        }
        if (strstr(all_methods[i], "'timeout_ms'") == NULL) {
            r.timeout_ms = 0;
        }
        buf_clear(&encoded);
        buf_clear(&wanted);
        wire_encode_request(&encoded, &r);
        put_shortest(&wanted, buf_bytes(&message));
        if (!bytes_equal(buf_bytes(&encoded), buf_bytes(&wanted))) {
            fail_msg("%s: does not come back", all_methods[i]);
        }
    }
    buf_free(&encoded);
    buf_free(&wanted);
}

static void
names_the_msgid_of_a_message_that_is_too_large(void **state)
{
    struct buf start = {0};
    (void)state;
    notation_put(&start, "[0, 99, 'machine.put', [{'source': 'x'}]]");
    struct wire_refusal refusal = wire_refuse_cut(WIRE_CUT_TOO_LARGE, buf_bytes(&start));
    assert_true(refusal.close && !refusal.silent && refusal.msgid == 99);
    is_text(refusal.failure.field, "message");
    assert_true(refusal.failure.has_limit && refusal.failure.limit == QO_MESSAGE_MAX);
    refusal = wire_refuse_cut(WIRE_CUT_TOO_LARGE, bytes_make(start.data, 6));
    assert_int_equal(refusal.msgid, 0);
    refusal = wire_refuse_cut(WIRE_CUT_MALFORMED, bytes_text("GET / HTTP/1.1"));
    assert_true(refusal.close && refusal.msgid == 0 && !refusal.failure.has_limit);
    refusal = wire_refuse_half();
    assert_true(refusal.close && refusal.msgid == 0);
    buf_free(&start);
}

static int
free_all(void **state)
{
    (void)state;
    wire_decoder_free(&decoder);
    arena_free(&arena);
    buf_free(&message);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_wrong_inside),
        cmocka_unit_test(refuses_operations_by_their_path),
        cmocka_unit_test(knows_each_limit_to_the_byte),
        cmocka_unit_test(refuses_attributes_by_name),
        cmocka_unit_test(closes_on_what_is_no_message),
        cmocka_unit_test(answers_an_unknown_method),
        cmocka_unit_test(decodes_a_transition),
        cmocka_unit_test(fills_in_defaults),
        cmocka_unit_test(makes_sets_of_filters),
        cmocka_unit_test(takes_times_beyond_what_fits),
        cmocka_unit_test(takes_credit_as_a_notification),
        cmocka_unit_test(encodes_what_it_decodes),
        cmocka_unit_test(names_the_msgid_of_a_message_that_is_too_large),
    };
    return cmocka_run_group_tests_name("wire/request", tests, NULL, free_all);
}
