/*
 * Goal: what is sent on a link comes, whole, once and in order, or is told as failed; who does not
 * read costs a bounded amount of memory; a dead process is told from a broken path; members find
 * each other again.
 * Method: real members over sockets of this machine, IPv4, IPv6 and by name; a member whose loop
 * does not run is one that does not read.
 */
#include "support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link_state.h"
#include "links_world.h"
#include "support/seed.h"

enum { SENDS_MAX = 4096 };

static uv_loop_t loop;

struct sending {
    struct raft_io_send request;
    bool done;
    int status;
};
static struct sending sends[SENDS_MAX];
static uint32_t sends_count, sends_done;
static bool inside;

static int
set_up(void **state)
{
    (void)state;
    memset(sends, 0, sizeof sends);
    sends_count = sends_done = 0;
    return uv_loop_init(&loop);
}

static int
tear_down(void **state)
{
    (void)state;
    /* Each callback exactly once. */
    return world_close(&loop) && sends_done == sends_count ? 0 : -1;
}

static void
was_sent(struct raft_io_send *request, int status)
{
    struct sending *sending = request->data;
    if (sending->done || inside) {
        abort(); /* Twice, or inside send(). */
    }
    sending->done = true;
    sending->status = status;
    sends_done++;
}

static struct sending *
send_from(struct member *member, const struct raft_message *message)
{
    struct sending *sending = &sends[sends_count++];
    assert_true(sends_count <= SENDS_MAX);
    sending->request.data = sending;
    inside = true;
    int status =
        member->transport.send(member->transport.context, &sending->request, message, was_sent);
    inside = false;
    assert_int_equal(status, 0);
    return sending;
}

static bool
all_told(void *context)
{
    (void)context;
    return sends_done == sends_count;
}

/* b has a link to 1. */
static bool
b_is_up(void *context)
{
    const struct member *b = context;
    struct links_status status;
    return links_status(b->links, 1, &status) && status.up;
}

struct wanted {
    const struct member *member;
    uint32_t count;
};

static bool
has_seen(void *context)
{
    const struct wanted *wanted = context;
    return wanted->member->seen_count >= wanted->count;
}

static struct raft_message
append_to(uint32_t to, uint64_t index, struct raft_entry *entries, unsigned count)
{
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES, .server_id = to};
    message.append_entries.term = 3;
    message.append_entries.prev_log_index = index;
    message.append_entries.entries = entries;
    message.append_entries.n_entries = count;
    return message;
}

/* -- What is carried --------------------------------------------------------------------------- */

static void
carries_messages(const char *host, const char *name)
{
    static struct member a, b;
    struct member *pair[2] = {&a, &b};
    uint8_t data[24] = "some bytes of an entry";
    struct raft_entry entry = {.term = 3, .type = RAFT_COMMAND, .buf = {data, sizeof data}};
    member_pair(&a, &b, &loop, host);
    if (name != NULL) { /* The address changes to one that is looked up; the link breaks. */
        (void)snprintf(a.address, sizeof a.address, "%s:%u", name, a.port);
        (void)snprintf(b.address, sizeof b.address, "%s:%u", name, b.port);
        member_meets(&a, (const struct member *const *)pair, 2);
        member_meets(&b, (const struct member *const *)pair, 2);
        uint16_t port = a.port;
        member_stop(&a);
        member_listen(&a, &loop, 1, host, port);
        member_start(&a, (struct links_options){0});
        member_meets(&a, (const struct member *const *)pair, 2);
    }
    struct raft_message messages[6] = {
        append_to(1, 8, &entry, 1),
        {.type = RAFT_IO_APPEND_ENTRIES_RESULT, .server_id = 1},
        {.type = RAFT_IO_REQUEST_VOTE, .server_id = 1},
        {.type = RAFT_IO_REQUEST_VOTE_RESULT, .server_id = 1},
        {.type = RAFT_IO_TIMEOUT_NOW, .server_id = 1},
        append_to(1, 9, NULL, 0),
    };
    messages[1].append_entries_result.last_log_index = 77;
    messages[2].request_vote = (struct raft_request_vote){4, 2, 5, 6, false, false};
    messages[3].request_vote_result.term = 12;
    messages[4].timeout_now.last_log_index = 13;
    struct wanted wanted = {&a, 0};
    for (int i = 0; i < 6; i++) { /* One at a time: lanes may change their order else. */
        const struct sending *sending;
        do {                                            /* Until the link is there. */
            assert_true(world_run(&loop, b_is_up, &b)); /* A name's look-up takes its time. */
            sending = send_from(&b, &messages[i]);
            assert_true(world_run(&loop, all_told, NULL));
        } while (sending->status == RAFT_NOCONNECTION && sends_count < SENDS_MAX);
        assert_int_equal(sending->status, 0);
        wanted.count++;
        assert_true(world_run(&loop, has_seen, &wanted));
        assert_int_equal(a.seen[i].type, messages[i].type);
        assert_int_equal(a.seen[i].from, 2);
    }
    assert_int_equal(a.seen_count, 6);
    assert_int_equal(a.seen[0].bytes, sizeof data);
    assert_int_equal(a.seen[1].index, 77);
    assert_int_equal(a.seen[2].index, 5);
    assert_int_equal(a.seen[3].term, 12);
    assert_int_equal(a.seen[4].index, 13);
    assert_int_equal(a.seen[5].index, 9);
    member_stop(&a);
    member_stop(&b);
}

