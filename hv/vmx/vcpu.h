/* A vCPU under VT-x: the common part, its VMCS, and what entry.S needs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/vcpu.h"

struct vmx_vcpu {
    struct vcpu vcpu;  /* first, and its registers first in it */
    void *host_stack;  /* where entry.S left the hypervisor's stack */
    bool launched;     /* VMLAUNCH once, VMRESUME after (SDM 3C 25.11.3) */
    bool failed_entry; /* the last VMLAUNCH or VMRESUME did not enter the guest */
    uint32_t entry_error;
    void *vmcs;
};

/* entry.S: enters the guest, and comes back when vmx_leave is called for it. */
void vmx_enter(struct vmx_vcpu *vcpu);
_Noreturn void vmx_leave(void *host_stack);

/* entry.S: where every VM exit arrives; goes into HOST_RIP. */
extern const char vmx_exit_entry[];

/* exit.c, called by entry.S. Both return the registers to run on with, or call vmx_leave. */
struct guest_registers *vmx_exited(struct vmx_vcpu *vcpu);
struct guest_registers *vmx_entry_failed(struct vmx_vcpu *vcpu);

void vmx_vmcs_set_up(struct vmx_vcpu *vcpu, const struct vcpu_start *start, uint64_t ept_pointer);
