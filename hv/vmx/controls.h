/* VMX control bits by the names of SDM 3C 25.6 to 25.8, for those that are used here. */
#pragma once

/* 25.6.1 pin-based */
#define PIN_EXTERNAL_INTERRUPT_EXITING (1u << 0)
#define PIN_NMI_EXITING                (1u << 3)

/* 25.6.2 primary processor-based */
#define PRIMARY_HLT_EXITING                 (1u << 7)
#define PRIMARY_UNCONDITIONAL_IO_EXITING    (1u << 24)
#define PRIMARY_ACTIVATE_SECONDARY_CONTROLS (1u << 31)

/* 25.6.2 secondary processor-based */
#define SECONDARY_ENABLE_EPT         (1u << 1)
#define SECONDARY_ENABLE_VPID        (1u << 5)
#define SECONDARY_UNRESTRICTED_GUEST (1u << 7)

/* 25.7.1 VM-exit */
#define EXIT_HOST_ADDRESS_SPACE_SIZE (1u << 9)
#define EXIT_SAVE_IA32_PAT           (1u << 18)
#define EXIT_LOAD_IA32_PAT           (1u << 19)
#define EXIT_SAVE_IA32_EFER          (1u << 20)
#define EXIT_LOAD_IA32_EFER          (1u << 21)

/* 25.8.1 VM-entry */
#define ENTRY_IA32E_MODE_GUEST (1u << 9)
#define ENTRY_LOAD_IA32_PAT    (1u << 14)
#define ENTRY_LOAD_IA32_EFER   (1u << 15)

/* The capability MSRs of A.10: IA32_VMX_EPT_VPID_CAP */
#define EPT_CAP_WALK_LENGTH_4  (1ull << 6)
#define EPT_CAP_UNCACHEABLE    (1ull << 8)
#define EPT_CAP_WRITE_BACK     (1ull << 14)
#define EPT_CAP_2M_PAGES       (1ull << 16)
#define EPT_CAP_1G_PAGES       (1ull << 17)
#define EPT_CAP_INVEPT         (1ull << 20)
#define EPT_CAP_ACCESSED_DIRTY (1ull << 21)
#define EPT_CAP_INVEPT_SINGLE  (1ull << 25)
#define EPT_CAP_INVEPT_ALL     (1ull << 26)
#define VPID_CAP_INVVPID       (1ull << 32)
