#include "vmx/operation.h"

#include "core/console.h"
#include "core/pages.h"
#include "core/panic.h"
#include "core/refuse.h"
#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "vm/vcpu.h"
#include "vm/xstate.h"
#include "vmx/bitmaps.h"
#include "vmx/controls.h"
#include "vmx/instructions.h"
#include "vmx/vcpu.h"

struct vmx_capabilities vmx_capabilities;

static void *vmxon_region;

/* SDM 3C 24.7: VMXON faults unless the lock bit and the enable bit are set; firmware often sets both. */
static void permit_vmxon(void) {
    uint64_t control = rdmsr(IA32_FEATURE_CONTROL);
    if (!(control & FEATURE_CONTROL_LOCK)) {
        wrmsr(IA32_FEATURE_CONTROL,
              control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
        print("vmx", "IA32_FEATURE_CONTROL was 0x%lx, unlocked: VMX enabled and locked", control);
    } else if (!(control & FEATURE_CONTROL_VMX_OUTSIDE_SMX)) {
        refuse(
            "locked",
            "firmware has locked VT-x off (IA32_FEATURE_CONTROL is 0x%lx); enable it in the firmware's "
            "setup",
            control);
    } else {
        print("vmx", "IA32_FEATURE_CONTROL is 0x%lx: VMX enabled by firmware", control);
    }
}

/* Bits that must be 1 are set, bits that must be 0 cleared (A.7, A.8). */
static uint64_t fix(uint64_t value, uint64_t required, uint64_t allowed) {
    return (value | required) & allowed;
}

void *vmx_region_create(void) {
    uint32_t *region = pages_allocate(1, 1);
    if (region) {
        *region = (uint32_t)vmx_capabilities.basic & 0x7fffffff; /* A.1, bits 30:0 */
    }
    return region;
}

/* 29.4.3.3 and 29.4.3.4: whoever used VMX before us may have left translations of identifiers and
 * tables' addresses that are ours now; nothing but these drops them. */
static void forget_former_translations(void) {
    const uint64_t can = vmx_capabilities.ept_vpid;
    bool failed = false;
    if (can & EPT_CAP_INVEPT && can & EPT_CAP_INVEPT_ALL) {
        failed = invept(INVEPT_ALL_CONTEXTS, 0) != VMX_SUCCEED;
    }
    if (can & VPID_CAP_INVVPID && can & VPID_CAP_INVVPID_ALL) {
        failed |= invvpid(INVVPID_ALL_CONTEXTS, 0, 0) != VMX_SUCCEED;
    }
    if (failed) {
        panic("INVEPT or INVVPID of all contexts failed");
    }
}

void vmx_start(void) {
    permit_vmxon();
    vmx_capabilities_read(&vmx_capabilities);
    if (!vmx_has_ept(&vmx_capabilities)) {
        refuse("no-ept", "this CPU's VT-x has no EPT (extended page tables) with 4-level walks");
    }
    const uint32_t pin = PIN_ACTIVATE_PREEMPTION_TIMER | PIN_VIRTUAL_NMIS;
    if ((vmx_capabilities.pin.allowed & pin) != pin) {
        refuse("no-preemption-timer", "this CPU's VT-x has no preemption timer or no virtual NMIs");
    }
    write_cr0(fix(read_cr0(), vmx_capabilities.cr0_required, vmx_capabilities.cr0_allowed));
    write_cr4(fix(read_cr4() | CR4_VMXE | CR4_MCE, vmx_capabilities.cr4_required,
                  vmx_capabilities.cr4_allowed));

    vmxon_region = vmx_region_create();
    if (!vmxon_region) {
        panic("out of memory");
    }
    enum vmx_result result = vmxon((uint64_t)vmxon_region);
    if (result != VMX_SUCCEED) {
        panic("VMXON failed (%s)", result == VMX_FAIL_INVALID ? "VMfailInvalid" : "VMfailValid");
    }
    forget_former_translations();
    bitmaps_start();
    xstate_start();
    vmx_state_start();
    vcpu_features_read();
    vmx_exits_start();
    print("vmx", "on: VMCS revision 0x%x, EPT%s%s%s%s%s",
          (uint32_t)vmx_capabilities.basic & 0x7fffffff,
          vmx_capabilities.ept_vpid & (1 << 16) ? " 2M" : "",
          vmx_capabilities.ept_vpid & (1 << 17) ? " 1G" : "",
          vmx_capabilities.ept_vpid & (1 << 21) ? " A/D" : "",
          vmx_capabilities.secondary.allowed & (1 << 5) ? ", VPID" : "",
          vmx_capabilities.secondary.allowed & (1 << 7) ? ", unrestricted guest" : "");
}

void vmx_stop(void) {
    bitmaps_stop();
    if (vmxoff() != VMX_SUCCEED) {
        panic("VMXOFF failed");
    }
    write_cr4(read_cr4() & ~(uint64_t)CR4_VMXE);
    pages_free(vmxon_region, 1);
    print("vmx", "off");
}
