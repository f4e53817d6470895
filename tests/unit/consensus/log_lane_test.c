/*
 * Goal: which way an append goes: by the kernel's asynchronous I/O, and for QO_LOG_THREAD_APPENDS
 *     of them by the lane's thread after one that the kernel did not begin, or that was slow.
 * Method: the real disk and a file on it. The linker leads io_submit(), pwrite() and uv_hrtime()
 *     through this file (--wrap): it counts how often the kernel is asked and what threads write,
 *     can answer once in the kernel's place that it would have to wait, and holds the clock, so
 *     that an append takes as long as the test says, however busy the machine is.
 */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#include "common/bytes.h"
#include "common/limits.h"
#include "log_disk.h"
#include "log_meta.h"

enum { FILE_BLOCKS = 64, TRIES = 20 };

/* -- What the linker leads here ---------------------------------------------------------------- */

int __real_io_submit(io_context_t context, long count, struct iocb **requests);
int __wrap_io_submit(io_context_t context, long count, struct iocb **requests);
ssize_t __real_pwrite(int file, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int file, const void *data, size_t size, off_t offset);
uint64_t __wrap_uv_hrtime(void);

static unsigned asked;        /* The kernel, to begin a write. */
static bool refuses;          /* The next one. */
static atomic_uint by_thread; /* Writes by another thread than the loop's. */
static pthread_t loop_thread;
static uint64_t now_ns;

int
__wrap_io_submit(io_context_t context, long count, struct iocb **requests)
{
    asked++;
    if (refuses) {
        refuses = false;
        return -EAGAIN;
    }
    return __real_io_submit(context, count, requests);
}

ssize_t
__wrap_pwrite(int file, const void *data, size_t size, off_t offset)
{
    if (pthread_equal(pthread_self(), loop_thread) == 0) {
        atomic_fetch_add(&by_thread, 1);
    }
    return __real_pwrite(file, data, size, offset);
}

uint64_t
__wrap_uv_hrtime(void)
{
    return now_ns;
}

/* -- Support ----------------------------------------------------------------------------------- */

struct world {
    uv_loop_t loop;
    char directory[32];
    struct log_disk_real *real;
    const struct log_disk *disk;
    int file;
    bool direct;  /* Past the page cache: else no append goes to the kernel. */
    bool at_once; /* The kernel can begin a write there without waiting. */
    void *memory;
    uint8_t *block;
    unsigned appends, done;
};

/* Whether the file system can do it at all. */
static void
probe(struct world *world)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s/file", world->directory);
    int file = open(path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
    struct iovec piece = {world->block, LOG_BLOCK};
    world->direct = file >= 0;
    world->at_once = file >= 0 && pwritev2(file, &piece, 1, 0, RWF_NOWAIT) == LOG_BLOCK;
    assert_true(file < 0 || close(file) == 0);
}

