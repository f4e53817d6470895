/* See io.h. Thread: the loop; run_work() wherever the host has it run. */
#include "io.h"

#include <stdio.h>
#include <string.h>

#include "io_manifest.h"

/* The snapshot that the log begins with, as log_publish() got it. */
struct snapshot {
    uint64_t index, term; /* 0: there is none. */
    struct buf manifest;
};

struct append;

struct io {
    struct raft_io raft;
    struct log *log;
    struct io_options options;
    struct io_listener listener;
    raft_io_tick_cb tick; /* libraft's. */
    raft_io_recv_cb recv;
    uint64_t last_term; /* Of the last entry, or of the snapshot if there is none behind it. */
    bool handed_over;   /* load() was called. */
    struct snapshot snapshot;
    struct append *appends_first, **appends_end; /* Not told yet. */
    struct {
        struct log_publish below;
        struct raft_io_snapshot_put *request; /* NULL: none is under way. */
        raft_io_snapshot_put_cb callback;
        struct snapshot snapshot;
    } put;
};

static struct io *
io_of(struct raft_io *raft)
{
    return raft->impl;
}

static int
fail(struct raft_io *raft, int status, const char *text)
{
    (void)snprintf(raft->errmsg, sizeof raft->errmsg, "%s", text);
    return status;
}

/* -- Loading ----------------------------------------------------------------------------------- */

/*
 * Each entry gets a block of its own. In a block that entries share, libraft searches its whole log
 * for another user whenever one of them goes (B27).
 */
static bool
load_entry(const struct log_entry *from, struct raft_entry *to)
{
    if (from->type < RAFT_COMMAND || from->type > RAFT_CHANGE) {
        return false;
    }
    *to = (struct raft_entry){.term = from->term, .type = from->type};
    to->buf = (struct raft_buffer){raft_malloc(from->data.size + 1), from->data.size};
    memcpy(to->buf.base, from->data.data, from->data.size);
    return true;
}

static int
load(/* NOLINT(readability-function-size): the shape is raft_io's. */ struct raft_io *raft,
     raft_term *term, raft_id *vote, struct raft_snapshot **snapshot, raft_index *start_index,
     struct raft_entry *entries[], size_t *n_entries)
{
    struct io *io = io_of(raft);
    const struct log_loaded *loaded = log_loaded(io->log);
    QO_PRE(!io->handed_over);
    io->handed_over = true;
    *term = loaded->term;
    *vote = loaded->vote;
    *snapshot = NULL;
    *start_index = loaded->first_index;
    *n_entries = loaded->count;
    *entries = loaded->count == 0 ? NULL : raft_malloc(loaded->count * sizeof **entries);
    for (size_t i = 0; i < loaded->count; i++) {
        if (!load_entry(&loaded->entries[i], &(*entries)[i])) {
            return fail(raft, RAFT_CORRUPT, "an entry of the log has an unknown type");
        }
    }
    if (io->snapshot.index != 0) {
        *snapshot = io_manifest_decode(buf_bytes(&io->snapshot.manifest), io->snapshot.index,
                                       io->snapshot.term);
        if (*snapshot == NULL) {
            return fail(raft, RAFT_CORRUPT, "the log's manifest names no members");
        }
    }
    log_forget_loaded(io->log);
    return 0;
}

/* -- Running ----------------------------------------------------------------------------------- */

static int
init(struct raft_io *raft, raft_id id, const char *address)
{
    (void)raft;
    (void)id;
    (void)address;
    return 0; /* io_open() did it. */
}

static void
close_io(struct raft_io *raft, raft_io_close_cb callback)
{
    (void)raft;
    (void)callback;
    qo_fatal(FATAL_RAFT, "a node ends without closing its log");
}

static void
ticked(void *owner)
{
    struct io *io = owner;
    log_tick(io->log);
    io->tick(&io->raft);
}

