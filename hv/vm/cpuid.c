/* CPUID as guests see it: the processor's own answer, less what they can't use here. */
#include "cpu/cpuid.h"

#include <stddef.h>

#include "core/time.h"
#include "cpu/control.h"
#include "debug.h"
#include "guests/abi.h"
#include "vm/handlers.h"

#define ANY 0xffffffff
#define ALL 0xffffffff

/* The policy, one row a leaf: each register is the processor's AND keep OR set. */
struct cpuid_rule {
    uint32_t leaf, subleaf; /* subleaf ANY: every one */
    struct cpuid keep, set;
};

enum {
    LEAF_XSAVE = 0xd,
    LEAF_TSC = 0x15,
    LEAF_FREQUENCY = 0x16,
    LEAF_HYPERVISOR = 0x40000000,
    LEAF_HYPERVISOR_CALL = GUEST_CPUID_HYPERCALL, /* the highest one that tells anything */
    LEAF_HYPERVISOR_LAST = 0x400000ff
};

/* Features whose control, MSR or exit handler does not exist here are hidden. */
#define HIDDEN_1_ECX                                                                               \
    (CPUID_1_ECX_MONITOR | CPUID_1_ECX_VMX | CPUID_1_ECX_SMX | CPUID_1_ECX_EST | CPUID_1_ECX_TM2 | \
     CPUID_1_ECX_DTES64 | CPUID_1_ECX_DS_CPL | CPUID_1_ECX_PDCM | CPUID_1_ECX_PCID |               \
     CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE | CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_CNXT_ID |   \
     CPUID_1_ECX_SDBG | CPUID_1_ECX_XTPR | CPUID_1_ECX_DCA)
#define HIDDEN_1_EDX                                                                             \
    (CPUID_1_EDX_VME | CPUID_1_EDX_MTRR | CPUID_1_EDX_APIC | CPUID_1_EDX_MCE | CPUID_1_EDX_MCA | \
     CPUID_1_EDX_ACPI | CPUID_1_EDX_DS | CPUID_1_EDX_TM | CPUID_1_EDX_HTT | CPUID_1_EDX_PBE)
#define SHOWN_7_EBX                                                                  \
    (CPUID_7_EBX_FSGSBASE | CPUID_7_EBX_BMI1 | CPUID_7_EBX_AVX2 | CPUID_7_EBX_SMEP | \
     CPUID_7_EBX_BMI2 | CPUID_7_EBX_ERMS | CPUID_7_EBX_SMAP | CPUID_7_EBX_ADX)

/* On AMD's processors these stand here too. */
#define HIDDEN_80000001_EDX \
    (CPUID_1_EDX_VME | CPUID_1_EDX_MCE | CPUID_1_EDX_APIC | CPUID_1_EDX_MTRR | CPUID_1_EDX_MCA)

/* LAHF in 64-bit mode, LZCNT, SSE4A, misaligned SSE, PREFETCH, XOP, FMA4, TBM: instructions only. */
#define SHOWN_80000001_ECX \
    (1u << 0 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 11 | 1u << 16 | 1u << 21)

