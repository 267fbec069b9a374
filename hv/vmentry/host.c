#include "vmentry/host.h"

#include <stdint.h>

#include "core/pages.h"
#include "cpu/control.h"
#include "cpu/msr.h"

static uint64_t cr0, cr4, efer, pat;

enum { PRESENT_WRITABLE = 3, LARGE = 1 << 7, GIBIBYTES = 4 };

static uint64_t identity_map(void) {
    uint64_t *pml4 = page_allocate(), *pdpt = page_allocate();
    pml4[0] = (uint64_t)pdpt | PRESENT_WRITABLE;
    for (uint64_t i = 0; i < GIBIBYTES; i++) {
        uint64_t *directory = page_allocate();
        pdpt[i] = (uint64_t)directory | PRESENT_WRITABLE;
        for (uint64_t j = 0; j < 512; j++) {
            directory[j] = (i << 30 | j << 21) | LARGE | PRESENT_WRITABLE;
        }
    }
    return (uint64_t)pml4;
}

void host_start(void) {
    write_cr3(identity_map());
    cr0 = read_cr0();
    cr4 = read_cr4();
    efer = rdmsr(IA32_EFER);
    pat = rdmsr(IA32_PAT);
}

/* Reading is cheap, and mostly there is nothing to write. */
static void restore_msr(enum msr msr, uint64_t value) {
    if (rdmsr(msr) != value) {
        wrmsr(msr, value);
    }
}

void host_restore(void) {
    if (read_cr4() != cr4) {
        write_cr4(cr4);
    }
    if (read_cr0() != cr0) {
        write_cr0(cr0);
    }
    restore_msr(IA32_EFER, efer);
    restore_msr(IA32_PAT, pat);
}
