/* One VM entry, and what came of it. */
#pragma once

#include <stdint.h>

#include "vmentry/bases.h"

enum attempt_kind {
    ATTEMPT_FAILED_INVALID, /* VMfailInvalid */
    ATTEMPT_FAILED_VALID,   /* VMfailValid; the number is that of VM_INSTRUCTION_ERROR */
    ATTEMPT_REFUSED, /* an exit with bit 31: the basic reason, and its qualification (27.8) */
    ATTEMPT_ENTERED, /* the guest ran, until an exit for this basic reason */
};

struct attempt {
    enum attempt_kind kind;
    uint32_t number;
    uint64_t qualification;
};

enum { EXIT_REASON_CPUID = 10 }; /* appendix C */

/* VMLAUNCH of the VMCS of `base`, which is current, with whatever was changed in it. If the processor
 * came to change it too, the VMCS is then as `base` says; else the caller undoes its own changes. */
struct attempt attempt_entry(const struct base *base);

/* enter.S: where every exit of these guests arrives; goes into HOST_RIP. */
extern const char vm_exit_point[];
