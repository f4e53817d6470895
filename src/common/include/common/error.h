/*
 * error: the protocol's table of errors, once. Numbers and names as in include/PROTOCOL.md.
 *
 * The column `applied` is what an error says of the request's effect: ERROR_NO_EFFECT (certainly
 * none), ERROR_UNKNOWN (nobody knows; ask again with the same request id). Thread: any: constants.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include <stdint.h>

enum error_effect { ERROR_NO_EFFECT, ERROR_UNKNOWN };

#define QO_ERROR_MAP(X)                                                                            \
    X(QO_BAD_REQUEST, 100, "bad_request", ERROR_NO_EFFECT)                                         \
    X(QO_UNKNOWN_METHOD, 101, "unknown_method", ERROR_NO_EFFECT)                                   \
    X(QO_UNAUTHORIZED, 102, "unauthorized", ERROR_NO_EFFECT)                                       \
    X(QO_FORBIDDEN, 103, "forbidden", ERROR_NO_EFFECT)                                             \
    X(QO_NOT_FOUND, 200, "not_found", ERROR_NO_EFFECT)                                             \
    X(QO_ALREADY_EXISTS, 201, "already_exists", ERROR_NO_EFFECT)                                   \
    X(QO_INVALID_TRANSITION, 202, "invalid_transition", ERROR_NO_EFFECT)                           \
    X(QO_VERSION_CONFLICT, 203, "version_conflict", ERROR_NO_EFFECT)                               \
    X(QO_INVALID_ATTRIBUTE, 204, "invalid_attribute", ERROR_NO_EFFECT)                             \
    X(QO_NOT_UNIQUE, 205, "not_unique", ERROR_NO_EFFECT)                                           \
    X(QO_REQUEST_ID_REUSED, 206, "request_id_reused", ERROR_NO_EFFECT)                             \
    X(QO_RESOURCE_TAKEN, 207, "resource_taken", ERROR_NO_EFFECT)                                   \
    X(QO_INSUFFICIENT, 208, "insufficient", ERROR_NO_EFFECT)                                       \
    X(QO_INVALID_MACHINE, 209, "invalid_machine", ERROR_NO_EFFECT)                                 \
    X(QO_POSITION_LOST, 210, "position_lost", ERROR_NO_EFFECT)                                     \
    X(QO_NOT_LEADER, 300, "not_leader", ERROR_NO_EFFECT)                                           \
    X(QO_UNAVAILABLE, 301, "unavailable", ERROR_NO_EFFECT)                                         \
    X(QO_UNKNOWN_OUTCOME, 302, "unknown_outcome", ERROR_UNKNOWN)                                   \
    X(QO_TIMEOUT, 303, "timeout", ERROR_NO_EFFECT)                                                 \
    X(QO_OVERLOADED, 400, "overloaded", ERROR_NO_EFFECT)                                           \
    X(QO_INTERNAL, 500, "internal", ERROR_UNKNOWN)

enum qo_error {
    QO_OK = 0,
#define X(name, number, code, effect) name = (number),
    QO_ERROR_MAP(X)
#undef X
};

/* The protocol's name of an error ("ok" for QO_OK). Never NULL for a value of the enum. */
const char *error_code(enum qo_error error);

/* Whether a request that got this error may have had an effect. */
enum error_effect error_effect(enum qo_error error);

/* The error with this number on the wire; QO_INTERNAL if the table has no such number. */
enum qo_error error_of_number(int64_t number);

#endif
