/* See weather.h. Thread: the run's. */
#include "weather.h"

#include <limits.h>

#include "clients.h"
#include "common/limits.h"
#include "events.h"
#include "ground.h"
#include "media.h"
#include "member.h"
#include "network.h"
#include "server.h"
#include "story.h"

enum {
    LOOK_US = 20000,     /* How often those who are down are looked for. */
    SMALL_LOG = 1 << 30, /* Below it snapshots are taken. */
};

static struct climate climate;
static bool mended;
static unsigned left_down;
static bool coming[MEMBERS_MAX + 1]; /* Its next start is planned. */

/* One member in a part of the clusters with small logs keeps all: its operator gave it more. */
static void
draw_limits(struct climate *drawn)
{
    drawn->hoarder = drawn->log_bytes_max < SMALL_LOG && chance_permille(400)
                         ? 1 + (unsigned)chance_below(drawn->members_count)
                         : 0;
    if (drawn->hoarder != 0) {
        drawn->segment_bytes *= 4; /* So that SIM_FILES_MAX is enough for all of them. */
    }
    drawn->in_flight_max =
        chance_permille(500) ? QO_ENTRIES_IN_FLIGHT : (uint32_t)chance_between(40, 60);
    drawn->rude_permille = chance_permille(80) ? (uint32_t)chance_between(10, 100) : 0;
}

static enum scene
draw_scene(const struct climate *drawn)
{
    bool small = drawn->log_bytes_max < SMALL_LOG;
    bool deep = drawn->in_flight_max > QO_ENTRIES_IN_FLIGHT;
    const struct {
        enum scene scene;
        bool fits;
        unsigned runs; /* Of a thousand. */
    } scenes[] = {
        {SCENE_HANG, true, 30},
        {SCENE_STREAM, true, 100},
        {SCENE_UNHEARD, small, 300},
        {SCENE_REBIRTH, drawn->voters_count == 3, 100},
        {SCENE_BACKLOG, deep && !small, 30},
        {SCENE_TERMS, drawn->voters_count == 3, 100},
        {SCENE_TURNS, drawn->voters_count == 5, 300},
    };
    uint64_t at = chance_below(1000);
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        if (at < scenes[i].runs) {
            return scenes[i].fits ? scenes[i].scene : SCENE_NONE;
        }
        at -= scenes[i].runs;
    }
    return SCENE_NONE;
}

/* So little in a part of them that few writes push out what a follower still needs. */
static uint64_t
draw_log_bytes(void)
{
    if (!chance_permille(400)) {
        return SMALL_LOG;
    }
    return (uint64_t)(chance_permille(400) ? chance_between(4000, 16000)
                                           : chance_between(4000, 200000));
}

struct climate
weather_draw(unsigned members_count)
{
    static const unsigned sizes[] = {1, 3, 3, 3, 3, 5, 5};
    struct climate drawn = {
        .members_count = members_count != 0 ? members_count
                                            : sizes[chance_below(sizeof sizes / sizeof sizes[0])],
        .log_bytes_max = draw_log_bytes(),
        .queue_max = chance_permille(300) ? (uint32_t)chance_between(2, 12) : 4096,
        .clients_count = (unsigned)chance_between(4, CLIENTS_MAX),
        .think_us = chance_between(20000, 250000),
        .faults_us = chance_between(12000000, 30000000),
        .gap_us = chance_between(100000, 3000000),
        .delay_us = chance_between(200, 8000),
        /* With slow disks many entries wait and are merged into one write. */
        .sync_us = chance_permille(700) ? chance_between(200, 8000) : chance_between(8000, 60000),
        .deaths_permille = chance_permille(500) ? (uint32_t)chance_below(80) : 0,
        .flush_permille = (uint32_t)chance_between(1, 100),
        .clocks_jump = chance_permille(500),
    };
    drawn.voters_count = drawn.members_count == 5 && chance_permille(500) ? 3 : drawn.members_count;
    bool small = drawn.log_bytes_max < SMALL_LOG;
    drawn.segment_bytes = UINT32_C(1) << (small ? chance_between(17, 18) : chance_between(18, 19));
    while (small && drawn.segment_bytes < drawn.log_bytes_max / 2) {
        drawn.segment_bytes *= 2; /* So that SIM_FILES_MAX is enough: each write takes a block. */
    }
    drawn.keep_bytes = chance_permille(500) ? 0 : (uint64_t)chance_between(0, 1 << 20);
    for (unsigned fault = 0; fault < 32; fault++) {
        drawn.kinds |= chance_permille(650) ? UINT32_C(1) << fault : 0;
    }
    draw_limits(&drawn);
    drawn.scene = draw_scene(&drawn);
    return drawn;
}

