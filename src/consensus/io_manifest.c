/* See io_manifest.h. Thread: any: pure. */
#include "io_manifest.h"

#include <string.h>

#include "common/limits.h"

void
io_manifest_encode(const struct raft_snapshot *snapshot, struct buf *buf)
{
    const struct raft_configuration *configuration = &snapshot->configuration;
    buf_put_le64(buf, snapshot->configuration_index);
    buf_put_le32(buf, configuration->n);
    for (unsigned i = 0; i < configuration->n; i++) {
        const struct raft_server *server = &configuration->servers[i];
        buf_put_le64(buf, server->id);
        buf_put_u8(buf, (uint8_t)server->role);
        buf_put_bytes16(buf, bytes_text(server->address));
    }
    for (unsigned i = 0; i < snapshot->n_bufs; i++) {
        buf_append(buf, snapshot->bufs[i].base, snapshot->bufs[i].len);
    }
}

static bool
decode_member(struct cursor *cursor, struct raft_configuration *configuration)
{
    char text[QO_ADDRESS_MAX + 1];
    raft_id id = cursor_le64(cursor);
    int role = cursor_u8(cursor);
    struct bytes address = cursor_bytes16(cursor);
    if (cursor->failed || address.size > QO_ADDRESS_MAX) {
        return false;
    }
    memcpy(text, address.data, address.size);
    text[address.size] = '\0';
    return raft_configuration_add(configuration, id, text, role) == 0;
}

struct raft_snapshot *
io_manifest_decode(struct bytes manifest, uint64_t index, uint64_t term)
{
    struct cursor cursor = cursor_of(manifest);
    struct raft_snapshot *snapshot = raft_malloc(sizeof *snapshot);
    *snapshot = (struct raft_snapshot){.index = index, .term = term, .n_bufs = 1};
    raft_configuration_init(&snapshot->configuration);
    snapshot->configuration_index = cursor_le64(&cursor);
    uint32_t count = cursor_le32(&cursor);
    bool right = !cursor.failed && count > 0 && count <= QO_MEMBERS_MAX;
    for (uint32_t i = 0; i < count && right; i++) {
        right = decode_member(&cursor, &snapshot->configuration);
    }
    if (!right) {
        raft_configuration_close(&snapshot->configuration);
        raft_free(snapshot);
        return NULL;
    }
    size_t size = (size_t)(cursor.end - cursor.at);
    const uint8_t *data = cursor_take(&cursor, size);
    snapshot->bufs = raft_malloc(sizeof *snapshot->bufs);
    snapshot->bufs[0] = (struct raft_buffer){raft_malloc(size + 1), size};
    memcpy(snapshot->bufs[0].base, data, size);
    return snapshot;
}
