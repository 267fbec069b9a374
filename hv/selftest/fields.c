/* VMREAD and VMWRITE, and which fields there are. SDM 3C 25.11.2, chapter 31; 3D appendix B. */
#include "core/format.h"
#include "core/pages.h"
#include "core/records.h"
#include "selftest/bits.h"
#include "selftest/selftest.h"
#include "vmx/controls.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

enum { UNSUPPORTED_FIELD = 0x6ffe, READ_ONLY = 1, WIDTHS = 4, TYPES = 4, INDICES = 512 };

static uint64_t current_region(void) {
    uint64_t region = (uint64_t)vmx_region_create();
    check_outcome("VMCLEAR", attempt_vmclear(region), SUCCEEDED);
    check_outcome("VMPTRLD", attempt_vmptrld(region), SUCCEEDED);
    return region;
}

static void free_region(uint64_t region) {
    check_outcome("VMCLEAR", attempt_vmclear(region), SUCCEEDED);
    pages_free((void *)region, 1);
}

SELFTEST(vmread_and_vmwrite_need_a_vmcs,
         "VMREAD and VMWRITE fail invalid where no VMCS is current") {
    uint64_t value;
    check_fails_invalid("VMREAD", attempt_vmread(GUEST_RIP, &value));
    check_fails_invalid("VMWRITE", attempt_vmwrite(GUEST_RIP, 0));
    check_fails_invalid("VMREAD of a field that does not exist",
                        attempt_vmread(UNSUPPORTED_FIELD, &value));
}

SELFTEST(vmread_and_vmwrite_of_unsupported_fields,
         "VMREAD and VMWRITE of a field that does not exist fail with error 12") {
    uint64_t region = current_region(), value = 77;
    check_error("VMREAD", attempt_vmread(UNSUPPORTED_FIELD, &value), 12);
    check_equal("VMREAD's destination", value, 77);
    check_error("VMWRITE", attempt_vmwrite(UNSUPPORTED_FIELD, 0), 12);
    check_error("VMREAD of an encoding above 32 bits",
                attempt_vmread(1ull << 32 | GUEST_RIP, &value), 12);
    check_error("VMREAD of an encoding with bit 15", attempt_vmread(1u << 15 | GUEST_RIP, &value),
                12);
    check_error("VMREAD of the upper half of a natural-width field",
                attempt_vmread(GUEST_RIP | 1, &value), 12);
    free_region(region);
}

SELFTEST(vmwrite_to_read_only_fields,
         "VMWRITE to an exit-information field fails with error 13, where IA32_VMX_MISC[29] is 0") {
    uint64_t region = current_region(), value;
    enum outcome outcome = attempt_vmwrite(EXIT_QUALIFICATION, 0x1234);
    if (vmx_capabilities.misc & MISC_WRITES_READ_ONLY_FIELDS) {
        check_outcome("VMWRITE", outcome, SUCCEEDED);
        check_outcome("VMREAD", attempt_vmread(EXIT_QUALIFICATION, &value), SUCCEEDED);
        check_equal("the exit qualification", value, 0x1234);
        note("IA32_VMX_MISC[29] is 1: read-only fields can be written");
    } else {
        check_error("VMWRITE", outcome, 13);
    }
    free_region(region);
}

SELFTEST(vmread_and_vmwrite_use_their_memory_operands,
         "VMREAD to a page that is read-only is #PF and reads nothing") {
    uint64_t region = current_region();
    check_outcome("VMREAD to page 0", attempt_vmread(GUEST_RIP, 0), FAULTED_PF);
    free_region(region);
}

static uint64_t width_mask(unsigned width) {
    return width == 0 ? 0xffff : width == 2 ? 0xffffffff : ~0ull;
}

/* Access rights have reserved bits, which a processor need not keep (25.4.1). */
static uint64_t kept_bits(unsigned encoding) {
    bool rights = encoding >= GUEST_ES_ACCESS_RIGHTS && encoding <= GUEST_TR_ACCESS_RIGHTS;
    return width_mask(encoding >> 13 & 3) & (rights ? 0x1f0ff : ~0ull);
}

static void write_and_read_back(unsigned encoding, uint64_t pattern) {
    uint64_t value = 0, kept = kept_bits(encoding);
    enum outcome outcome = attempt_vmwrite(encoding, pattern);
    check(outcome == SUCCEEDED && attempt_vmread(encoding, &value) == SUCCEEDED &&
              (value & kept) == (pattern & kept),
          "field 0x%04x: wrote 0x%lx, read 0x%lx (outcome %u)", encoding, pattern, value, outcome);
    check(!(value & ~width_mask(encoding >> 13 & 3)), "field 0x%04x reads 0x%lx: wider than it is",
          encoding, value);
}

