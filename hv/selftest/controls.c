/* What VM entry must refuse before it looks at the guest: controls and host state. SDM 3C 27.2. */
#include "vmx/controls.h"
#include "selftest/bad_entry.h"
#include "selftest/bits.h"
#include "selftest/selftest.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

#define EVENT(type, vector) (INTERRUPTION_VALID | (type) << INTERRUPTION_TYPE_SHIFT | (vector))
#define INJECT(bits)        {VM_ENTRY_INTERRUPTION_INFORMATION, ALL, (bits)}

/* 27.2.1.1, in its order */
static const struct bad_entry bad_execution_controls[] = {
    {"five CR3 targets", {{CR3_TARGET_COUNT, ALL, 5}}},
    {"I/O bitmap A not on a page", {{IO_BITMAP_A, 0, 8}}},
    {"I/O bitmap B not on a page", {{IO_BITMAP_B, 0, 0x800}}},
    {"I/O bitmap A beyond physical addresses", {{IO_BITMAP_A, 0, 1ull << 63}}},
    {"MSR bitmaps not on a page", {{MSR_BITMAPS, 0, 1}}},
    {"MSR bitmaps beyond physical addresses", {{MSR_BITMAPS, 0, 1ull << 63}}},
    {"virtual-APIC page not on a page",
     {{PRIMARY_PROCESSOR_BASED_CONTROLS, 0, PRIMARY_USE_TPR_SHADOW},
      {VIRTUAL_APIC_ADDRESS, ALL, 0x200008}}},
    {"TPR threshold with reserved bits",
     {{PRIMARY_PROCESSOR_BASED_CONTROLS, 0, PRIMARY_USE_TPR_SHADOW},
      {VIRTUAL_APIC_ADDRESS, ALL, 0x200000},
      {TPR_THRESHOLD, ALL, 0x10}}},
    {"virtual NMIs without NMI exiting", {{PIN_BASED_CONTROLS, PIN_NMI_EXITING, 0}}},
    {"NMI-window exiting without virtual NMIs",
     {{PIN_BASED_CONTROLS, PIN_VIRTUAL_NMIS, 0},
      {PRIMARY_PROCESSOR_BASED_CONTROLS, 0, PRIMARY_NMI_WINDOW_EXITING}}},
    {"APIC-access page not on a page",
     {{SECONDARY_PROCESSOR_BASED_CONTROLS, 0, SECONDARY_VIRTUALIZE_APIC_ACCESSES},
      {APIC_ACCESS_ADDRESS, ALL, 8}}},
    {"x2APIC virtualization without TPR shadow",
     {{SECONDARY_PROCESSOR_BASED_CONTROLS, 0, SECONDARY_VIRTUALIZE_X2APIC}}},
    {"APIC-register virtualization without TPR shadow",
     {{SECONDARY_PROCESSOR_BASED_CONTROLS, 0, SECONDARY_APIC_REGISTERS}}},
    {"virtual-interrupt delivery without TPR shadow",
     {{SECONDARY_PROCESSOR_BASED_CONTROLS, 0, SECONDARY_VIRTUAL_INTERRUPT_DELIVERY}}},
    {"posted interrupts without virtual-interrupt delivery",
     {{PIN_BASED_CONTROLS, 0, PIN_PROCESS_POSTED_INTERRUPTS}}},
    {"EPT pointer with a reserved memory type", {{EPT_POINTER, 7, 2}}},
    {"EPT pointer with a walk of 3 levels", {{EPT_POINTER, 0x38, 2 << 3}}},
    {"EPT pointer with reserved bits", {{EPT_POINTER, 0, 0xf00}}},
    {"EPT pointer beyond physical addresses", {{EPT_POINTER, 0, 1ull << 63}}},
    {"PML address not on a page",
     {{SECONDARY_PROCESSOR_BASED_CONTROLS, 0, SECONDARY_ENABLE_PML}, {PML_ADDRESS, ALL, 8}}},
    {"a VM function that does not exist",
     {{SECONDARY_PROCESSOR_BASED_CONTROLS, 0, SECONDARY_ENABLE_VM_FUNCTIONS},
      {VM_FUNCTION_CONTROLS, ALL, 1ull << 63}}},
    {"EPTP list not on a page",
     {{SECONDARY_PROCESSOR_BASED_CONTROLS, 0, SECONDARY_ENABLE_VM_FUNCTIONS},
      {VM_FUNCTION_CONTROLS, ALL, 1},
      {EPTP_LIST_ADDRESS, ALL, 8}}},
    {"VMREAD bitmap not on a page",
     {{SECONDARY_PROCESSOR_BASED_CONTROLS, 0, SECONDARY_VMCS_SHADOWING},
      {VMREAD_BITMAP_ADDRESS, ALL, 8}}},
};

SELFTEST(bad_execution_controls, "each bad VM-execution control makes VM entry fail with error 7") {
    check_instruction_fails(bad_execution_controls,
                            sizeof bad_execution_controls / sizeof bad_execution_controls[0], 7);
}

