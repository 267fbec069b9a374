/* What this processor's VT-x offers: the capability MSRs of SDM 3D, appendix A, read once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A control word's limits (A.2): a bit may be 0 unless set in `required`, 1 only if in `allowed`. */
struct vmx_control_limits {
    uint32_t required, allowed;
};

struct vmx_capabilities {
    uint64_t basic;
    uint64_t misc;
    struct vmx_control_limits pin, primary, secondary, exit, entry;
    uint64_t cr0_required, cr0_allowed; /* IA32_VMX_CR0_FIXED0 and _FIXED1, A.7 */
    uint64_t cr4_required, cr4_allowed; /* A.8 */
    uint64_t ept_vpid;                  /* IA32_VMX_EPT_VPID_CAP, A.10; 0 where absent */
    bool has_true_controls;             /* IA32_VMX_BASIC[55], A.1 */
};

/* Only where CPUID.1:ECX.VMX is set; elsewhere these MSRs do not exist and reading them faults. */
bool vmx_present(void);
void vmx_capabilities_read(struct vmx_capabilities *capabilities);

bool vmx_has_ept(const struct vmx_capabilities *capabilities);

/* The member "features" of a record: a list of lower-case words (ept, vpid, ...). */
void vmx_capabilities_record(const struct vmx_capabilities *capabilities);
