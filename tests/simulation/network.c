/* See network.h. Thread: the run's. */
#include "network.h"

#include <string.h>

#include "acks.h"
#include "common/assert.h"
#include "common/bytes.h"
#include "elections.h"
#include "events.h"
#include "ground.h"
#include "message.h"
#include "story.h"

struct way ways[MEMBERS_MAX + 1][MEMBERS_MAX + 1];
static uint32_t rude_permille;
static bool votes_lost;
static struct transport_client clients[MEMBERS_MAX + 1]; /* All 0 until it has started. */

/* A message or a note on its way: nothing in it points into the sender. */
struct letter {
    unsigned from, to;
    uint8_t note_kind;           /* 0: it is a message. */
    struct raft_message message; /* Its type; all of a snapshot but the snapshot. */
    uint8_t *blob;               /* The message as links send it, the snapshot, or the note. */
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
    mem_free(letter->blob);
    mem_free(letter);
}

/* As links send it (message.h). */
static void
encode(struct letter *letter, const struct raft_message *message)
{
    struct buf whole = {0};
    message_put_head(message, &whole);
    if (message->type == RAFT_IO_APPEND_ENTRIES) {
        const struct raft_append_entries *append = &message->append_entries;
        static const uint8_t zeros[8];
        for (unsigned i = 0; i < append->n_entries; i++) {
            const struct raft_buffer *entry = &append->entries[i].buf;
            buf_append(&whole, entry->base, entry->len);
            buf_append(&whole, zeros, message_padding(entry->len));
        }
    }
    QO_ASSERT(whole.size == message_bytes(message));
    letter->blob = whole.data;
    letter->blob_size = whole.size;
}

static struct letter *
letter_make(unsigned from, const void *what)
{
    const struct raft_message *message = what;
    struct letter *letter = mem_zalloc(sizeof *letter);
    letter->from = from;
    letter->to = (unsigned)message->server_id;
    letter->message = *message;
    if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        letter->blob_size = message->install_snapshot.data.len;
        letter->blob = mem_alloc(letter->blob_size + 1);
        memcpy(letter->blob, message->install_snapshot.data.base, letter->blob_size);
    } else {
        encode(letter, message);
    }
    return letter;
}

/* Only without the rule that drops it: links have no form for it. */
static void
open_install(const struct letter *letter, struct raft_message *message)
{
    struct raft_install_snapshot *install = &message->install_snapshot;
    *message = letter->message;
    raft_configuration_init(&install->conf);
    for (unsigned id = 1; id <= members_count(); id++) {
        int status = raft_configuration_add(&install->conf, id, ground_address(id),
                                            member_votes(id) ? RAFT_VOTER : RAFT_STANDBY);
        QO_ASSERT(status == 0);
    }
    install->data.base = raft_malloc(letter->blob_size + 1);
    install->data.len = letter->blob_size;
    memcpy(install->data.base, letter->blob, letter->blob_size);
}

static void
open_letter(const struct letter *letter, struct raft_message *message)
{
    if (letter->message.type == RAFT_IO_INSTALL_SNAPSHOT) {
        open_install(letter, message);
    } else {
        uint8_t *batch = raft_malloc(letter->blob_size);
        memcpy(batch, letter->blob, letter->blob_size);
        enum message_reading reading =
            message_decode(bytes_make(batch, letter->blob_size), batch, message);
        EXPECT(reading != MESSAGE_BAD, "a message from %u to %u does not decode", letter->from,
               letter->to);
        if (reading == MESSAGE_GOOD) {
            raft_free(batch);
        }
    }
    message->server_id = letter->from;
    message->server_address = ground_address(letter->from);
}

