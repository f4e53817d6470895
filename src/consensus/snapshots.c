/*
 * See state.h. The log stays bounded in bytes and entries: once enough has been handed over,
 * libraft is let to take a snapshot, whose content is the client's manifest of a checkpoint,
 * wrapped and checked: magic, CRC-32C of the rest, applied index, size, manifest, zeros to a
 * multiple of 8.
 *
 * libraft decides by counting entries, at every entry that it applies. So its threshold is "never"
 * until the bytes are enough, then "now" (B3, guard list 4i).
 * Thread: the loop; checkpoint_work() on a thread of the pool.
 */
#include <limits.h>
#include <string.h>

#include "common/assert.h"
#include "common/hash.h"
#include "common/log.h"
#include "peek.h"
#include "state.h"

enum { WRAP_BYTES = 20, ENTRY_OVERHEAD_BYTES = 32 };
static const uint32_t wrap_magic = 0x314d4f51; /* "QOM1" */

/* -- The wrapped manifest ---------------------------------------------------------------------- */

static void
wrap(struct bytes manifest, uint64_t applied, struct raft_buffer *out)
{
    size_t size = (WRAP_BYTES + manifest.size + 7) / 8 * 8;
    uint8_t *data = raft_malloc(size);
    memset(data, 0, size);
    put_le32(data, wrap_magic);
    put_le64(data + 8, applied);
    put_le32(data + 16, (uint32_t)manifest.size);
    memcpy(data + WRAP_BYTES, manifest.data, manifest.size);
    put_le32(data + 4, hash_crc32c(bytes_make(data + 8, size - 8)));
    *out = (struct raft_buffer){data, size};
}

static struct bytes
unwrap(const struct raft_buffer *buffer, uint64_t *applied_out)
{
    const uint8_t *data = buffer->base;
    size_t size = buffer->len;
    if (size < WRAP_BYTES || get_le32(data) != wrap_magic ||
        get_le32(data + 4) != hash_crc32c(bytes_make(data + 8, size - 8)) ||
        get_le32(data + 16) > size - WRAP_BYTES) {
        qo_fatal(FATAL_CORRUPT, "the log's snapshot is damaged");
    }
    *applied_out = get_le64(data + 8);
    return bytes_make(data + WRAP_BYTES, get_le32(data + 16));
}

/* -- libraft's state machine ------------------------------------------------------------------- */

static int
apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
    (void)fsm;
    (void)buffer;
    *result = NULL; /* Handed over later, from the log: see handover.c. */
    return 0;
}

static uint64_t
entry_bytes(const struct raft_entry *entry)
{
    return entry->buf.len + ENTRY_OVERHEAD_BYTES;
}

/* How many entries up to `index` to keep: so many that they are `bytes_max`, if there are. */
static unsigned
trailing_of(const struct consensus *consensus, uint64_t index)
{
    uint64_t bytes = 0;
    unsigned count = 0;
    const struct raft_entry *entry = peek_entry(&consensus->raft, index);
    while (entry != NULL && bytes < consensus->snapshots.bytes_max && count < QO_LOG_ENTRIES_MAX) {
        bytes += entry_bytes(entry);
        count++;
        entry = peek_entry(&consensus->raft, index - count);
    }
    return count > 0 ? count : 1; /* 0 would mean: replace the whole log. */
}

/* Only notes the index: what libraft has applied, which is neither handed over nor executed yet. */
static int
snapshot(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *count)
{
    struct consensus *consensus = fsm->data;
    struct raft *raft = &consensus->raft;
    raft_set_snapshot_threshold(raft, UINT_MAX);
    consensus->snapshots.index = raft->last_applied;
    consensus->snapshots.term = peek_term(raft, raft->last_applied);
    raft_set_snapshot_trailing(raft, trailing_of(consensus, raft->last_applied));
    *buffers = NULL;
    *count = 0;
    return 0;
}

