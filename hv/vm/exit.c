#include "core/nmi.h"
#include "core/panic.h"
#include "cpu/port.h"
#include "vm/handlers.h"
#include "vm/scheduler.h"

static enum vm_action handle_hlt(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    enum { RFLAGS_TF = 1 << 8, RFLAGS_IF = 1 << 9 };
    uint64_t flags = virt->get(vcpu, VCPU_RFLAGS);
    virt->skip_instruction(vcpu);
    if (flags & RFLAGS_TF) {
        return VM_RESUME; /* its single-step trap wakes it at once */
    }
    vcpu->state = VCPU_HALTED;
    vcpu->blocking = (struct event_blocking){.interrupts_off = !(flags & RFLAGS_IF),
                                             .in_nmi = virt->get(vcpu, VCPU_IN_NMI)};
    return VM_LEAVE;
}

/* The instruction does nothing that concerns a guest here: INVD and WBINVD, with coherent caches. */
static enum vm_action handle_no_operation(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)vcpu, (void)exit;
    return VM_SKIP;
}

static enum vm_action handle_undefined(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    events_raise_exception(&vcpu->events, VECTOR_UD, false, 0);
    return VM_RESUME;
}

static enum vm_action handle_protected(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    events_raise_exception(&vcpu->events, VECTOR_GP, true, 0);
    return VM_RESUME;
}

/* The guest's own #AC or #DB: it passes through here only so that a guest whose delivery of one raises
 * the same one again can't keep the processor there for ever (CVE-2015-5307, CVE-2015-8104). */
static enum vm_action handle_exception(struct vcpu *vcpu, const struct vm_exit *exit) {
    if (exit->exception.vector == VECTOR_MC) {
        panic("machine check while guest %s ran",
              vcpu->vm->options.name); /* the machine's, not its */
    }
    if (exit->exception.type != EVENT_EXCEPTION) {
        struct event event = {.valid = true,
                              .type = (enum event_type)exit->exception.type,
                              .vector = exit->exception.vector,
                              .instruction_length = exit->exception.length};
        events_restore(&vcpu->events, event);
        return VM_RESUME;
    }
    events_raise_exception(&vcpu->events, (enum exception_vector)exit->exception.vector,
                           exit->exception.has_error_code, exit->exception.error_code);
    return VM_RESUME;
}

static enum vm_action handle_window(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)vcpu, (void)exit;
    return VM_RESUME; /* the entry delivers what it waited for */
}

/* An event of the hypervisor's own ends the wait in HLT for the processor (28.1), but not for the
 * guest: whether that runs on is for the scheduler to say. */
static enum vm_action go_on(const struct vcpu *vcpu) {
    return vcpu->state == VCPU_HALTED ? VM_LEAVE : VM_RESUME;
}

static enum vm_action handle_nmi(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    nmi_report(); /* the hypervisor has taken it already */
    return go_on(vcpu);
}

static enum vm_action handle_timer(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    nmi_report(); /* one that came while the hypervisor ran, which is not for every exit to ask */
    return scheduler_timer(vcpu) ? VM_LEAVE : VM_RESUME;
}

/* No device of the hypervisor's own raises interrupts: it is one that firmware left running. The exit
 * has acknowledged it, or it would exit again before the guest's next instruction, for ever; without
 * an EOI none of its priority or below comes again. */
static enum vm_action handle_interrupt(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    return go_on(vcpu);
}

static enum vm_action handle_impossible(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    return crash_because(vcpu, exit, "an exit that no control asked for");
}

vm_exit_handler *const vm_exit_handlers[VM_EXIT_KINDS] = {
    [VM_EXIT_CPUID] = handle_cpuid,
    [VM_EXIT_HLT] = handle_hlt,
    [VM_EXIT_HYPERCALL] = handle_hypercall,
    [VM_EXIT_IO] = handle_io,
    [VM_EXIT_MSR_READ] = handle_msr,
    [VM_EXIT_MSR_WRITE] = handle_msr,
    [VM_EXIT_CONTROL_REGISTER] = handle_control_register,
    [VM_EXIT_XSETBV] = handle_xsetbv,
    [VM_EXIT_MEMORY] = handle_memory,
    [VM_EXIT_MISCONFIGURED] = handle_crash,
    [VM_EXIT_EXCEPTION] = handle_exception,
    [VM_EXIT_NO_OPERATION] = handle_no_operation,
    [VM_EXIT_UNDEFINED] = handle_undefined,
    [VM_EXIT_PROTECTED] = handle_protected,
    [VM_EXIT_TIMER] = handle_timer,
    [VM_EXIT_WINDOW] = handle_window,
    [VM_EXIT_INTERRUPT] = handle_interrupt,
    [VM_EXIT_NMI] = handle_nmi,
    [VM_EXIT_TRIPLE_FAULT] = handle_crash,
    [VM_EXIT_TASK_SWITCH] = handle_crash,
    [VM_EXIT_UNSUPPORTED] = handle_crash,
    [VM_EXIT_IMPOSSIBLE] = handle_impossible,
    [VM_EXIT_ENTRY_FAILED] = handle_crash,
};

const char *vm_exit_kind_name(enum vm_exit_kind kind) {
    static const char *const names[VM_EXIT_KINDS] = {
        [VM_EXIT_CPUID] = "cpuid",
        [VM_EXIT_HLT] = "hlt",
        [VM_EXIT_HYPERCALL] = "hypercall",
        [VM_EXIT_IO] = "io",
        [VM_EXIT_MSR_READ] = "msr-read",
        [VM_EXIT_MSR_WRITE] = "msr-write",
        [VM_EXIT_CONTROL_REGISTER] = "control-register",
        [VM_EXIT_XSETBV] = "xsetbv",
        [VM_EXIT_MEMORY] = "memory",
        [VM_EXIT_MISCONFIGURED] = "misconfigured",
        [VM_EXIT_EXCEPTION] = "exception",
        [VM_EXIT_NO_OPERATION] = "no-operation",
        [VM_EXIT_UNDEFINED] = "undefined",
        [VM_EXIT_PROTECTED] = "protected",
        [VM_EXIT_TIMER] = "timer",
        [VM_EXIT_WINDOW] = "window",
        [VM_EXIT_INTERRUPT] = "interrupt",
        [VM_EXIT_NMI] = "nmi",
        [VM_EXIT_TRIPLE_FAULT] = "triple-fault",
        [VM_EXIT_TASK_SWITCH] = "task-switch",
        [VM_EXIT_UNSUPPORTED] = "unsupported",
        [VM_EXIT_IMPOSSIBLE] = "impossible",
        [VM_EXIT_ENTRY_FAILED] = "entry-failed",
    };
    return names[kind];
}

enum vm_action vm_look_at_events(struct vcpu *vcpu, const struct vm_exit *exit,
                                 enum vm_action action) {
    if (vcpu->events.triple_fault) {
        return crash_because(vcpu, exit, "Triple fault");
    }
    /* Entry delivers an exception before it looks at the timer (SDM 3C 27.7.4), and the delivery may
     * exit again: a guest for which that goes on for ever has its slice ended here. */
    if (action != VM_LEAVE && vcpu->events.now.valid && rdtsc() >= vcpu->slice_end) {
        return handle_timer(vcpu, exit);
    }
    return action;
}
