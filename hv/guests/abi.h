/*
 * Between guests and the hypervisor. VMCALL or, where bit 0 of CPUID GUEST_CPUID_HYPERCALL:EAX is 1,
 * VMMCALL: from privilege level 0 only, with the number in RAX and arguments in RDI and RSI; the result comes back in RAX, all other registers are kept. Outside of
 * 64-bit mode the lower halves of these registers count.
 */
#pragma once

#define HYPERCALL_ABI_VERSION 2

#define GUEST_CPUID_HYPERCALL 0x40000001

#ifndef __ASSEMBLER__
enum hypercall {
    HYPERCALL_VERSION = 0, /* returns HYPERCALL_ABI_VERSION */
    HYPERCALL_EXIT = 1,    /* RDI: the guest's exit code; does not return */
    HYPERCALL_REPORT = 2,  /* RDI: 1 passed, 0 failed; RSI: any value; becomes a record */
    HYPERCALL_PANIC = 3,   /* panics the hypervisor, if that was booted with debug=panic */
    HYPERCALL_TIMER =
        4, /* raises interrupt vector RSI once, RDI TSC ticks from now; RDI 0: never */
    HYPERCALL_INTERRUPT = 5, /* raises interrupt vector RDI, 32 to 255, on the caller */
    HYPERCALL_NMI = 6,       /* raises an NMI on the caller */
};
#endif

/* Results above all ordinary ones: negative numbers. */
#define HYPERCALL_UNKNOWN       (-1ull)
#define HYPERCALL_BAD_ARGUMENT  (-2ull)
#define HYPERCALL_NOT_PERMITTED (-3ull)

/* A flat image is copied to this guest-physical address, and entered there (vm/loader.h). */
#define GUEST_IMAGE_ADDRESS      0x100000
#define GUEST_REAL_IMAGE_ADDRESS 0x7c00
#define GUEST_REAL_IMAGE_END     0x9fc00
