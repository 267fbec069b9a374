/* CPUID as guests see it: the processor's own answer, less what they can't use here. */
#include "cpu/cpuid.h"

#include "vm/handlers.h"

enum { LEAF_HYPERVISOR = 0x40000000, LEAF_HYPERVISOR_LAST = 0x400000ff };

/* Leaf 1 ECX: features that need a control, an MSR or an exit handler which does not exist yet. */
static const uint32_t HIDDEN_1_ECX = CPUID_1_ECX_MONITOR | CPUID_1_ECX_VMX | CPUID_1_ECX_PCID |
                                     CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE |
                                     CPUID_1_ECX_XSAVE | CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_AVX;

static struct cpuid guest_cpuid(uint32_t leaf, uint32_t subleaf) {
    struct cpuid r = {0, 0, 0, 0};
    if (leaf == LEAF_HYPERVISOR) {
        /* The signature "VanderpoolHV", in the order EBX ECX EDX that hypervisors agreed on. */
        return (struct cpuid){LEAF_HYPERVISOR, 0x646e6156, 0x6f707265, 0x56486c6f};
    }
    if (leaf > LEAF_HYPERVISOR && leaf <= LEAF_HYPERVISOR_LAST) {
        return r; /* whatever runs below us is none of the guest's business */
    }
    r = cpuid(leaf, subleaf);
    switch (leaf) {
    case 1: r.ecx = (r.ecx & ~HIDDEN_1_ECX) | CPUID_1_ECX_HYPERVISOR; break;
    case 7: /* structured extended features: all of them need CR4 or XCR0 bits, or INVPCID */
        r = (struct cpuid){0, 0, 0, 0};
        break;
    case 0xd: /* XSAVE state: hidden with leaf 1 */ r = (struct cpuid){0, 0, 0, 0}; break;
    case 0x80000001:
        r.ecx &= ~CPUID_80000001_ECX_SVM;
        r.edx &= ~(1u << 27); /* RDTSCP */
        break;
    default: break;
    }
    return r;
}

enum vm_action handle_cpuid(struct vcpu *vcpu, const struct vm_exit *exit) {
    (void)exit;
    struct guest_registers *registers = &vcpu->registers;
    struct cpuid r = guest_cpuid((uint32_t)registers->rax, (uint32_t)registers->rcx);
    /* In 64-bit mode the upper halves are cleared too (SDM 2A, CPUID). */
    registers->rax = r.eax;
    registers->rbx = r.ebx;
    registers->rcx = r.ecx;
    registers->rdx = r.edx;
    virt->skip_instruction(vcpu);
    return VM_RESUME;
}
