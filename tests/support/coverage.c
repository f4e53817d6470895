/*
 * coverage: what a node has run is written down before it ends by _exit(), which is how it ends.
 * Linked with -Wl,--wrap=_exit into the coverage build of quorderd only. Thread: any.
 */
#include <unistd.h>

void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

void
__wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
