/*
 * machine: what an order may do, as data, and the decision what a command does to it.
 *
 * A definition is a YAML text (the language: src/machine/README.md). machine_compile() checks it as
 * a whole and writes its compiled form, which is what the log and the store hold; a YAML parser
 * never stands between the log and a decision. machine_open() makes a `struct machine` of it: one
 * version, never changed, with everything found by table or binary search. machine_create() and
 * machine_transition() decide: pure functions of their arguments, equal on every replica.
 *
 * Words    state, event, attribute: as in the definition. Each is known inside by its index: the
 *          position among all of its kind sorted by name (bytes). Stays: an event that leaves the
 *          order in its state. Brought: the attributes of a command. Held: those of an order.
 * Compiled format:u8 line:le32 column:le32 content. The content does not depend on the order of
 *          keys, on the order of lists that mean sets, on comments or on how a rule is spread over
 *          entries; `line` and `column` are where the value of `version` stood in the source: they
 *          travel along and are no content. The checksum is SHA-256 of the content.
 * Thread   any. A `struct machine` is immutable: any number of threads may use it at once.
 * Memory   names and checksum are the machine's and live as long as it.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

struct machine;

/* -- From source to machine ------------------------------------------------------------------ */

/* Where and why a definition was refused. */
struct machine_error {
    uint32_t line, column; /* From 1; columns in bytes. */
    /* One sentence of valid UTF-8 that tells how to mend it, NUL-terminated, never empty. */
    char why[QO_ERROR_MESSAGE_MAX + 1];
};

/* Checks the YAML text `source` and appends its compiled form (at most QO_COMPILED_MAX bytes) to
 * `compiled_out`. QO_OK, or QO_INVALID_MACHINE with `error_out` filled and nothing appended. Any
 * bytes may come, also none and too many. Reads no clock and no state: the same source gives the
 * same bytes everywhere. Rules about versions (the first is 1, the next one more, the same again
 * changes nothing) are not looked at: the log decides them, by machine_version() and
 * machine_checksum(). */
enum qo_error machine_compile(struct bytes source, struct buf *compiled_out,
                              struct machine_error *error_out);

/* The machine of a compiled form, which is copied; the caller's until machine_close(). NULL if
 * `compiled` is not exactly what machine_compile() writes: from our own log or store that is
 * corruption, and the caller stops the node. */
struct machine *machine_open(struct bytes compiled);
void machine_close(struct machine *machine); /* NULL is allowed. */

/* The compiled form that it was opened from, the machine's. */
struct bytes machine_compiled(const struct machine *machine);

/* -- What a machine is ----------------------------------------------------------------------- */

struct bytes machine_name(const struct machine *machine);
uint32_t machine_version(const struct machine *machine); /* 1 to 2^31. */
/* SHA-256 of the content as 64 lower-case hex characters, NUL-terminated. */
const char *machine_checksum(const struct machine *machine);
/* Where the value of `version` stood in the source: rules about versions point at it. */
uint32_t machine_version_line(const struct machine *machine);
uint32_t machine_version_column(const struct machine *machine);

uint16_t machine_state_count(const struct machine *machine);
uint16_t machine_event_count(const struct machine *machine);
uint16_t machine_attribute_count(const struct machine *machine);

/* The index of a name, -1 if there is none. */
int32_t machine_state_find(const struct machine *machine, struct bytes name);
int32_t machine_event_find(const struct machine *machine, struct bytes name);
int32_t machine_attribute_find(const struct machine *machine, struct bytes name);

/* The name of an index, which must be one (asserted here and below). */
struct bytes machine_state_name(const struct machine *machine, uint16_t state);
struct bytes machine_event_name(const struct machine *machine, uint16_t event);
struct bytes machine_attribute_name(const struct machine *machine, uint16_t attribute);

uint16_t machine_initial(const struct machine *machine);
bool machine_state_final(const struct machine *machine, uint16_t state);
/* True if the state has a timeout: after how many microseconds (at least 1,000) which event happens
 * by itself. That event leaves the state and requires nothing; it is refused all the same, with
 * MACHINE_HAS, if the order has lost what the target state must have: then there is nothing to do.
 */
bool machine_state_timeout(const struct machine *machine, uint16_t state, int64_t *after_us_out,
                           uint16_t *event_out);
