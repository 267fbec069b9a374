/* From #VMEXIT to the handler and back. */
#include "svm/operation.h"
#include "svm/reasons.h"
#include "svm/timer.h"
#include "svm/vcpu.h"
#include "vm/handlers.h"
#include "vm/scheduler.h"
#include "vm/trace.h"

void svm_run(struct svm_vcpu *vcpu) {
    struct vmcb_control *control = &vcpu->vmcb->control;
    uint64_t *rax = &vcpu->vcpu.registers.rax;
    enum vm_action action;
    do {
        svm_prepare_entry(vcpu);
        vcpu->vmcb->state.rax = *rax;
        svm_clear_gif(); /* first: a timer that ran out here, rather than in the guest, would not end it */
        svm_timer_set(scheduler_deadline(&vcpu->vcpu));
        svm_vmrun(vcpu);
        *rax = vcpu->vmcb->state.rax;
        control->tlb_control = TLB_DO_NOTHING; /* the processor leaves it as it was */

        struct vm_exit exit;
        const struct exit_code *row = exit_code(control->exitcode);
        exit.kind = row->kind;
        exit.rip = vcpu->vmcb->state.rip;
        if (exit.kind != VM_EXIT_ENTRY_FAILED) {
            if (control->exitcode == SVM_EXIT_DB) {
                svm_complete_debug_exception(vcpu);
            }
            svm_keep_undelivered_events(vcpu);
            if (vcpu->stepping && svm_step_done(vcpu)) {
                exit.kind = VM_EXIT_WINDOW;
            } else if (row->decode) {
                row->decode(vcpu, &exit);
            }
        }
        bool traced = trace_is_on();
        if (traced) {
            trace_begin(&vcpu->vcpu, &exit);
        }
        action = vm_handle_exit(&vcpu->vcpu, &exit);
        if (traced) {
            trace_end();
        }
        if (action == VM_SKIP) {
            virt->skip_instruction(&vcpu->vcpu);
        }
        if (vcpu->vcpu.events.any) {
            action = vm_look_at_events(&vcpu->vcpu, &exit, action);
        }
    } while (action != VM_LEAVE);
}
