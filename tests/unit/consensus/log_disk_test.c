/*
 * Goal: the log does on a real directory what it does on the simulated one: what was told is there
 * after a reopening and after a kill, segments are recycled, a damaged file is refused by name.
 * Method: the real disk below the real log, with small segments, in a directory of its own; what
 * must survive a kill is written by a child that is killed.
 */
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "common/bytes.h"
#include "log.h"

enum { SEGMENT_BYTES = 64 * 1024, ENTRY_BYTES = 5000, ROUNDS = 200 };

static char directory[64];

/* -- Support ----------------------------------------------------------------------------------- */

struct node {
    uv_loop_t loop;
    struct log_disk_real *disk;
    struct log *log;
    uint64_t done; /* Callbacks. */
    bool published;
};

static void
remove_directory(void)
{
    DIR *open = opendir(directory);
    const struct dirent *entry;
    char path[400];
    while (open != NULL && (entry = readdir(open)) != NULL) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        (void)unlink(path);
    }
    if (open != NULL) {
        (void)closedir(open);
    }
    (void)rmdir(directory);
}

static int
make_log(void **state)
{
    struct log_failure failure;
    struct log_shape shape = {.salt = 77, .segment_bytes = SEGMENT_BYTES};
    (void)state;
    (void)snprintf(directory, sizeof directory, "log-disk-test-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    struct log_disk_real *disk = log_disk_open(directory, NULL);
    bool made = disk != NULL && log_create(log_disk_table(disk), &shape, &failure);
    log_disk_close(disk, NULL, NULL);
    return made ? 0 : -1;
}

static int
drop_log(void **state)
{
    (void)state;
    remove_directory();
    return 0;
}

static bool
start(struct node *node, struct log_failure *failure)
{
    memset(node, 0, sizeof *node);
    assert_int_equal(uv_loop_init(&node->loop), 0);
    node->disk = log_disk_open(directory, &node->loop);
    assert_non_null(node->disk);
    struct log_options options = {.disk = log_disk_table(node->disk)};
    node->log = log_open(&options, failure);
    return node->log != NULL;
}

static void
free_log(void *context)
{
    struct node *node = context;
    if (node->log != NULL) {
        log_free(node->log);
    }
}

static void
stop(struct node *node)
{
    log_disk_close(node->disk, free_log, node);
    while (uv_run(&node->loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&node->loop), 0);
}

static void
stored(struct log_append *request)
{
    struct node *node = request->owner;
    node->done += request->count;
}

static void
published(struct log_publish *request)
{
    struct node *node = request->owner;
    node->published = true;
}

static uint8_t content[ENTRY_BYTES];

static struct log_entry
entry_of(uint64_t index, uint64_t term)
{
    put_le64(content, index);
    return (struct log_entry){term, 1, bytes_make(content, 8 + index * 37 % (ENTRY_BYTES - 8))};
}

/* Appends one entry and waits until it is told. */
static void
append(struct node *node, uint64_t index, uint64_t term)
{
    struct log_append request = {.owner = node};
    struct log_entry entry = entry_of(index, term);
    uint64_t done = node->done;
    log_append(node->log, &request, &entry, 1, stored);
    assert_int_equal(node->done, done); /* Never inside. */
    while (node->done == done) {
        (void)uv_run(&node->loop, UV_RUN_ONCE);
    }
}

static void
assert_holds(const struct node *node, uint64_t last, uint64_t changed, uint64_t term)
{
    const struct log_loaded *loaded = log_loaded(node->log);
    assert_int_equal(loaded->first_index + loaded->count, last + 1);
    for (size_t i = 0; i < loaded->count; i++) {
        uint64_t index = loaded->first_index + i;
        struct log_entry want = entry_of(index, index >= changed ? term : 1);
        assert_int_equal(loaded->entries[i].term, want.term);
        assert_true(bytes_equal(loaded->entries[i].data, want.data));
    }
}

/* -- Tests ------------------------------------------------------------------------------------- */

static void
comes_back_after_reopening(void **state)
{
    struct log_failure failure;
    struct node node;
    (void)state;
    assert_true(start(&node, &failure));
    assert_int_equal(log_loaded(node.log)->term, 1);
    assert_int_equal(log_loaded(node.log)->count, 0);
    log_forget_loaded(node.log);
    for (uint64_t index = 1; index <= 50; index++) {
        append(&node, index, 1);
    }
    log_truncate(node.log, 41);
    append(&node, 41, 2);
    log_set_term(node.log, 2);
    log_set_vote(node.log, 3);
    stop(&node);

    assert_true(start(&node, &failure));
    assert_holds(&node, 41, 41, 2);
    assert_int_equal(log_loaded(node.log)->term, 2);
    assert_int_equal(log_loaded(node.log)->vote, 3);
    stop(&node);
}

static void
recycles_segments_behind_snapshots(void **state)
{
    struct log_failure failure;
    struct log_status status;
    struct node node;
    (void)state;
    assert_true(start(&node, &failure));
    for (uint64_t index = 1; index <= ROUNDS; index++) {
        append(&node, index, 1);
        if (index % 20 == 0) {
            struct log_publish request = {.owner = &node};
            node.published = false;
            log_publish(node.log, &request, index, 1, index - 5, bytes_text("a checkpoint"),
                        published);
            while (!node.published) {
                (void)uv_run(&node.loop, UV_RUN_ONCE);
            }
        }
    }
    log_status(node.log, &status);
    /* A hundred entries of 2.5 KiB fill as many segments as there are now, and were four times. */
    assert_in_range(status.segments, QO_LOG_SEGMENTS_AHEAD + 1, 12);
    stop(&node);

    assert_true(start(&node, &failure));
    assert_holds(&node, ROUNDS, ROUNDS + 1, 1);
    assert_int_equal(log_loaded(node.log)->snapshot_index, ROUNDS);
    assert_true(bytes_equal(log_loaded(node.log)->manifest, bytes_text("a checkpoint")));
    stop(&node);
}

static void
merges_what_waits_into_one_write(void **state)
{
    enum { MANY = 100 };
    static struct log_append requests[MANY];
    static struct log_entry entries[MANY];
    struct log_failure failure;
    struct log_status status;
    struct node node;
    (void)state;
    assert_true(start(&node, &failure));
    for (unsigned i = 0; i < MANY; i++) {
        requests[i].owner = &node;
        entries[i] = (struct log_entry){1, 1, bytes_text("a small entry")};
        log_append(node.log, &requests[i], &entries[i], 1, stored);
    }
    while (node.done < MANY) {
        (void)uv_run(&node.loop, UV_RUN_ONCE);
    }
    log_status(node.log, &status);
    assert_int_equal(status.writes, 2); /* The first one, and what came meanwhile. */
    stop(&node);
}

/* Appends until it is killed, and says after each entry how far it was told. */
static _Noreturn void
append_until_killed(int told)
{
    struct log_failure failure;
    struct node node;
    if (!start(&node, &failure)) {
        _exit(1);
    }
    for (uint64_t index = log_loaded(node.log)->count + 1;; index++) {
        append(&node, index, 1);
        if (write(told, &index, sizeof index) != (ssize_t)sizeof index) {
            _exit(1);
        }
    }
}

static void
holds_what_it_told_before_a_kill(void **state)
{
    enum { KILLS = 5, ENTRIES = 20 };
    uint64_t last = 0;
    (void)state;
    for (unsigned i = 0; i < KILLS; i++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            append_until_killed(ends[1]);
        }
        (void)close(ends[1]);
        for (unsigned n = 0; n < ENTRIES; n++) {
            assert_int_equal(read(ends[0], &last, sizeof last), sizeof last);
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        uint64_t more;
        while (read(ends[0], &more, sizeof more) == (ssize_t)sizeof more) {
            last = more;
        }
        (void)close(ends[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);

        struct log_failure failure;
        struct node node;
        assert_true(start(&node, &failure));
        uint64_t found = log_loaded(node.log)->count;
        assert_in_range(found, last, last + 1);
        assert_holds(&node, found, found + 1, 1);
        stop(&node);
    }
}

static void
flip(const char *name, off_t at)
{
    char path[128];
    uint8_t byte;
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 16;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    assert_int_equal(close(file), 0);
}

static void
names_the_file_that_is_damaged(void **state)
{
    struct log_failure failure;
    struct node node;
    (void)state;
    assert_true(start(&node, &failure));
    for (uint64_t index = 1; index <= 5; index++) {
        append(&node, index, 1);
    }
    stop(&node);
    flip("segment-0000", 4096 + 50); /* In the first entry. */
    assert_false(start(&node, &failure));
    stop(&node);
    assert_int_equal(failure.reason, FATAL_CORRUPT);
    assert_non_null(strstr(failure.text, "segment-0000"));
    assert_non_null(strstr(failure.text, "offset 4096"));
    assert_non_null(strstr(failure.text, "replace this member"));
    flip("segment-0000", 4096 + 50);
    flip("vote", 30); /* One copy: the other is the same. */
    assert_true(start(&node, &failure));
    stop(&node);
    flip("vote", 30); /* It was written anew, so now both are damaged. */
    flip("vote", 4096 + 30);
    assert_false(start(&node, &failure));
    stop(&node);
    assert_non_null(strstr(failure.text, "'vote'"));
}

/* A directory that lost a file is not taken for a younger one. */
static void
refuses_when_a_file_is_gone(void **state)
{
    static const char *const names[] = {"vote", "manifest", "mark", "segment-0001"};
    char path[128], aside[128];
    struct log_failure failure;
    struct node node;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        (void)snprintf(aside, sizeof aside, "%s/aside", directory);
        assert_int_equal(rename(path, aside), 0);
        assert_false(start(&node, &failure));
        stop(&node);
        assert_int_equal(rename(aside, path), 0);
    }
    assert_true(start(&node, &failure));
    stop(&node);
}

/* What asynchronous I/O did in part goes to the thread, which meets the limit and says so. */
static _Noreturn void
append_beyond_a_limit(void)
{
    struct rlimit limit = {SEGMENT_BYTES / 2 + LOG_BLOCK, RLIM_INFINITY};
    struct log_failure failure;
    struct node node;
    bool ready = signal(SIGXFSZ, SIG_IGN) != SIG_ERR && start(&node, &failure) &&
                 setrlimit(RLIMIT_FSIZE, &limit) == 0;
    for (uint64_t index = 1; ready && index <= ROUNDS; index++) {
        append(&node, index, 1); /* Of one and two blocks. */
    }
    _exit(0);
}

static void
ends_when_a_part_of_a_write_does_not_reach_the_disk(void **state)
{
    int status;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        append_beyond_a_limit();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), FATAL_STORAGE);
}

