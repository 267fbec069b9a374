/* VMXON and VMXOFF: into VMX operation and out of it. SDM 3C 24.6 to 24.8 and chapter 31. */
#include "vmx/operation.h"
#include "core/pages.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "selftest/bits.h"
#include "selftest/selftest.h"
#include "vm/virt.h"
#include "vmx/instructions.h"

unsigned physical_address_bits(void) {
    return cpuid(0x80000008, 0).eax & 0xff;
}

static void check_all_but_vmxon_are_undefined(const char *where) {
    static uint64_t operand[2];
    const struct {
        const char *name;
        enum outcome outcome;
    } attempts[] = {
        {"VMXOFF", attempt_vmxoff()},
        {"VMCLEAR", attempt_vmclear(0)},
        {"VMPTRLD", attempt_vmptrld(0)},
        {"VMPTRST", attempt_vmptrst(operand)},
        {"VMREAD", attempt_vmread(GUEST_RIP, operand)},
        {"VMWRITE", attempt_vmwrite(GUEST_RIP, 0)},
        {"VMCALL", attempt_vmcall()},
        {"VMLAUNCH", attempt_vmlaunch()},
        {"VMRESUME", attempt_vmresume()},
        {"INVEPT", attempt_invept(2, operand)},
        {"INVVPID", attempt_invvpid(2, operand)},
        {"VMFUNC", attempt_vmfunc()},
    };
    for (unsigned i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        check(attempts[i].outcome == FAULTED_UD, "%s %s: outcome 0x%x, not #UD", attempts[i].name,
              where, attempts[i].outcome);
    }
}

SELFTEST(
    vmx_instructions_need_vmx_operation,
    "outside VMX operation all thirteen instructions are #UD, but VMXON once CR4.VMXE is set") {
    virt->stop();
    check_outcome("VMXON with CR4.VMXE clear", attempt_vmxon(0), FAULTED_UD);
    check_all_but_vmxon_are_undefined("with CR4.VMXE clear");
    write_cr4(read_cr4() | CR4_VMXE);
    check_all_but_vmxon_are_undefined("with CR4.VMXE set, before VMXON");
    virt->start();
}

SELFTEST(vmxon_needs_feature_control_locked,
         "VMXON is #GP(0) while IA32_FEATURE_CONTROL is not locked") {
    if (!feature_control_was_unlocked) {
        skip("firmware had locked IA32_FEATURE_CONTROL before this image began");
        return;
    }
    check_outcome("VMXON", vmxon_while_unlocked, FAULTED_GP);
}

/* A region as VMXON and VMPTRLD want it, and VMX operation off but for CR4.VMXE. */
static uint64_t region_outside(void) {
    virt->stop();
    write_cr4(read_cr4() | CR4_VMXE);
    return (uint64_t)vmx_region_create();
}

SELFTEST(vmxon_checks_control_registers,
         "VMXON is #GP(0) where CR0 has a bit clear that VMX fixes") {
    uint64_t region = region_outside(), cr0 = read_cr0();
    if (vmx_capabilities.cr0_required & CR0_NE) {
        write_cr0(cr0 & ~(uint64_t)CR0_NE);
        check_outcome("VMXON with CR0.NE clear", attempt_vmxon(region), FAULTED_GP);
        check_equal("the error code", fault_error_code, 0);
        write_cr0(cr0);
    }
    pages_free((void *)region, 1);
    virt->start();
}

SELFTEST(
    vmxon_checks_its_region,
    "VMXON fails with VMfailInvalid for a bad address or a wrong revision, and enters nothing") {
    uint64_t region = region_outside();
    uint32_t *revision = (uint32_t *)region, good = *revision;
    check_fails_invalid("VMXON of a misaligned address", attempt_vmxon(region + 8));
    if (physical_address_bits() < 52) {
        uint64_t beyond = 1ull << physical_address_bits();
        check_fails_invalid("VMXON beyond the physical-address width",
                            attempt_vmxon(region | beyond));
    }
    check_fails_invalid("VMXON of an address with bit 63", attempt_vmxon(region | 1ull << 63));
    *revision = good ^ 1;
    check_fails_invalid("VMXON with a wrong revision", attempt_vmxon(region));
    *revision = good | 1u << 31;
    check_fails_invalid("VMXON with bit 31 of the revision set", attempt_vmxon(region));
    *revision = good;
    check_all_but_vmxon_are_undefined("after VMXONs that failed");
    check_outcome("VMXON with all of that right", attempt_vmxon(region), SUCCEEDED);
    check_outcome("VMXOFF", attempt_vmxoff(), SUCCEEDED);
    pages_free((void *)region, 1);
    virt->start();
}

SELFTEST(vmxon_reads_its_operand, "VMXON with an operand that is not mapped is #PF") {
    virt->stop();
    write_cr4(read_cr4() | CR4_VMXE);
    check_outcome("VMXON [0]", attempt_vmxon_at(0), FAULTED_PF);
    check_outcome("VMXON [non-canonical]", attempt_vmxon_at((uint64_t *)(1ull << 63)), FAULTED_GP);
    virt->start();
}

SELFTEST(vmxon_in_vmx_operation,
         "VMXON in VMX operation fails: VMfailInvalid without a current VMCS, error 15 with one") {
    uint64_t region = (uint64_t)vmx_region_create();
    check_fails_invalid("VMXON without a current VMCS", attempt_vmxon(region));
    check_outcome("VMCLEAR", attempt_vmclear(region), SUCCEEDED);
    check_outcome("VMPTRLD", attempt_vmptrld(region), SUCCEEDED);
    check_error("VMXON with a current VMCS", attempt_vmxon(region), 15);
    check_outcome("VMCLEAR", attempt_vmclear(region), SUCCEEDED);
    pages_free((void *)region, 1);
}

SELFTEST(vmx_operation_holds_control_registers,
         "in VMX operation a MOV that changes a fixed bit of CR0 or CR4 is #GP(0)") {
    check_outcome("MOV that clears CR4.VMXE", attempt_write_cr4(read_cr4() & ~(uint64_t)CR4_VMXE),
                  FAULTED_GP);
    uint64_t cr0 = read_cr0();
    for (unsigned bit = 0; bit < 32; bit++) {
        /* PG and PE depend on other bits too, and NW on CD: they would prove nothing. */
        uint64_t value = cr0 & ~(1ull << bit);
        if (vmx_capabilities.cr0_required >> bit & 1 && bit != 0 && bit != 31) {
            check(attempt_write_cr0(value) == FAULTED_GP, "CR0 bit %u could be cleared", bit);
        }
    }
    check_equal("CR0 after it", read_cr0(), cr0);
}

SELFTEST(vmxoff_leaves_vmx_operation,
         "after VMXOFF a second one is #UD, and CR4.VMXE can be cleared") {
    uint64_t region = region_outside();
    check_outcome("VMXON", attempt_vmxon(region), SUCCEEDED);
    check_outcome("VMXOFF", attempt_vmxoff(), SUCCEEDED);
    check_outcome("VMXOFF again", attempt_vmxoff(), FAULTED_UD);
    check_outcome("MOV that clears CR4.VMXE", attempt_write_cr4(read_cr4() & ~(uint64_t)CR4_VMXE),
                  SUCCEEDED);
    pages_free((void *)region, 1);
    virt->start();
}
