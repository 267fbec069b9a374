/* Guest state that VM entry refuses: not a failed instruction but a VM exit. SDM 3C 27.3.1, 27.4, 27.8. */
#include "core/pages.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "selftest/bad_entry.h"
#include "selftest/bits.h"
#include "selftest/selftest.h"
#include "vmx/controls.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

#define NON_CANONICAL (1ull << 63)
#define RFLAGS_IF     (1ull << 9)
#define UNUSABLE      (1ull << 16)

/* 27.8: what the exit qualification says about reason 33. */
enum {
    QUALIFICATION_OTHER = 0,
    QUALIFICATION_PDPTE = 2,
    QUALIFICATION_NMI = 3,
    QUALIFICATION_LINK_POINTER = 4,
};

/* 27.3.1.1 */
static const struct bad_entry bad_control_registers[] = {
    {"CR0 without NE", {{GUEST_CR0, 1 << 5, 0}}},
    {"CR0.PG without PE", {{GUEST_CR0, 1, 0}}},
    {"CR4 without VMXE", {{GUEST_CR4, 1 << 13, 0}}},
    {"CR4 with a bit that this CPU does not have", {{GUEST_CR4, 0, 1ull << 63}}},
    {"CR4 without PAE in IA-32e mode", {{GUEST_CR4, 1 << 5, 0}}},
    {"CR3 beyond physical addresses", {{GUEST_CR3, 0, 1ull << 60}}},
    {"DR7 above 32 bits", {{GUEST_DR7, 0, 1ull << 32}}},
    {"SYSENTER_ESP not canonical", {{GUEST_IA32_SYSENTER_ESP, ALL, NON_CANONICAL}}},
    {"SYSENTER_EIP not canonical", {{GUEST_IA32_SYSENTER_EIP, ALL, NON_CANONICAL}}},
    {"PAT with a reserved type", {{GUEST_IA32_PAT, 0xff00, 0x300}}},
    {"EFER with a reserved bit", {{GUEST_IA32_EFER, 0, 1 << 2}}},
    {"EFER without LMA in IA-32e mode", {{GUEST_IA32_EFER, EFER_LMA, 0}}},
    {"EFER without LME with paging", {{GUEST_IA32_EFER, EFER_LME, 0}}},
    {"LMA without the entry control", {{VM_ENTRY_CONTROLS, ENTRY_IA32E_MODE_GUEST, 0}}},
};

SELFTEST(bad_guest_control_registers, "bad control registers or MSRs of a guest: exit reason 33") {
    check_entry_exits(bad_control_registers,
                      sizeof bad_control_registers / sizeof bad_control_registers[0],
                      REASON_INVALID_GUEST_STATE, QUALIFICATION_OTHER);
}

/* 27.3.1.2 and 27.3.1.3 */
static const struct bad_entry bad_segments[] = {
    {"TR unusable", {{GUEST_TR_ACCESS_RIGHTS, 0, UNUSABLE}}},
    {"TR in the LDT", {{GUEST_TR_SELECTOR, 0, 4}}},
    {"TR of type data", {{GUEST_TR_ACCESS_RIGHTS, 0xf, 3}}},
    {"TR not present", {{GUEST_TR_ACCESS_RIGHTS, 1 << 7, 0}}},
    {"TR base not canonical", {{GUEST_TR_BASE, ALL, NON_CANONICAL}}},
    {"TR with a limit that its granularity can't have", {{GUEST_TR_ACCESS_RIGHTS, 0, 1 << 15}}},
    {"usable LDTR with a base that is not canonical",
     {{GUEST_LDTR_ACCESS_RIGHTS, ALL, 0x82}, {GUEST_LDTR_BASE, ALL, NON_CANONICAL}}},
    {"usable LDTR of another type", {{GUEST_LDTR_ACCESS_RIGHTS, ALL, 0x83}}},
    {"CS of type data", {{GUEST_CS_ACCESS_RIGHTS, 0xf, 1}}},
    {"CS not present", {{GUEST_CS_ACCESS_RIGHTS, 1 << 7, 0}}},
    {"CS a system segment", {{GUEST_CS_ACCESS_RIGHTS, 1 << 4, 0}}},
    {"CS both 64-bit and 32-bit", {{GUEST_CS_ACCESS_RIGHTS, 0, 1 << 14}}},
    {"CS base above 32 bits", {{GUEST_CS_BASE, 0, 1ull << 32}}},
    {"CS with DPL 3 under SS with DPL 0", {{GUEST_CS_ACCESS_RIGHTS, 0, 3 << 5}}},
    {"SS with a type that can't be written", {{GUEST_SS_ACCESS_RIGHTS, 0xf, 1}}},
    {"DS that is not accessed", {{GUEST_DS_ACCESS_RIGHTS, 1, 0}}},
    {"DS with reserved access rights", {{GUEST_DS_ACCESS_RIGHTS, 0, 1 << 9}}},
    {"DS base above 32 bits", {{GUEST_DS_BASE, 0, 1ull << 32}}},
    {"FS base not canonical", {{GUEST_FS_BASE, ALL, NON_CANONICAL}}},
    {"ES limit and granularity disagree", {{GUEST_ES_LIMIT, 1, 0}}},
    {"GDTR base not canonical", {{GUEST_GDTR_BASE, ALL, NON_CANONICAL}}},
    {"IDTR limit above 16 bits", {{GUEST_IDTR_LIMIT, 0, 1 << 16}}},
};

