/* A vCPU under VT-x: the common part, its VMCS, and what entry.S needs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/exit.h"
#include "vm/vcpu.h"

struct vmx_vcpu {
    struct vcpu vcpu;  /* first, and its registers first in it */
    void *host_stack;  /* where entry.S left the hypervisor's stack */
    bool launched;     /* VMLAUNCH once, VMRESUME after (SDM 3C 25.11.3) */
    bool failed_entry; /* the last VMLAUNCH or VMRESUME did not enter the guest */
    uint32_t entry_error;
    uint32_t primary_controls, entry_controls; /* what those fields hold */
    uint64_t timer_deadline;                   /* what the VMX-preemption timer was set for, */
    unsigned timer_entries; /* and for how many entries more it will do: inject.c */
    uint64_t behind;        /* what TSC_OFFSET holds, negated */
    uint16_t vpid;
    struct vmx_unswitched {
        uint64_t cr2, dr6, star, lstar, cstar, fmask, kernel_gs_base;
    } unswitched; /* while another vCPU runs */
    void *vmcs;
    struct vm_exit exit; /* the last one */
};

static inline struct vmx_vcpu *vmx_vcpu(struct vcpu *vcpu) {
    return (struct vmx_vcpu *)vcpu;
}

/* entry.S: enters the guest, and comes back when vmx_leave is called for it. */
void vmx_enter(struct vmx_vcpu *vcpu);
_Noreturn void vmx_leave(void *host_stack);

/* entry.S: where every VM exit arrives; goes into HOST_RIP. */
extern const char vmx_exit_entry[];

/* exit.c, called by entry.S. The first returns where the guest is to run on, or calls vmx_leave too; it is
 * a pointer, so that an exit that is not traced does not even pay for asking whether it is. */
extern void (*vmx_exit_handler)(struct vmx_vcpu *vcpu);
_Noreturn void vmx_entry_failed(struct vmx_vcpu *vcpu);

/* exit.c: once, when it is known whether exits are traced. */
void vmx_exits_start(void);

/* inject.c: what must be right before every entry: events, windows, the timer. */
void vmx_prepare_entry(struct vmx_vcpu *vcpu);

/* inject.c: the timer alone. */
void vmx_set_timer(struct vmx_vcpu *vcpu);

/* inject.c: an event whose delivery the exit interrupted goes back to vcpu->events. */
void vmx_keep_interrupted_event(struct vmx_vcpu *vcpu);

/* set_up.c: all of a new VMCS, which is current. */
void vmx_vmcs_set_up(struct vmx_vcpu *vcpu, const struct vcpu_start *start, uint64_t ept_pointer);

/* vmx.c: drops what the processor has cached of the guest's own page tables (29.4.3.3). */
void vmx_forget_translations(const struct vmx_vcpu *vcpu);

/* switch.c: the table's load and save, and what they load first. */
void vmx_load(struct vcpu *vcpu);
void vmx_save(struct vcpu *vcpu);
void vmx_unswitched_set_up(struct vmx_vcpu *vcpu);

/* state.c: the table's get and set. */
uint64_t vmx_get(struct vcpu *vcpu, enum vcpu_register which);
void vmx_set(struct vcpu *vcpu, enum vcpu_register which, uint64_t value);

/* state.c: once, when the capabilities are known. */
void vmx_state_start(void);

/* state.c: bits of CR0 and CR4 that the guest does not own, for the guest/host masks. */
uint64_t vmx_cr0_mask(void);
uint64_t vmx_cr4_mask(void);
bool vmx_unrestricted_guest(void);