static void
received(void *context, struct raft_message *message)
{
    struct io *io = context;
    const struct host *host = io->options.host;
    host->freshen(host->context); /* Before election timers are compared with it. */
    io->recv(&io->raft, message);
}

static void
noted(void *context, uint32_t from, uint8_t kind, struct bytes body)
{
    const struct io *io = context;
    if (io->listener.note != NULL) {
        io->listener.note(io->listener.context, from, kind, body);
    }
}

static void
member_gone(void *context, uint32_t member)
{
    const struct io *io = context;
    if (io->listener.gone != NULL) {
        io->listener.gone(io->listener.context, member);
    }
}

static int
start(struct raft_io *raft, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct io *io = io_of(raft);
    const struct host *host = io->options.host;
    const struct transport *transport = io->options.transport;
    struct transport_client client = {
        .context = io, .message = received, .note = noted, .gone = member_gone};
    io->tick = tick;
    io->recv = recv;
    transport->start(transport->context, &client);
    host->tick(host->context, msecs, ticked, io);
    return 0;
}

static int
send_message(struct raft_io *raft, struct raft_io_send *request, const struct raft_message *message,
             raft_io_send_cb callback)
{
    const struct transport *transport = io_of(raft)->options.transport;
    return transport->send(transport->context, request, message, callback);
}

static raft_time
time_ms(struct raft_io *raft)
{
    const struct host *host = io_of(raft)->options.host;
    return host->now_ms(host->context);
}

static int
chance(struct raft_io *raft, int min, int max)
{
    const struct host *host = io_of(raft)->options.host;
    return host->chance(host->context, min, max);
}

struct work {
    struct host_work below;
    struct raft_io_async_work *request;
    raft_io_async_work_cb callback;
    int status;
};

static void
run_work(struct host_work *below)
{
    struct work *work = below->owner;
    work->status = work->request->work(work->request);
}

static void
work_done(struct host_work *below)
{
    struct work work = *(struct work *)below->owner;
    mem_free(below->owner);
    work.callback(work.request, work.status);
}

static int
async_work(struct raft_io *raft, struct raft_io_async_work *request, raft_io_async_work_cb callback)
{
    const struct host *host = io_of(raft)->options.host;
    struct work *work = mem_zalloc(sizeof *work);
    work->request = request;
    work->callback = callback;
    work->below = (struct host_work){.run = run_work, .done = work_done, .owner = work};
    host->work(host->context, &work->below);
    return 0;
}

/* -- The log ----------------------------------------------------------------------------------- */

static int
set_term(struct raft_io *raft, raft_term term)
{
    log_set_term(io_of(raft)->log, term);
    return 0;
}

static int
set_vote(struct raft_io *raft, raft_id vote)
{
    log_set_vote(io_of(raft)->log, vote);
    return 0;
}

/* Whoever takes an append may free it in its callback, so the list of entries is kept here. */
struct append {
    struct log_append below;
    struct io *io;
    struct append *next;
    struct raft_io_append *request;
    raft_io_append_cb callback;
    struct log_entry entries[];
};

static void
appended(struct log_append *below)
{
    struct append *append = below->owner;
    struct io *io = append->io;
    struct raft_io_append *request = append->request;
    raft_io_append_cb callback = append->callback;
    QO_ASSERT(append == io->appends_first); /* libraft only counts them. */
    io->appends_first = append->next;
    if (append->next == NULL) {
        io->appends_end = &io->appends_first;
    }
    mem_free(append);
    callback(request, 0);
}

static void
entry_of(const struct raft_entry *from, struct log_entry *to)
{
    QO_PRE(from->type >= RAFT_COMMAND && from->type <= RAFT_CHANGE);
    *to = (struct log_entry){
        .term = from->term,
        .type = (uint8_t)from->type,
        .data = bytes_make(from->buf.base, from->buf.len),
    };
}

