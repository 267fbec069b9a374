/* The product on lesser processors: capabilities are taken away, and its guests must still run. A.2 */
#include "cpu/msr.h"
#include "selftest/bits.h"
#include "selftest/product.h"
#include "selftest/selftest.h"
#include "vmx/controls.h"
#include "vmx/operation.h"
#include "vmx/vmcs.h"

/* With vmx_capabilities as the caller has changed them; the runner reads them anew at the next start. */
static uint32_t secondary_controls_of_a_guest(const char *what) {
    struct machine machine;
    machine_create(&machine, PROGRAM(count));
    uint32_t controls = (uint32_t)vmcs_read(SECONDARY_PROCESSOR_BASED_CONTROLS);
    machine_runs_until(&machine, what, REASON_HLT);
    machine_destroy(&machine);
    return controls;
}

SELFTEST(optional_controls_are_taken,
         "a control that the product would like is set where it may be") {
    const uint32_t may = SECONDARY_ENABLE_VPID | SECONDARY_UNRESTRICTED_GUEST |
                         SECONDARY_WBINVD_EXITING | SECONDARY_ENABLE_RDTSCP;
    uint32_t offered = vmx_capabilities.secondary.allowed & may;
    uint32_t controls = secondary_controls_of_a_guest("everything");
    check_equal("the optional secondary controls", controls & may, offered);
    check_equal("EPT", controls & SECONDARY_ENABLE_EPT, SECONDARY_ENABLE_EPT);
}

SELFTEST(guests_run_without_optional_controls,
         "a guest runs without each secondary control that the product can do without") {
    static const struct {
        const char *what;
        uint32_t control;
    } rows[] = {
        {"without VPID", SECONDARY_ENABLE_VPID},
        {"without unrestricted guest", SECONDARY_UNRESTRICTED_GUEST},
        {"without WBINVD exiting", SECONDARY_WBINVD_EXITING},
        {"without RDTSCP", SECONDARY_ENABLE_RDTSCP},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vmx_control_limits before = vmx_capabilities.secondary;
        vmx_capabilities.secondary.allowed &= ~rows[i].control;
        uint32_t controls = secondary_controls_of_a_guest(rows[i].what);
        check(!(controls & rows[i].control), "%s: the controls are 0x%x", rows[i].what, controls);
        vmx_capabilities.secondary = before;
    }
}

SELFTEST(guests_run_with_vpid_but_without_invvpid,
         "a guest runs on a CPU that has VPIDs but not the instruction to invalidate them") {
    uint64_t before = vmx_capabilities.ept_vpid;
    vmx_capabilities.ept_vpid &= ~VPID_CAP_INVVPID;
    secondary_controls_of_a_guest("without INVVPID");
    vmx_capabilities.ept_vpid = before;
}

SELFTEST(
    guests_run_with_fewer_invalidations,
    "a guest runs where INVEPT and INVVPID have the all-contexts type only, or INVEPT is missing") {
    uint64_t before = vmx_capabilities.ept_vpid;
    if (before & EPT_CAP_INVEPT_ALL && before & VPID_CAP_INVVPID_ALL) {
        vmx_capabilities.ept_vpid &= ~(EPT_CAP_INVEPT_SINGLE | VPID_CAP_INVVPID_SINGLE);
        secondary_controls_of_a_guest("with all-contexts only");
    }
    vmx_capabilities.ept_vpid = before & ~EPT_CAP_INVEPT;
    secondary_controls_of_a_guest("without INVEPT");
    vmx_capabilities.ept_vpid = before;
}

SELFTEST(guests_run_without_large_pages,
         "a guest runs where EPT has 4K pages only, or no A/D flags") {
    uint64_t before = vmx_capabilities.ept_vpid;
    vmx_capabilities.ept_vpid &= ~(EPT_CAP_2M_PAGES | EPT_CAP_1G_PAGES);
    secondary_controls_of_a_guest("with 4K pages");
    vmx_capabilities.ept_vpid = before & ~EPT_CAP_ACCESSED_DIRTY;
    secondary_controls_of_a_guest("without accessed and dirty flags");
    vmx_capabilities.ept_vpid = before & ~EPT_CAP_WRITE_BACK;
    if (before & EPT_CAP_UNCACHEABLE) {
        secondary_controls_of_a_guest("with uncacheable tables");
    }
    vmx_capabilities.ept_vpid = before;
}

