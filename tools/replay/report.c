/* See report.h. Thread: main. */
#include "report.h"

#include <jansson.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "tools/json.h"
#include "tools/options.h"

/* How a row ended. */
#define ENDING_MAP(X)                                                                              \
    X(ENDING_SMOOTH, "smooth")     /* In its status, nothing refused. */                           \
    X(ENDING_REFUSED, "refused")   /* Something was refused; it may have ended in its status. */   \
    X(ENDING_BACKWARD, "backward") /* Its times say more than its status, and no event leads */    \
                                   /* back. */                                                     \
    X(ENDING_UNREADABLE, "unreadable") /* The row could not be replayed. */                        \
    X(ENDING_OPEN, "open")             /* Something failed or is unknown: not the data's doing. */ \
    X(ENDING_WRONG, "wrong")           /* Answers contradict each other. */

enum ending {
#define X(name, text) name,
    ENDING_MAP(X)
#undef X
};
enum {
#define X(name, text) +1
    ENDINGS = 0 ENDING_MAP(X)
#undef X
};

static const char *
ending_name(enum ending ending)
{
    static const char *const names[] = {
#define X(name, text) text,
        ENDING_MAP(X)
#undef X
    };
    return names[ending];
}

struct sums {
    uint32_t endings[ENDINGS];
    uint32_t in_status, existed;
    uint32_t steps[STEP_UNKNOWN + 1]; /* By outcome. */
    uint32_t replayed;
};

/* The steps of each row, found once: steps are in order of time, not of row. */
struct index {
    uint32_t (*of_row)[STEPS_OF_A_ROW_MAX]; /* Places in steps, in order of time. */
    uint8_t *counts;
};

static struct index
index_make(const struct report *report)
{
    struct index index = {
        .of_row = mem_zalloc((report->rows->count + 1) * sizeof *index.of_row),
        .counts = mem_zalloc(report->rows->count + 1),
    };
    for (uint32_t i = 0; i < report->steps->count; i++) {
        uint32_t row = report->steps->items[i].row;
        QO_ASSERT(index.counts[row] < STEPS_OF_A_ROW_MAX);
        index.of_row[row][index.counts[row]++] = i;
    }
    return index;
}

static void
index_free(struct index *index)
{
    mem_free(index->of_row);
    mem_free(index->counts);
}

static enum ending
ending_of(const struct report *report, const struct index *index, uint32_t number)
{
    const struct row *row = &report->rows->items[number];
    const struct order_state *state = &report->states[number];
    bool refused = false;
    bool open = !state->looked;
    if (row->problem != NULL) {
        return ENDING_UNREADABLE;
    }
    for (uint8_t i = 0; i < index->counts[number]; i++) {
        const struct step *step = &report->steps->items[index->of_row[number][i]];
        refused = refused || step->outcome == STEP_REFUSED;
        open = open || step->outcome == STEP_FAILED || step->outcome == STEP_UNKNOWN ||
               step->outcome == STEP_OPEN;
    }
    if (state->wrong) {
        return ENDING_WRONG;
    }
    if (open) {
        return ENDING_OPEN;
    }
    if (refused) {
        return ENDING_REFUSED;
    }
    return strcmp(state->final_state, row_state(row->status)) == 0 ? ENDING_SMOOTH
                                                                   : ENDING_BACKWARD;
}

static struct sums
sums_of(const struct report *report, const struct index *index)
{
    struct sums sums;
    memset(&sums, 0, sizeof sums);
    for (uint32_t i = 0; i < report->rows->count; i++) {
        const struct order_state *state = &report->states[i];
        const char *wanted = row_state(report->rows->items[i].status);
        sums.endings[ending_of(report, index, i)]++;
        sums.in_status += state->looked && strcmp(state->final_state, wanted) == 0 ? 1 : 0;
        sums.existed += state->existed ? 1 : 0;
    }
    for (uint32_t i = 0; i < report->steps->count; i++) {
        sums.steps[report->steps->items[i].outcome]++;
        sums.replayed += report->steps->items[i].replayed ? 1 : 0;
    }
    return sums;
}

bool
report_well(const struct report *report)
{
    struct index index = index_make(report);
    struct sums sums = sums_of(report, &index);
    index_free(&index);
    return sums.endings[ENDING_UNREADABLE] + sums.endings[ENDING_OPEN] +
               sums.endings[ENDING_WRONG] ==
           0;
}

