/*
 * Goal: whatever the paths between two members do while both dial, as soon as they carry bytes
 * again there is exactly one link, the same one on both sides, and it works.
 * Method: each member reaches the other through a path that delays what it carries by a random
 * time, breaks connections, and sometimes tells only one end of it; from a seed. Then the paths
 * behave, the members talk, and one link must remain.
 */
#include "support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link_state.h"
#include "links_world.h"
#include "support/seed.h"

enum { SEEDS = 12, WILD_TURNS = 300, PATHS_MAX = 256, CHUNKS_MAX = 512, DELAY_MS_MAX = 6 };
enum { HEARTBEAT = 1, LAST = 2 }; /* Kinds of notes. */

/* Bytes under way in one direction; at their end its closing, if any. */
struct direction {
    struct {
        uint64_t due_ms;
        size_t size;
        uint8_t bytes[2048];
    } chunks[CHUNKS_MAX];
    uint32_t first, count;
    uint64_t last_due_ms;
    bool ended;
};

/* One connection through the middle. */
struct path {
    int ends[2];                    /* Of who dialled, and of who was dialled; -1: closed. */
    struct direction directions[2]; /* From the end of this number. */
};

static uv_loop_t loop;
static struct member members[2];
static int doors[2]; /* At doors[i] member i is reached. */
static struct path paths[PATHS_MAX];
static uint32_t paths_count, broken, silenced;
static uint64_t seed;
static bool wild;
static uint32_t turns;

static void
close_end(struct path *path, int end)
{
    if (path->ends[end] >= 0) {
        (void)close(path->ends[end]);
        path->ends[end] = -1;
    }
}

static void
let_in(int door, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int fd; (fd = accept(door, NULL, NULL)) >= 0;) {
        int on = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (paths_count == PATHS_MAX || connect(on, (void *)&to, sizeof to) != 0) {
            (void)close(on);
            (void)close(fd);
            continue;
        }
        struct path *path = &paths[paths_count++];
        path->ends[0] = fd;
        path->ends[1] = on;
        for (int i = 0; i < 2; i++) {
            path->directions[i].first = path->directions[i].count = 0;
            path->directions[i].last_due_ms = 0;
            path->directions[i].ended = false;
        }
    }
}