/* 27.2.1.2 and 27.2.1.3 */
static const struct bad_entry bad_exit_and_entry_controls[] = {
    {"saving a preemption timer that is not active",
     {{PIN_BASED_CONTROLS, PIN_ACTIVATE_PREEMPTION_TIMER, 0},
      {PRIMARY_VM_EXIT_CONTROLS, 0, EXIT_SAVE_PREEMPTION_TIMER}}},
    {"exit MSR-store area misaligned",
     {{VM_EXIT_MSR_STORE_COUNT, ALL, 1}, {VM_EXIT_MSR_STORE_ADDRESS, ALL, 0x200008}}},
    {"exit MSR-load area misaligned",
     {{VM_EXIT_MSR_LOAD_COUNT, ALL, 1}, {VM_EXIT_MSR_LOAD_ADDRESS, ALL, 0x200008}}},
    {"exit MSR-load area beyond physical addresses",
     {{VM_EXIT_MSR_LOAD_COUNT, ALL, 1}, {VM_EXIT_MSR_LOAD_ADDRESS, ALL, 1ull << 63}}},
    {"entry MSR-load area misaligned",
     {{VM_ENTRY_MSR_LOAD_COUNT, ALL, 1}, {VM_ENTRY_MSR_LOAD_ADDRESS, ALL, 0x200004}}},
    {"deactivation of the dual monitor from outside of SMM",
     {{VM_ENTRY_CONTROLS, 0, ENTRY_DEACTIVATE_DUAL_MONITOR}}},
};

SELFTEST(bad_exit_and_entry_controls,
         "each bad VM-exit or VM-entry control makes it fail with error 7") {
    check_instruction_fails(
        bad_exit_and_entry_controls,
        sizeof bad_exit_and_entry_controls / sizeof bad_exit_and_entry_controls[0], 7);
}

static const struct bad_entry entry_to_smm[] = {
    {"entry to SMM from outside of SMM", {{VM_ENTRY_CONTROLS, 0, ENTRY_TO_SMM}}},
};

SELFTEST(entry_to_smm_from_outside, "the entry control for SMM makes VM entry fail with error 7") {
    check_instruction_fails(entry_to_smm, 1, 7);
}

#define ERROR_CODE INTERRUPTION_ERROR_CODE_VALID

/* 27.2.1.3, event injection. Types: 0 interrupt, 2 NMI, 3 exception, 4 software interrupt,
 * 5 privileged software exception, 6 software exception. Type 7, other event, ends Bochs. */
static const struct bad_entry bad_injections[] = {
    {"an event of the reserved type 1", {INJECT(EVENT(1, 32))}},
    {"an NMI with vector 3", {INJECT(EVENT(2, 3))}},
    {"an exception with vector 32", {INJECT(EVENT(3, 32))}},
    {"a reserved bit", {INJECT(EVENT(0, 32) | 1u << 30)}},
    {"an error code of more than 16 bits",
     {INJECT(EVENT(3, 13) | ERROR_CODE), {VM_ENTRY_EXCEPTION_ERROR_CODE, ALL, 0x10000}}},
    {"INT with an instruction of 16 bytes",
     {INJECT(EVENT(4, 0x80)), {VM_ENTRY_INSTRUCTION_LENGTH, ALL, 16}}},
    {"INT3 with an instruction of 16 bytes",
     {INJECT(EVENT(6, 3)), {VM_ENTRY_INSTRUCTION_LENGTH, ALL, 16}}},
};

SELFTEST(bad_injections, "each event that can't be injected makes VM entry fail with error 7") {
    check_instruction_fails(bad_injections, sizeof bad_injections / sizeof bad_injections[0], 7);
}

static const struct bad_entry bad_error_codes[] = {
    {"#GP without its error code", {INJECT(EVENT(3, 13))}},
    {"#UD with an error code", {INJECT(EVENT(3, 6) | ERROR_CODE)}},
};

SELFTEST(bad_error_codes,
         "an exception with the error code it does not have, or without its own: 7") {
    if (vmx_capabilities.basic & BASIC_ANY_ERROR_CODE) {
        skip("IA32_VMX_BASIC[56]: this CPU delivers any exception with or without an error code");
        return;
    }
    check_instruction_fails(bad_error_codes, 2, 7);
}

static const struct bad_entry interrupt_with_error_code[] = {
    {"an interrupt with an error code", {INJECT(EVENT(0, 32) | ERROR_CODE)}},
};

SELFTEST(interrupt_with_error_code, "an external interrupt with an error code: error 7") {
    check_instruction_fails(interrupt_with_error_code, 1, 7);
}

