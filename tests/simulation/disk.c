/* See disk.h. Thread: the run's. */
#include "disk.h"

#include <errno.h>

#include "common/assert.h"
#include "events.h"
#include "member.h"
#include "story.h"

/* Arranges the failure of the next operation; what it wrote is torn. */
static void
let_fail(struct disk *disk)
{
    disk->fails = false;
    disk->sim.error = EIO;
    story->counts.storage_failures++;
    member_expect_end(disk->id);
    tell(disk->id, "its disk fails a write");
}

/* -- Blocking: birth, opening, term and vote --------------------------------------------------- */

static int
write_now(void *context, int file, uint64_t offset, const uint8_t *data, size_t size)
{
    struct disk *disk = context;
    if (!member_running()) {
        return disk->sim.table.write(&disk->sim, file, offset, data, size);
    }
    if (member_is_to_die(disk->id)) {
        disk->sim.crash_in = 0;
        (void)disk->sim.table.write(&disk->sim, file, offset, data, size);
        member_die("while it writes");
    }
    if (disk->fails) {
        let_fail(disk);
    }
    /* The loop stands still so long. */
    member_stop(disk->id, chance_between(disk->sync_us_min, disk->sync_us_max));
    return disk->sim.table.write(&disk->sim, file, offset, data, size);
}

static int
create_now(void *context, const char *name, uint64_t size, int *file_out)
{
    struct disk *disk = context;
    return disk->sim.table.create(&disk->sim, name, size, file_out);
}

static int
remove_now(void *context, const char *name, int file)
{
    struct disk *disk = context;
    return disk->sim.table.remove(&disk->sim, name, file);
}

static int
names(void *context, void (*each)(void *arg, const char *name), void *arg)
{
    struct disk *disk = context;
    return disk->sim.table.names(&disk->sim, each, arg);
}

static int
open_file(void *context, const char *name, int *file_out, uint64_t *size_out)
{
    struct disk *disk = context;
    return disk->sim.table.open(&disk->sim, name, file_out, size_out);
}

static int
read_now(void *context, int file, uint64_t offset, uint8_t *data, size_t size)
{
    struct disk *disk = context;
    return disk->sim.table.read(&disk->sim, file, offset, data, size);
}

static void
close_file(void *context, int file)
{
    struct disk *disk = context;
    disk->sim.table.close(&disk->sim, file);
}

/* -- In the background ------------------------------------------------------------------------- */

static void plan(struct disk *disk, enum log_lane lane);

static void
done(struct disk *disk, enum log_lane lane)
{
    const struct log_io *io = disk->sim.queues[lane][0];
    if (disk->hangs) {
        if (lane == LOG_LANE_APPEND && disk->hangs_since_us == 0) {
            disk->hangs_since_us = events_now_us();
        }
        return; /* For the rest of this life. */
    }
    disk->planned[lane] = false;
    if (disk->fails && io->kind != LOG_IO_REMOVE) {
        let_fail(disk);
    } else if (disk->full && io->kind == LOG_IO_CREATE) {
        disk->sim.error = ENOSPC;
        story->counts.no_room++;
    }
    if (lane == LOG_LANE_APPEND && io->kind == LOG_IO_WRITE && disk->sim.error == 0) {
        disk->before = disk->last;
        disk->last = (struct disk_place){io->file, io->offset, io->size};
    }
    (void)sim_step_lane(&disk->sim, lane);
    plan(disk, lane);
}

static void
append_done(void *context)
{
    done(context, LOG_LANE_APPEND);
}

static void
background_done(void *context)
{
    done(context, LOG_LANE_BACKGROUND);
}

/* A lane does one after the other. */
static void
plan(struct disk *disk, enum log_lane lane)
{
    if (disk->sim.counts[lane] > 0 && !disk->planned[lane]) {
        disk->planned[lane] = true;
        event_plan(chance_between(disk->sync_us_min, disk->sync_us_max), disk->id,
                   lane == LOG_LANE_APPEND ? append_done : background_done, disk);
    }
}

static void
submit(void *context, struct log_io *io)
{
    struct disk *disk = context;
    disk->sim.table.submit(&disk->sim, io);
    plan(disk, io->lane);
}

/* -- All of it --------------------------------------------------------------------------------- */

void
disk_init(struct disk *disk, unsigned id)
{
    *disk = (struct disk){.id = id, .sync_us_min = 100, .sync_us_max = 400};
    sim_init(&disk->sim, events_chance());
    disk->sim.tears_failures = true;
    disk->table = (struct log_disk){
        .context = disk,
        .names = names,
        .open = open_file,
        .create = create_now,
        .read = read_now,
        .write = write_now,
        .remove = remove_now,
        .close = close_file,
        .submit = submit,
    };
}

bool
disk_idle(const struct disk *disk)
{
    return disk->sim.counts[LOG_LANE_APPEND] == 0 && disk->sim.counts[LOG_LANE_BACKGROUND] == 0 &&
           !disk->full;
}

void
disk_crash(struct disk *disk)
{
    disk->hangs = false;
    disk->hangs_since_us = 0;
    for (unsigned lane = 0; lane < LOG_LANES; lane++) {
        disk->planned[lane] = false;
        story->counts.torn += disk->sim.counts[lane] > 0;
    }
    sim_restart(&disk->sim);
}

void
disk_copy(struct disk *copy, const struct disk *disk)
{
    disk_init(copy, disk->id);
    sim_clone(&copy->sim, &disk->sim, events_chance());
}

void
disk_free(struct disk *disk)
{
    sim_free(&disk->sim);
}

static struct disk_place
anywhere(const struct disk *disk)
{
    unsigned file;
    do {
        file = (unsigned)chance_below(SIM_FILES_MAX);
    } while (!disk->sim.files[file].exists || disk->sim.files[file].size == 0);
    return (struct disk_place){(int)file, 0, disk->sim.files[file].size};
}

bool
disk_flip(struct disk *disk, bool marked)
{
    struct disk_place place = !marked                ? disk->before
                              : chance_permille(300) ? disk->last
                                                     : anywhere(disk);
    if (place.size == 0 || !disk->sim.files[place.file].exists) {
        return false;
    }
    struct sim_file *file = &disk->sim.files[place.file];
    uint64_t at = place.offset + chance_below(place.size);
    if (!marked || chance_permille(700)) {
        /* Where something is written; most of a disk of ours is zeros. */
        for (unsigned tries = 0; tries < 1000 && file->data[at] == 0; tries++) {
            at = place.offset + chance_below(place.size);
        }
    }
    file->data[at] ^= (uint8_t)(1u << chance_below(8));
    story->counts.flips++;
    tell(disk->id, "a bit of its file %s flips at offset %llu", file->name, (unsigned long long)at);
    return true;
}
