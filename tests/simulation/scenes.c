/* See scenes.h. Thread: the run's. */
#include "scenes.h"

#include "acks.h"
#include "common/limits.h"
#include "disk.h"
#include "events.h"
#include "member.h"
#include "network.h"
#include "peek.h"
#include "state.h" /* Of consensus. */
#include "story.h"
#include "stream.h"
#include "weather.h"

enum {
    LOOK_US = 50000,
    /* stream: one way takes longer than a write and the next one are apart, and a round trip is
     * well below an election timeout. */
    WAY_US_MIN = 175000,
    WAY_US_MAX = 200000,
    WRITES = 60,
    WRITES_EVERY_US_MIN = 140000,
    WRITES_EVERY_US_MAX = 200000,
    WRITE_US_MAX = 4000000, /* Ten round trips. */
    /* backlog: each an entry of its own, and not so many that the server makes batches. */
    BACKLOG = QO_APPEND_ENTRIES_MAX + 100,
    BACKLOG_EVERY_US = 1000,
    BACKLOG_OPEN = 32,
    BACKLOG_WRITE_US_MAX = 10000000,
    /* hang: by a clock that drifts, and counted in heartbeats. */
    HANG_US_MAX = (QO_APPEND_STALL_MS_MAX + 2000) * 1000,
    HANG_SEEN_US_MAX = 10000000, /* Until something is to be written. */
    UNHEARD_US_MAX = 10000000,
    REBIRTHS = 6,
    REBIRTHS_EVERY_US = 800000,
    /* turns: two elections fit into the slow write. */
    TURN_US_MAX = 6000000,
    SLOW_US_MIN = 10000000,
    SLOW_US_MAX = 16000000,
    BUSY_US = 3000000, /* Then there is always something that is being written. */
    BUSY_LOOKS = 20,
    BUSY_SYNC_US_MIN = 50000,
    BUSY_SYNC_US_MAX = 300000,
};

static void
run_for(int64_t us)
{
    int64_t end_us = events_now_us() + us;
    while (event_next(end_us)) {
    }
}

static bool
is_well(unsigned id)
{
    return member_up(id) && !weather_stays_down(id) && !member_needs_rebuild(id);
}

static unsigned
some_leader(void)
{
    unsigned id = members_count();
    while (id > 0 && !(member_leads(id) && is_well(id))) {
        id--;
    }
    return id;
}

/* One that is well and not `but`; 0: there is none. */
static unsigned
someone_but(unsigned but)
{
    unsigned id = 1 + (unsigned)chance_below(members_count());
    for (unsigned n = 0; n < members_count() && (id == but || !is_well(id)); n++) {
        id = id % members_count() + 1;
    }
    return id == but || !is_well(id) ? 0 : id;
}

/* Voters that are well, other than this one, are a majority. */
static bool
others_are_enough(unsigned id)
{
    unsigned well = 0, voters = 0;
    for (unsigned other = 1; other <= members_count(); other++) {
        voters += member_votes(other);
        well += member_votes(other) && other != id && is_well(other);
    }
    return well > voters / 2;
}

/* -- Stream ------------------------------------------------------------------------------------ */

static void
set_all_ways(int64_t us_min, int64_t us_max)
{
    for (unsigned from = 1; from <= members_count(); from++) {
        for (unsigned to = 1; to <= members_count(); to++) {
            ways[from][to].delay_us_min = us_min;
            ways[from][to].delay_us_max = us_max;
        }
    }
}

static void
play_stream(void)
{
    struct way before = ways[1][1];
    if (some_leader() == 0) {
        return;
    }
    tell(0, "links are slow, and writes come without waiting");
    set_all_ways(WAY_US_MIN, WAY_US_MAX);
    run_for(1000000);
    stream_start(WRITES, chance_between(WRITES_EVERY_US_MIN, WRITES_EVERY_US_MAX), WRITES);
    while (!stream_done()) {
        run_for(LOOK_US);
        EXPECT(stream_waiting_us() <= WRITE_US_MAX,
               "not live: a write waits for %lld ms while others come, over links of %d ms",
               (long long)stream_waiting_us() / 1000, WAY_US_MAX / 1000);
    }
    set_all_ways(before.delay_us_min, before.delay_us_max);
}

/* -- Backlog ----------------------------------------------------------------------------------- */

static void
set_cut(unsigned id, bool is_cut)
{
    for (unsigned other = 1; other <= members_count(); other++) {
        ways[id][other].cut = ways[other][id].cut = is_cut;
    }
}

static void
play_backlog(void)
{
    unsigned leader = some_leader();
    unsigned id = leader == 0 ? 0 : someone_but(leader);
    if (id == 0 || !others_are_enough(id)) {
        return;
    }
    tell(id, "is cut off for thousands of entries");
    set_cut(id, true);
    stream_start(BACKLOG, BACKLOG_EVERY_US, BACKLOG_OPEN);
    while (!stream_done()) {
        run_for(LOOK_US);
        EXPECT(stream_waiting_us() <= BACKLOG_WRITE_US_MAX,
               "not live: a write waits for %lld ms while one member is cut off",
               (long long)stream_waiting_us() / 1000);
    }
    set_cut(id, false);
}