static void
carries_every_message_over_ipv4(void **state)
{
    (void)state;
    carries_messages("127.0.0.1", NULL);
}

static void
carries_every_message_over_ipv6(void **state)
{
    (void)state;
    carries_messages("::1", NULL);
}

static void
carries_every_message_to_a_name(void **state)
{
    (void)state;
    carries_messages("127.0.0.1", "localhost");
}

/* Small and large ones, larger than a part and than what one write takes, in bursts. */
static void
keeps_appends_whole_and_in_order(void **state)
{
    static struct member a, b;
    static uint8_t bulk[QO_MIB(2)];
    static struct raft_entry entries[400];
    uint64_t seed = seed_init(), hashes[400] = {0};
    struct wanted wanted = {&b, 400};
    (void)state;
    for (size_t i = 0; i < sizeof bulk; i++) {
        bulk[i] = (uint8_t)seed_next(&seed);
    }
    member_pair(&a, &b, &loop, "127.0.0.1");
    for (uint32_t i = 0; i < 400; i++) {
        static const size_t most[4] = {64, 5000, 200000, sizeof bulk};
        struct raft_entry *entry = &entries[i];
        *entry = (struct raft_entry){.term = 3, .type = RAFT_COMMAND};
        entry->buf.len = 1 + seed_below(&seed, most[seed_below(&seed, 4)]);
        entry->buf.base = bulk + seed_below(&seed, sizeof bulk - entry->buf.len + 1);
        hashes[i] = hash_xxh64(bytes_make(entry->buf.base, entry->buf.len));
        struct raft_message message = append_to(2, i + 1, entry, 1);
        (void)send_from(&a, &message);
        if (i % 5 == 4) {
            assert_true(world_run(&loop, all_told, NULL));
        }
    }
    assert_true(world_run(&loop, has_seen, &wanted));
    for (uint32_t i = 0; i < 400; i++) {
        assert_int_equal(b.seen[i].index, i + 1);
        assert_true(b.seen[i].hash == hashes[i]);
        assert_int_equal(sends[i].status, 0);
    }
    member_stop(&a);
    member_stop(&b);
}

static bool
note_is_there(void *context)
{
    const struct member *member = context;
    return member->notes_count > 0;
}

static void
carries_notes_while_there_is_a_link(void **state)
{
    static struct member a, b;
    uint8_t body[QO_LINK_NOTE_BYTES_MAX];
    (void)state;
    memset(body, 'n', sizeof body);
    member_pair(&a, &b, &loop, "127.0.0.1");
    a.transport.note(a.transport.context, 2, 200, bytes_make(body, sizeof body));
    assert_true(world_run(&loop, note_is_there, &b));
    assert_int_equal(b.note_kind, 200);
    assert_int_equal(b.note_bytes, sizeof body);
    assert_memory_equal(b.note, body, sizeof body);
    b.notes_count = 0;
    b.transport.note(b.transport.context, 1, 1, BYTES_NONE);
    assert_true(world_run(&loop, note_is_there, &a));
    assert_int_equal(a.note_bytes, 0);
    a.transport.note(a.transport.context, 7, 1, BYTES_NONE); /* Nobody. */
    member_stop(&b);
    a.transport.note(a.transport.context, 2, 1, BYTES_NONE);
    member_stop(&a);
}

