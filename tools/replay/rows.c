/* See rows.h. Thread: main. */
#include "rows.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "tools/options.h"

enum { LINE_SIZE = 1024, FIELDS = 8 };

static const char header[] =
    "order_id,customer_id,status,purchased_at,approved_at,carrier_at,delivered_at,estimated_at";

const char *
row_state(enum row_status status)
{
    static const char *const states[] = {
#define X(name, state, event) state,
        ROW_STATUS_MAP(X)
#undef X
    };
    return states[status];
}

const char *
row_event(enum row_status status)
{
    static const char *const events[] = {
#define X(name, state, event) event,
        ROW_STATUS_MAP(X)
#undef X
    };
    return events[status];
}

const char *
row_time_name(enum row_time time)
{
    static const char *const names[] = {"purchased_at", "approved_at", "carrier_at", "delivered_at",
                                        "estimated_at"};
    return names[time];
}

static struct row *
add(struct rows *rows, uint32_t *capacity)
{
    if (rows->count == *capacity) {
        *capacity = *capacity == 0 ? 4096 : *capacity * 2;
        rows->items = mem_realloc(rows->items, *capacity * sizeof *rows->items);
    }
    struct row *row = &rows->items[rows->count++];
    memset(row, 0, sizeof *row);
    for (int i = 0; i < ROW_TIMES; i++) {
        row->times_us[i] = ROW_NEVER;
    }
    return row;
}

static bool
take_status(struct row *row, struct bytes text)
{
    for (int status = STATUS_CREATED; status <= STATUS_UNAVAILABLE; status++) {
        if (bytes_equal(text, bytes_text(row_state((enum row_status)status)))) {
            row->status = (enum row_status)status;
            return true;
        }
    }
    return false;
}

/* Why the line is no row; NULL if it is one. */
static const char *
parse(struct row *row, char *line)
{
    struct bytes fields[FIELDS];
    uint32_t count = 0;
    for (char *at = line; at != NULL && count < FIELDS; count++) {
        char *comma = strchr(at, ',');
        fields[count] = bytes_make(at, comma != NULL ? (size_t)(comma - at) : strlen(at));
        at = comma != NULL ? comma + 1 : NULL;
        if (count == FIELDS - 1 && at != NULL) {
            return "it has more than eight fields";
        }
    }
    if (count > 0) {
        (void)snprintf(row->order_id, ROW_ID_SIZE, "%.*s", BYTES_FORMAT(fields[0]));
    }
    if (count < FIELDS) {
        return "it has fewer than eight fields";
    }
    if (fields[0].size == 0 || fields[0].size >= ROW_ID_SIZE || fields[1].size == 0 ||
        fields[1].size >= ROW_ID_SIZE) {
        return "order_id or customer_id is empty or longer than 95 bytes";
    }
    (void)snprintf(row->customer_id, ROW_ID_SIZE, "%.*s", BYTES_FORMAT(fields[1]));
    if (!take_status(row, fields[2])) {
        return "its status is none that is known";
    }
    for (int i = 0; i < ROW_TIMES; i++) {
        struct bytes text = fields[3 + i];
        if (text.size > 0 && !time_of_text((const char *)text.data, text.size, &row->times_us[i])) {
            return "a time is not as 2017-10-02T10:56:00Z";
        }
    }
    return row->times_us[TIME_PURCHASED] == ROW_NEVER ? "purchased_at is empty" : NULL;
}

/* Cuts the line's end off. False: the line did not fit. */
static bool
trim(char *line)
{
    size_t size = strlen(line);
    bool whole = size + 1 < LINE_SIZE;
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r')) {
        line[--size] = '\0';
        whole = true;
    }
    return whole;
}

bool
rows_read(struct rows *rows_out, const char *path)
{
    char line[LINE_SIZE];
    uint32_t capacity = 0;
    uint32_t number = 1;
    FILE *file = fopen(path, "re");
    *rows_out = (struct rows){.items = NULL};
    if (file == NULL) {
        fprintf(stderr, "quorder-replay: '%s' cannot be read: %s.\n", path, strerror(errno));
        return false;
    }
    bool well = fgets(line, sizeof line, file) != NULL && trim(line) && strcmp(line, header) == 0;
    while (well && rows_out->count < ROWS_MAX && fgets(line, sizeof line, file) != NULL) {
        number++;
        well = trim(line);
        if (well && line[0] != '\0') {
            struct row *row = add(rows_out, &capacity);
            row->line = number;
            row->problem = parse(row, line);
        }
    }
    if (!well || ferror(file) != 0) {
        fprintf(stderr, "quorder-replay: '%s', line %u: not a CSV with the header\n  %s\n", path,
                number, header);
        well = false;
    }
    fclose(file);
    if (!well) {
        rows_free(rows_out);
    }
    return well;
}

