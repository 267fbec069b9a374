/* VMCALL: a failure in root operation, an exit from the guest. SDM 3C chapter 31. */
#include "selftest/bits.h"
#include "selftest/machine.h"
#include "selftest/selftest.h"
#include "vmx/instructions.h"
#include "vmx/vmcs.h"

SELFTEST(vmcall_without_a_vmcs, "VMCALL in root operation fails invalid where no VMCS is current") {
    check_fails_invalid("VMCALL", attempt_vmcall());
}

/* With a launched VMCS: with a clear one Bochs, which takes every VMCALL for one to an SMM monitor,
 * ends ("VMCALL: not implemented yet"). */
SELFTEST(vmcall_in_root_operation, "VMCALL in root operation without an SMM monitor: error 1") {
    struct machine machine;
    machine_create(&machine, PROGRAM(vmcall));
    machine_runs_until(&machine, "the guest", REASON_VMCALL);
    check_error("VMCALL with a launched VMCS", attempt_vmcall(), 1);
    machine_destroy(&machine);
}

SELFTEST(vmcall_in_a_guest, "VMCALL in a guest exits with reason 18, and its length is 3") {
    struct machine machine;
    machine_create(&machine, PROGRAM(vmcall));
    if (machine_runs_until(&machine, "the guest", REASON_VMCALL)) {
        check_equal("the instruction's length", vmcs_read(VM_EXIT_INSTRUCTION_LENGTH), 3);
        check_equal("RAX", machine.registers->rax, 0x1234567887654321);
        machine.registers->rbx = 7;
        machine_skip(&machine);
        machine_runs_until(&machine, "after it", REASON_HLT);
        check_equal("what the guest found in RBX", machine.registers->rcx, 7);
    }
    machine_destroy(&machine);
}

/* 26.1.2: these exit whatever the controls say; the hypervisor then decides (#UD). */
SELFTEST(vmx_instructions_in_a_guest, "each VMX instruction in a guest exits with its own reason") {
    static const uint32_t reasons[] = {27, 26, 19, 21, 22, 23, 25, 20, 24, 50, 53};
    static const char *const names[] = {"VMXON",    "VMXOFF", "VMCLEAR", "VMPTRLD",
                                        "VMPTRST",  "VMREAD", "VMWRITE", "VMLAUNCH",
                                        "VMRESUME", "INVEPT", "INVVPID"};
    struct machine machine;
    machine_create(&machine, PROGRAM(vmx_instructions));
    for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (!machine_runs_until(&machine, names[i], reasons[i])) {
            break;
        }
        machine_skip(&machine);
    }
    machine_runs_until(&machine, "after all of them", REASON_HLT);
    machine_destroy(&machine);
}
