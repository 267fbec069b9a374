/* VMCLEAR, VMPTRLD and VMPTRST: which VMCS is current. SDM 3C 25.11 and chapter 31. */
#include "core/pages.h"
#include "cpu/control.h"
#include "selftest/bits.h"
#include "selftest/selftest.h"
#include "vm/virt.h"
#include "vmx/controls.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

/* A VMCS, clear and current, for errors to be written to. */
static uint64_t current_region(void) {
    uint64_t region = (uint64_t)vmx_region_create();
    check_outcome("VMCLEAR", attempt_vmclear(region), SUCCEEDED);
    check_outcome("VMPTRLD", attempt_vmptrld(region), SUCCEEDED);
    return region;
}

static void free_region(uint64_t region) {
    check_outcome("VMCLEAR at the end", attempt_vmclear(region), SUCCEEDED);
    pages_free((void *)region, 1);
}

/* VMX operation with a VMXON region that we know: the product keeps its own to itself. */
static uint64_t own_vmxon_region(void) {
    virt->stop();
    write_cr4(read_cr4() | CR4_VMXE);
    uint64_t region = (uint64_t)vmx_region_create();
    check_outcome("VMXON", attempt_vmxon(region), SUCCEEDED);
    return region;
}

static void give_up_vmxon_region(uint64_t region) {
    check_outcome("VMXOFF", attempt_vmxoff(), SUCCEEDED);
    pages_free((void *)region, 1);
    virt->start();
}

static uint64_t beyond_physical_addresses(void) {
    return 1ull << (physical_address_bits() < 52 ? physical_address_bits() : 52);
}

SELFTEST(vmclear_checks_its_address,
         "VMCLEAR of an address that no VMCS can have fails with error 2") {
    check_fails_invalid("VMCLEAR without a current VMCS", attempt_vmclear(8));
    uint64_t region = current_region();
    check_error("VMCLEAR of a misaligned address", attempt_vmclear(region + 8), 2);
    check_error("VMCLEAR beyond the physical-address width",
                attempt_vmclear(region | beyond_physical_addresses()), 2);
    check_error("VMCLEAR with bit 63", attempt_vmclear(region | 1ull << 63), 2);
    check_equal("the current VMCS", vmptrst(), region);
    free_region(region);
}

SELFTEST(vmclear_of_the_vmxon_pointer, "VMCLEAR of the VMXON pointer fails with error 3") {
    uint64_t vmxon_region = own_vmxon_region();
    check_fails_invalid("VMCLEAR without a current VMCS", attempt_vmclear(vmxon_region));
    uint64_t region = current_region();
    check_error("VMCLEAR of the VMXON pointer", attempt_vmclear(vmxon_region), 3);
    free_region(region);
    give_up_vmxon_region(vmxon_region);
}

SELFTEST(vmclear_of_the_current_vmcs, "VMCLEAR of the current VMCS leaves none current") {
    uint64_t region = current_region();
    check_equal("VMPTRST", vmptrst(), region);
    check_outcome("VMCLEAR", attempt_vmclear(region), SUCCEEDED);
    check_equal("VMPTRST after VMCLEAR", vmptrst(), ~0ull);
    check_fails_invalid("VMWRITE after VMCLEAR", attempt_vmwrite(GUEST_RIP, 1));
    free_region(region);
}

SELFTEST(vmclear_of_another_vmcs, "VMCLEAR of a VMCS that is not current leaves the current one") {
    uint64_t other = (uint64_t)vmx_region_create(), region = current_region();
    check_outcome("VMCLEAR of another", attempt_vmclear(other), SUCCEEDED);
    check_equal("VMPTRST", vmptrst(), region);
    free_region(region);
    pages_free((void *)other, 1);
}

SELFTEST(vmptrld_checks_its_address,
         "VMPTRLD of an address that no VMCS can have fails with error 9, and changes nothing") {
    check_fails_invalid("VMPTRLD without a current VMCS", attempt_vmptrld(8));
    uint64_t region = current_region();
    check_error("VMPTRLD of a misaligned address", attempt_vmptrld(region + 8), 9);
    check_error("VMPTRLD beyond the physical-address width",
                attempt_vmptrld(region | beyond_physical_addresses()), 9);
    check_equal("VMPTRST", vmptrst(), region);
    free_region(region);
}

