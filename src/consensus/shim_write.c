/* See shim.h. What goes to the disk: in order, fatal if it fails, told at the right pace.
 * Thread: the loop. */
#include "common/assert.h"
#include "common/bytes.h"
#include "common/log.h"
#include "shim_parts.h"

struct shim_write {
    struct raft_io_append below;
    struct shim *shim;
    struct raft_io_append *request; /* libraft's. */
    raft_io_append_cb callback;
    uint64_t waited_ms;
    int status;
    bool stored; /* `below` has called back. */
    bool due;    /* May be told. */
    bool told;
    struct shim_write *next;
};

/*
 * S-4, cures A5, A6, A8b, A9, B8, B9: libraft goes on after a failed write with a memory that
 * differs from its disk. It never learns of one: the node ends, and starts again from its disk. Our
 * log ends it before it gets here (log.h); this is for whatever else is below.
 */
static void
end_if_failed(const struct shim *shim, int status, const char *what)
{
    if (status != 0 && shim->rules.storage_is_fatal) {
        qo_fatal(FATAL_STORAGE, "%s failed: %s: %s", what, raft_strerror(status),
                 shim->below->errmsg);
    }
}

int
shim_set_term(struct raft_io *io, raft_term term)
{
    struct shim *shim = shim_of(io);
    int status = shim->below->set_term(shim->below, term);
    end_if_failed(shim, status, "storing the term");
    return shim_copy_error(shim, status);
}

int
shim_set_vote(struct raft_io *io, raft_id vote)
{
    struct shim *shim = shim_of(io);
#if defined(QO_MUTANT_VOTE_NOT_PERSISTED)
    (void)vote;
    return shim != NULL ? 0 : RAFT_IOERR;
#else
    int status = shim->below->set_vote(shim->below, vote);
    end_if_failed(shim, status, "storing the vote");
    return shim_copy_error(shim, status);
#endif
}

/* -- Appends and truncates --------------------------------------------------------------------- */

static struct shim_write *
write_queue(struct shim *shim)
{
    struct shim_write *write = mem_zalloc(sizeof *write);
    write->shim = shim;
    write->below.data = write;
    if (shim->writes_last != NULL) {
        shim->writes_last->next = write;
    } else {
        shim->writes_first = write;
    }
    shim->writes_last = write;
    return write;
}

/* Takes back the newest write, which `below` refused (only without S-4). */
static void
write_unqueue(struct shim *shim, struct shim_write *write)
{
    struct shim_write **link = &shim->writes_first, *before = NULL;
    while (*link != write) {
        before = *link;
        link = &before->next;
    }
    *link = NULL;
    shim->writes_last = before;
    mem_free(write);
}

static void stored(struct raft_io_append *below, int status);

int
shim_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[],
            unsigned n, raft_io_append_cb callback)
{
    struct shim *shim = shim_of(io);
    shim_note_verified(shim); /* libraft stores what it accepted. */
    struct shim_write *write = write_queue(shim);
    write->request = request;
    write->callback = callback;
#if defined(QO_MUTANT_ACK_BEFORE_SYNC)
    write->due = true;
#endif
    shim->inside++;
    int status = shim->below->append(shim->below, &write->below, entries, n, stored);
    shim->inside--; /* `write` may be gone: without S-9 it is told inside. */
    end_if_failed(shim, status, "appending");
    if (status != 0) {
        write_unqueue(shim, write);
    }
    return shim_copy_error(shim, status);
}

int
shim_truncate(struct raft_io *io, raft_index index)
{
    struct shim *shim = shim_of(io);
    const struct raft *raft = shim_raft(shim);
    if (raft != NULL && index <= raft->commit_index) {
        qo_fatal(FATAL_RAFT, "asked to truncate the log at %llu, but %llu is committed", index,
                 raft->commit_index);
    }
    QO_ASSERT(!shim->rules.spare_unstored || shim->writes_first == NULL);
    shim->inside++;
    int status = shim->below->truncate(shim->below, index);
    shim->inside--;
    end_if_failed(shim, status, "truncating the log");
    return shim_copy_error(shim, status);
}

