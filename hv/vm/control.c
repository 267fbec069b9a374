/*
 * Control registers and IA32_EFER as guests may change them. What a processor would answer with
 * #GP(0) gets that; what only touches bits the guest owns never comes here. SDM 3A 2.5.
 */
#include "vm/control.h"

#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "vm/guest_memory.h"
#include "vm/handlers.h"

#define CR0_KNOWN                                                                              \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
     CR0_PG_64)

/* VME and PVI stay out: virtual-8086 extensions are hidden by CPUID. */
#define CR4_OFFERED                                                                    \
    (CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | \
     CR4_OSXMMEXCPT)

uint64_t control_cr4_allowed(void) {
    uint64_t allowed = CR4_OFFERED;
    struct cpuid extended = guest_cpuid(7, 0);
    if (guest_cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE) {
        allowed |= CR4_OSXSAVE;
    }
    allowed |= extended.ebx & CPUID_7_EBX_FSGSBASE ? CR4_FSGSBASE : 0;
    allowed |= extended.ebx & CPUID_7_EBX_SMEP ? CR4_SMEP : 0;
    allowed |= extended.ebx & CPUID_7_EBX_SMAP ? CR4_SMAP : 0;
    return allowed;
}

/* 4.4.1: under PAE paging, CR3 points to four entries that are read at once and kept. */
static bool load_pdptes(struct vcpu *vcpu, uint64_t cr3) {
    enum { PRESENT = 1 };
    /* 2:1, 8:5, and what is above the physical addresses that the guest has: VM entry checks it too */
    const uint64_t reserved = 0x1e6 | ~0ull << (guest_cpuid(0x80000008, 0).eax & 0xff);
    uint64_t entries[4];
    if (!guest_physical_read(vcpu->vm, cr3 & 0xffffffe0, entries, sizeof entries)) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (entries[i] & PRESENT && entries[i] & reserved) {
            return false;
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        virt->set(vcpu, VCPU_PDPTE0 + i, entries[i]);
    }
    return true;
}

/* Is PAE paging on, as opposed to 4-level paging? */
static bool uses_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer) {
    return cr0 & CR0_PG_64 && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

static bool write_cr0_of(struct vcpu *vcpu, uint64_t value) {
    uint64_t old = virt->get(vcpu, VCPU_CR0), efer = virt->get(vcpu, VCPU_EFER);
    uint64_t cr4 = virt->get(vcpu, VCPU_CR4);
    if (value >> 32 || (value & CR0_PG_64 && !(value & CR0_PE)) ||
        (value & CR0_NW && !(value & CR0_CD))) {
        return false;
    }
    value = (value & CR0_KNOWN) | CR0_ET;
    bool starts_paging = value & ~old & CR0_PG_64, stops_paging = old & ~value & CR0_PG_64;
    if (starts_paging && efer & EFER_LME) {
        /* 10.8.5: PAE first, and not with a 64-bit code segment still there from before, or with a
         * 16-bit TSS (2A, MOV to control registers). */
        enum { TYPE_BUT_BUSY = 0xd, TSS_16 = 1 };
        if (!(cr4 & CR4_PAE) || virt->get(vcpu, VCPU_CS_RIGHTS) >> 13 & 1 ||
            (virt->get(vcpu, VCPU_TR_RIGHTS) & TYPE_BUT_BUSY) == TSS_16) {
            return false;
        }
        efer |= EFER_LMA;
    }
    if (stops_paging) {
        if (vcpu_in_64_bit_mode(vcpu)) {
            return false; /* 4.1.1: only from compatibility mode */
        }
        efer &= ~(uint64_t)EFER_LMA;
    }
    bool tables_moved = (value ^ old) & (CR0_PG_64 | CR0_CD | CR0_NW);
    if (tables_moved && uses_pdptes(value, cr4, efer) &&
        !load_pdptes(vcpu, virt->get(vcpu, VCPU_CR3))) {
        return false;
    }
    virt->set(vcpu, VCPU_CR0, value);
    virt->set(vcpu, VCPU_EFER, efer);
    return true;
}

static bool write_cr4_of(struct vcpu *vcpu, uint64_t value) {
    uint64_t efer = virt->get(vcpu, VCPU_EFER), old = virt->get(vcpu, VCPU_CR4);
    uint64_t cr0 = virt->get(vcpu, VCPU_CR0);
    if (value & ~control_cr4_allowed() || (efer & EFER_LMA && !(value & CR4_PAE))) {
        return false;
    }
    if ((value ^ old) & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP) && uses_pdptes(cr0, value, efer) &&
        !load_pdptes(vcpu, virt->get(vcpu, VCPU_CR3))) {
        return false;
    }
    virt->set(vcpu, VCPU_CR4, value);
    return true;
}

