/* What only self-tests need, beside vmx/controls.h: bits that the product never sets. */
#pragma once

#include <stdint.h>

#define PIN_PROCESS_POSTED_INTERRUPTS (1u << 7)

#define PRIMARY_RDTSC_EXITING     (1u << 12)
#define PRIMARY_USE_TPR_SHADOW    (1u << 21)
#define PRIMARY_MONITOR_TRAP_FLAG (1u << 27)

#define SECONDARY_VIRTUALIZE_APIC_ACCESSES   (1u << 0)
#define SECONDARY_VIRTUALIZE_X2APIC          (1u << 4)
#define SECONDARY_APIC_REGISTERS             (1u << 8)
#define SECONDARY_VIRTUAL_INTERRUPT_DELIVERY (1u << 9)
#define SECONDARY_ENABLE_VM_FUNCTIONS        (1u << 13)
#define SECONDARY_VMCS_SHADOWING             (1u << 14)
#define SECONDARY_ENABLE_PML                 (1u << 17)
#define SECONDARY_TSC_SCALING                (1u << 25)

#define EXIT_SAVE_PREEMPTION_TIMER (1u << 22)

#define ENTRY_TO_SMM                  (1u << 10)
#define ENTRY_DEACTIVATE_DUAL_MONITOR (1u << 11)

#define BASIC_ANY_ERROR_CODE (1ull << 56) /* A.1 */

#define MISC_WRITES_READ_ONLY_FIELDS (1u << 29) /* A.6 */

#define EPT_CAP_INVVPID_ADDRESS           (1ull << 40) /* A.10 */
#define EPT_CAP_INVVPID_RETAINING_GLOBALS (1ull << 43)

/* Basic exit reasons, appendix C. */
enum reason {
    REASON_EXCEPTION_OR_NMI = 0,
    REASON_EXTERNAL_INTERRUPT = 1,
    REASON_INTERRUPT_WINDOW = 7,
    REASON_NMI_WINDOW = 8,
    REASON_CPUID = 10,
    REASON_HLT = 12,
    REASON_VMCALL = 18,
    REASON_CONTROL_REGISTER = 28,
    REASON_IO = 30,
    REASON_RDMSR = 31,
    REASON_WRMSR = 32,
    REASON_INVALID_GUEST_STATE = 33,
    REASON_MSR_LOADING = 34,
    REASON_EPT_VIOLATION = 48,
    REASON_EPT_MISCONFIGURATION = 49,
    REASON_PREEMPTION_TIMER = 52,
    REASON_VMFUNC = 59,
};
#define REASON_FAILED_ENTRY 0x80000000u

/* The number of physical-address bits, CPUID leaf 80000008H. */
unsigned physical_address_bits(void);
