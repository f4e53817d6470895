/*
 * Goal: our log, transport and host keep libraft's contract as its raft_io, and have none of the
 * faults of raft_uv that cannot be cured from above: a truncation that a snapshot makes vanish
 * (A4), writes behind a failed one (A5, A6), a crash between a snapshot and what it replaces (A8d),
 * acknowledged entries that vanish behind a damaged one (B16), damage that is moved away (B17),
 * lengths that cannot be read again (B13), a forced configuration in term 1 (B29).
 * Method: the raft_io over the simulated disk (log_sim.h), whose crashes come from a seed, with a
 * transport and a host that do nothing until told. What is loaded after a crash is compared.
 */
#include "support/test.h"

#include <raft.h>
#include <stdio.h>
#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "io.h"
#include "io_manifest.h"
#include "log_record.h"
#include "log_sim.h"
#include "shim.h"
#include "support/seed.h"

enum { SEGMENT_BYTES = 64 * 1024, ENTRY_BYTES = 5000, APPENDS_MAX = 128, SALT = 77 };

/* -- Transport and host ------------------------------------------------------------------------ */

/* One node and what lies below it. */
struct node {
    struct sim_disk disk;
    struct io *io;
    struct raft_io *raft;
    struct log_failure failure;
    /* The transport. */
    struct transport transport;
    struct transport_client client;
    unsigned sent;
    /* The host. */
    struct host host;
    uint64_t now_ms;
    void (*ticked)(void *owner);
    void *ticks;
    struct host_work *work;
    /* What libraft's side was told. */
    struct raft_io_append appends[APPENDS_MAX];
    unsigned told[APPENDS_MAX], told_count;
    bool put, got;
    unsigned ticks_count, messages_count, notes_count, gone;
    struct raft_snapshot *snapshot;
    bool stopped;
    enum fatal_reason stopped_for;
    /* What was loaded. */
    raft_term term;
    raft_id vote;
    struct raft_snapshot *loaded_snapshot;
    raft_index start;
    struct raft_entry *entries;
    size_t count;
};

static struct node *node;
static uint64_t prng;
static uint8_t filler[APPENDS_MAX][ENTRY_BYTES];

static void
transport_start(void *context, const struct transport_client *client)
{
    (void)context;
    node->client = *client;
}

static void
transport_members(void *context, const struct transport_member *members, uint32_t count)
{
    (void)context;
    (void)members;
    (void)count;
}

static int
transport_send(void *context, struct raft_io_send *request, const struct raft_message *message,
               raft_io_send_cb callback)
{
    (void)context;
    (void)request;
    (void)message;
    (void)callback;
    node->sent++;
    return 0;
}

static void
transport_note(void *context, uint32_t to, uint8_t kind, struct bytes body)
{
    (void)context;
    (void)to;
    (void)kind;
    (void)body;
}

static uint64_t
host_now(void *context)
{
    (void)context;
    return node->now_ms;
}

static void
host_freshen(void *context)
{
    (void)context;
}

static int
host_chance(void *context, int min, int max)
{
    (void)context;
    return min + (int)seed_below(&prng, (uint64_t)(max - min));
}

static void
host_tick(void *context, unsigned every_ms, void (*ticked)(void *owner), void *owner)
{
    (void)context;
    assert_int_equal(every_ms, 50);
    node->ticked = ticked;
    node->ticks = owner;
}

static void
host_work(void *context, struct host_work *work)
{
    (void)context;
    assert_null(node->work);
    node->work = work;
}

static void
do_work(void)
{
    struct host_work *work = node->work;
    node->work = NULL;
    if (work->run != NULL) {
        work->run(work);
    }
    work->done(work);
}

static void
stop(void *context, enum fatal_reason reason, const char *text)
{
    (void)context;
    (void)text;
    node->stopped = true;
    node->stopped_for = reason;
}

/* -- The test's hands -------------------------------------------------------------------------- */

static void
configuration_of(unsigned count, struct raft_configuration *configuration)
{
    raft_configuration_init(configuration);
    for (unsigned id = 1; id <= count; id++) {
        char address[32];
        (void)snprintf(address, sizeof address, "h%u:7400", id);
        assert_int_equal(raft_configuration_add(configuration, id, address, RAFT_VOTER), 0);
    }
}

