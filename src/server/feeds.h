/*
 * feeds: feed.read, feed.subscribe, feed.credit, feed.unsubscribe.
 *
 * Both forms read the same events up to this node's watermark (feed/feed.h), on the readers. A read
 * that found nothing waits for the watermark to move, until `wait_ms` is over. A subscription sends
 * while it has credit and its session takes more; what it sends ends at the watermark, so a gap
 * never fills later. Each node answers for itself: nothing here is forwarded.
 *
 * Bound: QO_SUBSCRIPTIONS_MAX a session; waiting reads count as outstanding requests.
 *
 * Thread: loop.
 */
#ifndef SERVER_FEEDS_H
#define SERVER_FEEDS_H

#include "node.h"
#include "request.h"

struct feeds;
struct subscription;

struct feeds *feeds_open(void);

/* Takes `request` (feed.read). */
void feeds_read(struct node *node, struct request *request, const struct wire_request *wire);

/* These answer at once and do not take the request. */
void feeds_subscribe(struct node *node, struct request *request, const struct wire_request *wire);
void feeds_unsubscribe(struct node *node, struct request *request, const struct wire_request *wire);
/* `request` NULL: a notification, for which an unknown subscription is nothing. */
void feeds_credit(struct node *node, struct session_ref session, struct request *request,
                  const struct wire_request *wire);

/* A session ends: its subscriptions do too. The list is empty afterwards. */
void feeds_session_closed(struct node *node, struct subscription **subscriptions);

/* True if somebody waits for the watermark to move. */
bool feeds_wait(const struct node *node);
/* The watermark moved; and every tick. */
void feeds_progress(struct node *node);
void feeds_expire(struct node *node, int64_t now_us);

#endif
