/* Model-specific registers by the names of SDM 4, chapter 2, and of APM 2, appendix A. */
#pragma once

#include <stdint.h>

enum msr {
    IA32_APIC_BASE = 0x1b,
    IA32_FEATURE_CONTROL = 0x3a,
    IA32_SYSENTER_CS = 0x174,
    IA32_SYSENTER_ESP = 0x175,
    IA32_SYSENTER_EIP = 0x176,
    IA32_PAT = 0x277,
    IA32_VMX_BASIC = 0x480,
    IA32_VMX_PINBASED_CTLS = 0x481,
    IA32_VMX_PROCBASED_CTLS = 0x482,
    IA32_VMX_EXIT_CTLS = 0x483,
    IA32_VMX_ENTRY_CTLS = 0x484,
    IA32_VMX_MISC = 0x485,
    IA32_VMX_CR0_FIXED0 = 0x486,
    IA32_VMX_CR0_FIXED1 = 0x487,
    IA32_VMX_CR4_FIXED0 = 0x488,
    IA32_VMX_CR4_FIXED1 = 0x489,
    IA32_VMX_VMCS_ENUM = 0x48a,
    IA32_VMX_PROCBASED_CTLS2 = 0x48b,
    IA32_VMX_EPT_VPID_CAP = 0x48c,
    IA32_VMX_TRUE_PINBASED_CTLS = 0x48d,
    IA32_VMX_TRUE_PROCBASED_CTLS = 0x48e,
    IA32_VMX_TRUE_EXIT_CTLS = 0x48f,
    IA32_VMX_TRUE_ENTRY_CTLS = 0x490,
    IA32_VMX_VMFUNC = 0x491,
    IA32_VMX_PROCBASED_CTLS3 = 0x492,
    IA32_VMX_EXIT_CTLS2 = 0x493,
    IA32_MISC_ENABLE = 0x1a0,
    IA32_BIOS_SIGN_ID = 0x8b,
    IA32_EFER = (int)0xc0000080,
    IA32_STAR = (int)0xc0000081,
    IA32_LSTAR = (int)0xc0000082,
    IA32_CSTAR = (int)0xc0000083,
    IA32_FMASK = (int)0xc0000084,
    IA32_FS_BASE = (int)0xc0000100,
    IA32_GS_BASE = (int)0xc0000101,
    IA32_KERNEL_GS_BASE = (int)0xc0000102,
    IA32_TSC_AUX = (int)0xc0000103,
    VM_CR = (int)0xc0010114,
    VM_HSAVE_PA = (int)0xc0010117,
};

/* IA32_FEATURE_CONTROL, SDM 3C 24.7 */
#define FEATURE_CONTROL_LOCK            (1ull << 0)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX (1ull << 2)

/* The value of IA32_PAT after reset, SDM 3A 12.12.4. */
#define PAT_AT_RESET 0x0007040600070406ull

static inline uint64_t rdmsr(enum msr msr) {
    uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(enum msr msr, uint64_t value) {
    asm volatile("wrmsr"
                 :
                 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                 : "memory");
}
