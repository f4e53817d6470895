/* version: what `hello` and --version say. From the build. */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#ifndef QUORDER_VERSION
#error "the build defines QUORDER_VERSION"
#endif

#endif