static void
receive(void *context)
{
    const struct letter *letter = context;
    const struct transport_client *client = &clients[letter->to];
    if (client->message == NULL) {
        return;
    }
    if (letter->note_kind != 0) {
        client->note(client->context, letter->from, letter->note_kind,
                     bytes_make(letter->blob, letter->blob_size));
        return;
    }
    struct raft_message message;
    open_letter(letter, &message);
    if (message.type == RAFT_IO_APPEND_ENTRIES) {
        elections_heard(letter->to, letter->from, message.append_entries.term);
    }
    client->message(client->context, &message);
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

/* It is lost, or arrives some time later, perhaps twice. */
static void
post(unsigned from, unsigned to, struct letter *(*make)(unsigned from, const void *what),
     const void *what)
{
    const struct way *way = &ways[from][to];
    story->counts.messages++;
    if (way->cut || chance_permille(way->loss_permille)) {
        story->counts.lost_messages++;
        return;
    }
    for (unsigned copies = chance_permille(way->repeat_permille) ? 2 : 1; copies > 0; copies--) {
        event_plan(chance_between(way->delay_us_min, way->delay_us_max), 0, arrive,
                   make(from, what));
    }
}

/* -- The transport of a member ----------------------------------------------------------------- */

static unsigned
id_of(const void *context)
{
    return (unsigned)((const struct transport_client *)context - clients);
}

static void
start(void *context, const struct transport_client *client)
{
    QO_PRE(((struct transport_client *)context)->message == NULL);
    *(struct transport_client *)context = *client;
}

static void
set_members(void *context, const struct transport_member *members, uint32_t count)
{
    (void)context;
    QO_PRE(count == members_count() && members[0].id == 1);
}

/* What one who was away for long is sent has a bound. */
static void
check_size(unsigned from, const struct raft_message *message)
{
    const struct raft_append_entries *append = &message->append_entries;
    uint64_t bytes = 0;
    if (message->type != RAFT_IO_APPEND_ENTRIES) {
        return;
    }
    for (unsigned i = 0; i < append->n_entries; i++) {
        bytes += append->entries[i].buf.len;
    }
    EXPECT(append->n_entries <= QO_APPEND_ENTRIES_MAX && bytes <= QO_APPEND_BYTES_MAX,
           "member %u sends %u entries of %llu bytes in one message", from, append->n_entries,
           (unsigned long long)bytes);
}

static int
send_message(void *context, struct raft_io_send *request, const struct raft_message *message,
             raft_io_send_cb callback)
{
    unsigned from = id_of(context), to = (unsigned)message->server_id;
    QO_PRE(to >= 1 && to <= members_count() && to != from);
    bool broken = (ways[from][to].cut || !member_up(to)) && chance_permille(500);
    elections_sent(from, message);
    acks_sent(from, message);
    check_size(from, message);
    bool rude = rude_permille > 0 && chance_permille(rude_permille);
    if (rude && chance_permille(500)) {
        return RAFT_NOCONNECTION;
    }
    if (message->type != RAFT_IO_REQUEST_VOTE || message->request_vote.pre_vote || !votes_lost) {
        post(from, to, letter_make, message);
    }
    if (rude) {
        callback(request, broken ? RAFT_NOCONNECTION : 0);
        return 0;
    }
    struct sent *sent = mem_alloc(sizeof *sent);
    *sent = (struct sent){request, callback, broken ? RAFT_NOCONNECTION : 0};
    event_plan(chance_between(1, 200), from, was_sent, sent);
    return 0;
}

void
network_lose_votes(bool lost)
{
    votes_lost = lost;
}

void
network_set_rude(uint32_t permille)
{
    rude_permille = permille;
}

struct note {
    unsigned to;
    uint8_t kind;
    struct bytes body;
};

static struct letter *
note_make(unsigned from, const void *what)
{
    const struct note *note = what;
    struct letter *letter = mem_zalloc(sizeof *letter);
    letter->from = from;
    letter->to = note->to;
    letter->note_kind = note->kind;
    letter->blob_size = note->body.size;
    letter->blob = mem_alloc(letter->blob_size + 1);
    memcpy(letter->blob, note->body.data, letter->blob_size);
    return letter;
}

static void
send_note(void *context, uint32_t to, uint8_t kind, struct bytes body)
{
    const struct note note = {to, kind, body};
    QO_PRE(to >= 1 && to <= members_count() && kind != 0 && body.size <= QO_LINK_NOTE_BYTES_MAX);
    post(id_of(context), to, note_make, &note);
}

const struct transport *
network_transport(unsigned id)
{
    static struct transport transports[MEMBERS_MAX + 1];
    QO_PRE(id >= 1 && id <= MEMBERS_MAX);
    transports[id] = (struct transport){.context = &clients[id],
                                        .start = start,
                                        .members = set_members,
                                        .send = send_message,
                                        .note = send_note};
    return &transports[id];
}

void
network_begin(unsigned id)
{
    clients[id] = (struct transport_client){0};
}

/* -- Hints that a process has ended ------------------------------------------------------------ */

static void
hear(void *context)
{
    const struct letter *letter = context;
    const struct transport_client *client = &clients[letter->to];
    if (client->gone != NULL) {
        story->counts.hints++;
        client->gone(client->context, letter->from);
    }
}

static void
hint_arrives(void *context)
{
    struct letter *letter = context;
    if (member_up(letter->to) && member_stopped_until_us(letter->to) <= events_now_us()) {
        member_run(letter->to, hear, letter);
    }
    letter_free(letter);
}

void
network_hint(unsigned to, unsigned id)
{
    struct letter *letter = mem_zalloc(sizeof *letter);
    letter->from = id;
    letter->to = to;
    event_plan(chance_between(100, 5000), 0, hint_arrives, letter);
}

void
network_gone(unsigned id)
{
    for (unsigned to = 1; to <= members_count(); to++) {
        if (to != id && !ways[id][to].cut && !ways[to][id].cut && chance_permille(700)) {
            network_hint(to, id);
        }
    }
}
