/* See consensus/consensus.h, "The one port". Thread: the loop; consensus_link_opening(): any. */
#include <string.h>

#include "common/assert.h"
#include "common/thread.h"
#include "link_hello.h"
#include "links.h"
#include "state.h"

/* A request of a client may be whole and shorter, so that what is there is compared (links.h). */
enum consensus_opening
consensus_link_opening(struct bytes first)
{
    if (first.size >= LINKS_PREFIX_BYTES) {
        return links_is_opening(first) ? CONSENSUS_OPENING_YES : CONSENSUS_OPENING_NO;
    }
    bool maybe = first.size == 0 || memcmp(first.data, hello_prefix, first.size) == 0;
    return maybe ? CONSENSUS_OPENING_MAYBE : CONSENSUS_OPENING_NO;
}

void
consensus_accept_link(struct consensus *consensus, int fd, struct bytes already_read)
{
    QO_PRE(thread_is(THREAD_LOOP) && consensus->links != NULL);
    links_accept(consensus->links, fd, already_read);
}
