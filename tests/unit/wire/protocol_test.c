/*
 * Goal: include/PROTOCOL.md is true to the byte.
 * Method: each of its hex blocks is looked up by its name here: a request is decoded and its fields
 * compared, an answer is encoded from a struct and its bytes compared, then read back. The table of
 * errors is compared with common/error.h, the table of limits with what hello answers.
 */
#include "support/test.h"

#include <stdio.h>

#include "common/hash.h"
#include "common/limits.h"
#include "notation.h"
#include "wire/request.h"
#include "wire/response.h"

static struct buf page;
static struct wire_decoder decoder;
static struct arena arena;

static struct bytes
text(const char *of)
{
    return of == NULL ? BYTES_NONE : bytes_text(of);
}

static void
is_text(struct bytes got, const char *want)
{
    if (got.data == NULL ? want != NULL : want == NULL || !bytes_equal(got, bytes_text(want))) {
        fail_msg("got `%.*s`, want `%s`", BYTES_FORMAT(got), want == NULL ? "nothing" : want);
    }
}

/* The list of attributes that a map in notation says. */
static struct bytes
list_of(const char *notation)
{
    struct buf map = {0};
    struct bytes list;
    struct wire_failure failure;
    notation_put(&map, notation);
    struct bytes kept = arena_copy(&arena, buf_bytes(&map));
    buf_free(&map);
    assert_true(wire_canonical_attributes(&decoder, kept, &arena, &list, &failure));
    return list;
}

/* -- The structs of the examples -- */

static const struct bytes allowed[] = {{(const uint8_t *)"deliver", 7},
                                       {(const uint8_t *)"fail", 4}};

static struct wire_receipt
receipt(void)
{
    return (struct wire_receipt){.id = text("o-1"),
                                 .machine = text("delivery"),
                                 .machine_version = 1,
                                 .event = text("create"),
                                 .to = text("CREATED"),
                                 .version = 1,
                                 .seq = 41,
                                 .at = 1767225600000000,
                                 .epoch = 1};
}

static struct wire_event
event(void)
{
    return (struct wire_event){.seq = 42,
                               .kind = text("order"),
                               .epoch = 1,
                               .id = text("o-1"),
                               .machine = text("delivery"),
                               .machine_version = 1,
                               .shard = hash_shard(text("o-1"), QO_SHARDS_DEFAULT),
                               .version = 2,
                               .event = text("pick_up"),
                               .from = text("CREATED"),
                               .to = text("PICKED_UP"),
                               .at = 1767225660000000,
                               .actor = text("courier-7"),
                               .request_id = text("8f14e45fceea167a"),
                               .attributes = list_of("{'note': 'left'}")};
}

static void
put_ping(struct buf *buf)
{
    wire_put_result(buf, 1);
    wire_put_ping(buf, &(struct wire_ping){.at = 1767225660000000, .clock = 1767225661000000});
}

static void
put_hello(struct buf *buf)
{
    wire_put_result(buf, 2);
    wire_put_hello(buf, &(struct wire_hello){.protocol = 1,
                                             .server = text("quorderd 0.1.0"),
                                             .cluster_id = text("c-1"),
                                             .node_id = 1,
                                             .leader = text("10.0.0.1:7401"),
                                             .shards = 16,
                                             .epoch = 1});
}

static void
put_create(struct buf *buf)
{
    struct wire_receipt r = receipt();
    wire_put_result(buf, 3);
    wire_put_receipt(buf, &r);
}

static void
put_transition(struct buf *buf)
{
    struct wire_receipt r = receipt();
    r.event = text("pick_up");
    r.from = text("CREATED");
    r.to = text("PICKED_UP");
    r.version = 2;
    r.seq = 42;
    r.at = 1767225660000000;
    r.replayed = true;
    wire_put_result(buf, 4);
    wire_put_receipt(buf, &r);
}

static void
put_invalid_transition(struct buf *buf)
{
    wire_put_error(buf, 5,
                   &(struct wire_failure){.error = QO_INVALID_TRANSITION,
                                          .from = text("PICKED_UP"),
                                          .event = text("pick_up"),
                                          .allowed = {allowed, 2}});
}

static void
put_bad_request(struct buf *buf)
{
    wire_put_error(
        buf, 6,
        &(struct wire_failure){.error = QO_BAD_REQUEST,
                               .message = text("`operations[3].id` must be at most 128 bytes."),
                               .field = text("operations[3].id"),
                               .has_limit = true,
                               .limit = 128});
}

