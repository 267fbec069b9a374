#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "cpu/mtrr.h"

/* SDM 4, table 2-2 */
enum {
    IA32_MTRRCAP = 0xfe,
    IA32_MTRR_PHYSBASE0 = 0x200, /* then PHYSMASK0, PHYSBASE1, ... */
    IA32_MTRR_DEF_TYPE = 0x2ff,
};

static const uint16_t fixed_msrs[MTRR_FIXED_REGISTERS] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                                          0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

enum { CPUID_1_EDX_MTRR_BIT = 12 };

static unsigned physical_address_bits(void) {
    unsigned bits = cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 0;
    /* SDM 3A 4.1.4: 36 where the leaf is absent; no address has more than 52. */
    return !bits ? 36 : bits > 52 ? 52 : bits;
}

static uint64_t read(unsigned number) {
    return rdmsr((enum msr)number);
}

void mtrr_read(struct mtrr_state *state) {
    *state = (struct mtrr_state){.physical_address_bits = physical_address_bits()};
    if (!(cpuid(1, 0).edx >> CPUID_1_EDX_MTRR_BIT & 1)) {
        /* A hypervisor below may hide them, and then gives ordinary memory. */
        state->default_type = MTRR_ENABLED | MEMORY_WB;
        return;
    }
    state->capability = read(IA32_MTRRCAP);
    state->default_type = read(IA32_MTRR_DEF_TYPE);
    for (unsigned i = 0; i < MTRR_FIXED_REGISTERS && state->capability & MTRR_CAP_FIXED; i++) {
        state->fixed[i] = read(fixed_msrs[i]);
    }
    unsigned count = state->capability & MTRR_CAP_VARIABLE_COUNT;
    for (unsigned i = 0; i < count && i < MTRR_VARIABLE_MOST; i++) {
        state->variable[i].base = read(IA32_MTRR_PHYSBASE0 + 2 * i);
        state->variable[i].mask = read(IA32_MTRR_PHYSBASE0 + 2 * i + 1);
    }
}
