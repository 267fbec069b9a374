"""The VMX controls by name: which bit of which control word (SDM 3C 25.6 to 25.8)."""

from __future__ import annotations

from dataclasses import dataclass

PIN = "pin_based_controls"
PRIMARY = "primary_processor_based_controls"
SECONDARY = "secondary_processor_based_controls"
TERTIARY = "tertiary_processor_based_controls"
EXIT = "primary_vm_exit_controls"
EXIT2 = "secondary_vm_exit_controls"
ENTRY = "vm_entry_controls"
FUNCTION = "vm_function_controls"


@dataclass(frozen=True)
class Control:
    """One control: the field that holds it, its bit there, and the manual's name of it."""

    field: str
    bit: int
    name: str

    @property
    def mask(self) -> int:
        """The bit as a number."""
        return 1 << self.bit


# 25.6.1
EXTERNAL_INTERRUPT_EXITING = Control(PIN, 0, "external-interrupt exiting")
NMI_EXITING = Control(PIN, 3, "NMI exiting")
VIRTUAL_NMIS = Control(PIN, 5, "virtual NMIs")
ACTIVATE_PREEMPTION_TIMER = Control(PIN, 6, "activate VMX-preemption timer")
PROCESS_POSTED_INTERRUPTS = Control(PIN, 7, "process posted interrupts")

# 25.6.2
NMI_WINDOW_EXITING = Control(PRIMARY, 22, "NMI-window exiting")
USE_TPR_SHADOW = Control(PRIMARY, 21, "use TPR shadow")
ACTIVATE_TERTIARY_CONTROLS = Control(PRIMARY, 17, "activate tertiary controls")
USE_IO_BITMAPS = Control(PRIMARY, 25, "use I/O bitmaps")
MONITOR_TRAP_FLAG = Control(PRIMARY, 27, "monitor trap flag")
USE_MSR_BITMAPS = Control(PRIMARY, 28, "use MSR bitmaps")
PAUSE_EXITING = Control(PRIMARY, 30, "PAUSE exiting")
ACTIVATE_SECONDARY_CONTROLS = Control(PRIMARY, 31, "activate secondary controls")

VIRTUALIZE_APIC_ACCESSES = Control(SECONDARY, 0, "virtualize APIC accesses")
ENABLE_EPT = Control(SECONDARY, 1, "enable EPT")
VIRTUALIZE_X2APIC_MODE = Control(SECONDARY, 4, "virtualize x2APIC mode")
ENABLE_VPID = Control(SECONDARY, 5, "enable VPID")
UNRESTRICTED_GUEST = Control(SECONDARY, 7, "unrestricted guest")
APIC_REGISTER_VIRTUALIZATION = Control(SECONDARY, 8, "APIC-register virtualization")
VIRTUAL_INTERRUPT_DELIVERY = Control(SECONDARY, 9, "virtual-interrupt delivery")
PAUSE_LOOP_EXITING = Control(SECONDARY, 10, "PAUSE-loop exiting")
ENABLE_VM_FUNCTIONS = Control(SECONDARY, 13, "enable VM functions")
VMCS_SHADOWING = Control(SECONDARY, 14, "VMCS shadowing")
ENABLE_ENCLS_EXITING = Control(SECONDARY, 15, "enable ENCLS exiting")
ENABLE_PML = Control(SECONDARY, 17, "enable PML")
EPT_VIOLATION_VE = Control(SECONDARY, 18, "EPT-violation #VE")
ENABLE_XSAVES = Control(SECONDARY, 20, "enable XSAVES/XRSTORS")
PASID_TRANSLATION = Control(SECONDARY, 21, "PASID translation")
MODE_BASED_EXECUTE = Control(SECONDARY, 22, "mode-based execute control for EPT")
SUB_PAGE_WRITE = Control(SECONDARY, 23, "sub-page write permissions for EPT")
PT_GUEST_PHYSICAL = Control(SECONDARY, 24, "Intel PT uses guest physical addresses")
USE_TSC_SCALING = Control(SECONDARY, 25, "use TSC scaling")
ENABLE_PCONFIG = Control(SECONDARY, 27, "enable PCONFIG")
ENABLE_ENCLV_EXITING = Control(SECONDARY, 28, "enable ENCLV exiting")
INSTRUCTION_TIMEOUT = Control(SECONDARY, 31, "instruction timeout")