static void
put_unknown_outcome(struct buf *buf)
{
    wire_put_error(buf, 7, &(struct wire_failure){.error = QO_UNKNOWN_OUTCOME});
}

static void
put_order(struct buf *buf)
{
    struct wire_order order = {.id = text("o-1"),
                               .machine = text("delivery"),
                               .machine_version = 1,
                               .state = text("PICKED_UP"),
                               .version = 2,
                               .attributes = list_of("{'weight': 1.5, 'note': 'left', 'items': 3}"),
                               .created_at = 1767225600000000,
                               .updated_at = 1767225660000000,
                               .entered_at = 1767225660000000,
                               .seq = 42,
                               .allowed = {allowed, 2},
                               .has_deadline = true,
                               .deadline_at = 1767484860000000,
                               .deadline_event = text("fail")};
    wire_put_result(buf, 8);
    wire_put_order_get(buf, &order, 57);
}

static void
put_history(struct buf *buf)
{
    struct wire_event e = event();
    wire_put_result(buf, 9);
    struct wire_list list = wire_begin_history(buf);
    wire_put_event(buf, &e);
    wire_list_added(&list);
    wire_end_history(&list, false, 57);
}

static void
put_batch(struct buf *buf)
{
    struct wire_receipt r = receipt();
    wire_put_result(buf, 10);
    struct wire_list list = wire_begin_batch(buf);
    wire_put_batch_error(buf, &(struct wire_failure){.error = QO_VERSION_CONFLICT,
                                                     .version = 2,
                                                     .state = text("PICKED_UP")});
    wire_list_added(&list);
    wire_put_batch_receipt(buf, &r);
    wire_list_added(&list);
    wire_end_batch(&list);
}

static void
put_feed_read(struct buf *buf)
{
    struct wire_event e = event();
    wire_put_result(buf, 11);
    struct wire_list list = wire_begin_feed_read(buf);
    wire_put_event(buf, &e);
    wire_list_added(&list);
    wire_end_feed_read(&list, 43, 57, 1);
}

static void
put_feed_events(struct buf *buf)
{
    struct wire_list list = wire_begin_feed_events(buf, 1);
    wire_end_feed_events(&list, 58, 57);
}

static void
check_ping(const struct wire_request *r)
{
    assert_int_equal(r->method, WIRE_PING);
    assert_int_equal(r->msgid, 1);
}

static void
check_create(const struct wire_request *r)
{
    assert_int_equal(r->method, WIRE_ORDER_CREATE);
    assert_int_equal(r->msgid, 3);
    is_text(r->operations->id, "o-1");
    is_text(r->operations->machine, "delivery");
    is_text(r->operations->request_id, "c81e728d9d4c2f63");
    assert_true(bytes_equal(r->operations->attributes, list_of("{'items': 3}")));
}

static struct wire_content transition_content;

static void
check_transition(const struct wire_request *r)
{
    const struct wire_operation *o = r->operations;
    assert_int_equal(r->method, WIRE_ORDER_TRANSITION);
    assert_int_equal(r->msgid, 4);
    is_text(o->id, "o-1");
    is_text(o->event, "pick_up");
    is_text(o->actor, "courier-7");
    is_text(o->request_id, "8f14e45fceea167a");
    is_text(o->expect_state, NULL);
    assert_true(o->has_expect_version && o->expect_version == 1);
    assert_true(bytes_equal(o->attributes, list_of("{'note': 'left', 'weight': 1.5}")));
    transition_content = o->content;
}

static void
check_old_client(const struct wire_request *r)
{
    struct wire_content before = transition_content;
    check_transition(r);
    assert_memory_equal(&before, &transition_content, sizeof before);
}

static void
check_get(const struct wire_request *r)
{
    assert_int_equal(r->method, WIRE_ORDER_GET);
    is_text(r->id, "o-1");
    assert_int_equal(r->class, WIRE_CLASS_LOCAL);
    assert_true(r->has_min_seq && r->min_seq == 42);
}

static void
check_batch(const struct wire_request *r)
{
    assert_int_equal(r->method, WIRE_ORDER_BATCH);
    assert_false(r->atomic);
    assert_int_equal(r->operations_count, 2);
    assert_int_equal(r->operations[0].kind, WIRE_TRANSITION);
    is_text(r->operations[0].event, "deliver");
    is_text(r->operations[0].request_id, "a");
    assert_int_equal(r->operations[1].kind, WIRE_CREATE);
    is_text(r->operations[1].id, "o-2");
}

