/*
 * Goal: what rounds.h promises, and that each of its rules is needed.
 * Method: fixed cases with notes that the test carries by hand; then an exchange from seeds: five
 * members of which three vote, whose notes get lost, repeated, delayed and reordered, while terms
 * change, entries get acknowledged and readers come. A reader that is told less than what was
 * acknowledged when it came has read something stale. With a rule left out, one must be found.
 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "common/bytes.h"
#include "rounds.h"
#include "support/seed.h"

enum { MEMBERS = 5, VOTERS = 3, NOTES_MAX = 64, READERS_MAX = 256 };

struct note {
    uint32_t from, to;
    uint8_t kind;
    uint8_t body[ROUNDS_NOTE_BYTES];
};

struct member {
    struct rounds rounds;
    struct rounds_view view;
};

struct reader {
    uint64_t acknowledged; /* When it came. */
    uint64_t index;
    enum qo_error status;
    bool asked, told;
};

static struct {
    struct member members[MEMBERS + 1]; /* By id. */
    struct note notes[NOTES_MAX];
    uint32_t notes_count;
    uint64_t sent_count, dropped_count;
    struct reader readers[READERS_MAX];
    uint32_t readers_count;
    uint64_t last_index; /* Of all that was acknowledged. */
    uint64_t prng;
    bool stale;
} world;

/* -- The world --------------------------------------------------------------------------------- */

static void
world_view(void *context, struct rounds_view *view_out)
{
    const struct member *member = context;
    *view_out = member->view;
}

static void
world_note(void *context, uint32_t to, uint8_t kind, struct bytes body)
{
    const struct member *member = context;
    assert_int_equal(body.size, ROUNDS_NOTE_BYTES);
    assert_true(to >= 1 && to <= MEMBERS && to != member->view.self);
    world.sent_count++;
    if (world.notes_count == NOTES_MAX) {
        world.dropped_count++;
        return;
    }
    struct note *note = &world.notes[world.notes_count];
    *note = (struct note){.from = member->view.self, .to = to, .kind = kind};
    memcpy(note->body, body.data, body.size);
    world.notes_count++;
}

static void
world_begin(unsigned without)
{
    memset(&world, 0, sizeof world);
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        struct member *member = &world.members[id];
        struct rounds_ground ground = {.context = member, .view = world_view, .note = world_note};
        member->view = (struct rounds_view){.self = id, .term = 1, .members_count = MEMBERS};
        for (uint32_t i = 0; i < MEMBERS; i++) {
            member->view.members[i] = (struct rounds_member){.id = i + 1, .votes = i < VOTERS};
        }
        rounds_init(&member->rounds, &ground, without);
    }
}

static void
world_end(void)
{
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        mem_free(world.members[id].rounds.waiting.items);
        mem_free(world.members[id].rounds.readers.items);
    }
}

static void
set_leader(uint32_t id, uint64_t term, uint64_t index)
{
    struct rounds_view *view = &world.members[id].view;
    view->term = term;
    view->ready = true;
    view->committed_index = view->delivered_index = index;
}

static void
told(void *context, enum qo_error status, uint64_t index)
{
    struct reader *reader = context;
    assert_false(reader->told);
    reader->told = true;
    reader->status = status;
    reader->index = index;
    assert_true(status == QO_OK || (status == QO_NOT_LEADER && index == 0));
    world.stale = world.stale || (status == QO_OK && index < reader->acknowledged);
}

static struct reader *
reads(uint32_t id)
{
    struct reader *reader = &world.readers[world.readers_count % READERS_MAX];
    assert_true(!reader->asked || reader->told);
    *reader = (struct reader){.acknowledged = world.last_index, .asked = true};
    world.readers_count++;
    assert_true(rounds_read(&world.members[id].rounds, told, reader));
    rounds_begin(&world.members[id].rounds);
    assert_false(reader->told); /* Never inside. */
    return reader;
}

static void
settle(uint32_t id)
{
    rounds_settle(&world.members[id].rounds);
}

