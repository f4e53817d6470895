/* See truth.h. Thread: the run's. */
#include "truth.h"

#include <stdio.h>
#include <string.h>

#include "common/assert.h"
#include "machine/machine.h"
#include "member.h"
#include "story.h"

enum { TERMS_MAX = 1 << 14 };

struct known {
    uint64_t term;
    uint32_t crc;
    bool own; /* The log's own. */
    struct model_entry expected;
    bool executed;
    struct digest digest, shards; /* Of the first member that executed it. */
};

static struct known *log_known; /* [index] */
static uint64_t head, capacity;
static unsigned leaders[TERMS_MAX];          /* By term. */
static uint64_t answered_in_term[TERMS_MAX]; /* The highest index answered, by its entry's term. */
static uint64_t answered;

#define U(value) ((unsigned long long)(value))

uint64_t
truth_head(void)
{
    return head;
}

uint64_t
truth_common(unsigned id)
{
    uint64_t last = member_log_last(id), first = member_log_first(id);
    uint64_t index = last < head ? last : head;
    while (index >= first && member_log_term(id, index) != log_known[index].term) {
        index--;
    }
    return index;
}

uint64_t
truth_floor(void)
{
    return answered;
}

/* -- One log, one leader ----------------------------------------------------------------------- */

void
truth_committed(unsigned id, uint64_t index, uint64_t term, struct bytes entry)
{
    uint32_t crc = hash_crc32c(entry);
    if (index <= head) {
        const struct known *known = &log_known[index];
        EXPECT(known->term == term && known->crc == crc,
               "member %u has committed another entry at %llu: term %llu and not %llu", id,
               U(index), U(term), U(known->term));
        return;
    }
    EXPECT(index == head + 1, "member %u: committed %llu after %llu", id, U(index), U(head));
    if (index >= capacity) {
        capacity = capacity == 0 ? 4096 : 2 * capacity;
        log_known = mem_realloc(log_known, capacity * sizeof *log_known);
    }
    head = index;
    log_known[index] = (struct known){.term = term, .crc = crc, .own = entry.data == NULL};
    log_known[index].expected = model_execute(index, entry);
    tell(id, "knows that %llu of term %llu is committed%s", U(index), U(term),
         entry.data == NULL ? " (the log's own)" : "");
}

void
truth_leads(unsigned id, uint64_t term)
{
    QO_ASSERT(term < TERMS_MAX);
    if (leaders[term] == 0) {
        leaders[term] = id;
        story->counts.terms++;
        tell(id, "leads term %llu", U(term));
    }
    EXPECT(leaders[term] == id, "members %u and %u both lead term %llu", leaders[term], id,
           U(term));
}

void
truth_ready(unsigned id, uint64_t term, uint64_t index)
{
    QO_ASSERT(term < TERMS_MAX);
    for (uint64_t before = 0; before <= term; before++) {
        EXPECT(answered_in_term[before] <= index,
               "member %u is ready to lead term %llu with entries up to %llu, but %llu of term "
               "%llu was acknowledged",
               id, U(term), U(index), U(answered_in_term[before]), U(before));
    }
    tell(id, "is ready in term %llu", U(term));
}

/* -- One state --------------------------------------------------------------------------------- */

static const char *
state_text(const struct definition *definition, uint16_t state)
{
    static char text[QO_NAME_MAX + 1];
    struct bytes name = machine_state_name(definition->machine, state);
    (void)snprintf(text, sizeof text, "%.*s", BYTES_FORMAT(name));
    return text;
}

static bool
same_state(const struct definition *definition, uint16_t state, enum model_state expected)
{
    return expected == STATE_NONE ? state == RECORD_NONE
                                  : state != RECORD_NONE && strcmp(state_text(definition, state),
                                                                   model_state_name(expected)) == 0;
}

static bool
same_event(const struct definition *definition, uint16_t event, enum model_event_kind expected)
{
    return expected == EVENT_CREATE
               ? event == RECORD_NONE
               : event != RECORD_NONE && bytes_equal(machine_event_name(definition->machine, event),
                                                     bytes_text(model_event_name(expected)));
}

