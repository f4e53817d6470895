/*
 * assert: what must hold, in every build.
 *
 * A node that finds its own state impossible stops: a stopped node is one of three, a wrong one
 * answers. Never used on bytes from outside (sockets, files, definitions): those are checked and
 * answered. Thread: any.
 */
#ifndef COMMON_ASSERT_H
#define COMMON_ASSERT_H

#include <assert.h> /* static_assert */
#include <stdbool.h>

/* On in every build, release too. The condition is cheap and has no side effect. */
#define QO_PRE(cond) QO_CHECK("precondition", cond)   /* The caller has a bug. */
#define QO_POST(cond) QO_CHECK("postcondition", cond) /* This function has a bug. */
#define QO_ASSERT(cond) QO_CHECK("assertion", cond)
#define QO_IMPLIES(a, b) (!(a) || (b))
#define QO_CHECK(kind, cond) ((cond) ? (void)0 : assert_failed(kind, #cond, __FILE__, __LINE__))

/* On in debug, simulation, fuzz and sanitizer builds; may walk whole structures. */
#if defined(QO_VERIFY_ON)
#define QO_VERIFY(cond) QO_CHECK("verification", cond)
#else
#define QO_VERIFY(cond) ((void)sizeof(cond))
#endif

/* Prints kind, condition and place, with the log index at hand if one was set, then abort(). */
_Noreturn void assert_failed(const char *kind, const char *cond, const char *file, int line);

/* The log index that this thread is executing (0: none): printed by a failed assert. */
void assert_set_log_index(unsigned long long index);

/* Why a node cannot go on, though no code is wrong. The exit status of quorderd; documented in
 * cluster/README.md. */
#define QO_FATAL_MAP(X)                                                                            \
    X(FATAL_CONFIG, 10, "configuration")                                                           \
    X(FATAL_DIRECTORY, 11, "data directory")                                                       \
    X(FATAL_STORAGE, 12, "storage")                                                                \
    X(FATAL_CORRUPT, 13, "corruption")                                                             \
    X(FATAL_RAFT, 15, "consensus")                                                                 \
    X(FATAL_MEMORY, 16, "memory")                                                                  \
    X(FATAL_LEVEL, 17, "newer entry")                                                              \
    X(FATAL_NETWORK, 18, "network")

enum fatal_reason {
#define X(name, status, text) name = (status),
    QO_FATAL_MAP(X)
#undef X
};

/* Ends this process with one log line and the reason's exit status. Nothing is flushed or closed:
 * what was acknowledged is durable already. Thread: any. */
_Noreturn void qo_fatal(enum fatal_reason reason, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