static const struct cpuid_rule rules[] = {
    {1, ANY, {ALL, 0x0000ffff, ~HIDDEN_1_ECX, ~HIDDEN_1_EDX}, {0, 0, CPUID_1_ECX_HYPERVISOR, 0}},
    {5, ANY, {0, 0, 0, 0}, {0}}, /* MONITOR and MWAIT */
    {6, ANY, {0, 0, 0, 0}, {0}}, /* thermal and power management */
    {7, 0, {0, SHOWN_7_EBX, 0, 0}, {0}},
    {7, ANY, {0, 0, 0, 0}, {0}},
    {9, ANY, {0, 0, 0, 0}, {0}},   /* direct cache access */
    {0xa, ANY, {0, 0, 0, 0}, {0}}, /* performance monitoring */
    {0xb, ANY, {0, 0, 0, 0}, {0}}, /* topology: one processor */
    {0xf, ANY, {0, 0, 0, 0}, {0}}, /* resource monitoring and allocation */
    {0x10, ANY, {0, 0, 0, 0}, {0}},
    {0x12, ANY, {0, 0, 0, 0}, {0}}, /* SGX */
    {0x14, ANY, {0, 0, 0, 0}, {0}}, /* processor trace */
    {0x1f, ANY, {0, 0, 0, 0}, {0}},
    /* The signature "VanderpoolHV", in the order EBX ECX EDX that hypervisors agreed on. */
    {LEAF_HYPERVISOR,
     ANY,
     {0, 0, 0, 0},
     {LEAF_HYPERVISOR_CALL, 0x646e6156, 0x6f707265, 0x56486c6f}},
    {0x80000001, ANY, {ALL, ALL, SHOWN_80000001_ECX, ~HIDDEN_80000001_EDX}, {0}},
    {0x80000007, ANY, {0, 0, 0, CPUID_80000007_EDX_INVARIANT_TSC}, {0}}, /* power management */
    /* Linear addresses have 48 bits (15:8), since CR4.LA57 is not offered; one processor (ECX); what
     * EBX has against speculation goes by MSRs. */
    {0x80000008, ANY, {0x000000ff, 0, 0, 0}, {48 << 8, 0, 0, 0}},
    {0x8000000a, ANY, {0, 0, 0, 0}, {0}}, /* SVM */
    {0x8000001b, ANY, {0, 0, 0, 0}, {0}}, /* instruction-based sampling */
    {0x8000001c, ANY, {0, 0, 0, 0}, {0}}, /* lightweight profiling */
    {0x8000001d, ANY, {0, 0, 0, 0}, {0}}, /* topology: one processor */
    {0x8000001e, ANY, {0, 0, 0, 0}, {0}},
    {0x8000001f, ANY, {0, 0, 0, 0}, {0}}, /* encrypted memory */
    {0x80000020, ANY, {0, 0, 0, 0}, {0}}, /* bandwidth enforcement */
    {0x80000021, ANY, {0, 0, 0, 0}, {0}},
    {0x80000022, ANY, {0, 0, 0, 0}, {0}}, /* performance monitoring */
    {0x80000023, ANY, {0, 0, 0, 0}, {0}}, /* encrypted memory, several keys */
};

static const struct cpuid_rule *find(uint32_t leaf, uint32_t subleaf) {
    for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].leaf == leaf && (rules[i].subleaf == ANY || rules[i].subleaf == subleaf)) {
            return &rules[i];
        }
    }
    return NULL;
}

/* Leaf 0DH tells sizes and bits of the XSAVE area: only what guests may set in XCR0. */
static struct cpuid xsave_leaf(uint32_t subleaf) {
    struct cpuid r = {0, 0, 0, 0};
    if (!xstate_allowed()) {
        return r;
    }
    if (subleaf == 0) {
        struct cpuid avx = cpuid(0xd, 2);
        uint32_t end = xstate_allowed() & XCR0_AVX ? avx.eax + avx.ebx : 576; /* header included */
        r = (struct cpuid){(uint32_t)xstate_allowed(), end, end, 0};
    } else if (subleaf == 2 && xstate_allowed() & XCR0_AVX) {
        r = cpuid(0xd, 2);
    }
    return r;
}

/* The TSC's rate is the crystal's (ECX, Hz) times EBX / EAX. What the processor says of that may be of
 * another machine, where this one is emulated; its 8254's time is what guests get. */
static struct cpuid tsc_leaf(void) {
    uint64_t hz = time_tsc_hz();
    uint32_t ratio = (uint32_t)(hz >> 32) + 1;
    return (struct cpuid){.eax = 1, .ebx = ratio, .ecx = (uint32_t)(hz / ratio)};
}

/* EAX, EBX: base and highest frequency, in MHz; ECX: the bus's */
static struct cpuid frequency_leaf(void) {
    uint32_t mhz = (uint32_t)((time_tsc_hz() + 500000) / 1000000);
    return (struct cpuid){.eax = mhz, .ebx = mhz, .ecx = mhz};
}

/* Intel's processors answer a leaf above the highest ones as the highest basic one (SDM 2A, CPUID): what
 * is hidden there must not come back by such a number. AMD's answer zeros. */
static bool is_above_all(uint32_t leaf) {
    uint32_t first = leaf & 0x80000000;
    return leaf - first > cpuid(first, 0).eax - first;
}

