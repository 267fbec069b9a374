/*
 * A device that is nothing but memory-mapped registers: one page that remembers what is written, byte
 * by byte, and counts its accesses. Guests prove with it that MMIO works in every form.
 */
#pragma once

#include <stdint.h>

enum {
    SCRATCH_BASE = (int)0xd0000000, /* guest-physical */
    SCRATCH_SIZE = 4096,
    SCRATCH_BYTES = 256, /* registers; reads above are the count of accesses so far */
    SCRATCH_COUNT = 0x100,
};

struct scratch {
    uint8_t bytes[SCRATCH_BYTES];
    uint64_t accesses;
};

/* `offset` and `size` (1, 2, 4, 8) lie within the page. */
uint64_t scratch_read(struct scratch *scratch, uint64_t offset, unsigned size);
void scratch_write(struct scratch *scratch, uint64_t offset, unsigned size, uint64_t value);
