/* See rounds.h. Thread: the loop. */
#include "rounds.h"

#include <string.h>

#include "common/assert.h"

static_assert(ROUNDS_NOTE_BYTES <= QO_LINK_NOTE_BYTES_MAX, "a note of ours is a note of the links");

static struct rounds_view
view_of(const struct rounds *rounds)
{
    struct rounds_view view = {0};
    rounds->ground.view(rounds->ground.context, &view);
    QO_POST(view.members_count <= QO_MEMBERS_MAX);
    return view;
}

static bool
leaves_out(const struct rounds *rounds, enum rounds_without rule)
{
    return (rounds->without & rule) != 0;
}

/* -- Notes ------------------------------------------------------------------------------------- */

static void
send_note(const struct rounds *rounds, uint32_t to, uint8_t kind, uint64_t term, uint64_t nonce)
{
    uint8_t body[ROUNDS_NOTE_BYTES];
    put_le64(body, term);
    put_le64(body + 8, nonce);
    rounds->ground.note(rounds->ground.context, to, kind, bytes_make(body, sizeof body));
}

/* -- Who counts -------------------------------------------------------------------------------- */

static bool
counts(const struct rounds *rounds, const struct rounds_member *member)
{
    return member->votes || leaves_out(rounds, ROUNDS_WITHOUT_VOTERS);
}

static bool
said_yes(const struct rounds *rounds, uint32_t id)
{
    bool found = false;
    for (uint32_t i = 0; i < rounds->yes_count; i++) {
        found = found || rounds->yes[i] == id;
    }
    return found;
}

/*
 * Keeps the answers of those who vote in the newest configuration, and `from`'s if it is one of
 * them: never more than there are members, however the configuration changes meanwhile.
 */
static void
add_yes(struct rounds *rounds, const struct rounds_view *view, uint32_t from)
{
    uint32_t kept[QO_MEMBERS_MAX], kept_count = 0;
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct rounds_member *member = &view->members[i];
        if (counts(rounds, member) && (member->id == from || said_yes(rounds, member->id))) {
            kept[kept_count] = member->id;
            kept_count++;
        }
    }
    memcpy(rounds->yes, kept, kept_count * sizeof kept[0]);
    rounds->yes_count = kept_count;
}

static bool
still_leads(const struct rounds *rounds, const struct rounds_view *view)
{
    return view->ready && view->term == rounds->term;
}

/* The leader counts itself now, when the last answer comes, and only if nothing has changed. */
static void
count_answers(struct rounds *rounds, const struct rounds_view *view)
{
    uint32_t voters = 0, yes = 0;
    if (!still_leads(rounds, view)) {
        return; /* rounds_settle() ends the round. */
    }
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct rounds_member *member = &view->members[i];
        bool said = member->id == view->self || said_yes(rounds, member->id);
        voters += member->votes ? 1 : 0;
        yes += said && counts(rounds, member) ? 1 : 0;
    }
#if defined(QO_MUTANT_READ_WITHOUT_ROUND)
    yes = voters;
#endif
    rounds->answered = yes > voters / 2 || leaves_out(rounds, ROUNDS_WITHOUT_QUESTION);
}

static void
ask(const struct rounds *rounds, const struct rounds_view *view)
{
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct rounds_member *member = &view->members[i];
        if (member->id != view->self && counts(rounds, member) && !said_yes(rounds, member->id)) {
            send_note(rounds, member->id, ROUNDS_ASK, rounds->term, rounds->nonce);
        }
    }
}

/* -- Readers ----------------------------------------------------------------------------------- */

static void
add_reader(struct rounds_readers *readers, struct rounds_reader reader)
{
    if (readers->count == readers->capacity) {
        readers->capacity = readers->capacity == 0 ? 64 : 2 * readers->capacity;
        readers->items = mem_realloc(readers->items, readers->capacity * sizeof *readers->items);
    }
    readers->items[readers->count] = reader;
    readers->count++;
}

/* None may come to `readers` meanwhile. */
static void
tell(struct rounds_readers *readers, enum qo_error status, uint64_t index)
{
    uint32_t count = readers->count;
    for (uint32_t i = 0; i < count; i++) {
        struct rounds_reader reader = readers->items[i];
        reader.callback(reader.context, status, index);
    }
    QO_ASSERT(readers->count == count);
    readers->count = 0;
}