/* The first two times of a row that stand in the wrong order; false if none do. */
static bool
disorder_of(const struct row *row, enum row_time *earlier_out, enum row_time *later_out)
{
    for (int later = TIME_PURCHASED; later <= TIME_DELIVERED; later++) {
        for (int earlier = TIME_PURCHASED; earlier < later; earlier++) {
            if (row->times_us[earlier] != ROW_NEVER && row->times_us[later] != ROW_NEVER &&
                row->times_us[later] < row->times_us[earlier]) {
                *earlier_out = (enum row_time)later;
                *later_out = (enum row_time)earlier;
                return true;
            }
        }
    }
    return false;
}

/* What in the row itself explains a refusal; "" if nothing does. */
static void
explain(const struct row *row, const struct step *step, char *out, size_t size)
{
    enum row_time earlier = TIME_PURCHASED;
    enum row_time later = TIME_PURCHASED;
    out[0] = '\0';
    if (disorder_of(row, &earlier, &later)) {
        (void)snprintf(out, size, "in the row %s comes before %s", row_time_name(earlier),
                       row_time_name(later));
    } else if (step->time == NULL) {
        (void)snprintf(out, size, "the row's times do not explain its status %s",
                       row_state(row->status));
    }
}

/* -- Table ----------------------------------------------------------------------------------- */

static void
print_row(FILE *out, const struct report *report, const struct index *index, uint32_t number,
          enum ending ending)
{
    const struct row *row = &report->rows->items[number];
    const struct order_state *state = &report->states[number];
    if (ending == ENDING_UNREADABLE) {
        fprintf(out, "line %u: %s: not replayed: %s\n", row->line, row->order_id, row->problem);
        return;
    }
    const char *ended = !state->looked              ? "(not known)"
                        : state->final_version == 0 ? "(no such order)"
                                                    : state->final_state;
    fprintf(out, "line %u: %s: status %s, ended in %s\n", row->line, row->order_id,
            row_state(row->status), ended);
    for (uint8_t i = 0; i < index->counts[number]; i++) {
        const struct step *step = &report->steps->items[index->of_row[number][i]];
        static const char *const outcomes[] = {"not sent", "acknowledged", "refused", "failed",
                                               "unknown"};
        char time[TIME_TEXT_SIZE];
        char reason[128];
        if (step->outcome == STEP_ACKNOWLEDGED) {
            continue;
        }
        if (step->outcome == STEP_OPEN) {
            fprintf(out, "    %s was not sent\n", step->event);
            continue;
        }
        time_to_text(step->at_us, time);
        explain(row, step, reason, sizeof reason);
        fprintf(out, "    %s of %.16s %s: %s: %s%s%s\n", step->event, time, outcomes[step->outcome],
                qo_code_name(step->code), step->why, reason[0] != '\0' ? " -- " : "", reason);
    }
    if (ending == ENDING_BACKWARD) {
        fprintf(out, "    the row's times say more than its status, and no event leads back\n");
    }
    if (state->why[0] != '\0') {
        fprintf(out, "    ! %s\n", state->why);
    }
}

void
report_table(FILE *out, const struct report *report)
{
    struct index index = index_make(report);
    struct sums sums = sums_of(report, &index);
    for (uint32_t i = 0; i < report->rows->count; i++) {
        enum ending ending = ending_of(report, &index, i);
        if (ending != ENDING_SMOOTH) {
            print_row(out, report, &index, i, ending);
        }
    }
    fprintf(out, "%s: %u orders, %u events by %u workers in %.1f s (%.0f a second)\n",
            report->source, report->rows->count, report->steps->count, report->options->workers,
            report->seconds,
            report->seconds > 0 ? (double)report->steps->count / report->seconds : 0.0);
    fprintf(out,
            "Events: %u acknowledged, %u of them a second time; %u refused, %u failed, %u with "
            "an unknown outcome.\n",
            sums.steps[STEP_ACKNOWLEDGED], sums.replayed, sums.steps[STEP_REFUSED],
            sums.steps[STEP_FAILED], sums.steps[STEP_UNKNOWN]);
    fprintf(out,
            "Orders: %u of %u ended in the status of their row.\n"
            "  %8u  every event was accepted\n"
            "  %8u  an event was refused\n"
            "  %8u  the row's times say more than its status\n"
            "  %8u  not finished\n"
            "  %8u  wrong: not what the answers say\n"
            "  %8u  row unreadable, not replayed\n",
            sums.in_status, report->rows->count, sums.endings[ENDING_SMOOTH],
            sums.endings[ENDING_REFUSED], sums.endings[ENDING_BACKWARD], sums.endings[ENDING_OPEN],
            sums.endings[ENDING_WRONG], sums.endings[ENDING_UNREADABLE]);
    index_free(&index);
}

