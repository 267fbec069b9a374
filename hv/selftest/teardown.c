/* Out of VMX operation with nothing left behind, and in again. SDM 3C 24.7, 25.11.3. */
#include "core/pages.h"
#include "core/string.h"
#include "cpu/control.h"
#include "selftest/bits.h"
#include "selftest/product.h"
#include "selftest/selftest.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

static void run_a_guest(void) {
    product_runs(PROGRAM(exit_42), 0);
    check_equal("the current VMCS", vmptrst(), ~0ull);
}

SELFTEST(
    teardown_leaves_nothing,
    "after VMCLEAR and VMXOFF VMX is off, all pages are back, and after VMXON a guest runs again") {
    uint64_t pages = pages_available();
    run_a_guest();
    check_equal("free pages after the first guest", pages_available(), pages);
    for (unsigned turn = 0; turn < 2; turn++) {
        virt->stop();
        check_equal("CR4.VMXE", read_cr4() & CR4_VMXE, 0);
        check_outcome("VMXOFF", attempt_vmxoff(), FAULTED_UD);
        virt->start();
        check_equal("the current VMCS", vmptrst(), ~0ull);
        run_a_guest();
        check_equal("free pages", pages_available(), pages);
    }
}

SELFTEST(teardown_clears_the_vmcs,
         "a destroyed vCPU's VMCS is cleared: its launch state is not launched") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    machine_runs_until(&machine, "the guest", REASON_HLT);
    uint64_t region = (uint64_t)machine.vcpu->vmcs;
    static uint8_t copy[PAGE_SIZE];
    machine_destroy(&machine);
    /* The page is free, but nobody has taken it yet: what VMCLEAR wrote back is there. */
    memcpy(copy, (const void *)region, PAGE_SIZE);
    uint8_t *again = (uint8_t *)vmx_region_create();
    memcpy(again, copy, PAGE_SIZE);
    if (*(uint32_t *)again == ((uint32_t)vmx_capabilities.basic & 0x7fffffff)) {
        check_outcome("VMPTRLD", attempt_vmptrld((uint64_t)again), SUCCEEDED);
        check_error("VMRESUME", attempt_vmresume(), 5);
        check_outcome("VMCLEAR", attempt_vmclear((uint64_t)again), SUCCEEDED);
    } else {
        note("the page was wiped");
    }
    pages_free(again, 1);
}

SELFTEST(two_guests_take_turns,
         "two vCPUs on one processor, each entered by its own VMCS, in turn") {
    struct machine first, second;
    machine_create(&first, PROGRAM(count));
    machine_create(&second, PROGRAM(count));
    for (unsigned turn = 0; turn < 4; turn++) {
        check_outcome("VMPTRLD", attempt_vmptrld((uint64_t)first.vcpu->vmcs), SUCCEEDED);
        machine_runs_until(&first, "the first", REASON_HLT);
        machine_skip(&first);
        check_outcome("VMPTRLD", attempt_vmptrld((uint64_t)second.vcpu->vmcs), SUCCEEDED);
        machine_runs_until(&second, "the second", REASON_HLT);
        machine_skip(&second);
    }
    check_equal("what the first counted", first.registers->rax, 3);
    check_equal("what the second counted", second.registers->rax, 3);
    check(first.vcpu->vpid == 0 || first.vcpu->vpid != second.vcpu->vpid, "both have VPID %u",
          first.vcpu->vpid);
    machine_destroy(&first);
    machine_destroy(&second);
}
