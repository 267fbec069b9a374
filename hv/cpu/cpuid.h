/* The CPUID instruction, SDM 2A. */
#pragma once

#include <stdint.h>

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf) {
    struct cpuid r;
    asm volatile("cpuid"
                 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                 : "a"(leaf), "c"(subleaf));
    return r;
}

#define CPUID_1_ECX_DTES64       (1u << 2)
#define CPUID_1_ECX_MONITOR      (1u << 3)
#define CPUID_1_ECX_DS_CPL       (1u << 4)
#define CPUID_1_ECX_VMX          (1u << 5)
#define CPUID_1_ECX_SMX          (1u << 6)
#define CPUID_1_ECX_EST          (1u << 7)
#define CPUID_1_ECX_TM2          (1u << 8)
#define CPUID_1_ECX_CNXT_ID      (1u << 10)
#define CPUID_1_ECX_SDBG         (1u << 11)
#define CPUID_1_ECX_XTPR         (1u << 14)
#define CPUID_1_ECX_PDCM         (1u << 15)
#define CPUID_1_ECX_PCID         (1u << 17)
#define CPUID_1_ECX_DCA          (1u << 18)
#define CPUID_1_ECX_X2APIC       (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_ECX_XSAVE        (1u << 26)
#define CPUID_1_ECX_OSXSAVE      (1u << 27)
#define CPUID_1_ECX_HYPERVISOR   (1u << 31)

#define CPUID_1_EDX_VME  (1u << 1)
#define CPUID_1_EDX_MCE  (1u << 7)
#define CPUID_1_EDX_APIC (1u << 9)
#define CPUID_1_EDX_MTRR (1u << 12)
#define CPUID_1_EDX_MCA  (1u << 14)
#define CPUID_1_EDX_DS   (1u << 21)
#define CPUID_1_EDX_ACPI (1u << 22)
#define CPUID_1_EDX_HTT  (1u << 28)
#define CPUID_1_EDX_TM   (1u << 29)
#define CPUID_1_EDX_PBE  (1u << 31)

#define CPUID_7_EBX_FSGSBASE (1u << 0)
#define CPUID_7_EBX_BMI1     (1u << 3)
#define CPUID_7_EBX_AVX2     (1u << 5)
#define CPUID_7_EBX_SMEP     (1u << 7)
#define CPUID_7_EBX_BMI2     (1u << 8)
#define CPUID_7_EBX_ERMS     (1u << 9)
#define CPUID_7_EBX_SMAP     (1u << 20)
#define CPUID_7_EBX_ADX      (1u << 19)

#define CPUID_80000001_ECX_SVM           (1u << 2)
#define CPUID_80000001_EDX_NX            (1u << 20)
#define CPUID_80000001_EDX_PAGE_1G       (1u << 26)
#define CPUID_80000001_EDX_RDTSCP        (1u << 27)
#define CPUID_80000001_EDX_LM            (1u << 29)
#define CPUID_80000007_EDX_INVARIANT_TSC (1u << 8)
#define CPUID_8000000A_EDX_NPT           (1u << 0)
