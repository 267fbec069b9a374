/* From a VM exit to the handler and back: what entry.S calls. */
#include "vm/handlers.h"
#include "vmx/reasons.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

#define REASON_ENTRY_FAILURE (1u << 31) /* 25.9.1: the guest did not run */

struct guest_registers *vmx_exited(struct vmx_vcpu *vcpu) {
    uint32_t reason = (uint32_t)vmcs_read(EXIT_REASON);
    const struct exit_reason *row = exit_reason(reason & 0xffff);
    struct vm_exit exit;
    exit.kind = row->kind;
    exit.rip = vmcs_read(GUEST_RIP);
    vcpu->failed_entry = reason & REASON_ENTRY_FAILURE;
    if (!vcpu->failed_entry) {
        vcpu->launched = true;
        vmx_keep_interrupted_event(vcpu);
        if (row->decode) {
            row->decode(&exit);
        }
    }
    if (vm_handle_exit(&vcpu->vcpu, &exit) == VM_LEAVE) {
        vmx_leave(vcpu->host_stack);
    }
    vmx_prepare_entry(vcpu);
    return &vcpu->vcpu.registers;
}

/* VMLAUNCH or VMRESUME failed as an instruction: controls or host state are wrong (27.1, 27.2). */
struct guest_registers *vmx_entry_failed(struct vmx_vcpu *vcpu) {
    struct vm_exit exit = {.kind = VM_EXIT_ENTRY_FAILED, .rip = vmcs_read(GUEST_RIP)};
    vcpu->failed_entry = true;
    vcpu->entry_error = (uint32_t)vmcs_read(VM_INSTRUCTION_ERROR);
    vm_handle_exit(&vcpu->vcpu, &exit);
    vmx_leave(vcpu->host_stack);
}
