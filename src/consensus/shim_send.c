/* See shim.h. What leaves: acks that are true, candidacies that are stored, messages that are
 * bounded. Thread: the loop. */
#include "common/assert.h"
#include "common/bytes.h"
#include "peek.h"
#include "shim_parts.h"

/* On the wire and in memory, beside its bytes. */
enum { ENTRY_OVERHEAD_BYTES = 32 };

struct shim_send {
    struct raft_io_send below;
    struct shim *shim;
    struct raft_io_send *request; /* libraft's. */
    raft_io_send_cb callback;     /* NULL: nobody wants to know. */
    struct shim_peer *peer;
    uint64_t bytes;
    int status;
    struct shim_send *next;
};

/* -- The rules for one message ----------------------------------------------------------------- */

void
shim_note_verified(struct shim *shim)
{
    if (shim->message_term == 0 || shim->message_term != shim_raft(shim)->current_term) {
        return;
    }
    if (shim->verified_term != shim->message_term) {
        shim->verified_term = shim->message_term;
        shim->verified_index = 0;
    }
    if (shim->verified_index < shim->message_end) {
        shim->verified_index = shim->message_end;
    }
}

/*
 * S-1, cures A1 and B1: a follower acknowledges its whole log, also a tail that the leader has
 * never compared, and under the term of a leader that did not send it; the leader counts copies
 * that are not there and loses acknowledged writes. An ack may say no more than what messages of
 * its own term have brought or compared; 0 is a sign of life and moves nothing.
 */
static void
clamp_ack(struct shim *shim, struct raft_append_entries_result *ack)
{
    if (!shim->rules.clamp_acks || ack->rejected != 0) {
        return;
    }
    if (ack->term == shim->message_term) {
        shim_note_verified(shim);
    }
    raft_index most = shim->verified_term == ack->term ? shim->verified_index : 0;
    if (ack->last_log_index > most) {
        ack->last_log_index = most;
    }
}

/* S-5, cures A7: who asks for a vote names only what is on its disk. */
static void
name_stored_log(struct shim *shim, struct raft_request_vote *request)
{
    const struct raft *raft = shim_raft(shim);
    if (shim->rules.stored_candidacy && request->last_log_index > raft->last_stored) {
        request->last_log_index = raft->last_stored;
        request->last_log_term = peek_term(raft, raft->last_stored);
    }
}

/*
 * Guard 4m, cures B3 and B4: libraft sends everything it has, however much, and while it probes
 * sends it again at every heartbeat. One message gets at most QO_APPEND_BYTES_MAX, all that are on
 * the way to one peer QO_PEER_WINDOW_BYTES_MAX; what is cut off is sent later (rewind_trimmed). A
 * message without entries is still a heartbeat. Returns the bytes of the entries that are left.
 */
static uint64_t
trim_to_window(struct shim *shim, struct shim_peer *peer, struct raft_append_entries *message)
{
    uint64_t window =
        peer->bytes < QO_PEER_WINDOW_BYTES_MAX ? QO_PEER_WINDOW_BYTES_MAX - peer->bytes : 0;
    uint64_t most = window < QO_APPEND_BYTES_MAX ? window : QO_APPEND_BYTES_MAX;
    uint64_t bytes = 0;
    unsigned n = 0;
    while (n < message->n_entries && (!shim->rules.windows || n < QO_APPEND_ENTRIES_MAX)) {
        uint64_t more = message->entries[n].buf.len + ENTRY_OVERHEAD_BYTES;
        if (shim->rules.windows && bytes + more > most && (n > 0 || more > window)) {
            break;
        }
        bytes += more;
        n++;
    }
    if (n < message->n_entries) {
        message->n_entries = n;
        /* The receiver commits up to leader_commit; it may not name what the message lacks. */
        raft_index end = message->prev_log_index + n;
        message->leader_commit = message->leader_commit < end ? message->leader_commit : end;
        peer->trimmed_next = end + 1;
    }
    return bytes;
}

void
shim_rewind_trimmed(struct shim *shim)
{
    for (unsigned i = 0; i < QO_MEMBERS_MAX; i++) {
        struct shim_peer *peer = &shim->peers[i];
        if (peer->trimmed_next != 0) {
            peek_lower_next(shim_raft(shim), peer->id, peer->trimmed_next);
            peer->trimmed_next = 0;
        }
    }
}

/* -- Handing below ----------------------------------------------------------------------------- */

