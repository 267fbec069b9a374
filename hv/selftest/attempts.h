/*
 * Instructions that may fail or fault, as functions with a result. A fault comes back as one, instead
 * of ending in a panic: trap() asks attempts.c first.
 */
#pragma once

#include <stdint.h>

/* SDM 3C 31.2, or the exception. */
enum outcome {
    SUCCEEDED = 0,
    FAILED_INVALID = 1, /* CF: VMfailInvalid */
    FAILED_VALID = 2,   /* ZF: VMfailValid */
    FAULTED = 0x100,    /* plus the vector */
    FAULTED_UD = FAULTED + 6,
    FAULTED_GP = FAULTED + 13,
    FAULTED_PF = FAULTED + 14,
};

/* Once, before the first attempt. */
void attempts_start(void);

/* The error code of the last fault. */
extern uint64_t fault_error_code;

/* attempts.S. Addresses of regions are physical, and passed to the instruction in memory. */
enum outcome attempt_vmxon(uint64_t region);
enum outcome attempt_vmxon_at(const uint64_t *operand);
enum outcome attempt_vmxoff(void);
enum outcome attempt_vmclear(uint64_t region);
enum outcome attempt_vmptrld(uint64_t region);
enum outcome attempt_vmptrst(uint64_t *to);
enum outcome attempt_vmread(uint64_t field, uint64_t *to);
enum outcome attempt_vmwrite(uint64_t field, uint64_t value);
enum outcome attempt_vmcall(void);
enum outcome attempt_vmlaunch(void);
enum outcome attempt_vmresume(void);
enum outcome attempt_vmfunc(void);
enum outcome attempt_invept(uint64_t type, const void *descriptor);
enum outcome attempt_invvpid(uint64_t type, const void *descriptor);
enum outcome attempt_write_cr0(uint64_t value);
enum outcome attempt_write_cr4(uint64_t value);

/* Runs code in ring 3 until it faults; privilege.c prepares what that needs. */
enum outcome attempt_in_ring_3(uint64_t code, uint64_t rip, uint64_t data, uint64_t rsp);