static int
append_entries(struct raft_io *raft, struct raft_io_append *request,
               const struct raft_entry entries[], unsigned n, raft_io_append_cb callback)
{
    struct io *io = io_of(raft);
    struct append *append = mem_alloc(sizeof *append + n * sizeof append->entries[0]);
    *append = (struct append){.io = io, .request = request, .callback = callback};
    append->below.owner = append;
    *io->appends_end = append;
    io->appends_end = &append->next;
    for (unsigned i = 0; i < n; i++) {
        entry_of(&entries[i], &append->entries[i]);
    }
    log_append(io->log, &append->below, append->entries, n, appended);
    return 0;
}

static int
truncate_log(struct raft_io *raft, raft_index index)
{
    log_truncate(io_of(raft)->log, index);
    return 0;
}

/* -- The first configuration, and one that an operator forces ---------------------------------- */

static bool
append_configuration(struct log *log, const struct raft_configuration *configuration, uint64_t term)
{
    struct raft_buffer buffer;
    if (raft_configuration_encode(configuration, &buffer) != 0) {
        return false;
    }
    struct log_entry entry = {
        .term = term, .type = RAFT_CHANGE, .data = bytes_make(buffer.base, buffer.len)};
    bool written = log_append_now(log, &entry);
    raft_free(buffer.base);
    return written;
}

static int
bootstrap(struct raft_io *raft, const struct raft_configuration *configuration)
{
    (void)configuration;
    return fail(raft, RAFT_CANTBOOTSTRAP, "a log is born with its first configuration");
}

/*
 * As the last entry, in the term of the one before. raft_uv writes term 1 (B29), so that a member
 * that was not recovered has the "newer" log, wins, and takes the recovered one back. Offline: the
 * next io_open() finds it.
 */
static int
recover(struct raft_io *raft, const struct raft_configuration *configuration)
{
    struct io *io = io_of(raft);
    QO_PRE(!io->handed_over);
    bool written = append_configuration(io->log, configuration, io->last_term);
    return written ? 0 : fail(raft, RAFT_IOERR, "cannot write the configuration");
}

bool
io_birth(const struct log_disk *disk, const struct log_shape *shape,
         const struct raft_configuration *first, struct log_failure *failure_out)
{
    struct log_options options = {.disk = disk};
    if (!log_create(disk, shape, failure_out)) {
        return false;
    }
    struct log *log = log_open(&options, failure_out);
    if (log == NULL) {
        return false;
    }
    bool written = append_configuration(log, first, 1);
    log_free(log);
    if (!written) {
        failure_out->reason = FATAL_STORAGE;
        (void)snprintf(failure_out->text, sizeof failure_out->text,
                       "cannot write the first entry of the log");
    }
    return written;
}

/* -- Snapshots --------------------------------------------------------------------------------- */

static void
published(struct log_publish *below)
{
    struct io *io = below->owner;
    struct raft_io_snapshot_put *request = io->put.request;
    buf_free(&io->snapshot.manifest);
    io->snapshot = io->put.snapshot;
    io->put.snapshot = (struct snapshot){0};
    io->put.request = NULL;
    io->put.callback(request, 0);
}

static int
snapshot_put(struct raft_io *raft, unsigned trailing, struct raft_io_snapshot_put *request,
             const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb callback)
{
    struct io *io = io_of(raft);
    QO_PRE(io->put.request == NULL);
    io->put.request = request;
    io->put.callback = callback;
    io->put.below.owner = io;
    io->put.snapshot = (struct snapshot){.index = snapshot->index, .term = snapshot->term};
    io_manifest_encode(snapshot, &io->put.snapshot.manifest);
    struct bytes manifest = buf_bytes(&io->put.snapshot.manifest);
    uint64_t may_go = snapshot->index > trailing ? snapshot->index - trailing : 0;
    if (trailing > 0) {
        log_publish(io->log, &io->put.below, snapshot->index, snapshot->term, may_go, manifest,
                    published);
    } else {
        log_replace(io->log, &io->put.below, snapshot->index, snapshot->term, manifest, published);
    }
    return 0;
}

struct get {
    struct host_work below;
    struct io *io;
    struct raft_io_snapshot_get *request;
    raft_io_snapshot_get_cb callback;
};

