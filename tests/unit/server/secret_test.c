/*
 * Goal: a secret is the bytes of its file but for one newline; a file that is none, or that others
 * may read, is refused with a sentence that does not show it. Method: files of every kind and size
 * around the bounds.
 */
#include "support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secret.h"

static char directory[] = "/tmp/quorder-secret-XXXXXX";
static char path[64];

/* A file of `size` bytes, all 's' but for the last if `newline`. */
static void
write_secret(size_t size, bool newline, mode_t mode)
{
    char data[QO_SECRET_BYTES_MAX + 8];
    assert_true(size <= sizeof data);
    memset(data, 's', sizeof data);
    if (newline) {
        data[size - 1] = '\n';
    }
    (void)unlink(path);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, data, size), (ssize_t)size);
    assert_int_equal(fchmod(file, mode), 0);
    assert_int_equal(close(file), 0);
}

static void
refused(const char *name, const char *sentence)
{
    struct secret secret = {.size = 0};
    char why[SECRET_WHY_MAX] = "";
    if (secret_read(path, &secret, why) || strstr(why, sentence) == NULL ||
        strstr(why, path) == NULL || strstr(why, "ssss") != NULL || secret.size != 0) {
        fail_msg("%s: %s", name, why);
    }
}

static void
takes_sizes_within_the_bounds(void **state)
{
    static const struct {
        size_t size;
        bool newline;
        size_t want; /* 0: refused. */
    } cases[] = {
        {0, false, 0},      {1, true, 0},     {15, false, 0},     {16, true, 0},
        {16, false, 16},    {17, true, 16},   {1023, true, 1022}, {1024, false, 1024},
        {1025, true, 1024}, {1025, false, 0}, {1026, true, 0},    {1032, true, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct secret secret = {.size = 0};
        char why[SECRET_WHY_MAX] = "", name[32];
        write_secret(cases[i].size, cases[i].newline, 0600);
        (void)snprintf(name, sizeof name, "%zu bytes", cases[i].size);
        if (cases[i].want == 0) {
            refused(name, cases[i].size < 100 ? "fewer bytes" : "more bytes");
            continue;
        }
        if (!secret_read(path, &secret, why) || secret_bytes(&secret).size != cases[i].want) {
            fail_msg("%s: %u taken; %s", name, secret.size, why);
        }
        for (uint32_t at = 0; at < secret.size; at++) {
            assert_int_equal(secret.data[at], 's');
        }
    }
}

static void
drops_one_newline_and_no_more(void **state)
{
    struct secret secret;
    char why[SECRET_WHY_MAX];
    (void)state;
    write_secret(20, true, 0600);
    int file = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(file, "\n", 1), 1);
    assert_int_equal(close(file), 0);
    assert_true(secret_read(path, &secret, why));
    assert_int_equal(secret.size, 20);
    assert_int_equal(secret.data[19], '\n');
}

static void
refuses_what_others_may_touch(void **state)
{
    static const mode_t modes[] = {0640, 0620, 0610, 0604, 0602, 0601, 0644, 0666, 0660};
    char sentence[64];
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        write_secret(32, true, modes[i]);
        (void)snprintf(sentence, sizeof sentence, "others than its owner (mode %04o)",
                       (unsigned)modes[i]);
        refused(sentence, sentence);
    }
    write_secret(32, true, 0400);
    struct secret secret;
    char why[SECRET_WHY_MAX];
    assert_true(secret_read(path, &secret, why));
}

static void
refuses_what_is_no_plain_file(void **state)
{
    (void)state;
    (void)unlink(path);
    refused("absent", "No such file");
    assert_int_equal(mkdir(path, 0700), 0);
    refused("a directory", "is no plain file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused("a pipe, which would keep the reader waiting", "is no plain file");
    assert_int_equal(unlink(path), 0);
}

static void
none_is_absent(void **state)
{
    const struct secret none = {.size = 0};
    (void)state;
    assert_null(secret_bytes(&none).data);
}

static int
make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/secret", directory);
    return 0;
}

static int
remove_directory(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(directory);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_sizes_within_the_bounds),
        cmocka_unit_test(drops_one_newline_and_no_more),
        cmocka_unit_test(refuses_what_others_may_touch),
        cmocka_unit_test(refuses_what_is_no_plain_file),
        cmocka_unit_test(none_is_absent),
    };
    return cmocka_run_group_tests_name("server/secret", tests, make_directory, remove_directory);
}
