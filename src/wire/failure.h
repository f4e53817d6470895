/*
 * failure: which keys the details of each error have. Private to wire. Thread: any: constants.
 */
#ifndef WIRE_FAILURE_H
#define WIRE_FAILURE_H

#include "record.h"

/* The own keys of an error, in the order of the page's table. */
struct fields failure_fields(enum qo_error error);
/* `index`, which any error has inside an atomic batch. */
struct fields failure_index_field(void);

#endif
