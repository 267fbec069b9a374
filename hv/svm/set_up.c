/* Everything a VMCB needs before its first VMRUN, in the order of APM 2, appendix B. */
#include "cpu/control.h"
#include "cpu/msr.h"
#include "cpu/port.h"
#include "debug.h"
#include "svm/bitmaps.h"
#include "svm/quirks.h"
#include "svm/vcpu.h"

/* What exits. Physical interrupts, NMIs and INIT are the hypervisor's; SVM's own instructions, which the
 * guest's CPUID does not have, would otherwise work; the rest is what vm/ has a policy for. */
static const enum vmcb_intercept intercepts[] = {
    INTERCEPT_INTR,
    INTERCEPT_NMI,
    INTERCEPT_INIT,
    INTERCEPT_RDPMC,
    INTERCEPT_CPUID,
    INTERCEPT_RSM,
    INTERCEPT_INVD,
    INTERCEPT_HLT,
    INTERCEPT_INVLPGA,
    INTERCEPT_IOIO_PROT,
    INTERCEPT_MSR_PROT,
    INTERCEPT_TASK_SWITCH,
    INTERCEPT_SHUTDOWN,
    INTERCEPT_VMRUN,
    INTERCEPT_VMMCALL,
    INTERCEPT_VMLOAD,
    INTERCEPT_VMSAVE,
    INTERCEPT_STGI,
    INTERCEPT_CLGI,
    INTERCEPT_SKINIT,
    INTERCEPT_ICEBP,
    INTERCEPT_WBINVD,
    INTERCEPT_MONITOR,
    INTERCEPT_MWAIT,
    INTERCEPT_MWAIT_ARMED,
    INTERCEPT_XSETBV,
    INTERCEPT_RDPRU,
    INTERCEPT_INVLPGB,
    INTERCEPT_INVLPGB_ILLEGAL,
    INTERCEPT_INVPCID,
    INTERCEPT_MCOMMIT,
    INTERCEPT_TLBSYNC,
};

static void set_control(struct svm_vcpu *vcpu, uint64_t n_cr3) {
    struct vmcb_control *control = &vcpu->vmcb->control;
    /* CR0 and CR4 are checked, and CR4 shows the guest its own MCE. CR3 and (as V_TPR) CR8 are the guest's
     * own, if the processor checks what it puts there. */
    const unsigned cr8 = svm_quirks.cr8_unchecked << 8;
    control->intercept_cr_read = (uint16_t)(1 << 4 | cr8);
    control->intercept_cr_write = (uint16_t)(1 << 0 | svm_quirks.cr3_unchecked << 3 | 1 << 4 | cr8);
    for (unsigned i = 0; i < sizeof intercepts / sizeof intercepts[0]; i++) {
        vmcb_set_intercept(vcpu->vmcb, intercepts[i], true);
    }
    control->iopm_base_pa = svm_bitmaps_io();
    control->msrpm_base_pa = svm_bitmaps_msr();
    control->guest_asid = 1; /* until asid_take */
    control->v_intr_masking = V_INTR_MASKING;
    control->v_intr_prio = V_IGN_TPR | 0xf;
    control->nested_control = NP_ENABLE;
    control->n_cr3 = n_cr3;
}

/* A segment's attributes, as in struct vmcb_segment. */
enum attributes {
    ATTRIBUTES_CODE_64 = 0xa9b,
    ATTRIBUTES_CODE_32 = 0xc9b,
    ATTRIBUTES_CODE_16 = 0x09b,
    ATTRIBUTES_DATA = 0xc93,
    ATTRIBUTES_DATA_16 = 0x093,
    ATTRIBUTES_BUSY_TSS = 0x08b,
    ATTRIBUTES_LDT = 0x082,
};

static void set_segments(struct vmcb_state *state, const struct vcpu_start *start) {
    static const enum attributes code[] = {[VCPU_REAL] = ATTRIBUTES_CODE_16,
                                           [VCPU_PROTECTED] = ATTRIBUTES_CODE_32,
                                           [VCPU_LONG] = ATTRIBUTES_CODE_64};
    bool real = start->mode == VCPU_REAL;
    uint32_t limit = real ? 0xffff : ~0u;
    state->cs = (struct vmcb_segment){start->code_selector, (uint16_t)code[start->mode], limit,
                                      real ? (uint64_t)start->code_selector << 4 : 0};
    struct vmcb_segment data = {start->data_selector, real ? ATTRIBUTES_DATA_16 : ATTRIBUTES_DATA,
                                limit, real ? (uint64_t)start->data_selector << 4 : 0};
    state->ss = state->ds = state->es = state->fs = state->gs = data;
    state->ldtr = (struct vmcb_segment){.attributes = ATTRIBUTES_LDT};
    state->tr = (struct vmcb_segment){.attributes = ATTRIBUTES_BUSY_TSS, .limit = 0x67};
    state->gdtr = (struct vmcb_segment){.base = start->gdt_base, .limit = start->gdt_limit};
    /* In real mode the vector table at 0; else an exception before LIDT is a triple fault. */
    state->idtr = (struct vmcb_segment){.limit = real ? 0x3ff : 0};
}

/* Flat, interrupts off. */
static void set_state(struct svm_vcpu *vcpu, const struct vcpu_start *start) {
    struct vmcb_state *state = &vcpu->vmcb->state;
    bool long_mode = start->mode == VCPU_LONG;
    set_segments(state, start);
    state->cr0 = CR0_ET | (start->mode == VCPU_REAL ? 0u : CR0_PE) | (long_mode ? CR0_PG_64 : 0);
    state->cr3 = start->cr3;
    vcpu->cr4 = long_mode ? CR4_PAE : 0;
    state->cr4 = vcpu->cr4 | CR4_MCE;
    svm_set(&vcpu->vcpu, VCPU_EFER, long_mode ? EFER_LME : 0);
    state->g_pat = PAT_AT_RESET;
    state->rip = start->rip;
    state->rsp = start->rsp;
    state->rflags = 2; /* bit 1 is always 1 */
    state->dr6 = 0xffff0ff0;
    state->dr7 = 0x400;
    vcpu->vcpu.registers.rax = start->rax;
    vcpu->vcpu.registers.rbx = start->rbx;
    vcpu->vcpu.registers.rsi = start->rsi;
}

/* One wrong field of those that VMRUN checks (15.5.1), or a wrong entry. */
static void spoil(struct vmcb *vmcb) {
    if (debug == DEBUG_BAD_CONTROLS) {
        vmcb_set_intercept(vmcb, INTERCEPT_VMRUN, false);
    } else if (debug == DEBUG_BAD_GUEST) {
        vmcb->state.dr7 |= 1ull << 32;
    } else if (debug == DEBUG_BAD_EPT) {
        uint64_t *root = (uint64_t *)vmcb->control.n_cr3;
        root[0] |= 1ull << 7; /* PS, reserved in this table: APM 2 5.3.3 */
    }
}

void svm_vmcb_set_up(struct svm_vcpu *vcpu, const struct vcpu_start *start, uint64_t n_cr3) {
    set_control(vcpu, n_cr3);
    set_state(vcpu, start);
    spoil(vcpu->vmcb);
}
