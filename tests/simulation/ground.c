/* See ground.h. Thread: the run's. */
#include "ground.h"

#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "events.h"
#include "member.h"
#include "network.h"
#include "story.h"

enum { SALT = 4711, MANIFEST_BYTES_MAX = 16 * 1024 };

/* The host of one life. */
struct ground {
    unsigned id;
    struct host host;
    unsigned tick_ms;
    void (*ticked)(void *owner);
    void *tick_owner;
};

/* Under way. */
struct work {
    struct ground *ground;
    struct host_work *work;
};

const char *
ground_address(unsigned id)
{
    static const char *const addresses[MEMBERS_MAX + 1] = {
        "", "sim-1:7000", "sim-2:7000", "sim-3:7000", "sim-4:7000", "sim-5:7000"};
    QO_PRE(id >= 1 && id <= MEMBERS_MAX);
    return addresses[id];
}

void
ground_birth(struct disk *disk, unsigned members_count, uint32_t segment_bytes)
{
    struct raft_configuration configuration;
    struct log_failure failure;
    const struct log_shape shape = {.salt = SALT + disk->id,
                                    .segment_bytes = segment_bytes,
                                    .manifest_bytes_max = MANIFEST_BYTES_MAX};
    raft_configuration_init(&configuration);
    for (unsigned id = 1; id <= members_count; id++) {
        int status = raft_configuration_add(&configuration, id, ground_address(id),
                                            member_votes(id) ? RAFT_VOTER : RAFT_STANDBY);
        QO_ASSERT(status == 0);
    }
    bool born = io_birth(&disk->table, &shape, &configuration, &failure);
    EXPECT(born, "member %u is not born: %s", disk->id, failure.text);
    raft_configuration_close(&configuration);
}

/* -- The host ---------------------------------------------------------------------------------- */

static uint64_t
now_ms(void *context)
{
    const struct ground *ground = context;
    return (uint64_t)(member_monotonic_us(ground->id) / 1000);
}

static void
freshen(void *context)
{
    (void)context; /* Time stands still within an event. */
}

static int
chance_of(void *context, int min, int max)
{
    (void)context;
    return min + (int)chance_below((uint64_t)(max - min));
}

static void
ticked(void *context)
{
    struct ground *ground = context;
    event_plan(member_true_us(ground->id, (int64_t)ground->tick_ms * 1000), ground->id, ticked,
               ground);
    ground->ticked(ground->tick_owner);
}

static void
begin_ticks(void *context, unsigned every_ms, void (*each)(void *owner), void *owner)
{
    struct ground *ground = context;
    ground->tick_ms = every_ms;
    ground->ticked = each;
    ground->tick_owner = owner;
    event_plan(chance_between(1, (int64_t)every_ms * 1000), ground->id, ticked, ground);
}

static void
work_done(void *context)
{
    struct work work = *(struct work *)context;
    mem_free(context);
    work.work->done(work.work);
}

/* The real work waits on a thread of the pool until the state has come so far. */
static void
work_run(void *context)
{
    struct work *work = context;
    if (!member_has_executed_snapshot(work->ground->id)) {
        event_plan(5000, work->ground->id, work_run, work);
        return;
    }
    work->work->run(work->work);
    event_plan(chance_between(100, 50000), work->ground->id, work_done, work);
}

static void
begin_work(void *context, struct host_work *given)
{
    struct ground *ground = context;
    struct work *work = mem_alloc(sizeof *work);
    *work = (struct work){ground, given};
    event_plan(chance_between(100, 20000), ground->id, given->run == NULL ? work_done : work_run,
               work);
}

/* -- A life ------------------------------------------------------------------------------------ */

static void
stop(void *context, enum fatal_reason reason, const char *text)
{
    (void)context;
    qo_fatal(reason, "%s", text);
}

/* -- A log that tells of a failure ------------------------------------------------------------- */

/* Of the life that runs; the functions of io.c behind its raft_io. */
static struct spoiled {
    struct disk *disk;
    struct raft_io *raft;
    struct raft_io below;
} spoiled[MEMBERS_MAX + 1];

static struct spoiled *
spoiled_of(const struct raft_io *raft)
{
    unsigned id = 1;
    while (spoiled[id].raft != raft) {
        id++;
    }
    return &spoiled[id];
}

static void
goes_on(void *context)
{
    const struct disk *disk = context;
    finding("member %u goes on, though its log has told it that the disk failed", disk->id);
}

/* True if this request fails; the member has to end before anything else happens. */
static bool
spoils(struct raft_io *raft)
{
    struct disk *disk = spoiled_of(raft)->disk;
    if (!disk->tells) {
        return false;
    }
    disk->tells = false;
    story->counts.storage_failures++;
    tell(disk->id, "its log refuses a write and goes on");
    member_expect_end(disk->id);
    event_plan(1, disk->id, goes_on, disk);
    return true;
}

static int
append(struct raft_io *raft, struct raft_io_append *request, const struct raft_entry entries[],
       unsigned n, raft_io_append_cb callback)
{
    return spoils(raft) ? RAFT_IOERR
                        : spoiled_of(raft)->below.append(raft, request, entries, n, callback);
}

static int
set_term(struct raft_io *raft, raft_term term)
{
    return spoils(raft) ? RAFT_IOERR : spoiled_of(raft)->below.set_term(raft, term);
}

static int
set_vote(struct raft_io *raft, raft_id vote)
{
    return spoils(raft) ? RAFT_IOERR : spoiled_of(raft)->below.set_vote(raft, vote);
}

static void
spoil(struct disk *disk, struct raft_io *raft)
{
    spoiled[disk->id] = (struct spoiled){disk, raft, *raft};
    raft->append = append;
    raft->set_term = set_term;
    raft->set_vote = set_vote;
}

struct io *
ground_open(const struct ground_options *options, struct log_failure *failure_out)
{
    struct ground *ground = mem_zalloc(sizeof *ground);
    ground->id = options->id;
    ground->host = (struct host){
        .context = ground,
        .now_ms = now_ms,
        .freshen = freshen,
        .chance = chance_of,
        .tick = begin_ticks,
        .work = begin_work,
    };
    const struct io_options io_options = {
        .log = {.disk = &options->disk->table,
                .keep_bytes = options->keep_bytes,
                .without = options->without,
                .stop = stop},
        .salt = SALT + options->id,
        .transport = network_transport(options->id),
        .host = &ground->host,
    };
    struct io *io = io_open(&io_options, failure_out);
    if (io != NULL) {
        spoil(options->disk, io_raft(io));
    }
    return io;
}
