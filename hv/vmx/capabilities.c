#include "vmx/capabilities.h"

#include "core/records.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "vmx/controls.h"

bool vmx_present(void) {
    return cpuid(1, 0).ecx & CPUID_1_ECX_VMX;
}

static struct vmx_control_limits limits(enum msr msr) {
    uint64_t value = rdmsr(msr);
    return (struct vmx_control_limits){(uint32_t)value, (uint32_t)(value >> 32)};
}

void vmx_capabilities_read(struct vmx_capabilities *c) {
    *c = (struct vmx_capabilities){.basic = rdmsr(IA32_VMX_BASIC), .misc = rdmsr(IA32_VMX_MISC)};
    /* The TRUE MSRs tell which default1 bits may be 0 after all (A.2). */
    c->has_true_controls = c->basic >> 55 & 1;
    c->pin = limits(c->has_true_controls ? IA32_VMX_TRUE_PINBASED_CTLS : IA32_VMX_PINBASED_CTLS);
    c->primary =
        limits(c->has_true_controls ? IA32_VMX_TRUE_PROCBASED_CTLS : IA32_VMX_PROCBASED_CTLS);
    c->exit = limits(c->has_true_controls ? IA32_VMX_TRUE_EXIT_CTLS : IA32_VMX_EXIT_CTLS);
    c->entry = limits(c->has_true_controls ? IA32_VMX_TRUE_ENTRY_CTLS : IA32_VMX_ENTRY_CTLS);
    c->cr0_required = rdmsr(IA32_VMX_CR0_FIXED0);
    c->cr0_allowed = rdmsr(IA32_VMX_CR0_FIXED1);
    c->cr4_required = rdmsr(IA32_VMX_CR4_FIXED0);
    c->cr4_allowed = rdmsr(IA32_VMX_CR4_FIXED1);
    if (c->primary.allowed & PRIMARY_ACTIVATE_SECONDARY_CONTROLS) {
        c->secondary = limits(IA32_VMX_PROCBASED_CTLS2);
    }
    if (c->secondary.allowed & (SECONDARY_ENABLE_EPT | SECONDARY_ENABLE_VPID)) {
        c->ept_vpid = rdmsr(IA32_VMX_EPT_VPID_CAP);
    }
}

bool vmx_has_ept(const struct vmx_capabilities *c) {
    return c->secondary.allowed & SECONDARY_ENABLE_EPT && c->ept_vpid & EPT_CAP_WALK_LENGTH_4 &&
           c->ept_vpid & (EPT_CAP_WRITE_BACK | EPT_CAP_UNCACHEABLE);
}

void vmx_capabilities_record(const struct vmx_capabilities *c) {
    bool ept = vmx_has_ept(c);
    /* Bit numbers: pin 25.6.1, secondary 25.6.2, EPT and VPID A.10. */
    const struct {
        const char *name;
        bool present;
    } features[] = {
        {"ept", ept},
        {"ept-2m", ept && c->ept_vpid & EPT_CAP_2M_PAGES},
        {"ept-1g", ept && c->ept_vpid & EPT_CAP_1G_PAGES},
        {"ept-accessed-dirty", ept && c->ept_vpid & EPT_CAP_ACCESSED_DIRTY},
        {"invept", ept && c->ept_vpid & EPT_CAP_INVEPT},
        {"vpid", c->secondary.allowed & SECONDARY_ENABLE_VPID},
        {"invvpid", c->ept_vpid & VPID_CAP_INVVPID},
        {"unrestricted-guest", c->secondary.allowed & SECONDARY_UNRESTRICTED_GUEST},
        {"preemption-timer", c->pin.allowed >> 6 & 1},
        {"posted-interrupts", c->pin.allowed >> 7 & 1},
        {"virtual-interrupt-delivery", c->secondary.allowed >> 9 & 1},
        {"vm-functions", c->secondary.allowed >> 13 & 1},
        {"vmcs-shadowing", c->secondary.allowed >> 14 & 1},
        {"pml", c->secondary.allowed >> 17 & 1},
        {"ept-violation-ve", c->secondary.allowed >> 18 & 1},
        {"tsc-scaling", c->secondary.allowed >> 25 & 1},
        {"monitor-trap-flag", c->primary.allowed >> 27 & 1},
        {"true-controls", c->has_true_controls},
    };
    record_open_list("features");
    for (unsigned i = 0; i < sizeof features / sizeof features[0]; i++) {
        if (features[i].present) {
            record_text(0, features[i].name);
        }
    }
    record_close();
}
