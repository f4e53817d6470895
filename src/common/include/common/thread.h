/*
 * thread: which of a node's threads is running, so that a function can state where it may be
 * called. See "Threads" in src/README.md.
 */
#ifndef COMMON_THREAD_H
#define COMMON_THREAD_H

#include <stdbool.h>

enum thread_role {
    THREAD_ANY,   /* Not declared: tests and tools, where every check passes. */
    THREAD_LOOP,  /* libuv, sockets, libraft. */
    THREAD_STATE, /* Executes and commits. */
    THREAD_READER,
    THREAD_BACKGROUND, /* Waits for a disk. */
};

/* Declares the calling thread; names it for debuggers. Once, at its start. */
void thread_declare(enum thread_role role, const char *name);

/* The calling thread does the work of that role from here on, while the thread whose role it is
 * surely does nothing. Gives the role that it had, to go back to. */
enum thread_role thread_act(enum thread_role role);

/* True on a thread of that role, and on one that declared none. */
bool thread_is(enum thread_role role);

#endif
