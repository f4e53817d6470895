/* See ground.h. Thread: the run's. */
#include "ground.h"

#include <string.h>

#include "common/assert.h"
#include "events.h"
#include "member.h"
#include "network.h"
#include "shim.h"
#include "story.h"

/* An append or a truncate that is not durable yet. */
struct write {
    uint64_t index; /* Of its first entry; or from where the log ends. */
    struct disk_entry *entries;
    unsigned count;
    struct raft_io_append *request; /* NULL: a truncate. */
    raft_io_append_cb callback;
    struct write *next;
};

struct put {
    struct raft_io_snapshot_put *request; /* NULL: none is under way. */
    raft_io_snapshot_put_cb callback;
    unsigned trailing;
    struct disk_snapshot snapshot;
};

struct ground {
    unsigned id, members_count;
    struct disk *disk;
    struct raft_io io;
    struct write *first, *last; /* Not durable. */
    struct write *sync_last;    /* The last of those that the sync under way covers; NULL: none. */
    uint64_t next_index;        /* Of the next append. */
    struct put put;
    bool failed; /* A write has; the life ends. */
    unsigned heartbeat_ms;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
};

static struct ground *
ground_of(struct raft_io *io)
{
    return io->impl;
}

const char *
ground_address(unsigned id)
{
    static const char *const addresses[MEMBERS_MAX + 1] = {
        "", "sim-1:7000", "sim-2:7000", "sim-3:7000", "sim-4:7000", "sim-5:7000"};
    QO_PRE(id >= 1 && id <= MEMBERS_MAX);
    return addresses[id];
}

/* -- The disk ---------------------------------------------------------------------------------- */

static void
configuration_make(unsigned members_count, struct raft_configuration *configuration)
{
    raft_configuration_init(configuration);
    for (unsigned id = 1; id <= members_count; id++) {
        int status = raft_configuration_add(configuration, id, ground_address(id),
                                            member_votes(id) ? RAFT_VOTER : RAFT_STANDBY);
        QO_ASSERT(status == 0);
    }
}

static struct bytes
bytes_copy(const void *data, size_t size)
{
    uint8_t *copy = mem_alloc(size + 1);
    memcpy(copy, data, size);
    return bytes_make(copy, size);
}

static void
disk_add(struct disk *disk, struct disk_entry entry)
{
    if (disk->count == disk->capacity) {
        disk->capacity = disk->capacity == 0 ? 256 : 2 * disk->capacity;
        disk->entries = mem_realloc(disk->entries, disk->capacity * sizeof *disk->entries);
    }
    disk->entries[disk->count++] = entry;
}

void
disk_birth(struct disk *disk, unsigned members_count)
{
    struct raft_configuration configuration;
    struct raft_buffer buffer;
    configuration_make(members_count, &configuration);
    int status = raft_configuration_encode(&configuration, &buffer);
    QO_ASSERT(status == 0);
    raft_configuration_close(&configuration);
    *disk = (struct disk){.term = 1, .first_index = 1, .sync_us_min = 100, .sync_us_max = 400};
    disk_add(disk, (struct disk_entry){1, RAFT_CHANGE, bytes_copy(buffer.base, buffer.len)});
    raft_free(buffer.base);
}

uint64_t
disk_last_index(const struct disk *disk)
{
    return disk->first_index + disk->count - 1;
}

static void
disk_truncate(struct disk *disk, uint64_t index)
{
    QO_ASSERT(index >= disk->first_index);
    while (disk->count > 0 && disk_last_index(disk) >= index) {
        mem_free((void *)(uintptr_t)disk->entries[--disk->count].bytes.data);
    }
}

/* Writes the first `count` entries of `write`, or cuts the log. */
static void
disk_apply(struct disk *disk, const struct write *write, unsigned count)
{
    if (write->request == NULL) {
        disk_truncate(disk, write->index);
        return;
    }
    QO_ASSERT(disk->shifted || write->index == disk_last_index(disk) + 1);
    for (unsigned i = 0; i < count; i++) {
        disk_add(disk, write->entries[i]);
    }
}

