/*
 * Goal: a connection becomes a link only between members of one cluster that know its secret, each
 * refusal says what is wrong, and of a pair exactly one link remains, whoever dials when.
 * Method: real members over sockets of this machine; where one of them must lie, a test that speaks
 * the bytes itself.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link_state.h"
#include "links_world.h"
#include "support/seed.h"

enum { ROUNDS = 60 };

static uv_loop_t loop;

static int
set_up(void **state)
{
    (void)state;
    return uv_loop_init(&loop);
}

static int
tear_down(void **state)
{
    (void)state;
    return world_close(&loop) ? 0 : -1;
}

/* Member 1 of cluster "c", which knows a member 2 that is somebody's closed port. */
static void
start_one(struct member *one, struct links_options options)
{
    struct member two = {.id = 2, .address = "127.0.0.1:1"};
    const struct member *all[2] = {one, &two};
    member_listen(one, &loop, 1, "127.0.0.1", 0);
    member_start(one, options);
    member_meets(one, all, 2);
}

static struct hello
honest(void)
{
    struct hello hello = {.version = HELLO_VERSION, .from = 2, .to = 1, .life = 7};
    memcpy(hello.cluster_id, "c", 2);
    return hello;
}

/* -- Refusals ---------------------------------------------------------------------------------- */

static void
says_what_is_wrong(void **state)
{
    static struct member one;
    struct {
        const char *name;
        uint8_t reason, version;
        uint32_t from, to;
        const char *cluster;
        bool has_secret;
        const char *text;
    } const cases[] = {
        {"version", REFUSED_VERSION, 9, 2, 1, "c", true,
         "member 1 speaks version 1 of the links and not 9"},
        {"cluster", REFUSED_CLUSTER, 1, 2, 1, "other", true,
         "member 1 is of cluster 'c' and not of 'other'"},
        {"member", REFUSED_MEMBER, 1, 2, 3, "c", true,
         "this is member 1 and not 3: the address of a member is wrong"},
        {"stranger", REFUSED_STRANGER, 1, 5, 1, "c", true,
         "member 1 does not know member 5 there: it is not in the configuration, or at the address "
         "of another"},
        {"itself", REFUSED_STRANGER, 1, 1, 1, "c", true,
         "member 1 does not know member 1 there: it is not in the configuration, or at the address "
         "of another"},
        {"no secret", REFUSED_SECRET_MISSING, 1, 2, 1, "c", false,
         "member 1 has a cluster secret and member 2 has none"},
    };
    (void)state;
    start_one(&one, (struct links_options){.secret = bytes_text("open sesame")});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct raw raw;
        struct frame frame;
        char text[HELLO_TEXT_MAX + 1];
        print_message("%s\n", cases[i].name);
        raw_dial(&raw, one.port);
        raw.own = honest();
        raw.own.version = cases[i].version;
        raw.own.from = cases[i].from;
        raw.own.to = cases[i].to;
        raw.own.has_secret = cases[i].has_secret;
        (void)snprintf(raw.own.cluster_id, sizeof raw.own.cluster_id, "%s", cases[i].cluster);
        raw_send_hello(&raw);
        assert_true(raw_frame(&raw, &loop, &frame));
        assert_int_equal(frame.type, FRAME_REFUSAL);
        assert_int_equal(frame.payload.data[0], cases[i].reason);
        hello_clean(bytes_make(frame.payload.data + 1, frame.payload.size - 1), text);
        assert_string_equal(text, cases[i].text);
        assert_true(raw_ends(&raw, &loop));
        raw_close(&raw);
    }
    member_stop(&one);
}

