/* From #VMEXIT to the handler and back. */
#include "svm/operation.h"
#include "svm/quirks.h"
#include "svm/reasons.h"
#include "svm/vcpu.h"
#include "vm/handlers.h"

/* DR6 and DR7 as the manual says that they are already (svm/quirks.h); SDM 3B 18.2.3 for the bits. */
static void complete_debug_exception(struct vmcb *vmcb) {
    enum { EXIT_DB = 0x41, BREAKPOINTS = 0xf, BD = 1 << 13, BS = 1 << 14, DR7_GD = 1 << 13 };
    if (vmcb->control.exitcode == EXIT_DB && svm_quirks.debug_exits_leave_dr6) {
        uint64_t causes = vmcb->control.exitinfo2 & (BREAKPOINTS | BD | BS);
        vmcb->state.dr6 = (vmcb->state.dr6 & ~(uint64_t)BREAKPOINTS) | causes;
        vmcb->state.dr7 &= ~(uint64_t)DR7_GD;
    }
}

void svm_run(struct svm_vcpu *vcpu) {
    struct vmcb_control *control = &vcpu->vmcb->control;
    uint64_t *rax = &vcpu->vcpu.registers.rax;
    enum vm_action action;
    do {
        svm_prepare_entry(vcpu);
        vcpu->vmcb->state.rax = *rax;
        svm_vmrun(vcpu);
        *rax = vcpu->vmcb->state.rax;
        control->tlb_control = TLB_DO_NOTHING; /* the processor leaves it as it was */

        struct vm_exit exit;
        const struct exit_code *row = exit_code(control->exitcode);
        exit.kind = row->kind;
        exit.rip = vcpu->vmcb->state.rip;
        if (exit.kind != VM_EXIT_ENTRY_FAILED) {
            complete_debug_exception(vcpu->vmcb);
            svm_keep_undelivered_events(vcpu);
            if (vcpu->stepping && svm_step_done(vcpu)) {
                exit.kind = VM_EXIT_WINDOW;
            } else if (row->decode) {
                row->decode(vcpu, &exit);
            }
        }
        action = vm_handle_exit(&vcpu->vcpu, &exit);
    } while (action == VM_RESUME);
}
