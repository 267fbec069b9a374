/* The registers that the VMCS holds, by the names that vm/ uses. */
#include "cpu/control.h"
#include "cpu/msr.h"
#include "vm/control.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

bool vmx_unrestricted_guest(void) {
    return vmx_capabilities.secondary.allowed & SECONDARY_UNRESTRICTED_GUEST;
}

/* The same for every guest, and too dear to work out at an exit (CPUID exits to whoever is below). */
static uint64_t cr0_mask, cr4_mask;

/* With unrestricted guest, VM entry lets PE and PG be 0 all the same (27.3.1.1). */
static uint64_t cr0_required(void) {
    uint64_t relaxed = vmx_unrestricted_guest() ? CR0_PE | CR0_PG_64 : 0;
    return vmx_capabilities.cr0_required & ~relaxed;
}

/* MCE, whatever the guest thinks: without it a machine check would shut the processor down. */
static uint64_t cr4_required(void) {
    return vmx_capabilities.cr4_required | CR4_MCE;
}

/*
 * Not the guest's: what VMX fixes (NE), what would take its caches from the neighbours (CD, NW), and
 * PG, with which EFER.LMA and an entry control must change.
 */
void vmx_state_start(void) {
    const uint64_t owned = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_WP | CR0_AM;
    cr0_mask = ~owned | cr0_required();
    cr4_mask = ~control_cr4_allowed() | cr4_required();
}

uint64_t vmx_cr0_mask(void) {
    return cr0_mask;
}

uint64_t vmx_cr4_mask(void) {
    return cr4_mask;
}

/* What the guest reads: its own bits, and the shadow's for the rest (25.6.6). */
static uint64_t seen(enum vmcs_field field, enum vmcs_field shadow, uint64_t mask) {
    return (vmcs_read(field) & ~mask) | (vmcs_read(shadow) & mask);
}

static void set_efer(struct vmx_vcpu *vcpu, uint64_t value) {
    vmcs_write(GUEST_IA32_EFER, value);
    /* 27.3.1.1: the control, LMA and (with paging) LME agree. */
    uint32_t controls = vcpu->entry_controls & ~ENTRY_IA32E_MODE_GUEST;
    controls |= value & EFER_LMA ? ENTRY_IA32E_MODE_GUEST : 0;
    if (controls != vcpu->entry_controls) {
        vcpu->entry_controls = controls;
        vmcs_write(VM_ENTRY_CONTROLS, controls);
    }
}

static const enum vmcs_field fields[VCPU_REGISTERS] = {
    [VCPU_RIP] = GUEST_RIP,
    [VCPU_RSP] = GUEST_RSP,
    [VCPU_RFLAGS] = GUEST_RFLAGS,
    [VCPU_CR3] = GUEST_CR3,
    [VCPU_PDPTE0] = GUEST_PDPTE0,
    [VCPU_PDPTE1] = GUEST_PDPTE1,
    [VCPU_PDPTE2] = GUEST_PDPTE2,
    [VCPU_PDPTE3] = GUEST_PDPTE3,
    [VCPU_EFER] = GUEST_IA32_EFER,
    [VCPU_PAT] = GUEST_IA32_PAT,
    [VCPU_DR7] = GUEST_DR7,
    [VCPU_CS_BASE] = GUEST_CS_BASE,
    [VCPU_CS_RIGHTS] = GUEST_CS_ACCESS_RIGHTS,
    [VCPU_SS_RIGHTS] = GUEST_SS_ACCESS_RIGHTS,
    [VCPU_TR_RIGHTS] = GUEST_TR_ACCESS_RIGHTS,
    [VCPU_DS_BASE] = GUEST_DS_BASE,
    [VCPU_ES_BASE] = GUEST_ES_BASE,
    [VCPU_SS_BASE] = GUEST_SS_BASE,
    [VCPU_FS_BASE] = GUEST_FS_BASE,
    [VCPU_GS_BASE] = GUEST_GS_BASE,
};

uint64_t vmx_get(struct vcpu *vcpu, enum vcpu_register which) {
    (void)vcpu;
    switch ((unsigned)which) {
    case VCPU_CR0: return seen(GUEST_CR0, CR0_READ_SHADOW, cr0_mask);
    case VCPU_CR4: return seen(GUEST_CR4, CR4_READ_SHADOW, cr4_mask);
    case VCPU_IN_NMI: return vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & BLOCKING_BY_NMI ? 1 : 0;
    default: return vmcs_read(fields[which]);
    }
}

/* What MOV to CR0, CR3 and CR4 and WRMSR of EFER do besides: a VMWRITE does not (29.4.3.3). */
static void forget_old_paging(struct vcpu *vcpu, enum vcpu_register which) {
    if (which == VCPU_CR0 || which == VCPU_CR3 || which == VCPU_CR4 || which == VCPU_EFER) {
        vmx_forget_translations(vmx_vcpu(vcpu));
    }
}

void vmx_set(struct vcpu *vcpu, enum vcpu_register which, uint64_t value) {
    const struct vmx_capabilities *c = &vmx_capabilities;
    const uint64_t caching = CR0_CD | CR0_NW;
    switch ((unsigned)which) {
    case VCPU_CR0:
        vmcs_write(GUEST_CR0, ((value & ~caching) | cr0_required()) & c->cr0_allowed);
        vmcs_write(CR0_READ_SHADOW, value);
        break;
    case VCPU_CR4:
        vmcs_write(GUEST_CR4, (value | cr4_required()) & c->cr4_allowed);
        vmcs_write(CR4_READ_SHADOW, value);
        break;
    case VCPU_EFER: set_efer(vmx_vcpu(vcpu), value); break;
    default: vmcs_write_named(fields[which], value, "a guest register", "vmx_set"); break;
    }
    forget_old_paging(vcpu, which);
}
