/* run: one seed from birth to the last check. Thread: the run's; a process runs one. */
#ifndef SIMULATION_RUN_H
#define SIMULATION_RUN_H

#include <stdint.h>

#include "shim.h"

/* What a run leaves out. */
struct run_rules {
    struct shim_rules shim;
    unsigned rounds_without; /* Of enum rounds_without. */
};

struct run_options {
    const struct run_rules *rules;
    unsigned members_count; /* 0: from chance. */
    const char *directory;  /* Empty. */
};

/* Returns if nothing was found; else the process has ended (story.h). */
void run_seed(uint64_t seed, const struct run_options *options);

/* All rules but the one of this name (a member of struct shim_rules, or "round_" and one of enum
 * rounds_without) into `rules_out`. False: there is none such. */
int run_rules_without(const char *name, struct run_rules *rules_out);

#endif
