/*
 * Goal: three members over our log and links agree, keep what they acknowledged through kills and
 * restarts, bound their logs, and refuse to start on a disk that lost something. Method: real
 * processes on loopback, killed with SIGKILL and paused with SIGSTOP. The state of each is a
 * running hash of what it was handed: equal hashes are equal histories.
 */
#include "support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "node.h"

enum { MEMBERS = 3, ANSWER_MS = 30000, LEADER_MS = 60000 };
enum { WAIT_US = 120000000 };

struct cluster {
    char root[64];
    struct node nodes[MEMBERS];
};

static int
set_up(void **state)
{
    static uint16_t port;
    struct cluster *cluster = mem_zalloc(sizeof *cluster);
    if (port == 0) { /* Others may run this test at the same time. */
        port = (uint16_t)(20000 + (unsigned)getpid() % 120 * 8);
    }
    (void)snprintf(cluster->root, sizeof cluster->root, "/tmp/quorder-cluster-XXXXXX");
    assert_non_null(mkdtemp(cluster->root));
    node_make_all(cluster->nodes, MEMBERS, cluster->root, port);
    *state = cluster;
    return 0;
}

static void
remove_tree(const char *path, int depth) /* NOLINT(misc-no-recursion): as deep as `depth`. */
{
    DIR *listing = depth > 0 ? opendir(path) : NULL;
    const struct dirent *entry;
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        char inside[600];
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
            if (unlink(inside) != 0) {
                remove_tree(inside, depth - 1);
            }
        }
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    (void)rmdir(path);
}

static int
tear_down(void **state)
{
    struct cluster *cluster = *state;
    for (size_t i = 0; i < MEMBERS; i++) {
        if (cluster->nodes[i].pid != 0) {
            node_signal(&cluster->nodes[i], SIGKILL);
        }
    }
    remove_tree(cluster->root, 4);
    mem_free(cluster);
    return 0;
}

static void
start_all(struct cluster *cluster)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (cluster->nodes[i].pid == 0) {
            node_start(&cluster->nodes[i]);
        }
    }
}

static void
pause_ms(int ms)
{
    (void)poll(NULL, 0, ms); /* Between two looks at another process. */
}

static struct node_answer
status_of(struct node *node)
{
    struct node_answer answer;
    if (!node_ask(node, NODE_STATUS, 0, 0, ANSWER_MS, &answer)) {
        fail_msg("node %u does not answer", node->id);
    }
    return answer;
}

/* The member that is ready to lead, once there is one. */
static struct node *
leader_of(struct cluster *cluster)
{
    int64_t until_us = clock_monotonic_us() + (int64_t)LEADER_MS * 1000;
    while (clock_monotonic_us() < until_us) {
        for (size_t i = 0; i < MEMBERS; i++) {
            struct node *node = &cluster->nodes[i];
            if (node->pid != 0 && status_of(node).consensus.ready) {
                return node;
            }
        }
        pause_ms(10);
    }
    fail_msg("no leader within %d ms", LEADER_MS);
    return NULL;
}

static void
propose(struct node *node, uint32_t count, uint32_t size)
{
    struct node_answer answer;
    assert_true(node_ask(node, NODE_PROPOSE, count, size, WAIT_US / 1000, &answer));
    assert_int_equal(answer.status, QO_OK);
    assert_int_equal(answer.committed, count);
}

/* All running members have executed `count` entries, the same ones. */
static void
expect_equal(struct cluster *cluster, uint64_t count)
{
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    struct node_answer first = {0}, answer = {0};
    for (size_t i = 0; i < MEMBERS; i++) {
        if (cluster->nodes[i].pid == 0) {
            continue;
        }
        do {
            answer = status_of(&cluster->nodes[i]);
            pause_ms(5);
        } while (answer.executed_count < count && clock_monotonic_us() < until_us);
        assert_int_equal(answer.executed_count, count);
        first = first.executed_count == 0 ? answer : first;
        assert_int_equal(answer.hash, first.hash);
    }
}

/* Waits until the node has taken a snapshot of what it executed. */
static struct node_answer
wait_for_snapshot(struct node *node)
{
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    struct node_answer answer = status_of(node);
    while (answer.consensus.snapshot_index == 0 && clock_monotonic_us() < until_us) {
        pause_ms(20);
        answer = status_of(node);
    }
    assert_true(answer.consensus.snapshot_index > 0);
    assert_true(answer.executed_index >= answer.consensus.snapshot_index);
    return answer;
}