static void
needs_the_secret(void **state)
{
    static struct member one;
    struct raw raw;
    struct frame frame;
    (void)state;
    start_one(&one, (struct links_options){.secret = bytes_text("open sesame")});
    raw_dial(&raw, one.port);
    raw.own = honest();
    raw.own.has_secret = true;
    assert_false(raw_open(&raw, &loop, bytes_text("open barley")));
    assert_false(member_up(&one, 2));
    raw_close(&raw);

    /* What the refusal was: raw_open() took it for what it is not, so once more, step by step. */
    raw_dial(&raw, one.port);
    raw.own = honest();
    raw.own.has_secret = true;
    raw_send_hello(&raw);
    assert_true(raw_frame(&raw, &loop, &frame));
    uint8_t proof[32] = {0};
    raw_send_frame(&raw, FRAME_PROOF, bytes_make(proof, sizeof proof));
    assert_true(raw_frame(&raw, &loop, &frame));
    assert_int_equal(frame.type, FRAME_REFUSAL);
    assert_int_equal(frame.payload.data[0], REFUSED_SECRET_WRONG);
    assert_true(frame.payload.size > 30 &&
                memcmp(frame.payload.data + 1, "members 1 and 2 have different", 30) == 0);
    raw_close(&raw);

    raw_dial(&raw, one.port);
    raw.own = honest();
    raw.own.has_secret = true;
    assert_true(raw_open(&raw, &loop, bytes_text("open sesame")));
    assert_true(member_up(&one, 2));
    raw_close(&raw);
    member_stop(&one);
}

/* A proof that was heard on one connection is worth nothing on another, nor in the other role. */
static void
a_proof_serves_once_and_for_one_side(void **state)
{
    struct hello hello = honest();
    uint8_t dial[HELLO_BYTES], accept[HELLO_BYTES];
    (void)state;
    hello_fill_nonce(&hello);
    hello_write(&hello, dial);
    hello_fill_nonce(&hello);
    hello_write(&hello, accept);
    struct sha256 proof = hello_prove(bytes_text("s"), true, dial, accept);
    struct sha256 same = hello_prove(bytes_text("s"), true, dial, accept);
    struct sha256 role = hello_prove(bytes_text("s"), false, dial, accept);
    struct sha256 none = hello_prove(BYTES_NONE, true, dial, accept);
    accept[40] ^= 1;
    struct sha256 nonce = hello_prove(bytes_text("s"), true, dial, accept);
    assert_true(hash_equal_secret(&proof, &same));
    assert_false(hash_equal_secret(&proof, &role));
    assert_false(hash_equal_secret(&proof, &none));
    assert_false(hash_equal_secret(&proof, &nonce));
}