static void
arrives(const struct note *note)
{
    struct note copy = *note;
    rounds_noted(&world.members[copy.to].rounds, copy.from, copy.kind,
                 bytes_make(copy.body, sizeof copy.body));
    settle(copy.to);
}

/* Takes note `at` off its way. */
static struct note
take(uint32_t at)
{
    struct note note = world.notes[at];
    assert_true(at < world.notes_count);
    world.notes_count--;
    memmove(&world.notes[at], &world.notes[at + 1],
            (world.notes_count - at) * sizeof world.notes[0]);
    return note;
}

/* The oldest note from one to the other arrives. */
static void
carry(uint32_t from, uint32_t to)
{
    uint32_t at = 0;
    while (at < world.notes_count && (world.notes[at].from != from || world.notes[at].to != to)) {
        at++;
    }
    struct note note = take(at);
    arrives(&note);
}

static void
carry_all(void)
{
    while (world.notes_count > 0) {
        struct note note = take(0);
        arrives(&note);
    }
}

/* -- Fixed cases ------------------------------------------------------------------------------- */

static void
a_majority_answers_a_round(void **state)
{
    (void)state;
    world_begin(0);
    set_leader(1, 4, 70);
    world.members[2].view.term = world.members[3].view.term = 4;
    struct reader *reader = reads(1);
    assert_int_equal(world.notes_count, 2); /* Only those who vote are asked. */
    settle(1);
    assert_false(reader->told);
    carry(1, 3);
    carry(3, 1);
    assert_true(reader->told && reader->status == QO_OK && reader->index == 70);
    carry_all(); /* The other answer is for nobody. */
    world_end();
}

static void
a_late_reader_waits_for_the_next_round(void **state)
{
    (void)state;
    world_begin(0);
    set_leader(1, 1, 70);
    struct reader *first = reads(1);
    world.members[1].view.committed_index = world.members[1].view.delivered_index = 71;
    struct reader *late = reads(1), *later = reads(1);
    carry(1, 2);
    carry(2, 1);
    assert_true(first->told && first->index == 70);
    assert_false(late->told || later->told);
    assert_int_equal(world.members[1].rounds.begun_count, 2);
    carry_all();
    assert_true(late->told && late->index == 71 && later->told && later->index == 71);
    world_end();
}

static void
only_the_same_term_says_yes(void **state)
{
    static const uint64_t others[] = {0, 3, 5, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        world_begin(0);
        set_leader(1, 4, 70);
        world.members[2].view.term = world.members[3].view.term = others[i];
        struct reader *reader = reads(1);
        carry_all();
        assert_false(reader->told);
        assert_int_equal(world.sent_count, 2);
        world.members[2].view.term = 4; /* The leader's message has come meanwhile. */
        rounds_tick(&world.members[1].rounds);
        carry_all();
        assert_true(reader->told);
        world_end();
    }
}

static void
a_lost_note_is_asked_again_and_answers_to_all_copies_add_up(void **state)
{
    (void)state;
    world_begin(0);
    for (uint32_t id = 1; id <= MEMBERS; id++) { /* All five vote: two answers are needed. */
        for (uint32_t i = 0; i < MEMBERS; i++) {
            world.members[id].view.members[i].votes = true;
        }
    }
    set_leader(1, 1, 70);
    struct reader *reader = reads(1);
    carry(1, 2);
    carry(2, 1);
    world.notes_count = 0; /* The other three are lost. */
    rounds_tick(&world.members[1].rounds);
    assert_int_equal(world.notes_count, 3); /* Member 2 is not asked again. */
    assert_false(reader->told);
    carry(1, 4);
    carry(4, 1);
    assert_true(reader->told && reader->status == QO_OK);
    world.notes_count = 0;
    rounds_tick(&world.members[1].rounds);
    assert_int_equal(world.notes_count, 0);
    world_end();
}

