/*
 * Goal: attributes on the command line mean what they say, the command that asks again can be
 * pasted into a shell, and every command of the table can be told from every other.
 * Method: tables; a shell reads the printed command back.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "tools/json.h"

static void
pairs_are_texts_unless_they_say_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name; /* NULL: refused. */
        const char *json;
    } table[] = {
        {"a=b", "a", "\"b\""},
        {"a=", "a", "\"\""},
        {"a=1", "a", "\"1\""},
        {"a=b=c", "a", "\"b=c\""},
        {"a:=1", "a", "1"},
        {"a:=null", "a", "null"},
        {"a:=[1,{\"b\":2.5}]", "a", "[1,{\"b\":2.5}]"},
        {"a:=\"x\"", "a", "\"x\""},
        {"x.y:z=1", "x.y:z", "\"1\""},
        {"a@=2017-10-02T10:56:00Z", "a", "1506941760000000"},
        {"a:=b", NULL, NULL},
        {"a:={\"b\":1,\"b\":2}", NULL, NULL},
        {"a:=1 2", NULL, NULL},
        {"a@=tomorrow", NULL, NULL},
        {"a", NULL, NULL},
        {"=b", NULL, NULL},
        {":=1", NULL, NULL},
        {"", NULL, NULL},
        {"a=\xff", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t name_size = 0;
        json_t *value = NULL;
        bool well = ctl_pair("-a", table[i].text, &name_size, &value);
        char *json = well ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        if (well != (table[i].name != NULL) ||
            (well && (name_size != strlen(table[i].name) || strcmp(json, table[i].json) != 0))) {
            fail_msg("'%s'", table[i].text);
        }
        free(json);
        json_decref(value);
    }
}

/* What a shell makes of a line: each word in brackets. */
static void
shell_words(struct bytes line, char *out, size_t size)
{
    struct buf command = {0};
    static const char start[] = "set -- ";
    static const char print[] = "; for w; do printf '[%s]' \"$w\"; done";
    buf_append(&command, start, sizeof start - 1);
    buf_append(&command, line.data, line.size);
    buf_append(&command, print, sizeof print);
    FILE *shell = popen((const char *)command.data, "r"); // NOLINT(cert-env33-c): the point.
    assert_non_null(shell);
    size_t got = fread(out, 1, size - 1, shell);
    out[got] = '\0';
    pclose(shell);
    buf_free(&command);
}

static void
the_command_that_asks_again_survives_a_shell(void **state)
{
    (void)state;
    char words[][40] = {"quorderctl",           "order", "create", "o 1", "it's", "-a",
                        "x:={\"a\":\"$HOME\"}", "--",    "",       "*",   "a\\b"};
    char *line[12] = {NULL};
    struct ctl ctl = {.argc = 11, .line = line};
    struct buf out = {0};
    char read[512];
    for (size_t i = 0; i < 11; i++) {
        line[i] = words[i];
    }
    ctl_again(&ctl, "r-1", &out);
    shell_words(buf_bytes(&out), read, sizeof read);
    assert_string_equal(read, "[quorderctl][--request-id][r-1][order][create][o 1][it's][-a]"
                              "[x:={\"a\":\"$HOME\"}][--][][*][a\\b]");
    buf_clear(&out);
    ctl.given = OWN(KEY_REQUEST_ID);
    ctl_again(&ctl, "r-1", &out);
    shell_words(buf_bytes(&out), read, sizeof read);
    assert_string_equal(read, "[quorderctl][order][create][o 1][it's][-a]"
                              "[x:={\"a\":\"$HOME\"}][--][][*][a\\b]");
    buf_free(&out);
}

static void
every_command_is_one_and_has_an_example(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < commands_count; i++) {
        const struct command *one = &commands[i];
        char words[64];
        (void)snprintf(words, sizeof words, "quorderctl %s%s%s", one->noun,
                       one->verb[0] != '\0' ? " " : "", one->verb);
        assert_non_null(strstr(one->examples, words));
        assert_int_equal(one->examples[strlen(one->examples) - 1], '\n');
        for (uint32_t j = 0; j < i; j++) {
            assert_false(strcmp(one->noun, commands[j].noun) == 0 &&
                         strcmp(one->verb, commands[j].verb) == 0);
        }
    }
}