static void
check_feed_read(const struct wire_request *r)
{
    assert_int_equal(r->method, WIRE_FEED_READ);
    assert_true(r->has_from_seq && r->from_seq == 42 && r->limit == 1 && r->wait_ms == 1000);
    assert_true(r->machines.present && r->machines.names.count == 1);
    is_text(r->machines.names.items[0], "delivery");
    assert_false(r->states.present);
}

static void
check_credit(const struct wire_request *r)
{
    assert_true(r->notification && r->subscription == 1 && r->credit == 100);
}

static const struct {
    const char *name;
    void (*put)(struct buf *buf);                      /* An answer, or */
    void (*check)(const struct wire_request *request); /* a request. */
} examples[] = {
    {"ping request", NULL, check_ping},
    {"ping answer", put_ping, NULL},
    {"hello answer", put_hello, NULL},
    {"order.create request", NULL, check_create},
    {"order.create answer", put_create, NULL},
    {"order.transition request", NULL, check_transition},
    {"order.transition answer", put_transition, NULL},
    {"old client request", NULL, check_old_client},
    {"invalid_transition answer", put_invalid_transition, NULL},
    {"bad_request answer", put_bad_request, NULL},
    {"unknown_outcome answer", put_unknown_outcome, NULL},
    {"order.get request", NULL, check_get},
    {"order.get answer", put_order, NULL},
    {"order.history answer", put_history, NULL},
    {"order.batch request", NULL, check_batch},
    {"order.batch answer", put_batch, NULL},
    {"feed.read request", NULL, check_feed_read},
    {"feed.read answer", put_feed_read, NULL},
    {"feed.credit notification", NULL, check_credit},
    {"feed.events notification", put_feed_events, NULL},
};
enum { EXAMPLES = sizeof examples / sizeof examples[0] };

/* -- The page -- */

static int
read_page(void **state)
{
    FILE *file = fopen(QO_SOURCE_DIR "/include/PROTOCOL.md", "rb");
    (void)state;
    if (file == NULL) {
        return -1;
    }
    for (size_t got = 1; got > 0;) {
        got = fread(buf_reserve(&page, 65536), 1, 65536, file);
        page.size += got;
    }
    buf_put_u8(&page, '\0');
    return fclose(file);
}

static int
free_all(void **state)
{
    (void)state;
    buf_free(&page);
    wire_decoder_free(&decoder);
    arena_free(&arena);
    return 0;
}

/* The next hex block at or behind `at`: its name and bytes. NULL at the end. */
static const char *
next_block(const char *at, char name[64], struct buf *bytes)
{
    static const char fence[] = "```hex ";
    at = strstr(at, fence);
    if (at == NULL) {
        return NULL;
    }
    at += sizeof fence - 1;
    size_t size = strcspn(at, "\n");
    assert_true(size < 64);
    memcpy(name, at, size);
    name[size] = '\0';
    buf_clear(bytes);
    for (at += size + 1; *at != '`'; at += strspn(at, " \n")) {
        notation_raw(bytes, &at);
    }
    return at;
}

static void
check_request(const char *name, struct bytes bytes,
              void (*check)(const struct wire_request *request))
{
    struct wire_request request;
    struct wire_refusal refusal;
    struct buf again = {0};
    if (!wire_decode_request(&decoder, bytes, &arena, &request, &refusal)) {
        fail_msg("%s: %.*s", name, BYTES_FORMAT(refusal.failure.message));
    }
    check(&request);
    /* And back, where the page shows what our own client sends. */
    request.timeout_ms = 0;
    request.limit = request.limit == QO_LIMIT_DEFAULT ? 0 : request.limit;
    wire_encode_request(&again, &request);
    if (strcmp(name, "old client request") != 0) {
        struct wire_request same;
        struct bytes kept = arena_copy(&arena, buf_bytes(&again));
        assert_true(wire_decode_request(&decoder, kept, &arena, &same, &refusal));
        check(&same);
    }
    buf_free(&again);
}

