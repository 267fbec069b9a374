#include "vmentry/announce.h"

#include "core/format.h"
#include "core/records.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "vmentry/bases.h"
#include "vmentry/pages.h"
#include "vmx/controls.h"
#include "vmx/operation.h"

/* A.3 to A.11: which of the capability MSRs exist depends on what the others say. */
static bool msr_exists(uint32_t msr) {
    const struct vmx_capabilities *c = &vmx_capabilities;
    switch (msr) {
    case IA32_VMX_PROCBASED_CTLS2: return c->primary.allowed & PRIMARY_ACTIVATE_SECONDARY_CONTROLS;
    case IA32_VMX_EPT_VPID_CAP: return c->ept_vpid;
    case IA32_VMX_TRUE_PINBASED_CTLS:
    case IA32_VMX_TRUE_PROCBASED_CTLS:
    case IA32_VMX_TRUE_EXIT_CTLS:
    case IA32_VMX_TRUE_ENTRY_CTLS: return c->has_true_controls;
    case IA32_VMX_VMFUNC: return c->secondary.allowed & SECONDARY_ENABLE_VM_FUNCTIONS;
    case IA32_VMX_PROCBASED_CTLS3: return c->primary.allowed & PRIMARY_ACTIVATE_TERTIARY_CONTROLS;
    case IA32_VMX_EXIT_CTLS2: return c->exit.allowed & EXIT_ACTIVATE_SECONDARY_CONTROLS;
    default: return true;
    }
}

static void record_msrs(void) {
    record_open("msrs");
    for (uint32_t msr = IA32_VMX_BASIC; msr <= IA32_VMX_EXIT_CTLS2; msr++) {
        if (msr_exists(msr)) {
            char name[8];
            format(name, sizeof name, "0x%x", msr);
            record_hex(name, rdmsr((enum msr)msr));
        }
    }
    record_close();
}

static void record_cpuid(void) {
    static const struct {
        uint32_t leaf, subleaf;
    } leaves[] = {{1, 0},   {7, 0},    {7, 1},          {0xa, 0},       {0xd, 0},
                  {0xd, 1}, {0x14, 0}, {0x80000001, 0}, {0x80000008, 0}};
    record_open("cpuid");
    for (unsigned i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        uint32_t leaf = leaves[i].leaf;
        if (cpuid(leaf & 0x80000000, 0).eax < leaf) {
            continue; /* beyond the last leaf, a processor answers with something else */
        }
        struct cpuid r = cpuid(leaf, leaves[i].subleaf);
        char name[24];
        format(name, sizeof name, "0x%x.%u", leaf, leaves[i].subleaf);
        record_open(name);
        record_hex("eax", r.eax);
        record_hex("ebx", r.ebx);
        record_hex("ecx", r.ecx);
        record_hex("edx", r.edx);
        record_close();
    }
    record_close();
}

void announce(void) {
    record_begin("vmentry");
    record_msrs();
    record_cpuid();
    pointed_pages_record();
    record_end();
    for (unsigned i = 0; i < BASES; i++) {
        record_begin("base");
        record_number("number", i);
        record_text("name", bases[i].name);
        record_flag("present", bases[i].present);
        if (bases[i].present) {
            record_hex("region", (uint64_t)bases[i].region);
            field_values_record(&bases[i].values);
        }
        record_end();
    }
    record_begin("ready");
    record_end();
}
