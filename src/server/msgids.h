/*
 * msgids: the message ids of one session that are under way: a small hash set that grows with what
 * is outstanding. Thread: loop.
 */
#ifndef SERVER_MSGIDS_H
#define SERVER_MSGIDS_H

#include <stdbool.h>
#include <stdint.h>

struct msgids {
    uint64_t *slots;   /* msgid + 1; 0: free. Linear probing. */
    uint32_t capacity; /* A power of two, at least twice `count`. */
    uint32_t count;
};

/* False: it is there already. A zeroed struct is an empty set. */
bool msgids_add(struct msgids *msgids, uint32_t msgid);
/* It must be there (asserted). */
void msgids_remove(struct msgids *msgids, uint32_t msgid);
void msgids_free(struct msgids *msgids);

#endif
