/*
 * Goal: raft_uv's log stays right when a truncate meets a snapshot (A4).
 * Method: the real library on a real directory: entries 2 to 10, a large snapshot at 6 under way,
 * truncate at 8, new entries 8 and 9; then the log is loaded again. Without S-6 the truncate is
 * lost and the log comes back with both tails.
 */
#include "support/test.h"

#include <dirent.h>
#include <raft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "consensus/consensus.h"
#include "disk_uv.h"
#include "shim.h"

enum { SNAPSHOT_BYTES = 64 * 1024 * 1024, ENTRIES = 16 };

struct disk {
    uv_loop_t loop;
    struct raft_io *below;
    struct shim shim;
    struct raft raft; /* Only its state is looked at. */
    unsigned stored, put;
};

static struct disk disk;

static void
stored(struct raft_io_append *request, int status)
{
    (void)request;
    QO_ASSERT(status == 0);
    disk.stored++;
}

static void
put(struct raft_io_snapshot_put *request, int status)
{
    (void)request;
    QO_ASSERT(status == 0);
    disk.put++;
}

static void
ticked(struct raft_io *io)
{
    (void)io;
}

static void
received(struct raft_io *io, struct raft_message *message)
{
    (void)io;
    (void)message;
}

static void
open_disk(const char *directory)
{
    struct shim_hooks hooks = {0};
    struct disk_uv_options options = {
        .directory = directory,
        .loop = &disk.loop,
        .cluster_id = "test",
        .address = "127.0.0.1:20999",
        .peer_timeout_ms = 1000,
    };
    QO_ASSERT(uv_loop_init(&disk.loop) == 0);
    disk.below = disk_uv_open(&options);
    shim_init(&disk.shim, disk.below, &hooks);
    disk.shim.io.data = &disk.raft;
    disk.raft.state = RAFT_FOLLOWER;
    disk.raft.current_term = 2;
    QO_ASSERT(disk.shim.io.init(&disk.shim.io, 1, options.address) == 0);
}

static size_t
load(struct raft_entry *loaded[])
{
    raft_term term;
    raft_id vote;
    struct raft_snapshot *snapshot = NULL;
    raft_index start;
    size_t count = 0;
    int status = disk.shim.io.load(&disk.shim.io, &term, &vote, &snapshot, &start, loaded, &count);
    QO_ASSERT(status == 0);
    QO_ASSERT(count == 0 || start == 1);
    return count;
}

static void
append(unsigned n, raft_term term, char first)
{
    struct raft_io_append *request = mem_zalloc(sizeof *request);
    struct raft_entry *entries = mem_zalloc(n * sizeof *entries);
    for (unsigned i = 0; i < n; i++) {
        entries[i] = (struct raft_entry){.term = term, .type = RAFT_COMMAND};
        entries[i].buf = (struct raft_buffer){raft_calloc(1, 8), 8};
        *(char *)entries[i].buf.base = (char)(first + (char)i);
    }
    QO_ASSERT(disk.shim.io.append(&disk.shim.io, request, entries, n, stored) == 0);
}

/* Writes the log, in a process of its own, which ends as a crash would. */
static _Noreturn void
write_log(const char *directory, bool serial)
{
    static struct raft_io_snapshot_put request;
    static struct raft_snapshot snapshot = {.index = 6, .term = 2, .configuration_index = 1};
    static struct raft_buffer buffer;
    struct raft_entry *loaded;
    open_disk(directory);
    disk.shim.rules.serial_truncate = serial;
    (void)load(&loaded);
    QO_ASSERT(disk.shim.io.start(&disk.shim.io, 50, ticked, received) == 0);
    append(9, 2, 'a');
    while (disk.stored < 1) {
        (void)uv_run(&disk.loop, UV_RUN_ONCE);
    }
    raft_configuration_init(&snapshot.configuration);
    QO_ASSERT(raft_configuration_add(&snapshot.configuration, 1, "1", RAFT_VOTER) == 0);
    buffer = (struct raft_buffer){mem_zalloc(SNAPSHOT_BYTES), SNAPSHOT_BYTES};
    snapshot.bufs = &buffer;
    snapshot.n_bufs = 1;
    struct raft_io *io = &disk.shim.io;
    QO_ASSERT(io->snapshot_put(io, 8192, &request, &snapshot, put) == 0);
    QO_ASSERT(io->truncate(io, 8) == 0);
    append(2, 3, 'X');
    while (disk.stored < 2 || disk.put < 1) {
        (void)uv_run(&disk.loop, UV_RUN_ONCE);
    }
    for (int i = 0; i < 20; i++) { /* Segments that are being closed. */
        (void)uv_run(&disk.loop, UV_RUN_ONCE);
    }
    _exit(0);
}

/* Its exit status is 1 if the log is entry 1, a to f, X and Y. */
static _Noreturn void
read_log(const char *directory)
{
    struct raft_entry *loaded = NULL;
    char text[ENTRIES + 1] = "";
    open_disk(directory);
    size_t count = load(&loaded);
    for (size_t i = 1; i < count && i < ENTRIES; i++) {
        text[i - 1] = *(const char *)loaded[i].buf.base;
    }
    _exit(strcmp(text, "abcdefXY") == 0 ? 1 : 2);
}

static int
run_in_child(const char *directory, int step, bool serial)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        consensus_prepare_process();
        if (step == 0) {
            write_log(directory, serial);
        }
        read_log(directory);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
log_after_restart(bool serial)
{
    char directory[] = "/tmp/quorder-disk-XXXXXX", path[300], text[256];
    struct raft_configuration configuration;
    assert_non_null(mkdtemp(directory));
    raft_configuration_init(&configuration);
    assert_int_equal(raft_configuration_add(&configuration, 1, "1", RAFT_VOTER), 0);
    assert_true(disk_uv_bootstrap(directory, &configuration, 1, text, sizeof text));
    raft_configuration_close(&configuration);
    assert_int_equal(run_in_child(directory, 0, serial), 0);
    int status = run_in_child(directory, 1, serial);
    DIR *listing = opendir(directory);
    const struct dirent *entry;
    while ((entry = readdir(listing)) != NULL) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(listing);
    (void)rmdir(directory);
    return status;
}

static void
loads_what_was_written_though_a_truncate_met_a_snapshot(void **state)
{
    (void)state;
    assert_int_equal(log_after_restart(false), 2); /* The fault, without the rule. */
    assert_int_equal(log_after_restart(true), 1);
}

static void
knows_an_address_that_leaves_room_for_its_port(void **state)
{
    static const struct {
        const char *address;
        bool valid;
    } cases[] = {
        {"127.0.0.1:7401", true},
        {"host.example:1", true},
        {"h:64535", true},
        {"h:64536", false},
        {"h:0", false},
        {"h:", false},
        {":7401", false},
        {"h", false},
        {"h:7x", false},
        {"h:-1", false},
        {"h:99999999999999", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (disk_uv_address_valid(cases[i].address) != cases[i].valid) {
            fail_msg("%s", cases[i].address);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_what_was_written_though_a_truncate_met_a_snapshot),
        cmocka_unit_test(knows_an_address_that_leaves_room_for_its_port),
    };
    return cmocka_run_group_tests_name("consensus/disk", tests, NULL, NULL);
}