static void
every_option_has_one_row_and_belongs_to_a_command(void **state)
{
    (void)state;
    uint64_t taken = 0;
    for (uint32_t i = 0; i < commands_count; i++) {
        taken |= commands[i].options;
    }
    assert_int_equal(ctl_options_count, KEYS_END - 1);
    for (uint32_t i = 0; i < ctl_options_count; i++) {
        assert_int_equal(ctl_options[i].key, (int)i + 1);
        assert_true(ctl_options[i].key < KEY_OWN || (taken & OWN(ctl_options[i].key)) != 0);
    }
}

/* An answer of cluster.status, of three members of which the node knows itself. */
static json_t *
answer_of(int node, int term, const char *state, int applied, int committed)
{
    json_t *members = json_array();
    for (int id = 1; id <= 3; id++) {
        json_t *own = id == node
                          ? json_pack("{s:i,s:s,s:i,s:i,s:n}", "id", id, "state", state,
                                      "applied_index", applied, "committed_index", committed, "lag")
                          : json_pack("{s:i,s:n,s:n,s:n,s:n}", "id", id, "state", "applied_index",
                                      "committed_index", "lag");
        json_add(members, own);
    }
    return json_pack("{s:i,s:i,s:o}", "node_id", node, "term", term, "members", members);
}

static void
members_are_as_each_says_of_itself(void **state)
{
    (void)state;
    json_t *answers = json_array();
    json_add(answers, answer_of(1, 7, "follower", 90, 95));
    json_add(answers, answer_of(2, 7, "leader", 100, 100));
    json_t *rows = ctl_merge_members(answers);
    char *text = json_dumps(rows, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text,
                        "[{\"applied_index\":90,\"committed_index\":95,\"id\":1,\"lag\":10,"
                        "\"state\":\"follower\"},"
                        "{\"applied_index\":100,\"committed_index\":100,\"id\":2,\"lag\":0,"
                        "\"state\":\"leader\"},"
                        "{\"applied_index\":null,\"committed_index\":null,\"id\":3,\"lag\":null,"
                        "\"state\":\"unreachable\"}]");
    free(text);
    json_decref(rows);

    /* A leader of a term that is over gives no measure. */
    json_add(answers, answer_of(3, 8, "follower", 120, 120));
    rows = ctl_merge_members(answers);
    for (size_t i = 0; i < 3; i++) {
        assert_true(json_is_null(json_object_get(json_array_get(rows, i), "lag")));
    }
    json_decref(rows);
    json_decref(answers);
}

static void
not_found_names_what_was_asked(void **state)
{
    (void)state;
    static const struct {
        struct ctl ctl;
        const char *what, *text;
    } table[] = {
        {{.asked_id = "o-1"}, "order", "there is no order 'o-1'"},
        {{.asked_id = "o-1", .as_of_us = 1}, "order", "there is no order 'o-1' at that time"},
        {{.asked_id = "o-1", .asked_machine = "m"}, "machine", "there is no machine 'm'"},
        {{.asked_machine = "m", .asked_version = 7}, "version", "machine 'm' has no version 7"},
        {{.asked_id = NULL}, "order", "there is no such order"},
        {{.asked_id = NULL}, NULL, "there is no such thing"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf out = {0};
        ctl_not_found(&table[i].ctl, table[i].what, &out);
        buf_put_u8(&out, 0);
        assert_string_equal((const char *)out.data, table[i].text);
        buf_free(&out);
    }
}

static void
arguments_have_names(void **state)
{
    (void)state;
    const struct command command = {.arguments = "ID MACHINE"};
    assert_true(bytes_equal(ctl_argument_name(&command, 0), bytes_text("ID")));
    assert_true(bytes_equal(ctl_argument_name(&command, 1), bytes_text("MACHINE")));
    assert_int_equal(ctl_argument_name(&command, 2).size, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_texts_unless_they_say_otherwise),
        cmocka_unit_test(the_command_that_asks_again_survives_a_shell),
        cmocka_unit_test(every_command_is_one_and_has_an_example),
        cmocka_unit_test(members_are_as_each_says_of_itself),
        cmocka_unit_test(not_found_names_what_was_asked),
        cmocka_unit_test(arguments_have_names),
        cmocka_unit_test(every_option_has_one_row_and_belongs_to_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
