/*
 * cache: the records of orders that were used lately, byte for byte as the store holds them, and
 * pages of their older request ids (pages.h), each under its order's id and a byte more.
 *
 * It is also the overlay of the entry being executed: it holds the newest record of every order
 * that the entry wrote. That is safe because nothing is evicted but by cache_trim(), after the
 * commit, and because the node ends if a commit fails. So between two trims the cache may grow over
 * its bound by what one entry touches (an entry is bounded itself).
 *
 * Eviction is CLOCK: a hand goes round the table and takes what was not used since it last came by.
 * Which records are here changes speed only, never a decision.
 *
 * Thread: state. Memory: one allocation per order, used again when its record changes; a record
 * given by cache_get() is valid until the next put of that order or trim.
 */
#ifndef APPLY_CACHE_H
#define APPLY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"

struct cache;

enum { CACHE_KEY_MAX = QO_ID_MAX + 1 };

struct cache *cache_open(uint64_t bytes_max);
void cache_close(struct cache *cache);

/* `hash` is hash_xxh64(id) everywhere. False if it is not here: perhaps the store has it. */
bool cache_get(struct cache *cache, struct bytes id, uint64_t hash, struct bytes *record_out);
/* Copies the record, in the place of the one before. */
void cache_put(struct cache *cache, struct bytes id, uint64_t hash, struct bytes record);
/* Back under the bound, or nearer to it: one call looks at QO_CACHE_TRIM_STEPS slots at most, so
 * that nobody waits for a look at all of a large cache, unless it is over by 1 /
 * QO_CACHE_OVER_SHARE. Nothing in the cache may be uncommitted. */
void cache_trim(struct cache *cache);

uint64_t cache_bytes(const struct cache *cache); /* Held now, the table included. */
uint64_t cache_count(const struct cache *cache);

#endif
