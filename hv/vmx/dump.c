#include "vmx/dump.h"

#include "core/format.h"
#include "core/records.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "vmx/capabilities.h"
#include "vmx/controls.h"
#include "vmx/instructions.h"

/* Reading a capability MSR that isn't there faults; which there are, others tell. 3D A.3 to A.11 */
static bool msr_exists(const struct vmx_capabilities *c, uint32_t msr) {
    switch (msr) {
    case IA32_VMX_PROCBASED_CTLS2: return c->primary.allowed & PRIMARY_ACTIVATE_SECONDARY_CONTROLS;
    case IA32_VMX_EPT_VPID_CAP:
        return c->secondary.allowed & (SECONDARY_ENABLE_EPT | SECONDARY_ENABLE_VPID);
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
    struct vmx_capabilities capabilities;
    vmx_capabilities_read(&capabilities);
    record_open("msrs");
    for (uint32_t msr = IA32_VMX_BASIC; msr <= IA32_VMX_EXIT_CTLS2; msr++) {
        if (msr_exists(&capabilities, msr)) {
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

void vmx_processor_record(void) {
    record_msrs();
    record_cpuid();
}

void vmx_fields_record(void) {
    enum { WIDTH_SHIFT = 13, AREA_SHIFT = 10, INDEX_SHIFT = 1, WIDTHS = 4, AREAS = 4 };
    const uint32_t last = (uint32_t)rdmsr(IA32_VMX_VMCS_ENUM) >> 1 & 0x1ff; /* the index, 3D A.9 */
    record_open("fields");
    for (uint32_t high = 0; high < WIDTHS * AREAS; high++) {
        for (uint32_t index = 0; index <= last; index++) {
            uint32_t width = high / AREAS, area = high % AREAS;
            uint32_t encoding = width << WIDTH_SHIFT | area << AREA_SHIFT | index << INDEX_SHIFT;
            uint64_t value;
            /* VMREAD of a field that isn't there fails, and leaves error 12 where the entry's was. */
            if (encoding != VM_INSTRUCTION_ERROR && vmread(encoding, &value) == VMX_SUCCEED) {
                char name[8];
                format(name, sizeof name, "0x%04x", encoding);
                record_hex(name, value);
            }
        }
    }
    record_close();
}