/* -- One fault --------------------------------------------------------------------------------- */

static void
mend_network(void)
{
    for (unsigned from = 1; from <= MEMBERS_MAX; from++) {
        for (unsigned to = 1; to <= MEMBERS_MAX; to++) {
            ways[from][to] = (struct way){.delay_us_min = climate.delay_us / 4,
                                          .delay_us_max = climate.delay_us};
        }
    }
}

static void
mend_disk(unsigned id)
{
    member_disk(id)->sync_us_min = climate.sync_us / 4;
    member_disk(id)->sync_us_max = climate.sync_us;
    member_disk(id)->fails = false;
    member_disk(id)->full = false;
    member_disk(id)->tells = false;
}

static unsigned
someone(void)
{
    return 1 + (unsigned)chance_below(climate.members_count);
}

/* Some member that believes it leads, or any. */
static unsigned
some_leader(void)
{
    unsigned id = someone();
    for (unsigned n = 0; n < climate.members_count && !member_leads(id); n++) {
        id = id % climate.members_count + 1;
    }
    return id;
}

static void
cut(unsigned id, bool in, bool out)
{
    for (unsigned other = 1; other <= climate.members_count; other++) {
        ways[id][other].cut = ways[id][other].cut || out;
        ways[other][id].cut = ways[other][id].cut || in;
    }
}

static void
split(unsigned id)
{
    (void)id;
    uint32_t side = (uint32_t)chance_below(UINT64_C(1) << climate.members_count);
    for (unsigned from = 1; from <= climate.members_count; from++) {
        for (unsigned to = 1; to <= climate.members_count; to++) {
            bool apart = ((side >> (from - 1)) & 1) != ((side >> (to - 1)) & 1);
            ways[from][to].cut = ways[from][to].cut || apart;
        }
    }
    tell(0, "the members are split, sides %x", side);
}

static void
cut_way(unsigned id)
{
    unsigned other = someone();
    ways[id][other].cut = true;
    tell(0, "nothing gets from %u to %u", id, other);
}

static void
isolate(unsigned id)
{
    cut(id, true, true);
    tell(0, "%u is cut off", id);
}

static void
isolate_one_way(unsigned id)
{
    bool in = chance_permille(500);
    cut(id, in, !in);
    tell(0, "nothing gets %s %u", in ? "to" : "from", id);
}

static void
lose(unsigned id)
{
    unsigned other = someone();
    ways[id][other].loss_permille = (uint32_t)chance_between(10, 600);
    tell(0, "%u of 1000 from %u to %u are lost", ways[id][other].loss_permille, id, other);
}

static void
repeat(unsigned id)
{
    unsigned other = someone();
    ways[id][other].repeat_permille = (uint32_t)chance_between(10, 600);
    tell(0, "%u of 1000 from %u to %u arrive twice", ways[id][other].repeat_permille, id, other);
}

static void
delay(unsigned id)
{
    unsigned other = someone();
    ways[id][other].delay_us_min = climate.delay_us / 4;
    ways[id][other].delay_us_max = chance_between(10000, 1500000);
    tell(0, "from %u to %u takes up to %lld us", id, other,
         (long long)ways[id][other].delay_us_max);
}

