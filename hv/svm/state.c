/* The registers that the VMCB holds, by the names that vm/ uses. */
#include "cpu/control.h"
#include "svm/asid.h"
#include "svm/vcpu.h"
#include "vm/guest_memory.h"
#include "vm/vm.h"

/* As a descriptor has them, with the gap at 11:8 where a limit's bits are. */
static uint64_t rights(const struct vmcb_segment *segment) {
    return (segment->attributes & 0xffu) | (segment->attributes & 0xf00u) << 4;
}

/* With nested paging a processor keeps no PDPTEs: it reads them when it walks (APM 2 15.25.10). */
static uint64_t pdpte(const struct vcpu *vcpu, uint64_t cr3, unsigned index) {
    uint64_t entry = 0;
    if (!guest_physical_read(vcpu->vm, (cr3 & 0xffffffe0) + index * sizeof entry, &entry,
                             sizeof entry)) {
        return 0;
    }
    return entry;
}

/*
 * LMA is LME and CR0.PG, both of which exit where they change. Until then the real LME stays 0: QEMU's TCG,
 * leaving a guest that has LME without PG and PAE, would not turn the hypervisor's own paging on again.
 * VMRUN insists on SVME (15.5.1).
 */
static void set_efer(struct svm_vcpu *self, uint64_t value) {
    struct vmcb_state *state = &self->vmcb->state;
    const uint64_t long_mode = EFER_LME | EFER_LMA;
    self->lme = value & EFER_LME;
    state->efer =
        (value & ~long_mode) | EFER_SVME | (self->lme && state->cr0 & CR0_PG_64 ? long_mode : 0);
}

static uint64_t get_efer(const struct svm_vcpu *self) {
    uint64_t lma = self->lme && self->vmcb->state.cr0 & CR0_PG_64 ? EFER_LMA : 0;
    const uint64_t ours = EFER_SVME | EFER_LME | EFER_LMA;
    return (self->vmcb->state.efer & ~ours) | (self->lme ? EFER_LME : 0) | lma;
}

uint64_t svm_get(struct vcpu *vcpu, enum vcpu_register which) {
    const struct svm_vcpu *self = svm_vcpu(vcpu);
    const struct vmcb_state *state = &self->vmcb->state;
    switch (which) {
    case VCPU_RIP: return state->rip;
    case VCPU_RSP: return state->rsp;
    case VCPU_RFLAGS: return state->rflags;
    case VCPU_IN_NMI: return self->in_nmi;
    case VCPU_CR0: return state->cr0;
    case VCPU_CR3: return state->cr3;
    case VCPU_CR4: return self->cr4;
    case VCPU_PDPTE0:
    case VCPU_PDPTE1:
    case VCPU_PDPTE2:
    case VCPU_PDPTE3: return pdpte(vcpu, state->cr3, which - VCPU_PDPTE0);
    case VCPU_EFER: return get_efer(self);
    case VCPU_PAT: return state->g_pat;
    case VCPU_DR7: return state->dr7;
    case VCPU_CS_BASE: return state->cs.base;
    case VCPU_CS_RIGHTS: return rights(&state->cs);
    case VCPU_SS_RIGHTS:
        /* 15.5.1: the CPL is a field of its own, not SS.DPL. */
        return (rights(&state->ss) & ~0x60ull) | (uint64_t)state->cpl << 5;
    case VCPU_TR_RIGHTS: return rights(&state->tr);
    case VCPU_DS_BASE: return state->ds.base;
    case VCPU_ES_BASE: return state->es.base;
    case VCPU_SS_BASE: return state->ss.base;
    case VCPU_FS_BASE: return state->fs.base;
    case VCPU_GS_BASE: return state->gs.base;
    case VCPU_REGISTERS: break;
    }
    return 0;
}

void svm_set(struct vcpu *vcpu, enum vcpu_register which, uint64_t value) {
    struct svm_vcpu *self = svm_vcpu(vcpu);
    struct vmcb_state *state = &self->vmcb->state;
    switch ((unsigned)which) {
    case VCPU_RIP: state->rip = value; return;
    case VCPU_RSP: state->rsp = value; return;
    case VCPU_RFLAGS: state->rflags = value; return;
    case VCPU_PAT: state->g_pat = value; break;
    case VCPU_CR0: {
        uint64_t efer = get_efer(self);
        state->cr0 = value;
        set_efer(self, efer);
        break;
    }
    case VCPU_CR3: state->cr3 = value; break;
    case VCPU_CR4:
        /* MCE, whatever the guest thinks: without it a machine check would shut the processor down. */
        self->cr4 = value;
        state->cr4 = value | CR4_MCE;
        break;
    case VCPU_EFER: set_efer(self, value); break;
    default: return; /* PDPTEs: see above */
    }
    asid_flush(self); /* what MOV to control registers does besides */
}