/* -- What is not ------------------------------------------------------------------------------- */

static void
tells_what_it_cannot_send(void **state)
{
    static struct member a, b;
    static uint8_t bulk[QO_MIB(2)];
    struct raft_entry entries[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        entries[i] = (struct raft_entry){.term = 1, .type = RAFT_COMMAND};
        entries[i].buf.base = bulk;
        entries[i].buf.len = sizeof bulk;
    }
    member_pair(&a, &b, &loop, "127.0.0.1");
    struct raft_message snapshot = {.type = RAFT_IO_INSTALL_SNAPSHOT, .server_id = 2};
    struct raft_message large = append_to(2, 1, entries, 3), foreign = append_to(5, 1, NULL, 0);
    struct raft_message nobody = append_to(2, 1, NULL, 0);
    const struct sending *invalid = send_from(&a, &snapshot), *big = send_from(&a, &large);
    const struct sending *stranger = send_from(&a, &foreign);
    assert_true(world_run(&loop, all_told, NULL));
    assert_int_equal(invalid->status, RAFT_INVALID);
    assert_int_equal(big->status, RAFT_TOOBIG);
    assert_int_equal(stranger->status, RAFT_INVALID);
    member_stop(&b);
    while (member_up(&a, 2)) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    const struct sending *lost = send_from(&a, &nobody);
    assert_true(world_run(&loop, all_told, NULL));
    assert_int_equal(lost->status, RAFT_NOCONNECTION);
    /* What waits when all ends is told, too. */
    const struct sending *last = send_from(&a, &nobody);
    member_stop(&a);
    assert_true(last->done);
}

static void
closes_on_bytes_that_are_no_frame_or_no_message(void **state)
{
    static struct member one;
    struct member two = {.id = 2, .address = "127.0.0.1:1"};
    const struct member *all[2] = {&one, &two};
    uint8_t first[6] = {0xff, 0xff, 0xff, 0x7f}, small_first[6] = {5}, order[8] = {1};
    uint8_t vote[48] = {RAFT_IO_REQUEST_VOTE}, snapshot[32] = {RAFT_IO_INSTALL_SNAPSHOT};
    uint8_t long_note[QO_LINK_NOTE_BYTES_MAX + 2] = {1};
    vote[16] = 3; /* It stands for member 3. */
    const struct {
        const char *name;
        uint8_t type;
        struct bytes payload;
        bool damage;
    } cases[] = {
        {"a flipped bit", FRAME_NOTE, bytes_text("x"), true},
        {"an unknown type", 99, BYTES_NONE, false},
        {"an opening again", FRAME_OPEN, bytes_make(order, 8), false},
        {"a part of nothing", FRAME_PART, bytes_text("x"), false},
        {"a message of 2 GiB", FRAME_FIRST, bytes_make(first, 6), false},
        {"a first part of what needs none", FRAME_FIRST, bytes_make(small_first, 6), false},
        {"an empty message", FRAME_MESSAGE, BYTES_NONE, false},
        {"a snapshot", FRAME_MESSAGE, bytes_make(snapshot, sizeof snapshot), false},
        {"a vote for somebody else", FRAME_MESSAGE, bytes_make(vote, sizeof vote), false},
        {"an empty note", FRAME_NOTE, BYTES_NONE, false},
        {"a long note", FRAME_NOTE, bytes_make(long_note, sizeof long_note), false},
    };
    (void)state;
    member_listen(&one, &loop, 1, "127.0.0.1", 0);
    member_start(&one, (struct links_options){0});
    member_meets(&one, all, 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct raw raw;
        struct buf out = {0};
        print_message("%s\n", cases[i].name);
        raw_dial(&raw, one.port);
        raw.own = (struct hello){.version = HELLO_VERSION, .from = 2, .to = 1, .life = i};
        raw.own.cluster_id[0] = 'c';
        assert_true(raw_open(&raw, &loop, BYTES_NONE));
        assert_true(member_up(&one, 2));
        frame_put(&out, (enum frame_type)cases[i].type, cases[i].payload);
        out.data[out.size - 1] ^= cases[i].damage ? 0x10 : 0;
        raw_send(&raw, buf_bytes(&out));
        assert_true(raw_ends(&raw, &loop));
        assert_false(member_up(&one, 2));
        buf_free(&out);
        raw_close(&raw);
    }
    assert_int_equal(one.seen_count, 0);
    assert_int_equal(one.notes_count, 0);
    assert_int_equal(one.gone_count, 0); /* Closed here, not by the other side. */
    member_stop(&one);
}

