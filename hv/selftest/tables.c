#include "selftest/tables.h"

#include "core/pages.h"
#include "selftest/selftest.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

static void split(uint64_t *entry, unsigned level) {
    uint64_t *table = page_allocate(), span = 1ull << (12 + 9 * (level - 2));
    uint64_t large = level > 2 ? ENTRY_LARGE : 0;
    for (uint64_t i = 0; i < 512; i++) {
        table[i] = ((*entry & ~ENTRY_LARGE) + i * span) | large;
    }
    *entry = (uint64_t)table | ENTRY_ALL;
}

uint64_t *table_entry_in(uint64_t ept_pointer, uint64_t guest_physical, unsigned level) {
    uint64_t *table = (uint64_t *)(ept_pointer & ENTRY_ADDRESS), *entry;
    for (unsigned at = 4;; at--) {
        entry = &table[guest_physical >> (12 + 9 * (at - 1)) & 511];
        if (at == level) {
            return entry;
        }
        if (*entry & ENTRY_LARGE) {
            split(entry, at);
        }
        table = (uint64_t *)(*entry & ENTRY_ADDRESS);
    }
}

uint64_t *table_entry(uint64_t guest_physical, unsigned level) {
    return table_entry_in(vmcs_read(EPT_POINTER), guest_physical, level);
}

void tables_changed(void) {
    if (vmx_capabilities.ept_vpid & EPT_CAP_INVEPT) {
        bool all = vmx_capabilities.ept_vpid & EPT_CAP_INVEPT_ALL;
        check_equal(
            "INVEPT",
            invept(all ? INVEPT_ALL_CONTEXTS : INVEPT_SINGLE_CONTEXT, vmcs_read(EPT_POINTER)),
            VMX_SUCCEED);
    }
}