SELFTEST(vmptrld_of_the_vmxon_pointer, "VMPTRLD of the VMXON pointer fails with error 10") {
    uint64_t vmxon_region = own_vmxon_region();
    check_fails_invalid("VMPTRLD without a current VMCS", attempt_vmptrld(vmxon_region));
    uint64_t region = current_region();
    check_error("VMPTRLD of the VMXON pointer", attempt_vmptrld(vmxon_region), 10);
    check_equal("VMPTRST", vmptrst(), region);
    free_region(region);
    give_up_vmxon_region(vmxon_region);
}

SELFTEST(vmptrld_checks_the_revision,
         "VMPTRLD of a region with another revision fails with error 11") {
    uint64_t region = current_region();
    uint32_t *other = vmx_region_create();
    *other ^= 1;
    check_error("VMPTRLD of revision ^ 1", attempt_vmptrld((uint64_t)other), 11);
    *other ^= 1;
    *other |= 1u << 31;
    bool shadowing = vmx_capabilities.secondary.allowed & SECONDARY_VMCS_SHADOWING;
    if (!shadowing) {
        /* Bit 31 makes it a shadow VMCS, which this processor does not have (25.2). */
        check_error("VMPTRLD of a shadow VMCS", attempt_vmptrld((uint64_t)other), 11);
    }
    check_equal("VMPTRST", vmptrst(), region);
    pages_free(other, 1);
    free_region(region);
}

SELFTEST(shadow_vmcs_can_not_be_entered,
         "a shadow VMCS can be loaded where there is VMCS shadowing, but VMLAUNCH fails invalid") {
    if (!(vmx_capabilities.secondary.allowed & SECONDARY_VMCS_SHADOWING)) {
        skip("this CPU has no VMCS shadowing");
        return;
    }
    uint32_t *shadow = vmx_region_create();
    *shadow |= 1u << 31;
    check_outcome("VMCLEAR", attempt_vmclear((uint64_t)shadow), SUCCEEDED);
    check_outcome("VMPTRLD", attempt_vmptrld((uint64_t)shadow), SUCCEEDED);
    check_outcome("VMWRITE", attempt_vmwrite(GUEST_RIP, 0x1234), SUCCEEDED);
    check_equal("its RIP", vmcs_read(GUEST_RIP), 0x1234);
    check_fails_invalid("VMLAUNCH", attempt_vmlaunch());
    check_fails_invalid("VMRESUME", attempt_vmresume());
    free_region((uint64_t)shadow);
}

SELFTEST(vmptrst_stores_the_current_vmcs,
         "VMPTRST stores the current VMCS, all ones where none is") {
    uint64_t stored = 1;
    check_outcome("VMPTRST", attempt_vmptrst(&stored), SUCCEEDED);
    check_equal("what it stored", stored, ~0ull);
    uint64_t region = current_region();
    check_outcome("VMPTRST", attempt_vmptrst(&stored), SUCCEEDED);
    check_equal("what it stored", stored, region);
    check_outcome("VMPTRST to page 0", attempt_vmptrst(0), FAULTED_PF);
    check_outcome("VMPTRST to read-only data", attempt_vmptrst((uint64_t *)(uint64_t)"constant"),
                  FAULTED_PF);
    free_region(region);
}

SELFTEST(each_vmcs_holds_its_own,
         "fields keep their values while another VMCS is current, or none") {
    uint64_t first = current_region();
    vmcs_write(GUEST_RIP, 0x1111);
    uint64_t second = current_region();
    vmcs_write(GUEST_RIP, 0x2222);
    check_outcome("VMPTRLD of the first", attempt_vmptrld(first), SUCCEEDED);
    check_equal("RIP in the first", vmcs_read(GUEST_RIP), 0x1111);
    check_outcome("VMCLEAR of the second", attempt_vmclear(second), SUCCEEDED);
    check_outcome("VMPTRLD of the second", attempt_vmptrld(second), SUCCEEDED);
    check_equal("RIP in the second", vmcs_read(GUEST_RIP), 0x2222);
    free_region(first);
    free_region(second);
}
