/* See links.h. Who the others are, when they are dialled, and which connection remains.
 * Thread: the loop. */
#include "links.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/assert.h"
#include "link_state.h"

/* Dialled so often without a good link: from then on a lost link waits, too. */
enum { AT_ONCE_MAX = 3 };

struct peer *
links_peer(struct links *links, uint32_t id)
{
    for (uint32_t i = 0; i < QO_MEMBERS_MAX; i++) {
        if (id != 0 && links->peers[i].id == id) {
            return &links->peers[i];
        }
    }
    return NULL;
}

/* -- Telling ----------------------------------------------------------------------------------- */

static void
tell(struct links *links)
{
    struct link_items now = links->told;
    links->told = (struct link_items){0}; /* What comes anew waits for the next turn. */
    for (struct link_item *item; (item = link_items_pop(&now)) != NULL;) {
        if (item->callback != NULL) {
            item->callback(item->request, item->status);
        }
        link_item_free(item);
    }
}

static void
tell_waiting(uv_idle_t *idle)
{
    struct links *links = idle->data;
    tell(links);
    if (links->told.first == NULL) {
        (void)uv_idle_stop(idle);
    }
}

void
links_tell_later(struct links *links, struct link_items items, int status)
{
    for (struct link_item *item; (item = link_items_pop(&items)) != NULL;) {
        item->status = links->closing ? RAFT_CANCELED : status;
        link_items_add(&links->told, item);
    }
    if (links->told.first != NULL && !links->closing) {
        (void)uv_idle_start(&links->telling, tell_waiting);
    }
}

static void
tell_one_later(struct links *links, struct link_item *item, int status)
{
    struct link_items items = {0};
    link_items_add(&items, item);
    links_tell_later(links, items, status);
}

/* -- Dialling ---------------------------------------------------------------------------------- */

/* xorshift64: jitter only. */
static uint64_t
chance_below(struct links *links, uint64_t bound)
{
    links->chance ^= links->chance << 13;
    links->chance ^= links->chance >> 7;
    links->chance ^= links->chance << 17;
    return links->chance % bound;
}

static void
dial_now(struct peer *peer)
{
    QO_PRE(peer->link == NULL && peer->dial == NULL);
    peer->tries++;
    peer->counts.attempts++;
    peer->dial = conn_dial(peer);
}

static void
retry(uv_timer_t *timer)
{
    struct peer *peer = timer->data;
    if (peer->id != 0 && peer->link == NULL && peer->dial == NULL) {
        dial_now(peer);
    }
}

/* Dials at once after so few tries, else after a while that doubles with each. */
static void
dial_again(struct peer *peer, uint32_t at_once)
{
    if (peer->id == 0 || peer->links->closing || peer->link != NULL || peer->dial != NULL) {
        return;
    }
    if (peer->tries < at_once) {
        dial_now(peer);
        return;
    }
    uint32_t doublings = peer->tries < 8 ? peer->tries - 1 : 7;
    uint64_t most = (uint64_t)QO_LINK_RETRY_MS_MIN << doublings;
    most = most < QO_LINK_RETRY_MS_MAX ? most : QO_LINK_RETRY_MS_MAX;
    uint64_t delay = most - chance_below(peer->links, most / 2 + 1);
    (void)uv_timer_start(&peer->retry, retry, delay, 0);
}

/* -- What becomes of connections --------------------------------------------------------------- */

void
links_opened(struct conn *conn)
{
    struct peer *peer = conn->peer;
    struct links *links = conn->links;
    struct conn *old = peer->link;
    if (!conn->dialled) {
        links->openings--;
    }
    conn->state = CONN_LINK;
    conn->opened_ms = uv_now(links->loop);
    (void)uv_timer_stop(&conn->deadline);
    peer->link = conn;
    peer->dial = peer->dial == conn ? NULL : peer->dial;
    if (old != NULL) {
        conn_close(old);
    }
    if (peer->dial != NULL && (links->id < peer->id || !peer->dial->proved)) {
        conn_close(peer->dial);
    }
    (void)uv_timer_stop(&peer->retry);
    peer->gone_until_ms = 0;
    peer->counts.opened++;
    log_limited(&peer->up_lines, LOG_INFO, "link_up", "member=%u address=%s dialled=%s replaced=%s",
                peer->id, peer->address, conn->dialled ? "here" : "there",
                old != NULL ? "true" : "false");
}

