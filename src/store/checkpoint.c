/*
 * See checkpoint.h and store/store.h. Thread: any one.
 *
 * RocksDB makes a checkpoint by flushing all families at one point between two commits and linking
 * the files. So after it the live database, too, holds on disk whatever the checkpoint holds:
 * should the node stop, it starts from there or later, and the log up to there is needed no more.
 */
#include "checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "rocks.h"

#define CHECKPOINTS "checkpoints"
#define HALF_MADE "new.tmp"

void
checkpoint_path(char path[CHECKPOINT_PATH_MAX], const char *directory, const char *name)
{
    int size = snprintf(path, CHECKPOINT_PATH_MAX, "%s/%s", directory, name);
    if (size < 0 || size >= CHECKPOINT_PATH_MAX) {
        qo_fatal(FATAL_DIRECTORY, "path too long: %s/%s", directory, name);
    }
}

static DIR *
directory_open(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        qo_fatal(FATAL_STORAGE, "cannot read directory %s: %s", path, strerror(errno));
    }
    return directory;
}

static void
directory_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        qo_fatal(FATAL_STORAGE, "cannot sync directory %s: %s", path, strerror(errno));
    }
    close(fd);
}

/* Removes the files of a directory whose names begin with `prefix`. */
static void
remove_files(const char *path, const char *prefix)
{
    char file[CHECKPOINT_PATH_MAX];
    DIR *directory = directory_open(path);
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strncmp(entry->d_name, prefix, strlen(prefix)) != 0) {
            continue;
        }
        checkpoint_path(file, path, entry->d_name);
        if (unlink(file) != 0 && errno != ENOENT) {
            qo_fatal(FATAL_STORAGE, "cannot remove %s: %s", file, strerror(errno));
        }
    }
    closedir(directory);
}

/* Removes a checkpoint, which holds files and no directories. */
static void
remove_checkpoint(const char *path)
{
    remove_files(path, "");
    if (rmdir(path) != 0) {
        qo_fatal(FATAL_STORAGE, "cannot remove %s: %s", path, strerror(errno));
    }
}

static bool
exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

/* The log index in a checkpoint's name. False: it is the name of something else. */
static bool
index_of_name(const char *name, uint64_t *index_out)
{
    char *end;
    if (name[0] < '0' || name[0] > '9') {
        return false;
    }
    errno = 0;
    *index_out = strtoull(name, &end, 10);
    return errno == 0 && *end == '\0';
}

void
checkpoint_prepare(const char *directory)
{
    char path[CHECKPOINT_PATH_MAX], name[CHECKPOINT_PATH_MAX];
    checkpoint_path(path, directory, CHECKPOINTS);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        qo_fatal(FATAL_DIRECTORY, "cannot make directory %s: %s", path, strerror(errno));
    }
    /* RocksDB itself works in <name>.tmp. */
    static const char *const half_made[] = {HALF_MADE, HALF_MADE ".tmp"};
    for (size_t i = 0; i < sizeof half_made / sizeof half_made[0]; i++) {
        checkpoint_path(name, path, half_made[i]);
        if (exists(name)) {
            remove_checkpoint(name);
        }
    }
}

/* Removes the oldest checkpoint while there are more than are kept. */
static void
prune(const char *checkpoints)
{
    char path[CHECKPOINT_PATH_MAX];
    for (uint32_t count = CHECKPOINTS_KEPT + 1; count > CHECKPOINTS_KEPT;) {
        uint64_t index, oldest = UINT64_MAX;
        DIR *directory = directory_open(checkpoints);
        struct dirent *entry;
        count = 0;
        while ((entry = readdir(directory)) != NULL) {
            if (index_of_name(entry->d_name, &index)) {
                count++;
                oldest = index < oldest ? index : oldest;
            }
        }
        closedir(directory);
        if (count > CHECKPOINTS_KEPT) {
            char name[32];
            snprintf(name, sizeof name, "%" PRIu64, oldest);
            checkpoint_path(path, checkpoints, name);
            remove_checkpoint(path);
        }
    }
}

/* Opens the checkpoint as who restores it would, and reads out of it what it holds. */
static void
prove(const struct store *store, const char *path, struct applied_point *applied_out)
{
    struct rocks rocks;
    struct buf event = {0};
    rocks_open(&rocks, &store->options, path, true);
    rocks_get_applied(&rocks, store->read_newest, store->shards, applied_out);
    rocksdb_iterator_t *events =
        rocksdb_create_iterator_cf(rocks.db, store->read_newest, rocks.families[FAMILY_EVENTS]);
    if (applied_out->seq > 0 && !rocks_find_event(events, applied_out->seq, &event)) {
        qo_fatal(FATAL_CORRUPT, "checkpoint %s lacks event %" PRIu64 ", which it counts", path,
                 applied_out->seq);
    }
    rocksdb_iter_destroy(events);
    buf_free(&event);
    rocks_close(&rocks);
    remove_files(path, "LOG"); /* RocksDB's notes on having been opened. */
}

void
store_checkpoint(struct store *store, struct applied_point *applied_out)
{
    char checkpoints[CHECKPOINT_PATH_MAX], half_made[CHECKPOINT_PATH_MAX];
    char path[CHECKPOINT_PATH_MAX], name[32];
    checkpoint_path(checkpoints, store->directory, CHECKPOINTS);
    checkpoint_path(half_made, checkpoints, HALF_MADE);
    int64_t begun_us = clock_monotonic_us();
    struct store_view *view = store_view_begin(store);
    uint64_t index_before = store_view_applied(view)->index;
    store_view_end(view);

    char *error = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(store->rocks.db, &error);
    rocks_check(error, "beginning a checkpoint");
    rocksdb_checkpoint_create(checkpoint, half_made, 0, &error);
    rocks_check(error, half_made);
    rocksdb_checkpoint_object_destroy(checkpoint);

    prove(store, half_made, applied_out);
    QO_ASSERT(applied_out->index >= index_before);
    snprintf(name, sizeof name, "%" PRIu64, applied_out->index);
    checkpoint_path(path, checkpoints, name);
    if (exists(path)) {
        remove_checkpoint(half_made); /* Nothing was executed since: it holds the same. */
    } else if (rename(half_made, path) != 0) {
        qo_fatal(FATAL_STORAGE, "cannot rename %s: %s", half_made, strerror(errno));
    }
    directory_sync(checkpoints);
    prune(checkpoints); /* Only now: the newest is proven and has its name for good. */
    atomic_fetch_add(&store->checkpoints, 1);
    log_line(LOG_INFO, "checkpoint", "applied_index=%" PRIu64 " seq=%" PRIu64 " took_ms=%" PRId64,
             applied_out->index, applied_out->seq, (clock_monotonic_us() - begun_us) / 1000);
}