/* Also says which there are: tests/boot/test_selftest.py looks that vmx/fields.h names each. */
SELFTEST(
    every_field_can_be_written_and_read,
    "each VMCS field of this CPU keeps what is written, in its width, and both halves of 64 bits") {
    uint64_t region = current_region(), value;
    unsigned count = 0;
    record_begin("vmcs-fields");
    record_open_list("encodings");
    for (unsigned high = 0; high < WIDTHS * TYPES; high++) {
        for (unsigned index = 0; index < INDICES; index++) {
            unsigned width = high / TYPES, type = high % TYPES;
            unsigned encoding = width << 13 | type << 10 | index << 1;
            if (attempt_vmread(encoding, &value) != SUCCEEDED) {
                check(attempt_vmwrite(encoding, 0) != SUCCEEDED,
                      "field 0x%04x can be written, but not read", encoding);
                continue;
            }
            record_number(0, encoding);
            count++;
            if (type == READ_ONLY) {
                continue;
            }
            write_and_read_back(encoding, 0x5aa55aa5a55aa55aull);
            write_and_read_back(encoding, ~0ull);
            if (width == 1) {
                write_and_read_back(encoding, 0x1122334455667788ull);
                check(attempt_vmread(encoding | 1, &value) == SUCCEEDED && value == 0x11223344,
                      "field 0x%04x: its upper half reads 0x%lx", encoding, value);
                check(attempt_vmwrite(encoding | 1, 0x99aabbcc) == SUCCEEDED &&
                          attempt_vmread(encoding, &value) == SUCCEEDED &&
                          value == 0x99aabbcc55667788ull,
                      "field 0x%04x: after a write of its upper half it reads 0x%lx", encoding,
                      value);
            }
        }
    }
    record_close();
    record_end();
    check(count > 100, "there are only %u fields", count);
    note("%u fields", count);
    free_region(region);
}

SELFTEST(fields_come_with_their_controls,
         "a field that serves a control exists if and only if the control may be set") {
    const struct vmx_capabilities *c = &vmx_capabilities;
    uint32_t second = c->secondary.allowed;
    const struct {
        enum vmcs_field field;
        bool expected;
    } rows[] = {
        {VIRTUAL_PROCESSOR_IDENTIFIER, second & SECONDARY_ENABLE_VPID},
        {POSTED_INTERRUPT_NOTIFICATION_VECTOR, c->pin.allowed & PIN_PROCESS_POSTED_INTERRUPTS},
        {MSR_BITMAPS, c->primary.allowed & PRIMARY_USE_MSR_BITMAPS},
        {EPT_POINTER, second & SECONDARY_ENABLE_EPT},
        {GUEST_PHYSICAL_ADDRESS, second & SECONDARY_ENABLE_EPT},
        {GUEST_PDPTE0, second & SECONDARY_ENABLE_EPT},
        {VM_FUNCTION_CONTROLS, second & SECONDARY_ENABLE_VM_FUNCTIONS},
        {VMREAD_BITMAP_ADDRESS, second & SECONDARY_VMCS_SHADOWING},
        {PML_ADDRESS, second & SECONDARY_ENABLE_PML},
        {PML_INDEX, second & SECONDARY_ENABLE_PML},
        {TSC_MULTIPLIER, second & SECONDARY_TSC_SCALING},
        {EOI_EXIT_BITMAP_0, second & SECONDARY_VIRTUAL_INTERRUPT_DELIVERY},
        {GUEST_INTERRUPT_STATUS, second & SECONDARY_VIRTUAL_INTERRUPT_DELIVERY},
        {VMX_PREEMPTION_TIMER_VALUE, c->pin.allowed & PIN_ACTIVATE_PREEMPTION_TIMER},
        {GUEST_IA32_PAT, c->entry.allowed & ENTRY_LOAD_IA32_PAT},
        {GUEST_IA32_EFER, c->entry.allowed & ENTRY_LOAD_IA32_EFER},
        {HOST_IA32_EFER, c->exit.allowed & EXIT_LOAD_IA32_EFER},
    };
    uint64_t region = current_region(), value;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool found = attempt_vmread(rows[i].field, &value) == SUCCEEDED;
        check(found == rows[i].expected, "field 0x%04x %s, although its control %s", rows[i].field,
              found ? "exists" : "does not exist", rows[i].expected ? "may be set" : "may not");
    }
    free_region(region);
}