static struct vmx_control_limits limits(enum msr msr) {
    uint64_t value = rdmsr(msr);
    return (struct vmx_control_limits){(uint32_t)value, (uint32_t)(value >> 32)};
}

static void give_handler(struct vm *vm, unsigned vector, uint64_t offset) {
    enum { IDT = 0x20000 };
    uint64_t handler = MACHINE_CODE + offset;
    uint64_t *gate = (uint64_t *)(vm->memory + IDT + 16 * vector);
    *gate = (handler & 0xffff) | 0x10ull << 16 | 0x8eull << 40 | (handler >> 16) << 48;
    vmcs_write(GUEST_IDTR_BASE, IDT);
    vmcs_write(GUEST_IDTR_LIMIT, 16 * 256 - 1);
}

static void give_sleeper_a_handler(struct vm *vm) {
    extern const uint8_t guest_sleep_handler[];
    give_handler(vm, 0x41, (uint64_t)(guest_sleep_handler - PROGRAM(sleep).start));
}

static void give_protection_a_handler(struct vm *vm) {
    extern const uint8_t guest_cr3_refused_handler[];
    uint64_t offset = (uint64_t)(guest_cr3_refused_handler - PROGRAM(cr3_refused_42).start);
    give_handler(vm, VECTOR_GP, offset);
}

SELFTEST(guests_run_without_true_controls,
         "a guest runs on a CPU without the TRUE capability MSRs, with all default1 bits set") {
    vmx_capabilities.has_true_controls = false;
    vmx_capabilities.pin = limits(IA32_VMX_PINBASED_CTLS);
    vmx_capabilities.primary = limits(IA32_VMX_PROCBASED_CTLS);
    vmx_capabilities.exit = limits(IA32_VMX_EXIT_CTLS);
    vmx_capabilities.entry = limits(IA32_VMX_ENTRY_CTLS);
    const uint32_t default1 = 0x0401e172; /* A.3.2 */
    check_equal("the default1 bits", vmx_capabilities.primary.required & default1, default1);
    secondary_controls_of_a_guest("with default1 bits");
    /* CR3 accesses exit there. */
    const struct vm *vm = product_runs(PROGRAM(cr3_exit_42), 0);
    check_equal("control-register exits", vm->exits[VM_EXIT_CONTROL_REGISTER], 3);
    /* Bits beyond physical addresses are #GP, or else the next entry would fail (27.3.1.1). */
    vm = product_runs(PROGRAM(cr3_refused_42), give_protection_a_handler);
    check_equal("refused control-register exits", vm->exits[VM_EXIT_CONTROL_REGISTER], 2);
}

SELFTEST(capabilities_agree, "TRUE capability MSRs only relax what the plain ones require (A.2)") {
    if (!vmx_capabilities.has_true_controls) {
        skip("this CPU has no TRUE capability MSRs");
        return;
    }
    const struct {
        const char *name;
        enum msr plain;
        struct vmx_control_limits exact;
    } rows[] = {
        {"pin-based", IA32_VMX_PINBASED_CTLS, vmx_capabilities.pin},
        {"primary", IA32_VMX_PROCBASED_CTLS, vmx_capabilities.primary},
        {"exit", IA32_VMX_EXIT_CTLS, vmx_capabilities.exit},
        {"entry", IA32_VMX_ENTRY_CTLS, vmx_capabilities.entry},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vmx_control_limits plain = limits(rows[i].plain);
        check(!(rows[i].exact.required & ~plain.required), "%s requires 0x%x, not 0x%x",
              rows[i].name, rows[i].exact.required, plain.required);
        check(rows[i].exact.allowed == plain.allowed, "%s allows 0x%x, not 0x%x", rows[i].name,
              rows[i].exact.allowed, plain.allowed);
    }
}

SELFTEST(guests_sleep_without_hlt_activity,
         "a guest that halts wakes by its timer, also on a CPU without the HLT activity state") {
    product_runs(PROGRAM(sleep), give_sleeper_a_handler);
    vmx_capabilities.misc &= ~(uint64_t)MISC_ACTIVITY_HLT;
    product_runs(PROGRAM(sleep), give_sleeper_a_handler);
}