static void
keeps_what_it_acknowledged_through_kills_and_restarts(void **state)
{
    struct cluster *cluster = *state;
    start_all(cluster);
    struct node *leader = leader_of(cluster);
    propose(leader, 200, 100);
    expect_equal(cluster, 200);
    node_signal(leader, SIGKILL);
    propose(leader_of(cluster), 200, 1000);
    expect_equal(cluster, 400);
    node_start(leader);
    expect_equal(cluster, 400);
    for (size_t i = 0; i < MEMBERS; i++) {
        node_signal(&cluster->nodes[i], SIGKILL);
    }
    start_all(cluster);
    (void)leader_of(cluster);
    expect_equal(cluster, 400);
    assert_int_equal(status_of(leader).consensus.members_count, MEMBERS);
}

static void
names_the_leader_and_refuses_elsewhere(void **state)
{
    struct cluster *cluster = *state;
    start_all(cluster);
    struct node *leader = leader_of(cluster);
    propose(leader, 1, 8);
    expect_equal(cluster, 1);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct node *node = &cluster->nodes[i];
        struct node_answer answer = status_of(node);
        assert_int_equal(answer.consensus.leader_id, leader->id);
        assert_string_equal(answer.consensus.leader_address,
                            answer.consensus.members[leader->id - 1].address);
        if (node != leader) {
            assert_true(node_ask(node, NODE_PROPOSE, 1, 8, ANSWER_MS, &answer));
            assert_int_equal(answer.status, QO_NOT_LEADER);
            assert_true(node_ask(node, NODE_READ, 1, 0, ANSWER_MS, &answer));
            assert_int_equal(answer.status, QO_NOT_LEADER);
        }
    }
}

/* Mutant READ_WITHOUT_ROUND must fail here. */
static void
reads_nothing_without_a_majority(void **state)
{
    struct cluster *cluster = *state;
    struct node_answer answer;
    start_all(cluster);
    struct node *leader = leader_of(cluster);
    propose(leader, 10, 64);
    assert_true(node_ask(leader, NODE_READ, 1, 0, ANSWER_MS, &answer));
    assert_int_equal(answer.status, QO_OK);
    assert_true(answer.executed_count == 10 && answer.executed_index <= answer.index);
    for (size_t i = 0; i < MEMBERS; i++) {
        if (&cluster->nodes[i] != leader) {
            node_signal(&cluster->nodes[i], SIGSTOP);
        }
    }
    bool answered = node_ask(leader, NODE_READ, 1, 0, 3000, &answer);
    for (size_t i = 0; i < MEMBERS; i++) {
        if (&cluster->nodes[i] != leader) {
            node_signal(&cluster->nodes[i], SIGCONT);
        }
    }
    if (answered) {
        assert_int_not_equal(answer.status, QO_OK);
    }
    propose(leader_of(cluster), 10, 64);
    expect_equal(cluster, 20);
}

static void
serves_all_who_wait_without_an_entry_of_the_log(void **state)
{
    struct cluster *cluster = *state;
    struct node_answer before, answer;
    start_all(cluster);
    struct node *leader = leader_of(cluster);
    before = status_of(leader);
    assert_true(node_ask(leader, NODE_READ, 1000, 0, ANSWER_MS, &answer));
    assert_int_equal(answer.status, QO_OK);
    assert_int_equal(answer.consensus.last_index, before.consensus.last_index);
    assert_true(node_ask(leader, NODE_READ, QO_READ_POINTS_MAX + 2, 0, ANSWER_MS, &answer));
    assert_int_equal(answer.status, QO_OVERLOADED);
}

static void
leads_at_once_alone(void **state)
{
    struct cluster *cluster = *state;
    char root[128];
    struct node *node = &cluster->nodes[0];
    (void)snprintf(root, sizeof root, "%s/alone", cluster->root);
    assert_int_equal(mkdir(root, 0700), 0);
    node_make_all(node, 1, root, 20996);
    node->log_bytes_max = 1u << 16;
    for (uint64_t round = 1; round <= 4; round++) {
        struct node_answer answer;
        node_start(node);
        assert_ptr_equal(leader_of(cluster), node);
        propose(node, 100, 1024);
        assert_true(node_ask(node, NODE_READ, 1, 0, ANSWER_MS, &answer));
        assert_int_equal(answer.status, QO_OK);
        assert_int_equal(answer.executed_count, 100 * round);
        assert_int_equal(answer.leaderships, 1);
        (void)wait_for_snapshot(node);
        node_signal(node, SIGKILL);
    }
}

static void
catches_up_over_bounded_messages(void **state)
{
    struct cluster *cluster = *state;
    start_all(cluster);
    struct node *leader = leader_of(cluster);
    struct node *behind = &cluster->nodes[leader->id % MEMBERS];
    node_signal(behind, SIGKILL);
    propose(leader, 60, 1u << 20); /* Fifteen messages, four windows. */
    node_start(behind);
    expect_equal(cluster, 60);
}