/*
 * A leader that lingers: others elect another one and go on, while it has not noticed, and a few
 * members hear nobody but it. It goes on to hear old answers of the others, some of whom are slow
 * towards it, or it hears nothing of them, and then one of them at once. So it begins, then nothing
 * gets from it to those who are not its friends, who may be told that it has ended, and at last it
 * speaks to all again. Meanwhile some clients read from it alone (clients_part()).
 */
static struct {
    bool planned; /* Or under way. */
    unsigned id;
    uint32_t friends; /* Bits of ids. */
    bool deaf;        /* It does not hear the others either. */
} lingers;

static bool
is_friend(unsigned id)
{
    return (lingers.friends >> id & 1) != 0;
}

static void
set_apart(bool apart)
{
    for (unsigned from = 1; from <= climate.members_count; from++) {
        for (unsigned to = 1; to <= climate.members_count; to++) {
            bool near = from == lingers.id || is_friend(from);
            bool far = to != lingers.id && !is_friend(to);
            if (near && far) {
                ways[from][to].cut = apart;
                ways[to][from].cut = apart && (lingers.deaf || from != lingers.id);
            }
        }
    }
}

static void speak_again(void *context);

/* First to one who follows another leader: what it asks may be answered before it is told. */
static void
speak_to_one(void *context)
{
    (void)context;
    unsigned other = someone();
    for (unsigned n = 0; n < climate.members_count && (other == lingers.id || member_leads(other));
         n++) {
        other = other % climate.members_count + 1;
    }
    if (!mended) {
        tell(lingers.id, "speaks to %u again", other);
        ways[lingers.id][other].cut = false;
        ways[other][lingers.id].cut = false;
    }
    event_plan(chance_between(1, 300000), 0, speak_again, NULL);
}

static void
speak_again(void *context)
{
    (void)context;
    if (!mended) {
        tell(lingers.id, "speaks to all again");
        set_apart(false);
    }
    lingers.planned = false;
}

static void
fall_silent(void *context)
{
    (void)context;
    /* Those who are told stand at once, else after an election timeout; it believes for about two
     * that it leads. */
    bool hint = chance_permille(750);
    int64_t us = hint ? chance_between(100000, lingers.deaf ? 600000 : 1000000)
                      : chance_between(800000, 1600000);
    if (!mended) {
        tell(lingers.id, "speaks to its friends %x alone%s", lingers.friends,
             lingers.deaf ? ", and hears nobody else" : "");
        set_apart(true);
        for (unsigned other = 1; hint && other <= climate.members_count; other++) {
            if (other != lingers.id && !is_friend(other)) {
                network_hint(other, lingers.id);
            }
        }
        clients_part(lingers.id, us);
    }
    event_plan(us, 0, lingers.deaf ? speak_to_one : speak_again, NULL);
}

/* A majority of those who vote must be free to elect another leader. */
static unsigned
spare_voters(unsigned id)
{
    unsigned others_up = 0;
    for (unsigned other = 1; other <= climate.voters_count; other++) {
        others_up += other != id && member_up(other);
    }
    unsigned majority = climate.voters_count / 2 + 1;
    return others_up < majority ? UINT_MAX : others_up - majority;
}

static void
begin_to_linger(unsigned id, unsigned friends_max)
{
    unsigned friends = 0;
    lingers.id = id;
    lingers.friends = 0;
    lingers.deaf = chance_permille(400);
    mend_network(); /* So that the others can elect. */
    for (unsigned other = 1; other <= climate.members_count; other++) {
        if (other != id && !lingers.deaf && chance_permille(750)) {
            /* Less than an election timeout, or it would hear nobody for one. */
            ways[other][id].delay_us_min = chance_between(100000, 450000);
            ways[other][id].delay_us_max = ways[other][id].delay_us_min + chance_between(0, 300000);
        }
        bool near = other != id && chance_permille(member_votes(other) ? 300 : 850);
        if (near && (!member_votes(other) || friends < friends_max)) {
            lingers.friends |= UINT32_C(1) << other;
            friends += member_votes(other);
        }
    }
    event_plan(chance_between(1, 400000), 0, fall_silent, NULL);
    tell(id, "lingers%s", lingers.deaf ? "" : ": some are slow towards it");
}

