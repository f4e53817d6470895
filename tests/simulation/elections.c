/* See elections.h. Thread: the run's. */
#include "elections.h"

#include "common/assert.h"
#include "common/limits.h"
#include "disk.h"
#include "events.h"
#include "member.h"
#include "state.h" /* Of consensus. */
#include "story.h"

/* Less than an election timeout by a clock that drifts. */
static const int64_t sticky_us = QO_ELECTION_MS_DEFAULT * 1000 * 98 / 100;

enum { TERMS_MAX = 1 << 14 };

static uint8_t votes[MEMBERS_MAX + 1][TERMS_MAX]; /* For whom; 0: for nobody that is known. */

/* The last that a member heard of a leader. */
static struct {
    unsigned leader; /* 0: nothing yet. */
    uint64_t term, life;
    int64_t at_us;
} heard[MEMBERS_MAX + 1];

/* The entry that a member named last, which its disk held: it still does in that life. */
static struct {
    uint64_t index, term, life;
} named[MEMBERS_MAX + 1];

void
elections_heard(unsigned to, unsigned leader, uint64_t term)
{
    if (term < member_consensus(to)->raft.current_term) {
        return; /* It led once. */
    }
    heard[to].leader = leader;
    heard[to].term = term;
    heard[to].life = member_life(to);
    heard[to].at_us = events_now_us();
}

static void
check_stored(unsigned id, const struct raft_request_vote *request)
{
    uint64_t index = request->last_log_index, term = request->last_log_term;
    bool known =
        named[id].index == index && named[id].term == term && named[id].life == member_life(id);
    if (known || disk_idle(member_disk(id))) {
        return;
    }
    EXPECT(member_disk_holds(id, index, term),
           "member %u asks for a vote in term %llu with entry %llu of term %llu, which is not on "
           "its disk",
           id, request->term, (unsigned long long)index, (unsigned long long)term);
    named[id].index = index;
    named[id].term = term;
    named[id].life = member_life(id);
}

static void
check_once(unsigned id, uint64_t term, unsigned candidate)
{
    QO_ASSERT(term < TERMS_MAX);
    unsigned before = votes[id][term];
    EXPECT(before == 0 || before == candidate,
           "member %u votes for member %u in term %llu, in which it voted for member %u", id,
           candidate, (unsigned long long)term, before);
    votes[id][term] = (uint8_t)candidate;
}

static void
check_sticky(unsigned id)
{
    unsigned leader = heard[id].leader;
    bool forgotten = leader != 0 && heard[id].life != member_life(id) &&
                     events_now_us() - heard[id].at_us < sticky_us;
    EXPECT(!forgotten || !member_leads(leader) ||
               member_consensus(leader)->raft.current_term != heard[id].term,
           "member %u, which has just started, votes against member %u, which leads term %llu and "
           "which it heard %lld us ago",
           id, leader, (unsigned long long)heard[id].term,
           (long long)(events_now_us() - heard[id].at_us));
}

void
elections_sent(unsigned from, const struct raft_message *message)
{
    const struct raft_request_vote *request = &message->request_vote;
    const struct raft_request_vote_result *result = &message->request_vote_result;
    if (message->type == RAFT_IO_REQUEST_VOTE) {
        check_stored(from, request);
        if (!request->pre_vote) {
            check_once(from, request->term, from);
        }
    } else if (message->type == RAFT_IO_REQUEST_VOTE_RESULT && result->vote_granted) {
        check_sticky(from);
        if (result->pre_vote != raft_tribool_true) {
            check_once(from, result->term, (unsigned)message->server_id);
        }
    }
}