static bool
birth(void)
{
    struct raft_configuration configuration;
    struct log_shape shape = {
        .salt = SALT, .segment_bytes = SEGMENT_BYTES, .manifest_bytes_max = 64 * 1024};
    configuration_of(3, &configuration);
    bool born = io_birth(&node->disk.table, &shape, &configuration, &node->failure);
    raft_configuration_close(&configuration);
    return born;
}

static bool
open_io(uint64_t salt)
{
    struct io_options options = {
        .log = {.disk = &node->disk.table, .stop = stop},
        .salt = salt,
        .transport = &node->transport,
        .host = &node->host,
    };
    node->io = io_open(&options, &node->failure);
    node->raft = node->io != NULL ? io_raft(node->io) : NULL;
    return node->io != NULL;
}

static void
load(void)
{
    int status = node->raft->load(node->raft, &node->term, &node->vote, &node->loaded_snapshot,
                                  &node->start, &node->entries, &node->count);
    assert_int_equal(status, 0);
}

static void
ticked(struct raft_io *raft)
{
    assert_ptr_equal(raft, node->raft);
    node->ticks_count++;
}

static void
received(struct raft_io *raft, struct raft_message *message)
{
    assert_ptr_equal(raft, node->raft);
    assert_non_null(message);
    node->messages_count++;
}

static void
start(void)
{
    assert_true(open_io(SALT));
    load();
    assert_int_equal(node->raft->start(node->raft, 50, ticked, received), 0);
}

static void
free_snapshot(struct raft_snapshot *snapshot)
{
    if (snapshot != NULL) {
        raft_configuration_close(&snapshot->configuration);
        raft_free(snapshot->bufs[0].base);
        raft_free(snapshot->bufs);
        raft_free(snapshot);
    }
}

/* Forgets one life of the node; its disk stays. */
static void
end_life(void)
{
    for (size_t i = 0; i < node->count; i++) {
        raft_free(node->entries[i].buf.base);
    }
    raft_free(node->entries);
    free_snapshot(node->loaded_snapshot);
    free_snapshot(node->snapshot);
    node->entries = NULL;
    node->loaded_snapshot = node->snapshot = NULL;
    node->count = 0;
    node->put = node->got = node->stopped = false;
    node->told_count = 0;
    if (node->io != NULL) {
        io_free(node->io);
    }
    node->io = NULL;
}

/* A crash: what is under way is torn. */
static void
restart(void)
{
    sim_restart(&node->disk);
    end_life();
    start();
}

static void
told(struct raft_io_append *request, int status)
{
    assert_int_equal(status, 0);
    node->told[node->told_count++] = (unsigned)(request - node->appends);
}

/* Appends `n` entries of `bytes` whose first bytes are `first` and the letters after it. */
static void
append(unsigned request, unsigned n, raft_term term, char first, size_t bytes)
{
    struct raft_entry entries[APPENDS_MAX];
    for (unsigned i = 0; i < n; i++) {
        uint8_t *data = filler[(unsigned char)first + i];
        memset(data, first + (int)i, ENTRY_BYTES);
        entries[i] = (struct raft_entry){.term = term, .type = RAFT_COMMAND, .buf = {data, bytes}};
    }
    unsigned before = node->told_count;
    assert_int_equal(node->raft->append(node->raft, &node->appends[request], entries, n, told), 0);
    memset(entries, 0xff,
           sizeof entries); /* libraft may do so with its list, not with the bytes. */
    assert_int_equal(node->told_count, before); /* Never inside. */
}

static void
all_steps(void)
{
    while (sim_step(&node->disk)) {
    }
}

/* The first bytes of all commands that were loaded. */
static const char *
letters(void)
{
    static char text[APPENDS_MAX + 1];
    size_t used = 0;
    for (size_t i = 0; i < node->count; i++) {
        if (node->entries[i].type == RAFT_COMMAND) {
            text[used++] = *(const char *)node->entries[i].buf.base;
        }
    }
    text[used] = '\0';
    return text;
}

static void
put_done(struct raft_io_snapshot_put *request, int status)
{
    (void)request;
    assert_int_equal(status, 0);
    node->put = true;
}

