/*
 * Why a guest stopped running, decoded: the kind, and only the facts of that kind. vmx/ and svm/
 * fill this in; vm/ handles it without ever reading a VMCS or VMCB.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum vm_exit_kind {
    VM_EXIT_CPUID,
    VM_EXIT_HLT,
    VM_EXIT_HYPERCALL,
    VM_EXIT_IO,
    VM_EXIT_MSR_READ,
    VM_EXIT_MSR_WRITE,
    VM_EXIT_MEMORY, /* a guest-physical address without the mapping that the access needs */
    VM_EXIT_TRIPLE_FAULT,
    VM_EXIT_NMI,          /* for the hypervisor, not the guest */
    VM_EXIT_ENTRY_FAILED, /* the guest did not run at all */
    VM_EXIT_OTHER,
    VM_EXIT_KINDS
};

enum memory_access { MEMORY_READ, MEMORY_WRITE, MEMORY_EXECUTE };

struct vm_exit {
    enum vm_exit_kind kind;
    union {
        struct {
            uint16_t port;
            uint8_t size; /* bytes: 1, 2 or 4 */
            bool in, string;
        } io;
        struct {
            uint64_t address; /* guest-physical */
            enum memory_access access;
        } memory;
    };
};

/* More about the last exit, for a person: read from the hardware only when something went wrong. */
struct vm_exit_details {
    const char *reason;        /* the manual's name */
    bool is_instruction_error; /* VMLAUNCH or VMRESUME failed: there was no exit */
    uint32_t number;           /* the exit reason with its bit 31, or the error number */
    uint64_t qualification;
};
