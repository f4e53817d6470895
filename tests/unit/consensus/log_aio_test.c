/*
 * Goal: a write by the kernel's asynchronous I/O is told once, on the loop, never inside the call,
 * and with what became of it; a second one is refused while one is under way; closing waits.
 * Method: real files in the directory of the test, and a file-size limit for the error.
 */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#include "common/bytes.h"
#include "log_aio.h"
#include "log_meta.h"

enum { FILE_BYTES = 64 * LOG_BLOCK, WRITES = 50 };

struct world {
    uv_loop_t loop;
    struct log_aio *aio;
    int file;
    bool supported; /* By the file system that the test runs on. */
    void *memory;
    uint8_t *blocks; /* FILE_BYTES, aligned. */
    struct log_io io;
    unsigned told;
    struct log_io *last;
    int error;
};

static void
done(void *context, struct log_io *io, int error)
{
    struct world *world = context;
    world->told++;
    world->last = io;
    world->error = error;
}

static int
start(void **state)
{
    char name[] = "log-aio-test-XXXXXX";
    struct world *world = mem_zalloc(sizeof *world);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    world->blocks = log_blocks_alloc(FILE_BYTES, &world->memory);
    memset(world->blocks, 'a', FILE_BYTES);
    int made = mkstemp(name);
    assert_true(made >= 0);
    assert_int_equal(close(made), 0);
    world->file = open(name, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
    world->supported = world->file >= 0;
    if (!world->supported) {
        world->file = open(name, O_RDWR | O_DSYNC | O_CLOEXEC);
    }
    assert_true(world->file >= 0);
    /* Room that was written before, and no page of it in the cache: else the kernel would wait. */
    assert_int_equal(pwrite(world->file, world->blocks, FILE_BYTES, 0), FILE_BYTES);
    struct iovec piece = {world->blocks, LOG_BLOCK};
    world->supported =
        world->supported && pwritev2(world->file, &piece, 1, 0, RWF_NOWAIT) == LOG_BLOCK;
    assert_int_equal(unlink(name), 0);
    world->aio = log_aio_open(&world->loop, done, world);
    assert_non_null(world->aio);
    *state = world;
    return 0;
}

static int
stop(void **state)
{
    struct world *world = *state;
    if (world->aio != NULL) {
        log_aio_close(world->aio);
    }
    while (uv_run(&world->loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&world->loop), 0);
    assert_int_equal(close(world->file), 0);
    mem_free(world->memory);
    mem_free(world);
    return 0;
}

/* Begins a write of whole blocks. False if the kernel would have to wait for it: then a thread
 * would do it, and the test tries again. */
static bool
begin(struct world *world, uint64_t block, uint64_t count, char content)
{
    memset(world->blocks, content, (size_t)count * LOG_BLOCK);
    world->io = (struct log_io){
        .kind = LOG_IO_WRITE,
        .file = world->file,
        .offset = block * LOG_BLOCK,
        .data = world->blocks,
        .size = count * LOG_BLOCK,
    };
    unsigned told = world->told;
    bool begun = log_aio_write(world->aio, &world->io);
    assert_int_equal(world->told, told); /* Never inside. */
    return begun;
}

/* What the kernel itself cannot do on this file system (overlay, some tmpfs) is not ours to show:
 * there the thread writes (log_disk_test.c). */
static void
skip_unless_supported(const struct world *world)
{
    if (!world->supported) {
        print_message("this file system does not begin a write without waiting\n");
        skip();
    }
}

static void
begin_surely(struct world *world, uint64_t block, uint64_t count, char content)
{
    for (unsigned tries = 0; !begin(world, block, count, content); tries++) {
        assert_true(tries < 1000);
    }
}

static void
wait_until_told(struct world *world, unsigned told)
{
    while (world->told < told) {
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    }
    assert_int_equal(world->told, told);
    assert_ptr_equal(world->last, &world->io);
}

static void
tells_each_write_once_when_its_bytes_are_there(void **state)
{
    struct world *world = *state;
    skip_unless_supported(world);
    for (unsigned i = 0; i < WRITES; i++) {
        uint64_t count = 1 + i % 3;
        char content = (char)('b' + i % 20);
        begin_surely(world, i, count, content);
        wait_until_told(world, i + 1);
        assert_int_equal(world->error, 0);
        memset(world->blocks, 0, FILE_BYTES);
        assert_int_equal(pread(world->file, world->blocks, count * LOG_BLOCK, i * LOG_BLOCK),
                         count * LOG_BLOCK);
        for (size_t at = 0; at < count * LOG_BLOCK; at++) {
            assert_int_equal(world->blocks[at], content);
        }
    }
}

static void
takes_one_at_a_time(void **state)
{
    struct world *world = *state;
    struct log_io second;
    skip_unless_supported(world);
    begin_surely(world, 0, 8, 'b');
    second = world->io;
    assert_false(log_aio_write(world->aio, &second));
    wait_until_told(world, 1);
    assert_int_equal(world->error, 0);
    begin_surely(world, 1, 1, 'c');
    wait_until_told(world, 2);
}

/* A write that ends early is for somebody to do again, who meets the error. */
static void
tells_what_went_wrong(void **state)
{
    struct world *world = *state;
    struct rlimit before, small;
    skip_unless_supported(world);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 2 * LOG_BLOCK;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    begin_surely(world, 2, 1, 'b');
    wait_until_told(world, 1);
    assert_int_equal(world->error, EFBIG);
    begin_surely(world, 1, 2, 'b');
    wait_until_told(world, 2);
    assert_int_equal(world->error, EAGAIN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

static void
waits_when_it_is_closed(void **state)
{
    struct world *world = *state;
    skip_unless_supported(world);
    begin_surely(world, 3, 16, 'z');
    log_aio_close(world->aio);
    world->aio = NULL;
    for (unsigned block = 3; block < 19; block++) { /* On the disk, and nobody is told. */
        memset(world->blocks, 0, LOG_BLOCK);
        assert_int_equal(pread(world->file, world->blocks, LOG_BLOCK, block * LOG_BLOCK),
                         LOG_BLOCK);
        assert_int_equal(world->blocks[LOG_BLOCK - 1], 'z');
    }
    while (uv_run(&world->loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(world->told, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_each_write_once_when_its_bytes_are_there, start,
                                        stop),
        cmocka_unit_test_setup_teardown(takes_one_at_a_time, start, stop),
        cmocka_unit_test_setup_teardown(tells_what_went_wrong, start, stop),
        cmocka_unit_test_setup_teardown(waits_when_it_is_closed, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