static struct cpuid answer(uint32_t leaf, uint32_t subleaf) {
    switch (leaf) {
    case LEAF_XSAVE: return xsave_leaf(subleaf);
    case LEAF_TSC: return cpuid(0, 0).eax >= leaf ? tsc_leaf() : (struct cpuid){0, 0, 0, 0};
    case LEAF_FREQUENCY:
        return cpuid(0, 0).eax >= leaf ? frequency_leaf() : (struct cpuid){0, 0, 0, 0};
    default: break;
    }
    if (leaf == LEAF_HYPERVISOR_CALL) {
        return (struct cpuid){.eax = virt->hypercall == VIRT_VMMCALL};
    }
    if (leaf > LEAF_HYPERVISOR && leaf <= LEAF_HYPERVISOR_LAST) {
        return (struct cpuid){0, 0, 0, 0}; /* what runs below us is none of the guest's business */
    }
    if (leaf != LEAF_HYPERVISOR && is_above_all(leaf)) {
        return (struct cpuid){0, 0, 0, 0};
    }
    struct cpuid r = cpuid(leaf, subleaf);
    const struct cpuid_rule *rule = find(leaf, subleaf);
    if (rule) {
        r.eax = (r.eax & rule->keep.eax) | rule->set.eax;
        r.ebx = (r.ebx & rule->keep.ebx) | rule->set.ebx;
        r.ecx = (r.ecx & rule->keep.ecx) | rule->set.ecx;
        r.edx = (r.edx & rule->keep.edx) | rule->set.edx;
    }
    return r;
}

/*
 * The answers that depend on the leaf alone, worked out once: at an exit the processor's own CPUID would
 * exit in its turn to whoever is below, and to search the rules takes longer than all the rest.
 */
enum { KEPT = 64 };
struct kept_answer {
    uint32_t leaf;
    struct cpuid answer;
} __attribute__((aligned(32))); /* found by a shift */
static struct kept_answer kept[KEPT];

/* Basic leaves are at even places, extended ones, from 80000000H, at odd ones. */
static inline unsigned place_of(uint32_t leaf) {
    return (leaf << 1 | leaf >> 31) % KEPT;
}

/* A leaf above the highest one is answered like another one (SDM 2A, CPUID): it is not kept. */
static void keep_leaves(uint32_t first, uint32_t without_subleaves) {
    uint32_t highest = cpuid(first, 0).eax;
    for (unsigned i = 0; i < KEPT / 2 && first + i <= highest; i++) {
        if (without_subleaves >> i & 1) {
            kept[place_of(first + i)] = (struct kept_answer){first + i, answer(first + i, 0)};
        }
    }
}

void guest_cpuid_start(void) {
    for (unsigned i = 0; i < KEPT; i++) {
        kept[i].leaf = LEAF_HYPERVISOR; /* nobody's here: its place is that of leaf 0 */
    }
    /* Those of SDM 2A and APM 3 that have no sub-leaves, but for 1, which depends on the guest's CR4. */
    keep_leaves(0, 1u << 0 | 1u << 2 | 1u << 3 | 1u << 5 | 1u << 6 | 1u << 9 | 1u << 0xa |
                       1u << 0x15 | 1u << 0x16);
    keep_leaves(0x80000000, 0x1ff | 1u << 0xa);
}

struct cpuid guest_cpuid(uint32_t leaf, uint32_t subleaf) {
    unsigned place = place_of(leaf);
    return kept[place].leaf == leaf ? kept[place].answer : answer(leaf, subleaf);
}

/* In 64-bit mode the upper halves are cleared too. */
static inline void give(struct guest_registers *registers, struct cpuid r) {
    registers->rax = r.eax;
    registers->rbx = r.ebx;
    registers->rcx = r.ecx;
    registers->rdx = r.edx;
}

__attribute__((noinline)) static enum vm_action look_further(struct vcpu *vcpu) {
    struct guest_registers *registers = &vcpu->registers;
    if (debug == DEBUG_NULL_IN_EXIT) {
        struct guest_registers *volatile none =
            0; /* volatile: or the compiler would see the mistake */
        registers = none;
    }
    uint32_t leaf = (uint32_t)registers->rax;
    struct cpuid r = guest_cpuid(leaf, (uint32_t)registers->rcx);
    if (leaf == 1 && virt->get(vcpu, VCPU_CR4) & CR4_OSXSAVE) {
        r.ecx |= CPUID_1_ECX_OSXSAVE; /* mirrors CR4, SDM 2A, CPUID */
    }
    give(registers, r);
    return VM_SKIP;
}

enum vm_action handle_cpuid(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    uint32_t leaf = (uint32_t)vcpu->registers.rax;
    unsigned place = place_of(leaf);
    if (kept[place].leaf != leaf) {
        return look_further(vcpu);
    }
    give(&vcpu->registers, kept[place].answer);
    return VM_SKIP;
}
