"""Rules that come in the same shape for many fields, and the words for bits."""

from __future__ import annotations

from collections.abc import Callable

from harness.vmentry.rule import Condition, Rule, Stage
from harness.vmentry.state import State

When = tuple[Condition, ...]


def bits(mask: int) -> str:
    """The bits of a mask in the manual's words: "bit 5", "bits 63:32 and 3"."""
    runs, bit = [], 0
    while mask >> bit:
        if not mask >> bit & 1:
            bit += 1
            continue
        low = bit
        while mask >> bit & 1:
            bit += 1
        runs.append(str(low) if bit - 1 == low else f"{bit - 1}:{low}")
    runs.reverse()
    text = runs[0] if len(runs) == 1 else ", ".join(runs[:-1]) + " and " + runs[-1]
    return ("bit " if mask & (mask - 1) == 0 else "bits ") + text


def canonical(address: int, width: int) -> bool:
    """Whether bits 63 to width-1 of an address are the same."""
    top = address >> (width - 1)
    return top in (0, (1 << (65 - width)) - 1)


def beyond(v: State) -> int:
    """The bits that no physical address of this processor has."""
    return ~0 << v.cap.physical_width & (1 << 64) - 1


def allowed(
    id: str,
    section: str,
    stage: Stage,
    field: str,
    may: Callable[[State], int],
    must: str,
    when: When = (),
    qualification: int = 0,
) -> Rule:
    """Only bits of ``may`` may be 1."""
    return Rule(
        id, section, stage, (field,), must,
        holds=lambda v: not v.read(field) & ~may(v),
        when=when,
        detail=lambda v: are(v.read(field) & ~may(v), 1),
        qualification=qualification,
    )  # fmt: skip


def are(mask: int, value: int) -> str:
    """That these bits are 0, or 1."""
    return f"{bits(mask)} {'is' if mask & (mask - 1) == 0 else 'are'} {value}"


def zero(
    id: str, section: str, stage: Stage, field: str, mask: int, when: When = (),
    qualification: int = 0, name: str = "",
) -> Rule:  # fmt: skip
    """The bits of ``mask`` must be 0; ``name`` is the manual's name of them."""
    what = f"{name} ({bits(mask)})" if name else bits(mask)
    return allowed(
        id, section, stage, field, lambda _: ~mask, f"{what} must be 0", when, qualification
    )


def within(
    id: str, section: str, stage: Stage, field: str, when: When = (), qualification: int = 0
) -> Rule:
    """A physical address that the processor can have."""
    return allowed(
        id, section, stage, field, lambda v: ~beyond(v),
        "no bit beyond the processor's physical-address width may be 1", when, qualification,
    )  # fmt: skip


def physical(
    id: str, section: str, stage: Stage, field: str, low: int, when: When = (),
    qualification: int = 0,
) -> tuple[Rule, ...]:  # fmt: skip
    """A physical address whose lowest ``low`` bits are 0: two rules."""
    return (
        zero(f"{id}.aligned", section, stage, field, (1 << low) - 1, when, qualification),
        within(f"{id}.width", section, stage, field, when, qualification),
    )


def is_canonical(id: str, section: str, stage: Stage, field: str, when: When = ()) -> Rule:
    """A linear address that is canonical for the widest that the processor supports."""
    return Rule(
        id, section, stage, (field,), "the address must be canonical",
        holds=lambda v: canonical(v.read(field), v.cap.linear_width),
        when=when,
        detail=lambda v: f"bits 63:{v.cap.linear_width - 1} are not all the same",
    )  # fmt: skip


def fixed(
    id: str, section: str, stage: Stage, field: str, register: str,
    unchecked: Callable[[State], int],
    aside: tuple[str, ...] = (),
) -> tuple[Rule, ...]:  # fmt: skip
    """CR0 or CR4 with the bits that VMX operation fixes (A.7, A.8): to 1, and to 0."""

    def clear(v: State) -> int:
        required = v.cap.cr0_fixed0 if register == "CR0" else v.cap.cr4_fixed0
        return required & ~v.read(field) & ~unchecked(v)

    def spare(v: State) -> int:
        may = v.cap.cr0_fixed1 if register == "CR0" else v.cap.cr4_fixed1
        return v.read(field) & ~may & ~unchecked(v)

    return (
        Rule(
            f"{id}.fixed-1", section, stage, (field,),
            f"the bits that are 1 in IA32_VMX_{register}_FIXED0 must be 1",
            holds=lambda v: not clear(v),
            detail=lambda v: are(clear(v), 0),
            aside=aside,
        ),
        Rule(
            f"{id}.fixed-0", section, stage, (field,),
            f"the bits that are 0 in IA32_VMX_{register}_FIXED1 must be 0",
            holds=lambda v: not spare(v),
            detail=lambda v: are(spare(v), 1),
            aside=aside,
        ),
    )  # fmt: skip


def pat(id: str, section: str, stage: Stage, field: str, when: When) -> Rule:
    """Each byte of IA32_PAT is a memory type (SDM 3A 12.12.2)."""

    def wrong(v: State) -> list[tuple[int, int]]:
        found = enumerate(v.read(field).to_bytes(8, "little"))
        return [(place, byte) for place, byte in found if byte not in (0, 1, 4, 5, 6, 7)]

    return Rule(
        id, section, stage, (field,), "each byte must be 0, 1, 4, 5, 6 or 7",
        holds=lambda v: not wrong(v),
        when=when,
        detail=lambda v: ", ".join(f"byte {place} is {byte:#x}" for place, byte in wrong(v)),
    )  # fmt: skip
