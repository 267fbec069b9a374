"""The edges of the rules on the guest's registers and segments (SDM 3C 27.3.1.1 to 27.3.1.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.vmentry import controls as c
from harness.vmentry.capabilities import Capabilities
from harness.vmentry.case import Case, both, case, minus, plus, put, swap
from harness.vmentry.cases_host import cr3, fixed, linear, loaded_msrs, shadow_stacks

_PG, _PE, _PAE, _PCIDE = 1 << 31, 1, 1 << 5, 1 << 17
_UNUSABLE = 1 << 16
_S, _P, _L, _D, _G = (1 << bit for bit in (4, 7, 13, 14, 15))


def _registers(cap: Capabilities) -> Iterator[Case]:
    yield from fixed("guest", "guest")
    yield case(
        "guest.cr0.pg", {"guest_cr0": plus(_PG)}, {"guest_cr0": plus(_PG | _PE)}, base="real"
    )
    debug = (c.ENTRY_LOAD_DEBUG_CONTROLS,)
    field = "guest_ia32_debugctl"
    yield case("guest.debugctl", {field: put(1 << 3)}, {field: put(0x3)}, on=debug)
    yield case("guest.dr7", {"guest_dr7": plus(1 << 32)}, {"guest_dr7": put(0xFFFFFFFF)}, on=debug)
    # Without paging or PAE in IA-32e mode, the bits that VMX fixes must be free: unrestricted.
    yield case(
        "guest.ia32e.paging", {"guest_cr0": minus(_PG)}, {"guest_cr0": plus(_PG)},
        on=(c.UNRESTRICTED_GUEST,),
    )  # fmt: skip
    yield case("guest.ia32e.pae", {"guest_cr4": minus(_PAE)}, {"guest_cr4": plus(_PAE)})
    yield case(
        "guest.cr4.pcide", {"guest_cr4": plus(_PCIDE)}, {"guest_cr4": plus(1 << 7)},
        base="protected",
    )  # fmt: skip
    yield cr3("guest.cr3", "guest_cr3", cap)
    yield linear("guest.sysenter-esp", "guest_ia32_sysenter_esp", cap)
    yield linear("guest.sysenter-eip", "guest_ia32_sysenter_eip", cap)
    yield from shadow_stacks("guest", c.ENTRY_LOAD_CET, cap)
    yield from loaded_msrs(
        "guest", c.ENTRY_LOAD_PERF_GLOBAL_CTRL, c.ENTRY_LOAD_PAT, c.ENTRY_LOAD_EFER,
        c.ENTRY_LOAD_PKRS,
    )  # fmt: skip
    efer, load = "guest_ia32_efer", (c.ENTRY_LOAD_EFER,)
    yield case(
        "guest.efer.lma", {efer: put(0x400)}, {efer: put(0x100)}, on=load, base="real",
    )  # fmt: skip
    yield case("guest.efer.lme", {efer: minus(0x100)}, {efer: plus(0x100)}, on=load)
    field, load = "guest_ia32_bndcfgs", (c.ENTRY_LOAD_BNDCFGS,)
    yield case("guest.bndcfgs.reserved", {field: put(1 << 11)}, {field: put(0x1003)}, on=load)
    yield linear("guest.bndcfgs.canonical", field, cap, load)
    for id, good, control in (
        ("rtit-ctl", 1 << 22, c.ENTRY_LOAD_RTIT_CTL),
        ("lbr-ctl", 1 << 22, c.ENTRY_LOAD_LBR_CTL),
    ):
        field = f"guest_ia32_{id.replace('-', '_')}"
        yield case(f"guest.{id}", {field: put(1 << 23)}, {field: put(good)}, on=(control,))
    yield case(
        "guest.uinv", {"guest_uinv": put(0x100)}, {"guest_uinv": put(0xFF)}, on=(c.ENTRY_LOAD_UINV,)
    )
    for name in ("gdtr", "idtr"):
        limit = f"guest_{name}_limit"
        yield linear(f"guest.{name}.base", f"guest_{name}_base", cap)
        yield case(f"guest.{name}.limit", {limit: put(0x10000)}, {limit: put(0xFFFF)})


def _usable(segment: str) -> dict[str, Any]:
    """LDTR is unusable in the good VMCS; its rules want a usable one."""
    return {"given": {"guest_ldtr_access_rights": put(0x82)}} if segment == "ldtr" else {}


def _selectors_and_bases(cap: Capabilities) -> Iterator[Case]:
    for name in ("tr", "ldtr"):
        field = f"guest_{name}_selector"
        yield case(
            f"guest.{name}.selector", {field: plus(4)}, {field: put(0xFFF8)}, **_usable(name)
        )
    selector = "guest_ss_selector"
    yield case(
        "guest.ss.rpl", {selector: plus(1)}, {selector: minus(3)}, also=("guest.ss.dpl.rpl",)
    )
    for name in ("tr", "fs", "gs", "ldtr"):
        yield linear(f"guest.{name}.base.canonical", f"guest_{name}_base", cap, **_usable(name))
    for name in ("cs", "ss", "ds", "es"):
        field = f"guest_{name}_base"
        yield case(f"guest.{name}.base.high", {field: put(1 << 32)}, {field: put(0xFFFFFFFF)})


def _v86() -> Iterator[Case]:
    for name in ("cs", "ss", "ds", "es", "fs", "gs"):
        base, selector = f"guest_{name}_base", f"guest_{name}_selector"
        limit, rights = f"guest_{name}_limit", f"guest_{name}_access_rights"
        id = f"guest.{name}.v86"
        top = {selector: put(0xFFFF)}
        yield case(f"{id}.base", top, {**top, base: put(0xFFFF0)}, base="v86")
        yield case(f"{id}.limit", {limit: put(0xFFFFF)}, {limit: put(0xFFFF)}, base="v86")
        yield case(f"{id}.rights", {rights: put(0x93)}, {rights: put(0xF3)}, base="v86")


def _granularity() -> Iterator[Case]:
    for name in ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"):
        limit, rights = f"guest_{name}_limit", f"guest_{name}_access_rights"
        id, usable = f"guest.{name}.granularity", _usable(name)
        yield case(
            f"{id}.bytes",
            {limit: put(0xFFFFE), rights: plus(_G)}, {limit: put(0xFFFFE), rights: minus(_G)},
            **usable,
        )  # fmt: skip
        yield case(
            f"{id}.pages",
            {limit: put(0x1FFFFF), rights: minus(_G)}, {limit: put(0xFFFFF), rights: minus(_G)},
            **usable,
        )  # fmt: skip


def _code_and_stack() -> Iterator[Case]:
    cs, ss, free = "guest_cs_access_rights", "guest_ss_access_rights", (c.UNRESTRICTED_GUEST,)
    dpls = 3 << 5
    yield case("guest.cs.type", {cs: swap(0xF, 3)}, {cs: swap(0xF, 15)})
    yield case(
        "guest.cs.type.unrestricted", {cs: swap(0xF, 1)}, {cs: swap(0xF, 3)}, on=free, base="real"
    )
    yield case("guest.cs.dpl.data", {cs: plus(dpls)}, {cs: minus(dpls)}, base="real")
    yield case("guest.cs.dpl.non-conforming", {cs: plus(1 << 5)}, {cs: minus(dpls)})
    ring_3 = both({ss: plus(dpls)}, {"guest_ss_selector": put(0x13), "guest_cs_selector": put(0xB)})
    yield case(
        "guest.cs.dpl.conforming", {cs: swap(0xF, 13 | 1 << 5)},
        {**ring_3, cs: swap(0xF, 13 | dpls)},
    )  # fmt: skip
    yield case("guest.cs.d", {cs: plus(_D)}, {cs: swap(_L, _D)})
    yield case("guest.ss.type", {ss: swap(0xF, 1)}, {ss: swap(0xF, 7)})
    yield case(
        "guest.ss.dpl.rpl", {ss: plus(dpls)}, {**ring_3, cs: plus(dpls)},
        given={cs: swap(0xF, 13)},
    )  # fmt: skip
    yield case(
        "guest.ss.dpl.zero", {ss: plus(dpls)}, {ss: minus(dpls)}, base="real",
        given={cs: swap(0xF, 13)},
    )  # fmt: skip


def _rights() -> Iterator[Case]:
    for name in ("ds", "es", "fs", "gs"):
        field, selector = f"guest_{name}_access_rights", f"guest_{name}_selector"
        yield case(f"guest.{name}.type.accessed", {field: minus(1)}, {field: plus(_UNUSABLE)})
        yield case(f"guest.{name}.type.readable", {field: swap(0xF, 9)}, {field: swap(0xF, 11)})
        yield case(
            f"guest.{name}.dpl", {selector: plus(3)}, {selector: plus(3), field: plus(3 << 5)}
        )
    tr, ldtr = "guest_tr_access_rights", "guest_ldtr_access_rights"
    yield case("guest.tr.type", {tr: swap(0xF, 3)}, {tr: swap(0xF, 11)})
    yield case("guest.tr.type.legacy", {tr: swap(0xF, 9)}, {tr: swap(0xF, 3)}, base="protected")
    yield case("guest.tr.usable", {tr: plus(_UNUSABLE)}, {tr: minus(_UNUSABLE)})
    yield case("guest.ldtr.type", {ldtr: put(0x83)}, {ldtr: put(0x82)})
    for name in ("cs", "ss", "ds", "es", "fs", "gs", "ldtr", "tr"):
        field, usable = f"guest_{name}_access_rights", _usable(name)
        system = name in ("ldtr", "tr")
        s = (plus(_S), minus(_S)) if system else (minus(_S), plus(_S))
        yield case(f"guest.{name}.s", {field: s[0]}, {field: s[1]}, **usable)
        yield case(f"guest.{name}.present", {field: minus(_P)}, {field: plus(_P)}, **usable)
        for_bit_12 = {field: plus(1 << 12)}  # AVL, the software's own, beside reserved bits
        yield case(f"guest.{name}.rights.reserved", {field: plus(1 << 17)}, for_bit_12, **usable)


def cases(cap: Capabilities) -> Iterator[Case]:
    """All of them, for a processor with these widths."""
    yield from _registers(cap)
    yield from _selectors_and_bases(cap)
    for some in (_v86, _granularity, _code_and_stack, _rights):
        yield from some()
