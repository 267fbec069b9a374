/*
 * A guest's #DB exits so that a breakpoint on the stack of its own handler can't keep the processor inside
 * deliveries for ever (CVE-2015-8104). DR6 and DR7 are then what the handler sees (15.12.2): but where the
 * processor loses what the #DB was (svm/quirks.h), it is worked out here, as far as that can be.
 */
#include "svm/quirks.h"
#include "svm/vcpu.h"
#include "vm/guest_memory.h"

/* APM 2 13.1.1.3 and 13.1.1.4 */
enum {
    DR6_BREAKPOINTS = 0xf,
    DR6_BD = 1 << 13,
    DR6_BS = 1 << 14,
    DR7_GD = 1 << 13,
    RFLAGS_TF = 1 << 8,
    BREAKPOINTS = 4,
};

static bool is_enabled(uint64_t dr7, unsigned breakpoint) {
    return dr7 >> 2 * breakpoint & 3; /* for this task or for all */
}

static bool is_on_execution(uint64_t dr7, unsigned breakpoint) {
    return !(dr7 >> (16 + 4 * breakpoint) & 3);
}

static bool at_mov_dr(struct svm_vcpu *vcpu) {
    enum { ESCAPE = 0x0f, MOV_FROM_DR = 0x21, MOV_TO_DR = 0x23 };
    uint8_t bytes[2];
    enum decode_mode mode = guest_decode_mode(&vcpu->vcpu);
    return guest_fetch(&vcpu->vcpu, mode, bytes, sizeof bytes) == sizeof bytes &&
           bytes[0] == ESCAPE && (bytes[1] == MOV_FROM_DR || bytes[1] == MOV_TO_DR);
}

/* An instruction breakpoint where RIP is, or a general detect; else a single step if there is one; else
 * it was data, and which one of several can't be told. */
static uint64_t causes(struct svm_vcpu *vcpu) {
    const struct vmcb_state *state = &vcpu->vmcb->state;
    uint64_t dr[BREAKPOINTS], at_rip = 0, data = 0;
    asm volatile("mov %%dr0, %0" : "=r"(dr[0]));
    asm volatile("mov %%dr1, %0" : "=r"(dr[1]));
    asm volatile("mov %%dr2, %0" : "=r"(dr[2]));
    asm volatile("mov %%dr3, %0" : "=r"(dr[3]));
    uint64_t base = vcpu_in_64_bit_mode(&vcpu->vcpu) ? 0 : state->cs.base;
    for (unsigned i = 0; i < BREAKPOINTS; i++) {
        if (is_enabled(state->dr7, i) && !is_on_execution(state->dr7, i)) {
            data |= 1u << i;
        } else if (is_enabled(state->dr7, i) && dr[i] == state->rip + base) {
            at_rip |= 1u << i;
        }
    }
    if (at_rip) {
        return at_rip;
    }
    if (state->dr7 & DR7_GD && at_mov_dr(vcpu)) {
        return DR6_BD;
    }
    return state->rflags & RFLAGS_TF || !data ? DR6_BS : data; /* the step may have cleared TF */
}

void svm_complete_debug_exception(struct svm_vcpu *vcpu) {
    struct vmcb_state *state = &vcpu->vmcb->state;
    if (svm_quirks.debug_exits_lose_dr6) {
        state->dr6 = (state->dr6 & ~(uint64_t)DR6_BREAKPOINTS) | causes(vcpu);
        state->dr7 &= ~(uint64_t)DR7_GD;
    }
}
