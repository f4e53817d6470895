/* See tools/options.h. Thread: main. */
#include "tools/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"

/* getopt's values for our options begin above every letter. */
enum { KEY_BASE = 256 };

static const struct option_spec *
spec_of(const struct options *options, int found)
{
    for (uint32_t i = 0; i < options->specs_count; i++) {
        const struct option_spec *spec = &options->specs[i];
        if (found == KEY_BASE + spec->key || (spec->letter != 0 && found == spec->letter)) {
            return spec;
        }
    }
    return NULL;
}

static void
complain(const struct options *options, int found, const char *word)
{
    if (found == ':') {
        fprintf(stderr, "%s: option '%s' needs a value.\n", options->program, word);
    } else {
        fprintf(stderr, "%s: there is no option '%s'; --help lists them.\n", options->program,
                word);
    }
}

int
options_next(struct options *options, int argc, char **argv)
{
    QO_PRE(options->specs_count <= OPTIONS_SPECS_MAX);
    struct option longs[OPTIONS_SPECS_MAX + 1] = {{0}};
    char letters[2 + 2 * OPTIONS_SPECS_MAX + 1] = ":";
    size_t letters_size = 1;
    for (uint32_t i = 0; i < options->specs_count; i++) {
        const struct option_spec *spec = &options->specs[i];
        longs[i] = (struct option){.name = spec->name,
                                   .has_arg = spec->argument != NULL ? 1 : 0,
                                   .val = KEY_BASE + spec->key};
        if (spec->letter != 0) {
            letters[letters_size++] = spec->letter;
            if (spec->argument != NULL) {
                letters[letters_size++] = ':';
            }
        }
    }
    letters[letters_size] = '\0';
    opterr = 0;
    int found = getopt_long(argc, argv, letters, longs, NULL);
    if (found == -1) {
        options->rest = optind;
        return OPTIONS_END;
    }
    const struct option_spec *spec = spec_of(options, found);
    if (spec == NULL) {
        /* A cluster of letters does not move optind: then name the letter. */
        char letter[3] = {'-', (char)optopt, '\0'};
        bool is_letter = optopt > 0 && optopt < KEY_BASE;
        complain(options, found, is_letter ? letter : argv[optind - 1]);
        return OPTIONS_WRONG;
    }
    options->value = spec->argument != NULL ? optarg : NULL;
    return spec->key;
}

void
options_help(FILE *out, const struct option_spec *specs, uint32_t specs_count,
             bool (*shows)(int key, const void *context), const void *context)
{
    for (uint32_t i = 0; i < specs_count; i++) {
        const struct option_spec *spec = &specs[i];
        if (shows != NULL && !shows(spec->key, context)) {
            continue;
        }
        char left[64];
        char letter[4] = "   ";
        if (spec->letter != 0) {
            letter[0] = '-';
            letter[1] = spec->letter;
            letter[2] = ',';
        }
        (void)snprintf(left, sizeof left, "  %s --%s%s%s", letter, spec->name,
                       spec->argument != NULL ? " " : "",
                       spec->argument != NULL ? spec->argument : "");
        const char *line = spec->help;
        while (line != NULL) {
            const char *end = strchr(line, '\n');
            int size = end != NULL ? (int)(end - line) : (int)strlen(line);
            fprintf(out, "%-32s %.*s\n", left, size, line);
            left[0] = '\0';
            line = end != NULL ? end + 1 : NULL;
        }
    }
}

/* Digits only: strtoull alone takes signs and spaces. */
static bool
natural_of(const char *text, uint64_t *value_out, const char **end_out)
{
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    *value_out = value;
    *end_out = end;
    return true;
}

bool
parse_natural(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value_out)
{
    const char *end = text;
    uint64_t value = 0;
    if (natural_of(text, &value, &end) && *end == '\0' && value >= min && value <= max) {
        *value_out = value;
        return true;
    }
    fprintf(stderr, "%s takes a whole number from %llu to %llu, not '%s'.\n", what,
            (unsigned long long)min, (unsigned long long)max, text);
    return false;
}

bool
parse_duration_ms(const char *what, const char *text, uint64_t max_ms, uint64_t *ms_out)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    const char *end = text;
    uint64_t value = 0;
    if (natural_of(text, &value, &end)) {
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            if (strcmp(end, units[i].unit) == 0 && value <= max_ms / units[i].ms) {
                *ms_out = value * units[i].ms;
                return true;
            }
        }
    }
    fprintf(stderr, "%s takes a duration such as 500ms, 10s or 2m, at most %llu s, not '%s'.\n",
            what, (unsigned long long)(max_ms / 1000), text);
    return false;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms"); timegm() is no POSIX. */
static int64_t
days_of_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2 ? 1 : 0;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static bool
digits_at(const char *text, size_t count, int64_t min, int64_t max, int64_t *value_out)
{
    int64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (text[i] - '0');
    }
    *value_out = value;
    return value >= min && value <= max;
}

bool
time_of_text(const char *text, size_t size, int64_t *us_out)
{
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;
    if (size < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
        text[16] != ':' || text[size - 1] != 'Z' || !digits_at(text, 4, 1, 9999, &year) ||
        !digits_at(text + 5, 2, 1, 12, &month) || !digits_at(text + 8, 2, 1, 31, &day) ||
        !digits_at(text + 11, 2, 0, 23, &hour) || !digits_at(text + 14, 2, 0, 59, &minute) ||
        !digits_at(text + 17, 2, 0, 59, &second)) {
        return false;
    }
    int64_t us = (days_of_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) *
                 INT64_C(1000000);
    if (size > 20) {
        int64_t scale = 100000;
        if (text[19] != '.' || size == 21 || size > 27) {
            return false;
        }
        for (size_t i = 20; i + 1 < size; i++, scale /= 10) {
            int64_t digit = 0;
            if (!digits_at(text + i, 1, 0, 9, &digit)) {
                return false;
            }
            us += digit * scale;
        }
    }
    *us_out = us;
    return true;
}

bool
parse_time_us(const char *what, const char *text, int64_t *us_out)
{
    const char *end = text;
    uint64_t value = 0;
    if (natural_of(text, &value, &end) && *end == '\0' && value <= INT64_MAX) {
        *us_out = (int64_t)value;
        return true;
    }
    if (time_of_text(text, strlen(text), us_out)) {
        return true;
    }
    fprintf(stderr,
            "%s takes a time such as 2017-10-02T10:56:00Z, or microseconds since 1970, not '%s'.\n",
            what, text);
    return false;
}

void
time_to_text(int64_t us, char out[TIME_TEXT_SIZE])
{
    int64_t seconds = us / 1000000;
    int64_t fraction = us % 1000000;
    if (us < 0 || seconds >= INT64_C(253402300800)) { /* Before 1970 or after 9999. */
        (void)snprintf(out, TIME_TEXT_SIZE, "%lld", (long long)us);
        return;
    }
    int64_t left = seconds % 86400;
    /* The way back of days_of_date(). */
    int64_t days = seconds / 86400 + 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    (void)snprintf(out, TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)year,
                   (int)month, (int)(day_of_year - (153 * shifted + 2) / 5 + 1), (int)(left / 3600),
                   (int)(left / 60 % 60), (int)(left % 60), (int)fraction);
}
