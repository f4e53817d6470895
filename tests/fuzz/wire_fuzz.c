/* Any bytes from a socket: see wire_property.h for what must hold. Thread: one. */
#include "fuzz/wire_property.h"

/* libFuzzer's name. */
/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire_property property; /* Warm buffers: as a node has them. */
    if (size > 0) {
        wire_property_stream(&property, bytes_make(data, size));
    }
    return 0;
}
