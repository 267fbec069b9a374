/* From a VM exit to the handler and back: what entry.S calls. */
#include "vm/handlers.h"
#include "vm/scheduler.h"
#include "vm/trace.h"
#include "vmx/reasons.h"
#include "vmx/skip.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

/* Exits by instructions that the guest executes. These don't come while an event is delivered (28.2.4),
 * which is true of a few others too, but there nothing is lost by looking. */
#define BY_INSTRUCTION                                                                      \
    (1u << VM_EXIT_CPUID | 1u << VM_EXIT_HLT | 1u << VM_EXIT_HYPERCALL | 1u << VM_EXIT_IO | \
     1u << VM_EXIT_MSR_READ | 1u << VM_EXIT_MSR_WRITE | 1u << VM_EXIT_CONTROL_REGISTER |    \
     1u << VM_EXIT_XSETBV | 1u << VM_EXIT_NO_OPERATION)
static_assert(VM_EXIT_KINDS <= 32, "a bit each");

/* What is rare is kept out of vmx_exited, where it would cost registers. */
#define RARE __attribute__((noinline, cold))

/* 25.9.1: bits above the basic exit reason. Of these only bit 31 is ever set here: the guest did not run. */
RARE static const struct exit_reason *unusual_exit(struct vmx_vcpu *vcpu, uint64_t reason) {
    vcpu->failed_entry = reason >> 31;
    return exit_reason(reason & 0xffff);
}

__attribute__((noinline)) static void decode(struct vmx_vcpu *vcpu, const struct exit_reason *row) {
    if (!(BY_INSTRUCTION >> row->kind & 1)) {
        vmx_keep_interrupted_event(vcpu);
    }
    row->decode(&vcpu->exit);
}

RARE static void let_go_on(struct vmx_vcpu *vcpu, enum vm_action action) {
    if (vcpu->vcpu.events.any) {
        action = vm_look_at_events(&vcpu->vcpu, &vcpu->exit, action);
    }
    if (action == VM_LEAVE) {
        vcpu->launched = !vcpu->failed_entry;
        vmx_leave(vcpu->host_stack);
    }
    vmx_prepare_entry(vcpu);
}

RARE static void follow_up(struct vmx_vcpu *vcpu, enum vm_action action) {
    if (trace_is_on()) {
        trace_end();
    }
    let_go_on(vcpu, action);
}

/* `make bench` counts the instructions of this way, for a CPUID. */
static inline __attribute__((always_inline)) void exited(struct vmx_vcpu *vcpu, bool traced) {
    uint64_t reason = vmcs_read(EXIT_REASON);
    const struct exit_reason *row =
        reason < EXIT_REASONS ? &exit_reasons[reason] : unusual_exit(vcpu, reason);
    vcpu->exit.kind = row->kind;
    vcpu->exit.rip = vmcs_read(GUEST_RIP);
    if (row->decode) {
        decode(vcpu, row);
    }
    if (traced) {
        trace_begin(&vcpu->vcpu, &vcpu->exit);
    }
    enum vm_action action = vm_handle_exit(&vcpu->vcpu, &vcpu->exit);
    if (action != VM_SKIP) {
        follow_up(vcpu, action);
        return;
    }
    if (traced) {
        trace_end();
    }
    vmx_skip_to(vcpu, vmcs_read(VM_EXIT_INSTRUCTION_LENGTH) + vcpu->exit.rip);
    if (vcpu->vcpu.events.any) {
        let_go_on(vcpu, action);
        return;
    }
    if (vcpu->timer_deadline != scheduler_deadline(&vcpu->vcpu) || !--vcpu->timer_entries) {
        vmx_set_timer(vcpu);
    }
}

static void vmx_exited(struct vmx_vcpu *vcpu) {
    exited(vcpu, false);
}

static void vmx_exited_traced(struct vmx_vcpu *vcpu) {
    exited(vcpu, true);
}

void (*vmx_exit_handler)(struct vmx_vcpu *vcpu) = vmx_exited;

void vmx_exits_start(void) {
    vmx_exit_handler = trace_is_on() ? vmx_exited_traced : vmx_exited;
}

/* VMLAUNCH or VMRESUME failed as an instruction: controls or host state are wrong (27.1, 27.2). */
_Noreturn void vmx_entry_failed(struct vmx_vcpu *vcpu) {
    struct vm_exit exit = {.kind = VM_EXIT_ENTRY_FAILED, .rip = vmcs_read(GUEST_RIP)};
    vcpu->failed_entry = true;
    vcpu->entry_error = (uint32_t)vmcs_read(VM_INSTRUCTION_ERROR);
    vm_handle_exit(&vcpu->vcpu, &exit);
    vmx_leave(vcpu->host_stack);
}
