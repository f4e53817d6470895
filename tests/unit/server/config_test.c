/*
 * Goal: a wrong configuration is refused with its place and a sentence; a right one is what it
 * says. Method: a table of files.
 */
#include "support/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

struct config_case {
    const char *name, *text;
    const char *why; /* A part of the sentence; NULL: right. */
};

/* A file of its own with `text`; the path is the caller's to remove and free. */
static char *
write_file(const char *text)
{
    char *path = strdup("/tmp/quorder-config-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(file), 0);
    return path;
}

static void
refuses_with_place_and_reason(void **state)
{
    static const struct config_case cases[] = {
        {"all settings",
         "data: /d\nlisten: 0.0.0.0:1\nlog_level: warn\ndisk_reserve: 5\nlog_bytes: 2097152\n"
         "cache_bytes: 1048576\nblock_cache_bytes: 1048576\nmemtable_bytes: 1048576\nheartbeat_ms: "
         "20\nelection_ms: 200\n",
         NULL},
        {"no secret file", "data: /d\nsecret_file: ''\n", "secret_file: must have 1 to 4095 bytes"},
        {"an absent secret", "data: /d\nsecret_file: /nowhere/secret\n",
         "secret_file: /nowhere/secret: No such file"},
        {"a secret that others can read", "data: /d\nsecret_file: /etc/passwd\n",
         "is open to others than its owner"},
        {"unknown", "data: /d\ndatta: x\n", ":2:1: datta: no such setting"},
        {"no number", "data: /d\nlog_bytes: many\n",
         ":2:1: log_bytes: \"many\" is not a whole number"},
        {"negative", "data: /d\nlog_bytes: -1\n",
         "log_bytes: must be from 1048576 to 1099511627776, not -1"},
        {"too small", "data: /d\nlog_bytes: 1\n", "must be from 1048576 to 1099511627776, not 1"},
        {"too large", "data: /d\nheartbeat_ms: 18446744073709551616\n", "must be from 5 to 10000"},
        {"level", "data: /d\nlog_level: loud\n", "none of debug, info, warn, error"},
        {"no port", "data: /d\nlisten: here\n", "\"here\" is not host:port"},
        {"an empty port", "data: /d\nlisten: 'here:'\n", "\"here:\" is not host:port"},
        {"a name as port", "data: /d\nlisten: here:http\n", "is not host:port"},
        {"a port that is none", "data: /d\nlisten: here:65536\n", "is not host:port"},
        {"port 0", "data: /d\nlisten: here:0\n", "is not host:port"},
        {"no host", "data: /d\nlisten: ':7401'\n", "is not host:port"},
        {"the second of two mistakes", "lisen: a:1\nlog_level: loud\ndata: /d\n",
         ":2:1: log_level: \"loud\""},
        {"no YAML", "data: [\n", "not YAML"},
        {"a list", "- data\n", "not a list of"},
        {"empty", "", "not a list of"},
        {"nested", "data: {a: b}\n", "a setting has one plain value"},
        {"no data", "listen: a:1\n", "no data directory"},
        {"slow heart", "data: /d\nheartbeat_ms: 100\nelection_ms: 399\n", "at least 4 times"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config config;
        char why[CONFIG_WHY_MAX] = "";
        char *path = write_file(cases[i].text);
        config_init(&config);
        bool right = config_read(&config, path, why) && config_check(&config, why) &&
                     config_read_secret(&config, why);
        if (right != (cases[i].why == NULL) ||
            (cases[i].why != NULL && strstr(why, cases[i].why) == NULL)) {
            fail_msg("%s: %s", cases[i].name, right ? "taken" : why);
        }
        (void)unlink(path);
        free(path);
    }
}

static void
reads_what_the_file_says(void **state)
{
    struct config config;
    char why[CONFIG_WHY_MAX];
    char *path = write_file("data: /srv/q\nlisten: '[::1]:7401'\nlog_bytes: 2097152\n"
                            "election_ms: 300\nlog_level: error\n");
    (void)state;
    config_init(&config);
    assert_true(config_read(&config, path, why));
    assert_string_equal(config.node.directory, "/srv/q");
    assert_string_equal(config.node.listen, "[::1]:7401");
    assert_int_equal(config.node.log_bytes_max, 2097152);
    assert_int_equal(config.node.election_ms, 300);
    assert_int_equal(config.node.heartbeat_ms, 0);
    assert_int_equal(config.log_level, LOG_ERROR);
    assert_true(config.node.disk_reserve == UINT64_MAX);
    (void)unlink(path);
    free(path);
}

static void
the_last_secret_file_is_read(void **state)
{
    struct config config;
    char why[CONFIG_WHY_MAX];
    char *secret = write_file("sixteen bytes it\n"); /* mkstemp() makes it ours alone. */
    char *path = write_file("data: /d\nsecret_file: /nowhere/secret\n");
    (void)state;
    config_init(&config);
    assert_true(config_read(&config, path, why));
    assert_null(config.node.secret.data);
    assert_true(config_set(&config, "secret_file", secret, why)); /* A flag. */
    assert_true(config_read_secret(&config, why));
    assert_int_equal(config.node.secret.size, 16);
    assert_memory_equal(config.node.secret.data, "sixteen bytes it", 16);
    config_init(&config);
    assert_true(config_read_secret(&config, why));
    assert_null(config.node.secret.data);
    (void)unlink(path);
    (void)unlink(secret);
    free(path);
    free(secret);
}

static void
names_a_file_that_is_not_there(void **state)
{
    struct config config;
    char why[CONFIG_WHY_MAX];
    (void)state;
    config_init(&config);
    assert_false(config_read(&config, "/nowhere/quorderd.yaml", why));
    assert_non_null(strstr(why, "/nowhere/quorderd.yaml: No such file"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_place_and_reason),
        cmocka_unit_test(reads_what_the_file_says),
        cmocka_unit_test(the_last_secret_file_is_read),
        cmocka_unit_test(names_a_file_that_is_not_there),
    };
    return cmocka_run_group_tests_name("server/config", tests, NULL, NULL);
}