static void
bounds_the_log_by_bytes_and_shows_who_needs_a_rebuild(void **state)
{
    struct cluster *cluster = *state;
    for (size_t i = 0; i < MEMBERS; i++) {
        cluster->nodes[i].log_bytes_max = 1u << 16;
    }
    start_all(cluster);
    struct node *leader = leader_of(cluster);
    struct node *lost = &cluster->nodes[leader->id % MEMBERS];
    node_signal(lost, SIGKILL);
    for (int i = 0; i < 6; i++) { /* Over log_bytes_max each time. */
        propose(leader, 100, 1024);
        (void)wait_for_snapshot(leader);
    }
    struct node_answer answer = status_of(leader);
    assert_true(answer.consensus.log_bytes < 614400);
    /* Restarted from the checkpoint: what it held is not handed over again. */
    struct node *other = &cluster->nodes[lost->id % MEMBERS];
    (void)wait_for_snapshot(other);
    node_signal(other, SIGKILL);
    node_start(other);
    expect_equal(cluster, 600);
    node_start(lost);
    bool shown = false;
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    while (!shown && clock_monotonic_us() < until_us) {
        answer = status_of(leader_of(cluster));
        shown = answer.consensus.members[lost->id - 1].needs_rebuild;
        pause_ms(20);
    }
    assert_true(shown);
    assert_true(status_of(lost).executed_count < 600);
    propose(leader_of(cluster), 1, 8); /* The others go on. */
}

static void
waits_in_the_log_while_the_client_has_no_room(void **state)
{
    struct cluster *cluster = *state;
    struct node_answer answer;
    start_all(cluster);
    struct node *leader = leader_of(cluster);
    struct node *full = &cluster->nodes[leader->id % MEMBERS];
    assert_true(node_ask(full, NODE_ROOM, 0, 0, ANSWER_MS, &answer));
    propose(leader, 100, 512);
    answer = status_of(leader);
    uint64_t last = answer.consensus.last_index;
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    do { /* It stores and acknowledges all the same. */
        answer = status_of(leader);
        pause_ms(10);
    } while (answer.consensus.members[full->id - 1].match_index < last &&
             clock_monotonic_us() < until_us);
    assert_true(answer.consensus.members[full->id - 1].match_index >= last);
    assert_int_equal(status_of(full).executed_count, 0);
    assert_true(node_ask(full, NODE_ROOM, 1, 0, ANSWER_MS, &answer));
    expect_equal(cluster, 100);
}

/* -- Directories ------------------------------------------------------------------------------- */

struct saved_file {
    char path[300];
    uint8_t *bytes;
    size_t size;
};

static struct saved_file
save_file(const struct node *node, const char *name)
{
    struct saved_file file;
    struct stat found;
    (void)snprintf(file.path, sizeof file.path, "%s/%s", node->directory, name);
    int fd = open(file.path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &found) == 0 && found.st_size > 0);
    file.size = (size_t)found.st_size;
    file.bytes = mem_alloc(file.size);
    assert_int_equal(pread(fd, file.bytes, file.size, 0), found.st_size);
    (void)close(fd);
    return file;
}