static void
get_done(struct host_work *below)
{
    struct get get = *(struct get *)below->owner;
    const struct snapshot *newest = &get.io->snapshot;
    mem_free(below->owner);
    struct raft_snapshot *snapshot =
        io_manifest_decode(buf_bytes(&newest->manifest), newest->index, newest->term);
    QO_ASSERT(snapshot != NULL); /* It was encoded here, or decoded in load(). */
    get.callback(get.request, snapshot, 0);
}

static int
snapshot_get(struct raft_io *raft, struct raft_io_snapshot_get *request,
             raft_io_snapshot_get_cb callback)
{
    struct io *io = io_of(raft);
    struct get *get = mem_zalloc(sizeof *get);
    QO_PRE(io->snapshot.index != 0); /* libraft asks only after load() or put. */
    get->io = io;
    get->request = request;
    get->callback = callback;
    get->below = (struct host_work){.done = get_done, .owner = get};
    io->options.host->work(io->options.host->context, &get->below);
    return 0;
}

/* -- Opening ----------------------------------------------------------------------------------- */

static void
note_loaded(struct io *io)
{
    const struct log_loaded *loaded = log_loaded(io->log);
    io->last_term =
        loaded->count > 0 ? loaded->entries[loaded->count - 1].term : loaded->snapshot_term;
    io->snapshot.index = loaded->snapshot_index;
    io->snapshot.term = loaded->snapshot_term;
    buf_append(&io->snapshot.manifest, loaded->manifest.data, loaded->manifest.size);
}

static bool
is_ours(const struct log *log, uint64_t salt, struct log_failure *failure_out)
{
    const struct log_loaded *loaded = log_loaded(log);
    const char *fault = NULL;
    if (loaded->salt != salt) {
        fault = "the log was made for another node's directory. Files of a log are never copied: "
                "replace this member";
    } else if (loaded->snapshot_index == 0 && loaded->count == 0) {
        fault = "the log is empty, without even the first configuration: it was never made whole. "
                "Replace this member; an emptied disk must not vote under its old id";
    }
    if (fault != NULL) {
        failure_out->reason = FATAL_DIRECTORY;
        (void)snprintf(failure_out->text, sizeof failure_out->text, "%s", fault);
    }
    return fault == NULL;
}

struct io *
io_open(const struct io_options *options, struct log_failure *failure_out)
{
    struct log *log = log_open(&options->log, failure_out);
    if (log == NULL) {
        return NULL;
    }
    if (!is_ours(log, options->salt, failure_out)) {
        log_free(log);
        return NULL;
    }
    struct io *io = mem_zalloc(sizeof *io);
    io->log = log;
    io->options = *options;
    io->appends_end = &io->appends_first;
    note_loaded(io);
    io->raft = (struct raft_io){
        .version = 2,
        .impl = io,
        .init = init,
        .close = close_io,
        .load = load,
        .start = start,
        .bootstrap = bootstrap,
        .recover = recover,
        .set_term = set_term,
        .set_vote = set_vote,
        .send = send_message,
        .append = append_entries,
        .truncate = truncate_log,
        .snapshot_put = snapshot_put,
        .snapshot_get = snapshot_get,
        .time = time_ms,
        .random = chance,
        .async_work = async_work,
    };
    return io;
}

struct raft_io *
io_raft(struct io *io)
{
    return &io->raft;
}

void
io_listen(struct io *io, const struct io_listener *listener)
{
    io->listener = *listener;
}

const struct transport *
io_transport(const struct io *io)
{
    return io->options.transport;
}

void
io_free(struct io *io)
{
    while (io->appends_first != NULL) {
        struct append *next = io->appends_first->next;
        mem_free(io->appends_first);
        io->appends_first = next;
    }
    log_free(io->log);
    buf_free(&io->snapshot.manifest);
    buf_free(&io->put.snapshot.manifest);
    mem_free(io);
}
