/*
 * Between guests and the hypervisor. VMCALL with the number in RAX and arguments in RDI and RSI;
 * the result comes back in RAX, all other registers are kept.
 */
#pragma once

#define HYPERCALL_ABI_VERSION 1

enum hypercall {
    HYPERCALL_VERSION = 0, /* returns HYPERCALL_ABI_VERSION */
    HYPERCALL_EXIT = 1,    /* RDI: the guest's exit code; does not return */
    HYPERCALL_REPORT = 2,  /* RDI: 1 passed, 0 failed; RSI: any value; becomes a record */
    HYPERCALL_PANIC = 3,   /* panics the hypervisor, if that was booted with debug=panic */
};

/* Results above all ordinary ones: negative numbers. */
#define HYPERCALL_UNKNOWN       (-1ull)
#define HYPERCALL_BAD_ARGUMENT  (-2ull)
#define HYPERCALL_NOT_PERMITTED (-3ull)

/* A flat image is copied to this guest-physical address, and entered there. */
#define GUEST_IMAGE_ADDRESS 0x100000