/* The events that the state accepts, in order of name: indexes into the caller's array of at least
 * QO_EVENTS_MAX. Returns how many. */
uint32_t machine_allowed(const struct machine *machine, uint16_t state, uint16_t *events_out);
/* True if the state accepts the event. */
bool machine_accepts(const struct machine *machine, uint16_t state, uint16_t event);

enum machine_type {
    MACHINE_STRING = 1,
    MACHINE_INTEGER = 2,
    MACHINE_NUMBER = 3,
    MACHINE_BOOLEAN = 4,
    MACHINE_TIMESTAMP = 5, /* An integer: microseconds since the Unix epoch. */
    MACHINE_ENUM = 6,
    MACHINE_LIST = 7,
    MACHINE_MAP = 8,
};
enum machine_type machine_attribute_type(const struct machine *machine, uint16_t attribute);
bool machine_attribute_required(const struct machine *machine, uint16_t attribute);
bool machine_attribute_immutable(const struct machine *machine, uint16_t attribute);
/* A unique attribute is also required and immutable: held from creation on, never changed. */
bool machine_attribute_unique(const struct machine *machine, uint16_t attribute);
/* The unique attributes, `*count_out` indexes in order of name. */
const uint16_t *machine_uniques(const struct machine *machine, uint16_t *count_out);

/* -- Decisions ------------------------------------------------------------------- */

/* Why an attribute is refused; the protocol's `why`. */
#define MACHINE_WHY_MAP(X)                                                                         \
    X(MACHINE_UNDECLARED, "undeclared")     /* The machine has no such attribute. */               \
    X(MACHINE_NOT_ACCEPTED, "not_accepted") /* The event neither requires nor accepts it. */       \
    X(MACHINE_IMMUTABLE, "immutable")       /* It is held already, or nil for an immutable. */     \
    X(MACHINE_TYPE, "type")                                                                        \
    X(MACHINE_ENUM_VALUE, "enum") /* None of the enum's values. */                                 \
    X(MACHINE_MISSING, "missing") /* Required and not brought, or nil where one is needed. */      \
    X(MACHINE_HAS, "has")         /* The target state always carries it; it would not. */

enum machine_why {
#define X(name, text) name,
    MACHINE_WHY_MAP(X)
#undef X
};
const char *machine_why_text(enum machine_why why);

struct machine_refusal {
    enum qo_error error;    /* QO_INVALID_TRANSITION or QO_INVALID_ATTRIBUTE. */
    struct bytes attribute; /* With QO_INVALID_ATTRIBUTE only; points into the machine or what */
    enum machine_why why;   /* was brought. */
};

/* What a command does. */
struct machine_step {
    uint16_t to;  /* The state after it. */
    bool stays;   /* It is the state before it: `entered_at` and the place in lists stay. */
    bool restart; /* Only if `stays`: the timeout starts again. */
    /* What the event records and what the order then holds: canonical lists. `brought` is the one
     * brought, with integers of `number` attributes as binary64, and at creation without nil.
     * Each points into `out` (valid until that changes) or is the argument itself (nothing to
     * change: the usual case costs no copy). */
    struct bytes brought, held;
};

/*
 * Decides a creation, or an event on an order. Lists are canonical (common/attributes.h) and do not
 * point into `out`, to which bytes may be appended. QO_OK with `step_out` filled, or the refusal's
 * error with `refusal_out` filled. Indexes must be ones of this machine (asserted); an event that
 * the machine does not have is the caller's QO_INVALID_TRANSITION. Not decided here: `unique`,
 * roles, and the limit on what an order holds (the caller measures `step_out->held`).
 *
 * Of several attributes that are wrong, the first by name answers; of several reasons for one, the
 * first in the order of MACHINE_WHY_MAP.
 */
enum qo_error machine_create(const struct machine *machine, struct bytes brought, struct buf *out,
                             struct machine_step *step_out, struct machine_refusal *refusal_out);

struct machine_command {
    uint16_t state; /* Of the order. */
    uint16_t event;
    struct bytes held, brought;
};
enum qo_error machine_transition(const struct machine *machine,
                                 const struct machine_command *command, struct buf *out,
                                 struct machine_step *step_out,
                                 struct machine_refusal *refusal_out);

#endif
