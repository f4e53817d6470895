/*
 * Goal: what a process needs before libuv and libraft run in it is there (consensus.h): no thread
 * but main takes a signal, so that none interrupts a write or an allocation of blocks (B21); a peer
 * that is gone ends no process; libraft's memory comes zeroed, since it stores bytes that it never
 * wrote (B25).
 * Method: the masks of all threads as the kernel shows them; a write to a socket
 * that nobody reads; memory that was used and freed before.
 */
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <raft.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "consensus/consensus.h"
#include "log_disk.h"

enum { THREADS_OF_POOL = 8, THREADS_OF_DISK = 2, USED_BYTES = 4096 };

/* What a signal that asks, times or tells may interrupt. */
static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGALRM, SIGCHLD, SIGUSR1, SIGPROF};

static bool
blocks(const char *task, int number)
{
    char path[300], line[256];
    unsigned long long mask = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *status = fopen(path, "r");
    assert_non_null(status);
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "SigBlk:", 7) == 0) {
            mask = strtoull(line + 7, NULL, 16);
        }
    }
    (void)fclose(status);
    return (mask >> (number - 1) & 1) != 0;
}

/* Threads beside this one. Their masks are checked. */
static unsigned
others_that_block_all(void)
{
    unsigned others = 0;
    const struct dirent *task;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    while ((task = readdir(tasks)) != NULL) {
        bool own = strtol(task->d_name, NULL, 10) == (long)getpid();
        for (size_t i = 0; task->d_name[0] != '.' && i < sizeof signals / sizeof signals[0]; i++) {
            if (blocks(task->d_name, signals[i]) == own) {
                fail_msg("thread %s: signal %d", own ? "main" : task->d_name, signals[i]);
            }
        }
        others += task->d_name[0] != '.' && !own;
    }
    (void)closedir(tasks);
    return others;
}

static void
lets_signals_interrupt_main_alone(void **state)
{
    char directory[] = "process-test-XXXXXX";
    uv_loop_t loop;
    (void)state;
    consensus_prepare_process();
    unsigned pool = others_that_block_all();
    assert_true(pool >= THREADS_OF_POOL); /* A sanitizer may have one of its own. */
    assert_non_null(mkdtemp(directory));
    assert_int_equal(uv_loop_init(&loop), 0);
    struct log_disk_real *disk = log_disk_open(directory, &loop);
    assert_non_null(disk);
    assert_int_equal(others_that_block_all(), pool + THREADS_OF_DISK);
    log_disk_close(disk, NULL, NULL);
    while (uv_run(&loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void
outlives_a_write_to_a_peer_that_is_gone(void **state)
{
    int ends[2];
    (void)state;
    consensus_prepare_process();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(write(ends[0], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(close(ends[0]), 0);
}

static void
gives_libraft_zeroed_memory(void **state)
{
    static const uint8_t zero[USED_BYTES];
    (void)state;
    consensus_prepare_process();
    for (int i = 0; i < 3; i++) { /* From the second on it is most likely the same again. */
        uint8_t *memory = raft_malloc(USED_BYTES);
        assert_memory_equal(memory, zero, USED_BYTES);
        memset(memory, 0xa5, USED_BYTES);
        raft_free(memory);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_signals_interrupt_main_alone),
        cmocka_unit_test(outlives_a_write_to_a_peer_that_is_gone),
        cmocka_unit_test(gives_libraft_zeroed_memory),
    };
    return cmocka_run_group_tests_name("consensus/process", tests, NULL, NULL);
}
