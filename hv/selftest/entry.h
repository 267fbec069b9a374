/* One VM entry with its result, for self-tests: the exit does not go to a handler but comes back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmx/vcpu.h"

struct entry_result {
    bool vm_fail; /* VMLAUNCH or VMRESUME failed as an instruction: `flags` and `error` say how */
    bool entered; /* the guest ran; false with bit 31 of `reason` set: its state was refused */
    uint32_t reason; /* EXIT_REASON with its bit 31; 0 after vm_fail */
    uint32_t error;  /* VM_INSTRUCTION_ERROR; 0 after VMfailInvalid */
    uint64_t flags;  /* RFLAGS after the instruction that failed */
};

/* Enters the current VMCS as it stands, by VMLAUNCH or VMRESUME as vcpu->launched says. */
struct entry_result enter(struct vmx_vcpu *vcpu);

/* Likewise, with MOV SS right before the instruction (27.1, error 26). */
struct entry_result enter_after_mov_ss(struct vmx_vcpu *vcpu);

/* What `enter` makes HOST_RIP. */
extern const char entry_exit_point[];