static void
put(raft_index index, raft_term term, unsigned trailing)
{
    static struct raft_io_snapshot_put request;
    static char said[] = "what the store says";
    static struct raft_buffer buffer = {said, sizeof said};
    struct raft_snapshot snapshot = {
        .index = index, .term = term, .configuration_index = 1, .bufs = &buffer, .n_bufs = 1};
    configuration_of(3, &snapshot.configuration);
    assert_int_equal(node->raft->snapshot_put(node->raft, trailing, &request, &snapshot, put_done),
                     0);
    raft_configuration_close(&snapshot.configuration);
    assert_false(node->put);
}

static int
set_up(void **state)
{
    (void)state;
    node = mem_zalloc(sizeof *node);
    node->transport = (struct transport){
        .start = transport_start,
        .members = transport_members,
        .send = transport_send,
        .note = transport_note,
    };
    node->host = (struct host){
        .now_ms = host_now,
        .freshen = host_freshen,
        .chance = host_chance,
        .tick = host_tick,
        .work = host_work,
    };
    sim_init(&node->disk, &prng);
    assert_true(birth());
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    end_life();
    sim_free(&node->disk);
    mem_free(node);
    return 0;
}

/* -- Birth and start --------------------------------------------------------------------------- */

static void
is_born_with_its_first_configuration(void **state)
{
    struct raft_configuration configuration;
    struct raft_buffer buffer;
    (void)state;
    start();
    assert_true(node->term == 1 && node->vote == 0 && node->start == 1 && node->count == 1);
    assert_null(node->loaded_snapshot);
    configuration_of(3, &configuration);
    assert_int_equal(raft_configuration_encode(&configuration, &buffer), 0);
    assert_int_equal(node->entries[0].type, RAFT_CHANGE);
    assert_int_equal(node->entries[0].term, 1);
    assert_int_equal(node->entries[0].buf.len, buffer.len);
    assert_memory_equal(node->entries[0].buf.base, buffer.base, buffer.len);
    assert_int_equal(node->raft->bootstrap(node->raft, &configuration), RAFT_CANTBOOTSTRAP);
    raft_free(buffer.base);
    raft_configuration_close(&configuration);
}

/* The directory has its name only after a whole birth (birth.c); this is the second wall. */
static void
refuses_what_a_birth_left_that_crashed_half_way(void **state)
{
    unsigned refused = 0, whole = 0;
    (void)state;
    for (int64_t crash = 0; whole < 5; crash++) {
        sim_free(&node->disk);
        sim_init(&node->disk, &prng);
        node->disk.crash_in = crash;
        bool born = birth();
        bool crashed = node->disk.crashed;
        sim_restart(&node->disk);
        if (open_io(SALT)) {
            load();
            assert_true(node->count == 1 && node->start == 1 && node->term == 1);
            whole++;
        } else {
            assert_true(crashed);
            assert_true(node->failure.text[0] != '\0');
            refused++;
        }
        assert_true(born || crashed);
        end_life();
    }
    assert_true(refused > 5);
}

static void
refuses_the_log_of_another_directory(void **state)
{
    (void)state;
    assert_false(open_io(SALT + 1));
    assert_int_equal(node->failure.reason, FATAL_DIRECTORY);
    assert_non_null(strstr(node->failure.text, "another node's"));
}

/* Mutant VOTE_NOT_PERSISTED must fail here. */
static void
keeps_term_and_vote_on_the_disk_before_it_returns(void **state)
{
    struct shim shim;
    struct shim_hooks hooks = {0};
    (void)state;
    assert_true(open_io(SALT));
    shim_init(&shim, node->raft, &hooks);
    assert_int_equal(shim.io.set_term(&shim.io, 7), 0);
    assert_int_equal(shim.io.set_vote(&shim.io, 3), 0);
    restart(); /* There are no other traces of term 7. */
    assert_true(node->term == 7 && node->vote == 3 && node->count == 1);
    assert_int_equal(node->raft->set_term(node->raft, 8), 0);
    restart();
    assert_true(node->term == 8 && node->vote == 0);
}

static void
refuses_a_damaged_term_and_vote(void **state)
{
    (void)state;
    struct sim_file *vote = &node->disk.files[sim_find(&node->disk, "vote")];
    vote->data[24] ^= 4; /* One copy: the other one is as good. */
    start();
    assert_int_equal(node->term, 1);
    end_life();
    vote->data[24] ^= 4;
    vote->data[vote->size / 2 + 24] ^= 4;
    assert_false(open_io(SALT));
    assert_int_equal(node->failure.reason, FATAL_CORRUPT);
    assert_non_null(strstr(node->failure.text, "'vote'"));
}

