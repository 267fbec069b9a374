/* RDMSR and WRMSR by guests: what is not in this file is #GP(0), as on a processor without it. */
#include "cpu/msr.h"

#include "vm/handlers.h"

/* The PAT's value after reset, SDM 3A 12.12.4. */
static const uint64_t PAT_AT_RESET = 0x0007040600070406;

static bool guest_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value) {
    struct vcpu_state state;
    switch (msr) {
    case IA32_APIC_BASE:
        *value = 0xfee00000 | 1 << 8; /* disabled, on the bootstrap processor */
        return true;
    case IA32_PAT: *value = PAT_AT_RESET; return true;
    case (uint32_t)IA32_EFER:
        virt->read_state(vcpu, &state);
        *value = state.efer;
        return true;
    default: return false;
    }
}

/* A write may repeat what is there: nothing above can change yet. */
static bool guest_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value) {
    uint64_t current;
    return guest_msr_read(vcpu, msr, &current) && current == value;
}

enum vm_action handle_msr(struct vcpu *vcpu, const struct vm_exit *exit) {
    struct guest_registers *registers = &vcpu->registers;
    uint32_t msr = (uint32_t)registers->rcx;
    uint64_t value = registers->rdx << 32 | (uint32_t)registers->rax;
    bool known;
    if (exit->kind == VM_EXIT_MSR_READ) {
        known = guest_msr_read(vcpu, msr, &value);
        if (known) {
            registers->rax = (uint32_t)value;
            registers->rdx = value >> 32;
        }
    } else {
        known = guest_msr_write(vcpu, msr, value);
    }
    if (known) {
        virt->skip_instruction(vcpu);
    } else {
        virt->inject_general_protection(vcpu);
    }
    return VM_RESUME;
}
