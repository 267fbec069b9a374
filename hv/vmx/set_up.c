/* Everything a VMCS needs before its first VMLAUNCH, in the order of SDM 3C chapter 25. */
#include "core/refuse.h"
#include "cpu/control.h"
#include "cpu/descriptors.h"
#include "cpu/msr.h"
#include "cpu/port.h"
#include "debug.h"
#include "vmx/bitmaps.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

/* `must` bits are needed, `may` bits are taken where the processor has them (A.2). */
static uint32_t choose(const char *name, struct vmx_control_limits limits, uint32_t must,
                       uint32_t may) {
    uint32_t missing = must & ~limits.allowed;
    if (missing) {
        refuse("no-control", "this CPU's VT-x lacks bits 0x%x of the %s", missing, name);
    }
    return (must | may | limits.required) & limits.allowed;
}

static void set_controls(struct vmx_vcpu *vcpu, uint64_t ept_pointer) {
    const struct vmx_capabilities *c = &vmx_capabilities;
    vmcs_write(PIN_BASED_CONTROLS, choose("pin-based controls", c->pin,
                                          PIN_EXTERNAL_INTERRUPT_EXITING | PIN_NMI_EXITING |
                                              PIN_VIRTUAL_NMIS | PIN_ACTIVATE_PREEMPTION_TIMER,
                                          0));
    /* Without a virtual APIC page, MOV CR8 would reach the hypervisor's own task priority. */
    vcpu->primary_controls =
        choose("primary processor-based controls", c->primary,
               PRIMARY_HLT_EXITING | PRIMARY_MWAIT_EXITING | PRIMARY_MONITOR_EXITING |
                   PRIMARY_RDPMC_EXITING | PRIMARY_USE_IO_BITMAPS | PRIMARY_USE_MSR_BITMAPS |
                   PRIMARY_CR8_LOAD_EXITING | PRIMARY_CR8_STORE_EXITING |
                   PRIMARY_USE_TSC_OFFSETTING | PRIMARY_ACTIVATE_SECONDARY_CONTROLS,
               0);
    vmcs_write(PRIMARY_PROCESSOR_BASED_CONTROLS, vcpu->primary_controls);
    /* Only with a VPID of its own (take_vpid): 0 with this control would be invalid (27.2.1.1). */
    uint32_t vpid = vcpu->vpid ? SECONDARY_ENABLE_VPID : 0;
    vmcs_write(SECONDARY_PROCESSOR_BASED_CONTROLS,
               choose("secondary processor-based controls", c->secondary, SECONDARY_ENABLE_EPT,
                      vpid | SECONDARY_UNRESTRICTED_GUEST | SECONDARY_WBINVD_EXITING |
                          SECONDARY_ENABLE_RDTSCP));
    /* DR7 is the guest's own, and lost at every exit (28.5.1) unless these two carry it over. */
    vmcs_write(PRIMARY_VM_EXIT_CONTROLS,
               choose("VM-exit controls", c->exit,
                      EXIT_SAVE_DEBUG_CONTROLS | EXIT_HOST_ADDRESS_SPACE_SIZE |
                          EXIT_SAVE_IA32_EFER | EXIT_LOAD_IA32_EFER | EXIT_SAVE_IA32_PAT |
                          EXIT_LOAD_IA32_PAT,
                      EXIT_ACKNOWLEDGE_INTERRUPT | EXIT_SAVE_PREEMPTION_TIMER_VALUE));
    vcpu->entry_controls =
        choose("VM-entry controls", c->entry,
               ENTRY_LOAD_DEBUG_CONTROLS | ENTRY_LOAD_IA32_EFER | ENTRY_LOAD_IA32_PAT, 0);
    vmcs_write(VM_ENTRY_CONTROLS, vcpu->entry_controls);
    vmcs_write(EPT_POINTER, ept_pointer);
    if (vcpu->vpid) {
        vmcs_write(VIRTUAL_PROCESSOR_IDENTIFIER, vcpu->vpid);
    }
    vmcs_write(MSR_BITMAPS, bitmaps_msr());
    vmcs_write(IO_BITMAP_A, bitmaps_io_a());
    vmcs_write(IO_BITMAP_B, bitmaps_io_b());
    vmcs_write(TSC_OFFSET, 0); /* inject.c keeps it */
    /* vm/exit.c says why */
    vmcs_write(EXCEPTION_BITMAP, 1u << VECTOR_AC | 1u << VECTOR_DB | 1u << VECTOR_MC);
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
    vmcs_write(HOST_IA32_EFER, rdmsr(IA32_EFER));
    vmcs_write(HOST_IA32_PAT, rdmsr(IA32_PAT));
    vmcs_write(HOST_RSP, (uint64_t)(&vcpu->vcpu.registers + 1)); /* entry.S says why */
    vmcs_write(HOST_RIP, (uint64_t)vmx_exit_entry);
}

