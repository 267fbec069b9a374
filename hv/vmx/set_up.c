/* Everything a VMCS needs before its first VMLAUNCH, in the order of SDM 3C chapter 25. */
#include "core/panic.h"
#include "cpu/control.h"
#include "cpu/descriptors.h"
#include "cpu/msr.h"
#include "debug.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

/* `must` bits are needed, `may` bits are taken where the processor has them (A.2). */
static uint32_t choose(const char *name, struct vmx_control_limits limits, uint32_t must,
                       uint32_t may) {
    uint32_t missing = must & ~limits.allowed;
    if (missing) {
        panic("%s: this CPU does not allow bits 0x%x", name, missing);
    }
    return (must | may | limits.required) & limits.allowed;
}

static void set_controls(uint64_t ept_pointer) {
    const struct vmx_capabilities *c = &vmx_capabilities;
    vmcs_write(PIN_BASED_CONTROLS, choose("pin-based controls", c->pin,
                                          PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING, 0));
    /* No MSR bitmaps: every RDMSR and WRMSR exits. */
    vmcs_write(PRIMARY_PROCESSOR_BASED_CONTROLS,
               choose("primary processor-based controls", c->primary,
                      PRIMARY_HLT_EXITING | PRIMARY_UNCONDITIONAL_IO_EXITING |
                          PRIMARY_ACTIVATE_SECONDARY_CONTROLS,
                      0));
    vmcs_write(SECONDARY_PROCESSOR_BASED_CONTROLS,
               choose("secondary processor-based controls", c->secondary, SECONDARY_ENABLE_EPT, 0));
    vmcs_write(PRIMARY_VM_EXIT_CONTROLS,
               choose("VM-exit controls", c->exit, EXIT_HOST_ADDRESS_SPACE_SIZE,
                      EXIT_SAVE_IA32_EFER | EXIT_LOAD_IA32_EFER | EXIT_SAVE_IA32_PAT |
                          EXIT_LOAD_IA32_PAT));
    vmcs_write(VM_ENTRY_CONTROLS, choose("VM-entry controls", c->entry, ENTRY_IA32E_MODE_GUEST,
                                         ENTRY_LOAD_IA32_EFER | ENTRY_LOAD_IA32_PAT));
    vmcs_write(EPT_POINTER, ept_pointer);
    vmcs_write(EXCEPTION_BITMAP, 0);
    vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
    vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
    vmcs_write(CR3_TARGET_COUNT, 0);
    vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
    vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
    vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
    vmcs_write(VM_ENTRY_INTERRUPTION_INFORMATION, 0);
}

/* 25.5, checked by 27.2.2: what the processor becomes at every exit. */
static void set_host_state(struct vmx_vcpu *vcpu) {
    vmcs_write(HOST_CR0, read_cr0());
    vmcs_write(HOST_CR3, read_cr3());
    vmcs_write(HOST_CR4, read_cr4());
    vmcs_write(HOST_CS_SELECTOR, SELECTOR_CODE);
    vmcs_write(HOST_SS_SELECTOR, SELECTOR_DATA);
    vmcs_write(HOST_DS_SELECTOR, SELECTOR_DATA);
    vmcs_write(HOST_ES_SELECTOR, SELECTOR_DATA);
    vmcs_write(HOST_FS_SELECTOR, 0);
    vmcs_write(HOST_GS_SELECTOR, 0);
    vmcs_write(HOST_TR_SELECTOR, SELECTOR_TSS);
    vmcs_write(HOST_FS_BASE, 0);
    vmcs_write(HOST_GS_BASE, 0);
    vmcs_write(HOST_TR_BASE, descriptors_tss_base());
    vmcs_write(HOST_GDTR_BASE, descriptors_gdt_base());
    vmcs_write(HOST_IDTR_BASE, descriptors_idt_base());
    vmcs_write(HOST_IA32_SYSENTER_CS, 0);
    vmcs_write(HOST_IA32_SYSENTER_ESP, 0);
    vmcs_write(HOST_IA32_SYSENTER_EIP, 0);
    if (vmx_capabilities.exit.allowed & EXIT_LOAD_IA32_EFER) {
        vmcs_write(HOST_IA32_EFER, rdmsr(IA32_EFER));
    }
    if (vmx_capabilities.exit.allowed & EXIT_LOAD_IA32_PAT) {
        vmcs_write(HOST_IA32_PAT, rdmsr(IA32_PAT));
    }
    vmcs_write(HOST_RSP, (uint64_t)(&vcpu->vcpu.registers + 1)); /* entry.S says why */
    vmcs_write(HOST_RIP, (uint64_t)vmx_exit_entry);
}

/* Access rights, table 25-2: type, S (4), P (7), L (13), D/B (14), G (15), unusable (16). */
enum access_rights {
    RIGHTS_CODE_64 = 0xa09b,
    RIGHTS_DATA = 0xc093,
    RIGHTS_BUSY_TSS = 0x008b,
    RIGHTS_UNUSABLE = 0x10000,
};

