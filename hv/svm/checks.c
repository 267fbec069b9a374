#include "svm/checks.h"

#include "cpu/control.h"

enum { TYPE_MASK = 7, CS_L = 1 << 9, CS_D = 1 << 10 };

/* 15.20: the types are external interrupt, NMI, exception and software interrupt. */
static bool injection_is_legal(uint32_t eventinj) {
    uint32_t type = eventinj >> EVENT_TYPE_SHIFT & TYPE_MASK, vector = eventinj & 0xff;
    if (!(eventinj & EVENT_VALID)) {
        return true;
    }
    return type == 0 || type == 2 || type == 4 || (type == 3 && vector < 32 && vector != 2);
}

/* Types 0, 1 and 4 to 7 exist (SDM 3A 12.12.2, APM 2 7.8.1); all eight at once. */
static bool pat_is_good(uint64_t value) {
    const uint64_t each = 0x0101010101010101;
    uint64_t too_big = value & 0xf8 * each, is_2_or_3 = value >> 1 & ~(value >> 2) & each;
    return !(too_big | is_2_or_3);
}

/* VMRUN's checks of 15.5.1. They are made before every run of a guest, so each is a few instructions. */
const char *svm_violation(const struct vmcb *vmcb) {
    const struct vmcb_control *c = &vmcb->control;
    const struct vmcb_state *s = &vmcb->state;
    bool long_mode = s->efer & EFER_LME && s->cr0 & CR0_PG_64;
    bool long_and_default = s->cs.attributes & CS_L && s->cs.attributes & CS_D;
    return !(c->intercepts[1] & 1)                 ? "the VMRUN intercept bit is clear"
           : c->guest_asid == 0                    ? "ASID is zero"
           : !injection_is_legal(c->eventinj)      ? "illegal event injection"
           : !(s->efer & EFER_SVME)                ? "EFER.SVME is zero"
           : !(s->cr0 & CR0_CD) && s->cr0 & CR0_NW ? "CR0.CD is zero and CR0.NW is set"
           : s->cr0 >> 32                          ? "CR0[63:32] are not zero"
           : s->cr4 >> 32                          ? "CR4[63:32] are not zero"
           : s->dr6 >> 32                          ? "DR6[63:32] are not zero"
           : s->dr7 >> 32                          ? "DR7[63:32] are not zero"
           : s->efer >> 32                         ? "EFER[63:32] are not zero"
           : long_mode && !(s->cr4 & CR4_PAE) ? "EFER.LME and CR0.PG are set and CR4.PAE is zero"
           : long_mode && !(s->cr0 & CR0_PE)  ? "EFER.LME and CR0.PG are set and CR0.PE is zero"
           : long_mode && long_and_default ? "EFER.LME, CR0.PG, CR4.PAE, CS.L and CS.D are all set"
           : c->nested_control & NP_ENABLE && !pat_is_good(s->g_pat) ? "G_PAT has a reserved type"
           : c->n_cr3 & 0xfff || c->n_cr3 >> 52 ? "N_CR3 has a reserved bit set"
                                                : 0;
}