static void
disk_publish(struct disk *disk, const struct put *put)
{
    uint64_t index = put->snapshot.index;
    size_t gone = 0;
    disk->snapshot = put->snapshot;
    if (put->trailing == 0) {
        gone = disk->count;
        disk->first_index = index + 1;
    } else if (index > put->trailing && index - put->trailing >= disk->first_index) {
        gone = (size_t)(index - put->trailing - disk->first_index + 1);
        QO_ASSERT(gone <= disk->count);
        disk->first_index += gone;
    }
    memmove(disk->entries, disk->entries + gone, (disk->count - gone) * sizeof *disk->entries);
    disk->count -= gone;
}

/* -- Appends and truncates --------------------------------------------------------------------- */

static void synced(void *context);

static void
begin_sync(struct ground *ground)
{
    if (ground->sync_last == NULL && ground->first != NULL) {
        ground->sync_last = ground->last;
        event_plan(chance_between(ground->disk->sync_us_min, ground->disk->sync_us_max), ground->id,
                   synced, ground);
    }
}

/* All that the sync covered is durable; only then is anybody told. */
static void
synced(void *context)
{
    struct ground *ground = context;
    struct write *done = ground->first, *last = ground->sync_last;
    int status = 0;
    if (ground->disk->fails) {
        ground->disk->fails = false;
        ground->failed = true;
        ground->disk->shifted = !members_options()->rules->storage_is_fatal;
        status = RAFT_IOERR;
        story->counts.storage_failures++;
        member_expect_end(ground->id);
        tell(ground->id, "the disk fails a write");
        (void)memcpy(ground->io.errmsg, "simulated failure", sizeof "simulated failure");
    }
    ground->first = last->next;
    ground->last = ground->first == NULL ? NULL : ground->last;
    ground->sync_last = NULL;
    last->next = NULL;
    for (struct write *write = done; write != NULL && status == 0; write = write->next) {
        disk_apply(ground->disk, write, write->count);
    }
    if (status != 0 && last->request == NULL && !ground->disk->shifted) {
        /* A truncate has no callback: who writes the log ends the node himself. */
        qo_fatal(FATAL_STORAGE, "truncating the log failed");
    }
    begin_sync(ground);
    while (done != NULL) {
        struct write *next = done->next;
        if (done->request != NULL) {
            done->callback(done->request, status);
        }
        mem_free(done->entries);
        mem_free(done);
        done = next;
    }
}

static void
write_add(struct ground *ground, struct write write)
{
    struct write *added = mem_alloc(sizeof *added);
    *added = write;
    if (ground->last != NULL) {
        ground->last->next = added;
    } else {
        ground->first = added;
    }
    ground->last = added;
    begin_sync(ground);
}

static int
append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[],
       unsigned n, raft_io_append_cb callback)
{
    struct ground *ground = ground_of(io);
    struct write write = {
        .index = ground->next_index, .count = n, .request = request, .callback = callback};
    write.entries = mem_alloc((n + 1) * sizeof *write.entries);
    for (unsigned i = 0; i < n; i++) {
        write.entries[i] = (struct disk_entry){entries[i].term, entries[i].type,
                                               bytes_copy(entries[i].buf.base, entries[i].buf.len)};
    }
    ground->next_index += n;
    write_add(ground, write);
    return 0;
}

static int
truncate_log(struct raft_io *io, raft_index index)
{
    struct ground *ground = ground_of(io);
    tell(ground->id, "truncates its log at %llu", index);
    ground->next_index = index;
    write_add(ground, (struct write){.index = index});
    return 0;
}

