/* run: one seed from birth to the last check. Thread: the run's; a process runs one. */
#ifndef SIMULATION_RUN_H
#define SIMULATION_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "shim.h"

/* Rules of ours that can be left out, to see what is found then. */
struct world_rules {
    struct shim_rules shim;
    unsigned log_without;    /* enum log_without */
    unsigned rounds_without; /* enum rounds_without */
};

struct run_options {
    const struct world_rules *rules;
    unsigned members_count; /* 0: from chance. */
};

/* Returns if nothing was found; else the process has ended (story.h). */
void run_seed(uint64_t seed, const struct run_options *options);

/* All rules but the ones of these names, with commas between, into `rules_out`: a member of struct
 * shim_rules, or one of enum log_without or enum rounds_without as run.c names them. False: there
 * is none such. */
bool run_rules_without(const char *names, struct world_rules *rules_out);

#endif
