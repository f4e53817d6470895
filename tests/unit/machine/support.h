/*
 * What the tests of the machine module share: compiling texts and files, and making attribute
 * lists. Included by one test each, so everything is static inline. Include support/test.h first.
 */
#ifndef MACHINE_TEST_SUPPORT_H
#define MACHINE_TEST_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attributes.h"
#include "machine/machine.h"

/* The machine of a text that must compile. */
static inline struct machine *
open_text(const char *name, const char *source)
{
    struct buf compiled = {0};
    struct machine_error error;
    if (machine_compile(bytes_text(source), &compiled, &error) != QO_OK) {
        fail_msg("%s: %u:%u: %s", name, error.line, error.column, error.why);
    }
    struct machine *machine = machine_open(buf_bytes(&compiled));
    assert_non_null(machine);
    buf_free(&compiled);
    return machine;
}

/* The text of a file below the root of the repository; the caller's, to be freed with mem_free().
 */
static inline char *
read_text(const char *path)
{
    enum { SIZE_MAX_READ = 512 * 1024 };
    char full[1024];
    (void)snprintf(full, sizeof full, "%s/%s", QO_SOURCE_DIR, path);
    FILE *file = fopen(full, "rb");
    if (file == NULL) {
        fail_msg("cannot open %s", full);
    }
    char *text = mem_zalloc(SIZE_MAX_READ);
    size_t size = fread(text, 1, SIZE_MAX_READ - 1, file);
    assert_true(size > 0 && size < SIZE_MAX_READ - 1);
    assert_int_equal(fclose(file), 0);
    return text;
}

static inline struct machine *
open_file(const char *path)
{
    char *text = read_text(path);
    struct machine *machine = open_text(path, text);
    mem_free(text);
    return machine;
}

/* The canonical encoding of a value written as a word: nil, true, an integer, a number with a
 * point,
 * [] or {} (empty list and map), or else a text. Short ones only. */
static inline size_t
encode_value(const char *word, enum value_type *type_out, uint8_t *out)
{
    size_t size = strlen(word);
    char *end;
    if (strcmp(word, "nil") == 0) {
        *type_out = VALUE_NIL;
        out[0] = 0xc0;
        return 1;
    }
    if (strcmp(word, "true") == 0) {
        *type_out = VALUE_BOOLEAN;
        out[0] = 0xc3;
        return 1;
    }
    if (strcmp(word, "[]") == 0 || strcmp(word, "{}") == 0) {
        *type_out = word[0] == '[' ? VALUE_LIST : VALUE_MAP;
        out[0] = word[0] == '[' ? 0x90 : 0x80;
        return 1;
    }
    long long integer = strtoll(word, &end, 10);
    if (size > 0 && *end == '\0') {
        *type_out = VALUE_INTEGER;
        if (integer >= 0 && integer < 128) {
            out[0] = (uint8_t)integer;
            return 1;
        }
        out[0] = integer >= 0 ? 0xcf : 0xd3; /* Not the shortest: good enough for the engine. */
        put_be64(out + 1, (uint64_t)integer);
        return 9;
    }
    double number = strtod(word, &end);
    if (size > 0 && *end == '\0' && strchr(word, '.') != NULL) {
        *type_out = VALUE_NUMBER;
        value_put_number(out, number);
        return 9;
    }
    assert_true(size < 32);
    *type_out = VALUE_TEXT;
    out[0] = (uint8_t)(0xa0 | size);
    memcpy(out + 1, word, size);
    return size + 1;
}

/* Appends the list written as "name=value name=value", which must be sorted by name. */
static inline void
put_list(struct buf *out, const char *words)
{
    char copy[1024];
    assert_true(strlen(words) < sizeof copy);
    (void)snprintf(copy, sizeof copy, "%s", words);
    struct attributes_builder builder = attributes_build(out);
    char *rest = copy;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(rest, " ", &rest)) {
        char *equals = strchr(word, '=');
        assert_non_null(equals);
        *equals = '\0';
        enum value_type type;
        uint8_t value[64];
        size_t size = encode_value(equals + 1, &type, value);
        attributes_append(&builder, bytes_text(word), type, bytes_make(value, size));
    }
    assert_true(attributes_valid(attributes_built(&builder)));
}

#endif