static void
one_member_counts_once(void **state)
{
    (void)state;
    world_begin(0);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        world.members[1].view.members[i].votes = true;
    }
    set_leader(1, 1, 70);
    struct reader *reader = reads(1);
    carry(1, 2);
    struct note yes = take(world.notes_count - 1);
    for (unsigned i = 0; i < 5; i++) {
        arrives(&yes);
    }
    assert_false(reader->told);
    world_end();
}

static void
answers_of_an_earlier_round_or_term_do_not_count(void **state)
{
    (void)state;
    world_begin(0);
    set_leader(1, 1, 70);
    struct reader *first = reads(1);
    carry(1, 2);
    carry(1, 3);
    struct note late = take(0);
    carry(3, 1);
    assert_true(first->told);
    struct reader *second = reads(1);
    world.notes_count = 0;
    arrives(&late);
    assert_false(second->told);
    /* It loses its leadership and leads again: nonces go on, and the term is another. */
    world.members[1].view.ready = false;
    settle(1);
    assert_true(second->told && second->status == QO_NOT_LEADER);
    set_leader(1, 2, 70);
    struct reader *third = reads(1);
    struct note forged = {.from = 2, .to = 1, .kind = ROUNDS_YES};
    put_le64(forged.body, 1);
    put_le64(forged.body + 8, world.members[1].rounds.nonce);
    arrives(&forged);
    assert_false(third->told);
    world_end();
}

static void
who_does_not_vote_does_not_count(void **state)
{
    (void)state;
    world_begin(0);
    set_leader(1, 1, 70);
    struct reader *reader = reads(1);
    struct note yes = world.notes[0];
    yes.kind = ROUNDS_YES;
    yes.to = 1;
    yes.from = 4;
    arrives(&yes);
    yes.from = 77; /* Of no member at all. */
    arrives(&yes);
    assert_false(reader->told);
    yes.from = 3;
    arrives(&yes);
    assert_true(reader->told);
    world_end();
}

static void
the_newest_configuration_decides_who_counts(void **state)
{
    (void)state;
    world_begin(0);
    struct rounds_view *view = &world.members[1].view;
    set_leader(1, 1, 70);
    view->members[3].votes = view->members[4].votes = true; /* Five vote. */
    struct reader *reader = reads(1);
    carry(1, 2);
    carry(2, 1);
    assert_false(reader->told);
    view->members[1].votes = false; /* Member 2, which said yes, no longer votes. */
    carry(1, 3);
    carry(3, 1);
    assert_false(reader->told); /* Two of four. */
    view->members[4].votes = false;
    rounds_tick(&world.members[1].rounds); /* Two of three. */
    settle(1);
    assert_true(reader->told && reader->status == QO_OK);
    world_end();
}

static void
a_leader_that_does_not_vote_does_not_count_itself(void **state)
{
    (void)state;
    world_begin(0);
    set_leader(5, 1, 70);
    struct reader *reader = reads(5);
    carry(5, 1);
    carry(1, 5);
    assert_false(reader->told); /* One of three. */
    carry(5, 2);
    carry(2, 5);
    assert_true(reader->told);
    world_end();
}

static void
an_end_of_leadership_ends_the_round_and_those_who_wait(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 2; kind++) {
        world_begin(0);
        set_leader(1, 1, 70);
        struct reader *reader = reads(1), *late = reads(1);
        carry(1, 2);
        struct note yes = take(world.notes_count - 1);
        if (kind == 0) {
            world.members[1].view.ready = false;
        } else {
            world.members[1].view.term = 2; /* It leads again, in another term. */
        }
        rounds_noted(&world.members[1].rounds, yes.from, yes.kind,
                     bytes_make(yes.body, sizeof yes.body));
        settle(1);
        assert_true(reader->told && reader->status == QO_NOT_LEADER);
        assert_int_equal(late->told, kind == 0); /* The next round is of the new term. */
        world_end();
    }
}

