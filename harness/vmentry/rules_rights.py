"""SDM 3C 27.3.1.2: access rights of the guest's segment registers, outside of virtual-8086 mode."""

from __future__ import annotations

from collections.abc import Callable

from harness.vmentry import controls as c
from harness.vmentry.rule import Condition, Rule, Stage, off, on
from harness.vmentry.rules_segments import (
    CODE_AND_DATA,
    NOT_V86,
    RESTRICTED,
    UNUSABLE,
    if_usable,
    rights,
)
from harness.vmentry.shapes import zero
from harness.vmentry.state import State

SECTION = "27.3.1.2"
STAGE = Stage.GUEST

_RESERVED = 0xF00 | ~0x1FFFF & 0xFFFFFFFF  # bits 11:8 and 31:17
_CS, _SS = "guest_cs_access_rights", "guest_ss_access_rights"


def kind(v: State, segment: str) -> int:
    """The type: bits 3:0 of the access rights (SDM 3A 3.4.5)."""
    return rights(v, segment) & 0xF


def dpl(v: State, segment: str) -> int:
    """The DPL: bits 6:5."""
    return rights(v, segment) >> 5 & 3


def _right(
    segment: str, what: str, must: str, holds: Callable[[State], bool],
    *more: Condition, others: tuple[str, ...] = (), detail: Callable[[State], str] | None = None,
) -> Rule:  # fmt: skip
    """A rule on a segment's access rights where the segment counts."""
    field = f"guest_{segment}_access_rights"
    system = segment in ("tr", "ldtr")
    when = (*(() if system else (NOT_V86,)), *if_usable(segment), *more)
    return Rule(
        f"guest.{segment}.{what}", SECTION, STAGE, (field, *others), must, holds, when, detail
    )


def _common(segment: str) -> tuple[Rule, ...]:
    """Descriptor type, present, and what is reserved."""
    field = f"guest_{segment}_access_rights"
    system = segment in ("tr", "ldtr")
    when = (*(() if system else (NOT_V86,)), *if_usable(segment))
    return (
        _right(
            segment, "s", f"S (bit 4) must be {0 if system else 1}",
            lambda v: rights(v, segment) >> 4 & 1 == (0 if system else 1),
        ),
        _right(
            segment, "present", "P (bit 7) must be 1", lambda v: bool(rights(v, segment) >> 7 & 1)
        ),
        zero(f"guest.{segment}.rights.reserved", SECTION, STAGE, field, _RESERVED, when),
    )  # fmt: skip


def _type(v: State, segment: str) -> str:
    return f"the type is {kind(v, segment)}"


_CS_TYPE = (
    _right(
        "cs", "type", "the type must be 9, 11, 13 or 15 (accessed code)",
        lambda v: kind(v, "cs") in (9, 11, 13, 15),
        RESTRICTED,
        detail=lambda v: _type(v, "cs"),
    ),
    _right(
        "cs", "type.unrestricted", "the type must be 3 (data), 9, 11, 13 or 15 (accessed code)",
        lambda v: kind(v, "cs") in (3, 9, 11, 13, 15),
        on(c.UNRESTRICTED_GUEST),
        detail=lambda v: _type(v, "cs"),
    ),
)  # fmt: skip


def _cs_of_type(*types: int) -> Condition:
    words = " or ".join(map(str, types))
    return Condition(f"CS has type {words}", lambda v: kind(v, "cs") in types, (_CS,))


_CS_DPL = (
    _right(
        "cs", "dpl.data", "the DPL (bits 6:5) must be 0",
        lambda v: dpl(v, "cs") == 0,
        _cs_of_type(3), on(c.UNRESTRICTED_GUEST),
    ),
    _right(
        "cs", "dpl.non-conforming", "the DPLs (bits 6:5) must be the same",
        lambda v: dpl(v, "cs") == dpl(v, "ss"),
        _cs_of_type(9, 11),
        others=(_SS,),
    ),
    _right(
        "cs", "dpl.conforming", "the DPL (bits 6:5) of CS must not be greater than that of SS",
        lambda v: dpl(v, "cs") <= dpl(v, "ss"),
        _cs_of_type(13, 15),
        others=(_SS,),
    ),
)  # fmt: skip

