#include "vmx/vmcs.h"

#include "core/panic.h"

/* Why the last VMREAD or VMWRITE failed. Without a current VMCS there is no field to tell. */
static const char *describe_failure(uint64_t *number) {
    *number = 0;
    if (vmread(VM_INSTRUCTION_ERROR, number) != VMX_SUCCEED) {
        return "there is no current VMCS";
    }
    return vmx_instruction_error_name((uint32_t)*number);
}

_Noreturn void vmcs_write_failed(enum vmcs_field field, uint64_t value, const char *name,
                                 const char *caller) {
    uint64_t number;
    const char *failure = describe_failure(&number);
    panic("%s: VMWRITE of 0x%lx to %s (0x%04x) failed: %lu, %s", caller, value, name, field, number,
          failure);
}

_Noreturn void vmcs_read_failed(enum vmcs_field field, const char *name, const char *caller) {
    uint64_t number;
    const char *failure = describe_failure(&number);
    panic("%s: VMREAD of %s (0x%04x) failed: %lu, %s", caller, name, field, number, failure);
}