static void
readers_are_told_when_all_is_handed_over(void **state)
{
    (void)state;
    world_begin(0);
    set_leader(1, 1, 70);
    world.members[1].view.delivered_index = 60;
    struct reader *reader = reads(1);
    carry_all();
    assert_true(world.members[1].rounds.answered);
    world.members[1].view.delivered_index = 69;
    settle(1);
    assert_false(reader->told);
    world.members[1].view.ready = false; /* What was found out stays true. */
    world.members[1].view.delivered_index = 70;
    settle(1);
    assert_true(reader->told && reader->status == QO_OK && reader->index == 70);
    world_end();
}

static void
a_cluster_of_one_is_a_majority(void **state)
{
    (void)state;
    world_begin(0);
    set_leader(1, 1, 70);
    world.members[1].view.members_count = 1;
    struct reader *reader = reads(1);
    assert_int_equal(world.sent_count, 0);
    settle(1);
    assert_true(reader->told && reader->index == 70);
    world_end();
}

static void
foreign_notes_are_dropped(void **state)
{
    (void)state;
    world_begin(0);
    set_leader(1, 1, 70);
    struct reader *reader = reads(1);
    uint8_t body[ROUNDS_NOTE_BYTES + 1] = {0};
    put_le64(body, 1);
    put_le64(body + 8, world.members[1].rounds.nonce);
    world.notes_count = 0;
    for (size_t size = 0; size <= sizeof body; size++) {
        for (unsigned kind = 0; kind <= UINT8_MAX; kind++) {
            if (size != ROUNDS_NOTE_BYTES || (kind != ROUNDS_ASK && kind != ROUNDS_YES)) {
                rounds_noted(&world.members[1].rounds, 2, (uint8_t)kind, bytes_make(body, size));
            }
        }
    }
    settle(1);
    assert_false(reader->told);
    assert_int_equal(world.notes_count, 0);
    world_end();
}

static void
refuses_more_readers_than_its_bound(void **state)
{
    static struct reader reader;
    (void)state;
    world_begin(0);
    set_leader(1, 1, 70);
    reader = (struct reader){.told = false};
    struct rounds *rounds = &world.members[1].rounds;
    for (uint32_t i = 0; i < QO_READ_POINTS_MAX; i++) {
        assert_true(rounds_read(rounds, told, &reader));
    }
    assert_false(rounds_read(rounds, told, &reader));
    rounds_begin(rounds); /* They are served; as many may wait. */
    assert_true(rounds_read(rounds, told, &reader));
    world_end();
}

/* -- The exchange ------------------------------------------------------------------------------ */

static uint64_t
highest_term(void)
{
    uint64_t term = 0;
    for (uint32_t id = 1; id <= VOTERS; id++) {
        term = world.members[id].view.term > term ? world.members[id].view.term : term;
    }
    return term;
}

/* A voter and one more of three get a new term on their disks; what they do not know of goes on. */
static void
elect(void)
{
    uint32_t leader = 1 + (uint32_t)seed_below(&world.prng, VOTERS);
    uint32_t other = 1 + (leader - 1 + 1 + (uint32_t)seed_below(&world.prng, VOTERS - 1)) % VOTERS;
    uint64_t term = highest_term() + 1;
    world.members[other].view.ready = false;
    world.members[other].view.term = term;
    set_leader(leader, term, world.last_index);
    settle(other);
    settle(leader);
}

/* The leader of the newest term commits, executes and acknowledges; a majority holds it. */
static void
acknowledge(void)
{
    uint64_t term = highest_term();
    for (uint32_t id = 1; id <= VOTERS; id++) {
        struct rounds_view *view = &world.members[id].view;
        if (view->ready && view->term == term) {
            world.last_index++;
            view->committed_index = view->delivered_index = world.last_index;
            settle(id);
        }
    }
}

/* What a leader sends brings somebody up to its term. */
static void
catch_up(uint32_t id)
{
    struct rounds_view *view = &world.members[id].view;
    uint64_t term = highest_term();
    if (view->term < term) {
        view->term = term;
        view->ready = false;
        settle(id);
    }
}

