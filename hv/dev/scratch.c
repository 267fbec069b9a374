#include "dev/scratch.h"

uint64_t scratch_read(struct scratch *scratch, uint64_t offset, unsigned size) {
    uint64_t value = 0;
    scratch->accesses++;
    if (offset >= SCRATCH_BYTES) {
        return scratch->accesses;
    }
    for (unsigned i = 0; i < size && offset + i < SCRATCH_BYTES; i++) {
        value |= (uint64_t)scratch->bytes[offset + i] << 8 * i;
    }
    return value;
}

void scratch_write(struct scratch *scratch, uint64_t offset, unsigned size, uint64_t value) {
    scratch->accesses++;
    for (unsigned i = 0; i < size && offset + i < SCRATCH_BYTES; i++) {
        scratch->bytes[offset + i] = (uint8_t)(value >> 8 * i);
    }
}
