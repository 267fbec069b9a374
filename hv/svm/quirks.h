/* Where this processor's AMD-V does otherwise than the manual says: tried, once, at the start. */
#pragma once

#include <stdbool.h>

struct svm_quirks {
    /* 15.21.4: V_IRQ is taken where RFLAGS.IF is 1. Bochs 2.7 takes it only if the guest sets IF. */
    bool virtual_interrupts_need_sti;
    /* 15.21.1: under V_INTR_MASKING a physical interrupt exits whatever the guest's RFLAGS.IF is.
     * In Bochs 2.7 it does not while that has been 0 since VMRUN. */
    bool interrupts_off_hold_exits;
    /* 15.12.2: at an intercepted #DB DR6 is what a handler would see. Bochs 2.7 loses what it was. */
    bool debug_exits_lose_dr6;
    /* 15.6: the guest's traps stay behind. From Bochs 2.7 its single-step trap comes at STGI, on us. */
    bool single_steps_follow_exits;
    /* APM 2 3.1.2: reserved bits in CR3 are #GP. QEMU's TCG takes them, and VMRUN would refuse them. */
    bool cr3_unchecked;
    /* 3.1.4: so they are in CR8. QEMU's TCG takes those too, and QEMU 7.2 aborts at a write while V_IRQ
     * is set. */
    bool cr8_unchecked;
};

/* Valid after svm_quirks_try, which needs AMD-V on and the local APIC's timer off. */
extern struct svm_quirks svm_quirks;
void svm_quirks_try(void);