/* -- Made rows ------------------------------------------------------------------------------- */

/* How often the real data (2,000 rows) shows which status with times up to which. */
static const struct {
    uint32_t weight;
    enum row_status status;
    enum row_time last;
} mix[] = {
    {1946, STATUS_DELIVERED, TIME_DELIVERED}, {25, STATUS_SHIPPED, TIME_CARRIER},
    {8, STATUS_PROCESSING, TIME_APPROVED},    {7, STATUS_UNAVAILABLE, TIME_APPROVED},
    {4, STATUS_CANCELED, TIME_APPROVED},      {3, STATUS_INVOICED, TIME_APPROVED},
    {3, STATUS_CANCELED, TIME_PURCHASED},     {2, STATUS_CANCELED, TIME_CARRIER},
    {1, STATUS_INVOICED, TIME_DELIVERED},     {1, STATUS_SHIPPED, TIME_DELIVERED},
};
enum { MIX_TOTAL = 2000, MINUTES_DISORDER_OF = MIX_TOTAL };
#define MINUTE_US INT64_C(60000000)

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
static uint64_t
draw(uint64_t *state, uint64_t bound)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

/* Minutes between two steps: mostly short, seldom long (the product of two even draws). */
static int64_t
gap_us(uint64_t *state, uint64_t minutes_max)
{
    uint64_t first = draw(state, minutes_max) + 1;
    return (int64_t)(draw(state, first) + 1) * MINUTE_US;
}

static void
make_times(struct row *row, enum row_time last, uint64_t *state)
{
    static const uint64_t gaps_max[] = {0, 4000, 12000, 40000};
    QO_PRE(last <= TIME_DELIVERED);
    /* The real data's days: two years from 2016-10-04. */
    int64_t at = INT64_C(1475539200000000) + (int64_t)draw(state, UINT64_C(716) * 1440) * MINUTE_US;
    row->times_us[TIME_PURCHASED] = at;
    row->times_us[TIME_ESTIMATED] = at + (int64_t)(14 + draw(state, 20)) * 1440 * MINUTE_US;
    for (int time = TIME_APPROVED; time <= (int)last; time++) {
        at += gap_us(state, gaps_max[time]);
        row->times_us[time] = at;
    }
    uint64_t disorder = draw(state, MINUTES_DISORDER_OF);
    if (last == TIME_DELIVERED && disorder < 25) { /* Handed over before it was approved. */
        row->times_us[TIME_CARRIER] =
            row->times_us[TIME_APPROVED] -
            (row->times_us[TIME_APPROVED] - row->times_us[TIME_PURCHASED]) / 2 - MINUTE_US / 2;
    } else if (last == TIME_DELIVERED && disorder < 30) { /* Before it was bought. */
        row->times_us[TIME_CARRIER] = row->times_us[TIME_PURCHASED] - gap_us(state, 5000);
    } else if (last == TIME_DELIVERED && disorder < 35) { /* Delivered before it was handed over. */
        int64_t swapped = row->times_us[TIME_CARRIER];
        row->times_us[TIME_CARRIER] = row->times_us[TIME_DELIVERED];
        row->times_us[TIME_DELIVERED] = swapped;
    }
}

void
rows_make(struct rows *rows_out, uint32_t count, uint64_t seed)
{
    uint64_t state = seed;
    uint32_t capacity = 0;
    *rows_out = (struct rows){.items = NULL};
    for (uint32_t i = 0; i < count; i++) {
        struct row *row = add(rows_out, &capacity);
        uint64_t drawn = draw(&state, MIX_TOTAL);
        uint32_t kind = 0;
        while (drawn >= mix[kind].weight) {
            drawn -= mix[kind].weight;
            kind++;
        }
        row->line = i + 2;
        row->status = mix[kind].status;
        (void)snprintf(row->order_id, ROW_ID_SIZE, "made-%016llx-%08u", (unsigned long long)seed,
                       i);
        (void)snprintf(row->customer_id, ROW_ID_SIZE, "customer-%08llx",
                       (unsigned long long)draw(&state, UINT64_C(1) << 32));
        make_times(row, mix[kind].last, &state);
    }
}

void
rows_free(struct rows *rows)
{
    mem_free(rows->items);
    *rows = (struct rows){.items = NULL};
}
