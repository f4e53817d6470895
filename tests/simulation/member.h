/*
 * member: one member of the cluster through all its lives: consensus over a ground, a state over a
 * store, a server (server.h), and clocks that are its own. A disk and a store survive a life.
 *
 * Our code runs inside member_run(). If it ends the node (qo_fatal) only that member's life ends.
 * Memory of a life that ended is not given back. Thread: the run's.
 */
#ifndef SIMULATION_MEMBER_H
#define SIMULATION_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/assert.h"
#include "events.h"

enum { MEMBERS_MAX = 5 };

struct consensus;
struct disk;
struct store;
struct world_rules;

struct members_options {
    unsigned count;
    unsigned voters_count;  /* The first so many; the others only follow. */
    uint64_t log_bytes_max; /* Of consensus. */
    unsigned hoarder;       /* The one whose log has no bound; 0: nobody's. */
    uint32_t in_flight_max; /* Entries that a server proposes before the first is executed. */
    uint32_t queue_max;     /* Entries handed over and not executed, over which there is no room. */
    uint32_t segment_bytes; /* Of a file of the log. */
    uint64_t keep_bytes;    /* Of segments that may go. */
    const struct world_rules *rules; /* run.h. Borrowed for ever. */
};

/* All are born, none is up. */
void members_birth(const struct members_options *options);
const struct members_options *members_options(void);
unsigned members_count(void);
bool member_votes(unsigned id);

/* -- Lives ------------------------------------------------------------------------------------- */

bool member_up(unsigned id);
uint64_t member_life(unsigned id);
void member_start(unsigned id);
/* Ends its life: `why` for the story. What was not durable is gone. Not inside member_run(). */
void member_crash(unsigned id, const char *why);
/* Runs something on it, then the end of a turn of its loop, then all checks. Not nested. */
void member_run(unsigned id, event_fn run, void *context);
/* Inside member_run(): its life may end here, and does so as often as member_set_deaths() says. */
void member_may_die(unsigned id);
/* The same in two steps, for who has something to do between them. */
bool member_is_to_die(unsigned id);
_Noreturn void member_die(const char *why);
void member_set_deaths(uint32_t permille);
/* A failure of its disk was arranged, so it may end itself because of it. */
void member_expect_end(unsigned id);
/* For fatal.c: our code says that the node cannot go on. */
_Noreturn void member_fatal(enum fatal_reason reason, const char *text);
bool member_running(void);

/* A bit of what is at rest flips while it is down (disk_flip()); false: none did. From then on its
 * log may refuse to start, and it is then lost for good. */
bool member_flip(unsigned id);
bool member_flipped(unsigned id);
bool member_lost(unsigned id);

/* It does nothing for so long: as a process that was stopped, or a machine that slept. */
void member_stop(unsigned id, int64_t for_us);
int64_t member_stopped_until_us(unsigned id);

/* -- Clocks ------------------------------------------------------------------------------------ */

int64_t member_monotonic_us(unsigned id);
int64_t member_wall_us(unsigned id);
/* So long on its monotonic clock is so long in truth. */
int64_t member_true_us(unsigned id, int64_t local_us);
void member_jump_wall(unsigned id, int64_t by_us);
void member_set_drift(unsigned id, int32_t ppm);

/* -- Parts ------------------------------------------------------------------------------------- */

struct disk *member_disk(unsigned id);
struct consensus *member_consensus(unsigned id);
struct store *member_store(unsigned id);
/* Its state holds what the snapshot that consensus has begun is of. */
bool member_has_executed_snapshot(unsigned id);
/* It lacks entries that a member's log no longer has, or its log is lost: it can never catch up. */
bool member_needs_rebuild(unsigned id);
/* What its log holds, in memory or on the disk of one who is down. Term 0: not known. */
uint64_t member_log_first(unsigned id);
uint64_t member_log_last(unsigned id);
uint64_t member_log_term(unsigned id, uint64_t index);
/* Its disk would hold this entry if it crashed now. */
bool member_disk_holds(unsigned id, uint64_t index, uint64_t term);
bool member_leads(unsigned id);
/* Where it stands, for the story. */
void member_tell(unsigned id);

#endif