static bool
is_down(void *context)
{
    const struct member *member = context;
    return !member_up(member, 2);
}

/* Member 2's loop does not run from here on: it reads nothing, and its kernel says so. */
static void
who_does_not_read_costs_a_bounded_amount(void **state)
{
    static struct member a, b;
    static uv_loop_t other;
    static uint8_t bulk[QO_MIB(1)];
    struct raft_entry entry = {.term = 1, .type = RAFT_COMMAND, .buf = {bulk, sizeof bulk}};
    struct member *pair[2] = {&a, &b};
    struct links_status status = {0};
    uint32_t busy = 0, sent = 0, lost = 0;
    uint64_t most = 0;
    (void)state;
    assert_int_equal(uv_loop_init(&other), 0);
    member_listen(&a, &loop, 1, "127.0.0.1", 0);
    member_listen(&b, &other, 2, "127.0.0.1", 0);
    member_start(&a, (struct links_options){.peer_timeout_ms = 2000});
    member_start(&b, (struct links_options){0});
    member_meets(&a, (const struct member *const *)pair, 2);
    member_meets(&b, (const struct member *const *)pair, 2);
    while (!member_up(&a, 2) || !member_up(&b, 1)) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)uv_run(&other, UV_RUN_NOWAIT);
    }
    for (int i = 0; i < 200; i++) { /* 200 MiB. */
        struct raft_message message = append_to(2, (uint64_t)i + 1, &entry, 1);
        (void)send_from(&a, &message);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        if (links_status(a.links, 2, &status) && status.queued_bytes > most) {
            most = status.queued_bytes;
        }
    }
    assert_true(world_run(&loop, is_down, &a)); /* The kernel gives up after 2 s. */
    assert_true(world_run(&loop, all_told, NULL));
    for (uint32_t i = 0; i < sends_count; i++) {
        sent += sends[i].status == 0;
        busy += sends[i].status == RAFT_BUSY;
        lost += sends[i].status == RAFT_NOCONNECTION;
    }
    print_message("of 200 MiB: %u MiB in the kernels, at most %.1f MiB here, %u refused, %u lost\n",
                  sent, (double)most / 1048576, busy, lost);
    assert_true(most <= QO_LINK_QUEUE_BYTES_MAX && most > QO_LINK_QUEUE_BYTES_MAX / 2);
    assert_true(busy > 100);
    assert_int_equal(sent + busy + lost, 200);
    assert_int_equal(a.gone_count, 0); /* It is silent, not gone. */
    member_stop(&a);
    member_stop(&b);
    assert_true(world_close(&other));
}

/* -- Lost and found ---------------------------------------------------------------------------- */

static bool
told_gone(void *context)
{
    const struct member *member = context;
    return member->gone_count > 0;
}

static bool
dialled_some_more(void *context)
{
    const struct member *member = context;
    struct links_status status;
    return links_status(member->links, 2, &status) && status.attempts >= 8;
}

static bool
a_is_up(void *context)
{
    return !is_down(context);
}

