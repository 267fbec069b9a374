/* The virtual machine control block, APM volume 2, appendix B: its names, its offsets. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* B.1: offsets 000H to 3FFH */
struct vmcb_control {
    uint16_t intercept_cr_read, intercept_cr_write;
    uint16_t intercept_dr_read, intercept_dr_write;
    uint32_t intercept_exceptions;
    uint32_t intercepts[3]; /* enum vmcb_intercept, 32 a word */
    uint8_t reserved_018[0x3c - 0x18];
    uint16_t pause_filter_threshold, pause_filter_count;
    uint64_t iopm_base_pa, msrpm_base_pa;
    uint64_t tsc_offset;
    uint32_t guest_asid;
    uint8_t tlb_control;
    uint8_t reserved_05d[3];
    uint8_t v_tpr;          /* bits 3:0 */
    uint8_t v_irq;          /* bit 0 V_IRQ, bit 1 V_GIF, bit 3 V_NMI ... */
    uint8_t v_intr_prio;    /* bits 3:0 V_INTR_PRIO, bit 4 V_IGN_TPR */
    uint8_t v_intr_masking; /* bit 0 */
    uint8_t v_intr_vector;
    uint8_t reserved_065[3];
    uint64_t interrupt_shadow; /* bit 0; bit 1 GUEST_INTERRUPT_MASK */
    uint64_t exitcode, exitinfo1, exitinfo2;
    uint32_t exitintinfo, exitintinfo_error_code;
    uint64_t nested_control; /* bit 0 NP_ENABLE */
    uint64_t avic_apic_bar, ghcb_pa;
    uint32_t eventinj, eventinj_error_code;
    uint64_t n_cr3;
    uint64_t lbr_virtualization_enable;
    uint32_t clean_bits, reserved_0c4;
    uint64_t nrip;
    uint8_t fetched_count, instruction_bytes[15];
    uint8_t reserved_0e0[0x400 - 0xe0];
};
static_assert(offsetof(struct vmcb_control, iopm_base_pa) == 0x40, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, tsc_offset) == 0x50, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, guest_asid) == 0x58, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, v_tpr) == 0x60, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, interrupt_shadow) == 0x68, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, exitcode) == 0x70, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, exitintinfo) == 0x88, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, nested_control) == 0x90, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, eventinj) == 0xa8, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, n_cr3) == 0xb0, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, clean_bits) == 0xc0, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, nrip) == 0xc8, "APM 2, table B-1");
static_assert(offsetof(struct vmcb_control, fetched_count) == 0xd0, "APM 2, table B-1");

/* A descriptor's bits 55:52 and 47:40: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11. */
struct vmcb_segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

/* B.2: offsets 400H on, as they count from there */
struct vmcb_state {
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved_0a0[0xcb - 0xa0];
    uint8_t cpl;
    uint32_t reserved_0cc;
    uint64_t efer;
    uint8_t reserved_0d8[0x148 - 0xd8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_180[0x1d8 - 0x180];
    uint64_t rsp, s_cet, ssp, isst_addr, rax;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved_248[0x268 - 0x248];
    uint64_t g_pat, dbgctl, br_from, br_to, last_excp_from, last_excp_to;
    uint8_t reserved_298[0xc00 - 0x298];
};
static_assert(offsetof(struct vmcb_state, cpl) == 0xcb, "APM 2, table B-2");
static_assert(offsetof(struct vmcb_state, efer) == 0xd0, "APM 2, table B-2");
static_assert(offsetof(struct vmcb_state, cr4) == 0x148, "APM 2, table B-2");
static_assert(offsetof(struct vmcb_state, rip) == 0x178, "APM 2, table B-2");
static_assert(offsetof(struct vmcb_state, rsp) == 0x1d8, "APM 2, table B-2");
static_assert(offsetof(struct vmcb_state, rax) == 0x1f8, "APM 2, table B-2");
static_assert(offsetof(struct vmcb_state, kernel_gs_base) == 0x220, "APM 2, table B-2");
static_assert(offsetof(struct vmcb_state, cr2) == 0x240, "APM 2, table B-2");
static_assert(offsetof(struct vmcb_state, g_pat) == 0x268, "APM 2, table B-2");

struct vmcb {
    struct vmcb_control control;
    struct vmcb_state state;
};
static_assert(offsetof(struct vmcb, state) == 0x400, "APM 2, appendix B");
static_assert(sizeof(struct vmcb) == 4096, "15.5.1: a page");

/* Table B-1, 00CH to 017H, counted from bit 0 of 00CH. */
enum vmcb_intercept {
    INTERCEPT_INTR = 0,
    INTERCEPT_NMI = 1,
    INTERCEPT_INIT = 3,
    INTERCEPT_VINTR = 4,
    INTERCEPT_RDPMC = 15,
    INTERCEPT_CPUID = 18,
    INTERCEPT_RSM = 19,
    INTERCEPT_IRET = 20,
    INTERCEPT_INVD = 22,
    INTERCEPT_HLT = 24,
    INTERCEPT_INVLPGA = 26,
    INTERCEPT_IOIO_PROT = 27,
    INTERCEPT_MSR_PROT = 28,
    INTERCEPT_TASK_SWITCH = 29,
    INTERCEPT_SHUTDOWN = 31,
    INTERCEPT_VMRUN = 32,
    INTERCEPT_VMMCALL = 33,
    INTERCEPT_VMLOAD = 34,
    INTERCEPT_VMSAVE = 35,
    INTERCEPT_STGI = 36,
    INTERCEPT_CLGI = 37,
    INTERCEPT_SKINIT = 38,
    INTERCEPT_ICEBP = 40,
    INTERCEPT_WBINVD = 41,
    INTERCEPT_MONITOR = 42,
    INTERCEPT_MWAIT = 43,
    INTERCEPT_MWAIT_ARMED = 44,
    INTERCEPT_XSETBV = 45,
    INTERCEPT_RDPRU = 46,
    INTERCEPT_INVLPGB = 64,
    INTERCEPT_INVLPGB_ILLEGAL = 65,
    INTERCEPT_INVPCID = 66,
    INTERCEPT_MCOMMIT = 67,
    INTERCEPT_TLBSYNC = 68,
};

static inline void vmcb_set_intercept(struct vmcb *vmcb, enum vmcb_intercept which, bool on) {
    uint32_t *word = &vmcb->control.intercepts[which / 32], bit = 1u << which % 32;
    *word = on ? *word | bit : *word & ~bit;
}

/* 15.16.1 */
enum vmcb_tlb_control {
    TLB_DO_NOTHING = 0,
    TLB_FLUSH_ALL = 1,
    TLB_FLUSH_GUEST = 3, /* where CPUID has FlushByAsid */
};

/* 15.20: EVENTINJ, and EXITINTINFO which looks alike; bits 10:8 are enum event_type's. */
#define EVENT_TYPE_SHIFT       8
#define EVENT_ERROR_CODE_VALID (1u << 11)
#define EVENT_VALID            (1u << 31)

#define V_IRQ          (1u << 0)
#define V_IGN_TPR      (1u << 4)
#define V_INTR_MASKING (1u << 0)
#define NP_ENABLE      (1ull << 0)
