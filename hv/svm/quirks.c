#include "svm/quirks.h"

#include "core/console.h"
#include "core/pages.h"
#include "core/traps.h"
#include "cpu/apic.h"
#include "cpu/control.h"
#include "cpu/msr.h"
#include "svm/bitmaps.h"
#include "svm/vcpu.h"

struct svm_quirks svm_quirks;

enum {
    EXIT_INTR = 0x60,
    EXIT_VINTR = 0x64,
    EXIT_GP = 0x40 + VECTOR_GP,
    RFLAGS_TF = 1 << 8,
    RFLAGS_IF = 1 << 9,
    DR6_BS = 1 << 14,
    CODE_64 = 0xa9b,
    DATA = 0xc93
};

/* The trial guest is the hypervisor itself, in its own address space, where it has two instructions. */
extern const char trial_code[], trial_mov_cr3[], trial_mov_cr8[];
asm(".pushsection .text\n"
    "trial_code: nop; hlt\n"
    "trial_mov_cr3: mov %rcx, %cr3; hlt\n"
    "trial_mov_cr8: mov %rcx, %cr8; hlt\n"
    ".popsection");
#define RESERVED_IN_CR3 (1ull << 59)
#define RESERVED_IN_CR8 (1ull << 4)

/* The hypervisor itself is never stepped. It goes on where it was. */
static bool is_single_step(struct trap_frame *frame) {
    if (frame->vector != VECTOR_DB) {
        return false;
    }
    svm_quirks.single_steps_follow_exits = true;
    return true;
}

static void set_up(struct vmcb *vmcb, uint64_t rflags) {
    *vmcb = (struct vmcb){
        .control = {.iopm_base_pa = svm_bitmaps_io(),
                    .msrpm_base_pa = svm_bitmaps_msr(),
                    .guest_asid = 1,
                    .tlb_control = TLB_FLUSH_ALL,
                    .v_intr_prio = V_IGN_TPR,
                    .v_intr_masking = V_INTR_MASKING,
                    .v_intr_vector = 32},
        .state = {.cs = {.attributes = CODE_64, .limit = ~0u},
                  .ss = {.attributes = DATA, .limit = ~0u},
                  .efer = rdmsr(IA32_EFER),
                  .cr0 = read_cr0(),
                  .cr3 = read_cr3(),
                  .cr4 = read_cr4(),
                  .dr6 = 0xffff0ff0,
                  .dr7 = 0x400,
                  .rip = (uint64_t)trial_code,
                  .rflags = rflags | 2},
    };
    static const enum vmcb_intercept intercepts[] = {INTERCEPT_INTR,  INTERCEPT_NMI,
                                                     INTERCEPT_VINTR, INTERCEPT_HLT,
                                                     INTERCEPT_VMRUN, INTERCEPT_SHUTDOWN};
    for (unsigned i = 0; i < sizeof intercepts / sizeof intercepts[0]; i++) {
        vmcb_set_intercept(vmcb, intercepts[i], true);
    }
}

static void report(void) {
    const struct {
        bool found;
        const char *text;
    } quirks[] = {
        {svm_quirks.virtual_interrupts_need_sti, "V_IRQ waits for STI"},
        {svm_quirks.interrupts_off_hold_exits, "RFLAGS.IF holds the exit of interrupts"},
        {svm_quirks.debug_exits_lose_dr6, "the exit of #DB loses DR6"},
        {svm_quirks.single_steps_follow_exits, "single-step traps follow exits"},
        {svm_quirks.cr3_unchecked, "MOV CR3 takes reserved bits"},
        {svm_quirks.cr8_unchecked, "MOV CR8 takes reserved bits"},
    };
    for (unsigned i = 0; i < sizeof quirks / sizeof quirks[0]; i++) {
        if (quirks[i].found) {
            print("svm", "not as the manual says: %s", quirks[i].text);
        }
    }
}

/* Does a move of this value to a control register do without #GP? */
static bool takes(struct svm_vcpu *trial, const char *mov, uint64_t value) {
    set_up(trial->vmcb, 0);
    trial->vmcb->state.rip = (uint64_t)mov;
    trial->vmcb->control.intercept_exceptions = ~0u;
    trial->vcpu.registers.rcx = value;
    svm_clear_gif();
    svm_vmrun(trial);
    return trial->vmcb->control.exitcode != EXIT_GP;
}

void svm_quirks_try(void) {
    struct svm_vcpu *trial = page_allocate();
    trial->vmcb = page_allocate();
    set_up(trial->vmcb, RFLAGS_IF);
    trial->vmcb->control.v_irq = V_IRQ;
    svm_clear_gif();
    svm_vmrun(trial);
    svm_quirks.virtual_interrupts_need_sti = trial->vmcb->control.exitcode != EXIT_VINTR;

    set_up(trial->vmcb, 0);
    apic_kick();
    svm_clear_gif();
    svm_vmrun(trial);
    apic_take_interrupts();
    svm_quirks.interrupts_off_hold_exits = trial->vmcb->control.exitcode != EXIT_INTR;

    set_up(trial->vmcb, RFLAGS_TF);
    trial->vmcb->control.intercept_exceptions = 1u << VECTOR_DB;
    svm_clear_gif();
    svm_vmrun(trial);
    svm_quirks.debug_exits_lose_dr6 = !(trial->vmcb->state.dr6 & DR6_BS);

    set_up(trial->vmcb, RFLAGS_TF);
    trial->vmcb->state.rip++; /* HLT exits, and is not stepped over */
    trap_recover = is_single_step;
    svm_clear_gif();
    svm_vmrun(trial);
    if (!svm_quirks.single_steps_follow_exits) {
        trap_recover = 0;
    }

    svm_quirks.cr3_unchecked = takes(trial, trial_mov_cr3, read_cr3() | RESERVED_IN_CR3);
    svm_quirks.cr8_unchecked = takes(trial, trial_mov_cr8, RESERVED_IN_CR8);

    pages_free(trial->vmcb, 1);
    pages_free(trial, 1);
    report();
}