static void
tells_that_a_process_is_gone_and_finds_it_again(void **state)
{
    static struct member a, b;
    struct member *pair[2] = {&a, &b};
    uint16_t port;
    (void)state;
    member_pair(&a, &b, &loop, "127.0.0.1");
    for (int i = 0; i < 3; i++) {
        a.gone_count = 0;
        port = b.port;
        member_stop(&b);
        assert_true(world_run(&loop, told_gone, &a));
        assert_int_equal(a.gone_member, 2);
        assert_true(world_run(&loop, dialled_some_more, &a));
        assert_int_equal(a.gone_count, 1); /* Once, though it is refused again and again. */
        member_listen(&b, &loop, 2, "127.0.0.1", port);
        member_start(&b, (struct links_options){0});
        member_meets(&b, (const struct member *const *)pair, 2);
        assert_true(world_run(&loop, a_is_up, &a));
        struct wanted wanted = {&b, 1};
        struct raft_message message = append_to(2, 1, NULL, 0);
        (void)send_from(&a, &message);
        assert_true(world_run(&loop, has_seen, &wanted));
    }
    member_stop(&a);
    member_stop(&b);
}

static uint64_t until_ms;

static bool
time_has_come(void *context)
{
    (void)context;
    return uv_now(&loop) >= until_ms;
}

/* However often it was dialled before it came back: the end of a leader is then told as soon. */
static void
dials_at_once_who_ends_soon_after_a_restart(void **state)
{
    static struct member a, b;
    struct member *pair[2] = {&a, &b};
    struct links_status before, after;
    (void)state;
    member_pair(&a, &b, &loop, "127.0.0.1");
    uint16_t port = b.port;
    member_stop(&b);
    assert_true(world_run(&loop, dialled_some_more, &a));
    member_listen(&b, &loop, 2, "127.0.0.1", port);
    member_start(&b, (struct links_options){0});
    member_meets(&b, (const struct member *const *)pair, 2);
    assert_true(world_run(&loop, a_is_up, &a));
    until_ms = uv_now(&loop) + QO_LINK_STEADY_MS;
    assert_true(world_run(&loop, time_has_come, NULL));
    assert_true(links_status(a.links, 2, &before) && before.up);
    member_stop(&b);
    assert_true(world_run(&loop, is_down, &a));
    assert_true(links_status(a.links, 2, &after));
    assert_true(after.attempts > before.attempts);
    member_stop(&a);
}

static bool
opened_again(void *context)
{
    const struct member *member = context;
    struct links_status status;
    return links_status(member->links, 2, &status) && status.up && status.opened >= 2;
}

static void
says_gone_only_then(void **state)
{
    static struct member a, b, never;
    struct member *pair[2] = {&a, &b};
    const struct member *three[3] = {&a, &b, &never};
    (void)state;
    never.id = 3; /* Was never there. */
    memcpy(never.address, "127.0.0.1:1", 12);
    member_pair(&a, &b, &loop, "127.0.0.1");
    member_meets(&a, three, 3);
    /* The other side closes the link and still listens. */
    links_ended(links_peer(b.links, 1)->link, UV_ETIMEDOUT);
    assert_true(world_run(&loop, opened_again, &a));
    /* It leaves the configuration, then ends. */
    member_meets(&a, (const struct member *const *)pair, 1);
    struct links_status status;
    assert_false(links_status(a.links, 2, &status));
    member_stop(&b);
    member_meets(&a, three, 3);
    assert_true(world_run(&loop, dialled_some_more, &a));
    assert_int_equal(a.gone_count, 0);
    member_stop(&a);
}

/* Addresses in front of those of the name that a member looks up. U: cannot be tried (to connect to
 * a broadcast address is ENETUNREACH, at once), R: refuses, E: fails otherwise (EINVAL). */
struct in_front {
    const struct member *member;
    const char *kinds;
    uint16_t port;
    bool put;
};

/* A dial with them has ended. No turn of the loop passes unseen, so none looks up without them. */
static bool
were_tried(void *context)
{
    struct in_front *front = context;
    struct conn *dial = links_peer(front->member->links, 2)->dial;
    if (dial == NULL || dial->state != CONN_LOOKUP || dial->addresses.count > 0) {
        return dial == NULL && front->put;
    }
    front->put = true;
    for (const char *kind = front->kinds; *kind != '\0'; kind++) {
        struct sockaddr_in to = {.sin_port = htons(front->port)};
        to.sin_family = *kind == 'E' ? AF_UNSPEC : AF_INET;
        to.sin_addr.s_addr = htonl(*kind == 'U' ? INADDR_BROADCAST : INADDR_LOOPBACK);
        memcpy(&dial->addresses.list[dial->addresses.count++], &to, sizeof to);
    }
    return false;
}

