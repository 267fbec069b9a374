/* Memory types by physical address: the memory-type range registers, SDM 3A 12.11. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The encodings of table 12-2, the same in MTRRs, PAT and EPT entries; 2, 3 and 7 are reserved. */
enum memory_type { MEMORY_UC = 0, MEMORY_WC = 1, MEMORY_WT = 4, MEMORY_WP = 5, MEMORY_WB = 6 };

enum { MTRR_FIXED_REGISTERS = 11, MTRR_VARIABLE_MOST = 32 };

/* IA32_MTRRCAP, 12.11.1 */
#define MTRR_CAP_VARIABLE_COUNT 0xffull
#define MTRR_CAP_FIXED          (1ull << 8)

/* IA32_MTRR_DEF_TYPE, 12.11.2.1 */
#define MTRR_DEFAULT_TYPE  0xffull
#define MTRR_FIXED_ENABLED (1ull << 10)
#define MTRR_ENABLED       (1ull << 11)

/* IA32_MTRR_PHYSMASKn, 12.11.2.3 */
#define MTRR_MASK_VALID (1ull << 11)

/* The registers of one processor, as read by RDMSR. */
struct mtrr_state {
    uint64_t capability;
    uint64_t default_type;
    uint64_t fixed[MTRR_FIXED_REGISTERS]; /* FIX64K_00000, two FIX16K, eight FIX4K (12.11.2.2) */
    struct {
        uint64_t base, mask;
    } variable[MTRR_VARIABLE_MOST];
    unsigned physical_address_bits; /* MAXPHYADDR */
};

bool memory_type_valid(uint64_t type);

/*
 * The type of the byte at this physical address, by the precedences of 12.11.4.1. All addresses
 * from there to *end (exclusive, above `address`) have the same; the next run may have it too.
 */
enum memory_type mtrr_type(const struct mtrr_state *state, uint64_t address, uint64_t *end);

/* Do all bytes of [start, start + bytes) have one type? Which one goes into *type. */
bool mtrr_uniform(const struct mtrr_state *state, uint64_t start, uint64_t bytes,
                  enum memory_type *type);

/* Reads this processor's registers. Where it has no MTRRs, a state that says write-back. */
void mtrr_read(struct mtrr_state *state);
