#include "vmx/skip.h"

uint64_t vmx_wrapped(struct vmx_vcpu *vcpu, uint64_t rip) {
    return vcpu_in_64_bit_mode(&vcpu->vcpu) ? rip : (uint32_t)rip;
}

/* RF, which held an instruction breakpoint back (SDM 3B 18.3.1.1) and which an EPT violation saves as 1
 * (28.3.3), is over; and a guest that single-steps gets its trap, beside what MOV SS may have held back
 * (25.4.2, pending debug exceptions). */
void vmx_skip_debugged(uint64_t flags) {
    enum { PENDING_BS = 1 << 14 };
    vmcs_write(GUEST_RFLAGS, flags & ~(uint64_t)SKIP_RFLAGS_RF);
    if (flags & SKIP_RFLAGS_TF) {
        vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS,
                   vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_BS);
    }
}