/* Nobody is at the other end any more: who speaks is told so, as by a reset. */
static void
answer_for_nobody(struct path *path, int from)
{
    uint8_t byte;
    if (path->ends[from] >= 0 && path->ends[1 - from] < 0 &&
        recv(path->ends[from], &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0) {
        close_end(path, from);
    }
}

static void
carry(struct path *path, int from)
{
    struct direction *way = &path->directions[from];
    uint64_t now_ms = uv_now(&loop);
    while (path->ends[from] >= 0 && !way->ended && way->count < CHUNKS_MAX) {
        uint32_t at = (way->first + way->count) % CHUNKS_MAX;
        ssize_t got = recv(path->ends[from], way->chunks[at].bytes, sizeof way->chunks[at].bytes,
                           MSG_DONTWAIT);
        if (got < 0) {
            break;
        }
        uint64_t due_ms = now_ms + seed_below(&seed, DELAY_MS_MAX + 1);
        way->last_due_ms = due_ms > way->last_due_ms ? due_ms : way->last_due_ms;
        way->chunks[at].due_ms = way->last_due_ms;
        way->chunks[at].size = (size_t)got; /* 0: its end. */
        way->count++;
        way->ended = got == 0;
    }
    while (way->count > 0 && way->chunks[way->first].due_ms <= now_ms) {
        size_t size = way->chunks[way->first].size;
        int to = path->ends[1 - from];
        if (size == 0) {
            close_end(path, 1 - from);
        } else if (to >= 0) {
            (void)send(to, way->chunks[way->first].bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        way->first = (way->first + 1) % CHUNKS_MAX;
        way->count--;
    }
}

/* What is in the middle does, once a turn. */
static void
pump(void)
{
    let_in(doors[0], members[0].port);
    let_in(doors[1], members[1].port);
    for (uint32_t i = 0; i < paths_count; i++) {
        struct path *path = &paths[i];
        if (path->ends[0] < 0 && path->ends[1] < 0) {
            continue;
        }
        carry(path, 0);
        carry(path, 1);
        if (!wild) {
            answer_for_nobody(path, 0);
            answer_for_nobody(path, 1);
        }
        if (!wild || seed_below(&seed, 60) != 0) {
            continue;
        }
        int first = (int)seed_below(&seed, 2);
        if (seed_below(&seed, 2) == 0) {
            broken++;
            close_end(path, 0);
            close_end(path, 1);
        } else { /* The other end never hears of it: nothing is read from it any more. */
            silenced++;
            close_end(path, first);
            path->directions[1 - first].ended = true;
            path->directions[first].count = 0;
        }
    }
}

static bool
turns_are_over(void *context)
{
    (void)context;
    pump();
    return ++turns >= WILD_TURNS;
}

static uint32_t
conns_of(const struct member *member)
{
    uint32_t count = 0;
    for (const struct conn *conn = member->links->conns; conn != NULL; conn = conn->next) {
        count++;
    }
    return count;
}

/* As libraft does. Both may have a link that only the other one knows to be dead: the decider one
 * whose `open` did not come, the other the one before it. What they say shows them. */
static void
talk(void)
{
    uint8_t byte = HEARTBEAT;
    for (int i = 0; i < 2; i++) {
        members[i].transport.note(members[i].transport.context, i == 0 ? 2 : 1, HEARTBEAT,
                                  bytes_make(&byte, 1));
    }
}

static bool
exactly_one(void *context)
{
    (void)context;
    pump();
    talk();
    const struct conn *a = links_peer(members[0].links, 2)->link;
    const struct conn *b = links_peer(members[1].links, 1)->link;
    return a != NULL && b != NULL && a->order == b->order && conns_of(&members[0]) == 1 &&
           conns_of(&members[1]) == 1;
}

/* Of a failed test. */
static void
show(int i)
{
    const struct peer *peer = links_peer(members[i].links, i == 0 ? 2 : 1);
    print_message("member %d: link of order %llu, dial in state %d, %u connections, %u tries, %u "
                  "paths\n",
                  i + 1, peer->link != NULL ? (unsigned long long)peer->link->order : 0,
                  peer->dial != NULL ? (int)peer->dial->state : -1, conns_of(&members[i]),
                  peer->tries, paths_count);
}

static bool
both_noted(void *context)
{
    (void)context;
    pump();
    return members[0].note_kind == LAST && members[1].note_kind == LAST;
}

static int
open_door(char address_out[QO_ADDRESS_MAX + 1])
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t size = sizeof name;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (void *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (void *)&name, &size), 0);
    (void)snprintf(address_out, QO_ADDRESS_MAX + 1, "127.0.0.1:%u", ntohs(name.sin_port));
    return fd;
}

static void
one_link_remains(void **state)
{
    const struct member *all[2] = {&members[0], &members[1]};
    uint64_t start = seed_init(), opened = 0;
    uint8_t byte = 1;
    (void)state;
    for (uint64_t round = 0; round < SEEDS; round++) {
        seed = start + round;
        assert_int_equal(uv_loop_init(&loop), 0);
        paths_count = turns = 0;
        for (uint32_t i = 0; i < 2; i++) {
            member_listen(&members[i], &loop, i + 1, "127.0.0.1", 0);
            member_start(&members[i], (struct links_options){.opening_ms = 150});
            doors[i] = open_door(members[i].address);
        }
        wild = true;
        member_meets(&members[round % 2], all, 2);
        member_meets(&members[1 - round % 2], all, 2);
        assert_true(world_run(&loop, turns_are_over, NULL));
        wild = false;
        if (!world_run(&loop, exactly_one, NULL)) {
            show(0);
            show(1);
            fail_msg("no single link in round %llu", (unsigned long long)round);
        }
        for (int i = 0; i < 2; i++) {
            struct links_status status;
            members[i].transport.note(members[i].transport.context, i == 0 ? 2 : 1, LAST,
                                      bytes_make(&byte, 1));
            assert_true(links_status(members[i].links, i == 0 ? 2 : 1, &status));
            opened += status.opened;
        }
        assert_true(world_run(&loop, both_noted, NULL));
        assert_true(exactly_one(NULL)); /* The note came over it, and it is still the one. */
        for (uint32_t i = 0; i < paths_count; i++) {
            close_end(&paths[i], 0);
            close_end(&paths[i], 1);
        }
        for (int i = 0; i < 2; i++) {
            (void)close(doors[i]);
            member_stop(&members[i]);
        }
        assert_true(world_close(&loop));
    }
    print_message("%u paths broken, %u of which only one end knew; %llu links opened\n",
                  broken + silenced, silenced, (unsigned long long)opened);
    assert_true(silenced > SEEDS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_link_remains)};
    return cmocka_run_group_tests_name("consensus/links_paths", tests, NULL, NULL);
}
