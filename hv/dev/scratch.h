/*
 * A device that is nothing but memory-mapped registers: one page that remembers what is written, byte
 * by byte, and counts its accesses. Guests prove with it that MMIO works in every form.
 */
#pragma once

#include <stdint.h>

#include "vm/mmio.h"

enum {
    SCRATCH_BASE = (int)0xd0000000, /* guest-physical */
    SCRATCH_SIZE = 4096,
    SCRATCH_BYTES = 256, /* registers; reads above are the count of accesses so far */
};

struct scratch {
    uint8_t bytes[SCRATCH_BYTES];
    uint64_t accesses;
};

/* Where these registers are in guest-physical memory, and how they are reached. */
struct mmio_device scratch_device(struct scratch *scratch);