static void
step(void)
{
    uint32_t id = 1 + (uint32_t)seed_below(&world.prng, MEMBERS);
    uint64_t what = seed_below(&world.prng, 100);
    struct note note;
    if (what < 55 && world.notes_count > 0) {
        uint64_t how = seed_below(&world.prng, 10);
        uint32_t at = (uint32_t)seed_below(&world.prng, world.notes_count);
        note = how < 2 ? world.notes[at] : take(at); /* Twice, perhaps much later; */
        if (how != 2) {                              /* or never. */
            arrives(&note);
        }
    } else if (what < 75) {
        if (world.members[id].view.ready) {
            (void)reads(id);
        }
    } else if (what < 85) {
        acknowledge();
    } else if (what < 92) {
        rounds_tick(&world.members[id].rounds);
    } else if (what < 96) {
        catch_up(id);
    } else if (what < 98) {
        elect();
    } else {
        settle(id);
    }
}

/* Everybody hears everybody again. */
static void
heal(void)
{
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        catch_up(id);
    }
    carry_all();
    for (unsigned i = 0; i < 3; i++) {
        for (uint32_t id = 1; id <= MEMBERS; id++) {
            rounds_tick(&world.members[id].rounds);
            settle(id);
        }
        carry_all();
    }
    for (uint32_t i = 0; i < READERS_MAX; i++) {
        assert_true(!world.readers[i].asked || world.readers[i].told);
    }
}

/* Seeds until a reader was told something stale; 0: none of so many. */
static unsigned
stale_after(unsigned without, unsigned seeds, uint64_t *prng)
{
    unsigned found = 0;
    uint64_t rounds = 0;
    for (unsigned seed = 1; seed <= seeds && found == 0; seed++) {
        world_begin(without);
        world.prng = seed_next(prng);
        set_leader(1, 1, 0);
        for (unsigned i = 0; i < 120 && !world.stale; i++) {
            step();
        }
        if (world.stale) {
            found = seed;
        } else {
            heal();
        }
        rounds += world.members[1].rounds.begun_count;
        world_end();
    }
    assert_true(without != 0 || rounds > seeds);
    return found;
}

static void
nobody_reads_what_is_stale(void **state)
{
    uint64_t prng = seed_init();
    (void)state;
    assert_int_equal(stale_after(0, 20000, &prng), 0);
}

static void
each_rule_is_needed(void **state)
{
    static const struct {
        const char *name;
        unsigned rule;
    } rules[] = {
        {"question", ROUNDS_WITHOUT_QUESTION}, {"term", ROUNDS_WITHOUT_TERM},
        {"nonce", ROUNDS_WITHOUT_NONCE},       {"voters", ROUNDS_WITHOUT_VOTERS},
        {"next", ROUNDS_WITHOUT_NEXT},
    };
    uint64_t prng = seed_init();
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        unsigned found = stale_after(rules[i].rule, 20000, &prng);
        print_message("without %s: found after %u seeds\n", rules[i].name, found);
        assert_int_not_equal(found, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_majority_answers_a_round),
        cmocka_unit_test(a_late_reader_waits_for_the_next_round),
        cmocka_unit_test(only_the_same_term_says_yes),
        cmocka_unit_test(a_lost_note_is_asked_again_and_answers_to_all_copies_add_up),
        cmocka_unit_test(one_member_counts_once),
        cmocka_unit_test(answers_of_an_earlier_round_or_term_do_not_count),
        cmocka_unit_test(who_does_not_vote_does_not_count),
        cmocka_unit_test(the_newest_configuration_decides_who_counts),
        cmocka_unit_test(a_leader_that_does_not_vote_does_not_count_itself),
        cmocka_unit_test(an_end_of_leadership_ends_the_round_and_those_who_wait),
        cmocka_unit_test(readers_are_told_when_all_is_handed_over),
        cmocka_unit_test(a_cluster_of_one_is_a_majority),
        cmocka_unit_test(foreign_notes_are_dropped),
        cmocka_unit_test(refuses_more_readers_than_its_bound),
        cmocka_unit_test(nobody_reads_what_is_stale),
        cmocka_unit_test(each_rule_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
