"""A plain list of fields: ``name=value`` a line, by whichever of their names people know them."""

from __future__ import annotations

import re
from typing import Any

from harness.tables import suggestion
from harness.vmentry.capabilities import ARCHITECTURAL, MSRS, Capabilities
from harness.vmentry.fields import BY_ENCODING, BY_NAME, FIELDS
from harness.vmentry.source import Source, Unreadable, checked, number, outcome

_LINE = re.compile(r"^\s*([A-Za-z0-9_][\w .()/-]{0,80}?)\s*[:=]\s*(.*?)\s*[,;]?\s*$")
_NUMBER = re.compile(r"0x[0-9a-fA-F_]+|\d+")

# Names of Linux (arch/x86/include/asm/vmx.h) that are neither the manual's nor near it.
_LINUX = {
    "virtual_processor_id": "virtual_processor_identifier",
    "posted_intr_nv": "posted_interrupt_notification_vector",
    "last_pid_pointer_index": "last_pid_pointer_index",
    "guest_intr_status": "guest_interrupt_status",
    "guest_pml_index": "pml_index",
    "msr_bitmap": "msr_bitmaps",
    "vm_exit_msr_store_addr": "vm_exit_msr_store_address",
    "vm_exit_msr_load_addr": "vm_exit_msr_load_address",
    "vm_entry_msr_load_addr": "vm_entry_msr_load_address",
    "virtual_apic_page_addr": "virtual_apic_address",
    "apic_access_addr": "apic_access_address",
    "posted_intr_desc_addr": "posted_interrupt_descriptor_address",
    "vm_function_control": "vm_function_controls",
    "eptp_list_address": "eptp_list_address",
    "vmread_bitmap": "vmread_bitmap_address",
    "vmwrite_bitmap": "vmwrite_bitmap_address",
    "ve_information_address": "virtualization_exception_information_address",
    "xss_exit_bitmap": "xss_exiting_bitmap",
    "tertiary_vm_exec_control": "tertiary_processor_based_controls",
    "pid_pointer_table": "pid_pointer_table_address",
    "guest_pdptr0": "guest_pdpte0",
    "guest_pdptr1": "guest_pdpte1",
    "guest_pdptr2": "guest_pdpte2",
    "guest_pdptr3": "guest_pdpte3",
    "guest_bndcfgs": "guest_ia32_bndcfgs",
    "pin_based_vm_exec_control": "pin_based_controls",
    "cpu_based_vm_exec_control": "primary_processor_based_controls",
    "secondary_vm_exec_control": "secondary_processor_based_controls",
    "vm_exit_controls": "primary_vm_exit_controls",
    "vm_entry_intr_info_field": "vm_entry_interruption_information",
    "vm_entry_intr_info": "vm_entry_interruption_information",
    "vm_entry_instruction_len": "vm_entry_instruction_length",
    "vm_exit_reason": "exit_reason",
    "guest_interruptibility_info": "guest_interruptibility_state",
    "guest_sysenter_cs": "guest_ia32_sysenter_cs",
    "guest_sysenter_esp": "guest_ia32_sysenter_esp",
    "guest_sysenter_eip": "guest_ia32_sysenter_eip",
    "guest_pending_dbg_exceptions": "guest_pending_debug_exceptions",
    "guest_s_cet": "guest_ia32_s_cet",
    "guest_intr_ssp_table": "guest_ia32_interrupt_ssp_table_addr",
    "host_s_cet": "host_ia32_s_cet",
    "host_intr_ssp_table": "host_ia32_interrupt_ssp_table_addr",
    **{f"guest_{s}_ar_bytes": f"guest_{s}_access_rights"
       for s in ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")},
    **{f"cr3_target_value{n}": f"cr3_target_value_{n}" for n in range(4)},
    **{f"eoi_exit_bitmap{n}": f"eoi_exit_bitmap_{n}" for n in range(4)},
}  # fmt: skip


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _names() -> dict[str, str]:
    names = {_plain(field.title): field.name for field in FIELDS} | _LINUX
    return names | {name: name for name in BY_NAME}


_CAPABILITY_NAMES = {
    "basic": "ia32_vmx_basic", "pin": "ia32_vmx_pinbased_ctls",
    "primary": "ia32_vmx_procbased_ctls",
    "exit": "ia32_vmx_exit_ctls", "entry": "ia32_vmx_entry_ctls", "misc": "ia32_vmx_misc",
    "cr0_fixed0": "ia32_vmx_cr0_fixed0", "cr0_fixed1": "ia32_vmx_cr0_fixed1",
    "cr4_fixed0": "ia32_vmx_cr4_fixed0", "cr4_fixed1": "ia32_vmx_cr4_fixed1",
    "vmcs_enum": "ia32_vmx_vmcs_enum", "secondary": "ia32_vmx_procbased_ctls2",
    "ept_vpid": "ia32_vmx_ept_vpid_cap", "true_pin": "ia32_vmx_true_pinbased_ctls",
    "true_primary": "ia32_vmx_true_procbased_ctls", "true_exit": "ia32_vmx_true_exit_ctls",
    "true_entry": "ia32_vmx_true_entry_ctls", "vm_functions": "ia32_vmx_vmfunc",
    "tertiary": "ia32_vmx_procbased_ctls3", "exit2": "ia32_vmx_exit_ctls2",
}  # fmt: skip


def read(text: str) -> Source | None:
    """The fields of a list; None if it is none, `Unreadable` if something in it is wrong."""
    found: list[tuple[str, str]] = []
    others: list[str] = []
    names = _names()
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith(("#", "//")):
            continue
        match = _LINE.match(line[:400])
        if match and _NUMBER.fullmatch(match[2]):
            found.append((match[1], match[2].replace("_", "")))
        elif match and _field(match[1], names):
            raise Unreadable(f"{match[1]} must be a number, not {match[2][:60]!r}")
        else:
            others.append(line.strip())
    known = {name: value for name, value in found if _field(name, names)}
    if found and not known and not others and (hint := _near(found[0][0], names)):
        raise Unreadable(f"no VMCS field or capability MSR is called {found[0][0]!r}; {hint}")
    if not known or len(others) > len(found):
        return None
    if others:
        raise Unreadable(f"{others[0][:60]!r} is no name=value")
    return _source(found, names)


def _field(name: str, names: dict[str, str]) -> str | None:
    if re.fullmatch(r"0x[0-9a-fA-F]{1,4}", name):
        encoding = int(name, 16)
        return BY_ENCODING[encoding].name if encoding in BY_ENCODING else None
    return names.get(_plain(name))


def _near(name: str, names: dict[str, str]) -> str:
    return suggestion(_plain(name), [*names, *_CAPABILITY_NAMES.values()])


def _source(found: list[tuple[str, str]], names: dict[str, str]) -> Source:
    fields: dict[str, int] = {}
    msrs: dict[str, Any] = {}
    by_msr = {long: short for short, long in _CAPABILITY_NAMES.items()}
    by_msr |= {f"{msr:#x}": short for msr, short in MSRS.items()}
    for name, text in found:
        value = number(text)
        if (field := _field(name, names)) is not None:
            if field in fields and fields[field] != value:
                raise Unreadable(f"{field} has two values")
            fields[field] = value
        elif (msr := by_msr.get(name.lower())) is not None:
            msrs[msr] = value
        else:
            what = f"no VMCS field or capability MSR is called {name[:60]!r}"
            raise Unreadable("; ".join(filter(None, (what, _near(name, names)))))
    told = outcome(
        fields.get("exit_reason"),
        fields.get("exit_qualification"),
        fields.get("vm_instruction_error"),
    )
    known = Capabilities(**msrs).known_from(ARCHITECTURAL) if msrs else None
    return Source("a list of fields", checked(fields), capabilities=known, reported=told)