/* No machine has a name with such addresses: they are put there while it is being looked up. */
static void
an_address_that_cannot_be_tried_hides_no_refusal(void **state)
{
    static const struct {
        const char *name, *kinds;
        uint32_t gone;
    } cases[] = {
        {"refused alone", "", 1},     {"before a refusal", "U", 1},
        {"after a refusal", "RU", 1}, {"nothing but such", "UUUU", 0},
        {"another failure", "E", 0},  {"after another failure", "RE", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct member a, b;
        struct member *pair[2] = {&a, &b};
        print_message("%s\n", cases[i].name);
        member_listen(&a, &loop, 1, "127.0.0.1", 0);
        member_listen(&b, &loop, 2, "127.0.0.1", 0);
        (void)snprintf(b.address, sizeof b.address, "localhost:%u", (unsigned)b.port);
        member_start(&a, (struct links_options){0});
        member_start(&b, (struct links_options){0});
        member_meets(&a, (const struct member *const *)pair, 2);
        member_meets(&b, (const struct member *const *)pair, 2);
        assert_true(world_run(&loop, a_is_up, &a));
        /* From now on b's port refuses; then it closes its link. */
        assert_int_equal(shutdown(b.listener, SHUT_RDWR), 0);
        member_meets(&b, (const struct member *const *)pair, 0);
        struct in_front front = {&a, cases[i].kinds, b.port, false};
        assert_true(world_run(&loop, were_tried, &front));
        assert_int_equal(a.gone_count, cases[i].gone);
        member_stop(&a);
        member_stop(&b);
    }
}

static bool
refused_both_ways(void *context)
{
    static char text[1 << 16];
    ssize_t got = pread(*(int *)context, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    const char *first = strstr(text, "text=\"member 1 is of cluster 'c' and not of 'd'\"");
    return first != NULL &&
           strstr(first + 1, "text=\"member 1 is of cluster 'c' and not of 'd'\"") != NULL;
}

/* The one who refuses and the one who is refused write the same sentence. */
static void
both_sides_log_why_they_do_not_meet(void **state)
{
    static struct member a, b;
    struct member *pair[2] = {&a, &b};
    char path[] = "links-carry-XXXXXX";
    int caught = mkstemp(path), kept = dup(STDERR_FILENO);
    (void)state;
    assert_true(caught >= 0 && kept >= 0);
    (void)unlink(path);
    member_listen(&a, &loop, 1, "127.0.0.1", 0);
    member_listen(&b, &loop, 2, "127.0.0.1", 0);
    member_start(&a, (struct links_options){.cluster_id = "c"});
    member_start(&b, (struct links_options){.cluster_id = "d"});
    assert_true(dup2(caught, STDERR_FILENO) >= 0);
    member_meets(&b, (const struct member *const *)pair, 2); /* Only it dials. */
    bool refused = world_run(&loop, refused_both_ways, &caught);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(caught);
    (void)close(kept);
    assert_true(refused);
    member_stop(&a);
    member_stop(&b);
}

int
main(void)
{
#define LINKS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LINKS_TEST(carries_every_message_over_ipv4),
        LINKS_TEST(carries_every_message_over_ipv6),
        LINKS_TEST(carries_every_message_to_a_name),
        LINKS_TEST(keeps_appends_whole_and_in_order),
        LINKS_TEST(carries_notes_while_there_is_a_link),
        LINKS_TEST(tells_what_it_cannot_send),
        LINKS_TEST(closes_on_bytes_that_are_no_frame_or_no_message),
        LINKS_TEST(who_does_not_read_costs_a_bounded_amount),
        LINKS_TEST(tells_that_a_process_is_gone_and_finds_it_again),
        LINKS_TEST(dials_at_once_who_ends_soon_after_a_restart),
        LINKS_TEST(says_gone_only_then),
        LINKS_TEST(an_address_that_cannot_be_tried_hides_no_refusal),
        LINKS_TEST(both_sides_log_why_they_do_not_meet),
    };
#undef LINKS_TEST
    return cmocka_run_group_tests_name("consensus/links_carry", tests, NULL, NULL);
}
