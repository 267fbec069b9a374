#include "dev/scratch.h"

static uint64_t read(void *state, uint64_t offset, uint8_t size) {
    struct scratch *scratch = state;
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

static void write(void *state, uint64_t offset, uint8_t size, uint64_t value) {
    struct scratch *scratch = state;
    scratch->accesses++;
    for (unsigned i = 0; i < size && offset + i < SCRATCH_BYTES; i++) {
        scratch->bytes[offset + i] = (uint8_t)(value >> 8 * i);
    }
}

struct mmio_device scratch_device(struct scratch *scratch) {
    return (struct mmio_device){.name = "scratch",
                                .base = (uint32_t)SCRATCH_BASE,
                                .size = SCRATCH_SIZE,
                                .read = read,
                                .write = write,
                                .state = scratch};
}
