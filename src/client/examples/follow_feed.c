/*
 * Prints the events of a cluster, from a position on, without a gap or a repeat, also while nodes
 * come and go.
 *
 *     follow_feed 127.0.0.1:7401,127.0.0.1:7402 [FROM_SEQ [COUNT]]
 *
 * Ends after COUNT events (default: never), at SIGINT, or when the position is lost.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <quorder.h>

struct follower {
    uint64_t left;
    bool failed;
};

/* On the client's thread. Whoever keeps results keeps `next_seq` and `epoch` with them, in one
 * transaction, and begins there after a restart. */
static void
print_events(const struct qo_feed_batch *batch, void *context)
{
    struct follower *follower = context;
    for (size_t i = 0; i < batch->events_count && follower->left > 0; i++) {
        const struct qo_event *event = &batch->events[i];
        printf("%" PRIu64 " %s %s: %s -> %s\n", event->seq, event->id, event->event,
               event->from == NULL ? "(new)" : event->from, event->to);
        follower->left--;
    }
    if (batch->failure != NULL) {
        fprintf(stderr, "the feed ended: %s: %s\n", qo_code_name(batch->failure->code),
                batch->failure->message);
        follower->failed = true;
    }
    if (follower->left == 0 || follower->failed) {
        fflush(stdout);
        kill(getpid(), SIGINT);
    }
}

int
main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: follow_feed ENDPOINTS [FROM_SEQ [COUNT]]\n");
        return 2;
    }
    struct follower follower = {.left = argc > 3 ? strtoull(argv[3], NULL, 10) : UINT64_MAX};
    struct qo_client *client =
        qo_client_open(&(struct qo_options){.endpoints = argv[1], .name = "follow_feed"});
    if (client == NULL) {
        perror("qo_client_open");
        return 2;
    }
    /* SIGINT is waited for below, here and on the client's thread. */
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, NULL);

    struct qo_feed *feed = qo_feed_open(
        client, &(struct qo_feed_options){.from_seq = argc > 2 ? strtoull(argv[2], NULL, 10) : 1},
        print_events, &follower);
    if (feed != NULL) {
        int signal;
        sigwait(&interrupt, &signal);
        qo_feed_close(feed);
    }
    qo_client_close(client);
    return feed == NULL || follower.failed ? 1 : 0;
}
