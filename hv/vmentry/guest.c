#include "vmentry/guest.h"

#include <stdbool.h>

#include "core/boot_info.h"
#include "core/refuse.h"
#include "core/string.h"

/*
 * SDM 3A 4.3 to 4.5: the bits that the formats share. Accessed and dirty are set from the start, so
 * that no walk writes. Pages are user pages because virtual-8086 mode runs at CPL 3.
 */
enum {
    PRESENT = 1 << 0,
    WRITABLE = 1 << 1,
    USER = 1 << 2,
    ACCESSED = 1 << 5,
    DIRTY = 1 << 6,
    TABLE = PRESENT | WRITABLE | USER | ACCESSED,
    PAGE = TABLE | DIRTY,
};

enum { CPUID_OPCODE = 0xa20f };

static bool have_memory(void) {
    for (unsigned i = 0; i < boot_info.memory_count; i++) {
        if (boot_info.memory[i].start <= GUEST_START &&
            boot_info.memory[i].end >= GUEST_START + GUEST_SIZE) {
            return true;
        }
    }
    return false;
}

uint64_t guest_pdpte(void) {
    return GUEST_DIRECTORY | PRESENT; /* 4.4.1: other low bits are reserved */
}

void guest_start(void) {
    if (!have_memory()) {
        refuse("no-memory", "there is no RAM at 0x%x for the guest", GUEST_START);
    }
    memset((void *)GUEST_START, 0, GUEST_SIZE);
    for (unsigned i = 0; i < 0x1000 / 2; i++) {
        ((uint16_t *)GUEST_CODE)[i] = CPUID_OPCODE;
    }
    ((uint64_t *)GUEST_PML4)[0] = GUEST_PDPT | TABLE;
    ((uint64_t *)GUEST_PDPT)[0] = GUEST_DIRECTORY | TABLE;
    ((uint64_t *)GUEST_PAE_PDPT)[0] = guest_pdpte();
    ((uint64_t *)GUEST_DIRECTORY)[0] = GUEST_TABLE | TABLE;
    ((uint32_t *)GUEST_DIRECTORY_32)[0] = GUEST_TABLE_32 | TABLE;
    for (uint32_t page = GUEST_START; page < GUEST_START + GUEST_SIZE; page += 0x1000) {
        ((uint64_t *)GUEST_TABLE)[page >> 12] = page | PAGE;
        ((uint32_t *)GUEST_TABLE_32)[page >> 12] = page | PAGE;
    }
}