static void
tell_round(struct rounds *rounds)
{
    const struct rounds_view view = view_of(rounds);
    if (!rounds->under_way) {
        return;
    }
    if (rounds->answered) {
        /* Also if the leadership has ended since: what was found out stays true. */
        if (view.delivered_index >= rounds->index) {
            tell(&rounds->readers, QO_OK, rounds->index);
            rounds->under_way = false;
        }
    } else if (!still_leads(rounds, &view)) {
        tell(&rounds->readers, QO_NOT_LEADER, 0);
        rounds->under_way = false;
    }
}

/* -- The face ---------------------------------------------------------------------------------- */

void
rounds_init(struct rounds *rounds, const struct rounds_ground *ground, unsigned without)
{
    QO_PRE(ground->view != NULL && ground->note != NULL);
    *rounds = (struct rounds){.ground = *ground, .without = without};
}

bool
rounds_read(struct rounds *rounds, consensus_read_cb callback, void *context)
{
    QO_PRE(callback != NULL);
    bool joins = leaves_out(rounds, ROUNDS_WITHOUT_NEXT) && rounds->under_way && !rounds->answered;
    struct rounds_readers *readers = joins ? &rounds->readers : &rounds->waiting;
    if (readers->count == QO_READ_POINTS_MAX) {
        return false;
    }
    add_reader(readers, (struct rounds_reader){callback, context});
    return true;
}

void
rounds_begin(struct rounds *rounds)
{
    if (rounds->under_way || rounds->waiting.count == 0) {
        return;
    }
    const struct rounds_view view = view_of(rounds);
    if (!view.ready) {
        return; /* rounds_settle() tells those who wait. */
    }
    struct rounds_readers served = rounds->readers; /* Empty; its memory is used again. */
    QO_ASSERT(served.count == 0);
    rounds->readers = rounds->waiting; /* First who is served, */
    rounds->waiting = served;
    rounds->term = view.term;
    rounds->index = view.committed_index; /* then what they will see, */
    rounds->begun_count++;
    rounds->nonce = rounds->begun_count;
    rounds->yes_count = 0;
    rounds->answered = false;
    rounds->under_way = true;
    ask(rounds, &view);           /* then the question. */
    count_answers(rounds, &view); /* A cluster of one is a majority. */
}

void
rounds_noted(struct rounds *rounds, uint32_t from, uint8_t kind, struct bytes body)
{
    struct cursor cursor = cursor_of(body);
    uint64_t term = cursor_le64(&cursor);
    uint64_t nonce = cursor_le64(&cursor);
    if (!cursor_done(&cursor)) {
        return;
    }
    const struct rounds_view view = view_of(rounds);
    if (kind == ROUNDS_ASK) {
        /* Whoever is in another term says nothing: if it is behind, the leader's next message
         * brings it up, and the question comes again; if it is ahead, that message is refused. */
        if (view.term == term || leaves_out(rounds, ROUNDS_WITHOUT_TERM)) {
            send_note(rounds, from, ROUNDS_YES, term, nonce);
        }
    } else if (kind == ROUNDS_YES && rounds->under_way && !rounds->answered &&
               term == rounds->term &&
               (nonce == rounds->nonce || leaves_out(rounds, ROUNDS_WITHOUT_NONCE))) {
        add_yes(rounds, &view, from);
        count_answers(rounds, &view);
    }
}

void
rounds_tick(struct rounds *rounds)
{
    if (rounds->under_way && !rounds->answered) {
        const struct rounds_view view = view_of(rounds);
        if (still_leads(rounds, &view)) {
            ask(rounds, &view);
            /* The configuration may have become one in which those who answered are enough. */
            count_answers(rounds, &view);
        }
    }
}

void
rounds_settle(struct rounds *rounds)
{
    if (!rounds->under_way && rounds->waiting.count == 0) {
        return;
    }
    tell_round(rounds);
    if (view_of(rounds).ready) {
        rounds_begin(rounds);
    } else {
        /* None that a callback adds: nobody is taken who comes to a node that is not ready. */
        tell(&rounds->waiting, QO_NOT_LEADER, 0);
    }
}