/* -- Appends ----------------------------------------------------------------------------------- */

static void
tells_of_appends_in_order_once_they_are_durable(void **state)
{
    (void)state;
    start();
    append(0, 1, 2, 'a', 8);
    for (unsigned i = 1; i < 10; i++) { /* Merged into the next write. */
        append(i, 2, 2, (char)('a' + 2 * i), ENTRY_BYTES);
    }
    assert_int_equal(node->told_count, 0);
    assert_true(sim_step(&node->disk));
    assert_int_equal(node->told_count, 1);
    all_steps();
    assert_int_equal(node->told_count, 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(node->told[i], i);
    }
    restart();
    assert_int_equal(node->count, 20);
    assert_int_equal(node->entries[19].buf.len, ENTRY_BYTES);
    assert_int_equal(node->entries[19].term, 2);
}

/* B13: raft_uv takes lengths that are no multiple of 8, and cannot read them again. */
static void
loads_entries_of_any_length(void **state)
{
    enum { LENGTHS = 40 };
    (void)state;
    start();
    for (unsigned i = 0; i < LENGTHS; i++) {
        append(i, 1, 2, (char)('A' + (int)i), 1 + i);
    }
    all_steps();
    assert_int_equal(node->told_count, LENGTHS);
    restart();
    assert_int_equal(node->count, 1 + LENGTHS);
    for (unsigned i = 0; i < LENGTHS; i++) {
        assert_int_equal(node->entries[1 + i].buf.len, 1 + i);
        assert_memory_equal(node->entries[1 + i].buf.base, filler['A' + i], 1 + i);
    }
}

/* A5, A6: behind a failed write raft_uv goes on writing, and libraft goes on leading. */
static void
ends_the_node_at_a_failed_write_and_tells_nobody(void **state)
{
    (void)state;
    start();
    node->disk.error = 5; /* EIO */
    append(0, 1, 2, 'a', 8);
    append(1, 1, 2, 'b', 8);
    all_steps();
    assert_true(node->stopped);
    assert_int_equal(node->stopped_for, FATAL_STORAGE);
    assert_int_equal(node->told_count, 0);
    append(2, 1, 2, 'c', 8);
    all_steps();
    assert_int_equal(node->told_count, 0);
    restart();
    assert_string_equal(letters(), "");
}

/* A4: raft_uv loses the truncation, and loads a to i with X and Y behind them. */
static void
keeps_a_truncation_that_meets_a_snapshot(void **state)
{
    (void)state;
    start();
    append(0, 9, 2, 'a', 8); /* Entries 2 to 10. */
    all_steps();
    put(6, 2, 8192);
    assert_int_equal(node->raft->truncate(node->raft, 8), 0);
    append(1, 2, 3, 'X', 8);
    all_steps();
    assert_true(node->put && node->told_count == 2);
    restart();
    assert_string_equal(letters(), "abcdefXY");
    assert_int_equal(node->loaded_snapshot->index, 6);
    assert_true(node->start == 1 && node->count == 9);
}

/* Whenever the crash comes: the old tail whole, or cut short, or what took its place; never both,
 * and never less than what was told. */
static void
loads_one_tail_whenever_a_truncation_is_cut_off(void **state)
{
    unsigned old_tails = 0, new_tails = 0;
    (void)state;
    for (int64_t crash = 0; (old_tails < 3 || new_tails < 40) && crash < 5000; crash++) {
        end_life();
        sim_free(&node->disk);
        sim_init(&node->disk, &prng);
        assert_true(birth());
        start();
        append(0, 9, 2, 'a', 8);
        all_steps();
        node->disk.crash_in = crash % 12;
        put(6, 2, 8192);
        assert_int_equal(node->raft->truncate(node->raft, 8), 0);
        append(1, 2, 3, 'X', 8);
        append(2, 1, 3, 'Z', ENTRY_BYTES);
        all_steps();
        static const char whole[] = "abcdefXYZ";
        size_t told_letters = node->told_count < 2 ? 6 : node->told_count == 2 ? 8 : 9;
        bool old_needed = node->told_count < 2;
        restart();
        size_t size = strlen(letters());
        if (strcmp(letters(), "abcdefghi") == 0) {
            assert_true(old_needed);
            old_tails++;
        } else {
            assert_true(size >= told_letters && strncmp(letters(), whole, size) == 0);
            assert_true(size > 6);
            new_tails++;
        }
    }
    assert_true(old_tails >= 3 && new_tails >= 40);
}

