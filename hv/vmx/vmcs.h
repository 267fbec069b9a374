/* Checked access to the current VMCS. A failure is a bug of ours: it panics, naming field and caller. */
#pragma once

#include <stdint.h>

#include "vmx/instructions.h"

#define vmcs_write(field, value) vmcs_write_named(field, value, #field, __func__)
void vmcs_write_named(enum vmcs_field field, uint64_t value, const char *name, const char *caller);

_Noreturn void vmcs_read_failed(enum vmcs_field field);

/* On the exit path, so it costs one VMREAD and one branch. */
static inline uint64_t vmcs_read(enum vmcs_field field) {
    uint64_t value;
    asm goto("vmread %1, %0\n\tjbe %l2" : "=r"(value) : "r"((uint64_t)field) : "cc" : failed);
    return value;
failed:
    vmcs_read_failed(field);
}

/* The name of a number in VM_INSTRUCTION_ERROR, in the words of SDM 3C 31.4. */
const char *vmx_instruction_error_name(uint32_t number);
