/* VMX control bits by the names of SDM 3C 25.6 to 25.8, for those that are used here. */
#pragma once

/* 25.6.1 pin-based */
#define PIN_EXTERNAL_INTERRUPT_EXITING (1u << 0)
#define PIN_NMI_EXITING                (1u << 3)
#define PIN_VIRTUAL_NMIS               (1u << 5)
#define PIN_ACTIVATE_PREEMPTION_TIMER  (1u << 6)

/* 25.6.2 primary processor-based */
#define PRIMARY_INTERRUPT_WINDOW_EXITING    (1u << 2)
#define PRIMARY_USE_TSC_OFFSETTING          (1u << 3)
#define PRIMARY_HLT_EXITING                 (1u << 7)
#define PRIMARY_MWAIT_EXITING               (1u << 10)
#define PRIMARY_RDPMC_EXITING               (1u << 11)
#define PRIMARY_ACTIVATE_TERTIARY_CONTROLS  (1u << 17)
#define PRIMARY_CR8_LOAD_EXITING            (1u << 19)
#define PRIMARY_CR8_STORE_EXITING           (1u << 20)
#define PRIMARY_NMI_WINDOW_EXITING          (1u << 22)
#define PRIMARY_USE_IO_BITMAPS              (1u << 25)
#define PRIMARY_USE_MSR_BITMAPS             (1u << 28)
#define PRIMARY_MONITOR_EXITING             (1u << 29)
#define PRIMARY_ACTIVATE_SECONDARY_CONTROLS (1u << 31)

/* 25.6.2 secondary processor-based */
#define SECONDARY_ENABLE_EPT          (1u << 1)
#define SECONDARY_ENABLE_RDTSCP       (1u << 3)
#define SECONDARY_ENABLE_VPID         (1u << 5)
#define SECONDARY_WBINVD_EXITING      (1u << 6)
#define SECONDARY_UNRESTRICTED_GUEST  (1u << 7)
#define SECONDARY_ENABLE_VM_FUNCTIONS (1u << 13)

/* 25.7.1 VM-exit */
#define EXIT_SAVE_DEBUG_CONTROLS         (1u << 2)
#define EXIT_HOST_ADDRESS_SPACE_SIZE     (1u << 9)
#define EXIT_ACKNOWLEDGE_INTERRUPT       (1u << 15)
#define EXIT_SAVE_IA32_PAT               (1u << 18)
#define EXIT_LOAD_IA32_PAT               (1u << 19)
#define EXIT_SAVE_IA32_EFER              (1u << 20)
#define EXIT_LOAD_IA32_EFER              (1u << 21)
#define EXIT_SAVE_PREEMPTION_TIMER_VALUE (1u << 22)
#define EXIT_ACTIVATE_SECONDARY_CONTROLS (1u << 31)

/* 25.8.1 VM-entry */
#define ENTRY_LOAD_DEBUG_CONTROLS (1u << 2)
#define ENTRY_IA32E_MODE_GUEST    (1u << 9)
#define ENTRY_LOAD_IA32_PAT       (1u << 14)
#define ENTRY_LOAD_IA32_EFER      (1u << 15)

/* 25.4.2 interruptibility state */
#define BLOCKING_BY_STI    (1u << 0)
#define BLOCKING_BY_MOV_SS (1u << 1)
#define BLOCKING_BY_NMI    (1u << 3)

/* 25.4.2 activity state */
#define ACTIVITY_ACTIVE 0
#define ACTIVITY_HLT    1

/* The interruption-information fields agree on these, 25.8.3, 25.9.2, 25.9.3. */
#define INTERRUPTION_TYPE_SHIFT       8
#define INTERRUPTION_ERROR_CODE_VALID (1u << 11)
#define INTERRUPTION_NMI_UNBLOCKING   (1u << 12) /* exits only */
#define INTERRUPTION_VALID            (1u << 31)

/* IA32_VMX_MISC, A.6 */
#define MISC_TIMER_RATE   0x1f
#define MISC_ACTIVITY_HLT (1u << 6)

/* IA32_VMX_EPT_VPID_CAP, A.10 */
#define EPT_CAP_EXECUTE_ONLY    (1ull << 0)
#define EPT_CAP_WALK_LENGTH_4   (1ull << 6)
#define EPT_CAP_UNCACHEABLE     (1ull << 8)
#define EPT_CAP_WRITE_BACK      (1ull << 14)
#define EPT_CAP_2M_PAGES        (1ull << 16)
#define EPT_CAP_1G_PAGES        (1ull << 17)
#define EPT_CAP_INVEPT          (1ull << 20)
#define EPT_CAP_ACCESSED_DIRTY  (1ull << 21)
#define EPT_CAP_INVEPT_SINGLE   (1ull << 25)
#define EPT_CAP_INVEPT_ALL      (1ull << 26)
#define VPID_CAP_INVVPID        (1ull << 32)
#define VPID_CAP_INVVPID_SINGLE (1ull << 41)
#define VPID_CAP_INVVPID_ALL    (1ull << 42)
