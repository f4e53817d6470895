/* Rules about a definition's version: the log decides them. Thread: state. */
#include "state.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/assert.h"

/* Fills `sentence` and returns false if the machine may not become the next definition. */
static bool
version_allowed(const struct apply *apply, const struct machine *machine, char *sentence,
                size_t sentence_size)
{
    const struct definition *latest =
        registry_find(apply->registry, REGISTRY_STATE, machine_name(machine), 0);
    uint32_t version = machine_version(machine);
    uint32_t next = latest == NULL ? 1 : machine_version(latest->machine) + 1;
    if (version != next) {
        (void)snprintf(
            sentence, sentence_size,
            latest == NULL   ? "The first version of a machine is 1: write `version: %" PRIu32 "`."
            : version < next ? "This version exists with other content: a change is a new version, "
                               "write `version: %" PRIu32 "`."
                             : "Versions follow one another: write `version: %" PRIu32 "`.",
            next);
        return false;
    }
    if (!registry_fits(apply->registry, machine)) {
        bool full = registry_count(apply->registry, REGISTRY_STATE) >= QO_DEFINITIONS_MAX;
        (void)snprintf(sentence, sentence_size,
                       full ? "The cluster holds %u definitions, and no more fit."
                            : "The versions of this machine name too many states.",
                       QO_DEFINITIONS_MAX);
        return false;
    }
    return true;
}

static void
definition_refused(struct apply *apply, const struct machine *machine, const char *sentence,
                   struct outcome *outcome)
{
    struct bytes why = arena_copy(apply->results, bytes_make(sentence, strlen(sentence) + 1));
    outcome->error = QO_INVALID_MACHINE;
    outcome->line = machine_version_line(machine);
    outcome->column = machine_version_column(machine);
    outcome->why_machine = (const char *)why.data;
}

void
definition_execute(struct apply *apply, uint32_t number, const struct prepared_command *prepared,
                   struct command_result *result)
{
    const struct command *command = &prepared->command;
    struct outcome *outcome = arena_zalloc(apply->results, sizeof *outcome);
    result->outcomes = outcome;
    result->outcomes_count = 1;

    struct machine *machine = machine_open(command->compiled);
    if (machine == NULL) {
        qo_fatal(FATAL_CORRUPT, "a definition in the log does not open");
    }
    const struct definition *same = registry_find(apply->registry, REGISTRY_STATE,
                                                  machine_name(machine), machine_version(machine));
    char sentence[QO_ERROR_MESSAGE_MAX + 1];
    if (same != NULL && strcmp(machine_checksum(same->machine), machine_checksum(machine)) == 0) {
        outcome->definition = same;
        trail_add(apply, number, 0, TRAIL_DEFINED_BEFORE, same->number);
    } else if (!version_allowed(apply, machine, sentence, sizeof sentence)) {
        definition_refused(apply, machine, sentence, outcome);
        result->failed = true;
        trail_refusal(apply, number, 0, outcome);
    } else {
        outcome->definition =
            registry_add(apply->registry, command->compiled, command->source, apply->applied.time);
        outcome->changed = true;
        store_put_definition(apply->store, outcome->definition);
        trail_add(apply, number, 0, TRAIL_DEFINED, outcome->definition->number);
    }
    machine_close(machine);
}
