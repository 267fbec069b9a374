/*
 * The memory of the guest that every base VMCS enters: 64 KiB below 1 MiB, where real mode and
 * virtual-8086 mode reach too. Guest-physical, host-physical and linear addresses are the same in all
 * modes, so that what a mutation does to paging or EPT leads either here or to an exit.
 */
#pragma once

#include <stdint.h>

enum {
    GUEST_START = 0x10000, /* no loader keeps anything here that boot_info has not copied */
    GUEST_SIZE = 0x10000,
    GUEST_CODE = GUEST_START, /* a page of CPUID instructions, which exit in every mode (28.1.2) */
    GUEST_ENTRY = 0x100,      /* where in that page the guest starts */
    GUEST_STACK = 0x11000,
    GUEST_PML4 = 0x12000,
    GUEST_PDPT = 0x13000,
    GUEST_DIRECTORY = 0x14000, /* of 4-level and of PAE paging */
    GUEST_TABLE = 0x15000,
    GUEST_PAE_PDPT = 0x16000,
    GUEST_DIRECTORY_32 = 0x17000, /* of 32-bit paging */
    GUEST_TABLE_32 = 0x18000,
};

/* Code and page tables for all modes; refuses a machine without this memory. */
void guest_start(void);

/* What PAE paging's PDPTE 0 holds; the others are 0. */
uint64_t guest_pdpte(void);
