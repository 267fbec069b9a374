/* Compiled to assembly only: hv.mk turns each line into a #define in build/hv/vmx/asm_offsets.h. */
#include <stddef.h>

#include "vmx/vcpu.h"

#define OFFSET(name, value) asm volatile("@offset " #name " %0" : : "i"(value))

void offsets(void);

void offsets(void) {
    OFFSET(VCPU_HOST_STACK, offsetof(struct vmx_vcpu, host_stack));
    OFFSET(VCPU_LAUNCHED, offsetof(struct vmx_vcpu, launched));
    OFFSET(VCPU_REGISTERS_SIZE, sizeof(struct guest_registers));
}

static_assert(offsetof(struct vmx_vcpu, vcpu) == 0 && offsetof(struct vcpu, registers) == 0,
              "entry.S takes a pointer to the registers for one to the vCPU");