/* On a pool thread. */
static int
checkpoint_work(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *count)
{
    const struct consensus *consensus = fsm->data;
    const struct consensus_client *client = &consensus->client;
    uint64_t index = consensus->snapshots.index; /* Fixed until this is done. */
    uint64_t term = consensus->snapshots.term;
    uint64_t applied = 0;
    struct buf manifest = {0};
    if (!client->checkpoint(client->context, index, term, &manifest, &applied)) {
        buf_free(&manifest);
        return RAFT_IOERR;
    }
    QO_ASSERT(applied >= index); /* Else the log would lose what no store holds. */
    QO_ASSERT(manifest.size <= QO_MANIFEST_BYTES_MAX);
    *buffers = raft_malloc(sizeof **buffers);
    *count = 1;
    wrap(buf_bytes(&manifest), applied, &(*buffers)[0]);
    buf_free(&manifest);
    return 0;
}

static int
snapshot_done(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *count)
{
    struct consensus *consensus = fsm->data;
    struct snapshots *snapshots = &consensus->snapshots;
    const struct raft *raft = &consensus->raft;
    bool taken = raft->log.snapshot.last_index == snapshots->index;
    if (taken) {
        snapshots->bytes = snapshots->entries = 0;
        snapshots->counted_index = snapshots->index;
    } else {
        snapshots->retry_ms = consensus->below->time(consensus->below) + QO_SNAPSHOT_RETRY_MS;
    }
    log_line(taken ? LOG_INFO : LOG_WARN, taken ? "snapshot" : "snapshot_put_off",
             "index=%llu first_index=%llu", (unsigned long long)snapshots->index,
             (unsigned long long)peek_first_index(raft));
    snapshots->index = 0;
    for (unsigned i = 0; i < *count; i++) {
        raft_free((*buffers)[i].base);
    }
    raft_free(*buffers);
    *buffers = NULL;
    *count = 0;
    return 0;
}

static int
restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
    struct consensus *consensus = fsm->data;
    const struct consensus_client *client = &consensus->client;
    uint64_t index = consensus->delivered_index; /* Set when the log was loaded. */
    uint64_t applied;
    struct bytes manifest = unwrap(buffer, &applied);
    if (applied < index) {
        qo_fatal(FATAL_CORRUPT, "the log begins behind %llu, but its snapshot holds %llu",
                 (unsigned long long)index, (unsigned long long)applied);
    }
    client->restore(client->context, manifest, index);
    raft_free(buffer->base);
    return 0;
}

/* -- When -------------------------------------------------------------------------------------- */

void
snapshots_consider(struct consensus *consensus)
{
    struct snapshots *snapshots = &consensus->snapshots;
    while (snapshots->counted_index < consensus->delivered_index) {
        const struct raft_entry *entry = peek_entry(&consensus->raft, snapshots->counted_index + 1);
        snapshots->bytes += entry == NULL ? 0 : entry_bytes(entry);
        snapshots->entries++;
        snapshots->counted_index++;
    }
    bool enough =
        snapshots->bytes >= snapshots->bytes_max || snapshots->entries >= QO_LOG_ENTRIES_MAX;
    if (snapshots->index != 0 && consensus->delivered_index >= snapshots->index) {
        shim_begin_work(&consensus->shim);
    }
    if (enough && snapshots->index == 0 &&
        consensus->below->time(consensus->below) >= snapshots->retry_ms) {
        raft_set_snapshot_threshold(&consensus->raft, 1); /* At the next entry applied. */
    }
}

void
snapshots_init(struct consensus *consensus, uint64_t bytes_max)
{
    consensus->snapshots = (struct snapshots){.bytes_max = bytes_max};
    consensus->snapshots.fsm = (struct raft_fsm){
        .version = 3,
        .data = consensus,
        .apply = apply,
        .snapshot = snapshot,
        .restore = restore,
        .snapshot_finalize = snapshot_done,
        .snapshot_async = checkpoint_work,
    };
}
