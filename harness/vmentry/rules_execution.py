"""SDM 3C 27.2.1.1, VM-execution control fields: the control words and what they need."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.controls import Control
from harness.vmentry.rule import Condition, Rule, Stage, off, on
from harness.vmentry.shapes import bits, physical, within, zero
from harness.vmentry.state import State

SECTION = "27.2.1.1"
STAGE = Stage.CONTROLS


def limits(id: str, section: str, word: str, msr: str, when: tuple[Condition, ...] = ()) -> Rule:
    """A control word within the limits of its capability MSR (A.3 to A.5, A.11)."""

    def wrong(v: State) -> tuple[int, int]:
        required, may = v.cap.limits(word)
        return required & ~v.read(word), v.read(word) & ~may

    def detail(v: State) -> str:
        missing, spare = wrong(v)
        parts = [f"{bits(missing)} must be 1"] if missing else []
        return " and ".join(parts + ([f"{bits(spare)} must be 0"] if spare else []))

    return Rule(
        id, section, STAGE, (word,), f"each bit must be as {msr} says",
        holds=lambda v: not any(wrong(v)),
        when=when,
        detail=detail,
    )  # fmt: skip


def needs(
    id: str, control: Control, other: Control, value: int = 1, section: str = SECTION
) -> Rule:
    """While ``control`` is 1, ``other`` must have this value."""
    return Rule(
        id, section, STAGE, tuple(dict.fromkeys((control.field, other.field))),
        f"“{other.name}” (bit {other.bit}) must be {value}",
        holds=lambda v: v.on(other) == bool(value),
        when=(on(control),),
    )  # fmt: skip


RULES: tuple[Rule, ...] = (
    limits("exec.pin.reserved", SECTION, c.PIN, "IA32_VMX_(TRUE_)PINBASED_CTLS"),
    limits("exec.primary.reserved", SECTION, c.PRIMARY, "IA32_VMX_(TRUE_)PROCBASED_CTLS"),
    limits(
        "exec.secondary.reserved", SECTION, c.SECONDARY, "IA32_VMX_PROCBASED_CTLS2",
        (on(c.ACTIVATE_SECONDARY_CONTROLS),),
    ),
    limits(
        "exec.tertiary.reserved", SECTION, c.TERTIARY, "IA32_VMX_PROCBASED_CTLS3",
        (on(c.ACTIVATE_TERTIARY_CONTROLS),),
    ),
    Rule(
        "exec.cr3-target-count", SECTION, STAGE, ("cr3_target_count",),
        "it must not be greater than the number of CR3-target values (IA32_VMX_MISC bits 24:16)",
        holds=lambda v: v.cr3_target_count <= v.cap.misc >> 16 & 0x1FF,
        detail=lambda v: f"the processor has {v.cap.misc >> 16 & 0x1FF}",
    ),
    *physical("exec.io-bitmap-a", SECTION, STAGE, "io_bitmap_a", 12, (on(c.USE_IO_BITMAPS),)),
    *physical("exec.io-bitmap-b", SECTION, STAGE, "io_bitmap_b", 12, (on(c.USE_IO_BITMAPS),)),
    *physical("exec.msr-bitmaps", SECTION, STAGE, "msr_bitmaps", 12, (on(c.USE_MSR_BITMAPS),)),
    Rule(
        "exec.virtual-nmis", SECTION, STAGE, (c.PIN,),
        "“virtual NMIs” (bit 5) must be 0",
        holds=lambda v: not v.on(c.VIRTUAL_NMIS),
        when=(off(c.NMI_EXITING),),
    ),
    Rule(
        "exec.nmi-window-exiting", SECTION, STAGE, (c.PRIMARY, c.PIN),
        "“NMI-window exiting” (bit 22) must be 0",
        holds=lambda v: not v.on(c.NMI_WINDOW_EXITING),
        when=(off(c.VIRTUAL_NMIS),),
    ),
    Rule(
        "exec.vpid", SECTION, STAGE, ("virtual_processor_identifier",), "it must not be 0",
        holds=lambda v: v.virtual_processor_identifier != 0,
        when=(on(c.ENABLE_VPID),),
    ),
    *physical(
        "exec.vmread-bitmap", SECTION, STAGE, "vmread_bitmap_address", 12, (on(c.VMCS_SHADOWING),)
    ),
    *physical(
        "exec.vmwrite-bitmap", SECTION, STAGE, "vmwrite_bitmap_address", 12, (on(c.VMCS_SHADOWING),)
    ),
    Rule(
        "exec.tsc-multiplier", SECTION, STAGE, ("tsc_multiplier",), "it must not be 0",
        holds=lambda v: v.tsc_multiplier != 0,
        when=(on(c.USE_TSC_SCALING),),
    ),
    *physical(
        "exec.low-pasid-directory", SECTION, STAGE, "low_pasid_directory_address", 12,
        (on(c.PASID_TRANSLATION),),
    ),
    *physical(
        "exec.high-pasid-directory", SECTION, STAGE, "high_pasid_directory_address", 12,
        (on(c.PASID_TRANSLATION),),
    ),
    needs("exec.pt-guest-physical.ept", c.PT_GUEST_PHYSICAL, c.ENABLE_EPT),
    needs("exec.pt-guest-physical.entry", c.PT_GUEST_PHYSICAL, c.ENTRY_LOAD_RTIT_CTL),
    needs("exec.pt-guest-physical.exit", c.PT_GUEST_PHYSICAL, c.EXIT_CLEAR_RTIT_CTL),
    needs("exec.hlat.ept", c.ENABLE_HLAT, c.ENABLE_EPT),
    zero("exec.hlat-pointer.reserved", SECTION, STAGE, "hlat_pointer", 0xFE7, (on(c.ENABLE_HLAT),)),
    within("exec.hlat-pointer.width", SECTION, STAGE, "hlat_pointer", (on(c.ENABLE_HLAT),)),
    needs("exec.ept-paging-write.ept", c.EPT_PAGING_WRITE, c.ENABLE_EPT),
    needs("exec.guest-paging-verification.ept", c.GUEST_PAGING_VERIFICATION, c.ENABLE_EPT),
)  # fmt: skip