/* The limit is there so that a try to write it fails soon, and with another error. */
static void
writes_nothing_of_a_file_that_has_no_room(void **state)
{
    struct rlimit before, limit;
    int file;
    (void)state;
    struct log_disk_real *disk = log_disk_open(directory, NULL);
    assert_non_null(disk);
    const struct log_disk *table = log_disk_table(disk);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = SEGMENT_BYTES;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int error = table->create(table->context, "large", UINT64_C(1) << 60, &file);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(error, ENOSPC);
    assert_int_equal(table->create(table->context, "large", SEGMENT_BYTES, &file), 0);
    assert_int_equal(table->remove(table->context, "large", file), 0);
    log_disk_close(disk, NULL, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back_after_reopening, make_log, drop_log),
        cmocka_unit_test_setup_teardown(recycles_segments_behind_snapshots, make_log, drop_log),
        cmocka_unit_test_setup_teardown(merges_what_waits_into_one_write, make_log, drop_log),
        cmocka_unit_test_setup_teardown(holds_what_it_told_before_a_kill, make_log, drop_log),
        cmocka_unit_test_setup_teardown(names_the_file_that_is_damaged, make_log, drop_log),
        cmocka_unit_test_setup_teardown(refuses_when_a_file_is_gone, make_log, drop_log),
        cmocka_unit_test_setup_teardown(ends_when_a_part_of_a_write_does_not_reach_the_disk,
                                        make_log, drop_log),
        cmocka_unit_test_setup_teardown(writes_nothing_of_a_file_that_has_no_room, make_log,
                                        drop_log),
    };
    return cmocka_run_group_tests_name("consensus/log_disk", tests, NULL, NULL);
}
