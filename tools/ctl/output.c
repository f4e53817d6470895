/* See ctl.h. Thread: main; run_feed_tail() prints on the client's thread while main waits. */
#include "ctl.h"

#define FLAGS (JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

void
ctl_print_json(const struct ctl *ctl, json_t *value)
{
    (void)json_dumpf(value, stdout,
                     FLAGS | (ctl->format == FORMAT_JSON ? JSON_INDENT(2) : JSON_COMPACT));
    fputc('\n', stdout);
}

void
ctl_print_rows(const struct ctl *ctl, json_t *rows, const struct table_column *columns,
               uint32_t count)
{
    switch (ctl->format) {
    case FORMAT_TABLE:
        table_print(stdout, rows, columns, count);
        break;
    case FORMAT_JSON:
        ctl_print_json(ctl, rows);
        break;
    case FORMAT_JSONL:
        for (size_t i = 0; i < json_array_size(rows); i++) {
            ctl_print_json(ctl, json_array_get(rows, i));
        }
        break;
    }
}

void
ctl_print_object(const struct ctl *ctl, json_t *object, const struct table_column *columns,
                 uint32_t count)
{
    if (ctl->format == FORMAT_TABLE) {
        table_object(stdout, object, columns, count);
    } else {
        ctl_print_json(ctl, object);
    }
}
