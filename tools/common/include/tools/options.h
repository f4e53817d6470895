/*
 * options: command lines of the tools, from one table each.
 *
 * A table of `struct option_spec` gives the parsing (getopt_long: options may stand anywhere on the
 * line, `--` ends them), the list in --help, and the shell completion, so that the three cannot
 * differ. Values are read by the functions below, which print one sentence when a value is wrong:
 * what was given, and what would be right.
 *
 * Thread: main. getopt keeps its place in globals: one parser at a time.
 */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What every tool exits with; quorderctl has more (tools/ctl/ctl.h). */
enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3, EXIT_NO_LEADER = 5 };

struct option_spec {
    int key;              /* What options_next() returns; from 1. */
    char letter;          /* 0: none. */
    const char *name;     /* Without the dashes. */
    const char *argument; /* The word for it in the help; NULL: takes none. */
    const char *help;     /* One line, or several divided by '\n'. */
};

enum { OPTIONS_SPECS_MAX = 64, OPTIONS_END = 0, OPTIONS_WRONG = -1 };

struct options {
    const char *program; /* Begins each complaint. */
    const struct option_spec *specs;
    uint32_t specs_count;
    const char *value; /* The argument of the last option; NULL if it takes none. */
    int rest;          /* After OPTIONS_END: index in argv of the first word that is no option. */
};

/* The key of the next option, OPTIONS_END, or OPTIONS_WRONG after printing a sentence. Moves the
 * words of argv that are no options to its end. */
int options_next(struct options *options, int argc, char **argv);

/* The options' part of a help text; only those for which `shows` is true (NULL: all). */
void options_help(FILE *out, const struct option_spec *specs, uint32_t specs_count,
                  bool (*shows)(int key, const void *context), const void *context);

/* Values. False after printing a sentence that begins with `what` ("--connections"). */
bool parse_natural(const char *what, const char *text, uint64_t min, uint64_t max,
                   uint64_t *value_out);
/* A whole number with ms, s, m, h or d; a bare number is seconds. In milliseconds. */
bool parse_duration_ms(const char *what, const char *text, uint64_t max_ms, uint64_t *ms_out);
/* A time as 2017-10-02T10:56:00Z (seconds may have a fraction), or as microseconds since 1970. */
bool parse_time_us(const char *what, const char *text, int64_t *us_out);

/* The same, quietly: false if `text` of `size` bytes is not `YYYY-MM-DDThh:mm:ss[.fraction]Z`. */
bool time_of_text(const char *text, size_t size, int64_t *us_out);
/* 2017-10-02T10:56:00.000000Z and a NUL. */
enum { TIME_TEXT_SIZE = 64 };
void time_to_text(int64_t us, char out[TIME_TEXT_SIZE]);

#endif
