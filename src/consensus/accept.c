/* See consensus/consensus.h, "The one port". Thread: the loop; consensus_link_opening(): any. */
#include <unistd.h>

#include "common/assert.h"
#include "common/thread.h"
#include "consensus/consensus.h"

/* What carries messages below still listens at a port of its own: nothing that comes here is a
 * link. */
enum consensus_opening
consensus_link_opening(struct bytes first)
{
    (void)first;
    return CONSENSUS_OPENING_NO;
}

void
consensus_accept_link(struct consensus *consensus, int fd, struct bytes already_read)
{
    (void)already_read;
    QO_PRE(thread_is(THREAD_LOOP) && consensus != NULL);
    (void)close(fd);
}
