/* Checked access to the current VMCS. A failure is a bug of ours: it panics, naming field and caller. */
#pragma once

#include <stdint.h>

#include "vmx/instructions.h"

/* All on the exit path: one instruction and one branch, which is taken when CF or ZF says that the
 * instruction failed (SDM 3C 31.2). */
#define vmcs_write(field, value) vmcs_write_named(field, value, #field, __func__)
#define vmcs_read(field)         vmcs_read_named(field, #field, __func__)

_Noreturn void vmcs_write_failed(enum vmcs_field field, uint64_t value, const char *name,
                                 const char *caller);
_Noreturn void vmcs_read_failed(enum vmcs_field field, const char *name, const char *caller);

static inline void vmcs_write_named(enum vmcs_field field, uint64_t value, const char *name,
                                    const char *caller) {
    asm volatile goto("vmwrite %0, %1\n\tjbe %l2"
                      :
                      : "r"(value), "r"((uint64_t)field)
                      : "cc", "memory"
                      : failed);
    return;
failed:
    vmcs_write_failed(field, value, name, caller);
}

static inline uint64_t vmcs_read_named(enum vmcs_field field, const char *name,
                                       const char *caller) {
    uint64_t value; /* volatile: else two reads with a VM entry between them may become one */
    asm volatile goto("vmread %1, %0\n\tjbe %l2"
                      : "=r"(value)
                      : "r"((uint64_t)field)
                      : "cc"
                      : failed);
    return value;
failed:
    vmcs_read_failed(field, name, caller);
}

/* The name of a number in VM_INSTRUCTION_ERROR, in the words of SDM 3C 31.4. */
const char *vmx_instruction_error_name(uint32_t number);