/* Each control word, with a bit that must be 1 cleared, then with one that must be 0 set (A.2). */
SELFTEST(control_words_within_their_limits,
         "a control bit outside of what the capability MSRs allow fails with error 7, bit by bit") {
    const struct vmx_capabilities *c = &vmx_capabilities;
    const struct {
        const char *name;
        enum vmcs_field field;
        struct vmx_control_limits limits;
    } words[] = {
        {"pin-based", PIN_BASED_CONTROLS, c->pin},
        {"primary", PRIMARY_PROCESSOR_BASED_CONTROLS, c->primary},
        {"secondary", SECONDARY_PROCESSOR_BASED_CONTROLS, c->secondary},
        {"exit", PRIMARY_VM_EXIT_CONTROLS, c->exit},
        {"entry", VM_ENTRY_CONTROLS, c->entry},
    };
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    unsigned tried = 0;
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        uint32_t required = words[i].limits.required, allowed = words[i].limits.allowed;
        uint32_t word = (uint32_t)vmcs_read(words[i].field);
        check((word & required) == required && !(word & ~allowed),
              "the product's %s controls 0x%x are outside of 0x%x and 0x%x", words[i].name, word,
              required, allowed);
        check(!(required & ~allowed), "%s: bits 0x%x are required but not allowed", words[i].name,
              required & ~allowed);
        for (unsigned bit = 0; bit < 32; bit++) {
            if ((required >> bit & 1) == (allowed >> bit & 1)) {
                vmcs_write_named(words[i].field, word ^ 1u << bit, words[i].name, "a wrong bit");
                struct entry_result result = enter(machine.vcpu);
                check(result.vm_fail && result.error == 7,
                      "%s controls with bit %u wrong: %s, error %u, exit reason 0x%x",
                      words[i].name, bit, result.vm_fail ? "fails" : "enters", result.error,
                      result.reason);
                tried++;
            }
        }
        vmcs_write_named(words[i].field, word, words[i].name, "as it was");
    }
    note("%u bits", tried);
    machine_runs_until(&machine, "all bits right", REASON_HLT);
    machine_destroy(&machine);
}

/* Host state: error 8. 27.2.2, 27.2.3, 27.2.4 */

#define NON_CANONICAL (1ull << 63)

static const struct bad_entry bad_host_states[] = {
    {"CR0 without PE", {{HOST_CR0, 1, 0}}},
    {"CR0 without NE", {{HOST_CR0, 1 << 5, 0}}},
    {"CR4 without VMXE", {{HOST_CR4, 1 << 13, 0}}},
    {"CR4 with a bit that this CPU does not have", {{HOST_CR4, 0, 1ull << 63}}},
    {"CR4 without PAE", {{HOST_CR4, 1 << 5, 0}}},
    {"CR3 beyond physical addresses", {{HOST_CR3, 0, 1ull << 60}}},
    {"SYSENTER_ESP not canonical", {{HOST_IA32_SYSENTER_ESP, ALL, NON_CANONICAL}}},
    {"SYSENTER_EIP not canonical", {{HOST_IA32_SYSENTER_EIP, ALL, NON_CANONICAL}}},
    {"PAT with a reserved type", {{HOST_IA32_PAT, 0xff, 2}}},
    {"EFER with a reserved bit", {{HOST_IA32_EFER, 0, 1ull << 1}}},
    {"EFER without LMA", {{HOST_IA32_EFER, 1 << 10, 0}}},
    {"EFER without LME", {{HOST_IA32_EFER, 1 << 8, 0}}},
    {"ES with RPL 3", {{HOST_ES_SELECTOR, 0, 3}}},
    {"CS with RPL 1", {{HOST_CS_SELECTOR, 0, 1}}},
    {"SS in the LDT", {{HOST_SS_SELECTOR, 0, 4}}},
    {"GS with RPL 3", {{HOST_GS_SELECTOR, 0, 3}}},
    {"TR with RPL 3", {{HOST_TR_SELECTOR, 0, 3}}},
    {"CS is 0", {{HOST_CS_SELECTOR, ALL, 0}}},
    {"TR is 0", {{HOST_TR_SELECTOR, ALL, 0}}},
    {"FS base not canonical", {{HOST_FS_BASE, ALL, NON_CANONICAL}}},
    {"GS base not canonical", {{HOST_GS_BASE, ALL, NON_CANONICAL}}},
    {"GDTR base not canonical", {{HOST_GDTR_BASE, ALL, NON_CANONICAL}}},
    {"IDTR base not canonical", {{HOST_IDTR_BASE, ALL, NON_CANONICAL}}},
    {"TR base not canonical", {{HOST_TR_BASE, ALL, NON_CANONICAL}}},
    {"RIP not canonical", {{HOST_RIP, ALL, NON_CANONICAL}}},
    {"a 32-bit host, from 64-bit mode",
     {{PRIMARY_VM_EXIT_CONTROLS, EXIT_HOST_ADDRESS_SPACE_SIZE, 0}}},
};

SELFTEST(bad_host_states, "each bad host-state field makes VM entry fail with error 8") {
    check_instruction_fails(bad_host_states, sizeof bad_host_states / sizeof bad_host_states[0], 8);
}
