/* VMLAUNCH and VMRESUME: launch state, and the failures that no field is to blame for. SDM 3C 27.1. */
#include "selftest/bad_entry.h"
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "vm/virt.h"
#include "vmx/instructions.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

SELFTEST(entries_need_a_vmcs, "VMLAUNCH and VMRESUME fail invalid where no VMCS is current") {
    check_fails_invalid("VMLAUNCH", attempt_vmlaunch());
    check_fails_invalid("VMRESUME", attempt_vmresume());
}

SELFTEST(vmlaunch_enters_once_and_vmresume_follows,
         "VMLAUNCH of a launched VMCS fails with error 4, VMRESUME of a clear one with error 5") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    struct vmx_vcpu *vcpu = machine.vcpu;
    vcpu->launched = true; /* a lie, which makes `enter` choose VMRESUME */
    check_entry_error("VMRESUME of a clear VMCS", enter(vcpu), 5);
    vcpu->launched = false;
    machine_runs_until(&machine, "VMLAUNCH", REASON_HLT);
    check_equal("launched", vcpu->launched, true);
    machine_skip(&machine);
    vcpu->launched = false;
    check_entry_error("VMLAUNCH of a launched VMCS", enter(vcpu), 4);
    vcpu->launched = true;
    machine_runs_until(&machine, "VMRESUME", REASON_HLT);
    check_equal("how often the guest ran on", machine.registers->rax, 1);
    machine_destroy(&machine);
}

SELFTEST(vmclear_makes_vmlaunch_right_again,
         "after VMCLEAR a launched VMCS is entered by VMLAUNCH") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    machine_runs_until(&machine, "VMLAUNCH", REASON_HLT);
    machine_skip(&machine);
    uint64_t region = (uint64_t)machine.vcpu->vmcs;
    check_outcome("VMCLEAR", attempt_vmclear(region), SUCCEEDED);
    check_outcome("VMPTRLD", attempt_vmptrld(region), SUCCEEDED);
    check_entry_error("VMRESUME", enter(machine.vcpu), 5);
    machine.vcpu->launched = false;
    machine_runs_until(&machine, "VMLAUNCH", REASON_HLT);
    check_equal("how often the guest ran on", machine.registers->rax, 1);
    machine_destroy(&machine);
}

SELFTEST(events_blocked_by_mov_ss, "VMLAUNCH and VMRESUME right after MOV SS fail with error 26") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    check_entry_error("VMLAUNCH", enter_after_mov_ss(machine.vcpu), 26);
    machine_runs_until(&machine, "VMLAUNCH without it", REASON_HLT);
    machine_skip(&machine);
    check_entry_error("VMRESUME", enter_after_mov_ss(machine.vcpu), 26);
    machine_runs_until(&machine, "VMRESUME without it", REASON_HLT);
    machine_destroy(&machine);
}

SELFTEST(vmresume_after_vmxoff,
         "a VMCS that was not cleared before VMXOFF: VMRESUME fails with 5 or 6, or still enters") {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    machine_runs_until(&machine, "VMLAUNCH", REASON_HLT);
    machine_skip(&machine);
    virt->stop();
    virt->start();
    check_equal("VMPTRST after VMXON", vmptrst(), ~0ull);
    check_fails_invalid("VMRESUME after VMXON", attempt_vmresume());
    uint64_t region = (uint64_t)machine.vcpu->vmcs;
    check_outcome("VMPTRLD", attempt_vmptrld(region), SUCCEEDED);
    struct entry_result result = enter(machine.vcpu);
    if (result.vm_fail) {
        check(result.error == 5 || result.error == 6, "VMRESUME: error %u", result.error);
        note("VMRESUME failed with error %u", result.error);
    } else {
        note("VMRESUME entered: this processor keeps a VMCS as it was over VMXOFF");
    }
    machine_destroy(&machine);
}
