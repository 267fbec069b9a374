/* A vCPU under AMD-V: the common part, its VMCB, and what entry.S needs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "svm/vmcb.h"
#include "vm/vcpu.h"

struct svm_vcpu {
    struct vcpu vcpu; /* first, and its registers first in it */
    struct vmcb *vmcb;
    uint64_t generation;   /* of its ASID: asid.h */
    uint64_t cr4;          /* as the guest sees it */
    bool lme;              /* EFER.LME, likewise */
    unsigned length;       /* of the instruction that control_access.c has decoded */
    const char *violation; /* what VMRUN was going to find wrong with the VMCB, or NULL */

    bool window; /* inject.c: V_IRQ stands for no interrupt, its exit is awaited */

    /* inject.c: one instruction of the guest is stepped over, to get an exit behind it */
    bool in_nmi;   /* until its IRET */
    bool stepping; /* RFLAGS.TF is ours, */
    bool guest_tf; /* and this is what the guest had there */
    bool stepping_iret;
    bool step_shadowed; /* the instruction at step_rip is in the shadow of STI or MOV SS */
    uint64_t step_rip;
};

static inline struct svm_vcpu *svm_vcpu(struct vcpu *vcpu) {
    return (struct svm_vcpu *)vcpu;
}

/* Holds interrupts, NMIs and machine checks back: they strike at STGI, or in the guest, which they end. */
static inline void svm_clear_gif(void) {
    asm volatile("clgi" : : : "memory");
}

/* entry.S: enters the guest, and returns behind its exit. With GIF 0; sets it. */
void svm_vmrun(struct svm_vcpu *vcpu);

/* exit.c: exit after exit, until vm/ wants the processor back. */
void svm_run(struct svm_vcpu *vcpu);

/* inject.c: what must be right before every entry: events and the exits to wait for. */
void svm_prepare_entry(struct svm_vcpu *vcpu);

/* inject.c: events that the guest has not seen, or not seen to the end, go back to vcpu->events. */
void svm_keep_undelivered_events(struct svm_vcpu *vcpu);

/* debug_exception.c: a #DB has exited; DR6 becomes what the guest is to see. */
void svm_complete_debug_exception(struct svm_vcpu *vcpu);

/* inject.c: the intercepted IRET is about to run. */
void svm_at_iret(struct svm_vcpu *vcpu);

/* inject.c: ends a step. True if the exit was for nothing else. */
bool svm_step_done(struct svm_vcpu *vcpu);

/* set_up.c: all of a new VMCB. */
void svm_vmcb_set_up(struct svm_vcpu *vcpu, const struct vcpu_start *start, uint64_t n_cr3);

/* state.c: the table's get and set. */
uint64_t svm_get(struct vcpu *vcpu, enum vcpu_register which);
void svm_set(struct vcpu *vcpu, enum vcpu_register which, uint64_t value);

/* svm.c: how long is the instruction that exited? */
unsigned svm_instruction_length(struct svm_vcpu *vcpu);
