/* RDMSR and WRMSR by guests: what is not in this table is #GP(0), as on a processor without it. */
#include "vm/msr.h"

#include <stddef.h>

#include "cpu/msr.h"
#include "vm/control.h"
#include "vm/handlers.h"

/* The local APIC is reported as disabled, on the bootstrap processor (SDM 3A 11.4.4). */
#define APIC_BASE_DISABLED (0xfee00000 | 1 << 8)

const struct msr_rule msr_rules[] = {
    {IA32_APIC_BASE, IA32_APIC_BASE, MSR_CONSTANT, APIC_BASE_DISABLED},
    {IA32_FEATURE_CONTROL, IA32_FEATURE_CONTROL, MSR_CONSTANT, FEATURE_CONTROL_LOCK},
    {IA32_BIOS_SIGN_ID, IA32_BIOS_SIGN_ID, MSR_IGNORED, 0},
    {IA32_SYSENTER_CS, IA32_SYSENTER_EIP, MSR_DIRECT, 0},
    {IA32_MISC_ENABLE, IA32_MISC_ENABLE, MSR_EMULATED, 0},
    {IA32_PAT, IA32_PAT, MSR_EMULATED, 0},
    {(uint32_t)IA32_EFER, (uint32_t)IA32_EFER, MSR_EMULATED, 0},
    {(uint32_t)IA32_STAR, (uint32_t)IA32_FMASK, MSR_DIRECT, 0},
    {(uint32_t)IA32_FS_BASE, (uint32_t)IA32_KERNEL_GS_BASE, MSR_DIRECT, 0},
    {(uint32_t)IA32_TSC_AUX, (uint32_t)IA32_TSC_AUX, MSR_DIRECT, 0},
};
const unsigned msr_rule_count = sizeof msr_rules / sizeof msr_rules[0];

static const struct msr_rule *find(uint32_t msr) {
    for (unsigned i = 0; i < msr_rule_count; i++) {
        if (msr >= msr_rules[i].first && msr <= msr_rules[i].last) {
            return &msr_rules[i];
        }
    }
    return NULL;
}

/* Fast strings as the processor has them, and nothing else: systems choose their ways of copying by that
 * bit. In Bochs it is clear, and there each step of a string instruction counts as one. */
static uint64_t misc_enable(void) {
    enum { FAST_STRINGS = 1 };
    return virt == &vmx ? rdmsr(IA32_MISC_ENABLE) & FAST_STRINGS : FAST_STRINGS;
}

/* SDM 3A 12.12.2: eight bytes, each one of the types 0, 1, 4, 5, 6, 7. */
static bool pat_is_good(uint64_t value) {
    for (unsigned i = 0; i < 8; i++, value >>= 8) {
        if ((value & 0xff) > 7 || (value & 0xff) == 2 || (value & 0xff) == 3) {
            return false;
        }
    }
    return true;
}

bool msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value) {
    const struct msr_rule *rule = find(msr);
    if (!rule) {
        return false;
    }
    switch (rule->kind) {
    case MSR_CONSTANT:
    case MSR_IGNORED: *value = rule->value; return true;
    case MSR_EMULATED:
        *value = msr == IA32_MISC_ENABLE ? misc_enable()
                 : msr == IA32_PAT       ? virt->get(vcpu, VCPU_PAT)
                                         : virt->get(vcpu, VCPU_EFER);
        return true;
    case MSR_DIRECT: /* comes here only on a processor without it, or without bitmaps */ break;
    }
    return false;
}

bool msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value) {
    const struct msr_rule *rule = find(msr);
    if (!rule) {
        return false;
    }
    switch (rule->kind) {
    case MSR_IGNORED: return true;
    case MSR_CONSTANT: return value == rule->value;
    case MSR_EMULATED:
        if (msr == IA32_MISC_ENABLE) {
            return value == misc_enable();
        }
        if (msr == IA32_PAT) {
            if (pat_is_good(value)) {
                virt->set(vcpu, VCPU_PAT, value);
                return true;
            }
            return false;
        }
        return control_write_efer(vcpu, value);
    case MSR_DIRECT: break;
    }
    return false;
}

enum vm_action handle_msr(struct vcpu *vcpu, const struct vm_exit *exit) {
    struct guest_registers *registers = &vcpu->registers;
    uint32_t msr = (uint32_t)registers->rcx;
    uint64_t value = registers->rdx << 32 | (uint32_t)registers->rax;
    bool good;
    if (exit->kind == VM_EXIT_MSR_READ) {
        good = msr_read(vcpu, msr, &value);
        if (good) {
            registers->rax = (uint32_t)value;
            registers->rdx = value >> 32;
        }
    } else {
        good = msr_write(vcpu, msr, value);
    }
    if (good) {
        return VM_SKIP;
    }
    events_raise_exception(&vcpu->events, VECTOR_GP, true, 0);
    return VM_RESUME;
}