/* -- Hang -------------------------------------------------------------------------------------- */

static void
play_hang(void)
{
    unsigned leader = some_leader();
    unsigned id = chance_permille(300) ? leader : someone_but(leader);
    if (id == 0) {
        return;
    }
    struct disk *disk = member_disk(id);
    uint64_t life = member_life(id);
    int64_t begun_us = events_now_us();
    tell(id, "its disk hangs");
    member_expect_end(id);
    disk->hangs = true;
    while (member_life(id) == life) {
        int64_t now_us = events_now_us();
        if (disk->hangs_since_us == 0 && now_us - begun_us > HANG_SEEN_US_MAX) {
            member_crash(id, "killed, with a disk that hangs");
            return;
        }
        EXPECT(disk->hangs_since_us == 0 || now_us - disk->hangs_since_us <= HANG_US_MAX,
               "member %u has not ended, though its disk has not answered for %lld s", id,
               (long long)(now_us - disk->hangs_since_us) / 1000000);
        run_for(LOOK_US);
    }
}

/* -- Terms ------------------------------------------------------------------------------------- */

/* Of the two voters that are not this one, the one whose term is lower. */
static unsigned
less_ahead(unsigned id)
{
    unsigned least = 0;
    for (unsigned other = 1; other <= members_count(); other++) {
        bool counts = other != id && member_votes(other);
        if (counts && (least == 0 || member_consensus(other)->raft.current_term <
                                         member_consensus(least)->raft.current_term)) {
            least = other;
        }
    }
    return least;
}

static bool
all_voters_are_well(void)
{
    bool well = true;
    for (unsigned id = 1; id <= members_count(); id++) {
        well = well && (!member_votes(id) || is_well(id));
    }
    return well;
}

static void
play_terms(void)
{
    unsigned leader = some_leader();
    if (leader == 0 || !all_voters_are_well()) {
        return;
    }
    tell(leader, "is cut off, and votes of the others are lost");
    network_lose_votes(true);
    set_cut(leader, true);
    run_for(chance_between(4000000, 8000000));
    unsigned ends = less_ahead(leader);
    for (unsigned id = 1; id <= members_count(); id++) {
        if (id != leader && id != ends && member_votes(id) && member_up(id)) {
            member_crash(id, "to stand anew, with a pre-vote");
        }
    }
    (void)weather_leave_down(ends);
    network_lose_votes(false);
    set_cut(leader, false);
    tell(0, "votes arrive again");
}

/* -- Unheard ----------------------------------------------------------------------------------- */

/* The leader's log goes on from where it knows that of `id` to be. */
static bool
has_what_is_known(unsigned leader, unsigned id)
{
    const struct raft_progress *progress = peek_progress(&member_consensus(leader)->raft, id);
    return progress != NULL && progress->match_index + 1 >= member_log_first(leader);
}

static void
play_unheard(void)
{
    unsigned leader = some_leader();
    unsigned id = leader == 0 ? 0 : someone_but(leader);
    if (id == 0 || !others_are_enough(id)) {
        return;
    }
    tell(id, "is not heard by the leader");
    ways[id][leader].loss_permille = 1000;
    int64_t end_us = events_now_us() + UNHEARD_US_MAX;
    while (events_now_us() < end_us && member_leads(leader) && has_what_is_known(leader, id)) {
        run_for(LOOK_US);
    }
    tell(id, "hears nothing of the leader either");
    ways[leader][id].loss_permille = 1000;
    run_for(chance_between(20000, 120000)); /* Less than an election timeout. */
    tell(id, "hears and is heard");
    ways[id][leader].loss_permille = 0;
    ways[leader][id].loss_permille = 0;
}

/* -- Rebirth ----------------------------------------------------------------------------------- */

/* A new process is soon there, and its links later. */
static void
be_reborn(unsigned id, unsigned leader)
{
    member_crash(id, "to start again at once");
    ways[leader][id].cut = true;
    run_for(chance_between(1000, 15000));
    if (!member_up(id)) {
        member_start(id);
    }
    run_for(chance_between(100000, 400000));
    ways[leader][id].cut = false;
    run_for(REBIRTHS_EVERY_US);
}

static void
play_rebirth(void)
{
    unsigned leader = some_leader(), reborn = 1;
    while (reborn <= members_count() && (reborn == leader || !member_votes(reborn))) {
        reborn++;
    }
    unsigned apart = reborn + 1 == leader ? reborn + 2 : reborn + 1;
    if (leader == 0 || apart > members_count() || !member_votes(apart) || !is_well(reborn) ||
        !is_well(apart)) {
        return;
    }
    tell(0, "%u and the leader do not hear each other", apart);
    ways[leader][apart].cut = ways[apart][leader].cut = true;
    for (unsigned n = 0; n < REBIRTHS && member_leads(leader) && is_well(reborn); n++) {
        be_reborn(reborn, leader);
    }
    ways[leader][apart].cut = ways[apart][leader].cut = false;
}