static bool
same_receipt(const struct receipt *receipt, const struct model_outcome *expected)
{
    return receipt->seq == expected->seq && receipt->version == expected->version &&
           receipt->at == expected->at && receipt->replayed == expected->replayed &&
           receipt->epoch == 1 &&
           same_event(receipt->definition, receipt->event, expected->event) &&
           same_state(receipt->definition, receipt->from, expected->from) &&
           same_state(receipt->definition, receipt->to, expected->to);
}

static bool
same_outcome(enum command_kind kind, const struct outcome *outcome,
             const struct model_outcome *expected)
{
    if (outcome->error != expected->error) {
        return false;
    }
    if (expected->error == QO_OK) {
        return kind == COMMAND_DEFINITION ? outcome->changed == expected->changed
                                          : same_receipt(&outcome->receipt, expected);
    }
    if (expected->error == QO_NOT_UNIQUE) {
        return model_number_of(outcome->held_by) == expected->holder;
    }
    if (expected->error == QO_REQUEST_ID_REUSED) {
        return outcome->seq == expected->seq;
    }
    if (expected->error == QO_NOT_FOUND) {
        return true;
    }
    /* already_exists, version_conflict, invalid_transition tell where the order is. */
    return bytes_equal(outcome->state, bytes_text(model_state_name(expected->to))) &&
           (expected->error == QO_INVALID_TRANSITION || outcome->version == expected->version);
}

static void
check_command(unsigned id, uint64_t index, uint32_t number, const struct command_result *result,
              const struct model_result *expected)
{
    bool same = result->kind == expected->kind && result->failed == expected->failed &&
                result->outcomes_count == expected->count &&
                QO_IMPLIES(result->failed, result->index == expected->index);
    EXPECT(same, "member %u: command %u (r-%u) of entry %llu: %u outcomes, failed %d, not %u, %d",
           id, number, expected->request, U(index), result->outcomes_count, result->failed,
           expected->count, expected->failed);
    for (uint32_t i = 0; i < expected->count; i++) {
        const struct outcome *outcome = &result->outcomes[i];
        const struct model_outcome *model = &expected->outcomes[i];
        EXPECT(same_outcome(expected->kind, outcome, model),
               "member %u: command %u (r-%u) of entry %llu came to %s seq %llu version %llu, and "
               "should to %s seq %llu version %llu%s",
               id, number, expected->request, U(index), error_code(outcome->error),
               U(outcome->receipt.seq), U(outcome->receipt.version), error_code(model->error),
               U(model->seq), U(model->version), model->replayed ? " replayed" : "");
        story->counts.replayed += model->replayed;
        story->counts.fired += expected->kind == COMMAND_TIMER;
    }
}

static struct digest
shards_digest(const struct applied_point *applied)
{
    static const struct digest zero;
    return hash_digest(zero,
                       bytes_make(applied->shards, QO_SHARDS_DEFAULT * sizeof applied->shards[0]));
}

/* The state after `applied->index` is what it was on the first member that came there. */
static void
check_point(unsigned id, const struct applied_point *applied)
{
    EXPECT(applied->index <= head, "member %u has executed %llu, which nobody committed", id,
           U(applied->index));
    struct known *known = &log_known[applied->index];
    struct digest shards = shards_digest(applied);
    EXPECT(applied->seq == known->expected.seq,
           "member %u: last event %llu after entry %llu, not "
           "%llu",
           id, U(applied->seq), U(applied->index), U(known->expected.seq));
    EXPECT(applied->term == known->term, "member %u: entry %llu executed with term %llu, not %llu",
           id, U(applied->index), U(applied->term), U(known->term));
    if (!known->executed) {
        known->executed = true;
        known->digest = applied->digest;
        known->shards = shards;
    }
    EXPECT(memcmp(&known->digest, &applied->digest, sizeof known->digest) == 0 &&
               memcmp(&known->shards, &shards, sizeof shards) == 0,
           "member %u: digest differs after entry %llu", id, U(applied->index));
}

