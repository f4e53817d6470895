/*
 * story: what happened in a run, and how it ended.
 *
 * A run is a process of its own. Its story stands in memory shared with the process that started
 * it, so that it can be told whatever became of the run. Lines beyond STORY_LINES push out the
 * oldest. Thread: the run's.
 */
#ifndef SIMULATION_STORY_H
#define SIMULATION_STORY_H

#include <stdint.h>

enum { STORY_LINES = 4096, STORY_LINE_BYTES = 168, STORY_FINDING_BYTES = 1024 };

/* What a run did, so that a campaign can tell that it met what it is there for. */
struct story_counts {
    uint64_t simulated_us, events, messages, lost_messages, acknowledged, refused, unknown, reads;
    uint64_t answers; /* Requests of clients that were answered. */
    uint64_t fed, fired, replayed, terms, crashes, torn, snapshots, storage_failures, rebuilds;
    uint64_t flips, lost, no_room, hints, stuck;
};

struct story {
    char finding[STORY_FINDING_BYTES]; /* Empty: nothing was found. */
    uint64_t lines_count;              /* All that were told. */
    char lines[STORY_LINES][STORY_LINE_BYTES];
    struct story_counts counts;
    uint64_t fingerprint; /* Of all events in their order: equal in two runs of one seed. */
};

/* The one of this process; shared with the children that it forks. */
extern struct story *story;
void story_open(void);

/* One line, stamped with the simulated time and who it is about (0: the world). */
void tell(unsigned member, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Something is wrong: notes what, and ends the run. Only the first finding counts. */
_Noreturn void finding(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the run with a finding unless `cond` holds. */
#define EXPECT(cond, ...) ((cond) ? (void)0 : finding(__VA_ARGS__))

#endif
