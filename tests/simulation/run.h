/* run: one seed from birth to the last check. Thread: the run's; a process runs one. */
#ifndef SIMULATION_RUN_H
#define SIMULATION_RUN_H

#include <stdint.h>

struct shim_rules;

/* Returns if nothing was found; else the process has ended (story.h). `directory` is empty. */
void run_seed(uint64_t seed, const struct shim_rules *rules, const char *directory);

/* All rules but the one of this name (a member of struct shim_rules) into `rules_out`. False: there
 * is none such. */
int run_rules_without(const char *name, struct shim_rules *rules_out);

#endif
