/* The guest's instruction is over without its processor having executed it: on to the next one. */
#pragma once

#include "vmx/controls.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

enum { SKIP_RFLAGS_TF = 1 << 8, SKIP_RFLAGS_RF = 1 << 16 };

/* skip.c: what is rare. A RIP above 4 GiB is one in 64-bit mode only: EIP wraps around. */
uint64_t vmx_wrapped(struct vmx_vcpu *vcpu, uint64_t rip);

/* skip.c: the guest is debugged, by itself. */
void vmx_skip_debugged(uint64_t flags);

/* The next one is at `rip`. What is rare costs one look each: this is part of most exits. */
static inline void vmx_skip_to(struct vmx_vcpu *vcpu, uint64_t rip) {
    const uint64_t shadow = BLOCKING_BY_STI | BLOCKING_BY_MOV_SS;
    if (__builtin_expect(rip >> 32 != 0, 0)) {
        rip = vmx_wrapped(vcpu, rip);
    }
    vmcs_write(GUEST_RIP, rip);
    /* The shadow of an STI or MOV SS before it is over too. */
    uint64_t state = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
    if (__builtin_expect(state & shadow, 0)) {
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE, state & ~shadow);
    }
    uint64_t flags = vmcs_read(GUEST_RFLAGS);
    if (__builtin_expect(flags & (SKIP_RFLAGS_RF | SKIP_RFLAGS_TF), 0)) {
        vmx_skip_debugged(flags);
    }
}
