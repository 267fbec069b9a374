"""Every VMCS field: encoding, name, the manual's full name, and what makes it exist.

The names are those of hv/vmx/fields.h in lower case, and so is the order: SDM 3D, appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.vmentry import controls as c
from harness.vmentry.controls import Control


@dataclass(frozen=True)
class Field:
    """One field. ``exists`` is the control whose 1-setting a processor must support to have it."""

    encoding: int
    name: str
    title: str
    exists: Control | None = None

    @property
    def width(self) -> int:
        """Its width in bits; natural width is 64 (SDM 3C 25.11.2, bits 14:13)."""
        return (16, 64, 32, 64)[self.encoding >> 13 & 3]

    @property
    def mask(self) -> int:
        """All of its bits."""
        return (1 << self.width) - 1

    @property
    def read_only(self) -> bool:
        """Whether it is exit information, which VM entry does not look at."""
        return self.encoding >> 10 & 3 == 1


FIELDS = (
    # B.1.1 16-bit control fields
    Field(
        0x0000, "virtual_processor_identifier", "Virtual-processor identifier (VPID)", c.ENABLE_VPID
    ),
    Field(
        0x0002,
        "posted_interrupt_notification_vector",
        "Posted-interrupt notification vector",
        c.PROCESS_POSTED_INTERRUPTS,
    ),
    Field(0x0004, "eptp_index", "EPTP index", c.EPT_VIOLATION_VE),
    Field(0x0006, "hlat_prefix_size", "HLAT prefix size", c.ENABLE_HLAT),
    Field(0x0008, "last_pid_pointer_index", "Last PID-pointer index", c.IPI_VIRTUALIZATION),
    # B.1.2 16-bit guest-state fields
    Field(0x0800, "guest_es_selector", "Guest ES selector"),
    Field(0x0802, "guest_cs_selector", "Guest CS selector"),
    Field(0x0804, "guest_ss_selector", "Guest SS selector"),
    Field(0x0806, "guest_ds_selector", "Guest DS selector"),
    Field(0x0808, "guest_fs_selector", "Guest FS selector"),
    Field(0x080A, "guest_gs_selector", "Guest GS selector"),
    Field(0x080C, "guest_ldtr_selector", "Guest LDTR selector"),
    Field(0x080E, "guest_tr_selector", "Guest TR selector"),
    Field(0x0810, "guest_interrupt_status", "Guest interrupt status", c.VIRTUAL_INTERRUPT_DELIVERY),
    Field(0x0812, "pml_index", "PML index", c.ENABLE_PML),
    Field(0x0814, "guest_uinv", "Guest UINV", c.ENTRY_LOAD_UINV),
    # B.1.3 16-bit host-state fields
    Field(0x0C00, "host_es_selector", "Host ES selector"),
    Field(0x0C02, "host_cs_selector", "Host CS selector"),
    Field(0x0C04, "host_ss_selector", "Host SS selector"),
    Field(0x0C06, "host_ds_selector", "Host DS selector"),
    Field(0x0C08, "host_fs_selector", "Host FS selector"),
    Field(0x0C0A, "host_gs_selector", "Host GS selector"),
    Field(0x0C0C, "host_tr_selector", "Host TR selector"),
    # B.2.1 64-bit control fields
    Field(0x2000, "io_bitmap_a", "Address of I/O bitmap A"),
    Field(0x2002, "io_bitmap_b", "Address of I/O bitmap B"),
    Field(0x2004, "msr_bitmaps", "Address of MSR bitmaps", c.USE_MSR_BITMAPS),
    Field(0x2006, "vm_exit_msr_store_address", "VM-exit MSR-store address"),
    Field(0x2008, "vm_exit_msr_load_address", "VM-exit MSR-load address"),
    Field(0x200A, "vm_entry_msr_load_address", "VM-entry MSR-load address"),
    Field(0x200C, "executive_vmcs_pointer", "Executive-VMCS pointer"),
    Field(0x200E, "pml_address", "PML address", c.ENABLE_PML),
    Field(0x2010, "tsc_offset", "TSC offset"),
    Field(0x2012, "virtual_apic_address", "Virtual-APIC address", c.USE_TPR_SHADOW),
    Field(0x2014, "apic_access_address", "APIC-access address", c.VIRTUALIZE_APIC_ACCESSES),
    Field(
        0x2016,
        "posted_interrupt_descriptor_address",
        "Posted-interrupt descriptor address",
        c.PROCESS_POSTED_INTERRUPTS,
    ),
    Field(0x2018, "vm_function_controls", "VM-function controls", c.ENABLE_VM_FUNCTIONS),
    Field(0x201A, "ept_pointer", "EPT pointer (EPTP)", c.ENABLE_EPT),
    Field(0x201C, "eoi_exit_bitmap_0", "EOI-exit bitmap 0", c.VIRTUAL_INTERRUPT_DELIVERY),
    Field(0x201E, "eoi_exit_bitmap_1", "EOI-exit bitmap 1", c.VIRTUAL_INTERRUPT_DELIVERY),
    Field(0x2020, "eoi_exit_bitmap_2", "EOI-exit bitmap 2", c.VIRTUAL_INTERRUPT_DELIVERY),
    Field(0x2022, "eoi_exit_bitmap_3", "EOI-exit bitmap 3", c.VIRTUAL_INTERRUPT_DELIVERY),
    Field(0x2024, "eptp_list_address", "EPTP-list address", c.EPTP_SWITCHING),
    Field(0x2026, "vmread_bitmap_address", "VMREAD-bitmap address", c.VMCS_SHADOWING),
    Field(0x2028, "vmwrite_bitmap_address", "VMWRITE-bitmap address", c.VMCS_SHADOWING),
    Field(
        0x202A,
        "virtualization_exception_information_address",
        "Virtualization-exception information address",
        c.EPT_VIOLATION_VE,
    ),
    Field(0x202C, "xss_exiting_bitmap", "XSS-exiting bitmap", c.ENABLE_XSAVES),
    Field(0x202E, "encls_exiting_bitmap", "ENCLS-exiting bitmap", c.ENABLE_ENCLS_EXITING),
    Field(
        0x2030,
        "sub_page_permission_table_pointer",
        "Sub-page-permission-table pointer",
        c.SUB_PAGE_WRITE,
    ),
    Field(0x2032, "tsc_multiplier", "TSC multiplier", c.USE_TSC_SCALING),
    Field(
        0x2034,
        "tertiary_processor_based_controls",
        "Tertiary processor-based VM-execution controls",
        c.ACTIVATE_TERTIARY_CONTROLS,
    ),
    Field(0x2036, "enclv_exiting_bitmap", "ENCLV-exiting bitmap", c.ENABLE_ENCLV_EXITING),
    Field(
        0x2038, "low_pasid_directory_address", "Low PASID directory address", c.PASID_TRANSLATION
    ),
    Field(
        0x203A, "high_pasid_directory_address", "High PASID directory address", c.PASID_TRANSLATION
    ),
    Field(0x203C, "shared_ept_pointer", "Shared EPT pointer"),
    Field(0x203E, "pconfig_exiting_bitmap", "PCONFIG-exiting bitmap", c.ENABLE_PCONFIG),
    Field(
        0x2040,
        "hlat_pointer",
        "Hypervisor-managed linear-address translation pointer (HLATP)",
        c.ENABLE_HLAT,
    ),
    Field(0x2042, "pid_pointer_table_address", "PID-pointer table address", c.IPI_VIRTUALIZATION),
    Field(
        0x2044,
        "secondary_vm_exit_controls",
        "Secondary VM-exit controls",
        c.ACTIVATE_SECONDARY_EXIT_CONTROLS,
    ),
    Field(0x204A, "spec_ctrl_mask", "IA32_SPEC_CTRL mask", c.VIRTUALIZE_SPEC_CTRL),
    Field(0x204C, "spec_ctrl_shadow", "IA32_SPEC_CTRL shadow", c.VIRTUALIZE_SPEC_CTRL),
    # B.2.2 64-bit read-only data field
    Field(0x2400, "guest_physical_address", "Guest-physical address", c.ENABLE_EPT),
    # B.2.3 64-bit guest-state fields
    Field(0x2800, "vmcs_link_pointer", "VMCS link pointer"),
    Field(0x2802, "guest_ia32_debugctl", "Guest IA32_DEBUGCTL"),
    Field(0x2804, "guest_ia32_pat", "Guest IA32_PAT", c.ENTRY_LOAD_PAT),
    Field(0x2806, "guest_ia32_efer", "Guest IA32_EFER", c.ENTRY_LOAD_EFER),
    Field(
        0x2808,
        "guest_ia32_perf_global_ctrl",
        "Guest IA32_PERF_GLOBAL_CTRL",
        c.ENTRY_LOAD_PERF_GLOBAL_CTRL,
    ),
    Field(0x280A, "guest_pdpte0", "Guest PDPTE0", c.ENABLE_EPT),
    Field(0x280C, "guest_pdpte1", "Guest PDPTE1", c.ENABLE_EPT),
    Field(0x280E, "guest_pdpte2", "Guest PDPTE2", c.ENABLE_EPT),
    Field(0x2810, "guest_pdpte3", "Guest PDPTE3", c.ENABLE_EPT),
    Field(0x2812, "guest_ia32_bndcfgs", "Guest IA32_BNDCFGS", c.ENTRY_LOAD_BNDCFGS),
    Field(0x2814, "guest_ia32_rtit_ctl", "Guest IA32_RTIT_CTL", c.ENTRY_LOAD_RTIT_CTL),
    Field(0x2816, "guest_ia32_lbr_ctl", "Guest IA32_LBR_CTL", c.ENTRY_LOAD_LBR_CTL),
    Field(0x2818, "guest_ia32_pkrs", "Guest IA32_PKRS", c.ENTRY_LOAD_PKRS),
    # B.2.4 64-bit host-state fields
    Field(0x2C00, "host_ia32_pat", "Host IA32_PAT", c.EXIT_LOAD_PAT),
    Field(0x2C02, "host_ia32_efer", "Host IA32_EFER", c.EXIT_LOAD_EFER),
    Field(
        0x2C04,
        "host_ia32_perf_global_ctrl",
        "Host IA32_PERF_GLOBAL_CTRL",
        c.EXIT_LOAD_PERF_GLOBAL_CTRL,
    ),
    Field(0x2C06, "host_ia32_pkrs", "Host IA32_PKRS", c.EXIT_LOAD_PKRS),
    # B.3.1 32-bit control fields
    Field(0x4000, "pin_based_controls", "Pin-based VM-execution controls"),
    Field(
        0x4002, "primary_processor_based_controls", "Primary processor-based VM-execution controls"
    ),
    Field(0x4004, "exception_bitmap", "Exception bitmap"),
    Field(0x4006, "page_fault_error_code_mask", "Page-fault error-code mask"),
    Field(0x4008, "page_fault_error_code_match", "Page-fault error-code match"),
    Field(0x400A, "cr3_target_count", "CR3-target count"),
    Field(0x400C, "primary_vm_exit_controls", "Primary VM-exit controls"),
    Field(0x400E, "vm_exit_msr_store_count", "VM-exit MSR-store count"),
    Field(0x4010, "vm_exit_msr_load_count", "VM-exit MSR-load count"),
    Field(0x4012, "vm_entry_controls", "VM-entry controls"),
    Field(0x4014, "vm_entry_msr_load_count", "VM-entry MSR-load count"),
    Field(0x4016, "vm_entry_interruption_information", "VM-entry interruption-information field"),
    Field(0x4018, "vm_entry_exception_error_code", "VM-entry exception error code"),
    Field(0x401A, "vm_entry_instruction_length", "VM-entry instruction length"),
    Field(0x401C, "tpr_threshold", "TPR threshold", c.USE_TPR_SHADOW),
    Field(
        0x401E,
        "secondary_processor_based_controls",
        "Secondary processor-based VM-execution controls",
        c.ACTIVATE_SECONDARY_CONTROLS,
    ),
    Field(0x4020, "ple_gap", "PLE_Gap", c.PAUSE_LOOP_EXITING),
    Field(0x4022, "ple_window", "PLE_Window", c.PAUSE_LOOP_EXITING),
    Field(
        0x4024, "instruction_timeout_control", "Instruction-timeout control", c.INSTRUCTION_TIMEOUT
    ),
    # B.3.2 32-bit read-only data fields
    Field(0x4400, "vm_instruction_error", "VM-instruction error"),
    Field(0x4402, "exit_reason", "Exit reason"),
    Field(0x4404, "vm_exit_interruption_information", "VM-exit interruption information"),
    Field(0x4406, "vm_exit_interruption_error_code", "VM-exit interruption error code"),
    Field(0x4408, "idt_vectoring_information", "IDT-vectoring information field"),
    Field(0x440A, "idt_vectoring_error_code", "IDT-vectoring error code"),
    Field(0x440C, "vm_exit_instruction_length", "VM-exit instruction length"),
    Field(0x440E, "vm_exit_instruction_information", "VM-exit instruction information"),
    # B.3.3 32-bit guest-state fields
    Field(0x4800, "guest_es_limit", "Guest ES limit"),
    Field(0x4802, "guest_cs_limit", "Guest CS limit"),
    Field(0x4804, "guest_ss_limit", "Guest SS limit"),
    Field(0x4806, "guest_ds_limit", "Guest DS limit"),
    Field(0x4808, "guest_fs_limit", "Guest FS limit"),
    Field(0x480A, "guest_gs_limit", "Guest GS limit"),
    Field(0x480C, "guest_ldtr_limit", "Guest LDTR limit"),
    Field(0x480E, "guest_tr_limit", "Guest TR limit"),
    Field(0x4810, "guest_gdtr_limit", "Guest GDTR limit"),
    Field(0x4812, "guest_idtr_limit", "Guest IDTR limit"),
    Field(0x4814, "guest_es_access_rights", "Guest ES access rights"),
    Field(0x4816, "guest_cs_access_rights", "Guest CS access rights"),
    Field(0x4818, "guest_ss_access_rights", "Guest SS access rights"),
    Field(0x481A, "guest_ds_access_rights", "Guest DS access rights"),
    Field(0x481C, "guest_fs_access_rights", "Guest FS access rights"),
    Field(0x481E, "guest_gs_access_rights", "Guest GS access rights"),
    Field(0x4820, "guest_ldtr_access_rights", "Guest LDTR access rights"),
    Field(0x4822, "guest_tr_access_rights", "Guest TR access rights"),
    Field(0x4824, "guest_interruptibility_state", "Guest interruptibility state"),
    Field(0x4826, "guest_activity_state", "Guest activity state"),
    Field(0x4828, "guest_smbase", "Guest SMBASE"),
    Field(0x482A, "guest_ia32_sysenter_cs", "Guest IA32_SYSENTER_CS"),
    Field(
        0x482E,
        "vmx_preemption_timer_value",
        "VMX-preemption timer value",
        c.ACTIVATE_PREEMPTION_TIMER,
    ),
    # B.3.4 32-bit host-state field
    Field(0x4C00, "host_ia32_sysenter_cs", "Host IA32_SYSENTER_CS"),
    # B.4.1 natural-width control fields
    Field(0x6000, "cr0_guest_host_mask", "CR0 guest/host mask"),
    Field(0x6002, "cr4_guest_host_mask", "CR4 guest/host mask"),
    Field(0x6004, "cr0_read_shadow", "CR0 read shadow"),
    Field(0x6006, "cr4_read_shadow", "CR4 read shadow"),
    Field(0x6008, "cr3_target_value_0", "CR3-target value 0"),
    Field(0x600A, "cr3_target_value_1", "CR3-target value 1"),
    Field(0x600C, "cr3_target_value_2", "CR3-target value 2"),
    Field(0x600E, "cr3_target_value_3", "CR3-target value 3"),
    # B.4.2 natural-width read-only data fields
    Field(0x6400, "exit_qualification", "Exit qualification"),
    Field(0x6402, "io_rcx", "I/O RCX"),
    Field(0x6404, "io_rsi", "I/O RSI"),
    Field(0x6406, "io_rdi", "I/O RDI"),
    Field(0x6408, "io_rip", "I/O RIP"),
    Field(0x640A, "guest_linear_address", "Guest-linear address"),
    # B.4.3 natural-width guest-state fields
    Field(0x6800, "guest_cr0", "Guest CR0"),
    Field(0x6802, "guest_cr3", "Guest CR3"),
    Field(0x6804, "guest_cr4", "Guest CR4"),
    Field(0x6806, "guest_es_base", "Guest ES base"),
    Field(0x6808, "guest_cs_base", "Guest CS base"),
    Field(0x680A, "guest_ss_base", "Guest SS base"),
    Field(0x680C, "guest_ds_base", "Guest DS base"),
    Field(0x680E, "guest_fs_base", "Guest FS base"),
    Field(0x6810, "guest_gs_base", "Guest GS base"),
    Field(0x6812, "guest_ldtr_base", "Guest LDTR base"),
    Field(0x6814, "guest_tr_base", "Guest TR base"),
    Field(0x6816, "guest_gdtr_base", "Guest GDTR base"),
    Field(0x6818, "guest_idtr_base", "Guest IDTR base"),
    Field(0x681A, "guest_dr7", "Guest DR7"),
    Field(0x681C, "guest_rsp", "Guest RSP"),
    Field(0x681E, "guest_rip", "Guest RIP"),
    Field(0x6820, "guest_rflags", "Guest RFLAGS"),
    Field(0x6822, "guest_pending_debug_exceptions", "Guest pending debug exceptions"),
    Field(0x6824, "guest_ia32_sysenter_esp", "Guest IA32_SYSENTER_ESP"),
    Field(0x6826, "guest_ia32_sysenter_eip", "Guest IA32_SYSENTER_EIP"),
    Field(0x6828, "guest_ia32_s_cet", "Guest IA32_S_CET", c.ENTRY_LOAD_CET),
    Field(0x682A, "guest_ssp", "Guest SSP", c.ENTRY_LOAD_CET),
    Field(
        0x682C,
        "guest_ia32_interrupt_ssp_table_addr",
        "Guest IA32_INTERRUPT_SSP_TABLE_ADDR",
        c.ENTRY_LOAD_CET,
    ),
    # B.4.4 natural-width host-state fields
    Field(0x6C00, "host_cr0", "Host CR0"),
    Field(0x6C02, "host_cr3", "Host CR3"),
    Field(0x6C04, "host_cr4", "Host CR4"),
    Field(0x6C06, "host_fs_base", "Host FS base"),
    Field(0x6C08, "host_gs_base", "Host GS base"),
    Field(0x6C0A, "host_tr_base", "Host TR base"),
    Field(0x6C0C, "host_gdtr_base", "Host GDTR base"),
    Field(0x6C0E, "host_idtr_base", "Host IDTR base"),
    Field(0x6C10, "host_ia32_sysenter_esp", "Host IA32_SYSENTER_ESP"),
    Field(0x6C12, "host_ia32_sysenter_eip", "Host IA32_SYSENTER_EIP"),
    Field(0x6C14, "host_rsp", "Host RSP"),
    Field(0x6C16, "host_rip", "Host RIP"),
    Field(0x6C18, "host_ia32_s_cet", "Host IA32_S_CET", c.EXIT_LOAD_CET),
    Field(0x6C1A, "host_ssp", "Host SSP", c.EXIT_LOAD_CET),
    Field(
        0x6C1C,
        "host_ia32_interrupt_ssp_table_addr",
        "Host IA32_INTERRUPT_SSP_TABLE_ADDR",
        c.EXIT_LOAD_CET,
    ),
)

BY_NAME = {field.name: field for field in FIELDS}
BY_ENCODING = {field.encoding: field for field in FIELDS}

SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")
"""In the order of their encodings, which are two apart."""
