/* From the hardware's exit reason to the common struct vm_exit; reads only the fields that a kind needs. */
#include "vm/handlers.h"
#include "vmx/vcpu.h"
#include "vmx/vmcs.h"

/* Basic exit reasons (SDM 3D, appendix C) that mean something more than a crash here. */
enum basic_reason {
    REASON_EXCEPTION_OR_NMI = 0,
    REASON_TRIPLE_FAULT = 2,
    REASON_CPUID = 10,
    REASON_HLT = 12,
    REASON_VMCALL = 18,
    REASON_IO = 30,
    REASON_RDMSR = 31,
    REASON_WRMSR = 32,
    REASON_EPT_VIOLATION = 48,
};

#define REASON_ENTRY_FAILURE (1u << 31) /* 25.9.1: the guest did not run */

/* 28.2.1, table 28-5 */
static void decode_io(struct vm_exit *exit) {
    uint64_t qualification = vmcs_read(EXIT_QUALIFICATION);
    exit->kind = VM_EXIT_IO;
    exit->io.size = (uint8_t)((qualification & 7) + 1);
    exit->io.in = qualification >> 3 & 1;
    exit->io.string = qualification >> 4 & 1;
    exit->io.port = (uint16_t)(qualification >> 16);
}

/* 28.2.1, table 28-7: bit 0 data read, 1 data write, 2 instruction fetch */
static void decode_ept_violation(struct vm_exit *exit) {
    uint64_t qualification = vmcs_read(EXIT_QUALIFICATION);
    exit->kind = VM_EXIT_MEMORY;
    exit->memory.address = vmcs_read(GUEST_PHYSICAL_ADDRESS);
    exit->memory.access = qualification & 4   ? MEMORY_EXECUTE
                          : qualification & 2 ? MEMORY_WRITE
                                              : MEMORY_READ;
}

/* 25.9.2: interruption type in bits 10:8, 2 is NMI */
static enum vm_exit_kind decode_exception(void) {
    return (vmcs_read(VM_EXIT_INTERRUPTION_INFORMATION) >> 8 & 7) == 2 ? VM_EXIT_NMI
                                                                       : VM_EXIT_OTHER;
}

static void decode(uint32_t reason, struct vm_exit *exit) {
    switch (reason) {
    case REASON_EXCEPTION_OR_NMI: exit->kind = decode_exception(); break;
    case REASON_TRIPLE_FAULT: exit->kind = VM_EXIT_TRIPLE_FAULT; break;
    case REASON_CPUID: exit->kind = VM_EXIT_CPUID; break;
    case REASON_HLT: exit->kind = VM_EXIT_HLT; break;
    case REASON_VMCALL: exit->kind = VM_EXIT_HYPERCALL; break;
    case REASON_IO: decode_io(exit); break;
    case REASON_RDMSR: exit->kind = VM_EXIT_MSR_READ; break;
    case REASON_WRMSR: exit->kind = VM_EXIT_MSR_WRITE; break;
    case REASON_EPT_VIOLATION: decode_ept_violation(exit); break;
    default: exit->kind = VM_EXIT_OTHER; break;
    }
}

struct guest_registers *vmx_exited(struct vmx_vcpu *vcpu) {
    struct vm_exit exit;
    uint32_t reason = (uint32_t)vmcs_read(EXIT_REASON);
    vcpu->failed_entry = reason & REASON_ENTRY_FAILURE;
    if (vcpu->failed_entry) {
        exit.kind = VM_EXIT_ENTRY_FAILED;
    } else {
        vcpu->launched = true;
        decode(reason & 0xffff, &exit);
    }
    if (vm_handle_exit(&vcpu->vcpu, &exit) == VM_LEAVE) {
        vmx_leave(vcpu->host_stack);
    }
    return &vcpu->vcpu.registers;
}

/* VMLAUNCH or VMRESUME failed as an instruction: controls or host state are wrong (27.1, 27.2). */
struct guest_registers *vmx_entry_failed(struct vmx_vcpu *vcpu) {
    struct vm_exit exit = {.kind = VM_EXIT_ENTRY_FAILED};
    vcpu->failed_entry = true;
    vcpu->entry_error = (uint32_t)vmcs_read(VM_INSTRUCTION_ERROR);
    vm_handle_exit(&vcpu->vcpu, &exit);
    vmx_leave(vcpu->host_stack);
}