/* -- JSON ------------------------------------------------------------------------------------ */

static json_t *
json_of_row(const struct report *report, const struct index *index, uint32_t number,
            enum ending ending)
{
    const struct row *row = &report->rows->items[number];
    const struct order_state *state = &report->states[number];
    json_t *object = json_object();
    json_set(object, "line", json_natural(row->line));
    json_set(object, "order_id", json_text(row->order_id));
    json_set(object, "ending", json_text(ending_name(ending)));
    if (ending == ENDING_UNREADABLE) {
        json_set(object, "why", json_text(row->problem));
        return object;
    }
    json_set(object, "status", json_text(row_state(row->status)));
    json_set(object, "state",
             state->final_version > 0 ? json_text(state->final_state) : json_null());
    json_set(object, "version", state->looked ? json_natural(state->final_version) : json_null());
    json_t *refusals = json_array();
    for (uint8_t i = 0; i < index->counts[number]; i++) {
        const struct step *step = &report->steps->items[index->of_row[number][i]];
        char reason[128];
        if (step->outcome == STEP_ACKNOWLEDGED || step->outcome == STEP_OPEN) {
            continue;
        }
        explain(row, step, reason, sizeof reason);
        json_t *refusal = json_object();
        json_set(refusal, "event", json_text(step->event));
        json_set(refusal, "at", json_integer(step->at_us));
        json_set(refusal, "code", json_text(qo_code_name(step->code)));
        json_set(refusal, "applied", step->outcome == STEP_UNKNOWN ? json_null() : json_false());
        json_set(refusal, "why", json_text(step->why));
        json_set(refusal, "explained_by", reason[0] != '\0' ? json_text(reason) : json_null());
        json_add(refusals, refusal);
    }
    json_set(object, "refused", refusals);
    if (state->why[0] != '\0') {
        json_set(object, "why", json_text(state->why));
    }
    return object;
}

void
report_json(FILE *out, const struct report *report)
{
    struct index index = index_make(report);
    struct sums sums = sums_of(report, &index);
    json_t *object = json_object();
    json_t *endings = json_object();
    json_t *rows = json_array();
    for (int ending = 0; ending < ENDINGS; ending++) {
        json_set(endings, ending_name((enum ending)ending), json_natural(sums.endings[ending]));
    }
    for (uint32_t i = 0; i < report->rows->count; i++) {
        enum ending ending = ending_of(report, &index, i);
        if (ending != ENDING_SMOOTH) {
            json_add(rows, json_of_row(report, &index, i, ending));
        }
    }
    json_set(object, "source", json_text(report->source));
    json_set(object, "well", json_boolean(report_well(report)));
    json_set(object, "orders", json_natural(report->rows->count));
    json_set(object, "orders_in_status", json_natural(sums.in_status));
    json_set(object, "orders_by_ending", endings);
    json_set(object, "events", json_natural(report->steps->count));
    json_set(object, "acknowledged", json_natural(sums.steps[STEP_ACKNOWLEDGED]));
    json_set(object, "replayed", json_natural(sums.replayed));
    json_set(object, "refused", json_natural(sums.steps[STEP_REFUSED]));
    json_set(object, "failed", json_natural(sums.steps[STEP_FAILED]));
    json_set(object, "unknown", json_natural(sums.steps[STEP_UNKNOWN]));
    json_set(object, "not_sent", json_natural(sums.steps[STEP_OPEN]));
    json_set(object, "workers", json_natural(report->options->workers));
    json_set(object, "seconds", json_real(report->seconds));
    json_set(object, "rows", rows);
    (void)json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    fputc('\n', out);
    json_decref(object);
    index_free(&index);
}
