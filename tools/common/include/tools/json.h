/*
 * json: between MessagePack and JSON, and small things that every user of jansson needs.
 *
 * JSON knows what attributes know, but for one thing: a real that is written without a fraction
 * ("2.0") stays a number here, because jansson keeps reals and integers apart.
 *
 * Thread: any, one at a time per value. Memory: functions that return json_t give it.
 */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

/* The value of one whole object. NULL: it is not one, is nested deeper than the protocol allows,
 * holds an extension, or a text that is not UTF-8. */
json_t *json_of_messagepack(struct bytes object);

/* Appends the value as one object. False, with nothing appended: it is nested too deep. */
bool json_to_messagepack(json_t *value, struct buf *out);

/* A text, or null for NULL. What is not UTF-8 (no node sends that) becomes a remark. */
json_t *json_text(const char *text);
json_t *json_natural(uint64_t value);

/* As json_object_set_new() and json_array_append_new(), which fail for want of memory only. */
void json_set(json_t *object, const char *key, json_t *value);
void json_add(json_t *array, json_t *value);

#endif