void
truth_executed(unsigned id, const struct apply_results *results,
               const struct applied_point *applied)
{
    check_point(id, applied);
    if (results == NULL) {
        return;
    }
    const struct model_entry *expected = &log_known[results->index].expected;
    EXPECT(results->index == applied->index, "member %u: results of %llu after executing %llu", id,
           U(results->index), U(applied->index));
    EXPECT(results->commands_count == expected->header.count,
           "member %u: %u results of %u commands in entry %llu", id, results->commands_count,
           expected->header.count, U(results->index));
    EXPECT(applied->time == expected->time, "member %u: time after entry %llu", id,
           U(results->index));
    for (uint32_t i = 0; i < results->commands_count; i++) {
        check_command(id, results->index, i, &results->commands[i], &expected->results[i]);
    }
}

void
truth_started(unsigned id, const struct applied_point *applied)
{
    if (applied->index > 0) {
        check_point(id, applied);
    }
}

/* -- Answers ----------------------------------------------------------------------------------- */

static void
note_answer(const struct truth_answer *answer)
{
    uint64_t term = log_known[answer->index].term;
    EXPECT(answer->index > answer->floor || answer->command == UINT32_MAX,
           "member %u answers r-%u by entry %llu, but %llu was answered before it was asked",
           answer->member, answer->request, U(answer->index), U(answer->floor));
    answered = answer->index > answered ? answer->index : answered;
    if (answered_in_term[term] < answer->index) {
        answered_in_term[term] = answer->index;
    }
}

void
truth_answered(const struct truth_answer *answer)
{
    const struct model_result *expected =
        &log_known[answer->index].expected.results[answer->command];
    EXPECT(expected->request == answer->request, "member %u answers r-%u with the result of r-%u",
           answer->member, answer->request, expected->request);
    note_answer(answer);
    for (uint32_t i = 0; i < expected->count; i++) {
        story->counts.acknowledged += expected->outcomes[i].error == QO_OK;
        story->counts.refused += expected->outcomes[i].error != QO_OK;
    }
}

void
truth_read(const struct truth_answer *answer, const struct truth_read *read)
{
    const struct model_version *expected = model_order_at(read->order, answer->index);
    EXPECT(answer->index >= answer->floor,
           "stale read: member %u shows order %u as of entry %llu, but %llu was answered before it "
           "was asked",
           answer->member, read->order, U(answer->index), U(answer->floor));
    bool same = expected == NULL
                    ? !read->found
                    : read->found && read->version == expected->version &&
                          read->seq == expected->seq && read->note == expected->note &&
                          bytes_equal(read->state, bytes_text(model_state_name(expected->state)));
    EXPECT(same, "member %u: order %u as of entry %llu is version %llu seq %llu note %u %.*s",
           answer->member, read->order, U(answer->index), U(read->version), U(read->seq),
           read->note, BYTES_FORMAT(read->state));
    story->counts.reads++;
    note_answer(answer);
}

/* -- The feed ---------------------------------------------------------------------------------- */

void
truth_fed(unsigned id, uint64_t seq, const struct event_record *event,
          const struct definition *definition)
{
    const struct model_event *expected = model_event_at(seq);
    EXPECT(expected != NULL, "member %u feeds event %llu, which nobody committed", id, U(seq));
    bool same = event->seq == seq && model_number_of(event->id) == expected->order &&
                event->version == expected->version && event->at == expected->at &&
                (event->request_id.size == 0 ? 0 : model_number_of(event->request_id)) ==
                    expected->request &&
                same_event(definition, event->event, expected->event) &&
                same_state(definition, event->from, expected->from) &&
                same_state(definition, event->to, expected->to);
    EXPECT(same, "member %u feeds another event than %llu: order %.*s version %llu", id, U(seq),
           BYTES_FORMAT(event->id), U(event->version));
    story->counts.fed++;
}