static void
lost(struct peer *peer, uint64_t lived_ms, int status)
{
    bool by_peer = status == UV_EOF || status == UV_ECONNRESET || status == UV_EPIPE;
    uint64_t now_ms = uv_now(peer->links->loop);
    log_limited(&peer->down_lines, LOG_WARN, "link_down", "member=%u lived_ms=%llu reason=\"%s\"",
                peer->id, (unsigned long long)lived_ms, uv_strerror(status));
    peer->gone_until_ms = by_peer ? now_ms + QO_LINK_GONE_MS : 0;
    peer->tries = lived_ms >= QO_LINK_STEADY_MS ? 0 : peer->tries;
    dial_again(peer, AT_ONCE_MAX);
}

static void
dial_failed(struct peer *peer, bool refused)
{
    struct links *links = peer->links;
    bool gone = refused && peer->link == NULL && uv_now(links->loop) < peer->gone_until_ms;
    dial_again(peer, 1);
    if (gone) {
        peer->gone_until_ms = 0;
        peer->counts.gone++;
        log_limited(&peer->down_lines, LOG_WARN, "member_gone", "member=%u", peer->id);
        links->client.gone(links->client.context, peer->id);
    }
}

void
links_ended(struct conn *conn, int status)
{
    struct peer *peer = conn->peer;
    bool was_link = peer != NULL && peer->link == conn;
    bool was_dial = peer != NULL && peer->dial == conn;
    bool refused = conn->state == CONN_CONNECTING && status == UV_ECONNREFUSED;
    uint64_t lived_ms = uv_now(conn->links->loop) - conn->opened_ms;
    conn_close(conn);
    if (was_link) {
        lost(peer, lived_ms, status);
    } else if (was_dial) {
        dial_failed(peer, refused);
    }
}

void
links_accept(struct links *links, int fd, struct bytes already_read)
{
    if (!links->started || links->closing) {
        (void)close(fd);
        return;
    }
    struct conn *oldest = NULL;
    for (struct conn *conn = links->conns; conn != NULL && links->openings >= QO_LINK_OPENINGS_MAX;
         conn = conn->next) {
        oldest = !conn->dialled && conn->state != CONN_LINK ? conn : oldest;
    }
    if (oldest != NULL) {
        conn_close(oldest);
    }
    struct conn *conn = conn_accept(links, fd);
    if (conn != NULL && already_read.size > 0) {
        conn_read(conn, already_read);
    }
}

/* -- struct transport -------------------------------------------------------------------------- */

static void
start(void *context, const struct transport_client *client)
{
    struct links *links = context;
    QO_PRE(!links->started);
    links->client = *client;
    links->started = true;
}

static void
forget(struct peer *peer)
{
    struct conn *next;
    peer->id = 0;
    (void)uv_timer_stop(&peer->retry);
    for (struct conn *conn = peer->links->conns; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->peer == peer) {
            conn_close(conn);
        }
    }
    QO_POST(peer->link == NULL && peer->dial == NULL);
}

/* A new peer, or one that has moved. A link to where it was is kept while it lasts. */
static void
learn(struct links *links, const struct transport_member *member)
{
    struct peer *peer = links_peer(links, member->id);
    if (peer != NULL && strcmp(peer->address, member->address) == 0) {
        return;
    }
    for (uint32_t i = 0; i < QO_MEMBERS_MAX && peer == NULL; i++) {
        if (links->peers[i].id == 0) {
            peer = &links->peers[i];
            peer->id = member->id;
            peer->counts = (struct links_status){0};
            peer->gone_until_ms = 0;
        }
    }
    QO_ASSERT(peer != NULL);
    memcpy(peer->address, member->address, sizeof peer->address);
    if (peer->dial != NULL) {
        conn_close(peer->dial);
    }
    (void)uv_timer_stop(&peer->retry);
    peer->tries = 0;
    dial_again(peer, 1);
}

static void
members(void *context, const struct transport_member *list, uint32_t count)
{
    struct links *links = context;
    QO_PRE(links->started && count <= QO_MEMBERS_MAX);
    for (uint32_t i = 0; i < QO_MEMBERS_MAX; i++) {
        bool stays = false;
        for (uint32_t n = 0; n < count; n++) {
            stays = stays || list[n].id == links->peers[i].id;
        }
        if (links->peers[i].id != 0 && !stays) {
            forget(&links->peers[i]);
        }
    }
    for (uint32_t n = 0; n < count; n++) {
        QO_PRE(list[n].id != 0);
        if (list[n].id != links->id) {
            learn(links, &list[n]);
        }
    }
}

