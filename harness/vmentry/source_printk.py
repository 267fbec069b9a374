"""VMCS dumps in a kernel's log: KVM's dump_vmcs (Linux 4.x to 6.x), and Xen's vmcs_dump_vcpu.

Both print the guest's state, the host's and the controls under the same three headings. Fields are
looked for by their labels, wherever in the section they stand, so that versions may differ, and so
may whatever a log puts before its lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from harness.vmentry.source import Source, Unreadable, checked, number, outcome, reported_in

_HEX = r"(?:0x)?+([0-9a-fA-F]{1,16}+)(?![0-9a-fA-F])"

_SECTIONS = {
    "*** Guest State ***": "guest",
    "*** Host State ***": "host",
    "*** Control State ***": "control",
}

# In each section: a label, with {h} for each value, and the fields that the values are.
_LABELS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "guest": (
        (
            r"CR0: actual={h}, shadow={h}, gh_mask={h}",
            ("guest_cr0", "cr0_read_shadow", "cr0_guest_host_mask"),
        ),
        (
            r"CR4: actual={h}, shadow={h}, gh_mask={h}",
            ("guest_cr4", "cr4_read_shadow", "cr4_guest_host_mask"),
        ),
        (r"\bCR3 = {h}", ("guest_cr3",)),
        (r"PDPT[RE]0 = {h} PDPT[RE]1 = {h}", ("guest_pdpte0", "guest_pdpte1")),
        (r"PDPT[RE]2 = {h} PDPT[RE]3 = {h}", ("guest_pdpte2", "guest_pdpte3")),
        (r"\bRSP = {h}", ("guest_rsp",)),
        (r"\bRIP = {h}", ("guest_rip",)),
        (r"\bRFLAGS={h}", ("guest_rflags",)),
        (r"\bDR7 = {h}", ("guest_dr7",)),
        (
            r"Sysenter RSP={h} CS:RIP={h}:{h}",
            ("guest_ia32_sysenter_esp", "guest_ia32_sysenter_cs", "guest_ia32_sysenter_eip"),
        ),
        (r"\bEFER(?:\(VMCS\))? ?= {h}(?! \((?:autoload|effective)\))", ("guest_ia32_efer",)),
        (r"\bPAT = {h}", ("guest_ia32_pat",)),
        (r"SM Base = {h}", ("guest_smbase",)),
        (r"PreemptionTimer = {h}", ("vmx_preemption_timer_value",)),
        (r"DebugCtl = {h}", ("guest_ia32_debugctl",)),
        (r"DebugExceptions = {h}", ("guest_pending_debug_exceptions",)),
        (r"PerfGlobCtl = {h}", ("guest_ia32_perf_global_ctrl",)),
        (r"BndCfgS = {h}", ("guest_ia32_bndcfgs",)),
        (r"Interruptibility = {h}", ("guest_interruptibility_state",)),
        (r"ActivityState = {h}", ("guest_activity_state",)),
        (r"InterruptStatus = {h}", ("guest_interrupt_status",)),
        (r"\bS_CET = {h}", ("guest_ia32_s_cet",)),
        (r"\bSSP = {h}", ("guest_ssp",)),
        (r"\bSSP TABLE = {h}", ("guest_ia32_interrupt_ssp_table_addr",)),
    ),
    "host": (
        (r"\bRIP = {h}", ("host_rip",)),
        (r"\bRSP = {h}", ("host_rsp",)),
        *((rf"\b{name}={{h}}", (f"host_{name.lower()}_selector",))
          for name in ("CS", "SS", "DS", "ES", "FS", "GS", "TR")),
        *((rf"\b{name}Base={{h}}", (f"host_{name.lower()}_base",)) for name in ("FS", "GS", "TR")),
        *((rf"\b{name}Base={{h}}", (f"host_{name.lower()}r_base",)) for name in ("GDT", "IDT")),
        *((rf"\b{name}={{h}}", (f"host_{name.lower()}",)) for name in ("CR0", "CR3", "CR4")),
        (
            r"Sysenter RSP={h} CS:RIP={h}:{h}",
            ("host_ia32_sysenter_esp", "host_ia32_sysenter_cs", "host_ia32_sysenter_eip"),
        ),
        (r"\bEFER ?= {h}", ("host_ia32_efer",)),
        (r"\bPAT = {h}", ("host_ia32_pat",)),
        (r"PerfGlobCtl = {h}", ("host_ia32_perf_global_ctrl",)),
        (r"\bS_CET = {h}", ("host_ia32_s_cet",)),
        (r"\bSSP = {h}", ("host_ssp",)),
        (r"\bSSP TABLE = {h}", ("host_ia32_interrupt_ssp_table_addr",)),
    ),
    "control": (
        (r"PinBased={h}", ("pin_based_controls",)),
        (r"CPUBased={h}", ("primary_processor_based_controls",)),
        (r"SecondaryExec={h}", ("secondary_processor_based_controls",)),
        (r"TertiaryExec={h}", ("tertiary_processor_based_controls",)),
        (r"EntryControls={h}", ("vm_entry_controls",)),
        (r"ExitControls={h}", ("primary_vm_exit_controls",)),
        (r"ExceptionBitmap={h}", ("exception_bitmap",)),
        (r"PFECmask={h}", ("page_fault_error_code_mask",)),
        (r"PFECmatch={h}", ("page_fault_error_code_match",)),
        (
            r"VMEntry: intr_info={h} errcode={h} ilen={h}",
            (
                "vm_entry_interruption_information",
                "vm_entry_exception_error_code",
                "vm_entry_instruction_length",
            ),
        ),
        (r"\breason={h} qualification={h}", ("exit_reason", "exit_qualification")),
        (r"TSC Offset = {h}", ("tsc_offset",)),
        (r"TSC Multiplier = {h}", ("tsc_multiplier",)),
        (r"TPR Threshold = {h}", ("tpr_threshold",)),
        (r"APIC-access addr = {h}", ("apic_access_address",)),
        (r"virt-APIC addr = {h}", ("virtual_apic_address",)),
        (r"PostedIntrVec = {h}", ("posted_interrupt_notification_vector",)),
        (r"EPT pointer = {h}", ("ept_pointer",)),
        (r"EPTP index = {h}", ("eptp_index",)),
        (r"PLE Gap={h} Window={h}", ("ple_gap", "ple_window")),
        (r"Virtual processor ID = {h}", ("virtual_processor_identifier",)),
        (r"VMfunc controls = {h}", ("vm_function_controls",)),
        (r"VE info address = {h}", ("virtualization_exception_information_address",)),
    ),
}  # fmt: skip

_SEGMENT = re.compile(
    r"\b(CS|DS|SS|ES|FS|GS|LDTR|TR): (?:sel=)?{h},? (?:attr=)?{h},? (?:limit=)?{h},? "
    r"(?:base=)?{h}".replace("{h}", _HEX)
)
_TABLE = re.compile(r"\b(GDTR|IDTR): (?:limit=)?{h},? (?:base=)?{h}".replace("{h}", _HEX))


def is_dump(text: str) -> bool:
    """Whether a log has such a dump."""
    return "*** Guest State ***" in text


def read(text: str) -> Source:
    """The last dump in a log, which is the one that matters; `Unreadable` if it is cut short."""
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if "*** Guest State ***" in line]
    notes = []
    if len(starts) > 1:
        notes.append(f"The log has {len(starts)} dumps; this is the last of them.")
    sections = _sections(lines[starts[-1] :])
    if missing := sorted(set(_SECTIONS.values()) - set(sections)):
        raise Unreadable(f"the dump has no section on {' and '.join(missing)} state")
    fields = checked(
        {name: value for section in sections for name, value in _values(section, sections[section])}
    )
    for wanted in ("guest_cr0", "host_cr0", "pin_based_controls", "vm_entry_controls"):
        if wanted not in fields:
            raise Unreadable(f"the dump has the headings, but no {wanted}")
    xen = re.search(r"\bCS: [0-9a-f]{4} [0-9a-f]{5} ", sections["guest"])
    told = outcome(fields.get("exit_reason"), fields.get("exit_qualification"), None)
    return Source(
        "Xen's VMCS dump" if xen else "KVM's VMCS dump",
        fields,
        reported=reported_in(text) or told,
        notes=tuple(notes),
    )


def _sections(lines: list[str]) -> dict[str, str]:
    """The words of each section, one space apart: mailers break lines, and quote them."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        name = next((word for head, word in _SECTIONS.items() if head in line), name)
        if name:
            found.setdefault(name, []).extend(line.lstrip("> ").split())
    return {name: " ".join(words) for name, words in found.items()}


def _values(section: str, text: str) -> Iterator[tuple[str, int]]:
    for pattern, names in _LABELS[section]:
        if found := re.search(pattern.replace("{h}", _HEX), text):
            yield from zip(names, map(_hex, found.groups()), strict=True)
    if section != "guest":
        return
    for found in _SEGMENT.finditer(text):
        segment = found[1].lower()
        parts = ("selector", "access_rights", "limit", "base")
        for part, value in zip(parts, found.groups()[1:], strict=True):
            yield f"guest_{segment}_{part}", _hex(value)
    for found in _TABLE.finditer(text):
        yield f"guest_{found[1].lower()}_limit", _hex(found[2])
        yield f"guest_{found[1].lower()}_base", _hex(found[3])


_hex: Callable[[str], int] = lambda text: number(text, 16)  # noqa: E731
