/*
 * table: rows of JSON objects in columns for people.
 *
 * Thread: any.
 */
#ifndef TOOLS_TABLE_H
#define TOOLS_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum table_kind {
    TABLE_PLAIN, /* Texts as they are, other values as JSON, null as "-". */
    TABLE_TIME,  /* Microseconds as a time; 0 as "-". */
};

struct table_column {
    const char *title, *key;
    enum table_kind kind;
};
enum { TABLE_COLUMNS_MAX = 16 };

/* A header and one line for each object of `rows`, each column as wide as it must be. */
void table_print(FILE *out, json_t *rows, const struct table_column *columns, uint32_t count);

/* One row for itself, two spaces between cells, as for a stream whose widths are not known. */
void table_row(FILE *out, json_t *row, const struct table_column *columns, uint32_t count);

/* `key  value`, one line each, for one object. */
void table_object(FILE *out, json_t *object, const struct table_column *columns, uint32_t count);

#endif
