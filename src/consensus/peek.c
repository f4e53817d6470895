/* See peek.h. Thread: the loop. */
#include "peek.h"

#include <stddef.h>

#include "common/assert.h"

/* raft_progress.state, as "Probe, pipeline or snapshot" in raft.h. */
enum { PROGRESS_PROBE, PROGRESS_PIPELINE, PROGRESS_SNAPSHOT };

static size_t
entries_count(const struct raft_log *log)
{
    return log->front <= log->back ? log->back - log->front : log->size - log->front + log->back;
}

const struct raft_entry *
peek_entry(const struct raft *raft, uint64_t index)
{
    const struct raft_log *log = &raft->log;
    if (index <= log->offset || index - log->offset > entries_count(log)) {
        return NULL;
    }
    return &log->entries[(log->front + (size_t)(index - log->offset - 1)) % log->size];
}

uint64_t
peek_term(const struct raft *raft, uint64_t index)
{
    const struct raft_entry *entry = peek_entry(raft, index);
    if (entry != NULL) {
        return entry->term;
    }
    return index != 0 && index == raft->log.snapshot.last_index ? raft->log.snapshot.last_term : 0;
}

uint64_t
peek_first_index(const struct raft *raft)
{
    return raft->log.offset + 1;
}

uint64_t
peek_last_index(const struct raft *raft)
{
    uint64_t last = raft->log.offset + entries_count(&raft->log);
    return last > raft->log.snapshot.last_index ? last : raft->log.snapshot.last_index;
}

static unsigned
server_slot(const struct raft *raft, raft_id id)
{
    unsigned i = 0;
    while (i < raft->configuration.n && raft->configuration.servers[i].id != id) {
        i++;
    }
    return i;
}

const struct raft_server *
peek_server(const struct raft *raft, raft_id id)
{
    unsigned i = server_slot(raft, id);
    return i < raft->configuration.n ? &raft->configuration.servers[i] : NULL;
}

static struct raft_progress *
progress_of(const struct raft *raft, raft_id id)
{
    unsigned i = server_slot(raft, id);
    if (raft->state != RAFT_LEADER || raft->leader_state.progress == NULL ||
        i == raft->configuration.n) {
        return NULL;
    }
    return &raft->leader_state.progress[i];
}

const struct raft_progress *
peek_progress(const struct raft *raft, raft_id id)
{
    return progress_of(raft, id);
}

bool
peek_wants_snapshot(const struct raft_progress *progress)
{
    return progress->state == PROGRESS_SNAPSHOT;
}

void
peek_lower_next(struct raft *raft, raft_id id, uint64_t next)
{
    struct raft_progress *progress = progress_of(raft, id);
    if (progress != NULL && progress->state == PROGRESS_PIPELINE && progress->next_index > next) {
        QO_ASSERT(next > progress->match_index);
        progress->next_index = next;
    }
}

void
peek_probe_from_end(struct raft *raft, raft_id id)
{
    struct raft_progress *progress = progress_of(raft, id);
    if (progress != NULL && progress->state == PROGRESS_PROBE) {
        progress->next_index = peek_last_index(raft) + 1;
    }
}

void
peek_probe_at(struct raft *raft, raft_id id, uint64_t next)
{
    struct raft_progress *progress = progress_of(raft, id);
    QO_PRE(progress != NULL && next > progress->match_index);
    progress->state = PROGRESS_PROBE;
    progress->snapshot_index = 0;
    progress->next_index = next;
}

void
peek_forget_leader(struct raft *raft)
{
    QO_PRE(raft->state == RAFT_FOLLOWER);
    raft_free(raft->follower_state.current_leader.address);
    raft->follower_state.current_leader.id = 0;
    raft->follower_state.current_leader.address = NULL;
}
