/* See ctl.h. Thread: main. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "tools/json.h"

bool
ctl_pair(const char *what, const char *text, size_t *name_size_out, json_t **value_out)
{
    const char *equals = strchr(text, '=');
    char before = (char)(equals != NULL && equals > text ? equals[-1] : '\0');
    bool typed = before == ':' || before == '@';
    size_t name_size = equals != NULL ? (size_t)(equals - text) - (typed ? 1 : 0) : 0;
    if (name_size == 0 || name_size > QO_NAME_MAX) {
        fprintf(stderr,
                "%s takes NAME=VALUE (a text), NAME:=JSON or NAME@=TIME, with a name of 1 to %u "
                "bytes, not '%s'.\n",
                what, QO_NAME_MAX, text);
        return false;
    }
    const char *value = equals + 1;
    int64_t at_us = 0;
    json_error_t error = {.position = 0};
    *name_size_out = name_size;
    if (before == ':') {
        *value_out = json_loads(value, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    } else if (before == '@') {
        *value_out = parse_time_us(what, value, &at_us) ? json_integer(at_us) : NULL;
        return *value_out != NULL;
    } else {
        *value_out = json_string(value);
    }
    if (*value_out == NULL) {
        fprintf(stderr, "%s: the value of '%.*s' is not %s.\n", what, (int)name_size, text,
                before == ':' ? "JSON; a text in JSON stands in double quotes" : "UTF-8");
    }
    return *value_out != NULL;
}

bool
ctl_attribute_add(struct qo_attributes *attributes, const char *name, json_t *value)
{
    struct buf raw = {0};
    bool well = false;
    switch (json_typeof(value)) {
    case JSON_STRING:
        return qo_attributes_add_text(attributes, name, json_string_value(value));
    case JSON_INTEGER:
        return qo_attributes_add_integer(attributes, name, json_integer_value(value));
    case JSON_REAL:
        return qo_attributes_add_number(attributes, name, json_real_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return qo_attributes_add_boolean(attributes, name, json_is_true(value));
    case JSON_NULL:
        return qo_attributes_add_nil(attributes, name);
    case JSON_OBJECT:
    case JSON_ARRAY:
        well = json_to_messagepack(value, &raw) &&
               qo_attributes_add_raw(attributes, name, raw.data, raw.size);
        buf_free(&raw);
        return well;
    }
    return false;
}

bool
ctl_attributes(const struct ctl *ctl, struct qo_attributes **attributes_out)
{
    *attributes_out = NULL;
    if (ctl->attributes_count == 0) {
        return true;
    }
    struct qo_attributes *attributes = qo_attributes_new();
    for (uint32_t i = 0; i < ctl->attributes_count; i++) {
        const char *text = ctl->attributes[i];
        char name[QO_NAME_MAX + 1];
        size_t name_size = 0;
        json_t *value = NULL;
        bool well = ctl_pair("-a", text, &name_size, &value);
        if (well) {
            (void)snprintf(name, sizeof name, "%.*s", (int)name_size, text);
            well = ctl_attribute_add(attributes, name, value);
            json_decref(value);
            if (!well) {
                fprintf(stderr,
                        "-a: the value of '%s' is nested deeper than %u levels or longer than 16 "
                        "KiB.\n",
                        name, QO_NESTING_MAX);
            }
        }
        if (!well) {
            qo_attributes_free(attributes);
            return false;
        }
    }
    *attributes_out = attributes;
    return true;
}

bool
ctl_read(const char *path, size_t size_max, struct buf *out)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "quorderctl: '%s' cannot be read: %s.\n", path, strerror(errno));
        return false;
    }
    size_t got = 0;
    do {
        size_t room = 64 * (size_t)1024;
        got = fread(buf_reserve(out, room), 1, room, file);
        out->size += got;
    } while (got > 0 && out->size <= size_max);
    int error = ferror(file) != 0 ? (errno != 0 ? errno : EIO) : 0;
    if (file != stdin) {
        fclose(file);
    }
    if (error != 0) {
        fprintf(stderr, "quorderctl: '%s' cannot be read: %s.\n", path, strerror(error));
    } else if (out->size > size_max) {
        fprintf(stderr, "quorderctl: '%s' is longer than %zu bytes.\n", path, size_max);
    }
    return error == 0 && out->size <= size_max;
}
