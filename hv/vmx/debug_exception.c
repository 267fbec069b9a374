/*
 * A guest's #DB exits so that a breakpoint on the stack of its own handler can't keep the processor
 * inside deliveries for ever (CVE-2015-8104). Such an exit comes before DR6 and DR7 change (28.1), and
 * injecting the exception changes neither (27.6.1): so that is done here.
 */
#include "vmx/debug_exception.h"

#include "vmx/controls.h"
#include "vmx/vmcs.h"

/* SDM 3B 18.2.3; table 28-1 has the causes at the same places. */
#define DR6_BREAKPOINTS 0xfull
#define DR6_CAUSES      (DR6_BREAKPOINTS | 1 << 13 /* BD */ | 1 << 14 /* BS */)
#define DR7_GD          (1ull << 13)
#define RFLAGS_TF       (1ull << 8)
#define PENDING_BS      (1ull << 14)

void debug_exception_complete(void) {
    uint64_t dr6;
    asm volatile("mov %%dr6, %0" : "=r"(dr6));
    /* B0 to B3 are set anew each time; nothing but software clears BD and BS. */
    dr6 = (dr6 & ~DR6_BREAKPOINTS) | (vmcs_read(EXIT_QUALIFICATION) & DR6_CAUSES);
    asm volatile("mov %0, %%dr6" : : "r"(dr6));

    uint64_t dr7 = vmcs_read(GUEST_DR7);
    if (dr7 & DR7_GD) {
        vmcs_write(GUEST_DR7, dr7 & ~DR7_GD); /* the handler may use debug registers */
    }

    /* 27.3.1.5: single-stepping behind STI or MOV SS means that BS is pending, or entry fails. The
     * injected event discards it (27.7.3). */
    uint64_t shadow =
        vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS);
    if (shadow && vmcs_read(GUEST_RFLAGS) & RFLAGS_TF) {
        vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS,
                   vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_BS);
    }
}