static int
start(void **state)
{
    struct world *world = mem_zalloc(sizeof *world);
    loop_thread = pthread_self();
    assert_int_equal(uv_loop_init(&world->loop), 0);
    (void)snprintf(world->directory, sizeof world->directory, "log-lane-test-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    world->real = log_disk_open(world->directory, &world->loop);
    assert_non_null(world->real);
    world->disk = log_disk_table(world->real);
    assert_int_equal(world->disk->create(world->disk->context, "file",
                                         FILE_BLOCKS * (uint64_t)LOG_BLOCK, &world->file),
                     0);
    world->block = log_blocks_alloc(LOG_BLOCK, &world->memory);
    probe(world);
    asked = 0;
    refuses = false;
    atomic_store(&by_thread, 0);
    *state = world;
    return 0;
}

static int
stop(void **state)
{
    struct world *world = *state;
    assert_int_equal(world->disk->remove(world->disk->context, "file", world->file), 0);
    log_disk_close(world->real, NULL, NULL);
    while (uv_run(&world->loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&world->loop), 0);
    assert_int_equal(rmdir(world->directory), 0);
    mem_free(world->memory);
    mem_free(world);
    return 0;
}

static void
done(struct log_io *io)
{
    struct world *world = io->owner;
    world->done++;
}

/* One append, which takes `ms`. True: the lane's thread did it. */
static bool
append(struct world *world, uint64_t ms)
{
    unsigned before = atomic_load(&by_thread);
    struct log_io io = {
        .kind = LOG_IO_WRITE,
        .lane = LOG_LANE_APPEND,
        .file = world->file,
        .offset = world->appends % FILE_BLOCKS * (uint64_t)LOG_BLOCK,
        .data = world->block,
        .size = LOG_BLOCK,
        .error = -1,
        .done = done,
        .owner = world,
    };
    world->appends++;
    put_le64(world->block, world->appends);
    world->disk->submit(world->disk->context, &io);
    now_ns += ms * 1000000;
    while (world->done < world->appends) {
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    }
    assert_int_equal(world->done, world->appends);
    assert_int_equal(io.error, 0);
    memset(world->block, 0, LOG_BLOCK);
    assert_int_equal(
        world->disk->read(world->disk->context, io.file, io.offset, world->block, LOG_BLOCK), 0);
    assert_int_equal(get_le64(world->block), world->appends);
    unsigned writes = atomic_load(&by_thread) - before;
    assert_in_range(writes, 0, 1);
    return writes == 1;
}

/* As many as `count`, done by the thread, without asking the kernel. */
static void
the_thread_appends(struct world *world, unsigned count)
{
    unsigned before = asked;
    for (unsigned i = 0; i < count; i++) {
        assert_true(append(world, 0));
        assert_int_equal(asked, before);
    }
}

/* One that the kernel has done, in `ms`; after those that it would not begin, if there are any. */
static void
the_kernel_appends(struct world *world, uint64_t ms)
{
    for (unsigned tries = 0;; tries++) {
        unsigned before = asked;
        bool thread = append(world, ms);
        assert_int_equal(asked, before + 1);
        if (!thread) {
            return;
        }
        assert_true(tries < TRIES);
        the_thread_appends(world, QO_LOG_THREAD_APPENDS);
    }
}

static void
skip_unless(bool can, const char *what)
{
    if (!can) {
        print_message("this file system has no %s\n", what);
        skip();
    }
}

/* -- Tests ------------------------------------------------------------------------------------- */

static void
the_kernel_does_it_while_it_can(void **state)
{
    struct world *world = *state;
    skip_unless(world->at_once, "writes that begin without waiting");
    for (unsigned i = 0; i < 10; i++) {
        the_kernel_appends(world, i % 2 == 0 ? 0 : QO_LOG_SLOW_APPEND_MS);
    }
}

static void
after_a_refusal_the_thread_does_some_and_then_the_kernel_is_asked_again(void **state)
{
    struct world *world = *state;
    skip_unless(world->direct, "writes past the page cache");
    for (unsigned round = 1; round <= 3; round++) {
        refuses = true;
        assert_true(append(world, 0));
        assert_int_equal(asked, round);
        the_thread_appends(world, QO_LOG_THREAD_APPENDS);
    }
    (void)append(world, 0);
    assert_int_equal(asked, 4);
}

/* The kernel itself: a write past the page cache waits for the pages that are in it. */
static void
the_kernel_refuses_where_pages_are_in_the_cache(void **state)
{
    struct world *world = *state;
    char path[64], byte;
    skip_unless(world->at_once, "writes that begin without waiting");
    (void)snprintf(path, sizeof path, "%s/file", world->directory);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(pread(file, &byte, 1, 0), 1);
    assert_int_equal(close(file), 0);
    bool thread = append(world, 0);
    assert_int_equal(asked, 1);
    skip_unless(thread, "write that waits for a page");
    the_thread_appends(world, QO_LOG_THREAD_APPENDS);
    (void)append(world, 0);
    assert_int_equal(asked, 2);
}

static void
after_a_slow_one_the_thread_does_some_and_then_the_kernel_is_asked_again(void **state)
{
    struct world *world = *state;
    skip_unless(world->at_once, "writes that begin without waiting");
    the_kernel_appends(world, QO_LOG_SLOW_APPEND_MS + 1);
    the_thread_appends(world, QO_LOG_THREAD_APPENDS);
    the_kernel_appends(world, 0);
}

static void
a_slow_one_of_the_thread_counts_from_there(void **state)
{
    struct world *world = *state;
    skip_unless(world->direct, "writes past the page cache");
    refuses = true;
    assert_true(append(world, 0));
    the_thread_appends(world, QO_LOG_THREAD_APPENDS - 1);
    assert_true(append(world, QO_LOG_SLOW_APPEND_MS + 1));
    assert_int_equal(asked, 1);
    the_thread_appends(world, QO_LOG_THREAD_APPENDS);
    (void)append(world, 0);
    assert_int_equal(asked, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_kernel_does_it_while_it_can, start, stop),
        cmocka_unit_test_setup_teardown(
            after_a_refusal_the_thread_does_some_and_then_the_kernel_is_asked_again, start, stop),
        cmocka_unit_test_setup_teardown(the_kernel_refuses_where_pages_are_in_the_cache, start,
                                        stop),
        cmocka_unit_test_setup_teardown(
            after_a_slow_one_the_thread_does_some_and_then_the_kernel_is_asked_again, start, stop),
        cmocka_unit_test_setup_teardown(a_slow_one_of_the_thread_counts_from_there, start, stop),
    };
    return cmocka_run_group_tests_name("consensus/log_lane", tests, NULL, NULL);
}