/* As soon as there is a leader that others can do without. */
static void
look_for_one(void *context)
{
    (void)context;
    unsigned id = some_leader();
    unsigned spare = spare_voters(id);
    if (mended) {
        lingers.planned = false;
    } else if (member_leads(id) && spare != UINT_MAX) {
        begin_to_linger(id, spare);
    } else {
        event_plan(LOOK_US, 0, look_for_one, NULL);
    }
}

static void
linger(unsigned id)
{
    (void)id;
    if (!lingers.planned && climate.voters_count > 1) {
        lingers.planned = true;
        event_plan(1, 0, look_for_one, NULL);
    }
}

static void
mend_all_ways(unsigned id)
{
    (void)id;
    mend_network();
    tell(0, "the network is mended");
}

static void
crash(unsigned id)
{
    if (member_up(id)) {
        member_crash(id, "killed");
    }
}

static void
crash_all(unsigned id)
{
    (void)id;
    for (unsigned each = 1; each <= climate.members_count; each++) {
        crash(each);
    }
}

static void
stop(unsigned id)
{
    int64_t us = chance_between(20000, 3000000);
    member_stop(id, us);
    tell(id, "stands still for %lld us", (long long)us);
}

static void
jump(unsigned id)
{
    if (climate.clocks_jump) {
        int64_t seconds = chance_between(-600, 600);
        member_jump_wall(id, seconds * 1000000);
        tell(id, "its wall clock jumps by %lld s", (long long)seconds);
    }
}

static void
drift(unsigned id)
{
    member_set_drift(id, (int32_t)chance_between(-500, 500));
}

static void
slow_disk(unsigned id)
{
    member_disk(id)->sync_us_min = chance_between(100, 20000);
    member_disk(id)->sync_us_max = chance_between(20000, 2000000);
    tell(id, "its disk takes up to %lld us", (long long)member_disk(id)->sync_us_max);
}

static void
fall(void *context)
{
    const struct disk *disk = context;
    if (!mended) {
        crash(disk->id);
    }
}

/* A crash while many entries are in one write. */
static void
stumble(unsigned id)
{
    slow_disk(id);
    event_plan(chance_between(50000, 1500000), 0, fall, member_disk(id));
}

static void
fail_disk(unsigned id)
{
    if (chance_permille(300)) {
        member_disk(id)->tells = true;
    } else {
        member_disk(id)->fails = true;
    }
}

static void
room_again(void *context)
{
    struct disk *disk = context;
    disk->full = false;
}

static void
fill_disk(unsigned id)
{
    int64_t us = chance_between(100000, 8000000);
    member_disk(id)->full = true;
    event_plan(us, 0, room_again, member_disk(id));
    tell(id, "its disk is full for %lld us", (long long)us);
}

/* Only as many members as the others can do without. */
static void
flip_bit(unsigned id)
{
    unsigned flipped = member_votes(id);
    for (unsigned other = 1; other <= climate.voters_count; other++) {
        flipped += other != id && member_flipped(other);
    }
    if (flipped <= (climate.voters_count - 1) / 2 && !member_lost(id)) {
        crash(id);
        (void)member_flip(id);
    }
}

/* Somebody is told that a process has ended, which lives. */
static void
mislead(unsigned id)
{
    unsigned other = someone();
    if (other != id) {
        network_hint(id, other);
        tell(id, "is told that %u has ended", other);
    }
}

static void
slow_state(unsigned id)
{
    int64_t us = chance_permille(500) ? 0 : chance_between(1000, 100000);
    server_slow_state(id, us / 10, us);
}