/*
 * S-11, cures a fault found here: when a send fails, libraft probes from behind what the member has
 * acknowledged in this term. For one that was away since the election that is index 1, which a log
 * with a snapshot no longer holds, so at its first sign of life it is offered a snapshot and no
 * entries, though it may lack next to nothing; and for as long as this leader leads. Also while the
 * log still holds all: the snapshot may be taken before the member is back.
 */
static void
probe_anew(struct shim *shim, const struct shim_send *send)
{
    if (send->status != 0 && send->peer != NULL && shim->rules.probe_from_end) {
        peek_probe_from_end(shim_raft(shim), send->peer->id);
    }
}

static void
finish(struct shim_send *send)
{
    struct shim *shim = send->shim;
    if (send->callback != NULL) {
        shim_enter(shim);
        send->callback(send->request, send->status);
        shim_leave(shim);
    }
    probe_anew(shim, send);
    mem_free(send);
}

/* S-9: libraft uses a request after send() has returned, and a callback inside would free it. */
static void
finish_later(struct shim_send *send, int status)
{
    struct shim *shim = send->shim;
    send->status = status;
    send->next = NULL;
    if (shim->failed_last != NULL) {
        shim->failed_last->next = send;
    } else {
        shim->failed_first = send;
    }
    shim->failed_last = send;
}

bool
shim_tell_failed_sends(struct shim *shim)
{
    struct shim_send *send = shim->failed_first;
    shim->failed_first = shim->failed_last = NULL; /* What comes anew waits for the next round. */
    bool any = send != NULL;
    while (send != NULL) {
        struct shim_send *next = send->next;
        finish(send);
        send = next;
    }
    return any;
}

static void
sent(struct raft_io_send *below, int status)
{
    struct shim_send *send = below->data;
    struct shim *shim = send->shim;
    if (send->peer != NULL) {
        QO_ASSERT(send->peer->messages_count > 0 && send->peer->bytes >= send->bytes);
        send->peer->messages_count--;
        send->peer->bytes -= send->bytes;
    }
    if (shim->inside > 0 && shim->rules.never_inside) {
        finish_later(send, status);
        return;
    }
    send->status = status;
    finish(send);
    shim_settle(shim);
}

/* True if `message` does not go below; it is then told as sent, or as failed, later. */
static bool
stays_here(struct shim *shim, struct shim_send *send, const struct raft_message *message)
{
    if (message->type == RAFT_IO_INSTALL_SNAPSHOT && shim->rules.no_install) {
        finish_later(send, 0); /* Lost on the way: libraft tries again after its timeout. */
        return true;
    }
    if (shim->rules.windows && send->peer != NULL &&
        send->peer->messages_count >= QO_PEER_MESSAGES_MAX) {
        finish_later(send, RAFT_NOCONNECTION);
        return true;
    }
    return false;
}

static void
apply_rules(struct shim *shim, struct shim_send *send, struct raft_message *message)
{
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        if (send->peer != NULL) {
            send->bytes = trim_to_window(shim, send->peer, &message->append_entries);
        }
        break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        clamp_ack(shim, &message->append_entries_result);
        break;
    case RAFT_IO_REQUEST_VOTE:
        name_stored_log(shim, &message->request_vote);
        break;
    default:
        break;
    }
}

int
shim_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
          raft_io_send_cb callback)
{
    struct shim *shim = shim_of(io);
    struct raft_message changed = *message;
    struct shim_send *send = mem_zalloc(sizeof *send);
    send->shim = shim;
    send->request = request;
    send->callback = callback;
    send->below.data = send;
    if (message->server_id == 0) {
        /* An answer to a leader that was forgotten while the entries were written (failover.h). */
        finish_later(send, 0);
        return 0;
    }
    send->peer = shim_peer(shim, message->server_id);
    if (stays_here(shim, send, message)) {
        return 0;
    }
    apply_rules(shim, send, &changed);
    if (send->peer != NULL) {
        send->peer->messages_count++;
        send->peer->bytes += send->bytes;
    }
    shim->inside++;
    int status = shim->below->send(shim->below, &send->below, &changed, sent);
    shim->inside--;
    if (status == 0) {
        return 0;
    }
    if (send->peer != NULL) {
        send->peer->messages_count--;
        send->peer->bytes -= send->bytes;
    }
    if (shim->rules.never_inside) { /* Some callers turn an error of send() into UNAVAILABLE. */
        finish_later(send, RAFT_NOCONNECTION);
        return 0;
    }
    mem_free(send);
    return status;
}