static int
send_message(void *context, struct raft_io_send *request, const struct raft_message *message,
             raft_io_send_cb callback)
{
    struct links *links = context;
    struct peer *peer =
        message->server_id <= UINT32_MAX ? links_peer(links, (uint32_t)message->server_id) : NULL;
    struct link_item *item = link_item_of(message, request, callback);
    if (item->status != 0 || peer == NULL) {
        tell_one_later(links, item, item->status != 0 ? item->status : RAFT_INVALID);
    } else if (peer->link == NULL) {
        tell_one_later(links, item, RAFT_NOCONNECTION);
    } else if (!link_queue_push(&peer->link->queue, item, message)) {
        tell_one_later(links, item, item->status);
    } else {
        conn_flush(peer->link);
    }
    return 0;
}

static void
send_note(void *context, uint32_t to, uint8_t kind, struct bytes body)
{
    struct peer *peer = links_peer(context, to);
    if (peer != NULL && peer->link != NULL) {
        link_queue_note(&peer->link->queue, kind, body);
        conn_flush(peer->link);
    }
}

struct transport
links_transport(struct links *links)
{
    return (struct transport){links, start, members, send_message, send_note};
}

bool
links_status(const struct links *links, uint32_t member, struct links_status *status_out)
{
    for (uint32_t i = 0; i < QO_MEMBERS_MAX; i++) {
        const struct peer *peer = &links->peers[i];
        if (member != 0 && peer->id == member) {
            *status_out = peer->counts;
            status_out->up = peer->link != NULL;
            if (peer->link != NULL) {
                status_out->queued_bytes = peer->link->queue.bytes;
                status_out->queued_messages = peer->link->queue.messages;
            }
            return true;
        }
    }
    return false;
}

/* -- Life -------------------------------------------------------------------------------------- */

static void
fill_with_chance(void *out, size_t size)
{
    if (getrandom(out, size, 0) != (ssize_t)size) { /* No kernel of ours does that. */
        qo_fatal(FATAL_CONFIG, "getrandom: %s", strerror(errno));
    }
}

struct links *
links_open(const struct links_options *options)
{
    struct links *links = mem_zalloc(sizeof *links);
    size_t cluster_bytes = strlen(options->cluster_id);
    QO_PRE(options->id != 0 && cluster_bytes <= QO_CLUSTER_ID_MAX);
    QO_PRE(options->secret.size <= QO_LINK_SECRET_MAX);
    links->loop = options->loop;
    links->id = options->id;
    memcpy(links->cluster_id, options->cluster_id, cluster_bytes);
    links->secret_size = options->secret.size;
    if (options->secret.size > 0) {
        memcpy(links->secret, options->secret.data, options->secret.size);
    }
    links->silence_ms =
        options->peer_timeout_ms != 0 ? options->peer_timeout_ms : QO_LINK_SILENCE_MS;
    links->opening_ms = options->opening_ms != 0 ? options->opening_ms : QO_LINK_OPENING_MS;
    fill_with_chance(&links->life, sizeof links->life);
    fill_with_chance(&links->chance, sizeof links->chance);
    links->chance |= 1; /* xorshift stays at 0. */
    for (uint32_t i = 0; i < QO_MEMBERS_MAX; i++) {
        links->peers[i].links = links;
        (void)uv_timer_init(links->loop, &links->peers[i].retry);
        links->peers[i].retry.data = &links->peers[i];
    }
    (void)uv_idle_init(links->loop, &links->telling);
    links->telling.data = links;
    links->pieces = QO_MEMBERS_MAX + 1;
    return links;
}

void
links_piece_closed(struct links *links)
{
    QO_ASSERT(links->pieces > 0);
    links->pieces--;
    if (links->pieces == 0) {
        void (*closed)(void *context) = links->closed;
        void *context = links->closed_context;
        while (links->told.first != NULL) {
            tell(links);
        }
        mem_free(links);
        if (closed != NULL) {
            closed(context);
        }
    }
}

static void
retry_closed(uv_handle_t *handle)
{
    const struct peer *peer = handle->data;
    links_piece_closed(peer->links);
}

static void
telling_closed(uv_handle_t *handle)
{
    links_piece_closed(handle->data);
}

void
links_close(struct links *links, void (*closed)(void *context), void *context)
{
    QO_PRE(!links->closing);
    links->closing = true;
    links->closed = closed;
    links->closed_context = context;
    while (links->conns != NULL) {
        conn_close(links->conns);
    }
    for (uint32_t i = 0; i < QO_MEMBERS_MAX; i++) {
        uv_close((uv_handle_t *)&links->peers[i].retry, retry_closed);
    }
    uv_close((uv_handle_t *)&links->telling, telling_closed);
}
