/* See run.h. Thread: the run's. */
#include "run.h"

#include <string.h>

#include "clients.h"
#include "events.h"
#include "log.h" /* Of consensus, as the next. */
#include "member.h"
#include "model.h"
#include "rounds.h"
#include "store/store.h"
#include "story.h"
#include "truth.h"
#include "weather.h"

enum {
    CALM_US = 2000000,      /* Clients go on so long after all is mended. */
    ANSWERED_US = 30000000, /* Then all is answered within this, */
    LEVEL_US = 20000000,    /* and everybody has the same within this. */
};

static bool
leave_out(const char *name, size_t size, struct world_rules *rules)
{
    static const struct {
        const char *name;
        size_t at;
    } names[] = {
#define RULE(member) {#member, offsetof(struct shim_rules, member)}
        RULE(clamp_acks),       RULE(own_entry_first),
        RULE(pace_completions), RULE(storage_is_fatal),
        RULE(stored_candidacy), RULE(step_back),
        RULE(never_inside),     RULE(watch),
        RULE(late_votes),       RULE(windows),
        RULE(no_install),       RULE(probe_from_end),
        RULE(skip_committed),   RULE(learn_terms),
        RULE(forget_silent),    RULE(believe_refusals),
        RULE(spare_unstored),
#undef RULE
    };
    static const struct {
        const char *name;
        unsigned log, rounds;
    } parts[] = {
        {"log_durable", LOG_WITHOUT_DURABLE, 0},    {"log_tearing", LOG_WITHOUT_TEARING, 0},
        {"log_chain", LOG_WITHOUT_CHAIN, 0},        {"log_seed", LOG_WITHOUT_SEED, 0},
        {"log_mark", LOG_WITHOUT_MARK, 0},          {"log_dropping", LOG_WITHOUT_DROPPING, 0},
        {"log_copy", LOG_WITHOUT_COPY, 0},          {"round_question", 0, ROUNDS_WITHOUT_QUESTION},
        {"round_term", 0, ROUNDS_WITHOUT_TERM},     {"round_nonce", 0, ROUNDS_WITHOUT_NONCE},
        {"round_voters", 0, ROUNDS_WITHOUT_VOTERS}, {"round_next", 0, ROUNDS_WITHOUT_NEXT},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strlen(parts[i].name) == size && memcmp(parts[i].name, name, size) == 0) {
            rules->log_without |= parts[i].log;
            rules->rounds_without |= parts[i].rounds;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == size && memcmp(names[i].name, name, size) == 0) {
            bool off = false;
            memcpy((char *)&rules->shim + names[i].at, &off, sizeof off);
            return true;
        }
    }
    return false;
}

bool
run_rules_without(const char *names, struct world_rules *rules_out)
{
    bool known = true;
    *rules_out = (struct world_rules){.shim = shim_rules_all};
    for (const char *name = names; name != NULL && known;) {
        const char *comma = strchr(name, ',');
        known = leave_out(name, comma != NULL ? (size_t)(comma - name) : strlen(name), rules_out);
        name = comma != NULL ? comma + 1 : NULL;
    }
    return known;
}

static bool
takes_part(unsigned id)
{
    return !weather_stays_down(id) && !member_needs_rebuild(id);
}

/* Everybody who can has executed everything, consumers have had it all, and timers have fired. */
static bool
level(const struct climate *climate)
{
    bool same = weather_all_up() && consumers_done();
    int64_t wall_us = INT64_MAX;
    for (unsigned id = 1; id <= members_count() && same; id++) {
        if (takes_part(id)) {
            same = store_applied(member_store(id))->index == truth_head();
            wall_us = member_wall_us(id) < wall_us ? member_wall_us(id) : wall_us;
        }
    }
    return same && (climate->clocks_jump || model_overdue(wall_us - 1000000) == 0);
}

static void
run_until(int64_t until_us)
{
    while (event_next(until_us)) {
    }
}

/* Else a member must be rebuilt before anything goes on: there is no way to yet. */
static bool
majority_takes_part(void)
{
    unsigned count = 0, voters = 0;
    for (unsigned id = 1; id <= members_count(); id++) {
        count += member_votes(id) && takes_part(id);
        voters += member_votes(id);
    }
    return count > voters / 2;
}

static void
tell_who_is_behind(void)
{
    for (unsigned id = 1; id <= members_count(); id++) {
        member_tell(id);
    }
    clients_tell();
    tell(0, "%u deadlines are open, last event %llu", model_overdue(INT64_MAX),
         (unsigned long long)model_seq());
}

static void
check_liveness(const struct climate *climate)
{
    weather_mend();
    run_until(events_now_us() + CALM_US);
    scenes_play_busy(climate->scene);
    clients_stop();
    int64_t end_us = events_now_us() + ANSWERED_US;
    while (!clients_idle() && events_now_us() < end_us) {
        (void)event_next(end_us);
    }
    if (!majority_takes_part()) {
        story->counts.stuck++;
        return;
    }
    if (!clients_idle()) {
        tell_who_is_behind();
        finding("not live: a client waits for %lld s, %d s of them after all was mended",
                (long long)clients_waiting_us() / 1000000, (ANSWERED_US + CALM_US) / 1000000);
    }
    scenes_play_quiet(climate->scene);
    end_us = events_now_us() + LEVEL_US;
    while (!level(climate) && events_now_us() < end_us) {
        run_until(events_now_us() + 100000);
    }
    if (!level(climate)) {
        tell_who_is_behind();
        finding("not level %d s after everything was answered", LEVEL_US / 1000000);
    }
    for (unsigned id = 1; id <= members_count(); id++) {
        story->counts.rebuilds += member_needs_rebuild(id);
    }
}

void
run_seed(uint64_t seed, const struct run_options *given)
{
    events_start(seed);
    const struct climate climate = weather_draw(given->members_count);
    const struct members_options options = {
        .count = climate.members_count,
        .voters_count = climate.voters_count,
        .log_bytes_max = climate.log_bytes_max,
        .hoarder = climate.hoarder,
        .in_flight_max = climate.in_flight_max,
        .segment_bytes = climate.segment_bytes,
        .keep_bytes = climate.keep_bytes,
        .queue_max = climate.queue_max,
        .rules = given->rules,
    };
    tell(0,
         "%u members (%u vote), %u clients, log of %llu bytes, queue of %u, faults %x for %lld s",
         climate.members_count, climate.voters_count, climate.clients_count,
         (unsigned long long)climate.log_bytes_max, climate.queue_max, climate.kinds,
         (long long)climate.faults_us / 1000000);
    members_birth(&options);
    weather_start(&climate);
    clients_start(climate.clients_count, climate.think_us);
    run_until(climate.faults_us);
    check_liveness(&climate);
}
