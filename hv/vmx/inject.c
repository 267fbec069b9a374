/* Before an entry: the event to deliver, the windows to wait for, the time to come back. */
#include "cpu/port.h"
#include "vm/scheduler.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

/* 25.9.3: an exit came while this event was being delivered, so the guest has not seen it. */
void vmx_keep_interrupted_event(struct vmx_vcpu *vcpu) {
    uint32_t information = (uint32_t)vmcs_read(IDT_VECTORING_INFORMATION);
    if (!(information & INTERRUPTION_VALID)) {
        return;
    }
    struct event event = {
        .valid = true,
        .type = (enum event_type)(information >> INTERRUPTION_TYPE_SHIFT & 7),
        .vector = (uint8_t)information,
        .has_error_code = information & INTERRUPTION_ERROR_CODE_VALID,
    };
    if (event.has_error_code) {
        event.error_code = (uint32_t)vmcs_read(IDT_VECTORING_ERROR_CODE);
    }
    if (event.type >= EVENT_SOFTWARE_INTERRUPT) {
        event.instruction_length = (uint8_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
    }
    if (event.type == EVENT_NMI) {
        /* 28.2.4: the exit left NMIs blocked as if this one had arrived; it will arrive again. */
        uint64_t state = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE, state & ~(uint64_t)BLOCKING_BY_NMI);
    }
    events_restore(&vcpu->vcpu.events, event);
}

static void set_windows(struct vmx_vcpu *vcpu) {
    const struct events *events = &vcpu->vcpu.events;
    uint32_t controls =
        vcpu->primary_controls & ~(PRIMARY_INTERRUPT_WINDOW_EXITING | PRIMARY_NMI_WINDOW_EXITING);
    controls |= events_want_interrupt_window(events) ? PRIMARY_INTERRUPT_WINDOW_EXITING : 0;
    controls |= events_want_nmi_window(events) ? PRIMARY_NMI_WINDOW_EXITING : 0;
    if (controls != vcpu->primary_controls) {
        vcpu->primary_controls = controls;
        vmcs_write(PRIMARY_PROCESSOR_BASED_CONTROLS, controls);
    }
}

/* Faults push RF as 1, so that their handler's IRET does not meet an instruction breakpoint twice
 * (SDM 3B 18.3.1.1); an injected event pushes what the field says. #DB, #DF and #MC are no faults. */
static void set_resume_flag(const struct event *event) {
    enum { RFLAGS_RF = 1 << 16 };
    if (event->type == EVENT_EXCEPTION && event->vector != VECTOR_DB &&
        event->vector != VECTOR_DF && event->vector != VECTOR_MC) {
        vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
    }
}

static void deliver(struct vmx_vcpu *vcpu) {
    enum { RFLAGS_IF = 1 << 9 };
    uint64_t state = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
    struct event_blocking blocking = {
        .interrupts_off = !(vmcs_read(GUEST_RFLAGS) & RFLAGS_IF),
        .instruction_shadow = state & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS),
        .in_nmi = state & BLOCKING_BY_NMI,
    };
    struct event event = events_take(&vcpu->vcpu.events, blocking);
    if (event.valid) {
        /* 25.8.3; real mode takes no error codes (27.2.1.3) */
        bool error_code = event.has_error_code && vmx_get(&vcpu->vcpu, VCPU_CR0) & 1;
        vmcs_write(VM_ENTRY_INTERRUPTION_INFORMATION,
                   event.vector | (uint32_t)event.type << INTERRUPTION_TYPE_SHIFT |
                       (error_code ? INTERRUPTION_ERROR_CODE_VALID : 0) | INTERRUPTION_VALID);
        if (error_code) {
            vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, event.error_code);
        }
        if (event.type >= EVENT_SOFTWARE_INTERRUPT) {
            vmcs_write(VM_ENTRY_INSTRUCTION_LENGTH, event.instruction_length);
        }
        set_resume_flag(&event);
    }
    set_windows(vcpu);
}

/*
 * The timer counts down at the TSC's rate shifted right (A.6), in non-root operation only: so it is set
 * to what is left until an absolute time. To do so takes as long as all the rest of a short exit. Where
 * exits save what is left (25.7.1), it may go on from there for a few of them: their own time is what it
 * is late by, and the scheduler counts that too.
 */
void vmx_set_timer(struct vmx_vcpu *vcpu) {
    enum { FEW = 16 };
    const uint64_t longest = 0xffffffff;
    uint64_t deadline = scheduler_deadline(&vcpu->vcpu), now = rdtsc();
    uint64_t left =
        deadline > now ? (deadline - now) >> (vmx_capabilities.misc & MISC_TIMER_RATE) : 0;
    vmcs_write(VMX_PREEMPTION_TIMER_VALUE, left < longest ? left : longest);
    vcpu->timer_deadline = deadline;
    vcpu->timer_entries =
        vmx_capabilities.exit.allowed & EXIT_SAVE_PREEMPTION_TIMER_VALUE ? FEW : 1;
}

/* vm/clock.h; 26.5.3 */
static void set_tsc(struct vmx_vcpu *vcpu) {
    if (vcpu->behind != vcpu->vcpu.clock.behind) {
        vcpu->behind = vcpu->vcpu.clock.behind;
        vmcs_write(TSC_OFFSET, -vcpu->behind);
    }
}

void vmx_prepare_entry(struct vmx_vcpu *vcpu) {
    const uint32_t windows = PRIMARY_INTERRUPT_WINDOW_EXITING | PRIMARY_NMI_WINDOW_EXITING;
    if (vcpu->vcpu.events.any || vcpu->primary_controls & windows) {
        deliver(vcpu);
    }
    set_tsc(vcpu);
    vmx_set_timer(vcpu);
}
