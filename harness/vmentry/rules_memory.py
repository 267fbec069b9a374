"""SDM 3C 27.3.1.5, 27.3.1.6 and 27.4: what VM entry reads from memory.

The VMCS link pointer, the PDPTEs, and the MSR-load area.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.vmentry import controls as c
from harness.vmentry.rule import Condition, Rule, Stage, off, on
from harness.vmentry.rules_host import CR0_PG, CR4_PAE
from harness.vmentry.shapes import beyond, bits, canonical, physical
from harness.vmentry.state import State

LINK_POINTER, PDPTES, MSR_LOADING = "27.3.1.5", "27.3.1.6", "27.4"
STAGE = Stage.GUEST

# 27.8: the exit qualification of reason 33.
_PDPTE_FAILED, _LINK_POINTER_FAILED = 2, 4

_LINK = "vmcs_link_pointer"
_NO_LINK = (1 << 64) - 1

_LINKED = Condition("it is not all ones", lambda v: v.vmcs_link_pointer != _NO_LINK, (_LINK,))
_OUTSIDE_SMM = Condition(
    "the processor is not in SMM, or “entry to SMM” is 1",
    lambda v: not v.cap.in_smm or v.on(c.ENTRY_TO_SMM),
    (c.ENTRY,),
)
_IN_SMM = Condition(
    "the processor is in SMM and “entry to SMM” is 0",
    lambda v: bool(v.cap.in_smm) and not v.on(c.ENTRY_TO_SMM),
    (c.ENTRY,),
)


def _identifier(v: State) -> int:
    return v.word(v.vmcs_link_pointer, "the linked VMCS's revision identifier") & 0xFFFFFFFF


def _link(
    id: str, must: str, holds: Callable[[State], bool], *more: Condition,
    detail: Callable[[State], str] | None = None, aside: tuple[str, ...] = (),
) -> Rule:  # fmt: skip
    return Rule(
        f"guest.link-pointer.{id}", LINK_POINTER, STAGE, (_LINK,), must, holds, (_LINKED, *more),
        detail, _LINK_POINTER_FAILED, aside,
    )  # fmt: skip


_LINK_RULES = (
    *physical(
        "guest.link-pointer", LINK_POINTER, STAGE, _LINK, 12, (_LINKED,), _LINK_POINTER_FAILED
    ),
    _link(
        "revision", "bits 30:0 of the 4 bytes there must be the processor's VMCS revision",
        lambda v: _identifier(v) & 0x7FFFFFFF == v.cap.basic & 0x7FFFFFFF,
        detail=lambda v: f"they are {_identifier(v):#x} with bit 31,"
        f" the revision is {v.cap.basic & 0x7FFFFFFF:#x}",
    ),
    _link(
        "shadow", "bit 31 of the 4 bytes there must be as “VMCS shadowing”",
        lambda v: bool(_identifier(v) >> 31) == v.on(c.VMCS_SHADOWING),
        detail=lambda v: f"they are {_identifier(v):#x}",
        aside=(c.PRIMARY, c.SECONDARY),
    ),
    _link(
        "current", "it must not be the current VMCS",
        lambda v: v.vmcs_link_pointer != v.cap.current_vmcs,
        _OUTSIDE_SMM,
    ),
    _link(
        "vmxon", "it must not be the VMXON region",
        lambda v: v.vmcs_link_pointer != v.cap.vmxon_pointer,
        _IN_SMM,
    ),
)  # fmt: skip

_PAE = Condition(
    "the guest uses PAE paging (CR0.PG, CR4.PAE, not IA-32e mode)",
    lambda v: bool(v.guest_cr0 & CR0_PG and v.guest_cr4 & CR4_PAE) and not v.on(c.IA32E_MODE_GUEST),
    ("guest_cr0", "guest_cr4", c.ENTRY),
)


def _reserved(v: State, pdpte: int) -> int:
    """The bits of a present PDPTE that must be 0 but are not (SDM 3A 5.4.1)."""
    return pdpte & (0x1E6 | beyond(v)) if pdpte & 1 else 0


def _pdptes_in_memory(v: State) -> Iterator[tuple[int, int]]:
    table = v.guest_cr3 & 0xFFFFFFE0
    for number in range(4):
        if wrong := _reserved(v, v.word(table + 8 * number, f"PDPTE {number}")):
            yield number, wrong


def _pdpte_field(number: int) -> Rule:
    field = f"guest_pdpte{number}"
    return Rule(
        f"guest.pdpte{number}", PDPTES, STAGE, (field,),
        "in an entry that is present bits 2:1, 8:5 and those beyond the processor's"
        " physical-address width must be 0",
        holds=lambda v: not _reserved(v, v.read(field)),
        when=(_PAE, on(c.ENABLE_EPT)),
        detail=lambda v: f"{bits(_reserved(v, v.read(field)))} must be 0",
        qualification=_PDPTE_FAILED,
    )  # fmt: skip


_PDPTE_RULES = (
    *map(_pdpte_field, range(4)),
    Rule(
        "guest.pdptes.memory", PDPTES, STAGE, ("guest_cr3",),
        "in an entry there that is present bits 2:1, 8:5 and those beyond the processor's"
        " physical-address width must be 0",
        holds=lambda v: not list(_pdptes_in_memory(v)),
        when=(_PAE, off(c.ENABLE_EPT)),
        detail=lambda v: ", ".join(
            f"PDPTE {number} has 1 in {bits(wrong)}" for number, wrong in _pdptes_in_memory(v)
        ),
        qualification=_PDPTE_FAILED,
    ),
)  # fmt: skip

_AREA, _COUNT = "vm_entry_msr_load_address", "vm_entry_msr_load_count"
_MOST_ENTRIES = 4096  # the most that a processor can recommend (IA32_VMX_MISC bits 27:25)
_FILLED = Condition("the count is not 0", lambda v: v.vm_entry_msr_load_count != 0, (_COUNT,))

_NOT_LOADABLE = {
    0x79: "IA32_BIOS_UPDT_TRIG",
    0x8B: "IA32_BIOS_SIGN_ID",
    0x9B: "IA32_SMM_MONITOR_CTL",
}
_LINEAR = {
    0x175: "IA32_SYSENTER_ESP",
    0x176: "IA32_SYSENTER_EIP",
    0xC0000082: "IA32_LSTAR",
    0xC0000083: "IA32_CSTAR",
    0xC0000102: "IA32_KERNEL_GS_BASE",
}


def _entries(v: State) -> Iterator[tuple[int, int, int]]:
    """Each entry: its number from 1 (the exit qualification), its low and its high 8 bytes."""
    for number in range(1, min(v.vm_entry_msr_load_count, _MOST_ENTRIES) + 1):
        at = v.vm_entry_msr_load_address + 16 * (number - 1)
        what = f"entry {number} of the MSR-load area"
        yield number, v.word(at, what), v.word(at + 8, what)


def _wrong_value(v: State, low: int, value: int) -> bool:
    msr = low & 0xFFFFFFFF
    if msr in _LINEAR:
        return not canonical(value, v.cap.linear_width)
    if msr == 0x277:  # IA32_PAT
        return any(byte not in (0, 1, 4, 5, 6, 7) for byte in value.to_bytes(8, "little"))
    if msr == 0xC0000080:  # IA32_EFER
        return bool(value & ~v.cap.efer)
    return False


def _msr(id: str, must: str, wrong: Callable[[State, int, int], bool]) -> Rule:
    def first(v: State) -> tuple[int, int, int] | None:
        return next((entry for entry in _entries(v) if wrong(v, entry[1], entry[2])), None)

    def detail(v: State) -> str:
        found = first(v)
        assert found is not None
        number, low, value = found
        return f"entry {number} loads {value:#x} into MSR {low:#x}"

    def qualification(v: State) -> int:
        found = first(v)
        return found[0] if found else 0

    return Rule(
        f"msr.{id}", MSR_LOADING, Stage.MSR_LOADING, (_AREA, _COUNT), must,
        holds=lambda v: first(v) is None,
        when=(_FILLED,),
        detail=detail,
        qualification=qualification,
    )  # fmt: skip


_MSR_RULES = (
    _msr(
        "base", "no entry may load IA32_FS_BASE or IA32_GS_BASE, which have fields of their own",
        lambda v, low, _: low & 0xFFFFFFFF in (0xC0000100, 0xC0000101),
    ),
    _msr(
        "x2apic", "no entry may load a register of the local APIC (bits 31:8 of the index are 8)",
        lambda v, low, _: low >> 8 & 0xFFFFFF == 8,
    ),
    _msr(
        "not-loadable", "no entry may load an MSR that only SMM or no VM entry can load",
        lambda v, low, _: low & 0xFFFFFFFF in _NOT_LOADABLE,
    ),
    _msr("reserved", "bits 63:32 of an entry must be 0", lambda v, low, _: low >> 32 != 0),
    _msr("value", "WRMSR must be able to write each value", _wrong_value),
)  # fmt: skip

RULES: tuple[Rule, ...] = (*_LINK_RULES, *_PDPTE_RULES, *_MSR_RULES)
