/* See tools/table.h. Thread: any. */
#include "tools/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "tools/options.h"

/* A value as text; texts of any length come whole. The caller's, by free(): jansson makes it. */
static char *
cell_of(json_t *row, const struct table_column *column)
{
    json_t *value = json_object_get(row, column->key);
    char time[TIME_TEXT_SIZE];
    const char *text = NULL;
    if (value == NULL || json_is_null(value)) {
        text = "-";
    } else if (column->kind == TABLE_TIME && json_is_integer(value)) {
        time_to_text(json_integer_value(value), time);
        text = json_integer_value(value) == 0 ? "-" : time;
    } else if (json_is_string(value)) {
        text = json_string_value(value);
    }
    char *cell = text != NULL
                     ? strdup(text)
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    QO_ASSERT(cell != NULL);
    return cell;
}

/* Characters, not bytes: what follows the first byte of one in UTF-8 takes no place. */
static size_t
width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0u) != 0x80u ? 1 : 0;
    }
    return width;
}

static void
put_cell(FILE *out, const char *text, size_t width, bool last)
{
    fputs(text, out);
    for (size_t i = width_of(text); !last && i < width + 2; i++) {
        fputc(' ', out);
    }
}

void
table_print(FILE *out, json_t *rows, const struct table_column *columns, uint32_t count)
{
    QO_PRE(count <= TABLE_COLUMNS_MAX);
    size_t widths[TABLE_COLUMNS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        widths[i] = width_of(columns[i].title);
        for (size_t row = 0; row < json_array_size(rows); row++) {
            char *cell = cell_of(json_array_get(rows, row), &columns[i]);
            size_t width = width_of(cell);
            widths[i] = width > widths[i] ? width : widths[i];
            free(cell);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        put_cell(out, columns[i].title, widths[i], i + 1 == count);
    }
    fputc('\n', out);
    for (size_t row = 0; row < json_array_size(rows); row++) {
        for (uint32_t i = 0; i < count; i++) {
            char *cell = cell_of(json_array_get(rows, row), &columns[i]);
            put_cell(out, cell, widths[i], i + 1 == count);
            free(cell);
        }
        fputc('\n', out);
    }
}

void
table_row(FILE *out, json_t *row, const struct table_column *columns, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char *cell = cell_of(row, &columns[i]);
        fprintf(out, "%s%s", i == 0 ? "" : "  ", cell);
        free(cell);
    }
    fputc('\n', out);
}

void
table_object(FILE *out, json_t *object, const struct table_column *columns, uint32_t count)
{
    size_t width = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t title = width_of(columns[i].title);
        width = title > width ? title : width;
    }
    for (uint32_t i = 0; i < count; i++) {
        char *cell = cell_of(object, &columns[i]);
        put_cell(out, columns[i].title, width, false);
        fprintf(out, "%s\n", cell);
        free(cell);
    }
}
