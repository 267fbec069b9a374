/* A guest's EPT entries, for self-tests to spoil. Read from the VMCS, not from hv/vmx/ept.c. */
#pragma once

#include "selftest/machine.h"

/* SDM 3C 29.3.2, tables 29-1 to 29-7 */
#define ENTRY_READ     (1ull << 0)
#define ENTRY_WRITE    (1ull << 1)
#define ENTRY_EXECUTE  (1ull << 2)
#define ENTRY_ALL      7ull
#define ENTRY_LARGE    (1ull << 7)
#define ENTRY_ACCESSED (1ull << 8)
#define ENTRY_DIRTY    (1ull << 9)
#define ENTRY_ADDRESS  0x000ffffffffff000ull

/* The entry of the current VMCS's EPT for this address: level 1 a 4K page's, 4 the PML4's. Large pages on
 * the way are split; the tables for that go with the machine's others. */
uint64_t *table_entry(uint64_t guest_physical, unsigned level);

/* Likewise in tables that begin at this EPT pointer. */
uint64_t *table_entry_in(uint64_t ept_pointer, uint64_t guest_physical, unsigned level);

/* For changes that a processor may have cached: INVEPT of everything, where there is one. */
void tables_changed(void);