void
ground_crash(struct ground *ground)
{
    struct write *write = ground->first;
    if (ground->failed && !ground->disk->shifted) {
        return; /* Behind a write that failed nothing is written. */
    }
    while (write != NULL && chance_permille(500)) {
        disk_apply(ground->disk, write, write->count);
        write = write->next;
    }
    if (write != NULL && write->request != NULL && write->count > 0) {
        unsigned count = (unsigned)chance_below(write->count);
        disk_apply(ground->disk, write, count);
        story->counts.torn += count > 0;
    }
    if (ground->put.request != NULL && ground->put.trailing > 0 && chance_permille(500)) {
        disk_publish(ground->disk, &ground->put);
    }
}

/* -- Snapshots --------------------------------------------------------------------------------- */

static void
put_done(void *context)
{
    struct ground *ground = context;
    struct put put = ground->put;
    ground->put.request = NULL;
    disk_publish(ground->disk, &put);
    story->counts.snapshots++;
    tell(ground->id, "has a snapshot at %llu, its log begins at %llu",
         (unsigned long long)put.snapshot.index, (unsigned long long)ground->disk->first_index);
    put.callback(put.request, 0);
}

static int
snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
             const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb callback)
{
    struct ground *ground = ground_of(io);
    QO_PRE(ground->put.request == NULL && snapshot->n_bufs == 1);
    ground->put = (struct put){
        .request = request,
        .callback = callback,
        .trailing = trailing,
        .snapshot = {snapshot->index, snapshot->term,
                     bytes_copy(snapshot->bufs[0].base, snapshot->bufs[0].len)},
    };
    if (trailing == 0) {
        ground->next_index = snapshot->index + 1;
    }
    event_plan(chance_between(1000, 200000), ground->id, put_done, ground);
    return 0;
}

static struct raft_snapshot *
snapshot_read(const struct ground *ground)
{
    const struct disk_snapshot *from = &ground->disk->snapshot;
    struct raft_snapshot *snapshot = raft_malloc(sizeof *snapshot);
    *snapshot = (struct raft_snapshot){
        .index = from->index, .term = from->term, .configuration_index = 1, .n_bufs = 1};
    configuration_make(ground->members_count, &snapshot->configuration);
    snapshot->bufs = raft_malloc(sizeof *snapshot->bufs);
    snapshot->bufs[0].len = from->data.size;
    snapshot->bufs[0].base = raft_malloc(from->data.size);
    memcpy(snapshot->bufs[0].base, from->data.data, from->data.size);
    return snapshot;
}

struct get {
    struct ground *ground;
    struct raft_io_snapshot_get *request;
    raft_io_snapshot_get_cb callback;
};

static void
get_done(void *context)
{
    struct get get = *(struct get *)context;
    mem_free(context);
    get.callback(get.request, snapshot_read(get.ground), 0);
}

static int
snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *request,
             raft_io_snapshot_get_cb callback)
{
    struct get *get = mem_alloc(sizeof *get);
    *get = (struct get){ground_of(io), request, callback};
    event_plan(chance_between(500, 20000), get->ground->id, get_done, get);
    return 0;
}

struct work {
    struct raft_io_async_work *request;
    raft_io_async_work_cb callback;
    struct ground *ground;
    int status;
};

static void
work_done(void *context)
{
    struct work work = *(struct work *)context;
    mem_free(context);
    work.callback(work.request, work.status);
}

/* The real work waits on a thread of the pool until the state has come so far. */
static void
work_run(void *context)
{
    struct work *work = context;
    if (!member_has_executed_all(work->ground->id)) {
        event_plan(5000, work->ground->id, work_run, work);
        return;
    }
    work->status = work->request->work(work->request);
    event_plan(chance_between(100, 50000), work->ground->id, work_done, work);
}

static int
async_work(struct raft_io *io, struct raft_io_async_work *request, raft_io_async_work_cb callback)
{
    struct work *work = mem_zalloc(sizeof *work);
    *work = (struct work){.request = request, .callback = callback, .ground = ground_of(io)};
    event_plan(chance_between(100, 20000), work->ground->id, work_run, work);
    return 0;
}

/* -- The rest of raft_io ----------------------------------------------------------------------- */

static int
init(struct raft_io *io, raft_id id, const char *address)
{
    QO_PRE(id == ground_of(io)->id && strcmp(address, ground_address((unsigned)id)) == 0);
    return 0;
}

