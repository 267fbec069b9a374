#include "vmx/vmcs.h"

#include "core/panic.h"

static const char *describe_failure(enum vmx_result result, uint64_t *number) {
    *number = 0;
    if (result == VMX_FAIL_INVALID) {
        return "there is no current VMCS";
    }
    vmread(VM_INSTRUCTION_ERROR, number);
    return vmx_instruction_error_name((uint32_t)*number);
}

void vmcs_write_named(enum vmcs_field field, uint64_t value, const char *name, const char *caller) {
    enum vmx_result result = vmwrite(field, value);
    if (result != VMX_SUCCEED) {
        uint64_t number;
        const char *failure = describe_failure(result, &number);
        panic("%s: VMWRITE of 0x%lx to %s (0x%04x) failed: %lu, %s", caller, value, name, field,
              number, failure);
    }
}

_Noreturn void vmcs_read_failed(enum vmcs_field field) {
    uint64_t number, ignored;
    const char *failure = describe_failure(vmread(field, &ignored), &number);
    panic("VMREAD of field 0x%04x failed: %lu, %s", field, number, failure);
}
