"""VM entries that break no rule, one for each mode a guest can be in.

Every field of the manual has a value that stays good when the control that uses it is turned on.
"""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.fields import FIELDS, SEGMENTS

MODES = ("long", "protected", "pae", "real", "v86")

_CODE_64, _CODE_32, _DATA, _BUSY_TSS, _UNUSABLE = 0xA09B, 0xC09B, 0xC093, 0x8B, 0x10000
_V86_RIGHTS, _REAL_RIGHTS = 0xF3, 0x93
_PAT = 0x0007_0406_0007_0406
_HOST_CODE = 0xFFFF_8000_0000_0000

_CONTROLS = {
    c.PIN: 0x3F,
    c.PRIMARY: 0x8400_6172,
    c.SECONDARY: c.ENABLE_EPT.mask | c.ENABLE_VPID.mask,
    c.EXIT: 0x003F_EFFF,
    c.ENTRY: 0x0000_D3FF,
    "virtual_processor_identifier": 1,
    "ept_pointer": 0x10_001E,
    "tsc_multiplier": 1 << 48,
    "vm_entry_instruction_length": 1,
}

_HOST = {
    "host_cr0": 0x8001_0033,
    "host_cr3": 0x1000,
    "host_cr4": 0x2020,
    "host_ia32_efer": 0xD01,
    "host_ia32_pat": _PAT,
    "host_cs_selector": 8,
    "host_ss_selector": 16,
    "host_tr_selector": 24,
    "host_rip": _HOST_CODE,
    "host_rsp": _HOST_CODE,
    "host_gs_base": _HOST_CODE,
}

_GUEST = {
    "vmcs_link_pointer": (1 << 64) - 1,
    "guest_cr0": 0x8001_0033,
    "guest_cr3": 0x2000,
    "guest_cr4": 0x2020,
    "guest_ia32_efer": 0xD01,
    "guest_ia32_pat": _PAT,
    "guest_dr7": 0x400,
    "guest_rip": 0x1000,
    "guest_rsp": 0x8000,
    "guest_rflags": 2,
    "guest_pdpte0": 0x3001,
    "guest_gdtr_limit": 0x27,
    "guest_idtr_limit": 0xFFF,
}

# Addresses that are good for everything that wants one.
_PAGES = {
    field.name: 0x20_0000 + 0x1000 * place
    for place, field in enumerate(FIELDS)
    if field.width == 64
    and ("address" in field.name or "bitmap" in field.name or field.name.endswith("_pointer"))
    and not field.read_only
}


def _segments(code: int, data: int, tss: int) -> dict[str, int]:
    fields: dict[str, int] = {}
    rights = {"cs": code, "tr": tss, "ldtr": _UNUSABLE}
    selectors = {"cs": 8, "ldtr": 0, "tr": 32}
    for segment in SEGMENTS:
        system = segment in ("ldtr", "tr")
        fields |= {
            f"guest_{segment}_selector": selectors.get(segment, 16),
            f"guest_{segment}_base": 0,
            f"guest_{segment}_limit": 0xFFF if system else 0xFFFF_FFFF,
            f"guest_{segment}_access_rights": rights.get(segment, data),
        }
    return fields


def _sixteen_bit(rights: int) -> dict[str, int]:
    fields = _segments(rights, rights, _BUSY_TSS)
    for segment in ("cs", "ss", "ds", "es", "fs", "gs"):
        selector = fields[f"guest_{segment}_selector"]
        fields |= {f"guest_{segment}_base": selector << 4, f"guest_{segment}_limit": 0xFFFF}
    return fields


def vmcs(mode: str = "long") -> dict[str, int]:
    """A VMCS that every processor with its controls enters; ``mode`` is one of `MODES`."""
    fields = dict.fromkeys((field.name for field in FIELDS if not field.read_only), 0)
    fields |= _PAGES | _CONTROLS | _HOST | _GUEST | _segments(_CODE_64, _DATA, _BUSY_TSS)
    if mode == "long":
        return fields
    fields[c.ENTRY] &= ~c.IA32E_MODE_GUEST.mask
    fields["guest_ia32_efer"] = 0
    if mode == "real":
        fields[c.SECONDARY] |= c.UNRESTRICTED_GUEST.mask
        return fields | {"guest_cr0": 0x30, "guest_cr4": 0x2000} | _sixteen_bit(_REAL_RIGHTS)
    if mode == "v86":
        more = {"guest_cr4": 0x2000, "guest_rflags": 2 | 1 << 17}
        return fields | more | _sixteen_bit(_V86_RIGHTS)
    paging = 0x2020 if mode == "pae" else 0x2000
    return fields | {"guest_cr4": paging} | _segments(_CODE_32, _DATA, _BUSY_TSS)