/* Segment fields stand in the order ES CS SS DS FS GS LDTR TR, two apart. */
enum segment {
    SEGMENT_ES,
    SEGMENT_CS,
    SEGMENT_SS,
    SEGMENT_DS,
    SEGMENT_FS,
    SEGMENT_GS,
    SEGMENT_LDTR,
    SEGMENT_TR
};

static void set_segment(enum segment segment, uint16_t selector, uint32_t limit,
                        enum access_rights rights) {
    static const char *const names[] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};
    enum vmcs_field stride = 2 * (enum vmcs_field)segment;
    vmcs_write_named(GUEST_ES_SELECTOR + stride, selector, names[segment], "guest selector");
    vmcs_write_named(GUEST_ES_BASE + stride, 0, names[segment], "guest segment base");
    vmcs_write_named(GUEST_ES_LIMIT + stride, limit, names[segment], "guest segment limit");
    vmcs_write_named(GUEST_ES_ACCESS_RIGHTS + stride, rights, names[segment],
                     "guest access rights");
}

/* 25.4, checked by 27.3.1: 64-bit mode, flat, interrupts off. */
static void set_guest_state(const struct vcpu_start *start) {
    const struct vmx_capabilities *c = &vmx_capabilities;
    const uint64_t cr0 = CR0_PE | CR0_ET | CR0_PG_64, cr4 = CR4_PAE;
    vmcs_write(GUEST_CR0, (cr0 | c->cr0_required) & c->cr0_allowed);
    vmcs_write(GUEST_CR3, start->cr3);
    vmcs_write(GUEST_CR4, (cr4 | c->cr4_required) & c->cr4_allowed);
    /* The guest reads what it would have without VMX; a write that changes a bit exits. */
    vmcs_write(CR0_GUEST_HOST_MASK, ~0ull);
    vmcs_write(CR0_READ_SHADOW, cr0);
    vmcs_write(CR4_GUEST_HOST_MASK, ~0ull);
    vmcs_write(CR4_READ_SHADOW, cr4);
    if (c->entry.allowed & ENTRY_LOAD_IA32_EFER) {
        vmcs_write(GUEST_IA32_EFER, EFER_LME | EFER_LMA);
    }
    if (c->entry.allowed & ENTRY_LOAD_IA32_PAT) {
        vmcs_write(GUEST_IA32_PAT, rdmsr(IA32_PAT));
    }
    set_segment(SEGMENT_CS, start->code_selector, ~0u, RIGHTS_CODE_64);
    set_segment(SEGMENT_SS, start->data_selector, ~0u, RIGHTS_DATA);
    set_segment(SEGMENT_DS, start->data_selector, ~0u, RIGHTS_DATA);
    set_segment(SEGMENT_ES, start->data_selector, ~0u, RIGHTS_DATA);
    set_segment(SEGMENT_FS, start->data_selector, ~0u, RIGHTS_DATA);
    set_segment(SEGMENT_GS, start->data_selector, ~0u, RIGHTS_DATA);
    set_segment(SEGMENT_LDTR, 0, 0, RIGHTS_UNUSABLE);
    set_segment(SEGMENT_TR, 0, 0x67, RIGHTS_BUSY_TSS); /* TR must be usable, 27.3.1.2 */
    vmcs_write(GUEST_GDTR_BASE, start->gdt_base);
    vmcs_write(GUEST_GDTR_LIMIT, start->gdt_limit);
    vmcs_write(GUEST_IDTR_BASE, 0);
    vmcs_write(GUEST_IDTR_LIMIT, 0); /* an exception before LIDT is a triple fault */
    vmcs_write(GUEST_RIP, start->rip);
    vmcs_write(GUEST_RSP, start->rsp);
    vmcs_write(GUEST_RFLAGS, 2); /* bit 1 is always 1 */
    vmcs_write(GUEST_DR7, 0x400);
    vmcs_write(GUEST_IA32_DEBUGCTL, 0);
    vmcs_write(GUEST_IA32_SYSENTER_CS, 0);
    vmcs_write(GUEST_IA32_SYSENTER_ESP, 0);
    vmcs_write(GUEST_IA32_SYSENTER_EIP, 0);
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE, 0);
    vmcs_write(GUEST_ACTIVITY_STATE, 0);
    vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
    vmcs_write(VMCS_LINK_POINTER, ~0ull);
}

/* One wrong field of each class that VM entry checks (27.2.1, 27.2.2, 27.3.1). */
static void spoil(void) {
    if (debug == DEBUG_BAD_CONTROLS) {
        vmcs_write(CR3_TARGET_COUNT, 0x1ff); /* more targets than any processor has */
    } else if (debug == DEBUG_BAD_HOST) {
        vmcs_write(HOST_TR_SELECTOR, 0); /* must not be 0 */
    } else if (debug == DEBUG_BAD_GUEST) {
        vmcs_write(GUEST_RFLAGS, 0); /* bit 1 must be 1 */
    }
}

void vmx_vmcs_set_up(struct vmx_vcpu *vcpu, const struct vcpu_start *start, uint64_t ept_pointer) {
    set_controls(ept_pointer);
    set_host_state(vcpu);
    set_guest_state(start);
    spoil();
}
