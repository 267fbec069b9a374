#include "vmx/reasons.h"

#include <stddef.h>

#include "vm/events.h"
#include "vmx/controls.h"
#include "vmx/debug_exception.h"
#include "vmx/vmcs.h"

/* 28.2.3: an IRET that unblocked NMIs and then faulted will run again, so they are blocked again. */
static void undo_nmi_unblocking(void) {
    if (vmcs_read(IDT_VECTORING_INFORMATION) & INTERRUPTION_VALID) {
        return; /* then the bit that led here is undefined */
    }
    uint64_t state = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE, state | BLOCKING_BY_NMI);
}

/* 28.2.2, and 25.9.2 for the fields: bits 7:0 the vector, 10:8 the type, 11 an error code is there */
static void decode_exception(struct vm_exit *exit) {
    uint32_t information = (uint32_t)vmcs_read(VM_EXIT_INTERRUPTION_INFORMATION);
    exit->exception.type = information >> INTERRUPTION_TYPE_SHIFT & 7;
    if (exit->exception.type == EVENT_NMI) {
        /* 28.5.5: NMIs stay blocked until an IRET. The trap handler takes this one, and ends with that. */
        asm volatile("int $2" : : : "memory");
        exit->kind = VM_EXIT_NMI;
        return;
    }
    exit->exception.length = 0;
    if (exit->exception.type == EVENT_PRIVILEGED_SOFTWARE_EXCEPTION) {
        exit->exception.length = (uint8_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
    }
    exit->exception.vector = (uint8_t)information;
    if (information & INTERRUPTION_NMI_UNBLOCKING && exit->exception.vector != VECTOR_DF) {
        undo_nmi_unblocking();
    }
    exit->exception.has_error_code = information & INTERRUPTION_ERROR_CODE_VALID;
    exit->exception.error_code =
        exit->exception.has_error_code ? (uint32_t)vmcs_read(VM_EXIT_INTERRUPTION_ERROR_CODE) : 0;
    if (exit->exception.vector == VECTOR_DB && exit->exception.type == EVENT_EXCEPTION) {
        debug_exception_complete();
    }
}

/* Table 28-3: bits 3:0 the register, 5:4 the operation, 11:8 the GPR, 31:16 LMSW's source */
static void decode_control_register(struct vm_exit *exit) {
    uint64_t qualification = vmcs_read(EXIT_QUALIFICATION);
    exit->control.number = qualification & 0xf;
    exit->control.operation = (enum control_operation)(qualification >> 4 & 3);
    exit->control.gpr = qualification >> 8 & 0xf;
    exit->control.source = (uint16_t)(qualification >> 16);
}

/* Table 28-5 */
static void decode_io(struct vm_exit *exit) {
    uint64_t qualification = vmcs_read(EXIT_QUALIFICATION);
    exit->io.size = (uint8_t)((qualification & 7) + 1);
    exit->io.in = qualification >> 3 & 1;
    exit->io.string = qualification >> 4 & 1;
    exit->io.port = (uint16_t)(qualification >> 16);
}

/* Table 28-7: bit 0 data read, 1 data write, 2 instruction fetch; 7 and 8 tell an access to the
 * guest's own page tables (linear address valid, but not its final translation). */
static void decode_ept_violation(struct vm_exit *exit) {
    uint64_t qualification = vmcs_read(EXIT_QUALIFICATION);
    exit->memory.address = vmcs_read(GUEST_PHYSICAL_ADDRESS);
    exit->memory.access = qualification & 4   ? MEMORY_EXECUTE
                          : qualification & 2 ? MEMORY_WRITE
                                              : MEMORY_READ;
    exit->memory.walking = (qualification & 0x180) != 0x180;
    if (qualification & INTERRUPTION_NMI_UNBLOCKING) { /* bit 12 here too */
        undo_nmi_unblocking();
    }
}

/* 28.2.1: no qualification, only the address */
static void decode_ept_misconfiguration(struct vm_exit *exit) {
    exit->memory.address = vmcs_read(GUEST_PHYSICAL_ADDRESS);
}

/* Those that come by themselves, perhaps while an event is delivered: exit.c looks. */
static void decode_nothing(struct vm_exit *exit) {
    (void)exit;
}

/* One row a line: tests/unit/test_exit_table.py reads them, and the table in the docs comes from them. */
const struct exit_reason exit_reasons[EXIT_REASONS] = {
    [0] = {"Exception or non-maskable interrupt (NMI)", VM_EXIT_EXCEPTION, decode_exception},
    [1] = {"External interrupt", VM_EXIT_INTERRUPT, decode_nothing},
    [2] = {"Triple fault", VM_EXIT_TRIPLE_FAULT, decode_nothing},
    [3] = {"INIT signal", VM_EXIT_UNSUPPORTED, decode_nothing},
    [4] = {"Start-up IPI (SIPI)", VM_EXIT_UNSUPPORTED, decode_nothing},
    [5] = {"I/O system-management interrupt (SMI)", VM_EXIT_IMPOSSIBLE, NULL},
    [6] = {"Other SMI", VM_EXIT_IMPOSSIBLE, NULL},
    [7] = {"Interrupt window", VM_EXIT_WINDOW, decode_nothing},
    [8] = {"NMI window", VM_EXIT_WINDOW, decode_nothing},
    [9] = {"Task switch", VM_EXIT_TASK_SWITCH, decode_nothing},
    [10] = {"CPUID", VM_EXIT_CPUID, NULL},
    [11] = {"GETSEC", VM_EXIT_UNDEFINED, NULL},
    [12] = {"HLT", VM_EXIT_HLT, NULL},
    [13] = {"INVD", VM_EXIT_NO_OPERATION, NULL},
    [14] = {"INVLPG", VM_EXIT_IMPOSSIBLE, NULL},
    [15] = {"RDPMC", VM_EXIT_PROTECTED, NULL},
    [16] = {"RDTSC", VM_EXIT_IMPOSSIBLE, NULL},
    [17] = {"RSM", VM_EXIT_UNDEFINED, NULL},
    [18] = {"VMCALL", VM_EXIT_HYPERCALL, NULL},
    [19] = {"VMCLEAR", VM_EXIT_UNDEFINED, NULL},
    [20] = {"VMLAUNCH", VM_EXIT_UNDEFINED, NULL},
    [21] = {"VMPTRLD", VM_EXIT_UNDEFINED, NULL},
    [22] = {"VMPTRST", VM_EXIT_UNDEFINED, NULL},
    [23] = {"VMREAD", VM_EXIT_UNDEFINED, NULL},
    [24] = {"VMRESUME", VM_EXIT_UNDEFINED, NULL},
    [25] = {"VMWRITE", VM_EXIT_UNDEFINED, NULL},
    [26] = {"VMXOFF", VM_EXIT_UNDEFINED, NULL},
    [27] = {"VMXON", VM_EXIT_UNDEFINED, NULL},
    [28] = {"Control-register accesses", VM_EXIT_CONTROL_REGISTER, decode_control_register},
    [29] = {"MOV DR", VM_EXIT_IMPOSSIBLE, NULL},
    [30] = {"I/O instruction", VM_EXIT_IO, decode_io},
    [31] = {"RDMSR", VM_EXIT_MSR_READ, NULL},
    [32] = {"WRMSR", VM_EXIT_MSR_WRITE, NULL},
    [33] = {"VM-entry failure due to invalid guest state", VM_EXIT_ENTRY_FAILED, NULL},
    [34] = {"VM-entry failure due to MSR loading", VM_EXIT_ENTRY_FAILED, NULL},
    [36] = {"MWAIT", VM_EXIT_UNDEFINED, NULL},
    [37] = {"Monitor trap flag", VM_EXIT_IMPOSSIBLE, NULL},
    [39] = {"MONITOR", VM_EXIT_UNDEFINED, NULL},
    [40] = {"PAUSE", VM_EXIT_IMPOSSIBLE, NULL},
    [41] = {"VM-entry failure due to machine-check event", VM_EXIT_ENTRY_FAILED, NULL},
    [43] = {"TPR below threshold", VM_EXIT_IMPOSSIBLE, NULL},
    [44] = {"APIC access", VM_EXIT_IMPOSSIBLE, NULL},
    [45] = {"Virtualized EOI", VM_EXIT_IMPOSSIBLE, NULL},
    [46] = {"Access to GDTR or IDTR", VM_EXIT_IMPOSSIBLE, NULL},
    [47] = {"Access to LDTR or TR", VM_EXIT_IMPOSSIBLE, NULL},
    [48] = {"EPT violation", VM_EXIT_MEMORY, decode_ept_violation},
    [49] = {"EPT misconfiguration", VM_EXIT_MISCONFIGURED, decode_ept_misconfiguration},
    [50] = {"INVEPT", VM_EXIT_UNDEFINED, NULL},
    [51] = {"RDTSCP", VM_EXIT_IMPOSSIBLE, NULL},
    [52] = {"VMX-preemption timer expired", VM_EXIT_TIMER, decode_nothing},
    [53] = {"INVVPID", VM_EXIT_UNDEFINED, NULL},
    [54] = {"WBINVD or WBNOINVD", VM_EXIT_NO_OPERATION, NULL},
    [55] = {"XSETBV", VM_EXIT_XSETBV, NULL},
    [56] = {"APIC write", VM_EXIT_IMPOSSIBLE, NULL},
    [57] = {"RDRAND", VM_EXIT_IMPOSSIBLE, NULL},
    [58] = {"INVPCID", VM_EXIT_IMPOSSIBLE, NULL},
    [59] = {"VMFUNC", VM_EXIT_UNDEFINED, NULL},
    [60] = {"ENCLS", VM_EXIT_UNDEFINED, NULL},
    [61] = {"RDSEED", VM_EXIT_IMPOSSIBLE, NULL},
    [62] = {"Page-modification log full", VM_EXIT_IMPOSSIBLE, NULL},
    [63] = {"XSAVES", VM_EXIT_IMPOSSIBLE, NULL},
    [64] = {"XRSTORS", VM_EXIT_IMPOSSIBLE, NULL},
    [65] = {"PCONFIG", VM_EXIT_UNDEFINED, NULL},
    [66] = {"SPP-related event", VM_EXIT_IMPOSSIBLE, NULL},
    [67] = {"UMWAIT", VM_EXIT_UNDEFINED, NULL},
    [68] = {"TPAUSE", VM_EXIT_UNDEFINED, NULL},
    [69] = {"LOADIWKEY", VM_EXIT_UNDEFINED, NULL},
    [70] = {"ENCLV", VM_EXIT_UNDEFINED, NULL},
    [72] = {"ENQCMD PASID translation failure", VM_EXIT_IMPOSSIBLE, NULL},
    [73] = {"ENQCMDS PASID translation failure", VM_EXIT_IMPOSSIBLE, NULL},
    [74] = {"Bus lock", VM_EXIT_IMPOSSIBLE, NULL},
    [75] = {"Instruction timeout", VM_EXIT_IMPOSSIBLE, NULL},
    [76] = {"SEAMCALL", VM_EXIT_UNDEFINED, NULL},
    [77] = {"TDCALL", VM_EXIT_UNDEFINED, NULL},
};

const struct exit_reason *exit_reason(uint32_t basic) {
    static const struct exit_reason unknown = {"an exit reason that the manual does not have",
                                               VM_EXIT_IMPOSSIBLE, NULL};
    return basic < EXIT_REASONS && exit_reasons[basic].name ? &exit_reasons[basic] : &unknown;
}
