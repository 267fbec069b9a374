/* Before an entry: the events to deliver, the exits to wait for. */
#include "cpu/apic.h"
#include "svm/quirks.h"
#include "svm/reasons.h"
#include "svm/vcpu.h"
#include "vm/vm.h"

enum { RFLAGS_TF = 1 << 8, RFLAGS_IF = 1 << 9, RFLAGS_RF = 1 << 16 };

/* Exceptions that must not go unnoticed: vm/exit.c says why. And #DF: see inject. */
#define WATCHED (1u << VECTOR_AC | 1u << VECTOR_DB | 1u << VECTOR_DF | 1u << VECTOR_MC)

/* 15.20: what EVENTINJ asked for is done at once, so what an exit interrupted is in EXITINTINFO. */
static void keep_interrupted_event(struct svm_vcpu *vcpu) {
    enum { FIRST_INTERRUPT = 32 };
    uint32_t information = vcpu->vmcb->control.exitintinfo;
    if (!(information & EVENT_VALID)) {
        return;
    }
    struct event event = {
        .valid = true,
        .type = (enum event_type)(information >> EVENT_TYPE_SHIFT & 7),
        .vector = (uint8_t)information,
        .has_error_code = information & EVENT_ERROR_CODE_VALID,
        .error_code = vcpu->vmcb->control.exitintinfo_error_code,
    };
    /* QEMU's TCG calls a virtual interrupt an exception, and may call INT3 and INTO so like the manual. */
    if (event.type == EVENT_EXCEPTION && event.vector >= FIRST_INTERRUPT) {
        event.type = EVENT_INTERRUPT;
    }
    if (event.type == EVENT_NMI) {
        vcpu->in_nmi = false; /* it will arrive again */
    }
    if (event.type == EVENT_INTERRUPT && vcpu->vmcb->control.v_intr_vector == event.vector) {
        vcpu->vmcb->control.v_irq &= (uint8_t)~V_IRQ; /* TCG leaves it set until it is delivered */
    }
    events_restore(&vcpu->vcpu.events, event);
}

/* A virtual interrupt that an exit forestalled is still there (15.21.4): next time, perhaps something
 * else is more urgent. Or it was only the window. */
static void take_back_virtual_interrupt(struct svm_vcpu *vcpu) {
    struct vmcb_control *control = &vcpu->vmcb->control;
    if (control->v_irq & V_IRQ) {
        control->v_irq &= (uint8_t)~V_IRQ;
        if (!vcpu->window) {
            events_raise_interrupt(&vcpu->vcpu.events, control->v_intr_vector);
        }
    }
    if (vcpu->window) {
        vcpu->window = false;
        vmcb_set_intercept(vcpu->vmcb, INTERCEPT_VINTR, false);
    }
}

void svm_keep_undelivered_events(struct svm_vcpu *vcpu) {
    keep_interrupted_event(vcpu);
    take_back_virtual_interrupt(vcpu);
}

/*
 * One instruction of the guest's under RFLAGS.TF. An exception in it would push that flag, so all of
 * them exit meanwhile and are delivered afterwards.
 */
static void start_step(struct svm_vcpu *vcpu) {
    struct vmcb *vmcb = vcpu->vmcb;
    vcpu->stepping = true;
    vcpu->step_shadowed = vmcb->control.interrupt_shadow & 1;
    vcpu->step_rip = vmcb->state.rip;
    vcpu->guest_tf = vmcb->state.rflags & RFLAGS_TF;
    vmcb->state.rflags |= RFLAGS_TF;
    vmcb->control.intercept_exceptions = ~0u;
}

bool svm_step_done(struct svm_vcpu *vcpu) {
    enum { DR6_BREAKPOINTS = 0xf, DR6_BD = 1 << 13, DR6_BS = 1 << 14 };
    struct vmcb *vmcb = vcpu->vmcb;
    bool done = vmcb->control.exitcode == SVM_EXIT_DB && vmcb->state.dr6 & DR6_BS;
    bool was_iret = vcpu->stepping_iret;
    vcpu->stepping = vcpu->stepping_iret = false;
    if (done && was_iret) {
        vcpu->in_nmi = false; /* and RFLAGS came from the guest's stack */
    } else if (!vcpu->guest_tf) {
        vmcb->state.rflags &= ~(uint64_t)RFLAGS_TF;
    }
    if (!done && vcpu->step_shadowed && vmcb->state.rip == vcpu->step_rip) {
        vmcb->control.interrupt_shadow |= 1; /* it has not run yet, but QEMU's TCG has forgotten */
    }
    if (!done || vcpu->guest_tf) {
        return false;
    }
    vmcb->state.dr6 &= ~(uint64_t)DR6_BS;
    return !(vmcb->state.dr6 & (DR6_BREAKPOINTS | DR6_BD));
}

void svm_at_iret(struct svm_vcpu *vcpu) {
    const struct events *events = &vcpu->vcpu.events;
    if (events_want_nmi_window(events) || events_want_interrupt_window(events)) {
        vcpu->stepping_iret = true; /* what waits comes right behind it */
    } else {
        vcpu->in_nmi = false; /* what could raise another NMI is an instruction behind this one */
    }
}

/* Faults push RF as 1 (3.1.6), so that their handler meets no instruction breakpoint twice. */
static bool is_fault(const struct event *event) {
    return event->type == EVENT_EXCEPTION && event->vector != VECTOR_DB &&
           event->vector != VECTOR_DF && event->vector != VECTOR_MC;
}

