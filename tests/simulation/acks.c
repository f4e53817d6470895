/* See acks.h. Thread: the run's. */
#include "acks.h"

#include "disk.h"
#include "member.h"
#include "story.h"

static unsigned watched, looks_left;
static uint64_t held; /* Seen on its disk: what is not above it is not looked at again. */

void
acks_watch(unsigned id, unsigned looks)
{
    watched = id;
    looks_left = looks;
    held = 0;
}

/* A disk that has nothing to do has all that is in memory. */
static bool
is_stored(unsigned id, uint64_t index)
{
    if (disk_idle(member_disk(id)) || index <= held || looks_left == 0) {
        return true;
    }
    looks_left--;
    held = index;
    return member_disk_holds(id, index, member_log_term(id, index));
}

void
acks_sent(unsigned from, const struct raft_message *message)
{
    const struct raft_append_entries_result *result = &message->append_entries_result;
    uint64_t index = result->last_log_index;
    if (from != watched || message->type != RAFT_IO_APPEND_ENTRIES_RESULT ||
        result->rejected != 0) {
        return;
    }
    EXPECT(index <= member_log_last(from) && is_stored(from, index),
           "member %u tells member %u in term %llu that it has %llu, which is not on its disk",
           from, (unsigned)message->server_id, result->term, (unsigned long long)index);
}