static void
stored(struct raft_io_append *below, int status)
{
    struct shim_write *write = below->data;
    struct shim *shim = write->shim;
    end_if_failed(shim, status, "appending to the log");
    write->status = status;
    write->stored = write->due = true;
    if (write->told) {
        mem_free(write); /* Only a mutant tells before. */
    }
    if (!shim->rules.never_inside && shim->inside > 0) {
        (void)shim_tell_writes(shim);
    }
    shim_settle(shim);
}

/*
 * S-3, cures A3: a leader counts copies only of its own last stored index, so that under a stream
 * of writes, its disk always ahead of the followers, it never commits anything. It learns of the
 * next stored batch only when the one before is committed. The disk writes overlap all the same,
 * and hearing of one late is always safe.
 */
static bool
pace_allows(const struct shim *shim)
{
    const struct raft *raft = shim_raft(shim);
    return !shim->rules.pace_completions || raft->state != RAFT_LEADER ||
           raft->last_stored < shim->barrier_index || raft->commit_index >= raft->last_stored;
}

bool
shim_tell_writes(struct shim *shim)
{
    bool any = false;
    struct shim_write *write = shim->writes_first;
    while (write != NULL && write->due && pace_allows(shim)) {
        shim->writes_first = write->next;
        shim->writes_last = write->next == NULL ? NULL : shim->writes_last;
        write->told = true;
        shim_enter(shim);
        write->callback(write->request, write->status);
        shim_leave(shim);
        if (write->stored) {
            mem_free(write);
        }
        any = true;
        write = shim->writes_first;
    }
    return any;
}

bool
shim_writes_under_way(const struct shim *shim)
{
    return shim->writes_first != NULL || (shim->put.request != NULL && shim->put.trailing == 0);
}

/* -- Snapshots --------------------------------------------------------------------------------- */

static void
put_finished(struct shim *shim, int status)
{
    if (shim->put.trailing == 0) {
        end_if_failed(shim, status, "installing a snapshot");
    } else if (status != 0) {
        /* The log stays longer; snapshots.c waits before it tries again. */
        log_line(LOG_ERROR, "snapshot_failed", "index=%llu error=\"%s: %s\"",
                 shim->put.snapshot->index, raft_strerror(status), shim->below->errmsg);
    }
    shim->put.status = status;
    shim->put.done = true;
}

static void
put_stored(struct raft_io_snapshot_put *below, int status)
{
    struct shim *shim = below->data;
    put_finished(shim, status);
    shim_settle(shim);
}

int
shim_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
                  const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb callback)
{
    struct shim *shim = shim_of(io);
    QO_PRE(shim->put.request == NULL);
    shim->put.request = request;
    shim->put.callback = callback;
    shim->put.snapshot = snapshot;
    shim->put.trailing = trailing;
    shim->put.done = false;
    shim->put.waited_ms = 0;
    shim->put.below.data = shim;
    shim->inside++;
    int status =
        shim->below->snapshot_put(shim->below, trailing, &shim->put.below, snapshot, put_stored);
    shim->inside--;
    if (status != 0) {
        put_finished(shim, status); /* Told later: an error here would turn libraft off (A10). */
    }
    return 0;
}

bool
shim_tell_put(struct shim *shim)
{
    if (!shim->put.done) {
        return false;
    }
    struct raft_io_snapshot_put *request = shim->put.request;
    shim->put.request = NULL;
    shim->put.done = false;
    shim_enter(shim);
    shim->put.callback(request, shim->put.status);
    shim_leave(shim);
    return true;
}

/* -- S-10 -------------------------------------------------------------------------------------- */

void
shim_watch_disk(struct shim *shim, uint64_t step_ms)
{
    struct shim_write *write = shim->writes_first;
    while (write != NULL && write->stored) {
        write = write->next;
    }
    if (write != NULL) {
        write->waited_ms += step_ms;
        if (write->waited_ms > QO_APPEND_STALL_MS_MAX) {
            qo_fatal(FATAL_STORAGE,
                     "an append has waited for %llu ms: the disk does not answer, or has no room "
                     "for the log (then log_no_room stands before this)",
                     (unsigned long long)write->waited_ms);
        }
    }
    if (shim->put.request != NULL && !shim->put.done) {
        shim->put.waited_ms += step_ms;
        if (shim->put.waited_ms > QO_SNAPSHOT_STALL_MS_MAX) {
            qo_fatal(FATAL_STORAGE, "the disk has not answered a snapshot for %llu ms",
                     (unsigned long long)shim->put.waited_ms);
        }
    }
}
