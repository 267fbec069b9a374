/*
 * Why a guest stopped running, decoded: the kind, and only the facts of that kind. vmx/ and svm/
 * fill this in; vm/ handles it without ever reading a VMCS or VMCB.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum vm_exit_kind {
    /* Needs a control that is never set: a bug of ours or of the processor. First, so that a place in a
     * vendor's table that nobody filled means this. */
    VM_EXIT_IMPOSSIBLE,
    VM_EXIT_IO,
    VM_EXIT_CONTROL_REGISTER,
    VM_EXIT_MEMORY,        /* a guest-physical address without the mapping that the access needs */
    VM_EXIT_MISCONFIGURED, /* its mapping is not one that the processor accepts: a bug of ours */
    VM_EXIT_EXCEPTION,     /* one that is watched so that its delivery can't go on for ever */
    /* Those above have facts in struct vm_exit, those below have none. */
    VM_EXIT_LAST_WITH_FACTS = VM_EXIT_EXCEPTION,
    VM_EXIT_CPUID,
    VM_EXIT_HLT,
    VM_EXIT_HYPERCALL,
    VM_EXIT_MSR_READ,
    VM_EXIT_MSR_WRITE,
    VM_EXIT_XSETBV,
    VM_EXIT_NO_OPERATION, /* an instruction without effect here: it is skipped */
    VM_EXIT_UNDEFINED,    /* an instruction that this guest's processor does not have: #UD */
    VM_EXIT_PROTECTED,    /* one that it may not execute: #GP(0) */
    VM_EXIT_TIMER,        /* the time slice, or something that a guest waits for */
    VM_EXIT_WINDOW,       /* an event that was held back can be delivered now */
    VM_EXIT_INTERRUPT,    /* for the hypervisor, not the guest */
    VM_EXIT_NMI,          /* for the hypervisor, not the guest */
    VM_EXIT_TRIPLE_FAULT,
    VM_EXIT_TASK_SWITCH,  /* by hardware: not offered, the guest is stopped */
    VM_EXIT_UNSUPPORTED,  /* something that guests can't do here: the guest is stopped */
    VM_EXIT_ENTRY_FAILED, /* the guest did not run at all */
    VM_EXIT_KINDS
};

enum memory_access { MEMORY_READ, MEMORY_WRITE, MEMORY_EXECUTE };

enum control_operation { CONTROL_MOV_TO, CONTROL_MOV_FROM, CONTROL_CLTS, CONTROL_LMSW };

struct vm_exit {
    enum vm_exit_kind kind;
    uint64_t rip; /* where the guest was: of an instruction that exits, its start */
    union {
        struct {
            uint16_t port;
            uint8_t size; /* bytes: 1, 2 or 4 */
            bool in, string;
        } io;
        struct {
            uint64_t address; /* guest-physical */
            enum memory_access access;
            bool walking; /* the processor was reading the guest's page tables */
        } memory;
        struct {
            uint8_t number; /* 0, 3, 4 or 8 */
            enum control_operation operation;
            uint8_t gpr;     /* in encoding order, RAX 0 to R15 15; for the two MOVs */
            uint16_t source; /* LMSW's operand */
        } control;
        struct {
            uint8_t vector;
            uint8_t type;   /* enum event_type */
            uint8_t length; /* of INT1, which raises #DB by itself; else 0 */
            bool has_error_code;
            uint32_t error_code;
        } exception;
    };
};

/* More about the last exit, for a person: read from the hardware only when something went wrong. */
struct vm_exit_details {
    const char *reason;        /* the manual's name */
    bool is_instruction_error; /* VMLAUNCH or VMRESUME failed: there was no exit */
    uint32_t number;           /* the exit reason with its bit 31, or the error number */
    uint64_t qualification;
};
