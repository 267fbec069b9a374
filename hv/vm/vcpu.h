/* A guest's processor, as far as vendors agree on it. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/clock.h"
#include "vm/events.h"
#include "vm/xstate.h"

struct vm;

/* In the order in which vmx/entry.S pushes them, rax first; svm/entry.S stores them by their offsets. */
struct guest_registers {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rdx, rcx, rbx, rax;
};
static_assert(sizeof(struct guest_registers) == 15 * 8, "entry.S pushes and pops fifteen");

/* What a guest waits for, if it does. */
enum vcpu_state_kind { VCPU_RUNNABLE, VCPU_HALTED, VCPU_ENDED };

/* The last word of an exit record (trace.h). A vCPU keeps the one that its own records start with. */
struct exit_label {
    uint32_t cycles; /* TSC ticks until the exit was handled; 0: it is not yet */
    uint8_t vm;      /* its place among the guests */
    uint8_t vcpu;    /* which of the VM's */
    uint8_t kind;    /* enum vm_exit_kind */
    uint8_t reserved;
};
static_assert(sizeof(struct exit_label) == 8, "copied by one load and one store");

struct vcpu {
    struct guest_registers registers; /* first: the assembly takes one for the other */
    struct vm *vm;
    struct exit_label label;
    struct events events;
    enum vcpu_state_kind state;
    struct event_blocking blocking; /* when it halted */
    uint64_t slice_end;             /* TSC: when another vCPU's turn comes */
    uint64_t overrun;               /* by how many ticks it outran its last slice */
    uint64_t deadline;              /* TSC: when it must stop at the latest (scheduler.h) */
    struct clock clock;
    uint64_t timer; /* guest TSC: when timer_vector is raised; UINT64_MAX is never */
    uint8_t timer_vector;
    uint8_t cr8;             /* held for the guest; without an APIC it holds nothing back */
    uint64_t dr[4], tsc_aux; /* while another vCPU runs */
    struct xstate *xstate;   /* likewise; XCR0 always */
};

enum vcpu_mode { VCPU_REAL, VCPU_PROTECTED, VCPU_LONG };

/* Where a guest begins: flat segments, interrupts off. cr3 counts in long mode only. */
struct vcpu_start {
    enum vcpu_mode mode;
    uint64_t rip, rsp;
    uint64_t cr3;
    uint64_t gdt_base;
    uint16_t gdt_limit;
    uint16_t code_selector, data_selector; /* in real mode: segment values */
    uint64_t rax, rbx, rsi;                /* what the boot protocol hands over */
};

/* Registers that the hardware keeps while a guest runs; virt->get and virt->set reach them. */
enum vcpu_register {
    VCPU_RIP,
    VCPU_RSP,
    VCPU_RFLAGS,
    VCPU_IN_NMI, /* 1 until IRET; read-only */
    VCPU_CR0,    /* as the guest sees it */
    VCPU_CR3,
    VCPU_CR4,    /* as the guest sees it */
    VCPU_PDPTE0, /* the four that PAE paging keeps */
    VCPU_PDPTE1,
    VCPU_PDPTE2,
    VCPU_PDPTE3,
    VCPU_EFER,
    VCPU_PAT,
    VCPU_DR7,
    VCPU_CS_BASE,
    VCPU_CS_RIGHTS, /* type 3:0, S 4, DPL 6:5, P 7, L 13, D/B 14, G 15, as in a descriptor */
    VCPU_SS_RIGHTS,
    VCPU_TR_RIGHTS,
    VCPU_DS_BASE,
    VCPU_ES_BASE,
    VCPU_SS_BASE,
    VCPU_FS_BASE,
    VCPU_GS_BASE,
    VCPU_REGISTERS
};

/* A general-purpose register by its encoding, RAX 0 to R15 15. RSP is the hardware's. */
uint64_t vcpu_gpr(struct vcpu *vcpu, unsigned number);
void vcpu_gprs(struct vcpu *vcpu, uint64_t registers[16]); /* all of them, by their encodings */
void vcpu_set_gpr(struct vcpu *vcpu, unsigned number, uint64_t value);

/* In 64-bit mode, as opposed to compatibility mode and all others. */
bool vcpu_in_64_bit_mode(struct vcpu *vcpu);
unsigned vcpu_privilege_level(struct vcpu *vcpu);

/* Once, before any vCPU: looks at what this processor has. */
void vcpu_features_read(void);

/* Moves what no vendor's hardware switches between the processor and the vCPU; and by virt->load and
 * virt->save what this one's does not. */
void vcpu_load(struct vcpu *vcpu);
void vcpu_save(struct vcpu *vcpu);

bool vcpu_start_state(struct vcpu *vcpu, struct vm *vm); /* false: out of memory */
void vcpu_free_state(struct vcpu *vcpu);