/* Access rights, table 25-2: type, S (4), P (7), L (13), D/B (14), G (15), unusable (16). */
enum access_rights {
    RIGHTS_CODE_64 = 0xa09b,
    RIGHTS_CODE_32 = 0xc09b,
    RIGHTS_CODE_16 = 0x009b,
    RIGHTS_DATA = 0xc093,
    RIGHTS_DATA_16 = 0x0093,
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

static void set_segment(enum segment segment, uint16_t selector, uint64_t base, uint32_t limit,
                        enum access_rights rights) {
    static const char *const names[] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};
    enum vmcs_field stride = 2 * (enum vmcs_field)segment;
    vmcs_write_named(GUEST_ES_SELECTOR + stride, selector, names[segment], "guest selector");
    vmcs_write_named(GUEST_ES_BASE + stride, base, names[segment], "guest segment base");
    vmcs_write_named(GUEST_ES_LIMIT + stride, limit, names[segment], "guest segment limit");
    vmcs_write_named(GUEST_ES_ACCESS_RIGHTS + stride, rights, names[segment],
                     "guest access rights");
}

static void set_segments(const struct vcpu_start *start) {
    static const enum access_rights code[] = {[VCPU_REAL] = RIGHTS_CODE_16,
                                              [VCPU_PROTECTED] = RIGHTS_CODE_32,
                                              [VCPU_LONG] = RIGHTS_CODE_64};
    bool real = start->mode == VCPU_REAL;
    enum access_rights data = real ? RIGHTS_DATA_16 : RIGHTS_DATA;
    uint32_t limit = real ? 0xffff : ~0u;
    uint64_t data_base = real ? (uint64_t)start->data_selector << 4 : 0;
    uint64_t code_base = real ? (uint64_t)start->code_selector << 4 : 0;
    set_segment(SEGMENT_CS, start->code_selector, code_base, limit, code[start->mode]);
    static const enum segment others[] = {SEGMENT_SS, SEGMENT_DS, SEGMENT_ES, SEGMENT_FS,
                                          SEGMENT_GS};
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        set_segment(others[i], start->data_selector, data_base, limit, data);
    }
    set_segment(SEGMENT_LDTR, 0, 0, 0, RIGHTS_UNUSABLE);
    set_segment(SEGMENT_TR, 0, 0, 0x67, RIGHTS_BUSY_TSS); /* TR must be usable, 27.3.1.2 */
    vmcs_write(GUEST_GDTR_BASE, start->gdt_base);
    vmcs_write(GUEST_GDTR_LIMIT, start->gdt_limit);
    vmcs_write(GUEST_IDTR_BASE, 0);
    /* In real mode the vector table at 0; else an exception before LIDT is a triple fault. */
    vmcs_write(GUEST_IDTR_LIMIT, real ? 0x3ff : 0);
}

/* 25.4, checked by 27.3.1: flat, interrupts off. */
static void set_guest_state(struct vmx_vcpu *vcpu, const struct vcpu_start *start) {
    bool long_mode = start->mode == VCPU_LONG;
    vmcs_write(CR0_GUEST_HOST_MASK, vmx_cr0_mask());
    vmcs_write(CR4_GUEST_HOST_MASK, vmx_cr4_mask());
    vmx_set(&vcpu->vcpu, VCPU_CR0,
            CR0_ET | (start->mode == VCPU_REAL ? 0 : CR0_PE) | (long_mode ? CR0_PG_64 : 0));
    vmx_set(&vcpu->vcpu, VCPU_CR4, long_mode ? CR4_PAE : 0);
    vmx_set(&vcpu->vcpu, VCPU_EFER, long_mode ? EFER_LME | EFER_LMA : 0);
    vmcs_write(GUEST_CR3, start->cr3);
    vmcs_write(GUEST_IA32_PAT, PAT_AT_RESET);
    set_segments(start);
    vmcs_write(GUEST_RIP, start->rip);
    vmcs_write(GUEST_RSP, start->rsp);
    vmcs_write(GUEST_RFLAGS, 2); /* bit 1 is always 1 */
    vmcs_write(GUEST_DR7, 0x400);
    vmcs_write(GUEST_IA32_DEBUGCTL, 0);
    vmcs_write(GUEST_IA32_SYSENTER_CS, 0);
    vmcs_write(GUEST_IA32_SYSENTER_ESP, 0);
    vmcs_write(GUEST_IA32_SYSENTER_EIP, 0);
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE, 0);
    vmcs_write(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
    vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
    vmcs_write(VMCS_LINK_POINTER, ~0ull);
    vcpu->vcpu.registers.rax = start->rax;
    vcpu->vcpu.registers.rbx = start->rbx;
    vcpu->vcpu.registers.rsi = start->rsi;
}

/* One wrong field of each class that VM entry checks (27.2.1, 27.2.2, 27.3.1), or a wrong entry. */
static void spoil(uint64_t ept_pointer) {
    if (debug == DEBUG_BAD_CONTROLS) {
        vmcs_write(CR3_TARGET_COUNT, 0x1ff); /* more targets than any processor has */
    } else if (debug == DEBUG_BAD_HOST) {
        vmcs_write(HOST_TR_SELECTOR, 0); /* must not be 0 */
    } else if (debug == DEBUG_BAD_GUEST) {
        vmcs_write(GUEST_RFLAGS, 0); /* bit 1 must be 1 */
    } else if (debug == DEBUG_BAD_EPT) {
        uint64_t *root = (uint64_t *)(ept_pointer & ~0xfffull);
        root[0] &= ~1ull; /* writable but not readable: 29.3.3.1 */
    }
}

void vmx_vmcs_set_up(struct vmx_vcpu *vcpu, const struct vcpu_start *start, uint64_t ept_pointer) {
    set_controls(vcpu, ept_pointer);
    set_host_state(vcpu);
    set_guest_state(vcpu, start);
    spoil(ept_pointer);
}
