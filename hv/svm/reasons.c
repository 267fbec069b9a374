#include "svm/reasons.h"

#include <stddef.h>

#include "cpu/apic.h"
#include "cpu/control.h"
#include "cpu/port.h"
#include "svm/quirks.h"
#include "vm/scheduler.h"
#include "vm/vm.h"

enum { EXIT_EXCEPTION_0 = 0x40 };

static void decode_exception(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    const struct vmcb_control *control = &vcpu->vmcb->control;
    exit->exception.vector = (uint8_t)(control->exitcode - EXIT_EXCEPTION_0);
    exit->exception.type = EVENT_EXCEPTION;
    exit->exception.length = 0;
    /* SDM 3A table 6-1: #DF #TS #NP #SS #GP #PF #AC and #CP have one */
    exit->exception.has_error_code = 0x227d00u >> exit->exception.vector & 1;
    exit->exception.error_code = (uint32_t)control->exitinfo1;
    if (exit->exception.vector == VECTOR_PF) {
        vcpu->vmcb->state.cr2 = control->exitinfo2; /* 15.12.15: not written yet */
        write_cr2(control->exitinfo2);              /* svm.c, load */
    }
}

/* 15.9: INT1 raises #DB, but not through the intercept of that. */
static void decode_icebp(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    exit->exception.vector = VECTOR_DB;
    exit->exception.type = EVENT_PRIVILEGED_SOFTWARE_EXCEPTION;
    exit->exception.length = (uint8_t)svm_instruction_length(vcpu);
    exit->exception.has_error_code = false;
}

/* 15.13.1: it is still pending. Perhaps it is the timer's. */
static void decode_interrupt(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    apic_take_interrupts();
    if (rdtsc() >= scheduler_deadline(&vcpu->vcpu)) {
        exit->kind = VM_EXIT_TIMER;
    }
}

/* The NMI has been taken already, at STGI. Perhaps it was the timer's (svm/timer.h). */
static void decode_nmi(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    if (svm_quirks.interrupts_off_hold_exits && rdtsc() >= scheduler_deadline(&vcpu->vcpu)) {
        exit->kind = VM_EXIT_TIMER;
    }
}

static void decode_iret(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    (void)exit;
    svm_at_iret(vcpu);
}

/* 15.10.2: bit 0 IN, 2 string, 6:4 the size, 31:16 the port */
static void decode_io(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    uint64_t information = vcpu->vmcb->control.exitinfo1;
    exit->io.in = information & 1;
    exit->io.string = information >> 2 & 1;
    exit->io.size = information >> 4 & 7;
    exit->io.port = (uint16_t)(information >> 16);
}

static void decode_msr(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    exit->kind = vcpu->vmcb->control.exitinfo1 & 1 ? VM_EXIT_MSR_WRITE : VM_EXIT_MSR_READ;
}

/* 15.25.6: bit 1 a write, 3 a reserved bit in a nested entry, 4 a fetch, 33 reading the guest's tables */
static void decode_nested_page_fault(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    uint64_t code = vcpu->vmcb->control.exitinfo1;
    exit->memory.address = vcpu->vmcb->control.exitinfo2;
    exit->memory.access = code & 1 << 4   ? MEMORY_EXECUTE
                          : code & 1 << 1 ? MEMORY_WRITE
                                          : MEMORY_READ;
    exit->memory.walking = code >> 33 & 1;
    if (code & 1 << 3) {
        exit->kind = VM_EXIT_MISCONFIGURED;
    }
}

/*
 * One row a line: harness/exit_table.py reads them, and the table in the docs comes from them. The codes
 * lie in three ranges: from 0, from 400H, and down from -1.
 */