static void
write_file(const struct saved_file *file)
{
    int fd = open(file->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(pwrite(fd, file->bytes, file->size, 0), (ssize_t)file->size);
    (void)close(fd);
}

static void
flip(const struct saved_file *file, size_t from)
{
    for (size_t i = from; i < from + 2048 && i < file->size; i += 16) {
        file->bytes[i + 8 < file->size ? i + 8 : i] ^= 1;
    }
}

/* Bits at `from`, and in the second copy if the file has one. */
static void
damage(const struct saved_file *file, size_t from)
{
    size_t half = from == 0 && file->size > 4096 ? file->size / 2 : 0;
    for (int times = 0; times < 2; times++) { /* What is flipped twice is as before. */
        flip(file, from);
        if (half != 0) {
            flip(file, half);
        }
        if (times == 0) {
            write_file(file);
        }
    }
}

static void
does_not_start_on_a_disk_that_lost_something(void **state)
{
    enum { NOTHING, REMOVED, FLIPPED };
    enum { IN_THE_MIDDLE = 3 * 4096 }; /* Of the log: behind that block others say it was there. */
    static const struct {
        int what;
        const char *name;
        size_t from;
        uint64_t claims;
        int exit_status;
    } cases[] = {
        {REMOVED, "identity", 0, 0, FATAL_DIRECTORY},
        {REMOVED, "boot", 0, 0, FATAL_CORRUPT},
        {REMOVED, "log/vote", 0, 0, FATAL_DIRECTORY},
        {REMOVED, "log/manifest", 0, 0, FATAL_DIRECTORY},
        {REMOVED, "log/mark", 0, 0, FATAL_DIRECTORY},
        {REMOVED, "log/segment-0000", 0, 0, FATAL_CORRUPT},
        {FLIPPED, "identity", 0, 0, FATAL_CORRUPT},
        {FLIPPED, "boot", 0, 0, FATAL_CORRUPT},
        {FLIPPED, "log/vote", 0, 0, FATAL_CORRUPT},
        {FLIPPED, "log/manifest", 0, 0, FATAL_CORRUPT},
        {FLIPPED, "log/mark", 0, 0, FATAL_CORRUPT},
        /* B16: raft_uv cut the log off here, and started. */
        {FLIPPED, "log/segment-0000", IN_THE_MIDDLE, 0, FATAL_CORRUPT},
        {NOTHING, "boot", 0, 1000, FATAL_CORRUPT},
        {NOTHING, "boot", 0, 2, FATAL_CORRUPT},
    };
    struct cluster *cluster = *state;
    start_all(cluster);
    propose(leader_of(cluster), 20, 100);
    expect_equal(cluster, 20);
    struct node *node = &cluster->nodes[0];
    node_signal(node, SIGKILL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct saved_file file = save_file(node, cases[i].name);
        if (cases[i].what == REMOVED) {
            assert_int_equal(unlink(file.path), 0);
        } else if (cases[i].what == FLIPPED) {
            damage(&file, cases[i].from);
        }
        node->claim_applied = cases[i].claims;
        node_start(node);
        int status = node_wait(node);
        if (status != cases[i].exit_status) {
            fail_msg("case %zu: exit status %d, not %d", i, status, cases[i].exit_status);
        }
        if (cases[i].what != NOTHING) {
            write_file(&file);
        }
        mem_free(file.bytes);
    }
    node->claim_applied = 0;
    node_start(node); /* All is there again. */
    expect_equal(cluster, 20);
}

static void
does_not_start_on_an_emptied_log(void **state)
{
    struct cluster *cluster = *state;
    char path[300];
    start_all(cluster);
    propose(leader_of(cluster), 20, 100);
    struct node *node = &cluster->nodes[0];
    node_signal(node, SIGKILL);
    (void)snprintf(path, sizeof path, "%s/log", node->directory);
    remove_tree(path, 2);
    assert_int_equal(mkdir(path, 0700), 0);
    node_start(node);
    assert_int_equal(node_wait(node), FATAL_DIRECTORY);
    propose(leader_of(cluster), 20, 100); /* The others go on. */
}

/* Whose state is older than what the log still holds: what lies between is nowhere on this disk. */
static void
does_not_start_behind_an_entry_that_is_gone(void **state)
{
    struct cluster *cluster = *state;
    for (size_t i = 0; i < MEMBERS; i++) {
        cluster->nodes[i].log_bytes_max = 1u << 16;
    }
    start_all(cluster);
    struct node *node = leader_of(cluster);
    propose(node, 200, 1024);
    (void)wait_for_snapshot(node);
    node_signal(node, SIGKILL);
    node->claim_applied = 2;
    node_start(node);
    assert_int_equal(node_wait(node), FATAL_CORRUPT);
    node->claim_applied = 0;
    struct saved_file manifest = save_file(node, "log/manifest");
    damage(&manifest, 0); /* Both copies of the snapshot (B15). */
    mem_free(manifest.bytes);
    node_start(node);
    assert_int_equal(node_wait(node), FATAL_CORRUPT);
}

static void
turns_away_a_member_of_another_cluster(void **state)
{
    struct cluster *cluster = *state;
    struct node *stranger = &cluster->nodes[2];
    struct consensus_identity identity = {
        .cluster_id = "other", .node_id = 3, .shards = 16, .epoch = 1, .members_count = MEMBERS};
    char text[CONSENSUS_TEXT_MAX];
    struct node_answer answer = {0};
    node_start(&cluster->nodes[0]); /* Its status names the addresses. */
    answer = status_of(&cluster->nodes[0]);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        identity.members[i].id = i + 1;
        (void)snprintf(identity.members[i].address, sizeof identity.members[i].address, "%s",
                       answer.consensus.members[i].address);
    }
    remove_tree(stranger->directory, 3);
    assert_true(consensus_init_directory(stranger->directory, &identity, text));
    start_all(cluster);
    struct node *leader = leader_of(cluster);
    assert_ptr_not_equal(leader, stranger);
    propose(leader, 100, 100);
    pause_ms(1500); /* Long beyond what it takes a member to be heard of. */
    answer = status_of(leader);
    assert_false(answer.consensus.members[2].reachable);
    assert_int_equal(answer.consensus.members[2].match_index, 0);
    answer = status_of(stranger);
    assert_true(answer.executed_count == 0 && answer.consensus.leader_id == 0);
}

