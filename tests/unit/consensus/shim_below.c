/* See shim_below.h. Thread: one. */
#include "support/test.h"

#include "shim_below.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bytes.h"

/* -- Below ------------------------------------------------------------------------------------- */

struct fake *fake;
struct raft_entry entries[ENTRIES];

static void
note(const char *call, unsigned long long argument)
{
    size_t used = strlen(fake->calls);
    (void)snprintf(fake->calls + used, sizeof fake->calls - used, "%s(%llu) ", call, argument);
}

static int
fake_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    (void)io;
    (void)ms;
    fake->tick = tick;
    fake->recv = recv;
    return 0;
}

static int
fake_set_term(struct raft_io *io, raft_term term)
{
    (void)io;
    fake->term = fake->status == 0 ? term : fake->term;
    return fake->status;
}

static int
fake_set_vote(struct raft_io *io, raft_id vote)
{
    (void)io;
    fake->vote = fake->status == 0 ? vote : fake->vote;
    return fake->status;
}

static int
fake_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
          raft_io_send_cb callback)
{
    (void)io;
    fake->message = *message;
    if (fake->inside) {
        callback(request, fake->status);
        return 0;
    }
    if (fake->status == 0) {
        request->cb = callback;
        fake->sends[fake->sends_count] = request;
        fake->sends_count++;
    }
    return fake->status;
}

static int
fake_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry *list,
            unsigned n, raft_io_append_cb callback)
{
    (void)io;
    (void)list;
    note("append", n);
    if (fake->inside) {
        callback(request, fake->status);
        return 0;
    }
    if (fake->status == 0) {
        request->cb = callback;
        fake->appends[fake->appends_count] = request;
        fake->appends_count++;
    }
    return fake->status;
}

static int
fake_truncate(struct raft_io *io, raft_index index)
{
    (void)io;
    note("truncate", index);
    return fake->status;
}

static int
fake_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
         const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb callback)
{
    (void)io;
    (void)trailing;
    note("put", snapshot->index);
    request->cb = callback;
    fake->put = fake->status == 0 ? request : NULL;
    return fake->status;
}

static raft_time
fake_time(struct raft_io *io)
{
    (void)io;
    return fake->now;
}

/* -- libraft ----------------------------------------------------------------------------------- */

static void
hear_tick(struct raft_io *io)
{
    (void)io;
    fake->ticked++;
}

static void
hear(struct raft_io *io, struct raft_message *message)
{
    (void)io;
    if (fake->received == 0) {
        fake->first_vote = message->request_vote;
    }
    fake->received++;
    fake->heard = *message;
}

void
told_send(struct raft_io_send *request, int status)
{
    (void)request;
    fake->told++;
    fake->told_status = status;
}

void
told_append(struct raft_io_append *request, int status)
{
    (void)request;
    fake->told++;
    fake->told_status = status;
}

void
told_put(struct raft_io_snapshot_put *request, int status)
{
    (void)request;
    note("told_put", (unsigned)status);
}

/* -- The test's hands -------------------------------------------------------------------------- */

int
set_up(void **state)
{
    static uint8_t bytes[ENTRY_BYTES];
    struct shim_hooks hooks = {0};
    (void)state;
    struct fake *before = fake;
    fake = mem_zalloc(sizeof *fake);
    fake->before = before; /* What a case leaves under way stays reachable. */
    fake->now = 1000000;
    fake->io = (struct raft_io){
        .version = 1,
        .start = fake_start,
        .set_term = fake_set_term,
        .set_vote = fake_set_vote,
        .send = fake_send,
        .append = fake_append,
        .truncate = fake_truncate,
        .snapshot_put = fake_put,
        .time = fake_time,
    };
    shim_init(&fake->shim, &fake->io, &hooks);
    fake->shim.io.data = &fake->raft;
    fake->raft.io = &fake->shim.io;
    fake->raft.state = RAFT_FOLLOWER;
    fake->raft.current_term = 3;
    fake->raft.election_timeout = 500;
    for (size_t i = 0; i < ENTRIES; i++) {
        entries[i] = (struct raft_entry){.term = 3, .type = RAFT_COMMAND, .buf = {bytes, 8}};
    }
    assert_int_equal(fake->shim.io.start(&fake->shim.io, 50, hear_tick, hear), 0);
    return 0;
}

void
tick_after(unsigned ms)
{
    fake->now += ms;
    fake->tick(&fake->io);
}

void
receive(struct raft_message message)
{
    message.server_id = 2;
    message.server_address = "2";
    fake->recv(&fake->io, &message);
}

int
append(struct raft_io_append *request, unsigned n)
{
    return fake->shim.io.append(&fake->shim.io, request, entries, n, told_append);
}

void
finish_append(unsigned i, int status)
{
    fake->appends[i]->cb(fake->appends[i], status);
}

int
send_entries(struct raft_io_send *request, raft_index previous, unsigned n, raft_index commit)
{
    struct raft_message message = {
        .type = RAFT_IO_APPEND_ENTRIES, .server_id = 2, .server_address = "2"};
    message.append_entries.prev_log_index = previous;
    message.append_entries.entries = entries;
    message.append_entries.n_entries = n;
    message.append_entries.leader_commit = commit;
    return fake->shim.io.send(&fake->shim.io, request, &message, told_send);
}

int
status_of_child(void (*body)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO); /* Its last line is expected, and would only alarm. */
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
