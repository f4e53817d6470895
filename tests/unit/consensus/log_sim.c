/* See log_sim.h. Thread: any, one. */
#include "log_sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "support/seed.h"

int
sim_find(const struct sim_disk *sim, const char *name)
{
    for (int i = 0; i < SIM_FILES_MAX; i++) {
        if (sim->files[i].exists && strcmp(sim->files[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Blocks of `data` reach the disk, or not, or each other's places. */
static void
tear(struct sim_disk *sim, int file, uint64_t offset, const uint8_t *data, uint64_t size)
{
    uint64_t unit = seed_below(sim->prng, 2) == 0 ? 512 : LOG_BLOCK;
    uint64_t lost_of_8 = seed_below(sim->prng, 9);
    bool misdirects = seed_below(sim->prng, 4) == 0;
    uint8_t *to = sim->files[file].data + offset;
    QO_ASSERT(sim->files[file].exists && offset + size <= sim->files[file].size);
    for (uint64_t at = 0; at < size; at += unit) {
        if (seed_below(sim->prng, 8) < lost_of_8) {
            continue;
        }
        uint64_t place = at;
        if (misdirects && seed_below(sim->prng, 3) == 0) {
            place = seed_below(sim->prng, size / unit) * unit;
        }
        memcpy(to + place, data + at, unit);
    }
}

/* Counts an operation: true if the disk crashes in it. */
static bool
crashes(struct sim_disk *sim)
{
    sim->operations++;
    if (sim->crash_in >= 0 && sim->crash_in-- == 0) {
        sim->crashed = true;
    }
    return sim->crashed;
}

static int
sim_names(void *context, void (*each)(void *arg, const char *name), void *arg)
{
    struct sim_disk *sim = context;
    for (int i = 0; i < SIM_FILES_MAX; i++) {
        if (sim->files[i].exists) {
            each(arg, sim->files[i].name);
        }
    }
    return 0;
}

static int
sim_open(void *context, const char *name, int *file_out, uint64_t *size_out)
{
    struct sim_disk *sim = context;
    int file = sim_find(sim, name);
    if (file < 0) {
        return ENOENT;
    }
    *file_out = file;
    *size_out = sim->files[file].size;
    return 0;
}

static int
make(struct sim_disk *sim, const char *name, uint64_t size)
{
    QO_ASSERT(sim_find(sim, name) < 0);
    for (int i = 0; i < SIM_FILES_MAX; i++) {
        struct sim_file *file = &sim->files[i];
        if (!file->exists) {
            mem_free(file->data);
            *file = (struct sim_file){.size = size, .exists = true};
            file->data = mem_zalloc(size + 1);
            (void)snprintf(file->name, sizeof file->name, "%s", name);
            return i;
        }
    }
    QO_ASSERT(false);
    return -1;
}

static int
sim_create(void *context, const char *name, uint64_t size, int *file_out)
{
    struct sim_disk *sim = context;
    if (crashes(sim)) {
        *file_out = 0;
        return 0;
    }
    *file_out = make(sim, name, size);
    return 0;
}

static int
sim_read(void *context, int file, uint64_t offset, uint8_t *data, size_t size)
{
    struct sim_disk *sim = context;
    QO_ASSERT(sim->files[file].exists && offset + size <= sim->files[file].size);
    memcpy(data, sim->files[file].data + offset, size);
    return 0;
}

static void
store(struct sim_disk *sim, int file, uint64_t offset, const uint8_t *data, uint64_t size)
{
    QO_ASSERT(sim->files[file].exists && offset + size <= sim->files[file].size);
    if (sim->lies && sim->cached < SIM_LIES_MAX && seed_below(sim->prng, 4) == 0) {
        struct sim_write write = {file, offset, size, mem_alloc(size)};
        memcpy(write.data, data, size);
        sim->cache[sim->cached++] = write;
        return;
    }
    memcpy(sim->files[file].data + offset, data, size);
}

static int
sim_write(void *context, int file, uint64_t offset, const uint8_t *data, size_t size)
{
    struct sim_disk *sim = context;
    bool before = sim->crashed;
    QO_ASSERT(offset % LOG_BLOCK == 0 && size % LOG_BLOCK == 0);
    QO_ASSERT((uintptr_t)data % LOG_BLOCK == 0);
    if (crashes(sim)) {
        if (!before) {
            tear(sim, file, offset, data, size);
        }
        return 0; /* Nobody lives to see it. */
    }
    int error = sim->error;
    sim->error = 0;
    if (error == 0) {
        store(sim, file, offset, data, size);
    } else if (sim->tears_failures) {
        tear(sim, file, offset, data, size);
    }
    return error;
}

static int
sim_remove(void *context, const char *name, int file)
{
    struct sim_disk *sim = context;
    QO_ASSERT(strcmp(sim->files[file].name, name) == 0);
    if (!crashes(sim)) {
        sim->files[file].exists = false;
    }
    return 0;
}

static void
sim_close(void *context, int file)
{
    (void)context;
    QO_ASSERT(file >= 0 && file < SIM_FILES_MAX);
}

static void
sim_submit(void *context, struct log_io *io)
{
    struct sim_disk *sim = context;
    QO_ASSERT(sim->counts[io->lane] < LOG_IO_MAX);
    sim->queues[io->lane][sim->counts[io->lane]++] = io;
}

static void
set_table(struct sim_disk *sim)
{
    sim->table = (struct log_disk){
        .context = sim,
        .names = sim_names,
        .open = sim_open,
        .create = sim_create,
        .read = sim_read,
        .write = sim_write,
        .remove = sim_remove,
        .close = sim_close,
        .submit = sim_submit,
    };
}

void
sim_init(struct sim_disk *sim, uint64_t *prng)
{
    *sim = (struct sim_disk){.prng = prng, .crash_in = -1};
    set_table(sim);
}

void
sim_free(struct sim_disk *sim)
{
    for (int i = 0; i < SIM_FILES_MAX; i++) {
        mem_free(sim->files[i].data);
    }
    for (unsigned i = 0; i < sim->cached; i++) {
        mem_free(sim->cache[i].data);
    }
}

void
sim_clone(struct sim_disk *copy, const struct sim_disk *sim, uint64_t *prng)
{
    sim_init(copy, prng);
    for (int i = 0; i < SIM_FILES_MAX; i++) {
        if (sim->files[i].exists) {
            copy->files[i] = sim->files[i];
            copy->files[i].data = mem_alloc(sim->files[i].size + 1);
            memcpy(copy->files[i].data, sim->files[i].data, sim->files[i].size);
        }
    }
}

bool
sim_step(struct sim_disk *sim)
{
    unsigned lane = (unsigned)seed_below(sim->prng, LOG_LANES);
    if (sim->counts[lane] == 0) {
        lane = LOG_LANES - 1 - lane;
    }
    return sim_step_lane(sim, lane);
}

bool
sim_step_lane(struct sim_disk *sim, unsigned lane)
{
    if (sim->counts[lane] == 0 || sim->crashed) {
        return false;
    }
    if (crashes(sim)) { /* With this one and others under way. */
        return true;
    }
    struct log_io *io = sim->queues[lane][0];
    sim->counts[lane]--;
    memmove(&sim->queues[lane][0], &sim->queues[lane][1],
            sim->counts[lane] * sizeof sim->queues[lane][0]);
    int64_t crash_in = sim->crash_in;
    sim->crash_in = -1; /* Counted above. */
    switch (io->kind) {
    case LOG_IO_WRITE:
        io->error = sim_write(sim, io->file, io->offset, io->data, (size_t)io->size);
        break;
    case LOG_IO_CREATE:
        io->error = sim->error;
        sim->error = 0;
        if (io->error == 0) {
            io->error = sim_create(sim, io->name, io->size, &io->file);
        }
        break;
    case LOG_IO_REMOVE:
        io->error = sim_remove(sim, io->name, io->file);
        break;
    }
    sim->crash_in = crash_in;
    io->done(io);
    return true;
}

static void
tear_io(struct sim_disk *sim, const struct log_io *io)
{
    uint64_t chance = seed_below(sim->prng, 3);
    switch (io->kind) {
    case LOG_IO_WRITE:
        tear(sim, io->file, io->offset, io->data, io->size);
        break;
    case LOG_IO_CREATE:
        if (chance > 0) {
            (void)make(sim, io->name, chance == 1 ? io->size : seed_below(sim->prng, io->size));
        }
        break;
    case LOG_IO_REMOVE:
        sim->files[io->file].exists = chance != 0;
        break;
    }
}

void
sim_restart(struct sim_disk *sim)
{
    for (unsigned i = 0; i < sim->cached; i++) {
        const struct sim_write *write = &sim->cache[i];
        if (sim->files[write->file].exists) {
            tear(sim, write->file, write->offset, write->data, write->size);
        }
        mem_free(write->data);
    }
    sim->cached = 0;
    for (unsigned lane = 0; lane < LOG_LANES; lane++) {
        /* A lane does one after the other: only its first one has begun. */
        if (sim->counts[lane] > 0) {
            tear_io(sim, sim->queues[lane][0]);
        }
        sim->counts[lane] = 0;
    }
    sim->crashed = false;
    sim->error = 0;
    sim->crash_in = -1;
}
