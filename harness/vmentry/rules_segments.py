"""SDM 3C 27.3.1.2: selectors, bases and limits of the guest's segment registers."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.fields import SEGMENTS
from harness.vmentry.rule import Condition, Rule, Stage, off
from harness.vmentry.shapes import is_canonical, zero
from harness.vmentry.state import State

SECTION = "27.3.1.2"
STAGE = Stage.GUEST

CODE_AND_DATA = ("cs", "ss", "ds", "es", "fs", "gs")
RFLAGS_VM = 1 << 17
UNUSABLE = 1 << 16

V86 = Condition(
    "the guest is in virtual-8086 mode",
    lambda v: bool(v.guest_rflags & RFLAGS_VM),
    ("guest_rflags",),
)
NOT_V86 = Condition(
    "the guest is not in virtual-8086 mode",
    lambda v: not v.guest_rflags & RFLAGS_VM,
    ("guest_rflags",),
)
RESTRICTED = off(c.UNRESTRICTED_GUEST)


def rights(v: State, segment: str) -> int:
    """A segment's access rights (table 25-2)."""
    return v.read(f"guest_{segment}_access_rights")


def usable(segment: str) -> Condition:
    """Its bit 16 is 0."""
    return Condition(
        f"{segment.upper()} is usable",
        lambda v: not rights(v, segment) & UNUSABLE,
        (f"guest_{segment}_access_rights",),
    )


def if_usable(segment: str) -> tuple[Condition, ...]:
    """CS and TR are checked in any case, the others where they are usable."""
    return () if segment in ("cs", "tr") else (usable(segment),)


def _v86(segment: str) -> tuple[Rule, ...]:
    base, selector = f"guest_{segment}_base", f"guest_{segment}_selector"
    limit, access = f"guest_{segment}_limit", f"guest_{segment}_access_rights"
    return (
        Rule(
            f"guest.{segment}.v86.base", SECTION, STAGE, (base, selector),
            "the base must be the selector times 16",
            holds=lambda v: v.read(base) == v.read(selector) << 4,
            when=(V86,),
        ),
        Rule(
            f"guest.{segment}.v86.limit", SECTION, STAGE, (limit,), "the limit must be 0xffff",
            holds=lambda v: v.read(limit) == 0xFFFF,
            when=(V86,),
        ),
        Rule(
            f"guest.{segment}.v86.rights", SECTION, STAGE, (access,),
            "the access rights must be 0xf3",
            holds=lambda v: v.read(access) == 0xF3,
            when=(V86,),
        ),
    )  # fmt: skip


_SELECTORS = (
    zero("guest.tr.selector", SECTION, STAGE, "guest_tr_selector", 1 << 2, name="TI"),
    zero(
        "guest.ldtr.selector", SECTION, STAGE, "guest_ldtr_selector", 1 << 2, (usable("ldtr"),),
        name="TI",
    ),
    Rule(
        "guest.ss.rpl", SECTION, STAGE, ("guest_ss_selector", "guest_cs_selector"),
        "the RPLs (bits 1:0) must be the same",
        holds=lambda v: v.guest_ss_selector & 3 == v.guest_cs_selector & 3,
        when=(NOT_V86, RESTRICTED),
    ),
)  # fmt: skip

_BASES = (
    *(
        is_canonical(
            f"guest.{segment}.base.canonical", SECTION, STAGE, f"guest_{segment}_base",
            if_usable(segment) if segment == "ldtr" else (),
        )
        for segment in ("tr", "fs", "gs", "ldtr")
    ),
    *(
        zero(
            f"guest.{segment}.base.high", SECTION, STAGE, f"guest_{segment}_base",
            0xFFFFFFFF << 32, if_usable(segment),
        )
        for segment in ("cs", "ss", "ds", "es")
    ),
)  # fmt: skip


def _granularity(segment: str) -> tuple[Rule, ...]:
    """G (bit 15) must fit the limit, which it scales (27.3.1.2, last items)."""
    limit, access = f"guest_{segment}_limit", f"guest_{segment}_access_rights"
    system = segment in ("tr", "ldtr")
    when = (*(() if system else (NOT_V86,)), *if_usable(segment))
    return (
        Rule(
            f"guest.{segment}.granularity.bytes", SECTION, STAGE, (limit, access),
            "G (bit 15) must be 0 where any of bits 11:0 of the limit is 0",
            holds=lambda v: v.read(limit) & 0xFFF == 0xFFF or not v.read(access) >> 15 & 1,
            when=when,
        ),
        Rule(
            f"guest.{segment}.granularity.pages", SECTION, STAGE, (limit, access),
            "G (bit 15) must be 1 where any of bits 31:20 of the limit is 1",
            holds=lambda v: not v.read(limit) >> 20 or bool(v.read(access) >> 15 & 1),
            when=when,
        ),
    )  # fmt: skip


RULES: tuple[Rule, ...] = (
    *_SELECTORS,
    *_BASES,
    *(rule for segment in CODE_AND_DATA for rule in _v86(segment)),
    *(rule for segment in SEGMENTS for rule in _granularity(segment)),
)