static const struct exit_code codes[] = {
    [0x00] = {"VMEXIT_CR0_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x01] = {"VMEXIT_CR1_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x02] = {"VMEXIT_CR2_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x03] = {"VMEXIT_CR3_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x04] = {"VMEXIT_CR4_READ", VM_EXIT_CONTROL_REGISTER, 0, svm_decode_control_register},
    [0x05] = {"VMEXIT_CR5_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x06] = {"VMEXIT_CR6_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x07] = {"VMEXIT_CR7_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x08] = {"VMEXIT_CR8_READ", VM_EXIT_CONTROL_REGISTER, 0, svm_decode_control_register},
    [0x09] = {"VMEXIT_CR9_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x0a] = {"VMEXIT_CR10_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x0b] = {"VMEXIT_CR11_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x0c] = {"VMEXIT_CR12_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x0d] = {"VMEXIT_CR13_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x0e] = {"VMEXIT_CR14_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x0f] = {"VMEXIT_CR15_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x10] = {"VMEXIT_CR0_WRITE", VM_EXIT_CONTROL_REGISTER, 0, svm_decode_control_register},
    [0x11] = {"VMEXIT_CR1_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x12] = {"VMEXIT_CR2_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x13] = {"VMEXIT_CR3_WRITE", VM_EXIT_CONTROL_REGISTER, 0, svm_decode_control_register},
    [0x14] = {"VMEXIT_CR4_WRITE", VM_EXIT_CONTROL_REGISTER, 0, svm_decode_control_register},
    [0x15] = {"VMEXIT_CR5_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x16] = {"VMEXIT_CR6_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x17] = {"VMEXIT_CR7_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x18] = {"VMEXIT_CR8_WRITE", VM_EXIT_CONTROL_REGISTER, 0, svm_decode_control_register},
    [0x19] = {"VMEXIT_CR9_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x1a] = {"VMEXIT_CR10_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x1b] = {"VMEXIT_CR11_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x1c] = {"VMEXIT_CR12_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x1d] = {"VMEXIT_CR13_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x1e] = {"VMEXIT_CR14_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x1f] = {"VMEXIT_CR15_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x20] = {"VMEXIT_DR0_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x21] = {"VMEXIT_DR1_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x22] = {"VMEXIT_DR2_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x23] = {"VMEXIT_DR3_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x24] = {"VMEXIT_DR4_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x25] = {"VMEXIT_DR5_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x26] = {"VMEXIT_DR6_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x27] = {"VMEXIT_DR7_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x28] = {"VMEXIT_DR8_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x29] = {"VMEXIT_DR9_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x2a] = {"VMEXIT_DR10_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x2b] = {"VMEXIT_DR11_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x2c] = {"VMEXIT_DR12_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x2d] = {"VMEXIT_DR13_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x2e] = {"VMEXIT_DR14_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x2f] = {"VMEXIT_DR15_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x30] = {"VMEXIT_DR0_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x31] = {"VMEXIT_DR1_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x32] = {"VMEXIT_DR2_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x33] = {"VMEXIT_DR3_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x34] = {"VMEXIT_DR4_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x35] = {"VMEXIT_DR5_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x36] = {"VMEXIT_DR6_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x37] = {"VMEXIT_DR7_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x38] = {"VMEXIT_DR8_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x39] = {"VMEXIT_DR9_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x3a] = {"VMEXIT_DR10_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x3b] = {"VMEXIT_DR11_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x3c] = {"VMEXIT_DR12_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x3d] = {"VMEXIT_DR13_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x3e] = {"VMEXIT_DR14_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x3f] = {"VMEXIT_DR15_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x40] = {"VMEXIT_EXCP0", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x41] = {"VMEXIT_EXCP1", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x42] = {"VMEXIT_EXCP2", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x43] = {"VMEXIT_EXCP3", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x44] = {"VMEXIT_EXCP4", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x45] = {"VMEXIT_EXCP5", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x46] = {"VMEXIT_EXCP6", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x47] = {"VMEXIT_EXCP7", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x48] = {"VMEXIT_EXCP8", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x49] = {"VMEXIT_EXCP9", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x4a] = {"VMEXIT_EXCP10", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x4b] = {"VMEXIT_EXCP11", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x4c] = {"VMEXIT_EXCP12", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x4d] = {"VMEXIT_EXCP13", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x4e] = {"VMEXIT_EXCP14", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x4f] = {"VMEXIT_EXCP15", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x50] = {"VMEXIT_EXCP16", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x51] = {"VMEXIT_EXCP17", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x52] = {"VMEXIT_EXCP18", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x53] = {"VMEXIT_EXCP19", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x54] = {"VMEXIT_EXCP20", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x55] = {"VMEXIT_EXCP21", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x56] = {"VMEXIT_EXCP22", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x57] = {"VMEXIT_EXCP23", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x58] = {"VMEXIT_EXCP24", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x59] = {"VMEXIT_EXCP25", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x5a] = {"VMEXIT_EXCP26", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x5b] = {"VMEXIT_EXCP27", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x5c] = {"VMEXIT_EXCP28", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x5d] = {"VMEXIT_EXCP29", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x5e] = {"VMEXIT_EXCP30", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x5f] = {"VMEXIT_EXCP31", VM_EXIT_EXCEPTION, 0, decode_exception},
    [0x60] = {"VMEXIT_INTR", VM_EXIT_INTERRUPT, 0, decode_interrupt},
    [0x61] = {"VMEXIT_NMI", VM_EXIT_NMI, 0, decode_nmi},
    [0x62] = {"VMEXIT_SMI", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x63] = {"VMEXIT_INIT", VM_EXIT_UNSUPPORTED, 0, NULL},
    [0x64] = {"VMEXIT_VINTR", VM_EXIT_WINDOW, 0, NULL},
    [0x65] = {"VMEXIT_CR0_SEL_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x66] = {"VMEXIT_IDTR_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x67] = {"VMEXIT_GDTR_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x68] = {"VMEXIT_LDTR_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x69] = {"VMEXIT_TR_READ", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x6a] = {"VMEXIT_IDTR_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x6b] = {"VMEXIT_GDTR_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x6c] = {"VMEXIT_LDTR_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x6d] = {"VMEXIT_TR_WRITE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x6e] = {"VMEXIT_RDTSC", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x6f] = {"VMEXIT_RDPMC", VM_EXIT_PROTECTED, 0, NULL},
    [0x70] = {"VMEXIT_PUSHF", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x71] = {"VMEXIT_POPF", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x72] = {"VMEXIT_CPUID", VM_EXIT_CPUID, 2, NULL},
    [0x73] = {"VMEXIT_RSM", VM_EXIT_UNDEFINED, 0, NULL},
    [0x74] = {"VMEXIT_IRET", VM_EXIT_WINDOW, 0, decode_iret},
    [0x75] = {"VMEXIT_SWINT", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x76] = {"VMEXIT_INVD", VM_EXIT_NO_OPERATION, 2, NULL},
    [0x77] = {"VMEXIT_PAUSE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x78] = {"VMEXIT_HLT", VM_EXIT_HLT, 1, NULL},
    [0x79] = {"VMEXIT_INVLPG", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x7a] = {"VMEXIT_INVLPGA", VM_EXIT_UNDEFINED, 0, NULL},
    [0x7b] = {"VMEXIT_IOIO", VM_EXIT_IO, 0, decode_io},
    [0x7c] = {"VMEXIT_MSR", VM_EXIT_MSR_READ, 2, decode_msr},
    [0x7d] = {"VMEXIT_TASK_SWITCH", VM_EXIT_TASK_SWITCH, 0, NULL},
    [0x7e] = {"VMEXIT_FERR_FREEZE", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x7f] = {"VMEXIT_SHUTDOWN", VM_EXIT_TRIPLE_FAULT, 0, NULL},
    [0x80] = {"VMEXIT_VMRUN", VM_EXIT_UNDEFINED, 0, NULL},
    [0x81] = {"VMEXIT_VMMCALL", VM_EXIT_HYPERCALL, 3, NULL},
    [0x82] = {"VMEXIT_VMLOAD", VM_EXIT_UNDEFINED, 0, NULL},
    [0x83] = {"VMEXIT_VMSAVE", VM_EXIT_UNDEFINED, 0, NULL},
    [0x84] = {"VMEXIT_STGI", VM_EXIT_UNDEFINED, 0, NULL},
    [0x85] = {"VMEXIT_CLGI", VM_EXIT_UNDEFINED, 0, NULL},
    [0x86] = {"VMEXIT_SKINIT", VM_EXIT_UNDEFINED, 0, NULL},
    [0x87] = {"VMEXIT_RDTSCP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x88] = {"VMEXIT_ICEBP", VM_EXIT_EXCEPTION, 1, decode_icebp},
    [0x89] = {"VMEXIT_WBINVD", VM_EXIT_NO_OPERATION, 2, NULL},
    [0x8a] = {"VMEXIT_MONITOR", VM_EXIT_UNDEFINED, 0, NULL},
    [0x8b] = {"VMEXIT_MWAIT", VM_EXIT_UNDEFINED, 0, NULL},
    [0x8c] = {"VMEXIT_MWAIT_CONDITIONAL", VM_EXIT_UNDEFINED, 0, NULL},
    [0x8d] = {"VMEXIT_XSETBV", VM_EXIT_XSETBV, 3, NULL},
    [0x8e] = {"VMEXIT_RDPRU", VM_EXIT_UNDEFINED, 0, NULL},
    [0x8f] = {"VMEXIT_EFER_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x90] = {"VMEXIT_CR0_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x91] = {"VMEXIT_CR1_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x92] = {"VMEXIT_CR2_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x93] = {"VMEXIT_CR3_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x94] = {"VMEXIT_CR4_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x95] = {"VMEXIT_CR5_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x96] = {"VMEXIT_CR6_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x97] = {"VMEXIT_CR7_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x98] = {"VMEXIT_CR8_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x99] = {"VMEXIT_CR9_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x9a] = {"VMEXIT_CR10_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x9b] = {"VMEXIT_CR11_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x9c] = {"VMEXIT_CR12_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x9d] = {"VMEXIT_CR13_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x9e] = {"VMEXIT_CR14_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x9f] = {"VMEXIT_CR15_WRITE_TRAP", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0xa0] = {"VMEXIT_INVLPGB", VM_EXIT_UNDEFINED, 0, NULL},
    [0xa1] = {"VMEXIT_INVLPGB_ILLEGAL", VM_EXIT_UNDEFINED, 0, NULL},
    [0xa2] = {"VMEXIT_INVPCID", VM_EXIT_UNDEFINED, 0, NULL},
    [0xa3] = {"VMEXIT_MCOMMIT", VM_EXIT_UNDEFINED, 0, NULL},
    [0xa4] = {"VMEXIT_TLBSYNC", VM_EXIT_UNDEFINED, 0, NULL},
    [0xa5] = {"VMEXIT_BUSLOCK", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0xa6] = {"VMEXIT_IDLE_HLT", VM_EXIT_IMPOSSIBLE, 0, NULL},
};

enum { FIRST_HIGH = 0x400 };

static const struct exit_code high_codes[] = {
    [0x400 - FIRST_HIGH] = {"VMEXIT_NPF", VM_EXIT_MEMORY, 0, decode_nested_page_fault},
    [0x401 - FIRST_HIGH] = {"AVIC_INCOMPLETE_IPI", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x402 - FIRST_HIGH] = {"AVIC_NOACCEL", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [0x403 - FIRST_HIGH] = {"VMEXIT_VMGEXIT", VM_EXIT_IMPOSSIBLE, 0, NULL},
};

static const struct exit_code negative_codes[] = {
    [~-1] = {"VMEXIT_INVALID", VM_EXIT_ENTRY_FAILED, 0, NULL},
    [~-2] = {"VMEXIT_BUSY", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [~-3] = {"IDLE_REQUIRED", VM_EXIT_IMPOSSIBLE, 0, NULL},
    [~-4] = {"INVALID_PMC", VM_EXIT_IMPOSSIBLE, 0, NULL},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

const struct exit_code *exit_code(uint64_t code) {
    static const struct exit_code unknown = {"an exit code that the manual does not have",
                                             VM_EXIT_IMPOSSIBLE, 0, NULL};
    /* QEMU's TCG writes VMEXIT_INVALID with 32 bits only. */
    uint64_t negative = ~(uint64_t)(int64_t)(int32_t)(uint32_t)code;
    if (code < COUNT(codes)) {
        return &codes[code];
    }
    if (code >= FIRST_HIGH && code - FIRST_HIGH < COUNT(high_codes)) {
        return &high_codes[code - FIRST_HIGH];
    }
    return negative < COUNT(negative_codes) ? &negative_codes[negative] : &unknown;
}