_REAL_OR_DATA = Condition(
    "CS has type 3 or CR0.PE is 0",
    lambda v: kind(v, "cs") == 3 or not v.guest_cr0 & 1,
    (_CS, "guest_cr0"),
)

_SS_RULES = (
    _right(
        "ss", "type", "the type must be 3 or 7 (accessed data that can be written)",
        lambda v: kind(v, "ss") in (3, 7),
        detail=lambda v: _type(v, "ss"),
    ),
    Rule(
        "guest.ss.dpl.rpl", SECTION, STAGE, (_SS, "guest_ss_selector"),
        "the DPL (bits 6:5) must be the selector's RPL (bits 1:0)",
        holds=lambda v: dpl(v, "ss") == v.guest_ss_selector & 3,
        when=(NOT_V86, RESTRICTED),
    ),
    Rule(
        "guest.ss.dpl.zero", SECTION, STAGE, (_SS,), "the DPL (bits 6:5) must be 0",
        holds=lambda v: dpl(v, "ss") == 0,
        when=(NOT_V86, on(c.UNRESTRICTED_GUEST), _REAL_OR_DATA),
    ),
)  # fmt: skip


def _data(segment: str) -> tuple[Rule, ...]:
    selector = f"guest_{segment}_selector"
    return (
        _right(
            segment, "type.accessed", "the type's bit 0 (accessed) must be 1",
            lambda v: bool(kind(v, segment) & 1),
        ),
        _right(
            segment, "type.readable",
            "the type's bit 1 (readable) must be 1 where its bit 3 (code) is",
            lambda v: not kind(v, segment) & 8 or bool(kind(v, segment) & 2),
        ),
        _right(
            segment, "dpl",
            "the DPL (bits 6:5) must not be less than the selector's RPL (bits 1:0)",
            lambda v: dpl(v, segment) >= v.read(selector) & 3,
            RESTRICTED,
            Condition(
                f"{segment.upper()} is no conforming code",
                lambda v: kind(v, segment) <= 11,
                (f"guest_{segment}_access_rights",),
            ),
            others=(selector,),
        ),
    )  # fmt: skip


_SYSTEM_RULES = (
    _right(
        "tr", "type", "the type must be 11 (busy 64-bit TSS)",
        lambda v: kind(v, "tr") == 11,
        on(c.IA32E_MODE_GUEST),
        detail=lambda v: _type(v, "tr"),
    ),
    _right(
        "tr", "type.legacy", "the type must be 3 or 11 (busy TSS of 16 or 32 bits)",
        lambda v: kind(v, "tr") in (3, 11),
        off(c.IA32E_MODE_GUEST),
        detail=lambda v: _type(v, "tr"),
    ),
    _right(
        "tr", "usable", "TR must be usable: bit 16 must be 0",
        lambda v: not rights(v, "tr") & UNUSABLE,
    ),
    _right(
        "ldtr", "type", "the type must be 2 (LDT)",
        lambda v: kind(v, "ldtr") == 2,
        detail=lambda v: _type(v, "ldtr"),
    ),
)  # fmt: skip

RULES: tuple[Rule, ...] = (
    *_CS_TYPE,
    *_CS_DPL,
    _right(
        "cs", "d", "D/B (bit 14) must be 0 where L (bit 13) is 1",
        lambda v: not (rights(v, "cs") >> 13 & 1 and rights(v, "cs") >> 14 & 1),
        on(c.IA32E_MODE_GUEST),
    ),
    *_SS_RULES,
    *(rule for segment in ("ds", "es", "fs", "gs") for rule in _data(segment)),
    *_SYSTEM_RULES,
    *(rule for segment in (*CODE_AND_DATA, "ldtr", "tr") for rule in _common(segment)),
)  # fmt: skip
