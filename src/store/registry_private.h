/*
 * registry_private: what the store and the tests do with a registry beyond store/registry.h.
 */
#ifndef STORE_REGISTRY_PRIVATE_H
#define STORE_REGISTRY_PRIVATE_H

#include "store/registry.h"

/* An empty registry; registry_close() ends it and everything that it gave. */
struct registry *registry_open(void);
void registry_close(struct registry *registry);

#endif