/* Test case 2 of RFC 4231. */
static void
proves_by_hmac_sha_256(void **state)
{
    const struct bytes parts[2] = {bytes_text("what do ya want "), bytes_text("for nothing?")};
    struct sha256 mac = hash_hmac_sha256(bytes_text("Jefe"), parts, 2);
    char hex[2 * sizeof mac.bytes + 1];
    (void)state;
    hash_hex(bytes_make(mac.bytes, sizeof mac.bytes), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void
closes_what_is_no_opening(void **state)
{
    static struct member one;
    static uint8_t noise[4096];
    uint64_t seed = seed_init();
    struct hello hello = honest();
    uint8_t bad[HELLO_PREFIX_BYTES + 1 + HELLO_BYTES];
    (void)state;
    start_one(&one, (struct links_options){0});
    memcpy(bad, hello_prefix, HELLO_PREFIX_BYTES);
    bad[HELLO_PREFIX_BYTES] = HELLO_BYTES;
    hello_write(&hello, bad + HELLO_PREFIX_BYTES + 1);
    bad[sizeof bad - 1] = 'x'; /* Behind the cluster id's zeros. */
    for (int i = 0; i < 12; i++) {
        struct raw raw;
        for (size_t n = 0; n < sizeof noise; n++) {
            noise[n] = (uint8_t)seed_next(&seed);
        }
        raw_dial(&raw, one.port);
        if (i % 3 == 0) {
            raw_send(&raw, bytes_make(noise, sizeof noise));
        } else if (i % 3 == 1) {
            raw_send(&raw, bytes_make(bad, sizeof bad));
        } else { /* A good hello, and noise where the proof should be. */
            raw.own = honest();
            raw_send_hello(&raw);
            raw_send(&raw, bytes_make(noise, sizeof noise));
        }
        assert_true(raw_ends(&raw, &loop));
        raw_close(&raw);
    }
    assert_false(member_up(&one, 2));
    assert_int_equal(one.seen_count, 0);
    member_stop(&one);
}

/* At each step of an opening, nothing more comes. */
static void
ends_an_opening_that_stands_still(void **state)
{
    static struct member one;
    struct raw raws[4];
    struct frame frame;
    (void)state;
    start_one(&one, (struct links_options){.opening_ms = 100});
    for (int i = 0; i < 4; i++) {
        raw_dial(&raws[i], one.port);
        raws[i].own = honest();
    }
    raw_send(&raws[1], bytes_make(hello_prefix, 7));
    raw_send(&raws[2], bytes_make(hello_prefix, HELLO_PREFIX_BYTES));
    raw_send_hello(&raws[3]);
    assert_true(raw_frame(&raws[3], &loop, &frame));
    for (int i = 0; i < 4; i++) {
        assert_true(raw_ends(&raws[i], &loop));
        raw_close(&raws[i]);
    }
    assert_int_equal(one.links->openings, 0);
    member_stop(&one);
}

static bool
all_came(void *context)
{
    const struct member *one = context;
    return one->links->openings == QO_LINK_OPENINGS_MAX;
}

static void
bounds_openings_and_still_lets_members_in(void **state)
{
    static struct member one;
    struct raw crowd[QO_LINK_OPENINGS_MAX], late;
    (void)state;
    start_one(&one, (struct links_options){0});
    for (uint32_t i = 0; i < QO_LINK_OPENINGS_MAX; i++) {
        raw_dial(&crowd[i], one.port);
    }
    assert_true(world_run(&loop, all_came, &one));
    raw_dial(&late, one.port);
    late.own = honest();
    assert_true(raw_open(&late, &loop, BYTES_NONE));
    assert_true(raw_ends(&crowd[0], &loop));
    assert_true(member_up(&one, 2));
    assert_int_equal(one.links->openings, QO_LINK_OPENINGS_MAX - 1);
    for (uint32_t i = 0; i < QO_LINK_OPENINGS_MAX; i++) {
        raw_close(&crowd[i]);
    }
    raw_close(&late);
    member_stop(&one);
}

/* -- Exactly one ------------------------------------------------------------------------------- */

static uint32_t
conns_of(const struct member *member)
{
    uint32_t count = 0;
    for (const struct conn *conn = member->links->conns; conn != NULL; conn = conn->next) {
        count++;
    }
    return count;
}

/* Both have the same link, and nothing else. */
static bool
exactly_one(void *context)
{
    struct member *const *pair = context;
    struct peer *a = links_peer(pair[0]->links, pair[1]->id);
    struct peer *b = links_peer(pair[1]->links, pair[0]->id);
    return a->link != NULL && b->link != NULL && a->link->order == b->link->order &&
           conns_of(pair[0]) == 1 && conns_of(pair[1]) == 1;
}

static void
of_two_that_dial_at_once_one_remains(void **state)
{
    static struct member a, b;
    struct member *pair[2] = {&a, &b};
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        member_listen(&a, &loop, 1, "127.0.0.1", 0);
        member_listen(&b, &loop, 2, "127.0.0.1", 0);
        member_start(&a, (struct links_options){0});
        member_start(&b, (struct links_options){0});
        member_meets(pair[i % 2], (const struct member *const *)pair, 2);
        member_meets(pair[1 - i % 2], (const struct member *const *)pair, 2);
        assert_true(world_run(&loop, exactly_one, pair));
        /* The same again, from a link that breaks on both sides at once. */
        links_ended(links_peer(a.links, 2)->link, UV_ETIMEDOUT);
        links_ended(links_peer(b.links, 1)->link, UV_ETIMEDOUT);
        assert_true(world_run(&loop, exactly_one, pair));
        member_stop(&a);
        member_stop(&b);
    }
}

/* The decider believes in a link that the other one has lost: a path that is dead in silence. */
static void
the_other_side_replaces_what_the_decider_believes_in(void **state)
{
    static struct member one;
    struct raw old, young;
    (void)state;
    start_one(&one, (struct links_options){0});
    raw_dial(&old, one.port);
    old.own = honest();
    assert_true(raw_open(&old, &loop, BYTES_NONE));
    raw_dial(&young, one.port);
    young.own = honest();
    young.own.life = 8; /* It has started again. */
    assert_true(raw_open(&young, &loop, BYTES_NONE));
    assert_true(raw_ends(&old, &loop));
    assert_true(member_up(&one, 2));
    assert_int_equal(links_peer(one.links, 2)->link->theirs.life, 8);
    raw_close(&old);
    raw_close(&young);
    member_stop(&one);
}

/* The other side keeps the link with the highest number, in whatever order they come to it. */
static void
a_late_open_does_not_replace_a_newer_one(void **state)
{
    static struct member nine;
    struct member two = {.id = 2, .address = "127.0.0.1:1"};
    const struct member *all[2] = {&nine, &two};
    struct raw raws[2];
    struct frame frame;
    (void)state;
    member_listen(&nine, &loop, 9, "127.0.0.1", 0);
    member_start(&nine, (struct links_options){0});
    member_meets(&nine, all, 2);
    for (int i = 0; i < 2; i++) {
        raw_dial(&raws[i], nine.port);
        raws[i].own = honest();
        raws[i].own.to = 9;
        raw_send_hello(&raws[i]);
        assert_true(raw_frame(&raws[i], &loop, &frame));
        struct sha256 proof = hello_prove(BYTES_NONE, true, raws[i].own_bytes, frame.payload.data);
        raw_send_frame(&raws[i], FRAME_PROOF, bytes_make(proof.bytes, sizeof proof.bytes));
        assert_true(raw_frame(&raws[i], &loop, &frame));
        assert_int_equal(frame.type, FRAME_PROOF);
        assert_false(member_up(&nine, 2)); /* Not before the decider says so. */
    }
    uint8_t order[8] = {6};
    raw_send_frame(&raws[1], FRAME_OPEN, bytes_make(order, sizeof order));
    uint8_t note[1] = {3};
    raw_send_frame(&raws[1], FRAME_NOTE, bytes_make(note, sizeof note));
    while (nine.notes_count == 0) {
        assert_true(uv_run(&loop, UV_RUN_ONCE) != 0);
    }
    order[0] = 5;
    raw_send_frame(&raws[0], FRAME_OPEN, bytes_make(order, sizeof order));
    assert_true(raw_ends(&raws[0], &loop));
    assert_true(member_up(&nine, 2));
    assert_int_equal(links_peer(nine.links, 2)->link->order, 6);
    raw_close(&raws[0]);
    raw_close(&raws[1]);
    member_stop(&nine);
}

static bool
somebody_dialled(void *context)
{
    struct raw *raw = context;
    int fd = accept(raw->fd, NULL, NULL);
    if (fd >= 0) {
        (void)close(raw->fd);
        raw->fd = fd;
    }
    return fd >= 0;
}

static bool
prefix_came(void *context)
{
    struct raw *raw = context;
    uint8_t bytes[HELLO_PREFIX_BYTES + 1 + HELLO_BYTES];
    if (recv(raw->fd, bytes, sizeof bytes, MSG_DONTWAIT) != (ssize_t)sizeof bytes) {
        return false;
    }
    memcpy(raw->their_bytes, bytes + sizeof bytes - HELLO_BYTES, HELLO_BYTES);
    return true;
}

static bool
order_is_two(void *context)
{
    const struct member *nine = context;
    const struct conn *link = links_peer(nine->links, 2)->link;
    return link != NULL && link->order == 2;
}

/* Its proof is sent: the decider may have opened it already, and have closed all others. */
static void
keeps_what_it_dialled_once_it_has_proved(void **state)
{
    static struct member nine, two;
    const struct member *all[2] = {&nine, &two};
    struct raw dialled = {0}, first;
    struct frame frame;
    (void)state;
    member_listen(&nine, &loop, 9, "127.0.0.1", 0);
    member_listen(&two, &loop, 2, "127.0.0.1", 0); /* Only for its port. */
    (void)uv_poll_stop(&two.incoming);
    dialled.fd = dup(two.listener);
    member_start(&nine, (struct links_options){0});
    member_meets(&nine, all, 2);
    assert_true(world_run(&loop, somebody_dialled, &dialled));
    assert_true(world_run(&loop, prefix_came, &dialled));
    dialled.own = honest();
    dialled.own.to = 9;
    hello_write(&dialled.own, dialled.own_bytes);
    raw_send_frame(&dialled, FRAME_HELLO, bytes_make(dialled.own_bytes, HELLO_BYTES));
    assert_true(raw_frame(&dialled, &loop, &frame));
    assert_int_equal(frame.type, FRAME_PROOF);

    raw_dial(&first, nine.port); /* The decider opens what it dialled itself ... */
    first.own = dialled.own;
    assert_true(raw_open(&first, &loop, BYTES_NONE));
    while (!member_up(&nine, 2)) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_non_null(links_peer(nine.links, 2)->dial); /* ... and the other one waits on. */
    struct sha256 proof = hello_prove(BYTES_NONE, false, dialled.their_bytes, dialled.own_bytes);
    uint8_t order[8] = {2};
    raw_send_frame(&dialled, FRAME_PROOF, bytes_make(proof.bytes, sizeof proof.bytes));
    raw_send_frame(&dialled, FRAME_OPEN, bytes_make(order, sizeof order));
    assert_true(world_run(&loop, order_is_two, &nine));
    assert_true(raw_ends(&first, &loop));
    raw_close(&first);
    raw_close(&dialled);
    member_stop(&two);
    member_stop(&nine);
}

static void
knows_addresses(void **state)
{
    const struct {
        const char *address;
        bool valid;
    } cases[] = {
        {"127.0.0.1:7400", true},  {"node-1.example:1", true}, {"[::1]:7400", true},
        {"[fe80::1]:65535", true}, {"::1:7400", false},        {"[::1]", false},
        {"[::g]:7400", false},     {"[]:7400", false},         {"host", false},
        {"host:", false},          {":7400", false},           {"host:0", false},
        {"host:65536", false},     {"host:7400x", false},      {"host:+7", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].address);
        assert_int_equal(links_address_valid(cases[i].address), cases[i].valid);
    }
}

