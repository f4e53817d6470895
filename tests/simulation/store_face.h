/*
 * store_face: one store as media_test.c looks at it. store_face.c is compiled twice, over RocksDB
 * and over media.c under the names of media_names.h; both do the same things for the same seeds,
 * and what they show must be equal, byte for byte. Thread: the test's.
 */
#ifndef SIMULATION_STORE_FACE_H
#define SIMULATION_STORE_FACE_H

#include <stdint.h>

#include "common/bytes.h"

struct face;

struct store_face {
    const char *name;
    /* Opens the store in `directory` and makes a model that is as far as it. */
    struct face *(*open)(const char *directory, uint64_t seed);
    /* Closes the store in order: all that was committed is kept. */
    void (*close)(struct face *face);
    /* Leaves the store as it is: what follows is a crash. */
    void (*leave)(struct face *face);
    /* How far it is. */
    uint64_t (*index)(const struct face *face);
    /* Executes the next entry, which follows from the seed and the index. */
    void (*entry)(struct face *face);
    /* Does one thing that follows from `seed` and appends all that it shows to `out`. */
    void (*act)(struct face *face, uint64_t seed, struct buf *out);
    /* Compares all that the store shows with the model. */
    void (*check)(struct face *face);
};

extern const struct store_face rocks_face, media_face;

#endif