/* -- Damage ------------------------------------------------------------------------------------ */

/* B16, B17: raft_uv drops what follows, and moves the file away; the node votes on. */
static void
refuses_a_log_with_a_damaged_record_in_its_middle(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < 6; i++) { /* Each in a write of its own. */
        append(i, 1, 2, (char)('a' + (int)i), 64);
        all_steps();
    }
    end_life();
    struct sim_file *segment = &node->disk.files[sim_find(&node->disk, "segment-0000")];
    /* Blocks: header, configuration, a, b, c. The record may have begun right behind b's. */
    uint8_t *record = segment->data + 4 * LOG_BLOCK;
    bool is_c = memchr(record, 'c', 128) != NULL;
    assert_true(is_c);
    record[70] ^= 1;
    assert_false(open_io(SALT));
    assert_int_equal(node->failure.reason, FATAL_CORRUPT);
    assert_non_null(strstr(node->failure.text, "segment-0000 of the log, offset 12400"));
    record[70] ^= 1;
    start();
    assert_string_equal(letters(), "abcdef");
}

/* -- Snapshots --------------------------------------------------------------------------------- */

static void
got(struct raft_io_snapshot_get *request, struct raft_snapshot *snapshot, int status)
{
    (void)request;
    assert_int_equal(status, 0);
    node->got = true;
    node->snapshot = snapshot;
}

static void
expect_snapshot(const struct raft_snapshot *snapshot, raft_index index, raft_term term)
{
    assert_non_null(snapshot);
    assert_true(snapshot->index == index && snapshot->term == term);
    assert_true(snapshot->configuration_index == 1 && snapshot->configuration.n == 3);
    assert_string_equal(snapshot->configuration.servers[2].address, "h3:7400");
    assert_int_equal(snapshot->configuration.servers[2].role, RAFT_VOTER);
    assert_true(snapshot->n_bufs == 1 && snapshot->bufs[0].len == 20);
    assert_string_equal(snapshot->bufs[0].base, "what the store says");
}

static void
publishes_a_snapshot_and_lets_go_of_what_it_holds(void **state)
{
    static struct raft_io_snapshot_get get;
    (void)state;
    start();
    for (unsigned i = 0; i < 60; i++) { /* Five segments. */
        append(i, 1, 4, 'a', ENTRY_BYTES);
        all_steps();
    }
    put(50, 4, 10);
    all_steps();
    assert_true(node->put);
    assert_int_equal(node->raft->snapshot_get(node->raft, &get, got), 0);
    assert_false(node->got);
    do_work();
    assert_true(node->got);
    expect_snapshot(node->snapshot, 50, 4);
    restart();
    expect_snapshot(node->loaded_snapshot, 50, 4);
    assert_true(node->start > 1 && node->start <= 41);
    assert_int_equal(node->start + node->count - 1, 61);
    assert_int_equal(node->raft->snapshot_get(node->raft, &get, got), 0);
    do_work();
    expect_snapshot(node->snapshot, 50, 4);
}

/* A8b, A8d: there is no moment at which the log claims what it does not hold. */
static void
begins_anew_behind_a_snapshot_that_was_installed(void **state)
{
    unsigned before = 0, behind = 0;
    (void)state;
    for (int64_t crash = 0; (before < 3 || behind < 40) && crash < 5000; crash++) {
        end_life();
        sim_free(&node->disk);
        sim_init(&node->disk, &prng);
        assert_true(birth());
        start();
        append(0, 5, 2, 'a', 64);
        all_steps();
        node->disk.crash_in = crash % 4;
        put(100, 7, 0);
        append(1, 2, 7, 'X', 64);
        all_steps();
        bool was_put = node->put;
        unsigned told_count = node->told_count;
        restart();
        if (node->loaded_snapshot == NULL) {
            assert_false(was_put);
            assert_true(node->start == 1 && node->count == 6);
            before++;
        } else {
            expect_snapshot(node->loaded_snapshot, 100, 7);
            assert_int_equal(node->start, 101);
            assert_true(told_count < 2 || node->count == 2);
            assert_true(strncmp(letters(), "XY", node->count) == 0);
            behind++;
        }
    }
    assert_true(before >= 3 && behind >= 40);
}