static void
knows_an_opening_by_its_first_bytes(void **state)
{
    uint8_t bytes[LINKS_PREFIX_BYTES + 5];
    (void)state;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, "\x94\x00\x01\xa9peer.link\x91\xc4", LINKS_PREFIX_BYTES);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        assert_int_equal(links_is_opening(bytes_make(bytes, size)), size >= LINKS_PREFIX_BYTES);
    }
    for (size_t i = 0; i < LINKS_PREFIX_BYTES; i++) {
        bytes[i] ^= 1;
        assert_false(links_is_opening(bytes_make(bytes, sizeof bytes)));
        bytes[i] ^= 1;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(says_what_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(needs_the_secret, set_up, tear_down),
        cmocka_unit_test(a_proof_serves_once_and_for_one_side),
        cmocka_unit_test(proves_by_hmac_sha_256),
        cmocka_unit_test_setup_teardown(closes_what_is_no_opening, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_an_opening_that_stands_still, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_openings_and_still_lets_members_in, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_two_that_dial_at_once_one_remains, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_other_side_replaces_what_the_decider_believes_in,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_open_does_not_replace_a_newer_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(keeps_what_it_dialled_once_it_has_proved, set_up,
                                        tear_down),
        cmocka_unit_test(knows_addresses),
        cmocka_unit_test(knows_an_opening_by_its_first_bytes),
    };
    return cmocka_run_group_tests_name("consensus/links_open", tests, NULL, NULL);
}