static void
is_born_only_once(void **state)
{
    struct cluster *cluster = *state;
    struct consensus_identity identity = {
        .cluster_id = "test", .node_id = 1, .shards = 16, .epoch = 1, .members_count = 1};
    char text[CONSENSUS_TEXT_MAX] = "", path[300];
    identity.members[0].id = 1;
    (void)snprintf(identity.members[0].address, sizeof identity.members[0].address, "a:1");
    assert_false(consensus_init_directory(cluster->nodes[0].directory, &identity, text));
    assert_non_null(strstr(text, "only once"));
    (void)snprintf(path, sizeof path, "%s/fresh", cluster->root);
    identity.node_id = 2;
    assert_false(consensus_init_directory(path, &identity, text));
    identity.node_id = 1;
    identity.cluster_id[0] = 'T';
    assert_false(consensus_init_directory(path, &identity, text));
    assert_int_not_equal(access(path, F_OK), 0);
    identity.cluster_id[0] = 't';
    assert_int_equal(mkdir(path, 0700), 0); /* Empty is as good as absent. */
    assert_true(consensus_init_directory(path, &identity, text));
    assert_false(consensus_init_directory(path, &identity, text));
}

/* Killed at any time, a birth leaves a whole directory under the name, or none. */
static void
is_born_whole_or_not_at_all(void **state)
{
    struct cluster *cluster = *state;
    unsigned whole = 0, absent = 0;
    struct consensus_identity identity = {
        .cluster_id = "test", .node_id = 1, .shards = 16, .epoch = 1, .members_count = 1};
    identity.members[0].id = 1;
    (void)snprintf(identity.members[0].address, sizeof identity.members[0].address, "127.0.0.1:%u",
                   20995u);
    for (int64_t kill_us = 0; whole < 3; kill_us += kill_us < 20000 ? 1000 : 20000) {
        char path[300], text[CONSENSUS_TEXT_MAX];
        struct consensus_identity read;
        (void)snprintf(path, sizeof path, "%s/fresh-%u", cluster->root, whole);
        int64_t until_us = clock_monotonic_us() + kill_us;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            _exit(consensus_init_directory(path, &identity, text) ? 0 : 1);
        }
        int left_us = (int)(until_us - clock_monotonic_us());
        pause_ms(left_us > 0 ? left_us / 1000 : 0);
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        struct stat found;
        if (stat(path, &found) != 0) {
            absent++;
            continue; /* The next one is not hindered by what is left. */
        }
        assert_true(consensus_read_identity(path, &read));
        assert_int_equal(read.node_id, 1);
        struct node node = {.id = 1};
        struct node_answer answer;
        (void)snprintf(node.directory, sizeof node.directory, "%.190s", path);
        node_start(&node);
        assert_true(node_ask(&node, NODE_STATUS, 0, 0, ANSWER_MS, &answer));
        assert_int_equal(answer.consensus.members_count, 1);
        node_signal(&node, SIGKILL);
        whole++;
    }
    assert_true(absent > 0);
}

static void
is_opened_by_one_process_at_a_time(void **state)
{
    struct cluster *cluster = *state;
    node_start(&cluster->nodes[0]);
    (void)status_of(&cluster->nodes[0]);
    struct node second = cluster->nodes[0];
    second.pid = 0;
    node_start(&second);
    assert_int_equal(node_wait(&second), FATAL_DIRECTORY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_what_it_acknowledged_through_kills_and_restarts,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_the_leader_and_refuses_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_nothing_without_a_majority, set_up, tear_down),
        cmocka_unit_test_setup_teardown(serves_all_who_wait_without_an_entry_of_the_log, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(leads_at_once_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(catches_up_over_bounded_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_the_log_by_bytes_and_shows_who_needs_a_rebuild,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(waits_in_the_log_while_the_client_has_no_room, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(does_not_start_on_a_disk_that_lost_something, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(does_not_start_on_an_emptied_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(does_not_start_behind_an_entry_that_is_gone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(turns_away_a_member_of_another_cluster, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_born_only_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_born_whole_or_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_opened_by_one_process_at_a_time, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("consensus/cluster", tests, NULL, NULL);
}
