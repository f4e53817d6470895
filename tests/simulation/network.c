/* See network.h. Thread: the run's. */
#include "network.h"

#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "events.h"
#include "ground.h"
#include "state.h" /* Of consensus. */
#include "story.h"

struct way ways[MEMBERS_MAX + 1][MEMBERS_MAX + 1];

/* A message or a note on its way: nothing in it points into the sender. */
struct letter {
    unsigned from, to;
    uint8_t note;                /* Its kind; 0: a message. */
    struct raft_message message; /* Without entries and snapshot. */
    struct raft_entry *entries;  /* Their bytes in `blob`, one behind the other. */
    unsigned entries_count;
    uint8_t *blob; /* Of the entries, of the snapshot or of the note. */
    size_t blob_size;
};

struct sent {
    struct raft_io_send *request;
    raft_io_send_cb callback;
    int status;
};

static void
letter_free(struct letter *letter)
{
    mem_free(letter->entries);
    mem_free(letter->blob);
    mem_free(letter);
}

static void
copy_entries(struct letter *letter, const struct raft_append_entries *from)
{
    size_t at = 0;
    for (unsigned i = 0; i < from->n_entries; i++) {
        letter->blob_size += from->entries[i].buf.len;
    }
    letter->blob = mem_alloc(letter->blob_size + 1);
    letter->entries = mem_alloc((from->n_entries + 1) * sizeof *letter->entries);
    letter->entries_count = from->n_entries;
    for (unsigned i = 0; i < from->n_entries; i++) {
        letter->entries[i] = from->entries[i];
        memcpy(letter->blob + at, from->entries[i].buf.base, from->entries[i].buf.len);
        at += from->entries[i].buf.len;
    }
}

static struct letter *
letter_make(unsigned from, const struct raft_message *message)
{
    struct letter *letter = mem_zalloc(sizeof *letter);
    letter->from = from;
    letter->to = (unsigned)message->server_id;
    letter->message = *message;
    if (message->type == RAFT_IO_APPEND_ENTRIES) {
        copy_entries(letter, &message->append_entries);
    } else if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        letter->blob_size = message->install_snapshot.data.len;
        letter->blob = mem_alloc(letter->blob_size + 1);
        memcpy(letter->blob, message->install_snapshot.data.base, letter->blob_size);
    }
    return letter;
}

/* Everything that libraft takes, in its own memory; one batch for all entries of a message. */
static void
open_letter(const struct letter *letter, struct raft_message *message)
{
    *message = letter->message;
    message->server_id = letter->from;
    message->server_address = ground_address(letter->from);
    if (message->type == RAFT_IO_APPEND_ENTRIES) {
        struct raft_append_entries *append = &message->append_entries;
        append->entries = NULL;
        append->n_entries = letter->entries_count;
        if (letter->entries_count > 0) {
            uint8_t *batch = raft_malloc(letter->blob_size + 1);
            memcpy(batch, letter->blob, letter->blob_size);
            append->entries = raft_malloc(letter->entries_count * sizeof *append->entries);
            for (unsigned i = 0; i < letter->entries_count; i++) {
                append->entries[i] = letter->entries[i];
                append->entries[i].batch = i == 0 ? batch : append->entries[0].batch;
                append->entries[i].buf.base = batch;
                batch += letter->entries[i].buf.len;
            }
        }
    } else if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        struct raft_install_snapshot *install = &message->install_snapshot;
        raft_configuration_init(&install->conf);
        for (unsigned id = 1; id <= members_count(); id++) {
            int status = raft_configuration_add(&install->conf, id, ground_address(id), RAFT_VOTER);
            QO_ASSERT(status == 0);
        }
        install->data.base = raft_malloc(letter->blob_size + 1);
        install->data.len = letter->blob_size;
        memcpy(install->data.base, letter->blob, letter->blob_size);
    }
}

static void
receive(void *context)
{
    const struct letter *letter = context;
    struct raft_message message;
    if (letter->note != 0) {
        consensus_noted(member_consensus(letter->to), letter->from, letter->note,
                        bytes_make(letter->blob, letter->blob_size));
        return;
    }
    open_letter(letter, &message);
    ground_deliver(member_ground(letter->to), &message);
}

static void
arrive(void *context)
{
    struct letter *letter = context;
    int64_t stopped_until_us = member_stopped_until_us(letter->to);
    if (ways[letter->from][letter->to].cut || !member_up(letter->to)) {
        story->counts.lost_messages++;
        letter_free(letter);
    } else if (stopped_until_us > events_now_us()) {
        event_plan(stopped_until_us - events_now_us(), 0, arrive, letter);
    } else {
        member_run(letter->to, receive, letter);
        letter_free(letter);
    }
}

static void
was_sent(void *context)
{
    struct sent sent = *(struct sent *)context;
    mem_free(context);
    sent.callback(sent.request, sent.status);
}

void
network_send(unsigned from, struct raft_io_send *request, const struct raft_message *message,
             raft_io_send_cb callback)
{
    unsigned to = (unsigned)message->server_id;
    QO_PRE(to >= 1 && to <= members_count() && to != from);
    const struct way *way = &ways[from][to];
    struct sent *sent = mem_alloc(sizeof *sent);
    bool broken = (way->cut || !member_up(to)) && chance_permille(500);
    *sent = (struct sent){request, callback, broken ? RAFT_NOCONNECTION : 0};
    event_plan(chance_between(1, 200), from, was_sent, sent);
    story->counts.messages++;
    if (way->cut || chance_permille(way->loss_permille)) {
        story->counts.lost_messages++;
        return;
    }
    for (unsigned copies = chance_permille(way->repeat_permille) ? 2 : 1; copies > 0; copies--) {
        event_plan(chance_between(way->delay_us_min, way->delay_us_max), 0, arrive,
                   letter_make(from, message));
    }
}

void
network_note(unsigned from, unsigned to, uint8_t kind, struct bytes body)
{
    QO_PRE(to >= 1 && to <= members_count() && to != from && kind != 0);
    const struct way *way = &ways[from][to];
    story->counts.messages++;
    if (way->cut || chance_permille(way->loss_permille)) {
        story->counts.lost_messages++;
        return;
    }
    for (unsigned copies = chance_permille(way->repeat_permille) ? 2 : 1; copies > 0; copies--) {
        struct letter *letter = mem_zalloc(sizeof *letter);
        *letter = (struct letter){.from = from, .to = to, .note = kind, .blob_size = body.size};
        letter->blob = mem_alloc(body.size + 1);
        memcpy(letter->blob, body.data, body.size);
        event_plan(chance_between(way->delay_us_min, way->delay_us_max), 0, arrive, letter);
    }
}