static bool write_cr3_of(struct vcpu *vcpu, uint64_t value) {
    uint64_t cr0 = virt->get(vcpu, VCPU_CR0), cr4 = virt->get(vcpu, VCPU_CR4);
    uint64_t efer = virt->get(vcpu, VCPU_EFER);
    if (efer & EFER_LMA && value >> (guest_cpuid(0x80000008, 0).eax & 0xff)) {
        return false; /* 4.5: no bits beyond physical addresses, and VM entry insists (27.3.1.1) */
    }
    if (uses_pdptes(cr0, cr4, efer) && !load_pdptes(vcpu, value)) {
        return false;
    }
    virt->set(vcpu, VCPU_CR3, value);
    return true;
}

static bool write_register(struct vcpu *vcpu, unsigned number, uint64_t value) {
    switch (number) {
    case 0: return write_cr0_of(vcpu, value);
    case 3: return write_cr3_of(vcpu, value);
    case 4: return write_cr4_of(vcpu, value);
    case 8:
        if (value > 15) {
            return false;
        }
        vcpu->cr8 = (uint8_t)value;
        return true;
    default: return false;
    }
}

static uint64_t read_register(struct vcpu *vcpu, unsigned number) {
    switch (number) {
    case 0: return virt->get(vcpu, VCPU_CR0);
    case 3: return virt->get(vcpu, VCPU_CR3);
    case 4: return virt->get(vcpu, VCPU_CR4);
    case 8: return vcpu->cr8;
    default: return 0;
    }
}

bool control_write_efer(struct vcpu *vcpu, uint64_t value) {
    uint64_t old = virt->get(vcpu, VCPU_EFER);
    const uint64_t writable = EFER_SCE | EFER_LME | EFER_NXE;
    if (value & ~(writable | EFER_LMA)) {
        return false;
    }
    if ((value ^ old) & EFER_LME && virt->get(vcpu, VCPU_CR0) & CR0_PG_64) {
        return false; /* 2.2.1: not while paging is on */
    }
    virt->set(vcpu, VCPU_EFER, (value & writable) | (old & EFER_LMA));
    return true;
}

/* Without unrestricted guest VM entry insists on paging (27.3.1.1), whatever the guest believes. */
static bool stops_paging_for_good(struct vcpu *vcpu, uint64_t cr0) {
    bool stops = virt->get(vcpu, VCPU_CR0) & ~cr0 & CR0_PG_64 && !vcpu_in_64_bit_mode(vcpu);
    return stops && !virt->can_start_in(VCPU_PROTECTED);
}

enum vm_action handle_control_register(struct vcpu *vcpu, const struct vm_exit *exit) {
    uint64_t cr0 = virt->get(vcpu, VCPU_CR0);
    bool good = true;
    switch (exit->control.operation) {
    case CONTROL_MOV_TO: {
        uint64_t value = vcpu_gpr(vcpu, exit->control.gpr);
        if (!vcpu_in_64_bit_mode(vcpu)) {
            value = (uint32_t)value;
        }
        if (exit->control.number == 0 && stops_paging_for_good(vcpu, value)) {
            return crash_because(vcpu, exit,
                                 "paging turned off on a CPU without unrestricted guest");
        }
        good = write_register(vcpu, exit->control.number, value);
        break;
    }
    case CONTROL_MOV_FROM:
        vcpu_set_gpr(vcpu, exit->control.gpr, read_register(vcpu, exit->control.number));
        break;
    case CONTROL_CLTS: good = write_cr0_of(vcpu, cr0 & ~(uint64_t)CR0_TS); break;
    case CONTROL_LMSW: {
        /* SDM 2A, LMSW: four bits, and PE can be set but not cleared. */
        uint64_t low = (exit->control.source & 0xf) | (cr0 & CR0_PE);
        good = write_cr0_of(vcpu, (cr0 & ~0xfull) | low);
        break;
    }
    }
    if (good) {
        return VM_SKIP;
    }
    events_raise_exception(&vcpu->events, VECTOR_GP, true, 0);
    return VM_RESUME;
}

enum vm_action handle_xsetbv(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    const struct guest_registers *r = &vcpu->registers;
    uint64_t value = r->rdx << 32 | (uint32_t)r->rax;
    /* Only XCR0 exists. The processor has checked CR4.OSXSAVE and CPL 0 before this exit. */
    if ((uint32_t)r->rcx != 0 || !xstate_xcr0_is_good(value)) {
        events_raise_exception(&vcpu->events, VECTOR_GP, true, 0);
        return VM_RESUME;
    }
    xstate_set_xcr0(vcpu->xstate, value);
    return VM_SKIP;
}