/* -- What an operator forces ------------------------------------------------------------------- */

/* B29: raft_uv writes it in term 1, and who was not recovered wins and takes it back. */
static void
forces_a_configuration_in_the_term_of_the_last_entry(void **state)
{
    struct raft_configuration alone;
    (void)state;
    start();
    assert_int_equal(node->raft->set_term(node->raft, 9), 0);
    append(0, 2, 5, 'a', 64);
    all_steps();
    end_life();
    assert_true(open_io(SALT));
    configuration_of(1, &alone);
    assert_int_equal(node->raft->recover(node->raft, &alone), 0);
    raft_configuration_close(&alone);
    restart();
    assert_true(node->count == 4 && node->term == 9);
    assert_int_equal(node->entries[3].type, RAFT_CHANGE);
    assert_int_equal(node->entries[3].term, 5);
}

/* -- Transport and host ------------------------------------------------------------------------ */

static int
half(struct raft_io_async_work *request)
{
    return *(int *)request->data / 2;
}

static void
half_done(struct raft_io_async_work *request, int status)
{
    *(int *)request->data = status;
}

static void
hear_note(void *context, uint32_t from, uint8_t kind, struct bytes body)
{
    (void)context;
    assert_true(from == 2 && kind == 9 && body.size == 3);
    node->notes_count++;
}

static void
hear_gone(void *context, uint32_t member)
{
    (void)context;
    node->gone = member;
}

static void
passes_on_what_transport_and_host_bring(void **state)
{
    struct io_listener listener = {.note = hear_note, .gone = hear_gone};
    struct raft_message message = {.type = RAFT_IO_TIMEOUT_NOW};
    struct raft_io_send send;
    struct raft_io_async_work work;
    int number = 84;
    (void)state;
    start();
    node->client.note(node->client.context, 2, 9, bytes_make((const uint8_t *)"abc", 3));
    io_listen(node->io, &listener);
    node->client.note(node->client.context, 2, 9, bytes_make((const uint8_t *)"abc", 3));
    node->client.gone(node->client.context, 3);
    assert_true(node->notes_count == 1 && node->gone == 3);
    node->client.message(node->client.context, &message);
    assert_int_equal(node->messages_count, 1);
    assert_int_equal(node->raft->send(node->raft, &send, &message, NULL), 0);
    assert_int_equal(node->sent, 1);
    node->ticked(node->ticks);
    assert_int_equal(node->ticks_count, 1);
    node->now_ms = 4711;
    assert_int_equal(node->raft->time(node->raft), 4711);
    int drawn = node->raft->random(node->raft, 5, 7);
    assert_true(drawn == 5 || drawn == 6);
    work.data = &number;
    work.work = half;
    assert_int_equal(node->raft->async_work(node->raft, &work, half_done), 0);
    assert_int_equal(number, 84);
    do_work();
    assert_int_equal(number, 42);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(is_born_with_its_first_configuration),
        TEST(refuses_what_a_birth_left_that_crashed_half_way),
        TEST(refuses_the_log_of_another_directory),
        TEST(keeps_term_and_vote_on_the_disk_before_it_returns),
        TEST(refuses_a_damaged_term_and_vote),
        TEST(tells_of_appends_in_order_once_they_are_durable),
        TEST(loads_entries_of_any_length),
        TEST(ends_the_node_at_a_failed_write_and_tells_nobody),
        TEST(keeps_a_truncation_that_meets_a_snapshot),
        TEST(loads_one_tail_whenever_a_truncation_is_cut_off),
        TEST(refuses_a_log_with_a_damaged_record_in_its_middle),
        TEST(publishes_a_snapshot_and_lets_go_of_what_it_holds),
        TEST(begins_anew_behind_a_snapshot_that_was_installed),
        TEST(forces_a_configuration_in_the_term_of_the_last_entry),
        TEST(passes_on_what_transport_and_host_bring),
#undef TEST
    };
    prng = seed_init();
    return cmocka_run_group_tests_name("consensus/io", tests, NULL, NULL);
}
