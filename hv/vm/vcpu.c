#include "vm/vcpu.h"

#include "cpu/control.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "vm/scheduler.h"
#include "vm/virt.h"

enum { RSP = 4 };

/* Where each encoding stands in the structure, in words; RSP is not there. */
static const uint8_t slots[16] = {14, 12, 11, 13, 0, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
static_assert(offsetof(struct guest_registers, rax) == 14 * 8, "slots[0]");
static_assert(offsetof(struct guest_registers, rcx) == 12 * 8, "slots[1]");
static_assert(offsetof(struct guest_registers, rdi) == 8 * 8, "slots[7]");
static_assert(offsetof(struct guest_registers, r8) == 7 * 8, "slots[8]");
static_assert(offsetof(struct guest_registers, r15) == 0, "slots[15]");

uint64_t vcpu_gpr(struct vcpu *vcpu, unsigned number) {
    const uint64_t *words = (const uint64_t *)&vcpu->registers;
    return number == RSP ? virt->get(vcpu, VCPU_RSP) : words[slots[number & 15]];
}

void vcpu_gprs(struct vcpu *vcpu, uint64_t registers[16]) {
    const struct guest_registers *r = &vcpu->registers;
    registers[0] = r->rax;
    registers[1] = r->rcx;
    registers[2] = r->rdx;
    registers[3] = r->rbx;
    registers[RSP] = virt->get(vcpu, VCPU_RSP);
    registers[5] = r->rbp;
    registers[6] = r->rsi;
    registers[7] = r->rdi;
    registers[8] = r->r8;
    registers[9] = r->r9;
    registers[10] = r->r10;
    registers[11] = r->r11;
    registers[12] = r->r12;
    registers[13] = r->r13;
    registers[14] = r->r14;
    registers[15] = r->r15;
}

void vcpu_set_gpr(struct vcpu *vcpu, unsigned number, uint64_t value) {
    uint64_t *words = (uint64_t *)&vcpu->registers;
    if (number == RSP) {
        virt->set(vcpu, VCPU_RSP, value);
    } else {
        words[slots[number & 15]] = value;
    }
}

bool vcpu_in_64_bit_mode(struct vcpu *vcpu) {
    return virt->get(vcpu, VCPU_EFER) & EFER_LMA && virt->get(vcpu, VCPU_CS_RIGHTS) >> 13 & 1;
}

unsigned vcpu_privilege_level(struct vcpu *vcpu) {
    return virt->get(vcpu, VCPU_SS_RIGHTS) >> 5 & 3; /* SDM 3C 25.4.1: SS's DPL is the CPL */
}

static bool has_rdtscp; /* and with it IA32_TSC_AUX */

void vcpu_features_read(void) {
    has_rdtscp = cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_RDTSCP;
}

void vcpu_save(struct vcpu *vcpu) {
    asm volatile("mov %%dr0, %0" : "=r"(vcpu->dr[0]));
    asm volatile("mov %%dr1, %0" : "=r"(vcpu->dr[1]));
    asm volatile("mov %%dr2, %0" : "=r"(vcpu->dr[2]));
    asm volatile("mov %%dr3, %0" : "=r"(vcpu->dr[3]));
    vcpu->tsc_aux = has_rdtscp ? rdmsr(IA32_TSC_AUX) : 0;
    if (virt->save) {
        virt->save(vcpu);
    }
    xstate_save(vcpu->xstate);
}

void vcpu_load(struct vcpu *vcpu) {
    asm volatile("mov %0, %%dr0" : : "r"(vcpu->dr[0]));
    asm volatile("mov %0, %%dr1" : : "r"(vcpu->dr[1]));
    asm volatile("mov %0, %%dr2" : : "r"(vcpu->dr[2]));
    asm volatile("mov %0, %%dr3" : : "r"(vcpu->dr[3]));
    if (has_rdtscp) {
        wrmsr(IA32_TSC_AUX, vcpu->tsc_aux);
    }
    if (virt->load) {
        virt->load(vcpu);
    }
    xstate_load(vcpu->xstate);
}

static uint8_t acknowledge(struct events *events) {
    struct vcpu *vcpu = (struct vcpu *)((char *)events - offsetof(struct vcpu, events));
    uint8_t vector = platform_acknowledge(&vcpu->vm->platform, clock_now(vcpu));
    scheduler_heed(vcpu);
    return vector;
}

bool vcpu_start_state(struct vcpu *vcpu, struct vm *vm) {
    vcpu->vm = vm;
    vcpu->timer = UINT64_MAX;
    vcpu->events.acknowledge = acknowledge;
    vcpu->xstate = xstate_create();
    return vcpu->xstate;
}

void vcpu_free_state(struct vcpu *vcpu) {
    if (vcpu->xstate) {
        xstate_free(vcpu->xstate);
    }
}
