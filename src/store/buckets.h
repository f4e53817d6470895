/*
 * buckets: why a flush of `orders` finds its rows sorted.
 *
 * The memtable of `orders` is a hash table of small lists: the cheapest way to put and get by key,
 * but a flush has to sort it, by inserting row after row into a skip list: measured, 2 to 3 us a
 * row, a quarter of a node's work. That skip list has a fast path for a row that follows the last
 * one. So the rows should come in order of key; and they come in order of bucket, which is a hash
 * of the key's prefix scaled to the number of buckets. The prefix is ours to choose:
 * bucket_prefix() is the inverse of that hash, applied to the first eight bytes of the key (as a
 * number, times what makes the shards fill its range). Then the hash gives that number back, and
 * the order of buckets is the order of keys.
 *
 * The hash is RocksDB's 7.8 for eight bytes, an early XXH3 (xxHash 0.7.2). Should another version
 * hash otherwise, buckets are in some other order: flushes are slower, and nothing else changes.
 *
 * Thread: any; pure.
 */
#ifndef STORE_BUCKETS_H
#define STORE_BUCKETS_H

#include <stdint.h>

#include <rocksdb/c.h>

/* What RocksDB makes of an eight-byte prefix, and the prefix of which it makes `hash`. */
uint64_t bucket_hash(uint64_t prefix);
uint64_t bucket_prefix(uint64_t hash);

/* The prefix extractor of `orders`, whose keys begin with a shard below `shards`; RocksDB's once it
 * is among its options. */
rocksdb_slicetransform_t *bucket_extractor(uint32_t shards);

#endif
