/*
 * list: items in a ring of links that stand inside them. Nothing is allocated.
 *
 * A zeroed link is in no list; a head is a link of its own. Thread: one at a time.
 */
#ifndef CLIENT_LIST_H
#define CLIENT_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *before, *after; /* NULL: in no list. */
};

/* The item of `type` in which `link` is the member `member`. */
#define LIST_ITEM(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#define LIST_ITEM_CONST(link, type, member)                                                        \
    ((const type *)(const void *)((const char *)(link)-offsetof(type, member)))

static inline void
list_init(struct link *head)
{
    head->before = head->after = head;
}

static inline bool
list_empty(const struct link *head)
{
    return head->after == head;
}

static inline void
list_append(struct link *head, struct link *link)
{
    link->before = head->before;
    link->after = head;
    head->before->after = link;
    head->before = link;
}

static inline void
list_remove(struct link *link)
{
    link->before->after = link->after;
    link->after->before = link->before;
    link->before = link->after = NULL;
}

static inline bool
list_has(const struct link *link)
{
    return link->after != NULL;
}

#endif
