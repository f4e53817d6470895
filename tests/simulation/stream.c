/* See stream.h. Thread: the run's. */
#include "stream.h"

#include "clients.h"
#include "common/assert.h"
#include "common/limits.h"
#include "events.h"
#include "member.h"
#include "story.h"
#include "truth.h"

enum {
    STREAM_MAX = QO_APPEND_ENTRIES_MAX + 200,
    AGAIN_US = 20000,      /* Until one that no leader took is asked again. */
    TIMEOUT_US = 10000000, /* It may wait so long for its turn. */
};

struct write {
    struct request request;
    int64_t asked_us;
    bool busy;
};

static struct write writes[STREAM_MAX];
static unsigned begun, total, open, open_max;
static int64_t every_us;

static void
ask(void *context)
{
    struct write *write = context;
    unsigned leader = 1;
    while (leader <= members_count() && !member_leads(leader)) {
        leader++;
    }
    if (leader > members_count()) {
        event_plan(AGAIN_US, 0, ask, write);
    } else {
        write->request.attempt++;
        clients_send(leader, &write->request, chance_between(30, 2000));
    }
}

static void
begin_next(void *context)
{
    (void)context;
    if (open >= open_max) {
        event_plan(every_us, 0, begin_next, NULL);
        return;
    }
    struct write *write = &writes[begun];
    *write = (struct write){.asked_us = events_now_us(), .busy = true};
    write->request = (struct request){
        .client = CLIENT_STREAM + begun, .floor = truth_floor(), .timeout_us = TIMEOUT_US};
    clients_fill_write(&write->request);
    begun++;
    open++;
    if (begun < total) {
        event_plan(every_us, 0, begin_next, NULL);
    }
    ask(write);
}

void
stream_start(unsigned count, int64_t us, unsigned most)
{
    QO_PRE(begun == 0 && count >= 1 && count <= STREAM_MAX);
    total = count;
    every_us = us;
    open_max = most;
    event_plan(1, 0, begin_next, NULL);
}

void
stream_answered(const struct request *request, const struct answer *answer)
{
    struct write *write = &writes[request->client - CLIENT_STREAM];
    if (write->busy && answer->decided) {
        write->busy = false;
        open--;
        story->counts.answers++;
    } else if (write->busy && request->attempt == write->request.attempt) {
        event_plan(AGAIN_US, 0, ask, write);
    }
}

int64_t
stream_waiting_us(void)
{
    int64_t longest_us = 0;
    for (unsigned i = 0; i < begun; i++) {
        int64_t us = writes[i].busy ? events_now_us() - writes[i].asked_us : 0;
        longest_us = us > longest_us ? us : longest_us;
    }
    return longest_us;
}

bool
stream_done(void)
{
    return begun == total && open == 0;
}