static void
lose_requests(unsigned id)
{
    (void)id;
    clients_set_loss((uint32_t)chance_below(200));
}

static const struct {
    void (*strike)(unsigned id);
    bool at_leader;
} faults[] = {
    {cut_way, false},        {isolate, false},
    {isolate, true},         {split, false},
    {isolate_one_way, true}, {isolate_one_way, false},
    {lose, false},           {repeat, false},
    {delay, false},          {crash, false},
    {crash, true},           {crash_all, false},
    {stop, false},           {stop, true},
    {jump, false},           {drift, false},
    {slow_disk, false},      {slow_disk, true},
    {fail_disk, false},      {slow_state, false},
    {lose_requests, false},  {mend_all_ways, false},
    {linger, true},          {linger, true},
    {fill_disk, false},      {fill_disk, true},
    {flip_bit, false},       {flip_bit, true},
    {stumble, false},        {stumble, true},
    {mislead, false},
};
enum { FAULTS = sizeof faults / sizeof faults[0] };

static void
strike(void *context)
{
    (void)context;
    if (mended) {
        return;
    }
    unsigned fault = (unsigned)chance_below(FAULTS);
    if (faults[fault].strike == mend_all_ways || (climate.kinds >> fault & 1) != 0) {
        faults[fault].strike(faults[fault].at_leader ? some_leader() : someone());
    }
    event_plan(chance_between(1000, climate.gap_us), 0, strike, NULL);
}

/* -- Coming up --------------------------------------------------------------------------------- */

static void
come_up(void *context)
{
    bool *mark = context;
    unsigned id = (unsigned)(mark - coming);
    *mark = false;
    if (!member_up(id) && !weather_stays_down(id)) {
        mend_disk(id);
        member_start(id);
    }
}

static void
look(void *context)
{
    (void)context;
    for (unsigned id = 1; id <= climate.members_count; id++) {
        if (!member_up(id) && !coming[id] && !weather_stays_down(id)) {
            coming[id] = true;
            event_plan(mended ? chance_between(1000, 300000) : chance_between(1000, 4000000), 0,
                       come_up, &coming[id]);
        }
    }
    event_plan(LOOK_US, 0, look, NULL);
}

void
weather_start(const struct climate *given)
{
    climate = *given;
    mend_network();
    network_set_rude(climate.rude_permille);
    media_set_flushes(climate.flush_permille);
    for (unsigned id = 1; id <= climate.members_count; id++) {
        mend_disk(id);
        member_set_drift(id, (int32_t)chance_between(-200, 200));
        member_start(id);
    }
    member_set_deaths(climate.deaths_permille);
    event_plan(chance_between(1000000, 3000000), 0, strike, NULL);
    event_plan(LOOK_US, 0, look, NULL);
}

bool
weather_leave_down(unsigned id)
{
    if (left_down != 0) {
        return false;
    }
    left_down = id;
    if (member_up(id)) {
        member_crash(id, "for good");
    }
    return true;
}

void
weather_mend(void)
{
    bool someone_lags = false;
    mended = true;
    mend_network();
    member_set_deaths(0);
    clients_set_loss(0);
    for (unsigned id = 1; id <= climate.members_count; id++) {
        mend_disk(id);
        server_slow_state(id, 0, 0);
        someone_lags = someone_lags || member_needs_rebuild(id) || member_flipped(id);
    }
    /* With one down, the others are enough only if each of them can still follow. */
    if (climate.members_count >= 3 && !someone_lags && chance_permille(300)) {
        (void)weather_leave_down(someone());
    }
    tell(0, "all is mended%s", left_down != 0 ? " but for one who stays down" : "");
}

bool
weather_all_up(void)
{
    bool up = true;
    for (unsigned id = 1; id <= climate.members_count; id++) {
        up = up && (member_up(id) || weather_stays_down(id));
    }
    return up;
}

bool
weather_stays_down(unsigned id)
{
    return id == left_down || member_lost(id);
}
