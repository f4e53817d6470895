/* See common/thread.h. Thread: any. */
#include "common/thread.h"

#include <sys/prctl.h>

static _Thread_local enum thread_role declared = THREAD_ANY;

void
thread_declare(enum thread_role role, const char *name)
{
    declared = role;
    (void)prctl(PR_SET_NAME, name, 0, 0, 0); /* Only seen by debuggers. */
}

enum thread_role
thread_act(enum thread_role role)
{
    enum thread_role before = declared;
    declared = before == THREAD_ANY ? before : role;
    return before;
}

bool
thread_is(enum thread_role role)
{
    return declared == THREAD_ANY || declared == role;
}