ENABLE_HLAT = Control(TERTIARY, 1, "enable HLAT")
EPT_PAGING_WRITE = Control(TERTIARY, 2, "EPT paging-write control")
GUEST_PAGING_VERIFICATION = Control(TERTIARY, 3, "guest-paging verification")
IPI_VIRTUALIZATION = Control(TERTIARY, 4, "IPI virtualization")
VIRTUALIZE_SPEC_CTRL = Control(TERTIARY, 7, "virtualize IA32_SPEC_CTRL")

# 25.7.1
EXIT_SAVE_DEBUG_CONTROLS = Control(EXIT, 2, "save debug controls")
HOST_ADDRESS_SPACE_SIZE = Control(EXIT, 9, "host address-space size")
EXIT_LOAD_PERF_GLOBAL_CTRL = Control(EXIT, 12, "load IA32_PERF_GLOBAL_CTRL")
ACKNOWLEDGE_INTERRUPT = Control(EXIT, 15, "acknowledge interrupt on exit")
EXIT_SAVE_PAT = Control(EXIT, 18, "save IA32_PAT")
EXIT_LOAD_PAT = Control(EXIT, 19, "load IA32_PAT")
EXIT_SAVE_EFER = Control(EXIT, 20, "save IA32_EFER")
EXIT_LOAD_EFER = Control(EXIT, 21, "load IA32_EFER")
SAVE_PREEMPTION_TIMER = Control(EXIT, 22, "save VMX-preemption timer value")
EXIT_CLEAR_BNDCFGS = Control(EXIT, 23, "clear IA32_BNDCFGS")
EXIT_CLEAR_RTIT_CTL = Control(EXIT, 25, "clear IA32_RTIT_CTL")
EXIT_CLEAR_LBR_CTL = Control(EXIT, 26, "clear IA32_LBR_CTL")
EXIT_CLEAR_UINV = Control(EXIT, 27, "clear UINV")
EXIT_LOAD_CET = Control(EXIT, 28, "load CET state")
EXIT_LOAD_PKRS = Control(EXIT, 29, "load PKRS")
ACTIVATE_SECONDARY_EXIT_CONTROLS = Control(EXIT, 31, "activate secondary controls")

# 25.8.1
ENTRY_LOAD_DEBUG_CONTROLS = Control(ENTRY, 2, "load debug controls")
IA32E_MODE_GUEST = Control(ENTRY, 9, "IA-32e mode guest")
ENTRY_TO_SMM = Control(ENTRY, 10, "entry to SMM")
DEACTIVATE_DUAL_MONITOR = Control(ENTRY, 11, "deactivate dual-monitor treatment")
ENTRY_LOAD_PERF_GLOBAL_CTRL = Control(ENTRY, 13, "load IA32_PERF_GLOBAL_CTRL")
ENTRY_LOAD_PAT = Control(ENTRY, 14, "load IA32_PAT")
ENTRY_LOAD_EFER = Control(ENTRY, 15, "load IA32_EFER")
ENTRY_LOAD_BNDCFGS = Control(ENTRY, 16, "load IA32_BNDCFGS")
ENTRY_LOAD_RTIT_CTL = Control(ENTRY, 18, "load IA32_RTIT_CTL")
ENTRY_LOAD_UINV = Control(ENTRY, 19, "load UINV")
ENTRY_LOAD_CET = Control(ENTRY, 20, "load CET state")
ENTRY_LOAD_LBR_CTL = Control(ENTRY, 21, "load guest IA32_LBR_CTL")
ENTRY_LOAD_PKRS = Control(ENTRY, 22, "load PKRS")

# 25.6.14
EPTP_SWITCHING = Control(FUNCTION, 0, "EPTP switching")

ACTIVATED_BY = {
    SECONDARY: ACTIVATE_SECONDARY_CONTROLS,
    TERTIARY: ACTIVATE_TERTIARY_CONTROLS,
    EXIT2: ACTIVATE_SECONDARY_EXIT_CONTROLS,
    FUNCTION: ENABLE_VM_FUNCTIONS,
}
"""Words that count as 0 while the control that activates them is 0."""
