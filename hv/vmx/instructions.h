/*
 * The VMX instructions (SDM 3C, chapter 31), one function each. How they fail is their result:
 * VMfailInvalid sets CF; VMfailValid sets ZF and leaves a number in VM_INSTRUCTION_ERROR (31.2).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmx/fields.h"

enum vmx_result { VMX_SUCCEED, VMX_FAIL_INVALID, VMX_FAIL_VALID };

static inline enum vmx_result vmx_result(bool carry, bool zero) {
    return carry ? VMX_FAIL_INVALID : zero ? VMX_FAIL_VALID : VMX_SUCCEED;
}

/* Addresses of regions are physical. */
static inline enum vmx_result vmxon(uint64_t region) {
    bool carry, zero;
    asm volatile("vmxon %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region) : "memory");
    return vmx_result(carry, zero);
}

static inline enum vmx_result vmxoff(void) {
    bool carry, zero;
    asm volatile("vmxoff" : "=@ccc"(carry), "=@ccz"(zero) : : "memory");
    return vmx_result(carry, zero);
}

static inline enum vmx_result vmclear(uint64_t region) {
    bool carry, zero;
    asm volatile("vmclear %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region) : "memory");
    return vmx_result(carry, zero);
}

static inline enum vmx_result vmptrld(uint64_t region) {
    bool carry, zero;
    asm volatile("vmptrld %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region) : "memory");
    return vmx_result(carry, zero);
}

/* The current VMCS, or all ones where there is none. */
static inline uint64_t vmptrst(void) {
    uint64_t region;
    asm volatile("vmptrst %0" : "=m"(region) : : "cc", "memory");
    return region;
}

static inline enum vmx_result vmread(enum vmcs_field field, uint64_t *value) {
    bool carry, zero;
    uint64_t result = 0;
    asm volatile("vmread %3, %2"
                 : "=@ccc"(carry), "=@ccz"(zero), "+r"(result)
                 : "r"((uint64_t)field)
                 : "memory");
    *value = result;
    return vmx_result(carry, zero);
}

static inline enum vmx_result vmwrite(enum vmcs_field field, uint64_t value) {
    bool carry, zero;
    asm volatile("vmwrite %2, %3"
                 : "=@ccc"(carry), "=@ccz"(zero)
                 : "r"(value), "r"((uint64_t)field)
                 : "memory");
    return vmx_result(carry, zero);
}

enum invept_type { INVEPT_SINGLE_CONTEXT = 1, INVEPT_ALL_CONTEXTS = 2 };

/* What INVEPT and INVVPID take from memory, SDM 3C chapter 31. */
struct invalidation {
    uint64_t context, address;
};

static inline enum vmx_result invept(enum invept_type type, uint64_t eptp) {
    const struct invalidation descriptor = {eptp, 0};
    bool carry, zero;
    asm volatile("invept %2, %3"
                 : "=@ccc"(carry), "=@ccz"(zero)
                 : "m"(descriptor), "r"((uint64_t)type)
                 : "memory");
    return vmx_result(carry, zero);
}

enum invvpid_type {
    INVVPID_INDIVIDUAL_ADDRESS = 0,
    INVVPID_SINGLE_CONTEXT = 1,
    INVVPID_ALL_CONTEXTS = 2,
    INVVPID_SINGLE_CONTEXT_RETAINING_GLOBALS = 3,
};

static inline enum vmx_result invvpid(enum invvpid_type type, uint16_t vpid, uint64_t address) {
    const struct invalidation descriptor = {vpid, address};
    bool carry, zero;
    asm volatile("invvpid %2, %3"
                 : "=@ccc"(carry), "=@ccz"(zero)
                 : "m"(descriptor), "r"((uint64_t)type)
                 : "memory");
    return vmx_result(carry, zero);
}