static void
every_example_is_true(void **state)
{
    struct buf bytes = {0}, encoded = {0};
    bool met[EXAMPLES] = {false};
    char name[64];
    (void)state;
    for (const char *at = (const char *)page.data; (at = next_block(at, name, &bytes)) != NULL;) {
        size_t i = 0;
        while (i < EXAMPLES && strcmp(examples[i].name, name) != 0) {
            i++;
        }
        if (i == EXAMPLES) {
            fail_msg("no test knows the example `%s`", name);
        }
        met[i] = true;
        if (examples[i].check != NULL) {
            check_request(name, buf_bytes(&bytes), examples[i].check);
            continue;
        }
        buf_clear(&encoded);
        examples[i].put(&encoded);
        if (!bytes_equal(buf_bytes(&encoded), buf_bytes(&bytes))) {
            for (size_t n = 0; n < encoded.size; n++) {
                printf("%02x%s", encoded.data[n], n % 32 == 31 ? "\n" : "");
            }
            fail_msg("%s: we send the above", name);
        }
    }
    for (size_t i = 0; i < EXAMPLES; i++) {
        if (!met[i]) {
            fail_msg("the page lacks the example `%s`", examples[i].name);
        }
    }
    buf_free(&bytes);
    buf_free(&encoded);
}

/* The keys of a failure with everything set, as the page's third column writes them. */
static void
describe_keys(enum qo_error error, char *out, size_t size)
{
    static const char *const optional[] = {"limit", "reason"};
    struct buf buf = {0};
    struct wire_failure failure = {.error = error,
                                   .has_limit = true,
                                   .has_retry_after_ms = true,
                                   .reason = text("disk"),
                                   .field = text("f")};
    size_t used = 0;
    wire_put_failure(&buf, &failure, 4);
    struct wire_reader reader = wire_reader_of(buf_bytes(&buf));
    assert_int_equal(wire_read_array(&reader), 3);
    assert_int_equal(wire_read_natural(&reader), error);
    (void)wire_read_text(&reader);
    out[0] = '\0';
    for (uint32_t pairs = wire_read_map(&reader); pairs > 0; pairs--) {
        struct bytes key = wire_read_text(&reader);
        assert_true(wire_skip(&reader, NULL));
        if (bytes_equal(key, text("code")) || bytes_equal(key, text("applied"))) {
            continue;
        }
        bool may_lack = error == QO_UNAVAILABLE;
        for (size_t i = 0; i < 2; i++) {
            may_lack = may_lack || bytes_equal(key, bytes_text(optional[i]));
        }
        used += (size_t)snprintf(out + used, size - used, "%s`%.*s`%s", used == 0 ? "" : ", ",
                                 BYTES_FORMAT(key), may_lack ? "?" : "");
    }
    buf_free(&buf);
}

static void
the_error_table_is_that_of_the_code(void **state)
{
    uint32_t rows = 0;
    (void)state;
#define X(name, number, code, effect)                                                              \
    {                                                                                              \
        char row[256], keys[128];                                                                  \
        describe_keys(name, keys, sizeof keys);                                                    \
        snprintf(row, sizeof row, "\n| %d | `%s` | %s%s|", number, code, keys,                     \
                 keys[0] == '\0' ? "" : " ");                                                      \
        if (strstr((const char *)page.data, row) == NULL) {                                        \
            fail_msg("the page lacks%s", row);                                                     \
        }                                                                                          \
        rows++;                                                                                    \
    }
    QO_ERROR_MAP(X)
#undef X
    /* And no row that the code lacks: those whose first cell is a number. */
    for (const char *at = (const char *)page.data; (at = strstr(at, "\n| ")) != NULL; at++) {
        rows -= at[3] >= '1' && at[3] <= '5' && at[6] == ' ';
    }
    assert_int_equal(rows, 0);
}

static void
every_method_is_on_the_page(void **state)
{
    (void)state;
#define X(name, method, class)                                                                     \
    {                                                                                              \
        char row[64];                                                                              \
        snprintf(row, sizeof row, "\n| `%s` |", method);                                           \
        bool there = strstr((const char *)page.data, row) != NULL;                                 \
        if (there == ((class) == WIRE_CLASS_PEER)) {                                               \
            fail_msg("%s", method);                                                                \
        }                                                                                          \
    }
    WIRE_METHOD_MAP(X)
#undef X
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_is_true),
        cmocka_unit_test(the_error_table_is_that_of_the_code),
        cmocka_unit_test(every_method_is_on_the_page),
    };
    return cmocka_run_group_tests_name("wire/protocol", tests, read_page, free_all);
}