SELFTEST(bad_guest_segments,
         "bad segment or descriptor-table registers of a guest: exit reason 33") {
    check_entry_exits(bad_segments, sizeof bad_segments / sizeof bad_segments[0],
                      REASON_INVALID_GUEST_STATE, QUALIFICATION_OTHER);
}

#define EVENT(type, vector) (INTERRUPTION_VALID | (type) << INTERRUPTION_TYPE_SHIFT | (vector))

/* 27.3.1.4 and 27.3.1.5; qualifications by 27.8 */
static const struct bad_entry bad_other_state[] = {
    {"RFLAGS without bit 1", {{GUEST_RFLAGS, 2, 0}}},
    {"RFLAGS with bit 3", {{GUEST_RFLAGS, 0, 8}}},
    {"RFLAGS.VM in IA-32e mode", {{GUEST_RFLAGS, 0, 1 << 17}}},
    {"an interrupt with RFLAGS.IF clear", {{VM_ENTRY_INTERRUPTION_INFORMATION, ALL, EVENT(0, 32)}}},
    {"an activity state above 3", {{GUEST_ACTIVITY_STATE, ALL, 4}}},
    {"HLT with SS of DPL 3", {{GUEST_ACTIVITY_STATE, ALL, 1}, {GUEST_SS_ACCESS_RIGHTS, 0, 3 << 5}}},
    {"HLT with blocking by MOV SS",
     {{GUEST_ACTIVITY_STATE, ALL, 1}, {GUEST_INTERRUPTIBILITY_STATE, 0, BLOCKING_BY_MOV_SS}}},
    {"interruptibility with a reserved bit", {{GUEST_INTERRUPTIBILITY_STATE, 0, 1u << 31}}},
    {"blocking by STI and by MOV SS",
     {{GUEST_INTERRUPTIBILITY_STATE, 0, BLOCKING_BY_STI | BLOCKING_BY_MOV_SS},
      {GUEST_RFLAGS, 0, RFLAGS_IF}}},
    {"blocking by STI with RFLAGS.IF clear", {{GUEST_INTERRUPTIBILITY_STATE, 0, BLOCKING_BY_STI}}},
    {"blocking by SMI outside of SMM", {{GUEST_INTERRUPTIBILITY_STATE, 0, 4}}},
    {"an interrupt under blocking by STI",
     {{GUEST_INTERRUPTIBILITY_STATE, 0, BLOCKING_BY_STI},
      {GUEST_RFLAGS, 0, RFLAGS_IF},
      {VM_ENTRY_INTERRUPTION_INFORMATION, ALL, EVENT(0, 32)}}},
};

SELFTEST(bad_guest_other_state,
         "bad RIP, RFLAGS, activity, interruptibility or link pointer of a guest: exit reason 33") {
    check_entry_exits(bad_other_state, sizeof bad_other_state / sizeof bad_other_state[0],
                      REASON_INVALID_GUEST_STATE, QUALIFICATION_OTHER);
}

/* One self-test each: processors are known that don't check them. */
static const struct bad_entry bad_guest_debug_control[] = {
    {"debug control with a reserved bit", {{GUEST_IA32_DEBUGCTL, 0, 1ull << 40}}},
};

SELFTEST(bad_guest_debug_control, "debug control with a reserved bit: exit reason 33") {
    check_entry_exits(bad_guest_debug_control, 1, REASON_INVALID_GUEST_STATE, QUALIFICATION_OTHER);
}

static const struct bad_entry bad_guest_rip[] = {
    {"RIP not canonical", {{GUEST_RIP, ALL, NON_CANONICAL}}},
};

SELFTEST(bad_guest_rip, "RIP not canonical: exit reason 33") {
    check_entry_exits(bad_guest_rip, 1, REASON_INVALID_GUEST_STATE, QUALIFICATION_OTHER);
}

static const struct bad_entry bad_guest_halted_with_exception[] = {
    {"HLT with a #GP to deliver",
     {{GUEST_ACTIVITY_STATE, ALL, 1},
      {VM_ENTRY_INTERRUPTION_INFORMATION, ALL, EVENT(3, 13) | INTERRUPTION_ERROR_CODE_VALID}}},
};

SELFTEST(bad_guest_halted_with_exception, "HLT with a #GP to deliver: exit reason 33") {
    check_entry_exits(bad_guest_halted_with_exception, 1, REASON_INVALID_GUEST_STATE,
                      QUALIFICATION_OTHER);
}

static const struct bad_entry bad_guest_pending_debug[] = {
    {"pending debug exceptions with a reserved bit",
     {{GUEST_PENDING_DEBUG_EXCEPTIONS, 0, 1ull << 63}}},
};

SELFTEST(bad_guest_pending_debug, "pending debug exceptions with a reserved bit: exit reason 33") {
    check_entry_exits(bad_guest_pending_debug, 1, REASON_INVALID_GUEST_STATE, QUALIFICATION_OTHER);
}