/* -- Turns ------------------------------------------------------------------------------------- */

/* Between this one and all others but `but`. */
static void
set_cut_but(unsigned id, unsigned but, bool is_cut)
{
    for (unsigned other = 1; other <= members_count(); other++) {
        if (other != but) {
            ways[id][other].cut = ways[other][id].cut = is_cut;
        }
    }
}

static uint64_t
term_of(unsigned id)
{
    return member_consensus(id)->raft.current_term;
}

/* The next that leads a term above `term`, in the moment in which it does; 0: nobody. */
static unsigned
leader_above(uint64_t term)
{
    int64_t end_us = events_now_us() + TURN_US_MAX;
    do {
        for (unsigned id = 1; id <= members_count(); id++) {
            if (member_leads(id) && term_of(id) > term) {
                return id;
            }
        }
    } while (event_next(end_us));
    return 0;
}

/* Lets events happen while `leader` leads, until the log of `id` ends with an entry of its term,
 * above the ends of all others'. */
static bool
hears_alone(unsigned id, unsigned leader)
{
    int64_t end_us = events_now_us() + TURN_US_MAX;
    bool alone = false;
    while (!alone && member_leads(leader) && event_next(end_us)) {
        uint64_t last = member_log_last(id);
        alone = member_log_term(id, last) == term_of(leader);
        for (unsigned other = 1; other <= members_count() && alone; other++) {
            alone = other == id || other == leader || member_log_last(other) < last;
        }
    }
    return alone;
}

/* The disk has just nothing to do; the next write takes so long, and only that one. */
static bool
begin_slow_write(struct disk *disk, int64_t us)
{
    int64_t end_us = events_now_us() + TURN_US_MAX;
    int64_t us_min = disk->sync_us_min, us_max = disk->sync_us_max;
    while (!disk_idle(disk) && event_next(end_us)) {
    }
    disk->sync_us_min = disk->sync_us_max = us;
    while (disk->sim.counts[LOG_LANE_APPEND] == 0 && event_next(end_us)) {
    }
    disk->sync_us_min = us_min;
    disk->sync_us_max = us_max;
    return disk->sim.counts[LOG_LANE_APPEND] > 0;
}

/* While the slow one writes what `first` alone had. */
static void
take_turns(unsigned slow, unsigned first)
{
    set_cut_but(first, slow, true);
    if (hears_alone(slow, first)) {
        tell(first, "is not heard any more by %u either", slow);
        uint64_t term = term_of(first);
        set_cut(first, true);
        unsigned second = leader_above(term);
        if (second != 0) {
            tell(second, "is heard by %u alone", slow);
            set_cut_but(second, slow, true);
            (void)hears_alone(slow, second); /* At the latest until it leads no more. */
            term = term_of(second);
            set_cut(second, true);
            set_cut_but(first, second, false);
            (void)leader_above(term);
            set_cut(second, false);
        }
    }
    set_cut(first, false);
}

static void
play_turns(void)
{
    unsigned first = some_leader();
    unsigned slow = first == 0 ? 0 : someone_but(first);
    if (slow == 0 || !all_voters_are_well()) {
        return;
    }
    struct disk *disk = member_disk(slow);
    int64_t us_min = disk->sync_us_min, us_max = disk->sync_us_max;
    int64_t us = chance_between(SLOW_US_MIN, SLOW_US_MAX);
    if (begin_slow_write(disk, us)) {
        int64_t end_us = events_now_us() + us;
        tell(slow, "writes for %lld us, and it alone hears the leader", (long long)us);
        take_turns(slow, first);
        run_for(end_us - events_now_us());
    }
    disk->sync_us_min = BUSY_SYNC_US_MIN;
    disk->sync_us_max = BUSY_SYNC_US_MAX;
    acks_watch(slow, BUSY_LOOKS);
    run_for(BUSY_US);
    disk->sync_us_min = us_min;
    disk->sync_us_max = us_max;
}

void
scenes_play_busy(enum scene scene)
{
    if (scene == SCENE_HANG) {
        play_hang();
    } else if (scene == SCENE_TERMS) {
        play_terms();
    } else if (scene == SCENE_UNHEARD) {
        play_unheard();
    } else if (scene == SCENE_TURNS) {
        play_turns();
    }
}

void
scenes_play_quiet(enum scene scene)
{
    if (scene == SCENE_STREAM) {
        play_stream();
    } else if (scene == SCENE_BACKLOG) {
        play_backlog();
    } else if (scene == SCENE_REBIRTH) {
        play_rebirth();
    }
}
