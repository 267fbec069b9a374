/* Registers that VM entries and exits leave as they are, and that guests use without an exit. */
#include "cpu/control.h"
#include "cpu/msr.h"
#include "vmx/vcpu.h"

void vmx_unswitched_set_up(struct vmx_vcpu *vcpu) {
    vcpu->unswitched = (struct vmx_unswitched){.dr6 = 0xffff0ff0}; /* SDM 3A table 9-1 */
}

void vmx_save(struct vcpu *vcpu) {
    struct vmx_unswitched *u = &vmx_vcpu(vcpu)->unswitched;
    u->cr2 = read_cr2();
    asm volatile("mov %%dr6, %0" : "=r"(u->dr6));
    u->star = rdmsr(IA32_STAR);
    u->lstar = rdmsr(IA32_LSTAR);
    u->cstar = rdmsr(IA32_CSTAR);
    u->fmask = rdmsr(IA32_FMASK);
    u->kernel_gs_base = rdmsr(IA32_KERNEL_GS_BASE);
}

void vmx_load(struct vcpu *vcpu) {
    const struct vmx_unswitched *u = &vmx_vcpu(vcpu)->unswitched;
    write_cr2(u->cr2);
    asm volatile("mov %0, %%dr6" : : "r"(u->dr6));
    wrmsr(IA32_STAR, u->star);
    wrmsr(IA32_LSTAR, u->lstar);
    wrmsr(IA32_CSTAR, u->cstar);
    wrmsr(IA32_FMASK, u->fmask);
    wrmsr(IA32_KERNEL_GS_BASE, u->kernel_gs_base);
}
