"""What a processor's VM entries depend on beside the VMCS: capability MSRs, CPUID, its own mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from harness.vmentry import controls as c

MSRS = {
    0x480: "basic",
    0x481: "pin",
    0x482: "primary",
    0x483: "exit",
    0x484: "entry",
    0x485: "misc",
    0x486: "cr0_fixed0",
    0x487: "cr0_fixed1",
    0x488: "cr4_fixed0",
    0x489: "cr4_fixed1",
    0x48A: "vmcs_enum",
    0x48B: "secondary",
    0x48C: "ept_vpid",
    0x48D: "true_pin",
    0x48E: "true_primary",
    0x48F: "true_exit",
    0x490: "true_entry",
    0x491: "vm_functions",
    0x492: "tertiary",
    0x493: "exit2",
}
"""The capability MSRs of SDM 3D, appendix A, by the names that they have here."""

_ALL = (1 << 64) - 1


@dataclass(frozen=True)
class Capabilities:
    """A processor; None is what is not known of it.

    First the capability MSRs, raw. Then what CPUID tells: widths of addresses in bits, and the bits
    that an MSR may have set. Last the state of the processor when the entry was tried.
    """

    basic: int | None = None
    pin: int | None = None
    primary: int | None = None
    exit: int | None = None
    entry: int | None = None
    misc: int | None = None
    cr0_fixed0: int | None = None
    cr0_fixed1: int | None = None
    cr4_fixed0: int | None = None
    cr4_fixed1: int | None = None
    vmcs_enum: int | None = None
    secondary: int | None = None
    ept_vpid: int | None = None
    true_pin: int | None = None
    true_primary: int | None = None
    true_exit: int | None = None
    true_entry: int | None = None
    vm_functions: int | None = None
    tertiary: int | None = None
    exit2: int | None = None

    physical_width: int | None = None
    linear_width: int | None = None
    efer: int | None = None
    debugctl: int | None = None
    perf_global_ctrl: int | None = None
    rtit_ctl: int | None = None
    lbr_ctl: int | None = None
    sgx: bool | None = None
    rtm: bool | None = None
    bus_lock: bool | None = None

    long_mode: bool | None = None  # IA32_EFER.LMA
    in_smm: bool | None = False
    tracing: bool | None = False  # IA32_RTIT_CTL.TraceEn
    current_vmcs: int | None = None  # its physical address
    vmxon_pointer: int | None = None

    def control_limits(self, word: str) -> tuple[int | None, int | None]:
        """The bits of a control word (a field's name) that must be 1, and those that may be.

        SDM 3D A.2: the low half of the MSR tells the former, the high half the latter; where
        IA32_VMX_BASIC[55] is 1 the TRUE MSRs are the ones to ask. The two newest words have no bits
        that must be 1, and a whole MSR for those that may.
        """
        if word in (c.TERTIARY, c.EXIT2, c.FUNCTION):
            value = {
                c.TERTIARY: self.tertiary,
                c.EXIT2: self.exit2,
                c.FUNCTION: self.vm_functions,
            }[word]
            return 0, value
        if word == c.SECONDARY:
            value = self.secondary
        elif self.basic is None:
            value = None
        else:
            old, new = {
                c.PIN: (self.pin, self.true_pin),
                c.PRIMARY: (self.primary, self.true_primary),
                c.EXIT: (self.exit, self.true_exit),
                c.ENTRY: (self.entry, self.true_entry),
            }[word]
            value = new if self.basic >> 55 & 1 else old
        return (None, None) if value is None else (value & 0xFFFFFFFF, value >> 32)

    def supports(self, control: c.Control) -> bool | None:
        """Whether a control may be 1; None if that is not known."""
        by = c.ACTIVATED_BY.get(control.field)
        if by is not None and self.supports(by) is False:
            return False
        allowed = self.control_limits(control.field)[1]
        return None if allowed is None else bool(allowed & control.mask)

    def known_from(self, other: Capabilities) -> Capabilities:
        """This one, with what is not known of it taken from another."""
        unknown = {
            field.name: getattr(other, field.name)
            for field in fields(self)
            if getattr(self, field.name) is None
        }
        return replace(self, **unknown)


def from_machine(
    msrs: Mapping[int, int], cpuid: Mapping[int, tuple[int, int, int, int]]
) -> Capabilities:
    """Capabilities out of MSRs by number, and CPUID leaves (EAX to EDX of subleaf 0) by number."""
    known: dict[str, Any] = {name: msrs[msr] for msr, name in MSRS.items() if msr in msrs}
    return Capabilities(**known, **_from_cpuid(cpuid))


def _from_cpuid(cpuid: Mapping[int, tuple[int, int, int, int]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if sizes := cpuid.get(0x80000008):
        known |= {"physical_width": sizes[0] & 0xFF, "linear_width": sizes[0] >> 8 & 0xFF}
    if extended := cpuid.get(0x80000001):
        edx = extended[3]
        known["efer"] = (edx >> 11 & 1) | (edx >> 29 & 1) * 0x500 | (edx >> 20 & 1) << 11
    if features := cpuid.get(7):
        known |= {
            "sgx": bool(features[1] >> 2 & 1),
            "rtm": bool(features[1] >> 11 & 1),
            "bus_lock": bool(features[2] >> 24 & 1),
        }
        # IA32_DEBUGCTL, SDM 4 table 2-2: bits 2 and 15 are those that CPUID tells for certain.
        known["debugctl"] = 0x7FC3 | known["rtm"] << 15 | known["bus_lock"] << 2
    if monitoring := cpuid.get(0xA):
        general, fixed = monitoring[0] >> 8 & 0xFF, monitoring[3] & 0x1F
        if monitoring[0] & 0xFF >= 2:
            known["perf_global_ctrl"] = (1 << general) - 1 | ((1 << fixed) - 1) << 32
    known |= {"rtit_ctl": RTIT_CTL_DEFINED, "lbr_ctl": LBR_CTL_DEFINED}
    return known


RTIT_CTL_DEFINED = 0x0180_FFFF_8F7B_FFFF
"""The bits of IA32_RTIT_CTL that the manual defines (SDM 3C 33.2.8.2)."""

LBR_CTL_DEFINED = 0x7F000F
"""The bits of IA32_LBR_CTL that the manual defines (SDM 4, table 2-2)."""

ARCHITECTURAL = Capabilities(
    basic=1 << 55 | 1 << 56,
    true_pin=0xFF << 32 | 0x16,
    true_primary=0xFFFB_FFFE << 32 | 0x0400_6172,
    true_exit=0xFFFF_FFFF << 32 | 0x0003_6DFB,
    true_entry=0x00FF_FFFF << 32 | 0x0000_11FB,
    misc=4 << 16 | 7 << 6 | 1 << 30,
    cr0_fixed0=0x8000_0021,
    cr0_fixed1=0xFFFF_FFFF,
    cr4_fixed0=1 << 13,
    cr4_fixed1=0x1_1BFF_7FFF,
    secondary=0xFFFF_FFFF << 32,
    ept_vpid=_ALL,
    vm_functions=1,
    tertiary=_ALL,
    exit2=_ALL,
    physical_width=52,
    linear_width=57,
    efer=0xD01,
    debugctl=0xFFC7,
    perf_global_ctrl=_ALL,
    rtit_ctl=RTIT_CTL_DEFINED,
    lbr_ctl=LBR_CTL_DEFINED,
    sgx=True,
    rtm=True,
    bus_lock=True,
    long_mode=True,
)
"""A processor that can all that the manual has: what it refuses, every processor refuses.

It stands in where a dump tells nothing of its processor. In long mode, like whoever made the dump.
"""