static void inject(struct svm_vcpu *vcpu, struct event event) {
    struct vmcb *vmcb = vcpu->vmcb;
    enum event_type type = event.type;
    switch (event.type) {
    case EVENT_INTERRUPT: /* see post_interrupt */
    case EVENT_SOFTWARE_INTERRUPT:
    case EVENT_SOFTWARE_EXCEPTION: return; /* RIP is still at the instruction: it runs again */
    case EVENT_PRIVILEGED_SOFTWARE_EXCEPTION:
        type = EVENT_EXCEPTION;
        vmcb->state.rip += event.instruction_length;
        break;
    case EVENT_NMI: vcpu->in_nmi = true; break;
    case EVENT_EXCEPTION:
        if (event.vector == 3 || event.vector == 4) {
            return; /* INT3 and INTO too */
        }
        break;
    }
    /* Real mode takes no error codes. */
    bool error_code = event.has_error_code && vmcb->state.cr0 & 1;
    vmcb->control.eventinj_error_code = event.error_code;
    vmcb->control.eventinj = event.vector | (uint32_t)type << EVENT_TYPE_SHIFT |
                             (error_code ? EVENT_ERROR_CODE_VALID : 0) | EVENT_VALID;
    if (is_fault(&event)) {
        vmcb->state.rflags |= RFLAGS_RF;
    }
    if (type == EVENT_EXCEPTION && event.vector == VECTOR_DF) {
        /* What strikes in its delivery is a triple fault. There is an intercept for that, but Bochs 2.7
         * gives up before it looks at it: so it is noticed by events.c. */
        vmcb->control.intercept_exceptions = ~0u;
    }
}

/*
 * To a guest that is ready for it. By V_IRQ: EVENTINJ makes QEMU's TCG deliver twice, so only where V_IRQ
 * would not do.
 */
static void post_interrupt(struct svm_vcpu *vcpu, uint8_t vector) {
    struct vmcb *vmcb = vcpu->vmcb;
    if (svm_quirks.virtual_interrupts_need_sti) {
        vmcb->control.eventinj =
            vector | (uint32_t)EVENT_INTERRUPT << EVENT_TYPE_SHIFT | EVENT_VALID;
        return;
    }
    vmcb->control.v_irq |= V_IRQ;
    vmcb->control.v_intr_vector = vector;
}

/* 15.21.4: an exit as soon as the guest could take an interrupt, whichever that will be then. */
static void open_window(struct svm_vcpu *vcpu) {
    vcpu->window = true;
    vcpu->vmcb->control.v_irq |= V_IRQ;
    vmcb_set_intercept(vcpu->vmcb, INTERCEPT_VINTR, true);
}

static void deliver(struct svm_vcpu *vcpu) {
    struct events *events = &vcpu->vcpu.events;
    bool shadow = vcpu->vmcb->control.interrupt_shadow & 1;
    struct event_blocking blocking = {
        .interrupts_off = true, .instruction_shadow = shadow, .in_nmi = vcpu->in_nmi};
    struct event event = events_take(events, blocking);
    if (event.valid) {
        inject(vcpu, event);
    }
    if (event.valid && event.type == EVENT_INTERRUPT) {
        post_interrupt(vcpu, event.vector);
        return;
    }
    bool at_once = events_want_nmi_window(events) && !vcpu->in_nmi;
    if (shadow && !(vcpu->vmcb->control.eventinj & EVENT_VALID)) {
        /* QEMU's TCG forgets the shadow in VMRUN: STI and HLT would lose the interrupt between them, one
         * that comes an exit later too. So that instruction goes alone; a delivery ends the shadow. */
        start_step(vcpu);
        return;
    }
    if (at_once) {
        apic_kick(); /* an exit before the first instruction of the exception's handler */
    }
    bool ready =
        vcpu->vmcb->state.rflags & RFLAGS_IF && !(vcpu->vmcb->control.eventinj & EVENT_VALID);
    blocking = (struct event_blocking){.interrupts_off = !ready, .in_nmi = true};
    event = events_take(events, blocking);
    if (event.valid) {
        post_interrupt(vcpu, event.vector);
    } else if (events_want_interrupt_window(events)) {
        open_window(vcpu);
    }
}

void svm_prepare_entry(struct svm_vcpu *vcpu) {
    struct vmcb *vmcb = vcpu->vmcb;
    vmcb->control.tsc_offset = -vcpu->vcpu.clock.behind; /* vm/clock.h */
    vmcb->control.eventinj = 0;
    vmcb->control.intercept_exceptions = WATCHED;
    if (vcpu->stepping_iret) {
        vmcb_set_intercept(vmcb, INTERCEPT_IRET, false);
        start_step(vcpu);
    } else {
        if (vcpu->vcpu.events.any || vmcb->control.interrupt_shadow & 1) {
            deliver(vcpu);
        }
        /* With more interrupts waiting, the next one is posted when the first one's handler returns. */
        bool more = events_want_interrupt_window(&vcpu->vcpu.events) &&
                    (!vcpu->window || vmcb->control.eventinj & EVENT_VALID);
        vmcb_set_intercept(vmcb, INTERCEPT_IRET, vcpu->in_nmi || more);
    }
}