static const struct bad_entry bad_nmi[] = {
    {"an NMI under blocking by MOV SS",
     {{GUEST_INTERRUPTIBILITY_STATE, 0, BLOCKING_BY_MOV_SS},
      {VM_ENTRY_INTERRUPTION_INFORMATION, ALL, EVENT(2, 2)}}},
};

SELFTEST(bad_guest_nmi, "an NMI under blocking by MOV SS: exit reason 33") {
    check_entry_exits(bad_nmi, 1, REASON_INVALID_GUEST_STATE, QUALIFICATION_OTHER);
}

SELFTEST(guest_nmi_under_sti,
         "an NMI under blocking by STI: delivered, or reason 33, qualification 3") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    vmcs_write(GUEST_RFLAGS, 2 | RFLAGS_IF);
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE, BLOCKING_BY_STI);
    vmcs_write(VM_ENTRY_INTERRUPTION_INFORMATION, EVENT(2, 2));
    struct entry_result result = enter(machine.vcpu);
    if (result.entered) { /* 27.3.1.5: processors may, or may not, demand that it is not so */
        note("this processor injects it");
    } else {
        check_equal("the exit reason", result.reason,
                    REASON_FAILED_ENTRY | REASON_INVALID_GUEST_STATE);
        check_equal("the qualification", vmcs_read(EXIT_QUALIFICATION), QUALIFICATION_NMI);
    }
    machine_destroy(&machine);
}

SELFTEST(bad_guest_link_pointer, "a bad VMCS link pointer: exit reason 33, qualification 4") {
    uint32_t *region = vmx_region_create();
    *region ^= 1;
    const struct bad_entry rows[] = {
        {"not on a page", {{VMCS_LINK_POINTER, ALL, 8}}},
        {"beyond physical addresses", {{VMCS_LINK_POINTER, ALL, 1ull << 62}}},
        {"to a region of another revision", {{VMCS_LINK_POINTER, ALL, (uint64_t)region}}},
    };
    check_entry_exits(rows, 3, REASON_INVALID_GUEST_STATE, QUALIFICATION_LINK_POINTER);
    pages_free(region, 1);
}

/* 27.4: what VM entry must not load from the MSR-load area. */
struct msr_entry {
    uint32_t index, reserved;
    uint64_t value;
};

static void check_msr_load(const char *what, struct msr_entry second) {
    struct msr_entry *area = page_allocate();
    area[0] = (struct msr_entry){(uint32_t)IA32_KERNEL_GS_BASE, 0, 0x1234};
    area[1] = second;
    const struct bad_entry row = {
        what,
        {{VM_ENTRY_MSR_LOAD_COUNT, ALL, 2}, {VM_ENTRY_MSR_LOAD_ADDRESS, ALL, (uint64_t)area}}};
    /* The qualification is the number of the entry that failed, from 1. */
    check_entry_exits(&row, 1, REASON_MSR_LOADING, 2);
    pages_free(area, 1);
}

SELFTEST(bad_msr_load_areas, "an MSR that entry can't load: exit reason 34, and which one it was") {
    check_msr_load("FS base", (struct msr_entry){(uint32_t)IA32_FS_BASE, 0, 0});
    check_msr_load("GS base", (struct msr_entry){(uint32_t)IA32_GS_BASE, 0, 0});
    check_msr_load("reserved bits", (struct msr_entry){(uint32_t)IA32_KERNEL_GS_BASE, 1, 0});
    check_msr_load("a base that is not canonical",
                   (struct msr_entry){(uint32_t)IA32_KERNEL_GS_BASE, 0, NON_CANONICAL});
    if (cpuid(1, 0).ecx & CPUID_1_ECX_X2APIC) {
        check_msr_load("an x2APIC register", (struct msr_entry){0x808, 0, 0});
    }
}

/* 27.3.1.6: under PAE paging the PDPTEs come from the VMCS, with EPT, and are checked. */
SELFTEST(bad_pdptes,
         "a PDPTE with reserved bits, under PAE paging: exit reason 33, qualification 2") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    vmcs_write(VM_ENTRY_CONTROLS, vmcs_read(VM_ENTRY_CONTROLS) & ~(uint64_t)ENTRY_IA32E_MODE_GUEST);
    vmcs_write(GUEST_IA32_EFER, 0);
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, 0xc09b);
    vmcs_write(GUEST_PDPTE1, 1 | 1 << 1); /* present, and a bit that is reserved in PDPTEs */
    struct entry_result result = enter(machine.vcpu);
    check_equal("the exit reason", result.reason, REASON_FAILED_ENTRY | REASON_INVALID_GUEST_STATE);
    check_equal("the qualification", vmcs_read(EXIT_QUALIFICATION), QUALIFICATION_PDPTE);
    vmcs_write(GUEST_PDPTE1, 0);
    result = enter(machine.vcpu); /* nothing is mapped, but the state is good */
    check(result.entered, "with good PDPTEs: error %u, exit reason 0x%x", result.error,
          result.reason);
    machine_destroy(&machine);
}