static int
load(/* NOLINT(readability-function-size): the shape is raft_io's. */ struct raft_io *io,
     raft_term *term, raft_id *vote, struct raft_snapshot **snapshot, raft_index *start_index,
     struct raft_entry *entries[], size_t *n_entries)
{
    const struct ground *ground = ground_of(io);
    const struct disk *disk = ground->disk;
    *term = disk->term;
    *vote = disk->vote;
    *snapshot = disk->snapshot.index != 0 ? snapshot_read(ground) : NULL;
    *start_index = disk->first_index;
    *n_entries = disk->count;
    *entries = disk->count == 0 ? NULL : raft_malloc(disk->count * sizeof **entries);
    for (size_t i = 0; i < disk->count; i++) {
        const struct disk_entry *from = &disk->entries[i];
        struct raft_entry *to = &(*entries)[i];
        *to = (struct raft_entry){.term = from->term, .type = from->type};
        to->buf.len = from->bytes.size;
        to->buf.base = raft_malloc(from->bytes.size);
        memcpy(to->buf.base, from->bytes.data, from->bytes.size);
    }
    return 0;
}

static void
ticked(void *context)
{
    struct ground *ground = context;
    event_plan(member_true_us(ground->id, (int64_t)ground->heartbeat_ms * 1000), ground->id, ticked,
               ground);
    ground->tick(&ground->io);
}

static int
start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct ground *ground = ground_of(io);
    ground->heartbeat_ms = msecs;
    ground->tick = tick;
    ground->recv = recv;
    event_plan(chance_between(1, (int64_t)msecs * 1000), ground->id, ticked, ground);
    return 0;
}

void
ground_deliver(struct ground *ground, struct raft_message *message)
{
    ground->recv(&ground->io, message);
}

static int
never(struct raft_io *io, const struct raft_configuration *configuration)
{
    (void)io;
    (void)configuration;
    return RAFT_INVALID;
}

static void
never_closed(struct raft_io *io, raft_io_close_cb callback)
{
    (void)io;
    (void)callback;
    QO_ASSERT(false); /* A node ends without a close. */
}

/* A node may end at any of these. */
static int
set_term(struct raft_io *io, raft_term term)
{
    struct ground *ground = ground_of(io);
    member_may_die(ground->id);
    ground->disk->term = term;
    ground->disk->vote = 0;
    return 0;
}

static int
set_vote(struct raft_io *io, raft_id vote)
{
    struct ground *ground = ground_of(io);
    member_may_die(ground->id);
    ground->disk->vote = vote;
    return 0;
}

static int
send_message(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
             raft_io_send_cb callback)
{
    network_send(ground_of(io)->id, request, message, callback);
    return 0;
}

static raft_time
time_ms(struct raft_io *io)
{
    return (raft_time)(member_monotonic_us(ground_of(io)->id) / 1000);
}

static int
chance_of(struct raft_io *io, int min, int max)
{
    (void)io;
    return min + (int)chance_below((uint64_t)(max - min));
}

struct ground *
ground_open(unsigned id, struct disk *disk, unsigned members_count)
{
    struct ground *ground = mem_zalloc(sizeof *ground);
    ground->id = id;
    ground->members_count = members_count;
    ground->disk = disk;
    ground->next_index = disk_last_index(disk) + 1;
    ground->io = (struct raft_io){
        .version = 2,
        .impl = ground,
        .init = init,
        .close = never_closed,
        .load = load,
        .start = start,
        .bootstrap = never,
        .recover = never,
        .set_term = set_term,
        .set_vote = set_vote,
        .send = send_message,
        .append = append,
        .truncate = truncate_log,
        .snapshot_put = snapshot_put,
        .snapshot_get = snapshot_get,
        .time = time_ms,
        .random = chance_of,
        .async_work = async_work,
    };
    return ground;
}

struct raft_io *
ground_io(struct ground *ground)
{
    return &ground->io;
}
