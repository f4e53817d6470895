/*
 * results: what libquorder hands out, as JSON with the protocol's names, and how a call that did
 * not succeed is told.
 *
 * Thread: any. Memory: functions that return json_t give it.
 */
#ifndef TOOLS_RESULTS_H
#define TOOLS_RESULTS_H

#include <jansson.h>
#include <stddef.h>

#include "quorder.h"

json_t *json_of_receipt(const struct qo_receipt *receipt);
json_t *json_of_order(const struct qo_order *order); /* Null if there is none. */
json_t *json_of_event(const struct qo_event *event);
json_t *json_of_attributes(const struct qo_attribute *attributes, size_t count);
json_t *json_of_status(const struct qo_status *status);
/* `code`, `message` and the code's own keys. */
json_t *json_of_failure(const struct qo_failure *failure);

#endif
